//! `kill -9` of either side or both at random moments: the same command continues, no wrong byte ever has a final name,
//! and no more than one checkpoint interval is sent again.
//!
//! `KILLS` sets how many rounds there are, `KILL_SEED` the seed of them all, and `KILL_FIRST` the first round, so that
//! `KILL_SEED=S KILL_FIRST=N KILLS=1` replays round N. Each round is a line on standard error, and in the file that
//! `KILL_LOG` names. `TMPDIR` says where the files are; without it they are in memory, because removing five thousand files takes
//! some disks longer than everything else.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "test set-up"
)]

#[path = "kill/client.rs"]
mod client;
mod support;
#[path = "kill/trees.rs"]
mod trees;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use client::{Client, wait_until};
use support::{Bed, PASSWORD, Server};
use trees::{LARGE_FILES, There, Tree, Trees, is_written, unfinished};

const ROUNDS: u64 = 12;
/// What may be sent again after a kill, bytes (protocol §14.2).
const INTERVAL: u64 = 64 << 20;
/// What all directories hold together, bytes.
const ROOM: u64 = 2 << 30;
/// With so many failures the rest says nothing new.
const MAX_FAILURES: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Client,
    Server,
    Both,
}

/// How it goes on after the kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The command is run again at once: the side that was spared may not have noticed yet.
    Again,
    /// The command is run again when the side that was spared has ended in order.
    Later,
    /// The client tries again by itself.
    Retry,
}

/// One kill, all of it decided by its seed.
#[derive(Debug, Clone, Copy)]
struct Case {
    is_upload: bool,
    tree: usize,
    sessions: u8,
    victim: Victim,
    next: Next,
    /// When, as a share of the time that the transfer usually takes.
    moment: f64,
}

impl Case {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let is_upload = random.bool();
        let tree = match random.bool() {
            true => LARGE_FILES,
            false => random.usize(..LARGE_FILES),
        };
        let sessions = [1, 1, 3][random.usize(..3)];
        let victim = [
            Victim::Client,
            Victim::Client,
            Victim::Server,
            Victim::Server,
            Victim::Both,
        ][random.usize(..5)];
        let next = match (victim, random.bool()) {
            (Victim::Server, true) => Next::Retry,
            (Victim::Client, true) => Next::Again,
            _ => Next::Later,
        };
        Self {
            is_upload,
            tree,
            sessions,
            victim,
            next,
            moment: random.f64(),
        }
    }

    /// What takes about as long for each byte.
    fn kind(self) -> (bool, bool) {
        (self.is_upload, self.tree == LARGE_FILES)
    }

    /// The side that writes was killed.
    fn is_receiver_dead(self) -> bool {
        match self.victim {
            Victim::Client => !self.is_upload,
            Victim::Server => self.is_upload,
            Victim::Both => true,
        }
    }
}

/// What was seen of one round.
struct Seen {
    after: Duration,
    /// The transfer had ended when it was to be killed.
    is_late: bool,
    before: There,
    again: u64,
}

/// What all rounds share.
struct Kills {
    bed: Bed,
    trees: Trees,
    server: Server,
    /// Seconds that a byte takes, by direction and by whether it is one of a large file.
    usual: BTreeMap<(bool, bool), f64>,
}

impl Kills {
    fn new(seed: u64) -> Self {
        let bed = Bed::in_memory(ROOM);
        fs::create_dir(bed.path("source")).unwrap();
        bed.add_user("kim", &[]);
        let trees = Trees::new(seed, [bed.path("source"), bed.path("root")]);
        let server = bed.serve();
        Self {
            bed,
            trees,
            server,
            usual: BTreeMap::new(),
        }
    }

    fn client(&self, case: Case, to: &str) -> Client {
        let name = &self.trees.tree(case.tree).name;
        let host = format!("kim@{}:", self.server.address);
        let words = match case.is_upload {
            true => [
                "upload".to_owned(),
                format!("source/{name}"),
                format!("{host}{to}"),
            ],
            false => [
                "download".to_owned(),
                format!("{host}{name}"),
                to.to_owned(),
            ],
        };
        let (retries, sessions) = match case.next {
            Next::Retry => ("10", case.sessions),
            Next::Again | Next::Later => ("0", case.sessions),
        };
        let events = self.bed.path("events");
        // Never a pipe: what is not read would hold the client up.
        let child = self
            .bed
            .program(words)
            .args(["--json", "--accept-new-host-key", "--retry-interval", "1"])
            .args(["--retry", retries, "--sessions", &sessions.to_string()])
            .env("ASPERA_SCP_PASS", PASSWORD)
            .stdout(File::create(&events).unwrap())
            .stderr(File::create(self.bed.path("errors")).unwrap())
            .spawn()
            .unwrap();
        Client { child, events }
    }

