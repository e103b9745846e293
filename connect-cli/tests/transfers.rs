//! Whole transfers by real processes over loopback, and what people read when one cannot be.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::fs::symlink,
    path::PathBuf,
};

use support::{PASSWORD, Site};

#[test]
fn a_tree_comes_back_as_it_was_sent() {
    let site = Site::new();
    let source = site.path("src");
    fs::create_dir_all(source.join("empty")).unwrap();
    let names = [
        "two words",
        "größe",
        "new\nline",
        "-dash",
        "back\\slash",
        "big",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let content: Vec<u8> = (0..number * 90_000).map(|i| ((i * i) >> 7) as u8).collect();
        fs::write(source.join(name), content).unwrap();
    }
    symlink("big", source.join("link")).unwrap();
    let sent = site.lea(&["upload", "--symbolic-links", "copy", "src", "HOST:/"]);
    assert_eq!(sent.status, 0, "{}", sent.err);
    assert!(sent.out.starts_with("Completed: "), "{}", sent.out);
    let back = site.lea(&["download", "--symbolic-links", "copy", "HOST:src", "back"]);
    assert_eq!(back.status, 0, "{}", back.err);
    for name in names {
        let is_same =
            fs::read(source.join(name)).unwrap() == fs::read(site.path("back").join(name)).unwrap();
        assert!(is_same, "{name:?}");
    }
    assert!(site.path("back/empty").is_dir());
    assert_eq!(
        fs::read_link(site.path("back/link")).unwrap(),
        PathBuf::from("big")
    );
    let listed = site.lea(&["ls", "HOST:src"]);
    assert!(listed.out.contains("empty/\n") && listed.out.contains("new\\u{a}line\n"));
    let again = site.lea(&[
        "upload",
        "--json",
        "--symbolic-links",
        "copy",
        "src",
        "HOST:/",
    ]);
    assert!(again.out.contains("\"files_done\":0"), "{}", again.out);
}

#[test]
fn who_cannot_log_in_learns_nothing_about_accounts() {
    let site = Site::new();
    fs::write(site.path("f"), b"x").unwrap();
    let words = ["upload", "--accept-new-host-key", "f", "HOST:"];
    let wrong = site.run("lea", "wrong", &words);
    wrong.assert_refused(4, 19);
    let unknown = site.run("nobody", "wrong", &words);
    assert_eq!(wrong.err.replace("lea", "nobody"), unknown.err);
}

#[test]
fn what_is_not_granted_is_refused_with_a_reason() {
    let site = Site::new();
    fs::write(site.path("f"), b"x").unwrap();
    site.run("lea", PASSWORD, &["upload", "f", "HOST:"])
        .assert_refused(4, 51);
    site.lea(&["upload", "f", "HOST:../f"])
        .assert_refused(1, 41);
    site.lea(&["upload", "gone", "HOST:"]).assert_refused(1, 4);
    site.lea(&["download", "HOST:gone", "."])
        .assert_refused(1, 4);
    site.run("reader", PASSWORD, &["upload", "f", "HOST:"])
        .assert_refused(4, 37);
    assert_eq!(fs::read_dir(site.path("root")).unwrap().count(), 0);
}

#[test]
fn h5_a_changed_host_key_ends_the_connection() {
    let site = Site::new();
    let other = Site::new();
    assert_eq!(site.lea(&["ls", "HOST:"]).status, 0);
    let known = fs::read_to_string(site.path("home/.config/connect/known_hosts")).unwrap();
    assert_eq!(other.lea(&["ls", "HOST:"]).status, 0);
    let own = other.path("home/.config/connect/known_hosts");
    let foreign_key = known.split_whitespace().last().unwrap();
    let text = fs::read_to_string(&own).unwrap();
    let own_key = text.split_whitespace().last().unwrap();
    fs::write(&own, text.replace(own_key, foreign_key)).unwrap();
    other.lea(&["ls", "HOST:"]).assert_refused(4, 51);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let site = Site::new();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let location = format!("lea@{closed}:");
    site.lea(&["ls", &location]).assert_refused(5, 12);
    site.lea(&["ls", "lea@host.invalid:"]).assert_refused(5, 12);
}

#[test]
fn garbage_on_either_port_disturbs_nobody() {
    let site = Site::new();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut tcp = TcpStream::connect(site.server.address).unwrap();
    tcp.write_all(&[0xa5; 4000]).unwrap();
    for length in 0..1500 {
        udp.send_to(&vec![length as u8; length], site.server.address)
            .unwrap();
    }
    // Whatever it answers, it ends the connection.
    drop(tcp.read_to_end(&mut Vec::new()));
    fs::write(site.path("f"), b"x").unwrap();
    assert_eq!(site.lea(&["upload", "f", "HOST:"]).status, 0);
}
