//! Spreads datagrams in time at the current rate.

use std::time::{Duration, Instant};

use crate::Rate;

/// What may leave in one go: this much time's worth of the rate …
const BURST_TIME: Duration = Duration::from_millis(1);
/// … but at least this many bytes, so that a batch pays for its system call,
const MIN_BURST: u64 = 4 * 1500;
/// and at most this many.
const MAX_BURST: u64 = 512 * 1024;

/// A token bucket in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Pacer {
    rate: Rate,
    tokens: f64,
    at: Instant,
}

impl Pacer {
    pub(crate) fn new(now: Instant, rate: Rate) -> Self {
        Self {
            rate,
            tokens: burst(rate),
            at: now,
        }
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

    /// When a worthwhile amount, half a burst, may leave again.
    pub(crate) fn next_send(&self) -> Instant {
        let goal = burst(self.rate) / 2.0;
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
        self.tokens = (self.tokens + earned).min(burst(self.rate));
    }
}

fn burst(rate: Rate) -> f64 {
    rate.bytes_in(BURST_TIME).clamp(MIN_BURST, MAX_BURST) as f64
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
                let budget = rate.bytes_in(now - epoch) + burst(rate) as u64 + 1500;
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
