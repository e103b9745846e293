//! What a datagram from the network does (protocol §4, §5, §6).

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::Closed;
use super::transmit::WIRE_OVERHEAD;
use super::{Event, Role, Session, Side, State};
use crate::file::BlockWrite;
use crate::page::Part;
use crate::path::Switch;
use crate::rate::Report;
use crate::recovery::{Content, Lost};
use crate::wire::codec::Reader;
use crate::wire::feedback::{Feedback, NO_TIME};
use crate::wire::frame::{Frame, VERSION};
use crate::wire::header::{HEADER_SIZE, expand_number, session_id_of, truncated_number};
use crate::{ErrorCode, Rate};

/// Failed openings that end a session (rule W-13).
const MAX_FAILED_OPENINGS: u64 = 1 << 36;
/// Packet number that ends a session (rule W-14).
const MAX_NUMBER: u64 = 1 << 62;
/// Reports accepted per second, and besides one for so many bytes sent (protocol §6.4).
const REPORTS_PER_SECOND: f64 = 1000.0;
const BYTES_PER_REPORT: f64 = 16_384.0;

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingest {
    /// Authenticated and new.
    Accepted,
    /// Dropped in silence: malformed, replayed, forged or not for this session.
    Dropped,
}

/// The frames of one datagram, as they are worked through.
struct Arrived<'a> {
    now: Instant,
    from: SocketAddr,
    writes: &'a mut Vec<BlockWrite>,
    /// Something found no room; unreported, it is sent again.
    is_refused: bool,
}

