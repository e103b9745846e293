//! The thread that opens envelopes which have arrived, between their last byte and their name (rules E-4, E-6).
//!
//! Plain bytes are in memory and in a file that only this account can read until the last chunk has turned out right. An
//! envelope that does not open keeps its own name and is reported; the others are opened all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use docroot::{Finished, Metadata, Partial, PartialOptions, SourceFile};

use super::assembly::Parts;
use super::decide::Plain;
use super::durable::Progress;
use super::{Settled, SettledResult, Voice};
use crate::Error;
use crate::engine::commit::Pending;
use crate::engine::decryption::threads;
use crate::engine::envelope::EnvelopeError;

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

/// Where the bytes of an envelope are.
#[derive(Debug)]
pub(super) enum Content {
    Memory(Vec<u8>),
    Partial(Received),
    /// It was there before under its own name.
    Present(SourceFile),
}

impl Content {
    /// Fills `room` from an offset on; all of it has to be there.
    fn read(&self, room: &mut [u8], start: u64) -> Result<(), EnvelopeError> {
        let count = match self {
            Self::Memory(bytes) => {
                // Below the length of a slice, so the cast cannot cut.
                let rest = bytes.get(start as usize..).unwrap_or_default();
                let count = rest.len().min(room.len());
                room[..count].copy_from_slice(&rest[..count]);
                count
            }
            Self::Partial(Received { partial, .. }) => partial.read_at(room, start)?,
            Self::Present(file) => file.read_at(room, start)?,
        };
        match count < room.len() {
            true => Err(docroot::Error::SourceChanged.into()),
            false => Ok(()),
        }
    }

    /// The permission bits that a file of this process gets, or has.
    fn mode(&self) -> Result<u32, docroot::Error> {
        Ok(match self {
            Self::Memory(_) => 0o600,
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

/// The storage thread's end of the thread.
#[derive(Debug)]
pub(super) struct Unsealer {
    small: Sender<Arrived>,
    large: Sender<Arrived>,
    cancelled: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Unsealer {
    pub(super) fn start(voice: Voice, commits: Sender<Vec<Pending>>) -> Result<Self, Error> {
        let (small, small_queue) = bounded(SMALL);
        let (large, large_queue) = bounded(LARGE);
        let cancelled = Arc::<AtomicBool>::default();
        let mut work = Work {
            voice,
            commits,
            cancelled: Arc::clone(&cancelled),
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
        let queue = match arrived.content {
            Content::Memory(_) => &self.small,
            Content::Partial(_) | Content::Present(_) => &self.large,
        };
        // The thread lives as long as this sender.
        queue.send(arrived).ok();
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
    commits: Sender<Vec<Pending>>,
    cancelled: Arc<AtomicBool>,
    /// Files that the commit thread has not been given.
    opened: Vec<Pending>,
}

impl Work {
    fn run(&mut self, small: &Receiver<Arrived>, large: &Receiver<Arrived>) {
        loop {
            let next = select! {
                recv(small) -> next => next,
                recv(large) -> next => next,
            };
            let Ok(arrived) = next else { break };
            self.settle(arrived);
            let is_idle = small.is_empty() && large.is_empty();
            if is_idle || self.opened.len() >= HANDED_ON {
                self.hand_on();
            }
        }
        // Both end together.
        for arrived in small.iter().chain(large) {
            self.settle(arrived);
        }
        self.hand_on();
    }

    fn hand_on(&mut self) {
        if !self.opened.is_empty() {
            // The commit thread lives as long as this sender.
            self.commits.send(std::mem::take(&mut self.opened)).ok();
        }
    }

    /// Opens an envelope, or sees to it that it stays as it is.
    fn settle(&mut self, arrived: Arrived) {
        match self.open(&arrived) {
            Ok((finished, plain_len)) => {
                let result = SettledResult::Done {
                    size: arrived.size,
                    plain_len: Some(plain_len),
                };
                let opened_from = match arrived.content {
                    Content::Partial(received) => Some(received),
                    Content::Memory(_) | Content::Present(_) => None,
                };
                self.opened.push(Pending {
                    file: arrived.file,
                    path: arrived.path,
                    result,
                    finished,
                    parts: arrived.parts,
                    opened_from,
                });
            }
            // The session has ended, and nobody waits for a result.
            Err(error) if error.is_cancelled() => keep(arrived.content),
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

    /// Makes the plain file; returns its length too.
    fn open(&self, arrived: &Arrived) -> Result<(Finished, u64), EnvelopeError> {
        let Plain {
            dir, decryption, ..
        } = &arrived.plain;
        let (name, existing) = (&arrived.plain.name, arrived.plain.existing);
        if let Content::Memory(envelope) = &arrived.content {
            let plain = decryption.open_small(envelope, &self.cancelled)?;
            let made = dir.create_small(name, &plain, &arrived.metadata, existing)?;
            return Ok((made, plain.len() as u64));
        }
        let read = |room: &mut [u8], start| arrived.content.read(room, start);
        let reader = decryption.begin(arrived.size, &self.cancelled, read)?;
        let layout = reader.layout();
        // Nobody else reads it before it has its name (rule E-6).
        let options = PartialOptions::default()
            .mode(0o600)
            .size_hint(layout.plain_len());
        let partial = dir.create_hidden(name, &options)?;
        reader.open_each(threads(layout), &self.cancelled, read, |plain, start| {
            Ok::<_, EnvelopeError>(partial.write_all_at(plain, start)?)
        })?;
        let metadata = Metadata {
            mode: Some(match arrived.metadata.mode {
                Some(mode) => mode,
                None => arrived.content.mode()?,
            }),
            ..arrived.metadata
        };
        Ok((partial.finish(&metadata, existing)?, layout.plain_len()))
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
            Content::Partial(Received { partial, .. }) => Some(partial.finish(&metadata, existing)),
            Content::Present(_) => None,
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
    if let Content::Partial(received) = content {
        received.keep();
    }
}
