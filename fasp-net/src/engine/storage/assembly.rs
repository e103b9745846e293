//! Files that arrive in parts: from several sessions of a transfer (protocol §13.3), or while they are written (§13.6).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::IoSlice;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use docroot::{Existing, Metadata, Partial, PartialHandle};
use fasp_core::{ErrorCode, RangeSet};

use super::decide::{Decision, Place, Plain, Target};
use super::directories::Directories;
use super::durable::Progress;
use super::opener::{Opened, Opener};
use super::unseal::{Arrived, Content, Envelope, Received};
use super::{Settled, SettledResult, Voice};
use crate::engine::commit::Pending;

/// Split files begun and not finished (protocol §12).
const MAX_WHOLES: usize = 256;
/// Parts without a result (protocol §12).
const MAX_PARTS: usize = 65_536;

/// The split files of a transfer, and its directories. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Assembly {
    wholes: Arc<Mutex<BTreeMap<u32, Whole>>>,
    directories: Directories,
}

/// What a part says of the size of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// Every part of a split file says the same.
    Listed(u64),
    /// It is still being written.
    Growing,
    /// It was being written, and this is where it ended.
    Grown(u64),
}

impl Size {
    const fn known(self) -> Option<u64> {
        match self {
            Self::Listed(size) | Self::Grown(size) => Some(size),
            Self::Growing => None,
        }
    }

    /// What is known of a file by two of its parts; nothing when they contradict each other.
    fn and(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Listed(a), Self::Listed(b)) => (a == b).then_some(self),
            (Self::Growing, Self::Growing | Self::Grown(_)) => Some(other),
            (Self::Grown(_), Self::Growing) => Some(self),
            // It ends once.
            _ => None,
        }
    }
}

/// One file that comes in parts.
#[derive(Debug)]
struct Whole {
    path: Vec<u8>,
    size: Size,
    /// The parts that were listed.
    listed: RangeSet,
    /// Bytes of the parts that are complete.
    complete: u64,
    state: State,
    /// Parts that wait for the file's result.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
enum State {
    Open {
        output: Arc<Output>,
        metadata: Metadata,
        existing: Existing,
        /// What it is opened into, if it is an envelope that is to be.
        plain: Option<Plain>,
    },
    /// The commit thread has it, or the one that opens envelopes.
    Finished,
    Skipped,
    Failed {
        code: ErrorCode,
        text: String,
    },
}

/// Where the bytes of such a file go: shared by the sessions that write them.
#[derive(Debug)]
pub(super) struct Output {
    /// Nothing discards.
    partial: Option<Partial>,
    /// Nothing at level 0.
    progress: Option<Mutex<Progress>>,
    /// What was there from before.
    held: RangeSet,
    /// The file has its result.
    is_settled: AtomicBool,
}

impl Output {
    pub(super) fn write(
        &self,
        slices: &[IoSlice<'_>],
        start: u64,
        end: u64,
    ) -> Result<(), docroot::Error> {
        match &self.partial {
            Some(partial) if !self.is_settled() => {
                self.with_progress(|progress| progress.make_room(end - start))?;
                partial.write_vectored_at(slices, start)?;
                self.with_progress(|progress| progress.on_written(start, end))
            }
            _ => Ok(()),
        }
    }

    /// Begins a checkpoint that has been due for some time.
    pub(super) fn tick(&self, now: Instant) -> Result<(), docroot::Error> {
        self.with_progress(|progress| progress.tick(now))
    }

    /// Whether a later checkpoint should cover something.
    pub(super) fn is_fresh(&self) -> bool {
        let mut is_fresh = false;
        self.with_progress(|progress| {
            is_fresh = progress.is_fresh();
            Ok(())
        })
        .ok();
        is_fresh
    }

    /// Covers everything by a checkpoint: a session that writes here has ended.
    pub(super) fn finish(&self) -> Result<(), docroot::Error> {
        self.with_progress(Progress::finish)
    }

    /// What is held of a part from before, counted from its start, and where to read it.
    pub(super) fn held(&self, part: Part) -> Option<(Vec<Range<u64>>, PartialHandle)> {
        let end = part.start + part.length;
        let held: Vec<_> = self
            .held
            .ranges()
            .iter()
            .map(|range| range.start.max(part.start)..range.end.min(end))
            .filter(|range| !range.is_empty())
            .map(|range| range.start - part.start..range.end - part.start)
            .collect();
        let partial = self.partial.as_ref().filter(|_| !held.is_empty())?;
        Some((held, partial.handle()))
    }

    /// Gives up what is there of a part: no checkpoint claims it any more (protocol §14.5).
    pub(super) fn restart(&self, part: Part) -> Result<(), docroot::Error> {
        let Some(partial) = &self.partial else {
            return Ok(());
        };
        self.with_progress(|progress| {
            partial.forget_checkpoint()?;
            progress.remove(part.start, part.start + part.length, partial.handle());
            Ok(())
        })
    }

    fn with_progress(
        &self,
        work: impl FnOnce(&mut Progress) -> Result<(), docroot::Error>,
    ) -> Result<(), docroot::Error> {
        match &self.progress {
            // Behind a panic in here is a session that ends, and a checkpoint that claims less than is there.
            Some(progress) => work(&mut progress.lock().unwrap_or_else(PoisonError::into_inner)),
            None => Ok(()),
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Relaxed)
    }
}

/// A part that waits for the file's result, and whom to tell.
#[derive(Debug)]
struct Waiting {
    voice: Voice,
    file: u32,
    start: u64,
}

/// A part as its session listed it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) file: u32,
    pub(super) whole: u32,
    pub(super) size: Size,
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Part {
    /// Where it ends, if it lies within its file.
    fn end(&self) -> Option<u64> {
        let end = self.start.checked_add(self.length)?;
        let is_within = self.size.known().is_none_or(|size| end <= size);
        (self.length > 0 && is_within).then_some(end)
    }
}

/// What the sender did that no honest one does.
#[derive(Debug)]
pub(super) struct BadPart;

/// What a complete part leads to.
#[derive(Debug)]
pub(super) enum Joined {
    /// Other parts are missing, or the file has its result.
    Nothing,
    /// The whole file is there; its parts get the result of the commit.
    Whole(Box<Pending>),
    /// The whole envelope is there, to be opened first.
    Envelope(Box<Arrived>),
}

/// The parts of a file that wait for its result.
#[derive(Debug)]
pub(in crate::engine) struct Parts {
    path: Vec<u8>,
    waiting: Vec<Waiting>,
}

impl Parts {
    /// Gives every part the file's result, in its own session.
    pub(in crate::engine) fn settle(self, result: &SettledResult) {
        for part in self.waiting {
            part.voice.settle(Settled {
                file: part.file,
                path: self.path.clone(),
                is_further: part.start > 0,
                result: result.clone(),
            });
        }
    }
}

impl Assembly {
    fn wholes(&self) -> MutexGuard<'_, BTreeMap<u32, Whole>> {
        // What is behind a panic in here is a file without its result, which is never published.
        self.wholes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the transfer's directories are to have.
    pub(super) const fn directories(&self) -> &Directories {
        &self.directories
    }

