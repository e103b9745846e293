//! Round-trip time and reordering (RFC 9002 §5, protocol §7.2).

use std::time::Duration;

/// Assumed before the first sample.
const INITIAL: Duration = Duration::from_millis(100);
/// Smallest reordering window: what schedulers and batching do on any machine.
const MIN_WINDOW: Duration = Duration::from_millis(1);

/// Smoothed round-trip time, its variance and minimum, and how late datagrams overtake each other.
#[derive(Debug, Clone)]
pub(crate) struct Rtt {
    smoothed: Duration,
    variance: Duration,
    min: Duration,
    samples: u64,
    /// Largest lateness seen of a datagram that had been declared lost; decays.
    lateness: Duration,
}

impl Rtt {
    /// Starts from what the control connection measured, if anything.
    pub(crate) fn new(hint: Option<Duration>) -> Self {
        let smoothed = hint.unwrap_or(INITIAL).max(Duration::from_micros(1));
        Self {
            smoothed,
            variance: smoothed / 2,
            min: smoothed,
            samples: 0,
            lateness: Duration::ZERO,
        }
    }

    pub(crate) fn on_sample(&mut self, sample: Duration) {
        let sample = sample.max(Duration::from_micros(1));
        if self.samples == 0 {
            self.smoothed = sample;
            self.variance = sample / 2;
            self.min = sample;
        } else {
            self.min = self.min.min(sample);
            self.variance = (self.variance * 3 + self.smoothed.abs_diff(sample)) / 4;
            self.smoothed = (self.smoothed * 7 + sample) / 8;
        }
        self.samples += 1;
        self.lateness = self.lateness.mul_f64(0.999);
    }

    /// A datagram declared lost arrived after all, `lateness` after the one that condemned it.
    pub(crate) fn on_spurious_loss(&mut self, lateness: Duration) {
        self.lateness = self
            .lateness
            .max(lateness)
            .min(self.smoothed.max(MIN_WINDOW));
    }

    pub(crate) fn smoothed(&self) -> Duration {
        self.smoothed
    }

    pub(crate) fn min(&self) -> Duration {
        self.min
    }

    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// How much earlier than a reported datagram one must have left to be lost.
    pub(crate) fn reordering_window(&self) -> Duration {
        (self.min / 16)
            .max(MIN_WINDOW)
            .max(self.lateness.mul_f64(1.25))
    }

    /// How long to wait for any report before probing.
    pub(crate) fn probe_timeout(&self) -> Duration {
        let feedback = (self.smoothed / 8).max(Duration::from_millis(5));
        self.smoothed + (self.variance * 4).max(Duration::from_millis(10)) + feedback
    }

    /// Forgets the past after the path has changed.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(Some(self.smoothed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_replace_the_hint_and_smooth() {
        let mut rtt = Rtt::new(Some(Duration::from_millis(10)));
        rtt.on_sample(Duration::from_millis(200));
        assert_eq!(rtt.smoothed(), Duration::from_millis(200));
        for _ in 0..100 {
            rtt.on_sample(Duration::from_millis(100));
        }
        assert!(rtt.smoothed().abs_diff(Duration::from_millis(100)) < Duration::from_millis(1));
        assert_eq!(rtt.min, Duration::from_millis(100));
    }

    #[test]
    fn the_reordering_window_learns_and_is_bounded_by_the_round_trip() {
        let mut rtt = Rtt::new(None);
        rtt.on_sample(Duration::from_millis(160));
        assert_eq!(rtt.reordering_window(), Duration::from_millis(10));
        rtt.on_spurious_loss(Duration::from_millis(40));
        assert_eq!(rtt.reordering_window(), Duration::from_millis(50));
        rtt.on_spurious_loss(Duration::from_secs(9));
        assert_eq!(rtt.reordering_window(), Duration::from_millis(200));
    }
}
