//! What a caller may decide about a transfer.

use fasp_core::{DatagramCipher, Rate, RatePolicy};

/// The most sessions one transfer may use: what the field's tools accept.
pub const MAX_SESSIONS: u8 = 128;

/// The smallest datagram a caller may force, bytes of UDP payload (protocol §8.3).
pub const DATAGRAM_MIN: u16 = 1200;

/// The largest datagram a caller may force, bytes of UDP payload (protocol §12).
pub const DATAGRAM_MAX: u16 = 9216;

/// The policies of one transfer. The default is safe and needs no tuning: resume on, encryption on, the
/// rate found by measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOptions {
    /// What happens to a file that exists at the destination.
    pub overwrite: Overwrite,
    /// Whether a partial file is continued.
    pub resume: Resume,
    /// What happens to symbolic links at the source.
    pub symlinks: Symlinks,
    /// Which attributes the destination gets.
    pub preserve: Preserve,
    /// Whether a missing destination directory is created.
    pub create_dir: bool,
    /// What the sender may reach; `None` is found by measurement.
    pub target_rate: Option<Rate>,
    /// What the sender keeps even under congestion; [`Rate::ZERO`] for none.
    pub min_rate: Rate,
    /// How the link is shared.
    pub policy: RatePolicy,
    /// The ciphers this side accepts, best first; never empty.
    pub ciphers: Vec<DatagramCipher>,
    /// The largest datagram, bytes of UDP payload; `None` lets the path decide.
    pub datagram_max: Option<u16>,
    /// Parallel sessions, 1 to [`MAX_SESSIONS`].
    pub sessions: u8,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            overwrite: Overwrite::default(),
            resume: Resume::default(),
            symlinks: Symlinks::default(),
            preserve: Preserve::default(),
            create_dir: false,
            target_rate: None,
            min_rate: Rate::ZERO,
            policy: RatePolicy::default(),
            ciphers: vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm],
            datagram_max: None,
            sessions: 1,
        }
    }
}

/// What happens to a file that exists at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overwrite {
    /// It is kept.
    Never,
    /// It is replaced.
    Always,
    /// It is replaced when it differs from the source.
    #[default]
    Diff,
    /// It is replaced when it is older than the source.
    Older,
    /// It is replaced when it differs and is older than the source.
    DiffOlder,
}

/// Whether a partial file is continued, and what must match first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Resume {
    /// Files start from nothing.
    Off,
    /// Size and modification time of the source.
    Attributes,
    /// As `Attributes`, and a checksum over samples of what is there.
    #[default]
    SparseChecksum,
    /// As `Attributes`, and a checksum over all that is there.
    FullChecksum,
}

/// What happens to symbolic links at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Symlinks {
    /// The file behind the link is transferred.
    #[default]
    Follow,
    /// The link itself is transferred.
    Copy,
    /// The link itself is transferred and replaces what is in its place.
    CopyForce,
    /// Links are left out.
    Skip,
}

/// Which attributes the destination gets from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Preserve {
    /// Modification and access times.
    pub times: bool,
}
