#![allow(clippy::unwrap_used, reason = "test set-up")]
use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    net::TcpListener,
};

use super::*;
use crate::control::ssh::identification::Comments;

const TOKEN: [u8; 16] = [9; 16];

fn offer(port: u16) -> Offer {
    Offer { port, token: TOKEN }
}

/// What a client notes when it has read the server's line.
fn tell(transcript: &Transcript, offer: Offer) {
    transcript.set_peer(Comments::of_server(Some(offer)));
}

/// Two ends of which the client has seen the server's identification line, and what TCP carries between them: nothing of that
/// arrives unless a test hands it over.
struct Line {
    client: Doubled<DuplexStream>,
    server: Doubled<DuplexStream>,
    client_tcp: DuplexStream,
    server_tcp: DuplexStream,
    port: Port,
}

fn line(has_udp: bool) -> Line {
    line_from(Ipv4Addr::LOCALHOST, has_udp)
}

/// A line whose TCP comes from this address, for all that the server knows.
fn line_from(client: Ipv4Addr, has_udp: bool) -> Line {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let port = Port::bind(SocketAddr::new(loopback, 0)).unwrap();
    let offer = offer(port.local_address().port());
    let told = Arc::new(Transcript::default());
    if has_udp {
        tell(&told, offer.clone());
    }
    let (near, client_tcp) = tokio::io::duplex(1 << 20);
    let (far, server_tcp) = tokio::io::duplex(1 << 20);
    let way = Some((&port, &offer));
    let server = Doubled::server(far, &Arc::default(), way, client.into());
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
    let mut line = line(true);
    for round in 0..5 {
        let (asked, answered) = (numbered(3000, round), numbered(2000, round * 7));
        line.client.write_all(&asked).await.unwrap();
        assert_eq!(read(&mut line.server, 3000).await, asked);
        line.server.write_all(&answered).await.unwrap();
        assert_eq!(read(&mut line.client, 2000).await, answered);
    }
}

#[tokio::test]
async fn each_piece_goes_in_two_datagrams_that_are_not_neighbours() {
    let told = Arc::new(Transcript::default());
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let receiving = std::net::UdpSocket::bind((loopback, 0)).unwrap();
    let patience = Some(Duration::from_secs(5));
    receiving.set_read_timeout(patience).unwrap();
    tell(&told, offer(receiving.local_addr().unwrap().port()));
    let (near, _tcp) = tokio::io::duplex(1 << 20);
    let mut client = Doubled::client(near, &told, loopback);
    client.write_all(&[7; 1 + 2 * MAX_PIECE]).await.unwrap();
    let mut offsets = Vec::new();
    let keys = Keys::derive(&TOKEN);
    for _ in 0..6 {
        let mut datagram = [0; 1500];
        let length = receiving.recv(&mut datagram).unwrap();
        offsets.push(keys.open(From::Client, &datagram[..length]).unwrap().0);
    }
    let second = 1 + MAX_PIECE as u32;
    assert_eq!(offsets, [0, 0, 1, second, 1, second]);
}

#[tokio::test]
async fn what_the_server_says_first_arrives_once_the_client_has_shown_itself() {
    let mut line = line(true);
    line.server.write_all(b"said before ").await.unwrap();
    line.server.write_all(b"anybody asked").await.unwrap();
    line.client.write_all(b"asked").await.unwrap();
    assert_eq!(read(&mut line.server, 5).await, b"asked");
    assert_eq!(
        read(&mut line.client, 25).await,
        b"said before anybody asked"
    );
}

#[tokio::test]
async fn the_clients_first_byte_goes_alone() {
    let mut line = line(false);
    assert_eq!(line.client.write(b"SSH-2.0-x\r\n").await.unwrap(), 1);
    assert_eq!(line.client.write(b"SH-2.0-x\r\n").await.unwrap(), 10);
    assert_eq!(line.client.write(b"").await.unwrap(), 0);
}

#[tokio::test]
async fn what_tcp_brings_later_is_not_read_twice() {
    let mut line = line(true);
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
    let mut line = line(false);
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
    let mut line = line(true);
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
    let mut line = line(true);
    line.client.write_all(b"first").await.unwrap();
    assert_eq!(read(&mut line.server, 5).await, b"first");
    let address = line.port.local_address();
    let stranger = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut forged = Keys::derive(&TOKEN).seal(From::Client, 5, b"forged bytes");
    forged[30] ^= 1;
    stranger.send_to(&forged, address).unwrap();
    // Reflected: the server's own bytes, as a client would send them.
    let reflected = Keys::derive(&TOKEN).seal(From::Server, 5, b"reflected");
    stranger.send_to(&reflected, address).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    line.client.write_all(b"then").await.unwrap();
    assert_eq!(read(&mut line.server, 4).await, b"then");
    line.server.write_all(b"answer").await.unwrap();
    assert_eq!(read(&mut line.client, 6).await, b"answer");
}

#[tokio::test]
async fn datagrams_from_elsewhere_than_tcp_are_neither_read_nor_answered() {
    let mut line = line_from(Ipv4Addr::new(127, 0, 0, 9), true);
    line.client.write_all(b"asked").await.unwrap();
    line.server.write_all(b"answer").await.unwrap();
    let patience = Duration::from_millis(200);
    let (mut asked, mut answered) = ([0], [0]);
    let (at_server, at_client) = tokio::join!(
        tokio::time::timeout(patience, line.server.read(&mut asked)),
        tokio::time::timeout(patience, line.client.read(&mut answered)),
    );
    assert!(at_server.is_err() && at_client.is_err());
    let mut asked = [0; 5];
    line.client_tcp.read_exact(&mut asked).await.unwrap();
    line.server_tcp.write_all(&asked).await.unwrap();
    assert_eq!(read(&mut line.server, 5).await, b"asked");
}

#[tokio::test]
async fn the_end_of_tcp_is_the_end() {
    let mut line = line(true);
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
    tell(&told, offer(nobody.local_addr().unwrap().port()));
    let (near, mut tcp) = tokio::io::duplex(1000);
    let mut client = Doubled::client(near, &told, IpAddr::from(Ipv4Addr::LOCALHOST));
    for _ in 0..3 {
        client.write_all(b"asked").await.unwrap();
        tcp.read_exact(&mut [0; 5]).await.unwrap();
        tcp.write_all(b"answered").await.unwrap();
        assert_eq!(read(&mut client, 8).await, b"answered");
    }
}
