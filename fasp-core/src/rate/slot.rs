//! Moments at which all senders empty the queues they share.
//!
//! Who begins while a queue stands takes its delay for the path's own. Nobody can empty a shared queue alone, and nobody
//! tells the others when: so everybody does it at the same moments of the time of day, for a time that follows from the
//! queue, which all see alike. Clocks that are off by more than a drain takes make it useless, not harmful.

use std::time::{Duration, Instant};

use super::fall::Fall;
use crate::Rate;

/// Time between two of these moments, counted from the beginning of 1970.
const INTERVAL: Duration = Duration::from_secs(4);
/// Share of the rate that a drain leaves out at most; the refill that puts the queue back sends as much more.
const DEPTH: f64 = 0.5;
/// What a drain leaves out, as a multiple of the queue: what others leave out at other moments empties it as well.
const OF_QUEUE: f64 = 1.5;
/// Who knows the base leaves out no more than that, but at least this share of the rate.
const LEAST_DEPTH: f64 = 0.1;
/// How long a drain takes, at the full depth, between these.
const SHORTEST: Duration = Duration::from_millis(30);
const LONGEST: Duration = Duration::from_millis(150);

/// When the next moment comes.
#[derive(Debug)]
pub(super) struct Slots {
    next: Instant,
}

impl Slots {
    /// `now` is `time_of_day` by the clock.
    pub(super) fn new(now: Instant, time_of_day: Duration) -> Self {
        let since = time_of_day.as_nanos() % INTERVAL.as_nanos();
        // Less than an interval, which fits 64 bits.
        let since = Duration::from_nanos(since as u64);
        Self {
            next: now + (INTERVAL - since),
        }
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether the moment has come; each one once.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        while now >= self.next {
            self.next += INTERVAL;
        }
        is_due
    }
}

/// One drain: less, then more until the queue is what it was, then the same until all this has been reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotDrain {
    carried: Rate,
    depth: f64,
    drain_until: Instant,
    refill_until: Instant,
    told: Instant,
    fall: Fall,
}

impl SlotDrain {
    /// Begins one; `settles` is how long a change of the rate takes to show. A newcomer may not know how long the queue is: it
    /// drains as deep as it can.
    pub(super) fn new(
        now: Instant,
        carried: Rate,
        queueing: Duration,
        settles: Duration,
        is_newcomer: bool,
    ) -> Self {
        let left_out = queueing.mul_f64(OF_QUEUE);
        let time = left_out.mul_f64(1.0 / DEPTH).clamp(SHORTEST, LONGEST);
        let depth = match is_newcomer {
            true => DEPTH,
            false => left_out.div_duration_f64(time).clamp(LEAST_DEPTH, DEPTH),
        };
        let drain_until = now + time;
        let refill_until = drain_until + queueing.mul_f64(1.0 / DEPTH).min(LONGEST);
        Self {
            carried,
            depth,
            drain_until,
            refill_until,
            told: refill_until + settles,
            fall: Fall::new(now, time, depth, queueing, 0.0),
        }
    }

    /// Takes a report's queueing delay; `base_rtt` is the round trip without it.
    pub(super) fn on_report(&mut self, now: Instant, queueing: Duration, base_rtt: Duration) {
        self.fall.on_report(now, queueing, base_rtt);
    }

    /// What the drain did to the queue.
    pub(super) fn fall(&self) -> Fall {
        self.fall
    }

    /// When reports no longer speak of it.
    pub(super) fn told(&self) -> Instant {
        self.told
    }

    /// What the path carried before.
    pub(super) fn carried(&self) -> Rate {
        self.carried
    }

    /// The rate to send at now.
    pub(super) fn rate(&self, now: Instant) -> Rate {
        if now < self.drain_until {
            self.carried.scaled(1.0 - self.depth)
        } else if now < self.refill_until {
            self.carried.scaled(1.0 + DEPTH)
        } else {
            self.carried
        }
    }

    /// When the rate changes next.
    pub(super) fn next_change(&self, now: Instant) -> Instant {
        [self.drain_until, self.refill_until]
            .into_iter()
            .find(|at| now < *at)
            .unwrap_or(self.told)
    }

    /// Whether it is over, and reports speak of what came after.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_that_began_at_different_times_drain_at_the_same_moments() {
        let epoch = Instant::now();
        let day = Duration::from_secs(1_800_000_001);
        let early = Slots::new(epoch, day);
        let late = Slots::new(
            epoch + Duration::from_millis(2_700),
            day + Duration::from_millis(2_700),
        );
        assert_eq!(early.next(), late.next());
        assert_eq!(early.next() - epoch, Duration::from_secs(3));
    }

    #[test]
    fn a_moment_counts_once() {
        let epoch = Instant::now();
        let mut slots = Slots::new(epoch, Duration::ZERO);
        assert!(!slots.take(epoch));
        assert!(slots.take(epoch + INTERVAL * 3));
        assert!(!slots.take(epoch + INTERVAL * 3));
        assert_eq!(slots.next(), epoch + INTERVAL * 4);
    }

    #[test]
    fn who_knows_a_short_queue_leaves_out_no_more_than_empties_it() {
        let (epoch, ms) = (Instant::now(), Duration::from_millis(1));
        let carried = Rate::from_mbps(100);
        let rate = |queue, is_newcomer| {
            SlotDrain::new(epoch, carried, ms * queue, ms * 100, is_newcomer).rate(epoch)
        };
        assert_eq!(rate(4, false), carried.scaled(0.8));
        assert_eq!(rate(0, false), carried.scaled(0.9));
        assert_eq!(rate(4, true), carried.scaled(0.5));
    }

    #[test]
    fn a_drain_takes_the_queue_away_and_puts_it_back() {
        let (epoch, ms) = (Instant::now(), Duration::from_millis(1));
        let carried = Rate::from_mbps(100);
        let drain = SlotDrain::new(epoch, carried, ms * 20, ms * 100, false);
        assert_eq!(drain.rate(epoch), carried.scaled(0.5));
        assert_eq!(drain.rate(epoch + ms * 60), carried.scaled(1.5));
        assert_eq!(drain.rate(epoch + ms * 100), carried);
        assert!(!drain.is_over(epoch + ms * 199) && drain.is_over(epoch + ms * 200));
    }
}
