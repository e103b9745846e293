//! Messages on a byte stream (protocol §2.2), with bounded queues on the way out and none on the way in.

use std::{fmt, io};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
};

use super::message::{Message, max_length};
use crate::Error;

/// Messages that wait for the network before a sender has to.
const QUEUED_MESSAGES: usize = 64;
/// Bytes read at a time, and by which the buffer grows: an announced length alone costs nothing.
const READ_SIZE: usize = 16 * 1024;
/// The length and the kind.
const HEADER: usize = 5;

/// A control connection: both directions of one authenticated stream.
#[derive(Debug)]
pub struct Control {
    /// The way out; clones share the queue.
    pub sender: ControlSender,
    /// The way in.
    pub receiver: ControlReceiver,
}

impl Control {
    /// Starts a task that writes to `stream`; reading happens when [`ControlReceiver::receive`] is called.
    ///
    /// Must be called on a tokio runtime. When all senders are dropped, what is queued is written and the stream's
    /// writing side is shut down.
    pub fn new<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        Self::from_halves(reader, writer)
    }

    /// Does the same for a stream that comes in two parts, such as standard input and output.
    pub fn from_halves<R, W>(reader: R, writer: W) -> Self
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let (queue, queued) = mpsc::channel(QUEUED_MESSAGES);
        tokio::spawn(write_queued(writer, queued));
        Self {
            sender: ControlSender { queue },
            receiver: ControlReceiver {
                reader: Box::new(reader),
                buffer: Vec::new(),
            },
        }
    }
}

#[derive(Debug)]
enum Outgoing {
    Frame(Vec<u8>),
    Flushed(oneshot::Sender<()>),
}

async fn write_queued<W>(mut writer: W, mut queued: mpsc::Receiver<Outgoing>)
where
    W: AsyncWrite + Unpin,
{
    while let Some(next) = queued.recv().await {
        let done = match next {
            Outgoing::Frame(frame) => writer.write_all(&frame).await,
            Outgoing::Flushed(told) => match writer.flush().await {
                // The one who asked may have gone away; that changes nothing.
                Ok(()) => told.send(()).or(Ok(())),
                Err(e) => Err(e),
            },
        };
        let idle = queued.is_empty();
        // Ending the task closes the queue, which is how senders learn of a lost connection.
        if done.is_err() || (idle && writer.flush().await.is_err()) {
            return;
        }
    }
    drop(writer.shutdown().await);
}

/// The way out of a control connection.
#[derive(Debug, Clone)]
pub struct ControlSender {
    queue: mpsc::Sender<Outgoing>,
}

impl ControlSender {
    /// Queues a message; waits while the queue is full. Dropping the future before it is done queues nothing.
    ///
    /// # Errors
    /// [`Error::MessageTooLong`], or [`Error::ConnectionLost`] once the stream cannot be written any more.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        let frame = message.into().to_frame()?;
        self.queue
            .send(Outgoing::Frame(frame))
            .await
            .map_err(|_| Error::ConnectionLost(None))
    }

    /// Queues messages that belong together, so that they leave together; otherwise as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub(crate) async fn send_frames(&self, frames: Vec<u8>) -> Result<(), Error> {
        self.queue
            .send(Outgoing::Frame(frames))
            .await
            .map_err(|_| Error::ConnectionLost(None))
    }

    /// Waits until everything queued so far is handed to the stream.
    ///
    /// # Errors
    /// [`Error::ConnectionLost`] when that will not happen any more.
    pub async fn flush(&self) -> Result<(), Error> {
        let (told, done) = oneshot::channel();
        self.queue
            .send(Outgoing::Flushed(told))
            .await
            .map_err(|_| Error::ConnectionLost(None))?;
        done.await.map_err(|_| Error::ConnectionLost(None))
    }
}

/// The way in of a control connection.
pub struct ControlReceiver {
    reader: Box<dyn AsyncRead + Send + Unpin>,
    buffer: Vec<u8>,
}

impl fmt::Debug for ControlReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlReceiver")
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}

impl ControlReceiver {
    /// Returns the next message; `None` when the peer ended the stream between two messages.
    ///
    /// Messages of kinds this version does not know are passed over. Safe to drop at any await, as `select!` does: what
    /// was read stays in the buffer.
    ///
    /// # Errors
    /// [`Error::Violation`] for what protocol §2.2 and §12 forbid, [`Error::ConnectionLost`] when the stream breaks.
    pub async fn receive(&mut self) -> Result<Option<Message>, Error> {
        loop {
            while let Some((kind, end)) = self.complete()? {
                let message = Message::decode(kind, &self.buffer[HEADER..end])?;
                self.buffer.drain(..end);
                if self.buffer.is_empty() {
                    // A page-carrying message must not pin a megabyte for the rest of a long session.
                    self.buffer.shrink_to(READ_SIZE);
                }
                if message.is_some() {
                    return Ok(message);
                }
            }
            self.buffer.reserve(READ_SIZE);
            let read = self.reader.read_buf(&mut self.buffer).await;
            match read {
                Ok(0) if self.buffer.is_empty() => return Ok(None),
                Ok(0) => {
                    let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Err(Error::ConnectionLost(Some(cut)));
                }
                Ok(_) => {}
                Err(e) => return Err(Error::ConnectionLost(Some(e))),
            }
        }
    }

    /// Returns kind and end of the first message when all of it is buffered.
    fn complete(&self) -> Result<Option<(u8, usize)>, Error> {
        let [a, b, c, d, kind, ..] = *self.buffer.as_slice() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length == 0 || length > max_length(kind) {
            return Err(Error::Violation(format!(
                "a message of kind {kind} announces {length} bytes"
            )));
        }
        let end = length + 4;
        Ok((self.buffer.len() >= end).then_some((kind, end)))
    }
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
