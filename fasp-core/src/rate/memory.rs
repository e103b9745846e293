//! What an earlier session saw of the path, and when that may be trusted (protocol §2.5, §11).
//!
//! After "careful resume" (draft-ietf-tsvwg-careful-resume): a remembered rate is used by half, and only on a path whose
//! round-trip time looks like the remembered one.

use std::time::Duration;

use crate::Rate;

/// Part of the remembered round-trip time that the measured one may differ by.
const TOLERANCE: u32 = 4;
/// Part of the remembered rate to go on at.
const CAUTION: f64 = 0.5;

/// What a sender of files saw of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathMemory {
    /// The rate that got through.
    pub rate: Rate,
    /// The smallest round-trip time.
    pub rtt: Duration,
}

impl PathMemory {
    /// Returns the rate to start at where a round trip takes `measured` now; `None` when the path is another one.
    pub fn initial_rate(&self, measured: Duration) -> Option<Rate> {
        let tolerated = self.rtt / TOLERANCE;
        let is_same = !self.rtt.is_zero() && measured.abs_diff(self.rtt) <= tolerated;
        is_same.then(|| self.rate.scaled(CAUTION))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::rate::{RateController, RateLimits};

    const MEMORY: PathMemory = PathMemory {
        rate: Rate::from_mbps(80),
        rtt: Duration::from_millis(300),
    };

    #[test]
    fn w33_a_remembered_rate_counts_by_half_and_only_on_the_same_path() {
        let at = |ms| MEMORY.initial_rate(Duration::from_millis(ms));
        assert_eq!(at(300), Some(Rate::from_mbps(40)));
        assert_eq!(at(375), Some(Rate::from_mbps(40)));
        assert_eq!(at(225), Some(Rate::from_mbps(40)));
        assert_eq!(at(376), None);
        assert_eq!(at(224), None);
        let nothing = PathMemory {
            rtt: Duration::ZERO,
            ..MEMORY
        };
        assert_eq!(nothing.initial_rate(Duration::ZERO), None);
    }

    #[test]
    fn w33_the_controller_starts_at_what_is_justified_and_never_lower_than_without() {
        let (now, rtt) = (Instant::now(), Duration::from_millis(300));
        let fresh = || RateController::new(now, Duration::ZERO, RateLimits::default(), rtt, 1200);
        let usual = fresh().rate();
        let started = |memory, rtt| {
            let mut controller = fresh();
            controller.remember(rtt, memory);
            controller.rate()
        };
        let rate = started(MEMORY, rtt);
        assert!(
            rate > Rate::from_mbps(39) && rate <= Rate::from_mbps(40),
            "{rate:?}"
        );
        assert_eq!(started(MEMORY, rtt * 2), usual, "another path");
        let slow = PathMemory {
            rate: Rate::from_kbps(10),
            ..MEMORY
        };
        assert_eq!(started(slow, rtt), usual);
    }
}
