//! One-way queueing delay from departures here and arrivals there (protocol §6.1).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a minimum stays the base: a route whose delay rose is digested within this time.
const MEMORY: Duration = Duration::from_secs(10);
/// Parts that the memory is kept in.
const BUCKETS: u32 = 10;

/// Tracks the smallest one-way delay seen lately and how far above it the path is now.
///
/// The two clocks differ by an unknown constant, which the difference to the minimum cancels; a slow drift between
/// them is followed because the minimum ages.
#[derive(Debug)]
pub(crate) struct Queueing {
    epoch: Instant,
    /// Unwrapped receiver clock of the newest sample, microseconds.
    clock: Option<(u32, i64)>,
    /// Minimum of each stretch of `MEMORY / BUCKETS`, newest last.
    minima: VecDeque<(Instant, i64)>,
    current: Duration,
}

impl Queueing {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            clock: None,
            minima: VecDeque::new(),
            current: Duration::ZERO,
        }
    }

    /// Takes one report's samples (departure here, arrival on the receiver's clock) and returns the queueing delay.
    pub(crate) fn on_report(
        &mut self,
        now: Instant,
        samples: impl Iterator<Item = (Instant, u32)>,
    ) -> Option<Duration> {
        let delay = samples
            .map(|(left, arrived)| self.one_way(left, arrived))
            .min()?;
        match self.minima.back_mut() {
            Some((since, min)) if now.saturating_duration_since(*since) < MEMORY / BUCKETS => {
                *min = delay.min(*min);
            }
            _ => self.minima.push_back((now, delay)),
        }
        while self.minima.len() > 1 && self.minima[0].0 + MEMORY < now {
            self.minima.pop_front();
        }
        let base = self.minima.iter().map(|(_, min)| *min).min()?;
        self.current = Duration::from_micros((delay - base).unsigned_abs());
        Some(self.current)
    }

    /// Forgets the base after the path has changed.
    pub(crate) fn restart(&mut self) {
        self.minima.clear();
        self.current = Duration::ZERO;
    }

    pub(crate) fn current(&self) -> Duration {
        self.current
    }

    /// Arrival less departure, in microseconds, off by the clocks' unknown difference.
    fn one_way(&mut self, left: Instant, arrived: u32) -> i64 {
        let unwrapped = match self.clock {
            None => i64::from(arrived),
            // The difference fits 32 bits with sign, so an older sample steps back.
            Some((last, at)) => at + i64::from(arrived.wrapping_sub(last).cast_signed()),
        };
        self.clock = Some((arrived, unwrapped));
        unwrapped - left.saturating_duration_since(self.epoch).as_micros() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn report(q: &mut Queueing, epoch: Instant, ms: u32, delay_ms: u32) -> Option<Duration> {
        let offset = u32::MAX - 100_000;
        let arrived = offset.wrapping_add((ms + delay_ms) * 1000);
        q.on_report(
            epoch + MS * (ms + 2 * delay_ms),
            std::iter::once((epoch + MS * ms, arrived)),
        )
    }

    #[test]
    fn delay_above_the_minimum_is_queueing_whatever_the_clocks_say() {
        let epoch = Instant::now();
        let mut q = Queueing::new(epoch);
        assert_eq!(report(&mut q, epoch, 0, 50), Some(Duration::ZERO));
        assert_eq!(report(&mut q, epoch, 100, 70), Some(MS * 20));
        assert_eq!(report(&mut q, epoch, 200, 50), Some(Duration::ZERO));
    }

    #[test]
    fn a_longer_route_is_digested_in_ten_seconds() {
        let epoch = Instant::now();
        let mut q = Queueing::new(epoch);
        for t in 0..100 {
            report(&mut q, epoch, t * 100, 50);
        }
        assert_eq!(report(&mut q, epoch, 10_000, 90), Some(MS * 40));
        for t in 101..205 {
            report(&mut q, epoch, t * 100, 90);
        }
        assert_eq!(q.current(), Duration::ZERO);
    }
}
