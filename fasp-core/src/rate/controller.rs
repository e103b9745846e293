//! The rate, from what the reports say (docs/rate-control.md): which rule is in force, and what all of them respect.

use std::time::{Duration, Instant};

use super::breaker::Breaker;
use super::chance::Chance;
use super::compete::{self, Compete, Contest};
use super::delay::{self, DelayRule};
use super::drain::Drain;
use super::loss::{LossMeter, Round};
use super::policer::{Observed, Policer, Verdict};
use super::pressure::{Felt, Pressure};
use super::shallow::{self, Shallow};
use super::slot::{SlotDrain, Slots};
use super::start::Start;
use super::{Found, PathMemory, REPORT_TIME, RateLimits, Report, SLOWEST, report_spacing};
use crate::{Rate, RatePolicy};

/// Datagrams per round-trip time before two samples exist on a path that nobody has measured (protocol §11) …
const FIRST_FLIGHT: u64 = 10;
/// … which leave within this share of it, so that their arrival says more about the path.
const FIRST_FLIGHT_SPEED: u64 = 8;
/// Bytes that may always be on their way while starting, once the round trip is known, if only from the control connection:
/// thirty full datagrams, three initial windows of TCP, paced over three eighths of a round trip.
const START_WINDOW: u64 = 45_000;
/// Products of rate and round trip that may be on their way while starting.
const START_PRODUCTS: f64 = 2.0;
/// Loss that random loss is taken to be at most while nothing is known of it.
const MAX_RANDOM_LOSS: f64 = 0.35;
/// A base delay seen within this time needs no drain.
const BASE_FRESH: Duration = Duration::from_secs(2);
/// A newcomer takes part in this many whatever it has seen: the delay it began with may have been a queue.
const FIRST_DRAINS: u32 = 3;
/// Adaptive policies keep this many datagrams per round trip, or per [`KEPT_TIME`] where that is longer, to see the path.
const KEPT: u64 = 2;
const KEPT_TIME: Duration = Duration::from_millis(100);
/// How long the loss of a start that ended with a queue is not doubted.
const TRUST_IN_QUEUE: Duration = Duration::from_secs(15);
/// The same where the start has seen too little to tell chance from its own overshoot.
const DOUBT_SOON: Duration = Duration::from_secs(1);
/// Loss beyond the usual that shows a queue which runs over.
const UNUSUAL_LOSS: f64 = 0.002;
/// Share of the aim from which on a queue is felt: what chance does not explain of its loss is not put to a trial.
const FELT: f64 = 0.4;
/// How long it is remembered what the path carried.
const MEMORY: Duration = Duration::from_secs(20);

#[derive(Debug)]
enum Mode {
    /// Growing until the path is found.
    Start(Start),
    /// Sending less until what an overshoot has left is gone.
    Drain(Drain),
    /// Holding a short queue.
    Steady,
    /// Emptying the queue together with everybody else.
    Slot(SlotDrain),
    /// Somebody else keeps the queue full.
    Compete(Compete),
}

/// One piece of arithmetic for every policy; the policy picks constants.
#[derive(Debug)]
pub(crate) struct RateController {
    limits: RateLimits,
    mode: Mode,
    /// What the rule in force wants, before limits.
    wanted: Rate,
    /// What the path carried of ours over the last round trip.
    bandwidth: Rate,
    /// The most it carried lately, and when.
    known: (Rate, Instant),
    /// The most it carried at any time.
    peak: Rate,
    /// Half of what an earlier session saw of this path; zero where nothing is known.
    remembered: Rate,
    /// The control connection has measured the path.
    is_measured: bool,
    delay: DelayRule,
    policer: Policer,
    loss: LossMeter,
    breaker: Breaker,
    pressure: Pressure,
    shallow: Shallow,
    chance: Chance,
    storage: Option<Rate>,
    /// Two round trips have been measured (rule W-33).
    is_timed: bool,
    /// The last moment it was told of.
    at: Instant,
    slots: Slots,
    /// The last report.
    seen: Option<Report>,
    /// When samples no longer speak of a drain.
    drain_told: Instant,
    /// When the queue that is reported is no longer the one that a start has left.
    holds_until: Instant,
    first_drains: u32,
}

