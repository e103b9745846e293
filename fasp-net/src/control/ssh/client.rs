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
//! | 1 | authentication by a password, or by a key from a file, which proves itself at once (protocol §2.9) |
//! | 1 | `Hello` and `Open` together, on the channel that the server opened behind its success; `Accept` comes back |
//!
//! That is 6. A key of an agent takes one more: it may want a finger on it for each signature, so the server is asked first
//! whether the key would do. A server that does not open the channel costs one more, each refused credential one more
//! and the server's delay. A lost segment costs a time-out only while TCP is opened: the rest is doubled (protocol §2.7), and a
//! lost identification line costs a round trip. A ticket takes the place of all of them ([`crate::control::resume`]): 2, with TCP's.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use fasp_core::PathMemory;
use russh::{
    Channel, ChannelStream, SshId,
    client::{self, ChannelOpenHandle, Handle, Msg, Session},
    keys::PublicKeyOrCertificate,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::oneshot,
};

pub use super::trust::{FirstUse, FirstUseQuestion, HostKeyCheck};
use super::{
    SUBSYSTEM, attempts,
    credentials::Credentials,
    doubled::Doubled,
    identification::Comments,
    login::Login,
    transcript::{Recorded, Transcript},
    trust::{Trust, family},
};
use crate::{
    Error,
    control::{
        Control,
        resume::dial::{Keeper, Reached},
    },
};

/// Longest wait for TCP, and for the handshake behind it, unless the caller says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

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
    /// Keeps the ticket that the server gives; nothing where none is to be kept.
    pub keeper: Option<Keeper>,
    /// What an earlier connection saw of the path.
    pub path: Option<PathMemory>,
}

/// Longest wait for the channel that the server opens, beyond the time that the network takes.
const CHANNEL_TIMEOUT: Duration = Duration::from_secs(30);

/// Who logs in where.
pub(in crate::control) struct Who<'a> {
    pub(in crate::control) host: &'a str,
    pub(in crate::control) port: u16,
    pub(in crate::control) timeout: Duration,
    pub(in crate::control) user: &'a str,
    pub(in crate::control) credentials: &'a Credentials,
    pub(in crate::control) check: HostKeyCheck,
}

/// What a log-in showed.
pub(in crate::control) struct LetIn {
    /// The name of the credential, where it has one.
    pub(in crate::control) credential: Option<String>,
    /// The server's key, as known-hosts files have it.
    pub(in crate::control) host_key: String,
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
    let reached = dial(host, port, timeout).await?;
    let who = Who {
        host,
        port,
        timeout,
        user,
        credentials,
        check,
    };
    Ok(log_in(reached, who).await?.0)
}

/// Does the same on a connection that is there already.
pub(in crate::control) async fn log_in(
    reached: Reached,
    who: Who<'_>,
) -> Result<(Connection, LetIn), Error> {
    let Who {
        host,
        port,
        timeout,
        user,
        credentials,
        check,
    } = who;
    let trust = trust(host, port, check);
    let transcript = Arc::default();
    let doubled = Doubled::client(reached.stream, &transcript, reached.peer.ip());
    let stream = Recorded::client(doubled, &transcript);
    let Shaken {
        mut handle,
        pushed,
        host_key,
    } = handshake(stream, trust, timeout).await?;
    let failed = |reason: String| Error::Handshake {
        host: host.to_owned(),
        reason,
    };
    let binding = transcript
        .binding()
        .ok_or_else(|| failed("no key exchange was seen".to_owned()))?;
    let proving = transcript.peer_takes_proofs().then_some(binding);
    let mut login = Login::new(&mut handle, user, host, proving);
    let credential = login.run(credentials).await?;
    let channel = channel(&handle, pushed, &transcript)
        .await
        .map_err(|e| failed(e.to_string()))?;
    let connection = Connection {
        control: Control::new(HeldStream {
            stream: channel.into_stream(),
            _session: handle,
        }),
        binding,
        peer: reached.peer,
        rtt: reached.rtt,
        keeper: None,
        path: None,
    };
    let let_in = LetIn {
        credential,
        host_key,
    };
    Ok((connection, let_in))
}

/// Returns the channel that the server opens, or opens one where the server does not.
async fn channel(
    handle: &Handle<Handler>,
    pushed: oneshot::Receiver<Channel<Msg>>,
    transcript: &Transcript,
) -> Result<Channel<Msg>, russh::Error> {
    if transcript.peer_pushes() {
        let channel = tokio::time::timeout(CHANNEL_TIMEOUT, pushed).await;
        return channel
            .map_err(|_| russh::Error::ConnectionTimeout)?
            .map_err(|_| russh::Error::Disconnect);
    }
    let channel = handle.channel_open_session().await?;
    channel.request_subsystem(false, SUBSYSTEM).await?;
    Ok(channel)
}

