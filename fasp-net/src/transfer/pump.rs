//! Turns a session's reports into the user's events.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use fasp_core::session::Statistics;
use fasp_core::{ErrorCode, MAX_SMALL_FILE, PathMemory, Rate, SessionId};

use super::multi::{Crew, Gather, News, merge};
use crate::control::message;
use crate::engine::{Finish, Report};
use crate::event::{Event, LimitedBy, Outcome, Progress, RateChange, Started, Totals};

/// Stretch that the shown rate is taken over.
const STRETCH: Duration = Duration::from_secs(1);

/// How a transfer ended when it did not end well.
#[derive(Debug)]
pub(super) struct BadEnd {
    pub(super) code: ErrorCode,
    pub(super) message: String,
    pub(super) server: String,
}

/// How a transfer ended.
pub(super) struct Ended {
    pub(super) result: Result<Outcome, BadEnd>,
    /// What the first session has done, when all did everything there was to do.
    pub(super) whole: Option<Outcome>,
    /// What a sender saw of the path.
    pub(super) path: Option<PathMemory>,
}

/// Reads reports until every session of the transfer is over.
pub(super) struct Pump {
    gather: Gather,
    crew: Crew,
    events: Sender<Event>,
    started: Started,
    notices: Vec<String>,
    is_upload: bool,
    began: Instant,
    sessions: Vec<Tally>,
    /// Why the transfer ends before its work is done.
    bad_end: Option<(ErrorCode, String)>,
    small_bytes: u64,
    files_done: u64,
    history: VecDeque<(Instant, u64)>,
}

/// What is known of one session.
struct Tally {
    session: SessionId,
    totals: Totals,
    statistics: Statistics,
    /// What the sending server says, for a download.
    remote: Option<message::Statistics>,
    finish: Option<Finish>,
}

impl Pump {
    pub(super) fn new(
        gather: Gather,
        crew: Crew,
        events: Sender<Event>,
        started: Started,
        is_upload: bool,
    ) -> Self {
        Self {
            gather,
            crew,
            events,
            started,
            notices: Vec::new(),
            is_upload,
            began: Instant::now(),
            sessions: Vec::new(),
            bad_end: None,
            small_bytes: 0,
            files_done: 0,
            history: VecDeque::new(),
        }
    }

    /// Adds what is to be told as soon as the session is agreed.
    pub(super) fn with_notices(mut self, notices: Vec<String>) -> Self {
        self.notices = notices;
        self
    }

    pub(super) fn run(mut self) -> Ended {
        self.tell(Event::Started(self.started.clone()));
        for message in std::mem::take(&mut self.notices) {
            self.tell(Event::Notice {
                message: message.as_str().into(),
            });
        }
        loop {
            match self.gather.next() {
                News::Joined(session) => self.sessions.push(Tally {
                    session,
                    totals: Totals {
                        files: 0,
                        bytes: 0,
                        complete: false,
                    },
                    statistics: Statistics::default(),
                    remote: None,
                    finish: None,
                }),
                News::Report(number, report) => self.on_report(number, report),
                News::Figures(figures) => {
                    let id = figures.session_id;
                    if let Some(tally) = self.sessions.iter_mut().find(|s| s.session == id) {
                        tally.remote = Some(figures);
                    }
                }
                News::Lost => self.fail(
                    ErrorCode::Internal,
                    "the session's thread ended unexpectedly".into(),
                ),
                News::End => {
                    // Whoever joins from here on is told that it is over.
                    self.crew.close();
                    return self.end();
                }
            }
        }
    }

    fn on_report(&mut self, number: usize, report: Report) {
        match report {
            // Own changes come from the crew, before they are divided.
            Report::Connected | Report::Limits(_) => {}
            Report::Event(event) => self.on_event(number, event),
            Report::Statistics(statistics) => {
                self.sessions[number].statistics = *statistics;
                // The first session is there all the time.
                if number == 0 {
                    for change in self.crew.take_changes() {
                        self.on_change(change);
                    }
                    let progress = self.progress();
                    self.crew.set_rate_now(progress.rate_kbps);
                    self.tell(Event::Progress(progress));
                }
            }
            Report::Finished(finish) => self.on_finish(number, *finish),
        }
    }

