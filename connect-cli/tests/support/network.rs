//! A second address of the server that forwards TCP always and UDP only as far as the test wants.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
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
    /// They pass in both directions until the path is [cut](Forwarder::cut).
    Open,
}

/// The second address. Threads of it end with the test's process.
#[derive(Debug)]
pub(crate) struct Forwarder {
    pub(crate) address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    passed: Arc<AtomicUsize>,
}

impl Forwarder {
    pub(crate) fn new(server: SocketAddr, udp: Udp) -> Self {
        let address = second_way(server);
        let listener = TcpListener::bind(address).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                pass_tcp(stream.unwrap(), server);
            }
        });
        let (is_cut, passed) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        if udp != Udp::Refused {
            let socket = UdpSocket::bind(address).unwrap();
            let path = Path {
                client_side: socket,
                is_cut: Arc::clone(&is_cut),
                passed: Arc::clone(&passed),
            };
            thread::spawn(move || path.run(udp, server));
        }
        Self {
            address,
            is_cut,
            passed,
        }
    }

    /// Lets no datagram pass from now on.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// Waits until so many datagrams have come from the client.
    pub(crate) fn wait_for(&self, datagrams: usize) {
        while self.passed.load(Ordering::Relaxed) < datagrams {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn pass_tcp(client: TcpStream, server: SocketAddr) {
    let Ok(server) = TcpStream::connect(server) else {
        return;
    };
    for (mut from, mut to) in [
        (client.try_clone().unwrap(), server.try_clone().unwrap()),
        (server, client),
    ] {
        thread::spawn(move || {
            // Whatever ends one direction is passed on as its end.
            io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Write).ok();
        });
    }
}

struct Path {
    client_side: UdpSocket,
    is_cut: Arc<AtomicBool>,
    passed: Arc<AtomicUsize>,
}

impl Path {
    fn run(self, udp: Udp, server: SocketAddr) {
        let server_side = UdpSocket::bind("127.0.0.1:0").unwrap();
        server_side.connect(server).unwrap();
        let mut buffer = vec![0; 1 << 16];
        let mut answers = None;
        while let Ok((length, client)) = self.client_side.recv_from(&mut buffer) {
            self.passed.fetch_add(1, Ordering::Relaxed);
            if udp == Udp::Swallowed || self.is_cut.load(Ordering::Relaxed) {
                continue;
            }
            server_side.send(&buffer[..length]).ok();
            if udp == Udp::Open && answers.is_none() {
                let (from, to) = (
                    server_side.try_clone().unwrap(),
                    self.client_side.try_clone().unwrap(),
                );
                let is_cut = Arc::clone(&self.is_cut);
                answers = Some(thread::spawn(move || {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(length) = from.recv(&mut buffer) {
                        if !is_cut.load(Ordering::Relaxed) {
                            to.send_to(&buffer[..length], client).ok();
                        }
                    }
                }));
            }
        }
    }
}
