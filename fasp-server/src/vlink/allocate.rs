//! How the capacity of a virtual link is shared out: a pure function.

use fasp_core::{Rate, RatePolicy};

/// What one session needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// How its share compares to those of others.
    pub(crate) policy: RatePolicy,
    /// What it keeps whatever the others do, as far as there is room; of `fixed` that is its target.
    pub(crate) floor: Rate,
    /// What it can use.
    pub(crate) wish: Rate,
}

/// A session is never told less than this: one without any rate would time out.
pub(crate) const LEAST: Rate = Rate::from_kbps(16);

/// The share of a policy against that of `fair`; `high` is twice that (docs/rate-control.md), `low` takes a quarter where
/// there is not enough for all.
fn weight(policy: RatePolicy) -> f64 {
    match policy {
        RatePolicy::Low => 0.25,
        RatePolicy::Fair => 1.0,
        RatePolicy::High | RatePolicy::Fixed => 2.0,
    }
}

/// Shares `capacity` out: first what each keeps, then by weight up to what each can use, then what nobody can use, by
/// weight again, so that whoever wants more finds room at once. The sum is the capacity, or more only where even
/// [`LEAST`] for each is.
pub(crate) fn allocate(capacity: Rate, needs: &[Need]) -> Vec<Rate> {
    let capacity = capacity.bits_per_second() as f64;
    let count = needs.len().max(1) as f64;
    let least = (LEAST.bits_per_second() as f64).min(capacity / count);
    let floor = |need: &Need| {
        let floor = need.floor.min(need.wish).bits_per_second() as f64;
        floor.max(least)
    };
    let floors: Vec<f64> = needs.iter().map(floor).collect();
    let kept: f64 = floors.iter().sum();
    if kept >= capacity {
        // Everybody gives up the same part of what is above the least.
        let room = (capacity - least * count).max(0.0);
        let above = (kept - least * count).max(f64::MIN_POSITIVE);
        let part = |floor: &f64| least + (floor - least) * (room / above).min(1.0);
        return floors.iter().map(part).map(rate).collect();
    }
    let wishes: Vec<f64> = needs
        .iter()
        .zip(&floors)
        .map(|(need, floor)| (need.wish.bits_per_second() as f64).max(*floor))
        .collect();
    let weights: Vec<f64> = needs.iter().map(|need| weight(need.policy)).collect();
    let mut shares = floors;
    fill(&mut shares, &wishes, &weights, capacity);
    let unlimited = vec![f64::INFINITY; needs.len()];
    fill(&mut shares, &unlimited, &weights, capacity);
    shares.into_iter().map(rate).collect()
}

/// Raises the shares together, each to its weight times the same level, none above its bound, until the capacity is used
/// up. None is lowered.
fn fill(shares: &mut [f64], bounds: &[f64], weights: &[f64], capacity: f64) {
    let at =
        |level: f64, n: usize, shares: &[f64]| shares[n].max((level * weights[n]).min(bounds[n]));
    let sum = |level: f64, shares: &[f64]| -> f64 {
        (0..shares.len()).map(|n| at(level, n, shares)).sum()
    };
    // The sum grows with the level, so halving finds it; 4 is the inverse of the smallest weight.
    let (mut low, mut high) = (0.0, capacity * 4.0);
    for _ in 0..64 {
        let level = (low + high) / 2.0;
        if sum(level, shares) > capacity {
            high = level;
        } else {
            low = level;
        }
    }
    let filled: Vec<f64> = (0..shares.len()).map(|n| at(low, n, shares)).collect();
    shares.copy_from_slice(&filled);
}

