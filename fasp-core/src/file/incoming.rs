//! Files on their way in: which bytes are there (protocol §9.5, rule W-28).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::RangeSet;
use crate::digest::FileDigest;

/// Intervals of one file beyond which new blocks are dropped, to be resent (protocol §12).
const MAX_INTERVALS: usize = 65_536;
/// Files open for blocks at once (protocol §12).
pub(crate) const MAX_FILES: usize = 65_536;

/// New bytes of a file, still in the datagram that brought them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockWrite {
    /// The file's number.
    pub file: u32,
    /// Where in the file.
    pub offset: u64,
    /// Where in the datagram.
    pub at: usize,
    /// How many bytes.
    pub length: usize,
}

/// What a peer did that no honest one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockError {
    /// Bytes beyond the announced size (rule W-29).
    BeyondEnd,
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileState {
    Incomplete,
    /// Every byte is there and the digest agrees.
    Complete,
    /// Every byte is there and the digest does not agree.
    Damaged,
}

#[derive(Debug)]
struct File {
    size: u64,
    present: RangeSet,
    digest: FileDigest,
    /// The digest lacks the bytes that were held from the beginning.
    awaits_held: bool,
    announced: Option<u64>,
}

/// Files that blocks are accepted for.
#[derive(Debug, Default)]
pub(crate) struct IncomingFiles {
    files: BTreeMap<u32, File>,
    /// Wanted already, while it is not clear yet how they begin: their blocks are for later.
    undecided: BTreeSet<u32>,
}

impl IncomingFiles {
    /// Accepts blocks of this file from now on. False when too many are open.
    pub(crate) fn expect(&mut self, file: u32, size: u64, held: &[Range<u64>]) -> bool {
        if self.files.len() >= MAX_FILES {
            return false;
        }
        self.undecided.remove(&file);
        let mut present = RangeSet::new();
        for range in held {
            present.insert(range.clone());
        }
        self.files.insert(
            file,
            File {
                size,
                present,
                digest: FileDigest::new(size),
                awaits_held: !held.is_empty(),
                announced: None,
            },
        );
        true
    }

    /// The digest of the bytes that were held from the beginning (protocol §14.3).
    pub(crate) fn on_held_digest(&mut self, file: u32, digest: u64) {
        if let Some(state) = self.files.get_mut(&file)
            && std::mem::take(&mut state.awaits_held)
        {
            state.digest.add_digest(digest);
        }
    }

    /// These files were wanted before the program could look at them: their blocks may arrive before they are expected.
    pub(crate) fn promise(&mut self, files: impl IntoIterator<Item = u32>) {
        self.undecided.extend(files);
    }

    pub(crate) fn remove(&mut self, file: u32) {
        self.undecided.remove(&file);
        self.files.remove(&file);
    }

    /// Which bytes of a file are there.
    pub(crate) fn present(&self, file: u32) -> Option<&RangeSet> {
        self.files.get(&file).map(|f| &f.present)
    }

    /// Takes a block that starts at `at` in its datagram and lists its new parts.
    ///
    /// False when there is no room to remember it, or the file is still to be decided about: it must not be reported, so
    /// that it is sent again. Blocks of files that are not expected (settled already, or refused) are ignored.
    pub(crate) fn on_block(
        &mut self,
        file: u32,
        offset: u64,
        bytes: &[u8],
        at: usize,
        writes: &mut Vec<BlockWrite>,
    ) -> Result<bool, BlockError> {
        let Some(state) = self.files.get_mut(&file) else {
            return Ok(!self.undecided.contains(&file));
        };
        let end = offset
            .checked_add(bytes.len() as u64)
            .filter(|end| *end <= state.size);
        let end = end.ok_or(BlockError::BeyondEnd)?;
        if state.present.len() >= MAX_INTERVALS && !state.present.contains(offset.saturating_sub(1))
        {
            return Ok(false);
        }
        let digest = &mut state.digest;
        state.present.insert_with(offset..end, |new| {
            // Both differences are below the block's length, so the casts cannot cut.
            let skip = (new.start - offset) as usize;
            let length = (new.end - new.start) as usize;
            digest.add(new.start, &bytes[skip..skip + length]);
            writes.push(BlockWrite {
                file,
                offset: new.start,
                at: at + skip,
                length,
            });
        });
        Ok(true)
    }

