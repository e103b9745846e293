//! When a transfer that ended early is tried again (D-11).
//!
//! Only the wait is decided here: whoever starts transfers starts the next one, which continues what is there
//! (protocol §14).

use std::time::Duration;

use fasp_core::ErrorCode;

/// How often, and how long after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How many times at most; 0 is never.
    pub count: u32,
    /// The wait before the first retry. Each further one is twice as long, up to [`RetryPolicy::LONGEST`], and all are
    /// varied by a fifth, so that clients that failed together do not come back together.
    pub interval: Duration,
}

/// Three times, after half a minute.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            count: 3,
            interval: Duration::from_secs(30),
        }
    }
}

impl RetryPolicy {
    /// The longest wait, unless the interval itself is longer.
    pub const LONGEST: Duration = Duration::from_secs(300);

    /// Begins to count.
    pub fn begin(self) -> Retries {
        Retries {
            policy: self,
            made: 0,
        }
    }

    /// The wait before a retry, counted from 0; `chance` is between 0 and 1.
    fn delay(self, retry: u32, chance: f64) -> Duration {
        let doubled = self
            .interval
            .saturating_mul(1u32.checked_shl(retry).unwrap_or(u32::MAX));
        let longest = Self::LONGEST.max(self.interval);
        doubled.min(longest).mul_f64(0.8 + 0.4 * chance)
    }
}

/// The retries of one transfer.
#[derive(Debug)]
pub struct Retries {
    policy: RetryPolicy,
    made: u32,
}

/// A retry that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Which one it is, from 1.
    pub number: u32,
    /// How many there may be.
    pub count: u32,
    /// How long to wait before it.
    pub delay: Duration,
}

impl Retries {
    /// Counts a failure; returns the retry that follows it, if its code may be better next time and there is one left.
    pub fn after(&mut self, code: ErrorCode) -> Option<Retry> {
        if !code.is_retryable() || self.made >= self.policy.count {
            return None;
        }
        let chance = crate::random_u64() as f64 / u64::MAX as f64;
        let delay = self.policy.delay(self.made, chance);
        self.made += 1;
        Some(Retry {
            number: self.made,
            count: self.policy.count,
            delay,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d11_waits_double_up_to_the_longest_and_are_varied_by_a_fifth() {
        let policy = RetryPolicy::default();
        let seconds: Vec<_> = (0..6).map(|n| policy.delay(n, 0.5).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 300, 300]);
        assert_eq!(policy.delay(0, 0.0), Duration::from_secs(24));
        assert_eq!(policy.delay(0, 1.0), Duration::from_secs(36));
        assert_eq!(policy.delay(1000, 0.5), RetryPolicy::LONGEST);
        let rare = RetryPolicy {
            interval: Duration::from_secs(3600),
            ..policy
        };
        assert_eq!(rare.delay(5, 0.5), rare.interval);
    }

    #[test]
    fn d11_only_what_the_table_calls_retryable_is_retried_and_only_so_often() {
        for code in ErrorCode::ALL {
            let mut retries = RetryPolicy::default().begin();
            assert_eq!(
                retries.after(*code).is_some(),
                code.is_retryable(),
                "{code:?}"
            );
        }
        let mut retries = RetryPolicy::default().begin();
        let numbers: Vec<_> =
            std::iter::from_fn(|| retries.after(ErrorCode::Stalled).map(|r| r.number)).collect();
        assert_eq!(numbers, [1, 2, 3]);
        let never = RetryPolicy {
            count: 0,
            ..RetryPolicy::default()
        };
        assert_eq!(never.begin().after(ErrorCode::Stalled), None);
    }
}
