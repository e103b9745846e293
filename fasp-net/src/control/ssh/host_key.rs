//! The key by which a server is recognised.

use std::{fmt, path::Path};

use ring::rand::{SecureRandom as _, SystemRandom};
use russh::keys::{
    HashAlg, PrivateKey, PublicKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};
use zeroize::Zeroizing;

use crate::{
    Error,
    control::user_file::{self, Privacy},
};

/// A server's private host key.
#[derive(Clone)]
pub struct HostKey(pub(super) PrivateKey);

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({})", self.fingerprint())
    }
}

impl HostKey {
    /// Makes a fresh Ed25519 key that lives in memory only.
    ///
    /// # Errors
    /// A message when the operating system gives no random numbers.
    pub fn generate() -> Result<Self, String> {
        let mut seed = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(seed.as_mut())
            .map_err(|_| "no random numbers".to_owned())?;
        Ok(Self(PrivateKey::from(Ed25519Keypair::from_seed(&seed))))
    }

    /// Reads the key, or makes one and stores it with mode 0600 when there is none.
    ///
    /// # Errors
    /// [`Error::UserFile`] when the file is readable by others (C-3), not a key, or cannot be written.
    pub fn load_or_create(path: &Path) -> Result<Self, Error> {
        let failed = |reason: String| user_file::user_file(path, reason);
        if let Some(text) = user_file::read(path, Privacy::Secret)? {
            let key = russh::keys::decode_secret_key(&text, None);
            return key.map(Self).map_err(|e| failed(e.to_string()));
        }
        let key = Self::generate().map_err(failed)?;
        let text = key
            .0
            .to_openssh(LineEnding::LF)
            .map_err(|e| failed(e.to_string()))?;
        user_file::write(path, text.as_bytes())?;
        Ok(key)
    }

    /// Returns the public half, as known-hosts files hold it.
    pub fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    /// Returns the fingerprint, `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.public_key().fingerprint(HashAlg::Sha256).to_string()
    }
}
