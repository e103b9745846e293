//! A stream that remembers the clear-text part of an SSH handshake and yields the channel binding (protocol §3.2).
//!
//! The SSH library shows the exchange hash to the client only, so both ends hash what the host key signs: everything
//! sent before encryption starts. The recorder reads the binary packet framing of RFC 4253 section 6, holds at most
//! 64 KiB a direction, insists on strict key exchange, and on the server's side keeps the limits that apply to a peer
//! nobody has authenticated yet.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use ring::digest;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{doubled::Offer, identification::Comments};

/// Most bytes of one direction before encryption starts.
const MAX_CLEAR: usize = 64 * 1024;
/// Longest packet in the clear (RFC 4253 section 6.1 asks for 35,000).
const MAX_PACKET: usize = 35_000;
/// Longest identification line.
const MAX_LINE: usize = 255;
/// Most bytes before the identification line.
const MAX_BEFORE_IDENTIFICATION: usize = 1024;
/// Most bytes read from a peer before it is authenticated.
const MAX_UNAUTHENTICATED: usize = 256 * 1024;

const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;

/// How long an unauthenticated peer may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// Until its identification line is complete.
    pub(super) identification: Duration,
    /// Until it is authenticated, from accept.
    pub(super) authentication: Duration,
}

/// Who has which role on the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// What the stream and its owner share.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    binding: Mutex<Option<[u8; 32]>>,
    authenticated: AtomicBool,
    serving: AtomicBool,
    peer: OnceLock<Comments>,
}

impl Transcript {
    /// Returns the binding once both directions are encrypted.
    pub(super) fn binding(&self) -> Option<[u8; 32]> {
        *self.binding.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lifts the limits for unauthenticated peers; the peer gets as long again to say what it came for.
    pub(super) fn set_authenticated(&self) {
        self.authenticated.store(true, Ordering::Release);
    }

    /// Lifts the last deadline: the peer uses what we serve.
    pub(super) fn set_serving(&self) {
        self.serving.store(true, Ordering::Release);
    }

    /// Whether the peer's identification line says that the server opens the channel (protocol §2.1).
    pub(super) fn peer_pushes(&self) -> bool {
        self.peer.get().is_some_and(|peer| peer.push)
    }

    /// Whether the peer's line says that it takes a key's proof (protocol §2.9).
    pub(super) fn peer_takes_proofs(&self) -> bool {
        self.peer.get().is_some_and(|peer| peer.proof)
    }

    /// What the peer's line offers for second copies, once that has been read (protocol §2.7).
    pub(super) fn offer(&self) -> Option<&Offer> {
        self.peer.get()?.offer.as_ref()
    }

    /// Notes what the peer says of itself.
    pub(super) fn set_peer(&self, peer: Comments) {
        self.peer.get_or_init(|| peer);
    }

    fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Acquire)
    }

    fn is_authenticated(&self) -> bool {
        self.authenticated.load(Ordering::Acquire)
    }
}

/// One direction of the handshake.
#[derive(Debug)]
struct Recorder {
    /// The mark of strict key exchange that this direction must carry.
    strict_mark: &'static [u8],
    bytes: Vec<u8>,
    parsed: usize,
    state: State,
    /// What the identification line says, once it is there.
    comments: Option<Comments>,
}

/// `Identification -> Packets -> Encrypted`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Lines until one starts with `SSH-`.
    Identification,
    /// Packets until NEWKEYS.
    Packets,
    /// Nothing more to record.
    Encrypted,
}

impl Recorder {
    fn new(sender: Side) -> Self {
        Self {
            strict_mark: match sender {
                Side::Client => b"kex-strict-c-v00@openssh.com",
                Side::Server => b"kex-strict-s-v00@openssh.com",
            },
            bytes: Vec::new(),
            parsed: 0,
            state: State::Identification,
            comments: None,
        }
    }

    fn record(&mut self, data: &[u8]) -> io::Result<()> {
        if self.state == State::Encrypted {
            return Ok(());
        }
        self.bytes.extend_from_slice(data);
        while self.state == State::Identification {
            if !self.take_line()? {
                return Ok(());
            }
        }
        while self.state == State::Packets {
            if !self.take_packet()? {
                break;
            }
        }
        if self.state == State::Encrypted {
            self.bytes.truncate(self.parsed);
        } else if self.bytes.len() > MAX_CLEAR {
            return Err(refused("too many bytes before encryption"));
        }
        Ok(())
    }

    fn take_line(&mut self) -> io::Result<bool> {
        let rest = &self.bytes[self.parsed..];
        let end = rest.iter().position(|b| *b == b'\n').map(|at| at + 1);
        if end.unwrap_or(rest.len()) > MAX_LINE {
            return Err(refused("identification line too long"));
        }
        let Some(end) = end else { return Ok(false) };
        if rest.starts_with(b"SSH-") {
            self.comments = Some(Comments::parse(&rest[..end]));
            self.state = State::Packets;
        } else if self.parsed + end > MAX_BEFORE_IDENTIFICATION {
            return Err(refused("no identification"));
        }
        self.parsed += end;
        Ok(true)
    }

