//! The keys between a passphrase and a chunk, and how a file key is wrapped (docs/envelope.md, "Keys").

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::error::{Error, Result};
use crate::header::{Header, Prefix, Wrapping};
use crate::kdf::KdfParams;
use crate::secret::SecretBytes;

/// The keys of one batch: what Argon2id made of a passphrase and a salt. They wrap file keys.
#[derive(Debug)]
pub struct Kek {
    params: KdfParams,
    mac: SecretBytes<32>,
    enc: SecretBytes<32>,
}

impl Kek {
    pub(crate) fn new(params: KdfParams, kek: &SecretBytes<32>) -> Self {
        Self {
            params,
            mac: expand(kek.as_bytes(), &[b"AENVv1 wrap mac"]),
            enc: expand(kek.as_bytes(), &[b"AENVv1 wrap enc"]),
        }
    }

    /// Returns the salt and cost it was derived with.
    pub fn params(&self) -> &KdfParams {
        &self.params
    }

    /// Wraps a file key: deterministic, authenticated, bound to everything before it in the header.
    pub(crate) fn wrap(&self, prefix: &Prefix, file_key: &FileKey) -> Wrapping {
        let v = hmac(self.mac.as_bytes(), &[prefix, file_key.0.as_bytes()]);
        let mut w = self.pad(&v);
        for (byte, key) in w.iter_mut().zip(file_key.0.as_bytes()) {
            *byte ^= key;
        }
        Wrapping { v, w }
    }

    /// Unwraps the file key of a header.
    ///
    /// # Errors
    /// [`Error::BadPassphrase`] unless the header was made with these very keys; compared in constant time.
    pub(crate) fn unwrap(&self, header: &Header) -> Result<FileKey> {
        let Wrapping { v, w } = header.wrapping();
        let pad = self.pad(&v);
        let mut key = SecretBytes::zeroed();
        for ((key, w), pad) in key.as_mut_bytes().iter_mut().zip(w).zip(pad) {
            *key = w ^ pad;
        }
        let expected = hmac(self.mac.as_bytes(), &[header.prefix(), key.as_bytes()]);
        if bool::from(expected.ct_eq(&v)) {
            Ok(FileKey(key))
        } else {
            Err(Error::BadPassphrase)
        }
    }

    fn pad(&self, v: &[u8; 32]) -> [u8; 32] {
        hmac(self.enc.as_bytes(), &[v])
    }
}

/// The random key of one file. New for every file, never used for another.
#[derive(Debug)]
pub(crate) struct FileKey(SecretBytes<32>);

impl FileKey {
    pub(crate) fn random() -> Result<Self> {
        let mut key = SecretBytes::zeroed();
        getrandom::fill(key.as_mut_bytes()).map_err(|_| Error::NoRandomness)?;
        Ok(Self(key))
    }

    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn given(bytes: [u8; 32]) -> Self {
        let mut key = SecretBytes::zeroed();
        *key.as_mut_bytes() = bytes;
        Self(key)
    }

    /// Derives the key and the base nonce of the chunks; `suite` is bytes 8 to 11 of the header.
    pub(crate) fn payload(&self, suite: &[u8]) -> SecretBytes<44> {
        expand(self.0.as_bytes(), &[b"AENVv1 payload", suite])
    }
}

/// HKDF-Expand-SHA-256 (RFC 5869 §2.3).
fn expand<const N: usize>(key: &[u8; 32], info: &[&[u8]]) -> SecretBytes<N> {
    const { assert!(N <= 255 * 32, "the longest output of HKDF") };
    let mut out = SecretBytes::zeroed();
    Hkdf::<Sha256>::from_prk(key)
        .expect("the key is as long as the hash")
        .expand_multi_info(info, out.as_mut_bytes())
        .expect("the output is below the limit above");
    out
}

/// HMAC-SHA-256 over parts, one behind the other (RFC 2104).
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256>>::new_from_slice(key).expect("HMAC takes keys of every length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
#[path = "keys/tests.rs"]
mod tests;
