//! The delay rule: each sender keeps a little of a queue, the less the faster it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::lasting::Lasting;
use super::wander::{self, Wander};
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
/// The most where delays wander, near the rate at which more than that was seen.
const NEAR_FULL_PUSH: f64 = 0.01;
/// Below this share of the aim the path is taken not to be full.
const EMPTY: f64 = 0.25;
/// What the bursts of our own pacer show as a queue although the path is not full, seconds: the aim of a sender of 10 Gbit/s is
/// four times this.
const OWN_BURSTS: f64 = 0.00035;
/// The share where delays wander: their least in a second is seldom zero.
const WANDERING_EMPTY: f64 = 0.6;

/// Steers the rate by the queueing delay.
#[derive(Debug)]
pub(super) struct DelayRule {
    /// Since when the queue has been nearly empty while the rate was used.
    empty: Lasting,
    at: Option<Instant>,
    /// Queueing delays of the last pass, oldest first.
    past: VecDeque<(Instant, Duration)>,
    wander: Wander,
}

impl DelayRule {
    pub(super) fn new() -> Self {
        Self {
            empty: Lasting::default(),
            at: None,
            past: VecDeque::new(),
            wander: Wander::default(),
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

    /// What of the delay counts as a queue.
    fn felt(&mut self, now: Instant, input: &Input, aim: Duration) -> Felt {
        let (queueing, bandwidth) = (input.queueing, input.bandwidth);
        let is_fresh = input.base_age <= FRESH + input.rtt;
        let fast = |queueing| Felt {
            queueing,
            window: Duration::ZERO,
            is_wandering: false,
        };
        let beyond = queueing.saturating_sub(WANDER);
        match self.wander.calm(now) {
            Some(calm) if beyond <= aim => Felt {
                queueing: calm,
                window: wander::CALM,
                is_wandering: true,
            },
            Some(_) => {
                self.wander.on_full(now, bandwidth);
                fast(beyond)
            }
            None if is_fresh && beyond.is_zero() => fast(queueing.min(aim)),
            None => fast(queueing),
        }
    }

    /// What of a delay may be a queue that somebody keeps: where delays wander, what they do by themselves is not.
    pub(super) fn standing(&self, now: Instant, queueing: Duration) -> Duration {
        match self.wander.calm(now) {
            Some(calm) => calm.max(queueing.saturating_sub(WANDER)),
            None => queueing,
        }
    }

    /// Whether the delay moves by itself, as on radio links.
    pub(super) fn is_wandering(&self, now: Instant) -> bool {
        self.wander.calm(now).is_some()
    }

    /// More is lost than chance explains: a queue runs over.
    pub(super) fn on_loss(&mut self) {
        self.wander.on_loss();
    }

    /// All who share the queue drain it, until then.
    pub(super) fn on_common_drain(&mut self, until: Instant) {
        self.wander.on_common_drain(until);
    }

    /// What was seen of the queue's growth no longer counts; a queue that was empty before is so still.
    pub(super) fn on_drained(&mut self) {
        self.past.clear();
    }

    /// The next push starts from nothing.
    pub(super) fn calm(&mut self) {
        self.empty.forget();
        self.past.clear();
    }

    /// Whether the queue has been nearly empty for several passes although the rate was used.
    pub(super) fn is_pushing(&self, now: Instant, pass: Duration) -> bool {
        self.empty.time(now).is_some_and(|time| time > pass * 3)
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
            known,
            depth,
            ..
        } = *input;
        let aim = aim(policy, rate, depth);
        let pass = (rtt + rtt / 4).max(MIN_LOOP);
        let own = self::aim(policy, known, depth);
        self.wander
            .on_sample(now, queueing, own, ratio(rate, known));
        let felt = self.felt(now, input, aim);
        let (aim_s, queue_s) = (aim.as_secs_f64(), felt.queueing.as_secs_f64());
        let max_down = match policy {
            RatePolicy::Low => LOW_MAX_DOWN,
            _ => MAX_DOWN,
        };
        let growth = self.growth(now, felt.queueing, pass);
        let loop_s = pass.max(felt.window).as_secs_f64();
        let step = GAIN * (aim_s - queue_s) / loop_s - DAMPING * growth;
        let mut step = step.clamp(-max_down, MAX_UP);
        let empty = if felt.is_wandering {
            WANDERING_EMPTY
        } else {
            EMPTY
        };
        let nearly_empty = match depth {
            None => (aim_s * empty).max(OWN_BURSTS),
            // Of a queue that runs over soon little is aimed at, and every part of it counts.
            Some(_) => aim_s * empty,
        };
        let is_empty = queue_s <= nearly_empty && !starved;
        if let Some(time) = self.empty.note(now, is_empty) {
            let passes = time.as_secs_f64() / pass.as_secs_f64();
            if passes >= 2.0 {
                let most = match felt.is_wandering && self.wander.is_near_full(now, rate) {
                    true => NEAR_FULL_PUSH,
                    false => MAX_PUSH,
                };
                step = step.max((PUSH * (passes - 2.0).exp2()).min(most));
            }
        }
        let since = self.at.replace(now).unwrap_or(now);
        let passed = now.saturating_duration_since(since).as_secs_f64() / pass.as_secs_f64();
        // What arrives in a round trip says little where delays wander.
        let mut next = match felt.is_wandering {
            true => rate.scaled(1.0 + step * passed.min(1.0)),
            false if starved => rate.scaled(1.0 + step),
            false => bandwidth.scaled(1.0 + step),
        };
        if queue_s > aim_s {
            // Whatever the estimate of the bandwidth says, the rate falls while the queue is too long.
            next = next.min(rate.scaled(1.0 + step * passed.min(1.0)));
        }
        if starved {
            // A sender that does not use its rate learns nothing that could raise it.
            return next.min(rate);
        }
        if queue_s <= nearly_empty {
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
    /// The most that the path was seen to carry lately.
    pub(super) known: Rate,
    /// How long the queue is before it runs over, where that is known.
    pub(super) depth: Option<Duration>,
}

/// The queue that the rule goes by.
struct Felt {
    queueing: Duration,
    /// How long it was looked at beyond a pass.
    window: Duration,
    is_wandering: bool,
}

fn ratio(rate: Rate, of: Rate) -> f64 {
    rate.bits_per_second() as f64 / of.bits_per_second().max(1) as f64
}

/// The queueing delay that a sender at this rate aims at, in a queue that may run over at some depth.
///
/// A depth goes in as a resistor in parallel does: half of it where that is what would be aimed at anyway, never all of it, and
/// still another delay for each rate, so that those who share the queue come to equal rates.
pub(super) fn aim(policy: RatePolicy, rate: Rate, depth: Option<Duration>) -> Duration {
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
    let aim = aim.clamp(MIN_AIM, MAX_AIM);
    let aim = match depth.map(|depth| depth.as_secs_f64()) {
        Some(depth) => depth * aim / (depth + aim),
        None => aim,
    };
    Duration::from_secs_f64(aim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_rate_at_the_same_queue_is_the_aim_of_high() {
        let fair = aim(RatePolicy::Fair, Rate::from_mbps(50), None);
        let high = aim(RatePolicy::High, Rate::from_mbps(100), None);
        assert!(fair.abs_diff(high) < Duration::from_micros(1));
    }

    /// The rate after ten passes in which so much queue is seen and the path carries what is sent.
    fn after_ten_passes(rate: Rate, queueing: Duration) -> Rate {
        let rtt = Duration::from_millis(300);
        let (mut rule, mut now, mut next) = (DelayRule::new(), Instant::now(), rate);
        for _ in 0..100 {
            now += rtt / 8;
            next = rule.next(
                now,
                &Input {
                    policy: RatePolicy::Fair,
                    rate: next,
                    bandwidth: next,
                    queueing,
                    rtt,
                    starved: false,
                    base_age: Duration::ZERO,
                    known: next,
                    depth: None,
                },
            );
        }
        next
    }

    #[test]
    fn a_fast_sender_does_not_take_its_own_bursts_for_a_queue() {
        let rate = Rate::from_mbps(9_000);
        let pushed = after_ten_passes(rate, Duration::from_micros(280));
        assert!(pushed > rate.scaled(1.5), "{pushed:?}");
        let full = after_ten_passes(rate, aim(RatePolicy::Fair, rate, None));
        assert!(full <= rate.scaled(1.01), "{full:?}");
    }

    #[test]
    fn the_aim_stays_below_thirty_milliseconds_from_3_megabits_on_and_low_below_ten() {
        for mbps in [3, 10, 100, 1_000, 10_000] {
            assert!(aim(RatePolicy::Fair, Rate::from_mbps(mbps), None) < Duration::from_millis(30));
            assert!(aim(RatePolicy::Low, Rate::from_mbps(mbps), None) < Duration::from_millis(10));
        }
    }
}
