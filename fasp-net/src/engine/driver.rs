//! The session thread: joins socket, timers, disk and state machines. It holds no protocol decision.

use std::io;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Select, bounded, unbounded};
use fasp_core::{BlockWrite, Event, Rate, RateLimits, Session, SessionConfig, TransmitBatch};

use super::command::{Command, Handle};
use super::gathered::Gathered;
use super::receiver::{ReceiverOptions, ReceiverProgram};
use super::reporter::Reporter;
use super::sender::{SenderOptions, SenderProgram};
use crate::Error;
use crate::port::{Inbound, Port, Registration};

/// Buffers of datagrams worked through before anything is sent.
const INPUT_ROUND: usize = 16;
/// Batches sent before anything is received.
const OUTPUT_ROUND: usize = 16;
/// Longest sleep, whatever the timers say.
const MAX_WAIT: Duration = Duration::from_millis(500);
/// A sender sleeps through waits up to this one, which are its pacer's: watching its channels meanwhile costs more than
/// what they bring is worth.
const SHORT_WAIT: Duration = Duration::from_micros(600);
/// How late the kernel may wake the thread: pacing wants it sharp.
const TIMER_SLACK_NANOS: u64 = 10_000;

/// Everything a session thread starts with.
#[derive(Debug)]
pub(crate) struct Spawn {
    pub(crate) port: Port,
    pub(crate) registration: Registration,
    pub(crate) config: SessionConfig,
    pub(crate) work: Work,
}

/// What the session does.
#[derive(Debug)]
pub(crate) enum Work {
    Send(SenderOptions),
    Receive(ReceiverOptions),
}

/// Starts a session's threads.
pub(crate) fn spawn(spawn: Spawn) -> Result<Handle, Error> {
    let (commands, command_receiver) = bounded(64);
    let (report_sender, reports) = unbounded();
    let Spawn {
        port,
        registration,
        mut config,
        work,
    } = spawn;
    // A clock before 1970 takes part in nobody's drains.
    config.time_of_day = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let now = Instant::now();
    let program = match work {
        Work::Send(options) => Program::Sender(SenderProgram::new(options, report_sender.clone())?),
        Work::Receive(options) => Program::Receiver(ReceiverProgram::new(
            options,
            port.clone(),
            now,
            report_sender.clone(),
        )?),
    };
    let cap = config.limits.cap;
    let mut driver = Driver {
        session: Session::new(now, config),
        batch: TransmitBatch::new(port.max_segments()),
        port,
        registration,
        commands: command_receiver,
        program,
        reporter: Reporter::new(report_sender, now),
        writes: Vec::new(),
        gathered: Gathered::default(),
        limited: false,
        cap,
        error: None,
        by_peer: false,
    };
    thread::Builder::new()
        .name("fasp-session".into())
        .spawn(move || {
            let slack = std::num::NonZeroU64::new(TIMER_SLACK_NANOS);
            // Without it pacing is a little coarser.
            rustix::thread::set_current_timer_slack(slack).ok();
            driver.run();
            driver.hand_over();
            let is_whole = driver.error.is_none();
            match &mut driver.program {
                Program::Sender(sender) => sender.end(is_whole),
                Program::Receiver(receiver) => receiver.end(),
            }
            let statistics = driver.session.statistics();
            driver
                .reporter
                .finish(Instant::now(), &statistics, driver.error, driver.by_peer);
        })
        .map_err(Error::Thread)?;
    Ok(Handle { commands, reports })
}

#[derive(Debug)]
enum Program {
    Sender(SenderProgram),
    Receiver(ReceiverProgram),
}

#[derive(Debug)]
struct Driver {
    session: Session,
    port: Port,
    registration: Registration,
    commands: Receiver<Command>,
    program: Program,
    reporter: Reporter,
    batch: TransmitBatch,
    writes: Vec<BlockWrite>,
    /// Blocks that the storage has not been given.
    gathered: Gathered,
    /// The last transmission round ended because of its limit, not for lack of data.
    limited: bool,
    /// The highest rate that was granted.
    cap: Rate,
    error: Option<(fasp_core::ErrorCode, String)>,
    by_peer: bool,
}

impl Driver {
    fn run(&mut self) {
        let now = Instant::now();
        match &mut self.program {
            Program::Sender(sender) => sender.begin(now, &mut self.session, &mut self.reporter),
            Program::Receiver(receiver) => {
                receiver.begin(&mut self.session, &mut self.reporter);
            }
        }
        while !self.session.is_closed() {
            let received = self.receive();
            let now = Instant::now();
            let commanded = self.obey(now);
            self.session.handle_timeout(now);
            self.events();
            let worked = match &mut self.program {
                Program::Sender(sender) => sender.poll(now, &mut self.session, &mut self.reporter),
                Program::Receiver(receiver) => {
                    receiver.poll(now, &mut self.session, &mut self.reporter)
                }
            };
            if self.gathered.is_due(now) {
                self.hand_over();
            }
            self.transmit();
            self.reporter.tick(now, || self.session.statistics());
            if !(received || commanded || worked || self.limited) {
                self.wait();
            }
        }
    }

    /// Takes datagrams from the port; false when there were none.
    fn receive(&mut self) -> bool {
        let mut any = false;
        for _ in 0..INPUT_ROUND {
            if !self.has_room() {
                return any;
            }
            let Some(inbound) = self.registration.try_receive() else {
                return any;
            };
            any = true;
            self.ingest(inbound);
            self.events();
        }
        any
    }

