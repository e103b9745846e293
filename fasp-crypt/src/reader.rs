//! Opening an envelope, chunk by chunk, in any order and from any thread.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::{Zeroize as _, Zeroizing};

use crate::chunk::{ChunkCipher, ChunkTag};
use crate::error::{Error, Result};
use crate::header::{HEADER_LEN, Header};
use crate::keyring::KeyRing;
use crate::layout::{Layout, TAG_LEN};
use crate::parallel;

/// Opens an envelope whose length is known.
///
/// Whoever has opened every chunk knows that nothing was changed, cut or added. To use single chunks before that, take
/// [`EnvelopeReader::random_access`], which makes sure of the length first (rule E-8).
#[derive(Debug)]
pub struct EnvelopeReader {
    header: Header,
    layout: Layout,
    cipher: ChunkCipher,
}

impl EnvelopeReader {
    /// Checks a header, the length of the envelope and the passphrase, in this order.
    ///
    /// `header` is the beginning of the envelope; more than [`HEADER_LEN`] bytes are not looked at.
    ///
    /// # Errors
    /// Those of [`Header::parse`]; then [`Error::Truncated`] for a length no envelope has; then [`Error::Cancelled`] and
    /// [`Error::OutOfMemory`] while the key is derived; then [`Error::BadPassphrase`].
    pub fn open(
        header: &[u8],
        envelope_len: u64,
        ring: &KeyRing,
        cancelled: &AtomicBool,
    ) -> Result<Self> {
        let header = Header::parse(header, ring.ceiling())?;
        let layout = header.layout(envelope_len)?;
        let file_key = ring.kek(header.kdf(), cancelled)?.unwrap(&header)?;
        Ok(Self {
            cipher: ChunkCipher::new(&file_key, &header),
            header,
            layout,
        })
    }

    /// Returns the header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Returns where everything is, and how long the file is if the envelope is whole.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Opens a chunk in place and returns how many plain bytes stand at the beginning of `chunk` now.
    ///
    /// # Errors
    /// [`Error::ChunkCorrupt`]; `chunk` holds zeros then (rule E-7). [`Error::Misuse`] for a chunk that does not exist or
    /// a buffer of another length than its [`sealed_len`](crate::ChunkSpan::sealed_len).
    pub fn open_chunk(&self, index: u64, chunk: &mut [u8]) -> Result<usize> {
        let span = self.layout.span(index)?;
        if chunk.len() != span.sealed_len() {
            return Err(Error::Misuse("the buffer is not as long as the chunk"));
        }
        let (body, tag) = chunk.split_at_mut(span.plain_len);
        let tag = ChunkTag::try_from(&*tag).map_err(|_| Error::Truncated)?;
        if self.cipher.open(index, body, tag) {
            Ok(span.plain_len)
        } else {
            chunk.zeroize();
            Err(Error::ChunkCorrupt(index))
        }
    }

    /// Opens some chunks, on several threads: `read` fills a buffer with the envelope's bytes from an offset on, `write` gets
    /// plain bytes and their offset in the file.
    ///
    /// What was written is of use only when every chunk was opened: a cut or an extension shows at the last one.
    ///
    /// # Errors
    /// Those of `read` and `write`, and [`Error::ChunkCorrupt`]; of several the one of the foremost chunk.
    /// [`Error::Cancelled`] between two chunks.
    pub fn open_each<E: From<Error> + Send>(
        &self,
        chunks: Range<u64>,
        threads: NonZeroUsize,
        cancelled: &AtomicBool,
        read: impl Fn(&mut [u8], u64) -> Result<(), E> + Sync,
        write: impl Fn(&[u8], u64) -> Result<(), E> + Sync,
    ) -> Result<(), E> {
        // Never longer than the whole body, which may be far below a full chunk.
        let longest = self.layout.span(0)?.sealed_len();
        parallel::for_each(
            chunks,
            threads,
            || Zeroizing::new(vec![0; longest]),
            |buffer, index| {
                if cancelled.load(Ordering::Relaxed) {
                    return Err(Error::Cancelled.into());
                }
                let span = self.layout.span(index)?;
                let chunk = &mut buffer[..span.sealed_len()];
                read(chunk, span.sealed_start)?;
                let plain_len = self.open_chunk(index, chunk)?;
                write(&chunk[..plain_len], span.plain_start)
            },
        )
    }

    /// Opens a whole envelope in memory, on several threads. Nothing comes out unless all of it is right.
    ///
    /// # Errors
    /// [`Error::ChunkCorrupt`] for the first chunk that is wrong, [`Error::Misuse`] if `envelope` has another length than
    /// the one that was opened.
    pub fn open_all(&self, envelope: &[u8], threads: NonZeroUsize) -> Result<Vec<u8>> {
        let body = envelope.get(HEADER_LEN..).unwrap_or_default();
        if envelope.len() as u64 != self.layout.envelope_len() {
            return Err(Error::Misuse("the envelope has another length"));
        }
        let size = self.layout.chunk_size();
        // One byte more than the plain ones makes room for an empty last chunk, and is cut off again.
        let plain_len = body.len() - TAG_LEN * self.layout.chunk_count() as usize;
        let mut plain = vec![0; plain_len];
        let rooms = plain
            .chunks_mut(size.plain_len() as usize)
            .map(Some)
            .chain([None]);
        let chunks = body.chunks(size.sealed_len() as usize).zip(rooms);
        let done = parallel::for_each(
            (0..).zip(chunks),
            threads,
            || (),
            |_: &mut (), (index, (chunk, room))| {
                let (sealed, tag) = chunk.split_at(chunk.len() - TAG_LEN);
                let room = room.unwrap_or_default();
                room.copy_from_slice(sealed);
                let tag = ChunkTag::try_from(tag).map_err(|_| Error::Truncated)?;
                if self.cipher.open(index, room, tag) {
                    Ok(())
                } else {
                    Err(Error::ChunkCorrupt(index))
                }
            },
        );
        if let Err(error) = done {
            plain.zeroize();
            return Err(error);
        }
        Ok(plain)
    }

    /// Makes sure of the length by opening the last chunk, in place; from then on each chunk can be used by itself.
    ///
    /// Returns also how many plain bytes stand at the beginning of `last` now.
    ///
    /// # Errors
    /// As [`EnvelopeReader::open_chunk`].
    pub fn random_access(self, last: &mut [u8]) -> Result<(RandomReader, usize)> {
        let plain_len = self.open_chunk(self.layout.last_index(), last)?;
        Ok((RandomReader(self), plain_len))
    }
}

/// An envelope whose length is known to be right, so that every chunk that opens can be used at once.
#[derive(Debug)]
pub struct RandomReader(EnvelopeReader);

impl RandomReader {
    /// Returns where everything is.
    pub const fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// Opens a chunk in place, as [`EnvelopeReader::open_chunk`].
    ///
    /// # Errors
    /// As there.
    pub fn open_chunk(&self, index: u64, chunk: &mut [u8]) -> Result<usize> {
        self.0.open_chunk(index, chunk)
    }
}