    /// Takes a listed part; returns where its bytes go if they are wanted. `decide` is asked about the first part of a
    /// file only; what a grown file has at its end comes with `last`.
    pub(super) fn list(
        &self,
        part: Part,
        path: &[u8],
        voice: &Voice,
        opener: &Opener,
        last: Option<Metadata>,
        decide: impl FnOnce() -> Result<Decision, docroot::Error>,
    ) -> Result<Option<Arc<Output>>, BadPart> {
        let mut wholes = self.wholes();
        let end = part.end().ok_or(BadPart)?;
        let parts: usize = wholes.values().map(|whole| whole.waiting.len()).sum();
        if parts >= MAX_PARTS {
            return Err(BadPart);
        }
        let is_growing = !matches!(part.size, Size::Listed(_));
        let count = wholes.len();
        let whole = match wholes.entry(part.whole) {
            Entry::Occupied(entry) => {
                let whole = entry.into_mut();
                whole.size = whole.size.and(part.size).ok_or(BadPart)?;
                whole
            }
            Entry::Vacant(_) if count >= MAX_WHOLES => return Err(BadPart),
            Entry::Vacant(entry) => entry.insert(Whole {
                path: path.to_vec(),
                size: part.size,
                listed: RangeSet::new(),
                complete: 0,
                state: begin(opener, is_growing, decide()),
                waiting: Vec::new(),
            }),
        };
        let range = part.start..end;
        if whole.path != path || overlaps(&whole.listed, &range) {
            return Err(BadPart);
        }
        whole.listed.insert(range);
        if whole.is_exceeded() {
            return Err(BadPart);
        }
        if let (State::Open { metadata, .. }, Some(last)) = (&mut whole.state, last) {
            *metadata = last;
        }
        whole.waiting.push(Waiting {
            voice: voice.clone(),
            file: part.file,
            start: part.start,
        });
        let output = match &whole.state {
            State::Open { output, .. } => Some(Arc::clone(output)),
            _ => None,
        };
        if output.is_none() {
            whole.settle_waiting();
        }
        forget(&mut wholes, part.whole);
        Ok(output)
    }