    fn on_finish(&mut self, number: usize, finish: Finish) {
        let is_whole = finish.is_whole();
        if let Some((code, message)) = finish.error.clone().filter(|_| !is_whole) {
            self.fail(code, message);
        } else if number > 0 {
            let session = self.sessions[number].session;
            self.crew.wish(super::closed(session, &finish.outcome));
            self.crew.leave();
        }
        let tally = &mut self.sessions[number];
        tally.statistics = finish.statistics;
        tally.finish = Some(finish);
    }

    /// The user changed what was agreed.
    fn on_change(&mut self, change: RateChange) {
        if change.target_rate_kbps.is_some() {
            self.started.target_rate_kbps = change.target_rate_kbps;
        }
        self.tell(Event::RateChanged(change));
    }

    /// A session did not do its work: the others end too (protocol §13.5).
    fn fail(&mut self, code: ErrorCode, message: String) {
        if self.bad_end.is_none() {
            self.crew.abort(code, &message);
            self.bad_end = Some((code, message));
        }
    }

    fn end(self) -> Ended {
        let finishes: Vec<_> = self
            .sessions
            .iter()
            .filter_map(|s| s.finish.as_ref())
            .collect();
        let first = self.sessions.first().and_then(|s| s.finish.as_ref());
        let path = first.and_then(|finish| finish.path);
        let server = self.started.peer.to_string();
        let bad = |(code, message)| BadEnd {
            code,
            message,
            server: server.clone(),
        };
        if let Some(end) = self.bad_end.clone() {
            return Ended {
                result: Err(bad(end)),
                whole: None,
                path,
            };
        }
        let whole_of_first = first.map(|finish| finish.outcome.clone());
        let (outcome, error) = merge(&finishes);
        self.tell(Event::Done(outcome.clone()));
        Ended {
            result: match error {
                None => Ok(outcome),
                Some(error) => Err(bad(error)),
            },
            whole: whole_of_first,
            path,
        }
    }

    fn tell(&self, event: Event) {
        // Nobody may be listening; the result comes through `wait` all the same.
        self.events.send(event).ok();
    }

    fn on_event(&mut self, number: usize, mut event: Event) {
        match &mut event {
            Event::Totals(totals) => {
                self.sessions[number].totals = *totals;
                *totals = self.totals();
            }
            Event::FileDone { size, .. } => {
                self.files_done += 1;
                if *size <= MAX_SMALL_FILE {
                    self.small_bytes += *size;
                }
            }
            Event::FileSkipped { .. }
            | Event::FilePlanned { size: Some(_), .. }
            | Event::FileFailed(_) => {
                self.files_done += 1;
            }
            _ => {}
        }
        self.tell(event);
    }

    /// What all sessions have listed.
    fn totals(&self) -> Totals {
        let mut all = Totals::default();
        for tally in &self.sessions {
            all.add(tally.totals.files, tally.totals.bytes);
        }
        all.complete = self.sessions.iter().all(|tally| tally.totals.complete);
        all
    }

    fn progress(&mut self) -> Progress {
        let now = Instant::now();
        let figures = Figures::of(&self.sessions, self.is_upload);
        let moved = figures.blocks + self.small_bytes;
        self.history.push_back((now, moved));
        while self.history.len() > 2 && self.history[1].0 + STRETCH <= now {
            self.history.pop_front();
        }
        let (since, before) = self.history.front().copied().unwrap_or((now, moved));
        let elapsed = now.saturating_duration_since(self.began);
        let Figures {
            rtt,
            queueing,
            loss,
            rate,
            resent,
            datagram_size,
            storage_holds_up,
            ..
        } = figures;
        let totals = self.totals();
        let Started {
            target_rate_kbps,
            rate_cap_kbps,
            ..
        } = self.started;
        let target = target_rate_kbps.into_iter().chain(rate_cap_kbps).min();
        let is_at_target = target.is_some_and(|target| rate.kbps() >= target * 95 / 100);
        let is_starting = elapsed < rtt * 10;
        let limited_by = limit(is_at_target, storage_holds_up, self.is_upload, is_starting);
        Progress {
            bytes_done: moved + figures.held,
            resumed_bytes: figures.held,
            bytes_total: totals.complete.then_some(totals.bytes),
            files_done: self.files_done,
            files_total: totals.complete.then_some(totals.files),
            rate_kbps: kbps(moved - before, now.saturating_duration_since(since)),
            mean_rate_kbps: kbps(moved, elapsed),
            target_rate_kbps: target.unwrap_or_else(|| rate.kbps()),
            sending_rate_kbps: rate.kbps(),
            datagram_size,
            rtt_us: rtt.as_micros() as u64,
            queueing_delay_us: queueing.as_micros() as u64,
            loss_ratio: loss,
            retransmitted_bytes: resent,
            limited_by,
            elapsed_ms: elapsed.as_millis() as u64,
        }
    }
}

