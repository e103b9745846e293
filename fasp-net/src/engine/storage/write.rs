//! Files on their way to the disk: partial files for blocks, whole small files, and how each of them ends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::IoSlice;
use std::ops::Range;
use std::time::Instant;

use docroot::PartialHandle;
use fasp_core::{ErrorCode, MAX_SMALL_FILE, RangeSet};
use transfer_spec::ResumePolicy;

use super::decide::{Place, Target};
use super::durable::Progress;
use super::opener::Opener;
use super::output::{Output, Run};
use super::parts::PartWriter;
use super::unseal::{Arrived, Content, Envelope, Received, Unsealer};
use super::verify::{Extent, Present, Verifier, samples};
use super::{Blocks, Settled, SettledResult, StorageEvent, Voice};
use crate::engine::commit::{Commits, Pending};

/// Files open for blocks at once (protocol §12).
const MAX_OPEN: usize = 256;

/// Finished files that the commit thread gets at once, at most.
const HANDED_ON: usize = 64;

/// Pieces of one write, at most; systems take 1,024.
const MAX_SLICES: usize = 512;

/// A file that blocks are written to.
#[derive(Debug)]
struct Open {
    path: Vec<u8>,
    size: u64,
    output: Output,
    /// What was there from before, until it has turned out not to agree.
    held: RangeSet,
}

/// Creates, fills and finishes files.
#[derive(Debug)]
pub(super) struct Writer {
    voice: Voice,
    commits: Option<Commits>,
    /// Only where envelopes are opened.
    unsealer: Option<Unsealer>,
    pub(super) opener: Opener,
    pub(super) verifier: Verifier,
    /// Finished files that the commit thread has not been given.
    finished: Vec<Pending>,
    open: BTreeMap<u32, Open>,
    pub(super) parts: PartWriter,
    /// Wanted by blocks, waiting for a free place.
    waiting: VecDeque<(u32, Target)>,
    /// Small files asked for.
    asked: BTreeMap<u32, Target>,
    /// Numbers of files that were wanted from the start before anybody looked closely (protocol §9.7).
    promised: BTreeSet<u32>,
}

impl Writer {
    pub(super) fn new(
        voice: Voice,
        commits: Commits,
        unsealer: Option<Unsealer>,
        opener: Opener,
        parts: PartWriter,
        promised: BTreeSet<u32>,
    ) -> Self {
        Self {
            verifier: Verifier::new(voice.clone()),
            voice,
            opener,
            parts,
            commits: Some(commits),
            unsealer,
            finished: Vec::new(),
            open: BTreeMap::new(),
            waiting: VecDeque::new(),
            asked: BTreeMap::new(),
            promised,
        }
    }

    /// Wants a listed file: asks for its content or its blocks, now or when there is a place.
    pub(super) fn begin(&mut self, file: u32, target: Target) -> Result<(), docroot::Error> {
        if target.source.size == 0 {
            return self.create(file, target, b"");
        }
        if target.source.size <= MAX_SMALL_FILE {
            self.asked.insert(file, target);
            self.voice.tell(StorageEvent::Want { file });
            return Ok(());
        }
        if self.open.len() >= MAX_OPEN {
            self.waiting.push_back((file, target));
            return Ok(());
        }
        self.open_partial(file, target)
    }

    fn open_partial(&mut self, file: u32, target: Target) -> Result<(), docroot::Error> {
        let Target {
            path,
            source,
            place,
        } = target;
        let size = source.size;
        let (output, held) = match place {
            Place::Sink => (Output::Sink, RangeSet::new()),
            Place::Dir {
                dir,
                name,
                metadata,
                existing,
                plain,
            } => {
                let is_continued = !self.promised.contains(&file);
                let opened = self.opener.open(&dir, &name, source, is_continued)?;
                let output = Output::Partial {
                    partial: opened.partial,
                    progress: opened.progress,
                    metadata,
                    existing,
                    plain,
                    grown: 0,
                };
                (output, opened.held)
            }
        };
        let open = Open {
            path,
            size,
            output,
            held,
        };
        self.ask(file, &open);
        self.open.insert(file, open);
        Ok(())
    }