    /// A part is complete; its writer has let go of the output.
    pub(super) fn complete(&self, part: Part) -> Joined {
        let mut wholes = self.wholes();
        let Some(entry) = wholes.get_mut(&part.whole) else {
            return Joined::Nothing;
        };
        entry.complete += part.length;
        let Some(size) = entry.size.known().filter(|size| entry.complete >= *size) else {
            return Joined::Nothing;
        };
        let state = std::mem::replace(&mut entry.state, State::Finished);
        let joined = entry.join(part.file, size, state);
        forget(&mut wholes, part.whole);
        joined
    }

    /// A part failed, and with it the file.
    pub(super) fn fail(&self, whole: u32, code: ErrorCode, text: &str) {
        let mut wholes = self.wholes();
        if let Some(entry) = wholes.get_mut(&whole) {
            entry.fail(code, text);
        }
        forget(&mut wholes, whole);
    }
}

fn begin(opener: &Opener, is_growing: bool, decided: Result<Decision, docroot::Error>) -> State {
    let opened = decided.and_then(|decision| {
        // A client that compares content splits no files; for one that does the attributes decide.
        let (Decision::Take(target) | Decision::Open(target)) = decision else {
            return Ok(State::Skipped);
        };
        let Target { source, place, .. } = target;
        let (opened, metadata, existing, plain) = match place {
            Place::Sink => (None, Metadata::default(), Existing::Refuse, None),
            Place::Dir {
                dir,
                name,
                metadata,
                existing,
                plain,
            } => {
                let opened = match is_growing {
                    true => opener.open_growing(&dir, &name)?,
                    false => opener.open(&dir, &name, source, true)?,
                };
                (Some(opened), metadata, existing, plain)
            }
        };
        let (partial, progress, held) = match opened {
            Some(Opened {
                partial,
                progress,
                held,
            }) => (Some(partial), progress, held),
            None => (None, None, RangeSet::new()),
        };
        let output = Arc::new(Output {
            partial,
            progress: progress.map(Mutex::new),
            held,
            is_settled: AtomicBool::new(false),
        });
        Ok(State::Open {
            output,
            metadata,
            existing,
            plain,
        })
    });
    opened.unwrap_or_else(|error| State::Failed {
        code: error.code(),
        text: error.to_string(),
    })
}

fn overlaps(listed: &RangeSet, range: &Range<u64>) -> bool {
    let missing: u64 = listed
        .gaps(range.clone())
        .map(|gap| gap.end - gap.start)
        .sum();
    missing < range.end - range.start
}

/// Forgets a file when all of its parts have been listed and have their results.
fn forget(wholes: &mut BTreeMap<u32, Whole>, whole: u32) {
    let is_over = |w: &Whole| {
        !matches!(w.state, State::Open { .. })
            && w.waiting.is_empty()
            && w.size
                .known()
                .is_some_and(|size| w.listed.covers(&(0..size)))
    };
    if wholes.get(&whole).is_some_and(is_over) {
        wholes.remove(&whole);
    }
}

impl Whole {
    /// Whether parts lie behind the end of the file, which came before them.
    fn is_exceeded(&self) -> bool {
        let end = self.listed.ranges().last().map_or(0, |range| range.end);
        self.size.known().is_some_and(|size| end > size)
    }

    /// Every part is there: makes of them what the next thread needs. `file` is the number of any part.
    fn join(&mut self, file: u32, size: u64, state: State) -> Joined {
        let State::Open {
            output,
            metadata,
            existing,
            plain,
        } = state
        else {
            return Joined::Nothing;
        };
        let path = self.path.clone();
        let parts = self.take_parts();
        let Some(Output {
            partial, progress, ..
        }) = Arc::into_inner(output)
        else {
            // A writer still has it: not before its part is complete, so it has not been counted right.
            parts.settle(&SettledResult::failed(&docroot::Error::SourceChanged));
            return Joined::Nothing;
        };
        let Some(partial) = partial else {
            // Thrown away.
            parts.settle(&SettledResult::done(size));
            return Joined::Nothing;
        };
        if let Some(plain) = plain {
            let progress = progress.map(|progress| {
                progress
                    .into_inner()
                    .unwrap_or_else(PoisonError::into_inner)
            });
            return Joined::Envelope(Box::new(Arrived {
                file,
                path,
                size,
                content: Content::File(Envelope::Partial(Received { partial, progress })),
                metadata,
                plain,
                parts: Some(parts),
            }));
        }
        match partial.finish(&metadata, existing) {
            Ok(finished) => Joined::Whole(Box::new(Pending {
                file,
                path,
                result: SettledResult::done(size),
                finished,
                parts: Some(parts),
                opened_from: None,
            })),
            Err(error) => {
                parts.settle(&SettledResult::failed(&error));
                Joined::Nothing
            }
        }
    }

