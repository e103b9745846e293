//! Files on their way to the disk: partial files for blocks, whole small files, and how each of them ends.

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;

use crossbeam_channel::Sender;
use docroot::{Existing, Metadata, Partial, PartialOptions};
use fasp_core::{BlockWrite, ErrorCode, MAX_SMALL_FILE};

use super::decide::{Place, Target};
use super::parts::PartWriter;
use super::{Blocks, Settled, SettledResult, StorageEvent, Voice};
use crate::engine::commit::Pending;

/// Files open for blocks at once (protocol §12).
const MAX_OPEN: usize = 256;

/// Pieces of one write, at most; systems take 1,024.
const MAX_SLICES: usize = 512;

/// A file that blocks are written to.
#[derive(Debug)]
struct Open {
    path: Vec<u8>,
    size: u64,
    output: Output,
}

/// Where the bytes of a file go.
#[derive(Debug)]
enum Output {
    Partial {
        partial: Partial,
        metadata: Metadata,
        existing: Existing,
    },
    Sink,
}

/// Creates, fills and finishes files.
#[derive(Debug)]
pub(super) struct Writer {
    voice: Voice,
    commits: Option<Sender<Pending>>,
    open: BTreeMap<u32, Open>,
    pub(super) parts: PartWriter,
    /// Wanted by blocks, waiting for a free place.
    waiting: VecDeque<(u32, Target)>,
    /// Small files asked for.
    asked: BTreeMap<u32, Target>,
}

impl Writer {
    pub(super) fn new(voice: Voice, commits: Sender<Pending>, parts: PartWriter) -> Self {
        Self {
            voice,
            parts,
            commits: Some(commits),
            open: BTreeMap::new(),
            waiting: VecDeque::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Wants a listed file: asks for its content or its blocks, now or when there is a place.
    pub(super) fn begin(&mut self, file: u32, target: Target) -> Result<(), docroot::Error> {
        if target.size == 0 {
            return self.create(file, target, b"");
        }
        if target.size <= MAX_SMALL_FILE {
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
        let Target { path, size, place } = target;
        let output = match place {
            Place::Sink => Output::Sink,
            Place::Dir {
                dir,
                name,
                metadata,
                existing,
            } => Output::Partial {
                partial: dir.create_partial(&name, &PartialOptions::default().size_hint(size))?,
                metadata,
                existing,
            },
        };
        self.open.insert(file, Open { path, size, output });
        self.voice.tell(StorageEvent::Request { file, size });
        Ok(())
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
        if target.size != content.len() as u64 {
            return Err((file, path, docroot::Error::SourceChanged));
        }
        self.create(file, target, content)
            .map_err(|error| (file, path, error))
    }

    /// Creates a whole small file.
    pub(super) fn create(
        &self,
        file: u32,
        target: Target,
        content: &[u8],
    ) -> Result<(), docroot::Error> {
        let Target { path, size, place } = target;
        let Place::Dir {
            dir,
            name,
            metadata,
            existing,
        } = place
        else {
            self.voice.settle(Settled::done(file, path, size));
            return Ok(());
        };
        let finished = dir.create_small(&name, content, &metadata, existing)?;
        self.commit(Pending {
            file,
            path,
            size,
            finished,
            parts: None,
        });
        Ok(())
    }

    fn commit(&self, pending: Pending) {
        if let Some(commits) = &self.commits {
            // The commit thread lives as long as this sender.
            commits.send(pending).ok();
        }
    }

    /// The sender could not read a file to its end.
    pub(super) fn source_failed(&mut self, file: u32, code: ErrorCode, text: &str) {
        if self.parts.fail(file, code, text) {
            return;
        }
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
        let Some(open) = self.open.get(&run.file) else {
            return match self.parts.write(run.file, run.start, slices) {
                true => run.end - run.start,
                false => 0,
            };
        };
        if let Output::Partial { partial, .. } = &open.output
            && let Err(error) = partial.write_vectored_at(slices, run.start)
        {
            self.fail(run.file, &error);
        }
        run.end - run.start
    }

    /// Gives up a file that blocks were written to.
    pub(super) fn fail(&mut self, file: u32, error: &docroot::Error) {
        if let Some(open) = self.open.remove(&file) {
            self.voice.settle(Settled::failed(file, open.path, error));
            self.open_waiting();
        } else {
            self.parts.fail(file, error.code(), &error.to_string());
        }
    }

    /// Every byte of a file is written: its final name and its durability are the commit thread's.
    pub(super) fn complete(&mut self, file: u32) {
        let Some(Open { path, size, output }) = self.open.remove(&file) else {
            self.parts.complete(file, self.commits.as_ref());
            return;
        };
        match output {
            Output::Sink => self.voice.settle(Settled::done(file, path, size)),
            Output::Partial {
                partial,
                metadata,
                existing,
            } => match partial.finish(&metadata, existing) {
                Ok(finished) => self.commit(Pending {
                    file,
                    path,
                    size,
                    finished,
                    parts: None,
                }),
                Err(error) => self.voice.settle(Settled::failed(file, path, &error)),
            },
        }
        self.open_waiting();
    }

    /// Ends the commit thread once it has done what it was given.
    pub(super) fn finish(&mut self) {
        self.commits = None;
    }
}

/// Blocks that follow each other in a file.
#[derive(Debug)]
struct Run {
    file: u32,
    start: u64,
    end: u64,
}

impl Run {
    fn of(write: &BlockWrite) -> Self {
        Self {
            file: write.file,
            start: write.offset,
            end: write.offset + write.length as u64,
        }
    }
}
