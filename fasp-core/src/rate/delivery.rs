//! How fast the path delivers, measured on the receiver's clock.

use std::{collections::VecDeque, time::Duration};

use crate::Rate;

/// Shortest stretch that a sample is taken over.
const MIN_STRETCH: Duration = Duration::from_millis(4);

/// Delivery rate: bytes settled between two reports over the time between the arrivals they speak of.
///
/// The receiver's arrival times make the samples immune to a return path that bunches reports. Lost bytes count as
/// well: random loss takes them behind the bottleneck, so what the bottleneck carried is delivered plus lost.
#[derive(Debug, Default)]
pub(crate) struct DeliveryRate {
    /// (arrival on the receiver's clock in microseconds, bytes settled until then), oldest first.
    marks: VecDeque<(u64, u64)>,
    last_arrival: Option<u32>,
    clock: u64,
    settled: u64,
}

impl DeliveryRate {
    /// Counts bytes reported or declared lost.
    pub(crate) fn on_settled(&mut self, bytes: u64) {
        self.settled += bytes;
    }

    /// Takes a report's newest arrival and returns the rate over about the last `stretch`.
    pub(crate) fn on_report(&mut self, arrival: u32, stretch: Duration) -> Option<Rate> {
        let step = self
            .last_arrival
            .map_or(0, |last| arrival.wrapping_sub(last));
        // More than half the clock's range is a step back: an older report overtaken by a newer one.
        if step > u32::MAX / 2 {
            return None;
        }
        self.last_arrival = Some(arrival);
        self.clock += u64::from(step);
        self.marks.push_back((self.clock, self.settled));
        let stretch = stretch.max(MIN_STRETCH).as_micros() as u64;
        while self.marks.len() > 2 && self.marks[1].0 + stretch <= self.clock {
            self.marks.pop_front();
        }
        let (at, settled) = *self.marks.front()?;
        let elapsed = Duration::from_micros(self.clock - at);
        (elapsed >= MIN_STRETCH.min(Duration::from_micros(stretch)))
            .then(|| Rate::from_bytes_in(self.settled - settled, elapsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_path_gives_its_rate_across_a_clock_wrap() {
        let mut delivery = DeliveryRate::default();
        let mut clock = u32::MAX - 50_000;
        let mut last = None;
        for _ in 0..40 {
            clock = clock.wrapping_add(5_000);
            delivery.on_settled(62_500);
            last = delivery.on_report(clock, Duration::from_millis(50));
        }
        assert_eq!(last, Some(Rate::from_mbps(100)));
    }

    #[test]
    fn an_overtaken_report_gives_no_sample() {
        let mut delivery = DeliveryRate::default();
        delivery.on_report(10_000, Duration::from_millis(50));
        assert_eq!(delivery.on_report(9_000, Duration::from_millis(50)), None);
    }
}
