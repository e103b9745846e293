//! A look at a server and at the way to it, without a transfer of files.
//!
//! [`Probe::start`] asks the server about itself; [`Probe::data_path`] opens a session without files, as any transfer
//! would, and ends it when datagrams came back and the search for the path's MTU has settled.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fasp_core::{
    ErrorCode, Event, KeyMaterial, Role, Session, SessionConfig, Side, TransferId, TransmitBatch,
};
use zeroize::Zeroizing;

use super::{Job, LocalDestination, agree, explain, pump::BadEnd};
use crate::{
    Error,
    control::{
        ControlReceiver, ControlSender, Message,
        message::{self, Accept, BindingKind, ContentProtection, Inquiry},
        ssh::client::Connection,
    },
    engine::Sources,
    port::{Port, Registration},
    request::{DATAGRAM_MAX, TransferOptions},
};

/// How long a server may take to answer a message.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The path's MTU counts as found when it has not changed for this long, or eight round trips if longer.
const SETTLED: Duration = Duration::from_millis(1500);
/// Longest sleep between two looks at the session's timers.
const TICK: Duration = Duration::from_millis(50);

/// A control connection that is used to look around.
#[derive(Debug)]
pub struct Probe {
    sender: ControlSender,
    receiver: ControlReceiver,
    binding: [u8; 32],
    peer: SocketAddr,
    rtt: Duration,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// Name and version of its software, as it calls itself: escape it where it is shown.
    pub software: String,
    /// How far its clock is ahead of ours, milliseconds; half a round trip is the error. `None` when it does not say.
    pub clock_ahead_ms: Option<i64>,
    /// Free and total bytes of the directory's file system; `None` when the account may not know.
    pub space: Option<(u64, u64)>,
}

/// A data path that works in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataPath {
    /// The server's UDP address.
    pub address: SocketAddr,
    /// The round-trip time of datagrams.
    pub rtt: Duration,
    /// The largest datagram that came through, bytes of UDP payload; `None` where the account may not send.
    pub datagram: Option<u16>,
}

impl Probe {
    /// Greets the server and asks it about itself and about the space for `path`. Must run on a tokio runtime.
    ///
    /// # Errors
    /// A connection that is lost, a server that refuses, or none of its protocol versions being ours.
    pub async fn start(
        connection: Connection,
        path: Vec<u8>,
    ) -> Result<(Self, ServerFacts), Error> {
        let Connection {
            control,
            binding,
            peer,
            rtt,
            ..
        } = connection;
        let mut probe = Self {
            sender: control.sender,
            receiver: control.receiver,
            binding,
            peer,
            rtt,
        };
        let asked = SystemTime::now();
        probe.sender.send(agree::hello()).await?;
        probe.sender.send(Inquiry { path }).await?;
        let software = loop {
            if let Message::Hello(hello) = probe.next().await? {
                message::agree_version(&hello)?;
                break hello.software;
            }
        };
        // A server that does not know the question passes over it.
        let facts = tokio::time::timeout(ANSWER_TIMEOUT, probe.facts()).await;
        let facts = facts.ok().transpose()?;
        let facts = ServerFacts {
            software,
            clock_ahead_ms: facts
                .as_ref()
                .map(|facts| ahead(facts.time_ms, asked, SystemTime::now())),
            space: facts.and_then(|facts| facts.free.zip(facts.total)),
        };
        Ok((probe, facts))
    }

    async fn facts(&mut self) -> Result<message::Facts, Error> {
        loop {
            if let Message::Facts(facts) = self.next().await? {
                return Ok(facts);
            }
        }
    }

    /// Sends datagrams to the server and hears those that come back.
    ///
    /// # Errors
    /// Code 14 when UDP is refused, 15 when nothing answers, 18 when datagrams arrive but none comes back, and what
    /// the server refuses.
    pub async fn data_path(mut self) -> Result<DataPath, Error> {
        match self.session(Role::Sender).await {
            // An account that may not write can still look at both directions, but not send large datagrams.
            Err(Error::Refused {
                code: ErrorCode::Authorization,
                ..
            }) => self.session(Role::Receiver).await,
            result => result,
        }
    }

