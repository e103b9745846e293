//! The storage thread of a receiving session: reads pages, decides, creates and writes files.

mod assembly;
pub(crate) mod checkpoint;
mod decide;
mod directories;
mod durable;
mod event;
mod gauge;
mod opener;
mod output;
mod parts;
mod prune;
mod unseal;
mod verify;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use fasp_core::{Attributes, BlockWrite, ErrorCode, Record, Records};
use transfer_spec::{FileRules, OverwritePolicy, Preserve, ResumePolicy, SymlinkPolicy};

pub(crate) use self::assembly::Assembly;
pub(super) use self::assembly::Parts;
use self::assembly::{Part, Size};
use self::decide::{Decider, Decision, Target};
use self::event::Voice;
pub(super) use self::event::{Settled, SettledResult, StorageEvent};
pub(super) use self::gauge::{Gauge, IDLE};
use self::opener::Opener;
use self::parts::PartWriter;
pub(super) use self::unseal::Received;
use self::unseal::Unsealer;
pub(super) use self::verify::digest_of;
use self::verify::{Extent, Present, samples};
use self::write::Writer;
use super::commit::Commits;
use super::destination::Destination;
use crate::Error;
use crate::event::Totals;
use crate::port::Port;
use crate::serve::Creation;

/// Jobs waiting for the thread; the session stops taking datagrams when there are this many.
pub(super) const QUEUE: usize = 128;

/// Buffers with blocks that are written together, at most: what they have in common goes out in one system call.
const TOGETHER: usize = 8;

/// How often the thread looks whether checkpoints are due.
const TICK: Duration = Duration::from_millis(250);

/// What to do about files.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) overwrite: OverwritePolicy,
    /// What is there may be replaced at all.
    pub(crate) may_overwrite: bool,
    pub(crate) resume: ResumePolicy,
    pub(crate) preserve: Preserve,
    pub(crate) symlinks: SymlinkPolicy,
    pub(crate) files: Arc<FileRules>,
    /// What files and directories get besides.
    pub(crate) creation: Creation,
}

/// Work for the thread.
#[derive(Debug)]
pub(super) enum Job {
    /// A page of the sender's.
    Page(Vec<u8>),
    /// Datagrams with blocks.
    Blocks(Blocks),
    /// Every byte of this file has been handed over.
    Complete { file: u32 },
    /// The digest of this file did not agree.
    Damaged { file: u32 },
    /// Every other file has its result: links and directories are left.
    Finish,
}

/// A buffer of datagrams and the blocks in it; their positions are within `bytes`.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) bytes: Vec<u8>,
    pub(super) writes: Vec<BlockWrite>,
}

#[derive(Debug)]
struct Storage {
    decider: Decider,
    /// Results of the page that is being handled.
    settled: Vec<Settled>,
    is_dry_run: bool,
    writer: Writer,
    /// Files that are there with the same attributes, until the sender has compared the content.
    compared: BTreeMap<u32, Target>,
    next_tick: Instant,
    /// Dropped when everything is done.
    _alive: Sender<()>,
    voice: Voice,
    port: Port,
    gauge: Arc<Gauge>,
}

/// Starts the storage and commit threads of a session.
pub(super) fn start(
    destination: Destination,
    rules: Rules,
    port: Port,
    events: Sender<StorageEvent>,
    gauge: Arc<Gauge>,
    assembly: Assembly,
    promised: BTreeSet<u32>,
) -> Result<(Sender<Job>, Receiver<()>), Error> {
    let commits = Commits::start(events.clone())?;
    let (sender, jobs) = bounded(QUEUE);
    let voice = Voice::new(events);
    let directories = assembly.directories().join();
    let parts = PartWriter::new(assembly, voice.clone());
    let opener = Opener::new(rules.resume).map_err(Error::Thread)?;
    let unsealer = match destination.decryption() {
        Some(_) => Some(Unsealer::start(voice.clone(), commits.clone())?),
        None => None,
    };
    let (alive, ended) = bounded(0);
    let mut storage = Storage {
        settled: Vec::new(),
        is_dry_run: rules.files.dry_run,
        decider: Decider::new(destination, rules, directories),
        writer: Writer::new(voice.clone(), commits, unsealer, opener, parts, promised),
        compared: BTreeMap::new(),
        next_tick: Instant::now(),
        _alive: alive,
        voice,
        port,
        gauge,
    };
    thread::Builder::new()
        .name("fasp-storage".into())
        .spawn(move || storage.run(&jobs))
        .map_err(Error::Thread)?;
    Ok((sender, ended))
}

