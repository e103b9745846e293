//! The thread that opens envelopes which have arrived, between their last byte and their name (rules E-4, E-6).
//!
//! Plain bytes are in memory and in a file that only this account can read until the last chunk has turned out right. An
//! envelope that does not open keeps its own name and is reported; the others are opened all the same. A large one is opened
//! from its start on while the rest of it arrives.

mod opening;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use docroot::{Finished, Metadata, Partial, PartialHandle, SourceFile};
use fasp_core::ErrorCode;

use self::opening::Opening;
use super::assembly::Parts;
use super::decide::Plain;
use super::durable::Progress;
use super::{Settled, SettledResult, Voice};
use crate::Error;
use crate::engine::commit::{Commits, Pending};
use crate::engine::envelope::EnvelopeError;

/// Plain files that grow behind their envelopes at once: each has two files open.
const MAX_OPENINGS: usize = 32;
/// Small envelopes that wait: more than a page has.
const SMALL: usize = 1024;
/// Others that wait: each has a file open.
const LARGE: usize = 64;
/// Opened files that the commit thread gets at once, at most.
const HANDED_ON: usize = 64;

/// An envelope that has arrived, and what is to be done with it.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) file: u32,
    /// Its path in the list.
    pub(super) path: Vec<u8>,
    /// The length of the envelope, bytes.
    pub(super) size: u64,
    pub(super) content: Content,
    pub(super) metadata: Metadata,
    pub(super) plain: Plain,
    /// Of a split file: the parts that get its result.
    pub(super) parts: Option<Parts>,
}

/// The beginning of an envelope that is still arriving.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) file: u32,
    /// The length of the envelope, bytes.
    pub(super) size: u64,
    /// How much of it is there from its start on, bytes.
    pub(super) held: u64,
    pub(super) handle: PartialHandle,
    pub(super) plain: Plain,
}

/// What the thread hears of envelopes that are received as blocks.
#[derive(Debug)]
enum Task {
    Grown(Box<Beginning>),
    /// The file begins anew, or has failed: what was opened of it goes.
    Forget(u32),
    Arrived(Box<Arrived>),
}

/// Where the bytes of an envelope are.
#[derive(Debug)]
pub(super) enum Content {
    Memory(Vec<u8>),
    File(Envelope),
}

/// An envelope that is a file.
#[derive(Debug)]
pub(super) enum Envelope {
    Partial(Received),
    /// It was there before under its own name.
    Present(SourceFile),
}

impl Envelope {
    /// Fills `room` from an offset on; all of it has to be there.
    fn read(&self, room: &mut [u8], start: u64) -> Result<(), EnvelopeError> {
        let count = match self {
            Self::Partial(Received { partial, .. }) => partial.read_at(room, start)?,
            Self::Present(file) => file.read_at(room, start)?,
        };
        whole(count, room)
    }

    /// The permission bits that it has.
    fn mode(&self) -> Result<u32, docroot::Error> {
        Ok(match self {
            Self::Partial(Received { partial, .. }) => partial.attributes()?.mode,
            Self::Present(file) => file.attributes().mode,
        })
    }
}

/// An envelope that was received as blocks.
#[derive(Debug)]
pub(in crate::engine) struct Received {
    pub(super) partial: Partial,
    /// Nothing at level 0.
    pub(super) progress: Option<Progress>,
}

impl Received {
    /// Removes it: the plain file has its name.
    pub(in crate::engine) fn forget(self) {
        drop(self.progress);
        // A checkpoint that stays keeps the partial with it, and the next writer of that name removes both.
        if let Err(error) = self.partial.forget_checkpoint() {
            tracing::debug!(%error, "checkpoint not removed");
        }
    }

    /// Leaves it for another attempt, which then needs nothing more of it.
    pub(in crate::engine) fn keep(self) {
        if let Some(mut progress) = self.progress
            && let Err(error) = progress.finish()
        {
            tracing::debug!(%error, "checkpoint not written");
        }
    }
}

/// All of it has to be there.
fn whole(count: usize, room: &[u8]) -> Result<(), EnvelopeError> {
    match count < room.len() {
        true => Err(docroot::Error::SourceChanged.into()),
        false => Ok(()),
    }
}

