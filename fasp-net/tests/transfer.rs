//! Whole transfers over loopback: real sockets, real files.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::fs;
use std::path::Path;

use fasp_core::{Rate, RatePolicy};
use fasp_net::engine::{Source, Sources};
use fasp_net::event::Event;
use fasp_net::request::{Sessions, TransferOptions};
use fasp_net::transfer::{Job, LocalDestination, Transfer};
use support::TestServer;
use transfer_spec::{Faux, Location};

fn content(seed: u64, size: usize) -> Vec<u8> {
    (0..size as u64)
        .map(|i| (i.wrapping_mul(seed * 2 + 7) >> 3) as u8 ^ seed as u8)
        .collect()
}

fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("tree/deep/er")).unwrap();
    fs::create_dir_all(root.join("tree/empty directory")).unwrap();
    fs::write(root.join("tree/zero"), b"").unwrap();
    fs::write(root.join("tree/one"), b"1").unwrap();
    fs::write(root.join("tree/deep/large"), content(1, 5_000_000)).unwrap();
    fs::write(root.join("tree/deep/block"), content(2, 65_537)).unwrap();
    fs::write(root.join("tree/deep/small"), content(3, 65_536)).unwrap();
    for (i, name) in ["-rf", "new\nline", "ünï", "a b", "$(x)", "\u{202e}gpj"]
        .iter()
        .enumerate()
    {
        fs::write(
            root.join("tree/deep/er").join(name),
            content(i as u64, 100 * i),
        )
        .unwrap();
    }
    for i in 0..500 {
        fs::write(root.join(format!("tree/deep/er/f{i}")), content(i, 4096)).unwrap();
    }
}

fn assert_same(a: &Path, b: &Path) {
    let status = std::process::Command::new("diff")
        .arg("-r")
        .arg(a)
        .arg(b)
        .status()
        .unwrap();
    assert!(
        status.success(),
        "{} and {} differ",
        a.display(),
        b.display()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_goes_up_and_comes_back_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let (local, remote, back) = (
        temp.path().join("local"),
        temp.path().join("remote"),
        temp.path().join("back"),
    );
    for dir in [&local, &remote, &back] {
        fs::create_dir(dir).unwrap();
    }
    make_tree(&local);
    let server = TestServer::new(&remote);
    let options = TransferOptions::default();
    let sources = Sources::local(&[local.join("tree")]).unwrap();
    let job = Job::Upload {
        sources,
        destination: b"/".to_vec(),
    };
    let outcome = server.run(job.clone(), &options).await.unwrap();
    assert_eq!((outcome.files_done, outcome.files_failed), (511, 0));
    assert_same(&local.join("tree"), &remote.join("tree"));

    let again = server.run(job, &options).await.unwrap();
    assert_eq!(
        (again.files_done, again.files_skipped),
        (0, 511),
        "nothing is sent twice"
    );

    let job = Job::Download {
        sources: vec![b"tree".to_vec()],
        destination: back.clone().into(),
    };
    let outcome = server.run(job, &options).await.unwrap();
    assert_eq!((outcome.files_done, outcome.files_failed), (511, 0));
    assert_same(&local.join("tree"), &back.join("tree"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_file_gets_the_new_name() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("a"), content(5, 300_000)).unwrap();
    let remote = temp.path().join("remote");
    fs::create_dir(&remote).unwrap();
    let server = TestServer::new(&remote);
    let sources = Sources::local(&[temp.path().join("a")]).unwrap();
    let job = Job::Upload {
        sources,
        destination: b"b".to_vec(),
    };
    server.run(job, &TransferOptions::default()).await.unwrap();
    assert_same(&temp.path().join("a"), &remote.join("b"));
    let job = Job::Download {
        sources: vec![b"/b".to_vec()],
        destination: temp.path().join("c").into(),
    };
    server.run(job, &TransferOptions::default()).await.unwrap();
    assert_same(&temp.path().join("a"), &temp.path().join("c"));
}

#[tokio::test(flavor = "multi_thread")]
async fn synthetic_files_are_sent_like_others_and_a_sink_keeps_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let remote = temp.path().join("remote");
    fs::create_dir(&remote).unwrap();
    let server = TestServer::new(&remote);
    let made_up = || {
        let text = "faux:///d?count=40&file=f&size=100000&inc=90000&seq=random&buf_init=random";
        let Ok(Location::Faux(Faux::Source(faux))) = text.parse() else {
            panic!("a source");
        };
        Sources::new(vec![Source::Faux(faux)]).unwrap()
    };
    let options = TransferOptions {
        create_dir: true,
        ..TransferOptions::default()
    };
    for destination in ["a", "b"] {
        let job = Job::Upload {
            sources: made_up(),
            destination: destination.into(),
        };
        let outcome = server.run(job, &options).await.unwrap();
        assert_eq!((outcome.files_done, outcome.files_failed), (40, 0));
    }
    // Some are small enough to travel in pages, some travel as blocks; either way they are the same files.
    assert_same(&remote.join("a"), &remote.join("b"));
    assert_eq!(fs::read_dir(remote.join("a/d")).unwrap().count(), 40);

    let job = Job::Upload {
        sources: made_up(),
        destination: b"faux://".to_vec(),
    };
    let outcome = server.run(job, &options).await.unwrap();
    assert_eq!((outcome.files_done, outcome.files_failed), (40, 0));
    let job = Job::Download {
        sources: vec![b"a".to_vec()],
        destination: LocalDestination::Sink,
    };
    let outcome = server.run(job, &options).await.unwrap();
    assert_eq!((outcome.files_done, outcome.files_failed), (40, 0));
    assert_eq!(fs::read_dir(&remote).unwrap().count(), 2);
}

/// Code 20.
#[test]
fn a_list_without_sources_is_nothing_to_transfer() {
    let nothing = Sources::new(Vec::new()).unwrap_err();
    assert_eq!(nothing.code(), fasp_core::ErrorCode::Nothing);
}

/// A transfer that would take minutes at the rate that it begins with.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_rates_in_flight_are_told_and_take_effect() {
    let temp = tempfile::tempdir().unwrap();
    let server = TestServer::new(temp.path());
    let job = || {
        let Ok(Location::Faux(Faux::Source(faux))) = "faux:///f?12m".parse() else {
            panic!("a synthetic file");
        };
        Job::Upload {
            sources: Sources::new(vec![Source::Faux(faux)]).unwrap(),
            destination: b"faux://".to_vec(),
        }
    };
    for sessions in [1, 2] {
        let options = TransferOptions {
            target_rate: Some(Rate::from_mbps(1)),
            sessions: Sessions::Exactly(sessions),
            ..TransferOptions::default()
        };
        let transfer = Transfer::start(server.connect(), job(), &options)
            .await
            .unwrap();
        let run = tokio::task::spawn_blocking(move || {
            let mut changes = Vec::new();
            let (remote, events) = (transfer.remote(), transfer.events().clone());
            for event in events {
                match event {
                    Event::Progress(progress) if progress.target_rate_kbps == 1000 => {
                        remote.set_rates(Some(Rate::from_mbps(400)), None, Some(RatePolicy::High));
                    }
                    Event::RateChanged(change) => changes.push(change),
                    Event::Done(_) => break,
                    _ => {}
                }
            }
            (changes, transfer.wait())
        });
        let (changes, outcome) = run.await.unwrap();
        assert_eq!(outcome.unwrap().files_done, 1);
        let change = changes.first().unwrap();
        assert_eq!(change.target_rate_kbps, Some(400_000));
        assert_eq!(
            (change.min_rate_kbps, change.policy),
            (None, Some(RatePolicy::High))
        );
    }
}
