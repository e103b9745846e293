//! Every call for a file fails once, and the process dies before each: nothing is ever mixed (F4, F5, F20-F22, F29).
//!
//! `FAULTS=all` tries every kind of fault at every call; otherwise the first call of each place in the code has one of them. Every case runs in a
//! process of its own, which is this test binary once more: a client and a server in one, so that both die together.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up"
)]

#[allow(dead_code, reason = "other tests use the rest")]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        process::ExitStatusExt as _,
    },
    panic::catch_unwind,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use docroot::faults::{self, Fault};
use fasp_core::Rate;
use fasp_net::{
    engine::Sources,
    event::Event,
    request::{Sessions, TransferOptions},
    transfer::{Job, LocalDestination, Transfer},
};
use support::TestServer;
use transfer_spec::{OverwritePolicy, SourceFate, SymlinkPolicy};

/// What a child is to do: scenario, directory, and the place, number and kind of its fault.
const CASE: &str = "FAULT_CASE";
/// How a child says that its fault has struck.
const STRUCK: &str = "the fault has struck";
/// How it says that everything has arrived.
const COMPLETE: &str = "everything has arrived";
/// When sources and older files were changed, since 1970.
const NEW: Duration = Duration::from_secs(1_700_000_000);
const OLD: Duration = Duration::from_secs(1_600_000_000);
/// Longer than any case takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const FAULTS: [(&str, Fault); 4] = [
    ("ENOSPC", Fault::NoSpace),
    ("EIO", Fault::Io),
    ("EACCES", Fault::Access),
    ("death", Fault::Death),
];

/// What is transferred over what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scenario {
    /// To an empty place.
    New,
    /// Over older files of the same names.
    Replace,
    /// The same, and the older ones are kept under other names.
    Save,
    /// A download that removes what it has fetched.
    Move,
    /// A large file in two runs, the first of which is stopped.
    Continue,
    /// A large file in parts, by several sessions.
    Split,
    /// A destination that ends up with nothing but the source's files.
    Mirror,
}

const SCENARIOS: [Scenario; 7] = [
    Scenario::New,
    Scenario::Replace,
    Scenario::Save,
    Scenario::Move,
    Scenario::Continue,
    Scenario::Split,
    Scenario::Mirror,
];

impl Scenario {
    fn options(self) -> TransferOptions {
        let mut options = TransferOptions {
            overwrite: OverwritePolicy::Diff,
            ..TransferOptions::default()
        };
        options.preserve.mode = true;
        match self {
            Self::New => options.symlinks = SymlinkPolicy::CopyForce,
            Self::Replace => {}
            Self::Save => options.files.save_existing = true,
            Self::Move => options.files.after.fate = SourceFate::Remove,
            Self::Continue => options.target_rate = Some(Rate::from_mbps(100)),
            Self::Split => {
                options.sessions = Sessions::Exactly(2);
                options.split_threshold = 100_000;
            }
            Self::Mirror => options.files.delete_absent = true,
        }
        options
    }

    /// Contents by path.
    fn source(self) -> Tree {
        let large = match self {
            Self::Continue => 4_000_000,
            _ => 300_000,
        };
        let mut tree = Tree::from([("tree/large".to_owned(), content(large, 1))]);
        if !matches!(self, Self::Continue | Self::Split) {
            tree.insert("tree/small".to_owned(), content(1000, 2));
            tree.insert("tree/deep/er/small".to_owned(), content(5000, 3));
            tree.insert("tree/empty".to_owned(), Vec::new());
        }
        tree
    }

    /// What lies at the destination before.
    fn old(self) -> Tree {
        match self {
            Self::New | Self::Move | Self::Continue | Self::Split => Tree::new(),
            Self::Replace | Self::Save => {
                let mut old = self.source();
                for bytes in old.values_mut() {
                    *bytes = content(bytes.len() + 100, 9);
                }
                old
            }
            Self::Mirror => Tree::from([
                ("tree/gone".to_owned(), content(100, 9)),
                ("tree/old/gone".to_owned(), content(100, 9)),
            ]),
        }
    }
}

type Tree = BTreeMap<String, Vec<u8>>;

