//! The client's end: a ticket if there is one, a log-in otherwise (protocol §2.5).

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    file::{Kept, Purpose, TicketFile},
    offer::{ACCEPTED, Keys, Share, seal},
    record::{RecordReader, RecordWriter},
    welcome::{ACCEPT, REFUSE},
};
use crate::{
    Error,
    control::{
        Control,
        message::Ticket,
        ssh::{
            client::{self, Connection, HostKeyCheck},
            credentials::Credentials,
        },
    },
};

/// Everything it takes to get into a server.
#[derive(Debug)]
pub struct Login {
    /// The host, as the user named it.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Longest wait for TCP, and for the handshake behind it.
    pub timeout: Duration,
    /// The account.
    pub user: String,
    /// What to prove it with.
    pub credentials: Credentials,
    /// How the server proves that it is the right one.
    pub check: HostKeyCheck,
    /// Where tickets are kept; without it every connection logs in.
    pub tickets: Option<TicketFile>,
}

/// A TCP connection, and how to go on with it.
#[derive(Debug)]
pub enum Dialled {
    /// The user is logged in.
    LoggedIn(Box<Connection>),
    /// There is a ticket, which is shown together with the first messages.
    Offering(Box<Offering>),
}

impl From<Connection> for Dialled {
    fn from(connection: Connection) -> Self {
        Self::LoggedIn(Box::new(connection))
    }
}

/// A TCP connection on which nothing has been said yet.
#[derive(Debug)]
pub(in crate::control) struct Reached {
    pub(in crate::control) stream: TcpStream,
    pub(in crate::control) peer: SocketAddr,
    pub(in crate::control) rtt: Duration,
}

impl Login {
    /// Connects. Logs in unless there is a ticket to try.
    ///
    /// # Errors
    /// As [`client::connect`].
    pub async fn dial(self) -> Result<Dialled, Error> {
        let ticket = self.ticket().await;
        let reached = client::dial(&self.host, self.port, self.timeout).await?;
        match ticket {
            Some(ticket) => Ok(Dialled::Offering(Box::new(Offering {
                login: self,
                reached,
                ticket,
            }))),
            None => Ok(self.log_in(reached).await?.into()),
        }
    }

    /// Connects and logs in, without a look at tickets.
    ///
    /// # Errors
    /// As [`client::connect`].
    pub async fn connect(self) -> Result<Connection, Error> {
        let reached = client::dial(&self.host, self.port, self.timeout).await?;
        self.log_in(reached).await
    }

    async fn log_in(self, reached: Reached) -> Result<Connection, Error> {
        let (connection, let_in) = client::log_in(
            reached,
            client::Who {
                host: &self.host,
                port: self.port,
                timeout: self.timeout,
                user: &self.user,
                credentials: &self.credentials,
                check: self.check.clone(),
            },
        )
        .await?;
        let keeper = self
            .tickets
            .clone()
            .zip(let_in.credential)
            .map(|(file, credential)| Keeper {
                file,
                purpose: self.purpose(),
                credential,
                host_key: let_in.host_key,
            });
        Ok(Connection {
            keeper,
            ..connection
        })
    }

    fn purpose(&self) -> Purpose {
        Purpose {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
        }
    }

    /// Takes a ticket out of the file: one that the same credential and the known host key led to.
    async fn ticket(&self) -> Option<Kept> {
        let file = self.tickets.clone()?;
        let admitted = self.credentials.labels().await;
        let trust = client::trust(&self.host, self.port, self.check.clone());
        let purpose = self.purpose();
        let taken = tokio::task::spawn_blocking(move || {
            file.take(&purpose, |ticket| {
                admitted.admits(&ticket.credential) && trust.trusts(&ticket.host_key)
            })
        });
        match taken.await {
            Ok(Ok(ticket)) => ticket,
            Ok(Err(error)) => {
                tracing::warn!(%error, "tickets are not used");
                None
            }
            Err(_) => None,
        }
    }
}

/// A connection with a ticket that has not been shown.
#[derive(Debug)]
pub struct Offering {
    login: Login,
    reached: Reached,
    ticket: Kept,
}

