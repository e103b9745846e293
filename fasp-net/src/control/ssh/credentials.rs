//! What a client can prove itself with, and where it comes from.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use russh::keys::{HashAlg, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::{
    Error,
    control::user_file::{self, Privacy},
};

/// A text that is wiped when dropped and never printed (C-4).
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a secret over.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Asks a person for a secret; the text says for what. `None` when the person declines. Called on a thread that may block.
#[derive(Clone)]
pub struct Prompt(Arc<dyn Ask>);

/// A function that can be a [`Prompt`].
trait Ask: Fn(&str) -> Option<Secret> + Send + Sync {}

impl<F: Fn(&str) -> Option<Secret> + Send + Sync> Ask for F {}

impl Prompt {
    /// Makes a prompt of a function.
    pub fn new(ask: impl Fn(&str) -> Option<Secret> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub(super) async fn ask(&self, question: String) -> Option<Secret> {
        let ask = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || ask(&question)).await;
        asked.ok().flatten()
    }
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prompt")
    }
}

/// A private key and where it is.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// In a file, OpenSSH or PEM; refused when others may read it (C-3).
    File(PathBuf),
    /// In a text, as `ASPERA_SCP_KEY` holds it.
    Text(Secret),
}

/// A password and where it comes from.
#[derive(Debug, Clone)]
pub enum PasswordSource {
    /// Known already.
    Given(Secret),
    /// Asked for when everything else has failed.
    Ask(Prompt),
}

/// Everything to try, in this order: `keys`, `agent`, `default_keys`, `password`.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Keys the user named. A mistake in one of them is an error.
    pub keys: Vec<KeySource>,
    /// Socket of an ssh-agent.
    pub agent: Option<PathBuf>,
    /// Keys to use when they are there and readable.
    pub default_keys: Vec<PathBuf>,
    /// The password.
    pub password: Option<PasswordSource>,
    /// Asks for the passphrase of an encrypted key; default keys that need one are asked for as well.
    pub passphrase: Option<Prompt>,
}

impl Credentials {
    /// Collects what the environment offers: `ASPERA_SCP_KEY`, `SSH_AUTH_SOCK`, the usual files below `home`,
    /// `ASPERA_SCP_PASS`.
    ///
    /// `lookup` reads a variable. The caller removes the secret ones from the process's environment (C-4), which only a
    /// program's first lines can do safely.
    pub fn from_environment(home: &Path, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let present = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let key = present("ASPERA_SCP_KEY").map(|text| KeySource::Text(Secret::new(text)));
        let ssh = home.join(".ssh");
        Self {
            keys: key.into_iter().collect(),
            agent: present("SSH_AUTH_SOCK").map(PathBuf::from),
            default_keys: ["id_ed25519", "id_ecdsa", "id_rsa"]
                .iter()
                .map(|name| ssh.join(name))
                .collect(),
            password: present("ASPERA_SCP_PASS")
                .map(|text| PasswordSource::Given(Secret::new(text))),
            passphrase: None,
        }
    }

    /// Reads a key the user named.
    pub(super) async fn load(&self, source: &KeySource) -> Result<PrivateKey, Error> {
        match source {
            KeySource::File(path) => {
                let text = read_key(path)
                    .await?
                    .ok_or_else(|| user_file::user_file(path, "there is no such file"))?;
                self.decode(&text, path).await
            }
            KeySource::Text(text) => {
                let name = Path::new("ASPERA_SCP_KEY");
                self.decode(text.expose(), name).await
            }
        }
    }

    /// Reads a default key; `None` when it is missing or cannot be used.
    pub(super) async fn load_default(&self, path: &Path) -> Option<PrivateKey> {
        let text = read_key(path).await.ok().flatten()?;
        self.decode(&text, path).await.ok()
    }