    /// The sender's digest of the whole file.
    pub(crate) fn on_digest(&mut self, file: u32, digest: u64) {
        if let Some(state) = self.files.get_mut(&file) {
            state.announced = Some(digest);
        }
    }

    pub(crate) fn state(&self, file: u32) -> FileState {
        let Some(state) = self.files.get(&file) else {
            return FileState::Incomplete;
        };
        if !state.present.covers(&(0..state.size)) {
            return FileState::Incomplete;
        }
        match state.announced {
            Some(theirs) if !state.awaits_held => match state.digest.clone().finish() == theirs {
                true => FileState::Complete,
                false => FileState::Damaged,
            },
            _ => FileState::Incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w29_bytes_beyond_the_announced_size_are_a_violation() {
        let mut files = IncomingFiles::default();
        files.expect(0, 100, &[]);
        let mut writes = Vec::new();
        for offset in [96, 100, u64::MAX - 1, u64::MAX] {
            let result = files.on_block(0, offset, b"12345", 0, &mut writes);
            assert_eq!(result, Err(BlockError::BeyondEnd), "{offset}");
        }
        assert_eq!(files.on_block(0, 95, b"12345", 0, &mut writes), Ok(true));
        assert_eq!(
            files.on_block(7, u64::MAX, b"12345", 0, &mut writes),
            Ok(true),
            "unknown file"
        );
        assert_eq!(writes.len(), 1);
    }

    #[test]
    fn blocks_of_a_wanted_file_are_not_taken_before_it_is_clear_how_it_begins() {
        let mut files = IncomingFiles::default();
        files.promise([3, 4]);
        let mut writes = Vec::new();
        let mut block = |files: &mut IncomingFiles, file| {
            files.on_block(file, 0, b"123", 0, &mut writes).unwrap()
        };
        assert!(block(&mut files, 2));
        assert!(!block(&mut files, 3));
        assert!(!block(&mut files, 4));
        files.expect(3, 3, &[]);
        files.remove(4);
        assert!(block(&mut files, 3));
        assert!(block(&mut files, 4), "settled: whatever comes is ignored");
        assert_eq!(writes.len(), 1);
    }

    #[test]
    fn only_new_bytes_are_written_and_digested() {
        let mut files = IncomingFiles::default();
        files.expect(0, 9, &[]);
        let mut writes = Vec::new();
        files.on_block(0, 3, b"456", 10, &mut writes).unwrap();
        files.on_block(0, 2, b"3456789", 10, &mut writes).unwrap();
        files.on_block(0, 0, b"12345", 10, &mut writes).unwrap();
        let parts: Vec<_> = writes.iter().map(|w| (w.offset, w.at, w.length)).collect();
        assert_eq!(parts, [(3, 10, 3), (2, 10, 1), (6, 14, 3), (0, 10, 2)]);
        assert_eq!(
            files.state(0),
            FileState::Incomplete,
            "the digest is still missing"
        );
        files.on_digest(0, 0xae8b_1486_0a79_9888);
        assert_eq!(files.state(0), FileState::Complete);
        files.on_digest(0, 1);
        assert_eq!(files.state(0), FileState::Damaged);
    }

    #[test]
    fn d5_what_was_held_counts_for_the_digest_of_the_whole() {
        let mut held = FileDigest::new(9);
        held.add(2, b"3456");
        let held = held.finish();
        for (held, state) in [(held, FileState::Complete), (!held, FileState::Damaged)] {
            let mut files = IncomingFiles::default();
            let mut writes = Vec::new();
            files.expect(0, 9, &[2..6]);
            files.on_block(0, 0, b"12", 0, &mut writes).unwrap();
            files.on_block(0, 6, b"789", 0, &mut writes).unwrap();
            files.on_digest(0, 0xae8b_1486_0a79_9888);
            assert_eq!(files.state(0), FileState::Incomplete, "not read yet");
            files.on_held_digest(0, held);
            assert_eq!(files.state(0), state);
            assert_eq!(writes.len(), 2);
        }
    }
}
