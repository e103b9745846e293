//! Whether the sender uses the rate it has.

use std::time::{Duration, Instant};

use crate::Rate;

/// Shortest stretch that is judged: this long …
const STRETCH: Duration = Duration::from_millis(10);
/// … and long enough for this much, so that a slow pacer's bursts even out.
const STRETCH_BYTES: f64 = 30_000.0;
/// Without a report for this long nothing can be said.
const SILENCE: Duration = Duration::from_secs(1);
/// Share of the rate that counts as using it.
const USED: f64 = 0.8;

/// Compares what left with what might have left.
///
/// A sender that waits for files, for a processor or for credit measures itself, not the path; what it sees then must
/// not lower what is known of the path.
#[derive(Debug)]
pub(crate) struct Usage {
    since: Instant,
    allowed: f64,
    sent: u64,
    at: Instant,
    is_used: bool,
}

impl Usage {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            allowed: 0.0,
            sent: 0,
            at: now,
            is_used: true,
        }
    }

    pub(crate) fn on_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// Judges the stretch up to now, during which `rate` was allowed.
    pub(crate) fn is_used(&mut self, now: Instant, rate: Rate) -> bool {
        let step = now.saturating_duration_since(self.at);
        self.at = now;
        if step > SILENCE {
            // The rate may have been anything meanwhile.
            *self = Self::new(now);
            return true;
        }
        let step = step.as_secs_f64();
        self.allowed += rate.bits_per_second() as f64 / 8.0 * step;
        let is_long = now.saturating_duration_since(self.since) >= STRETCH;
        if is_long && self.allowed >= STRETCH_BYTES {
            self.is_used = self.sent as f64 >= self.allowed * USED;
            self.since = now;
            self.allowed = 0.0;
            self.sent = 0;
        }
        self.is_used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_that_leaves_a_fifth_of_its_rate_does_not_use_it() {
        let epoch = Instant::now();
        let mut usage = Usage::new(epoch);
        let rate = Rate::from_mbps(80);
        let mut now = epoch;
        for (bytes, used) in [(100_000, true), (70_000, false), (90_000, true)] {
            usage.on_sent(bytes);
            now += STRETCH;
            assert_eq!(usage.is_used(now, rate), used, "{bytes}");
        }
    }
}
