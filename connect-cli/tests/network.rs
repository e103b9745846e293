//! What people read when the network between client and server is not as it should be.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use support::{
    PASSWORD, Run, Site, assert_nothing_final, names,
    network::{Forwarder, Udp},
};

/// What `docs/cli.md` promises for a blocked path, and a little for a busy machine.
const SOON: Duration = Duration::from_secs(14);

/// Uploads and downloads over the second way at once; nothing may be left under a final name.
fn both_directions(udp: Udp) -> [Run; 2] {
    let site = Site::new();
    site.bed.file("up", 3_000_000);
    site.bed.file("root/down", 3_000_000);
    std::fs::create_dir(site.path("back")).unwrap();
    let way = Forwarder::new(site.server.address, udp);
    let began = Instant::now();
    let runs = thread::scope(|scope| {
        let up = scope.spawn(|| site.lea_at(way.address, &["upload", "up", "HOST:new"]));
        let down = site.lea_at(way.address, &["download", "HOST:down", "back"]);
        [up.join().unwrap(), down]
    });
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    // Rule D-1: blocked UDP leaves no file of 0 bytes under a final name.
    assert_nothing_final(&site.path("back"));
    assert!(!names(&site.path("root")).contains(&"new".to_owned()));
    runs
}

/// Codes 13, 14, 15, 18.
#[test]
fn which_of_tcp_and_udp_is_blocked_is_told_within_ten_seconds() {
    // Each waits out its ten seconds, so all wait at the same time.
    thread::scope(|scope| {
        for (udp, code, words) in [
            (Udp::Swallowed, 15, "TCP works, but UDP to"),
            (Udp::Refused, 14, "is refused"),
            (Udp::OneWay, 18, "none comes back"),
        ] {
            scope.spawn(move || {
                for run in both_directions(udp) {
                    run.assert_refused(5, code);
                    assert!(run.err.contains(words), "{}", run.err);
                    assert!(run.err.contains("\nhint: let UDP"), "{}", run.err);
                }
            });
        }
        scope.spawn(|| {
            let run = silent_tcp();
            run.assert_refused(5, 13);
            assert!(run.err.contains("TCP port"), "{}", run.err);
        });
    });
}

/// A client of a server whose system completes the connection, and that never reads it.
fn silent_tcp() -> Run {
    let site = Site::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let began = Instant::now();
    let run = site.lea_at(silent.local_addr().unwrap(), &["ls", "HOST:"]);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    run
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let site = Site::new();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let refused = site.lea_at(closed, &["ls", "HOST:"]);
    refused.assert_refused(5, 12);
    assert!(refused.err.contains("TCP port"), "{}", refused.err);
    let unknown = site.lea(&["ls", "lea@host.invalid:"]);
    unknown.assert_refused(5, 12);
    assert!(unknown.err.contains("'host.invalid'"), "{}", unknown.err);
}

/// A server that answers with these bytes and closes.
fn answers(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The client may have hung up already.
            stream.write_all(bytes).ok();
            stream
                .set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            drop(stream.read(&mut [0; 512]));
        }
    });
    address
}

#[test]
fn a_server_that_speaks_something_else_is_no_server() {
    let site = Site::new();
    for bytes in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1",
        b"SSH-2.0-x\r\n\xff\xff\xff\xff\x00\x00\x00\x00",
        b"SSH-1.5-old\r\n",
        b"",
        &[0xa5; 4000],
    ] {
        site.lea_at(answers(bytes), &["ls", "HOST:"])
            .assert_refused(5, 12);
    }
}

#[test]
fn garbage_to_the_udp_port_does_not_disturb_a_transfer() {
    let site = Site::new();
    let content = site.bed.file("f", 20_000_000);
    let server = site.server.address;
    let is_over = Arc::new(AtomicBool::new(false));
    let noise = {
        let is_over = Arc::clone(&is_over);
        thread::spawn(move || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let mut sent = 0_usize;
            while !is_over.load(Ordering::Relaxed) {
                let garbage = support::content(sent % 1500);
                // A full buffer on the other side is part of the noise.
                socket.send_to(&garbage, server).ok();
                sent += 1;
                thread::sleep(Duration::from_micros(50));
            }
            sent
        })
    };
    let run = site.lea(&["upload", "-l", "200m", "f", "HOST:"]);
    is_over.store(true, Ordering::Relaxed);
    assert!(noise.join().unwrap() > 100);
    run.assert_success();
    assert!(std::fs::read(site.path("root/f")).unwrap() == content);
}

