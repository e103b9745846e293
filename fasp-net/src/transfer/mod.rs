//! A transfer as a client runs it: the type users meet first.

mod advice;
mod agree;
pub mod probe;
mod pump;

pub use advice::advice;
pub(crate) use agree::hello;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::Receiver;
use fasp_core::{ErrorCode, Rate, RatePolicy, SessionId};
use tokio::sync::mpsc;

use crate::Error;
use crate::control::ssh::client::Connection;
use crate::control::{ControlReceiver, ControlSender, Message, message};
use crate::engine::{Command, Handle, Sources};
use crate::event::{Event, Outcome};
use crate::port::Port;
use crate::request::TransferOptions;

/// What to transfer.
#[derive(Debug, Clone)]
pub enum Job {
    /// Local files to the server.
    Upload {
        /// What to send.
        sources: Sources,
        /// Where to put it, beneath the account's docroot.
        destination: Vec<u8>,
    },
    /// Files of the server to here.
    Download {
        /// What to fetch, beneath the account's docroot.
        sources: Vec<Vec<u8>>,
        /// Where to put it.
        destination: LocalDestination,
    },
}

/// Where a download goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalDestination {
    /// A directory, or the new name of a single source.
    Path(PathBuf),
    /// Nowhere: what arrives is checked and thrown away.
    Sink,
}

impl From<PathBuf> for LocalDestination {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

/// A running transfer.
///
/// Events are to be read until [`Event::Done`] or the channel's end; then [`wait`](Self::wait) gives the result.
#[derive(Debug)]
pub struct Transfer {
    events: Receiver<Event>,
    handle: Handle,
    wishes: mpsc::UnboundedSender<Message>,
    session: SessionId,
    is_upload: bool,
    result: JoinHandle<Result<Outcome, Error>>,
}

impl Transfer {
    /// Agrees with the server on a session over this connection and starts it. Must run on a tokio runtime.
    ///
    /// # Errors
    /// What the server refuses, a destination that cannot be, sockets and threads that cannot be had.
    pub async fn start(
        connection: Connection,
        job: Job,
        options: &TransferOptions,
    ) -> Result<Self, Error> {
        let Connection {
            control,
            binding,
            peer,
            rtt,
        } = connection;
        let (sender, mut receiver) = (control.sender, control.receiver);
        let is_upload = matches!(job, Job::Upload { .. });
        let agreed = agree::agree(&sender, &mut receiver, binding, peer, rtt, job, options).await?;
        let agree::Agreed {
            session,
            handle,
            port,
            started,
        } = agreed;
        let (event_sender, events) = crossbeam_channel::unbounded();
        let (wishes, wish_receiver) = mpsc::unbounded_channel();
        let (figures, figure_receiver) = crossbeam_channel::unbounded();
        let heard = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            session,
            handle: handle.clone(),
            figures,
            heard: Arc::clone(&heard),
        };
        let (done, done_receiver) = tokio::sync::oneshot::channel();
        tokio::spawn(follower.follow(sender, receiver, wish_receiver, done_receiver));
        let pump = pump::Pump::new(
            handle.reports.clone(),
            figure_receiver,
            event_sender,
            started,
            is_upload,
        );
        let result = std::thread::Builder::new()
            .name("fasp-events".into())
            .spawn(move || {
                let result = pump
                    .run()
                    .map_err(|end| explain(end, &port, heard.load(Ordering::Relaxed)));
                // The control connection may close now; it may be gone already.
                done.send(()).ok();
                result
            })
            .map_err(Error::Thread)?;
        Ok(Self {
            events,
            handle,
            wishes,
            session,
            is_upload,
            result,
        })
    }

    /// What happens, as it happens.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// A handle for other threads and signal handlers.
    pub fn remote(&self) -> Remote {
        Remote {
            handle: self.handle.clone(),
            wishes: self.wishes.clone(),
            session: self.session,
            is_upload: self.is_upload,
        }
    }

    /// Waits for the end, blocking the thread.
    ///
    /// # Errors
    /// Why the transfer ended early, or which files failed.
    pub fn wait(self) -> Result<Outcome, Error> {
        drop(self.wishes);
        match self.result.join() {
            Ok(result) => result,
            Err(_) => Err(Error::Session {
                code: ErrorCode::Internal,
                message: "the transfer's thread ended unexpectedly".into(),
                hint: None,
            }),
        }
    }
}

