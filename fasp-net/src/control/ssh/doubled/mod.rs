//! A stream whose first bytes travel twice, by TCP and in datagrams (protocol §2.7).
//!
//! Both ends know how once the server's identification line has gone by: it carries an [`Offer`].
//!
//! A handshake is a handful of lone segments, one a round trip: when one is lost nothing behind it tells TCP so, and its
//! timer costs two or three round trips. A copy in a datagram arrives nearly always when the segment does not. The
//! reader takes each byte from whichever comes first. Without UDP nothing changes.

mod ahead;
mod carrier;
mod datagram;
mod offer;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

pub(super) use self::offer::Offer;
use self::{
    ahead::Ahead,
    carrier::Carrier,
    datagram::{From, Keys, MAX_PIECE},
};
use super::transcript::Transcript;
use crate::port::Port;

/// Bytes of each direction that are doubled: a log-in, and the first messages behind it.
const LIMIT: u64 = 64 * 1024;
/// Datagrams that each piece goes in: of a dozen messages, one loses its segment and a lone datagram too often on a bad line.
const COPIES: usize = 2;
/// Receptions looked at in one go.
const MAX_RECEPTIONS: usize = 64;
/// Bytes of TCP that are thrown away in one go, because they have been here before.
const SCRATCH: usize = 4096;

/// A TCP stream with a second way for its first bytes.
#[derive(Debug)]
pub(super) struct Doubled<S = TcpStream> {
    stream: S,
    transcript: Arc<Transcript>,
    state: State,
    from: From,
    /// All that was written so far, until there is an address that copies can go to.
    unsent: Vec<u8>,
    /// Bytes handed to the reader, and taken from TCP: less than that while datagrams are ahead.
    read: u64,
    read_by_tcp: u64,
    written: u64,
}

/// `Waiting -> Active -> Over` at the client, `Active -> Over` at the server, or `Over` where there is no second way
#[derive(Debug)]
enum State {
    /// Until the server at this address has offered a second way.
    Waiting(IpAddr),
    Active(Box<Active>),
    Over,
}

#[derive(Debug)]
struct Active {
    from: From,
    keys: Keys,
    carrier: Carrier,
    ahead: Ahead,
}

impl Active {
    fn new(from: From, keys: Keys, carrier: Carrier) -> Box<Self> {
        Box::new(Self {
            from,
            keys,
            carrier,
            ahead: Ahead::default(),
        })
    }

    fn to_server(ip: IpAddr, offer: &Offer) -> io::Result<Box<Self>> {
        let carrier = Carrier::to_server(SocketAddr::new(ip, offer.port))?;
        Ok(Self::new(From::Client, Keys::derive(&offer.token), carrier))
    }

    fn on_port(port: &Port, offer: &Offer, client: IpAddr) -> Option<Box<Self>> {
        let keys = Keys::derive(&offer.token);
        let carrier = Carrier::on_port(port, &keys, client)?;
        Some(Self::new(From::Server, keys, carrier))
    }

    /// Sends copies of bytes that stand at `start` of the stream, or of nothing.
    fn send(&self, start: u64, bytes: &[u8]) {
        let datagrams = self.datagrams(start, bytes);
        // All of them once, then all of them again: what takes two in a row takes different ones.
        for _ in 0..COPIES {
            for datagram in &datagrams {
                self.carrier.send(datagram);
            }
        }
    }

    /// Returns the datagrams for bytes that stand at `start` of the stream, as far as those are doubled.
    fn datagrams(&self, start: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        let mut rest = bytes;
        loop {
            let offset = start + (bytes.len() - rest.len()) as u64;
            let (piece, behind) = rest.split_at(rest.len().min(MAX_PIECE));
            if offset + piece.len() as u64 > LIMIT {
                return datagrams;
            }
            // Below the limit, so it fits.
            datagrams.push(self.keys.seal(self.from, offset as u32, piece));
            if behind.is_empty() {
                return datagrams;
            }
            rest = behind;
        }
    }
}

impl<S> Doubled<S> {
    /// Wraps the client's end; `peer` is where TCP leads.
    pub(super) fn client(stream: S, transcript: &Arc<Transcript>, peer: IpAddr) -> Self {
        Self::new(stream, transcript, From::Client, State::Waiting(peer))
    }

