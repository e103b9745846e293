//! What a run is given and what comes out of it.

use std::time::Duration;

use netsim::LinkConfig;

use crate::session::{Closed, Statistics};
use crate::{DatagramCipher, PathMemory, RateLimits, Totals};

/// What to send and over what.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Seed of the network, the sessions and everything drawn at random.
    pub seed: u64,
    /// Sizes of the files, in the order of their numbers.
    pub files: Vec<u64>,
    /// Link from the client to the server.
    pub uplink: LinkConfig,
    /// Link from the server to the client.
    pub downlink: LinkConfig,
    /// Whether the client sends.
    pub upload: bool,
    /// Whether small files wait to be asked for.
    pub asks_first: bool,
    /// Rates of the sender.
    pub limits: RateLimits,
    /// Protection of datagrams.
    pub cipher: DatagramCipher,
    /// Largest datagram of both ends.
    pub max_datagram: u16,
    /// Whether the client ends with its work, without waiting for the server.
    pub leaves: bool,
    /// What the sender remembers of the path.
    pub path: Option<PathMemory>,
    /// Round-trip time that the control connection measured.
    pub rtt: Option<Duration>,
}

impl Scenario {
    /// An upload of `files` over a link, the same both ways.
    pub fn new(seed: u64, files: Vec<u64>, link: LinkConfig) -> Self {
        let rtt = Some(link.delay * 2).filter(|rtt| !rtt.is_zero());
        Self {
            seed,
            files,
            uplink: link.clone(),
            downlink: link,
            upload: true,
            asks_first: false,
            limits: RateLimits::default(),
            cipher: DatagramCipher::Aes128Gcm,
            max_datagram: 1472,
            leaves: false,
            path: None,
            rtt,
        }
    }
}

/// How a run went.
#[derive(Debug, Clone)]
pub struct Run {
    /// Virtual time from the first datagram to the end of the sender.
    pub elapsed: Duration,
    /// From the first data at the receiver to the last.
    pub data_time: Duration,
    /// How the sender ended.
    pub sender: Option<Closed>,
    /// How the receiver ended.
    pub receiver: Option<Closed>,
    /// The receiver's count, as the sender learned it.
    pub totals: Option<Totals>,
    /// The sender's statistics.
    pub sent: Statistics,
    /// The receiver's statistics.
    pub received: Statistics,
    /// Files that are whole at the receiver.
    pub complete: usize,
}

impl Run {
    /// Whether every file arrived and both ends know it.
    pub fn is_success(&self, files: usize) -> bool {
        let is_good = |end: &Option<Closed>| end.as_ref().is_some_and(|c| c.error.is_none());
        self.complete == files
            && is_good(&self.sender)
            && is_good(&self.receiver)
            && self.totals.is_some_and(|t| t.done == files as u64)
    }
}
