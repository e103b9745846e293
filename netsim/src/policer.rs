//! A token bucket that drops and never delays.

use crate::Policer;

/// Bucket contents per byte: one bit per second for one nanosecond is the unit, so nothing is rounded.
const UNITS_PER_BYTE: u128 = 8 * 1_000_000_000;

/// The state of a policer.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    rate: u128,
    capacity: u128,
    tokens: u128,
    filled_at: u64,
}

impl TokenBucket {
    /// Returns a full bucket.
    pub(crate) fn new(policer: Policer, now: u64) -> Self {
        let capacity = policer.burst as u128 * UNITS_PER_BYTE;
        Self {
            rate: u128::from(policer.rate),
            capacity,
            tokens: capacity,
            filled_at: now,
        }
    }

    /// Takes tokens for a packet; returns false, taking nothing, when there are too few.
    #[inline]
    pub(crate) fn admits(&mut self, now: u64, bytes: usize) -> bool {
        let gained = u128::from(now - self.filled_at) * self.rate;
        self.tokens = self.tokens.saturating_add(gained).min(self.capacity);
        self.filled_at = now;
        match self.tokens.checked_sub(bytes as u128 * UNITS_PER_BYTE) {
            Some(rest) => {
                self.tokens = rest;
                true
            }
            None => false,
        }
    }
}
