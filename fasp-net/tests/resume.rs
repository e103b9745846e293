//! Connections that begin with a ticket (protocol §2.5): our client against our endpoint, and what attackers send.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use fasp_core::{Attributes, Record, TransferId};
use fasp_net::{
    control::{
        Message,
        known_hosts::KnownHosts,
        message::{Accept, BindingKind, Hello, Open, Ticket, VERSION},
        resume::{
            TicketFile,
            dial::{Dialled, Login},
        },
        ssh::{
            HostKey, PublicKey,
            client::{self, FirstUse, HostKeyCheck},
            credentials::{Credentials, KeySource, PasswordSource, Secret},
            server::{Admission, Endpoint, Limits, UserHandle},
        },
    },
    engine::Sources,
    event::Outcome,
    request::TransferOptions,
    serve::{Client, serve},
    testing::sealed_offer,
    transfer::{Job, LocalDestination, Transfer},
};
use russh::keys::{PrivateKey, ssh_key::LineEnding, ssh_key::private::Ed25519Keypair};
use support::TestServer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::Instant,
};
use transfer_spec::Direction;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Lets everybody in and counts how often; the accounts are all in one state, 0 for gone.
struct Counting {
    log_ins: AtomicUsize,
    state: AtomicU8,
}

impl Counting {
    fn let_in(&self, user: &str) -> Option<UserHandle> {
        self.log_ins.fetch_add(1, Ordering::SeqCst);
        Some(UserHandle {
            name: user.to_owned(),
        })
    }
}

impl Admission for Counting {
    fn password(&self, user: &str, _: &str) -> Option<UserHandle> {
        self.let_in(user)
    }

    fn public_key(&self, user: &str, _: &PublicKey) -> Option<UserHandle> {
        self.let_in(user)
    }

    fn account_state(&self, _: &str) -> Option<Vec<u8>> {
        let state = self.state.load(Ordering::SeqCst);
        (state > 0).then(|| vec![state])
    }
}

/// A server with a docroot, and a client's home.
struct Site {
    admission: Arc<Counting>,
    address: SocketAddr,
    /// How the users of the connections so far were let in.
    kinds: mpsc::UnboundedReceiver<BindingKind>,
    home: tempfile::TempDir,
    root: tempfile::TempDir,
}

async fn site_with(limits: Limits) -> Site {
    let admission = Arc::new(Counting {
        log_ins: AtomicUsize::new(0),
        state: AtomicU8::new(1),
    });
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let host_key = HostKey::generate().unwrap();
    let shared: Arc<dyn Admission> = Arc::clone(&admission) as _;
    let mut endpoint = Endpoint::bind(any_port, host_key, shared, limits)
        .await
        .unwrap();
    let address = endpoint.local_addr();
    let root = tempfile::tempdir().unwrap();
    let context = TestServer::new(root.path()).context;
    let (told, kinds) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(accepted) = endpoint.accept().await {
            told.send(accepted.binding_kind).ok();
            let (client, control) = Client::accepted(accepted);
            tokio::spawn(serve(context.clone(), client, control));
        }
    });
    Site {
        admission,
        address,
        kinds,
        home: tempfile::tempdir().unwrap(),
        root,
    }
}

async fn site() -> Site {
    site_with(Limits::default()).await
}

fn key(seed: u8) -> Credentials {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]));
    let key = key.to_openssh(LineEnding::LF).unwrap().to_string();
    Credentials {
        keys: vec![KeySource::Text(Secret::new(key))],
        ..Credentials::default()
    }
}

impl Site {
    fn tickets(&self) -> TicketFile {
        TicketFile::beside(&self.home.path().join("known_hosts"))
    }

