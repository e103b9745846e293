//! One UDP port and the sessions behind it: batched system calls, demultiplexing by session id (rule W-15).

use std::{
    collections::HashMap,
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    num::NonZeroU64,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, bounded};
use fasp_core::{MAX_DATAGRAM, SessionId, TransmitBatch, session_id_of};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;

use crate::Error;

mod aside;
mod gather;
mod spare;

pub(crate) use aside::Aside;
use gather::Gather;
use spare::{BUFFER_SIZE, SpareBuffers};

/// Sessions on one port (protocol §12).
pub const MAX_SESSIONS: usize = 4096;
/// How long a session's id stays unusable after its end (rule W-18).
const QUARANTINE: Duration = Duration::from_secs(60);
/// Received bytes up to this many are copied out, so that a small report does not hold a large buffer.
const COPY_BELOW: usize = 4096;
/// Buffers waiting for one session …
const QUEUE: usize = 8192;
/// … and their bytes; more are dropped, as a full socket would.
const QUEUE_BYTES: usize = 24 << 20;
/// Socket buffers asked for; the system gives what its limits allow.
const SOCKET_BUFFER: usize = 8 << 20;
/// How often the receive thread looks whether it should end.
const TICK: Duration = Duration::from_millis(200);
/// How late the kernel may end a pause of the receive thread.
const TIMER_SLACK_NANOS: u64 = 10_000;

/// One or several datagrams of one size, from one address, as the socket delivered them.
#[derive(Debug)]
pub struct Inbound {
    /// Where they came from.
    pub from: SocketAddr,
    /// When they were received.
    pub at: Instant,
    /// The datagrams, one after the other, and what the buffer held before behind them.
    pub bytes: Vec<u8>,
    /// How many of the bytes are datagrams.
    pub length: usize,
    /// Size of each but the last.
    pub stride: usize,
    /// The network marked them "congestion experienced".
    pub congestion_mark: bool,
}

/// What happened to datagrams that belong to no session or found no room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortCounters {
    /// Wrong length or unknown session: dropped in silence (rule W-17).
    pub unknown: u64,
    /// The session's queue was full.
    pub overflow: u64,
}

/// A UDP socket shared by sessions. Clones are cheap; the last one closes the socket.
#[derive(Debug, Clone)]
pub struct Port {
    shared: Arc<Shared>,
    /// Ends the receive thread when the last clone is gone.
    _guard: Arc<Guard>,
}

#[derive(Debug)]
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Shared {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    receive_buffer: usize,
    sessions: RwLock<Sessions>,
    stop: AtomicBool,
    unknown: AtomicU64,
    overflow: AtomicU64,
    refused: AtomicBool,
    spare: SpareBuffers,
}

#[derive(Debug, Default)]
struct Sessions {
    open: HashMap<u64, Arc<Inbox>>,
    /// Log-ins, which are no sessions yet.
    aside: HashMap<u64, mpsc::Sender<Inbound>>,
    closed: HashMap<u64, Instant>,
}

/// Where datagrams of one session wait.
#[derive(Debug)]
struct Inbox {
    queue: Sender<Inbound>,
    bytes: AtomicUsize,
}

/// A session's place on a port; dropping it frees the id after the quarantine.
#[derive(Debug)]
pub struct Registration {
    shared: Arc<Shared>,
    id: SessionId,
    inbox: Arc<Inbox>,
    inbound: Receiver<Inbound>,
}

impl Registration {
    /// Takes what arrived for the session, if anything did.
    pub fn try_receive(&self) -> Option<Inbound> {
        let inbound = self.inbound.try_recv().ok()?;
        self.inbox
            .bytes
            .fetch_sub(inbound.bytes.capacity(), Ordering::Relaxed);
        Some(inbound)
    }

    /// The queue, to wait for.
    pub(crate) fn queue(&self) -> &Receiver<Inbound> {
        &self.inbound
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Ok(mut sessions) = self.shared.sessions.write() {
            sessions.open.remove(&self.id.0);
            sessions.closed.insert(self.id.0, Instant::now());
        }
    }
}