    /// Asks for what is missing of a file, or first whether what is there agrees.
    fn ask(&mut self, file: u32, open: &Open) {
        let size = open.size;
        let Output::Partial { partial, .. } = &open.output else {
            return self.request(file, size, Vec::new());
        };
        let held = open.held.ranges().to_vec();
        let ranges = match self.opener.resume {
            _ if held.is_empty() => return self.request(file, size, held),
            ResumePolicy::None | ResumePolicy::Attributes => {
                return self.go_on(file, size, held, partial.handle());
            }
            ResumePolicy::SparseChecksum => samples(&held, size),
            ResumePolicy::FullChecksum => held,
        };
        let extent = Extent {
            file,
            base: 0,
            size,
            ranges,
        };
        self.verifier
            .ask(Present::Partial(partial.handle()), extent);
    }

    fn request(&self, file: u32, size: u64, held: Vec<Range<u64>>) {
        self.voice.tell(StorageEvent::Request { file, size, held });
    }

    /// Asks for the rest of a file, and reads what is there meanwhile.
    fn go_on(&mut self, file: u32, size: u64, held: Vec<Range<u64>>, handle: PartialHandle) {
        self.request(file, size, held.clone());
        let extent = Extent {
            file,
            base: 0,
            size,
            ranges: held,
        };
        self.verifier.digest(Present::Partial(handle), extent);
    }

    /// The sender has compared what is there of a file, or says that it has other bytes now. One that has failed
    /// meanwhile needs no answer.
    pub(super) fn checked(&mut self, file: u32, agrees: bool) {
        if !agrees && self.parts.begin_anew(file) {
            return;
        }
        let Some(open) = self.open.get(&file) else {
            return;
        };
        let (size, held) = (open.size, open.held.ranges().to_vec());
        match &open.output {
            Output::Partial { partial, .. } if agrees => {
                let handle = partial.handle();
                self.go_on(file, size, held, handle);
            }
            _ => match self.restart(file) {
                Ok(()) => self.request(file, size, Vec::new()),
                Err(error) => self.fail(file, &error),
            },
        }
    }

    /// The digest of a file did not agree: one that was continued is sent again, others have failed.
    pub(super) fn damaged(&mut self, file: u32) {
        match self
            .open
            .get(&file)
            .map(|open| (open.size, open.held.is_empty()))
        {
            Some((size, false)) => match self.restart(file) {
                Ok(()) => self.voice.tell(StorageEvent::Restart { file, size }),
                Err(error) => self.fail(file, &error),
            },
            None if self.parts.restart(file) => {}
            _ => self.fail(file, &docroot::Error::SourceChanged),
        }
    }

    /// Gives up what is there of a file, and all that claims it.
    fn restart(&mut self, file: u32) -> Result<(), docroot::Error> {
        self.forget_opened(file);
        let Some(open) = self.open.get_mut(&file) else {
            return Ok(());
        };
        open.held = RangeSet::new();
        if let Output::Partial {
            partial, progress, ..
        } = &mut open.output
        {
            partial.restart(open.size)?;
            if let Some(progress) = progress {
                progress.remove(0, open.size, partial.handle());
            }
        }
        Ok(())
    }

    /// Begins the checkpoints that are due.
    pub(super) fn tick(&mut self, now: Instant) {
        let mut failed = Vec::new();
        for (file, open) in &mut self.open {
            if let Some(Err(error)) = open.output.progress().map(|progress| progress.tick(now)) {
                failed.push((*file, error));
            }
        }
        for (file, error) in failed {
            self.fail(file, &error);
        }
        self.parts.tick(now);
    }

    /// Whether a later checkpoint should cover something.
    pub(super) fn is_fresh(&mut self) -> bool {
        let mut outputs = self.open.values_mut().filter_map(|o| o.output.progress());
        outputs.any(|progress| progress.is_fresh()) || self.parts.is_fresh()
    }

