//! Between the caller's `Instant`s and the nanoseconds the simulator counts in.

use std::time::{Duration, Instant};

/// About a century: later moments are taken as this one, so that adding to any `Instant` works.
const END_OF_TIME: u64 = 100 * 365 * 86_400 * 1_000_000_000;

/// The origin of a simulation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    pub(crate) const fn new(epoch: Instant) -> Self {
        Self { epoch }
    }

    /// Returns the nanoseconds from the origin to `now`; a moment before the origin is the origin.
    pub(crate) fn nanos(self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }

    pub(crate) fn instant(self, nanos: u64) -> Instant {
        self.epoch
            .checked_add(Duration::from_nanos(nanos.min(END_OF_TIME)))
            .unwrap_or(self.epoch)
    }
}

/// Returns a duration in nanoseconds, or `u64::MAX` when it is longer than five centuries.
pub(crate) fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .checked_mul(1_000_000_000)
        .and_then(|nanos| nanos.checked_add(u64::from(duration.subsec_nanos())))
        .unwrap_or(u64::MAX)
}
