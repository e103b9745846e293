//! A transfer as a client runs it: the type users meet first.

mod advice;
mod agree;
mod multi;
pub mod probe;
mod pump;

pub use advice::advice;
pub(crate) use agree::hello;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::Receiver;
use fasp_core::{ErrorCode, PathMemory, Rate, RatePolicy, SessionId};
use tokio::sync::mpsc;

use self::multi::{Answer, Crew, Gather, Member, Recruiter};
use crate::Error;
use crate::control::resume::dial::{Dialled, Keeper};
use crate::control::{Control, Message, message};
use crate::engine::{Decryption, Sources};
use crate::event::{Event, Outcome};
use crate::port::Port;
use crate::request::{Sessions, TransferOptions};

/// How long the server may take to answer `Open`: it may have to look at many files.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for the control connection's last words, once everything is done.
const FAREWELL: Duration = Duration::from_millis(250);
/// What they get to leave this machine.
const LAST_WRITE: Duration = Duration::from_millis(2);

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
    /// The same, and envelopes among what arrives are opened.
    Decrypted {
        /// As in [`LocalDestination::Path`].
        path: PathBuf,
        /// What opens them.
        decryption: Decryption,
    },
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
    crew: Crew,
    result: JoinHandle<Result<Outcome, Error>>,
}

impl Transfer {
    /// Agrees with the server on a session over this connection and starts it. Where a ticket is offered and refused,
    /// logs in first. Must run on a tokio runtime.
    ///
    /// # Errors
    /// What the server refuses, a destination that cannot be, sockets and threads that cannot be had; a log-in that
    /// fails.
    pub async fn start(
        connection: impl Into<Dialled>,
        job: Job,
        options: &TransferOptions,
    ) -> Result<Self, Error> {
        let is_upload = matches!(job, Job::Upload { .. });
        let protection = match &job {
            Job::Upload { sources, .. } => sources.protection().cloned(),
            Job::Download { .. } => None,
        };
        let options = &with_one_session_where_needed(options.clone(), &job);
        let agree::Agreed {
            session,
            handle,
            port,
            started,
            control,
            keeper,
            rates,
            notices,
            shared,
            job,
            ground,
            owner,
        } = agree::agree(connection.into(), job, options).await?;
        let (event_sender, events) = crossbeam_channel::unbounded();
        let (wishes, wish_receiver) = mpsc::unbounded_channel();
        let (figures, figure_receiver) = crossbeam_channel::unbounded();
        let (answer_sender, answers) = mpsc::unbounded_channel();
        let member = Member { session, handle };
        let (crew, joins) = Crew::new(member, rates, is_upload, wishes, shared.clone());
        let heard = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            session,
            crew: crew.clone(),
            answers: answer_sender,
            figures,
            heard: Arc::clone(&heard),
            ticket: None,
            keeper,
        };
        let (done, done_receiver) = tokio::sync::oneshot::channel();
        let (left, has_left) = crossbeam_channel::bounded::<()>(1);
        tokio::spawn(async move {
            follower.follow(control, wish_receiver, done_receiver).await;
            drop(left);
        });
        if let Some(shared) = shared {
            let recruiter = Recruiter {
                crew: crew.clone(),
                shared,
                transfer: started.transfer_id,
                job,
                options: options.clone(),
                ground,
                answers,
            };
            tokio::spawn(recruiter.run());
        }
        let gather = Gather::new(joins, figure_receiver);
        let pump = pump::Pump::new(gather, crew.clone(), event_sender, started, is_upload);
        let pump = pump.with_notices(notices);
        let result = std::thread::Builder::new()
            .name("fasp-events".into())
            .spawn(move || {
                let pump::Ended {
                    result,
                    whole,
                    path,
                } = pump.run();
                drop(owner);
                if let (Some(protection), Ok(_)) = (protection, &result) {
                    protection.completed();
                }
                let closed = whole.map(|outcome| closed(session, &outcome));
                // The control connection may close now; it may be gone already.
                done.send(Done { closed, path }).ok();
                // Nothing is sent here: this waits for the other end to be dropped.
                has_left.recv_timeout(FAREWELL).ok();
                result.map_err(|end| explain(end, &port, heard.load(Ordering::Relaxed)))
            })
            .map_err(Error::Thread)?;
        Ok(Self {
            events,
            crew,
            result,
        })
    }

    /// What happens, as it happens.
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// A handle for other threads and signal handlers.
    pub fn remote(&self) -> Remote {
        Remote(self.crew.clone())
    }

    /// Waits for the end, blocking the thread.
    ///
    /// # Errors
    /// Why the transfer ended early, or which files failed.
    pub fn wait(self) -> Result<Outcome, Error> {
        drop(self.crew);
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

/// Steers a running transfer: all of its sessions together.
#[derive(Debug, Clone)]
pub struct Remote(Crew);

impl Remote {
    /// Stops sending data until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.0.set_paused(true);
    }

    /// Continues after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.0.set_paused(false);
    }

    /// Ends the transfer cleanly with code 28.
    pub fn cancel(&self) {
        self.0.abort(ErrorCode::Cancelled, "cancelled");
    }

    /// Changes target rate, minimum rate or policy in flight; what is absent stays.
    pub fn set_rates(&self, target: Option<Rate>, min: Option<Rate>, policy: Option<RatePolicy>) {
        self.0.set_rates(target, min, policy);
    }
}

