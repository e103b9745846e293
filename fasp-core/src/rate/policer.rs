//! Loss without delay: chance, or a limit that drops instead of queueing?
//!
//! Both look alike until the rate changes: random loss stays, a policer's loss goes away. So the rule tries it: when
//! more is lost than usual and the queue does not explain it, the rate falls to what came through, and the next rounds tell.

use std::time::{Duration, Instant};

use super::loss::Round;
use super::trial::{Cut, HARDLY_CHANCE, Outcome, Trial};
use crate::Rate;

/// Loss above the usual by this much, or three standard deviations, is worth a trial.
const SUSPICIOUS: f64 = 0.012;
/// Rounds in a row that have to be suspicious: one alone is chance too often.
const SUSPICIONS: u32 = 2;
/// Share of what came through that a trial sends.
const BELOW: f64 = 0.975;
/// Where nothing is known of chance, the trial cuts deeper, to be sure of its outcome.
const FAR_BELOW: f64 = 0.88;
/// How long a limit is kept before the rate tries to pass it, at first and at most.
const HOLD: Duration = Duration::from_secs(3);
const MAX_HOLD: Duration = Duration::from_secs(24);
/// The same behind a start: what it ran into may have been a short queue, which it fills between two reports.
const HOLD_AFTER_START: Duration = Duration::from_millis(500);
/// A rate below this share of its limit is held by something else.
const HELD_OTHERWISE: f64 = 0.97;
/// A limit that was tried this far without loss is none.
const FAR_ABOVE: f64 = 1.5;
/// How long a try waits at least until its loss counts: a policer passes a burst before it drops.
const TRY_SETTLES: Duration = Duration::from_millis(200);
/// How far a try goes above it.
const TRY: f64 = 1.03;
/// The same where a queue stands, which is what limits the rate then, or where a round has fewer datagrams than these: it takes
/// long, and there is little to lose.
const FAR_TRY: f64 = 2.0;
const FEW: f64 = 50.0;
/// A usual loss above this may be the rate's own doing, and is put to the trial now and then: at first after this long, …
const DOUBTFUL: f64 = 0.015;
const DOUBT: Duration = Duration::from_secs(5);
/// … each time after twice as long, and at last after this.
const MAX_DOUBT: Duration = Duration::from_secs(60);
/// A try that ends this far above where it began has gained something.
const GAINED: f64 = 1.05;
/// How fast the usual loss follows what is seen.
const FOLLOW: f64 = 0.1;

/// Finds and keeps a limit that shows by loss alone.
#[derive(Debug)]
pub(super) struct Policer {
    usual: Option<f64>,
    /// The usual loss that was last established: it does not follow what is seen further up than [`SUSPICIOUS`] from here, for
    /// loss that comes with a creeping rate comes in small steps.
    established: f64,
    /// No trial has confirmed it.
    is_untested: bool,
    state: State,
    /// When the usual loss is doubted next, and how long it is trusted after that.
    doubts: Option<Instant>,
    trust: Duration,
    /// Suspicious rounds in a row.
    suspicions: u32,
}

/// ```text
/// Free --suspicious loss--> Trial --loss stays--> Free, the loss is usual now
///                             \--loss goes--> Held --time--> Trying --no loss--> Trying, faster
///                                               ^---suspicious loss---/
/// ```
#[derive(Debug, Clone, Copy)]
enum State {
    Free,
    Trial(Trial),
    Held {
        limit: Rate,
        until: Instant,
        hold: Duration,
    },
    Trying(Try),
}

/// The rate goes beyond a limit, further with each round that loses nothing.
#[derive(Debug, Clone, Copy)]
struct Try {
    /// The limit that it began with, and the highest rate at which nothing was lost.
    origin: Rate,
    known: Rate,
    limit: Rate,
    hold: Duration,
    rounds: u32,
}

/// What a round changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Unchanged,
    /// The limit has moved: a round starts anew at this moment.
    Moved(Instant),
    /// It was chance: the rate goes back to this.
    Restore(Rate),
}

/// A round and what surrounds it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed {
    pub(super) round: Round,
    /// The rate that was sent at.
    pub(super) rate: Rate,
    /// How long a change of the rate takes to show.
    pub(super) settles: Duration,
    /// A queue above what the delay rule aims at explains loss.
    pub(super) is_explained: bool,
    /// The queue has been nearly empty for some time: no queue limits the rate.
    pub(super) is_empty: bool,
    /// A queue has stood for the whole round.
    pub(super) stands: bool,
}