/// The storage thread's end of the thread.
#[derive(Debug)]
pub(super) struct Unsealer {
    small: Sender<Arrived>,
    large: Sender<Task>,
    cancelled: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Unsealer {
    pub(super) fn start(voice: Voice, commits: Commits) -> Result<Self, Error> {
        let (small, small_queue) = bounded(SMALL);
        let (large, large_queue) = bounded(LARGE);
        let cancelled = Arc::<AtomicBool>::default();
        let mut work = Work {
            voice,
            commits,
            cancelled: Arc::clone(&cancelled),
            openings: BTreeMap::new(),
            opened: Vec::new(),
        };
        let thread = thread::Builder::new()
            .name("fasp-unseal".into())
            .spawn(move || work.run(&small_queue, &large_queue))
            .map_err(Error::Thread)?;
        Ok(Self {
            small,
            large,
            cancelled,
            thread,
        })
    }

    /// Takes an envelope; waits while there are too many.
    pub(super) fn arrived(&self, arrived: Arrived) {
        // The thread lives as long as these senders.
        match arrived.content {
            Content::Memory(_) => self.small.send(arrived).ok(),
            Content::File(_) => self.large.send(Task::Arrived(Box::new(arrived))).ok(),
        };
    }

    /// More of an envelope has arrived; nobody waits for what can be done about that.
    pub(super) fn grown(&self, beginning: Beginning) {
        self.large.try_send(Task::Grown(Box::new(beginning))).ok();
    }

    /// What was opened of a file is of no use any more.
    pub(super) fn forget(&self, file: u32) {
        self.large.send(Task::Forget(file)).ok();
    }

    /// Ends the thread: when it has done everything, or soon, which leaves what it has not done for another attempt.
    pub(super) fn end(self, is_cancelled: bool) {
        self.cancelled.store(is_cancelled, Ordering::Relaxed);
        drop((self.small, self.large));
        // One that panicked has published nothing that was not right.
        self.thread.join().ok();
    }
}

struct Work {
    voice: Voice,
    commits: Commits,
    cancelled: Arc<AtomicBool>,
    /// Files of which some is opened; nothing for one whose beginning did not open.
    openings: BTreeMap<u32, Option<Opening>>,
    /// Files that the commit thread has not been given.
    opened: Vec<Pending>,
}

impl Work {
    fn run(&mut self, small: &Receiver<Arrived>, large: &Receiver<Task>) {
        loop {
            select! {
                recv(small) -> next => match next {
                    Ok(arrived) => self.settle(arrived),
                    Err(_) => break,
                },
                recv(large) -> next => match next {
                    Ok(task) => self.act(task),
                    Err(_) => break,
                },
            }
            let is_idle = small.is_empty() && large.is_empty();
            if is_idle || self.opened.len() >= HANDED_ON {
                self.hand_on();
            }
        }
        // Both end together.
        small.iter().for_each(|arrived| self.settle(arrived));
        large.iter().for_each(|task| self.act(task));
        self.hand_on();
    }

    fn act(&mut self, task: Task) {
        match task {
            Task::Grown(beginning) => self.advance(&beginning),
            Task::Forget(file) => drop(self.openings.remove(&file)),
            Task::Arrived(arrived) => self.settle(*arrived),
        }
    }

    /// Opens what is there of an envelope. Why it does not open is found out again when all of it is there.
    fn advance(&mut self, beginning: &Beginning) {
        let Beginning {
            file,
            size,
            held,
            handle,
            plain,
        } = beginning;
        if self.cancelled.load(Ordering::Relaxed) {
            return;
        }
        let read = |room: &mut [u8], start| whole(handle.read_at(room, start)?, room);
        let is_full = self.openings.len() >= MAX_OPENINGS;
        let opening = match self.openings.entry(*file) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if is_full => return,
            Entry::Vacant(entry) => {
                entry.insert(Opening::begin(plain, *size, &self.cancelled, read).ok())
            }
        };
        if let Some(begun) = opening
            && begun.advance(*held, &self.cancelled, read).is_err()
        {
            *opening = None;
        }
    }

