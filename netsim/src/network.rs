//! Hosts, routes and shared links.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::agenda::{Agenda, NEVER};
use crate::clock::Clock;
use crate::{Error, Link, LinkConfig, LinkCounters, NetworkCounters, Payload, Rng};

/// A host of one [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(usize);

/// A link of one [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(usize);

/// A packet that has reached its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<P> {
    /// When it arrived: never later than the latest moment the network was told.
    pub at: Instant,
    /// The host it reached.
    pub host: HostId,
    /// The sender's address as seen from outside.
    pub src: SocketAddr,
    /// The address it was sent to.
    pub dst: SocketAddr,
    /// What was sent, or what is left of it.
    pub payload: P,
}

/// Hosts joined by routes over links.
///
/// Links belong to no route: put the same [`LinkId`] into several routes and their packets share its queue.
/// Methods that take a [`HostId`] or [`LinkId`] panic when it comes from a larger network. Time only moves forward:
/// a call with a moment earlier than one the network has seen counts as made at that later one.
#[derive(Debug, Clone)]
pub struct Network<P> {
    clock: Clock,
    now: u64,
    seed: u64,
    links: Vec<Link<Packet<P>>>,
    agenda: Agenda,
    hosts: Vec<Host>,
    addresses: Vec<Address>,
    address_numbers: BTreeMap<SocketAddr, u32>,
    /// Append-only: packets under way keep the route they started on.
    routes: Vec<Route>,
    arrived: VecDeque<(u64, Packet<P>)>,
    counters: NetworkCounters,
}

#[derive(Debug, Clone)]
struct Host {
    /// Number of the address it is reached at and seen as.
    current: u32,
    /// Number of the route to each host, by the host's index.
    routes: Vec<Option<u32>>,
}

#[derive(Debug, Clone, Copy)]
struct Address {
    socket: SocketAddr,
    owner: HostId,
}

#[derive(Debug, Clone)]
struct Route {
    to: HostId,
    links: Box<[LinkId]>,
}

/// A payload under way. Addresses and route are numbers to keep it small: it is moved several times per link.
#[derive(Debug, Clone)]
struct Packet<P> {
    payload: P,
    src: u32,
    dst: u32,
    route: u32,
    next_hop: u32,
}

impl<P: Payload> Payload for Packet<P> {
    #[inline]
    fn size(&self) -> usize {
        self.payload.size()
    }

    fn corrupt(&mut self, rng: &mut Rng) {
        self.payload.corrupt(rng);
    }

    fn duplicate(&self) -> Self {
        Self {
            payload: self.payload.duplicate(),
            ..*self
        }
    }
}

impl<P: Payload> Network<P> {
    /// Returns a network without hosts. Outages count from `epoch`; the seed decides everything random.
    pub fn new(epoch: Instant, seed: u64) -> Self {
        Self {
            clock: Clock::new(epoch),
            now: 0,
            seed,
            links: Vec::new(),
            agenda: Agenda::new(),
            hosts: Vec::new(),
            addresses: Vec::new(),
            address_numbers: BTreeMap::new(),
            routes: Vec::new(),
            arrived: VecDeque::new(),
            counters: NetworkCounters::default(),
        }
    }

    /// Adds a host with an address of its own.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] when another host has, or had, this address.
    pub fn add_host(&mut self, address: SocketAddr) -> Result<HostId, Error> {
        let host = HostId(self.hosts.len());
        let current = self.claim(host, address)?;
        self.hosts.push(Host {
            current,
            routes: Vec::new(),
        });
        Ok(host)
    }

    /// Adds a link that no route uses yet.
    pub fn add_link(&mut self, config: LinkConfig) -> LinkId {
        let id = LinkId(self.links.len());
        let rng = Rng::for_part(self.seed, id.0 as u64);
        self.links.push(Link::with_rng(self.clock, config, rng));
        self.agenda.add_link();
        id
    }

    /// Sends packets between two hosts over these links, in this order; without links they arrive at once.
    ///
    /// Replaces the route in this direction. Packets under way stay on the old one.
    pub fn set_route(&mut self, from: HostId, to: HostId, links: &[LinkId]) {
        assert!(
            to.0 < self.hosts.len() && links.iter().all(|link| link.0 < self.links.len()),
            "the route leads outside its network"
        );
        let number = self.routes.len() as u32;
        self.routes.push(Route {
            to,
            links: links.into(),
        });
        let routes = &mut self.hosts[from.0].routes;
        if routes.len() <= to.0 {
            routes.resize(to.0 + 1, None);
        }
        routes[to.0] = Some(number);
    }

    /// Joins two hosts by a link of their own in each direction; returns the links from `a` to `b` and back.
    pub fn connect(
        &mut self,
        a: HostId,
        b: HostId,
        forward: LinkConfig,
        backward: LinkConfig,
    ) -> (LinkId, LinkId) {
        let links = (self.add_link(forward), self.add_link(backward));
        self.set_route(a, b, &[links.0]);
        self.set_route(b, a, &[links.1]);
        links
    }