/// What keeps a transfer from going faster.
fn limit(
    is_at_target: bool,
    storage_holds_up: bool,
    is_upload: bool,
    is_starting: bool,
) -> LimitedBy {
    match (storage_holds_up, is_upload) {
        _ if is_at_target => LimitedBy::Target,
        (true, true) => LimitedBy::RemoteDisk,
        (true, false) => LimitedBy::LocalDisk,
        (false, _) if is_starting => LimitedBy::StartUp,
        (false, _) => LimitedBy::Network,
    }
}

/// Figures of all sessions together.
struct Figures {
    blocks: u64,
    held: u64,
    resent: u64,
    rtt: Duration,
    queueing: Duration,
    loss: f64,
    rate: Rate,
    datagram_size: u16,
    /// The receiver's storage is what data waits for.
    storage_holds_up: bool,
}

impl Figures {
    /// Sums, and of what is the path's the largest. Sessions that have ended count with what they moved only.
    fn of(sessions: &[Tally], is_upload: bool) -> Self {
        let mut all = Self {
            blocks: 0,
            held: 0,
            resent: 0,
            rtt: Duration::ZERO,
            queueing: Duration::ZERO,
            loss: 0.0,
            rate: Rate::ZERO,
            datagram_size: 0,
            storage_holds_up: false,
        };
        for tally in sessions {
            let statistics = &tally.statistics;
            all.blocks += match is_upload {
                true => statistics.payload_delivered,
                false => statistics.payload_received,
            };
            all.held += statistics.payload_held;
            all.resent += statistics.payload_resent;
            all.datagram_size = all.datagram_size.max(statistics.datagram_size);
            if tally.finish.is_some() {
                continue;
            }
            all.storage_holds_up |= statistics.storage_limit.is_some();
            let (rtt, queueing, loss, rate) = match (&tally.remote, is_upload) {
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
            all.rtt = all.rtt.max(rtt);
            all.queueing = all.queueing.max(queueing);
            all.loss = all.loss.max(loss);
            let sum = all.rate.bits_per_second() + rate.bits_per_second();
            all.rate = Rate::from_bits_per_second(sum);
        }
        all
    }
}

fn kbps(bytes: u64, time: Duration) -> u64 {
    bytes
        .saturating_mul(8)
        .checked_div(time.as_millis() as u64)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also F31: a disk that is slower than the network is named, on the side where it is.
    #[test]
    fn f31_the_disk_that_holds_data_up_is_named() {
        let tally = |storage_limit| Tally {
            session: SessionId(1),
            totals: Totals::default(),
            statistics: Statistics {
                storage_limit,
                ..Statistics::default()
            },
            remote: None,
            finish: None,
        };
        let slow = [tally(None), tally(Some(Rate::from_mbps(8)))];
        for (is_upload, named) in [(true, LimitedBy::RemoteDisk), (false, LimitedBy::LocalDisk)] {
            let holds_up = Figures::of(&slow, is_upload).storage_holds_up;
            assert!(holds_up);
            assert_eq!(limit(false, holds_up, is_upload, true), named);
            assert_eq!(limit(true, holds_up, is_upload, true), LimitedBy::Target);
            assert!(!Figures::of(&slow[..1], is_upload).storage_holds_up);
            assert_eq!(limit(false, false, is_upload, true), LimitedBy::StartUp);
            assert_eq!(limit(false, false, is_upload, false), LimitedBy::Network);
        }
    }
}
