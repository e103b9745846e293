//! A sender and a receiver on a simulated network and a virtual clock (feature `testing`).
//!
//! Files are made of numbers, not of memory: byte `i` of file `f` is a function of both, so terabytes can pass.
//! The receiver checks every byte it is given and that no byte comes twice.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use netsim::{HostId, LinkConfig, LinkId, Network};
use zeroize::Zeroizing;

use crate::session::{Closed, FileResult, Statistics};
use crate::{
    Attributes, BlockWrite, DatagramCipher, Event, KeyMaterial, RangeSet, RateLimits, Record,
    Records, Role, Session, SessionConfig, SessionId, Side, Totals, TransferId, TransmitBatch,
};

/// Files up to this size travel inside pages.
const SMALL: u64 = 4096;
/// Pages are closed at this size.
const PAGE: usize = 16 << 10;

/// Fills `out` with the bytes of a synthetic file from `offset` on.
pub fn synthetic(file: u32, offset: u64, out: &mut [u8]) {
    let word = |index: u64| {
        let mixed = (index ^ u64::from(file) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29).to_le_bytes()
    };
    let mut at = 0;
    while at < out.len() {
        let position = offset + at as u64;
        let skip = (position % 8) as usize;
        let length = (8 - skip).min(out.len() - at);
        out[at..at + length].copy_from_slice(&word(position / 8)[skip..skip + length]);
        at += length;
    }
}

/// What to send and over what.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Seed of the network, the sessions and everything drawn at random.
    pub seed: u64,
    /// Sizes of the files, in the order of their numbers.
    pub files: Vec<u64>,
    /// Link from the client to the server.
    pub uplink: LinkConfig,
    /// Link from the server to the client.
    pub downlink: LinkConfig,
    /// Whether the client sends.
    pub upload: bool,
    /// Whether small files wait to be asked for.
    pub asks_first: bool,
    /// Rates of the sender.
    pub limits: RateLimits,
    /// Protection of datagrams.
    pub cipher: DatagramCipher,
    /// Largest datagram of both ends.
    pub max_datagram: u16,
    /// Round-trip time that the control connection measured.
    pub rtt: Option<Duration>,
}

impl Scenario {
    /// An upload of `files` over a link, the same both ways.
    pub fn new(seed: u64, files: Vec<u64>, link: LinkConfig) -> Self {
        let rtt = Some(link.delay * 2).filter(|rtt| !rtt.is_zero());
        Self {
            seed,
            files,
            uplink: link.clone(),
            downlink: link,
            upload: true,
            asks_first: false,
            limits: RateLimits::default(),
            cipher: DatagramCipher::Aes128Gcm,
            max_datagram: 1472,
            rtt,
        }
    }
}

/// How a run went.
#[derive(Debug, Clone)]
pub struct Run {
    /// Virtual time from the first datagram to the end of the sender.
    pub elapsed: Duration,
    /// From the first data at the receiver to the last.
    pub data_time: Duration,
    /// How the sender ended.
    pub sender: Option<Closed>,
    /// How the receiver ended.
    pub receiver: Option<Closed>,
    /// The receiver's count, as the sender learned it.
    pub totals: Option<Totals>,
    /// The sender's statistics.
    pub sent: Statistics,
    /// The receiver's statistics.
    pub received: Statistics,
    /// Files that are whole at the receiver.
    pub complete: usize,
}

impl Run {
    /// Whether every file arrived and both ends know it.
    pub fn is_success(&self, files: usize) -> bool {
        let is_good = |end: &Option<Closed>| end.as_ref().is_some_and(|c| c.error.is_none());
        self.complete == files
            && is_good(&self.sender)
            && is_good(&self.receiver)
            && self.totals.is_some_and(|t| t.done == files as u64)
    }
}

/// One end: a session, where it lives, and what it does with events.
#[derive(Debug)]
struct End {
    session: Session,
    host: HostId,
    closed: Option<Closed>,
    writes: Vec<BlockWrite>,
}

/// The sending program.
#[derive(Debug)]
struct Sending {
    files: Vec<u64>,
    next: usize,
    asks_first: bool,
    ended: bool,
    totals: Option<Totals>,
    settled: usize,
}

