//! Queueing delay, from departures here, arrivals there, and round trips (protocol §6.1).

use std::time::{Duration, Instant};

use super::{baseline::Baseline, windowed_min::WindowedMin};

/// A delay counts as the smallest of so long: half a round trip between these.
const MIN_WINDOW: Duration = Duration::from_millis(10);
const MAX_WINDOW: Duration = Duration::from_millis(60);

/// Tracks how long datagrams wait in queues towards the peer.
///
/// Two estimates, of which the smaller one counts. The one-way delay above its base does not see the way back, but
/// clocks that drift apart do move it. The round trip above its base needs no second clock, but a queue on the way back
/// moves it. What moves both is a queue on the way there, or another route.
#[derive(Debug)]
pub(crate) struct Queueing {
    epoch: Instant,
    /// Unwrapped receiver clock of the newest sample, microseconds.
    clock: Option<(u32, i64)>,
    one_way: Estimate,
    round_trip: Estimate,
    current: Duration,
}

/// One kind of delay: its base and its recent minimum.
#[derive(Debug, Default)]
struct Estimate {
    baseline: Baseline,
    recent: WindowedMin<i64>,
}

impl Estimate {
    fn on_sample(&mut self, now: Instant, delay: i64, aim: i64) {
        self.baseline.on_sample(now, delay, aim);
        self.recent.push(now, delay);
    }

    /// The smallest delay of the window above the base, microseconds.
    fn above(&mut self, now: Instant, window: Duration) -> Option<i64> {
        self.recent.shrink(now, window);
        Some(self.recent.get()? - self.baseline.base()?)
    }
}

impl Queueing {
    pub(crate) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            clock: None,
            one_way: Estimate::default(),
            round_trip: Estimate::default(),
            current: Duration::ZERO,
        }
    }

    /// Takes one report's samples (departure here, arrival on the receiver's clock) and its round-trip time, and
    /// returns the queueing delay. `aim` is what the sender keeps queued itself.
    pub(crate) fn on_report(
        &mut self,
        now: Instant,
        samples: impl Iterator<Item = (Instant, u32)>,
        round_trip: Option<Duration>,
        aim: Duration,
    ) -> Option<Duration> {
        let aim = aim.as_micros() as i64;
        let one_way = samples
            .map(|(left, arrived)| self.one_way(left, arrived))
            .min();
        if let Some(delay) = one_way {
            self.one_way.on_sample(now, delay, aim);
        }
        if let Some(delay) = round_trip {
            self.round_trip
                .on_sample(now, delay.as_micros() as i64, aim);
        }
        let window = (self.base_rtt().unwrap_or_default() / 2).clamp(MIN_WINDOW, MAX_WINDOW);
        let one_way = self.one_way.above(now, window)?;
        let both = self
            .round_trip
            .above(now, window)
            .map_or(one_way, |round_trip| one_way.min(round_trip));
        self.current = Duration::from_micros(u64::try_from(both).unwrap_or_default());
        Some(self.current)
    }

    /// Forgets the base after the path has changed.
    pub(crate) fn restart(&mut self) {
        self.one_way = Estimate::default();
        self.round_trip = Estimate::default();
        self.current = Duration::ZERO;
    }

    /// The queueing delay as the last report had it.
    pub(crate) fn current(&self) -> Duration {
        self.current
    }

    /// The round-trip time without queues.
    pub(crate) fn base_rtt(&self) -> Option<Duration> {
        let base = self.round_trip.baseline.base()?;
        Some(Duration::from_micros(
            u64::try_from(base).unwrap_or_default(),
        ))
    }

    /// When a delay was last close to the base: long ago means that the base may no longer be true.
    pub(crate) fn base_seen(&self) -> Option<Instant> {
        self.one_way.baseline.touched()
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

    /// A datagram that leaves at `ms`, takes `there`, and is reported after `back`.
    fn report(q: &mut Queueing, epoch: Instant, ms: u32, there: u32, back: u32) -> Duration {
        let offset = u32::MAX - 100_000;
        let arrived = offset.wrapping_add((ms + there) * 1000);
        let samples = std::iter::once((epoch + MS * ms, arrived));
        let round_trip = MS * (there + back);
        q.on_report(epoch + MS * ms + round_trip, samples, Some(round_trip), MS)
            .unwrap_or_default()
    }

    #[test]
    fn delay_above_the_minimum_is_queueing_whatever_the_clocks_say() {
        let epoch = Instant::now();
        let mut q = Queueing::new(epoch);
        assert_eq!(report(&mut q, epoch, 0, 50, 50), Duration::ZERO);
        assert_eq!(report(&mut q, epoch, 100, 70, 50), MS * 20);
        assert_eq!(report(&mut q, epoch, 200, 50, 50), Duration::ZERO);
    }

    #[test]
    fn a_queue_on_the_way_back_is_not_seen() {
        let epoch = Instant::now();
        let mut q = Queueing::new(epoch);
        report(&mut q, epoch, 0, 50, 50);
        assert_eq!(report(&mut q, epoch, 200, 50, 150), Duration::ZERO);
    }

    #[test]
    fn a_clock_that_runs_away_is_not_seen() {
        let epoch = Instant::now();
        let mut q = Queueing::new(epoch);
        for ms in 0..10 {
            // Ten per cent, and within the round trip nothing.
            let arrived = (ms * 100 + 50) * 1100;
            let samples = std::iter::once((epoch + MS * ms * 100, arrived));
            let now = epoch + MS * (ms * 100 + 100);
            let queueing = q.on_report(now, samples, Some(MS * 100), MS);
            assert_eq!(queueing, Some(Duration::ZERO));
        }
    }
}
