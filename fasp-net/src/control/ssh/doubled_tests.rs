#![allow(clippy::unwrap_used, reason = "test set-up")]
use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    net::TcpListener,
};

use super::*;

const COOKIE: [u8; 16] = [9; 16];

/// Two ends whose handshake has got as far as the server's KEXINIT, and what TCP carries between them: nothing of that
/// arrives unless a test hands it over.
struct Line {
    client: Doubled<DuplexStream>,
    server: Doubled<DuplexStream>,
    client_tcp: DuplexStream,
    server_tcp: DuplexStream,
    port: Port,
}

async fn line(has_udp: bool) -> Line {
    let transcript = || {
        let transcript = Arc::new(Transcript::default());
        transcript.tell(&COOKIE, None);
        transcript
    };
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let port = Port::bind(SocketAddr::new(loopback, 0)).unwrap();
    let told = transcript();
    if has_udp {
        told.tell(&COOKIE, Some(port.local_address().port()));
    }
    let (near, client_tcp) = tokio::io::duplex(1 << 20);
    let (far, server_tcp) = tokio::io::duplex(1 << 20);
    let mut server = Doubled::server(far, &transcript(), Some(port.clone()));
    server.flush().await.unwrap();
    Line {
        client: Doubled::client(near, &told, loopback),
        server,
        client_tcp,
        server_tcp,
        port,
    }
}

async fn read(end: &mut Doubled<DuplexStream>, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let reading = end.read_exact(&mut bytes);
    let patience = Duration::from_secs(5);
    tokio::time::timeout(patience, reading)
        .await
        .unwrap()
        .unwrap();
    bytes
}

fn numbered(length: usize, from: usize) -> Vec<u8> {
    (from..from + length).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn both_directions_arrive_while_tcp_repeats_what_it_lost() {
    let mut line = line(true).await;
    for round in 0..5 {
        let (asked, answered) = (numbered(3000, round), numbered(2000, round * 7));
        line.client.write_all(&asked).await.unwrap();
        assert_eq!(read(&mut line.server, 3000).await, asked);
        line.server.write_all(&answered).await.unwrap();
        assert_eq!(read(&mut line.client, 2000).await, answered);
    }
}

#[tokio::test]
async fn what_tcp_brings_later_is_not_read_twice() {
    let mut line = line(true).await;
    let first = numbered(3000, 0);
    line.client.write_all(&first).await.unwrap();
    assert_eq!(read(&mut line.server, 3000).await, first);
    let mut late = vec![0; 3000];
    line.client_tcp.read_exact(&mut late).await.unwrap();
    line.server_tcp.write_all(&late).await.unwrap();
    line.server_tcp.write_all(b"behind it").await.unwrap();
    assert_eq!(read(&mut line.server, 9).await, b"behind it");
}

#[tokio::test]
async fn without_udp_tcp_carries_everything() {
    let mut line = line(false).await;
    let sent = numbered(200_000, 3);
    line.client.write_all(&sent).await.unwrap();
    let relay = async {
        let mut bytes = vec![0; sent.len()];
        line.client_tcp.read_exact(&mut bytes).await.unwrap();
        line.server_tcp.write_all(&bytes).await.unwrap();
    };
    let (got, ()) = tokio::join!(read(&mut line.server, 200_000), relay);
    assert_eq!(got, sent);
}

#[tokio::test]
async fn doubling_ends_after_64_kib_and_the_stream_goes_on() {
    let mut line = line(true).await;
    let sent = numbered(300_000, 5);
    let Line {
        client,
        server,
        client_tcp,
        server_tcp,
        ..
    } = &mut line;
    let relay = async {
        for _ in 0..30 {
            let mut bytes = vec![0; 10_000];
            client_tcp.read_exact(&mut bytes).await.unwrap();
            // Behind the copies, so that reading changes between the two ways.
            tokio::time::sleep(Duration::from_millis(2)).await;
            server_tcp.write_all(&bytes).await.unwrap();
        }
    };
    let write = async { client.write_all(&sent).await.unwrap() };
    let (got, (), ()) = tokio::join!(read(server, 300_000), write, relay);
    assert_eq!(got, sent);
}

#[tokio::test]
async fn strangers_who_do_not_know_the_handshake_change_nothing() {
    let mut line = line(true).await;
    line.client.write_all(b"first").await.unwrap();
    assert_eq!(read(&mut line.server, 5).await, b"first");
    let address = line.port.local_address();
    let stranger = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut forged = Keys::derive(&COOKIE).seal(From::Client, 5, b"forged bytes");
    forged[30] ^= 1;
    stranger.send_to(&forged, address).unwrap();
    // Reflected: the server's own bytes, as a client would send them.
    let reflected = Keys::derive(&COOKIE).seal(From::Server, 5, b"reflected");
    stranger.send_to(&reflected, address).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    line.client.write_all(b"then").await.unwrap();
    assert_eq!(read(&mut line.server, 4).await, b"then");
    line.server.write_all(b"answer").await.unwrap();
    assert_eq!(read(&mut line.client, 6).await, b"answer");
}

#[tokio::test]
async fn the_end_of_tcp_is_the_end() {
    let mut line = line(true).await;
    line.client.write_all(b"last words").await.unwrap();
    assert_eq!(read(&mut line.server, 10).await, b"last words");
    drop(line.server_tcp);
    let mut rest = Vec::new();
    line.server.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_port_where_nobody_listens_changes_nothing() {
    let told = Arc::new(Transcript::default());
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    told.tell(&COOKIE, Some(nobody.local_addr().unwrap().port()));
    let (near, mut tcp) = tokio::io::duplex(1000);
    let mut client = Doubled::client(near, &told, IpAddr::from(Ipv4Addr::LOCALHOST));
    for _ in 0..3 {
        client.write_all(b"asked").await.unwrap();
        tcp.read_exact(&mut [0; 5]).await.unwrap();
        tcp.write_all(b"answered").await.unwrap();
        assert_eq!(read(&mut client, 8).await, b"answered");
    }
}
