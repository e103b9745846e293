//! One session: two sans-IO state machines, a sender and a receiver of files, on one transport.
//!
//! [`Session`] owns the parts and routes between them; each part is a type of its own and decides alone. The program
//! around it calls, in any order,
//!
//! * [`handle_datagram`](Session::handle_datagram) for what the socket received,
//! * [`poll_transmit`](Session::poll_transmit) for what it should send,
//! * [`handle_timeout`](Session::handle_timeout) when [`poll_timeout`](Session::poll_timeout) has passed,
//! * [`poll_event`](Session::poll_event) for what happened,
//!
//! and keeps one rule: after any input, poll events and transmissions until there are none, then wait.

mod batch;
mod config;
mod event;
mod ingest;
mod receiver;
mod sender;
mod timeout;
mod transmit;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};

pub use batch::{BlockRead, MAX_BATCH, MAX_SEGMENTS, TransmitBatch};
pub use config::{Role, SessionConfig, Side};
pub use event::{Closed, Event, FileResult, Statistics};
pub use ingest::Ingest;

use crate::file::{IncomingFiles, OutgoingFiles};
use crate::page::{IncomingPages, OutgoingPages};
use crate::path::{AddressToken, MtuDiscovery, Peer};
use crate::protection::{Flow, Opener, ReplayWindow, Sealer};
use crate::rate::{DeliveryRate, Pacer, PathMemory, Queueing, RateController, RateLimits, Usage};
use crate::recovery::{Lost, ReceivedLog, Rtt, SentLog};
use crate::wire::header::{BASE_DATAGRAM, MAX_DATAGRAM};
use crate::{ErrorCode, Rate, SessionId, Totals};

/// Where a session stands.
///
/// ```text
/// Greeting --first valid datagram--> Open --close()/peer's CLOSE/time-out--> Closing --sent--> Closed
///     \------------------------------------------------------------------------^
/// ```
#[derive(Debug)]
enum State {
    /// Nothing valid has arrived yet; a client repeats its `HELLO`.
    Greeting { since: Instant, hello_at: Instant },
    /// Data flows.
    Open,
    /// `CLOSE` is being sent until the peer answers, a few times at most.
    Closing {
        left: u32,
        next: Instant,
        /// Goes ahead of each `CLOSE`: pages that are not reported yet.
        farewell: Vec<u8>,
        closed: Closed,
    },
    /// Over.
    Closed,
}

/// Frames waiting for a datagram of their own, sent ahead of data.
#[derive(Debug, Default)]
struct Urgent {
    /// Answers to path challenges, and where they go.
    responses: VecDeque<(SocketAddr, [u8; 8])>,
    /// Encoded reports.
    reports: VecDeque<Vec<u8>>,
    pings: u32,
    /// Reports so far that brought a `HELLO`.
    hellos: u32,
}

/// A sender or a receiver of files on one UDP association.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    side: Side,
    role: Role,
    state: State,
    sealer: Sealer,
    opener: Opener,
    replay: ReplayWindow,
    sent: SentLog,
    received: ReceivedLog,
    rtt: Rtt,
    peer: Peer,
    /// A client's answer to the challenge of the control connection.
    address_token: Option<AddressToken>,
    /// What is remembered of the path, until a round trip has been measured.
    path: Option<PathMemory>,
    mtu: MtuDiscovery,
    controller: RateController,
    pacer: Pacer,
    usage: Usage,
    delivery: DeliveryRate,
    queueing: Queueing,
    pages_out: OutgoingPages,
    pages_in: IncomingPages,
    files_out: OutgoingFiles,
    files_in: IncomingFiles,
    /// Records waiting to become a page.
    records: Vec<u8>,
    urgent: Urgent,
    events: VecDeque<Event>,
    /// Reused from one report to the next.
    lost: Vec<Lost>,
    statistics: Statistics,
    random: fastrand::Rng,
    /// Next number to leave out (protocol §4.2).
    skip_at: u64,
    max_datagram: u16,
    receive_buffer: u32,
    /// What the peer's receive buffer takes, and how many bytes of pages it accepts.
    peer_buffer: u64,
    page_credit: u64,
    storage_limit: Rate,
    /// Files the list has named so far; decisions about others are violations.
    listed: u32,
    /// Numbers that have their result.
    settled: u64,
    /// The receiver has said that all have.
    completed: Option<Totals>,
    is_paused: bool,
    /// The program has listed every file.
    is_list_ended: bool,
    /// The receiver has told of every result: an end without the sender's goodbye is a good one.
    is_complete: bool,
    /// A client's session ends with its work.
    leaves: bool,
    last_heard: Instant,
    last_report: Instant,
    last_eliciting: Instant,
    last_probe: Instant,
    floor_sent: Instant,
    probe_count: u32,
    probes: u32,
    silence_steps: u32,
    report_tokens: f64,
    report_tokens_at: Instant,
    data_timeout: Duration,
    hello_timeout: Duration,
}

