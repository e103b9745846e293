//! What the user and the administrator allow.

use crate::{Rate, RatePolicy};

/// Target, minimum, cap and policy of a sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// What the sender may reach; nothing means as much as the path carries.
    pub target: Option<Rate>,
    /// What the sender keeps even under congestion.
    pub min: Rate,
    /// The administrator's upper limit.
    pub cap: Rate,
    /// How to share.
    pub policy: RatePolicy,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            target: None,
            min: Rate::ZERO,
            cap: Rate::MAX,
            policy: RatePolicy::Fair,
        }
    }
}

impl RateLimits {
    /// The highest rate that both target and cap allow.
    pub fn ceiling(&self) -> Rate {
        self.target.unwrap_or(Rate::MAX).min(self.cap)
    }

    pub(super) fn floor(&self) -> Rate {
        self.min.min(self.ceiling())
    }
}
