//! The server's end of the socket.

use std::{sync::Arc, time::Instant};

use fasp_core::{ErrorCode, Rate, RatePolicy, SessionId};
use fasp_net::serve::RunningSessions;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};
use tracing::{info, warn};
use transfer_spec::Direction;

use super::{
    AdminAnswer, AdminRequest, LinkStatus, MAX_REQUEST, PATIENCE, ServerStatus, SessionStatusLine,
    SessionSteering, UserStatus,
};
use crate::{
    Error,
    conf::Configuration,
    server::Wanted,
    sessions::{Live, SessionTable},
    state::StateDir,
};

/// Administrators at once.
const MAX_CONNECTIONS: usize = 16;

/// What the socket steers.
#[derive(Debug)]
pub(crate) struct AdminSocket {
    pub(crate) table: SessionTable,
    pub(crate) running: RunningSessions,
    pub(crate) configuration: Arc<Configuration>,
    /// To the server.
    pub(crate) wanted: mpsc::Sender<Wanted>,
    pub(crate) listen: std::net::SocketAddr,
    pub(crate) udp_port: u16,
    pub(crate) started: Instant,
    pub(crate) draining: tokio::sync::watch::Receiver<bool>,
}

/// Answers administrators until the task is dropped.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn serve(
    admin: AdminSocket,
    state: &StateDir,
) -> Result<impl Future<Output = ()> + Send + use<>, Error> {
    let listener = state.bind_admin()?;
    let admin = Arc::new(admin);
    let places = Arc::new(tokio::sync::Semaphore::new(MAX_CONNECTIONS));
    Ok(async move {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match accept(&listener).await {
                Some(stream) => {
                    let admin = Arc::clone(&admin);
                    tokio::spawn(async move {
                        // Whoever takes too long or breaks off has no answer to get.
                        tokio::time::timeout(PATIENCE, answer_one(&admin, stream))
                            .await
                            .ok();
                        drop(place);
                    });
                }
                None => tokio::time::sleep(PATIENCE / 50).await,
            }
        }
    })
}

/// Takes a connection of an account that may.
async fn accept(listener: &UnixListener) -> Option<UnixStream> {
    let (stream, _) = listener.accept().await.ok()?;
    let peer = stream.peer_cred().ok()?.uid();
    let may = peer == 0 || peer == rustix::process::geteuid().as_raw();
    if !may {
        warn!(uid = peer, "refused on the administrators' socket");
    }
    may.then_some(stream)
}

async fn answer_one(admin: &Arc<AdminSocket>, stream: UnixStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(read.take(MAX_REQUEST))
        .read_until(b'\n', &mut line)
        .await?;
    let answer = match super::read(&line) {
        Some(request) => answer(admin, request).await,
        None => refused("that is no request this server knows"),
    };
    write.write_all(&super::written(&answer)?).await?;
    write.shutdown().await
}

async fn answer(admin: &Arc<AdminSocket>, request: AdminRequest) -> AdminAnswer {
    match request {
        AdminRequest::Status => AdminAnswer::Status(Box::new(status(admin))),
        AdminRequest::Stop { id } => stop(admin, &id),
        AdminRequest::Rate { id, steering } => steer(admin, &id, &steering),
        AdminRequest::Reload => reload(admin).await,
        AdminRequest::Drain => {
            // A server that is gone drains already.
            admin.wanted.send(Wanted::Drain).await.ok();
            let sessions = admin.running.count() as u64;
            AdminAnswer::Done { sessions }
        }
    }
}

async fn reload(admin: &Arc<AdminSocket>) -> AdminAnswer {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let sent = admin.wanted.send(Wanted::Reload(answer)).await;
    match (sent, answered.await) {
        (Ok(()), Ok(Ok(()))) => AdminAnswer::Done {
            sessions: admin.running.count() as u64,
        },
        (Ok(()), Ok(Err(message))) => AdminAnswer::Refused { message },
        _ => refused("the server is ending"),
    }
}

fn refused(message: &str) -> AdminAnswer {
    AdminAnswer::Refused {
        message: message.to_owned(),
    }
}

/// The sessions that an id names: one, or all of a transfer.
fn named(admin: &AdminSocket, id: &str) -> Vec<(SessionId, Live)> {
    let id = id.to_ascii_lowercase();
    let mut sessions = admin.table.sessions();
    sessions.retain(|(session, live)| {
        session.to_string() == id || live.facts.transfer.to_string() == id
    });
    sessions
}

