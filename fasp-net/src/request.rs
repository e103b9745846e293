//! What a caller may decide about a transfer.

use std::net::SocketAddr;

use fasp_core::{DatagramCipher, Rate, RatePolicy};
use transfer_spec::{OverwritePolicy, Preserve, ResumePolicy, SymlinkPolicy};

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
    pub overwrite: OverwritePolicy,
    /// Whether a partial file is continued.
    pub resume: ResumePolicy,
    /// What happens to symbolic links at the source.
    pub symlinks: SymlinkPolicy,
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
    /// Where datagrams go instead of the server's own address and UDP port: a forwarded port or a relay in front of
    /// it.
    pub data_address: Option<SocketAddr>,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            overwrite: OverwritePolicy::default(),
            resume: ResumePolicy::default(),
            symlinks: SymlinkPolicy::default(),
            preserve: Preserve::default(),
            create_dir: false,
            target_rate: None,
            min_rate: Rate::ZERO,
            policy: RatePolicy::default(),
            ciphers: vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm],
            datagram_max: None,
            sessions: 1,
            data_address: None,
        }
    }
}
