//! Our SSH endpoint: it authenticates, serves one subsystem and nothing else (W-37, W-38).

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use fasp_core::PathMemory;
use ring::rand::{SecureRandom as _, SystemRandom};
use russh::{
    Channel, ChannelId, MethodKind, MethodSet, Pty, SshId,
    keys::{Algorithm, PublicKey},
    server::{self, Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Session, VerifiedPublicKey},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::AbortHandle,
};

use super::{
    HostKey, SUBSYSTEM,
    doubled::{Doubled, Offer},
    gate::{Capacity, Gate, Ticket},
    identification::Comments,
    proof,
    transcript::{Deadlines, Recorded, Transcript},
};
use crate::{
    Error,
    control::{
        Control,
        message::BindingKind,
        resume::{
            FIRST_BYTE, Issuer, Tickets,
            welcome::{self, Welcome},
        },
    },
    port::Port,
};

/// Longest user name and password looked at.
const MAX_SECRET: usize = 1024;
/// Channels a connection may have open.
const MAX_CHANNELS: usize = 16;
/// How long the server waits for the peer to begin, to see whether it offers a ticket: both sides of SSH may speak
/// first, and some clients wait.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(1);
/// Control connections that wait to be picked up.
const WAITING: usize = 64;

/// A user who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserHandle {
    /// The account's name, as the administrator spells it.
    pub name: String,
}

/// Decides who is let in. Called on threads that may block.
///
/// An implementation does the same work for users it does not know (C-8).
pub trait Admission: Send + Sync + 'static {
    /// Checks a password.
    fn password(&self, user: &str, password: &str) -> Option<UserHandle>;
    /// Says whether a key may log in; that the peer owns it is checked already or will be.
    fn public_key(&self, user: &str, key: &PublicKey) -> Option<UserHandle>;
    /// Returns something that is another whenever anything about the account is, if there is such an account: tickets
    /// of before such a change are worth nothing (protocol §2.5). `None` gives it no tickets.
    fn account_state(&self, user: &str) -> Option<Vec<u8>> {
        let _ = user;
        None
    }
}

/// What unauthenticated peers may use (W-37).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Unauthenticated connections in all.
    pub unauthenticated: usize,
    /// Unauthenticated connections per /24 of IPv4 or /56 of IPv6.
    pub per_network: usize,
    /// All connections.
    pub connections: usize,
    /// From accept to the peer's identification line.
    pub identification: Duration,
    /// From accept to the end of authentication, and from there to the subsystem request.
    pub authentication: Duration,
    /// How long a refused login takes at least (C-8).
    pub refusal: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unauthenticated: 64,
            per_network: 8,
            connections: 1024,
            identification: Duration::from_secs(10),
            authentication: Duration::from_secs(30),
            refusal: Duration::from_millis(1200),
        }
    }
}

/// A control connection of an authenticated user.
#[derive(Debug)]
pub struct Accepted {
    /// Who it is.
    pub user: UserHandle,
    /// The messages.
    pub control: Control,
    /// The channel binding (protocol §3.2).
    pub binding: [u8; 32],
    /// Of which kind that is: how the user was let in.
    pub binding_kind: BindingKind,
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// Gives the client a ticket for the next time; nothing for accounts without.
    pub issuer: Option<Issuer>,
    /// What the connection before this one saw of the path.
    pub path: Option<PathMemory>,
}

