//! A server that stops: sessions end in order, and clients hear why, even those that do not listen.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fasp_core::{ErrorCode, Rate};
use fasp_net::{
    Error as NetError,
    control::ssh::{
        client::{self, Connection, HostKeyCheck},
        credentials::{Credentials, PasswordSource, Secret},
    },
    engine::Sources,
    event::{Event, Outcome},
    request::TransferOptions,
    transfer::{Job, Transfer},
};
use fasp_server::{
    Server, ServerSettings,
    state::StateDir,
    users::{PasswordHash, User, UserRoot, UserStore},
};
use tempfile::TempDir;

const SIZE: usize = 20_000_000;

struct Bed {
    temp: TempDir,
    server: Server,
}

impl Bed {
    async fn new() -> Self {
        let temp = TempDir::new().unwrap();
        let root = temp.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(temp.path().join("file"), vec![7; SIZE]).unwrap();
        let server = Self::serve(&temp, Some(&root)).await;
        Self { temp, server }
    }

    async fn serve(temp: &TempDir, root: Option<&Path>) -> Server {
        let state = Arc::new(StateDir::open(&temp.path().join("state")).unwrap());
        if let Some(root) = root {
            let mut lea = User::new("lea".parse().unwrap(), UserRoot::new(root).unwrap());
            lea.password = Some(PasswordHash::new(b"secret").unwrap());
            let store = UserStore::new(Arc::clone(&state));
            store.edit(|users| users.add(lea)).unwrap();
        }
        let settings = ServerSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..ServerSettings::new(state)
        };
        Server::start(settings).await.unwrap()
    }

    async fn connect(&self, address: SocketAddr) -> Connection {
        let password = PasswordSource::Given(Secret::new("secret"));
        let credentials = Credentials {
            password: Some(password),
            ..Credentials::default()
        };
        let host = address.ip().to_string();
        let pin = HostKeyCheck::Pinned(self.server.fingerprint().to_owned());
        let limit = Duration::from_secs(10);
        client::connect(&host, address.port(), limit, "lea", &credentials, pin)
            .await
            .unwrap()
    }

    /// An upload that would take half a minute, up to its first byte.
    async fn upload(&self, control: SocketAddr) -> Transfer {
        let job = Job::Upload {
            sources: Sources::local(&[self.temp.path().join("file")]).unwrap(),
            destination: b"copy".to_vec(),
        };
        let options = TransferOptions {
            target_rate: Some(Rate::from_kbps(5_000)),
            data_address: Some(self.server.local_addr()),
            ..TransferOptions::default()
        };
        let connection = self.connect(control).await;
        let transfer = Transfer::start(connection, job, &options).await.unwrap();
        loop {
            match transfer.events().recv().unwrap() {
                Event::Progress(progress) if progress.bytes_done > 0 => return transfer,
                _ => {}
            }
        }
    }
}

/// A way to the server's TCP port that can stop carrying what the server says.
struct Way {
    address: SocketAddr,
    is_deaf: Arc<AtomicBool>,
}

fn way(server: SocketAddr) -> Way {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let is_deaf = Arc::new(AtomicBool::new(false));
    let shared = Arc::clone(&is_deaf);
    thread::spawn(move || {
        let client = listener.accept().unwrap().0;
        let server = TcpStream::connect(server).unwrap();
        let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut up, &mut down));
        let (mut from, mut to) = (server, client);
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if !shared.load(Ordering::Relaxed) && to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // A deaf client does not even hear the end: its side stays open as long as the test runs.
        if shared.load(Ordering::Relaxed) {
            std::mem::forget(to);
        }
    });
    Way { address, is_deaf }
}

#[track_caller]
fn assert_told(result: Result<Outcome, NetError>) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PeerAborted, "{error}");
    assert_eq!(error.to_string(), "the server is shutting down");
    assert!(error.hint().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn d13_shutdown_ends_sessions_and_tells_clients() {
    let bed = Bed::new().await;
    let transfer = bed.upload(bed.server.local_addr()).await;
    assert_eq!(bed.server.sessions(), 1);
    let began = Instant::now();
    let Bed { temp, server } = bed;
    server.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_told(transfer.wait());
    assert!(!temp.path().join("root/copy").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn d13_a_client_whose_control_connection_is_stuck_hears_of_it_over_the_data_path() {
    let bed = Bed::new().await;
    let way = way(bed.server.local_addr());
    let transfer = bed.upload(way.address).await;
    way.is_deaf.store(true, Ordering::Relaxed);
    let Bed { temp, server } = bed;
    let began = Instant::now();
    server.shutdown().await;
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_told(transfer.wait());
    assert!(began.elapsed() < Duration::from_secs(3));
    assert!(!temp.path().join("root/copy").exists());
    // The lock on the state directory is free again.
    Bed::serve(&temp, None).await.shutdown().await;
}
