//! The server's side of a control connection: grants sessions, lists directories, passes wishes on.

mod facts;
mod grant;
mod joint;
mod list;
mod open;
mod rates;
mod running;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fasp_core::{ErrorCode, PathMemory, RatePolicy, SessionId};
use tokio::sync::mpsc;

pub use grant::{Access, Creation, FileGrant, Grant, ModeGrant, Observer, Permissions, Refusal};
use joint::{Joints, Opening, Seat};
pub use rates::{GrantedRates, PolicyBound, RateBound, RateRules, RateWish};
pub use running::RunningSessions;
use running::{Place, abort};

use crate::control::message::{self, BindingKind};
use crate::control::resume::Issuer;
use crate::control::source_pages::{Announced, ListRoom};
use crate::control::ssh::server::{Accepted, UserHandle};
use crate::control::{Control, ControlSender, Message};
use crate::engine::{Command, Finish, Handle, Report};
use crate::port::Port;
use crate::{Error, transfer};

/// How often the other side hears figures of a download.
const STATISTICS: Duration = Duration::from_secs(1);
/// How long a session may take to end by itself once its client has said that it leaves.
const LINGER: Duration = Duration::from_secs(1);

/// Who is on the other side of a control connection, and how sure we are.
#[derive(Debug)]
pub struct Client {
    /// The account that was let in.
    pub user: UserHandle,
    /// Where the control connection comes from, if it is known.
    pub peer: Option<SocketAddr>,
    /// What the data keys are bound to.
    pub binding: [u8; 32],
    /// Of which kind that is.
    pub binding_kind: BindingKind,
    /// Gives the client its ticket; nothing for clients without.
    pub issuer: Option<Issuer>,
    /// What the connection before this one saw of the path.
    pub path: Option<PathMemory>,
}

impl Client {
    /// A client of our own SSH endpoint.
    pub fn accepted(accepted: Accepted) -> (Self, Control) {
        let Accepted {
            user,
            control,
            binding,
            binding_kind,
            peer,
            issuer,
            path,
        } = accepted;
        (
            Self {
                user,
                peer: Some(peer),
                binding,
                binding_kind,
                issuer,
                path,
            },
            control,
        )
    }

    /// A client that reached this process through somebody else's SSH server.
    pub fn external(user: String) -> Self {
        Self {
            user: UserHandle { name: user },
            peer: None,
            binding: [0; 32],
            binding_kind: BindingKind::None,
            issuer: None,
            path: None,
        }
    }
}

/// What sessions of one server share.
#[derive(Debug, Clone)]
pub struct Context {
    /// The UDP port.
    pub port: Port,
    /// Who may do what.
    pub access: Arc<dyn Access>,
    /// The sessions that run, for those who want to end them.
    pub sessions: RunningSessions,
    /// What the lists of sources of all clients take.
    lists: ListRoom,
}

impl Context {
    /// Returns a context without sessions.
    pub fn new(port: Port, access: Arc<dyn Access>) -> Self {
        Self {
            port,
            access,
            sessions: RunningSessions::default(),
            lists: ListRoom::default(),
        }
    }
}

/// What other tasks tell the connection's task.
enum Told {
    /// A session has ended and its final message has been queued.
    Ended(SessionId),
    /// One of several sessions of this transfer has not done its work.
    Failed([u8; 16], ErrorCode, String),
}

/// A session of a control connection.
struct Running {
    handle: Handle,
    grant: Grant,
    /// The one in force.
    policy: RatePolicy,
    transfer: [u8; 16],
}

