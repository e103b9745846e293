//! What goes out next (protocol §7.3): answers and reports, then repairs, then new data.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{Role, Session, Side, State, TransmitBatch};
use crate::file::Block;
use crate::recovery::{Content, Receiving};
use crate::wire::frame::{
    Frame, MAX_CLOSE_TEXT, VERSION, put_data, put_page, put_page_with_length,
};
use crate::wire::header::{BASE_DATAGRAM, HEADER_SIZE, TAG_SIZE, put_header};

/// What IP and UDP add to a datagram on the wire; rates count it.
pub(super) const WIRE_OVERHEAD: u64 = 28;
/// Wait for an answer to `HELLO`: a dozen losses in a row must fit into the time-out several times.
const HELLO_INTERVAL: Duration = Duration::from_millis(250);
/// Reports that bring a server's `HELLO`: one of them arrives.
const HELLOS: u32 = 8;
/// Times between two `CLOSE`: a round trip within these.
const MIN_CLOSE_INTERVAL: Duration = Duration::from_millis(10);
const MAX_CLOSE_INTERVAL: Duration = Duration::from_secs(1);
/// Header, tag, `HELLO`, `PATH_CHALLENGE` and `PATH_RESPONSE`.
pub(super) const CHALLENGE_SIZE: u64 = (HEADER_SIZE + TAG_SIZE + 8 + 9 + 9) as u64;
/// Bytes beyond the path's own that may be on their way, at most: what the peer's socket buffers.
const MAX_SOCKET_SHARE: u64 = 2 << 20;
/// Shortest wait before the tail repeats a retry.
const MIN_TAIL_AGE: Duration = Duration::from_millis(2);
/// A `CLOSE` without text.
const CLOSE_SIZE: usize = 3;
/// A part of a page with a few bytes; less room is not worth filling.
const MIN_PART: usize = 32;
/// Room for the answers that share a datagram.
const URGENT_SIZE: usize = BASE_DATAGRAM;

impl Session {
    /// Fills `batch` with what may leave now; false when there is nothing.
    ///
    /// The program reads file data into the batch, calls [`seal`](Self::seal) and sends it, then asks again.
    pub fn poll_transmit(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        batch.clear();
        self.leave(now);
        match self.state {
            State::Closed => return false,
            State::Closing { .. } => return self.transmit_close(now, batch),
            State::Greeting { .. } | State::Open => {}
        }
        if self.pages_out.is_sent() {
            self.flush_records();
        }
        self.collect_reports(now);
        self.transmit_hello(now, batch)
            || self.transmit_challenge(now, batch)
            || self.transmit_response(now, batch)
            || self.transmit_reports(now, batch)
            || self.transmit_probe(now, batch)
            || self.transmit_data(now, batch)
    }

    /// A receiver that waits for no answer ends when its last results have left (protocol §10.1).
    fn leave(&mut self, now: Instant) {
        let is_done = self.leaves && self.role == Role::Receiver && self.is_complete;
        let is_sent =
            self.pages_out.is_sent() && self.records.is_empty() && !self.pages_out.has_lost();
        if !(is_done && is_sent && matches!(self.state, State::Open)) {
            return;
        }
        while let Some(content) = self.sent.repeat_oldest(now) {
            self.requeue(content, 1);
        }
        let room = BASE_DATAGRAM - HEADER_SIZE - TAG_SIZE - CLOSE_SIZE;
        let mut pages = Vec::new();
        // A part without a length ends a datagram, so these carry one.
        while let Some(part) = self
            .pages_out
            .next_lost(room.saturating_sub(pages.len() + 2))
        {
            put_page_with_length(&mut pages, part.number, part.offset, part.last, part.bytes);
            if pages.len() + MIN_PART > room {
                break;
            }
        }
        self.close(now, None);
        if let State::Closing { farewell, .. } = &mut self.state {
            *farewell = pages;
        }
    }

