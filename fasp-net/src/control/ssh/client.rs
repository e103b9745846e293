//! The client of our own SSH endpoint.
//!
//! Round trips from nothing to the answer to `Open` (`tests/round_trips.rs` counts those behind TCP):
//!
//! | round trips | for |
//! |---|---|
//! | 1 | TCP |
//! | 1 | identification lines; russh sends KEXINIT only after reading the server's |
//! | 1 | key exchange; the host key is checked here |
//! | 1 | `ssh-userauth` service request |
//! | 1 or 2 | authentication: one with a password, two with a key, from a file or an agent |
//! | 1 | opening the channel |
//! | 1 | subsystem request (no reply asked for), `Hello` and `Open` together; `Accept` comes back |
//!
//! That is 7 with a password and 8 with a key: russh asks the server whether a key would do before it signs, and cannot
//! be told to sign at once. Each refused credential takes one more and the server's delay.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use russh::{
    ChannelStream, SshId,
    client::{self, AuthResult, Handle, Msg},
    keys::{
        Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    SUBSYSTEM,
    credentials::{Credentials, PasswordSource},
    transcript::Recorded,
};
use crate::{
    Error,
    control::{
        Control,
        known_hosts::{KnownHosts, Verdict},
    },
};

/// Longest wait for TCP, and for the handshake behind it, unless the caller says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the answer to one credential.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(60);
/// Keys of an agent that are tried; a server ends the connection after six refusals.
const AGENT_KEYS: usize = 5;

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

/// An authenticated control connection, seen from the client.
#[derive(Debug)]
pub struct Connection {
    /// The messages.
    pub control: Control,
    /// The channel binding (protocol §3.2).
    pub binding: [u8; 32],
    /// The address that answered; datagrams go to the same one. Unspecified for an external carrier that hides it.
    pub peer: SocketAddr,
    /// Round-trip time, measured on the TCP handshake; zero when the carrier cannot tell.
    pub rtt: Duration,
}

/// Connects, checks the host key, logs in and asks for the control subsystem.
///
/// # Errors
/// [`Error::HostNotFound`], [`Error::ConnectFailed`], [`Error::ConnectTimeout`], [`Error::Handshake`],
/// [`Error::HostKeyChanged`], [`Error::HostKeyUnconfirmed`], [`Error::Authentication`], [`Error::UserFile`].
pub async fn connect(
    host: &str,
    port: u16,
    timeout: Duration,
    user: &str,
    credentials: &Credentials,
    check: HostKeyCheck,
) -> Result<Connection, Error> {
    let (stream, peer, rtt) = dial(host, port, timeout).await?;
    let trust = Trust {
        host: host.to_owned(),
        port,
        check,
    };
    let (stream, transcript) = Recorded::client(stream);
    let mut handle = handshake(stream, trust, timeout).await?;
    Login {
        handle: &mut handle,
        user,
        host,
        tried: Vec::new(),
    }
    .run(credentials)
    .await?;
    let failed = |reason: String| Error::Handshake {
        host: host.to_owned(),
        reason,
    };
    let channel = handle
        .channel_open_session()
        .await
        .map_err(|e| failed(e.to_string()))?;
    channel
        .request_subsystem(false, SUBSYSTEM)
        .await
        .map_err(|e| failed(e.to_string()))?;
    let binding = transcript
        .binding()
        .ok_or_else(|| failed("no key exchange was seen".to_owned()))?;
    Ok(Connection {
        control: Control::new(HeldStream {
            stream: channel.into_stream(),
            _session: handle,
        }),
        binding,
        peer,
        rtt,
    })
}

/// Resolves the name and tries its addresses in order, all within the timeout.
async fn dial(
    host: &str,
    port: u16,
    timeout: Duration,
) -> Result<(TcpStream, SocketAddr, Duration), Error> {
    let timed_out = || Error::ConnectTimeout {
        host: host.to_owned(),
        port,
        limit: timeout,
    };
    let not_found = |source| Error::HostNotFound {
        host: host.to_owned(),
        source,
    };
    let deadline = tokio::time::Instant::now() + timeout;
    let lookup = tokio::time::timeout_at(deadline, tokio::net::lookup_host((host, port)));
    let addresses: Vec<_> = lookup
        .await
        .map_err(|_| timed_out())?
        .map_err(not_found)?
        .collect();
    let mut last = None;
    for (index, address) in addresses.iter().enumerate() {
        // Each address gets its share of what is left, so that one that swallows everything leaves time for the next.
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let started = Instant::now();
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let rtt = started.elapsed();
                // A stream that cannot be told so fails at the first read.
                drop(stream.set_nodelay(true));
                return Ok((stream, *address, rtt));
            }
            Ok(Err(e)) => last = Some(e),
            Err(_) => {}
        }
    }
    if addresses.is_empty() {
        return Err(not_found(io::Error::from(io::ErrorKind::NotFound)));
    }
    Err(match last {
        Some(e) if e.kind() != io::ErrorKind::TimedOut => Error::ConnectFailed {
            host: host.to_owned(),
            port,
            source: e,
        },
        _ => timed_out(),
    })
}