/// Steers a running transfer.
#[derive(Debug, Clone)]
pub struct Remote {
    handle: Handle,
    wishes: mpsc::UnboundedSender<Message>,
    session: SessionId,
    is_upload: bool,
}

impl Remote {
    /// Stops sending data until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.set_paused(true);
    }

    /// Continues after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.set_paused(false);
    }

    fn set_paused(&self, paused: bool) {
        if self.is_upload {
            self.handle.send(Command::Pause(paused));
        } else {
            self.wish(message::Pause {
                session_id: self.session,
                paused,
            });
        }
    }

    /// Ends the transfer cleanly with code 28.
    pub fn cancel(&self) {
        self.handle.send(Command::Abort {
            code: ErrorCode::Cancelled,
            message: "cancelled".into(),
        });
    }

    /// Changes target rate, minimum rate or policy in flight; what is absent stays.
    pub fn set_rates(&self, target: Option<Rate>, min: Option<Rate>, policy: Option<RatePolicy>) {
        if self.is_upload {
            self.handle.send(Command::Rates {
                target,
                min,
                policy,
            });
        }
        // The server clamps, logs, and for a download applies it.
        self.wish(message::Rate {
            session_id: self.session,
            target_rate: target,
            min_rate: min,
            policy,
        });
    }

    fn wish(&self, message: impl Into<Message>) {
        // A transfer that is over needs no steering.
        self.wishes.send(message.into()).ok();
    }
}

/// Follows the control channel while data moves.
struct Follower {
    session: SessionId,
    handle: Handle,
    figures: crossbeam_channel::Sender<message::Statistics>,
    heard: Arc<AtomicBool>,
}

impl Follower {
    async fn follow(
        self,
        sender: ControlSender,
        mut receiver: ControlReceiver,
        mut wishes: mpsc::UnboundedReceiver<Message>,
        mut done: tokio::sync::oneshot::Receiver<()>,
    ) {
        loop {
            tokio::select! {
                _ = &mut done => break,
                Some(wish) = wishes.recv() => {
                    // A lost connection shows on the receiving side.
                    sender.send(wish).await.ok();
                }
                message = receiver.receive() => match message {
                    Ok(Some(message)) => self.on_message(message),
                    Ok(None) => return self.abort(ErrorCode::ConnectionLost, "the server closed the control connection"),
                    Err(error) => return self.abort(error.code(), &error.to_string()),
                },
            }
        }
        // Dropping the sender closes the connection after what is queued has been written.
        sender.flush().await.ok();
    }

    fn on_message(&self, message: Message) {
        match message {
            Message::Statistics(figures) if figures.session_id == self.session => {
                self.figures.send(figures).ok();
            }
            Message::Heard(heard) if heard.session_id == self.session => {
                self.heard.store(true, Ordering::Relaxed);
            }
            Message::Cancel(cancel) => self.abort(cancel.code, &cancel.message),
            Message::Refuse(refuse) => self.abort(refuse.code, &refuse.message),
            _ => {}
        }
    }

    fn abort(&self, code: ErrorCode, message: &str) {
        self.handle.send(Command::Abort {
            code,
            message: message.to_owned(),
        });
    }
}

/// Turns the end of a session into an error with advice.
fn explain(end: pump::BadEnd, port: &Port, heard: bool) -> Error {
    let pump::BadEnd {
        code,
        message,
        server,
    } = end;
    let (code, message) = match code {
        ErrorCode::DataTimeout if port.is_refused() => (
            ErrorCode::DataFailed,
            format!("TCP works, but UDP to {server} is refused"),
        ),
        ErrorCode::DataTimeout if heard => (
            ErrorCode::DataBlocked,
            format!("TCP works, and datagrams reach {server} over UDP, but none comes back"),
        ),
        ErrorCode::DataTimeout => (
            code,
            format!("TCP works, but UDP to {server} was not answered within 10 s"),
        ),
        _ => (code, message),
    };
    Error::Session {
        code,
        message,
        hint: advice(code).map(str::to_owned),
    }
}
