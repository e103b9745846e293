//! The drain behind a start: how what it has sent beyond the path is waited out.

use std::time::Instant;

use super::{REPORT_TIME, Report, report_spacing};
use crate::Rate;

/// Share of what the path carries that leaves while nobody knows how much of the overshoot was queued: the part that a short
/// queue has dropped looks like queued until later datagrams are reported. Who sends half meanwhile empties a queue of a
/// third of the path's product and the path as well; three quarters empty the former just in time.
const BLIND: f64 = 0.75;
/// The same as soon as it is known.
const SEEING: f64 = 0.5;

/// Sending less until what an overshoot has left is gone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drain {
    began: Instant,
    /// It ends by then whatever the reports say: a round trip blind, and two to send half of a product less.
    until: Instant,
    carried: Rate,
    /// No more than this is on its way when the queue is empty.
    level: u64,
    /// What left before the drain has been reported, and what was dropped of it declared lost.
    is_told: bool,
}

impl Drain {
    /// Begins with a report that has shown what the path carries.
    pub(super) fn new(now: Instant, report: &Report, carried: Rate) -> Self {
        Self {
            began: now,
            until: now + report.rtt * 3 + REPORT_TIME * 4,
            carried,
            level: carried.bytes_in(report.base_rtt + report_spacing(report.rtt) / 2),
            is_told: false,
        }
    }

    /// What the path carries.
    pub(super) fn carried(&self) -> Rate {
        self.carried
    }

    /// Whether what is on its way may still be what a start may have sent.
    pub(super) fn is_blind(&self) -> bool {
        !self.is_told
    }

    pub(super) fn rate(&self) -> Rate {
        self.carried
            .scaled(if self.is_told { SEEING } else { BLIND })
    }

    /// Takes a report; true when the queue is empty as far as can be told.
    pub(super) fn on_report(&mut self, now: Instant, report: &Report) -> bool {
        let delay = report.base_rtt + report.queueing.unwrap_or_default();
        self.is_told |= now >= self.began + delay + report_spacing(report.rtt) * 2;
        report.in_flight <= self.level || now >= self.until
    }
}