/// The receiving program.
#[derive(Debug, Default)]
struct Receiving {
    open: BTreeMap<u32, (u64, RangeSet)>,
    waiting: BTreeMap<u32, u64>,
    complete: BTreeMap<u32, u64>,
    expected: Option<u32>,
    is_complete: bool,
    first_data: Option<Instant>,
    last_data: Option<Instant>,
}

/// Two ends on a network.
#[derive(Debug)]
pub struct Pair {
    epoch: Instant,
    now: Instant,
    network: Network<Vec<u8>>,
    client: End,
    server: End,
    sending: Sending,
    receiving: Receiving,
    upload: bool,
    batch: TransmitBatch,
    links: (LinkId, LinkId),
    finished: Option<Instant>,
    received_bytes: u64,
}

impl Pair {
    /// Sets both ends up; nothing has been sent yet.
    pub fn new(scenario: Scenario) -> Self {
        let epoch = Instant::now();
        let mut network = Network::new(epoch, scenario.seed);
        let client_address = SocketAddr::from(([10, 0, 0, 1], 40_000));
        let server_address = SocketAddr::from(([10, 0, 0, 2], 33_001));
        let client = network.add_host(client_address).expect("first address");
        let server = network.add_host(server_address).expect("second address");
        let links = network.connect(
            client,
            server,
            scenario.uplink.clone(),
            scenario.downlink.clone(),
        );
        let keys = KeyMaterial {
            client_random: Zeroizing::new([1; 32]),
            server_random: Zeroizing::new([2; 32]),
            channel_binding: [3; 32],
            session: SessionId(scenario.seed ^ 0x5555_aaaa),
            transfer: TransferId([4; 16]),
        };
        let (up, down) = match scenario.upload {
            true => (Role::Sender, Role::Receiver),
            false => (Role::Receiver, Role::Sender),
        };
        let end = |side, role, host, seed| {
            let config = SessionConfig {
                cipher: scenario.cipher,
                limits: scenario.limits,
                max_datagram: scenario.max_datagram,
                receive_buffer: 4 << 20,
                rtt: scenario.rtt,
                ..SessionConfig::new(side, role, keys.clone(), seed)
            };
            End {
                session: Session::new(epoch, config),
                host,
                closed: None,
                writes: Vec::new(),
            }
        };
        Self {
            epoch,
            now: epoch,
            client: end(
                Side::Client {
                    server: server_address,
                },
                up,
                client,
                scenario.seed,
            ),
            server: end(Side::Server, down, server, !scenario.seed),
            network,
            sending: Sending {
                files: scenario.files,
                next: 0,
                asks_first: scenario.asks_first,
                ended: false,
                totals: None,
                settled: 0,
            },
            receiving: Receiving::default(),
            upload: scenario.upload,
            batch: TransmitBatch::new(crate::session::MAX_SEGMENTS),
            links,
            finished: None,
            received_bytes: 0,
        }
    }

    /// Runs until both ends are closed or `limit` of virtual time has passed.
    pub fn run(&mut self, limit: Duration) -> Run {
        while self.now < self.epoch + limit && !self.is_over() {
            if !self.step() {
                break;
            }
        }
        // What the last step delivered may have ended a session: hear it out.
        self.settle(true);
        self.settle(false);
        self.result()
    }

