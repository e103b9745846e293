//! What a run cost.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use benches::memory;
use benches::process::{Failure, Usage, children_cpu};

/// What a system keeps of a file besides its content, bytes, generously.
const PER_FILE: u64 = 4 << 10;
/// What programs and sockets take, bytes, generously.
const BESIDES: u64 = 256 << 20;
/// Of so many times that the client is asked whether it has ended, once it is looked how much memory it has: that takes longer.
const LOOK: u32 = 8;
/// How long a server may take to end what it started for a client.
const SETTLE: Duration = Duration::from_secs(1);

/// A run's figures.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) client: Usage,
    pub(crate) server: Usage,
}

impl Figures {
    fn gigabytes(&self) -> f64 {
        self.bytes as f64 / 1e9
    }

    pub(crate) fn gbit_per_s(&self) -> f64 {
        self.gigabytes() * 8.0 / self.seconds
    }

    pub(crate) fn files_per_s(&self) -> f64 {
        self.files as f64 / self.seconds
    }

    pub(crate) fn cpu_per_gb(&self) -> f64 {
        (self.client.cpu + self.server.cpu) / self.gigabytes()
    }

    pub(crate) fn json(&self, name: &str, round: u32) -> serde_json::Value {
        serde_json::json!({
            "what": name,
            "round": round,
            "seconds": self.seconds,
            "bytes": self.bytes,
            "files": self.files,
            "gbit_per_s": self.gbit_per_s(),
            "files_per_s": self.files_per_s(),
            "cpu_s_per_gb": self.cpu_per_gb(),
            "client": { "cpu_s": self.client.cpu, "peak_mib": self.client.peak_bytes >> 20 },
            "server": { "cpu_s": self.server.cpu, "peak_mib": self.server.peak_bytes >> 20 },
        })
    }
}

/// Whether the file system of the copy is synced before the clock stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// The program has done what it does about that.
    Never,
    /// Once, behind the program.
    Once,
}

/// Runs a client to its end beside a server that is up, then compares the copy.
///
/// With `sync`, the copy is not there before its file system has been synced once.
pub(crate) fn run(
    client: &mut Command,
    server: Option<u32>,
    source: &Path,
    copy: &Path,
    sync: Sync,
) -> Result<Figures, Failure> {
    let (files, bytes) = count(source)?;
    memory::warm(2 * bytes + files * PER_FILE + BESIDES);
    let before = server.map(Usage::of).unwrap_or_default();
    let mine = children_cpu();
    let mut looks = 0_u32;
    let began = Instant::now();
    let mut child = client.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let mut peak = Usage::default();
    let status = loop {
        if looks.is_multiple_of(LOOK) {
            peak.peak_bytes = peak.peak_bytes.max(Usage::of(child.id()).peak_bytes);
        }
        looks += 1;
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if status.success() && sync == Sync::Once {
        rustix::fs::syncfs(fs::File::open(copy)?)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("{status}").into());
    }
    server.inspect(|server| settle(*server));
    let after = server.map(Usage::of).unwrap_or_default();
    let client = Usage {
        cpu: children_cpu() - mine,
        peak_bytes: peak.peak_bytes,
    };
    let server = Usage {
        cpu: after.cpu - before.cpu,
        peak_bytes: after.peak_bytes,
    };
    let same = Command::new("diff")
        .arg("-rq")
        .arg(source)
        .arg(copy)
        .status()?;
    if !same.success() {
        return Err("the copy differs".into());
    }
    let (files, bytes) = count(copy)?;
    Ok(Figures {
        seconds,
        bytes,
        files,
        client,
        server,
    })
}

/// Waits until the children that a server had for this client have ended: what they used is counted with theirs.
fn settle(server: u32) {
    let children = format!("/proc/{server}/task/{server}/children");
    let until = Instant::now() + SETTLE;
    while fs::read_to_string(&children).is_ok_and(|list| !list.trim().is_empty())
        && Instant::now() < until
    {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn count(path: &Path) -> Result<(u64, u64), Failure> {
    let meta = fs::metadata(path)?;
    if meta.is_file() {
        return Ok((1, meta.len()));
    }
    let mut total = (0, 0);
    for entry in fs::read_dir(path)? {
        let (files, bytes) = count(&entry?.path())?;
        total = (total.0 + files, total.1 + bytes);
    }
    Ok(total)
}