/// A listening SSH endpoint; closed when dropped, which leaves connections made before alone.
pub struct Endpoint {
    local: SocketAddr,
    accepted: mpsc::Receiver<Accepted>,
    listening: AbortHandle,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Endpoint {
    /// Listens on an address and starts to let users in.
    ///
    /// # Errors
    /// [`Error::Listen`] when the address cannot be had.
    pub async fn bind(
        address: SocketAddr,
        host_key: HostKey,
        admission: Arc<dyn Admission>,
        limits: Limits,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Listen {
            address: address.to_string(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        Self::start(listener, None, host_key, admission, limits)
    }

    /// Lets users in who come to a listener. Over `port`, log-ins are doubled (protocol §2.7): on a line that loses
    /// packets they take less time. Must run on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Listen`] when the listener has no address.
    pub fn start(
        listener: TcpListener,
        port: Option<Port>,
        host_key: HostKey,
        admission: Arc<dyn Admission>,
        limits: Limits,
    ) -> Result<Self, Error> {
        let local = listener.local_addr().map_err(|source| Error::Listen {
            address: "a listener".into(),
            source,
        })?;
        let (queue, accepted) = mpsc::channel(WAITING);
        let service = Arc::new(Service {
            host_key,
            limits,
            port,
            gate: Gate::new(Capacity {
                unauthenticated: limits.unauthenticated,
                per_network: limits.per_network,
                connections: limits.connections,
            }),
            admission,
            queue,
            tickets: Tickets::default(),
        });
        let listening = tokio::spawn(listen(listener, service)).abort_handle();
        Ok(Self {
            local,
            accepted,
            listening,
        })
    }

    /// Returns the address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Returns the next control connection; `None` once the endpoint cannot accept any more.
    pub async fn accept(&mut self) -> Option<Accepted> {
        self.accepted.recv().await
    }
}

fn configuration(host_key: HostKey, limits: Limits, offer: Option<Offer>) -> server::Config {
    let mut methods = MethodSet::empty();
    methods.push(MethodKind::PublicKey);
    methods.push(MethodKind::Password);
    server::Config {
        server_id: SshId::Standard(Comments::of_server(offer).line().into()),
        methods,
        auth_rejection_time: limits.refusal,
        // The `none` method only asks which methods there are: nothing can be guessed with it.
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key.0],
        limits: super::rekey_limits(),
        preferred: super::algorithms(),
        max_auth_attempts: 6,
        inactivity_timeout: None,
        keepalive_interval: Some(super::KEEPALIVE),
        keepalive_max: super::KEEPALIVES,
        nodelay: true,
        ..server::Config::default()
    }
}

/// What all connections of an endpoint share.
struct Service {
    host_key: HostKey,
    limits: Limits,
    /// Where log-ins are doubled.
    port: Option<Port>,
    gate: Arc<Gate>,
    admission: Arc<dyn Admission>,
    queue: mpsc::Sender<Accepted>,
    tickets: Tickets,
}

async fn listen(listener: TcpListener, service: Arc<Service>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => service.admit(stream, peer),
            // Out of descriptors, or the peer was gone already: neither is helped by a busy loop.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

impl Service {
    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let mut chance = [0; 8];
        // Without random numbers the chance stays zero: the early drop is certain, which errs on the safe side.
        SystemRandom::new().fill(&mut chance).unwrap_or_default();
        let chance = u64::from_ne_bytes(chance);
        let Ok(ticket) = self.gate.enter(Instant::now(), peer.ip(), chance) else {
            return;
        };
        // A stream that cannot be told so is closed already.
        drop(stream.set_nodelay(true));
        let began = tokio::time::Instant::now();
        tokio::spawn(Arc::clone(self).greet(stream, peer, ticket, began));
    }

    /// Takes a ticket if one is offered, and speaks SSH otherwise.
    async fn greet(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        ticket: Ticket,
        began: tokio::time::Instant,
    ) {
        let mut first = [0];
        let patience = FIRST_BYTE_TIMEOUT.min(self.limits.identification / 4);
        let peeked = tokio::time::timeout(patience, stream.peek(&mut first)).await;
        let (stream, ticket) = match peeked {
            Ok(Ok(1)) if first[0] == FIRST_BYTE => {
                let deadline = began + self.limits.identification;
                let welcome = welcome::welcome(stream, ticket, &self.tickets, &self.admission);
                match tokio::time::timeout_at(deadline, welcome).await {
                    Ok(Ok(Welcome::Refused(stream, ticket))) => (stream, ticket),
                    Ok(Ok(Welcome::Resumed(accepted))) => {
                        // When nobody takes connections any more this one is closed.
                        return drop(self.queue.send(*accepted).await);
                    }
                    Ok(Err(_)) | Err(_) => return,
                }
            }
            Ok(Err(_)) => return,
            _ => (stream, ticket),
        };
        self.speak_ssh(stream, peer, ticket, began).await;
    }

    async fn speak_ssh(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        ticket: Ticket,
        began: tokio::time::Instant,
    ) {
        let transcript = Arc::default();
        let port = self.port.as_ref();
        let offer = port.and_then(|port| Offer::new(port.local_address().port()));
        let doubled = Doubled::server(stream, &transcript, port.zip(offer.as_ref()), peer.ip());
        let deadlines = Deadlines {
            identification: self.limits.identification,
            authentication: self.limits.authentication,
        };
        let stream = Recorded::server(doubled, &transcript, deadlines, began);
        // One for each connection: the line that names the offer is part of what the host key signs.
        let config = configuration(self.host_key.clone(), self.limits, offer);
        let handler = Handler {
            admission: Arc::clone(&self.admission),
            queue: self.queue.clone(),
            tickets: self.tickets.clone(),
            peer,
            transcript,
            ticket,
            user: None,
            channels: BTreeMap::new(),
        };
        // How a connection ends is nobody's business but the peer's; the ticket in the handler keeps count.
        if let Ok(session) = server::run_stream(Arc::new(config), stream, handler).await {
            drop(session.await);
        }
    }
}

/// A channel of a connection.
enum Slot {
    /// Opened; no subsystem yet.
    Waiting(Channel<Msg>),
    /// Serves the subsystem.
    Serving,
}

/// One connection.
struct Handler {
    admission: Arc<dyn Admission>,
    queue: mpsc::Sender<Accepted>,
    tickets: Tickets,
    peer: SocketAddr,
    transcript: Arc<Transcript>,
    ticket: Ticket,
    user: Option<KnownUser>,
    channels: BTreeMap<ChannelId, Slot>,
}

/// A user who was let in, and what the account was like before.
#[derive(Debug, Clone)]
struct KnownUser {
    handle: UserHandle,
    state: Option<[u8; 32]>,
}

impl Handler {
    /// Asks the admission on a thread that may block; whatever goes wrong there is a no.
    async fn ask<F>(&mut self, user: &str, question: F) -> Auth
    where
        F: FnOnce(&dyn Admission, &str) -> Option<UserHandle> + Send + 'static,
    {
        let (admission, user) = (Arc::clone(&self.admission), user.to_owned());
        let answer = tokio::task::spawn_blocking(move || {
            // First: a change while the answer is found makes the ticket worthless, never the other way round.
            let state = welcome::account_state(admission.as_ref(), &user);
            let handle = question(admission.as_ref(), &user)?;
            Some(KnownUser { handle, state })
        })
        .await;
        self.user = answer.ok().flatten();
        if self.user.is_some() {
            return Auth::Accept;
        }
        self.ticket.login_failed();
        Auth::reject()
    }

    fn refuse(channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_failure(channel)?;
        session.close(channel)
    }

    /// Takes along what serving a channel needs.
    fn serving(&self) -> Result<Serving, russh::Error> {
        let (Some(user), Some(binding)) = (self.user.clone(), self.transcript.binding()) else {
            return Err(russh::Error::Inconsistent);
        };
        Ok(Serving {
            user,
            binding,
            peer: self.peer,
            transcript: Arc::clone(&self.transcript),
            tickets: self.tickets.clone(),
            queue: self.queue.clone(),
        })
    }
}

/// What it takes to serve a channel.
struct Serving {
    user: KnownUser,
    binding: [u8; 32],
    peer: SocketAddr,
    transcript: Arc<Transcript>,
    tickets: Tickets,
    queue: mpsc::Sender<Accepted>,
}

impl Serving {
    async fn serve(self, channel: Channel<Msg>) -> Result<(), russh::Error> {
        let KnownUser { handle, state } = self.user;
        let accepted = Accepted {
            issuer: state
                .map(|state| Issuer::new(self.tickets, handle.clone(), state, Instant::now())),
            user: handle,
            control: Control::new(channel.into_stream()),
            binding: self.binding,
            binding_kind: BindingKind::SshTranscript,
            peer: self.peer,
            path: None,
        };
        self.transcript.set_serving();
        let queued = self.queue.send(accepted).await;
        queued.map_err(|_| russh::Error::Disconnect)
    }
}

/// Answers a request that is never granted.
macro_rules! refused {
    ($($name:ident($($type:ty),*);)*) => {
        $(fn $name(
            &mut self,
            channel: ChannelId,
            $(_: $type,)*
            session: &mut Session,
        ) -> impl Future<Output = Result<(), Self::Error>> + Send {
            std::future::ready(Self::refuse(channel, session))
        })*
    };
}

impl server::Handler for Handler {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        if user.len() > MAX_SECRET || password.len() > MAX_SECRET {
            self.ticket.login_failed();
            return Ok(Auth::reject());
        }
        let password = zeroize::Zeroizing::new(password.to_owned());
        let answer = self.ask(user, move |a, user| a.password(user, &password));
        Ok(answer.await)
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        if user.len() > MAX_SECRET || *offer.algorithm == (Algorithm::Rsa { hash: None }) {
            return Ok(Auth::reject());
        }
        let key = offer.public_key.clone();
        let answer = self
            .ask(user, move |a, user| a.public_key(user, &key))
            .await;
        // The offer proves nothing yet.
        self.user = None;
        Ok(answer)
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, russh::Error> {
        let key = key.public_key.clone();
        Ok(self
            .ask(user, move |a, user| a.public_key(user, &key))
            .await)
    }

    /// Takes a key's proof (protocol §2.9); nobody else is let in this way, and nobody is asked anything.
    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        proof: &str,
        _: Option<server::Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let binding = self.transcript.binding();
        let proven = binding.and_then(|binding| proof::verify(proof, user, &binding));
        match proven {
            Some(key) if user.len() <= MAX_SECRET => Ok(self
                .ask(user, move |a, user| a.public_key(user, &key))
                .await),
            _ => {
                self.ticket.login_failed();
                Ok(Auth::reject())
            }
        }
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), russh::Error> {
        self.ticket.authenticated();
        self.transcript.set_authenticated();
        if self.transcript.peer_pushes() {
            let (serving, handle) = (self.serving()?, session.handle());
            tokio::spawn(async move {
                // A client that does not take it may still open its own.
                if let Ok(channel) = handle.channel_open_session().await {
                    drop(serving.serve(channel).await);
                }
            });
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        // An unanswered handle refuses when it is dropped.
        if self.channels.len() < MAX_CHANNELS {
            self.channels.insert(channel.id(), Slot::Waiting(channel));
            reply.accept().await;
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channels.remove(&channel);
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if name != SUBSYSTEM {
            return Self::refuse(id, session);
        }
        match self.channels.insert(id, Slot::Serving) {
            Some(Slot::Waiting(channel)) => {
                session.channel_success(id)?;
                self.serving()?.serve(channel).await
            }
            Some(Slot::Serving) | None => Self::refuse(id, session),
        }
    }

    refused! {
        shell_request();
        exec_request(&[u8]);
        pty_request(&str, u32, u32, u32, u32, &[(Pty, u32)]);
        x11_request(bool, &str, &str, u32);
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        // Clients send these unasked; the connection need not end for it.
        session.channel_failure(channel)
    }
}