    /// Runs for `time` of virtual time.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until && !self.is_over() && self.step() {}
    }

    /// File bytes that have arrived.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Virtual time since the start.
    pub fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    /// The sending session.
    pub fn sender(&mut self) -> &mut Session {
        if self.upload {
            &mut self.client.session
        } else {
            &mut self.server.session
        }
    }

    /// Gives the client another address, as a NAT does.
    pub fn rebind_client(&mut self, address: SocketAddr) {
        // The simulation never hands out the same address twice.
        self.network
            .rebind(self.client.host, address)
            .expect("a new address");
    }

    /// Changes both directions of the link from now on.
    pub fn set_link(&mut self, config: &LinkConfig) {
        self.network
            .set_link(self.now, self.links.0, config.clone());
        self.network
            .set_link(self.now, self.links.1, config.clone());
    }

    /// Largest queueing delay of the data direction so far.
    pub fn max_queue_delay(&self) -> Duration {
        let link = if self.upload {
            self.links.0
        } else {
            self.links.1
        };
        self.network.link_counters(link).max_queue_delay
    }

    /// Changes the sender's limits from now on.
    pub fn set_limits(&mut self, limits: RateLimits) {
        let now = self.now;
        self.sender().set_limits(now, limits);
    }

    /// How it went so far.
    pub fn result(&self) -> Run {
        let (sender, receiver) = match self.upload {
            true => (&self.client, &self.server),
            false => (&self.server, &self.client),
        };
        let data = self.receiving.first_data.zip(self.receiving.last_data);
        Run {
            elapsed: self.finished.unwrap_or(self.now) - self.epoch,
            data_time: data.map_or(Duration::ZERO, |(first, last)| last - first),
            sender: sender.closed.clone(),
            receiver: receiver.closed.clone(),
            totals: self.sending.totals,
            sent: sender.session.statistics(),
            received: receiver.session.statistics(),
            complete: self.receiving.complete.len(),
        }
    }

    fn is_over(&self) -> bool {
        self.client.session.is_closed() && self.server.session.is_closed()
    }

    /// Lets both ends do what they can now, then jumps to the next moment anything happens.
    fn step(&mut self) -> bool {
        self.settle(true);
        self.settle(false);
        let timeouts = [
            self.client.session.poll_timeout(),
            self.server.session.poll_timeout(),
        ];
        let next = timeouts
            .into_iter()
            .flatten()
            .chain(self.network.next_event())
            .min();
        let Some(next) = next else { return false };
        self.now = self.now.max(next);
        while let Some(delivery) = self.network.poll(self.now) {
            let is_client = delivery.host == self.client.host;
            self.deliver(is_client, delivery.src, delivery.payload);
        }
        self.client.session.handle_timeout(self.now);
        self.server.session.handle_timeout(self.now);
        true
    }

    fn deliver(&mut self, is_client: bool, from: SocketAddr, mut datagram: Vec<u8>) {
        let now = self.now;
        let end = if is_client {
            &mut self.client
        } else {
            &mut self.server
        };
        let mut writes = std::mem::take(&mut end.writes);
        end.session
            .handle_datagram(now, from, false, &mut datagram, &mut writes);
        for write in writes.drain(..) {
            self.receiving.first_data.get_or_insert(now);
            self.receiving.last_data = Some(now);
            self.received_bytes += write.length as u64;
            self.receiving
                .on_write(&write, &datagram[write.at..write.at + write.length]);
        }
        end.writes = writes;
    }

    /// Events and transmissions of one end until there are none.
    fn settle(&mut self, is_client: bool) {
        let is_sender = is_client == self.upload;
        let now = self.now;
        loop {
            let end = if is_client {
                &mut self.client
            } else {
                &mut self.server
            };
            while let Some(event) = end.session.poll_event() {
                if let Event::Closed(closed) = &event {
                    end.closed = Some(closed.clone());
                    if is_sender {
                        self.finished = Some(now);
                    }
                }
                if is_sender {
                    self.sending.on_event(&mut end.session, &event);
                } else {
                    self.receiving.on_event(&mut end.session, event);
                }
            }
            if is_sender {
                self.sending.fill(&mut end.session);
            }
            if !end.session.poll_transmit(now, &mut self.batch) {
                return;
            }
            for read in self.batch.reads().to_vec() {
                synthetic(read.file, read.offset, self.batch.room(&read));
            }
            end.session.seal(now, &mut self.batch);
            let Some(to) = self.batch.destination() else {
                return;
            };
            let from = self.network.address(end.host);
            for datagram in self.batch.bytes().chunks(self.batch.segment_size()) {
                self.network.send(now, from, to, datagram.to_vec());
            }
        }
    }
}

impl Sending {
    /// Lists files as long as the session takes pages.
    fn fill(&mut self, session: &mut Session) {
        while self.next < self.files.len() && session.queued_page_bytes() < 2 * PAGE {
            let mut page = Vec::new();
            Record::Enter { path: b"" }.encode(&mut page);
            while self.next < self.files.len() && page.len() < PAGE {
                self.list(session, &mut page);
            }
            session.send_page(page);
        }
        if self.next == self.files.len() && !self.ended {
            self.ended = true;
            session.end_list(self.files.len() as u32);
        }
    }

