//! The smallest delay of a path, and when a larger one takes its place.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Length of the stretches whose minima are remembered.
const STRETCH: Duration = Duration::from_secs(1);
/// A delay that stays the same for this many stretches is the path's own: the route has changed.
const FLAT: usize = 7;
/// How much the minima of such stretches may differ: what clocks and schedulers do …
const TOLERANCE: i64 = 1_000;
/// … or this share of the step.
const TOLERANCE_SHARE: i64 = 20;
/// A sample within this share of the aim above the base has seen it.
const NEAR: i64 = 4;
/// What the base rises by after a stretch in which it was not seen: clocks drift apart by less.
const CREEP: i64 = 150;
/// A base that nothing has come near for this long is given up.
const MEMORY: Duration = Duration::from_secs(60);

/// Tracks a delay in microseconds whose zero may be anything.
///
/// A smaller delay is the base at once. A larger one only when it is flat, and more than what the sender itself keeps
/// queued: a queue that others keep full moves with their windows, a longer route does not. A sender's own queue is flat as
/// well, so a sender that uses this has to drain it now and then; [`touched`](Self::touched) says when the base was last seen.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    base: Option<i64>,
    touched: Option<Instant>,
    /// Start and minimum of the last stretches, newest last.
    minima: VecDeque<(Instant, i64)>,
}

impl Baseline {
    /// Takes a sample and returns how far it is above the base, microseconds. `aim` is what the sender keeps queued.
    pub(super) fn on_sample(&mut self, now: Instant, delay: i64, aim: i64) -> i64 {
        let near = aim / NEAR;
        let base = *self.base.get_or_insert(delay);
        if delay <= base + near {
            self.touched = Some(now);
        }
        self.base = Some(base.min(delay));
        match self.minima.back_mut() {
            Some((since, min)) if now.saturating_duration_since(*since) < STRETCH => {
                *min = delay.min(*min);
            }
            _ => {
                self.age(now, aim);
                self.minima.push_back((now, delay));
            }
        }
        delay - self.base.unwrap_or(delay)
    }

    /// When a sample was last close to the base.
    pub(super) fn touched(&self) -> Option<Instant> {
        self.touched
    }

    /// The base itself, microseconds.
    pub(super) fn base(&self) -> Option<i64> {
        self.base
    }

    /// A stretch is complete: looks whether the base has moved up.
    fn age(&mut self, now: Instant, aim: i64) {
        while self.minima.len() > FLAT {
            self.minima.pop_front();
        }
        let (Some(base), true) = (self.base, self.minima.len() >= FLAT) else {
            return;
        };
        let mins = self.minima.iter().map(|(_, min)| *min);
        let (Some(low), Some(high)) = (mins.clone().min(), mins.max()) else {
            return;
        };
        let is_flat = high - low <= TOLERANCE.max((low - base) / TOLERANCE_SHARE);
        let is_forgotten = self
            .touched
            .is_none_or(|at| now.saturating_duration_since(at) > MEMORY);
        let is_own = low <= base + aim * 2 + TOLERANCE;
        if is_forgotten || is_flat && !is_own {
            self.base = Some(low);
            self.touched = Some(now);
        } else if low > base + aim / NEAR && is_own {
            self.base = Some(base + CREEP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(
        baseline: &mut Baseline,
        epoch: Instant,
        from: u64,
        until: u64,
        delay: impl Fn(u64) -> i64,
    ) -> i64 {
        let mut above = 0;
        for ms in (from..until).step_by(20) {
            above = baseline.on_sample(epoch + Duration::from_millis(ms), delay(ms), 6_500);
        }
        above
    }

    #[test]
    fn a_longer_route_is_the_base_within_ten_seconds() {
        let (epoch, mut baseline) = (Instant::now(), Baseline::default());
        assert_eq!(feed(&mut baseline, epoch, 0, 5_000, |_| 50_000), 0);
        assert_eq!(feed(&mut baseline, epoch, 5_000, 6_000, |_| 90_000), 40_000);
        assert_eq!(feed(&mut baseline, epoch, 6_000, 14_900, |_| 90_000), 0);
    }

    #[test]
    fn a_queue_that_moves_is_never_the_base() {
        let (epoch, mut baseline) = (Instant::now(), Baseline::default());
        feed(&mut baseline, epoch, 0, 1_000, |_| 50_000);
        // A sawtooth of eight seconds between 40 and 100 ms above.
        let above = feed(&mut baseline, epoch, 1_000, 50_000, |ms| {
            90_000 + (ms as i64 % 8_000) * 60 / 8
        });
        assert!(above > 39_000, "{above}");
    }

    #[test]
    fn a_slow_drift_of_clocks_is_followed() {
        let (epoch, mut baseline) = (Instant::now(), Baseline::default());
        // A hundred millionths fast.
        let above = feed(&mut baseline, epoch, 0, 100_000, |ms| {
            50_000 + ms as i64 / 10
        });
        assert!(above < 3_500, "{above}");
    }
}
