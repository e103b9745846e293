//! What the server lets rates and policy be, when a session is granted and while it runs.

use fasp_core::{Rate, RatePolicy};

use crate::control::message;
use crate::engine::Command;

/// Bounds of one rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateBound {
    /// The highest; `None` is no limit.
    pub cap: Option<Rate>,
    /// What counts when the client names none.
    pub default: Option<Rate>,
    /// The client may not change it while the session runs.
    pub is_locked: bool,
}

impl RateBound {
    /// What a wish becomes; nothing stays nothing where there is no default.
    fn grant(self, wish: Option<Rate>) -> Option<Rate> {
        let rate = wish.or(self.default)?;
        Some(self.cap.map_or(rate, |cap| rate.min(cap)))
    }
}

/// Bounds of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyBound {
    /// The most aggressive one.
    pub most: RatePolicy,
    /// What counts when the client names none.
    pub default: RatePolicy,
    /// The client may not change it while the session runs.
    pub is_locked: bool,
    /// The highest target rate under `fixed`; nothing forbids that policy (rule W-30).
    pub fixed_cap: Option<Rate>,
}

impl Default for PolicyBound {
    fn default() -> Self {
        Self {
            most: RatePolicy::Fixed,
            default: RatePolicy::default(),
            is_locked: false,
            fixed_cap: None,
        }
    }
}

impl PolicyBound {
    /// The policy for a wish: the most aggressive one that is allowed and asks for no more.
    fn grant(self, wish: Option<RatePolicy>) -> RatePolicy {
        let wish = wish.unwrap_or(self.default);
        match (wish.min(self.most), self.fixed_cap) {
            // Not high: who asked for `fixed` said nothing about taking more than others.
            (RatePolicy::Fixed, None) => RatePolicy::Fair,
            (granted, _) => granted,
        }
    }
}

/// Everything the server says about rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateRules {
    /// The target rate.
    pub target: RateBound,
    /// The minimum rate.
    pub min: RateBound,
    /// The policy.
    pub policy: PolicyBound,
}

/// What a client asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateWish {
    /// Target rate; without one it is found by measurement, or the server's default counts.
    pub target: Option<Rate>,
    /// Minimum rate; [`Rate::ZERO`] leaves it to the server.
    pub min: Rate,
    /// Policy; without one the server's default counts.
    pub policy: Option<RatePolicy>,
}

/// What a session begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantedRates {
    /// Target rate; without one it is found by measurement.
    pub target: Option<Rate>,
    /// The highest target rate; `None` is no limit.
    pub cap: Option<Rate>,
    /// Minimum rate.
    pub min: Rate,
    /// Policy.
    pub policy: RatePolicy,
}

impl RateRules {
    /// What a wish becomes.
    pub fn grant(&self, wish: RateWish) -> GrantedRates {
        let policy = self.policy.grant(wish.policy);
        let cap = self.cap(policy);
        let target = RateBound { cap, ..self.target }.grant(wish.target);
        // A rate that nothing measures would be no limit at all.
        let target = match policy {
            RatePolicy::Fixed => target.or(cap),
            _ => target,
        };
        let min = (wish.min > Rate::ZERO).then_some(wish.min);
        let min = self.min.grant(min).unwrap_or(Rate::ZERO);
        GrantedRates {
            target,
            cap,
            min: min.min(target.or(cap).unwrap_or(Rate::MAX)),
            policy,
        }
    }

    /// What a change in flight becomes; what is locked stays.
    pub(super) fn change(&self, wish: &message::Rate, now: RatePolicy) -> Command {
        let policy = wish.policy.filter(|_| !self.policy.is_locked);
        let policy = policy.map(|policy| self.policy.grant(Some(policy)));
        let cap = self.cap(policy.unwrap_or(now));
        let bounded = |rate: Rate, cap: Option<Rate>| cap.map_or(rate, |cap| rate.min(cap));
        let target = wish.target_rate.filter(|_| !self.target.is_locked);
        let min = wish.min_rate.filter(|_| !self.min.is_locked);
        Command::Rates {
            target: target.map(|rate| bounded(rate, cap)),
            min: min.map(|rate| bounded(bounded(rate, self.min.cap), cap)),
            policy,
        }
    }

