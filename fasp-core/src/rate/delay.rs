//! The delay rule: each sender keeps a little of a queue, the less the faster it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::{Rate, RatePolicy};

/// Queueing delay that a sender of [`REFERENCE`] aims at.
const QUEUE: f64 = 0.0065;
const REFERENCE: f64 = 100e6;
/// How the aim falls with the rate. All senders at a bottleneck see one queue, and each one's aim meets it at one
/// rate only: they come to share equally, whatever their round trips. 0.4 keeps the aim within 1 and 30 ms from
/// 2 Mbit/s to 10 Gbit/s.
const SLOPE: f64 = 0.4;
const MIN_AIM: f64 = 0.0008;
const MAX_AIM: f64 = 0.060;
/// `low` aims at this share of it: others' queues push it away.
const LOW_SHARE: f64 = 0.4;
const LOW_MAX_AIM: f64 = 0.006;
/// Share of the error corrected in one pass through the loop; half is well damped.
const GAIN: f64 = 0.5;
/// Share of a queue's growth that is taken back. Among slower senders a fast one steers alone: its rate and the queue
/// would swing around each other without it.
const DAMPING: f64 = 0.3;
/// A path whose base was seen within this time and a round trip has no standing queue: what is up to [`WANDER`] above it is
/// the path's own, as on radio links.
const FRESH: Duration = Duration::from_millis(300);
const WANDER: Duration = Duration::from_millis(25);
/// Shortest pass: what the ends take to act, whatever the path.
const MIN_LOOP: Duration = Duration::from_millis(20);
/// Largest step in one pass, up and down.
const MAX_UP: f64 = 0.10;
const MAX_DOWN: f64 = 0.25;
const LOW_MAX_DOWN: f64 = 0.5;
/// Growth once the queue has been nearly empty for two passes, doubled each pass …
const PUSH: f64 = 0.05;
/// … up to this.
const MAX_PUSH: f64 = 0.30;
/// Below this share of the aim the path is taken not to be full.
const EMPTY: f64 = 0.25;

/// Steers the rate by the queueing delay.
#[derive(Debug)]
pub(super) struct DelayRule {
    /// Since when the queue has been nearly empty while the rate was used.
    empty_since: Option<Instant>,
    at: Option<Instant>,
    /// Queueing delays of the last pass, oldest first.
    past: VecDeque<(Instant, Duration)>,
}

impl DelayRule {
    pub(super) fn new() -> Self {
        Self {
            empty_since: None,
            at: None,
            past: VecDeque::new(),
        }
    }

    /// How much longer the queue has become over the last pass, seconds a second.
    fn growth(&mut self, now: Instant, queueing: Duration, pass: Duration) -> f64 {
        while self.past.len() > 1 && self.past[1].0 + pass <= now {
            self.past.pop_front();
        }
        self.past.push_back((now, queueing));
        let (at, before) = self.past[0];
        let elapsed = now.saturating_duration_since(at);
        if elapsed < pass / 2 {
            return 0.0;
        }
        (queueing.as_secs_f64() - before.as_secs_f64()) / elapsed.as_secs_f64()
    }

    /// What was seen of the queue's growth no longer counts; a queue that was empty before is so still.
    pub(super) fn on_drained(&mut self) {
        self.past.clear();
    }

    /// The next push starts from nothing.
    pub(super) fn calm(&mut self) {
        self.empty_since = None;
        self.past.clear();
    }

    /// Whether the queue has been nearly empty for several passes although the rate was used.
    pub(super) fn is_pushing(&self, now: Instant, pass: Duration) -> bool {
        self.empty_since
            .is_some_and(|since| now.saturating_duration_since(since) > pass * 3)
    }

    /// Returns the next rate. `bandwidth` is what the path was seen to carry of ours over the last round trip.
    pub(super) fn next(&mut self, now: Instant, input: &Input) -> Rate {
        let Input {
            policy,
            rate,
            bandwidth,
            queueing,
            rtt,
            starved,
            base_age,
        } = *input;
        let aim = aim(policy, rate);
        let wanders = queueing <= WANDER && base_age <= FRESH + rtt;
        let queueing = if wanders { queueing.min(aim) } else { queueing };
        let pass = (rtt + rtt / 4).max(MIN_LOOP);
        let (aim_s, queue_s) = (aim.as_secs_f64(), queueing.as_secs_f64());
        let max_down = match policy {
            RatePolicy::Low => LOW_MAX_DOWN,
            _ => MAX_DOWN,
        };
        let growth = self.growth(now, queueing, pass);
        let step = GAIN * (aim_s - queue_s) / pass.as_secs_f64() - DAMPING * growth;
        let mut step = step.clamp(-max_down, MAX_UP);
        if queue_s > aim_s * EMPTY || starved {
            self.empty_since = None;
        } else {
            let since = *self.empty_since.get_or_insert(now);
            let passes = now.saturating_duration_since(since).as_secs_f64() / pass.as_secs_f64();
            if passes >= 2.0 {
                step = step.max((PUSH * (passes - 2.0).exp2()).min(MAX_PUSH));
            }
        }
        let since = self.at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(since).as_secs_f64() / pass.as_secs_f64();
        let base = if starved { rate } else { bandwidth };
        let mut next = base.scaled(1.0 + step);
        if queue_s > aim_s {
            // Whatever the estimate of the bandwidth says, the rate falls while the queue is too long.
            next = next.min(rate.scaled(1.0 + step * passed.min(1.0)));
        }
        if starved {
            // A sender that does not use its rate learns nothing that could raise it.
            return next.min(rate);
        }
        if queue_s <= aim_s * EMPTY {
            // The path is not full: what was lost on it says nothing about its rate.
            return next.max(rate);
        }
        next
    }
}

/// What the rule looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    pub(super) policy: RatePolicy,
    pub(super) rate: Rate,
    pub(super) bandwidth: Rate,
    pub(super) queueing: Duration,
    pub(super) rtt: Duration,
    pub(super) starved: bool,
    /// Since when the base of the delay has not been seen.
    pub(super) base_age: Duration,
}

/// The queueing delay that a sender at this rate aims at.
pub(super) fn aim(policy: RatePolicy, rate: Rate) -> Duration {
    let weight = match policy {
        RatePolicy::High => 2.0,
        _ => 1.0,
    };
    let bits = (rate.bits_per_second() as f64).max(1.0);
    let aim = QUEUE * (weight * REFERENCE / bits).powf(SLOPE);
    let aim = match policy {
        RatePolicy::Low => (aim * LOW_SHARE).min(LOW_MAX_AIM),
        _ => aim,
    };
    Duration::from_secs_f64(aim.clamp(MIN_AIM, MAX_AIM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_rate_at_the_same_queue_is_the_aim_of_high() {
        let fair = aim(RatePolicy::Fair, Rate::from_mbps(50));
        let high = aim(RatePolicy::High, Rate::from_mbps(100));
        assert!(fair.abs_diff(high) < Duration::from_micros(1));
    }

    #[test]
    fn the_aim_stays_below_thirty_milliseconds_from_3_megabits_on_and_low_below_ten() {
        for mbps in [3, 10, 100, 1_000, 10_000] {
            assert!(aim(RatePolicy::Fair, Rate::from_mbps(mbps)) < Duration::from_millis(30));
            assert!(aim(RatePolicy::Low, Rate::from_mbps(mbps)) < Duration::from_millis(10));
        }
    }
}
