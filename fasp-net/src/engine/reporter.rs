//! Counts results and tells the owner of the session about them.

use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use fasp_core::session::Statistics;
use fasp_core::{ErrorCode, NotKept, RateLimits};

use super::command::{Finish, Report};
use crate::event::{Event, FileFailure, Outcome, PlannedAction, ShownText, Totals};

/// How often figures are reported.
const INTERVAL: Duration = Duration::from_millis(200);

/// The session's voice.
#[derive(Debug)]
pub(super) struct Reporter {
    reports: Sender<Report>,
    started: Instant,
    next: Instant,
    outcome: Outcome,
    totals: Totals,
    /// Files and bytes that were counted beforehand.
    counted: Option<(u64, u64)>,
    is_dry_run: bool,
    /// Code of the failed files so far, while they all agree.
    code: Option<ErrorCode>,
}

impl Reporter {
    pub(super) fn new(reports: Sender<Report>, now: Instant) -> Self {
        Self {
            reports,
            started: now,
            next: now,
            outcome: Outcome::default(),
            totals: Totals::default(),
            counted: None,
            is_dry_run: false,
            code: None,
        }
    }

    fn send(&self, report: Report) {
        // An owner that has gone away needs no reports.
        self.reports.send(report).ok();
    }

    pub(super) fn connected(&self) {
        self.send(Report::Connected);
    }

    /// Rates or policy were changed.
    pub(super) fn limits(&self, limits: RateLimits) {
        self.send(Report::Limits(limits));
    }

    pub(super) fn notice(&self, message: &str) {
        self.send(Report::Event(Event::Notice {
            message: message.into(),
        }));
    }

    /// The list grew.
    pub(super) fn listed(&mut self, files: u64, bytes: u64, complete: bool) {
        self.totals.add(files, bytes);
        self.totals.complete |= complete;
        self.tell_totals();
    }

    /// How much there will be is known before it is listed.
    pub(super) fn counted(&mut self, files: u64, bytes: u64) {
        self.counted = Some((files, bytes));
        self.tell_totals();
    }

    /// What was counted, while the list names no more than that.
    fn tell_totals(&self) {
        let mut totals = self.totals;
        if let Some((files, bytes)) = self.counted.filter(|_| !totals.complete) {
            totals.files = totals.files.max(files);
            totals.bytes = totals.bytes.max(bytes);
            totals.complete = true;
        }
        self.send(Report::Event(Event::Totals(totals)));
    }

    pub(super) fn done(&mut self, path: &[u8], size: u64) {
        self.count_done(size);
        self.tell_done(path, size);
    }

    /// Tells of a file that has been counted.
    pub(super) fn tell_done(&self, path: &[u8], size: u64) {
        let path = ShownText::from_bytes(path);
        self.send(Report::Event(match self.is_dry_run {
            true => Event::FilePlanned {
                action: PlannedAction::Transfer,
                path,
                size: Some(size),
            },
            false => Event::FileDone {
                path,
                size,
                checksum: None,
            },
        }));
    }

    /// Counts a file that a [`Finisher`](super::finisher::Finisher) tells of.
    pub(super) fn count_done(&mut self, size: u64) {
        self.outcome.files_done += 1;
        self.outcome.bytes += size;
    }

    pub(super) fn deleted(&self, path: &[u8]) {
        let path = ShownText::from_bytes(path);
        self.send(Report::Event(match self.is_dry_run {
            true => Event::FilePlanned {
                action: PlannedAction::Delete,
                path,
                size: None,
            },
            false => Event::FileDeleted { path },
        }));
    }

    /// Something that is there lacks what was to be kept of it.
    pub(super) fn not_kept(&mut self, path: &[u8], what: NotKept) {
        self.outcome.not_kept.add(what);
        self.send(Report::Event(Event::NotKept {
            path: ShownText::from_bytes(path),
            what: what.into(),
        }));
    }

    /// Nothing that is told has happened.
    pub(super) fn set_dry_run(&mut self) {
        self.is_dry_run = true;
    }

    pub(super) fn skipped(&mut self, path: &[u8], reason: &str) {
        self.outcome.files_skipped += 1;
        let path = ShownText::from_bytes(path);
        self.send(Report::Event(Event::FileSkipped {
            path,
            reason: reason.into(),
        }));
    }

    pub(super) fn failed(&mut self, path: ShownText, code: ErrorCode, message: &str) {
        self.code = match (self.outcome.files_failed, self.code) {
            (0, _) => Some(code),
            (_, Some(same)) if same == code => Some(code),
            _ => Some(ErrorCode::SomeFilesFailed),
        };
        let failure = FileFailure {
            path,
            code,
            message: message.into(),
        };
        self.outcome.add_failure(failure.clone());
        self.send(Report::Event(Event::FileFailed(failure)));
    }

    pub(super) fn counts(&self) -> (u64, u64, u64, u64) {
        let Outcome {
            files_done,
            files_skipped,
            files_failed,
            bytes,
            ..
        } = self.outcome;
        (files_done, files_skipped, files_failed, bytes)
    }

    /// Reports figures when it is time again.
    pub(super) fn tick(&mut self, now: Instant, statistics: impl FnOnce() -> Statistics) {
        if now >= self.next {
            self.next = now + INTERVAL;
            self.send(Report::Statistics(Box::new(statistics())));
        }
    }

    /// When the next figures are due.
    pub(super) fn next_tick(&self) -> Instant {
        self.next
    }

    pub(super) fn finish(
        mut self,
        now: Instant,
        statistics: &Statistics,
        error: Option<(ErrorCode, String)>,
        by_peer: bool,
    ) {
        let elapsed = now.saturating_duration_since(self.started);
        let outcome = &mut self.outcome;
        outcome.elapsed_ms = elapsed.as_millis() as u64;
        outcome.resumed_bytes = statistics.payload_held;
        outcome.set_mean_rate();
        outcome.dry_run = self.is_dry_run;
        outcome.retransmitted_bytes = statistics.payload_resent;
        let sent = statistics.datagrams_sent.max(1);
        outcome.loss_ratio = statistics
            .datagrams_lost
            .saturating_sub(statistics.datagrams_late) as f64
            / sent as f64;
        // One file that failed, or many for one reason, fail the transfer for that reason.
        let error = error.or_else(|| {
            let none_done = outcome.files_done + outcome.files_skipped == 0;
            let code = self.code.filter(|_| outcome.files_failed > 0)?;
            let code = if none_done {
                code
            } else {
                ErrorCode::SomeFilesFailed
            };
            let first = outcome.failures.first();
            let text = match (outcome.files_failed, first) {
                (1, Some(f)) => format!("{}: {}", f.path, f.message),
                (n, Some(f)) => {
                    format!("{n} files failed, the first was {}: {}", f.path, f.message)
                }
                (n, None) => format!("{n} files failed"),
            };
            Some((code, text))
        });
        let finish = Finish {
            outcome: self.outcome,
            error,
            by_peer,
            path: statistics.path,
            statistics: *statistics,
        };
        self.reports.send(Report::Finished(Box::new(finish))).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_add_up_to_more_than_there_is_are_counted_to_the_largest_number() {
        let (reports, heard) = crossbeam_channel::unbounded();
        let mut reporter = Reporter::new(reports, Instant::now());
        reporter.listed(1, u64::MAX, false);
        reporter.listed(1, 1, true);
        let last = heard.try_iter().last();
        let Some(Report::Event(Event::Totals(totals))) = last else {
            panic!("{last:?}");
        };
        assert_eq!((totals.files, totals.bytes), (2, u64::MAX));
    }
}
