//! A server with a configuration that tests change while it runs, and its clients.

use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use fasp_core::{DatagramCipher, Rate};
use fasp_net::{
    Error,
    control::{
        Message,
        message::{self, Accept, Open},
        ssh::{
            client::{self, Connection, HostKeyCheck},
            credentials::{Credentials, PasswordSource, Secret},
        },
    },
    engine::Sources,
    event::{Event, Outcome, Started},
    request::TransferOptions,
    transfer::{Job, Transfer},
};
use fasp_server::{
    ConfSource, Server, ServerSettings,
    admin::{AdminAnswer, AdminClient, AdminRequest, ServerStatus},
    state::StateDir,
    users::{PasswordHash, User, UserRoot, UserStore},
};
use tempfile::TempDir;
use transfer_spec::Direction;

/// The account that has its files in `root`.
pub(crate) const LEA: &str = "lea";
/// The account whose docroot only the configuration may name.
pub(crate) const MAX: &str = "max";
/// The groups of both.
pub(crate) const GROUP: &str = "editors";

pub(crate) struct Bed {
    pub(crate) temp: TempDir,
    pub(crate) state: Arc<StateDir>,
    pub(crate) server: Server,
}

/// What became of a transfer.
pub(crate) struct Ran {
    pub(crate) started: Option<Started>,
    pub(crate) events: Vec<Event>,
    pub(crate) result: Result<Outcome, Error>,
}

impl Ran {
    /// What the user is told besides.
    pub(crate) fn notices(&self) -> Vec<String> {
        let notices = self.events.iter().filter_map(|event| match event {
            Event::Notice { message } => Some(message.to_string()),
            _ => None,
        });
        notices.collect()
    }

    #[track_caller]
    pub(crate) fn started(&self) -> &Started {
        match &self.started {
            Some(started) => started,
            None => panic!("{:?}", self.result),
        }
    }

    #[track_caller]
    pub(crate) fn done(&self) -> &Outcome {
        match &self.result {
            Ok(outcome) => outcome,
            Err(error) => panic!("{error}"),
        }
    }

