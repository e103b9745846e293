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
    /// What is on its way held it back since the last report.
    is_blocked: bool,
}

impl Usage {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            since: now,
            allowed: 0.0,
            sent: 0,
            at: now,
            is_used: true,
            is_blocked: false,
        }
    }

    /// The rate would allow more to leave than may be on its way.
    pub(crate) fn on_blocked(&mut self) {
        self.is_blocked = true;
    }

    pub(crate) fn on_sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }

    /// Judges the stretch up to now, during which `rate` was allowed; `loses` says whether anything of it was lost.
    ///
    /// Who loses data and is held back by what is on its way sends more than the path carries, and does use its rate.
    pub(crate) fn is_used(&mut self, now: Instant, rate: Rate, loses: bool) -> bool {
        let is_blocked = std::mem::take(&mut self.is_blocked);
        self.judge(now, rate) || is_blocked && loses
    }

    fn judge(&mut self, now: Instant, rate: Rate) -> bool {
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
            assert_eq!(usage.is_used(now, rate, false), used, "{bytes}");
        }
    }

    #[test]
    fn a_sender_that_loses_what_the_path_does_not_take_uses_its_rate() {
        let epoch = Instant::now();
        let mut usage = Usage::new(epoch);
        let rate = Rate::from_mbps(800);
        for (step, (blocked, loses)) in [(true, true), (true, false), (false, true)]
            .into_iter()
            .enumerate()
        {
            usage.on_sent(100_000);
            if blocked {
                usage.on_blocked();
            }
            let now = epoch + STRETCH * (step as u32 + 1);
            assert_eq!(usage.is_used(now, rate, loses), blocked && loses);
        }
    }
}