    fn has_room(&self) -> bool {
        match &self.program {
            Program::Sender(_) => true,
            Program::Receiver(receiver) => receiver.has_room(),
        }
    }

    fn ingest(&mut self, inbound: Inbound) {
        let Inbound {
            from,
            at,
            mut bytes,
            length,
            stride,
            congestion_mark,
        } = inbound;
        let mut start = 0;
        for datagram in bytes[..length].chunks_mut(stride) {
            let before = self.writes.len();
            self.session
                .handle_datagram(at, from, congestion_mark, datagram, &mut self.writes);
            for write in &mut self.writes[before..] {
                write.at += start;
            }
            start += datagram.len();
            self.settle_first_page();
        }
        match &self.program {
            Program::Receiver(_) if !self.writes.is_empty() && Gathered::takes(length) => {
                self.gathered.add(at, &bytes[..length], &mut self.writes);
            }
            Program::Receiver(receiver) if !self.writes.is_empty() => {
                if let Some((bytes, writes)) = self.gathered.take() {
                    receiver.store(bytes, writes);
                }
                let next = Vec::with_capacity(self.writes.len());
                receiver.store(bytes, std::mem::replace(&mut self.writes, next));
            }
            _ => self.port.recycle(bytes),
        }
    }

    /// Gives the storage what has gathered.
    fn hand_over(&mut self) {
        if let Program::Receiver(receiver) = &self.program
            && let Some((bytes, writes)) = self.gathered.take()
        {
            receiver.store(bytes, writes);
        }
    }

    /// What else arrived with the first datagram may belong to files of the first page.
    fn settle_first_page(&mut self) {
        let is_pending =
            matches!(&self.program, Program::Receiver(receiver) if receiver.has_first_page());
        if is_pending {
            self.events();
            if let Program::Receiver(receiver) = &mut self.program {
                receiver.settle_first_page(&mut self.session, &mut self.reporter);
            }
        }
    }

    fn events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match &event {
                Event::Connected => self.reporter.connected(),
                Event::Closed(closed) => {
                    self.error = closed.error.map(|code| (code, closed.text.clone()));
                    self.by_peer = closed.by_peer;
                }
                _ => {}
            }
            // The storage hears of a file's end behind its blocks.
            self.hand_over();
            match &mut self.program {
                Program::Sender(sender) => {
                    sender.on_event(&mut self.session, &mut self.reporter, event);
                }
                Program::Receiver(receiver) => receiver.on_event(event),
            }
        }
    }

    fn obey(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Ok(command) = self.commands.try_recv() {
            any = true;
            match command {
                Command::Pause(paused) => self.session.set_paused(paused),
                Command::Rates {
                    target,
                    min,
                    policy,
                } => {
                    let limits = self.session.limits();
                    let limits = RateLimits {
                        target: target.or(limits.target),
                        min: min.unwrap_or(limits.min),
                        policy: policy.unwrap_or(limits.policy),
                        ..limits
                    };
                    self.session.set_limits(now, limits);
                    self.reporter.limits(limits);
                }
                Command::Limit(limit) => self.limit(now, limit),
                Command::Close => self.session.close(now, None),
                Command::Abort { code, message } => self.session.close(now, Some((code, &message))),
            }
        }
        any
    }

    /// Keeps the session below a rate that others decide while it runs.
    fn limit(&mut self, now: Instant, limit: Option<Rate>) {
        match &mut self.program {
            Program::Sender(_) => {
                let limits = RateLimits {
                    cap: limit.map_or(self.cap, |limit| limit.min(self.cap)),
                    ..self.session.limits()
                };
                self.session.set_limits(now, limits);
            }
            Program::Receiver(receiver) => receiver.set_limit(&mut self.session, limit),
        }
    }

    fn transmit(&mut self) {
        self.limited = false;
        for _ in 0..OUTPUT_ROUND {
            if !self.session.poll_transmit(Instant::now(), &mut self.batch) {
                return;
            }
            if let Program::Sender(sender) = &mut self.program {
                sender.fill(&mut self.session, &mut self.batch);
            }
            self.session.seal(Instant::now(), &mut self.batch);
            if let Err(error) = self.port.send(&self.batch) {
                self.on_send_error(&error);
            }
            self.events();
        }
        self.limited = true;
    }

    fn on_send_error(&mut self, error: &io::Error) {
        if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) {
            self.session.datagram_too_big(self.batch.segment_size());
        } else {
            // A datagram that did not leave is a lost datagram; time-outs tell when none leaves any more.
            tracing::debug!(%error, "datagrams were not sent");
        }
    }

    /// Sleeps until something arrives or a timer is due.
    fn wait(&self) {
        let now = Instant::now();
        let due = self
            .session
            .poll_timeout()
            .unwrap_or(now)
            .min(self.reporter.next_tick());
        let due = self.gathered.due().map_or(due, |at| due.min(at));
        let timeout = due.saturating_duration_since(now).min(MAX_WAIT);
        if timeout.is_zero() {
            return;
        }
        if timeout <= SHORT_WAIT && matches!(self.program, Program::Sender(_)) {
            thread::sleep(timeout);
            return;
        }
        let mut select = Select::new();
        select.recv(&self.commands);
        if self.has_room() {
            select.recv(self.registration.queue());
        }
        match &self.program {
            Program::Sender(sender) => sender.wait_for(&self.session, &mut select),
            Program::Receiver(receiver) => {
                select.recv(receiver.wakes());
            }
        }
        // Whatever woke the thread is found by the next round.
        select.ready_timeout(timeout).ok();
    }
}
