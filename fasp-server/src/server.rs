//! A running server: one TCP port for logins and control, the UDP port of the same number for data.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use fasp_core::{DatagramCipher, ErrorCode, Rate};
use fasp_net::{
    control::{
        message,
        ssh::{
            HostKey,
            server::{Accepted, Admission, Endpoint, Limits},
        },
    },
    port::Port,
    serve::{self, Client, Context},
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tracing::{info, warn};

use crate::{
    Error,
    access::AccountAccess,
    limits::SessionRegistry,
    state::{ServerLock, StateDir},
    users::UserStore,
};

/// How often a free pair of ports is looked for when the port is left to the system.
const PORT_ATTEMPTS: u32 = 16;
/// How long sessions may take to end when the server is shut down.
const GRACE: Duration = Duration::from_secs(4);
/// How long a connection without a session may take to hear of it.
const FAREWELL: Duration = Duration::from_millis(200);
/// What clients are told then.
const SHUTTING_DOWN: &str = "the server is shutting down";
/// Age of a temporary file that nobody works on any more (rule D-9).
const STALE: Duration = Duration::from_secs(24 * 3600);

/// What a server starts with.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Where to listen, TCP and UDP. Port 0 takes a free one; an unspecified IPv6 address listens on IPv4 as well.
    pub listen: SocketAddr,
    /// The state directory; locked while the server runs.
    pub state: Arc<StateDir>,
    /// The highest rate under the policy `fixed`; `None` turns wishes for it into `fair` (rule W-30).
    pub fixed_cap: Option<Rate>,
    /// The ciphers allowed.
    pub ciphers: Vec<DatagramCipher>,
    /// What peers that have not logged in may use.
    pub limits: Limits,
}

impl ServerSettings {
    /// Returns the usual settings: port 33001 on all addresses, no policy `fixed`, encryption on.
    pub fn new(state: Arc<StateDir>) -> Self {
        Self {
            listen: SocketAddr::from(([0u16; 8], fasp_net::control::ssh::DEFAULT_PORT)),
            state,
            fixed_cap: None,
            ciphers: vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm],
            limits: Limits::default(),
        }
    }
}

/// A running server. Dropping it stops it abruptly; [`Server::shutdown`] tells the clients.
#[derive(Debug)]
pub struct Server {
    local: SocketAddr,
    fingerprint: String,
    sessions: SessionRegistry,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
    _lock: ServerLock,
}

impl Server {
    /// Locks the state directory, makes a host key if there is none, binds both ports and serves from then on.
    ///
    /// Must run on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::InUse`] for a second server on one state directory; [`Error::Net`] when the host key or an address
    /// cannot be used.
    pub async fn start(settings: ServerSettings) -> Result<Self, Error> {
        let lock = settings.state.lock_server()?;
        let host_key = HostKey::load_or_create(&settings.state.host_key_path())?;
        let fingerprint = host_key.fingerprint();
        let users = Arc::new(UserStore::new(Arc::clone(&settings.state)));
        let admission: Arc<dyn Admission> = Arc::clone(&users) as _;
        let (endpoint, port) = bind(&settings, &host_key, &admission).await?;
        let local = endpoint.local_addr();
        let sessions = SessionRegistry::default();
        let access = AccountAccess {
            users: Arc::clone(&users),
            sessions: sessions.clone(),
            fixed_cap: settings.fixed_cap,
            ciphers: settings.ciphers,
            local,
        };
        // Old files are looked for beside everything else: a slow disk need not keep clients waiting.
        drop(tokio::task::spawn_blocking(move || remove_stale(&users)));
        let context = Context::new(port, Arc::new(access));
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(run(endpoint, context, sessions.clone(), stopped));
        info!(local = %local, host_key = %fingerprint, "server started");
        Ok(Self {
            local,
            fingerprint,
            sessions,
            stop,
            running,
            _lock: lock,
        })
    }

    /// Returns the address listened on, with the port that was taken.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Returns the fingerprint of the host key, `SHA256:…`, which clients compare.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns how many sessions are open.
    pub fn sessions(&self) -> u32 {
        self.sessions.sessions()
    }

