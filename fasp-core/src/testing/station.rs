//! One end of a session in an arena: a clock of its own, and moments when it stands still.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::session::Session;
use crate::{BlockWrite, TransmitBatch};

/// A session, the clock it lives by, and what arrived while it stood still.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) session: Session,
    epoch: Instant,
    /// How fast its clock runs, of the simulation's.
    clock: f64,
    paused_until: Option<Instant>,
    waiting: Vec<(SocketAddr, Vec<u8>)>,
    writes: Vec<BlockWrite>,
}

impl Station {
    pub(super) fn new(epoch: Instant, session: Session) -> Self {
        Self {
            session,
            epoch,
            clock: 1.0,
            paused_until: None,
            waiting: Vec::new(),
            writes: Vec::new(),
        }
    }

    pub(super) fn set_clock(&mut self, clock: f64) {
        self.clock = clock;
    }

    /// Stands still until then; what arrives meanwhile waits, as it does in a socket.
    pub(super) fn pause(&mut self, until: Instant) {
        self.paused_until = Some(until);
    }

    /// Takes a datagram and returns how many bytes of files were in it.
    pub(super) fn receive(&mut self, now: Instant, from: SocketAddr, bytes: Vec<u8>) -> u64 {
        if self.is_paused(now) {
            self.waiting.push((from, bytes));
            return 0;
        }
        self.take(now, from, bytes)
    }

    /// Takes what has waited and lets timers act; returns how many bytes of files that were.
    pub(super) fn wake(&mut self, now: Instant) -> u64 {
        if self.is_paused(now) {
            return 0;
        }
        let mut bytes = 0;
        for (from, datagram) in std::mem::take(&mut self.waiting) {
            bytes += self.take(now, from, datagram);
        }
        let local = self.local(now);
        self.session.handle_timeout(local);
        bytes
    }

    pub(super) fn transmit(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        if self.is_paused(now) {
            return false;
        }
        let local = self.local(now);
        let any = self.session.poll_transmit(local, batch);
        if any {
            // Files are zeros.
            let reads = batch.reads().len();
            batch.rooms(0..reads).for_each(|room| room.fill(0));
            self.session.seal(local, batch);
        }
        any
    }

    /// When it wants to be woken, by the simulation's clock.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        if let Some(until) = self.paused_until.filter(|until| now < *until) {
            return Some(until);
        }
        let due = self.session.poll_timeout()?;
        let since = due.saturating_duration_since(self.epoch);
        // Rounded up, so that the session finds its moment past.
        Some(self.epoch + since.div_f64(self.clock) + Duration::from_nanos(1))
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    fn take(&mut self, now: Instant, from: SocketAddr, mut bytes: Vec<u8>) -> u64 {
        let local = self.local(now);
        self.writes.clear();
        self.session
            .handle_datagram(local, from, false, &mut bytes, &mut self.writes);
        self.writes.iter().map(|w| w.length as u64).sum()
    }

    fn local(&self, now: Instant) -> Instant {
        self.epoch
            + now
                .saturating_duration_since(self.epoch)
                .mul_f64(self.clock)
    }
}
