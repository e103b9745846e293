//! The rate was cut: does the loss go with it?
//!
//! It is asked of as many rounds as it takes to tell. Where losses come in runs, one round that loses nothing says as little as the one
//! before it that lost a third.

use std::time::Duration;

use super::loss::{Count, DEVIATIONS};
use crate::Rate;

/// A trial that takes away so much of the additional loss has found a limit.
const EFFECT: f64 = 0.5;
/// Rounds after which it was chance if too few datagrams were seen to tell.
const PATIENCE: u32 = 4;
/// Loss above this is hardly chance. A sender among many cannot change it alone, but all of them together can: the
/// rate is halved this often before the loss counts as usual after all.
pub(super) const HARDLY_CHANCE: f64 = 0.18;
const HALVINGS: u32 = 3;
/// Independent datagrams that show so much.
const FEW: f64 = 50.0;

/// What the rate was cut from, and to what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// The rate before, and whether that is a limit already.
    pub(super) rate: Rate,
    pub(super) is_limited: bool,
    /// What came through of it.
    pub(super) through: Rate,
    /// The rate of the trial.
    pub(super) limit: Rate,
    /// How long a limit that is found is kept.
    pub(super) hold: Duration,
}

/// What was lost before the rate was cut, and what has been lost since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    pub(super) cut: Cut,
    /// What was lost before; nothing where a start has run into a limit and all of it may be the start's doing.
    before: Option<Count>,
    /// How much of that a cut cannot take away.
    rest: f64,
    since: Count,
    rounds: u32,
    /// Times that the rate was halved.
    halvings: u32,
}

/// What a trial has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing yet.
    Open,
    /// The loss has gone with the rate.
    Gone,
    /// It has stayed, but is too much for chance.
    Much,
    /// It has stayed.
    Chance,
}

impl Trial {
    pub(super) fn new(cut: Cut, before: Option<Count>, rest: f64) -> Self {
        Self {
            cut,
            before,
            rest,
            since: Count::default(),
            rounds: 0,
            halvings: 0,
        }
    }

    /// Takes what was lost in a round.
    pub(super) fn take(&mut self, round: Count) -> Outcome {
        self.since.add(round);
        self.rounds += 1;
        let left = self.since.share();
        let before = self.before.map_or(1.0, Count::share);
        let is_less = left - self.rest < (before - self.rest) * (1.0 - EFFECT);
        let is_much = left > HARDLY_CHANCE && self.halvings < HALVINGS;
        if is_less && before - left > DEVIATIONS * self.spread() {
            return Outcome::Gone;
        }
        if is_much && self.since.datagrams > FEW {
            return Outcome::Much;
        }
        match (is_less || is_much) && self.rounds < PATIENCE {
            true => Outcome::Open,
            false => Outcome::Chance,
        }
    }

    /// Standard deviation of what a trial takes away if chance does it.
    fn spread(&self) -> f64 {
        self.before
            .map_or(0.0, |before| before.deviation_from(self.since))
    }

    /// The same at half of the rate.
    pub(super) fn halved(self) -> Self {
        Self {
            cut: Cut {
                limit: self.cut.limit.scaled(0.5),
                ..self.cut
            },
            since: Count::default(),
            rounds: 0,
            halvings: self.halvings + 1,
            ..self
        }
    }

    pub(super) fn was_halved(&self) -> bool {
        self.halvings > 0
    }

    /// Whether some loss was taken for chance from the beginning.
    pub(super) fn spares_usual(&self) -> bool {
        self.rest > 0.0
    }

    /// What has been lost since.
    pub(super) fn left(&self) -> Count {
        self.since
    }

    /// What was lost before, where that is counted, and since: the same share if it was chance.
    pub(super) fn all(&self) -> Count {
        let mut all = self.before.unwrap_or_default();
        all.add(self.since);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(share: f64, datagrams: f64) -> Count {
        Count {
            lost: share * datagrams,
            datagrams,
        }
    }

    fn trial(before: Option<Count>, rest: f64) -> Trial {
        let rate = Rate::from_mbps(100);
        let cut = Cut {
            rate,
            is_limited: false,
            through: rate,
            limit: rate,
            hold: Duration::from_secs(3),
        };
        Trial::new(cut, before, rest)
    }

    #[test]
    fn one_round_tells_where_there_are_many_datagrams() {
        let before = Some(count(0.05, 900.0));
        assert_eq!(trial(before, 0.0).take(count(0.0, 900.0)), Outcome::Gone);
        assert_eq!(trial(before, 0.0).take(count(0.05, 900.0)), Outcome::Chance);
        assert_eq!(trial(before, 0.04).take(count(0.03, 900.0)), Outcome::Open);
        assert_eq!(trial(None, 0.1).take(count(0.1, 900.0)), Outcome::Gone);
    }

    #[test]
    fn few_datagrams_are_chance_whatever_is_lost_of_them() {
        // Runs of forty: a round of six hundred datagrams says as much as eight.
        let mut trial = trial(Some(count(0.25, 8.0)), 0.0);
        for _ in 1..PATIENCE {
            assert_eq!(trial.take(count(0.0, 8.0)), Outcome::Open);
        }
        assert_eq!(trial.take(count(0.0, 8.0)), Outcome::Chance);
        assert!((0.04..0.08).contains(&trial.all().share()));
    }

    #[test]
    fn what_few_datagrams_cannot_tell_more_of_them_do() {
        let mut trial = trial(Some(count(0.05, 200.0)), 0.0);
        assert_eq!(trial.take(count(0.0, 50.0)), Outcome::Open);
        assert_eq!(trial.take(count(0.0, 200.0)), Outcome::Gone);
    }

    #[test]
    fn much_loss_halves_the_rate_some_times_before_it_is_chance() {
        let mut trial = trial(Some(count(0.5, 900.0)), 0.0);
        for halvings in 1..=HALVINGS {
            assert_eq!(trial.take(count(0.5, 900.0)), Outcome::Much);
            trial = trial.halved();
            assert_eq!(
                trial.cut.limit,
                Rate::from_mbps(100).scaled(0.5_f64.powi(halvings as i32))
            );
        }
        assert_eq!(trial.take(count(0.5, 900.0)), Outcome::Chance);
    }
}