    /// Stops letting clients in, ends the sessions, tells their clients, and waits at most five seconds for the end of
    /// all of them (rule D-13).
    pub async fn shutdown(self) {
        // The receiver lives as long as the task, which may have ended already.
        self.stop.send_replace(true);
        if self.running.await.is_err() {
            warn!("the server ended unexpectedly");
        }
        info!("server stopped");
    }
}

/// Binds TCP first and UDP on the same number.
async fn bind(
    settings: &ServerSettings,
    host_key: &HostKey,
    admission: &Arc<dyn Admission>,
) -> Result<(Endpoint, Port), Error> {
    let listen = usable(settings.listen).await;
    let attempts = if listen.port() == 0 { PORT_ATTEMPTS } else { 1 };
    let mut last = None;
    for _ in 0..attempts {
        let admission = Arc::clone(admission);
        let endpoint = Endpoint::bind(listen, host_key.clone(), admission, settings.limits).await?;
        match Port::bind(SocketAddr::new(listen.ip(), endpoint.local_addr().port())) {
            Ok(port) => return Ok((endpoint, port)),
            // Somebody else has that number for UDP.
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| fasp_net::Error::Busy.into(), Error::from))
}

/// Falls back to all IPv4 addresses where the machine has no IPv6.
async fn usable(listen: SocketAddr) -> SocketAddr {
    let is_any = listen.is_ipv6() && listen.ip().is_unspecified();
    let probe = SocketAddr::new(listen.ip(), 0);
    if is_any && tokio::net::UdpSocket::bind(probe).await.is_err() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), listen.port());
    }
    listen
}

async fn run(
    mut endpoint: Endpoint,
    context: Context,
    sessions: SessionRegistry,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = endpoint.accept() => match accepted {
                Some(accepted) => {
                    connections.spawn(connection(context.clone(), accepted, stop.clone()));
                }
                None => break,
            },
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stop) => break,
        }
    }
    drop(endpoint);
    // Clients that listen hear it twice: each one's control connection tells it as well.
    context
        .sessions
        .end_all(ErrorCode::PeerAborted, SHUTTING_DOWN);
    let began = Instant::now();
    let farewell = began + FAREWELL;
    while !connections.is_empty() && began.elapsed() < GRACE {
        let is_idle = sessions.sessions() == 0 && context.sessions.count() == 0;
        if is_idle && Instant::now() >= farewell {
            break;
        }
        // Whether one ended or the time passed: both are looked at above.
        drop(tokio::time::timeout(FAREWELL / 4, connections.join_next()).await);
    }
    connections.shutdown().await;
}

/// Serves one client until it leaves; tells it when the server is shut down.
async fn connection(context: Context, accepted: Accepted, mut stop: watch::Receiver<bool>) {
    let (client, control) = Client::accepted(accepted);
    let user = client.user.name.clone();
    let peer = client.peer;
    let sender = control.sender.clone();
    let mut serving = std::pin::pin!(serve::serve(context, client, control));
    let result = tokio::select! {
        result = &mut serving => result,
        () = stopped(&mut stop) => {
            // A client that does not listen is cut off after the grace period.
            sender.send(farewell()).await.ok();
            serving.await
        }
    };
    if let Err(error) = result {
        let peer = peer.map(|peer| peer.to_string());
        info!(
            user,
            peer,
            errcode = error.code().number(),
            "control connection ended: {error}"
        );
    }
}

/// Waits until the server is to stop; one that was dropped without a word is to stop as well.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    stop.wait_for(|stop| *stop).await.map(drop).unwrap_or(());
}

fn farewell() -> message::Cancel {
    message::Cancel {
        session_id: None,
        code: ErrorCode::PeerAborted,
        message: SHUTTING_DOWN.to_owned(),
        hint: Some("run the same command again later: complete files are skipped".to_owned()),
    }
}

/// Removes what killed servers left behind at the top of each account's directory.
fn remove_stale(users: &UserStore) {
    // Accounts that cannot be read are reported when somebody logs in.
    let Ok(users) = users.current() else { return };
    for user in users.iter() {
        let root = docroot::Docroot::open(user.docroot.path()).and_then(|root| root.root_dir());
        let removed = root.and_then(|dir| dir.remove_stale(STALE));
        match removed {
            Ok(0) => {}
            Ok(count) => info!(user = user.name.as_str(), count, "removed stale files"),
            Err(error) => warn!(user = user.name.as_str(), "docroot: {error}"),
        }
    }
}
