//! Several flows at one bottleneck: sessions of ours, and TCP beside them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netsim::{HostId, LinkConfig, LinkId, Network};

use super::keys;
use super::programs::{Receiving, Sending};
use super::station::Station;
use super::tcp::{PACKET, TcpFlow, TcpKind};
use crate::session::{MAX_SEGMENTS, Statistics};
use crate::{Event, RateLimits, Role, Session, SessionConfig, SessionId, Side, TransmitBatch};

/// Bytes of a TCP acknowledgement without headers.
const ACK: usize = 24;
/// Bytes of a file that no simulation comes to the end of.
const ENDLESS: u64 = 1 << 45;

/// One flow of an [`Arena`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowId(usize);

#[derive(Debug)]
enum Flow {
    Ours {
        sender: Box<Station>,
        receiver: Box<Station>,
        sending: Sending,
        receiving: Box<Receiving>,
        received: u64,
    },
    Tcp(Box<TcpFlow>),
}

#[derive(Debug)]
struct Place {
    flow: Flow,
    near: HostId,
    far: HostId,
    starts: Instant,
    ends: Option<Instant>,
    due: Option<Instant>,
}

/// Flows that share one bottleneck, on a virtual clock.
#[derive(Debug)]
pub struct Arena {
    epoch: Instant,
    now: Instant,
    seed: u64,
    network: Network<Vec<u8>>,
    bottleneck: LinkId,
    places: Vec<Place>,
    /// Which flow a host belongs to, by the host's number in order of creation.
    owners: Vec<(HostId, usize, bool)>,
    batch: TransmitBatch,
}

impl Arena {
    /// An arena with this bottleneck in the direction of the data; its own delay comes on top of each flow's.
    pub fn new(seed: u64, bottleneck: LinkConfig) -> Self {
        let epoch = Instant::now();
        let mut network = Network::new(epoch, seed);
        let bottleneck = network.add_link(bottleneck);
        Self {
            epoch,
            now: epoch,
            seed,
            network,
            bottleneck,
            places: Vec::new(),
            owners: Vec::new(),
            batch: TransmitBatch::new(MAX_SEGMENTS),
        }
    }

    /// Adds a session of ours that has an endless file to send.
    pub fn add(&mut self, starts: Duration, rtt: Duration, limits: RateLimits) -> FlowId {
        self.add_files(starts, rtt, limits, vec![ENDLESS])
    }

    /// Adds a session of ours that sends files of these sizes in bytes, one after the other. The simulation panics when a session ends, so
    /// there must be more of them than it sends.
    pub fn add_files(
        &mut self,
        starts: Duration,
        rtt: Duration,
        limits: RateLimits,
        sizes: Vec<u64>,
    ) -> FlowId {
        let number = self.places.len();
        let keys = keys(SessionId(self.seed ^ (number as u64) << 32));
        let starts_at = self.epoch + starts;
        let (near, far) = self.hosts(rtt);
        let end = |side, role, seed| {
            let config = SessionConfig {
                limits,
                max_datagram: 1472,
                receive_buffer: 4 << 20,
                rtt: Some(rtt),
                time_of_day: starts,
                ..SessionConfig::new(side, role, keys.clone(), seed)
            };
            Box::new(Station::new(starts_at, Session::new(starts_at, config)))
        };
        let server = self.network.address(far);
        let seed = self.seed + number as u64;
        let flow = Flow::Ours {
            sender: end(Side::Client { server }, Role::Sender, seed),
            receiver: end(Side::Server, Role::Receiver, !seed),
            sending: Sending::files(sizes),
            receiving: Box::new(Receiving::blind()),
            received: 0,
        };
        self.place(flow, near, far, starts_at)
    }

    /// Adds a TCP flow that has an endless file to send.
    pub fn add_tcp(&mut self, starts: Duration, rtt: Duration, kind: TcpKind) -> FlowId {
        let (near, far) = self.hosts(rtt);
        let starts_at = self.epoch + starts;
        let flow = Flow::Tcp(Box::new(TcpFlow::new(kind, starts_at)));
        self.place(flow, near, far, starts_at)
    }