/// A receiver that deletes or runs dry has to see the whole list.
fn with_one_session_where_needed(mut options: TransferOptions, job: &Job) -> TransferOptions {
    let grows = matches!(job, Job::Upload { sources, .. } if sources.grow());
    if options.files.delete_absent || options.files.dry_run || grows {
        options.sessions = Sessions::Exactly(1);
    }
    options
}

/// How a session ended, for the control channel.
struct Done {
    /// What the server is told: the client leaves.
    closed: Option<message::Closed>,
    /// What goes with the ticket.
    path: Option<PathMemory>,
}

fn closed(session_id: SessionId, outcome: &Outcome) -> message::Closed {
    message::Closed {
        session_id,
        files_done: outcome.files_done,
        files_skipped: outcome.files_skipped,
        files_failed: outcome.files_failed,
        bytes: outcome.bytes,
    }
}

/// Follows the control channel while data moves.
struct Follower {
    session: SessionId,
    crew: Crew,
    /// To further sessions' `Open`.
    answers: mpsc::UnboundedSender<Answer>,
    figures: crossbeam_channel::Sender<message::Statistics>,
    heard: Arc<AtomicBool>,
    ticket: Option<message::Ticket>,
    keeper: Option<Keeper>,
}

impl Follower {
    async fn follow(
        mut self,
        control: Control,
        mut wishes: mpsc::UnboundedReceiver<Message>,
        mut done: tokio::sync::oneshot::Receiver<Done>,
    ) {
        let Control {
            sender,
            mut receiver,
        } = control;
        let done = loop {
            tokio::select! {
                done = &mut done => break done.ok(),
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
        };
        let Some(Done { closed, path }) = done else {
            return;
        };
        if let Some(closed) = closed {
            sender.send(closed).await.ok();
        }
        // Dropping the sender closes the connection after what is queued has been written.
        sender.flush().await.ok();
        drop(sender);
        if let Some((keeper, ticket)) = self.keeper.take().zip(self.ticket.take()) {
            let kept = tokio::task::spawn_blocking(move || keeper.keep(&ticket, path));
            kept.await.ok();
        }
        // What is flushed is with the carrier, whose own task writes it.
        tokio::time::sleep(LAST_WRITE).await;
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Ticket(ticket) => self.ticket = Some(ticket),
            Message::Statistics(figures) => {
                self.figures.send(figures).ok();
            }
            Message::Heard(heard) if heard.session_id == self.session => {
                self.heard.store(true, Ordering::Relaxed);
            }
            Message::Cancel(cancel) => self.abort(cancel.code, &cancel.message),
            Message::Accept(accept) => {
                self.answers.send(Ok(accept)).ok();
            }
            Message::Refuse(refuse) if refuse.session_index > 0 => {
                self.answers.send(Err(refuse)).ok();
            }
            Message::Refuse(refuse) => self.abort(refuse.code, &refuse.message),
            _ => {}
        }
    }

    fn abort(&self, code: ErrorCode, message: &str) {
        self.crew.abort(code, message);
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
