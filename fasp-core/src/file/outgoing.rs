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
    /// What the receiver holds of it is not what it would get now.
    is_anew: bool,
    /// Where the next new block starts.
    next: u64,
    /// Held by the receiver from an earlier attempt.
    held: RangeSet,
    /// Reported delivered.
    reported: RangeSet,
    digest: Option<FileDigest>,
    /// The digest lacks the bytes that the receiver holds.
    awaits_held: bool,
    /// Bytes first read and digested so far, those that the receiver holds among them.
    read: u64,
    /// Reports about lower numbers speak of an attempt that was given up.
    since: u64,
}

impl File {
    fn new(size: u64) -> Self {
        Self {
            size,
            is_wanted: false,
            is_anew: false,
            next: 0,
            held: RangeSet::new(),
            reported: RangeSet::new(),
            digest: Some(FileDigest::new(size)),
            awaits_held: false,
            read: 0,
            since: 0,
        }
    }

    /// The digest, once every byte has been read.
    fn take_digest(&mut self) -> Option<u64> {
        (self.read == self.size && !self.awaits_held)
            .then(|| self.digest.take())?
            .map(FileDigest::finish)
    }
}

/// The receiver spoke of bytes that the file does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotInFile;

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
        self.files.insert(file, File::new(size));
    }

    /// An announced file cannot be continued: its bytes are not those of an earlier attempt.
    pub(crate) fn set_anew(&mut self, file: u32) {
        if let Some(state) = self.files.get_mut(&file) {
            state.is_anew = true;
        }
    }

    /// Whether a file has to be sent from the start.
    pub(crate) fn is_anew(&self, file: u32) -> bool {
        self.files.get(&file).is_some_and(|file| file.is_anew)
    }

    pub(crate) fn contains(&self, file: u32) -> bool {
        self.files.contains_key(&file)
    }

    /// The receiver wants it, but for what it holds; returns how many bytes that are, and fails if they are not the
    /// file's.
    pub(crate) fn want(&mut self, file: u32, held: &[Range<u64>]) -> Result<u64, NotInFile> {
        let Some(state) = self.files.get_mut(&file) else {
            return Ok(0);
        };
        if held.iter().any(|range| range.end > state.size) {
            return Err(NotInFile);
        }
        if std::mem::replace(&mut state.is_wanted, true) {
            return Ok(0);
        }
        for range in held {
            state.held.insert(range.clone());
        }
        state.read = state.held.count();
        state.awaits_held = !state.held.is_empty();
        state.next = skip_held(state, 0);
        if state.next < state.size {
            self.ready.push_back(file);
        }
        Ok(state.read)
    }

    /// The digest of what the receiver holds, as read from the source (protocol §14.3); returns that of the whole file if
    /// everything else has been read.
    pub(crate) fn on_held_digest(&mut self, file: u32, digest: u64) -> Option<u64> {
        let state = self.files.get_mut(&file)?;
        if std::mem::take(&mut state.awaits_held)
            && let Some(sum) = &mut state.digest
        {
            sum.add_digest(digest);
        }
        state.take_digest()
    }

    /// The receiver holds nothing of the file any more (protocol §14.5): numbers from `since` on bring it from the start.
    /// False for a file that was not continued.
    pub(crate) fn restart(&mut self, file: u32, since: u64) -> bool {
        let Some(state) = self.files.get_mut(&file) else {
            return true;
        };
        if state.held.is_empty() {
            return false;
        }
        *state = File {
            is_wanted: true,
            since,
            ..File::new(state.size)
        };
        self.lost.retain(|(of, ..)| *of != file);
        if !self.ready.contains(&file) {
            self.ready.push_back(file);
        }
        true
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
        state.take_digest()
    }

    /// A block was reported delivered by the datagram of this number.
    pub(crate) fn on_delivered(&mut self, number: u64, file: u32, offset: u64, length: u16) {
        if let Some(state) = self.files.get_mut(&file).filter(|f| f.since <= number) {
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
        assert_eq!(files.want(0, &[50..120, 240..251]), Err(NotInFile));
        assert_eq!(files.want(0, &[50..120, 240..250]), Ok(80));
        assert_eq!(drain(&mut files, 103), [(0, 50), (120, 100), (220, 20)]);
    }

    #[test]
    fn the_digest_waits_for_what_is_held_and_a_restart_begins_it_anew() {
        let whole = |bytes: &[u8]| {
            let mut digest = FileDigest::new(bytes.len() as u64);
            digest.add(0, bytes);
            digest.finish()
        };
        let mut held = FileDigest::new(9);
        held.add(2, b"3456");
        let block = |offset, length| Block {
            file: 0,
            offset,
            length,
            attempt: 0,
        };
        let mut files = OutgoingFiles::default();
        files.announce(0, 9);
        assert_eq!(files.want(0, &[2..6]), Ok(4));
        assert_eq!(drain(&mut files, 1000), [(0, 2), (6, 3)]);
        assert_eq!(files.on_read(block(0, 2), b"12"), None);
        assert_eq!(files.on_read(block(6, 3), b"789"), None);
        let digest = files.on_held_digest(0, held.finish());
        assert_eq!(digest, Some(whole(b"123456789")));
        assert!(files.restart(0, 10));
        files.on_delivered(9, 0, 0, 9);
        assert_eq!(drain(&mut files, 1000), [(0, 9)]);
        files.on_lost(0, 0, 9, 1);
        assert!(
            files.next_lost(1000).is_some(),
            "an old report said nothing"
        );
        let digest = files.on_read(block(0, 9), b"abcdefghi");
        assert_eq!(digest, Some(whole(b"abcdefghi")));
        assert!(!files.restart(0, 11), "once");
    }

    #[test]
    fn a_file_that_is_held_whole_needs_its_digest_only() {
        let mut files = OutgoingFiles::default();
        files.announce(0, 4);
        assert_eq!(files.want(0, &[0..4]), Ok(4));
        assert!(!files.has_new());
        let mut digest = FileDigest::new(4);
        digest.add(0, b"abcd");
        let digest = digest.finish();
        assert_eq!(files.on_held_digest(0, digest), Some(digest));
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