    fn list(&mut self, session: &mut Session, page: &mut Vec<u8>) {
        let file = self.next as u32;
        let size = self.files[self.next];
        self.next += 1;
        session.set_listed(file + 1);
        let name = format!("file {file}").into_bytes();
        let attributes = Attributes::default();
        if size <= SMALL && !self.asks_first {
            let mut content = vec![0; size as usize];
            synthetic(file, 0, &mut content);
            Record::SmallFile {
                file,
                name: &name,
                attributes,
                content: &content,
            }
            .encode(page);
            return;
        }
        if size > SMALL {
            session.announce(file, size);
        }
        Record::File {
            file,
            name: &name,
            attributes,
            size,
        }
        .encode(page);
    }

    fn on_event(&mut self, session: &mut Session, event: &Event) {
        match event {
            Event::Wanted { first, count } => {
                for file in *first..first + count {
                    let mut content = vec![0; self.files[file as usize] as usize];
                    synthetic(file, 0, &mut content);
                    session.send_record(&Record::Content {
                        file,
                        content: &content,
                    });
                }
            }
            Event::Settled { count, result, .. } => {
                assert_eq!(*result, FileResult::Done);
                self.settled += *count as usize;
            }
            Event::Sent { file, digest } => session.send_digest(*file, *digest),
            Event::Complete(totals) => self.totals = Some(*totals),
            _ => {}
        }
    }
}

impl Receiving {
    fn on_write(&mut self, write: &BlockWrite, bytes: &[u8]) {
        let (_, present) = self
            .open
            .get_mut(&write.file)
            .expect("blocks come only for requested files");
        let range = write.offset..write.offset + write.length as u64;
        let mut new = 0;
        present.insert_with(range, |r| new += r.end - r.start);
        assert_eq!(new, write.length as u64, "no byte is written twice");
        let mut expected = vec![0; bytes.len()];
        synthetic(write.file, write.offset, &mut expected);
        assert!(
            expected == bytes,
            "wrong bytes in file {} at {}",
            write.file,
            write.offset
        );
    }

    fn on_event(&mut self, session: &mut Session, event: Event) {
        match event {
            Event::Page(page) => {
                for record in Records::new(&page) {
                    self.on_record(session, record.expect("the sender's pages are well-formed"));
                }
                session.page_consumed(page.len() as u64);
            }
            Event::FileComplete { file } => {
                let (size, present) = self.open.remove(&file).expect("open");
                assert!(present.covers(&(0..size)), "complete means every byte");
                self.done(session, file, size);
            }
            Event::FileDamaged { file } => panic!("file {file} is damaged"),
            _ => {}
        }
    }

    fn on_record(&mut self, session: &mut Session, record: Record<'_>) {
        match record {
            Record::File {
                file, name, size, ..
            } => {
                assert_eq!(name, format!("file {file}").as_bytes());
                if size > SMALL {
                    self.open.insert(file, (size, RangeSet::new()));
                    assert!(session.request_file(file, size, &[]));
                } else {
                    self.waiting.insert(file, size);
                    session.reply(&Record::Want {
                        first: file,
                        count: 1,
                    });
                }
            }
            Record::SmallFile { file, content, .. } => self.on_content(session, file, content),
            Record::Content { file, content } => {
                assert_eq!(self.waiting.remove(&file), Some(content.len() as u64));
                self.on_content(session, file, content);
            }
            Record::Digest { file, digest } => session.file_digest(file, digest),
            Record::End { files } => {
                self.expected = Some(files);
                self.finish(session);
            }
            _ => {}
        }
    }

    fn on_content(&mut self, session: &mut Session, file: u32, content: &[u8]) {
        let mut expected = vec![0; content.len()];
        synthetic(file, 0, &mut expected);
        assert!(expected == content, "wrong bytes in small file {file}");
        self.done(session, file, content.len() as u64);
    }

    fn done(&mut self, session: &mut Session, file: u32, size: u64) {
        assert_eq!(
            self.complete.insert(file, size),
            None,
            "file {file} arrived twice"
        );
        session.reply(&Record::Done {
            first: file,
            count: 1,
        });
        self.finish(session);
    }

    fn finish(&mut self, session: &mut Session) {
        if self.expected == Some(self.complete.len() as u32) && !self.is_complete {
            self.is_complete = true;
            let bytes = self.complete.values().sum();
            session.complete(Totals {
                done: self.complete.len() as u64,
                bytes,
                ..Totals::default()
            });
        }
    }
}
