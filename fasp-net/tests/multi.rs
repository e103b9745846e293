//! Several sessions in one transfer (protocol §13), over loopback with real sockets and files.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fasp_core::{ErrorCode, Rate};
use fasp_net::{
    Error,
    engine::Sources,
    event::{Event, Outcome},
    request::{Sessions, TransferOptions},
    transfer::{Job, LocalDestination, Transfer},
};
use support::TestServer;
use tempfile::TempDir;

const SPLIT: u64 = 1 << 20;

fn options(sessions: u8) -> TransferOptions {
    TransferOptions {
        sessions: Sessions::Exactly(sessions),
        split_threshold: SPLIT,
        // Slow enough that every session gets its share.
        target_rate: Some(Rate::from_mbps(300)),
        ..TransferOptions::default()
    }
}

fn content(seed: u64, size: usize) -> Vec<u8> {
    (0..size as u64)
        .map(|i| (i.wrapping_mul(seed * 2 + 7) >> 5) as u8 ^ (i >> 13) as u8)
        .collect()
}

/// A directory with `local` and `remote` in it, and a server of the latter.
struct Stage {
    temp: TempDir,
    server: TestServer,
}

impl Stage {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir(temp.path().join("local")).unwrap();
        fs::create_dir(temp.path().join("remote")).unwrap();
        let server = TestServer::new(&temp.path().join("remote"));
        Self { temp, server }
    }

    fn local(&self) -> PathBuf {
        self.temp.path().join("local")
    }

    fn remote(&self) -> PathBuf {
        self.temp.path().join("remote")
    }

    fn upload(&self, name: &str, to: &str) -> Job {
        Job::Upload {
            sources: Sources::local(&[self.local().join(name)]).unwrap(),
            destination: to.as_bytes().to_vec(),
        }
    }

    fn download(&self, name: &str, to: &str) -> Job {
        Job::Download {
            sources: vec![name.as_bytes().to_vec()],
            destination: LocalDestination::Path(self.temp.path().join(to)),
        }
    }

    /// Runs a transfer to its end; returns its events and how many sessions the server had at most as well.
    async fn run(&self, job: Job, options: TransferOptions) -> Ran {
        let transfer = Transfer::start(self.server.connect(), job, &options)
            .await
            .unwrap();
        let sessions = self.server.context.sessions.clone();
        let events = transfer.events().clone();
        let watch = tokio::task::spawn_blocking(move || {
            let mut most = sessions.count();
            let mut seen = Vec::new();
            loop {
                most = most.max(sessions.count());
                match events.recv_timeout(Duration::from_millis(2)) {
                    Ok(event) => seen.push(event),
                    Err(error) if error.is_timeout() => {}
                    Err(_) => return (seen, most),
                }
            }
        });
        let result = tokio::task::spawn_blocking(move || transfer.wait());
        let result = result.await.unwrap();
        let (events, most) = watch.await.unwrap();
        Ran {
            result,
            events,
            most,
        }
    }
}

struct Ran {
    result: Result<Outcome, Error>,
    events: Vec<Event>,
    most: usize,
}

impl Ran {
    /// What any number of sessions must agree about.
    fn is_one_result(&self) -> Outcome {
        let outcome = self.result.as_ref().unwrap().clone();
        let count = |is: fn(&Event) -> bool| self.events.iter().filter(|e| is(e)).count();
        assert_eq!(count(|e| matches!(e, Event::Started(_))), 1);
        assert_eq!(count(|e| matches!(e, Event::Done(_))), 1);
        assert!(matches!(self.events.last(), Some(Event::Done(_))));
        assert_eq!(
            count(|e| matches!(e, Event::FileDone { .. })) as u64,
            outcome.files_done
        );
        let totals = self.events.iter().rev().find_map(|event| match event {
            Event::Totals(totals) => Some(*totals),
            _ => None,
        });
        let totals = totals.unwrap();
        assert!(totals.complete);
        assert_eq!(
            (totals.files, totals.bytes),
            (outcome.files_done, outcome.bytes)
        );
        outcome
    }
}

fn assert_same(a: &Path, b: &Path) {
    let same = std::process::Command::new("diff")
        .arg("-r")
        .args([a, b])
        .status()
        .unwrap();
    assert!(same.success(), "{} and {} differ", a.display(), b.display());
}

/// Every name beneath a directory.
fn names(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(names(&path));
        }
        found.push(path);
    }
    found
}