    async fn session(&mut self, role: Role) -> Result<DataPath, Error> {
        let (session, port, registration, address) = self.open(role).await?;
        let id = session.id();
        let mut heard = false;
        let driven_port = port.clone();
        let mut driving = tokio::task::spawn_blocking(move || {
            Driver {
                session,
                port: driven_port,
                registration,
                role,
            }
            .run()
        });
        let driven = loop {
            tokio::select! {
                driven = &mut driving => break driven,
                message = self.receiver.receive() => match message {
                    Ok(Some(Message::Heard(message))) => heard |= message.session_id == id,
                    Ok(Some(_)) => {}
                    // The session ends by itself, and says more than the control connection does.
                    Ok(None) | Err(_) => break driving.await,
                },
            }
        };
        let driven = driven.unwrap_or_else(|_| {
            Err((
                ErrorCode::Internal,
                "the probe's thread ended unexpectedly".to_owned(),
            ))
        });
        match driven {
            Ok((rtt, datagram)) => Ok(DataPath {
                address,
                rtt,
                datagram: (role == Role::Sender).then_some(datagram),
            }),
            Err((code, message)) => {
                let server = address.to_string();
                let end = BadEnd {
                    code,
                    message,
                    server,
                };
                Err(explain(end, &port, heard))
            }
        }
    }

    /// Agrees on a session without files.
    async fn open(
        &mut self,
        role: Role,
    ) -> Result<(Session, Port, Registration, SocketAddr), Error> {
        let mut client_random = Zeroizing::new([0; 32]);
        crate::fill_random(&mut *client_random);
        let mut transfer = [0; 16];
        crate::fill_random(&mut transfer);
        let transfer = TransferId(transfer);
        let options = TransferOptions::default();
        let job = match role {
            Role::Sender => Job::Upload {
                sources: Sources::default(),
                destination: Vec::new(),
            },
            // The start directory itself: the session ends before anything of it is asked for.
            Role::Receiver => Job::Download {
                sources: vec![Vec::new()],
                destination: LocalDestination::Sink,
            },
        };
        let open = agree::open(transfer, *client_random, &job, &options, Vec::new());
        self.sender.send(open).await?;
        let accept = tokio::time::timeout(ANSWER_TIMEOUT, self.accept()).await;
        let accept = accept.map_err(|_| Error::ConnectionLost(None))??;
        let channel_binding = match accept.binding {
            BindingKind::SshTranscript | BindingKind::Resumed => self.binding,
            BindingKind::None if self.binding == [0; 32] => [0; 32],
            BindingKind::None => {
                let text = "the server gave up the channel binding";
                return Err(Error::Violation(text.into()));
            }
        };
        let address = SocketAddr::new(self.peer.ip(), accept.udp_port);
        let port = Port::connect(address)?;
        let registration = port.register_as(accept.session_id)?;
        let keys = KeyMaterial {
            client_random,
            server_random: Zeroizing::new(accept.server_random),
            channel_binding,
            session: accept.session_id,
            transfer,
        };
        let side = Side::Client { server: address };
        let config = SessionConfig {
            cipher: agree::chosen_cipher(&accept, &options)?,
            max_datagram: accept
                .datagram_max
                .min(DATAGRAM_MAX)
                .min(port.max_datagram(address.ip())),
            rtt: (!self.rtt.is_zero()).then_some(self.rtt),
            address_token: agree::address_token(&accept, address),
            ..SessionConfig::new(side, role, keys, crate::random_u64())
        };
        let session = Session::new(Instant::now(), config);
        Ok((session, port, registration, address))
    }

    async fn accept(&mut self) -> Result<Accept, Error> {
        loop {
            if let Message::Accept(accept) = self.next().await? {
                return Ok(accept);
            }
        }
    }

    /// Returns the next message that is no refusal.
    async fn next(&mut self) -> Result<Message, Error> {
        let (code, message, hint) = match self.receiver.receive().await? {
            Some(Message::Refuse(refuse)) => (refuse.code, refuse.message, refuse.hint),
            Some(Message::Cancel(cancel)) => (cancel.code, cancel.message, cancel.hint),
            Some(message) => return Ok(message),
            None => return Err(Error::ConnectionLost(None)),
        };
        Err(Error::Refused {
            code,
            message,
            hint,
            demands: ContentProtection::None,
        })
    }
}