fn stop(admin: &AdminSocket, id: &str) -> AdminAnswer {
    let sessions = named(admin, id);
    if sessions.is_empty() {
        return refused("there is no such session");
    }
    let mut count = 0;
    for (id, live) in sessions {
        let text = "an administrator of the server ended the session";
        // A code that nobody takes for something that passes: the client does not come back by itself.
        if admin.running.cancel(id, ErrorCode::Cancelled, text) {
            count += 1;
            info!(session = %id, user = live.facts.user.as_str(), "ended by an administrator");
        }
    }
    AdminAnswer::Done { sessions: count }
}

fn steer(admin: &AdminSocket, id: &str, steering: &SessionSteering) -> AdminAnswer {
    let policy: Option<RatePolicy> = match steering.policy.as_deref().map(str::parse) {
        None => None,
        Some(Ok(policy)) => Some(policy),
        Some(Err(_)) => return refused("the policy is fixed, high, fair or low"),
    };
    let rate = |kbps: Option<u64>| kbps.map(Rate::from_kbps);
    let (target, min) = (
        rate(steering.target_rate_kbps),
        rate(steering.min_rate_kbps),
    );
    if target == Some(Rate::ZERO) {
        return refused("a target rate is above 0: stop the session instead");
    }
    let sessions = named(admin, id);
    if sessions.is_empty() {
        return refused("there is no such session");
    }
    let receives = sessions
        .iter()
        .any(|(_, live)| live.facts.direction == Direction::Upload);
    if receives && (min.is_some() || policy.is_some()) {
        return refused("the client sends this file: only the target rate can be set from here");
    }
    let changed = sessions
        .iter()
        .filter(|(id, _)| admin.table.steer(*id, target, min, policy));
    AdminAnswer::Done {
        sessions: changed.count() as u64,
    }
}

fn status(admin: &AdminSocket) -> ServerStatus {
    let sessions = admin.table.sessions();
    let mut users: Vec<UserStatus> = Vec::new();
    for (_, live) in &sessions {
        let name = live.facts.user.as_str();
        let rate_kbps = live.rate.kbps();
        match users.iter_mut().find(|user| user.name == name) {
            Some(user) => {
                user.sessions += 1;
                user.rate_kbps += rate_kbps;
            }
            None => users.push(UserStatus {
                name: name.to_owned(),
                sessions: 1,
                rate_kbps,
            }),
        }
    }
    let vlinks = admin.table.links().into_iter().map(|link| LinkStatus {
        id: link.id,
        name: link.name,
        direction: link.direction.map(|way| way.name().to_owned()),
        capacity_kbps: link.capacity.kbps(),
        used_kbps: link.used.kbps(),
        sessions: link.sessions as u64,
    });
    let conf = admin.configuration.current();
    ServerStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        listen: admin.listen.to_string(),
        udp_port: admin.udp_port,
        uptime_s: admin.started.elapsed().as_secs(),
        conf: conf.path.as_ref().map(|path| path.display().to_string()),
        is_draining: *admin.draining.borrow(),
        rate_kbps: users.iter().map(|user| user.rate_kbps).sum(),
        sessions: sessions.iter().map(|(id, live)| line(*id, live)).collect(),
        users,
        vlinks: vlinks.collect(),
    }
}

fn line(id: SessionId, live: &Live) -> SessionStatusLine {
    let statistics = &live.statistics;
    SessionStatusLine {
        id: id.to_string(),
        transfer_id: live.facts.transfer.to_string(),
        user: live.facts.user.to_string(),
        peer: live.facts.peer.to_string(),
        direction: live.facts.direction.name().to_owned(),
        policy: live.rates.policy.name().to_owned(),
        rate_kbps: live.rate.kbps(),
        target_rate_kbps: live.rates.target.map(Rate::kbps),
        limit_kbps: live.most().map(Rate::kbps),
        bytes: statistics.payload_delivered + statistics.payload_received,
        rtt_us: u64::try_from(statistics.rtt.as_micros()).unwrap_or(u64::MAX),
        loss_ratio: statistics.loss,
        elapsed_s: live.since.elapsed().as_secs(),
        vlink: live.facts.trunk,
    }
}
