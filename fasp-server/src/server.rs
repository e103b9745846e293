//! A running server: one TCP port for logins and control, the UDP port of the same number for data.

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
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
    serve::{self, Client, Context},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::Instant,
};
use tracing::{error, info, warn};

use crate::{
    Error,
    access::AccountAccess,
    admin::{self, AdminSocket},
    admit::Admit,
    conf::{ConfSource, Configuration, Document},
    hook::Hook,
    limits::SessionRegistry,
    listen::{UdpPlan, bind},
    log::LogControl,
    policy::{Defaults, Policy, Wish},
    ports::Ports,
    sessions::SessionTable,
    state::{ServerLock, StateDir},
    users::UserStore,
};

/// How long sessions may take to end when the server is shut down.
const GRACE: Duration = Duration::from_secs(4);
/// How long a connection without a session may take to hear of it.
const FAREWELL: Duration = Duration::from_millis(200);
/// What clients are told then.
const SHUTTING_DOWN: &str = "the server is shutting down";
/// How often virtual links look at the clock: what they carry may depend on the time of day.
pub(crate) const CLOCK: Duration = Duration::from_secs(5);
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
    /// Clients may say to whom what they send belongs, as far as this process may give files away (rule P-7).
    pub keeps_owners: bool,
    /// The ciphers allowed.
    pub ciphers: Vec<DatagramCipher>,
    /// Where `aspera.conf` is.
    pub conf: ConfSource,
    /// The UDP ports that are tried for data, in their order; `None` is what `aspera.conf` names, or the number of the
    /// TCP port.
    pub udp_ports: Option<RangeInclusive<u16>>,
    /// A program that runs before and after sessions and after files, with an absolute path.
    pub prepost: Option<PathBuf>,
    /// Uploads are refused and end where less than this is free, bytes.
    pub free_space_floor: Option<u64>,
    /// What peers that have not logged in may use.
    pub limits: Limits,
    /// The log, when it is to obey `aspera.conf` again after a reload.
    pub log: Option<LogControl>,
}

impl ServerSettings {
    /// Returns the usual settings: port 33001 on all addresses, no policy `fixed`, encryption on.
    pub fn new(state: Arc<StateDir>) -> Self {
        Self {
            listen: SocketAddr::from(([0u16; 8], fasp_net::control::ssh::DEFAULT_PORT)),
            state,
            fixed_cap: None,
            keeps_owners: false,
            ciphers: vec![DatagramCipher::Aes128Gcm, DatagramCipher::Aes256Gcm],
            conf: ConfSource::Nowhere,
            udp_ports: None,
            prepost: None,
            free_space_floor: None,
            limits: Limits::default(),
            log: None,
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
    wanted: mpsc::Sender<Wanted>,
    _lock: SharedLock,
}

/// What others ask of a running server.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// Read the configuration again; the answer says why not.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Let nobody in any more, and end when the last session has.
    Drain,
}

/// Given up before the server ends when it drains: another one may start then.
type SharedLock = Arc<Mutex<Option<ServerLock>>>;

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
        let configuration = Arc::new(Configuration::load(settings.conf.clone())?);
        let users = Arc::new(UserStore::new(Arc::clone(&settings.state)));
        let admission: Arc<dyn Admission> = Arc::clone(&users) as _;
        let udp = UdpPlan::of(&settings, &configuration);
        let (endpoint, port) = bind(&settings, &udp, &host_key, &admission).await?;
        let local = endpoint.local_addr();
        let sessions = SessionRegistry::default();
        let table = SessionTable::default();
        let access = AccountAccess {
            users: Arc::clone(&users),
            configuration: Arc::clone(&configuration),
            defaults: Defaults {
                fixed_cap: settings.fixed_cap,
                ciphers: settings.ciphers,
                keeps_owners: settings.keeps_owners,
                root: None,
            },
            ports: Ports::new(port.clone(), udp.configured),
            admit: Admit {
                sessions: sessions.clone(),
                table: table.clone(),
                hook: settings.prepost.clone().map(Hook::new).transpose()?,
                free_space_floor: settings.free_space_floor,
            },
        };
        let udp_port = port.local_address().port();
        let context = Context::new(port, Arc::new(access));
        table.begin(context.sessions.clone(), configuration.current());
        let (stop, stopped) = watch::channel(false);
        let (drain, draining) = watch::channel(false);
        let (wanted, wants) = mpsc::channel(16);
        let socket = AdminSocket {
            table: table.clone(),
            running: context.sessions.clone(),
            configuration: Arc::clone(&configuration),
            wanted: wanted.clone(),
            listen: local,
            udp_port,
            started: std::time::Instant::now(),
            draining,
        };
        let admin = admin::serve(socket, &settings.state)?;
        // Old files are looked for beside everything else: a slow disk need not keep clients waiting.
        let document = configuration.current();
        drop(tokio::task::spawn_blocking(move || {
            remove_stale(&users, &document);
        }));
        let lock = Arc::new(Mutex::new(Some(lock)));
        let running = tokio::spawn(
            Running {
                endpoint: Some(endpoint),
                context,
                sessions: sessions.clone(),
                table,
                configuration,
                log: settings.log,
                lock: Arc::downgrade(&lock),
                drain,
            }
            .run(stopped, wants, admin),
        );
        info!(local = %local, host_key = %fingerprint, "server started");
        Ok(Self {
            local,
            fingerprint,
            sessions,
            stop,
            running,
            wanted,
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

    /// Reads the configuration again; sessions that run keep what they were granted. On an error everything stays as it
    /// was.
    ///
    /// # Errors
    /// [`Error::Admin`] with the reason.
    pub async fn reload(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        // A server that has ended drops the answer.
        self.wanted.send(Wanted::Reload(answer)).await.ok();
        let result = answered.await;
        let result = result.unwrap_or_else(|_| Err("the server is ending".to_owned()));
        result.map_err(|message| Error::Admin(message.as_str().into()))
    }

    /// Lets nobody in any more; the server ends when the last session has. The state directory and the TCP port are free
    /// from now on, the UDP port when it has ended.
    pub async fn drain(&self) {
        // One that has ended is drained.
        self.wanted.send(Wanted::Drain).await.ok();
    }

    /// Waits until the server has ended by itself, which it does when it was drained.
    pub async fn ended(&mut self) {
        if (&mut self.running).await.is_err() {
            warn!("the server ended unexpectedly");
        }
    }

    /// Stops letting clients in, ends the sessions, tells their clients, and waits at most five seconds for the end of
    /// all of them (rule D-13).
    pub async fn shutdown(self) {
        // The receiver lives as long as the task, which may have ended already.
        self.stop.send_replace(true);
        if !self.running.is_finished() && self.running.await.is_err() {
            warn!("the server ended unexpectedly");
        }
        info!("server stopped");
    }
}

/// A server at work.
struct Running {
    /// Nothing while it drains.
    endpoint: Option<Endpoint>,
    context: Context,
    sessions: SessionRegistry,
    table: SessionTable,
    configuration: Arc<Configuration>,
    log: Option<LogControl>,
    lock: Weak<Mutex<Option<ServerLock>>>,
    drain: watch::Sender<bool>,
}

impl Running {
    async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
        mut wants: mpsc::Receiver<Wanted>,
        admin: impl Future<Output = ()> + Send,
    ) {
        let mut connections = JoinSet::new();
        let mut clock = tokio::time::interval(CLOCK);
        let mut admin = std::pin::pin!(admin);
        while !self.is_drained() {
            tokio::select! {
                accepted = accept(&mut self.endpoint) => match accepted {
                    Some(accepted) => {
                        connections.spawn(connection(self.context.clone(), accepted, stop.clone()));
                    }
                    None => break,
                },
                Some(_) = connections.join_next() => {}
                Some(wanted) = wants.recv() => self.obey(wanted).await,
                _ = clock.tick() => self.table.tick(),
                () = &mut admin => break,
                () = stopped(&mut stop) => break,
            }
        }
        drop(self.endpoint.take());
        self.end(connections).await;
    }

    async fn obey(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::Drain => {
                info!(sessions = self.sessions.sessions(), "draining");
                self.endpoint = None;
                self.drain.send_replace(true);
                if let Some(lock) = self.lock.upgrade() {
                    let mut lock = lock.lock().unwrap_or_else(PoisonError::into_inner);
                    drop(lock.take());
                }
            }
            Wanted::Reload(answer) => {
                let configuration = Arc::clone(&self.configuration);
                let read = tokio::task::spawn_blocking(move || configuration.reload());
                let result = match read.await {
                    Ok(Ok(document)) => {
                        if let Some(log) = &self.log {
                            log.apply(document.log_settings());
                        }
                        self.table.set_document(document);
                        Ok(())
                    }
                    Ok(Err(why)) => Err(why.to_string()),
                    Err(_) => Err("the configuration could not be read".to_owned()),
                };
                if let Err(why) = &result {
                    error!("the configuration stays as it was: {why}");
                }
                // Whoever asked may have gone.
                answer.send(result).ok();
            }
        }
    }

