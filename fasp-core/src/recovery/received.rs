//! What arrived and when to report it (protocol §6.2).

use std::time::{Duration, Instant};

use crate::RangeSet;
use crate::wire::feedback::{Arrival, Feedback, MAX_RANGES, MAX_SAMPLES, NO_TIME};

/// Shortest time between two reports that only time makes due.
const MIN_INTERVAL: Duration = Duration::from_millis(5);
/// Shortest time between any two reports.
const MIN_SPACING: Duration = Duration::from_micros(100);
/// The first datagrams of a session are reported at once.
const EAGER: u64 = 64;
/// Ranges remembered; older ones are left to the sender's time-outs.
const MAX_REMEMBERED: usize = 16_384;
/// Every so many reports, one speaks about everything from the floor.
const FULL_EVERY: u32 = 8;

/// The receiver's half of the feedback loop.
#[derive(Debug)]
pub(crate) struct ReceivedLog {
    epoch: Instant,
    numbers: RangeSet,
    floor: u64,
    largest: u64,
    largest_at: Instant,
    samples: Vec<Arrival>,
    eliciting: u64,
    pending: u64,
    pending_bytes: u64,
    pending_since: Option<Instant>,
    /// The next report is due at once.
    urgent: bool,
    last_report: Option<Instant>,
    /// `largest` at the last three reports, oldest first.
    reported: [u64; 3],
    reports: u32,
    congestion_marks: u64,
    /// Bytes after which a report is due whatever the time.
    report_bytes: u64,
    interval: Duration,
}

/// The part of a report that other parts of the receiver know.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Receiving {
    pub(crate) page_credit: u64,
    pub(crate) rate_limit: u64,
}

impl ReceivedLog {
    /// Starts empty. `report_bytes` is how much may arrive between two reports.
    pub(crate) fn new(epoch: Instant, report_bytes: u64) -> Self {
        Self {
            epoch,
            numbers: RangeSet::new(),
            floor: 0,
            largest: 0,
            largest_at: epoch,
            samples: Vec::with_capacity(MAX_SAMPLES),
            eliciting: 0,
            pending: 0,
            pending_bytes: 0,
            pending_since: None,
            urgent: false,
            last_report: None,
            reported: [0; 3],
            reports: 0,
            congestion_marks: 0,
            report_bytes,
            interval: MIN_INTERVAL,
        }
    }

    /// Records an authenticated datagram.
    pub(crate) fn on_datagram(&mut self, now: Instant, number: u64, size: usize, eliciting: bool) {
        let first = self.numbers.is_empty();
        self.numbers.insert(number..number + 1);
        self.numbers.keep_highest(MAX_REMEMBERED);
        if number >= self.largest || first {
            // One sample per arrival time: datagrams of one batch say the same thing.
            if !first && now > self.largest_at {
                if self.samples.len() == MAX_SAMPLES {
                    self.samples.remove(MAX_SAMPLES / 2);
                }
                self.samples.push(Arrival {
                    number: self.largest,
                    at: self.micros(self.largest_at),
                });
            }
            self.largest = number;
            self.largest_at = now;
        }
        if eliciting {
            self.eliciting += 1;
            self.pending += 1;
            self.pending_bytes += size as u64;
            self.pending_since.get_or_insert(now);
        }
    }

    pub(crate) fn on_congestion_mark(&mut self) {
        self.congestion_marks += 1;
    }

    /// The sender needs no report below this number.
    pub(crate) fn set_floor(&mut self, floor: u64) {
        // A floor above what has arrived would make the next report impossible.
        let floor = floor.min(self.largest);
        if floor > self.floor {
            self.floor = floor;
            self.numbers.remove_below(floor);
        }
    }

    /// The round-trip time as far as this side knows it.
    pub(crate) fn set_rtt(&mut self, rtt: Duration) {
        self.interval = (rtt / 8).max(MIN_INTERVAL);
    }

    /// Makes the next report due, at `at` or as soon as spacing allows.
    pub(crate) fn hurry(&mut self, at: Instant) {
        self.urgent = true;
        self.pending_since.get_or_insert(at);
    }

    /// When the next report is due, if anything waits for one.
    pub(crate) fn due(&self) -> Option<Instant> {
        let since = self.pending_since?;
        let eager =
            self.urgent || self.eliciting <= EAGER || self.pending_bytes >= self.report_bytes;
        let due = if eager { since } else { since + self.interval };
        Some(
            self.last_report
                .map_or(due, |last| due.max(last + MIN_SPACING)),
        )
    }