    /// Ends a flow abruptly at this moment.
    pub fn end_at(&mut self, flow: FlowId, at: Duration) {
        self.places[flow.0].ends = Some(self.epoch + at);
    }

    /// File bytes of a flow that have arrived.
    pub fn received(&self, flow: FlowId) -> u64 {
        match &self.places[flow.0].flow {
            Flow::Ours { received, .. } => *received,
            Flow::Tcp(tcp) => tcp.goodput(),
        }
    }

    /// The sender's statistics; nothing for a TCP flow.
    pub fn statistics(&self, flow: FlowId) -> Option<Statistics> {
        match &self.places[flow.0].flow {
            Flow::Ours { sender, .. } => Some(sender.session.statistics()),
            Flow::Tcp(_) => None,
        }
    }

    /// Changes the limits of a session of ours from now on.
    pub fn set_limits(&mut self, flow: FlowId, limits: RateLimits) {
        if let Flow::Ours { sender, .. } = &mut self.places[flow.0].flow {
            sender.session.set_limits(self.now, limits);
        }
    }

    /// Says what the storage of a session of ours takes from now on.
    pub fn set_storage(&mut self, flow: FlowId, rate: Option<crate::Rate>) {
        if let Flow::Ours { receiver, .. } = &mut self.places[flow.0].flow {
            receiver.session.set_storage_rate(rate);
        }
    }

    /// Makes a receiver's clock run fast by so many millionths; set it before the flow starts.
    pub fn set_skew(&mut self, flow: FlowId, millionths: f64) {
        if let Flow::Ours { receiver, .. } = &mut self.places[flow.0].flow {
            receiver.set_clock(1.0 + millionths / 1e6);
        }
    }

    /// Stops a receiver for a while, as a host does to a virtual machine.
    pub fn pause_receiver(&mut self, flow: FlowId, time: Duration) {
        if let Flow::Ours { receiver, .. } = &mut self.places[flow.0].flow {
            receiver.pause(self.now + time);
        }
    }

    /// Changes the bottleneck from now on.
    pub fn change_bottleneck(&mut self, change: impl Fn(&mut LinkConfig)) {
        let mut config = self.network.link_config(self.bottleneck).clone();
        change(&mut config);
        self.network.set_link(self.now, self.bottleneck, config);
    }

    /// Counters of the bottleneck.
    pub fn counters(&self) -> netsim::LinkCounters {
        self.network.link_counters(self.bottleneck)
    }

    /// How long a packet that reaches the bottleneck now waits.
    pub fn queue_delay(&self) -> Duration {
        self.network.queue_delay(self.now, self.bottleneck)
    }

    /// Virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    /// Runs until this virtual time and returns what each flow received meanwhile.
    pub fn run_until(&mut self, until: Duration) -> Vec<u64> {
        let ids = || (0..self.places.len()).map(FlowId);
        let before: Vec<u64> = ids().map(|id| self.received(id)).collect();
        let until = self.epoch + until;
        while self.now < until && self.step(until) {}
        (0..before.len())
            .map(|i| self.received(FlowId(i)) - before[i])
            .collect()
    }

    fn hosts(&mut self, rtt: Duration) -> (HostId, HostId) {
        let number = self.owners.len() as u16;
        let mut host = |side: u8| {
            let [high, low] = number.to_be_bytes();
            let address = SocketAddr::from(([10, side, high, low], 33_001));
            self.network.add_host(address).expect("a new address")
        };
        let (near, far) = (host(0), host(1));
        let delay = LinkConfig {
            delay: rtt / 2,
            ..LinkConfig::default()
        };
        // What senders and switches do to spacing: without it, packets fall into step and one flow takes every loss.
        let first = self.network.add_link(LinkConfig {
            jitter: netsim::Jitter::Uniform {
                max: Duration::from_micros(300),
            },
            ..LinkConfig::default()
        });
        let there = self.network.add_link(delay.clone());
        let back = self.network.add_link(delay);
        self.network
            .set_route(near, far, &[first, self.bottleneck, there]);
        self.network.set_route(far, near, &[back]);
        (near, far)
    }