    /// Whether there is nothing left to wait for.
    fn is_drained(&self) -> bool {
        self.endpoint.is_none()
            && self.sessions.sessions() == 0
            && self.context.sessions.count() == 0
    }

    async fn end(self, mut connections: JoinSet<()>) {
        // Clients that listen hear it twice: each one's control connection tells it as well.
        self.context
            .sessions
            .end_all(ErrorCode::PeerAborted, SHUTTING_DOWN);
        let began = Instant::now();
        let farewell = began + FAREWELL;
        while !connections.is_empty() && began.elapsed() < GRACE {
            let is_idle = self.sessions.sessions() == 0 && self.context.sessions.count() == 0;
            if is_idle && Instant::now() >= farewell {
                break;
            }
            // Whether one ended or the time passed: both are looked at above.
            drop(tokio::time::timeout(FAREWELL / 4, connections.join_next()).await);
        }
        connections.shutdown().await;
    }
}

/// Takes the next client; waits for ever where nobody is let in.
async fn accept(endpoint: &mut Option<Endpoint>) -> Option<Accepted> {
    match endpoint {
        Some(endpoint) => endpoint.accept().await,
        None => std::future::pending().await,
    }
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
fn remove_stale(users: &UserStore, document: &Document) {
    // Accounts that cannot be read are reported when somebody logs in.
    let Ok(users) = users.current() else { return };
    let defaults = Defaults {
        fixed_cap: None,
        ciphers: Vec::new(),
        keeps_owners: false,
        root: None,
    };
    for user in users.iter() {
        // Who may not upload has left nothing.
        let Ok(policy) = Policy::decide(document, user, None, Wish::Upload, &defaults) else {
            continue;
        };
        // One that cannot be opened is in the log already.
        let Ok(root) = policy.root.open(user) else {
            continue;
        };
        let removed = root.root_dir().and_then(|dir| dir.remove_stale(STALE));
        match removed {
            Ok(0) => {}
            Ok(count) => info!(user = user.name.as_str(), count, "removed stale files"),
            Err(error) => warn!(user = user.name.as_str(), "docroot: {error}"),
        }
    }
}
