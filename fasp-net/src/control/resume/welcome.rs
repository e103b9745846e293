//! The server's end: takes a ticket, or leaves the connection as if none had been offered (protocol §2.5).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use ring::digest;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};

use super::{
    Issuer, Tickets,
    offer::{ACCEPTED, HEAD, Head, Keys, Share, open},
    record::{RecordReader, RecordWriter},
    store::Remembered,
};
use crate::control::{
    Control,
    message::BindingKind,
    ssh::{
        gate::Ticket as Place,
        server::{Accepted, Admission},
    },
};

/// What an answer begins with.
pub(super) const REFUSE: u8 = 0;
pub(super) const ACCEPT: u8 = 1;

/// What became of an offer.
pub(in crate::control) enum Welcome {
    /// The ticket was good.
    Resumed(Box<Accepted>),
    /// It was not: the connection goes on as SSH.
    Refused(TcpStream, Place),
}

/// Reads an offer and answers it. The caller limits the time.
///
/// # Errors
/// What is no offer, and a connection that breaks: neither is answered.
pub(in crate::control) async fn welcome(
    mut stream: TcpStream,
    mut place: Place,
    tickets: &Tickets,
    admission: &Arc<dyn Admission>,
) -> io::Result<Welcome> {
    let peer = stream.peer_addr()?;
    let mut offer = vec![0; HEAD];
    stream.read_exact(&mut offer).await?;
    let head = offer.first_chunk().and_then(Head::parse);
    let head = head.ok_or(io::ErrorKind::InvalidData)?;
    offer.resize(HEAD + head.length, 0);
    stream.read_exact(&mut offer[HEAD..]).await?;
    let Some((remembered, messages)) = redeem(tickets, admission, &head, &offer, &mut place).await
    else {
        stream.write_all(&[REFUSE]).await?;
        return Ok(Welcome::Refused(stream, place));
    };
    let (keys, answer) = answer(&remembered, &head, &offer).ok_or(io::ErrorKind::InvalidData)?;
    stream.write_all(&answer).await?;
    place.authenticated();
    super::watch(&stream);
    let Remembered {
        user,
        state,
        logged_in,
        path,
        ..
    } = remembered;
    let issuer = Issuer::new(tickets.clone(), user.clone(), state, logged_in);
    let (reader, writer) = stream.into_split();
    let reader = Placed {
        stream: reader,
        _place: place,
    };
    let control = Control::from_halves(
        RecordReader::new(reader, keys.client_to_server, messages),
        RecordWriter::new(writer, keys.server_to_client),
    );
    Ok(Welcome::Resumed(Box::new(Accepted {
        issuer: Some(issuer),
        user,
        control,
        binding: keys.binding,
        binding_kind: BindingKind::Resumed,
        peer,
        path,
    })))
}

/// Takes the ticket that an offer names and returns the offer's messages; nothing when any of it is wrong.
async fn redeem(
    tickets: &Tickets,
    admission: &Arc<dyn Admission>,
    head: &Head,
    offer: &[u8],
    place: &mut Place,
) -> Option<(Remembered, Vec<u8>)> {
    let secret = tickets.find(Instant::now(), &head.id)?;
    let Some(messages) = open(&secret, offer) else {
        // Somebody has the id and not the secret.
        place.login_failed();
        return None;
    };
    let remembered = tickets.take(Instant::now(), &head.id)?;
    let (admission, name) = (Arc::clone(admission), remembered.user.name.clone());
    let state = tokio::task::spawn_blocking(move || account_state(&*admission, &name));
    let is_unchanged = state.await.ok()? == Some(remembered.state);
    is_unchanged.then_some((remembered, messages))
}

/// Returns a digest of what an account is like now.
pub(in crate::control) fn account_state(admission: &dyn Admission, user: &str) -> Option<[u8; 32]> {
    let state = zeroize::Zeroizing::new(admission.account_state(user)?);
    let digest = digest::digest(&digest::SHA256, &state);
    digest.as_ref().try_into().ok()
}

fn answer(remembered: &Remembered, head: &Head, offer: &[u8]) -> Option<(Keys, [u8; ACCEPTED])> {
    let own = Share::new()?;
    let mut answer = [ACCEPT; ACCEPTED];
    crate::fill_random(&mut answer[1..33]);
    answer[33..].copy_from_slice(&own.public);
    let keys = Keys::agree(&remembered.secret, own, &head.share, offer, &answer)?;
    Some((keys, answer))
}

/// A stream that keeps its place among the connections.
struct Placed<R> {
    stream: R,
    _place: Place,
}

impl<R: AsyncRead + Unpin> AsyncRead for Placed<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}