    /// The session has ended: what is open stays for the next one (protocol §14.2).
    pub(super) fn end(&mut self) {
        for open in self.open.values_mut() {
            if let Some(Err(error)) = open.output.progress().map(Progress::finish) {
                tracing::debug!(%error, "checkpoint not written");
            }
        }
        self.open.clear();
        self.parts.end();
        if let Some(unsealer) = self.unsealer.take() {
            unsealer.end(true);
        }
        self.finish();
    }

    /// Opens the next waiting file after one was closed.
    fn open_waiting(&mut self) {
        while self.open.len() < MAX_OPEN {
            let Some((file, target)) = self.waiting.pop_front() else {
                return;
            };
            let path = target.path.clone();
            if let Err(error) = self.open_partial(file, target) {
                self.voice.settle(Settled::failed(file, path, &error));
            }
        }
    }

    /// The content of a small file that was asked for.
    pub(super) fn content(
        &mut self,
        file: u32,
        content: &[u8],
    ) -> Result<(), (u32, Vec<u8>, docroot::Error)> {
        let Some(target) = self.asked.remove(&file) else {
            return Ok(());
        };
        let path = target.path.clone();
        if target.source.size != content.len() as u64 {
            return Err((file, path, docroot::Error::SourceChanged));
        }
        self.create(file, target, content)
            .map_err(|error| (file, path, error))
    }

    /// Creates a whole small file.
    pub(super) fn create(
        &mut self,
        file: u32,
        target: Target,
        content: &[u8],
    ) -> Result<(), docroot::Error> {
        let Target {
            path,
            source,
            place,
        } = target;
        let size = source.size;
        let Place::Dir {
            dir,
            name,
            metadata,
            existing,
            plain,
        } = place
        else {
            self.voice.settle(Settled::done(file, path, size));
            return Ok(());
        };
        if let Some(plain) = plain {
            self.unseal(Arrived {
                file,
                path,
                size,
                content: Content::Memory(content.to_vec()),
                metadata,
                plain,
                parts: None,
            });
            return Ok(());
        }
        let finished = dir.create_small(&name, content, &metadata, existing)?;
        self.commit(Pending {
            file,
            path,
            result: SettledResult::done(size),
            finished,
            parts: None,
            opened_from: None,
        });
        Ok(())
    }

    /// Opens an envelope that is there already.
    pub(super) fn open_present(&mut self, file: u32, target: Target) -> Result<(), docroot::Error> {
        let present = match target.open_existing() {
            Ok(present) if present.attributes().size == target.source.size => present,
            _ => return self.begin(file, target),
        };
        let Place::Dir {
            metadata,
            plain: Some(plain),
            ..
        } = target.place
        else {
            // Nothing else is decided about so.
            return Err(docroot::Error::NotFound);
        };
        self.unseal(Arrived {
            file,
            path: target.path,
            size: target.source.size,
            content: Content::File(Envelope::Present(present)),
            metadata,
            plain,
            parts: None,
        });
        Ok(())
    }

    /// What was opened of a file is of no use.
    fn forget_opened(&self, file: u32) {
        if let Some(unsealer) = &self.unsealer {
            unsealer.forget(file);
        }
    }

    /// Hands an envelope to the thread that opens it, which is there where any is to be opened.
    fn unseal(&self, arrived: Arrived) {
        if let Some(unsealer) = &self.unsealer {
            unsealer.arrived(arrived);
        }
    }

    fn commit(&mut self, pending: Pending) {
        self.voice
            .not_kept(&pending.path, pending.finished.not_kept());
        self.finished.push(pending);
        if self.finished.len() >= HANDED_ON {
            self.hand_on();
        }
    }

    /// Hands on what is finished.
    pub(super) fn hand_on(&mut self) {
        if let Some(commits) = &self.commits {
            commits.hand_on(std::mem::take(&mut self.finished));
        }
    }