impl Session {
    /// Takes a datagram, opens it in place and acts on it.
    ///
    /// New file bytes are listed in `writes`, at their places in `datagram`; the program writes them to the files.
    /// `congestion_mark` says that the network set the ECN mark "congestion experienced".
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        congestion_mark: bool,
        datagram: &mut [u8],
        writes: &mut Vec<BlockWrite>,
    ) -> Ingest {
        if matches!(self.state, State::Closed) || session_id_of(datagram) != Some(self.id) {
            self.statistics.dropped += 1;
            return Ingest::Dropped;
        }
        let truncated = truncated_number(datagram).unwrap_or_default();
        let number = expand_number(self.replay.next(), truncated);
        let size = datagram.len();
        let opened = if self.replay.is_fresh(number) {
            let opened = self.opener.open(number, datagram);
            self.statistics.failed_openings += u64::from(opened.is_none());
            opened
        } else {
            None
        };
        let Some(frames) = opened else {
            self.statistics.dropped += 1;
            if self.statistics.failed_openings >= MAX_FAILED_OPENINGS || number >= MAX_NUMBER {
                self.violation(now, "the limit of failed openings is reached");
            }
            return Ingest::Dropped;
        };
        let highest = number >= self.replay.next();
        self.replay.mark(number);
        self.statistics.datagrams_received += 1;
        self.statistics.bytes_received += size as u64;
        self.last_heard = now;
        if let State::Greeting { since, .. } = self.state {
            self.state = State::Open;
            self.last_report = now;
            self.recall(now, since);
            self.events.push_back(Event::Connected);
        }
        if self.side == Side::Server {
            let token = self.random.u64(..);
            self.peer
                .on_datagram(now, from, size as u64, highest, token);
        }
        if congestion_mark {
            self.received.on_congestion_mark();
        }
        let mut arrived = Arrived {
            now,
            from,
            writes,
            is_refused: false,
        };
        let eliciting = self.on_frames(&mut arrived, frames);
        if !arrived.is_refused {
            self.received.on_datagram(now, number, size, eliciting);
        }
        Ingest::Accepted
    }

    /// Works through the frames; true when the sender wants a report of this datagram.
    fn on_frames(&mut self, arrived: &mut Arrived<'_>, frames: &[u8]) -> bool {
        let mut reader = Reader::new(frames);
        let mut eliciting = false;
        loop {
            match Frame::next(&mut reader) {
                Ok(Some(frame)) => {
                    eliciting |= frame.is_eliciting();
                    // Where the frame's bytes end in the datagram, for blocks.
                    let end = HEADER_SIZE + frames.len() - reader.remaining();
                    self.on_frame(arrived, frame, end);
                }
                Ok(None) => return eliciting,
                Err(error) => {
                    self.violation(arrived.now, &error.to_string());
                    return eliciting;
                }
            }
        }
    }

    fn on_frame(&mut self, arrived: &mut Arrived<'_>, frame: Frame<'_>, end: usize) {
        let now = arrived.now;
        if self.is_closing() && !matches!(frame, Frame::Close { .. }) {
            return;
        }
        match frame {
            Frame::Padding | Frame::Ping | Frame::Probe => {}
            Frame::Hello {
                version,
                max_datagram,
                receive_buffer,
            } => {
                if version == VERSION {
                    self.mtu.set_peer_limit(max_datagram);
                    self.peer_buffer = u64::from(receive_buffer);
                }
            }
            Frame::PathChallenge(token) => {
                // A peer gets one answer per challenge, and the queue cannot grow beyond a few.
                if self.urgent.responses.len() < 8 {
                    self.urgent.responses.push_back((arrived.from, token));
                }
            }
            Frame::PathResponse(token) => self.on_path_response(now, arrived.from, token),
            Frame::Feedback(feedback) => self.on_feedback(now, &feedback),
            Frame::Floor(number) => self.received.set_floor(number),
            Frame::Close { code, text } => self.on_close(now, code, text),
            Frame::Page {
                number,
                offset,
                last,
                bytes,
            } => match self.pages_in.on_part(number, offset, last, bytes) {
                Ok(Part::Whole(page)) => self.on_page(now, page),
                Ok(Part::Taken) => {}
                Ok(Part::Refused) => arrived.is_refused = true,
                Err(_) => self.violation(now, "page parts disagree"),
            },
            Frame::Data {
                file,
                offset,
                bytes,
            } => {
                self.on_block(arrived, file, offset, bytes, end - bytes.len());
            }
        }
    }

    fn on_block(
        &mut self,
        arrived: &mut Arrived<'_>,
        file: u32,
        offset: u64,
        bytes: &[u8],
        at: usize,
    ) {
        if self.role == Role::Sender {
            return self.violation(arrived.now, "a receiver sent file data");
        }
        let before = arrived.writes.len();
        match self
            .files_in
            .on_block(file, offset, bytes, at, arrived.writes)
        {
            Ok(is_taken) => arrived.is_refused |= !is_taken,
            Err(_) => return self.violation(arrived.now, "file data beyond the announced size"),
        }
        let new: usize = arrived.writes[before..].iter().map(|w| w.length).sum();
        self.statistics.payload_received += new as u64;
        self.statistics.payload_duplicate += (bytes.len() - new) as u64;
        if new > 0 {
            self.check_file(file);
        }
    }

    fn on_page(&mut self, now: Instant, page: Vec<u8>) {
        match self.role {
            Role::Receiver => self.events.push_back(Event::Page(page)),
            Role::Sender => {
                self.on_decisions(now, &page);
                self.pages_in.on_consumed(page.len() as u64);
            }
        }
    }

    fn on_path_response(&mut self, now: Instant, from: SocketAddr, token: [u8; 8]) {
        match self.peer.on_response(from, token) {
            None => {}
            Some(Switch::First) => self.events.push_back(Event::PeerMoved(from)),
            Some(Switch::PortOnly) => self.events.push_back(Event::PeerMoved(from)),
            Some(Switch::NewPath) => {
                self.rtt.restart();
                self.mtu.restart();
                self.queueing.restart();
                self.controller
                    .restart(now, self.rtt.smoothed(), u64::from(self.mtu.current()));
                self.events.push_back(Event::PeerMoved(from));
            }
        }
    }

    fn on_close(&mut self, now: Instant, code: u8, text: &str) {
        let error =
            (code != 0).then(|| ErrorCode::from_number(code).unwrap_or(ErrorCode::PeerAborted));
        match self.state {
            // Both ends have said it now.
            State::Closing { .. } | State::Closed => self.state = State::Closed,
            State::Greeting { .. } | State::Open => {
                let closed = Closed {
                    error,
                    text: text.to_owned(),
                    by_peer: true,
                };
                self.begin_closing(now, closed);
            }
        }
    }

    fn on_feedback(&mut self, now: Instant, feedback: &Feedback) {
        if !self.take_report_token(now) {
            return;
        }
        let newest = self.sent.departure(feedback.largest);
        let times = self.note_times(now, feedback);
        let mut settled = Settled {
            newest,
            ..Settled::default()
        };
        for range in &feedback.ranges {
            if self
                .deliver(*range.start(), *range.end(), &mut settled)
                .is_err()
            {
                return self.violation(now, "a report about a number never sent");
            }
        }
        self.page_credit = feedback.page_credit;
        self.last_report = now;
        self.probe_count = 0;
        self.silence_steps = 0;
        let losses = self.detect_losses(now, newest);
        self.sent.forget(now, self.rtt.smoothed() * 2);
        self.steer(now, feedback, &times, losses, settled.bytes);
    }

    /// Takes what a report says about times, before anything is settled and forgotten. Clock readings only ever come
    /// with a delay.
    fn note_times(&mut self, now: Instant, feedback: &Feedback) -> Times {
        if feedback.delay == NO_TIME {
            return Times::default();
        }
        let round_trip = self.sent.first_report(feedback.largest).map(|left| {
            let delay = Duration::from_micros(feedback.delay);
            now.saturating_duration_since(left).saturating_sub(delay)
        });
        let samples = feedback.samples.iter().map(|s| (s.number, s.at));
        let arrivals = std::iter::once((feedback.largest, feedback.arrival))
            .chain(samples)
            .filter_map(|(number, at)| Some((self.sent.departure(number)?, at)));
        let aim = self.controller.aim();
        let queueing = self.queueing.on_report(now, arrivals, round_trip, aim);
        if let Some(sample) = round_trip {
            self.rtt.on_sample(sample);
            self.received.set_rtt(self.rtt.smoothed());
            self.pacer.set_rtt(self.rtt.min());
        }
        Times {
            is_timed: true,
            queueing,
        }
    }

    /// Hands the facts of a report to the rate controller.
    fn steer(
        &mut self,
        now: Instant,
        feedback: &Feedback,
        times: &Times,
        losses: Losses,
        delivered: u64,
    ) {
        let Losses { bytes: lost, runs } = losses;
        self.delivery
            .on_settled(self.controller.carried(lost, delivered));
        // While the rate grows fast, the average over a round trip is far behind what the path delivers by now.
        let stretch = match self.controller.is_starting() {
            true => self.rtt.smoothed() / 4,
            false => self.rtt.smoothed(),
        };
        let bandwidth = times
            .is_timed
            .then(|| self.delivery.on_report(feedback.arrival, stretch))
            .flatten();
        let is_used = self.usage.is_used(now, self.controller.rate(), lost > 0);
        let report = Report {
            rtt: self.rtt.smoothed(),
            base_rtt: self.base_rtt(),
            rtt_samples: self.rtt.samples(),
            queueing: times.queueing,
            base_seen: self.queueing.base_seen().unwrap_or(now),
            bandwidth,
            lost,
            delivered,
            loss_runs: runs,
            datagram: u64::from(self.mtu.current()) + WIRE_OVERHEAD,
            in_flight: self.sent.in_flight_bytes(),
            starved: !self.has_data() || !is_used,
            storage: (feedback.rate_limit > 0).then(|| Rate::from_kbps(feedback.rate_limit)),
        };
        self.statistics.storage_limit = report.storage;
        self.controller.on_report(now, &report);
        self.pacer.set_rate(now, self.controller.rate());
    }

    /// The round-trip time without queues.
    pub(super) fn base_rtt(&self) -> Duration {
        self.queueing.base_rtt().unwrap_or_else(|| self.rtt.min())
    }

    fn take_report_token(&mut self, now: Instant) -> bool {
        let elapsed = now
            .saturating_duration_since(self.report_tokens_at)
            .as_secs_f64();
        self.report_tokens_at = now;
        self.report_tokens =
            (self.report_tokens + elapsed * REPORTS_PER_SECOND).min(REPORTS_PER_SECOND);
        // What has been sent lately earns reports as well, so that a fast short path is not throttled.
        let earned = self.sent.in_flight_bytes() as f64 / BYTES_PER_REPORT;
        if self.report_tokens + earned < 1.0 {
            return false;
        }
        self.report_tokens = (self.report_tokens - 1.0).max(0.0);
        true
    }

    fn deliver(&mut self, start: u64, end: u64, settled: &mut Settled) -> Result<(), ()> {
        let Self {
            sent,
            pages_out,
            files_out,
            rtt,
            mtu,
            statistics,
            last_heard,
            ..
        } = self;
        let now = *last_heard;
        let result = sent.deliver(start, end, |delivered| {
            settled.bytes += u64::from(delivered.size) + WIRE_OVERHEAD;
            if delivered.was_lost {
                statistics.datagrams_late += 1;
                if let Some(newest) = settled.newest {
                    rtt.on_spurious_loss(newest.saturating_duration_since(delivered.at));
                }
            }
            match delivered.content {
                Content::Nothing => {}
                Content::Block {
                    file,
                    offset,
                    length,
                } => {
                    files_out.on_delivered(delivered.number, file, offset, length);
                    statistics.payload_delivered += u64::from(length);
                }
                Content::Page {
                    number,
                    offset,
                    length,
                } => pages_out.on_delivered(number, offset, length),
                Content::Probe { size } => return mtu.on_probe_delivered(now, size),
            }
            mtu.on_delivered(delivered.at, delivered.size);
        });
        result.map_err(|_| ())
    }

    /// Declares lost what a newer report proves lost.
    fn detect_losses(&mut self, now: Instant, newest: Option<Instant>) -> Losses {
        let Some(before) = newest.and_then(|n| n.checked_sub(self.rtt.reordering_window())) else {
            return Losses::default();
        };
        let mut lost = std::mem::take(&mut self.lost);
        self.sent.lose_before(before, |l| lost.push(l));
        let mut losses = Losses::default();
        for Lost {
            at,
            size,
            content,
            repeated,
            begins_run,
        } in lost.drain(..)
        {
            if let Content::Probe { size } = content {
                self.mtu.on_probe_lost(now, size, self.controller.loss());
                continue;
            }
            losses.bytes += u64::from(size) + WIRE_OVERHEAD;
            losses.runs += u64::from(begins_run);
            self.statistics.datagrams_lost += 1;
            self.mtu.on_lost(at, size);
            if !repeated {
                self.requeue(content, 1);
            }
        }
        self.lost = lost;
        losses
    }

    /// Sends content again, as this attempt.
    pub(super) fn requeue(&mut self, content: Content, attempt: u8) {
        match content {
            Content::Nothing | Content::Probe { .. } => {}
            Content::Block {
                file,
                offset,
                length,
            } => self.files_out.on_lost(file, offset, length, attempt),
            Content::Page {
                number,
                offset,
                length,
            } => self.pages_out.on_lost(number, offset, length, attempt),
        }
    }
}

/// What a report settled.
#[derive(Debug, Default)]
struct Settled {
    bytes: u64,
    /// Departure of the highest number reported.
    newest: Option<Instant>,
}

/// What a report has shown to be lost.
#[derive(Debug, Clone, Copy, Default)]
struct Losses {
    /// As counted on the wire.
    bytes: u64,
    /// Runs of neighbours.
    runs: u64,
}

/// What a report says about times.
#[derive(Debug, Default)]
struct Times {
    is_timed: bool,
    queueing: Option<Duration>,
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
