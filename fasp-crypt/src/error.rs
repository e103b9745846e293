//! What can go wrong, in the order in which a reader finds it.

/// A shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something cannot be sealed, opened or rewrapped.
///
/// The variants a reader returns stand in the order of its checks (docs/envelope.md, "Reading"): when several things
/// are wrong with a file, the first one is reported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Fewer bytes than a header, or a length that no envelope has.
    #[error("the envelope is cut short")]
    Truncated,
    /// Other first bytes: something else, or an envelope of another product.
    #[error("not an envelope of this program")]
    NotAnEnvelope,
    /// The version of the format is not 1.
    #[error("version {0} of the envelope format is not known")]
    UnsupportedVersion(u8),
    /// The checksum of the header does not match: damaged by accident.
    #[error("the header of the envelope is damaged")]
    HeaderCorrupt,
    /// A cipher suite or a key derivation that this version does not define.
    #[error("cipher suite {suite} with key derivation {kdf} is not known")]
    UnsupportedSuite {
        /// The suite in the header.
        suite: u8,
        /// The key derivation in the header.
        kdf: u8,
    },
    /// A flag is set that this version does not define.
    #[error("the envelope has flags that are not known ({0:#04x})")]
    UnsupportedFlags(u8),
    /// A number is outside what the format or this reader allows; nothing was allocated or derived.
    #[error("the envelope asks for more than is allowed: {0}")]
    LimitExceeded(Limit),
    /// The passphrase does not open the envelope, or somebody edited the header.
    #[error("wrong passphrase")]
    BadPassphrase,
    /// A chunk, counted from 0, is not what was sealed there.
    #[error("the envelope is damaged in chunk {0}")]
    ChunkCorrupt(u64),
    /// A chunk, counted from 0, was to be sealed again with other content (rule E-9).
    #[error("the source changed while it was being protected (chunk {0})")]
    SourceChanged(u64),
    /// The text cannot be a passphrase.
    #[error(transparent)]
    Passphrase(#[from] PassphraseFault),
    /// The caller gave up while waiting for its turn.
    #[error("cancelled")]
    Cancelled,
    /// The memory that the key derivation needs is not there.
    #[error("not enough memory to derive the key")]
    OutOfMemory,
    /// The operating system gave no random bytes.
    #[error("the system has no random bytes")]
    NoRandomness,
    /// The caller broke a rule of a function: a chunk that does not exist, a buffer of the wrong length.
    #[error("{0}")]
    Misuse(&'static str),
}

/// Which limit was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Limit {
    /// Chunks are 2^16 to 2^25 bytes.
    #[error("chunks of 2^{0} bytes")]
    ChunkSize(u8),
    /// The key derivation uses 2^13 to 2^20 KiB.
    #[error("2^{0} KiB to derive the key")]
    Memory(u8),
    /// The key derivation makes 1 to 16 passes.
    #[error("{0} passes to derive the key")]
    Passes(u8),
    /// The key derivation has 1 to 16 lanes.
    #[error("{0} lanes to derive the key")]
    Lanes(u8),
    /// Passes times memory is at most 4 GiB.
    #[error("too much work to derive the key")]
    Work,
    /// Allowed by the format, but above what this reader was told to spend.
    #[error("{} MiB to derive the key, where {} MiB are allowed", mebibytes(*.asked), mebibytes(*.allowed))]
    Ceiling {
        /// What the header asks for, log2 of KiB.
        asked: u8,
        /// What the reader allows, log2 of KiB.
        allowed: u8,
    },
    /// At most 2^48 bytes and 2^32 chunks.
    #[error("too many bytes")]
    Length,
}

/// Why a text cannot be a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PassphraseFault {
    /// Nothing at all.
    #[error("the passphrase is empty")]
    Empty,
    /// More than 1,024 bytes after normalisation.
    #[error("the passphrase is longer than 1024 bytes")]
    TooLong,
    /// It holds a NUL character.
    #[error("the passphrase has a NUL character")]
    Nul,
    /// It is not UTF-8.
    #[error("the passphrase is not valid UTF-8")]
    NotUtf8,
}

fn mebibytes(log2_kib: u8) -> u64 {
    // Both numbers passed the range check of the format: 13 to 20.
    1 << log2_kib.saturating_sub(10).min(20)
}

impl Error {
    /// Returns the number of the public FASP error code: 48 for an envelope that cannot be read, 49 for the passphrase.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Truncated
            | Self::NotAnEnvelope
            | Self::UnsupportedVersion(_)
            | Self::HeaderCorrupt
            | Self::UnsupportedSuite { .. }
            | Self::UnsupportedFlags(_)
            | Self::LimitExceeded(_)
            | Self::ChunkCorrupt(_) => 48,
            Self::BadPassphrase | Self::Passphrase(_) => 49,
            Self::SourceChanged(_) => 35,
            Self::Cancelled => 28,
            Self::OutOfMemory => 32,
            Self::NoRandomness | Self::Misuse(_) => 11,
        }
    }

    /// Returns what a person can try, if there is something.
    pub const fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Truncated | Self::ChunkCorrupt(_) => {
                "fetch the envelope again: it is incomplete or was changed"
            }
            Self::HeaderCorrupt => {
                "fetch the envelope again: its first bytes were changed, perhaps by a transfer in text mode"
            }
            Self::NotAnEnvelope => "envelopes made by IBM's programs can only be opened with those",
            Self::UnsupportedVersion(_)
            | Self::UnsupportedSuite { .. }
            | Self::UnsupportedFlags(_) => "a newer version of this program may open it",
            Self::LimitExceeded(Limit::Ceiling { .. }) => {
                "if you trust who made it, allow more memory for the key"
            }
            Self::BadPassphrase => {
                "upper and lower case count; files of one set may have different passphrases"
            }
            Self::Passphrase(_) => "use 1 to 1024 bytes of text",
            Self::OutOfMemory => "end other programs, or open it on a machine with more memory",
            Self::SourceChanged(_) => "wait until nobody writes the file, then start again",
            Self::LimitExceeded(_) | Self::Cancelled | Self::NoRandomness | Self::Misuse(_) => {
                return None;
            }
        })
    }
}