    fn login(&self, user: &str, credentials: Credentials) -> Login {
        Login {
            host: "127.0.0.1".to_owned(),
            port: self.address.port(),
            timeout: TIMEOUT,
            user: user.to_owned(),
            credentials,
            tickets: Some(self.tickets()),
            check: HostKeyCheck::Known {
                hosts: KnownHosts::new(self.home.path().join("known_hosts")),
                first_use: FirstUse::AcceptNew,
            },
        }
    }

    fn file(&self, name: &str, size: usize) -> PathBuf {
        let path = self.home.path().join(name);
        let content: Vec<u8> = (0..size).map(|i| ((i * 31) >> 3) as u8).collect();
        fs::write(&path, content).unwrap();
        path
    }

    async fn run(&self, login: Login, job: Job) -> Outcome {
        let dialled = login.dial().await.unwrap();
        let options = TransferOptions::default();
        let transfer = Transfer::start(dialled, job, &options).await.unwrap();
        let waiting = tokio::task::spawn_blocking(move || transfer.wait());
        waiting.await.unwrap().unwrap()
    }

    async fn upload_as(&self, login: Login, name: &str) -> Outcome {
        let path = self.file(name, 300_000);
        let job = Job::Upload {
            sources: Sources::local(&[&path]).unwrap(),
            destination: b"/".to_vec(),
        };
        let outcome = self.run(login, job).await;
        let arrived = fs::read(self.root.path().join(name)).unwrap();
        assert!(arrived == fs::read(path).unwrap());
        outcome
    }

    async fn upload(&self, name: &str) -> Outcome {
        self.upload_as(self.login("ada", key(1)), name).await
    }

    /// How the connections since the last call were let in, and how many log-ins there were.
    fn since(&mut self) -> (Vec<BindingKind>, usize) {
        let kinds = std::iter::from_fn(|| self.kinds.try_recv().ok()).collect();
        (kinds, self.admission.log_ins.swap(0, Ordering::SeqCst))
    }

    /// Logs in and asks for a session without files; returns the ticket that comes with it.
    async fn ticket(&self) -> Ticket {
        let credentials = Credentials {
            password: Some(PasswordSource::Given(Secret::new("x"))),
            ..Credentials::default()
        };
        let check = HostKeyCheck::Known {
            hosts: KnownHosts::new(self.home.path().join("known_hosts")),
            first_use: FirstUse::AcceptNew,
        };
        let port = self.address.port();
        let mut connection =
            client::connect("127.0.0.1", port, TIMEOUT, "ada", &credentials, check)
                .await
                .unwrap();
        for message in [Message::from(hello()), upload_of(Vec::new()).into()] {
            connection.control.sender.send(message).await.unwrap();
        }
        loop {
            match connection.control.receiver.receive().await.unwrap() {
                Some(Message::Ticket(ticket)) => return ticket,
                Some(_) => {}
                None => panic!("no ticket came"),
            }
        }
    }

    /// Sends bytes on a new connection and returns what comes back until the server says nothing more for a while.
    async fn send(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let quiet = Duration::from_millis(300);
        let mut buffer = [0; 4096];
        while let Ok(Ok(read @ 1..)) = tokio::time::timeout(quiet, stream.read(&mut buffer)).await {
            answer.extend_from_slice(&buffer[..read]);
        }
        answer
    }
}

fn hello() -> Hello {
    Hello {
        versions: vec![VERSION],
        software: "test".to_owned(),
    }
}

fn upload_of(first_page: Vec<u8>) -> Open {
    let options = TransferOptions::default();
    Open {
        transfer_id: TransferId([1; 16]),
        session_index: 0,
        session_count: 1,
        client_random: [2; 32],
        direction: Direction::Upload,
        sources: Vec::new(),
        destination: b"/".to_vec(),
        create_dir: true,
        source_count: 1,
        overwrite: options.overwrite,
        resume: options.resume,
        symlinks: options.symlinks,
        preserve: options.preserve,
        target_rate: None,
        min_rate: options.min_rate,
        policy: options.policy,
        ciphers: options.ciphers,
        datagram_max: 1472,
        first_page,
        split_threshold: None,
        files: None,
        protection: fasp_net::control::message::ContentProtection::None,
    }
}