impl RateController {
    /// Starts at `now`, which is `time_of_day` by the clock that others have as well.
    pub(crate) fn new(
        now: Instant,
        time_of_day: Duration,
        limits: RateLimits,
        rtt: Duration,
        datagram: u64,
    ) -> Self {
        let first = FIRST_FLIGHT * FIRST_FLIGHT_SPEED * datagram;
        Self {
            limits,
            mode: Mode::Start(Start::new(now)),
            wanted: Rate::from_bytes_in(first, rtt),
            bandwidth: Rate::ZERO,
            known: (Rate::ZERO, now),
            peak: Rate::ZERO,
            remembered: Rate::ZERO,
            is_measured: false,
            delay: DelayRule::new(),
            policer: Policer::new(),
            loss: LossMeter::new(now),
            breaker: Breaker::new(now),
            pressure: Pressure::default(),
            shallow: Shallow::default(),
            chance: Chance::default(),
            storage: None,
            is_timed: false,
            at: now,
            slots: Slots::new(now, time_of_day),
            seen: None,
            drain_told: now,
            holds_until: now,
            first_drains: FIRST_DRAINS,
        }
    }

    /// Starts at the rate that a memory of the path justifies, if that is above the usual one (rule W-33). `rtt` was
    /// measured on this connection.
    pub(crate) fn remember(&mut self, rtt: Duration, memory: PathMemory) {
        let rate = memory.initial_rate(rtt).unwrap_or(Rate::ZERO);
        if rate > self.wanted {
            self.wanted = rate;
            self.remembered = rate;
        }
    }

    /// The most that the path was seen to carry.
    pub(crate) fn peak(&self) -> Rate {
        self.peak
    }

    /// The control connection has measured the path's round trip, as TCP does before its own slow start.
    pub(crate) fn on_measured(&mut self) {
        self.is_measured = true;
    }

    /// Bytes that may get ahead of the first answer (rule W-33).
    pub(crate) fn first_flight(&self, rtt: Duration, datagram: u64) -> u64 {
        let usual = match self.is_measured {
            true => START_WINDOW,
            false => FIRST_FLIGHT * datagram,
        };
        usual.max(self.remembered.bytes_in(rtt))
    }

    /// Returns the rate to send at.
    pub(crate) fn rate(&self) -> Rate {
        let ceiling = self.limits.ceiling();
        let wanted = match (self.limits.policy, &self.mode) {
            (RatePolicy::Fixed, Mode::Start(start)) if !start.is_measured() => self.wanted,
            (RatePolicy::Fixed, _) => ceiling,
            (_, Mode::Drain(drain)) => drain.rate(),
            (_, Mode::Compete(compete)) => {
                compete.rate(self.at, self.wanted.min(self.policer.limit()))
            }
            (_, Mode::Slot(slot)) => slot.rate(self.at).min(self.policer.limit().scaled(1.5)),
            _ => self.wanted.min(self.policer.limit()),
        };
        let storage = self.storage.unwrap_or(Rate::MAX);
        let rate = wanted.max(self.limits.floor()).min(ceiling).min(storage);
        rate.min(self.breaker.limit()).max(SLOWEST)
    }

    pub(crate) fn limits(&self) -> RateLimits {
        self.limits
    }

    pub(crate) fn set_limits(&mut self, now: Instant, limits: RateLimits) {
        let was_held = self.wanted >= self.limits.ceiling();
        self.limits = limits;
        if was_held && limits.ceiling() > self.wanted {
            // Nothing but the old target held the rate: what the path carries is to be found anew.
            self.restart_from(now, self.wanted);
        }
        self.wanted = self.wanted.min(limits.ceiling());
    }