impl Policer {
    pub(super) fn new() -> Self {
        Self {
            usual: None,
            established: 0.0,
            is_untested: true,
            state: State::Free,
            doubts: None,
            trust: DOUBT,
            suspicions: 0,
        }
    }

    /// Somebody else keeps a queue full: that is what drops, not a limit.
    pub(super) fn forget_limit(&mut self) {
        self.state = State::Free;
    }

    /// A queue has run over and is shorter now: what this round loses is chance.
    pub(super) fn on_ran_over(&mut self, now: Instant, round: &Round) {
        self.forget_limit();
        if self.doubts_start(now) {
            self.establish(round.loss.min(self.usual()));
            self.is_untested = false;
            self.doubts = Some(now + self.trust);
        }
    }

    /// The rate that must not be passed.
    pub(super) fn limit(&self) -> Rate {
        match self.state {
            State::Free => Rate::MAX,
            State::Trial(Trial {
                cut: Cut { limit, .. },
                ..
            })
            | State::Held { limit, .. }
            | State::Trying(Try { limit, .. }) => limit,
        }
    }

    /// The share that is lost whatever the rate.
    pub(super) fn usual(&self) -> f64 {
        self.usual.unwrap_or(0.0)
    }

    /// The same as far as it is trusted: what a start has seen may all be its own doing once it is doubted.
    pub(super) fn trusted(&self, now: Instant) -> f64 {
        match self.usual() > DOUBTFUL && self.doubts_start(now) {
            true => 0.0,
            false => self.usual(),
        }
    }

    /// Chance loses no more than this.
    pub(super) fn bound_usual(&mut self, most: f64) {
        if self.usual() > most {
            self.establish(most);
        }
    }

    /// The start has seen this loss; it is doubted from that moment on.
    pub(super) fn set_usual(&mut self, doubted: Instant, usual: f64) {
        self.establish(usual.min(HARDLY_CHANCE));
        self.is_untested = true;
        self.doubts = Some(doubted);
        self.trust = DOUBT;
    }

    /// The start has run into a limit that drops: `carried` came through of it.
    pub(super) fn on_start(&mut self, carried: Rate) {
        let cut = Cut {
            rate: carried,
            is_limited: false,
            through: carried,
            limit: carried.scaled(BELOW),
            hold: HOLD_AFTER_START,
        };
        self.state = State::Trial(Trial::new(cut, None, self.usual()));
    }

    /// Takes a round.
    pub(super) fn on_round(&mut self, now: Instant, seen: &Observed) -> Verdict {
        if self.usual.is_none() {
            self.establish(seen.round.loss);
        }
        self.suspicions = match self.is_suspicious(&seen.round) {
            true => self.suspicions + 1,
            false => 0,
        };
        match self.state {
            State::Free => self.free(now, seen),
            State::Trial(trial) => self.trial(now, seen, trial),
            State::Held { limit, until, hold } => self.held(now, seen, (limit, until, hold)),
            State::Trying(step) => self.trying(now, seen, step),
        }
    }

    fn free(&mut self, now: Instant, seen: &Observed) -> Verdict {
        if seen.is_explained {
            return Verdict::Unchanged;
        }
        let free = (seen.rate, false, HOLD);
        if self.suspicions >= SUSPICIONS {
            return self.try_cut(now, seen, self.usual(), free);
        }
        if self.suspicions > 0 {
            return Verdict::Unchanged;
        }
        self.follow(&seen.round);
        if self.is_doubtful(now, seen) {
            return self.try_cut(now, seen, 0.0, free);
        }
        Verdict::Unchanged
    }

    fn held(&mut self, now: Instant, seen: &Observed, held: (Rate, Instant, Duration)) -> Verdict {
        let (limit, until, hold) = held;
        if self.suspicions >= SUSPICIONS && !seen.is_explained {
            return self.try_cut(now, seen, self.usual(), (limit, true, hold));
        }
        if self.suspicions > 0 {
            return Verdict::Unchanged;
        }
        self.follow(&seen.round);
        if self.is_doubtful(now, seen) && !seen.is_explained {
            return self.try_cut(now, seen, 0.0, (limit, true, hold));
        }
        if now < until && !seen.stands {
            return Verdict::Unchanged;
        }
        self.state = State::Trying(Try {
            origin: limit,
            known: limit,
            limit: limit.scaled(TRY),
            hold,
            rounds: 0,
        });
        Verdict::Moved(now + seen.settles.max(TRY_SETTLES))
    }