fn rate(bits: f64) -> Rate {
    // Truncating keeps the sum within the capacity.
    Rate::from_bits_per_second(bits as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MBPS: fn(u64) -> Rate = Rate::from_mbps;

    fn need(policy: RatePolicy, floor: u64, wish: u64) -> Need {
        Need {
            policy,
            floor: MBPS(floor),
            wish: MBPS(wish),
        }
    }

    fn mbps(capacity: u64, needs: &[Need]) -> Vec<u64> {
        let shares = allocate(MBPS(capacity), needs);
        let round = |rate: Rate| (rate.bits_per_second() + 500_000) / 1_000_000;
        shares.into_iter().map(round).collect()
    }

    use RatePolicy::{Fair, Fixed, High, Low};

    #[test]
    fn policies_share_by_weight_and_what_one_cannot_use_goes_to_the_others() {
        let hungry = |policy| need(policy, 0, 1000);
        assert_eq!(
            mbps(130, &[hungry(High), hungry(Fair), hungry(Low)]),
            [80, 40, 10]
        );
        assert_eq!(mbps(90, &[hungry(Fair); 3]), [30, 30, 30]);
        let slow = need(Fair, 0, 10);
        assert_eq!(mbps(90, &[slow, hungry(Fair), hungry(Fair)]), [10, 40, 40]);
        // What nobody can use is room to grow.
        assert_eq!(mbps(90, &[slow, slow]), [45, 45]);
        assert_eq!(mbps(90, &[hungry(Low)]), [90]);
        assert!(mbps(90, &[]).is_empty());
    }

    #[test]
    fn what_a_session_keeps_comes_first_and_shrinks_only_where_it_has_to() {
        let fixed = need(Fixed, 60, 60);
        assert_eq!(mbps(100, &[fixed, need(Fair, 0, 1000)]), [60, 40]);
        assert_eq!(
            mbps(100, &[need(Fair, 30, 1000), need(High, 0, 1000)]),
            [33, 67]
        );
        assert_eq!(mbps(100, &[fixed, fixed]), [50, 50]);
    }

    fn needs() -> impl Strategy<Value = Vec<Need>> {
        let one =
            (0..4_usize, 0..2_000_000_u64, 0..2_000_000_u64).prop_map(|(policy, floor, wish)| {
                Need {
                    policy: RatePolicy::ALL[policy].0,
                    floor: Rate::from_kbps(floor),
                    wish: Rate::from_kbps(wish),
                }
            });
        proptest::collection::vec(one, 1..40)
    }

    proptest! {
        #[test]
        fn the_sum_is_the_capacity(capacity in 1_000..4_000_000_u64, needs in needs()) {
            let capacity = Rate::from_kbps(capacity);
            let sum: u64 = allocate(capacity, &needs).iter().map(|r| r.bits_per_second()).sum();
            let full = capacity.bits_per_second();
            prop_assert!(sum <= full && sum + 1_000 >= full, "{sum} of {full}");
        }

        #[test]
        fn nobody_gets_less_than_it_keeps_while_there_is_room(capacity in 1_000..4_000_000_u64, needs in needs()) {
            let capacity = Rate::from_kbps(capacity);
            let floors: u64 = needs.iter().map(|n| n.floor.min(n.wish).max(LEAST).bits_per_second()).sum();
            for (need, share) in needs.iter().zip(allocate(capacity, &needs)) {
                prop_assert!(share >= LEAST.min(Rate::from_bits_per_second(capacity.bits_per_second() / needs.len() as u64 - 1)));
                if floors < capacity.bits_per_second() {
                    prop_assert!(share.bits_per_second() + 1 >= need.floor.min(need.wish).bits_per_second());
                }
            }
        }

        #[test]
        fn among_the_hungry_shares_follow_the_weights(capacity in 10_000..4_000_000_u64, policies in proptest::collection::vec(0..4_usize, 1..30)) {
            let needs: Vec<_> = policies.iter().map(|policy| Need {
                policy: RatePolicy::ALL[*policy].0, floor: Rate::ZERO, wish: Rate::MAX,
            }).collect();
            let shares = allocate(Rate::from_kbps(capacity), &needs);
            let unit = |n: usize| shares[n].bits_per_second() as f64 / weight(needs[n].policy);
            for n in 1..needs.len() {
                // Unless one has no more than the least.
                if shares[n] > LEAST && shares[0] > LEAST {
                    prop_assert!((unit(n) / unit(0) - 1.0).abs() < 0.001);
                }
            }
        }

        /// Who wants more gets no less.
        #[test]
        fn a_wish_that_grows_never_lowers_a_share(capacity in 1_000..4_000_000_u64, mut needs in needs(), more in 1..1_000_000_u64) {
            let capacity = Rate::from_kbps(capacity);
            let before = allocate(capacity, &needs)[0];
            needs[0].wish = Rate::from_kbps(needs[0].wish.kbps() + more);
            let after = allocate(capacity, &needs)[0];
            prop_assert!(after.bits_per_second() + 1_000 >= before.bits_per_second());
        }
    }
}