    /// Whether the link is being looked for.
    pub(crate) fn is_starting(&self) -> bool {
        matches!(self.mode, Mode::Start(_))
    }

    pub(crate) fn loss(&self) -> f64 {
        self.loss.smoothed()
    }

    /// What the delay rule aims at now.
    pub(crate) fn aim(&self) -> Duration {
        delay::aim(self.limits.policy, self.wanted, self.shallow.depth())
    }

    /// The settled bytes that count as carried by the bottleneck: random loss happens behind it.
    pub(crate) fn carried(&self, lost: u64, delivered: u64) -> u64 {
        match self.mode {
            Mode::Start(_) => {
                let plausible = delivered as f64 * MAX_RANDOM_LOSS / (1.0 - MAX_RANDOM_LOSS);
                delivered + lost.min(plausible as u64)
            }
            _ => (delivered as f64 / (1.0 - self.policer.usual().min(0.9))) as u64,
        }
    }

    /// Bytes that may be on their way beyond what a report has settled; `rtt` is without queues.
    pub(crate) fn window(
        &self,
        rtt: Duration,
        base_rtt: Duration,
        datagram: u64,
        allowance: u64,
    ) -> u64 {
        let is_adaptive = self.limits.policy != RatePolicy::Fixed;
        if !self.is_timed {
            return self.first_flight(rtt, datagram);
        }
        let overshoots = match &self.mode {
            Mode::Start(_) => true,
            Mode::Drain(drain) => drain.is_blind(),
            _ => false,
        };
        if overshoots && is_adaptive {
            // What arrives until the next report waits in the peer's socket at worst, which takes no more than this.
            let seen = self.bandwidth.max(self.remembered);
            let reports = seen.bytes_in(report_spacing(rtt) + REPORT_TIME);
            let path = seen.bytes_in(base_rtt.mul_f64(START_PRODUCTS));
            return path + reports.min(allowance) + START_WINDOW;
        }
        self.rate()
            .bytes_in(rtt)
            .saturating_mul(2)
            .saturating_add(allowance)
    }

    /// When the rate changes although no report comes.
    pub(crate) fn next_change(&self) -> Option<Instant> {
        match &self.mode {
            _ if self.limits.policy == RatePolicy::Fixed => None,
            Mode::Start(_) | Mode::Drain(_) => None,
            Mode::Slot(slot) => Some(slot.next_change(self.at)).filter(|at| *at > self.at),
            Mode::Steady => Some(self.slots.next()),
            Mode::Compete(compete) => {
                let dip = compete.next_change(self.at);
                Some(dip.unwrap_or_else(|| self.slots.next()))
            }
        }
    }

    /// Time has passed; the rate may have changed.
    pub(crate) fn on_time(&mut self, now: Instant) {
        self.at = self.at.max(now);
        if !self.slots.take(now) {
            return;
        }
        match self.mode {
            Mode::Start(_) | Mode::Drain(_) | Mode::Slot(_) => {}
            Mode::Compete(_) => self.begin_dip(now),
            Mode::Steady => self.begin_slot(now),
        }
    }

    /// Looks whether the queue that others kept full can be emptied.
    fn begin_dip(&mut self, now: Instant) {
        let sent = self.rate();
        let loss = (self.loss.smoothed() - self.policer.usual()).max(0.0);
        let Mode::Compete(compete) = &mut self.mode else {
            return;
        };
        if let Some(seen) = self.seen.filter(|seen| !seen.starved) {
            self.drain_told = compete.dip(now, &seen, sent, loss);
        }
    }

