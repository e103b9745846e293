//! Where the datagrams come from and go to.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Context, Poll},
};

use tokio::{io::ReadBuf, net::UdpSocket};

use super::datagram::Keys;
use crate::port::{Aside, Port};

/// Largest datagram looked at.
const MAX_DATAGRAM: usize = 1500;

/// What one reception brought.
#[derive(Debug)]
pub(super) struct Received {
    /// Datagrams, one behind the other.
    pub(super) bytes: Vec<u8>,
    /// Size of each but the last.
    pub(super) stride: usize,
    /// Where they came from; nothing where only one address can.
    pub(super) from: Option<SocketAddr>,
}

/// One end's way to the other.
#[derive(Debug)]
pub(super) enum Carrier {
    /// A socket of its own, for the time of the log-in.
    Client {
        receiving: UdpSocket,
        /// The same socket; the runtime's would send nothing before it was told once that there is room.
        sending: std::net::UdpSocket,
    },
    /// A place on the port of the data path. The client's address is where its last valid datagram came from, if that is
    /// where TCP comes from: nobody can have copies of a log-in sent to others.
    Server {
        aside: Aside,
        ip: IpAddr,
        client: Option<SocketAddr>,
    },
}

impl Carrier {
    pub(super) fn to_server(server: SocketAddr) -> io::Result<Self> {
        let any = match server.ip() {
            IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        };
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let sending = socket.try_clone()?;
        Ok(Self::Client {
            receiving: UdpSocket::from_std(socket)?,
            sending,
        })
    }

    /// `ip` is where the client's TCP comes from.
    pub(super) fn on_port(port: &Port, keys: &Keys, ip: IpAddr) -> Option<Self> {
        Some(Self::Server {
            aside: port.aside(keys.id)?,
            ip: ip.to_canonical(),
            client: None,
        })
    }

    /// Whether it is known where the other end takes datagrams.
    pub(super) fn has_peer(&self) -> bool {
        match self {
            Self::Client { .. } => true,
            Self::Server { client, .. } => client.is_some(),
        }
    }

    /// Sends at once or not at all: TCP carries the same.
    pub(super) fn send(&self, datagram: &[u8]) {
        match self {
            Self::Client { sending, .. } => drop(sending.send(datagram)),
            Self::Server { aside, client, .. } => {
                if let Some(client) = client {
                    aside.send(*client, datagram);
                }
            }
        }
    }

    /// Returns the next datagrams; `None` when no more can come.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        match self {
            Self::Client { receiving, .. } => {
                let mut bytes = vec![0; MAX_DATAGRAM];
                let mut buffer = ReadBuf::new(&mut bytes);
                loop {
                    match receiving.poll_recv(cx, &mut buffer) {
                        Poll::Ready(Ok(())) => {
                            let length = buffer.filled().len();
                            bytes.truncate(length);
                            return Poll::Ready(Some(Received {
                                bytes,
                                stride: length.max(1),
                                from: None,
                            }));
                        }
                        // Nobody listens there, or not yet.
                        Poll::Ready(Err(error))
                            if error.kind() == io::ErrorKind::ConnectionRefused => {}
                        Poll::Ready(Err(_)) => return Poll::Ready(None),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
            Self::Server { aside, .. } => aside.poll_receive(cx).map(|inbound| {
                inbound.map(|inbound| Received {
                    bytes: inbound.bytes,
                    stride: inbound.stride,
                    from: Some(inbound.from),
                })
            }),
        }
    }

    /// Whether the other end may send from there.
    pub(super) fn may_come_from(&self, address: Option<SocketAddr>) -> bool {
        match self {
            Self::Client { .. } => true,
            Self::Server { ip, .. } => address.is_some_and(|from| from.ip().to_canonical() == *ip),
        }
    }

    /// Remembers where a valid datagram came from.
    pub(super) fn heard_from(&mut self, address: Option<SocketAddr>) {
        if let Self::Server { client, .. } = self {
            *client = address.or(*client);
        }
    }
}
