//! Two sessions on a network.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use netsim::{HostId, LinkConfig, LinkId, Network};
use zeroize::Zeroizing;

use super::programs::{Receiving, Sending};
use super::{Run, Scenario, synthetic};
use crate::session::Closed;
use crate::{
    BlockWrite, Event, KeyMaterial, RateLimits, Role, Session, SessionConfig, SessionId, Side,
    TransferId, TransmitBatch,
};

/// One end: a session, where it lives, and what it does with events.
#[derive(Debug)]
struct End {
    session: Session,
    host: HostId,
    closed: Option<Closed>,
    writes: Vec<BlockWrite>,
}

/// Two ends on a network.
#[derive(Debug)]
pub struct Pair {
    epoch: Instant,
    now: Instant,
    network: Network<Vec<u8>>,
    client: End,
    server: End,
    sending: Sending,
    receiving: Receiving,
    upload: bool,
    batch: TransmitBatch,
    links: (LinkId, LinkId),
    finished: Option<Instant>,
    received_bytes: u64,
    /// Bytes that the server received from and sent to each address.
    traffic: BTreeMap<SocketAddr, (u64, u64)>,
    /// Source address that the client pretends to have.
    spoofed: Option<SocketAddr>,
    /// Every datagram that arrived, when somebody wants to replay them.
    capture: Option<Vec<(bool, SocketAddr, Vec<u8>)>>,
    /// Steps in a row that did not move the clock.
    idle_steps: u32,
}

/// More steps than this without the clock moving are a timer that has passed and does nothing.
const MAX_IDLE_STEPS: u32 = 1000;

/// Keys that everybody knows, for a session.
pub fn keys(session: SessionId) -> KeyMaterial {
    KeyMaterial {
        client_random: Zeroizing::new([1; 32]),
        server_random: Zeroizing::new([2; 32]),
        channel_binding: [3; 32],
        session,
        transfer: TransferId([4; 16]),
    }
}

impl Pair {
    /// Sets both ends up; nothing has been sent yet.
    pub fn new(scenario: Scenario) -> Self {
        let epoch = Instant::now();
        let mut network = Network::new(epoch, scenario.seed);
        let client_address = SocketAddr::from(([10, 0, 0, 1], 40_000));
        let server_address = SocketAddr::from(([10, 0, 0, 2], 33_001));
        let client = network.add_host(client_address).expect("first address");
        let server = network.add_host(server_address).expect("second address");
        let links = network.connect(
            client,
            server,
            scenario.uplink.clone(),
            scenario.downlink.clone(),
        );
        let keys = keys(SessionId(scenario.seed ^ 0x5555_aaaa));
        let (up, down) = match scenario.upload {
            true => (Role::Sender, Role::Receiver),
            false => (Role::Receiver, Role::Sender),
        };
        let end = |side, role, host, seed| {
            let config = SessionConfig {
                cipher: scenario.cipher,
                limits: scenario.limits,
                max_datagram: scenario.max_datagram,
                receive_buffer: 4 << 20,
                rtt: scenario.rtt,
                leaves: scenario.leaves,
                path: scenario.path,
                ..SessionConfig::new(side, role, keys.clone(), seed)
            };
            End {
                session: Session::new(epoch, config),
                host,
                closed: None,
                writes: Vec::new(),
            }
        };
        Self {
            epoch,
            now: epoch,
            client: end(
                Side::Client {
                    server: server_address,
                },
                up,
                client,
                scenario.seed,
            ),
            server: end(Side::Server, down, server, !scenario.seed),
            network,
            sending: Sending {
                files: scenario.files,
                next: 0,
                asks_first: scenario.asks_first,
                ended: false,
                totals: None,
                settled: 0,
            },
            receiving: Receiving::default(),
            upload: scenario.upload,
            batch: TransmitBatch::new(crate::session::MAX_SEGMENTS),
            links,
            finished: None,
            received_bytes: 0,
            traffic: BTreeMap::new(),
            spoofed: None,
            capture: None,
            idle_steps: 0,
        }
    }

    /// Whether the client has sent its last datagram.
    pub fn is_client_closed(&self) -> bool {
        self.client.session.is_closed()
    }

    /// Runs until both ends are closed or `limit` of virtual time has passed.
    pub fn run(&mut self, limit: Duration) -> Run {
        while self.now < self.epoch + limit && !self.is_over() {
            if !self.step() {
                break;
            }
        }
        // What the last step delivered may have ended a session: hear it out.
        self.settle(true);
        self.settle(false);
        self.result()
    }

