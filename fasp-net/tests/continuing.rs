//! Files that are continued (protocol §14), over loopback with real sockets and files.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::{
    fs,
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use fasp_core::{FileDigest, Rate};
use fasp_net::{
    engine::Sources,
    event::{Event, Outcome},
    request::{Sessions, TransferOptions},
    transfer::{Job, LocalDestination, Transfer},
};
use support::TestServer;
use tempfile::TempDir;
use transfer_spec::ResumePolicy;

const SIZE: usize = 20_000_000;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Up,
    Down,
}

/// A file `source`, and a server of the directory above it.
struct Stage {
    temp: TempDir,
    server: TestServer,
    way: Way,
}

impl Stage {
    fn new(way: Way) -> Self {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("source"), content(SIZE)).unwrap();
        let server = TestServer::new(temp.path());
        Self { temp, server, way }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn job(&self) -> Job {
        match self.way {
            Way::Up => Job::Upload {
                sources: Sources::local(&[self.path("source")]).unwrap(),
                destination: b"copy".to_vec(),
            },
            Way::Down => Job::Download {
                sources: vec![b"source".to_vec()],
                destination: LocalDestination::Path(self.path("copy")),
            },
        }
    }

    /// Runs until about half of the file is there, and gives up.
    async fn half(&self, options: &TransferOptions) {
        let slow = TransferOptions {
            target_rate: Some(Rate::from_mbps(200)),
            ..options.clone()
        };
        let transfer = Transfer::start(self.server.connect(), self.job(), &slow)
            .await
            .unwrap();
        let remote = transfer.remote();
        let result = tokio::task::spawn_blocking(move || {
            for event in transfer.events() {
                if let Event::Progress(progress) = event
                    && progress.bytes_done >= SIZE as u64 / 2
                {
                    remote.cancel();
                }
            }
            transfer.wait()
        });
        assert!(result.await.unwrap().is_err(), "cancelled");
        // The server may still be writing its last checkpoint.
        while self.server.context.sessions.count() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let is_kept = options.resume != ResumePolicy::None;
        assert!(
            !self.path("copy").exists(),
            "F1: no half file under its final name"
        );
        assert_eq!(self.path("copy.partial").exists(), is_kept);
        assert_eq!(self.path("copy.aspera-ckpt").exists(), is_kept);
    }

    async fn run(&self, options: &TransferOptions) -> Outcome {
        let outcome = self.server.run(self.job(), options).await.unwrap();
        let (source, copy) = (self.path("source"), self.path("copy"));
        assert!(
            fs::read(source).unwrap() == fs::read(copy).unwrap(),
            "not the same"
        );
        for left in [
            "copy.partial",
            "copy.aspera-ckpt",
            "copy.aspera-ckpt.partial",
        ] {
            assert!(!self.path(left).exists(), "{left} is left");
        }
        outcome
    }
}

fn content(size: usize) -> Vec<u8> {
    (0..size as u64)
        .map(|i| (i.wrapping_mul(i).wrapping_mul(0x9e37_79b9) >> 11) as u8)
        .collect()
}

fn level(level: u8) -> TransferOptions {
    TransferOptions {
        resume: ResumePolicy::from_level(level).unwrap(),
        ..TransferOptions::default()
    }
}

/// Writes a byte into a file and gives it its former time back.
fn touch(path: &Path, offset: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let before: SystemTime = file.metadata().unwrap().modified().unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[!byte[0]], offset).unwrap();
    file.set_modified(before).unwrap();
}

const BOTH: [Way; 2] = [Way::Up, Way::Down];