/// The host whose key has to be right.
pub(in crate::control) fn trust(host: &str, port: u16, check: HostKeyCheck) -> Trust {
    Trust {
        host: host.to_owned(),
        port,
        check,
    }
}

/// Resolves the name and tries its addresses in order, all within the timeout.
pub(in crate::control) async fn dial(
    host: &str,
    port: u16,
    timeout: Duration,
) -> Result<Reached, Error> {
    let deadline = tokio::time::Instant::now() + timeout;
    let lookup = tokio::time::timeout_at(deadline, resolve(host, port));
    let addresses = lookup.await.map_err(|_| Error::ConnectTimeout {
        host: host.to_owned(),
        port,
        limit: timeout,
    })??;
    let (stream, peer, rtt) = reach(host, &addresses, deadline, timeout).await?;
    Ok(Reached { stream, peer, rtt })
}

/// Returns the addresses of a host, never none of them.
///
/// # Errors
/// [`Error::HostNotFound`].
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    let not_found = |source| Error::HostNotFound {
        host: host.to_owned(),
        source,
    };
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> = found.map_err(not_found)?.collect();
    if addresses.is_empty() {
        return Err(not_found(io::Error::from(io::ErrorKind::NotFound)));
    }
    Ok(addresses)
}

/// Tries the addresses of a host in order until one takes a TCP connection; returns that with the time it took.
///
/// `limit` is what an error calls the time that `deadline` ends.
///
/// # Errors
/// [`Error::ConnectFailed`] or [`Error::ConnectTimeout`].
pub async fn reach(
    host: &str,
    addresses: &[SocketAddr],
    deadline: tokio::time::Instant,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr, Duration), Error> {
    let mut last = None;
    for (index, address) in addresses.iter().enumerate() {
        // Each address gets its share of what is left, so that one that swallows everything leaves time for the next.
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match tokio::time::timeout(share, attempts::connect(*address)).await {
            Ok(Ok((stream, rtt))) => {
                // A stream that cannot be told so fails at the first read.
                drop(stream.set_nodelay(true));
                return Ok((stream, *address, rtt));
            }
            Ok(Err(e)) => last = Some(e),
            Err(_) => {}
        }
    }
    let host = host.to_owned();
    let port = addresses.first().map_or(0, SocketAddr::port);
    Err(match last {
        Some(source) if source.kind() != io::ErrorKind::TimedOut => {
            Error::ConnectFailed { host, port, source }
        }
        _ => Error::ConnectTimeout { host, port, limit },
    })
}

/// An encrypted connection, before the log-in.
struct Shaken {
    handle: Handle<Handler>,
    /// The channel that the server opens.
    pushed: oneshot::Receiver<Channel<Msg>>,
    host_key: String,
}

async fn handshake(
    stream: Recorded<Doubled>,
    trust: Trust,
    timeout: Duration,
) -> Result<Shaken, Error> {
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
        client_id: SshId::Standard(Comments::of_client().line().into()),
        limits: super::rekey_limits(),
        preferred,
        keepalive_interval: Some(super::KEEPALIVE),
        keepalive_max: super::KEEPALIVES,
        nodelay: true,
        ..client::Config::default()
    };
    let key_seen = Arc::new(OnceLock::new());
    let (push, pushed) = oneshot::channel();
    let (host, port) = (trust.host.clone(), trust.port);
    let changed_type = trust.changed_type_error(&known_types);
    let handler = Handler {
        trust,
        key_seen: Arc::clone(&key_seen),
        push: Some(push),
    };
    let mut connecting = std::pin::pin!(client::connect_stream(Arc::new(config), stream, handler));
    let connected = tokio::select! {
        connected = &mut connecting => connected,
        () = tokio::time::sleep(timeout) => {
            if key_seen.get().is_none() {
                return Err(Error::ConnectTimeout { host, port, limit: timeout });
            }
            // A person is looking at a fingerprint; that takes as long as it takes.
            connecting.await
        }
    };
    let handle = connected.map_err(|failure| match (failure, changed_type) {
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
    })?;
    Ok(Shaken {
        handle,
        pushed,
        host_key: key_seen.get().cloned().unwrap_or_default(),
    })
}

struct Handler {
    trust: Trust,
    /// The server's key, once it has shown it.
    key_seen: Arc<OnceLock<String>>,
    /// Takes the first channel that the server opens.
    push: Option<oneshot::Sender<Channel<Msg>>>,
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
        let key = key.public_key();
        // A key that cannot be written is a key that no ticket will be kept for. Rekeying shows the same one again.
        self.key_seen.set(key.to_openssh().unwrap_or_default()).ok();
        let checked = self.trust.verify(&key).await;
        checked.map(|()| true).map_err(HandlerError::Ours)
    }

    async fn server_channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        // A handle that is dropped refuses: there is one channel and nothing else that a server may open.
        if let Some(push) = self.push.take() {
            reply.accept().await;
            push.send(channel).ok();
        }
        Ok(())
    }
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