    /// Makes the reports that are due now: usually one, more when there are many ranges.
    pub(crate) fn report(&mut self, now: Instant, receiving: Receiving) -> Vec<Feedback> {
        if self.numbers.is_empty() {
            return Vec::new();
        }
        self.reports += 1;
        let full = self.reports.is_multiple_of(FULL_EVERY);
        let from = if full {
            self.floor
        } else {
            self.reported[0].clamp(self.floor, self.largest)
        };
        self.reported = [self.reported[1], self.reported[2], self.largest];
        self.pending = 0;
        self.pending_bytes = 0;
        self.pending_since = None;
        self.urgent = false;
        self.last_report = Some(now);
        let mut samples = std::mem::take(&mut self.samples);
        samples.reverse();
        let head = Feedback {
            largest: self.largest,
            delay: now.saturating_duration_since(self.largest_at).as_micros() as u64,
            arrival: self.micros(self.largest_at),
            samples,
            congestion_marks: self.congestion_marks,
            page_credit: receiving.page_credit,
            rate_limit: receiving.rate_limit,
            floor: from,
            ranges: Vec::new(),
        };
        self.pack(&head, from)
    }

    /// Spreads the ranges from `from` on over as many reports as they need.
    fn pack(&self, head: &Feedback, from: u64) -> Vec<Feedback> {
        let below = self.numbers.ranges().partition_point(|r| r.end <= from);
        let mut rest = &self.numbers.ranges()[below..];
        let mut reports = Vec::with_capacity(1 + rest.len() / MAX_RANGES);
        while let Some(last) = rest.last() {
            let keep = rest.len().saturating_sub(MAX_RANGES);
            // What lies between the last range of the part below and the first of this one is missing too.
            let floor = if keep == 0 { from } else { rest[keep - 1].end };
            let ranges = rest[keep..]
                .iter()
                .rev()
                .map(|r| r.start.max(floor)..=r.end - 1)
                .collect();
            let mut report = Feedback {
                largest: last.end - 1,
                floor,
                ranges,
                ..head.clone()
            };
            if !reports.is_empty() {
                // Only the first one carries arrivals: those of the others' highest numbers are not remembered.
                report.samples.clear();
                report.delay = NO_TIME;
            }
            reports.push(report);
            rest = &rest[..keep];
        }
        reports
    }

    fn micros(&self, at: Instant) -> u32 {
        at.saturating_duration_since(self.epoch).as_micros() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (ReceivedLog, Instant) {
        let epoch = Instant::now();
        (ReceivedLog::new(epoch, 256 << 10), epoch)
    }

    #[test]
    fn first_datagrams_are_reported_at_once_and_later_ones_after_the_interval() {
        let (mut log, epoch) = log();
        log.set_rtt(Duration::from_millis(200));
        log.on_datagram(epoch, 0, 100, true);
        assert_eq!(log.due(), Some(epoch));
        log.report(epoch, Receiving::default());
        assert_eq!(log.due(), None);
        for n in 1..200 {
            log.on_datagram(epoch, n, 100, true);
        }
        assert_eq!(log.due(), Some(epoch + Duration::from_millis(25)));
    }

    #[test]
    fn reports_alone_ask_for_no_report() {
        let (mut log, epoch) = log();
        log.on_datagram(epoch, 0, 100, false);
        assert_eq!(log.due(), None);
    }

    #[test]
    fn w27_many_gaps_are_spread_over_reports_of_256_ranges_that_cover_everything() {
        let (mut log, epoch) = log();
        for n in 0..1000 {
            log.on_datagram(epoch, n * 2, 100, true);
        }
        let reports = log.report(epoch, Receiving::default());
        assert_eq!(reports.len(), 4);
        let mut seen: Vec<u64> = reports
            .iter()
            .flat_map(|r| r.ranges.iter().cloned().flatten())
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).map(|n| n * 2).collect::<Vec<_>>());
        for pair in reports.windows(2) {
            assert_eq!(pair[1].largest + 1, pair[0].floor);
        }
    }

    #[test]
    fn every_arrival_stands_in_three_reports() {
        let (mut log, epoch) = log();
        let mut times = 0;
        for n in 0..6u64 {
            log.on_datagram(epoch + Duration::from_millis(n), n * 10, 100, true);
            let reports = log.report(epoch, Receiving::default());
            times += usize::from(reports[0].ranges.iter().any(|r| r.contains(&20)));
        }
        assert!(times >= 3, "{times}");
    }

    #[test]
    fn nothing_below_the_floor_is_reported() {
        let (mut log, epoch) = log();
        for n in [1, 3, 5, 7] {
            log.on_datagram(epoch, n, 100, true);
        }
        log.set_floor(5);
        let report = &log.report(epoch, Receiving::default())[0];
        assert_eq!(report.ranges, [7..=7, 5..=5]);
        log.set_floor(100);
        assert_eq!(log.report(epoch, Receiving::default())[0].ranges, [7..=7]);
    }
}