/// Returns how far a clock that showed `theirs` between two of our times is ahead, milliseconds.
fn ahead(theirs: u64, asked: SystemTime, answered: SystemTime) -> i64 {
    let ours = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    };
    let (asked, answered) = (ours(asked), ours(answered));
    let middle = asked.saturating_add(answered.saturating_sub(asked) / 2);
    i64::try_from(theirs)
        .unwrap_or(i64::MAX)
        .saturating_sub(middle)
}

/// A session on a socket, with nothing to transfer.
struct Driver {
    session: Session,
    port: Port,
    registration: Registration,
    role: Role,
}

impl Driver {
    /// Returns the round-trip time and the size of datagrams, or how the session failed.
    fn run(mut self) -> Result<(Duration, u16), (ErrorCode, String)> {
        let mut batch = TransmitBatch::new(self.port.max_segments());
        let mut result = Ok((Duration::ZERO, 0));
        let mut size = 0;
        // When the size changed last; nothing before the first datagram came back.
        let mut changed: Option<Instant> = None;
        while !self.session.is_closed() {
            self.receive();
            let now = Instant::now();
            self.session.handle_timeout(now);
            while let Some(event) = self.session.poll_event() {
                match event {
                    Event::Connected => changed = Some(now),
                    Event::Closed(closed) => {
                        if let Some(code) = closed.error {
                            result = Err((code, closed.text));
                        }
                    }
                    _ => {}
                }
            }
            let statistics = self.session.statistics();
            if let Some(since) = &mut changed {
                if statistics.datagram_size != size {
                    (size, *since) = (statistics.datagram_size, now);
                }
                let settled = SETTLED.max(statistics.rtt * 8);
                if self.role == Role::Receiver || now.duration_since(*since) >= settled {
                    result = Ok((statistics.rtt, size));
                    self.session.close(now, None);
                    changed = None;
                }
            }
            while self.session.poll_transmit(Instant::now(), &mut batch) {
                self.session.seal(Instant::now(), &mut batch);
                self.send(&batch);
            }
            self.wait();
        }
        result
    }

    fn receive(&mut self) {
        let mut ignored = Vec::new();
        while let Some(mut inbound) = self.registration.try_receive() {
            for datagram in inbound.bytes[..inbound.length].chunks_mut(inbound.stride) {
                self.session.handle_datagram(
                    inbound.at,
                    inbound.from,
                    inbound.congestion_mark,
                    datagram,
                    &mut ignored,
                );
            }
            ignored.clear();
            self.port.recycle(inbound.bytes);
        }
    }

    fn send(&mut self, batch: &TransmitBatch) {
        let Err(error) = self.port.send(batch) else {
            return;
        };
        // What did not leave for another reason is a lost datagram; time-outs tell when none leaves any more.
        if error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error()) {
            self.session.datagram_too_big(batch.segment_size());
        }
    }

    fn wait(&self) {
        let now = Instant::now();
        let due = self.session.poll_timeout().unwrap_or(now);
        let timeout = due.saturating_duration_since(now).min(TICK);
        if timeout.is_zero() {
            return;
        }
        let mut select = crossbeam_channel::Select::new();
        select.recv(self.registration.queue());
        // Whatever woke the thread is found by the next round.
        select.ready_timeout(timeout).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_compared_with_the_middle_of_the_round_trip() {
        let at = |ms| UNIX_EPOCH + Duration::from_millis(ms);
        assert_eq!(ahead(1_500, at(1_000), at(2_000)), 0);
        assert_eq!(ahead(61_500, at(1_000), at(2_000)), 60_000);
        assert_eq!(ahead(0, at(1_000), at(2_000)), -1_500);
        assert_eq!(ahead(u64::MAX, at(0), at(0)), i64::MAX);
        // Our own clock was set back meanwhile.
        assert_eq!(ahead(1_000, at(2_000), at(1_000)), -500);
    }
}