fn frames(first_page: Vec<u8>) -> Vec<u8> {
    let mut frames = Message::from(hello()).to_frame().unwrap();
    frames.extend(Message::from(upload_of(first_page)).to_frame().unwrap());
    frames
}

/// An offer whose share is the base point: a public key like any other.
fn offer(ticket: &Ticket, first_page: Vec<u8>) -> Vec<u8> {
    let mut share = [0; 32];
    share[0] = 9;
    sealed_offer(ticket, &[7; 32], &share, &frames(first_page)).unwrap()
}

fn is_refused(answer: &[u8]) -> bool {
    answer.first() == Some(&0) && answer[1..].starts_with(b"SSH-2.0-")
}

fn is_accepted(answer: &[u8]) -> bool {
    answer.first() == Some(&1) && answer.len() > 65
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_a_second_transfer_begins_with_a_ticket_and_a_third_one_too() {
    let mut site = site().await;
    assert_eq!(site.upload("one").await.files_done, 1);
    assert_eq!(site.since(), (vec![BindingKind::SshTranscript], 1));
    for name in ["two", "three"] {
        assert_eq!(site.upload(name).await.files_done, 1);
        assert_eq!(site.since(), (vec![BindingKind::Resumed], 0));
    }
    let back = site.home.path().join("back");
    let job = Job::Download {
        sources: vec![b"two".to_vec()],
        destination: LocalDestination::Path(back.clone()),
    };
    let outcome = site.run(site.login("ada", key(1)), job).await;
    assert_eq!((outcome.files_done, site.since().1), (1, 0));
    assert!(fs::read(back).unwrap() == fs::read(site.root.path().join("two")).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn w8_a_client_restored_from_a_snapshot_is_refused_and_logs_in_without_a_word() {
    let mut site = site().await;
    site.upload("one").await;
    let snapshot = fs::read(site.tickets().path()).unwrap();
    site.upload("two").await;
    assert_eq!(site.since().1, 1);
    fs::write(site.tickets().path(), snapshot).unwrap();
    assert_eq!(site.upload("three").await.files_done, 1);
    assert_eq!(site.since(), (vec![BindingKind::SshTranscript], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_a_ticket_is_not_used_for_another_user_or_with_another_key() {
    let mut site = site().await;
    site.upload("one").await;
    assert_eq!(site.since().1, 1);
    site.upload_as(site.login("eve", key(1)), "two").await;
    assert_eq!(site.since(), (vec![BindingKind::SshTranscript], 1));
    site.upload_as(site.login("ada", key(2)), "three").await;
    assert_eq!(site.since(), (vec![BindingKind::SshTranscript], 1));
    site.upload("four").await;
    assert_eq!(site.since(), (vec![BindingKind::Resumed], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn h5_a_ticket_is_not_used_when_the_host_key_is_not_on_record_any_more() {
    let mut site = site().await;
    site.upload("one").await;
    site.since();
    fs::remove_file(site.home.path().join("known_hosts")).unwrap();
    site.upload("two").await;
    assert_eq!(site.since(), (vec![BindingKind::SshTranscript], 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_a_password_that_was_given_leaves_no_ticket() {
    let mut site = site().await;
    let credentials = || Credentials {
        password: Some(PasswordSource::Given(Secret::new("x"))),
        ..Credentials::default()
    };
    for name in ["one", "two"] {
        site.upload_as(site.login("ada", credentials()), name).await;
        assert_eq!(site.since().0, [BindingKind::SshTranscript]);
    }
    assert!(!site.tickets().path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_a_replayed_offer_is_refused_and_the_connection_goes_on_as_ssh() {
    let site = site().await;
    let offer = offer(&site.ticket().await, Vec::new());
    assert!(is_accepted(&site.send(&offer).await));
    assert!(is_refused(&site.send(&offer).await));
    assert!(is_refused(&site.send(&offer).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_of_many_copies_of_an_offer_one_is_taken() {
    let site = site().await;
    let offer = offer(&site.ticket().await, Vec::new());
    let sending = std::iter::repeat_n((), 6).map(|()| site.send(&offer));
    let mut accepted = 0;
    let mut tasks: Vec<_> = sending.map(Box::pin).collect();
    for answer in join_all(&mut tasks).await {
        accepted += usize::from(is_accepted(&answer));
    }
    assert_eq!(accepted, 1);
}

/// Drives all futures at once.
async fn join_all<F: Future + Unpin>(futures: &mut [F]) -> Vec<F::Output> {
    let mut results: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none()
                && let std::task::Poll::Ready(done) = std::pin::Pin::new(future).poll(cx)
            {
                *result = Some(done);
            }
        }
        match results.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_an_unknown_ticket_is_refused() {
    let site = site().await;
    let ticket = Ticket {
        id: [1; 16],
        secret: [2; 32],
        lifetime: 120,
    };
    assert!(is_refused(&site.send(&offer(&ticket, Vec::new())).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_a_ticket_is_worthless_when_its_account_has_changed_or_is_gone() {
    for state in [2, 0] {
        let site = site().await;
        let ticket = site.ticket().await;
        site.admission.state.store(state, Ordering::SeqCst);
        assert!(is_refused(&site.send(&offer(&ticket, Vec::new())).await));
        site.admission.state.store(1, Ordering::SeqCst);
        let answer = site.send(&offer(&ticket, Vec::new())).await;
        assert!(is_refused(&answer), "it does not come back to life");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w24_a_changed_offer_is_refused_and_uses_up_nothing() {
    let site = site().await;
    let ticket = site.ticket().await;
    let good = offer(&ticket, Vec::new());
    // A nonce and what is sealed; `offer.rs` tries every byte, but each time counts as a failed login.
    for at in [30, good.len() - 1] {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(is_refused(&site.send(&changed).await), "byte {at}");
    }
    assert!(is_accepted(&site.send(&good).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn w37_what_begins_like_an_offer_and_is_none_is_not_answered() {
    let site = site().await;
    let good = offer(&site.ticket().await, Vec::new());
    let mut version = good.clone();
    version[7] = 2;
    let mut length = good.clone();
    length[88..92].copy_from_slice(&u32::MAX.to_be_bytes());
    for bytes in [version, length, vec![0xfd; 1000]] {
        assert_eq!(site.send(&bytes).await, b"");
    }
    assert!(is_accepted(&site.send(&good).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn w37_a_cut_offer_and_one_that_trickles_are_given_up_at_the_deadline() {
    let site = site_with(Limits {
        identification: Duration::from_millis(300),
        unauthenticated: 2,
        ..Limits::default()
    })
    .await;
    let ticket = Ticket {
        id: [1; 16],
        secret: [2; 32],
        lifetime: 120,
    };
    let offer = offer(&ticket, Vec::new());
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    let mut sent = 0;
    // A byte now and then, as a slow loris does.
    let closed = loop {
        let pause = Duration::from_millis(20);
        let mut answer = [0; 1];
        match tokio::time::timeout(pause, stream.read(&mut answer)).await {
            Ok(read) => break matches!(read, Ok(0) | Err(_)),
            Err(_) if sent == 90 => break false,
            Err(_) => drop(stream.write_all(&offer[sent..=sent]).await),
        }
        sent += 1;
    };
    assert!(closed, "after {sent} bytes");
    let mut cut = TcpStream::connect(site.address).await.unwrap();
    cut.write_all(&offer[..50]).await.unwrap();
    cut.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(TIMEOUT, cut.read_to_end(&mut answer)).await;
    assert!(read.is_ok() && answer.is_empty(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn w19_an_offer_that_nobody_follows_up_changes_no_file() {
    let site = site().await;
    let ticket = site.ticket().await;
    let mut page = Vec::new();
    Record::Enter { path: b"" }.encode(&mut page);
    Record::SmallFile {
        file: 0,
        name: b"planted",
        attributes: Attributes::default(),
        content: b"old content",
    }
    .encode(&mut page);
    Record::File {
        file: 1,
        name: b"partial",
        attributes: Attributes::default(),
        size: 1_000_000,
    }
    .encode(&mut page);
    assert!(is_accepted(&site.send(&offer(&ticket, page)).await));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(fs::read_dir(site.root.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn w20_a_resumed_download_gets_its_address_token_in_accept() {
    let site = site().await;
    site.upload("one").await;
    let Dialled::Offering(_) = site.login("ada", key(1)).dial().await.unwrap() else {
        panic!("there is a ticket");
    };
    // The ticket is out of the file, whatever becomes of the offer.
    let Dialled::LoggedIn(mut connection) = site.login("ada", key(1)).dial().await.unwrap() else {
        panic!("there is no ticket any more");
    };
    let open = Open {
        direction: Direction::Download,
        sources: vec![b"one".to_vec()],
        ..upload_of(Vec::new())
    };
    connection.control.sender.send(hello()).await.unwrap();
    connection.control.sender.send(open).await.unwrap();
    let accept: Accept = loop {
        match connection.control.receiver.receive().await.unwrap() {
            Some(Message::Accept(accept)) => break accept,
            Some(_) => {}
            None => panic!("no answer"),
        }
    };
    assert!(accept.address_token.is_some());
    assert!(!accept.first_page.is_empty(), "the list comes along");
}

const ONE_WAY: Duration = Duration::from_millis(50);

/// Passes bytes on, half a round trip later.
async fn delay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let (queue, mut queued) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            queue
                .send((Instant::now() + ONE_WAY, buffer[..read].to_vec()))
                .ok();
        }
    });
    while let Some((due, bytes)) = queued.recv().await {
        tokio::time::sleep_until(due).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn relay(listener: TcpListener, server: SocketAddr) {
    while let Ok((near, _)) = listener.accept().await {
        let far = TcpStream::connect(server).await.unwrap();
        near.set_nodelay(true).unwrap();
        far.set_nodelay(true).unwrap();
        let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
        tokio::spawn(delay(near_in, far_out));
        tokio::spawn(delay(far_in, near_out));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tcp_a_ticket_takes_one_round_trip_to_a_session_and_a_refused_one_a_log_in_more() {
    let site = site().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(relay(listener, site.address));
    let path = site.file("f", 10);
    // The time until datagrams may leave, in round trips.
    let start = async || {
        let login = Login {
            port,
            ..site.login("ada", key(1))
        };
        let job = Job::Upload {
            sources: Sources::local(&[&path]).unwrap(),
            destination: b"/".to_vec(),
        };
        let began = Instant::now();
        let dialled = login.dial().await.unwrap();
        let options = TransferOptions::default();
        let transfer = Transfer::start(dialled, job, &options).await.unwrap();
        let elapsed = began.elapsed();
        let waiting = tokio::task::spawn_blocking(move || transfer.wait());
        waiting.await.unwrap().unwrap();
        elapsed.as_secs_f64() / (2.0 * ONE_WAY.as_secs_f64())
    };
    let cold = start().await;
    let snapshot = fs::read(site.tickets().path()).unwrap();
    let warm = start().await;
    fs::write(site.tickets().path(), snapshot).unwrap();
    let refused = start().await;
    // A slow machine may take half a round trip on top of anything.
    assert!((5.0..5.9).contains(&cold), "{cold}");
    assert!((1.0..1.9).contains(&warm), "{warm}");
    assert!((6.0..6.9).contains(&refused), "{refused}");
}