impl Port {
    /// Binds a socket for many peers.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        Self::open(address, None).map_err(|source| listen_error(address, source))
    }

    /// Binds a socket for one server, so that the kernel drops what comes from elsewhere.
    pub fn connect(server: SocketAddr) -> Result<Self, Error> {
        let any = match server.ip() {
            IpAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
            IpAddr::V6(_) => SocketAddr::from(([0u16; 8], 0)),
        };
        Self::open(any, Some(server)).map_err(|source| listen_error(any, source))
    }

    fn open(address: SocketAddr, peer: Option<SocketAddr>) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        if let Some(peer) = peer {
            socket.connect(peer)?;
        }
        let state = UdpSocketState::new((&socket).into())?;
        enlarge(&socket, &state);
        let receive_buffer = state.recv_buffer_size((&socket).into())?;
        let local = socket.local_addr()?;
        let shared = Arc::new(Shared {
            socket,
            state,
            local,
            receive_buffer,
            sessions: RwLock::default(),
            stop: AtomicBool::new(false),
            unknown: AtomicU64::new(0),
            overflow: AtomicU64::new(0),
            refused: AtomicBool::new(false),
            spare: SpareBuffers::default(),
        });
        let receiving = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("fasp-port".into())
            .spawn(move || receive(&receiving))?;
        Ok(Self {
            _guard: Arc::new(Guard(Arc::clone(&shared))),
            shared,
        })
    }

    /// The local address.
    pub fn local_address(&self) -> SocketAddr {
        self.shared.local
    }

    /// Bytes that the socket's receive buffer holds, as far as the kernel says.
    pub fn receive_buffer(&self) -> usize {
        self.shared.receive_buffer
    }

    /// Most datagrams in one send call.
    pub fn max_segments(&self) -> usize {
        self.shared.state.max_gso_segments()
    }

    /// Largest datagram that the interface towards `peer` can carry: loopback takes the largest of all.
    pub fn max_datagram(&self, peer: IpAddr) -> u16 {
        // Elsewhere the path decides; probes above what the interface takes are refused by the kernel at once.
        if peer.is_loopback() {
            MAX_DATAGRAM as u16
        } else {
            8972
        }
    }

    /// Whether the network said that nobody listens at the peer's port.
    pub fn is_refused(&self) -> bool {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// What was dropped so far.
    pub fn counters(&self) -> PortCounters {
        PortCounters {
            unknown: self.shared.unknown.load(Ordering::Relaxed),
            overflow: self.shared.overflow.load(Ordering::Relaxed),
        }
    }

    /// Draws an unused session id from the operating system's generator and opens a queue for it.
    ///
    /// # Errors
    /// [`Error::Busy`] when the port has no room for another session.
    pub fn register(&self) -> Result<(SessionId, Registration), Error> {
        let mut sessions = self.shared.sessions.write().map_err(|_| Error::Busy)?;
        let now = Instant::now();
        sessions
            .closed
            .retain(|_, closed| now.duration_since(*closed) < QUARANTINE);
        if sessions.open.len() >= MAX_SESSIONS {
            return Err(Error::Busy);
        }
        loop {
            let id = crate::random_u64();
            if !sessions.open.contains_key(&id) && !sessions.closed.contains_key(&id) {
                return Ok((SessionId(id), self.insert(&mut sessions, SessionId(id))));
            }
        }
    }

    /// Opens a queue for an id that the server has drawn.
    ///
    /// # Errors
    /// [`Error::Busy`] when the id is in use here already.
    pub fn register_as(&self, id: SessionId) -> Result<Registration, Error> {
        let mut sessions = self.shared.sessions.write().map_err(|_| Error::Busy)?;
        if sessions.open.contains_key(&id.0) {
            return Err(Error::Busy);
        }
        Ok(self.insert(&mut sessions, id))
    }

    fn insert(&self, sessions: &mut Sessions, id: SessionId) -> Registration {
        let (queue, inbound) = bounded(QUEUE);
        let inbox = Arc::new(Inbox {
            queue,
            bytes: AtomicUsize::new(0),
        });
        sessions.open.insert(id.0, Arc::clone(&inbox));
        Registration {
            shared: Arc::clone(&self.shared),
            id,
            inbox,
            inbound,
        }
    }

    /// Takes a buffer back for later use.
    pub fn recycle(&self, bytes: Vec<u8>) {
        self.shared.spare.put(bytes);
    }

    /// Sends a sealed batch; waits while the socket's buffer is full.
    ///
    /// # Errors
    /// What the socket says; `EMSGSIZE` means that the path carries less than the batch's datagrams.
    pub fn send(&self, batch: &TransmitBatch) -> io::Result<()> {
        let Some(destination) = batch.destination() else {
            return Ok(());
        };
        let segments = batch.len() > 1;
        let transmit = Transmit {
            destination,
            ecn: Some(EcnCodepoint::Ect0),
            contents: batch.bytes(),
            segment_size: segments.then(|| batch.segment_size()),
            src_ip: None,
        };
        let socket = &self.shared.socket;
        loop {
            match self.shared.state.try_send(socket.into(), &transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(socket, PollFlags::OUT);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    // A hint from the network about an earlier datagram (rule W-23): this one has not left.
                    self.shared.refused.store(true, Ordering::Relaxed);
                }
                result => return result,
            }
        }
    }
}