/// Serves one control connection until the client closes it.
///
/// # Errors
/// When the connection breaks or the client breaks the protocol; its sessions are ended then.
pub async fn serve(context: Context, client: Client, control: Control) -> Result<(), Error> {
    let Control {
        sender,
        mut receiver,
    } = control;
    let client = Arc::new(client);
    let (told, mut hears) = mpsc::unbounded_channel();
    let mut sessions: BTreeMap<u64, Running> = BTreeMap::new();
    let mut joints = Joints::default();
    let mut announced = Announced::default();
    sender.send(transfer::hello()).await?;
    let result = loop {
        let message = tokio::select! {
            Some(told) = hears.recv() => {
                match told {
                    Told::Ended(id) => {
                        sessions.remove(&id.0);
                        joints.on_end(id);
                    }
                    Told::Failed(transfer, code, text) => {
                        // The others cannot complete what it has left (protocol §13.5).
                        for running in sessions.values().filter(|r| r.transfer == transfer) {
                            running.handle.send(abort(code, &text));
                        }
                    }
                }
                continue;
            }
            message = receiver.receive() => message,
        };
        match message {
            Ok(Some(Message::Hello(hello))) => {
                if let Err(error) = message::agree_version(&hello) {
                    sender.send(refuse_connection(&error)).await?;
                    break Err(error);
                }
            }
            Ok(Some(Message::Sources(sources))) => {
                if let Err(error) = announced.add(&context.lists, sources) {
                    sender.send(refuse_connection(&error)).await?;
                    break Err(error);
                }
            }
            Ok(Some(Message::Open(mut open))) => {
                let list = announced.complete(&mut open);
                let (transfer_id, session_index) = (open.transfer_id, open.session_index);
                let opening = Opening::of(&open);
                let opened = match joints.find(&open) {
                    Ok(joint) => open::open(&context, &client, open, joint, list).await,
                    Err(refusal) => Err(refusal),
                };
                match opened {
                    Ok(opened) => {
                        let open::Opened {
                            id,
                            handle,
                            grant,
                            accept,
                            observer,
                            seat,
                        } = opened;
                        joints.insert(&opening, id, seat.joint());
                        let watch = Watch {
                            id,
                            client: Arc::clone(&client),
                            handle: handle.clone(),
                            observer,
                            grant: grant.clone(),
                            place: context.sessions.enter(id, &handle),
                            seat,
                            transfer: opening.transfer,
                        };
                        let policy = accept.policy;
                        sender.send(accept).await?;
                        if let Some(ticket) = client.issuer.as_ref().and_then(Issuer::issue) {
                            sender.send(ticket).await?;
                        }
                        watch.start(sender.clone(), told.clone())?;
                        let transfer = opening.transfer;
                        let running = Running {
                            handle,
                            grant,
                            policy,
                            transfer,
                        };
                        sessions.insert(id.0, running);
                    }
                    Err(Refusal {
                        code,
                        message,
                        hint,
                        demands,
                    }) => {
                        let transfer_id = Some(transfer_id);
                        sender
                            .send(message::Refuse {
                                transfer_id,
                                session_index,
                                code,
                                message,
                                hint,
                                demands,
                            })
                            .await?;
                    }
                }
            }
            Ok(Some(Message::List(request))) => {
                let answer = list::list(&context, &client, request).await;
                sender.send(answer).await?;
            }
            Ok(Some(Message::Inquiry(inquiry))) => {
                sender
                    .send(facts::facts(&context, &client, inquiry).await)
                    .await?;
            }
            Ok(Some(Message::Rate(rate))) => {
                if let Some(running) = sessions.get_mut(&rate.session_id.0) {
                    let change = running.grant.rates.change(&rate, running.policy);
                    if let Command::Rates {
                        policy: Some(policy),
                        ..
                    } = change
                    {
                        running.policy = policy;
                    }
                    running.handle.send(change);
                }
            }
            Ok(Some(Message::Pause(pause))) => {
                if let Some(running) = sessions.get(&pause.session_id.0) {
                    running.handle.send(Command::Pause(pause.paused));
                }
            }
            Ok(Some(Message::Closed(closed))) => {
                if let Some(running) = sessions.remove(&closed.session_id.0) {
                    tokio::spawn(linger(running.handle));
                }
            }
            Ok(Some(Message::Cancel(cancel))) => {
                for (id, Running { handle, .. }) in &sessions {
                    if cancel.session_id.is_none_or(|wanted| wanted.0 == *id) {
                        handle.send(abort(cancel.code, &cancel.message));
                    }
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    for Running { handle, .. } in sessions.values() {
        // A session that has done its work is not disturbed by this: it has ended, or is about to.
        handle.send(abort(
            ErrorCode::ConnectionLost,
            "the control connection was closed",
        ));
    }
    result
}

/// The client has left with its work done: whatever got lost of its goodbye, the session ends well.
async fn linger(handle: Handle) {
    tokio::time::sleep(LINGER).await;
    handle.send(Command::Close);
}

fn refuse_connection(error: &Error) -> message::Refuse {
    message::Refuse {
        transfer_id: None,
        session_index: 0,
        code: error.code(),
        message: error.to_string(),
        hint: error.hint(),
        demands: message::ContentProtection::None,
    }
}

/// A running session, as the thread that reads its reports has it.
struct Watch {
    id: SessionId,
    client: Arc<Client>,
    handle: Handle,
    observer: Observer,
    /// Held until the session has ended.
    grant: Grant,
    place: Place,
    seat: Seat,
    transfer: [u8; 16],
}

impl Watch {
    /// Starts the thread; it tells both sides what they should know.
    fn start(self, sender: ControlSender, told: mpsc::UnboundedSender<Told>) -> Result<(), Error> {
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("fasp-reports".into())
            .spawn(move || self.run(&sender, &told, &runtime))
            .map_err(Error::Thread)?;
        Ok(())
    }

    fn run(
        mut self,
        sender: &ControlSender,
        told: &mpsc::UnboundedSender<Told>,
        runtime: &tokio::runtime::Handle,
    ) {
        let id = self.id;
        let mut next = Instant::now();
        for report in &self.handle.reports {
            (self.observer)(id, &report);
            let message: Option<Message> = match report {
                Report::Connected => Some(message::Heard { session_id: id }.into()),
                Report::Statistics(s) if Instant::now() >= next => {
                    next = Instant::now() + STATISTICS;
                    Some(
                        message::Statistics {
                            session_id: id,
                            rate: s.rate,
                            loss_ppm: (s.loss * 1e6) as u32,
                            queueing_delay: s.queueing_delay,
                            rtt: s.rtt,
                        }
                        .into(),
                    )
                }
                Report::Finished(finish) => {
                    self.seat.on_finish(&finish);
                    if let Some((code, text)) = finish.error.clone().filter(|_| !finish.is_whole())
                    {
                        told.send(Told::Failed(self.transfer, code, text)).ok();
                    }
                    if let Some((issuer, path)) = self.client.issuer.as_ref().zip(finish.path) {
                        issuer.remember(path);
                    }
                    Some(last_word(id, *finish))
                }
                _ => None,
            };
            if let Some(message) = message {
                // A client that has gone hears nothing.
                runtime.block_on(sender.send(message)).ok();
            }
        }
        told.send(Told::Ended(id)).ok();
        drop((self.grant, self.place, self.seat));
    }
}

fn last_word(id: SessionId, finish: Finish) -> Message {
    let Finish {
        outcome,
        error,
        by_peer,
        ..
    } = finish;
    match error {
        Some((code, message))
            if !by_peer && code != ErrorCode::SomeFilesFailed && outcome.files_failed == 0 =>
        {
            message::Cancel {
                session_id: Some(id),
                code,
                message,
                hint: None,
            }
            .into()
        }
        _ => message::Closed {
            session_id: id,
            files_done: outcome.files_done,
            files_skipped: outcome.files_skipped,
            files_failed: outcome.files_failed,
            bytes: outcome.bytes,
        }
        .into(),
    }
}