    fn trial(&mut self, now: Instant, seen: &Observed, mut trial: Trial) -> Verdict {
        match trial.take(seen.round.count()) {
            Outcome::Open => {
                self.state = State::Trial(trial);
                Verdict::Unchanged
            }
            Outcome::Gone => self.found_limit(now, seen, &trial),
            Outcome::Much => {
                self.state = State::Trial(trial.halved());
                Verdict::Moved(now + seen.settles)
            }
            Outcome::Chance => self.found_chance(now, &trial),
        }
    }

    /// The loss has gone with the rate.
    fn found_limit(&mut self, now: Instant, seen: &Observed, trial: &Trial) -> Verdict {
        let Cut {
            rate,
            through,
            limit,
            hold,
            ..
        } = trial.cut;
        let left = trial.left();
        self.bound_usual(left.most());
        if left.share() > DOUBTFUL && trial.spares_usual() {
            // What is left may go as well.
            return self.try_cut(now, seen, 0.0, (limit, true, hold));
        }
        let found = match (trial.was_halved(), trial.spares_usual()) {
            (true, _) => limit,
            (false, true) => through.scaled(BELOW),
            // What is left is chance, and happens behind the limit.
            (false, false) => through.scaled(BELOW / (1.0 - left.share().min(0.9))),
        };
        self.hold(now, found.min(rate), hold);
        Verdict::Unchanged
    }

    /// The loss has stayed, whatever the rate.
    fn found_chance(&mut self, now: Instant, trial: &Trial) -> Verdict {
        self.establish(trial.all().share());
        self.is_untested = false;
        if trial.was_halved() {
            self.trust = MAX_DOUBT;
        }
        self.doubts = Some(now + self.trust);
        self.trust = (self.trust * 2).min(MAX_DOUBT);
        let Cut {
            rate,
            is_limited,
            hold,
            ..
        } = trial.cut;
        match is_limited {
            true => self.hold(now, rate, hold),
            false => self.state = State::Free,
        }
        Verdict::Restore(rate)
    }

    fn trying(&mut self, now: Instant, seen: &Observed, step: Try) -> Verdict {
        let Try {
            origin,
            known,
            limit,
            hold,
            rounds,
        } = step;
        let settled = now + seen.settles.max(TRY_SETTLES);
        if self.is_suspicious(&seen.round) {
            let carried = self.carried(&seen.round);
            let found = known.min(carried.scaled(BELOW).max(origin));
            // A try that has gained nothing is not worth another one soon.
            let hold = match found > origin.scaled(GAINED) {
                true => HOLD,
                false => (hold * 2).min(MAX_HOLD),
            };
            self.hold(now, found, hold);
            return Verdict::Moved(settled);
        }
        self.follow_down(&seen.round);
        let is_held_otherwise = seen.rate < limit.scaled(HELD_OTHERWISE);
        if is_held_otherwise && (seen.rate >= origin || limit > origin.scaled(FAR_ABOVE)) {
            // A queue holds the rate, and nothing is lost: there is no limit before it.
            self.state = State::Free;
            return Verdict::Unchanged;
        }
        // Each round without loss goes further.
        let rounds = rounds + 1;
        let factor = match seen.round.datagrams < FEW || seen.stands {
            true => FAR_TRY,
            false => 1.0 + (TRY - 1.0) * f64::from(1 << rounds.min(2)),
        };
        self.state = State::Trying(Try {
            known: limit,
            limit: limit.scaled(factor),
            rounds,
            ..step
        });
        Verdict::Moved(settled)
    }

    /// Cuts the rate to what came through; `rate` is the rate until now, whether that is a limit, and how long a limit found
    /// is held.
    fn try_cut(
        &mut self,
        now: Instant,
        seen: &Observed,
        rest: f64,
        (rate, is_limited, hold): (Rate, bool, Duration),
    ) -> Verdict {
        let (through, below, settles) = match rest > 0.0 {
            true => (self.carried(&seen.round), BELOW, seen.settles),
            false => (seen.round.goodput, FAR_BELOW, seen.settles.max(TRY_SETTLES)),
        };
        let through = through.min(rate);
        let cut = Cut {
            rate,
            is_limited,
            through,
            limit: through.scaled(below),
            hold,
        };
        self.state = State::Trial(Trial::new(cut, Some(seen.round.count()), rest));
        Verdict::Moved(now + settles)
    }

    fn hold(&mut self, now: Instant, limit: Rate, hold: Duration) {
        let until = now + hold;
        self.state = State::Held { limit, until, hold };
    }

