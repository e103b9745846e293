//! Two hundred sessions at once against one server: all complete, none starves.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::time::Instant;

use fasp_net::engine::Sources;
use fasp_net::request::TransferOptions;
use fasp_net::transfer::Job;
use support::TestServer;

const SESSIONS: usize = 200;
const SIZE: usize = 2_000_000;

/// Rule W-15: all of them share one port and one address, and their ids tell them apart.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sessions_share_one_port_and_none_starves() {
    let temp = tempfile::tempdir().unwrap();
    let remote = temp.path().join("remote");
    std::fs::create_dir(&remote).unwrap();
    let content: Vec<u8> = (0..SIZE).map(|i| ((i * 7) >> 3) as u8).collect();
    std::fs::write(temp.path().join("file"), &content).unwrap();
    let server = TestServer::new(&remote);
    let mut running = Vec::new();
    for i in 0..SESSIONS {
        let server = server.clone();
        let sources = Sources::local(&[temp.path().join("file")]).unwrap();
        let job = Job::Upload {
            sources,
            destination: format!("copy {i}").into_bytes(),
        };
        running.push(tokio::spawn(async move {
            let began = Instant::now();
            let options = TransferOptions::default();
            server.run(job, &options).await.unwrap();
            SIZE as f64 / began.elapsed().as_secs_f64()
        }));
    }
    let mut rates = Vec::new();
    for task in running {
        rates.push(task.await.unwrap());
    }
    let mean = rates.iter().sum::<f64>() / SESSIONS as f64;
    let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "mean {:.2} MB/s, slowest {:.2} MB/s",
        mean / 1e6,
        slowest / 1e6
    );
    assert!(
        slowest >= mean / 3.0,
        "slowest {slowest:.0} B/s, mean {mean:.0} B/s"
    );
    for i in 0..SESSIONS {
        assert!(
            std::fs::read(remote.join(format!("copy {i}"))).unwrap() == content,
            "copy {i}"
        );
    }
}
