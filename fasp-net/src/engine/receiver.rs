//! The receiving program: hands pages and blocks to the storage thread, and its results to the sender.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use fasp_core::{BlockWrite, ErrorCode, Event, Rate, Record, Session, Totals};
use transfer_spec::{FileChecksum, FileRules};

use super::command::Report;
use super::decryption::{plain_name, plain_place};
use super::destination::Destination;
use super::finisher::{Arrived, Finisher};
use super::lister::left_out;
use super::origin::Root;
use super::reporter::Reporter;
use super::storage::{self, Assembly, Blocks, Gauge, IDLE, Job, QUEUE, Rules};
use super::storage::{Settled, SettledResult, StorageEvent};
use crate::Error;
use crate::event::ShownText;
use crate::port::Port;

/// Jobs that may wait before the sender is told what the storage takes.
const BUSY: usize = QUEUE / 2;
/// The least that any storage is taken to do.
const SLOWEST: Rate = Rate::from_kbps(1000);
/// How often the storage's rate is measured.
const MEASURE: Duration = Duration::from_millis(200);

/// How long the first page may take once datagrams have arrived: none is taken in meanwhile.
const FIRST_PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the end of a session waits for what is there to be made durable: within the five seconds that a program that
/// is asked to stop has (D-13).
const FINISH_TIMEOUT: Duration = Duration::from_secs(4);

const TOO_MANY: (ErrorCode, &str) = (ErrorCode::FileTableOverflow, "too many files at once");

/// How a session receives.
#[derive(Debug)]
pub(crate) struct ReceiverOptions {
    pub(crate) destination: Destination,
    pub(crate) rules: Rules,
    pub(crate) first_page: FirstPage,
    /// The files in it that were wanted at once.
    pub(crate) promised: BTreeSet<u32>,
    /// The split files of the transfer.
    pub(crate) assembly: Assembly,
}

/// The page that the control channel carried (protocol §9.7).
#[derive(Debug)]
pub(crate) enum FirstPage {
    /// To be handled now.
    AtOnce(Vec<u8>),
    /// To be handled when the first datagram shows that the other side is there (protocol §2.5).
    Held(Vec<u8>),
    /// With the storage.
    Working,
    /// There was none, or it has been handled.
    Done,
}

/// What a session thread does when it receives files.
#[derive(Debug)]
pub(super) struct ReceiverProgram {
    jobs: Sender<Job>,
    /// Closed when the storage has done everything, behind the last job.
    ended: Receiver<()>,
    events: Receiver<StorageEvent>,
    gauge: Arc<Gauge>,
    /// Files that have to get a result, and records that have none, once the list is complete.
    expected: Option<(u64, u64)>,
    /// Records without a number that have been handled.
    loose: u64,
    settled: u64,
    links: u64,
    first_page: FirstPage,
    promised: BTreeSet<u32>,
    is_finishing: bool,
    is_complete: bool,
    /// Bytes of pages done with.
    pages_done: u64,
    destination: Destination,
    finisher: Option<Finisher>,
    is_dry_run: bool,
    measured_at: Instant,
    measured: u64,
    /// What the sender is kept below.
    limit: Option<Rate>,
}

/// Files with neighbouring numbers that are done, or that are skipped.
struct Run {
    first: u32,
    count: u32,
    is_skipped: bool,
}

impl Run {
    fn add(run: &mut Option<Self>, session: &mut Session, file: u32, is_skipped: bool) {
        match run {
            Some(run) if run.first + run.count == file && run.is_skipped == is_skipped => {
                run.count += 1;
            }
            other => {
                let next = Self {
                    first: file,
                    count: 1,
                    is_skipped,
                };
                if let Some(run) = other.replace(next) {
                    run.reply(session);
                }
            }
        }
    }

    fn reply(&self, session: &mut Session) {
        let Self { first, count, .. } = *self;
        session.reply(&match self.is_skipped {
            true => Record::Skip { first, count },
            false => Record::Done { first, count },
        });
    }
}

impl ReceiverProgram {
    pub(super) fn new(
        options: ReceiverOptions,
        port: Port,
        now: Instant,
        reports: Sender<Report>,
    ) -> Result<Self, Error> {
        let (sender, events) = unbounded();
        let gauge = Arc::new(Gauge::default());
        let destination = options.destination.clone();
        let FileRules {
            checksum, dry_run, ..
        } = *options.rules.files;
        let finisher = match checksum {
            FileChecksum::None => None,
            _ if dry_run => None,
            checksum => Some(Finisher::start(checksum, None, reports)?),
        };
        let (jobs, ended) = storage::start(
            options.destination,
            options.rules,
            port,
            sender,
            Arc::clone(&gauge),
            options.assembly,
            options.promised.clone(),
        )?;
        Ok(Self {
            jobs,
            ended,
            events,
            gauge,
            expected: None,
            settled: 0,
            loose: 0,
            links: 0,
            first_page: options.first_page,
            promised: options.promised,
            is_finishing: false,
            is_complete: false,
            pages_done: 0,
            destination,
            finisher,
            is_dry_run: dry_run,
            measured_at: now,
            measured: 0,
            limit: None,
        })
    }

