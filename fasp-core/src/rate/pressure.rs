//! Whether a queue is there because of others who do not give way.

use std::time::{Duration, Instant};

use super::delay;
use super::fall::Fall;
use crate::{Rate, RatePolicy};

/// A queue this many halves of the aim long, and this much more, is longer than one's own …
const OWN_HALVES: u32 = 3;
const OWN_MARGIN: Duration = Duration::from_millis(2);
/// … and so is one of a third of a round trip, between these.
const OWN_SHARE: u32 = 3;
const MIN_OWN: Duration = Duration::from_millis(8);
const MAX_OWN: Duration = Duration::from_millis(25);
/// A queue that lasts for so many passes …
const LASTING: u32 = 3;
/// … and of which less than this share falls when all of our kind drain is somebody else's.
const OURS: f64 = 0.45;
/// One verdict is enough when less than this share fell, and for who was here lately; else it takes two in a row.
const CLEAR: f64 = 0.2;
const VERDICTS: u32 = 2;
/// How long a contest is remembered.
const CONTEST_MEMORY: Duration = Duration::from_secs(60);

/// A queue that is longer than it should be, whoever keeps it.
#[derive(Debug, Clone, Copy)]
struct Doubted {
    since: Instant,
    own: Duration,
    pass: Duration,
}

/// Watches for a queue that others keep, and remembers who kept one before.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    doubted: Option<Doubted>,
    /// Drains in a row that left the queue standing.
    verdicts: u32,
    /// When the last contest ended.
    contest: Option<Instant>,
}

/// What a report says about the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Felt {
    pub(super) policy: RatePolicy,
    pub(super) queueing: Duration,
    /// The round-trip time without queues.
    pub(super) base_rtt: Duration,
    /// What a change of the rate takes to come back.
    pub(super) pass: Duration,
    /// The most that the path carried of ours lately.
    pub(super) known: Rate,
}

impl Pressure {
    /// A contest with somebody who fills queues has ended.
    pub(super) fn on_contest_over(&mut self, now: Instant) {
        *self = Self {
            contest: Some(now),
            ..Self::default()
        };
    }

    /// There was nobody to contest with.
    pub(super) fn forget_contest(&mut self) {
        *self = Self::default();
    }

    /// Whether the last contest is remembered.
    pub(super) fn was_contested(&self, now: Instant) -> bool {
        self.contest
            .is_some_and(|at| now.saturating_duration_since(at) < CONTEST_MEMORY)
    }

    /// Takes a report.
    pub(super) fn on_report(&mut self, now: Instant, felt: &Felt) {
        let aim = delay::aim(felt.policy, felt.known, None);
        let most = (felt.base_rtt / OWN_SHARE).clamp(MIN_OWN, MAX_OWN);
        let own = (aim / 2 * OWN_HALVES + OWN_MARGIN).min(most);
        // `low` gives way to everybody.
        if felt.policy == RatePolicy::Low || felt.queueing <= own {
            self.doubted = None;
            return;
        }
        let since = self.doubted.map_or(now, |doubted| doubted.since);
        self.doubted = Some(Doubted {
            since,
            own,
            pass: felt.pass,
        });
    }

    /// Takes what a drain did to the queue; returns whether it is somebody else's.
    pub(super) fn on_drained(&mut self, now: Instant, fall: &Fall) -> bool {
        let Some(doubted) = self.doubted else {
            return false;
        };
        let lasts = now.saturating_duration_since(doubted.since) > doubted.pass * LASTING;
        let is_long = fall.before() > doubted.own;
        let Some(share) = fall.share().filter(|_| lasts && is_long) else {
            return false;
        };
        self.verdicts = if share < OURS { self.verdicts + 1 } else { 0 };
        let needed = if share < CLEAR || self.was_contested(now) {
            1
        } else {
            VERDICTS
        };
        self.verdicts >= needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn felt(policy: RatePolicy, queueing: Duration) -> Felt {
        Felt {
            policy,
            queueing,
            base_rtt: MS * 80,
            pass: MS * 100,
            known: Rate::from_mbps(100),
        }
    }

    /// Feels a queue of 40 ms for a second, and drains it so that it falls by this share of what everybody would.
    fn verdict(pressure: &mut Pressure, at: Instant, policy: RatePolicy, share: f64) -> bool {
        pressure.on_report(at, &felt(policy, MS * 40));
        let mut fall = Fall::new(at, MS * 120, 0.5, MS * 40, 0.0);
        for ms in 0..300u32 {
            let left = f64::from(ms) - 120.0;
            let queueing = 40.0 - 0.5 * share * left.clamp(0.0, 80.0);
            fall.on_report(at + MS * ms, MS.mul_f64(queueing), MS * 80);
        }
        pressure.on_drained(at + MS * 1_000, &fall)
    }

    #[test]
    fn a_queue_that_stands_when_all_of_our_kind_drain_is_somebody_elses() {
        let (epoch, mut pressure) = (Instant::now(), Pressure::default());
        assert!(verdict(&mut pressure, epoch, RatePolicy::Fair, 0.05));
        let mut pressure = Pressure::default();
        assert!(!verdict(&mut pressure, epoch, RatePolicy::Fair, 0.35));
        let later = epoch + MS * 4_000;
        assert!(verdict(&mut pressure, later, RatePolicy::Fair, 0.35));
    }

    #[test]
    fn a_queue_that_falls_and_a_sender_of_policy_low_give_no_contest() {
        let (epoch, mut pressure) = (Instant::now(), Pressure::default());
        for i in 0..10 {
            let at = epoch + MS * 4_000 * i;
            assert!(!verdict(&mut pressure, at, RatePolicy::Fair, 0.9));
        }
        assert!(!verdict(&mut pressure, epoch, RatePolicy::Low, 0.0));
    }

    #[test]
    fn a_queue_that_comes_and_goes_gives_no_contest() {
        let (epoch, mut pressure) = (Instant::now(), Pressure::default());
        pressure.on_report(epoch, &felt(RatePolicy::Fair, MS * 40));
        pressure.on_report(epoch + MS * 900, &felt(RatePolicy::Fair, MS * 5));
        assert!(!verdict(
            &mut pressure,
            epoch + MS * 950,
            RatePolicy::Fair,
            0.35
        ));
    }

    #[test]
    fn who_was_here_lately_is_met_with_less_patience() {
        let (epoch, mut pressure) = (Instant::now(), Pressure::default());
        pressure.on_contest_over(epoch);
        assert!(pressure.was_contested(epoch + MS * 59_000));
        assert!(!pressure.was_contested(epoch + MS * 60_000));
        assert!(verdict(&mut pressure, epoch, RatePolicy::Fair, 0.35));
    }
}