    fn place(&mut self, flow: Flow, near: HostId, far: HostId, starts: Instant) -> FlowId {
        let number = self.places.len();
        self.owners.push((near, number, true));
        self.owners.push((far, number, false));
        self.places.push(Place {
            flow,
            near,
            far,
            starts,
            ends: None,
            due: Some(starts),
        });
        FlowId(number)
    }

    fn step(&mut self, until: Instant) -> bool {
        let due = self.places.iter().filter_map(|place| place.due).min();
        let Some(next) = due.into_iter().chain(self.network.next_event()).min() else {
            return false;
        };
        self.now = self.now.max(next.min(until));
        while let Some(delivery) = self.network.poll(self.now) {
            let (_, number, is_near) = self.owners[self.owner(delivery.host)];
            self.deliver(number, is_near, delivery.src, delivery.payload);
            self.places[number].due = Some(self.now);
        }
        for number in 0..self.places.len() {
            if self.places[number].due.is_some_and(|due| due <= self.now) {
                self.settle(number);
            }
        }
        true
    }

    fn owner(&self, host: HostId) -> usize {
        self.owners
            .binary_search_by_key(&host, |(host, ..)| *host)
            .expect("every host has an owner")
    }

    fn deliver(&mut self, number: usize, is_near: bool, from: SocketAddr, mut bytes: Vec<u8>) {
        let now = self.now;
        let place = &mut self.places[number];
        match &mut place.flow {
            Flow::Tcp(tcp) => {
                let packet = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
                if is_near {
                    tcp.on_ack(now, packet);
                } else {
                    bytes.truncate(ACK);
                    let (near, far) = (place.near, place.far);
                    let addresses = (self.network.address(far), self.network.address(near));
                    self.network.send(now, addresses.0, addresses.1, bytes);
                }
            }
            Flow::Ours {
                sender,
                receiver,
                received,
                ..
            } => {
                let station = if is_near { sender } else { receiver };
                *received += station.receive(now, from, bytes);
            }
        }
    }

    /// Lets a flow do what it can now.
    fn settle(&mut self, number: usize) {
        let now = self.now;
        let Place {
            flow,
            near,
            far,
            starts,
            ends,
            due,
        } = &mut self.places[number];
        if ends.is_some_and(|ends| now >= ends) {
            *due = None;
            return;
        }
        if now < *starts {
            *due = Some(*starts);
            return;
        }
        let (near, far) = (self.network.address(*near), self.network.address(*far));
        match flow {
            Flow::Tcp(tcp) => {
                while let Some(packet) = tcp.poll(now) {
                    let mut bytes = vec![0; PACKET];
                    bytes[..8].copy_from_slice(&packet.to_be_bytes());
                    self.network.send(now, near, far, bytes);
                }
                *due = Some(tcp.due());
            }
            Flow::Ours {
                sender,
                receiver,
                sending,
                receiving,
                received,
            } => {
                for (station, from, is_sender) in
                    [(&mut *sender, near, true), (&mut *receiver, far, false)]
                {
                    *received += station.wake(now);
                    loop {
                        while let Some(event) = station.session.poll_event() {
                            assert!(
                                !matches!(event, Event::Closed(_)),
                                "an endless flow has ended: {event:?}"
                            );
                            match is_sender {
                                true => sending.on_event(&mut station.session, &event),
                                false => receiving.on_event(&mut station.session, event),
                            }
                        }
                        if is_sender {
                            sending.fill(&mut station.session);
                        }
                        if !station.transmit(now, &mut self.batch) {
                            break;
                        }
                        let to = self.batch.destination().expect("a batch has a destination");
                        for datagram in self.batch.bytes().chunks(self.batch.segment_size()) {
                            self.network.send(now, from, to, datagram.to_vec());
                        }
                    }
                }
                *due = sender.due(now).into_iter().chain(receiver.due(now)).min();
            }
        }
        if let Some(ends) = *ends {
            *due = due.map(|due| due.min(ends));
        }
    }
}