    /// What to wait for besides the network.
    pub(super) fn wakes(&self) -> &Receiver<StorageEvent> {
        &self.events
    }

    /// Whether datagrams can be taken: there is room for what they may bring.
    pub(super) fn has_room(&self) -> bool {
        let has_room = || self.jobs.len() + 8 < QUEUE;
        has_room() || {
            // The storage may have caught up before it was asked.
            self.gauge.ask();
            has_room()
        }
    }

    /// Takes up what the control channel has carried already.
    pub(super) fn begin(&mut self, session: &mut Session, reporter: &mut Reporter) {
        session.promise_files(std::mem::take(&mut self.promised));
        if self.is_dry_run {
            reporter.set_dry_run();
        }
        match std::mem::replace(&mut self.first_page, FirstPage::Done) {
            FirstPage::AtOnce(page) => self.handle_first_page(page),
            other => self.first_page = other,
        }
    }

    fn handle_first_page(&mut self, page: Vec<u8>) {
        if !page.is_empty() {
            self.first_page = FirstPage::Working;
            self.job(Job::Page(page));
        }
    }

    /// Whether the first page has not been handled yet.
    pub(super) fn has_first_page(&self) -> bool {
        !matches!(self.first_page, FirstPage::Done)
    }

    /// Waits until the first page has been handled, if datagrams have to wait for that: blocks of files that the sender
    /// was told to send must not arrive before they are expected.
    pub(super) fn settle_first_page(&mut self, session: &mut Session, reporter: &mut Reporter) {
        let deadline = Instant::now() + FIRST_PAGE_TIMEOUT;
        while matches!(self.first_page, FirstPage::Working) {
            let event = self.events.recv_deadline(deadline);
            let now = Instant::now();
            match event {
                Ok(event) => self.on_storage(now, session, reporter, event),
                Err(_) => {
                    let text = "the storage takes too long to begin";
                    session.close(now, Some((ErrorCode::Stalled, text)));
                    self.first_page = FirstPage::Done;
                }
            }
        }
    }

    /// Hands datagrams with new blocks to the storage.
    pub(super) fn store(&self, bytes: Vec<u8>, writes: Vec<BlockWrite>) {
        self.job(Job::Blocks(Blocks { bytes, writes }));
    }

    fn job(&self, job: Job) {
        // The thread lives as long as this sender; the room was checked before the datagrams were taken.
        self.jobs.send(job).ok();
    }

    pub(super) fn on_event(&mut self, event: Event) {
        match event {
            Event::Connected => match std::mem::replace(&mut self.first_page, FirstPage::Done) {
                FirstPage::Held(page) => self.handle_first_page(page),
                other => self.first_page = other,
            },
            Event::Page(page) => self.job(Job::Page(page)),
            Event::FileComplete { file } => self.job(Job::Complete { file }),
            Event::FileDamaged { file } => self.job(Job::Damaged { file }),
            _ => {}
        }
    }

    /// Acts on what the storage says; true when there was something.
    pub(super) fn poll(
        &mut self,
        now: Instant,
        session: &mut Session,
        reporter: &mut Reporter,
    ) -> bool {
        let mut any = false;
        while let Ok(event) = self.events.try_recv() {
            any = true;
            self.on_storage(now, session, reporter, event);
        }
        self.measure(now, session);
        any
    }

    fn on_storage(
        &mut self,
        now: Instant,
        session: &mut Session,
        reporter: &mut Reporter,
        event: StorageEvent,
    ) {
        match event {
            StorageEvent::Request { file, size, held } => {
                if !session.request_file(file, size, &held) {
                    session.close(now, Some(TOO_MANY));
                }
            }
            StorageEvent::Present { file, digest } => session.present_digest(file, digest),
            StorageEvent::Check {
                file,
                ranges,
                digest,
            } => session.reply(&Record::Check {
                file,
                ranges,
                digest,
            }),
            StorageEvent::Restart { file, size } => {
                if !session.restart_file(file, size) {
                    session.close(now, Some(TOO_MANY));
                }
            }
            StorageEvent::Want { file } => session.reply(&Record::Want {
                first: file,
                count: 1,
            }),
            StorageEvent::Digest { file, digest } => session.file_digest(file, digest),
            StorageEvent::Listed {
                files,
                bytes,
                loose,
            } => {
                self.loose = self.loose.saturating_add(loose);
                if files > 0 {
                    reporter.listed(files, bytes, false);
                }
            }
            StorageEvent::Counted { files, bytes } => reporter.counted(files, bytes),
            StorageEvent::Deleted { path } => {
                reporter.deleted(&path);
                session.reply(&Record::Deleted { path: &path });
            }
            StorageEvent::NotKept { path, what } => {
                reporter.not_kept(&path, what);
                session.reply(&Record::NotKept { path: &path, what });
            }
            StorageEvent::Settled(settled) => self.on_settled(session, reporter, settled),
            StorageEvent::Missing { path, code, text } => match code {
                Some(code) => reporter.failed(ShownText::from_bytes(&path), code, &text),
                None => reporter.notice(&left_out(&path, &text)),
            },
            StorageEvent::Link => self.links += 1,
            StorageEvent::End { files, loose } => {
                self.expected = Some((u64::from(files), u64::from(loose)));
                reporter.listed(0, 0, true);
            }
            StorageEvent::PageDone(bytes) => {
                self.pages_done += bytes;
                if matches!(self.first_page, FirstPage::Working) {
                    // Pages are handled in order, and the session never held this one.
                    self.first_page = FirstPage::Done;
                } else {
                    session.page_consumed(bytes);
                }
            }
            // Waking up was the point.
            StorageEvent::Idle => {}
            StorageEvent::TreeDone => self.is_complete = true,
            StorageEvent::Violation(text) => {
                session.close(now, Some((ErrorCode::Protocol, text)));
            }
        }
        if let Some((expected, loose)) = self.expected {
            let is_handled = self.settled + self.links >= expected && self.loose >= loose;
            if is_handled && !self.is_finishing {
                self.is_finishing = true;
                self.job(Job::Finish);
            }
            if self.is_complete && self.settled >= expected {
                self.is_complete = false;
                let (done, skipped, failed, bytes) = reporter.counts();
                session.complete(Totals {
                    done,
                    skipped,
                    failed,
                    bytes,
                });
            }
        }
    }

