//! Datagrams on their way to one system call.

use std::net::SocketAddr;

use crate::file::Block;
use crate::wire::header::{HEADER_SIZE, MAX_DATAGRAM, TAG_SIZE};

/// Most datagrams in one batch: what segmentation offload takes.
pub const MAX_SEGMENTS: usize = 64;
/// Most bytes in one batch: below the largest UDP payload, so that offload can carry it.
pub const MAX_BATCH: usize = 65_000;

/// A stretch of a file that the program has to read into the batch before it is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRead {
    /// The file's number.
    pub file: u32,
    /// Where in the file.
    pub offset: u64,
    /// Where in the batch's bytes.
    pub at: usize,
    /// How many bytes.
    pub length: usize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) number: u64,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) block: Option<(Block, usize)>,
}

/// Datagrams for one destination, all of one size but the last; reused from one system call to the next.
///
/// `Session::poll_transmit` fills it, the program reads file data into [`reads`](Self::reads), then
/// `Session::seal` makes it ready to be sent.
#[derive(Debug)]
pub struct TransmitBatch {
    /// The datagrams up to `end`, and what earlier ones left behind it: zeroing room that is filled at once costs as much as a
    /// third of sealing it.
    pub(super) bytes: Vec<u8>,
    end: usize,
    /// The datagram that is being planned, without what the program has to read.
    pub(super) head: Vec<u8>,
    pub(super) planned: Vec<Planned>,
    reads: Vec<BlockRead>,
    pub(super) destination: Option<SocketAddr>,
    max_segments: usize,
}

impl TransmitBatch {
    /// Makes a batch of at most `max_segments` datagrams: 1 where the socket has no segmentation offload.
    pub fn new(max_segments: usize) -> Self {
        let max_segments = max_segments.clamp(1, MAX_SEGMENTS);
        Self {
            bytes: Vec::with_capacity(MAX_BATCH),
            end: 0,
            head: Vec::with_capacity(MAX_DATAGRAM),
            planned: Vec::with_capacity(max_segments),
            reads: Vec::with_capacity(max_segments),
            destination: None,
            max_segments,
        }
    }

    /// Where the datagrams go.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.destination
    }

    /// The datagrams, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.end]
    }

    /// Size of every datagram but the last.
    pub fn segment_size(&self) -> usize {
        self.planned.first().map_or(0, |p| p.end - p.start)
    }

    /// How many datagrams there are.
    pub fn len(&self) -> usize {
        self.planned.len()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.planned.is_empty()
    }

    /// What has to be read, in the order of the bytes. Neighbours are often adjacent in the file as well.
    pub fn reads(&self) -> &[BlockRead] {
        &self.reads
    }

    /// Room for the bytes of one read. What is in it before is left from an earlier datagram.
    pub fn room(&mut self, read: &BlockRead) -> &mut [u8] {
        &mut self.bytes[read.at..read.at + read.length]
    }

    /// Room for several reads at once, for one scattered system call; `reads` is part of [`reads`](Self::reads).
    pub fn rooms(&mut self, reads: std::ops::Range<usize>) -> impl Iterator<Item = &mut [u8]> {
        let mut rest = &mut self.bytes[..];
        let mut at = 0;
        self.reads[reads].iter().map(move |read| {
            let (_, tail) = std::mem::take(&mut rest).split_at_mut(read.at - at);
            let (room, tail) = tail.split_at_mut(read.length);
            rest = tail;
            at = read.at + read.length;
            room
        })
    }

    pub(super) fn clear(&mut self) {
        self.end = 0;
        self.planned.clear();
        self.reads.clear();
        self.destination = None;
    }

    /// Whether one more datagram of `size` bytes fits.
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.planned.len() < self.max_segments && self.end + size <= MAX_BATCH
    }

    /// Whether the datagram added last is shorter than `size`, which ends the batch.
    pub(super) fn is_ended(&self, size: usize) -> bool {
        self.planned.last().is_some_and(|p| p.end - p.start < size)
    }

    /// Completes the datagram that has its frames in `head`; returns its size.
    pub(super) fn end_datagram(&mut self, number: u64, block: Option<Block>) -> usize {
        let start = self.end;
        let at = start + self.head.len();
        let length = block.map_or(0, |block| usize::from(block.length));
        self.end = at + length + TAG_SIZE;
        if self.bytes.len() < self.end {
            self.bytes.resize(self.end, 0);
        }
        self.bytes[start..at].copy_from_slice(&self.head);
        self.reads.extend(block.map(|block| BlockRead {
            file: block.file,
            offset: block.offset,
            at,
            length,
        }));
        self.planned.push(Planned {
            number,
            start,
            end: self.end,
            block: block.map(|block| (block, at)),
        });
        self.end - start
    }

    /// Turns the datagrams that carry this file's blocks into padding.
    pub(super) fn blank(&mut self, file: u32) {
        for planned in &mut self.planned {
            if planned.block.is_some_and(|(block, _)| block.file == file) {
                self.bytes[planned.start + HEADER_SIZE..planned.end].fill(0);
                planned.block = None;
            }
        }
        self.reads.retain(|read| read.file != file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plans a datagram of these frames, and of a block if it has a length.
    fn plan(batch: &mut TransmitBatch, frames: &[u8], length: u16) {
        batch.head.clear();
        batch.head.extend_from_slice(frames);
        let block = (length > 0).then_some(Block {
            file: 7,
            offset: 100,
            length,
            attempt: 0,
        });
        assert_eq!(
            batch.end_datagram(3, block),
            frames.len() + usize::from(length) + TAG_SIZE
        );
    }

    #[test]
    fn a_batch_that_is_used_again_shows_and_offers_only_what_is_planned() {
        let mut batch = TransmitBatch::new(8);
        plan(&mut batch, &[1; 50], 400);
        plan(&mut batch, &[2; 50], 400);
        for read in batch.reads().to_vec() {
            batch.room(&read).fill(9);
        }
        batch.clear();
        assert!(batch.bytes().is_empty() && batch.reads().is_empty());
        plan(&mut batch, &[3; 60], 0);
        plan(&mut batch, &[4; 20], 30);
        assert_eq!(batch.bytes().len(), 60 + TAG_SIZE + 20 + 30 + TAG_SIZE);
        assert_eq!(batch.bytes()[..60], [3; 60]);
        assert_eq!(batch.bytes()[60 + TAG_SIZE..][..20], [4; 20]);
        let [read] = batch.reads() else {
            panic!("one block is planned")
        };
        assert_eq!((read.at, read.length), (60 + TAG_SIZE + 20, 30));
        let rooms: Vec<_> = batch.rooms(0..1).map(|room| room.len()).collect();
        assert_eq!(rooms, [30]);
    }

    #[test]
    fn a_file_that_is_taken_out_leaves_zeros() {
        let mut batch = TransmitBatch::new(8);
        let header = [5; HEADER_SIZE];
        plan(&mut batch, &header, 40);
        let read = batch.reads()[0];
        batch.room(&read).fill(9);
        batch.blank(7);
        assert!(batch.reads().is_empty());
        assert_eq!(batch.bytes()[..HEADER_SIZE], header);
        assert!(batch.bytes()[HEADER_SIZE..].iter().all(|byte| *byte == 0));
    }
}