    /// Runs for `time` of virtual time.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until && !self.is_over() && self.step() {}
    }

    /// Whether both ends are closed.
    pub fn is_over(&self) -> bool {
        self.client.session.is_closed() && self.server.session.is_closed()
    }

    /// File bytes that have arrived.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    /// The sending session.
    pub fn sender(&mut self) -> &mut Session {
        if self.upload {
            &mut self.client.session
        } else {
            &mut self.server.session
        }
    }

    /// Gives the client another address, as a NAT does.
    pub fn rebind_client(&mut self, address: SocketAddr) {
        // The simulation never hands out the same address twice.
        self.network
            .rebind(self.client.host, address)
            .expect("a new address");
    }

    /// Makes the client's datagrams seem to come from an address where nobody listens.
    pub fn spoof_client(&mut self, address: Option<SocketAddr>) {
        self.spoofed = address;
    }

    /// Bytes that the server received from an address and sent to it.
    pub fn server_traffic(&self, address: SocketAddr) -> (u64, u64) {
        self.traffic.get(&address).copied().unwrap_or_default()
    }

    /// Remembers every datagram that arrives from now on.
    pub fn capture(&mut self) {
        self.capture = Some(Vec::new());
    }

    /// Delivers everything captured so far once more; returns how many datagrams that is.
    pub fn replay(&mut self) -> usize {
        let capture = self.capture.take().unwrap_or_default();
        for (is_client, from, datagram) in &capture {
            self.deliver(*is_client, *from, datagram.clone());
        }
        capture.len()
    }

    /// Delivers a datagram to the server from an address of nobody's.
    pub fn inject(&mut self, from: SocketAddr, datagram: Vec<u8>) {
        self.deliver(false, from, datagram);
    }

    /// The session's id, which everybody on the path can read.
    pub fn session_id(&self) -> SessionId {
        self.client.session.id()
    }

    /// Changes something about both directions of the link from now on.
    pub fn change_links(&mut self, change: impl Fn(&mut LinkConfig)) {
        for link in [self.links.0, self.links.1] {
            let mut config = self.network.link_config(link).clone();
            change(&mut config);
            self.network.set_link(self.now, link, config);
        }
    }

    /// Largest queueing delay of the data direction so far.
    pub fn max_queue_delay(&self) -> Duration {
        let link = if self.upload {
            self.links.0
        } else {
            self.links.1
        };
        self.network.link_counters(link).max_queue_delay
    }

    /// Changes the sender's limits from now on.
    pub fn set_limits(&mut self, limits: RateLimits) {
        let now = self.now;
        self.sender().set_limits(now, limits);
    }

    /// How it went so far.
    pub fn result(&self) -> Run {
        let (sender, receiver) = match self.upload {
            true => (&self.client, &self.server),
            false => (&self.server, &self.client),
        };
        let data = self.receiving.first_data.zip(self.receiving.last_data);
        Run {
            elapsed: self.finished.unwrap_or(self.now) - self.epoch,
            data_time: data.map_or(Duration::ZERO, |(first, last)| last - first),
            sender: sender.closed.clone(),
            receiver: receiver.closed.clone(),
            totals: self.sending.totals,
            sent: sender.session.statistics(),
            received: receiver.session.statistics(),
            complete: self.receiving.complete.len(),
        }
    }

    /// Lets both ends do what they can now, then jumps to the next moment anything happens.
    fn step(&mut self) -> bool {
        self.settle(true);
        self.settle(false);
        let timeouts = [
            self.client.session.poll_timeout(),
            self.server.session.poll_timeout(),
        ];
        let next = timeouts
            .into_iter()
            .flatten()
            .chain(self.network.next_event())
            .min();
        let Some(next) = next else { return false };
        self.idle_steps = if next > self.now {
            0
        } else {
            self.idle_steps + 1
        };
        assert!(
            self.idle_steps < MAX_IDLE_STEPS,
            "a timer that has passed does nothing: {timeouts:?} at {:?}",
            self.now
        );
        self.now = self.now.max(next);
        while let Some(delivery) = self.network.poll(self.now) {
            let is_client = delivery.host == self.client.host;
            self.deliver(is_client, delivery.src, delivery.payload);
        }
        self.client.session.handle_timeout(self.now);
        self.server.session.handle_timeout(self.now);
        true
    }

    fn deliver(&mut self, is_client: bool, from: SocketAddr, mut datagram: Vec<u8>) {
        let now = self.now;
        let from = self.spoofed.filter(|_| !is_client).unwrap_or(from);
        if !is_client {
            self.traffic.entry(from).or_default().0 += datagram.len() as u64;
        }
        if let Some(capture) = &mut self.capture {
            capture.push((is_client, from, datagram.clone()));
        }
        let end = if is_client {
            &mut self.client
        } else {
            &mut self.server
        };
        let mut writes = std::mem::take(&mut end.writes);
        end.session
            .handle_datagram(now, from, false, &mut datagram, &mut writes);
        for write in writes.drain(..) {
            self.receiving.first_data.get_or_insert(now);
            self.receiving.last_data = Some(now);
            self.received_bytes += write.length as u64;
            self.receiving
                .on_write(&write, &datagram[write.at..write.at + write.length]);
        }
        end.writes = writes;
    }

    /// Events and transmissions of one end until there are none.
    fn settle(&mut self, is_client: bool) {
        let is_sender = is_client == self.upload;
        let now = self.now;
        loop {
            let end = if is_client {
                &mut self.client
            } else {
                &mut self.server
            };
            while let Some(event) = end.session.poll_event() {
                if let Event::Closed(closed) = &event {
                    end.closed = Some(closed.clone());
                    if is_sender {
                        self.finished = Some(now);
                    }
                }
                if is_sender {
                    self.sending.on_event(&mut end.session, &event);
                } else {
                    self.receiving.on_event(&mut end.session, event);
                }
            }
            if is_sender {
                self.sending.fill(&mut end.session);
            }
            if !end.session.poll_transmit(now, &mut self.batch) {
                return;
            }
            for read in self.batch.reads().to_vec() {
                synthetic(read.file, read.offset, self.batch.room(&read));
            }
            end.session.seal(now, &mut self.batch);
            let Some(to) = self.batch.destination() else {
                return;
            };
            let from = self.network.address(end.host);
            if !is_client {
                self.traffic.entry(to).or_default().1 += self.batch.bytes().len() as u64;
            }
            for datagram in self.batch.bytes().chunks(self.batch.segment_size()) {
                self.network.send(now, from, to, datagram.to_vec());
            }
        }
    }
}
