//! A receiver whose disk is slower than the network (F31). The disk is that of the whole process, so there is one test.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use docroot::faults;
use fasp_core::Rate;
use fasp_net::{
    engine::Sources,
    event::{Event, LimitedBy},
    request::TransferOptions,
    transfer::{Job, Transfer},
};
use support::TestServer;

/// What is transferred, bytes: much more than may be in memory.
const SIZE: usize = 80_000_000;
/// How long a write takes.
const WRITE: Duration = Duration::from_millis(8);

/// The most memory that this process has had so far, bytes.
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<usize>().unwrap() * 1024
}

/// Writes bytes without a period that a block could have, without ever having all of them in memory.
fn write_source(path: &Path) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for i in 0..SIZE as u64 / 8 {
        let word = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (i >> 7);
        file.write_all(&word.to_le_bytes()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn f31_a_disk_that_is_slower_than_the_network_slows_the_sender_and_fills_no_memory() {
    let temp = tempfile::tempdir().unwrap();
    let [root, source] = ["root", "f"].map(|name| temp.path().join(name));
    fs::create_dir(&root).unwrap();
    write_source(&source);
    let server = TestServer::new(&root);
    let job = || Job::Upload {
        sources: Sources::local(&[&source]).unwrap(),
        destination: Vec::new(),
    };
    let options = TransferOptions {
        target_rate: Some(Rate::from_mbps(1000)),
        ..TransferOptions::default()
    };
    faults::slow("pwritev", WRITE);
    let before = peak_memory();
    let begun = Instant::now();
    let transfer = Transfer::start(server.connect(), job(), &options)
        .await
        .unwrap();
    let (outcome, is_named) = tokio::task::spawn_blocking(move || {
        let mut is_named = false;
        while let Ok(event) = transfer.events().recv() {
            if let Event::Progress(progress) = event {
                is_named |= progress.limited_by == LimitedBy::RemoteDisk;
            }
        }
        (transfer.wait().unwrap(), is_named)
    })
    .await
    .unwrap();
    let more = peak_memory() - before;
    faults::disarm();
    let rate = SIZE as f64 / 1e6 / begun.elapsed().as_secs_f64();
    let resent = outcome.retransmitted_bytes;
    println!("{rate:.1} MB/s, {resent} bytes sent again, {more} bytes of memory more");
    assert_eq!(outcome.files_done, 1);
    assert!(is_named, "nothing says that the disk holds it up");
    // What was on its way before the sender heard of the disk.
    assert!(resent < SIZE as u64 / 10, "{resent}");
    assert!(more < SIZE / 2, "{more}");
    assert!(fs::read(root.join("f")).unwrap() == fs::read(&source).unwrap());
}
