//! The rate, from what the reports say (docs/rate-control.md).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{Rate, RatePolicy};

/// Datagrams per round-trip time before two samples exist (protocol §11).
const FIRST_FLIGHT: u64 = 10;
/// What may leave while starting, relative to what the path was seen to deliver a round trip and a report ago: with
/// that lag, a doubling per round trip.
const START_GAIN: f64 = 2.25;
/// A start-up whose delivery grew by less than this over a round trip …
const GROWTH: f64 = 1.25;
/// … this often has found the link.
const FLAT_ROUNDS: u32 = 3;
/// Queueing delay that ends the start at once.
const START_QUEUE: Duration = Duration::from_millis(10);
/// Queueing delay that the steady state aims at.
const TARGET_QUEUE: Duration = Duration::from_millis(10);
/// Largest steady step up and down, relative to the measured bandwidth.
const MAX_UP: f64 = 0.10;
const MAX_DOWN: f64 = 0.25;
/// Loss that random loss is taken to be at most; beyond it lost bytes no longer count as carried.
const MAX_RANDOM_LOSS: f64 = 0.35;
/// Loss above this for [`LOSS_TIME`] cuts the rate to the minimum (protocol §11).
const EXCESSIVE_LOSS: f64 = 0.5;
const LOSS_TIME: Duration = Duration::from_secs(10);

/// Shortest time between two reports, and what the ends take to act on one.
const REPORT_TIME: Duration = Duration::from_millis(5);
/// Bytes that may always be on their way while starting: two first flights.
const START_WINDOW: u64 = 24_000;
/// No rule makes the sender slower than this.
const SLOWEST: Rate = Rate::from_bits_per_second(8_000);
/// A brake that has been let go this far no longer holds.
const BRAKE_END: Rate = Rate::from_mbps(10_000);

/// What the user and the administrator allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// What the sender may reach; nothing means as much as the path carries.
    pub target: Option<Rate>,
    /// What the sender keeps even under congestion.
    pub min: Rate,
    /// The administrator's upper limit.
    pub cap: Rate,
    /// How to share.
    pub policy: RatePolicy,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            target: None,
            min: Rate::ZERO,
            cap: Rate::MAX,
            policy: RatePolicy::Fair,
        }
    }
}

impl RateLimits {
    /// The highest rate that both target and cap allow.
    pub fn ceiling(&self) -> Rate {
        self.target.unwrap_or(Rate::MAX).min(self.cap)
    }

    fn floor(&self) -> Rate {
        self.min.min(self.ceiling())
    }
}

/// The facts of one report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Report {
    pub(crate) rtt: Duration,
    pub(crate) rtt_samples: u64,
    pub(crate) queueing: Option<Duration>,
    pub(crate) bandwidth: Option<Rate>,
    pub(crate) lost: u64,
    pub(crate) delivered: u64,
    /// The sender had nothing to send or was held back by the receiver.
    pub(crate) starved: bool,
    /// What the receiver's storage takes, if it says so.
    pub(crate) storage: Option<Rate>,
}

#[derive(Debug)]
enum Phase {
    /// Doubling until the link is found.
    StartUp {
        round_ends: Instant,
        best: Rate,
        flat: u32,
    },
    /// Holding the target queue.
    Steady,
}

/// One piece of arithmetic for every policy; the policy picks constants.
#[derive(Debug)]
pub(crate) struct RateController {
    limits: RateLimits,
    phase: Phase,
    /// What the delay rule wants, before limits.
    wanted: Rate,
    /// Bandwidth samples of the last round trips.
    bandwidths: VecDeque<(Instant, Rate)>,
    loss: f64,
    loss_since: Option<Instant>,
    storage: Option<Rate>,
    /// The circuit breaker's factor and when it last acted.
    silenced: Option<Rate>,
    /// What excessive loss leaves, whatever the policy.
    braked: Option<Rate>,
    noted: Instant,
}

impl RateController {
    pub(crate) fn new(now: Instant, limits: RateLimits, rtt: Duration, datagram: u64) -> Self {
        let wanted = Rate::from_bytes_in(FIRST_FLIGHT * datagram, rtt);
        Self {
            limits,
            phase: Phase::StartUp {
                round_ends: now,
                best: Rate::ZERO,
                flat: 0,
            },
            wanted,
            bandwidths: VecDeque::new(),
            loss: 0.0,
            loss_since: None,
            storage: None,
            silenced: None,
            braked: None,
            noted: now,
        }
    }

    /// Returns the rate to send at.
    pub(crate) fn rate(&self) -> Rate {
        let ceiling = self.limits.ceiling();
        let wanted = match self.limits.policy {
            RatePolicy::Fixed if self.is_measured() => ceiling,
            _ => self.wanted,
        };
        let storage = self.storage.unwrap_or(Rate::MAX);
        let rate = wanted.max(self.limits.floor()).min(ceiling).min(storage);
        rate.min(self.silenced.unwrap_or(Rate::MAX))
            .min(self.braked.unwrap_or(Rate::MAX))
            .max(SLOWEST)
    }

