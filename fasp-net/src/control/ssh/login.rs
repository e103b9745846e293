//! Logging in: one credential after the other, until one is accepted.

use std::{sync::Arc, time::Duration};

use russh::{
    client::{AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse},
    keys::{
        Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey,
        agent::{AgentIdentity, client::AgentClient},
    },
};

use super::{
    credentials::{ASKED, Credentials, PasswordSource, agent_label, key_label},
    proof,
};
use crate::Error;

/// Longest wait for the answer to one credential.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait to see that a connection has ended which gave no answer.
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// Keys of an agent that are tried; a server ends the connection after six refusals.
const AGENT_KEYS: usize = 5;

/// Tries credentials one after the other.
pub(super) struct Login<'a, H: Handler> {
    handle: &'a mut Handle<H>,
    user: &'a str,
    host: &'a str,
    /// The binding of the connection, where the server takes a key's proof.
    proving: Option<[u8; 32]>,
    tried: Vec<&'static str>,
    /// The server has said no to something.
    is_refused: bool,
}

impl<'a, H: Handler> Login<'a, H> {
    pub(super) fn new(
        handle: &'a mut Handle<H>,
        user: &'a str,
        host: &'a str,
        proving: Option<[u8; 32]>,
    ) -> Self {
        Self {
            handle,
            user,
            host,
            proving,
            tried: Vec::new(),
            is_refused: false,
        }
    }

    /// Returns once the server has let the user in, with the name of what it was let in by; none for a password that
    /// was known already.
    pub(super) async fn run(&mut self, credentials: &Credentials) -> Result<Option<String>, Error> {
        for source in &credentials.keys {
            let key = credentials.load(source).await?;
            let label = key_label(key.public_key());
            if self.key("the key named", key).await? {
                return Ok(Some(label));
            }
        }
        if let Some(socket) = &credentials.agent
            && let Some(label) = self.agent(socket).await?
        {
            return Ok(Some(label));
        }
        for path in &credentials.default_keys {
            if let Some(key) = credentials.load_default(path).await {
                let label = key_label(key.public_key());
                if self.key("a key from ~/.ssh", key).await? {
                    return Ok(Some(label));
                }
            }
        }
        let is_asked = matches!(credentials.password, Some(PasswordSource::Ask(_)));
        let password = match &credentials.password {
            Some(PasswordSource::Given(secret)) => Some(secret.clone()),
            Some(PasswordSource::Ask(prompt)) => {
                prompt
                    .ask(format!("password of {}@{}", self.user, self.host))
                    .await
            }
            None => None,
        };
        if let Some(password) = password {
            self.tried.push("a password");
            let login = self
                .handle
                .authenticate_password(self.user, password.expose());
            let answer = timed(login).await;
            if self.is_accepted(answer).await? {
                return Ok(is_asked.then(|| ASKED.to_owned()));
            }
        }
        Err(self.refused())
    }

    fn refused(&self) -> Error {
        let mut tried = self.tried.clone();
        tried.dedup();
        Error::Authentication {
            user: self.user.to_owned(),
            host: self.host.to_owned(),
            tried: match tried.as_slice() {
                [] => "there was no key, agent or password to try".to_owned(),
                some => format!("tried: {}", some.join(", ")),
            },
        }
    }

    async fn key(&mut self, what: &'static str, key: PrivateKey) -> Result<bool, Error> {
        self.tried.push(what);
        let proof = self
            .proving
            .and_then(|binding| proof::sign(&key, self.user, &binding));
        if let Some(proof) = proof {
            let answer = timed(self.prove(proof)).await;
            return self.is_accepted(answer).await;
        }
        let hash = rsa_hash(key.public_key());
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let login = self.handle.authenticate_publickey(self.user, key);
        let answer = timed(login).await;
        self.is_accepted(answer).await
    }

    /// Hands the proof over where the method has room for what a client knows beforehand (RFC 4256 section 3.1).
    async fn prove(&mut self, proof: String) -> Result<AuthResult, russh::Error> {
        let started = self
            .handle
            .authenticate_keyboard_interactive_start(self.user, proof);
        match started.await? {
            KeyboardInteractiveAuthResponse::Success => Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure {
                remaining_methods,
                partial_success,
            } => Ok(AuthResult::Failure {
                remaining_methods,
                partial_success,
            }),
            // A server that takes proofs has no questions.
            KeyboardInteractiveAuthResponse::InfoRequest { .. } => {
                Err(russh::Error::UnsupportedAuthMethod)
            }
        }
    }

    #[cfg(unix)]
    async fn agent(&mut self, socket: &std::path::Path) -> Result<Option<String>, Error> {
        // An agent that is not there or holds nothing is no mistake: other credentials follow.
        let Ok(mut agent) = AgentClient::connect_uds(socket).await else {
            return Ok(None);
        };
        let identities = agent.request_identities().await.unwrap_or_default();
        for identity in identities.into_iter().take(AGENT_KEYS) {
            let AgentIdentity::PublicKey { key, .. } = identity else {
                continue;
            };
            self.tried.push("a key from the agent");
            let hash = rsa_hash(&key);
            let label = agent_label(&key);
            let login = self
                .handle
                .authenticate_publickey_with(self.user, key, hash, &mut agent);
            // No time limit: the agent may be waiting for a finger on a token.
            let answer = login.await.ok();
            if self.is_accepted(answer).await? {
                return Ok(Some(label));
            }
        }
        Ok(None)
    }

    #[cfg(not(unix))]
    async fn agent(&mut self, _: &std::path::Path) -> Result<Option<String>, Error> {
        Ok(None)
    }

    /// Looks at the answer to a credential. Ends the attempts when the server has hung up, as it does after too many, and tells
    /// that from a connection that was lost before anything was refused, which says nothing about the credentials.
    async fn is_accepted(&mut self, answer: Option<AuthResult>) -> Result<bool, Error> {
        match answer {
            Some(AuthResult::Success) => return Ok(true),
            Some(AuthResult::Failure {
                remaining_methods, ..
            }) if !remaining_methods.is_empty() => self.is_refused = true,
            // No answer looks the same as one that names nothing else to try. Who hangs up on purpose says so.
            _ if !self.is_refused => {
                let ended = tokio::time::timeout(END_TIMEOUT, &mut *self.handle).await;
                match ended {
                    Ok(Err(_)) => return Err(Error::ConnectionLost(None)),
                    Ok(Ok(())) => return Err(self.refused()),
                    Err(_) => {}
                }
            }
            _ => {}
        }
        match self.handle.is_closed() {
            true => Err(self.refused()),
            false => Ok(false),
        }
    }
}

async fn timed(
    login: impl Future<Output = Result<AuthResult, russh::Error>>,
) -> Option<AuthResult> {
    tokio::time::timeout(LOGIN_TIMEOUT, login).await.ok()?.ok()
}

/// RSA keys sign with SHA-512; every other key knows its own hash. SHA-1 is never used.
fn rsa_hash(key: &PublicKey) -> Option<HashAlg> {
    matches!(key.algorithm(), Algorithm::Rsa { .. }).then_some(HashAlg::Sha512)
}