    /// What the client may not change.
    pub(super) fn locks(&self) -> message::Locks {
        message::Locks {
            target: self.target.is_locked,
            min: self.min.is_locked,
            policy: self.policy.is_locked,
        }
    }

    /// The cap in force under a policy.
    fn cap(&self, policy: RatePolicy) -> Option<Rate> {
        match (policy, self.policy.fixed_cap) {
            (RatePolicy::Fixed, Some(fixed)) => {
                Some(self.target.cap.map_or(fixed, |cap| cap.min(fixed)))
            }
            _ => self.target.cap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MBPS: fn(u64) -> Rate = Rate::from_mbps;

    fn wish(target: Option<Rate>, policy: Option<RatePolicy>) -> RateWish {
        RateWish {
            target,
            policy,
            ..RateWish::default()
        }
    }

    #[test]
    fn w30_fixed_needs_a_cap_and_is_fair_without_one() {
        let mut rules = RateRules::default();
        let asked = wish(Some(MBPS(900)), Some(RatePolicy::Fixed));
        assert_eq!(rules.grant(asked).policy, RatePolicy::Fair);
        rules.policy.fixed_cap = Some(MBPS(100));
        let granted = rules.grant(asked);
        assert_eq!(
            (granted.policy, granted.target),
            (RatePolicy::Fixed, Some(MBPS(100)))
        );
        let measured = rules.grant(wish(None, Some(RatePolicy::Fixed)));
        assert_eq!(
            measured.target,
            Some(MBPS(100)),
            "nothing measures a fixed rate"
        );
        rules.policy.most = RatePolicy::High;
        assert_eq!(rules.grant(asked).policy, RatePolicy::High);
    }

    #[test]
    fn defaults_fill_caps_lower_and_the_minimum_stays_below_the_target() {
        let mut rules = RateRules::default();
        assert_eq!(rules.grant(RateWish::default()).target, None, "measured");
        rules.target.default = Some(MBPS(20));
        rules.target.cap = Some(MBPS(10));
        rules.min.default = Some(MBPS(2));
        rules.policy.default = RatePolicy::Low;
        let granted = rules.grant(RateWish::default());
        assert_eq!(granted.target, Some(MBPS(10)));
        assert_eq!((granted.min, granted.policy), (MBPS(2), RatePolicy::Low));
        let greedy = RateWish {
            min: MBPS(50),
            ..wish(Some(MBPS(1)), None)
        };
        let granted = rules.grant(greedy);
        assert_eq!((granted.target, granted.min), (Some(MBPS(1)), MBPS(1)));
        rules.min.cap = Some(Rate::ZERO);
        assert_eq!(rules.grant(greedy).min, Rate::ZERO);
    }

    #[test]
    fn what_is_locked_does_not_change_in_flight() {
        let change = message::Rate {
            session_id: fasp_core::SessionId(1),
            target_rate: Some(MBPS(80)),
            min_rate: Some(MBPS(8)),
            policy: Some(RatePolicy::High),
        };
        let mut rules = RateRules::default();
        rules.target.cap = Some(MBPS(50));
        rules.min.is_locked = true;
        let Command::Rates {
            target,
            min,
            policy,
        } = rules.change(&change, RatePolicy::Fair)
        else {
            unreachable!("rates change rates");
        };
        assert_eq!((target, min), (Some(MBPS(50)), None));
        assert_eq!(policy, Some(RatePolicy::High));
        rules.target.is_locked = true;
        rules.policy.is_locked = true;
        let Command::Rates { target, policy, .. } = rules.change(&change, RatePolicy::Fair) else {
            unreachable!("rates change rates");
        };
        assert_eq!((target, policy), (None, None));
    }
}