    fn on_settled(
        &mut self,
        session: &mut Session,
        reporter: &mut Reporter,
        settled: Vec<Settled>,
    ) {
        // Neighbouring numbers with one result share a record.
        let mut run: Option<Run> = None;
        for Settled {
            file,
            path,
            is_further,
            result,
        } in settled
        {
            self.settled += 1;
            if self.is_finishing {
                self.links = self.links.saturating_sub(1);
            }
            session.forget_file(file);
            match result {
                SettledResult::Done { size, plain_len } => {
                    if !is_further {
                        self.tell_done(reporter, path, size, plain_len);
                    }
                    Run::add(&mut run, session, file, false);
                }
                SettledResult::Skipped => {
                    if !is_further {
                        reporter.skipped(&path, "the same file is there already");
                    }
                    Run::add(&mut run, session, file, true);
                }
                SettledResult::Failed { code, text } => {
                    if !is_further {
                        reporter.failed(ShownText::from_bytes(&path), code, &text);
                    }
                    session.reply(&Record::Failed {
                        file,
                        code,
                        text: &text,
                    });
                }
            }
        }
        if let Some(run) = run {
            run.reply(session);
        }
    }

    /// A file of the list has its name; `plain_len` is the length of one that came as an envelope and was opened.
    fn tell_done(&self, reporter: &mut Reporter, path: Vec<u8>, size: u64, plain_len: Option<u64>) {
        let shown = match plain_len.and_then(|_| plain_name(&path)) {
            Some(plain) => plain.to_vec(),
            None => path.clone(),
        };
        reporter.count_done(size);
        let size = plain_len.unwrap_or(size);
        let Some(finisher) = &self.finisher else {
            reporter.tell_done(&shown, size);
            return;
        };
        let place = match &self.destination {
            // Links come last.
            Destination::Tree(tree) if !self.is_finishing => tree
                .place(&path)
                .and_then(|place| match plain_len {
                    Some(_) => plain_place(place),
                    None => Ok(place),
                })
                .ok()
                .map(|place| (Root::Open(tree.root().clone()), place)),
            _ => None,
        };
        finisher.arrived(Arrived {
            path: shown,
            size,
            place,
            original: None,
            is_skipped: false,
        });
    }

    /// The session is over: waits until what is there of its files is durable and can be continued (protocol §14.2), and
    /// for the checksums of what has arrived.
    pub(super) fn end(&mut self) {
        // The storage ends behind the last job when nobody has its queue any more.
        self.jobs = bounded(0).0;
        // Nothing is sent here: this waits for the other end to be dropped.
        self.ended.recv_timeout(FINISH_TIMEOUT).ok();
        if let Some(finisher) = self.finisher.take() {
            finisher.end(false);
        }
    }

    /// Tells the sender what the storage takes while its queue is long (protocol §6.3).
    fn measure(&mut self, now: Instant, session: &mut Session) {
        let waiting = self.jobs.len();
        if waiting < IDLE {
            session.set_storage_rate(self.limit);
        }
        let elapsed = now.saturating_duration_since(self.measured_at);
        if elapsed < MEASURE {
            return;
        }
        let written = self.pages_done + self.gauge.written();
        let drained = Rate::from_bytes_in(written - self.measured, elapsed);
        self.measured_at = now;
        self.measured = written;
        if waiting >= BUSY {
            self.gauge.ask();
            let storage = drained.scaled(0.9).max(SLOWEST);
            session.set_storage_rate(Some(self.limit.map_or(storage, |limit| limit.min(storage))));
        }
    }

    /// Keeps the sender below a rate (protocol §6.3).
    pub(super) fn set_limit(&mut self, session: &mut Session, limit: Option<Rate>) {
        self.limit = limit;
        session.set_storage_rate(limit);
    }
}
