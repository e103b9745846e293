//! What a session is told when it starts.

use std::{net::SocketAddr, time::Duration};

use crate::path::AddressToken;
use crate::rate::{PathMemory, RateLimits};
use crate::wire::header::MAX_DATAGRAM;
use crate::{DatagramCipher, KeyMaterial};

/// Which end of the control connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Opened the control connection; says `HELLO` to this address.
    Client {
        /// The server's UDP address.
        server: SocketAddr,
    },
    /// Answered it.
    Server,
}

/// What this end does with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends files.
    Sender,
    /// Receives files.
    Receiver,
}

/// Everything a session needs to know; the keys come from the control channel.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Which end this is.
    pub side: Side,
    /// What it does.
    pub role: Role,
    /// What the keys are derived from.
    pub keys: KeyMaterial,
    /// Protection of datagrams.
    pub cipher: DatagramCipher,
    /// Largest datagram that this end sends or accepts, in bytes of UDP payload.
    pub max_datagram: u16,
    /// Bytes that the socket's receive buffer holds.
    pub receive_buffer: u32,
    /// Memory for pages, in bytes.
    pub page_memory: u64,
    /// Rates and policy; used by the end that sends.
    pub limits: RateLimits,
    /// Round-trip time measured on the control connection.
    pub rtt: Option<Duration>,
    /// Time since 1970 by this end's clock when the session starts: senders that share a path drain its queue at the same
    /// moments (docs/rate-control.md). Clocks that are wrong cost precision, nothing else.
    pub time_of_day: Duration,
    /// What an earlier session saw of the path (protocol §11).
    pub path: Option<PathMemory>,
    /// The challenge that went over the control connection; nothing where its peer is not known (protocol §8.2).
    pub address_token: Option<AddressToken>,
    /// A client leaves as soon as its work is done, without waiting for the server's word (protocol §10.1).
    pub leaves: bool,
    /// Seed of everything drawn at random: skipped numbers and challenges. From the operating system.
    pub seed: u64,
    /// Nothing valid for this long ends the session with code 40.
    pub data_timeout: Duration,
    /// No first datagram for this long ends it with code 15.
    pub hello_timeout: Duration,
}

impl SessionConfig {
    /// Memory for pages unless said otherwise: 32 MiB.
    pub const PAGE_MEMORY: u64 = 32 << 20;
    /// Data time-out unless said otherwise.
    pub const DATA_TIMEOUT: Duration = Duration::from_secs(60);
    /// How long a client waits for the first answer.
    pub const CLIENT_HELLO_TIMEOUT: Duration = Duration::from_secs(10);
    /// How long a server waits for `HELLO`.
    pub const SERVER_HELLO_TIMEOUT: Duration = Duration::from_secs(15);

    /// Fills in the usual values around what differs from session to session.
    pub fn new(side: Side, role: Role, keys: KeyMaterial, seed: u64) -> Self {
        let hello_timeout = match side {
            Side::Client { .. } => Self::CLIENT_HELLO_TIMEOUT,
            Side::Server => Self::SERVER_HELLO_TIMEOUT,
        };
        Self {
            side,
            role,
            keys,
            cipher: DatagramCipher::default(),
            max_datagram: MAX_DATAGRAM as u16,
            receive_buffer: 212_992,
            page_memory: Self::PAGE_MEMORY,
            limits: RateLimits::default(),
            rtt: None,
            time_of_day: Duration::ZERO,
            path: None,
            address_token: None,
            leaves: false,
            seed,
            data_timeout: Self::DATA_TIMEOUT,
            hello_timeout,
        }
    }
}