    fn take_packet(&mut self) -> io::Result<bool> {
        let rest = &self.bytes[self.parsed..];
        let [a, b, c, d, ..] = *rest else {
            return Ok(false);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        // A padding length, a message number and four bytes of padding at least.
        if !(6..=MAX_PACKET).contains(&length) {
            return Err(refused("packet of forbidden length"));
        }
        let Some(packet) = rest.get(4..4 + length) else {
            return Ok(false);
        };
        match packet[1] {
            KEXINIT if !offers_strict(packet, self.strict_mark) => {
                return Err(refused("no strict key exchange offered"));
            }
            NEWKEYS => self.state = State::Encrypted,
            _ => {}
        }
        self.parsed += 4 + length;
        Ok(true)
    }
}

/// Looks for the mark among the key exchange methods: after padding length, message number and a 16-byte cookie.
fn offers_strict(packet: &[u8], mark: &[u8]) -> bool {
    let Some([a, b, c, d, names @ ..]) = packet.get(18..) else {
        return false;
    };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    names
        .get(..length)
        .is_some_and(|names| names.split(|b| *b == b',').any(|name| name == mark))
}

/// Records one direction on its own; `None` unless it gets as far as encryption.
#[cfg(feature = "testing")]
pub(crate) fn recorded(from_client: bool, bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    let sender = if from_client {
        Side::Client
    } else {
        Side::Server
    };
    let mut recorder = Recorder::new(sender);
    for piece in bytes.chunks(piece) {
        recorder.record(piece).ok()?;
    }
    (recorder.state == State::Encrypted).then_some(recorder.bytes)
}

fn refused(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// The limits of a peer that is not served yet.
#[derive(Debug)]
struct Probation {
    /// When authentication has to be done; moved once, when it is.
    end: Instant,
    extended: bool,
    deadlines: Deadlines,
    timer: Pin<Box<Sleep>>,
    read: usize,
}

/// A stream whose handshake is recorded.
#[derive(Debug)]
pub(super) struct Recorded<S> {
    stream: S,
    transcript: Arc<Transcript>,
    incoming: Recorder,
    outgoing: Recorder,
    side: Side,
    probation: Option<Probation>,
}

impl<S> Recorded<S> {
    /// Wraps the client's end.
    pub(super) fn client(stream: S, transcript: &Arc<Transcript>) -> Self {
        Self::new(stream, transcript, Side::Client, None)
    }

    /// Wraps the server's end of a connection that was accepted at `began`.
    pub(super) fn server(
        stream: S,
        transcript: &Arc<Transcript>,
        deadlines: Deadlines,
        began: Instant,
    ) -> Self {
        let probation = Probation {
            end: began + deadlines.authentication,
            extended: false,
            deadlines,
            timer: Box::pin(tokio::time::sleep_until(began + deadlines.identification)),
            read: 0,
        };
        Self::new(stream, transcript, Side::Server, Some(probation))
    }

    fn new(
        stream: S,
        transcript: &Arc<Transcript>,
        side: Side,
        probation: Option<Probation>,
    ) -> Self {
        let peer = match side {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        };
        Self {
            stream,
            transcript: Arc::clone(transcript),
            incoming: Recorder::new(peer),
            outgoing: Recorder::new(side),
            side,
            probation,
        }
    }

    fn publish_binding(&mut self) {
        let ready = [&self.incoming, &self.outgoing]
            .iter()
            .all(|r| r.state == State::Encrypted && !r.bytes.is_empty());
        if !ready {
            return;
        }
        let (client, server) = match self.side {
            Side::Client => (&mut self.outgoing, &mut self.incoming),
            Side::Server => (&mut self.incoming, &mut self.outgoing),
        };
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(&std::mem::take(&mut client.bytes));
        hash.update(&std::mem::take(&mut server.bytes));
        let mut binding = [0; 32];
        binding.copy_from_slice(hash.finish().as_ref());
        *self
            .transcript
            .binding
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(binding);
    }

    /// One deadline over all of the handshake, not one per read: a peer that trickles bytes gains nothing (W-37).
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(probation) = &mut self.probation else {
            return Ok(());
        };
        if self.transcript.is_serving() {
            self.probation = None;
            return Ok(());
        }
        if !probation.extended && self.transcript.is_authenticated() {
            probation.extended = true;
            probation.end = Instant::now() + probation.deadlines.authentication;
            probation.timer.as_mut().reset(probation.end);
        }
        while probation.timer.as_mut().poll(cx).is_ready() {
            let identified = self.incoming.state != State::Identification;
            if !identified || Instant::now() >= probation.end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            probation.timer.as_mut().reset(probation.end);
        }
        Ok(())
    }

    fn count_unauthenticated(&mut self, read: usize) -> io::Result<()> {
        if let Some(probation) = &mut self.probation {
            probation.read += read;
            if probation.read > MAX_UNAUTHENTICATED && !self.transcript.is_authenticated() {
                return Err(refused("too many bytes before authentication"));
            }
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_deadline(cx)?;
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = polled {
            let read = &buf.filled()[before..];
            this.count_unauthenticated(read.len())?;
            if this.incoming.state != State::Encrypted {
                this.incoming.record(read)?;
                if let Some(peer) = this.incoming.comments.take() {
                    this.transcript.set_peer(peer);
                }
                this.publish_binding();
            }
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_deadline(cx)?;
        let polled = Pin::new(&mut this.stream).poll_write(cx, data);
        if let Poll::Ready(Ok(written)) = polled
            && this.outgoing.state != State::Encrypted
        {
            this.outgoing.record(&data[..written])?;
            this.publish_binding();
        }
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "transcript_tests.rs"]
mod tests;