    pub(crate) fn limits(&self) -> RateLimits {
        self.limits
    }

    pub(crate) fn set_limits(&mut self, limits: RateLimits) {
        self.limits = limits;
        self.wanted = self.wanted.min(limits.ceiling());
    }

    /// Whether the link is being looked for.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::StartUp { .. })
    }

    pub(crate) fn loss(&self) -> f64 {
        self.loss
    }

    /// Bytes that may be on their way beyond what a report has settled.
    ///
    /// While starting that is twice what the path was seen to hold, `min_rtt` long, and what arrives between two
    /// reports: a start that overshoots fills at most one more product of rate and round trip.
    pub(crate) fn window(&self, rtt: Duration, min_rtt: Duration, allowance: u64) -> u64 {
        let seen = self.bandwidth();
        if self.is_starting() && self.limits.policy != RatePolicy::Fixed && seen > Rate::ZERO {
            let reports = (rtt / 8).max(REPORT_TIME) + REPORT_TIME;
            return seen.bytes_in(min_rtt * 2 + reports) + START_WINDOW;
        }
        self.rate()
            .bytes_in(rtt)
            .saturating_mul(2)
            .saturating_add(allowance)
    }

    /// Takes a report.
    pub(crate) fn on_report(&mut self, now: Instant, report: &Report) {
        self.silenced = None;
        self.storage = report.storage;
        self.note_loss(now, report);
        if let Some(sample) = report.bandwidth {
            // A sender that did not use its rate has measured itself: that may raise the estimate, never lower it.
            let known = if report.starved {
                self.bandwidth()
            } else {
                Rate::ZERO
            };
            let bandwidth = sample.max(known);
            let memory = (report.rtt * 6).max(Duration::from_millis(300));
            self.bandwidths.push_back((now, bandwidth));
            while self
                .bandwidths
                .front()
                .is_some_and(|(at, _)| *at + memory < now)
            {
                self.bandwidths.pop_front();
            }
        }
        if report.rtt_samples < 2 {
            return;
        }
        match self.phase {
            Phase::StartUp { .. } => self.start_up(now, report),
            Phase::Steady => self.steady(report),
        }
        self.wanted = self.wanted.min(self.limits.ceiling());
    }

    /// No report for a while: `silence` says how long, `rtt` what a round trip takes (rule W-31).
    pub(crate) fn on_silence(&mut self, silence: Duration, rtt: Duration, datagram: u64) {
        let rate = self.rate();
        self.silenced = Some(if silence >= Duration::from_secs(10) {
            Rate::from_bytes_in(datagram, rtt)
        } else {
            rate.scaled(0.5)
        });
    }

    /// Starts anew on another path.
    pub(crate) fn restart(&mut self, now: Instant, rtt: Duration, datagram: u64) {
        *self = Self::new(now, self.limits, rtt, datagram);
    }

    fn is_measured(&self) -> bool {
        !matches!(
            self.phase,
            Phase::StartUp {
                best: Rate::ZERO,
                ..
            }
        )
    }

    fn bandwidth(&self) -> Rate {
        self.bandwidths
            .iter()
            .map(|(_, rate)| *rate)
            .max()
            .unwrap_or(Rate::ZERO)
    }

    fn note_loss(&mut self, now: Instant, report: &Report) {
        let total = report.lost + report.delivered;
        let elapsed = now.saturating_duration_since(self.noted).as_secs_f64();
        self.noted = now;
        if total > 0 {
            let ratio = report.lost as f64 / total as f64;
            // Weighted by how much the report speaks about: a thousand datagrams of memory, or five seconds.
            let weight = (total as f64 / 1_000_000.0).max(elapsed / 5.0).min(0.25);
            self.loss += (ratio - self.loss) * weight;
        }
        if self.loss <= EXCESSIVE_LOSS {
            self.loss_since = None;
            // Doubles every second until nothing is held back any more.
            let grown = self.braked.map(|rate| rate.scaled(1.0 + elapsed));
            self.braked = grown.filter(|rate| *rate < self.limits.ceiling().min(BRAKE_END));
        } else if now.saturating_duration_since(*self.loss_since.get_or_insert(now)) >= LOSS_TIME {
            self.wanted = self.limits.floor();
            self.braked = Some(self.limits.floor().max(SLOWEST));
            self.bandwidths.clear();
        }
    }

    fn start_up(&mut self, now: Instant, report: &Report) {
        let Phase::StartUp {
            round_ends,
            best,
            flat,
        } = &mut self.phase
        else {
            return;
        };
        let Some(sample) = report.bandwidth else {
            return;
        };
        if report
            .queueing
            .is_some_and(|q| q > START_QUEUE.max(report.rtt / 16))
        {
            *best = (*best).max(sample);
            self.wanted = sample.scaled(0.9);
            self.phase = Phase::Steady;
            return;
        }
        if now >= *round_ends {
            let grew = sample.bits_per_second() as f64 >= best.bits_per_second() as f64 * GROWTH;
            *flat = if grew || report.starved { 0 } else { *flat + 1 };
            *best = (*best).max(sample);
            *round_ends = now + report.rtt;
            if *flat >= FLAT_ROUNDS {
                self.phase = Phase::Steady;
                self.wanted = self.bandwidth();
                return;
            }
        }
        self.wanted = self.wanted.max(sample.scaled(START_GAIN));
    }

    fn steady(&mut self, report: &Report) {
        let Some(queueing) = report.queueing else {
            return;
        };
        let error = TARGET_QUEUE.as_secs_f64() - queueing.as_secs_f64();
        // Half the error per round trip: the loop stays well damped whatever the delay.
        let gain = error * 0.5 / report.rtt.as_secs_f64().max(0.02);
        let wanted = self.bandwidth().scaled(1.0 + gain.clamp(-MAX_DOWN, MAX_UP));
        let is_queued = queueing > TARGET_QUEUE;
        if !report.starved || is_queued || wanted > self.wanted {
            self.wanted = wanted;
        }
    }
}