    fn transmit_close(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        let State::Closing {
            left,
            next,
            farewell,
            closed,
        } = &mut self.state
        else {
            return false;
        };
        if now < *next {
            return false;
        }
        *left -= 1;
        let longest = match self.leaves && closed.error.is_none() {
            true => MIN_CLOSE_INTERVAL,
            false => MAX_CLOSE_INTERVAL,
        };
        *next = now + self.rtt.smoothed().clamp(MIN_CLOSE_INTERVAL, longest);
        let farewell = farewell.clone();
        let (code, text) = (closed.error.map_or(0, |c| c.number()), closed.text.clone());
        if *left == 0 {
            self.state = State::Closed;
        }
        let Some(to) = self.peer.answer_address() else {
            self.state = State::Closed;
            return false;
        };
        let size = HEADER_SIZE + TAG_SIZE + farewell.len() + 4 + text.len().min(MAX_CLOSE_TEXT);
        if !self.peer.take_allowance(to, size as u64) {
            return false;
        }
        self.begin_datagram(now, batch);
        batch.head.extend_from_slice(&farewell);
        Frame::Close { code, text: &text }.encode(&mut batch.head);
        self.finish_datagram(now, batch, to, None);
        true
    }

    fn transmit_hello(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        let Side::Client { server } = self.side else {
            return false;
        };
        let token = self.random.u64(..).to_be_bytes();
        let State::Greeting { hello_at, .. } = &mut self.state else {
            return false;
        };
        if now < *hello_at {
            return false;
        }
        *hello_at = now + HELLO_INTERVAL;
        // The challenge makes the server answer; the client knows the server's address from the control channel.
        let mut frames = vec![self.hello(), Frame::PathChallenge(token)];
        frames.extend(self.address_token.map(|t| Frame::PathResponse(t.token)));
        frames.push(Frame::Padding);
        self.transmit_frames(now, batch, server, &frames, BASE_DATAGRAM)
    }