    fn hand_on(&mut self) {
        self.commits.hand_on(std::mem::take(&mut self.opened));
    }

    /// Opens an envelope, or sees to it that it stays as it is.
    fn settle(&mut self, arrived: Arrived) {
        let begun = self.openings.remove(&arrived.file).flatten();
        match self.open(&arrived, begun) {
            Ok((finished, plain_len)) => {
                let result = SettledResult::Done {
                    size: arrived.size,
                    plain_len: Some(plain_len),
                };
                let opened_from = match arrived.content {
                    Content::File(Envelope::Partial(received)) => Some(Box::new(received)),
                    Content::Memory(_) | Content::File(Envelope::Present(_)) => None,
                };
                self.voice.not_kept(&arrived.path, finished.not_kept());
                self.opened.push(Pending {
                    file: arrived.file,
                    path: arrived.path,
                    result,
                    finished,
                    parts: arrived.parts,
                    opened_from,
                });
            }
            Err(error) if error.is_cancelled() => {
                // The session has ended; parts of the file may belong to others, which wait.
                if let Some(parts) = arrived.parts {
                    parts.settle(&SettledResult::Failed {
                        code: ErrorCode::ConnectionLost,
                        text: "the session has ended".to_owned(),
                    });
                }
                keep(arrived.content);
            }
            Err(EnvelopeError::Storage(error)) => {
                let failed = SettledResult::failed(&error);
                self.tell(arrived.file, arrived.path, arrived.parts, failed);
                keep(arrived.content);
            }
            Err(error) => {
                let code = error.code();
                let text = error.to_string();
                self.leave(arrived, SettledResult::Failed { code, text });
            }
        }
    }

    /// Makes the plain file, or the rest of it; returns its length too.
    fn open(
        &self,
        arrived: &Arrived,
        begun: Option<Opening>,
    ) -> Result<(Finished, u64), EnvelopeError> {
        let Arrived {
            size,
            content,
            metadata,
            plain,
            ..
        } = arrived;
        let existing = plain.existing;
        let envelope = match content {
            Content::Memory(envelope) => {
                let bytes = plain.decryption.open_small(envelope, &self.cancelled)?;
                let made = plain
                    .dir
                    .create_small(&plain.name, &bytes, metadata, existing)?;
                return Ok((made, bytes.len() as u64));
            }
            Content::File(envelope) => envelope,
        };
        let read = |room: &mut [u8], start| envelope.read(room, start);
        let mut opening = match begun {
            Some(begun) => begun,
            None => Opening::begin(plain, *size, &self.cancelled, read)?,
        };
        opening.advance(*size, &self.cancelled, read)?;
        let metadata = Metadata {
            mode: Some(match metadata.mode {
                Some(mode) => mode,
                None => envelope.mode()?,
            }),
            ..metadata.clone()
        };
        opening.finish(&metadata, existing)
    }

    /// Gives an envelope that does not open its own name.
    fn leave(&mut self, arrived: Arrived, result: SettledResult) {
        let Arrived {
            file,
            path,
            content,
            metadata,
            plain,
            parts,
            ..
        } = arrived;
        let finished = plain.envelope.and_then(|existing| match content {
            Content::Memory(bytes) => Some(plain.dir.create_small(
                &plain.envelope_name(),
                &bytes,
                &metadata,
                existing,
            )),
            Content::File(Envelope::Partial(Received { partial, .. })) => {
                Some(partial.finish(&metadata, existing))
            }
            Content::File(Envelope::Present(_)) => None,
        });
        match finished {
            Some(Ok(finished)) => self.opened.push(Pending {
                file,
                path,
                result,
                finished,
                parts,
                opened_from: None,
            }),
            // That it does not open is what the person has to know.
            Some(Err(_)) | None => self.tell(file, path, parts, result),
        }
    }

    fn tell(&self, file: u32, path: Vec<u8>, parts: Option<Parts>, result: SettledResult) {
        match parts {
            Some(parts) => parts.settle(&result),
            None => self.voice.settle(Settled {
                file,
                path,
                is_further: false,
                result,
            }),
        }
    }
}

fn keep(content: Content) {
    if let Content::File(Envelope::Partial(received)) = content {
        received.keep();
    }
}