fn listen_error(address: SocketAddr, source: io::Error) -> Error {
    Error::Listen {
        address: address.to_string(),
        source,
    }
}

/// Asks for large socket buffers; where privileges allow, beyond the system's usual limit.
fn enlarge(socket: &UdpSocket, state: &UdpSocketState) {
    // Both are wishes: with smaller buffers transfers work all the same.
    state
        .set_recv_buffer_size(socket.into(), SOCKET_BUFFER)
        .ok();
    state
        .set_send_buffer_size(socket.into(), SOCKET_BUFFER / 4)
        .ok();
    rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER).ok();
}

/// Waits until the socket is ready or a tick has passed.
fn wait(socket: &UdpSocket, flags: PollFlags) {
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: TICK.as_nanos() as i64,
    };
    let mut fds = [PollFd::new(socket, flags)];
    // An interrupted or failed wait leads to another attempt, which tells.
    poll(&mut fds, Some(&tick)).ok();
}

/// The receive thread: takes what the socket has and hands it to the sessions.
fn receive(shared: &Shared) {
    let mut buffers: Vec<Vec<u8>> = (0..BATCH_SIZE).map(|_| vec![0; BUFFER_SIZE]).collect();
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    // Without it pauses are a little longer.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(TIMER_SLACK_NANOS)).ok();
    let mut gather = Gather::new(Instant::now(), shared.receive_buffer);
    while !shared.stop.load(Ordering::Relaxed) {
        let received = {
            let mut slices: Vec<_> = buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
            shared
                .state
                .recv((&shared.socket).into(), &mut slices, &mut metas)
        };
        match received {
            Ok(count) => {
                let at = Instant::now();
                let (mut datagrams, mut bytes) = (0, 0);
                for (buffer, meta) in buffers.iter_mut().zip(&metas[..count]) {
                    datagrams += meta.len.div_ceil(meta.stride.max(1));
                    bytes += meta.len;
                    dispatch(shared, buffer, meta, at);
                }
                if let Some(pause) = gather.after(at, datagrams, bytes) {
                    std::thread::sleep(pause);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                shared.refused.store(true, Ordering::Relaxed);
            }
            Err(_) => wait(&shared.socket, PollFlags::IN),
        }
    }
}

fn dispatch(shared: &Shared, buffer: &mut Vec<u8>, meta: &RecvMeta, at: Instant) {
    let first = &buffer[..meta.len.min(meta.stride)];
    let session = session_id_of(first).and_then(|id| {
        let sessions = shared.sessions.read().ok()?;
        sessions.open.get(&id.0).cloned()
    });
    let Some(inbox) = session else {
        if !aside::dispatch(shared, buffer, meta, at) {
            shared.unknown.fetch_add(1, Ordering::Relaxed);
        }
        return;
    };
    if inbox.bytes.load(Ordering::Relaxed) > QUEUE_BYTES {
        shared.overflow.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let bytes = if meta.len <= COPY_BELOW {
        buffer[..meta.len].to_vec()
    } else {
        // Buffers keep their full length: cutting one to what it brought would mean to zero the rest of it next time.
        std::mem::replace(buffer, shared.spare.take())
    };
    let held = bytes.capacity();
    let inbound = Inbound {
        from: meta.addr,
        at,
        bytes,
        length: meta.len,
        stride: meta.stride.max(1),
        congestion_mark: meta.ecn == Some(EcnCodepoint::Ce),
    };
    inbox.bytes.fetch_add(held, Ordering::Relaxed);
    if inbox.queue.try_send(inbound).is_err() {
        inbox.bytes.fetch_sub(held, Ordering::Relaxed);
        shared.overflow.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