/// D-5: what is there is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn d5_a_file_is_continued_in_both_directions_at_every_level() {
    for way in BOTH {
        for number in 1..=3 {
            let stage = Stage::new(way);
            stage.half(&level(number)).await;
            let outcome = stage.run(&level(number)).await;
            let held = outcome.resumed_bytes;
            assert!(
                (SIZE as u64 / 2..SIZE as u64).contains(&held),
                "{way:?} {number}: {held}"
            );
            let again = stage.run(&level(number)).await;
            assert_eq!(
                (again.files_skipped, again.bytes),
                (1, 0),
                "{way:?} {number}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_split_file_is_continued_with_any_number_of_sessions() {
    let split = |sessions| TransferOptions {
        sessions: Sessions::Exactly(sessions),
        split_threshold: 1 << 20,
        ..level(1)
    };
    for way in BOTH {
        for (first, then) in [(3, 3), (3, 1), (1, 3)] {
            let stage = Stage::new(way);
            stage.half(&split(first)).await;
            let held = stage.run(&split(then)).await.resumed_bytes;
            assert!(held >= SIZE as u64 / 2, "{way:?} {first} {then}: {held}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn level_0_keeps_nothing_and_begins_anew() {
    for way in BOTH {
        let stage = Stage::new(way);
        stage.half(&level(0)).await;
        assert_eq!(stage.run(&level(0)).await.resumed_bytes, 0);
        let stage = Stage::new(way);
        stage.half(&level(1)).await;
        assert_eq!(stage.run(&level(0)).await.resumed_bytes, 0);
    }
}

/// D-5: the whole is verified all the same.
#[tokio::test(flavor = "multi_thread")]
async fn d5_a_partial_that_was_touched_is_sent_again_whole() {
    for way in BOTH {
        for sessions in [1, 3] {
            for number in 1..=3 {
                let options = TransferOptions {
                    sessions: Sessions::Exactly(sessions),
                    split_threshold: 1 << 20,
                    ..level(number)
                };
                let stage = Stage::new(way);
                stage.half(&options).await;
                // The first sample is there.
                touch(&stage.path("copy.partial"), 10);
                stage.run(&options).await;
            }
        }
    }
}

/// D-5: at level 1 a source that says nothing of its change is found by the digest of the whole.
#[tokio::test(flavor = "multi_thread")]
async fn d5_a_source_that_changed_in_silence_is_sent_again_whole() {
    for way in BOTH {
        for number in 1..=3 {
            let stage = Stage::new(way);
            stage.half(&level(number)).await;
            touch(&stage.path("source"), 1_000_000);
            stage.run(&level(number)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn d5_a_source_with_another_time_or_size_is_sent_whole() {
    for way in BOTH {
        let stage = Stage::new(way);
        stage.half(&level(1)).await;
        let file = fs::File::options()
            .write(true)
            .open(stage.path("source"))
            .unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(stage.run(&level(1)).await.resumed_bytes, 0, "{way:?}");
        fs::remove_file(stage.path("copy")).unwrap();
        stage.half(&level(1)).await;
        file.set_len(SIZE as u64 - 1).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(stage.run(&level(1)).await.resumed_bytes, 0, "{way:?}");
    }
}

/// What is done to a partial and its checkpoint.
type Spoil<'a> = &'a dyn Fn(&Path, &Path);

/// D-4, F35: whatever lies there is no reason to publish anything wrong, or to fail.
#[tokio::test(flavor = "multi_thread")]
async fn d4_f35_a_checkpoint_or_partial_that_is_something_else_is_discarded() {
    let outside = tempfile::tempdir().unwrap();
    let bait = outside.path().join("bait");
    fs::write(&bait, b"untouched").unwrap();
    let spoil: [(&str, Spoil<'_>); 7] = [
        ("garbage", &|_, ckpt| fs::write(ckpt, b"garbage").unwrap()),
        ("empty", &|_, ckpt| fs::write(ckpt, b"").unwrap()),
        ("huge", &|_, ckpt| {
            let file = fs::File::create(ckpt).unwrap();
            file.set_len(1 << 40).unwrap();
        }),
        ("a link", &|_, ckpt| {
            fs::remove_file(ckpt).unwrap();
            std::os::unix::fs::symlink(&bait, ckpt).unwrap();
        }),
        ("the partial a link", &|partial, _| {
            fs::remove_file(partial).unwrap();
            std::os::unix::fs::symlink(&bait, partial).unwrap();
        }),
        ("another partial", &|partial, _| {
            let content = vec![7; SIZE];
            fs::rename(partial, partial.with_extension("old")).unwrap();
            fs::write(partial, content).unwrap();
        }),
        ("a short partial", &|partial, _| {
            let file = fs::File::options().write(true).open(partial).unwrap();
            file.set_len(100).unwrap();
        }),
    ];
    for way in BOTH {
        for (name, spoil) in &spoil {
            let stage = Stage::new(way);
            stage.half(&level(1)).await;
            spoil(&stage.path("copy.partial"), &stage.path("copy.aspera-ckpt"));
            let outcome = stage.run(&level(1)).await;
            assert_eq!(outcome.resumed_bytes, 0, "{name}");
            assert_eq!(fs::read(&bait).unwrap(), b"untouched", "{name}");
        }
    }
}

/// Levels 2 and 3 look at content before they leave a file alone; level 1 does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_there_is_left_alone_as_the_level_says() {
    for way in BOTH {
        for (number, offset, is_found) in [
            (1, 10, false),
            (2, 10, true),
            (2, 1_000_000, false),
            (3, 1_000_000, true),
        ] {
            let stage = Stage::new(way);
            stage.run(&level(number)).await;
            touch(&stage.path("copy"), offset);
            let outcome = stage.server.run(stage.job(), &level(number)).await.unwrap();
            assert_eq!(outcome.files_done == 1, is_found, "{way:?} {number}");
            let is_same = fs::read(stage.path("copy")).unwrap() == content(SIZE);
            assert_eq!(is_same, is_found, "{way:?} {number}");
        }
        // Small files, which travel otherwise.
        for number in [2, 3] {
            let stage = Stage::new(way);
            fs::write(stage.path("source"), b"small and beautiful").unwrap();
            stage.run(&level(number)).await;
            assert_eq!(stage.run(&level(number)).await.files_skipped, 1);
            touch(&stage.path("copy"), 3);
            assert_eq!(stage.run(&level(number)).await.files_done, 1);
        }
    }
}

/// D-3: the checkpoint of a writer that died behind its rename is no evidence of anything.
#[tokio::test(flavor = "multi_thread")]
async fn d3_a_checkpoint_beside_a_complete_file_is_removed() {
    for way in BOTH {
        let stage = Stage::new(way);
        stage.half(&level(1)).await;
        let checkpoint = fs::read(stage.path("copy.aspera-ckpt")).unwrap();
        stage.run(&level(1)).await;
        fs::write(stage.path("copy.aspera-ckpt"), &checkpoint).unwrap();
        assert_eq!(stage.run(&level(1)).await.files_skipped, 1);
        fs::write(stage.path("copy.aspera-ckpt"), &checkpoint).unwrap();
        fs::remove_file(stage.path("copy")).unwrap();
        assert_eq!(stage.run(&level(1)).await.resumed_bytes, 0);
    }
}

/// A checkpoint (protocol §14.1) of a partial, for this version of its source.
fn checkpoint(partial: &fs::Metadata, source: &fs::Metadata, held: &[Range<u64>]) -> Vec<u8> {
    let mut bytes = b"\xfdFckp\r\n\x01".to_vec();
    bytes.extend(partial.ino().to_be_bytes());
    bytes.extend(source.len().to_be_bytes());
    bytes.extend(source.mtime().to_be_bytes());
    bytes.extend((source.mtime_nsec() as u32).to_be_bytes());
    bytes.extend((held.len() as u32).to_be_bytes());
    for range in held {
        bytes.extend(range.start.to_be_bytes());
        bytes.extend(range.end.to_be_bytes());
    }
    let mut crc = FileDigest::new(bytes.len() as u64);
    crc.add(0, &bytes);
    bytes.extend(crc.finish().to_be_bytes());
    bytes
}

/// F32: most of it is a hole that is there already, so that a test can have it; around places that 32 bits do not reach
/// it is sent.
#[tokio::test(flavor = "multi_thread")]
async fn f32_a_sparse_file_is_sent_beyond_four_gibibytes() {
    const GIB: u64 = 1 << 30;
    const SIZE: u64 = 4 * GIB + 300_001;
    let stage = Stage::new(Way::Up);
    let [source, partial] = ["source", "copy.partial"].map(|name| stage.path(name));
    let pieces = [(0, 100_000), (4 * GIB - 50_000, 100_000), (SIZE - 9, 9)];
    let file = fs::File::create(&source).unwrap();
    file.set_len(SIZE).unwrap();
    for (start, length) in pieces {
        file.write_all_at(&content(length), start).unwrap();
    }
    // Far more than is used: a file system in memory, or one that is nearly full, is no place for this.
    let free = docroot::Docroot::open(stage.temp.path()).unwrap();
    if free.free_space().unwrap().0 < 12 * GIB {
        println!("SKIPPED: less than 12 GiB are free for temporary files");
        return;
    }
    let held = [100_000..4 * GIB - 50_000, 4 * GIB + 50_000..SIZE - 9];
    fs::File::create(&partial)
        .unwrap()
        .set_len(SIZE - 9)
        .unwrap();
    let [was, is] = [&partial, &source].map(|path| fs::metadata(path).unwrap());
    fs::write(stage.path("copy.aspera-ckpt"), checkpoint(&was, &is, &held)).unwrap();
    let outcome = stage.server.run(stage.job(), &level(1)).await.unwrap();
    assert_eq!(outcome.resumed_bytes, SIZE - 200_009);
    assert_eq!(outcome.files_done, 1);
    let copy = fs::File::open(stage.path("copy")).unwrap();
    assert_eq!(copy.metadata().unwrap().len(), SIZE);
    for (start, length) in pieces {
        let mut piece = vec![0; length];
        copy.read_exact_at(&mut piece, start).unwrap();
        assert!(piece == content(length), "{start}");
    }
    let mut hole = vec![1; 100_000];
    copy.read_exact_at(&mut hole, 4 * GIB + 50_000).unwrap();
    assert!(hole.iter().all(|byte| *byte == 0));
}
