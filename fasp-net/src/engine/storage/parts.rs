//! The parts of split files that one session receives (protocol §13.3).

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;

use crossbeam_channel::Sender;
use fasp_core::ErrorCode;

use super::assembly::{Assembly, BadPart, Joined, Output, Part};
use super::decide::Target;
use super::{StorageEvent, Voice};
use crate::engine::commit::Pending;

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
        decide: impl FnOnce() -> Result<Option<Target>, docroot::Error>,
    ) -> Result<(), BadPart> {
        // A file that failed in another session is let go of here.
        self.open.retain(|_, open| !open.output.is_settled());
        if let Some(output) = self.assembly.list(part, path, &self.voice, decide)? {
            self.open.insert(part.file, Open { part, output });
            self.voice.tell(StorageEvent::Request {
                file: part.file,
                size: part.length,
            });
        }
        Ok(())
    }

    /// Writes what belongs to a part; false when there is no such part.
    pub(super) fn write(&mut self, file: u32, start: u64, slices: &[IoSlice<'_>]) -> bool {
        let Some(open) = self.open.get(&file) else {
            return false;
        };
        if let Err(error) = open.output.write(slices, open.part.start + start) {
            self.fail(file, error.code(), &error.to_string());
        }
        true
    }

    /// Every byte of a part is written; false when there is no such part.
    pub(super) fn complete(&mut self, file: u32, commits: Option<&Sender<Pending>>) -> bool {
        let Some(Open { part, output }) = self.open.remove(&file) else {
            return false;
        };
        drop(output);
        let joined = self.assembly.complete(part.whole, part.length);
        if let Joined::Whole {
            path,
            size,
            finished,
            parts,
        } = joined
            && let Some(commits) = commits
        {
            let pending = Pending {
                file,
                path,
                size,
                finished,
                parts: Some(parts),
            };
            // The commit thread lives as long as this sender.
            commits.send(pending).ok();
        }
        true
    }

    /// Gives up the file of a part; false when there is no such part.
    pub(super) fn fail(&mut self, file: u32, code: ErrorCode, text: &str) -> bool {
        let Some(Open { part, output }) = self.open.remove(&file) else {
            return false;
        };
        drop(output);
        self.assembly.fail(part.whole, code, text);
        true
    }
}
