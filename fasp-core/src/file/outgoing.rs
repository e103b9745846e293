//! Files on their way out: which block is next, which have to go again.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use crate::RangeSet;
use crate::digest::FileDigest;
use crate::wire::frame::data_head_size;

/// A stretch of a file that goes into one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) file: u32,
    pub(crate) offset: u64,
    pub(crate) length: u16,
    /// 0 the first time, when its bytes count for the digest; more when it is sent again.
    pub(crate) attempt: u8,
}

#[derive(Debug)]
struct File {
    size: u64,
    /// The receiver has asked for it; asking again changes nothing.
    is_wanted: bool,
    /// Where the next new block starts.
    next: u64,
    /// Held by the receiver from an earlier attempt.
    held: RangeSet,
    /// Reported delivered.
    reported: RangeSet,
    digest: Option<FileDigest>,
    /// Bytes first read and digested so far.
    read: u64,
}

/// Files listed and not settled, the order they are sent in, and lost blocks.
#[derive(Debug, Default)]
pub(crate) struct OutgoingFiles {
    files: BTreeMap<u32, File>,
    ready: VecDeque<u32>,
    lost: VecDeque<(u32, u64, u16, u8)>,
}

impl OutgoingFiles {
    /// A file was put on the list; its blocks wait for the receiver's decision.
    pub(crate) fn announce(&mut self, file: u32, size: u64) {
        let digest = Some(FileDigest::new(size));
        self.files.insert(
            file,
            File {
                size,
                is_wanted: false,
                next: 0,
                held: RangeSet::new(),
                reported: RangeSet::new(),
                digest,
                read: 0,
            },
        );
    }

    pub(crate) fn contains(&self, file: u32) -> bool {
        self.files.contains_key(&file)
    }

    /// The receiver wants it, but for what it holds.
    pub(crate) fn want(&mut self, file: u32, held: &[Range<u64>]) {
        let Some(state) = self.files.get_mut(&file) else {
            return;
        };
        if std::mem::replace(&mut state.is_wanted, true) {
            return;
        }
        for range in held {
            state.held.insert(range.start..range.end.min(state.size));
        }
        if !state.held.is_empty() {
            // The digest needs every byte once; what is not sent is not read.
            state.digest = None;
        }
        state.next = skip_held(state, 0);
        self.ready.push_back(file);
    }

    /// The file is settled one way or another.
    pub(crate) fn remove(&mut self, file: u32) {
        self.files.remove(&file);
    }

    /// These files are settled.
    pub(crate) fn remove_run(&mut self, first: u32, count: u32) {
        if count == 1 {
            self.files.remove(&first);
            return;
        }
        let beyond = first.saturating_add(count);
        let run: Vec<_> = self
            .files
            .range(first..beyond)
            .map(|(file, _)| *file)
            .collect();
        for file in run {
            self.files.remove(&file);
        }
    }

    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    pub(crate) fn has_new(&self) -> bool {
        self.ready.iter().any(|file| self.files.contains_key(file))
    }

    /// Takes the next lost block that fits `room` bytes of frame.
    pub(crate) fn next_lost(&mut self, room: usize) -> Option<Block> {
        loop {
            let (file, offset, length, attempt) = self.lost.pop_front()?;
            if !self.is_missing(file, offset, length) {
                continue;
            }
            let taken = room
                .saturating_sub(data_head_size(file, offset))
                .clamp(1, usize::from(length)) as u16;
            if taken < length {
                self.lost
                    .push_front((file, offset + u64::from(taken), length - taken, attempt));
            }
            return Some(Block {
                file,
                offset,
                length: taken,
                attempt,
            });
        }
    }

    /// Takes the next new block that fits `room` bytes of frame; says whether it is the file's last.
    pub(crate) fn next_new(&mut self, room: usize) -> Option<(Block, bool)> {
        loop {
            let file = *self.ready.front()?;
            let Some(state) = self.files.get_mut(&file).filter(|f| f.next < f.size) else {
                self.ready.pop_front();
                continue;
            };
            let offset = state.next;
            let fits = room
                .saturating_sub(data_head_size(file, offset))
                .clamp(1, usize::from(u16::MAX)) as u64;
            let until = state
                .held
                .gaps(offset..state.size)
                .next()
                .map_or(state.size, |gap| gap.end);
            let length = fits.min(until - offset) as u16;
            state.next = skip_held(state, offset + u64::from(length));
            let last = state.next >= state.size;
            if last {
                self.ready.pop_front();
            }
            return Some((
                Block {
                    file,
                    offset,
                    length,
                    attempt: 0,
                },
                last,
            ));
        }
    }

    /// The bytes of a block sent for the first time; returns the digest after the last one.
    pub(crate) fn on_read(&mut self, block: Block, bytes: &[u8]) -> Option<u64> {
        let state = self
            .files
            .get_mut(&block.file)
            .filter(|_| block.attempt == 0)?;
        state.digest.as_mut()?.add(block.offset, bytes);
        state.read += bytes.len() as u64;
        if state.read == state.size {
            state.digest.take().map(FileDigest::finish)
        } else {
            None
        }
    }

    /// A block was reported delivered.
    pub(crate) fn on_delivered(&mut self, file: u32, offset: u64, length: u16) {
        if let Some(state) = self.files.get_mut(&file) {
            state.reported.insert(offset..offset + u64::from(length));
        }
    }

    /// A block was lost, or is to be repeated: it is sent again as this attempt.
    pub(crate) fn on_lost(&mut self, file: u32, offset: u64, length: u16, attempt: u8) {
        if self.is_missing(file, offset, length) {
            self.lost.push_back((file, offset, length, attempt));
        }
    }

    fn is_missing(&self, file: u32, offset: u64, length: u16) -> bool {
        let range = offset..offset + u64::from(length);
        let state = self.files.get(&file);
        state.is_some_and(|state| !state.reported.covers(&range))
    }
}

fn skip_held(state: &File, from: u64) -> u64 {
    state
        .held
        .gaps(from..state.size)
        .next()
        .map_or(state.size, |gap| gap.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(files: &mut OutgoingFiles, room: usize) -> Vec<(u64, u16)> {
        std::iter::from_fn(|| files.next_new(room))
            .map(|(b, _)| (b.offset, b.length))
            .collect()
    }

    #[test]
    fn blocks_come_in_order_and_leave_out_what_is_held() {
        let mut files = OutgoingFiles::default();
        files.announce(0, 250);
        assert!(
            files.next_new(104).is_none(),
            "nothing is sent before it is wanted"
        );
        files.want(0, &[50..120, 240..900]);
        assert_eq!(drain(&mut files, 103), [(0, 50), (120, 100), (220, 20)]);
    }

    #[test]
    fn lost_blocks_are_split_when_datagrams_have_shrunk_and_dropped_when_the_file_is_settled() {
        let mut files = OutgoingFiles::default();
        files.announce(0, 1000);
        files.on_lost(0, 256, 100, 1);
        assert_eq!(
            files.next_lost(64).map(|b| (b.offset, b.length)),
            Some((256, 60))
        );
        assert_eq!(
            files.next_lost(64).map(|b| (b.offset, b.length)),
            Some((316, 40))
        );
        files.on_lost(0, 0, 100, 1);
        files.remove(0);
        assert_eq!(files.next_lost(64), None);
    }
}
