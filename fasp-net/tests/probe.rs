//! A look at a server, over real sockets.
#![allow(clippy::unwrap_used, reason = "test set-up")]

#[allow(dead_code, reason = "shared with other tests, and used in part")]
mod support;

use std::fs;

use fasp_net::transfer::probe::Probe;
use support::TestServer;

#[tokio::test]
async fn a_server_tells_about_itself_and_a_probe_leaves_nothing_behind() {
    let root = tempfile::TempDir::new().unwrap();
    let server = TestServer::new(root.path());
    let (probe, facts) = Probe::start(server.connect(), Vec::new()).await.unwrap();
    assert!(facts.software.starts_with("fasp-net/"), "{facts:?}");
    assert!(facts.clock_ahead_ms.unwrap().abs() < 5_000, "{facts:?}");
    let (free, total) = facts.space.unwrap();
    assert!(free <= total && total > 0, "{facts:?}");
    let path = probe.data_path().await.unwrap();
    // Loopback carries the largest datagram there is.
    assert_eq!(path.datagram, Some(9216));
    assert_eq!(path.address, server.context.port.local_address());
    #[allow(clippy::disallowed_methods, reason = "looks at what the test made")]
    let left = fs::read_dir(root.path()).unwrap().count();
    assert_eq!(left, 0);
}