/// From this round-trip time on one that the control connection has measured lets a session begin with more: on shorter paths
/// it saves nothing, and many sessions that begin together on one host overrun each other.
const LONG: Duration = Duration::from_millis(20);
/// Times that `CLOSE` is sent, a round trip apart, unless the peer answers.
const CLOSES: u32 = 8;
/// Times that a client says it which waits for no answer.
const LEAVING_CLOSES: u32 = 3;
/// Page credit assumed before the first report.
const FIRST_CREDIT: u64 = 1 << 20;

impl Session {
    /// Starts a session; its clock starts at `now`.
    pub fn new(now: Instant, config: SessionConfig) -> Self {
        let (send, receive, peer) = match config.side {
            Side::Client { server } => (
                Flow::ClientToServer,
                Flow::ServerToClient,
                Peer::known(server),
            ),
            Side::Server => (
                Flow::ServerToClient,
                Flow::ClientToServer,
                Peer::promised(config.address_token),
            ),
        };
        let rtt = Rtt::new(config.rtt);
        let base = BASE_DATAGRAM as u64;
        let mut controller =
            RateController::new(now, config.time_of_day, config.limits, rtt.smoothed(), base);
        if config.rtt.is_some_and(|rtt| rtt >= LONG) {
            controller.on_measured();
        }
        // Only what was measured on this connection can tell that the path is the one remembered.
        if let Some((memory, measured)) = config.path.zip(config.rtt) {
            controller.remember(measured, memory);
        }
        let path = config.path.filter(|_| config.rtt.is_none());
        let mut random = fastrand::Rng::with_seed(config.seed);
        let skip_at = random.u64(1..2048);
        // An eighth of the socket's buffer between two reports keeps the sender's window moving.
        let report_bytes = u64::from(config.receive_buffer / 8).clamp(16 << 10, 512 << 10);
        Self {
            id: config.keys.session,
            side: config.side,
            role: config.role,
            state: State::Greeting {
                since: now,
                hello_at: now,
            },
            sealer: Sealer::new(&config.keys, send, config.cipher),
            opener: Opener::new(&config.keys, receive, config.cipher),
            replay: ReplayWindow::default(),
            sent: SentLog::default(),
            received: ReceivedLog::new(now, report_bytes),
            peer,
            address_token: config.address_token,
            path,
            mtu: MtuDiscovery::new(config.max_datagram),
            pacer: Pacer::new(now, controller.rate()),
            controller,
            usage: Usage::new(now),
            delivery: DeliveryRate::default(),
            queueing: Queueing::new(now),
            pages_out: OutgoingPages::default(),
            pages_in: IncomingPages::new(config.page_memory),
            files_out: OutgoingFiles::default(),
            files_in: IncomingFiles::default(),
            records: Vec::new(),
            urgent: Urgent::default(),
            events: VecDeque::new(),
            lost: Vec::new(),
            statistics: Statistics::default(),
            random,
            skip_at,
            max_datagram: config
                .max_datagram
                .clamp(BASE_DATAGRAM as u16, MAX_DATAGRAM as u16),
            receive_buffer: config.receive_buffer,
            peer_buffer: 64 << 10,
            page_credit: FIRST_CREDIT,
            storage_limit: Rate::ZERO,
            listed: 0,
            settled: 0,
            completed: None,
            is_paused: false,
            is_list_ended: false,
            is_complete: false,
            leaves: config.leaves && matches!(config.side, Side::Client { .. }),
            last_heard: now,
            last_report: now,
            last_eliciting: now,
            last_probe: now,
            floor_sent: now,
            probe_count: 0,
            probes: 0,
            silence_steps: 0,
            report_tokens: 0.0,
            report_tokens_at: now,
            data_timeout: config.data_timeout,
            hello_timeout: config.hello_timeout,
            rtt,
        }
    }

