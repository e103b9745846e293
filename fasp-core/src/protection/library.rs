//! AES-GCM of two libraries, which give the same bytes.

use crate::wire::header::TAG_SIZE;

/// Who computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    /// Has vector code for AVX2 at most (0.17).
    Ring,
    /// Has vector code for AVX-512 (1.19).
    AwsLc,
}

impl Library {
    pub(super) const ALL: [Self; 2] = [Self::Ring, Self::AwsLc];
}

/// A key of AES-128-GCM or AES-256-GCM.
pub(super) enum Key {
    Ring(Box<ring::aead::LessSafeKey>),
    AwsLc(aws_lc_rs::aead::LessSafeKey),
}

impl Key {
    /// Takes 16 bytes for AES-128-GCM or 32 for AES-256-GCM.
    pub(super) fn new(library: Library, bytes: &[u8]) -> Self {
        let is_short = bytes.len() == 16;
        match library {
            Library::Ring => {
                use ring::aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, UnboundKey};
                let algorithm = if is_short { &AES_128_GCM } else { &AES_256_GCM };
                // The schedule makes keys of exactly the algorithm's length.
                let key = UnboundKey::new(algorithm, bytes).expect("16 or 32 bytes");
                Self::Ring(Box::new(LessSafeKey::new(key)))
            }
            Library::AwsLc => {
                use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, UnboundKey};
                let algorithm = if is_short { &AES_128_GCM } else { &AES_256_GCM };
                // As above.
                let key = UnboundKey::new(algorithm, bytes).expect("16 or 32 bytes");
                Self::AwsLc(LessSafeKey::new(key))
            }
        }
    }

    /// Encrypts in place and returns the tag.
    pub(super) fn seal(&self, nonce: [u8; 12], aad: &[u8], body: &mut [u8]) -> [u8; TAG_SIZE] {
        let mut bytes = [0; TAG_SIZE];
        // Sealing fails only above 64 GiB.
        const LIMIT: &str = "a datagram is far below the AEAD's limit";
        match self {
            Self::Ring(key) => {
                use ring::aead::{Aad, Nonce};
                let nonce = Nonce::assume_unique_for_key(nonce);
                let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(aad), body);
                bytes.copy_from_slice(sealed.expect(LIMIT).as_ref());
            }
            Self::AwsLc(key) => {
                use aws_lc_rs::aead::{Aad, Nonce};
                let nonce = Nonce::assume_unique_for_key(nonce);
                let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(aad), body);
                bytes.copy_from_slice(sealed.expect(LIMIT).as_ref());
            }
        }
        bytes
    }

    /// Decrypts in place; on failure the body holds nothing that may be used.
    pub(super) fn open(
        &self,
        nonce: [u8; 12],
        aad: &[u8],
        body: &mut [u8],
        tag: [u8; TAG_SIZE],
    ) -> bool {
        match self {
            Self::Ring(key) => {
                use ring::aead::{Aad, Nonce, Tag};
                let (nonce, tag) = (Nonce::assume_unique_for_key(nonce), Tag::from(tag));
                key.open_in_place_separate_tag(nonce, Aad::from(aad), tag, body, 0..)
                    .is_ok()
            }
            Self::AwsLc(key) => {
                use aws_lc_rs::aead::{Aad, Nonce};
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.open_in_place_separate_tag(nonce, Aad::from(aad), &tag, body)
                    .is_ok()
            }
        }
    }
}