    /// Makes a new directory for what arrives; returns how the client calls it, and where it is.
    fn destination(&self, case: Case, name: &str) -> (String, PathBuf) {
        let name = format!("to-{name}");
        let path = match case.is_upload {
            true => self.bed.path("root").join(&name),
            false => self.bed.path(&name),
        };
        fs::create_dir(&path).unwrap();
        (name, path)
    }

    /// How long the transfer usually takes, with the start and the end of the client.
    fn usual(&mut self, case: Case) -> Duration {
        let bytes = self.trees.tree(case.tree).bytes as f64;
        if !self.usual.contains_key(&case.kind()) {
            let (to, path) = self.destination(case, "measured");
            let begun = Instant::now();
            self.client(case, &to).succeed().unwrap();
            let usual = begun.elapsed().as_secs_f64() / bytes;
            self.usual.insert(case.kind(), usual);
            remove(&path).unwrap();
        }
        Duration::from_secs_f64(self.usual[&case.kind()] * bytes)
    }

    /// Follows a machine that has more or less to do meanwhile, so that about one kill of twelve comes too late.
    fn learn(&mut self, case: Case, is_late: bool) {
        let usual = self.usual.entry(case.kind());
        usual.and_modify(|usual| *usual *= if is_late { 0.8 } else { 1.02 });
    }

    fn round(&mut self, round: u64, case: Case) -> Result<Seen, String> {
        let (to, destination) = self.destination(case, &round.to_string());
        let after = self.usual(case).mul_f64(case.moment);
        let mut client = self.client(case, &to);
        thread::sleep(after);
        let is_late = self.kill(case, &mut client, &destination)?;
        self.learn(case, is_late);
        let tree = self.trees.tree(case.tree);
        let before = self.trees.look(tree, &destination)?;
        if case.victim != Victim::Client {
            self.server = self.bed.serve_at(self.server.address);
        }
        let tree = self.trees.tree(case.tree);
        let done = match case.next {
            Next::Retry => client.succeed()?,
            Next::Again | Next::Later => self.client(case, &to).succeed()?,
        };
        let has_one_attempt = case.next == Next::Retry && !client.is_retrying();
        let again = match has_one_attempt {
            true => 0,
            false => sent_again(case, tree, &before, &done)?,
        };
        let after_all = self.trees.look(tree, &destination)?;
        if after_all.files != tree.count() {
            return Err(format!(
                "of {} files there are {}",
                tree.count(),
                after_all.files
            ));
        }
        let seen = Seen {
            after,
            is_late,
            before,
            again,
        };
        leaves_nothing(&destination)?;
        remove(&destination)?;
        Ok(seen)
    }

    /// Kills who is to be killed, and waits for the other side as far as the case says; true when the client had ended.
    fn kill(
        &mut self,
        case: Case,
        client: &mut Client,
        destination: &Path,
    ) -> Result<bool, String> {
        let is_late = client.child.try_wait().unwrap().is_some();
        if case.victim != Victim::Client {
            self.server.kill();
        }
        if case.victim != Victim::Server {
            client.kill();
        }
        match (case.victim, case.next) {
            (Victim::Server, Next::Retry) => {
                wait_until("an attempt's end", || {
                    client.is_retrying() || client.child.try_wait().unwrap().is_some()
                })?;
            }
            (Victim::Server, _) => {
                client.wait()?;
            }
            (Victim::Client, Next::Later) if !case.is_receiver_dead() => {
                wait_until("the end of the server's session", || {
                    !is_written(destination)
                })?;
            }
            _ => {}
        }
        Ok(is_late)
    }
}

