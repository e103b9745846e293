//! Rates: what is taken when a client names none, and what limits one that it names.

use fasp_core::{Rate, RatePolicy};

use super::{Read, Sourced};
use crate::error::Result;
use crate::resolve::Origin;

/// The rates in one direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Bandwidth {
    /// The target rate.
    pub target: RateRule,
    /// The minimum rate; means nothing with policy `fixed`.
    pub minimum: RateRule,
    /// The rate policy.
    pub policy: PolicyRule,
    /// The virtual link that is shared, 1 to 255.
    pub trunk: Sourced<Option<u8>>,
}

/// Bounds of a rate.
#[derive(Debug, Clone, PartialEq)]
pub struct RateRule {
    /// The highest; none is no limit.
    pub cap: Sourced<Option<Rate>>,
    /// What is taken when the client names none.
    pub default: Sourced<Rate>,
    /// Whether it is refused to change it during a transfer.
    pub locked: Sourced<bool>,
}

/// Bounds of the policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyRule {
    /// The most aggressive.
    pub most: Sourced<RatePolicy>,
    /// What is taken when the client names none.
    pub default: Sourced<RatePolicy>,
    /// Whether it is refused to change it during a transfer.
    pub locked: Sourced<bool>,
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted<T> {
    /// The value.
    pub value: T,
    /// Who limited it, if it is not what the client asked for.
    pub limited_by: Option<Origin>,
}

impl RateRule {
    /// Returns the rate for what a client asked for; none is nothing.
    pub fn grant(&self, asked: Option<Rate>) -> Granted<Rate> {
        match (asked, self.cap.value) {
            (None, _) => Granted {
                value: self.default.value,
                limited_by: None,
            },
            (Some(asked), Some(cap)) if asked > cap => Granted {
                value: cap,
                limited_by: Some(self.cap.origin.clone()),
            },
            (Some(asked), _) => Granted {
                value: asked,
                limited_by: None,
            },
        }
    }

    fn of(read: &Read<'_, '_>, side: &str, rate: &str) -> Result<Self> {
        let name = |part: &str| format!("transfer_{side}_bandwidth_flow_{rate}_{part}");
        let cap = read.bounded(&name("cap"))?;
        let default = read.number(&name("default"))?;
        Ok(Self {
            cap: cap.map(|cap| cap.map(Rate::from_kbps)),
            default: default.map(Rate::from_kbps),
            locked: read.bool(&name("lock"))?,
        })
    }
}

impl PolicyRule {
    /// Returns the policy for what a client asked for; none is nothing.
    pub fn grant(&self, asked: Option<RatePolicy>) -> Granted<RatePolicy> {
        match asked {
            None => Granted {
                value: self.default.value,
                limited_by: None,
            },
            Some(asked) if asked > self.most.value => Granted {
                value: self.most.value,
                limited_by: Some(self.most.origin.clone()),
            },
            Some(asked) => Granted {
                value: asked,
                limited_by: None,
            },
        }
    }

    fn of(read: &Read<'_, '_>, side: &str) -> Result<Self> {
        let name = |part: &str| format!("transfer_{side}_bandwidth_flow_policy_{part}");
        Ok(Self {
            most: read.word(&name("allowed"))?.map(policy),
            default: read.word(&name("default"))?.map(policy),
            locked: read.bool(&name("lock"))?,
        })
    }
}

impl Bandwidth {
    pub(super) fn of(read: &Read<'_, '_>, side: &str) -> Result<Self> {
        let trunk = format!("transfer_{side}_bandwidth_aggregate_trunk_id");
        let trunk = read.number(&trunk)?;
        Ok(Self {
            target: RateRule::of(read, side, "target_rate")?,
            minimum: RateRule::of(read, side, "min_rate")?,
            policy: PolicyRule::of(read, side)?,
            trunk: trunk.map(|id| u8::try_from(id).ok().filter(|id| *id > 0)),
        })
    }
}

/// `any` is the most.
fn policy(word: &str) -> RatePolicy {
    word.parse().unwrap_or(RatePolicy::Fixed)
}