    /// Takes the next event, if any.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Ends the session: `None` for a good end, otherwise why. The end of a receiver that has told every result is good.
    pub fn close(&mut self, now: Instant, error: Option<(ErrorCode, &str)>) {
        let error = error.filter(|_| !self.is_complete);
        let (error, text) = match error {
            Some((code, text)) => (Some(code), text.to_owned()),
            None => (None, String::new()),
        };
        self.begin_closing(
            now,
            Closed {
                error,
                text,
                by_peer: false,
            },
        );
    }

    /// Stops or continues sending data; what is on its way is still repaired when continued.
    pub fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    /// Changes target, minimum, cap or policy from now on.
    pub fn set_limits(&mut self, now: Instant, limits: RateLimits) {
        self.controller.set_limits(now, limits);
        self.pacer.set_rate(now, self.controller.rate());
    }

    /// The limits in force.
    pub fn limits(&self) -> RateLimits {
        self.controller.limits()
    }

    /// The socket refused a datagram of this size: the path carries less (rule W-35).
    pub fn datagram_too_big(&mut self, size: usize) {
        // Datagrams are at most 9,216 bytes.
        self.mtu.on_too_big(u16::try_from(size).unwrap_or(u16::MAX));
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Where data goes, once it is known and validated.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        self.peer.address()
    }

    /// Whether the session is over and nothing more will be sent.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// What the session has done so far.
    pub fn statistics(&self) -> Statistics {
        Statistics {
            loss: self.controller.loss(),
            rtt: self.rtt.smoothed(),
            queueing_delay: self.queueing.current(),
            rate: self.controller.rate(),
            datagram_size: self.mtu.current(),
            in_flight: self.sent.in_flight_bytes(),
            path: self.path_memory(),
            storage_limit: match self.role {
                Role::Sender => self.statistics.storage_limit,
                Role::Receiver => (self.storage_limit != Rate::ZERO).then_some(self.storage_limit),
            },
            ..self.statistics
        }
    }

    /// The first datagram has arrived. The session began when `Accept` left for the client, so a round trip has passed, and
    /// what the client took: a server learns that way whether the path is the one remembered.
    fn recall(&mut self, now: Instant, began: Instant) {
        let measured = now.saturating_duration_since(began);
        let Some(memory) = self.path.take() else {
            return;
        };
        if self.side == Side::Server && memory.initial_rate(measured).is_some() {
            self.rtt = Rtt::new(Some(measured));
            self.controller.remember(measured, memory);
            self.pacer.set_rate(now, self.controller.rate());
        }
    }

    /// What a sender of files has seen of the path, once it has seen enough (protocol §11).
    fn path_memory(&self) -> Option<PathMemory> {
        let is_known = self.role == Role::Sender && self.rtt.samples() >= 2;
        is_known.then(|| PathMemory {
            rate: self.controller.peak(),
            rtt: self.rtt.min(),
        })
    }

    /// Whether the link is still being looked for.
    pub fn is_starting(&self) -> bool {
        self.controller.is_starting()
    }

    fn begin_closing(&mut self, now: Instant, closed: Closed) {
        match self.state {
            State::Closing { .. } | State::Closed => {}
            State::Greeting { .. } | State::Open => {
                self.events.push_back(Event::Closed(closed.clone()));
                let left = match (closed.by_peer, self.leaves && closed.error.is_none()) {
                    // A peer that has closed needs to hear one answer at most.
                    (true, _) => 1,
                    (false, true) => LEAVING_CLOSES,
                    (false, false) => CLOSES,
                };
                self.state = State::Closing {
                    left,
                    next: now,
                    farewell: Vec::new(),
                    closed,
                };
            }
        }
    }

    /// The peer broke the protocol (rule W-25 and others): nothing it says counts any more.
    fn violation(&mut self, now: Instant, text: &str) {
        self.close(now, Some((ErrorCode::Protocol, text)));
    }

    /// Turns the records collected so far into a page.
    fn flush_records(&mut self) {
        if !self.records.is_empty() {
            let page = std::mem::take(&mut self.records);
            self.pages_out.push(page);
        }
    }
}
