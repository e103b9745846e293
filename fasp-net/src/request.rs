//! What a caller may decide about a transfer.

use std::net::SocketAddr;
use std::time::Duration;

use docroot::Suffixes;
use fasp_core::{DatagramCipher, Rate, RatePolicy};
use transfer_spec::{FileRules, OverwritePolicy, Preserve, ResumePolicy, SymlinkPolicy};

/// The most sessions one transfer may use (protocol §12).
pub const MAX_SESSIONS: u8 = 16;

/// The most sessions of [`Sessions::Auto`].
pub const AUTO_SESSIONS: u8 = 3;

/// Files of this size and more are split between sessions, bytes, unless the caller says otherwise.
pub const SPLIT_THRESHOLD: u64 = 60 << 20;

/// How many sessions carry a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sessions {
    /// One, and up to [`AUTO_SESSIONS`] when it is faster than [`Sessions::TRIGGER`] and this machine has two
    /// processors for each.
    Auto,
    /// This many, 1 to [`MAX_SESSIONS`]; fewer where the server grants no more or there is nothing for them to do.
    Exactly(u8),
}

impl Sessions {
    /// The rate above which [`Sessions::Auto`] starts another session.
    pub const TRIGGER: Rate = Rate::from_mbps(700);
    /// The time between two such starts.
    pub const INTERVAL: Duration = Duration::from_secs(1);

    /// How many there may be, at least 1.
    pub fn most(self) -> u8 {
        match self {
            // One session keeps about two processors busy: the session thread of either end, or its storage.
            Self::Auto => {
                let processors = std::thread::available_parallelism().map_or(1, usize::from);
                u8::try_from(processors / 2)
                    .unwrap_or(AUTO_SESSIONS)
                    .clamp(1, AUTO_SESSIONS)
            }
            Self::Exactly(count) => count.clamp(1, MAX_SESSIONS),
        }
    }
}

/// The smallest datagram a caller may force, bytes of UDP payload (protocol §8.3).
pub const DATAGRAM_MIN: u16 = 1200;

/// The largest datagram a caller may force, bytes of UDP payload (protocol §12).
pub const DATAGRAM_MAX: u16 = 9216;

/// The policies of one transfer. The default is safe and needs no tuning: resume on, encryption on, the
/// rate found by measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOptions {
    /// What happens to a file that exists at the destination.
    pub overwrite: OverwritePolicy,
    /// Whether a partial file is continued.
    pub resume: ResumePolicy,
    /// What happens to symbolic links at the source.
    pub symlinks: SymlinkPolicy,
    /// How unfinished files end on this side: a download makes such, and an upload leaves such names out.
    pub suffixes: Suffixes,
    /// Which attributes the destination gets.
    pub preserve: Preserve,
    /// Whether a missing destination directory is created.
    pub create_dir: bool,
    /// Which files are sent, under which names, and what becomes of those that are there.
    pub files: FileRules,
    /// What the sender may reach; `None` is found by measurement.
    pub target_rate: Option<Rate>,
    /// What the sender keeps even under congestion; [`Rate::ZERO`] for none.
    pub min_rate: Rate,
    /// How the link is shared; `None` leaves it to the server, which shares fairly unless it is told otherwise.
    pub policy: Option<RatePolicy>,
    /// The ciphers this side accepts, best first; never empty.
    pub ciphers: Vec<DatagramCipher>,
    /// The largest datagram, bytes of UDP payload; `None` lets the path decide.
    pub datagram_max: Option<u16>,
    /// Parallel sessions.
    pub sessions: Sessions,
    /// Files of this size and more are split between them, bytes; 0 is never.
    pub split_threshold: u64,
    /// Where datagrams go instead of the server's own address and UDP port: a forwarded port or a relay in front of
    /// it.
    pub data_address: Option<SocketAddr>,
}

impl TransferOptions {
    /// From which size on files are split, bytes; 0 is never. Where content is compared first, files stay whole: a part
    /// cannot say whether the file is left alone (protocol §14.4).
    pub(crate) fn split_from(&self) -> u64 {
        match self.resume {
            ResumePolicy::None | ResumePolicy::Attributes => self.split_threshold,
            ResumePolicy::SparseChecksum | ResumePolicy::FullChecksum => 0,
        }
    }
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            overwrite: OverwritePolicy::default(),
            resume: ResumePolicy::default(),
            symlinks: SymlinkPolicy::default(),
            suffixes: Suffixes::default(),
            preserve: Preserve::default(),
            create_dir: false,
            files: FileRules::default(),
            target_rate: None,
            min_rate: Rate::ZERO,
            policy: None,
            ciphers: vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm],
            datagram_max: None,
            sessions: Sessions::Exactly(1),
            split_threshold: SPLIT_THRESHOLD,
            data_address: None,
        }
    }
}