fn content(size: usize, seed: u64) -> Vec<u8> {
    (0..size as u64)
        .map(|i| ((i + seed).wrapping_mul(i ^ seed).wrapping_mul(0x9e37_79b9) >> 11) as u8)
        .collect()
}

/// A directory with `here`, which has the source, and `there`.
struct Stage {
    temp: tempfile::TempDir,
    scenario: Scenario,
}

impl Stage {
    fn new(scenario: Scenario, place: &Path) -> Self {
        let temp = tempfile::tempdir_in(place).unwrap();
        let stage = Self { temp, scenario };
        write(&stage.path("here"), &scenario.source(), NEW);
        write(&stage.path("there"), &scenario.old(), OLD);
        if scenario == Scenario::New {
            symlink("small", stage.path("here/tree/link")).unwrap();
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// What the destination has to end up with.
    fn expected(&self) -> Tree {
        let mut tree = self.scenario.source();
        if self.scenario == Scenario::New {
            tree.insert("tree/link".to_owned(), b"-> small".to_vec());
        }
        tree
    }
}

fn write(base: &Path, tree: &Tree, time: Duration) {
    fs::create_dir_all(base).unwrap();
    for (path, bytes) in tree {
        let path = base.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let file = fs::File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + time).unwrap();
    }
}

/// Fails as the search for a source does.
fn job(scenario: Scenario, directory: &Path) -> Result<Job, fasp_net::Error> {
    Ok(match scenario {
        Scenario::Move => Job::Download {
            sources: vec![b"here/tree".to_vec()],
            destination: LocalDestination::Path(directory.join("there")),
        },
        _ => Job::Upload {
            sources: Sources::local(&[directory.join("here/tree")])?,
            destination: b"there".to_vec(),
        },
    })
}

/// Runs a transfer to its end; true if everything is said to have arrived.
async fn transfer(
    server: &TestServer,
    scenario: Scenario,
    directory: &Path,
    stop_at: Option<u64>,
) -> bool {
    let Ok(job) = job(scenario, directory) else {
        return false;
    };
    let options = scenario.options();
    let Ok(transfer) = Transfer::start(server.connect(), job, &options).await else {
        return false;
    };
    let remote = transfer.remote();
    let result = tokio::task::spawn_blocking(move || {
        for event in transfer.events() {
            if let (Event::Progress(progress), Some(bytes)) = (event, stop_at)
                && progress.bytes_done >= bytes
            {
                remote.cancel();
            }
        }
        transfer.wait()
    });
    let result = result.await.unwrap();
    // The far side may still be at work.
    while server.context.sessions.count() > 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    result.is_ok_and(|outcome| outcome.code().is_none())
}

async fn run(server: &TestServer, scenario: Scenario, directory: &Path) -> bool {
    if scenario == Scenario::Continue {
        transfer(server, scenario, directory, Some(2_000_000)).await;
    }
    transfer(server, scenario, directory, None).await
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// One call that fails.
#[derive(Debug, Clone, Copy)]
struct Case<'a> {
    scenario: Scenario,
    /// Where its files are.
    files: &'a Path,
    /// Where the call stands.
    place: &'a str,
    number: u64,
    fault: usize,
}

/// What the parent of this process has asked for. Does nothing by itself.
#[test]
fn child() {
    let Ok(case) = env::var(CASE) else { return };
    let words: Vec<_> = case.split('\t').collect();
    let [scenario, directory, place, number, fault] = words[..] else {
        panic!("{case}");
    };
    let scenario = SCENARIOS[scenario.parse::<usize>().unwrap()];
    let is_complete = runtime().block_on(async {
        let directory = Path::new(directory);
        let server = TestServer::new(directory);
        match place {
            "" => faults::count(),
            place => {
                let (_, fault) = FAULTS[fault.parse::<usize>().unwrap()];
                faults::arm(place, number.parse().unwrap(), fault);
            }
        }
        run(&server, scenario, directory).await
    });
    for (place, count) in faults::counted() {
        println!("\ncall\t{place}\t{count}");
    }
    if faults::has_struck() {
        println!("\n{STRUCK}");
    }
    if is_complete {
        println!("\n{COMPLETE}");
    }
}

fn spawn(stage: &Stage, place: &str, number: u64, fault: usize) -> Output {
    let scenario = SCENARIOS
        .iter()
        .position(|scenario| *scenario == stage.scenario)
        .unwrap();
    let directory = stage.temp.path().display();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(
            CASE,
            format!("{scenario}\t{directory}\t{place}\t{number}\t{fault}"),
        )
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{:?} hangs: {place} {number} {fault}", stage.scenario);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// Counts the calls of a scenario that goes well.
fn places(scenario: Scenario, files: &Path) -> BTreeMap<String, u64> {
    let stage = Stage::new(scenario, files);
    let output = spawn(&stage, "", 0, 0);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(COMPLETE), "{scenario:?}: {text}");
    check_repaired(&stage, "nothing failed", false);
    let calls = text.lines().filter_map(|line| {
        let (place, count) = line.strip_prefix("call\t")?.split_once('\t')?;
        Some((place.to_owned(), count.parse().unwrap()))
    });
    calls.collect()
}

/// Runs a case and what follows it; true if the call was made at all.
fn try_out(case: Case<'_>) -> bool {
    let Case {
        scenario,
        files,
        place,
        number,
        fault,
    } = case;
    let stage = Stage::new(scenario, files);
    let output = spawn(&stage, place, number, fault);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let name = format!(
        "{scenario:?}, {} at {place}, call {number}",
        FAULTS[fault].0
    );
    assert!(!errors.contains("panicked"), "{name}: {errors}");
    let is_dead = output.status.signal() == Some(9);
    assert!(
        is_dead || output.status.success(),
        "{name}: {text} {errors}"
    );
    check_unmixed(&stage, &name);
    if text.contains(COMPLETE) {
        check_complete(&stage, &name);
    }
    let is_repaired = runtime().block_on(async {
        let server = TestServer::new(stage.temp.path());
        transfer(&server, scenario, stage.temp.path(), None).await
    });
    assert!(is_repaired, "{name}: the next run does not complete it");
    let may_leave = is_dead || place.starts_with("unlinkat");
    check_repaired(&stage, &name, may_leave);
    is_dead || text.contains(STRUCK)
}

/// Files by path, links as their targets with an arrow before.
fn read(base: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(below) = waiting.pop() {
        for entry in fs::read_dir(base.join(&below)).unwrap() {
            let entry = entry.unwrap();
            let path = below.join(entry.file_name());
            let kind = entry.file_type().unwrap();
            let bytes = match () {
                () if kind.is_dir() => {
                    waiting.push(path);
                    continue;
                }
                () if kind.is_symlink() => {
                    let target = fs::read_link(entry.path()).unwrap();
                    [b"-> ", target.as_os_str().as_encoded_bytes()].concat()
                }
                () => fs::read(entry.path()).unwrap(),
            };
            tree.insert(path.to_str().unwrap().to_owned(), bytes);
        }
    }
    tree
}

fn is_unfinished(path: &str) -> bool {
    path.ends_with(".partial") || path.ends_with(".aspera-ckpt")
}

/// Every final name has the whole of the old file or the whole of the new one, and nothing is nowhere.
#[track_caller]
fn check_unmixed(stage: &Stage, name: &str) {
    let (new, old) = (stage.expected(), stage.scenario.old());
    let (here, there) = (read(&stage.path("here")), read(&stage.path("there")));
    for (path, bytes) in there.iter().filter(|(path, _)| !is_unfinished(path)) {
        let is_whole = Some(bytes) == new.get(path)
            || Some(bytes) == old.get(path)
            || stage.scenario == Scenario::Save && old.values().any(|old| old == bytes);
        assert!(is_whole, "{name}: {path} is neither old nor new");
    }
    for (path, bytes) in &new {
        let is_somewhere = here.get(path) == Some(bytes) || there.get(path) == Some(bytes);
        assert!(is_somewhere, "{name}: {path} is nowhere any more");
    }
    for (path, bytes) in &old {
        let is_kept = match stage.scenario {
            Scenario::Save => there.values().any(|there| there == bytes),
            Scenario::Replace => there.contains_key(path),
            _ => true,
        };
        assert!(is_kept, "{name}: the old {path} is gone");
    }
}

/// Everything is there under its name.
#[track_caller]
fn check_complete(stage: &Stage, name: &str) {
    let there = read(&stage.path("there"));
    for (path, bytes) in stage.expected() {
        assert!(
            there.get(&path) == Some(&bytes),
            "{name}: {path} was said to be done"
        );
    }
}

/// The destination is what it would be had nothing failed.
#[track_caller]
fn check_repaired(stage: &Stage, name: &str, may_leave: bool) {
    check_complete(stage, name);
    check_unmixed(stage, name);
    let new = stage.expected();
    let extra: BTreeSet<_> = read(&stage.path("there"))
        .into_keys()
        .filter(|path| !new.contains_key(path))
        // Copies of what was replaced.
        .filter(|path| stage.scenario != Scenario::Save || is_unfinished(path))
        // Temporary files of a process that is gone; others remove them when they are old.
        .filter(|path| !may_leave || !path.rsplit('/').next().unwrap().starts_with('.'))
        .collect();
    assert!(extra.is_empty(), "{name}: left {extra:?}");
    for path in new.keys().filter(|path| !path.ends_with("link")) {
        let metadata = fs::metadata(stage.path("there").join(path)).unwrap();
        let time = metadata.modified().unwrap();
        assert_eq!(time, SystemTime::UNIX_EPOCH + NEW, "{name}: {path}");
        assert_eq!(
            metadata.permissions().mode() & 0o777,
            0o640,
            "{name}: {path}"
        );
    }
}

/// F4, F5, F20, F21, F22, F29, D-1, D-6.
#[test]
fn f4_f5_f29_every_call_fails_once_and_the_tree_is_old_or_new() {
    sweep(&SCENARIOS, &env::temp_dir());
}

/// The same where small files have no name before they are published.
#[test]
#[cfg(target_os = "linux")]
fn f4_f5_in_memory_every_call_fails_once_and_the_tree_is_old_or_new() {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() {
        println!("skipped: there is no /dev/shm");
        return;
    }
    sweep(&[Scenario::New, Scenario::Replace, Scenario::Save], memory);
}

/// Lets each call of these scenarios fail, with their files in `files`.
#[track_caller]
fn sweep(scenarios: &[Scenario], files: &Path) {
    let is_all = env::var("FAULTS").is_ok_and(|value| value == "all");
    let only = env::var("FAULT_SCENARIO").ok();
    let scenarios = scenarios.iter().copied().filter(|scenario| {
        only.as_ref()
            .is_none_or(|only| format!("{scenario:?}") == *only)
    });
    let places: Vec<_> = scenarios
        .flat_map(|scenario| {
            let places = places(scenario, files).into_iter();
            places.map(move |(place, count)| (scenario, place, count))
        })
        .collect();
    let (next, cases) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = AtomicUsize::new(0);
    let struck = Mutex::new(BTreeMap::<_, usize>::new());
    let work = || {
        while let Some((scenario, place, count)) = places.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let index = place.bytes().map(usize::from).sum::<usize>();
            for number in 1.. {
                let mut was_made = false;
                for (fault, (kind, _)) in FAULTS.iter().enumerate() {
                    if !is_all && (index + number as usize) % FAULTS.len() != fault {
                        continue;
                    }
                    let case = Case {
                        scenario: *scenario,
                        files,
                        place,
                        number,
                        fault,
                    };
                    // Whatever one shows, the others are tried as well.
                    let Ok(is_made) = catch_unwind(|| try_out(case)) else {
                        failed.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    if is_made {
                        was_made = true;
                        *struck.lock().unwrap().entry(*kind).or_default() += 1;
                    }
                    cases.fetch_add(1, Ordering::Relaxed);
                }
                if !is_all || !was_made && number >= *count {
                    break;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(work);
        }
    });
    println!(
        "{} places in {} scenarios, {} cases, struck: {:?}",
        places
            .iter()
            .map(|(_, place, _)| place)
            .collect::<BTreeSet<_>>()
            .len(),
        places
            .iter()
            .map(|(scenario, ..)| format!("{scenario:?}"))
            .collect::<BTreeSet<_>>()
            .len(),
        cases.into_inner(),
        struck.into_inner().unwrap()
    );
    assert_eq!(
        failed.into_inner(),
        0,
        "cases failed, each with its own words above"
    );
}