    /// The public code of the failure.
    #[track_caller]
    pub(crate) fn code(&self) -> u8 {
        match &self.result {
            Ok(outcome) => panic!("{outcome:?}"),
            Err(error) => error.code().number(),
        }
    }
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut ServerSettings)) -> Self {
        let temp = TempDir::new().unwrap();
        for directory in ["root", "other", "back"] {
            fs::create_dir(temp.path().join(directory)).unwrap();
        }
        let state = Arc::new(StateDir::open(&temp.path().join("state")).unwrap());
        let store = UserStore::new(Arc::clone(&state));
        let root = UserRoot::new(&temp.path().join("root")).unwrap();
        let hash = PasswordHash::new(b"secret").unwrap();
        for (name, root) in [(LEA, Some(root)), (MAX, None)] {
            let mut user = User::new(name.parse().unwrap(), root);
            user.password = Some(hash.clone());
            user.groups = vec![GROUP.to_owned()];
            store.edit(|users| users.add(user)).unwrap();
        }
        let conf = temp.path().join("aspera.conf");
        fs::write(&conf, "<CONF/>").unwrap();
        let mut settings = ServerSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            conf: ConfSource::File(conf),
            ..ServerSettings::new(Arc::clone(&state))
        };
        change(&mut settings);
        let server = Server::start(settings).await.unwrap();
        Self {
            temp,
            state,
            server,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Writes a configuration of expressions in the language of asconfigurator, with `ROOT` for the directory of the
    /// test, and lets the server read it.
    pub(crate) async fn configure(&self, expressions: &[&str]) {
        let mut conf = aspera_conf::Conf::new();
        for expression in expressions {
            let text = expression.replace("ROOT", self.temp.path().to_str().unwrap());
            conf.apply(&aspera_conf::Command::parse(&text).unwrap())
                .unwrap();
        }
        self.write_conf(conf.text()).await;
    }

    pub(crate) async fn write_conf(&self, text: &str) {
        fs::write(self.path("aspera.conf"), text).unwrap();
        self.server.reload().await.unwrap();
    }

    pub(crate) async fn connect(&self, user: &str) -> Connection {
        let password = PasswordSource::Given(Secret::new("secret"));
        let credentials = Credentials {
            password: Some(password),
            ..Credentials::default()
        };
        let address = self.server.local_addr();
        let pin = HostKeyCheck::Pinned(self.server.fingerprint().to_owned());
        let limit = Duration::from_secs(10);
        let host = address.ip().to_string();
        client::connect(&host, address.port(), limit, user, &credentials, pin)
            .await
            .unwrap()
    }

    pub(crate) async fn start(
        &self,
        user: &str,
        job: Job,
        options: &TransferOptions,
    ) -> Result<Transfer, Error> {
        Transfer::start(self.connect(user).await, job, options).await
    }

    pub(crate) async fn run(&self, user: &str, job: Job, options: &TransferOptions) -> Ran {
        let transfer = match self.start(user, job, options).await {
            Ok(transfer) => transfer,
            Err(error) => {
                return Ran {
                    started: None,
                    events: Vec::new(),
                    result: Err(error),
                };
            }
        };
        tokio::task::spawn_blocking(move || {
            let events: Vec<_> = transfer.events().iter().collect();
            let started = events.iter().find_map(|event| match event {
                Event::Started(started) => Some(started.clone()),
                _ => None,
            });
            Ran {
                started,
                events,
                result: transfer.wait(),
            }
        })
        .await
        .unwrap()
    }

    /// Sends what lies in the test's directory to the account.
    pub(crate) async fn upload(&self, user: &str, names: &[&str], to: &str) -> Ran {
        self.run(user, self.upload_job(names, to), &usual()).await
    }

    pub(crate) fn upload_job(&self, names: &[&str], to: &str) -> Job {
        let paths: Vec<_> = names.iter().map(|name| self.path(name)).collect();
        Job::Upload {
            sources: Sources::local(&paths).unwrap(),
            destination: to.into(),
        }
    }

    /// Fetches into `back`.
    pub(crate) async fn download(&self, user: &str, names: &[&str]) -> Ran {
        self.run(user, self.download_job(names), &usual()).await
    }

    pub(crate) fn download_job(&self, names: &[&str]) -> Job {
        Job::Download {
            sources: names.iter().map(|name| (*name).into()).collect(),
            destination: self.path("back").into(),
        }
    }

    /// What the server grants to somebody who names nothing, without a session that runs.
    pub(crate) async fn accept(&self, is_upload: bool) -> Accept {
        let mut connection = self.connect(LEA).await;
        let hello = message::Hello {
            versions: vec![message::VERSION],
            software: "test".into(),
        };
        let options = usual();
        let open = Open {
            transfer_id: fasp_core::TransferId([7; 16]),
            session_index: 0,
            session_count: 1,
            client_random: [1; 32],
            direction: match is_upload {
                true => Direction::Upload,
                false => Direction::Download,
            },
            sources: match is_upload {
                true => Vec::new(),
                false => vec![b"/".to_vec()],
            },
            destination: b"/".to_vec(),
            create_dir: false,
            source_count: 1,
            overwrite: options.overwrite,
            resume: options.resume,
            symlinks: options.symlinks,
            preserve: options.preserve,
            target_rate: None,
            min_rate: Rate::ZERO,
            policy: None,
            ciphers: options.ciphers,
            datagram_max: 9216,
            first_page: Vec::new(),
            split_threshold: None,
            files: None,
            protection: message::ContentProtection::None,
        };
        let sender = &connection.control.sender;
        sender.send(hello).await.unwrap();
        sender.send(open).await.unwrap();
        loop {
            match connection
                .control
                .receiver
                .receive()
                .await
                .unwrap()
                .unwrap()
            {
                Message::Accept(accept) => return accept,
                Message::Refuse(refuse) => panic!("{refuse:?}"),
                _ => {}
            }
        }
    }

    /// Makes a file in the test's directory.
    pub(crate) fn file(&self, name: &str, size: usize) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![7; size]).unwrap();
        path
    }

    pub(crate) async fn ask(
        &self,
        request: AdminRequest,
    ) -> Result<AdminAnswer, fasp_server::Error> {
        let state = Arc::clone(&self.state);
        tokio::task::spawn_blocking(move || AdminClient::new(&state).ask(&request))
            .await
            .unwrap()
    }

    /// What administrators see as soon as it is so.
    pub(crate) async fn status_when(&self, is_so: impl Fn(&ServerStatus) -> bool) -> ServerStatus {
        let began = std::time::Instant::now();
        loop {
            let status = self.status().await;
            if is_so(&status) {
                return status;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn status(&self) -> ServerStatus {
        match self.ask(AdminRequest::Status).await.unwrap() {
            AdminAnswer::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }
}

/// A way to a UDP port that can be closed.
pub(crate) fn udp_way(server: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let near = UdpSocket::bind("127.0.0.1:0").unwrap();
    let far = UdpSocket::bind("127.0.0.1:0").unwrap();
    far.connect(server).unwrap();
    let address = near.local_addr().unwrap();
    let is_open = Arc::new(AtomicBool::new(true));
    let client = Arc::new(Mutex::new(None));
    for (from, to, is_up) in [
        (near.try_clone().unwrap(), far.try_clone().unwrap(), true),
        (far, near, false),
    ] {
        let (is_open, client) = (Arc::clone(&is_open), Arc::clone(&client));
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok((length, source)) = from.recv_from(&mut buffer) {
                if !is_open.load(Ordering::Relaxed) {
                    continue;
                }
                // What does not leave is lost, as anywhere.
                if is_up {
                    *client.lock().unwrap() = Some(source);
                    to.send(&buffer[..length]).ok();
                } else if let Some(client) = *client.lock().unwrap() {
                    to.send_to(&buffer[..length], client).ok();
                }
            }
        });
    }
    (address, is_open)
}

/// Options that leave everything to the server.
pub(crate) fn usual() -> TransferOptions {
    TransferOptions {
        ciphers: vec![
            DatagramCipher::Aes128Gcm,
            DatagramCipher::Aes256Gcm,
            DatagramCipher::None,
        ],
        ..TransferOptions::default()
    }
}

pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(crate) const MBPS: fn(u64) -> Rate = Rate::from_mbps;
