//! What a run cost.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Failure;

/// A server process, ended when dropped.
#[derive(Debug)]
pub(crate) struct Server(pub(crate) Child);

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        // It may have ended already.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.0.wait().ok();
    }
}

/// CPU and memory of one side.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: f64,
    pub(crate) peak_bytes: u64,
}

impl Usage {
    /// Reads a process and the children it has waited for.
    pub(crate) fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .split_whitespace()
            .collect();
        // utime, stime, cutime, cstime are fields 14 to 17 of the line, 12 to 15 behind the name.
        let ticks: f64 = fields
            .iter()
            .skip(11)
            .take(4)
            .filter_map(|f| f.parse::<f64>().ok())
            .sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib: u64 = peak
            .and_then(|l| l.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        Self {
            cpu: ticks / rustix::param::clock_ticks_per_second() as f64,
            peak_bytes: kib << 10,
        }
    }
}

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
    pub(crate) fn json(&self, name: &str, round: u32) -> serde_json::Value {
        let gigabytes = self.bytes as f64 / 1e9;
        serde_json::json!({
            "what": name,
            "round": round,
            "seconds": self.seconds,
            "bytes": self.bytes,
            "files": self.files,
            "gbit_per_s": gigabytes * 8.0 / self.seconds,
            "files_per_s": self.files as f64 / self.seconds,
            "cpu_s_per_gb": (self.client.cpu + self.server.cpu) / gigabytes,
            "client": { "cpu_s": self.client.cpu, "peak_mib": self.client.peak_bytes >> 20 },
            "server": { "cpu_s": self.server.cpu, "peak_mib": self.server.peak_bytes >> 20 },
        })
    }
}

/// Runs a client to its end beside a server that is up, then compares the copy.
pub(crate) fn run(
    client: &mut Command,
    server: Option<u32>,
    source: &Path,
    copy: &Path,
) -> Result<Figures, Failure> {
    let before = server.map(Usage::of).unwrap_or_default();
    let mine = rustix_children();
    let began = Instant::now();
    let mut child = client.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let mut peak = Usage::default();
    let status = loop {
        peak.peak_bytes = peak.peak_bytes.max(Usage::of(child.id()).peak_bytes);
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let seconds = began.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("{status}").into());
    }
    let after = server.map(Usage::of).unwrap_or_default();
    let client = Usage {
        cpu: rustix_children() - mine,
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

/// CPU seconds of the children this process has waited for.
fn rustix_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks: f64 = fields
        .iter()
        .skip(13)
        .take(2)
        .filter_map(|f| f.parse::<f64>().ok())
        .sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
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
