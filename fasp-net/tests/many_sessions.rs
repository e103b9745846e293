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
            began.elapsed().as_secs_f64()
        }));
    }
    let mut times = Vec::new();
    for task in running {
        times.push(task.await.unwrap());
    }
    // Times, not rates: those who log in first have the line for themselves, and a mean of rates is theirs.
    let mean = times.iter().sum::<f64>() / SESSIONS as f64;
    let longest = times.iter().copied().fold(0.0, f64::max);
    println!("mean {mean:.2} s, longest {longest:.2} s");
    assert!(
        longest <= mean * 3.0,
        "longest {longest:.2} s, mean {mean:.2} s"
    );
    for i in 0..SESSIONS {
        assert!(
            std::fs::read(remote.join(format!("copy {i}"))).unwrap() == content,
            "copy {i}"
        );
    }
}
