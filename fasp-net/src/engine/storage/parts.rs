//! The parts of files that one session receives (protocol §13.3, §13.6).

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Instant;

use docroot::Metadata;
use fasp_core::ErrorCode;

use super::assembly::{Assembly, BadPart, Joined, Output, Part};
use super::decide::Decision;
use super::opener::Opener;
use super::unseal::Unsealer;
use super::verify::{Extent, Present, Verifier};
use super::{StorageEvent, Voice};
use crate::engine::commit::Commits;

/// Parts that blocks are written to.
#[derive(Debug)]
pub(super) struct PartWriter {
    assembly: Assembly,
    voice: Voice,
    open: BTreeMap<u32, Open>,
}

#[derive(Debug)]
struct Open {
    part: Part,
    output: Arc<Output>,
    /// Some of it was there from before.
    is_continued: bool,
}

impl PartWriter {
    pub(super) fn new(assembly: Assembly, voice: Voice) -> Self {
        Self {
            assembly,
            voice,
            open: BTreeMap::new(),
        }
    }

    /// Takes a listed part, and asks for its blocks if they are wanted.
    pub(super) fn begin(
        &mut self,
        part: Part,
        path: &[u8],
        opener: &Opener,
        verifier: &mut Verifier,
        last: Option<Metadata>,
        decide: impl FnOnce() -> Result<Decision, docroot::Error>,
    ) -> Result<(), BadPart> {
        // A file that failed in another session is let go of here.
        self.open.retain(|_, open| !open.output.is_settled());
        let listed = self
            .assembly
            .list(part, path, &self.voice, opener, last, decide)?;
        let Some(output) = listed else {
            return Ok(());
        };
        let (file, size) = (part.file, part.length);
        let held = output.held(part);
        let open = Open {
            part,
            output,
            is_continued: held.is_some(),
        };
        self.open.insert(file, open);
        let ranges = held
            .as_ref()
            .map_or_else(Vec::new, |(held, _)| held.clone());
        self.voice.tell(StorageEvent::Request {
            file,
            size,
            held: ranges,
        });
        if let Some((ranges, handle)) = held {
            let extent = Extent {
                file,
                base: part.start,
                size,
                ranges,
            };
            verifier.digest(Present::Partial(handle), extent);
        }
        Ok(())
    }

    /// The digest of a part did not agree; false when there is no such part, or nothing of it was there from before.
    pub(super) fn restart(&mut self, file: u32) -> bool {
        let Some(open) = self.open.get_mut(&file).filter(|open| open.is_continued) else {
            return false;
        };
        open.is_continued = false;
        let size = open.part.length;
        match open.output.restart(open.part) {
            Ok(()) => self.voice.tell(StorageEvent::Restart { file, size }),
            Err(error) => {
                self.fail(file, error.code(), &error.to_string());
            }
        }
        true
    }

    /// The sender has other bytes now than it had when some of a part came: asks for all of it. False when there is no
    /// such part.
    pub(super) fn begin_anew(&mut self, file: u32) -> bool {
        let Some(open) = self.open.get_mut(&file) else {
            return false;
        };
        open.is_continued = false;
        let size = open.part.length;
        match open.output.restart(open.part) {
            Ok(()) => self.voice.tell(StorageEvent::Request {
                file,
                size,
                held: Vec::new(),
            }),
            Err(error) => {
                self.fail(file, error.code(), &error.to_string());
            }
        }
        true
    }

    /// Begins the checkpoints that are due.
    pub(super) fn tick(&mut self, now: Instant) {
        let ticked = self
            .open
            .iter()
            .map(|(file, open)| (*file, open.output.tick(now)));
        let failed: Vec<_> = ticked
            .filter_map(|(file, result)| Some((file, result.err()?)))
            .collect();
        for (file, error) in failed {
            self.fail(file, error.code(), &error.to_string());
        }
    }

    /// Whether a later checkpoint should cover something.
    pub(super) fn is_fresh(&self) -> bool {
        self.open.values().any(|open| open.output.is_fresh())
    }

    /// The session has ended: what is open stays for the next one.
    pub(super) fn end(&mut self) {
        let text = "the session has ended";
        for (_, Open { part, output, .. }) in std::mem::take(&mut self.open) {
            if let Err(error) = output.finish() {
                tracing::debug!(%error, "checkpoint not written");
            }
            drop(output);
            self.assembly
                .fail(part.whole, ErrorCode::ConnectionLost, text);
        }
    }

    /// Writes what belongs to a part; false when there is no such part.
    pub(super) fn write(&mut self, file: u32, start: u64, slices: &[IoSlice<'_>]) -> bool {
        let Some(open) = self.open.get(&file) else {
            return false;
        };
        let length: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        let start = open.part.start + start;
        if let Err(error) = open.output.write(slices, start, start + length) {
            self.fail(file, error.code(), &error.to_string());
        }
        true
    }

    /// Every byte of a part is written: when it was the last part, the file goes to the thread that is next. False when
    /// there is no such part.
    pub(super) fn complete(
        &mut self,
        file: u32,
        commits: Option<&Commits>,
        unsealer: Option<&Unsealer>,
    ) -> bool {
        let Some(Open { part, output, .. }) = self.open.remove(&file) else {
            return false;
        };
        drop(output);
        match (self.assembly.complete(part), commits, unsealer) {
            (Joined::Whole(pending), Some(commits), _) => {
                self.voice
                    .not_kept(&pending.path, pending.finished.not_kept());
                commits.hand_on(vec![*pending]);
            }
            (Joined::Envelope(arrived), _, Some(unsealer)) => unsealer.arrived(*arrived),
            _ => {}
        }
        true
    }

    /// Gives up the file of a part; false when there is no such part.
    pub(super) fn fail(&mut self, file: u32, code: ErrorCode, text: &str) -> bool {
        let Some(Open { part, output, .. }) = self.open.remove(&file) else {
            return false;
        };
        drop(output);
        self.assembly.fail(part.whole, code, text);
        true
    }
}
