//! The stream of a resumed connection: sealed records with numbers (protocol §2.5).

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zeroize::Zeroizing;

use super::{expand, offer::TAG};

/// Most bytes of plaintext in a record.
const MAX_PLAIN: usize = 16_384;
/// Records after which the connection ends: far below what AES-GCM allows a key (RFC 9001 appendix B).
const MAX_RECORDS: u64 = 1 << 24;

/// The key of one direction; no number is used twice.
pub(super) struct RecordKey {
    key: LessSafeKey,
    iv: [u8; 12],
    next: u64,
}

impl RecordKey {
    pub(super) fn derive(master: &hkdf::Prk, direction: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        let mut iv = [0; 12];
        expand(master, &[direction, b" key"], &mut *key);
        expand(master, &[direction, b" iv"], &mut iv);
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*key).ok()?);
        Some(Self { key, iv, next: 0 })
    }

    fn nonce(&mut self) -> io::Result<Nonce> {
        if self.next >= MAX_RECORDS {
            return Err(broken("the connection's key is used up"));
        }
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.next.to_be_bytes()) {
            *byte ^= number;
        }
        self.next += 1;
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    /// Returns a whole record of at most [`MAX_PLAIN`] bytes; an empty one ends the stream.
    fn seal(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let nonce = self.nonce()?;
        // At most `MAX_PLAIN` and a tag, so it fits.
        let length = ((plain.len() + TAG) as u16).to_be_bytes();
        let mut record = Vec::with_capacity(2 + plain.len() + TAG);
        record.extend_from_slice(&length);
        record.extend_from_slice(plain);
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(length), &mut record[2..])
            .map_err(|_| broken("a record cannot be sealed"))?;
        record.extend_from_slice(tag.as_ref());
        Ok(record)
    }

    fn open(&mut self, length: [u8; 2], sealed: &mut [u8]) -> io::Result<usize> {
        let nonce = self.nonce()?;
        let plain = self.key.open_in_place(nonce, Aad::from(length), sealed);
        plain
            .map(|plain| plain.len())
            .map_err(|_| broken("a record was changed on the way"))
    }
}

fn broken(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The way in.
pub(super) struct RecordReader<R> {
    stream: R,
    key: RecordKey,
    /// The record that is being read, with its length.
    raw: Vec<u8>,
    /// What has been opened and not handed on.
    plain: Vec<u8>,
    taken: usize,
    is_ended: bool,
}

impl<R> RecordReader<R> {
    /// `first` is handed on before anything of the stream.
    pub(super) fn new(stream: R, key: RecordKey, first: Vec<u8>) -> Self {
        Self {
            stream,
            key,
            raw: Vec::new(),
            plain: first,
            taken: 0,
            is_ended: false,
        }
    }

    /// How many bytes the record lacks that is being read.
    fn lacking(&self) -> io::Result<usize> {
        let Some(length) = self.raw.first_chunk::<2>() else {
            return Ok(2 - self.raw.len());
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if !(TAG..=MAX_PLAIN + TAG).contains(&length) {
            return Err(broken("a record of forbidden length"));
        }
        Ok(2 + length - self.raw.len())
    }
}

impl<R> fmt::Debug for RecordReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordReader")
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for RecordReader<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.taken == this.plain.len() && !this.is_ended {
            let lacking = this.lacking()?;
            if lacking == 0 {
                let length = [this.raw[0], this.raw[1]];
                let plain = this.key.open(length, &mut this.raw[2..])?;
                this.plain.clear();
                this.plain.extend_from_slice(&this.raw[2..2 + plain]);
                this.raw.clear();
                this.taken = 0;
                this.is_ended = plain == 0;
                continue;
            }
            let mut space = [0; 4096];
            let limit = lacking.min(space.len());
            let mut buffer = ReadBuf::new(&mut space[..limit]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                // Without the record that ends it somebody has cut the stream.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            this.raw.extend_from_slice(buffer.filled());
        }
        let rest = &this.plain[this.taken..];
        let count = rest.len().min(out.remaining());
        out.put_slice(&rest[..count]);
        this.taken += count;
        Poll::Ready(Ok(()))
    }
}

/// The way out.
pub(super) struct RecordWriter<W> {
    stream: W,
    key: RecordKey,
    /// Sealed and not written yet.
    sealed: Vec<u8>,
    written: usize,
    is_ended: bool,
}

impl<W> RecordWriter<W> {
    pub(super) fn new(stream: W, key: RecordKey) -> Self {
        Self {
            stream,
            key,
            sealed: Vec::new(),
            written: 0,
            is_ended: false,
        }
    }
}

impl<W> fmt::Debug for RecordWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordWriter")
    }
}

impl<W: AsyncWrite + Unpin> RecordWriter<W> {
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.sealed.len() {
            let rest = &self.sealed[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, plain: &[u8]) -> io::Result<()> {
        self.sealed = self.key.seal(plain)?;
        self.written = 0;
        Ok(())
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for RecordWriter<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_empty(cx))?;
        if data.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = data.len().min(MAX_PLAIN);
        this.put(&data[..count])?;
        // The record is taken whatever becomes of it now; the rest leaves with the next call.
        match this.poll_empty(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_empty(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_empty(cx))?;
        if !this.is_ended {
            this.is_ended = true;
            this.put(b"")?;
            ready!(this.poll_empty(cx))?;
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::extract;
    use super::*;

    fn key() -> RecordKey {
        RecordKey::derive(&extract(b"salt", b"secret"), b"c2s").unwrap()
    }

    async fn sealed(parts: &[&[u8]], ends: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = RecordWriter::new(&mut out, key());
        for part in parts {
            writer.write_all(part).await.unwrap();
        }
        writer.flush().await.unwrap();
        if ends {
            writer.shutdown().await.unwrap();
        }
        out
    }

    async fn opened(sealed: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        let mut reader = RecordReader::new(sealed, key(), b"first ".to_vec());
        reader.read_to_end(&mut plain).await?;
        Ok(plain)
    }

    #[tokio::test]
    async fn a_stream_arrives_whole_behind_what_came_first() {
        let long = vec![7; 100_000];
        let sealed = sealed(&[b"a", &long, b"b"], true).await;
        let plain = opened(&sealed).await.unwrap();
        assert_eq!(plain, [b"first a", &long[..], b"b"].concat());
    }

    #[tokio::test]
    async fn cut_changed_repeated_and_reordered_records_end_the_stream() {
        let whole = sealed(&[b"one", b"two"], true).await;
        for at in 0..whole.len() {
            assert!(opened(&whole[..at]).await.is_err(), "cut at {at}");
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(opened(&changed).await.is_err(), "changed at {at}");
        }
        let size = 2 + 3 + TAG;
        let (one, rest) = whole.split_at(size);
        let (two, end) = rest.split_at(size);
        assert!(opened(&[one, one, two, end].concat()).await.is_err());
        assert!(opened(&[two, one, end].concat()).await.is_err());
        assert!(opened(&sealed(&[b"one"], false).await).await.is_err());
    }

    #[test]
    fn a_key_is_not_used_beyond_its_limit() {
        let mut key = key();
        key.next = MAX_RECORDS - 1;
        assert!(key.seal(b"last").is_ok());
        assert!(key.seal(b"one more").is_err());
    }
}
