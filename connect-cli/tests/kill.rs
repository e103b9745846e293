//! `kill -9` of either side at random moments: never a wrong byte under a final name, and little is sent again.
//!
//! `KILLS` sets how many (8 unless said otherwise, one of each kind), `KILL_SEED` replays a seed, which is printed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use support::{Bed, PASSWORD, Run};

const SMALL_FILES: usize = 5000;
/// More than two checkpoint intervals.
const LARGE: usize = 160_000_000;
/// What may be sent again after a kill, bytes (protocol §14.2), and what may be on its way to the disk.
const INTERVAL: u64 = 64 << 20;

/// One kill, all of it decided by the seed.
#[derive(Debug, Clone, Copy)]
struct Case {
    upload: bool,
    large: bool,
    victim_is_client: bool,
    sessions: u8,
    after: Duration,
}

impl Case {
    fn new(round: usize, random: &mut fastrand::Rng) -> Self {
        Self {
            upload: round & 1 == 0,
            large: round & 2 == 0,
            victim_is_client: round & 4 == 0,
            sessions: [1, 1, 3][random.usize(..3)],
            after: Duration::from_millis(random.u64(30..900)),
        }
    }

    fn name(self) -> &'static str {
        match self.large {
            true => "large",
            false => "many",
        }
    }

    fn source(self, bed: &Bed) -> PathBuf {
        match self.upload {
            true => bed.path(self.name()),
            false => bed.path("root").join(self.name()),
        }
    }

    fn copy(self, bed: &Bed) -> PathBuf {
        match self.upload {
            true => bed.path("root/in").join(self.name()),
            false => bed.path("back").join(self.name()),
        }
    }

    fn client(self, bed: &Bed, server: SocketAddr) -> Child {
        let (host, sessions) = (format!("kim@{server}:"), self.sessions.to_string());
        let words = match self.upload {
            true => [
                "upload".to_owned(),
                self.name().to_owned(),
                format!("{host}in"),
            ],
            false => [
                "download".to_owned(),
                format!("{host}{}", self.name()),
                "back".to_owned(),
            ],
        };
        bed.program(words)
            .args(["--json", "--accept-new-host-key", "--retry", "0"])
            .args(["--sessions", &sessions])
            .env("ASPERA_SCP_PASS", PASSWORD)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

fn bench(random: &mut fastrand::Rng) -> Bed {
    let bed = Bed::new();
    for directory in ["back", "root/in", "many", "root/many"] {
        fs::create_dir(bed.path(directory)).unwrap();
    }
    bed.add_user("kim", &[]);
    let mut content = vec![0; LARGE];
    random.fill(&mut content);
    for base in ["", "root/"] {
        fs::write(bed.path(&format!("{base}large")), &content).unwrap();
    }
    for i in 0..SMALL_FILES {
        let size = random.usize(0..6000);
        for base in ["", "root/"] {
            let path = bed.path(&format!("{base}many/{i}"));
            fs::write(path, &content[i..i + size]).unwrap();
        }
    }
    bed
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy();
    name.ends_with(".partial") || name.ends_with(".aspera-ckpt")
}

/// Every file under a final name is the source's, byte by byte; returns how many there are.
fn check(source: &Path, copy: &Path) -> usize {
    if copy.is_dir() {
        let entries = fs::read_dir(copy)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let finished = entries.filter(|path| !is_unfinished(path));
        return finished
            .map(|path| check(&source.join(path.file_name().unwrap()), &path))
            .sum();
    }
    if !copy.exists() {
        return 0;
    }
    let is_same = fs::read(copy).unwrap() == fs::read(source).unwrap();
    assert!(is_same, "{} is wrong", copy.display());
    1
}

/// How much of the large file is there, however little of that is claimed.
fn received(case: Case, copy: &Path) -> u64 {
    let partial = copy.with_extension("partial");
    match fs::metadata(partial) {
        // Several sessions leave holes, so the length says nothing.
        Ok(metadata) if case.large && case.sessions == 1 => metadata.len(),
        _ => 0,
    }
}

/// Runs what was killed once more, to the end; returns the bytes that were sent again.
fn go_on(bed: &Bed, case: Case, server: SocketAddr) -> u64 {
    let copy = case.copy(bed);
    let before = received(case, &copy);
    let run = Run::of(case.client(bed, server));
    run.assert_success();
    let count = check(&case.source(bed), &copy);
    assert_eq!(count, if case.large { 1 } else { SMALL_FILES });
    let done = run.out.lines().last().unwrap();
    let done: serde_json::Value = serde_json::from_str(done).unwrap();
    assert_eq!(done["event"], "done");
    let resumed = done["resumed_bytes"].as_u64().unwrap();
    let left: Vec<_> = fs::read_dir(copy.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| is_unfinished(path))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    before.saturating_sub(resumed)
}

fn remove(path: &Path) {
    match path.is_dir() {
        // The side that was not killed may be writing still.
        true => {
            let gone = (0..100).any(|_| {
                fs::remove_dir_all(path).is_ok() || {
                    std::thread::sleep(Duration::from_millis(50));
                    !path.exists()
                }
            });
            assert!(gone, "{}", path.display());
        }
        false => fs::remove_file(path).unwrap(),
    }
}

/// F1, F2: and what was sent again is less than the checkpoint interval.
#[test]
fn f1_f2_kill_9_of_either_side_leaves_no_wrong_byte_and_costs_one_checkpoint_interval() {
    let count = std::env::var("KILLS").map_or(8, |n| n.parse().unwrap());
    let seed =
        std::env::var("KILL_SEED").map_or_else(|_| fastrand::u64(..), |n| n.parse().unwrap());
    println!("KILL_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let bed = bench(&mut random);
    let (mut finished, mut continued, mut worst) = (0, 0, 0);
    let begun = Instant::now();
    for round in 0..count {
        let case = Case::new(round, &mut random);
        let mut server = bed.serve();
        let mut running = case.client(&bed, server.address);
        std::thread::sleep(case.after);
        if case.victim_is_client {
            running.kill().unwrap();
        } else {
            server.kill();
        }
        finished += usize::from(Run::of_killed(running));
        if !case.victim_is_client {
            server = bed.serve();
        }
        check(&case.source(&bed), &case.copy(&bed));
        let again = go_on(&bed, case, server.address);
        continued += usize::from(again > 0);
        worst = worst.max(again);
        assert!(
            again <= INTERVAL,
            "round {round}, {case:?}: {again} bytes again"
        );
        remove(&case.copy(&bed));
    }
    println!(
        "{count} kills in {} s: {finished} had finished before, at most {worst} bytes were sent again \
         ({continued} times any)",
        begun.elapsed().as_secs()
    );
}