    fn establish(&mut self, usual: f64) {
        self.usual = Some(usual);
        self.established = usual;
    }

    fn is_suspicious(&self, round: &Round) -> bool {
        round.loses_more(self.usual(), SUSPICIOUS)
    }

    /// A sender that a queue limits is not above a policer's limit; only what the start has seen may be an overshoot's.
    fn is_doubtful(&self, now: Instant, seen: &Observed) -> bool {
        seen.round.loss > DOUBTFUL && (seen.is_empty || self.is_untested) && self.is_due(now)
    }

    /// What a start has seen was never confirmed, and its time has come.
    fn doubts_start(&self, now: Instant) -> bool {
        self.is_untested && self.is_due(now)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.doubts.is_none_or(|at| now >= at)
    }

    /// What the bottleneck carried, if the usual loss happens behind it.
    fn carried(&self, round: &Round) -> Rate {
        round.goodput.scaled(1.0 / (1.0 - self.usual().min(0.9)))
    }

    /// Less is lost than usual.
    fn follow_down(&mut self, round: &Round) {
        if round.loss < self.usual() {
            self.follow(round);
        }
    }

    fn follow(&mut self, round: &Round) {
        if let Some(usual) = &mut self.usual {
            // Few datagrams say little.
            let weight = FOLLOW * (round.independent / 200.0).min(1.0);
            let weight = if round.loss < *usual {
                weight * 2.0
            } else {
                weight
            };
            *usual += (round.loss - *usual) * weight;
            self.established = self.established.min(*usual);
            *usual = usual.min(self.established + SUSPICIOUS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLES: Duration = Duration::from_millis(100);

    /// Rounds of a sender on a path that passes `policed` at most and loses `chance` of it.
    fn run(
        policer: &mut Policer,
        now: &mut Instant,
        rounds: u32,
        policed: f64,
        chance: f64,
    ) -> f64 {
        let mut wanted = 100e6;
        let mut rate = wanted;
        for _ in 0..rounds {
            *now += SETTLES * 3;
            rate = policer.limit().bits_per_second() as f64;
            rate = rate.min(wanted);
            let through = rate.min(policed) * (1.0 - chance);
            let seen = Observed {
                round: Round {
                    loss: 1.0 - through / rate,
                    datagrams: 1000.0,
                    independent: 1000.0,
                    goodput: Rate::from_bits_per_second(through as u64),
                },
                rate: Rate::from_bits_per_second(rate as u64),
                settles: SETTLES,
                is_explained: false,
                is_empty: true,
                stands: false,
            };
            if let Verdict::Restore(restored) = policer.on_round(*now, &seen) {
                wanted = restored.bits_per_second() as f64;
            }
        }
        rate
    }

    #[test]
    fn a_limit_is_told_from_chance() {
        let (mut policer, mut now) = (Policer::new(), Instant::now());
        assert!(run(&mut policer, &mut now, 3, 1e9, 0.0) > 99e6);
        let limited = run(&mut policer, &mut now, 4, 60e6, 0.0);
        assert!((57e6..60e6).contains(&limited), "{limited}");

        let (mut policer, mut now) = (Policer::new(), Instant::now());
        run(&mut policer, &mut now, 3, 1e9, 0.0);
        assert!(run(&mut policer, &mut now, 6, 1e9, 0.08) > 99e6);
        assert!(
            (0.07..0.09).contains(&policer.usual()),
            "{}",
            policer.usual()
        );
    }

    #[test]
    fn what_a_start_lost_is_trusted_until_it_is_doubted_and_again_once_a_queue_explains_it() {
        let (mut policer, now) = (Policer::new(), Instant::now());
        let doubted = now + SETTLES;
        policer.set_usual(doubted, 0.15);
        assert_eq!(
            (policer.trusted(now), policer.trusted(doubted)),
            (0.15, 0.0)
        );
        assert_eq!(policer.usual(), 0.15);
        let round = Round {
            loss: 0.02,
            datagrams: 1000.0,
            independent: 1000.0,
            goodput: Rate::from_mbps(100),
        };
        policer.on_ran_over(doubted, &round);
        assert_eq!((policer.trusted(doubted), policer.usual()), (0.02, 0.02));
    }

    #[test]
    fn a_limit_that_rises_is_followed() {
        let (mut policer, mut now) = (Policer::new(), Instant::now());
        run(&mut policer, &mut now, 6, 50e6, 0.0);
        assert!(policer.limit() < Rate::from_mbps(51));
        assert!(run(&mut policer, &mut now, 40, 90e6, 0.0) > 85e6);
    }
}