    /// Takes part in emptying the queue, unless the base of its delay is known well.
    fn begin_slot(&mut self, now: Instant) {
        let Some(seen) = self.seen.filter(|seen| !seen.starved) else {
            return;
        };
        let carried = self.wanted.min(self.policer.limit());
        let queueing = seen.queueing.unwrap_or_default();
        let is_newcomer = self.first_drains > 0;
        let slot = SlotDrain::new(now, carried, queueing, settles(seen.rtt), is_newcomer);
        self.delay.on_common_drain(slot.told());
        let is_fresh = now.saturating_duration_since(seen.base_seen) < BASE_FRESH;
        if is_fresh && !is_newcomer {
            return;
        }
        self.first_drains = self.first_drains.saturating_sub(1);
        self.mode = Mode::Slot(slot);
    }

    /// Takes a report.
    pub(crate) fn on_report(&mut self, now: Instant, report: &Report) {
        self.on_time(now);
        let before = self.seen.replace(*report);
        if before.is_some_and(|before| before.datagram > report.datagram) {
            self.on_smaller_datagrams(now, report);
        }
        self.storage = report.storage;
        let round = self.loss.on_report(now, report);
        let (floor, ceiling) = (self.limits.floor(), self.limits.ceiling());
        if self
            .breaker
            .on_report(now, self.loss.smoothed(), floor, ceiling)
        {
            self.wanted = floor;
        }
        self.note_bandwidth(now, report);
        self.is_timed = report.rtt_samples >= 2;
        if !self.is_timed {
            return;
        }
        let kept = Rate::from_bytes_in(KEPT * report.datagram, report.rtt.max(KEPT_TIME));
        self.step(now, report, round.as_ref());
        self.wanted = self.wanted.max(kept).min(ceiling);
    }

    /// No report for a while: `silence` says how long, `rtt` what a round trip takes (rule W-31).
    pub(crate) fn on_silence(&mut self, silence: Duration, rtt: Duration, datagram: u64) {
        self.breaker.on_silence(silence, self.rate(), rtt, datagram);
    }

    /// Starts anew on another path.
    pub(crate) fn restart(&mut self, now: Instant, rtt: Duration, datagram: u64) {
        let restarted = Self::new(now, Duration::ZERO, self.limits, rtt, datagram);
        let Self { slots, .. } = std::mem::replace(self, restarted);
        self.slots = slots;
    }

    /// The path no longer takes datagrams that it took: what was lost of them says nothing about its rate.
    fn on_smaller_datagrams(&mut self, now: Instant, report: &Report) {
        self.policer = Policer::new();
        self.loss = LossMeter::new(now);
        self.loss.restart_round(now + settles(report.rtt));
        self.wanted = self.wanted.max(self.known.0);
        self.bandwidth = self.bandwidth.max(self.known.0);
    }

    fn note_bandwidth(&mut self, now: Instant, report: &Report) {
        let Some(sample) = report.bandwidth else {
            return;
        };
        // While starting, the most that was seen counts; a sender that waits for files measures itself.
        // What was sent during a drain says nothing either, for as long as a sample may speak of it.
        let keeps = report.starved || self.is_starting() || now < self.drain_told;
        self.bandwidth = if keeps {
            sample.max(self.bandwidth)
        } else {
            sample
        };
        let is_contested = matches!(self.mode, Mode::Compete(_));
        if is_contested || self.pressure.was_contested(now) {
            // What others take now was there before.
            self.known.1 = now;
        }
        self.peak = self.peak.max(sample);
        if sample > self.known.0 || now.saturating_duration_since(self.known.1) > MEMORY {
            self.known = (sample, now);
        }
    }