    fn take_parts(&mut self) -> Parts {
        Parts {
            path: self.path.clone(),
            waiting: std::mem::take(&mut self.waiting),
        }
    }

    fn fail(&mut self, code: ErrorCode, text: &str) {
        let State::Open { output, .. } = &self.state else {
            return;
        };
        output.is_settled.store(true, Ordering::Relaxed);
        let text = text.to_owned();
        self.state = State::Failed { code, text };
        self.settle_waiting();
    }

    /// Gives the parts that wait the result that the file has.
    fn settle_waiting(&mut self) {
        for part in std::mem::take(&mut self.waiting) {
            let result = match &self.state {
                State::Open { .. } | State::Finished => continue,
                State::Skipped => SettledResult::Skipped,
                State::Failed { code, text } => SettledResult::Failed {
                    code: *code,
                    text: text.clone(),
                },
            };
            part.voice.settle(Settled {
                file: part.file,
                path: self.path.clone(),
                is_further: part.start > 0,
                result,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use docroot::Docroot;
    use transfer_spec::ResumePolicy;

    use super::*;
    use crate::engine::storage::checkpoint::SourceVersion;

    fn part(start: u64, length: u64, size: Size) -> Part {
        Part {
            file: 0,
            whole: 0,
            size,
            start,
            length,
        }
    }

    /// Lists these parts of one file, each as (start, length, size); returns which were taken.
    fn taken(parts: &[(u64, u64, Size)]) -> Vec<bool> {
        let temp = tempfile::tempdir().unwrap();
        let dir = Docroot::open(temp.path()).unwrap().root_dir().unwrap();
        let (events, _heard) = crossbeam_channel::unbounded();
        let voice = Voice::new(events);
        let opener = Opener::new(ResumePolicy::None).unwrap();
        let assembly = Assembly::default();
        let decide = || {
            Ok(Decision::Take(Target {
                path: b"f".to_vec(),
                source: SourceVersion::listed(fasp_core::Attributes::default(), 20),
                place: Place::Dir {
                    dir: dir.clone(),
                    name: b"f".to_vec(),
                    metadata: Metadata::default(),
                    existing: Existing::Refuse,
                    plain: None,
                },
            }))
        };
        let list = |&(start, length, size): &(u64, u64, Size)| {
            let part = part(start, length, size);
            let listed = assembly.list(part, b"f", &voice, &opener, None, decide);
            listed.is_ok_and(|output| output.is_some())
        };
        parts.iter().map(list).collect()
    }

    #[test]
    fn the_parts_of_a_growing_file_come_in_any_order_and_it_ends_once() {
        use Size::{Growing, Grown, Listed};
        let orders = [
            [(0, 5, Growing), (5, 5, Growing), (10, 1, Grown(11))],
            [(10, 1, Grown(11)), (5, 5, Growing), (0, 5, Growing)],
        ];
        for parts in orders {
            assert_eq!(taken(&parts), [true; 3], "{parts:?}");
        }
        for bad in [
            [(0, 5, Growing), (4, 5, Growing)],
            [(0, 5, Growing), (5, 0, Growing)],
            [(0, 5, Growing), (u64::MAX, 5, Growing)],
            // Two ends, and bytes behind the end.
            [(5, 5, Grown(10)), (10, 1, Grown(11))],
            [(5, 5, Grown(10)), (10, 1, Growing)],
            [(10, 1, Growing), (5, 5, Grown(10))],
            // It grows, or it does not.
            [(0, 5, Growing), (5, 5, Listed(10))],
            [(0, 5, Listed(10)), (5, 5, Growing)],
            [(0, 5, Listed(10)), (5, 5, Listed(11))],
        ] {
            assert_eq!(taken(&bad), [true, false], "{bad:?}");
        }
    }
}
