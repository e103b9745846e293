//! What somebody sees who looks at the wire. The cipher is `none`, so that the protection of content stands alone.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{fs, net::SocketAddr};

use support::{
    PASSWORD, Run, Site,
    canary::{CANARY, assert_no_canary},
    network::{Forwarder, Udp, Wire},
};

const PASSPHRASE: &str = "correct horse battery staple";
const SIZES: [(&str, usize); 3] = [
    ("small", 2_000),
    ("blocks", 200_000),
    ("chunks", 36_000_000),
];

/// So many copies of the canary that some lie whole in one datagram, however the file is cut.
fn content(size: usize) -> Vec<u8> {
    CANARY.iter().copied().cycle().take(size).collect()
}

/// A server that allows sessions without encryption.
fn site() -> Site {
    let mut site = Site::new();
    site.server.kill();
    let conf = "<CONF version=\"2\"><default><transfer>\
        <encryption><allowed_cipher>none</allowed_cipher></encryption>\
        </transfer></default></CONF>";
    fs::write(site.path("state/aspera.conf"), conf).unwrap();
    site.server = site.bed.serve();
    fs::create_dir(site.path("tree")).unwrap();
    for (name, size) in SIZES {
        fs::write(site.path("tree").join(name), content(size)).unwrap();
    }
    site
}

fn run(site: &Site, server: SocketAddr, words: &[&str]) -> Run {
    let words = [words, &["--cipher", "none", "--accept-new-host-key"]].concat();
    let mut client = site.client_of(server, "lea", PASSWORD, &words);
    client.env("ASPERA_SCP_FILEPASS", PASSPHRASE);
    Run::of(client.spawn().unwrap())
}

/// That the test would see what must not be there.
#[test]
fn the_canary_is_seen_when_nothing_protects_it() {
    let site = site();
    let wire = Wire::looking_for(CANARY);
    let forwarder = Forwarder::watched(site.server.address, Udp::Open, &wire);
    run(&site, forwarder.address, &["upload", "tree", "HOST:"]).assert_success();
    assert!(wire.times() > 10, "{} times", wire.times());
}

// Rule E-12
#[test]
fn no_plain_byte_of_a_protected_file_is_on_the_wire_in_either_direction() {
    for words in [
        &["--sessions", "1"][..],
        &["--sessions", "2", "--split-threshold", "1M"],
    ] {
        let site = site();
        let wire = Wire::looking_for(CANARY);
        let forwarder = Forwarder::watched(site.server.address, Udp::Open, &wire);
        let up = [&["upload", "--protect"], words, &["tree", "HOST:"]].concat();
        run(&site, forwarder.address, &up).assert_success();
        assert_no_canary(&site.path("root"));
        assert!(wire.bytes() > 36_000_000);
        fs::create_dir(site.path("here")).unwrap();
        let down = [&["download", "--decrypt"], words, &["HOST:tree", "here"]].concat();
        run(&site, forwarder.address, &down).assert_success();
        assert!(wire.bytes() > 72_000_000);
        assert_eq!(wire.times(), 0);
        for (name, size) in SIZES {
            let arrived = fs::read(site.path("here/tree").join(name)).unwrap();
            assert!(arrived == content(size), "{name}");
        }
    }
}

#[test]
fn no_plain_byte_leaves_where_datagrams_do_not_get_through() {
    let site = site();
    let wire = Wire::looking_for(CANARY);
    let forwarder = Forwarder::watched(site.server.address, Udp::Swallowed, &wire);
    let words = ["upload", "--protect", "--retry", "0", "tree", "HOST:"];
    run(&site, forwarder.address, &words).assert_refused(5, 15);
    assert!(wire.bytes() > 1_000);
    assert_eq!(wire.times(), 0);
    assert_no_canary(&site.path("root"));
    assert_no_canary(&site.path("state"));
}
