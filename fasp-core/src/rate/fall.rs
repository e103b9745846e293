//! Who drains a queue: how fast it falls while we, and all who are like us, send less.

use std::time::{Duration, Instant};

/// A fall is judged once a drain has worked for this share of the time that it would take if everybody took part.
const JUDGED: f64 = 0.5;
/// Shorter than this says nothing: senders send in bursts, and clocks of reports are coarse.
const SHORTEST: Duration = Duration::from_millis(8);
/// A queue falls by at least this many seconds, and this share of itself, before it says whose share that was.
const LEAST: f64 = 0.0015;
const LEAST_SHARE: f64 = 0.08;

/// One drain, watched.
///
/// A queue that everybody fills at the path's rate falls by `depth` seconds a second when everybody sends that much
/// less. When only some do, it falls by as much less as the others have of the path. This needs neither the path's rate nor the
/// base of the delay: a difference of two delays is enough.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fall {
    began: Instant,
    /// How long less is sent.
    time: Duration,
    /// Share of the rate that is not sent.
    depth: f64,
    /// Queueing delay of the last that left before.
    before: Duration,
    /// What arrives at a full queue beyond what the path carries, as a share of that: this much of the drain is not seen.
    overload: f64,
    /// Share of the path that those who drain have.
    share: Option<f64>,
}

impl Fall {
    /// `loss` is what a full queue drops.
    pub(super) fn new(
        began: Instant,
        time: Duration,
        depth: f64,
        before: Duration,
        loss: f64,
    ) -> Self {
        Self {
            began,
            time,
            depth,
            before,
            overload: loss / (1.0 - loss.min(0.9)),
            share: None,
        }
    }

    /// Takes a report's queueing delay; `base_rtt` is the round trip without it.
    pub(super) fn on_report(&mut self, now: Instant, queueing: Duration, base_rtt: Duration) {
        let since = now.saturating_duration_since(self.began);
        let Some(worked) = since.checked_sub(base_rtt + queueing) else {
            self.before = queueing;
            return;
        };
        // After that a queue which everybody drains is empty, and falls no more.
        let whole = self.time.min(self.before.mul_f64(1.0 / self.depth));
        if worked > whole || worked < whole.mul_f64(JUDGED).max(SHORTEST) {
            return;
        }
        let fallen = self.before.as_secs_f64() - queueing.as_secs_f64();
        let share = (fallen / worked.as_secs_f64() + self.overload) / self.depth;
        self.share = Some(share.clamp(0.0, 1.0));
    }

    /// The share of the path that belongs to those who drain; `None` where the queue was too short to tell.
    pub(super) fn share(&self) -> Option<f64> {
        self.share
    }

    /// Whether the queue fell so much that the share is worth more than noise.
    pub(super) fn is_clear(&self) -> bool {
        let whole = self.time.min(self.before.mul_f64(1.0 / self.depth));
        let fallen = self.share.unwrap_or_default() * self.depth * whole.as_secs_f64();
        fallen >= LEAST.max(self.before.as_secs_f64() * LEAST_SHARE)
    }

    /// The queueing delay that it began with.
    pub(super) fn before(&self) -> Duration {
        self.before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Watches a queue of 40 ms that falls by `slope` from the moment on at which the drain reaches it.
    fn watch(slope: f64) -> Fall {
        let (epoch, base) = (Instant::now(), MS * 100);
        let mut fall = Fall::new(epoch, MS * 120, 0.5, MS * 35, 0.0);
        for ms in (0..300).step_by(10) {
            // What is reported now left a round trip ago.
            let queue = |left: f64| (40.0 - slope * left.max(0.0)).max(0.0);
            let mut queueing = 40.0;
            for _ in 0..8 {
                queueing = queue(f64::from(ms) - 100.0 - queueing);
            }
            fall.on_report(epoch + MS * ms, MS.mul_f64(queueing), base);
        }
        fall
    }

    #[test]
    fn a_queue_that_everybody_drains_belongs_to_them() {
        assert!(watch(0.5).share().is_some_and(|share| share > 0.95));
    }

    #[test]
    fn a_queue_that_others_fill_falls_by_the_share_of_those_who_drain() {
        for part in [0.0, 0.2, 0.5, 0.8] {
            let share = watch(0.5 * part).share();
            assert!(
                share.is_some_and(|share| (share - part).abs() < 0.1),
                "{part}: {share:?}"
            );
        }
        assert!(!watch(0.02).is_clear() && watch(0.2).is_clear());
    }

    #[test]
    fn a_queue_too_short_to_fall_says_nothing() {
        let epoch = Instant::now();
        let mut fall = Fall::new(epoch, MS * 30, 0.5, MS * 2, 0.0);
        for ms in 0..200 {
            fall.on_report(epoch + MS * ms, MS * 2, MS * 50);
        }
        assert_eq!(fall.share(), None);
    }
}
