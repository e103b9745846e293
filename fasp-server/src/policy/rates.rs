//! Rates and policy of a session.

use aspera_conf::effective::{Bandwidth, RateRule};
use fasp_core::{Rate, RatePolicy};
use fasp_net::serve::{PolicyBound, RateBound, RateRules};

use crate::users::User;

/// The rules of an account without a file.
pub(super) fn of_account(user: &User, fixed_cap: Option<Rate>) -> RateRules {
    RateRules {
        target: RateBound {
            cap: user.rate_cap(),
            ..RateBound::default()
        },
        min: RateBound::default(),
        policy: PolicyBound {
            fixed_cap,
            ..PolicyBound::default()
        },
    }
}

/// The rules of an account and a file: the lower cap counts.
pub(super) fn rules(bandwidth: &Bandwidth, user: &User, fixed_cap: Option<Rate>) -> RateRules {
    let account = of_account(user, fixed_cap);
    let target = bound(&bandwidth.target);
    let cap = match (target.cap, account.target.cap) {
        (Some(file), Some(account)) => Some(file.min(account)),
        (file, account) => file.or(account),
    };
    let allowed = bandwidth.policy.most.said().copied();
    RateRules {
        target: RateBound { cap, ..target },
        min: bound(&bandwidth.minimum),
        policy: PolicyBound {
            most: allowed.unwrap_or(RatePolicy::Fixed),
            default: bandwidth.policy.default.said().copied().unwrap_or_default(),
            is_locked: bandwidth.policy.locked.said() == Some(&true),
            // An administrator who allows everything and has set a cap has done what rule W-30 asks for.
            fixed_cap: fixed_cap.or_else(|| {
                let cap = *bandwidth.target.cap.said()?;
                cap.filter(|_| allowed == Some(RatePolicy::Fixed))
            }),
        },
    }
}

fn bound(rule: &RateRule) -> RateBound {
    RateBound {
        cap: rule.cap.said().copied().flatten(),
        // Nobody can send nothing: a target of zero is measured, as one that nobody names.
        default: rule
            .default
            .said()
            .copied()
            .filter(|rate| *rate > Rate::ZERO),
        is_locked: rule.locked.said() == Some(&true),
    }
}