/// How many bytes travelled again although they had been written; an error when they are too many.
fn sent_again(
    case: Case,
    tree: &Tree,
    before: &There,
    done: &serde_json::Value,
) -> Result<u64, String> {
    let figure = |name: &str| done[name].as_u64().unwrap();
    let travelled = figure("bytes") - figure("resumed_bytes");
    let missing = tree.bytes - before.bytes;
    let again = (travelled + before.partial_bytes).saturating_sub(missing);
    let (sent, skipped) = (figure("files_done"), figure("files_skipped"));
    // What has its final name stays; beyond that, a receiver that lives may have finished more.
    let is_right = match case.is_receiver_dead() {
        true => skipped == before.files,
        false => skipped >= before.files,
    };
    if !is_right || sent + skipped != tree.count() {
        return Err(format!(
            "{before:?}: {sent} files were sent, {skipped} skipped"
        ));
    }
    match again <= INTERVAL {
        true => Ok(again),
        false => Err(format!("{before:?}: {again} bytes were sent again")),
    }
}

/// Nothing unfinished is left; a former session of a server that was spared may have to end first.
fn leaves_nothing(destination: &Path) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let left = unfinished(destination);
        match left.first() {
            None => return Ok(()),
            Some(first) if begun.elapsed() > Duration::from_secs(10) => {
                return Err(format!(
                    "{} and {} more are left",
                    first.display(),
                    left.len() - 1
                ));
            }
            Some(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn remove(path: &Path) -> Result<(), String> {
    // The side that was not killed may be writing still.
    wait_until("the end of all writing", || {
        fs::remove_dir_all(path).is_ok() || !path.exists()
    })
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn line(
    round: u64,
    seed: u64,
    case: Case,
    tree: &Tree,
    result: &Result<Seen, String>,
    begun: Instant,
) -> String {
    let Case {
        is_upload,
        sessions,
        victim,
        next,
        moment,
        ..
    } = case;
    let direction = if is_upload { "up" } else { "down" };
    let mut line = format!(
        "round {round} seed {seed}: {direction} {} of {} bytes, {sessions} sessions, {victim:?} {next:?}, at {moment:.3}",
        tree.name, tree.bytes
    );
    match result {
        Ok(Seen { after, is_late, before, again }) => write!(
            line,
            " = {} ms{}, there {} files of {} bytes, {} in partials, {} temporary files, again {again}",
            after.as_millis(),
            if *is_late { " (late)" } else { "" },
            before.files,
            before.bytes,
            before.partial_bytes,
            before.temporaries,
        ),
        Err(error) => write!(line, ": FAILED: {error}"),
    }
    .unwrap();
    write!(line, ", {:.1} s", begun.elapsed().as_secs_f64()).unwrap();
    line
}

#[test]
fn f1_f2_f3_kill_9_of_either_side_or_both_leaves_no_wrong_byte_and_costs_one_checkpoint_interval() {
    let base = setting("KILL_SEED").unwrap_or_else(|| fastrand::u64(..));
    let first = setting("KILL_FIRST").unwrap_or(0);
    let count = setting("KILLS").unwrap_or(ROUNDS);
    let mut log = std::env::var_os("KILL_LOG").map(|path| File::create(path).unwrap());
    let mut say = |line: &str| {
        eprintln!("{line}");
        if let Some(log) = &mut log {
            writeln!(log, "{line}").unwrap();
        }
    };
    say(&format!("KILL_SEED={base}"));
    let begun = Instant::now();
    let mut kills = Kills::new(base);
    let (mut failures, mut late, mut again, mut worst) = (0, 0, 0, 0);
    for round in first..first + count {
        let seed = fastrand::Rng::with_seed(base.wrapping_add(round)).u64(..);
        let case = Case::new(seed);
        let start = Instant::now();
        let result = kills.round(round, case);
        let tree = kills.trees.tree(case.tree);
        say(&line(round, seed, case, tree, &result, start));
        match result {
            Ok(seen) => {
                late += usize::from(seen.is_late);
                again += usize::from(seen.again > 0);
                worst = worst.max(seen.again);
            }
            Err(_) => {
                failures += 1;
                if failures == MAX_FAILURES {
                    break;
                }
                // Whatever state it is in.
                kills.server.kill();
                kills.server = kills.bed.serve_at(kills.server.address);
            }
        }
    }
    say(&format!(
        "{count} kills in {} s: {failures} failures, {late} had ended before, {again} times something was sent again, at \
         most {worst} bytes",
        begun.elapsed().as_secs()
    ));
    assert_eq!(failures, 0, "KILL_SEED={base}");
}