    /// Returns what a log-in with these would be let in by, as far as that can be said without asking anybody.
    pub(in crate::control) async fn labels(&self) -> Labels {
        let mut keys = Vec::new();
        for source in &self.keys {
            keys.extend(match source {
                KeySource::File(path) => public_label(path).await,
                KeySource::Text(text) => public_key(text.expose()).map(|key| key_label(&key)),
            });
        }
        // Whoever names a key means that one.
        let is_named = !self.keys.is_empty();
        if !is_named {
            for path in &self.default_keys {
                keys.extend(public_label(path).await);
            }
        }
        Labels {
            keys,
            agent: !is_named && self.agent.is_some(),
            asked: !is_named && matches!(self.password, Some(PasswordSource::Ask(_))),
        }
    }

    async fn decode(&self, text: &str, path: &Path) -> Result<PrivateKey, Error> {
        let encrypted = match russh::keys::decode_secret_key(text, None) {
            Ok(key) => return Ok(key),
            Err(e) => matches!(e, russh::keys::Error::KeyIsEncrypted),
        };
        if !encrypted {
            return Err(user_file::user_file(path, "this is not a private key"));
        }
        let question = format!("passphrase of {}", path.display());
        let passphrase = match &self.passphrase {
            Some(prompt) => prompt.ask(question).await,
            None => None,
        };
        let Some(passphrase) = passphrase else {
            let reason = "the key is encrypted and no passphrase was given";
            return Err(user_file::user_file(path, reason));
        };
        let (text, path) = (Zeroizing::new(text.to_owned()), path.to_owned());
        // The key derivation is slow on purpose.
        let decoded = tokio::task::spawn_blocking(move || {
            russh::keys::decode_secret_key(&text, Some(passphrase.expose())).ok()
        });
        let key = decoded.await.ok().flatten();
        key.ok_or_else(|| user_file::user_file(&path, "the passphrase is wrong"))
    }
}

/// What let a user in, or would: names a credential without giving it away.
#[derive(Debug)]
pub(in crate::control) struct Labels {
    keys: Vec<String>,
    agent: bool,
    asked: bool,
}

/// A password that a person was asked for.
pub(super) const ASKED: &str = "asked";

impl Labels {
    /// Whether a log-in would try the credential of this label.
    pub(in crate::control) fn admits(&self, label: &str) -> bool {
        self.keys.iter().any(|key| key == label)
            || self.agent && label.starts_with("agent ")
            || self.asked && label == ASKED
    }
}

/// Names a key from a file or a text.
pub(super) fn key_label(key: &PublicKey) -> String {
    format!("key {}", key.fingerprint(HashAlg::Sha256))
}

/// Names a key of an agent.
pub(super) fn agent_label(key: &PublicKey) -> String {
    format!("agent {}", key.fingerprint(HashAlg::Sha256))
}

/// Returns the public half of a private key, which OpenSSH's format has in the clear.
fn public_key(text: &str) -> Option<PublicKey> {
    let key = PrivateKey::from_openssh(text).ok();
    let key = key.or_else(|| russh::keys::decode_secret_key(text, None).ok())?;
    Some(key.public_key().clone())
}

async fn public_label(path: &Path) -> Option<String> {
    let text = read_key(path).await.ok().flatten()?;
    public_key(&text).map(|key| key_label(&key))
}

async fn read_key(path: &Path) -> Result<Option<Zeroizing<String>>, Error> {
    let path = path.to_owned();
    let owned = path.clone();
    tokio::task::spawn_blocking(move || user_file::read(&owned, Privacy::Secret))
        .await
        .unwrap_or_else(|e| Err(user_file::user_file(&path, e.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_secrets_never_print() {
        let credentials = Credentials::from_environment(Path::new("/home/u"), |name| {
            Some(format!("value of {name}"))
        });
        let text = format!("{credentials:?}");
        assert!(
            text.contains("***") && !text.contains("value of ASPERA"),
            "{text}"
        );
        assert_eq!(credentials.agent, Some("value of SSH_AUTH_SOCK".into()));
        assert_eq!(
            credentials.default_keys[0],
            Path::new("/home/u/.ssh/id_ed25519")
        );
    }
}