#[test]
fn garbage_on_either_port_disturbs_nobody() {
    let site = Site::new();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut tcp = std::net::TcpStream::connect(site.server.address).unwrap();
    tcp.write_all(&[0xa5; 4000]).unwrap();
    for length in 0..1500 {
        udp.send_to(&vec![length as u8; length], site.server.address)
            .unwrap();
    }
    // Whatever it answers, it ends the connection.
    drop(tcp.read_to_end(&mut Vec::new()));
    // Rule W-17: the UDP port answers nothing at all.
    udp.set_nonblocking(true).unwrap();
    assert!(udp.recv_from(&mut [0; 1500]).is_err());
    std::fs::write(site.path("f"), b"x").unwrap();
    site.lea(&["upload", "f", "HOST:"]).assert_success();
}

#[test]
fn a_server_that_dies_is_missed_at_once_and_the_rest_follows_later() {
    let mut site = Site::new();
    let content = site.bed.file("f", 30_000_000);
    let words = [
        "upload",
        "-l",
        "50m",
        "--json",
        "--accept-new-host-key",
        "--retry",
        "0",
        "f",
        "HOST:",
    ];
    let mut client = site.client("lea", PASSWORD, &words).spawn().unwrap();
    support::wait_for_event(&mut client, "progress");
    site.server.kill();
    let began = Instant::now();
    let run = Run::of(client);
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    run.assert_refused(5, 16);
    assert_nothing_final(&site.path("root"));
    site.server = site.bed.serve();
    site.lea(&["upload", "f", "HOST:"]).assert_success();
    assert!(std::fs::read(site.path("root/f")).unwrap() == content);
}

/// Rule D-13: a server that is asked to stop tells its clients and is gone within five seconds.
#[test]
fn d13_a_server_that_is_stopped_says_so_and_the_rest_follows_later() {
    let mut site = Site::new();
    let content = site.bed.file("root/f", 30_000_000);
    let words = [
        "download",
        "-l",
        "50m",
        "--json",
        "--accept-new-host-key",
        "--retry",
        "0",
        "HOST:f",
        "copy",
    ];
    let mut client = site.client("lea", PASSWORD, &words).spawn().unwrap();
    support::wait_for_event(&mut client, "progress");
    let began = Instant::now();
    site.server.terminate();
    let run = Run::of(client);
    run.assert_refused(5, 39);
    assert!(
        run.err.contains("the server is shutting down"),
        "{}",
        run.err
    );
    assert_eq!(site.server.wait(), 0);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert!(!site.path("copy").exists());
    site.server = site.bed.serve();
    site.lea(&["download", "HOST:f", "copy"]).assert_success();
    assert!(std::fs::read(site.path("copy")).unwrap() == content);
}

/// Rule D-13 on this side, for a signal that comes from no terminal.
#[test]
fn d13_a_client_that_is_stopped_ends_in_order() {
    let site = Site::new();
    site.bed.file("f", 30_000_000);
    let words = [
        "upload",
        "-l",
        "50m",
        "--json",
        "--accept-new-host-key",
        "f",
        "HOST:",
    ];
    let mut client = site.client("lea", PASSWORD, &words).spawn().unwrap();
    support::wait_for_event(&mut client, "progress");
    let began = Instant::now();
    support::terminate(&client);
    let run = Run::of(client);
    assert!(began.elapsed() < Duration::from_secs(5));
    run.assert_refused(130, 28);
    assert!(
        run.out.contains("\"symbol\":\"USER_CANCEL\""),
        "{}",
        run.out
    );
    assert_nothing_final(&site.path("root"));
}

/// Rule W-22: the data path may come from another address than the control connection, as behind some NATs.
#[test]
fn w22_datagrams_from_another_address_than_the_control_connection_are_taken() {
    let site = Site::new();
    let content = site.bed.file("f", 3_000_000);
    let way = Forwarder::new(site.server.address, Udp::Open);
    site.lea_at(way.address, &["upload", "f", "HOST:"])
        .assert_success();
    assert!(std::fs::read(site.path("root/f")).unwrap() == content);
    site.lea_at(way.address, &["download", "HOST:f", "back"])
        .assert_success();
    assert!(std::fs::read(site.path("back")).unwrap() == content);
}

/// Rule W-30.
#[test]
fn w30_policy_fixed_becomes_fair_on_a_server_that_does_not_allow_it() {
    let site = Site::new();
    site.bed.file("f", 10);
    let words = [
        "upload", "--policy", "fixed", "-l", "50m", "--json", "f", "HOST:",
    ];
    let run = site.lea(&words);
    run.assert_success();
    assert!(run.out.contains("\"policy\":\"fair\""), "{}", run.out);
}
