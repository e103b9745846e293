//! One direction of a path.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::clock::{Clock, nanos};
use crate::flight::Flight;
use crate::jitter::JitterProcess;
use crate::loss::LossProcess;
use crate::policer::TokenBucket;
use crate::serialiser::Serialiser;
use crate::{ArrivalOrder, LinkConfig, LinkCounters, Payload, Rng};

/// A packet in the queue or, at its head, on the wire.
#[derive(Debug, Clone)]
struct Queued<P> {
    /// When its last bit leaves the serialiser.
    leaves: u64,
    bytes: usize,
    payload: P,
}

/// One direction of a path, as its [`LinkConfig`] describes it.
///
/// Time only moves forward: a call with a moment earlier than one the link has seen counts as made at that later one.
#[derive(Debug, Clone)]
pub struct Link<P> {
    clock: Clock,
    now: u64,
    config: LinkConfig,
    /// `config.delay` in nanoseconds.
    delay: u64,
    rng: Rng,
    policer: Option<TokenBucket>,
    serialiser: Serialiser,
    loss: LossProcess,
    jitter: JitterProcess,
    queue: VecDeque<Queued<P>>,
    /// Bytes of everything in `queue`, its head included. Wide, because the size of a payload may be any number.
    queued_bytes: u128,
    flight: Flight<P>,
    counters: LinkCounters,
}

impl<P: Payload> Link<P> {
    /// Returns an empty link. Outages count from `epoch`; the seed decides everything random.
    pub fn new(epoch: Instant, config: LinkConfig, seed: u64) -> Self {
        Self::with_rng(Clock::new(epoch), config, Rng::new(seed))
    }

    pub(crate) fn with_rng(clock: Clock, config: LinkConfig, rng: Rng) -> Self {
        Self {
            clock,
            now: 0,
            delay: nanos(config.delay),
            rng,
            policer: config.policer.map(|policer| TokenBucket::new(policer, 0)),
            serialiser: Serialiser::new(config.rate),
            loss: LossProcess::new(config.loss),
            jitter: JitterProcess::new(config.jitter),
            queue: VecDeque::new(),
            queued_bytes: 0,
            flight: Flight::new(),
            counters: LinkCounters::default(),
            config,
        }
    }

    /// Hands a packet to the link.
    pub fn send(&mut self, now: Instant, packet: P) {
        self.send_at(self.clock.nanos(now), packet);
    }

    /// Returns the next packet that has arrived by `now`, with its moment of arrival. Arrivals come in order of time.
    pub fn poll(&mut self, now: Instant) -> Option<(Instant, P)> {
        let (at, packet) = self.poll_at(self.clock.nanos(now))?;
        Some((self.clock.instant(at), packet))
    }

    /// Returns when [`poll`](Self::poll) should be called next; nothing arrives earlier, but it may turn out
    /// that nothing arrives then either. `None` when the link is empty.
    pub fn next_event(&self) -> Option<Instant> {
        let next = self.next_nanos();
        (next != u64::MAX).then(|| self.clock.instant(next))
    }

    /// Changes the link in flight, as a route change does.
    ///
    /// What is past the serialiser arrives as it would have; what waits is sent, from now on, at the new rate, even
    /// if the new queue is too short for it. A changed policer starts with a full bucket.
    pub fn set_config(&mut self, now: Instant, config: LinkConfig) {
        self.set_config_at(self.clock.nanos(now), config);
    }

    /// Returns the configuration in force.
    pub const fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Returns what the link has done so far.
    pub const fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Returns how long a packet sent at `now` would wait for the serialiser.
    pub fn queue_delay(&self, now: Instant) -> Duration {
        Duration::from_nanos(self.serialiser.wait(self.clock.nanos(now)))
    }

    /// Returns how many packets are in the link. Some of them may yet be lost.
    pub fn in_transit(&self) -> usize {
        self.queue.len() + self.flight.len()
    }

    #[inline]
    pub(crate) fn send_at(&mut self, now: u64, packet: P) {
        self.advance(now);
        let now = self.now;
        let size = packet.size();
        let bytes = size.saturating_add(self.config.overhead);
        self.counters.sent += 1;
        self.counters.sent_bytes = self.counters.sent_bytes.saturating_add(size as u64);
        if bytes > self.config.mtu {
            self.counters.too_large += 1;
            return;
        }
        if let Some(policer) = &mut self.policer
            && !policer.admits(now, bytes)
        {
            self.counters.policed += 1;
            return;
        }
        if let Some(on_wire) = self.queue.front() {
            let waiting = self.queued_bytes - on_wire.bytes as u128;
            if waiting + bytes as u128 > self.config.queue as u128 {
                self.counters.overflowed += 1;
                return;
            }
        }
        let wait = Duration::from_nanos(self.serialiser.wait(now));
        self.counters.max_queue_delay = self.counters.max_queue_delay.max(wait);
        let leaves = self.serialiser.occupy(now, bytes);
        self.queued_bytes += bytes as u128;
        self.queue.push_back(Queued {
            leaves,
            bytes,
            payload: packet,
        });
    }

