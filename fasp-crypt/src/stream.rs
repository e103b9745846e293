//! Envelopes as streams: for pipes, and for lengths nobody knows before the end.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::atomic::AtomicBool;

use zeroize::Zeroizing;

use crate::chunk::{ChunkCipher, ChunkTag};
use crate::error::{Error, Limit};
use crate::header::{HEADER_LEN, Header};
use crate::keyring::KeyRing;
use crate::keys::{FileKey, Kek};
use crate::layout::{ChunkSize, MAX_PLAIN_LEN, TAG_LEN};

/// Seals what is written to it. The envelope is complete after [`SealWriter::finish`], and refused by every reader before.
pub struct SealWriter<W> {
    inner: W,
    cipher: ChunkCipher,
    chunk: ChunkSize,
    /// The plain bytes of the chunk that is being filled.
    pending: Zeroizing<Vec<u8>>,
    index: u64,
}

impl<W: Write> SealWriter<W> {
    /// Begins an envelope, with chunks of 1 MiB, and writes its header.
    ///
    /// # Errors
    /// Those of `inner`, and [`Error::NoRandomness`].
    pub fn new(batch: &Kek, inner: W) -> io::Result<Self> {
        Self::with_file_key(
            batch,
            &FileKey::random().map_err(io::Error::other)?,
            ChunkSize::for_plain_len(None),
            inner,
        )
    }

    pub(crate) fn with_file_key(
        batch: &Kek,
        file_key: &FileKey,
        chunk: ChunkSize,
        mut inner: W,
    ) -> io::Result<Self> {
        let header = Header::build(chunk, *batch.params(), |prefix| {
            batch.wrap(prefix, file_key)
        });
        inner.write_all(header.as_bytes())?;
        Ok(Self {
            inner,
            cipher: ChunkCipher::new(file_key, &header),
            chunk,
            pending: Zeroizing::new(Vec::with_capacity(chunk.sealed_len() as usize)),
            index: 0,
        })
    }

    /// Writes the last chunk and returns what is beneath, flushed.
    ///
    /// # Errors
    /// Those of `inner`.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_chunk()?;
        self.inner.flush()?;
        Ok(self.inner)
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        let tag = self.cipher.seal(self.index, &mut self.pending);
        self.index += 1;
        self.pending.extend_from_slice(&tag);
        let written = self.inner.write_all(&self.pending);
        self.pending.clear();
        written
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let full = self.chunk.plain_len() as usize;
        if self.index * self.chunk.plain_len() >= MAX_PLAIN_LEN {
            return Err(io::Error::other(Error::LimitExceeded(Limit::Length)));
        }
        let taken = bytes.len().min(full - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        // A full chunk is never the last one, so it need not wait for what comes.
        if self.pending.len() == full {
            self.write_chunk()?;
        }
        Ok(taken)
    }

    /// Flushes what is beneath; a chunk that is not full stays here.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<W> fmt::Debug for SealWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealWriter")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// Opens an envelope while it is read.
///
/// What comes out was verified chunk by chunk, but that nothing is missing is known only when the end was reached
/// without an error: do not act on a part of it.
pub struct OpenReader<R> {
    inner: R,
    header: Header,
    cipher: ChunkCipher,
    /// The chunk that is being handed out, and how far.
    chunk: Zeroizing<Vec<u8>>,
    given: usize,
    index: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// More chunks follow.
    Reading,
    /// The last chunk was opened.
    Complete,
    /// Something was wrong, and stays so.
    Failed,
}

impl<R: Read> OpenReader<R> {
    /// Reads and checks the header, and the passphrase.
    ///
    /// # Errors
    /// Those of `inner`; an [`Error`] of this crate is inside an [`io::Error`] of kind `InvalidData`.
    pub fn new(mut inner: R, ring: &KeyRing, cancelled: &AtomicBool) -> io::Result<Self> {
        let mut bytes = [0; HEADER_LEN];
        let length = read_full(&mut inner, &mut bytes)?;
        let header = Header::parse(&bytes[..length], ring.ceiling()).map_err(invalid)?;
        let kek = ring.kek(header.kdf(), cancelled).map_err(invalid)?;
        let file_key = kek.unwrap(&header).map_err(invalid)?;
        Ok(Self {
            inner,
            cipher: ChunkCipher::new(&file_key, &header),
            header,
            chunk: Zeroizing::default(),
            given: 0,
            index: 0,
            state: State::Reading,
        })
    }

    /// Returns the header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Reads and opens the next chunk.
    fn next_chunk(&mut self) -> io::Result<()> {
        self.state = State::Failed;
        self.given = 0;
        let full = self.header.chunk_size().sealed_len() as usize;
        self.chunk.clear();
        self.chunk.resize(full, 0);
        let length = read_full(&mut self.inner, &mut self.chunk)?;
        let Some(plain_len) = length.checked_sub(TAG_LEN) else {
            self.chunk.clear();
            return Err(invalid(Error::Truncated));
        };
        let (body, rest) = self.chunk.split_at_mut(plain_len);
        let mut tag = ChunkTag::default();
        tag.copy_from_slice(&rest[..TAG_LEN]);
        let opened = self.cipher.open(self.index, body, tag);
        self.chunk.truncate(if opened { plain_len } else { 0 });
        if !opened {
            return Err(invalid(Error::ChunkCorrupt(self.index)));
        }
        self.index += 1;
        self.state = if length == full {
            State::Reading
        } else {
            State::Complete
        };
        Ok(())
    }
}

impl<R: Read> Read for OpenReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.chunk.len() && !out.is_empty() {
            match self.state {
                State::Reading => self.next_chunk()?,
                State::Complete => return Ok(0),
                State::Failed => return Err(invalid(Error::Truncated)),
            }
        }
        let rest = &self.chunk[self.given..];
        let taken = rest.len().min(out.len());
        out[..taken].copy_from_slice(&rest[..taken]);
        self.given += taken;
        Ok(taken)
    }
}

impl<R> fmt::Debug for OpenReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenReader")
            .field("index", &self.index)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Reads until the buffer is full or nothing comes any more; returns how much came.
fn read_full(inner: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match inner.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
