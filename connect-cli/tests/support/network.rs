//! A second address of the server that forwards TCP always and UDP only as far as the test wants.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use super::second_way;

/// What becomes of datagrams to the second address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Udp {
    /// Nobody listens there, which the system tells the sender.
    Refused,
    /// They vanish.
    Swallowed,
    /// They reach the server, but its answers vanish.
    OneWay,
    /// They pass in both directions.
    Open,
}

/// Looks at everything that passes, in both directions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wire(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    needle: Vec<u8>,
    bytes: AtomicU64,
    times: AtomicU64,
}

impl Wire {
    /// Counts the datagrams and pieces of streams that have these bytes in them.
    pub(crate) fn looking_for(needle: &[u8]) -> Self {
        Self(Arc::new(Seen {
            needle: needle.to_vec(),
            ..Seen::default()
        }))
    }

    /// How many bytes have passed.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// How many pieces had the bytes in them.
    pub(crate) fn times(&self) -> u64 {
        self.0.times.load(Ordering::Relaxed)
    }

    fn look(&self, piece: &[u8]) {
        let Seen {
            needle,
            bytes,
            times,
        } = &*self.0;
        bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        if !needle.is_empty() && piece.windows(needle.len()).any(|window| window == needle) {
            times.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The second address. Threads of it end with the test's process.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(crate) address: SocketAddr,
}

impl Forwarder {
    pub(crate) fn new(server: SocketAddr, udp: Udp) -> Self {
        Self::watched(server, udp, &Wire::default())
    }

    /// One that shows what passes.
    pub(crate) fn watched(server: SocketAddr, udp: Udp, wire: &Wire) -> Self {
        let address = second_way(server);
        let listener = TcpListener::bind(address).unwrap();
        let of_tcp = wire.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                pass_tcp(stream.unwrap(), server, &of_tcp);
            }
        });
        if udp != Udp::Refused {
            let socket = UdpSocket::bind(address).unwrap();
            let of_udp = wire.clone();
            thread::spawn(move || pass_udp(&socket, udp, server, &of_udp));
        }
        Self { address }
    }
}

fn pass_tcp(client: TcpStream, server: SocketAddr, wire: &Wire) {
    let Ok(server) = TcpStream::connect(server) else {
        return;
    };
    for (mut from, mut to) in [
        (client.try_clone().unwrap(), server.try_clone().unwrap()),
        (server, client),
    ] {
        let wire = wire.clone();
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            // Whatever ends one direction is passed on as its end.
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                wire.look(&buffer[..length]);
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            to.shutdown(Shutdown::Write).ok();
        });
    }
}

fn pass_udp(client_side: &UdpSocket, udp: Udp, server: SocketAddr, wire: &Wire) {
    // Not the address that the control connection comes from.
    let server_side = UdpSocket::bind("127.0.0.3:0").unwrap();
    server_side.connect(server).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let mut answers = None;
    let last_client = Arc::new(Mutex::new(None));
    while let Ok((length, client)) = client_side.recv_from(&mut buffer) {
        wire.look(&buffer[..length]);
        if udp == Udp::Swallowed {
            continue;
        }
        // A full buffer on the other side is a loss like any other.
        server_side.send(&buffer[..length]).ok();
        *last_client.lock().unwrap() = Some(client);
        if udp == Udp::Open && answers.is_none() {
            let from = server_side.try_clone().unwrap();
            let to = client_side.try_clone().unwrap();
            let last_client = Arc::clone(&last_client);
            let wire = wire.clone();
            answers = Some(thread::spawn(move || {
                pass_answers(&from, &to, &last_client, &wire);
            }));
        }
    }
}

/// One client after the other: answers go to the one that was heard last.
fn pass_answers(from: &UdpSocket, to: &UdpSocket, client: &Mutex<Option<SocketAddr>>, wire: &Wire) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length) = from.recv(&mut buffer) {
        wire.look(&buffer[..length]);
        let client = *client.lock().unwrap();
        if let Some(client) = client {
            to.send_to(&buffer[..length], client).ok();
        }
    }
}

/// A way to a server that can be closed for datagrams, cut for connections, and taken from another address.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    is_open: Arc<AtomicBool>,
    is_moved: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Way {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let way = Self {
            address: second_way(server),
            is_open: Arc::new(AtomicBool::new(true)),
            is_moved: Arc::default(),
            connections: Arc::default(),
        };
        let listener = TcpListener::bind(way.address).unwrap();
        let connections = Arc::clone(&way.connections);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                connections
                    .lock()
                    .unwrap()
                    .push(stream.try_clone().unwrap());
                pass_tcp(stream, server, &Wire::default());
            }
        });
        way.pass_datagrams(server);
        way
    }

    fn pass_datagrams(&self, server: SocketAddr) {
        let client_side = UdpSocket::bind(self.address).unwrap();
        let last_client = Arc::new(Mutex::new(None));
        let sides = ["127.0.0.3:0", "127.0.0.4:0"].map(|address| {
            let side = UdpSocket::bind(address).unwrap();
            side.connect(server).unwrap();
            let (from, to) = (side.try_clone().unwrap(), client_side.try_clone().unwrap());
            let (last_client, is_open) = (Arc::clone(&last_client), Arc::clone(&self.is_open));
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(length) = from.recv(&mut buffer) {
                    let client: Option<SocketAddr> = *last_client.lock().unwrap();
                    if let Some(client) = client.filter(|_| is_open.load(Ordering::Relaxed)) {
                        to.send_to(&buffer[..length], client).ok();
                    }
                }
            });
            side
        });
        let (is_open, is_moved) = (Arc::clone(&self.is_open), Arc::clone(&self.is_moved));
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok((length, client)) = client_side.recv_from(&mut buffer) {
                *last_client.lock().unwrap() = Some(client);
                if is_open.load(Ordering::Relaxed) {
                    let side = usize::from(is_moved.load(Ordering::Relaxed));
                    sides[side].send(&buffer[..length]).ok();
                }
            }
        });
    }

    /// Lets datagrams pass, or not.
    pub(crate) fn set_open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
    }

    /// From now on the client's datagrams come from another address, and what goes to the former one is still passed on.
    pub(crate) fn move_client(&self) {
        self.is_moved.store(true, Ordering::Relaxed);
    }

    /// Ends the connections that there are.
    pub(crate) fn cut(&self) {
        for stream in self.connections.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}
