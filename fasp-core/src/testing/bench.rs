//! Doors to the inside for benchmarks: one operation of the hot path each.

use std::time::{Duration, Instant};

use super::{keys, synthetic};
use crate::protection::{Flow, Opener, Sealer};
use crate::wire::codec::Reader;
use crate::wire::frame::{Frame, put_data};
use crate::wire::header::{HEADER_SIZE, put_header};
use crate::{
    BlockWrite, DatagramCipher, Event, Rate, RateLimits, RatePolicy, Role, Session, SessionConfig,
    SessionId, Side, TransmitBatch,
};

/// Seals and opens datagrams of one size.
#[derive(Debug)]
pub struct CipherBench {
    sealer: Sealer,
    opener: Opener,
    next: u64,
    datagram: Vec<u8>,
    sealed: Vec<u8>,
}

impl CipherBench {
    /// Datagrams of `size` bytes in all.
    pub fn new(cipher: DatagramCipher, size: usize) -> Self {
        let keys = keys(SessionId(7));
        let mut sealer = Sealer::new(&keys, Flow::ClientToServer, cipher);
        let mut sealed = vec![7; size];
        sealer.seal(0, &mut sealed);
        Self {
            sealer,
            opener: Opener::new(&keys, Flow::ClientToServer, cipher),
            next: 1,
            datagram: sealed.clone(),
            sealed,
        }
    }

    /// Seals the next datagram.
    pub fn seal(&mut self) {
        self.sealer.seal(self.next, &mut self.datagram);
        self.next += 1;
    }

    /// Opens a copy of the first datagram.
    pub fn open(&mut self) -> bool {
        self.datagram.copy_from_slice(&self.sealed);
        self.opener.open(0, &mut self.datagram).is_some()
    }
}

/// Writes a header and a block's head, and reads the frame back; returns the block's length.
pub fn wire_round_trip(out: &mut Vec<u8>, number: u64, block: &[u8]) -> usize {
    out.clear();
    put_header(out, SessionId(7), number);
    put_data(out, 3, number * 1438);
    out.extend_from_slice(block);
    let mut reader = Reader::new(&out[HEADER_SIZE..]);
    match Frame::next(&mut reader) {
        Ok(Some(Frame::Data { bytes, .. })) => bytes.len(),
        _ => 0,
    }
}

/// Time spent in the two sessions while a large file goes from one to the other without any network between.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepCost {
    /// Full datagrams that passed.
    pub datagrams: u64,
    /// In `poll_transmit` and `seal` of the sender.
    pub transmit: Duration,
    /// In `handle_datagram` of the receiver.
    pub receive: Duration,
    /// In `handle_datagram` of the sender: reports.
    pub feedback: Duration,
}

/// Measures both sessions' cost for `bytes` of file data in datagrams of `size` bytes. Reading and writing of the
/// file are not counted.
pub fn session_steps(cipher: DatagramCipher, size: u16, bytes: u64) -> StepCost {
    let epoch = Instant::now();
    let address = std::net::SocketAddr::from(([10, 0, 0, 2], 1));
    let other = std::net::SocketAddr::from(([10, 0, 0, 1], 1));
    let end = |side, role| {
        let mut config = SessionConfig::new(side, role, keys(SessionId(7)), 3);
        config.cipher = cipher;
        config.max_datagram = size;
        config.receive_buffer = 8 << 20;
        config.rtt = Some(Duration::from_micros(200));
        config.limits = RateLimits {
            target: Some(Rate::from_mbps(10_000)),
            policy: RatePolicy::Fixed,
            ..RateLimits::default()
        };
        Session::new(epoch, config)
    };
    let mut sender = end(Side::Client { server: address }, Role::Sender);
    let mut receiver = end(Side::Server, Role::Receiver);
    receiver.request_file(0, bytes, &[]);
    sender.announce(0, bytes);
    sender.end_list(1, 0);
    let mut cost = StepCost::default();
    let mut batch = TransmitBatch::new(64);
    let mut writes: Vec<BlockWrite> = Vec::new();
    let mut now = epoch;
    let mut received = 0;
    while received < bytes {
        now += Duration::from_micros(50);
        sender.handle_timeout(now);
        receiver.handle_timeout(now);
        loop {
            let begun = Instant::now();
            let more = sender.poll_transmit(now, &mut batch);
            cost.transmit += begun.elapsed();
            if !more {
                break;
            }
            // The same bytes everywhere: making them would cost more than all the rest.
            if let Some(read) = batch.reads().first().copied() {
                synthetic(0, 0, &mut batch.room(&read)[..8]);
            }
            let begun = Instant::now();
            sender.seal(now, &mut batch);
            cost.transmit += begun.elapsed();
            let full = batch.segment_size();
            let mut datagrams = batch.bytes().to_vec();
            let begun = Instant::now();
            for datagram in datagrams.chunks_mut(full) {
                receiver.handle_datagram(now, other, false, datagram, &mut writes);
            }
            cost.receive += begun.elapsed();
            cost.datagrams += batch.reads().len() as u64;
            received += writes.drain(..).map(|w| w.length as u64).sum::<u64>();
        }
        while receiver.poll_transmit(now, &mut batch) {
            receiver.seal(now, &mut batch);
            let full = batch.segment_size();
            let mut datagrams = batch.bytes().to_vec();
            let begun = Instant::now();
            for datagram in datagrams.chunks_mut(full) {
                sender.handle_datagram(now, address, false, datagram, &mut writes);
            }
            cost.feedback += begun.elapsed();
        }
        while let Some(event) = sender.poll_event() {
            debug_assert!(!matches!(event, Event::Closed(_)), "{event:?}");
        }
        while receiver.poll_event().is_some() {}
    }
    cost
}
