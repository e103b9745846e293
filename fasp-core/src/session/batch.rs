//! Datagrams on their way to one system call.

use std::net::SocketAddr;

use crate::file::Block;
use crate::wire::header::{HEADER_SIZE, TAG_SIZE};

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
    pub(super) bytes: Vec<u8>,
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
        &self.bytes
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

    /// Room for the bytes of one read.
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
        self.bytes.clear();
        self.planned.clear();
        self.reads.clear();
        self.destination = None;
    }

    /// Whether one more datagram of `size` bytes fits.
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.planned.len() < self.max_segments && self.bytes.len() + size <= MAX_BATCH
    }

    /// Whether the datagram added last is shorter than `size`, which ends the batch.
    pub(super) fn is_ended(&self, size: usize) -> bool {
        self.planned.last().is_some_and(|p| p.end - p.start < size)
    }

    /// Completes the datagram that starts at `start` and has its frames.
    pub(super) fn end_datagram(
        &mut self,
        number: u64,
        start: usize,
        block: Option<Block>,
    ) -> usize {
        let block = block.map(|block| {
            let at = self.bytes.len();
            self.bytes.resize(at + usize::from(block.length), 0);
            self.reads.push(BlockRead {
                file: block.file,
                offset: block.offset,
                at,
                length: usize::from(block.length),
            });
            (block, at)
        });
        self.bytes.resize(self.bytes.len() + TAG_SIZE, 0);
        let end = self.bytes.len();
        self.planned.push(Planned {
            number,
            start,
            end,
            block,
        });
        end - start
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
