//! Turns a session's reports into the user's events.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};
use fasp_core::session::Statistics;
use fasp_core::{ErrorCode, MAX_SMALL_FILE, PathMemory};

use crate::control::message;
use crate::engine::{Finish, Report};
use crate::event::{Event, LimitedBy, Outcome, Progress, Started, Totals};

/// Stretch that the shown rate is taken over.
const STRETCH: Duration = Duration::from_secs(1);

/// How a transfer ended when it did not end well.
#[derive(Debug)]
pub(super) struct BadEnd {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    pub(super) server: String,
}

/// How a session ended.
pub(super) struct Ended {
    pub(super) result: Result<Outcome, BadEnd>,
    /// What was done, when that is everything there was to do.
    pub(super) whole: Option<Outcome>,
    /// What a sender saw of the path.
    pub(super) path: Option<PathMemory>,
}

/// Reads reports until the session is over.
pub(super) struct Pump {
    reports: Receiver<Report>,
    figures: Receiver<message::Statistics>,
    events: Sender<Event>,
    started: Started,
    is_upload: bool,
    began: Instant,
    totals: Totals,
    small_bytes: u64,
    files_done: u64,
    /// What the sending server says, for a download.
    remote: Option<message::Statistics>,
    history: VecDeque<(Instant, u64)>,
}

impl Pump {
    pub(super) fn new(
        reports: Receiver<Report>,
        figures: Receiver<message::Statistics>,
        events: Sender<Event>,
        started: Started,
        is_upload: bool,
    ) -> Self {
        Self {
            reports,
            figures,
            events,
            started,
            is_upload,
            began: Instant::now(),
            totals: Totals {
                files: 0,
                bytes: 0,
                complete: false,
            },
            small_bytes: 0,
            files_done: 0,
            remote: None,
            history: VecDeque::new(),
        }
    }

    pub(super) fn run(mut self) -> Ended {
        self.tell(Event::Started(self.started.clone()));
        loop {
            let report = self.next_report();
            match report {
                Some(Report::Connected) => {}
                Some(Report::Event(event)) => self.on_event(event),
                Some(Report::Statistics(statistics)) => {
                    let progress = self.progress(&statistics);
                    self.tell(Event::Progress(progress));
                }
                Some(Report::Finished(finish)) => {
                    return Ended {
                        path: finish.path,
                        whole: is_whole(&finish).then(|| finish.outcome.clone()),
                        result: self.finish(finish),
                    };
                }
                None => {
                    let end = BadEnd {
                        code: ErrorCode::Internal,
                        message: "the session's thread ended unexpectedly".into(),
                        server: self.started.peer.to_string(),
                    };
                    return Ended {
                        result: Err(end),
                        whole: None,
                        path: None,
                    };
                }
            }
        }
    }

    fn next_report(&mut self) -> Option<Report> {
        loop {
            select! {
                recv(self.reports) -> report => return report.ok(),
                recv(self.figures) -> figures => match figures {
                    Ok(figures) => self.remote = Some(figures),
                    // The control connection is gone; the session's own end follows.
                    Err(_) => return self.reports.recv().ok(),
                },
            }
        }
    }

    fn tell(&self, event: Event) {
        // Nobody may be listening; the result comes through `wait` all the same.
        self.events.send(event).ok();
    }

    fn on_event(&mut self, event: Event) {
        match &event {
            Event::Totals(totals) => self.totals = *totals,
            Event::FileDone { size, .. } => {
                self.files_done += 1;
                if *size <= MAX_SMALL_FILE {
                    self.small_bytes += size;
                }
            }
            Event::FileSkipped { .. } | Event::FileFailed(_) => self.files_done += 1,
            _ => {}
        }
        self.tell(event);
    }

    fn progress(&mut self, statistics: &Statistics) -> Progress {
        let now = Instant::now();
        let blocks = if self.is_upload {
            statistics.payload_delivered
        } else {
            statistics.payload_received
        };
        let bytes_done = blocks + self.small_bytes;
        self.history.push_back((now, bytes_done));
        while self.history.len() > 2 && self.history[1].0 + STRETCH <= now {
            self.history.pop_front();
        }
        let (since, before) = self.history.front().copied().unwrap_or((now, bytes_done));
        let elapsed = now.saturating_duration_since(self.began);
        let (rtt, queueing, loss, rate) = match (&self.remote, self.is_upload) {
            (Some(remote), false) => (
                remote.rtt,
                remote.queueing_delay,
                f64::from(remote.loss_ppm) / 1e6,
                remote.rate,
            ),
            _ => (
                statistics.rtt,
                statistics.queueing_delay,
                statistics.loss,
                statistics.rate,
            ),
        };
        let Started {
            target_rate_kbps,
            rate_cap_kbps,
            ..
        } = self.started;
        let target = target_rate_kbps.into_iter().chain(rate_cap_kbps).min();
        let limited_by = match target {
            Some(target) if rate.kbps() >= target * 95 / 100 => LimitedBy::Target,
            _ if elapsed < rtt * 10 => LimitedBy::StartUp,
            _ => LimitedBy::Network,
        };
        Progress {
            bytes_done,
            bytes_total: self.totals.complete.then_some(self.totals.bytes),
            files_done: self.files_done,
            files_total: self.totals.complete.then_some(self.totals.files),
            rate_kbps: kbps(bytes_done - before, now.saturating_duration_since(since)),
            mean_rate_kbps: kbps(bytes_done, elapsed),
            target_rate_kbps: target.unwrap_or_else(|| rate.kbps()),
            sending_rate_kbps: rate.kbps(),
            datagram_size: statistics.datagram_size,
            rtt_us: rtt.as_micros() as u64,
            queueing_delay_us: queueing.as_micros() as u64,
            loss_ratio: loss,
            retransmitted_bytes: statistics.payload_resent,
            limited_by,
            elapsed_ms: elapsed.as_millis() as u64,
        }
    }

    fn finish(self, finish: Finish) -> Result<Outcome, BadEnd> {
        let is_whole = is_whole(&finish);
        let Finish { outcome, error, .. } = finish;
        if is_whole {
            self.tell(Event::Done(outcome.clone()));
        }
        match error {
            None => Ok(outcome),
            Some((code, message)) => Err(BadEnd {
                code,
                message,
                server: self.started.peer.to_string(),
            }),
        }
    }
}

/// Whether the session did all of its work: one that was given up has no outcome to show, one whose files failed has.
fn is_whole(finish: &Finish) -> bool {
    finish.error.as_ref().is_none_or(|(code, _)| {
        let mut failures = finish.outcome.failures.iter();
        *code == ErrorCode::SomeFilesFailed || failures.any(|failure| failure.code == *code)
    })
}

fn kbps(bytes: u64, time: Duration) -> u64 {
    bytes
        .saturating_mul(8)
        .checked_div(time.as_millis() as u64)
        .unwrap_or(0)
}