    fn step(&mut self, now: Instant, report: &Report, round: Option<&Round>) {
        let aim = self.aim();
        if let Some(queueing) = report.queueing.filter(|_| !self.is_starting()) {
            self.chance
                .on_report(now, report, (queueing, aim), self.loss.effect());
        }
        if let Some(most) = self.chance.most() {
            self.policer.bound_usual(most);
        }
        match &mut self.mode {
            Mode::Start(start) => {
                let found = start.on_report(now, report, self.loss.effect(), &mut self.wanted);
                let usual = start.usual_loss();
                let is_sure = start.knows_usual_loss(report.datagram);
                if let Some(found) = found {
                    self.policer.set_usual(doubted(now, found, is_sure), usual);
                    self.on_found(now, report, found);
                }
            }
            Mode::Drain(drain) => {
                if drain.on_report(now, report) {
                    self.wanted = drain.carried();
                    self.after_drain(now, report);
                }
            }
            Mode::Slot(slot) => {
                let queueing = report.queueing.unwrap_or_default();
                slot.on_report(now, queueing, report.base_rtt);
                if slot.is_over(now) {
                    let slot = *slot;
                    self.after_slot(now, report, &slot);
                }
            }
            Mode::Steady => {
                self.look_for_limit(now, report, round, aim);
                self.steady(now, report);
            }
            Mode::Compete(_) => self.compete(now, report, aim),
        }
    }

    fn after_slot(&mut self, now: Instant, report: &Report, slot: &SlotDrain) {
        self.wanted = slot.carried();
        self.bandwidth = slot.carried();
        self.drain_told = now + report.rtt;
        if self.pressure.on_drained(now, &slot.fall()) {
            self.enter_compete(now);
        } else {
            self.mode = Mode::Steady;
            self.delay.on_drained();
            self.loss.restart_round(now + settles(report.rtt));
        }
    }

    fn enter_compete(&mut self, now: Instant) {
        let capacity = self.known.0;
        self.policer.forget_limit();
        self.mode = Mode::Compete(Compete::new(now, self.limits.policy, capacity));
        self.delay.calm();
    }

    fn compete(&mut self, now: Instant, report: &Report, aim: Duration) {
        let sent = self.rate();
        let Mode::Compete(compete) = &mut self.mode else {
            return;
        };
        let terms = compete::Terms {
            policy: self.limits.policy,
            aim,
            pass: pass(report.rtt),
            sent,
            carried: self.bandwidth,
            usual_loss: self.policer.usual(),
            loss: self.loss.smoothed(),
        };
        let was_real = compete.was_real();
        match compete.on_report(now, report, &terms) {
            Contest::On(least) => {
                if now >= self.drain_told {
                    self.follow_delay(now, report);
                }
                self.wanted = self.wanted.max(least);
            }
            Contest::Over if was_real => {
                self.pressure.on_contest_over(now);
                self.enter_steady(now, report.rtt);
            }
            Contest::Over | Contest::Calm => {
                self.pressure.forget_contest();
                self.known = (self.bandwidth, now);
                self.enter_steady(now, report.rtt);
            }
        }
    }

    fn on_found(&mut self, now: Instant, report: &Report, found: Found) {
        let carried = match found {
            Found::Queue(carried) | Found::Flat(carried) => carried,
            Found::Loss(carried) => {
                self.policer.on_start(carried);
                carried
            }
        };
        self.bandwidth = carried;
        self.known = (carried, now);
        self.wanted = carried;
        self.mode = Mode::Drain(Drain::new(now, report, carried));
    }

    /// The queue that a start has left is empty: the rate stays what the path carries until reports speak of that.
    fn after_drain(&mut self, now: Instant, report: &Report) {
        self.holds_until = now + settles(report.base_rtt);
        self.drain_told = self.holds_until + report.base_rtt;
        self.enter_steady(now, report.rtt);
    }

    fn enter_steady(&mut self, now: Instant, rtt: Duration) {
        self.mode = Mode::Steady;
        self.delay.calm();
        self.loss.restart_round(now + settles(rtt));
    }

    /// Looks for the path's rate again, from `rate` on.
    fn restart_from(&mut self, now: Instant, rate: Rate) {
        self.mode = Mode::Start(Start::again(now, rate));
        self.wanted = rate;
        self.bandwidth = rate;
        self.loss.restart_round(now);
    }