/// The share of settled bytes that counts as carried by the bottleneck, given `lost` and `delivered`.
pub(crate) fn carried(lost: u64, delivered: u64) -> u64 {
    let plausible = delivered as f64 * MAX_RANDOM_LOSS / (1.0 - MAX_RANDOM_LOSS);
    delivered + lost.min(plausible as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report(mbps: u64, queue_ms: u64) -> Report {
        Report {
            rtt: Duration::from_millis(100),
            rtt_samples: 10,
            queueing: Some(Duration::from_millis(queue_ms)),
            bandwidth: Some(Rate::from_mbps(mbps)),
            lost: 0,
            delivered: 100_000,
            starved: false,
            storage: None,
        }
    }

    #[test]
    fn w33_starts_with_ten_datagrams_per_round_trip_until_two_samples_exist() {
        let limits = RateLimits {
            target: Some(Rate::from_mbps(900)),
            ..RateLimits::default()
        };
        let epoch = Instant::now();
        let mut controller = RateController::new(epoch, limits, Duration::from_millis(100), 1200);
        assert_eq!(controller.rate(), Rate::from_bits_per_second(960_000));
        controller.on_report(
            epoch,
            &Report {
                rtt_samples: 1,
                ..report(50, 0)
            },
        );
        assert_eq!(controller.rate(), Rate::from_bits_per_second(960_000));
    }

    #[test]
    fn w31_silence_halves_and_then_only_probes() {
        let epoch = Instant::now();
        let limits = RateLimits {
            policy: RatePolicy::Fixed,
            target: Some(Rate::from_mbps(80)),
            ..RateLimits::default()
        };
        let mut controller = RateController::new(epoch, limits, Duration::from_millis(100), 1200);
        controller.on_report(epoch, &report(10, 0));
        assert_eq!(controller.rate(), Rate::from_mbps(80));
        controller.on_silence(Duration::from_secs(2), Duration::from_millis(100), 1200);
        assert_eq!(controller.rate(), Rate::from_mbps(40));
        controller.on_silence(Duration::from_secs(10), Duration::from_millis(100), 1200);
        assert_eq!(controller.rate(), Rate::from_bits_per_second(96_000));
        controller.on_report(epoch, &report(10, 0));
        assert_eq!(controller.rate(), Rate::from_mbps(80));
    }

    proptest! {
        #[test]
        fn the_rate_stays_within_minimum_target_and_cap(
            samples in prop::collection::vec((0u64..2000, 0u64..400, 0u64..1000, 0u64..1000, any::<bool>()), 1..100),
            policy in 0usize..4, target in 1u64..1000, min in 0u64..1200, cap in 1u64..1000,
        ) {
            let limits = RateLimits {
                target: Some(Rate::from_mbps(target)),
                min: Rate::from_mbps(min),
                cap: Rate::from_mbps(cap),
                policy: RatePolicy::ALL[policy].0,
            };
            let mut now = Instant::now();
            let mut controller = RateController::new(now, limits, Duration::from_millis(50), 1200);
            for (mbps, queue, lost, delivered, starved) in samples {
                now += Duration::from_millis(20);
                controller.on_report(now, &Report { lost, delivered, starved, ..report(mbps, queue) });
                let rate = controller.rate();
                prop_assert!(rate <= limits.ceiling());
                prop_assert!(rate >= limits.min.min(limits.ceiling()));
            }
        }
    }
}
