//! What is lost while no queue stands: chance, for a queue that runs over loses nothing then.
//!
//! Senders that share a short queue overrun it together, and whatever one of them tries, the loss stays: it would pass for
//! chance, and each of them would send the more. But all of them drain at the same moments (`slot.rs`), and these tell.

use std::time::{Duration, Instant};

use super::lasting::Lasting;
use super::{Report, loss::Count};

/// A queue below this share of the aim is as good as none, unless it is longer than this: slow senders aim at more than short
/// queues hold.
const EMPTY: f64 = 0.3;
const MOST_EMPTY: Duration = Duration::from_millis(2);
/// Datagrams after which something is known.
const ENOUGH: f64 = 30.0;
/// Datagrams that are remembered.
const REMEMBERED: f64 = 2_000.0;
/// What is kept of worse times when a better one is over: what others had overrun may have been lost in them.
const KEPT_OF_WORSE: f64 = 0.5;
/// How much more than was seen it may be, besides three standard deviations.
const MARGIN: f64 = 0.005;

/// Counts what becomes of datagrams that found no queue.
#[derive(Debug, Default)]
pub(super) struct Chance {
    /// Of all times without a queue that are remembered, and of the one that lasts.
    known: Count,
    current: Count,
    /// Since when no queue has stood.
    empty: Lasting,
}

impl Chance {
    /// Takes what a report has settled at a queueing delay; `effect` datagrams say as much as an independent one.
    pub(super) fn on_report(
        &mut self,
        now: Instant,
        report: &Report,
        (queueing, aim): (Duration, Duration),
        effect: f64,
    ) {
        let is_empty = queueing <= aim.mul_f64(EMPTY).min(MOST_EMPTY);
        let Some(time) = self.empty.note(now, is_empty) else {
            self.remember();
            return;
        };
        // Until then reports speak of what was lost before.
        if time < report.base_rtt {
            return;
        }
        let of = |bytes: u64| bytes as f64 / report.datagram.max(1) as f64 / effect;
        self.current.add(Count {
            lost: of(report.lost),
            datagrams: of(report.lost + report.delivered),
        });
        if self.current.datagrams >= REMEMBERED {
            self.remember();
        }
    }

    /// A time without a queue is over: what was counted in worse ones counts less.
    fn remember(&mut self) {
        if self.current.datagrams < ENOUGH {
            return;
        }
        let current = std::mem::take(&mut self.current);
        let kept = match current.most() < self.known.most() {
            true => KEPT_OF_WORSE,
            false => (1.0 - current.datagrams / REMEMBERED).max(0.0),
        };
        self.known.lost *= kept;
        self.known.datagrams *= kept;
        self.known.add(current);
    }

    /// The most that chance can be taken to lose; nothing while too little is known.
    pub(super) fn most(&self) -> Option<f64> {
        (self.known.datagrams >= ENOUGH).then(|| self.known.most() + MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AIM: Duration = Duration::from_millis(6);
    const RTT: Duration = Duration::from_millis(10);

    /// Runs reports of a hundred datagrams, 5 ms apart.
    fn run(chance: &mut Chance, now: &mut Instant, count: u32, queueing: Duration, lost: u64) {
        for _ in 0..count {
            *now += RTT / 2;
            let report = Report {
                rtt: RTT,
                base_rtt: RTT,
                rtt_samples: 9,
                queueing: Some(queueing),
                base_seen: *now,
                bandwidth: None,
                lost: lost * 1500,
                delivered: (100 - lost) * 1500,
                loss_runs: lost,
                datagram: 1500,
                in_flight: 0,
                starved: false,
                storage: None,
            };
            chance.on_report(*now, &report, (queueing, AIM), 1.0);
        }
    }

    #[test]
    fn only_what_is_lost_without_a_queue_is_chance() {
        let (mut chance, mut now) = (Chance::default(), Instant::now());
        run(&mut chance, &mut now, 20, AIM, 20);
        assert_eq!(chance.most(), None);
        run(&mut chance, &mut now, 8, Duration::ZERO, 1);
        run(&mut chance, &mut now, 1, AIM, 20);
        let most = chance.most().unwrap_or(1.0);
        assert!((0.01..0.035).contains(&most), "{most}");
    }

    #[test]
    fn what_reports_say_of_the_time_before_the_queue_was_empty_does_not_count() {
        let (mut chance, mut now) = (Chance::default(), Instant::now());
        run(&mut chance, &mut now, 1, AIM, 20);
        run(&mut chance, &mut now, 2, Duration::ZERO, 20);
        run(&mut chance, &mut now, 4, Duration::ZERO, 0);
        run(&mut chance, &mut now, 1, AIM, 20);
        let most = chance.most().unwrap_or(1.0);
        assert!(most < 0.02, "{most}");
    }

    #[test]
    fn worse_times_are_forgotten_when_better_ones_come() {
        let (mut chance, mut now) = (Chance::default(), Instant::now());
        run(&mut chance, &mut now, 20, Duration::ZERO, 20);
        run(&mut chance, &mut now, 1, AIM, 20);
        assert!(chance.most().unwrap_or(0.0) > 0.2);
        for _ in 0..8 {
            run(&mut chance, &mut now, 8, Duration::ZERO, 0);
            run(&mut chance, &mut now, 1, AIM, 20);
        }
        let most = chance.most().unwrap_or(1.0);
        assert!(most < 0.03, "{most}");
    }
}