/// What became of an offer.
#[derive(Debug)]
pub(crate) enum Presented {
    /// The messages have been taken; their answer comes.
    Resumed(Box<Connection>),
    /// They have not: log in, then say them anew.
    Refused(Box<Relogin>),
}

impl Offering {
    /// Shows the ticket and says the first messages.
    pub(crate) async fn present(self, messages: &[u8]) -> Presented {
        let Self {
            login,
            reached,
            ticket,
        } = self;
        let Reached {
            mut stream,
            peer,
            rtt,
        } = reached;
        let exchange = exchange(&mut stream, &ticket, messages);
        let answered = tokio::time::timeout(login.timeout, exchange).await;
        let keys = match answered {
            Ok(Some(Answer::Accepted(keys))) => keys,
            Ok(Some(Answer::Refused)) => {
                let reached = Some(Reached { stream, peer, rtt });
                return Presented::Refused(Box::new(Relogin { login, reached }));
            }
            Ok(None) | Err(_) => {
                let reached = None;
                return Presented::Refused(Box::new(Relogin { login, reached }));
            }
        };
        super::watch(&stream);
        let (reader, writer) = stream.into_split();
        let control = Control::from_halves(
            RecordReader::new(reader, keys.server_to_client, Vec::new()),
            RecordWriter::new(writer, keys.client_to_server),
        );
        let keeper = login.tickets.clone().map(|file| Keeper {
            file,
            purpose: ticket.purpose,
            credential: ticket.credential,
            host_key: ticket.host_key,
        });
        Presented::Resumed(Box::new(Connection {
            control,
            binding: keys.binding,
            peer,
            rtt,
            keeper,
            path: ticket.path,
        }))
    }
}

enum Answer {
    Accepted(Box<Keys>),
    Refused,
}

/// Sends the offer and reads the answer; `None` when this is not how a server behaves.
async fn exchange(stream: &mut TcpStream, ticket: &Kept, messages: &[u8]) -> Option<Answer> {
    let own = Share::new()?;
    let mut random = [0; 32];
    crate::fill_random(&mut random);
    let Some(offer) = seal(&ticket.secret, &ticket.id, &random, &own.public, messages) else {
        // Too much to say at once. Nothing has been sent, so the connection is as good as new.
        return Some(Answer::Refused);
    };
    stream.write_all(&offer).await.ok()?;
    let mut answer = [0; ACCEPTED];
    stream.read_exact(&mut answer[..1]).await.ok()?;
    match answer[0] {
        ACCEPT => {}
        REFUSE => return Some(Answer::Refused),
        _ => return None,
    }
    stream.read_exact(&mut answer[1..]).await.ok()?;
    let theirs = answer.last_chunk::<32>()?;
    let keys = Keys::agree(&ticket.secret, own, theirs, &offer, &answer)?;
    Some(Answer::Accepted(Box::new(keys)))
}

/// A log-in after a ticket was refused.
#[derive(Debug)]
pub(crate) struct Relogin {
    login: Login,
    /// The connection that the refusal came on, if it can be used.
    reached: Option<Reached>,
}

impl Relogin {
    /// Logs in as if there had been no ticket.
    pub(crate) async fn log_in(self) -> Result<Connection, Error> {
        match self.reached {
            Some(reached) => self.login.log_in(reached).await,
            None => self.login.connect().await,
        }
    }
}

/// Keeps the ticket that a connection gets.
#[derive(Debug, Clone)]
pub struct Keeper {
    file: TicketFile,
    purpose: Purpose,
    credential: String,
    host_key: String,
}

impl Keeper {
    /// Writes a ticket down, with what was seen of the path. Blocks. A ticket that cannot be kept is no reason to fail.
    pub(crate) fn keep(self, ticket: &Ticket, path: Option<fasp_core::PathMemory>) {
        let kept = Kept::new(self.purpose, self.credential, self.host_key, ticket, path);
        if let Err(error) = self.file.add(kept) {
            tracing::warn!(%error, "the ticket is not kept");
        }
    }
}
