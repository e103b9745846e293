//! Whether a server is the right one: its host key against the list, a pin, or a person's word (H-5).

use std::{fmt, sync::Arc};

use russh::keys::{Algorithm, HashAlg, PublicKey};

use crate::{
    Error,
    control::known_hosts::{KnownHosts, Verdict},
};

/// A question to a person about a host seen for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstUseQuestion {
    /// The host as it was named.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Fingerprint of the key it shows, `SHA256:…`.
    pub fingerprint: String,
}

/// What to do about a host that is not on the list yet (H-5).
#[derive(Clone)]
pub enum FirstUse {
    /// Give up.
    Refuse,
    /// Trust the key and write it down.
    AcceptNew,
    /// Ask a person; a yes is written down. Called on a thread that may block.
    Ask(Arc<dyn Fn(&FirstUseQuestion) -> bool + Send + Sync>),
}

impl fmt::Debug for FirstUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refuse => "Refuse",
            Self::AcceptNew => "AcceptNew",
            Self::Ask(_) => "Ask",
        })
    }
}

/// How the server proves that it is the right one.
#[derive(Debug, Clone)]
pub enum HostKeyCheck {
    /// By the list of known hosts.
    Known {
        /// The list.
        hosts: KnownHosts,
        /// What to do when it says nothing.
        first_use: FirstUse,
    },
    /// By this fingerprint alone: `SHA256:` and base64, or 64 hexadecimal digits, as a transfer spec's `sshfp` has it.
    Pinned(String),
}

/// Returns the key type without the hash that RSA signatures name beside it.
pub(super) fn family(algorithm: &Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

/// The host whose key is to be checked.
pub(in crate::control) struct Trust {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) check: HostKeyCheck,
}

impl Trust {
    /// Returns the types of key on record; nothing for a pin.
    pub(super) async fn known_types(&self) -> Result<Vec<Algorithm>, Error> {
        let HostKeyCheck::Known { hosts, .. } = &self.check else {
            return Ok(Vec::new());
        };
        let (hosts, host, port) = (hosts.clone(), self.host.clone(), self.port);
        let types = blocking(move || hosts.key_types(&host, port)).await?;
        Ok(types.iter().map(family).collect())
    }

    /// Returns the error for a server that has no key of a type on record.
    pub(super) fn changed_type_error(&self, known_types: &[Algorithm]) -> Option<Error> {
        let HostKeyCheck::Known { hosts, .. } = &self.check else {
            return None;
        };
        let shown = "a key of another type".to_owned();
        (!known_types.is_empty()).then(|| self.changed(shown, hosts, None))
    }

    /// Whether this key, as known-hosts files have it, is the right one; asks nobody and writes nothing. Blocks.
    pub(in crate::control) fn trusts(&self, key: &str) -> bool {
        let Ok(key) = PublicKey::from_openssh(key) else {
            return false;
        };
        match &self.check {
            HostKeyCheck::Pinned(pin) => {
                let fingerprint = key.fingerprint(HashAlg::Sha256);
                pin_matches(pin, &fingerprint.to_string(), fingerprint.as_bytes())
            }
            HostKeyCheck::Known { hosts, .. } => {
                let verdict = hosts.check(&self.host, self.port, &key);
                verdict.is_ok_and(|verdict| verdict == Verdict::Known)
            }
        }
    }

    fn changed(&self, shown: String, hosts: &KnownHosts, line: Option<usize>) -> Error {
        let path = hosts.path().display();
        let place = line.map_or_else(|| path.to_string(), |line| format!("line {line} of {path}"));
        let token = match self.port {
            22 => self.host.clone(),
            port => format!("[{}]:{port}", self.host),
        };
        Error::HostKeyChanged {
            host: self.host.clone(),
            shown,
            remedy: format!(
                "somebody may be intercepting the connection; the expected key is in {place}; if the server's owner \
                 confirms the change, remove it with: ssh-keygen -R '{token}' -f '{path}'"
            ),
        }
    }

    /// Accepts or refuses the key that the server shows; a key that is new and accepted is written down.
    pub(super) async fn verify(&self, key: &PublicKey) -> Result<(), Error> {
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        match &self.check {
            HostKeyCheck::Pinned(pin) => {
                if pin_matches(pin, &fingerprint.to_string(), fingerprint.as_bytes()) {
                    return Ok(());
                }
                Err(Error::HostKeyChanged {
                    host: self.host.clone(),
                    shown: fingerprint.to_string(),
                    remedy: format!("the fingerprint asked for is {pin}"),
                })
            }
            HostKeyCheck::Known { hosts, first_use } => {
                self.verify_known(key, fingerprint.to_string(), hosts, first_use)
                    .await
            }
        }
    }

    async fn verify_known(
        &self,
        key: &PublicKey,
        shown: String,
        hosts: &KnownHosts,
        first_use: &FirstUse,
    ) -> Result<(), Error> {
        let (list, host, port, candidate) =
            (hosts.clone(), self.host.clone(), self.port, key.clone());
        match blocking(move || list.check(&host, port, &candidate)).await? {
            Verdict::Known => return Ok(()),
            Verdict::Changed { line } | Verdict::Revoked { line } => {
                return Err(self.changed(shown, hosts, Some(line)));
            }
            Verdict::Unknown => {}
        }
        if !self.confirmed(&shown, first_use).await {
            return Err(Error::HostKeyUnconfirmed {
                host: self.host.clone(),
                shown,
            });
        }
        let (list, host, port, key) = (hosts.clone(), self.host.clone(), self.port, key.clone());
        blocking(move || list.add(&host, port, &key)).await
    }

    async fn confirmed(&self, shown: &str, first_use: &FirstUse) -> bool {
        match first_use {
            FirstUse::Refuse => false,
            FirstUse::AcceptNew => true,
            FirstUse::Ask(ask) => {
                let question = FirstUseQuestion {
                    host: self.host.clone(),
                    port: self.port,
                    fingerprint: shown.to_owned(),
                };
                let ask = Arc::clone(ask);
                let asked = tokio::task::spawn_blocking(move || ask(&question)).await;
                asked.unwrap_or(false)
            }
        }
    }
}

/// Compares a pin in either spelling. Fingerprints are public, so time gives nothing away.
fn pin_matches(pin: &str, shown: &str, digest: &[u8]) -> bool {
    let pin = pin.trim();
    if pin.starts_with("SHA256:") {
        return pin.trim_end_matches('=') == shown;
    }
    let digits: String = pin.chars().filter(|c| *c != ':').collect();
    let decoded = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
    decoded.is_ok_and(|decoded| decoded == digest)
}

/// Runs file access on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Error::ConnectionLost(None)))
}
