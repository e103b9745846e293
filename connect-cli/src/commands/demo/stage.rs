//! What the demo plays on: a temporary directory, a server, and a client's key, all gone afterwards.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fasp_net::{
    control::ssh::{
        HostKey,
        client::{self, CONNECT_TIMEOUT, Connection, HostKeyCheck},
        credentials::{Credentials, KeySource},
    },
    engine::Sources,
    event::{Event, Outcome},
    request::TransferOptions,
    transfer::{Job, Remote, Transfer},
};
use fasp_server::{
    Server, ServerSettings,
    state::StateDir,
    users::{AuthorizedKey, User, UserRoot, UserStore},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::tree;
use crate::{commands::signals::Signals, error::CommandError, exit::ExitStatus, ui::Ui};

/// The only account.
const USER: &str = "demo";

/// What a signal finds.
#[derive(Debug, Default)]
struct Running {
    remote: Option<Remote>,
    is_stopped: bool,
}

/// Everything the demo needs; the directory goes when it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    ui: Ui,
    directory: TempDir,
    key: PathBuf,
    server: Server,
    running: Arc<Mutex<Running>>,
}

impl Stage {
    pub(super) fn set_up(ui: Ui, runtime: &Runtime) -> Result<Self, CommandError> {
        let directory = tempfile::Builder::new()
            .prefix("connect-demo-")
            .tempdir()
            .map_err(tree::failed(&std::env::temp_dir()))?;
        let path = directory.path();
        let root = tree::directory(path.join("server"))?;
        let key = path.join("key");
        let public = HostKey::load_or_create(&key)?;
        let state = Arc::new(StateDir::open(&path.join("state"))?);
        let mut user = User::new(USER.parse()?, UserRoot::new(&root)?);
        let line = public.public_key().to_openssh().unwrap_or_default();
        user.authorized_keys = AuthorizedKey::parse_file(&line)?;
        UserStore::new(Arc::clone(&state)).edit(|users| users.add(user))?;
        let running = Arc::new(Mutex::new(Running::default()));
        let settings = ServerSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..ServerSettings::new(state)
        };
        let server = runtime.block_on(async {
            tokio::spawn(stop_on_signal(Signals::new()?, Arc::clone(&running)));
            Ok::<_, CommandError>(Server::start(settings).await?)
        })?;
        Ok(Self {
            ui,
            directory,
            key,
            server,
            running,
        })
    }

    pub(super) fn tear_down(self, runtime: &Runtime) {
        runtime.block_on(self.server.shutdown());
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server.local_addr()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the server puts what it receives.
    pub(super) fn received(&self, name: &str) -> PathBuf {
        self.path("server").join(name)
    }

    pub(super) fn make_tree(&self, large: u64) -> Result<PathBuf, CommandError> {
        let tree = tree::directory(self.path("tree"))?;
        tree::make(&tree, large)?;
        Ok(tree)
    }

    /// Makes a directory with one file.
    pub(super) fn make_file(&self, size: u64) -> Result<PathBuf, CommandError> {
        let film = tree::directory(self.path("film"))?;
        tree::write(&film.join("film.mov"), size, &mut fastrand::Rng::new())?;
        Ok(film)
    }

    pub(super) fn upload(&self, source: &Path, destination: &str) -> Result<Job, CommandError> {
        Ok(Job::Upload {
            sources: Sources::local(&[source])?,
            destination: destination.into(),
        })
    }

    /// Runs one transfer to its end.
    pub(super) fn transfer(
        &self,
        runtime: &Runtime,
        job: Job,
        options: &TransferOptions,
    ) -> Result<Outcome, CommandError> {
        if self.running().is_stopped {
            return Err(CommandError::Cancelled);
        }
        let transfer = runtime.block_on(async {
            let mut connection = self.connect().await?;
            if options.data_address.is_some() {
                // Data takes another way than the connection this was measured on.
                connection.rtt = Duration::ZERO;
            }
            Transfer::start(connection, job, options).await
        })?;
        self.running().remote = Some(transfer.remote());
        let bar = self.ui.bar();
        for event in transfer.events() {
            if let (Event::Progress(progress), Some(bar)) = (&event, &bar) {
                bar.show(progress);
            }
        }
        if let Some(bar) = bar {
            bar.clear();
        }
        self.running().remote = None;
        Ok(transfer.wait()?)
    }

    async fn connect(&self) -> Result<Connection, fasp_net::Error> {
        let address = self.server();
        let credentials = Credentials {
            keys: vec![KeySource::File(self.key.clone())],
            ..Credentials::default()
        };
        let check = HostKeyCheck::Pinned(self.server.fingerprint().to_owned());
        client::connect(
            &address.ip().to_string(),
            address.port(),
            CONNECT_TIMEOUT,
            USER,
            &credentials,
            check,
        )
        .await
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first signal ends the demo in order, the second one at once and leaves its directory.
async fn stop_on_signal(mut signals: Signals, running: Arc<Mutex<Running>>) {
    signals.next().await;
    {
        let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
        running.is_stopped = true;
        if let Some(remote) = &running.remote {
            remote.cancel();
        }
    }
    signals.next().await;
    std::process::exit(ExitStatus::Cancelled.number().into());
}