/// A file that failed, with its path.
type Failure = (u32, Vec<u8>, docroot::Error);

impl Storage {
    fn run(&mut self, jobs: &Receiver<Job>) {
        let mut blocks = Vec::with_capacity(TOGETHER);
        loop {
            let mut next = match self.next(jobs) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            while let Some(job) = next.take() {
                next = self.act(job, jobs, &mut blocks);
                self.writer.hand_on();
            }
            if self.gauge.is_asked_for(jobs.len()) {
                self.voice.tell(StorageEvent::Idle);
            }
            let now = Instant::now();
            if now >= self.next_tick {
                self.next_tick = now + TICK;
                self.writer.tick(now);
            }
        }
        self.writer.end();
    }

    /// Waits for a job, but not longer than checkpoints can wait.
    fn next(&mut self, jobs: &Receiver<Job>) -> Result<Job, RecvTimeoutError> {
        if let Ok(job) = jobs.try_recv() {
            return Ok(job);
        }
        match self.writer.is_fresh() {
            true => jobs.recv_timeout(TICK),
            false => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Does one job, with those behind it that can be done together; returns the next if it had to be taken to know.
    fn act(&mut self, job: Job, jobs: &Receiver<Job>, blocks: &mut Vec<Blocks>) -> Option<Job> {
        match job {
            Job::Page(page) => {
                self.on_page(&page);
                self.voice.tell(StorageEvent::PageDone(page.len() as u64));
            }
            Job::Blocks(first) => {
                blocks.push(first);
                let next = more_blocks(jobs, blocks);
                self.write(blocks);
                return next;
            }
            Job::Complete { file } => self.writer.complete(file),
            Job::Damaged { file } => self.writer.damaged(file),
            Job::Finish => self.finish(),
        }
        None
    }

    fn write(&mut self, blocks: &mut Vec<Blocks>) {
        let count = self.writer.write(blocks);
        self.gauge.add(count);
        for Blocks { bytes, .. } in blocks.drain(..) {
            self.port.recycle(bytes);
        }
    }

    fn on_page(&mut self, page: &[u8]) {
        let mut entered: &[u8] = b"";
        let mut listed = Totals::default();
        let mut loose = 0;
        for record in Records::new(page) {
            let Ok(record) = record else {
                self.voice.tell(StorageEvent::Violation("malformed page"));
                return;
            };
            match &record {
                Record::Enter { path } => entered = path,
                Record::Extra(extra) => {
                    self.decider.wish(extra);
                    continue;
                }
                Record::File { size, .. } | Record::Part { size, start: 0, .. } => {
                    listed.add(1, *size);
                }
                // How much more there will be nobody knows.
                Record::Growing { start, length, .. } => {
                    listed.add(u64::from(*start == 0), *length);
                }
                Record::SmallFile { content, .. } => listed.add(1, content.len() as u64),
                Record::Symlink { .. } => listed.add(1, 0),
                Record::Directory { .. }
                | Record::Unlisted { .. }
                | Record::LeftOut { .. }
                | Record::Counted { .. }
                | Record::Prune { .. } => loose += 1,
                _ => {}
            }
            let handled = self.on_record(record, entered);
            self.decider.forget_wish();
            match handled {
                Some(Ok(())) => {}
                Some(Err((file, path, error))) => {
                    self.settled.push(Settled::failed(file, path, &error));
                }
                None => {
                    self.voice.tell(StorageEvent::Violation("malformed page"));
                    return;
                }
            }
        }
        if listed.files + listed.bytes + loose > 0 {
            self.voice.tell(StorageEvent::Listed {
                files: listed.files,
                bytes: listed.bytes,
                loose,
            });
        }
        // Together: a page may name a thousand files that are there already.
        if !self.settled.is_empty() {
            let settled = std::mem::take(&mut self.settled);
            self.voice.tell(StorageEvent::Settled(settled));
        }
    }

    /// Acts on one record; nothing for one that a sender does not send.
    fn on_record(&mut self, record: Record<'_>, entered: &[u8]) -> Option<Result<(), Failure>> {
        match record {
            Record::Enter { .. } => {}
            Record::Directory { path, attributes } => {
                let lost = self.decider.directory(path, attributes);
                self.voice.not_kept(path, lost);
            }
            Record::File {
                file,
                name,
                attributes,
                size,
            } => return Some(self.file(file, join(entered, name), attributes, size)),
            Record::Part { .. } | Record::Growing { .. } => return self.part(&record, entered),
            Record::SmallFile {
                file,
                name,
                attributes,
                content,
            } => return Some(self.small_file(file, join(entered, name), attributes, content)),
            Record::Content { file, content } => return Some(self.writer.content(file, content)),
            Record::Symlink { file, name, target } => {
                return Some(self.symlink(file, join(entered, name), target));
            }
            Record::Digest { file, digest } => {
                self.voice.tell(StorageEvent::Digest { file, digest });
            }
            Record::Checked { file, agrees } => return Some(self.checked(file, agrees)),
            Record::SourceFailed { file, code, text } => {
                if let Some(target) = self.compared.remove(&file) {
                    self.voice
                        .settle(Settled::lost(file, target.path, code, text));
                }
                self.writer.source_failed(file, code, text);
            }
            Record::Unlisted { path, code, text } => self.missing(path, Some(code), text),
            Record::LeftOut { path, text } => {
                // The source has something of this name all the same.
                self.decider.note(path);
                self.missing(path, None, text);
            }
            Record::Counted { files, bytes } => {
                self.voice.tell(StorageEvent::Counted { files, bytes });
            }
            Record::Prune { path } => self.decider.prune(path),
            Record::End { files, loose } => self.voice.tell(StorageEvent::End { files, loose }),
            _ => return None,
        }
        Some(Ok(()))
    }

    fn missing(&self, path: &[u8], code: Option<ErrorCode>, text: &str) {
        self.voice.tell(StorageEvent::Missing {
            path: path.to_vec(),
            code,
            text: text.to_owned(),
        });
    }

    fn file(
        &mut self,
        file: u32,
        path: Vec<u8>,
        attributes: Attributes,
        size: u64,
    ) -> Result<(), Failure> {
        match self.decider.file(&path, attributes, size) {
            Ok(Decision::Take(_)) if self.is_dry_run => {
                self.voice.settle(Settled::done(file, path, size));
                return Ok(());
            }
            Ok(Decision::Take(target)) => {
                self.voice.not_kept(&path, self.decider.lost());
                self.writer.begin(file, target)
            }
            Ok(Decision::Skip) => {
                self.settled.push(Settled::skipped(file, path));
                return Ok(());
            }
            Ok(Decision::Compare(target)) => self.compare(file, target),
            Ok(Decision::Open(target)) => self.writer.open_present(file, target),
            Err(error) => Err(error),
        }
        .map_err(|error| (file, path, error))
    }

    /// Asks whether a file that is there has the content of the source.
    fn compare(&mut self, file: u32, target: Target) -> Result<(), docroot::Error> {
        let size = target.source.size;
        let Ok(present) = target.open_existing() else {
            return self.writer.begin(file, target);
        };
        let whole = 0..size;
        let ranges = match self.writer.opener.resume {
            ResumePolicy::FullChecksum => vec![whole],
            _ => samples(std::slice::from_ref(&whole), size),
        };
        self.compared.insert(file, target);
        let extent = Extent {
            file,
            base: 0,
            size,
            ranges,
        };
        self.writer.verifier.ask(Present::Whole(present), extent);
        Ok(())
    }

    /// The sender has compared.
    fn checked(&mut self, file: u32, agrees: bool) -> Result<(), Failure> {
        let Some(target) = self.compared.remove(&file) else {
            // An answer about a file that has failed meanwhile is late.
            self.writer.checked(file, agrees);
            return Ok(());
        };
        let path = target.path.clone();
        if agrees {
            self.settled.push(Settled::skipped(file, path));
            return Ok(());
        }
        self.writer
            .begin(file, target)
            .map_err(|error| (file, path, error))
    }

    /// A part of a split or growing file; nothing for one that cannot be.
    fn part(&mut self, record: &Record<'_>, entered: &[u8]) -> Option<Result<(), Failure>> {
        let (part, name, attributes) = part_of(record)?;
        let path = join(entered, name);
        let mut last = None;
        if let Size::Grown(_) = part.size {
            self.voice.not_kept(&path, self.decider.lost());
            last = Some(self.decider.file_metadata(attributes));
        }
        // A file that grows is none that is there already.
        let size = match part.size {
            Size::Listed(size) => size,
            Size::Growing | Size::Grown(_) => u64::MAX,
        };
        let decide = || self.decider.file(&path, attributes, size);
        let Writer {
            parts,
            opener,
            verifier,
            ..
        } = &mut self.writer;
        let begun = parts.begin(part, &path, opener, verifier, last, decide);
        begun.ok().map(Ok)
    }

    fn small_file(
        &mut self,
        file: u32,
        path: Vec<u8>,
        attributes: Attributes,
        content: &[u8],
    ) -> Result<(), Failure> {
        if self.is_dry_run {
            // A sender that knows of the dry run asks first.
            return self.file(file, path, attributes, content.len() as u64);
        }
        match self.decider.file(&path, attributes, content.len() as u64) {
            // The content is here already.
            Ok(Decision::Take(target) | Decision::Compare(target) | Decision::Open(target)) => {
                self.voice.not_kept(&path, self.decider.lost());
                self.writer.create(file, target, content)
            }
            Ok(Decision::Skip) => {
                self.settled.push(Settled::skipped(file, path));
                return Ok(());
            }
            Err(error) => Err(error),
        }
        .map_err(|error| (file, path, error))
    }

    fn symlink(&mut self, file: u32, path: Vec<u8>, target: &[u8]) -> Result<(), Failure> {
        match self.decider.symlink(file, &path, target) {
            Ok(true) => self.voice.tell(StorageEvent::Link),
            Ok(false) => self.settled.push(Settled::skipped(file, path)),
            Err(error) => return Err((file, path, error)),
        }
        Ok(())
    }

    /// Links last (rule P-5), then what the directories' own times and modes should be.
    fn finish(&mut self) {
        self.decider.delete_absent(&self.voice);
        for link in self.decider.take_links() {
            let (file, path) = (link.file, link.path());
            self.voice.settle(match self.decider.create_link(&link) {
                Ok(()) => Settled::done(file, path, 0),
                Err(error) => Settled::failed(file, path, &error),
            });
        }
        self.decider.clear_up();
        self.decider.finish_directories(&self.voice);
        self.writer.finish();
        self.voice.tell(StorageEvent::TreeDone);
    }
}

/// The part that a record lists, its name, and what it says of the file.
fn part_of<'a>(record: &Record<'a>) -> Option<(Part, &'a [u8], Attributes)> {
    let (size, name, attributes, (file, whole, start, length)) = match *record {
        Record::Part {
            file,
            whole,
            name,
            attributes,
            size,
            start,
            length,
        } => {
            let place = (file, whole, start, length);
            (Size::Listed(size), name, attributes, place)
        }
        Record::Growing {
            file,
            whole,
            name,
            attributes,
            start,
            length,
            is_last,
        } => {
            let size = match is_last {
                true => Size::Grown(start.checked_add(length)?),
                false => Size::Growing,
            };
            (size, name, attributes, (file, whole, start, length))
        }
        _ => return None,
    };
    let part = Part {
        file,
        whole,
        size,
        start,
        length,
    };
    Some((part, name, attributes))
}

/// Takes what else waits to be written, and returns the job behind it if that is of another kind.
fn more_blocks(jobs: &Receiver<Job>, blocks: &mut Vec<Blocks>) -> Option<Job> {
    while blocks.len() < TOGETHER {
        match jobs.try_recv().ok()? {
            Job::Blocks(next) => blocks.push(next),
            other => return Some(other),
        }
    }
    None
}

pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !directory.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
