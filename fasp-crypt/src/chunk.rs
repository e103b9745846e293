//! The AEAD behind one small type: AES-256-GCM, sealed and opened in place.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use zeroize::Zeroize as _;

use crate::header::Header;
use crate::keys::FileKey;
use crate::layout::TAG_LEN;
use crate::secret::SecretBytes;

/// The tag of one chunk, as it stands in the envelope. No secret.
pub type ChunkTag = [u8; TAG_LEN];

/// Seals and opens the chunks of one file.
pub(crate) struct ChunkCipher {
    key: LessSafeKey,
    base_nonce: SecretBytes<12>,
}

impl ChunkCipher {
    pub(crate) fn new(file_key: &FileKey, header: &Header) -> Self {
        let payload = file_key.payload(header.suite());
        let (key, nonce) = payload.as_bytes().split_at(32);
        let mut base_nonce = SecretBytes::zeroed();
        base_nonce.as_mut_bytes().copy_from_slice(nonce);
        Self {
            key: aes_256_gcm(key),
            base_nonce,
        }
    }

    /// Encrypts `body` in place and returns its tag.
    pub(crate) fn seal(&self, index: u64, body: &mut [u8]) -> ChunkTag {
        seal(&self.key, self.nonce(index), &[], body)
    }

    /// Decrypts a chunk and its tag in place. On failure the buffer holds zeros (rule E-7).
    #[must_use]
    pub(crate) fn open(&self, index: u64, body: &mut [u8], tag: ChunkTag) -> bool {
        open(&self.key, self.nonce(index), &[], body, tag)
    }

    fn nonce(&self, index: u64) -> [u8; 12] {
        let mut nonce = *self.base_nonce.as_bytes();
        for (byte, n) in nonce[4..].iter_mut().zip(index.to_be_bytes()) {
            *byte ^= n;
        }
        nonce
    }
}

impl fmt::Debug for ChunkCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

fn aes_256_gcm(key: &[u8]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key).expect("the key schedule gives 32 bytes");
    LessSafeKey::new(key)
}

fn seal(key: &LessSafeKey, nonce: [u8; 12], aad: &[u8], body: &mut [u8]) -> ChunkTag {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(aad), body)
        .expect("sealing fails only above 64 GiB, and a chunk has 32 MiB at most");
    std::array::from_fn(|i| tag.as_ref()[i])
}

fn open(key: &LessSafeKey, nonce: [u8; 12], aad: &[u8], body: &mut [u8], tag: ChunkTag) -> bool {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let opened = key
        .open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(tag), body, 0..)
        .is_ok();
    if !opened {
        body.zeroize();
    }
    opened
}

#[cfg(test)]
#[path = "chunk/tests.rs"]
mod tests;