    /// The sender could not read a file to its end.
    pub(super) fn source_failed(&mut self, file: u32, code: ErrorCode, text: &str) {
        if self.parts.fail(file, code, text) {
            return;
        }
        self.forget_opened(file);
        let path = match (self.open.remove(&file), self.asked.remove(&file)) {
            (Some(open), _) => open.path,
            (None, Some(target)) => target.path,
            (None, None) => match self.waiting.iter().position(|(f, _)| *f == file) {
                Some(at) => self
                    .waiting
                    .remove(at)
                    .map(|(_, t)| t.path)
                    .unwrap_or_default(),
                None => return,
            },
        };
        let result = SettledResult::Failed {
            code,
            text: text.to_owned(),
        };
        self.voice.settle(Settled {
            file,
            path,
            is_further: false,
            result,
        });
        self.open_waiting();
    }

    /// Writes blocks, neighbours together; returns the bytes.
    pub(super) fn write(&mut self, blocks: &[Blocks]) -> u64 {
        let mut slices = Vec::with_capacity(blocks.iter().map(|b| b.writes.len()).sum());
        let mut count = 0;
        let mut run = None;
        for (bytes, write) in blocks
            .iter()
            .flat_map(|b| b.writes.iter().map(|w| (&b.bytes, w)))
        {
            match &mut run {
                Some(Run { file, start, end })
                    if (*file, *end) == (write.file, write.offset) && slices.len() < MAX_SLICES =>
                {
                    *end += write.length as u64;
                }
                run => {
                    let next = Run::of(write);
                    if let Some(run) = run.replace(next) {
                        count += self.write_run(&run, &slices);
                    }
                    slices.clear();
                }
            }
            slices.push(IoSlice::new(&bytes[write.at..write.at + write.length]));
        }
        count + run.map_or(0, |run| self.write_run(&run, &slices))
    }

    fn write_run(&mut self, run: &Run, slices: &[IoSlice<'_>]) -> u64 {
        let Some(open) = self.open.get_mut(&run.file) else {
            return match self.parts.write(run.file, run.start, slices) {
                true => run.end - run.start,
                false => 0,
            };
        };
        let written = run.end - run.start;
        if let Err(error) = open.output.write(slices, run) {
            self.fail(run.file, &error);
        } else if let Some(unsealer) = &self.unsealer
            && let Some(beginning) = open.output.beginning(run.file, open.size, written)
        {
            unsealer.grown(beginning);
        }
        written
    }

    /// Gives up a file that blocks were written to.
    pub(super) fn fail(&mut self, file: u32, error: &docroot::Error) {
        if let Some(open) = self.open.remove(&file) {
            self.forget_opened(file);
            self.voice.settle(Settled::failed(file, open.path, error));
            self.open_waiting();
        } else {
            self.parts.fail(file, error.code(), &error.to_string());
        }
    }

    /// Every byte of a file is written: its final name and its durability are the commit thread's.
    pub(super) fn complete(&mut self, file: u32) {
        let Some(Open {
            path, size, output, ..
        }) = self.open.remove(&file)
        else {
            self.parts
                .complete(file, self.commits.as_ref(), self.unsealer.as_ref());
            return;
        };
        match output {
            Output::Sink => self.voice.settle(Settled::done(file, path, size)),
            Output::Partial {
                partial,
                progress,
                metadata,
                plain: Some(plain),
                ..
            } => self.unseal(Arrived {
                file,
                path,
                size,
                content: Content::File(Envelope::Partial(Received { partial, progress })),
                metadata,
                plain,
                parts: None,
            }),
            Output::Partial {
                partial,
                metadata,
                existing,
                ..
            } => match partial.finish(&metadata, existing) {
                Ok(finished) => self.commit(Pending {
                    file,
                    path,
                    result: SettledResult::done(size),
                    finished,
                    parts: None,
                    opened_from: None,
                }),
                Err(error) => self.voice.settle(Settled::failed(file, path, &error)),
            },
        }
        self.open_waiting();
    }

    /// Ends the other threads once they have done what they were given.
    pub(super) fn finish(&mut self) {
        if let Some(unsealer) = self.unsealer.take() {
            unsealer.end(false);
        }
        self.hand_on();
        self.commits = None;
    }
}