fn make_many(dir: &Path) {
    for directory in ["a/b", "c", "empty"] {
        fs::create_dir_all(dir.join(directory)).unwrap();
    }
    for i in 0..900 {
        let place = ["a", "a/b", "c"][i % 3];
        let file = dir.join(place).join(format!("f{i}"));
        fs::write(file, content(i as u64, 40 * (i % 250))).unwrap();
    }
    for i in 0..60 {
        fs::write(dir.join(format!("m{i}")), content(i, 200_000)).unwrap();
    }
    std::os::unix::fs::symlink("f0", dir.join("a/link")).unwrap();
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = fs::File::open(dir.join("a/b")).unwrap();
    file.set_modified(old).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_files_go_up_and_come_back_over_three_sessions() {
    let stage = Stage::new();
    make_many(&stage.local().join("tree"));
    let mut options = options(3);
    options.symlinks = transfer_spec::SymlinkPolicy::Copy;
    options.target_rate = Some(Rate::from_mbps(60));
    let up = stage
        .run(stage.upload("tree", "new"), options.clone())
        .await;
    let outcome = up.is_one_result();
    assert_eq!(outcome.files_done, 961);
    assert_eq!(up.most, 3);
    assert_same(&stage.local().join("tree"), &stage.remote().join("new"));
    let mtime = fs::metadata(stage.remote().join("new/a/b"))
        .unwrap()
        .mtime();
    assert_eq!(mtime, 1_000_000_000, "directories are finished last");

    let down = stage
        .run(stage.download("new", "back"), options.clone())
        .await;
    let again = down.is_one_result();
    assert_eq!(
        (again.files_done, again.bytes),
        (outcome.files_done, outcome.bytes)
    );
    assert_same(&stage.local().join("tree"), &stage.temp.path().join("back"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_split_between_three_sessions_and_joined_again() {
    let stage = Stage::new();
    fs::write(stage.local().join("big"), content(1, 40_000_001)).unwrap();
    let single = stage.run(stage.upload("big", "one"), options(1)).await;
    let up = stage.run(stage.upload("big", "three"), options(3)).await;
    let (single, three) = (single.is_one_result(), up.is_one_result());
    assert_eq!(
        (three.files_done, three.bytes, three.files_failed),
        (single.files_done, single.bytes, 0)
    );
    assert_eq!(up.most, 3);
    assert_same(&stage.local().join("big"), &stage.remote().join("one"));
    assert_same(&stage.local().join("big"), &stage.remote().join("three"));
    assert_eq!(names(&stage.remote()).len(), 2, "no parts are left");

    let down = stage.run(stage.download("three", "back"), options(3)).await;
    assert_eq!(down.is_one_result().bytes, 40_000_001);
    assert_eq!(down.most, 3);
    assert_same(&stage.local().join("big"), &stage.temp.path().join("back"));

    let again = stage.run(stage.upload("big", "three"), options(3)).await;
    let again = again.result.unwrap();
    assert_eq!((again.files_skipped, again.files_done), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_parts_share_the_sessions_of_one_transfer() {
    let stage = Stage::new();
    make_many(&stage.local().join("tree"));
    for i in 0..3 {
        let file = stage.local().join(format!("tree/c/big{i}"));
        fs::write(file, content(i, 5_000_000 + i as usize)).unwrap();
    }
    let up = stage.run(stage.upload("tree", "/"), options(4)).await;
    assert_eq!(up.is_one_result().files_done, 964);
    assert_same(&stage.local(), &stage.remote());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_session_can_do_alone_gets_no_others() {
    let stage = Stage::new();
    fs::write(stage.local().join("small"), b"hello").unwrap();
    let up = stage.run(stage.upload("small", "/"), options(16)).await;
    assert_eq!(up.is_one_result().files_done, 1);
    assert_same(&stage.local(), &stage.remote());
}

/// Ends one of three sessions while a split file is on its way.
async fn lose_a_session(stage: &Stage, job: Job, receives: &Path) {
    let mut options = options(3);
    options.target_rate = Some(Rate::from_mbps(40));
    let transfer = Transfer::start(stage.server.connect(), job, &options)
        .await
        .unwrap();
    let sessions = &stage.server.context.sessions;
    let deadline = Instant::now() + Duration::from_secs(10);
    while sessions.count() < 3 {
        assert!(Instant::now() < deadline, "three sessions never ran");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let lost = sessions.ids()[1];
    assert!(sessions.cancel(lost, ErrorCode::Stalled, "the test ends it"));
    let events = transfer.events().clone();
    let result = tokio::task::spawn_blocking(move || transfer.wait());
    let error = result.await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Stalled, "{error}");
    assert!(!events.try_iter().any(|e| matches!(e, Event::Done(_))));
    while sessions.count() > 0 {
        assert!(Instant::now() < deadline, "a session was left");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // What is there can be continued (protocol §13.5), and has no final name.
    let mut left = names(receives);
    left.sort();
    let expected = ["big.aspera-ckpt", "big.partial"].map(|name| receives.join(name));
    assert_eq!(left, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_dies_ends_the_transfer_and_publishes_nothing() {
    let stage = Stage::new();
    fs::write(stage.local().join("big"), content(1, 40_000_000)).unwrap();
    lose_a_session(&stage, stage.upload("big", "big"), &stage.remote()).await;

    let stage = Stage::new();
    fs::write(stage.remote().join("big"), content(1, 40_000_000)).unwrap();
    let job = stage.download("big", "local/big");
    lose_a_session(&stage, job, &stage.local()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_of_three_sessions_is_cancelled_as_one() {
    let stage = Stage::new();
    fs::write(stage.local().join("big"), content(1, 40_000_000)).unwrap();
    let mut options = options(3);
    options.target_rate = Some(Rate::from_mbps(40));
    let job = stage.upload("big", "big");
    let transfer = Transfer::start(stage.server.connect(), job, &options)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    transfer.remote().cancel();
    let result = tokio::task::spawn_blocking(move || transfer.wait());
    assert_eq!(
        result.await.unwrap().unwrap_err().code(),
        ErrorCode::Cancelled
    );
}
