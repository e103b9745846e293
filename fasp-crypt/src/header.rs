//! The 104 bytes before the chunks.

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::kdf::{Cost, KdfParams, MemoryCeiling};
use crate::layout::{ChunkSize, Layout};

/// The length of a header, in bytes.
pub const HEADER_LEN: usize = 104;

/// The first bytes; they do not survive a transfer in text mode.
const MAGIC: [u8; 8] = *b"\x89AENV\r\n\x1a";
const VERSION: u8 = 1;
/// AES-256-GCM chunks, HMAC and HKDF with SHA-256.
const SUITE: u8 = 1;
const FLAGS: u8 = 0;
/// Argon2id, version 0x13.
const KDF: u8 = 1;

const PREFIX_LEN: usize = 32;
const SUM_AT: usize = 96;

/// Everything in a header that the wrapping of the file key authenticates.
pub(crate) type Prefix = [u8; PREFIX_LEN];

/// The file key as it stands in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wrapping {
    /// Tag over prefix and file key, and the start of the pad.
    pub(crate) v: [u8; 32],
    /// The file key, padded.
    pub(crate) w: [u8; 32],
}

/// A header that is well formed: right magic, version, checksum, suite and limits. Whether a passphrase opens it is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    bytes: [u8; HEADER_LEN],
    chunk: ChunkSize,
    kdf: KdfParams,
}

impl Header {
    /// Reads the first bytes of an envelope; what follows the header is not looked at.
    ///
    /// Nothing is allocated and no key derived. `ceiling` is what the caller is ready to spend on the key.
    ///
    /// # Errors
    /// In this order [`Error::Truncated`], [`Error::NotAnEnvelope`], [`Error::UnsupportedVersion`],
    /// [`Error::HeaderCorrupt`], [`Error::UnsupportedSuite`], [`Error::UnsupportedFlags`], [`Error::LimitExceeded`].
    pub fn parse(bytes: &[u8], ceiling: MemoryCeiling) -> Result<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(Error::Truncated)?;
        if bytes[..8] != MAGIC {
            return Err(Error::NotAnEnvelope);
        }
        if bytes[8] != VERSION {
            return Err(Error::UnsupportedVersion(bytes[8]));
        }
        if bytes[SUM_AT..] != checksum(bytes) {
            return Err(Error::HeaderCorrupt);
        }
        let [suite, chunk_log2, flags, kdf, memory_log2, passes, lanes] =
            [9, 10, 11, 12, 13, 14, 15].map(|at: usize| bytes[at]);
        if suite != SUITE || kdf != KDF {
            return Err(Error::UnsupportedSuite { suite, kdf });
        }
        if flags != FLAGS {
            return Err(Error::UnsupportedFlags(flags));
        }
        let chunk = ChunkSize::from_log2(chunk_log2)?;
        let cost = Cost::from_header(memory_log2, passes, lanes)?;
        ceiling.check(cost)?;
        let salt = part(bytes, 16);
        Ok(Self {
            bytes: *bytes,
            chunk,
            kdf: KdfParams { cost, salt },
        })
    }

    /// Builds a header; `wrap` makes the wrapping of what comes before it.
    pub(crate) fn build(
        chunk: ChunkSize,
        kdf: KdfParams,
        wrap: impl FnOnce(&Prefix) -> Wrapping,
    ) -> Self {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..13].copy_from_slice(&[VERSION, SUITE, chunk.log2(), FLAGS, KDF]);
        bytes[13..PREFIX_LEN].copy_from_slice(&kdf.to_header());
        let Wrapping { v, w } = wrap(&part(&bytes, 0));
        bytes[32..64].copy_from_slice(&v);
        bytes[64..SUM_AT].copy_from_slice(&w);
        let sum = checksum(&bytes);
        bytes[SUM_AT..].copy_from_slice(&sum);
        Self { bytes, chunk, kdf }
    }

    /// Returns the bytes as they stand in the file.
    pub const fn as_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.bytes
    }

    /// Returns the chunk size.
    pub const fn chunk_size(&self) -> ChunkSize {
        self.chunk
    }

    /// Returns salt and cost of the key derivation.
    pub const fn kdf(&self) -> &KdfParams {
        &self.kdf
    }

    /// Finds the layout of the envelope from its length.
    ///
    /// # Errors
    /// [`Error::Truncated`] for a length no envelope has, [`Error::LimitExceeded`].
    pub const fn layout(&self, envelope_len: u64) -> Result<Layout> {
        Layout::for_envelope(self.chunk, envelope_len)
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        &self.bytes[..PREFIX_LEN]
    }

    /// Version, suite, chunk size and flags: what the payload key is bound to, and a change of passphrase keeps.
    pub(crate) fn suite(&self) -> &[u8] {
        &self.bytes[8..12]
    }

    pub(crate) fn wrapping(&self) -> Wrapping {
        Wrapping {
            v: part(&self.bytes, 32),
            w: part(&self.bytes, 64),
        }
    }
}

/// Returns the `N` bytes at `at`.
fn part<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[at + i])
}

/// Tells accidents from a wrong passphrase; it has no secret and protects against nothing else.
fn checksum(bytes: &[u8; HEADER_LEN]) -> [u8; HEADER_LEN - SUM_AT] {
    let digest = Sha256::new()
        .chain_update(b"AENVv1 header sum")
        .chain_update(&bytes[..SUM_AT])
        .finalize();
    std::array::from_fn(|i| digest[i])
}

/// Repairs the checksum of a header that a test has changed.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn repair_checksum(bytes: &mut [u8]) {
    if let Some(header) = bytes.first_chunk_mut::<HEADER_LEN>() {
        let sum = checksum(header);
        header[SUM_AT..].copy_from_slice(&sum);
    }
}
