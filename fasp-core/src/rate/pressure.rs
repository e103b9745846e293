//! Whether a queue is there because of others who do not give way.

use std::time::{Duration, Instant};

use super::delay;
use crate::{Rate, RatePolicy};

/// A queue this many halves of the aim long, and this much more, is not one's own doing; nor is one of [`MAX_OWN`].
const FOREIGN_HALVES: u32 = 3;
const FOREIGN_MARGIN: Duration = Duration::from_millis(2);
const MAX_OWN: Duration = Duration::from_millis(60);
/// Passes of giving way to such a queue before it counts as somebody else's.
const PATIENCE: u32 = 6;
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// A queue that has fallen to this share of what it was does answer.
const ANSWERS: f64 = 0.7;
/// How long a contest is remembered.
const CONTEST_MEMORY: Duration = Duration::from_secs(60);
/// A queue that does not go away although the rate falls.
#[derive(Debug, Clone, Copy)]
struct Pressed {
    since: Instant,
    queueing: Duration,
    rate: Rate,
}

/// Watches for a queue that giving way does not shorten, and remembers who kept one before.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    pressed: Option<Pressed>,
    /// When the last contest ended, and the rate it ended with.
    contest: Option<(Instant, Rate)>,
}

/// What a report says about the queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Felt {
    pub(super) policy: RatePolicy,
    pub(super) queueing: Duration,
    /// What the delay rule aims at.
    pub(super) aim: Duration,
    /// What a change of the rate takes to come back.
    pub(super) pass: Duration,
    /// What the path carries of ours.
    pub(super) bandwidth: Rate,
}

impl Pressure {
    /// The queue that was felt is gone, or somebody else's affair.
    pub(super) fn calm(&mut self) {
        self.pressed = None;
    }

    /// A contest with somebody who fills queues has ended at this rate.
    pub(super) fn on_contest_over(&mut self, now: Instant, rate: Rate) {
        self.contest = Some((now, rate));
    }

    /// There was nobody to contest with.
    pub(super) fn forget_contest(&mut self) {
        self.contest = None;
    }

    /// The rate that the last contest ended with, while it is remembered.
    pub(super) fn last_contest(&self, now: Instant) -> Option<Rate> {
        let (at, rate) = self.contest?;
        (now.saturating_duration_since(at) < CONTEST_MEMORY).then_some(rate)
    }

    /// Takes a report; returns the rate to hold when somebody else keeps the queue.
    pub(super) fn on_report(&mut self, now: Instant, felt: &Felt) -> Option<Rate> {
        let Felt {
            policy,
            queueing,
            aim,
            pass,
            bandwidth,
        } = *felt;
        // Who was here lately is back sooner than a stranger comes.
        let (aim, patience) = match self.last_contest(now) {
            Some(rate) => (
                aim.min(delay::aim(policy, rate)),
                (pass * PATIENCE / 3).max(LEAST_PATIENCE),
            ),
            None => (aim, pass * PATIENCE),
        };
        let own = (aim / 2 * FOREIGN_HALVES + FOREIGN_MARGIN).min(MAX_OWN);
        if queueing <= own {
            self.pressed = None;
            return None;
        }
        let pressed = *self.pressed.get_or_insert(Pressed {
            since: now,
            queueing,
            rate: bandwidth,
        });
        if queueing.as_secs_f64() < pressed.queueing.as_secs_f64() * ANSWERS {
            // It does answer: measured anew from here.
            self.pressed = Some(Pressed {
                since: now,
                queueing,
                ..pressed
            });
            return None;
        }
        let yields = policy == RatePolicy::Low;
        if yields || now.saturating_duration_since(pressed.since) < patience {
            return None;
        }
        self.pressed = None;
        // Half of what was there before the other came is a fair guess.
        Some(bandwidth.max(pressed.rate.scaled(0.5)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn felt(policy: RatePolicy, queue_ms: u32, mbps: u64) -> Felt {
        Felt {
            policy,
            queueing: MS * queue_ms,
            aim: MS * 6,
            pass: MS * 100,
            bandwidth: Rate::from_mbps(mbps),
        }
    }

    #[test]
    fn a_queue_that_stays_although_the_rate_falls_is_somebody_elses() {
        let (epoch, mut pressure) = (Instant::now(), Pressure::default());
        let mut held = None;
        for i in 0..10u32 {
            let felt = felt(RatePolicy::Fair, 40, 80 - 6 * u64::from(i));
            let rate = pressure.on_report(epoch + MS * 100 * i, &felt);
            held = held.or(rate);
        }
        assert_eq!(held, Some(Rate::from_mbps(44)), "after six passes");
    }

    #[test]
    fn a_queue_that_answers_and_a_sender_of_policy_low_give_no_contest() {
        let epoch = Instant::now();
        for (policy, queue) in [
            (
                RatePolicy::Fair,
                &(|i: u32| 160_u32 >> i.min(5)) as &dyn Fn(u32) -> u32,
            ),
            (RatePolicy::Low, &|_| 40),
        ] {
            let mut pressure = Pressure::default();
            for i in 0..30 {
                let felt = felt(policy, queue(i), 50);
                assert_eq!(pressure.on_report(epoch + MS * 100 * i, &felt), None);
            }
        }
    }

    #[test]
    fn who_was_here_lately_is_met_with_less_patience() {
        let (epoch, mut pressure) = (Instant::now(), Pressure::default());
        pressure.on_contest_over(epoch, Rate::from_mbps(50));
        assert!(pressure.last_contest(epoch + MS * 59_000).is_some());
        assert!(pressure.last_contest(epoch + MS * 60_000).is_none());
        let slow = Felt {
            pass: MS * 300,
            ..felt(RatePolicy::Fair, 60, 40)
        };
        assert_eq!(pressure.on_report(epoch, &slow), None);
        assert!(pressure.on_report(epoch + MS * 1_000, &slow).is_some());
    }
}