    fn look_for_limit(
        &mut self,
        now: Instant,
        report: &Report,
        round: Option<&Round>,
        aim: Duration,
    ) {
        let queueing = report.queueing.unwrap_or_default();
        self.shallow.on_report(now, queueing, self.wanted, aim);
        let Some(round) = round else {
            return;
        };
        let look = self.shallow.on_round(now, &self.queue_seen(now, round));
        match look.outcome {
            shallow::Outcome::Nothing => {}
            shallow::Outcome::Watched => return,
            shallow::Outcome::Shortened => {
                self.loss.restart_round(now + settles(report.rtt));
                return;
            }
            shallow::Outcome::RanOver => {
                self.policer.on_ran_over(now, round);
                return;
            }
        }
        let is_felt = queueing > aim.mul_f64(FELT);
        let is_no_chance = is_felt && self.chance.most().is_some_and(|most| round.loss > most);
        let seen = Observed {
            round: *round,
            rate: self.rate(),
            settles: settles(report.rtt),
            is_explained: report.starved || queueing > aim || is_no_chance,
            is_empty: self.delay.is_pushing(now, report.rtt),
            stands: look.stands,
        };
        match self.policer.on_round(now, &seen) {
            Verdict::Unchanged => {}
            Verdict::Moved(from) => self.loss.restart_round(from),
            Verdict::Restore(rate) => self.wanted = self.wanted.max(rate),
        }
        // What lies far above a limit would take long to come back from.
        self.wanted = self.wanted.min(self.policer.limit().scaled(1.25));
    }

    /// A round, for the rule that looks for queues which run over.
    fn queue_seen(&self, now: Instant, round: &Round) -> shallow::Seen {
        shallow::Seen {
            round: *round,
            usual: self.policer.trusted(now),
            carried: self.bandwidth,
            curve: delay::aim(self.limits.policy, self.wanted, None),
        }
    }

    fn steady(&mut self, now: Instant, report: &Report) {
        let Some(queueing) = report.queueing.filter(|_| now >= self.holds_until) else {
            return;
        };
        self.follow_delay(now, report);
        let pass = pass(report.rtt);
        let felt = Felt {
            policy: self.limits.policy,
            queueing: self.delay.standing(now, queueing),
            base_rtt: report.base_rtt,
            pass,
            known: self.known.0.max(self.bandwidth),
        };
        self.pressure.on_report(now, &felt);
        // Where delays wander a start would take them for a queue at once.
        let is_free = self.policer.limit() == Rate::MAX && !self.delay.is_wandering(now);
        if is_free && self.delay.is_pushing(now, pass) && self.wanted < self.peak.scaled(0.5) {
            self.restart_from(now, self.wanted);
        }
    }

    /// Follows the delay rule.
    fn follow_delay(&mut self, now: Instant, report: &Report) {
        let Some(queueing) = report.queueing else {
            return;
        };
        let input = delay::Input {
            policy: self.limits.policy,
            rate: self.wanted,
            bandwidth: self.bandwidth,
            queueing,
            rtt: report.rtt,
            starved: report.starved,
            base_age: now.saturating_duration_since(report.base_seen),
            known: self.known.0,
            depth: self.shallow.depth(),
        };
        if self.loss.smoothed() > self.policer.usual() + UNUSUAL_LOSS {
            self.delay.on_loss();
        }
        self.wanted = self.delay.next(now, &input);
    }
}

/// What a change of the rate takes to come back.
fn pass(rtt: Duration) -> Duration {
    rtt + rtt / 4 + REPORT_TIME
}

/// When the loss that a start has seen is put to the trial: a queue has shown that no policer came before it.
fn doubted(now: Instant, found: Found, is_sure: bool) -> Instant {
    match found {
        Found::Queue(_) if is_sure => now + TRUST_IN_QUEUE,
        Found::Queue(_) => now + DOUBT_SOON,
        Found::Flat(_) | Found::Loss(_) => now,
    }
}

/// How long a change of the rate takes to show in what is lost.
fn settles(rtt: Duration) -> Duration {
    rtt + rtt / 4 + REPORT_TIME * 2
}