    /// Gives a host another address, as a NAT does that forgot its mapping or a laptop that changed networks.
    ///
    /// From now on its packets carry the new source address, whichever of its addresses it names as the source,
    /// and packets to an address it has left travel their route and are dropped at its end.
    ///
    /// # Errors
    /// [`Error::AddressInUse`] when another host has, or had, this address.
    pub fn rebind(&mut self, host: HostId, address: SocketAddr) -> Result<(), Error> {
        self.hosts[host.0].current = self.claim(host, address)?;
        Ok(())
    }

    /// Sends a packet. `src` is any address the sending host has had.
    pub fn send(&mut self, now: Instant, src: SocketAddr, dst: SocketAddr, payload: P) {
        // What was already under way by now enters shared links first.
        self.advance(self.clock.nanos(now));
        match self.addressed(src, dst, payload) {
            Some(packet) => self.forward(self.now, packet),
            None => self.counters.unroutable += 1,
        }
    }

    /// Returns the next packet that has reached a host by `now`. Deliveries come in order of time.
    pub fn poll(&mut self, now: Instant) -> Option<Delivery<P>> {
        self.advance(self.clock.nanos(now));
        let (at, packet) = self.arrived.pop_front()?;
        Some(Delivery {
            at: self.clock.instant(at),
            host: self.routes[packet.route as usize].to,
            src: self.addresses[packet.src as usize].socket,
            dst: self.addresses[packet.dst as usize].socket,
            payload: packet.payload,
        })
    }

    /// Returns when [`poll`](Self::poll) should be called next; nothing is delivered earlier, but it may turn
    /// out that nothing is delivered then either. `None` when the network is empty.
    pub fn next_event(&self) -> Option<Instant> {
        let next = match self.arrived.front() {
            Some((at, _)) => *at,
            None => self.agenda.first().0,
        };
        (next != NEVER).then(|| self.clock.instant(next))
    }

    /// Changes a link in flight; see [`Link::set_config`].
    pub fn set_link(&mut self, now: Instant, link: LinkId, config: LinkConfig) {
        self.advance(self.clock.nanos(now));
        self.links[link.0].set_config_at(self.now, config);
        self.schedule(link.0);
    }

    /// Returns the configuration of a link.
    pub fn link_config(&self, link: LinkId) -> &LinkConfig {
        self.links[link.0].config()
    }

    /// Returns what a link has done so far.
    pub fn link_counters(&self, link: LinkId) -> LinkCounters {
        self.links[link.0].counters()
    }

    /// Returns how long a packet that reaches this link at `now` would wait for its serialiser.
    pub fn queue_delay(&self, now: Instant, link: LinkId) -> Duration {
        self.links[link.0].queue_delay(now)
    }

    /// Returns the address a host is reached at.
    pub fn address(&self, host: HostId) -> SocketAddr {
        self.addresses[self.hosts[host.0].current as usize].socket
    }

    /// Returns what the network has done so far.
    pub const fn counters(&self) -> NetworkCounters {
        self.counters
    }

    /// Returns the number of an address for its owner.
    fn claim(&mut self, owner: HostId, socket: SocketAddr) -> Result<u32, Error> {
        match self.address_numbers.entry(socket) {
            Entry::Occupied(known) => {
                let number = *known.get();
                if self.addresses[number as usize].owner != owner {
                    return Err(Error::AddressInUse(socket));
                }
                Ok(number)
            }
            Entry::Vacant(unknown) => {
                let number = self.addresses.len() as u32;
                self.addresses.push(Address { socket, owner });
                Ok(*unknown.insert(number))
            }
        }
    }

    /// Returns the packet at the start of its route, if there is one.
    #[inline]
    fn addressed(&self, src: SocketAddr, dst: SocketAddr, payload: P) -> Option<Packet<P>> {
        let src = *self.address_numbers.get(&src)?;
        let dst = *self.address_numbers.get(&dst)?;
        let from = &self.hosts[self.addresses[src as usize].owner.0];
        let to = self.addresses[dst as usize].owner;
        let route = (*from.routes.get(to.0)?)?;
        Some(Packet {
            payload,
            src: from.current,
            dst,
            route,
            next_hop: 0,
        })
    }

    /// Moves a packet into the next link of its route, or to its host when there is none.
    #[inline]
    fn forward(&mut self, now: u64, mut packet: Packet<P>) {
        let route = &self.routes[packet.route as usize];
        if let Some(&link) = route.links.get(packet.next_hop as usize) {
            packet.next_hop += 1;
            self.links[link.0].send_at(now, packet);
            self.schedule(link.0);
        } else if self.hosts[route.to.0].current == packet.dst {
            self.counters.delivered += 1;
            self.arrived.push_back((now, packet));
        } else {
            self.counters.stale_address += 1;
        }
    }

    /// Lets everything happen that happens by `now`, link by link in order of time.
    #[inline]
    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        loop {
            let (at, link) = self.agenda.first();
            if at > self.now || at == NEVER {
                return;
            }
            while let Some((arrival, packet)) = self.links[link].poll_at(at) {
                self.forward(arrival, packet);
            }
            self.schedule(link);
        }
    }

    /// Plans a link's next event.
    #[inline]
    fn schedule(&mut self, link: usize) {
        self.agenda.plan(link, self.links[link].next_nanos());
    }
}
