//! Spreads datagrams in time at the current rate.

use std::time::{Duration, Instant};

use crate::Rate;

/// What leaves in one go: the rate's worth of this time at most, or an eighth of a round trip where that is shorter, so
/// that a burst does not fill a short queue by itself …
const BURST_TIME: Duration = Duration::from_micros(500);
/// … but never less than this time's worth: no timer is sharper …
const MIN_BURST_TIME: Duration = Duration::from_micros(60);
/// … nor less than these bytes, or a datagram would wait for its own tokens,
const MIN_BURST: u64 = 1500;
/// and at most these bytes.
const MAX_BURST: u64 = 512 * 1024;
/// What is gathered before anything leaves, unless the burst is smaller: waking costs more than a datagram does.
const WORTH_WAKING: Duration = Duration::from_micros(250);
/// Who was woken late may catch up with this time's worth.
const CATCH_UP: Duration = Duration::from_millis(2);

/// A token bucket in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    rate: Rate,
    burst_time: Duration,
    tokens: f64,
    at: Instant,
}

impl Pacer {
    pub(crate) fn new(now: Instant, rate: Rate) -> Self {
        let mut pacer = Self {
            rate,
            burst_time: BURST_TIME,
            tokens: 0.0,
            at: now,
        };
        pacer.tokens = pacer.burst();
        pacer
    }

    /// Says how long the path's round trip is.
    pub(crate) fn set_rtt(&mut self, rtt: Duration) {
        self.burst_time = (rtt / 8).clamp(MIN_BURST_TIME, BURST_TIME);
    }

    /// Changes the rate from now on.
    pub(crate) fn set_rate(&mut self, now: Instant, rate: Rate) {
        if rate != self.rate {
            self.refill(now);
            self.rate = rate;
        }
    }

    /// Returns the bytes that may leave now; what is begun may overdraw by one datagram.
    pub(crate) fn allowance(&mut self, now: Instant) -> u64 {
        self.refill(now);
        self.tokens.max(0.0) as u64
    }

    pub(crate) fn on_sent(&mut self, bytes: u64) {
        self.tokens -= bytes as f64;
    }

    /// When a worthwhile amount may leave again: half a burst, or [`WORTH_WAKING`] of a short one.
    pub(crate) fn next_send(&self) -> Instant {
        let worth = self.rate.bytes_in(WORTH_WAKING) as f64;
        let goal = (self.burst() / 2.0).max(worth).min(self.burst());
        if self.tokens >= goal {
            return self.at;
        }
        let missing = (goal - self.tokens).ceil() as u64;
        self.at + self.rate.time_for(missing).max(Duration::from_micros(1))
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        self.at = self.at.max(now);
        let earned = self.rate.bits_per_second() as f64 / 8.0 * elapsed.as_secs_f64();
        self.tokens = (self.tokens + earned).min(self.depth());
    }

    fn burst(&self) -> f64 {
        let bytes = self.rate.bytes_in(self.burst_time);
        bytes.clamp(MIN_BURST, MAX_BURST) as f64
    }

    fn depth(&self) -> f64 {
        let late = self.rate.bytes_in(CATCH_UP.min(self.burst_time * 16));
        self.burst().max(late.min(MAX_BURST) as f64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_exceeds_its_budget_over_any_window(
            mbps in 1u64..10_000,
            steps in prop::collection::vec(1u64..5_000, 1..200),
        ) {
            let rate = Rate::from_mbps(mbps);
            let epoch = Instant::now();
            let mut pacer = Pacer::new(epoch, rate);
            let mut now = epoch;
            let mut sent = 0u64;
            for step in steps {
                now += Duration::from_micros(step);
                while pacer.allowance(now) > 0 {
                    pacer.on_sent(1500);
                    sent += 1500;
                }
                let budget = rate.bytes_in(now - epoch) + pacer.depth() as u64 + 1500;
                prop_assert!(sent <= budget, "{sent} {budget}");
            }
        }

        #[test]
        fn keeps_its_rate_when_woken_at_its_own_times(mbps in 1u64..2_000) {
            let rate = Rate::from_mbps(mbps);
            let epoch = Instant::now();
            let mut pacer = Pacer::new(epoch, rate);
            let mut now = epoch;
            let mut sent = 0u64;
            for _ in 0..2000 {
                while pacer.allowance(now) > 0 {
                    pacer.on_sent(1500);
                    sent += 1500;
                }
                now = pacer.next_send().max(now);
            }
            let ideal = rate.bytes_in(now - epoch) as f64;
            prop_assert!(sent as f64 >= ideal * 0.99 - 3000.0, "{sent} {ideal}");
        }
    }
}