    fn hello(&self) -> Frame<'static> {
        Frame::Hello {
            version: VERSION,
            max_datagram: self.max_datagram,
            receive_buffer: self.receive_buffer,
        }
    }

    fn transmit_challenge(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        let rtt = self.rtt.smoothed();
        let Some((to, token)) = self.peer.next_challenge(now, CHALLENGE_SIZE, rtt) else {
            return false;
        };
        let mut frames = vec![self.hello(), Frame::PathChallenge(token)];
        if self
            .urgent
            .responses
            .front()
            .is_some_and(|(from, _)| *from == to)
        {
            frames.extend(
                self.urgent
                    .responses
                    .pop_front()
                    .map(|(_, token)| Frame::PathResponse(token)),
            );
        }
        self.transmit_frames(now, batch, to, &frames, 0)
    }

    fn transmit_response(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        while let Some((to, token)) = self.urgent.responses.pop_front() {
            let size = (HEADER_SIZE + TAG_SIZE + 9) as u64;
            if self.peer.take_allowance(to, size) {
                return self.transmit_frames(now, batch, to, &[Frame::PathResponse(token)], 0);
            }
        }
        false
    }

    /// Makes the reports that are due; they wait for their datagrams in `urgent`.
    fn collect_reports(&mut self, now: Instant) {
        if self.is_greeting() || self.received.due().is_none_or(|due| now < due) {
            return;
        }
        let receiving = Receiving {
            page_credit: self.pages_in.credit(),
            rate_limit: self.storage_limit.kbps(),
        };
        for feedback in self.received.report(now, receiving) {
            let mut bytes = Vec::with_capacity(64);
            Frame::Feedback(feedback).encode(&mut bytes);
            self.urgent.reports.push_back(bytes);
        }
    }

    fn transmit_reports(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        if self.urgent.reports.is_empty() && self.urgent.pings == 0 || self.is_greeting() {
            return false;
        }
        let Some(to) = self.peer.answer_address() else {
            return false;
        };
        self.begin_datagram(now, batch);
        while let Some(report) = self.urgent.reports.front() {
            let used = batch.head.len() + report.len() + TAG_SIZE;
            if used > URGENT_SIZE && batch.head.len() > HEADER_SIZE {
                break;
            }
            batch.head.extend_from_slice(report);
            self.urgent.reports.pop_front();
        }
        let mut ping = std::mem::take(&mut self.urgent.pings) > 0;
        if ping {
            Frame::Ping.encode(&mut batch.head);
        }
        if self.side == Side::Server && self.urgent.hellos < HELLOS {
            // A client that is known by its token is sent no challenge, which would bring it this (protocol §8.1).
            self.urgent.hellos += 1;
            self.hello().encode(&mut batch.head);
            ping = true;
        }
        let size = (batch.head.len() + TAG_SIZE) as u64;
        if !self.peer.take_allowance(to, size) {
            batch.clear();
            return false;
        }
        self.finish_datagram(now, batch, to, ping.then(|| Content::Nothing.into()));
        true
    }

    fn transmit_probe(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        if self.role == Role::Receiver || self.is_greeting() {
            return false;
        }
        let Some(to) = self.peer.address() else {
            return false;
        };
        let Some(size) = self.mtu.next_probe(now) else {
            return false;
        };
        self.begin_datagram(now, batch);
        Frame::Probe.encode(&mut batch.head);
        batch.head.resize(usize::from(size) - TAG_SIZE, 0);
        self.finish_datagram(now, batch, to, Some(Content::Probe { size }.into()));
        true
    }

    fn transmit_data(&mut self, now: Instant, batch: &mut TransmitBatch) -> bool {
        let Some(to) = self.peer.address() else {
            return false;
        };
        self.repeat_tail(now);
        let size = usize::from(self.mtu.current());
        let room = size - HEADER_SIZE - TAG_SIZE;
        let window = self.window().saturating_sub(self.sent.in_flight_bytes());
        let allowed = self.pacer.allowance(now);
        if window < size as u64 && allowed > window && self.has_data() {
            self.usage.on_blocked();
        }
        let mut budget = allowed.min(window);
        if self.probes > 0 {
            budget = budget.max(u64::from(self.probes) * size as u64);
            self.probes = 0;
        }
        while budget > 0 && batch.has_room(size) && !batch.is_ended(size) {
            self.begin_datagram(now, batch);
            self.put_floor(now, batch);
            let used = batch.head.len() - HEADER_SIZE;
            let Some(carried) = self.next_content(room - used, &mut batch.head) else {
                break;
            };
            let sent = self.finish_datagram(now, batch, to, Some(carried));
            budget = budget.saturating_sub(sent);
        }
        !batch.is_empty()
    }

    /// Writes the frame of whatever is next; file bytes are left to the program.
    fn next_content(&mut self, room: usize, out: &mut Vec<u8>) -> Option<Carried> {
        if let Some(part) = self.pages_out.next_lost(room) {
            return Some(put_part(out, &part, &mut self.statistics.payload_resent));
        }
        if let Some(block) = self.files_out.next_lost(room) {
            self.statistics.payload_resent += u64::from(block.length);
            return Some(put_block(out, block));
        }
        if self.is_paused {
            return None;
        }
        if let Some(part) = self.pages_out.next_new(self.page_credit, room) {
            return Some(put_part(out, &part, &mut self.statistics.payload_sent));
        }
        let (block, _) = self.files_out.next_new(room)?;
        self.statistics.payload_sent += u64::from(block.length);
        Some(put_block(out, block))
    }

    /// Whether anything waits to be sent as data.
    pub(super) fn has_data(&self) -> bool {
        self.pages_out.has_lost()
            || self.files_out.has_lost()
            || !self.is_paused && (self.has_new_pages() || self.files_out.has_new())
    }

    fn has_new_pages(&self) -> bool {
        self.pages_out.has_new(self.page_credit)
            || !self.records.is_empty() && self.pages_out.is_sent()
    }

    /// Bytes that may be on their way.
    pub(super) fn window(&self) -> u64 {
        if self.is_greeting() {
            // A client sends its pages and blocks behind `HELLO` before any answer.
            let rtt = self.rtt.smoothed();
            return self.controller.first_flight(rtt, BASE_DATAGRAM as u64);
        }
        let share = (self.peer_buffer / 2).min(MAX_SOCKET_SHARE);
        // Without what waits in queues: a window that grew with them would fill them.
        let base = self.rtt.smoothed().saturating_sub(self.queueing.current());
        let datagram = u64::from(self.mtu.current());
        self.controller
            .window(base, self.base_rtt(), datagram, share)
    }

    pub(super) fn next_data_time(&self) -> Option<Instant> {
        let open = self.window() > self.sent.in_flight_bytes() || self.probes > 0;
        (open && self.peer.address().is_some() && self.has_data()).then(|| self.pacer.next_send())
    }

    /// Whether everything has been sent and reports are outstanding (protocol §7.5).
    pub(super) fn is_tail(&self) -> bool {
        let is_listed = self.role == Role::Receiver || self.is_list_ended;
        is_listed && self.sent.has_content_in_flight() && !self.is_greeting() && !self.has_data()
    }

    fn tail_age(&self) -> Duration {
        (self.rtt.smoothed() / 4).max(MIN_TAIL_AGE)
    }

    pub(super) fn next_tail_time(&self) -> Option<Instant> {
        if !self.is_tail() {
            return None;
        }
        let oldest = self.sent.oldest_retry()? + self.tail_age();
        Some(oldest.max(self.pacer.next_send()))
    }

    /// Repeats what was lost before while nothing else is left to send: waiting for its loss again costs a round trip.
    fn repeat_tail(&mut self, now: Instant) {
        if !self.is_tail() {
            return;
        }
        let Some(before) = now.checked_sub(self.tail_age()) else {
            return;
        };
        let mut allowance = self.pacer.allowance(now);
        while allowance > 0 {
            let Some((content, attempt)) = self.sent.repeat_retry(before) else {
                break;
            };
            self.requeue(content, attempt);
            allowance = allowance.saturating_sub(u64::from(self.mtu.current()));
        }
    }

    fn put_floor(&mut self, now: Instant, batch: &mut TransmitBatch) {
        if now.saturating_duration_since(self.floor_sent) >= self.rtt.smoothed() {
            self.floor_sent = now;
            Frame::Floor(self.sent.floor()).encode(&mut batch.head);
        }
    }

    /// Sends frames in a datagram of their own, padded to `size` if that is more.
    fn transmit_frames(
        &mut self,
        now: Instant,
        batch: &mut TransmitBatch,
        to: SocketAddr,
        frames: &[Frame<'_>],
        size: usize,
    ) -> bool {
        self.begin_datagram(now, batch);
        for frame in frames {
            frame.encode(&mut batch.head);
        }
        let padded = size.saturating_sub(TAG_SIZE);
        if batch.head.len() < padded {
            batch.head.resize(padded, 0);
        }
        let eliciting = frames.iter().any(Frame::is_eliciting);
        self.finish_datagram(now, batch, to, eliciting.then(|| Content::Nothing.into()));
        true
    }

    /// Writes the header of the next number, leaving one out now and then.
    fn begin_datagram(&mut self, now: Instant, batch: &mut TransmitBatch) {
        if self.sent.next_number() >= self.skip_at {
            self.sent.skip(now);
            self.skip_at = self.sent.next_number() + self.random.u64(1..2048);
        }
        batch.head.clear();
        put_header(&mut batch.head, self.id, self.sent.next_number());
    }

    /// Completes a datagram; the peer owes no report of one that carries nothing.
    fn finish_datagram(
        &mut self,
        now: Instant,
        batch: &mut TransmitBatch,
        to: SocketAddr,
        carried: Option<Carried>,
    ) -> u64 {
        batch.destination = Some(to);
        let number = self.sent.next_number();
        let size = batch.end_datagram(number, carried.and_then(|c| c.block));
        let wire = size as u64 + WIRE_OVERHEAD;
        // A datagram is at most 9,216 bytes.
        if let Some(carried) = carried {
            if !self.sent.has_in_flight() {
                // Silence is counted from when something is outstanding.
                self.last_report = self.last_report.max(now);
            }
            self.sent
                .push(now, size as u16, carried.content, carried.attempt);
            self.last_eliciting = now;
        } else {
            self.sent.push_untracked(now);
        }
        // Reports do not wait for the pacer. Charged to it, those of a fast transfer would put the receiver, whose rate is
        // that of its few pages, so deep into debt that the page with its results waited for seconds.
        if carried.is_some() || self.role == Role::Sender {
            self.pacer.on_sent(wire);
        }
        self.usage.on_sent(wire);
        self.statistics.datagrams_sent += 1;
        self.statistics.bytes_sent += size as u64;
        wire
    }
}

/// What a datagram carries.
#[derive(Debug, Clone, Copy)]
struct Carried {
    content: Content,
    /// The block that the program has to read.
    block: Option<Block>,
    /// 0 when it leaves for the first time.
    attempt: u8,
}

impl From<Content> for Carried {
    fn from(content: Content) -> Self {
        Self {
            content,
            block: None,
            attempt: 0,
        }
    }
}

fn put_block(out: &mut Vec<u8>, block: Block) -> Carried {
    put_data(out, block.file, block.offset);
    Carried {
        content: Content::Block {
            file: block.file,
            offset: block.offset,
            length: block.length,
        },
        block: Some(block),
        attempt: block.attempt,
    }
}

fn put_part(out: &mut Vec<u8>, part: &crate::page::PagePart<'_>, count: &mut u64) -> Carried {
    put_page(out, part.number, part.offset, part.last);
    out.extend_from_slice(part.bytes);
    *count += part.bytes.len() as u64;
    Carried {
        content: Content::Page {
            number: part.number,
            offset: part.offset,
            // A part fits a datagram, so its length fits 16 bits.
            length: part.bytes.len() as u16,
        },
        block: None,
        attempt: part.attempt,
    }
}