    /// Wraps the server's end, which offers a second way on a port of its own to where TCP comes from, or only uses TCP.
    pub(super) fn server(
        stream: S,
        transcript: &Arc<Transcript>,
        way: Option<(&Port, &Offer)>,
        client: IpAddr,
    ) -> Self {
        let active = way.and_then(|(port, offer)| Active::on_port(port, offer, client));
        let state = active.map_or(State::Over, State::Active);
        Self::new(stream, transcript, From::Server, state)
    }

    fn new(stream: S, transcript: &Arc<Transcript>, from: From, state: State) -> Self {
        Self {
            stream,
            transcript: Arc::clone(transcript),
            state,
            from,
            unsent: Vec::new(),
            read: 0,
            read_by_tcp: 0,
            written: 0,
        }
    }

    /// Returns the second way while it is there, and opens it as soon as the server has offered one.
    fn active(&mut self) -> Option<&mut Active> {
        if let State::Waiting(server) = self.state
            && let Some(offer) = self.transcript.offer()
        {
            self.state = Active::to_server(server, offer).map_or(State::Over, State::Active);
            self.send_unsent();
        }
        if self.written >= LIMIT && self.read >= LIMIT {
            self.state = State::Over;
        }
        match &mut self.state {
            State::Active(active) => Some(active),
            State::Waiting(_) | State::Over => None,
        }
    }

    /// Sends copies of all that was said before there was an address for them.
    fn send_unsent(&mut self) {
        if let State::Active(active) = &self.state
            && active.carrier.has_peer()
            && !self.unsent.is_empty()
        {
            active.send(0, &std::mem::take(&mut self.unsent));
        }
    }

    /// Takes what came in datagrams; returns whether that gave the reader something.
    fn read_ahead(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> bool {
        let (from, read) = (self.from.other(), self.read);
        let Some(Active {
            keys,
            carrier,
            ahead,
            ..
        }) = self.active()
        else {
            return false;
        };
        let mut is_over = false;
        for left in (0..MAX_RECEPTIONS).rev() {
            match carrier.poll_receive(cx) {
                Poll::Ready(Some(received)) if !carrier.may_come_from(received.from) => {}
                Poll::Ready(Some(received)) => {
                    for datagram in received.bytes.chunks(received.stride) {
                        if let Some((offset, bytes)) = keys.open(from, datagram) {
                            carrier.heard_from(received.from);
                            ahead.insert(read, offset, bytes);
                        }
                    }
                }
                Poll::Ready(None) => {
                    is_over = true;
                    break;
                }
                Poll::Pending => break,
            }
            if left == 0 {
                cx.waker().wake_by_ref();
            }
        }
        let taken = ahead.take(read, buf.initialize_unfilled());
        buf.advance(taken);
        self.read += taken as u64;
        self.send_unsent();
        if is_over {
            self.state = State::Over;
        }
        taken > 0
    }

    /// Sends copies of bytes that TCP has just taken, or keeps them until that can be.
    fn double(&mut self, bytes: &[u8]) {
        let start = self.written;
        self.written += bytes.len() as u64;
        match &mut self.state {
            State::Active(active) if active.carrier.has_peer() => active.send(start, bytes),
            State::Active(_) | State::Waiting(_) if self.written <= LIMIT => {
                self.unsent.extend_from_slice(bytes);
            }
            // A peer that has not used the second way by now has none.
            State::Active(_) | State::Waiting(_) => {
                self.state = State::Over;
                self.unsent = Vec::new();
            }
            State::Over => {}
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Doubled<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read_ahead(cx, buf) {
            return Poll::Ready(Ok(()));
        }
        while this.read_by_tcp < this.read {
            let mut scratch = [0; SCRATCH];
            let wanted = (this.read - this.read_by_tcp).min(SCRATCH as u64) as usize;
            let mut old = ReadBuf::new(&mut scratch[..wanted]);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut old))?;
            if old.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.read_by_tcp += old.filled().len() as u64;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        let read = (buf.filled().len() - before) as u64;
        this.read += read;
        this.read_by_tcp += read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Doubled<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.active();
        // The first byte goes alone. When the segment behind it is lost, the server begins to talk all the same, and
        // when it is lost itself, TCP hears of that from the one behind it, long before its timer.
        let data = match (this.from, this.written) {
            (From::Client, 0) => &data[..data.len().min(1)],
            _ => data,
        };
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, data))?;
        this.double(&data[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "../doubled_tests.rs"]
mod tests;