    #[inline]
    pub(crate) fn poll_at(&mut self, now: u64) -> Option<(u64, P)> {
        self.advance(now);
        let (at, packet) = self.flight.pop(self.now)?;
        self.counters.delivered += 1;
        let size = packet.size() as u64;
        self.counters.delivered_bytes = self.counters.delivered_bytes.saturating_add(size);
        Some((at, packet))
    }

    #[inline]
    pub(crate) fn next_nanos(&self) -> u64 {
        // Jitter only adds: before its plain delay is over, a packet in the queue needs no attention.
        let from_queue = self
            .queue
            .front()
            .map_or(u64::MAX, |head| head.leaves.saturating_add(self.delay));
        from_queue.min(self.flight.next_arrival())
    }

    pub(crate) fn set_config_at(&mut self, now: u64, config: LinkConfig) {
        self.advance(now);
        if config.rate != self.config.rate {
            self.reschedule(config.rate);
        }
        if config.policer != self.config.policer {
            let now = self.now;
            self.policer = config.policer.map(|policer| TokenBucket::new(policer, now));
        }
        if config.loss != self.config.loss {
            self.loss = LossProcess::new(config.loss);
        }
        if config.jitter != self.config.jitter {
            self.jitter = JitterProcess::new(config.jitter);
        }
        self.delay = nanos(config.delay);
        self.config = config;
    }

    /// Works out anew when the waiting packets leave.
    fn reschedule(&mut self, rate: Option<u64>) {
        let now = self.now;
        let mut waiting = self.queue.iter_mut();
        let on_wire = waiting.next();
        let leaves = on_wire.as_ref().map_or(now, |packet| packet.leaves);
        let leaves = self.serialiser.change_rate(now, rate, leaves);
        if let Some(packet) = on_wire {
            packet.leaves = leaves;
        }
        for packet in waiting {
            packet.leaves = self.serialiser.occupy(now, packet.bytes);
        }
    }

    /// Moves what has left the serialiser by `now` into flight.
    ///
    /// Packets leave in the order they came, so random numbers are drawn in that order however often this runs.
    #[inline]
    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        while let Some(head) = self.queue.front()
            && head.leaves <= self.now
            && let Some(packet) = self.queue.pop_front()
        {
            self.queued_bytes -= packet.bytes as u128;
            self.leave(packet.leaves, packet.payload);
        }
    }

    #[inline]
    fn leave(&mut self, at: u64, mut packet: P) {
        if self.is_down(at) {
            self.counters.black_holed += 1;
            return;
        }
        if self.loss.takes_next(&mut self.rng) {
            self.counters.lost += 1;
            return;
        }
        if self.rng.chance(self.config.corrupt) {
            self.counters.corrupted += 1;
            packet.corrupt(&mut self.rng);
        }
        if self.rng.chance(self.config.duplicate) {
            self.counters.duplicated += 1;
            let copy = packet.duplicate();
            self.fly(at, packet);
            self.fly(at, copy);
        } else {
            self.fly(at, packet);
        }
    }

    #[inline]
    fn fly(&mut self, at: u64, packet: P) {
        let extra = self.jitter.next(at, &mut self.rng);
        let arrives = at.saturating_add(self.delay).saturating_add(extra);
        if let Some(reorder) = self.config.reorder
            && self.rng.chance(reorder.probability)
        {
            self.counters.held_back += 1;
            let held = self.rng.up_to(nanos(reorder.extra_delay));
            return self
                .flight
                .push_held_back(arrives.saturating_add(held), packet);
        }
        match self.config.order {
            ArrivalOrder::Kept => self.flight.push_in_order(arrives, packet),
            ArrivalOrder::Free => self.flight.push(arrives, packet),
        }
    }

    #[inline]
    fn is_down(&self, at: u64) -> bool {
        if let Some(flapping) = self.config.flapping {
            let (up, down) = (nanos(flapping.up), nanos(flapping.down));
            let cycle = up.saturating_add(down).max(1);
            if at % cycle >= up && down > 0 {
                return true;
            }
        }
        let holes = &self.config.black_holes;
        holes
            .iter()
            .any(|hole| nanos(hole.start) <= at && at < nanos(hole.end))
    }
}
