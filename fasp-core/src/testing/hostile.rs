//! A peer that has the keys and obeys nothing else.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{keys, synthetic};
use crate::protection::{Flow, Opener, Sealer};
use crate::session::Closed;
use crate::wire::codec::{Reader, put_varint};
use crate::wire::feedback::Feedback;
use crate::wire::frame::Frame;
use crate::wire::header::{BASE_DATAGRAM, HEADER_SIZE, TAG_SIZE, put_header};
use crate::{
    BlockWrite, DatagramCipher, Event, Role, Session, SessionConfig, SessionId, Side, TransmitBatch,
};

/// The client of a session whose server is under test.
#[derive(Debug)]
pub struct Hostile {
    /// The server's session.
    pub session: Session,
    /// What the session wanted written.
    pub writes: Vec<BlockWrite>,
    /// Events that nobody has looked at yet.
    pub events: Vec<Event>,
    /// Numbers of the datagrams that the session has sent.
    pub heard: Vec<u64>,
    /// Bytes of these.
    pub heard_bytes: u64,
    address: SocketAddr,
    now: Instant,
    sealer: Sealer,
    opener: Opener,
    next: u64,
    batch: TransmitBatch,
}

impl Hostile {
    /// Greets a server in this role and validates an address with it.
    pub fn new(role: Role) -> Self {
        let now = Instant::now();
        let keys = keys(SessionId(7));
        let cipher = DatagramCipher::Aes128Gcm;
        let mut config = SessionConfig::new(Side::Server, role, keys.clone(), 1);
        config.cipher = cipher;
        let mut hostile = Self {
            session: Session::new(now, config),
            writes: Vec::new(),
            events: Vec::new(),
            heard: Vec::new(),
            heard_bytes: 0,
            address: SocketAddr::from(([10, 0, 0, 1], 1)),
            now,
            sealer: Sealer::new(&keys, Flow::ClientToServer, cipher),
            opener: Opener::new(&keys, Flow::ServerToClient, cipher),
            next: 0,
            batch: TransmitBatch::new(64),
        };
        let mut hello = Vec::new();
        let frame = Frame::Hello {
            version: 1,
            max_datagram: 1472,
            receive_buffer: 4 << 20,
        };
        frame.encode(&mut hello);
        hello.resize(BASE_DATAGRAM - HEADER_SIZE - TAG_SIZE, 0);
        hostile.send(&hello);
        hostile
    }

    /// How the session ended, if it has.
    pub fn closed(&self) -> Option<&Closed> {
        self.events.iter().find_map(|event| match event {
            Event::Closed(closed) => Some(closed),
            _ => None,
        })
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
        self.hear();
    }

    /// Skips packet numbers; numbers are sealed in order, so one that is past already changes nothing.
    pub fn jump(&mut self, number: u64) {
        self.next = self.next.max(number);
    }

    /// Sends these frames in a datagram with a right tag.
    pub fn send(&mut self, frames: &[u8]) {
        let mut datagram = Vec::new();
        put_header(&mut datagram, SessionId(7), self.next);
        datagram.extend_from_slice(frames);
        datagram.resize(datagram.len() + TAG_SIZE, 0);
        self.sealer.seal(self.next, &mut datagram);
        self.next += 1;
        let from = self.address;
        let writes = &mut self.writes;
        self.session
            .handle_datagram(self.now, from, false, &mut datagram, writes);
        self.hear();
    }

    /// Sends something that has this number and a tag that is not right, as somebody without the keys can.
    pub fn forge(&mut self, number: u64, frames: &[u8]) {
        let mut datagram = Vec::new();
        put_header(&mut datagram, SessionId(7), number);
        datagram.extend_from_slice(frames);
        datagram.resize(datagram.len() + TAG_SIZE, 0x5a);
        let from = SocketAddr::from(([203, 0, 113, 9], 9));
        let writes = &mut self.writes;
        self.session
            .handle_datagram(self.now, from, false, &mut datagram, writes);
        self.hear();
    }

    /// Takes what the session sends and answers its challenges.
    fn hear(&mut self) {
        loop {
            while let Some(event) = self.session.poll_event() {
                self.events.push(event);
            }
            if !self.session.poll_transmit(self.now, &mut self.batch) {
                return;
            }
            for read in self.batch.reads().to_vec() {
                synthetic(read.file, read.offset, self.batch.room(&read));
            }
            self.session.seal(self.now, &mut self.batch);
            let size = self.batch.segment_size();
            let sent: Vec<Vec<u8>> = self
                .batch
                .bytes()
                .chunks(size)
                .map(<[u8]>::to_vec)
                .collect();
            for datagram in sent {
                self.answer(datagram);
            }
        }
    }

    fn answer(&mut self, mut datagram: Vec<u8>) {
        self.heard_bytes += datagram.len() as u64;
        // The tests send far fewer than 2^32 datagrams.
        let number = u64::from(crate::wire::header::truncated_number(&datagram).unwrap_or(0));
        self.heard.push(number);
        let frames = self.opener.open(number, &mut datagram);
        let mut reader = Reader::new(frames.as_deref().unwrap_or_default());
        let mut token = None;
        while let Ok(Some(frame)) = Frame::next(&mut reader) {
            if let Frame::PathChallenge(t) = frame {
                token = Some(t);
            }
        }
        if let Some(token) = token {
            let mut response = Vec::new();
            Frame::PathResponse(token).encode(&mut response);
            self.send(&response);
        }
    }

    /// A report that these numbers arrived.
    pub fn report(&self, ranges: &[std::ops::RangeInclusive<u64>], page_credit: u64) -> Vec<u8> {
        let micros = self.now.elapsed().as_micros() as u32;
        let feedback = Feedback {
            largest: ranges.first().map_or(0, |r| *r.end()),
            arrival: micros,
            page_credit,
            floor: ranges.last().map_or(0, |r| *r.start()),
            ranges: ranges.to_vec(),
            ..Feedback::default()
        };
        let mut out = Vec::new();
        Frame::Feedback(feedback).encode(&mut out);
        out
    }

    /// A block of a file.
    pub fn data(file: u32, offset: u64, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let frame = Frame::Data {
            file,
            offset,
            bytes,
        };
        frame.encode(&mut out);
        out
    }

    /// Part of a page.
    pub fn page(number: u32, offset: u32, last: bool, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let frame = Frame::Page {
            number,
            offset,
            last,
            bytes,
        };
        frame.encode(&mut out);
        out
    }

    /// A `FLOOR` frame.
    pub fn floor(number: u64) -> Vec<u8> {
        let mut out = vec![0x07];
        put_varint(&mut out, number);
        out
    }
}
