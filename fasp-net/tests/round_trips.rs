//! How many round trips a login takes: the table in `control::ssh::client`, measured through a relay that delays.
#![allow(clippy::unwrap_used, reason = "test set-up")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use fasp_core::SessionId;
use fasp_net::control::{
    message::{Heard, Message},
    ssh::{
        HostKey, PublicKey,
        client::{self, HostKeyCheck},
        credentials::{Credentials, KeySource, PasswordSource, Secret},
        server::{Admission, Endpoint, Limits, UserHandle},
    },
};
use fasp_net::port::Port;
use russh::keys::{PrivateKey, ssh_key::LineEnding, ssh_key::private::Ed25519Keypair};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

struct Everybody;

impl Admission for Everybody {
    fn password(&self, user: &str, _: &str) -> Option<UserHandle> {
        Some(UserHandle {
            name: user.to_owned(),
        })
    }

    fn public_key(&self, user: &str, _: &PublicKey) -> Option<UserHandle> {
        Some(UserHandle {
            name: user.to_owned(),
        })
    }
}

const ONE_WAY: Duration = Duration::from_millis(50);

async fn delay<R, W>(mut from: R, mut to: W)
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin,
{
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(1000);
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let item = (Instant::now() + ONE_WAY, buffer[..read].to_vec());
            if queue.send(item).await.is_err() {
                return;
            }
        }
    });
    while let Some((due, bytes)) = queued.recv().await {
        tokio::time::sleep_until(due.into()).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn relay(listener: TcpListener, server: SocketAddr) {
    let (near, _) = listener.accept().await.unwrap();
    let far = TcpStream::connect(server).await.unwrap();
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::join!(delay(near_in, far_out), delay(far_in, near_out));
}

/// Returns the round trips from an open TCP connection to the first answer.
async fn measure(credentials: Credentials) -> f64 {
    let host_key = HostKey::generate().unwrap();
    let pin = host_key.fingerprint();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut endpoint = Endpoint::bind(any_port, host_key, Arc::new(Everybody), Limits::default())
        .await
        .unwrap();
    let listener = TcpListener::bind(any_port).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let relay = tokio::spawn(relay(listener, endpoint.local_addr()));
    let message = Message::from(Heard {
        session_id: SessionId(1),
    });
    let answer = tokio::spawn(async move {
        let mut far = endpoint.accept().await.unwrap();
        let asked = far.control.receiver.receive().await.unwrap().unwrap();
        far.control.sender.send(asked).await.unwrap();
        far
    });

    let started = Instant::now();
    let mut near = client::connect(
        "127.0.0.1",
        port,
        Duration::from_secs(10),
        "ada",
        &credentials,
        HostKeyCheck::Pinned(pin),
    )
    .await
    .unwrap();
    near.control.sender.send(message.clone()).await.unwrap();
    let answered = near.control.receiver.receive().await.unwrap();
    let round_trips = started.elapsed().as_secs_f64() / (2.0 * ONE_WAY.as_secs_f64());
    assert_eq!(answered, Some(message));
    drop(answer.await.unwrap());
    relay.abort();
    round_trips
}

#[tokio::test]
async fn behind_tcp_a_password_takes_five_round_trips_to_the_first_answer() {
    let round_trips = measure(Credentials {
        password: Some(PasswordSource::Given(Secret::new("x"))),
        ..Credentials::default()
    })
    .await;
    assert!((5.0..6.0).contains(&round_trips), "{round_trips}");
}

#[tokio::test]
async fn behind_tcp_a_key_takes_five_round_trips_to_the_first_answer() {
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&[1; 32]));
    let key = key.to_openssh(LineEnding::LF).unwrap().to_string();
    let round_trips = measure(Credentials {
        keys: vec![KeySource::Text(Secret::new(key))],
        ..Credentials::default()
    })
    .await;
    assert!((5.0..6.0).contains(&round_trips), "{round_trips}");
}

/// Forwards the first bytes and holds the rest back for ever.
async fn hold<R, W>(from: R, mut to: W, first: u64)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    tokio::io::copy(&mut from.take(first), &mut to)
        .await
        .unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_log_in_needs_tcp_only_as_far_as_the_servers_identification_line() {
    let host_key = HostKey::generate().unwrap();
    let pin = host_key.fingerprint();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = TcpListener::bind(any_port).await.unwrap();
    let udp = Port::bind(any_port).unwrap();
    let limits = Limits::default();
    let mut endpoint = Endpoint::start(
        listener,
        Some(udp.clone()),
        host_key,
        Arc::new(Everybody),
        limits,
    )
    .unwrap();
    let server = endpoint.local_addr();
    let near = TcpListener::bind(any_port).await.unwrap();
    let port = near.local_addr().unwrap().port();
    let relay = tokio::spawn(async move {
        let (near, _) = near.accept().await.unwrap();
        let far = TcpStream::connect(server).await.unwrap();
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        // The first byte of the client's line, which goes alone, and the server's line with a little of its KEXINIT.
        tokio::join!(hold(near_in, far_out, 1), hold(far_in, near_out, 100));
    });
    let login = tokio::spawn(async move {
        let credentials = Credentials {
            password: Some(PasswordSource::Given(Secret::new("x"))),
            ..Credentials::default()
        };
        let timeout = Duration::from_secs(10);
        let check = HostKeyCheck::Pinned(pin);
        client::connect("127.0.0.1", port, timeout, "ada", &credentials, check).await
    });
    let mut far = tokio::time::timeout(Duration::from_secs(10), endpoint.accept())
        .await
        .unwrap()
        .unwrap();
    let near = login.await.unwrap().unwrap();
    let message = Message::from(Heard {
        session_id: SessionId(1),
    });
    near.control.sender.send(message.clone()).await.unwrap();
    assert_eq!(far.control.receiver.receive().await.unwrap(), Some(message));
    relay.abort();
}