async fn handshake(
    stream: Recorded<TcpStream>,
    trust: Trust,
    timeout: Duration,
) -> Result<Handle<Handler>, Error> {
    let mut preferred = super::algorithms();
    let known_types = trust.known_types().await?;
    if !known_types.is_empty() {
        // Only types on record are offered: a server must not get away with another key by offering another type.
        preferred
            .key
            .to_mut()
            .retain(|a| known_types.contains(&family(a)));
    }
    let config = client::Config {
        client_id: SshId::Standard("SSH-2.0-connect".into()),
        limits: super::rekey_limits(),
        preferred,
        keepalive_interval: Some(super::KEEPALIVE),
        keepalive_max: super::KEEPALIVES,
        nodelay: true,
        ..client::Config::default()
    };
    let key_seen = Arc::new(AtomicBool::new(false));
    let (host, port) = (trust.host.clone(), trust.port);
    let changed_type = trust.changed_type_error(&known_types);
    let handler = Handler {
        trust,
        key_seen: Arc::clone(&key_seen),
    };
    let mut connecting = std::pin::pin!(client::connect_stream(Arc::new(config), stream, handler));
    let connected = tokio::select! {
        connected = &mut connecting => connected,
        () = tokio::time::sleep(timeout) => {
            if !key_seen.load(Ordering::Acquire) {
                return Err(Error::ConnectTimeout { host, port, limit: timeout });
            }
            // A person is looking at a fingerprint; that takes as long as it takes.
            connecting.await
        }
    };
    connected.map_err(|failure| match (failure, changed_type) {
        (HandlerError::Ours(error), _) => error,
        (
            HandlerError::Ssh(russh::Error::NoCommonAlgo {
                kind: russh::AlgorithmKind::Key,
                ..
            }),
            Some(changed),
        ) => changed,
        (HandlerError::Ssh(e), _) => Error::Handshake {
            host,
            reason: e.to_string(),
        },
    })
}

/// Returns the key type without the hash that RSA signatures name beside it.
fn family(algorithm: &Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

/// The host whose key is to be checked.
struct Trust {
    host: String,
    port: u16,
    check: HostKeyCheck,
}

impl Trust {
    async fn known_types(&self) -> Result<Vec<Algorithm>, Error> {
        let HostKeyCheck::Known { hosts, .. } = &self.check else {
            return Ok(Vec::new());
        };
        let (hosts, host, port) = (hosts.clone(), self.host.clone(), self.port);
        let types = blocking(move || hosts.key_types(&host, port)).await?;
        Ok(types.iter().map(family).collect())
    }

    /// Returns the error for a server that has no key of a type on record.
    fn changed_type_error(&self, known_types: &[Algorithm]) -> Option<Error> {
        let HostKeyCheck::Known { hosts, .. } = &self.check else {
            return None;
        };
        let shown = "a key of another type".to_owned();
        (!known_types.is_empty()).then(|| self.changed(shown, hosts, None))
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

    async fn verify(&self, key: &PublicKey) -> Result<(), Error> {
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

struct Handler {
    trust: Trust,
    key_seen: Arc<AtomicBool>,
}

#[derive(Debug)]
enum HandlerError {
    Ssh(russh::Error),
    Ours(Error),
}

impl From<russh::Error> for HandlerError {
    fn from(e: russh::Error) -> Self {
        Self::Ssh(e)
    }
}

impl client::Handler for Handler {
    type Error = HandlerError;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, HandlerError> {
        self.key_seen.store(true, Ordering::Release);
        let checked = self.trust.verify(&key.public_key()).await;
        checked.map(|()| true).map_err(HandlerError::Ours)
    }
}

/// Tries credentials one after the other.
struct Login<'a> {
    handle: &'a mut Handle<Handler>,
    user: &'a str,
    host: &'a str,
    tried: Vec<&'static str>,
}

impl Login<'_> {
    async fn run(&mut self, credentials: &Credentials) -> Result<(), Error> {
        for source in &credentials.keys {
            let key = credentials.load(source).await?;
            if self.key("the key named", key).await? {
                return Ok(());
            }
        }
        if let Some(socket) = &credentials.agent
            && self.agent(socket).await?
        {
            return Ok(());
        }
        for path in &credentials.default_keys {
            if let Some(key) = credentials.load_default(path).await
                && self.key("a key from ~/.ssh", key).await?
            {
                return Ok(());
            }
        }
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
            if timed(login).await.is_some_and(|r| r.success()) {
                return Ok(());
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
        let hash = rsa_hash(key.public_key());
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let login = self.handle.authenticate_publickey(self.user, key);
        let accepted = timed(login).await.is_some_and(|r| r.success());
        self.still_open(accepted)
    }

    #[cfg(unix)]
    async fn agent(&mut self, socket: &std::path::Path) -> Result<bool, Error> {
        // An agent that is not there or holds nothing is no mistake: other credentials follow.
        let Ok(mut agent) = AgentClient::connect_uds(socket).await else {
            return Ok(false);
        };
        let identities = agent.request_identities().await.unwrap_or_default();
        for identity in identities.into_iter().take(AGENT_KEYS) {
            let AgentIdentity::PublicKey { key, .. } = identity else {
                continue;
            };
            self.tried.push("a key from the agent");
            let hash = rsa_hash(&key);
            let login = self
                .handle
                .authenticate_publickey_with(self.user, key, hash, &mut agent);
            // No time limit: the agent may be waiting for a finger on a token.
            let accepted = login.await.is_ok_and(|r| r.success());
            if self.still_open(accepted)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    #[cfg(not(unix))]
    async fn agent(&mut self, _: &std::path::Path) -> Result<bool, Error> {
        Ok(false)
    }

    /// Ends the attempts when the server has hung up, as it does after too many.
    fn still_open(&self, accepted: bool) -> Result<bool, Error> {
        if !accepted && self.handle.is_closed() {
            return Err(self.refused());
        }
        Ok(accepted)
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

/// The channel, and the session it belongs to: the session ends when its handle is dropped.
struct HeldStream {
    stream: ChannelStream<Msg>,
    _session: Handle<Handler>,
}

impl AsyncRead for HeldStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for HeldStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
