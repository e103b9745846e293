//! One copy over one line.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use benches::process::{Failure, Usage, children_cpu, is_same};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cell::{Cell, PAYLOAD_SHARE};
use crate::line::Line;
use crate::peer::{Copy, Peer};
use crate::series::Series;

/// How often the arriving file is looked at.
const SAMPLE: Duration = Duration::from_millis(20);

/// What names of namespaces begin with.
pub(crate) const PREFIX: &str = "matrix";

/// What a copy reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) peer: String,
    pub(crate) cell: Cell,
    pub(crate) seed: u64,
    /// Size of the file.
    pub(crate) size: u64,
    /// Bytes that arrived; all of them unless the copy was stopped.
    pub(crate) bytes: u64,
    /// The whole command, log-in included.
    pub(crate) seconds: f64,
    /// False when the copy took too long and was stopped.
    pub(crate) is_complete: bool,
    /// File data over the whole command, share of the limit.
    pub(crate) whole: f64,
    /// File data from the first data and ten round trips to the last byte, share of the limit.
    pub(crate) steady: Option<f64>,
    /// Bytes put on the wire over the least possible without loss.
    pub(crate) overhead: f64,
    /// Of both ends' processes.
    pub(crate) cpu_s_per_gb: f64,
    /// What arrived, over time.
    pub(crate) series: Series,
    /// What the emulator counted.
    pub(crate) line: Value,
}

/// Files of one matrix.
#[derive(Debug)]
pub(crate) struct Area<'a> {
    pub(crate) dir: &'a Path,
    pub(crate) source: &'a Path,
    pub(crate) size: u64,
    /// When to stop a copy.
    pub(crate) patience: Duration,
}

pub(crate) fn run(peer: Peer, cell: Cell, seed: u64, area: &Area<'_>) -> Result<Run, Failure> {
    let target = area.dir.join("target");
    fs::create_dir_all(&target)?;
    let line = Line::up(PREFIX, cell, peer.congestion, seed)?;
    let result = copy(peer, cell, area, &line, &target);
    let counted = line.down();
    let arrived = target.join(area.source.file_name().unwrap_or_default());
    let checked = match &result {
        Ok(copied) if copied.is_complete && !is_same(area.source, &arrived)? => {
            Err("the copy differs".into())
        }
        _ => result,
    };
    fs::remove_dir_all(&target)?;
    let (copied, line) = (checked?, counted?);
    let bytes = if copied.is_complete {
        area.size
    } else {
        copied.series.last_bytes().min(area.size)
    };
    let offered = ["ab", "ba"].map(|way| line[way]["offered_bytes"].as_f64().unwrap_or(0.0));
    Ok(Run {
        peer: peer.name(),
        cell,
        seed,
        size: area.size,
        bytes,
        seconds: copied.seconds,
        is_complete: copied.is_complete,
        whole: bytes as f64 / copied.seconds / cell.limit(),
        steady: copied
            .series
            .steady(cell.rtt_ms / 1e3)
            .map(|rate| rate / cell.limit()),
        overhead: offered[0].max(offered[1]) / (bytes.max(1) as f64 / PAYLOAD_SHARE),
        cpu_s_per_gb: copied.cpu / (bytes.max(1) as f64 / 1e9),
        series: copied.series,
        line,
    })
}

struct Copied {
    seconds: f64,
    is_complete: bool,
    cpu: f64,
    series: Series,
}

fn copy(
    peer: Peer,
    cell: Cell,
    area: &Area<'_>,
    line: &Line,
    target: &Path,
) -> Result<Copied, Failure> {
    let Copy { server, mut client } = peer.prepare(line, cell, area.dir, area.source, target)?;
    let server_before = Usage::of(server.0.id());
    let clients_before = children_cpu();
    let said = area.dir.join("client.err");
    client.stdin(Stdio::null()).stderr(fs::File::create(&said)?);
    client.stdout(if peer.is_ours() {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    let began = Instant::now();
    let mut child = client.spawn()?;
    let events = child
        .stdout
        .take()
        .map(|output| std::thread::spawn(move || follow(output, began)));
    let mut series = Series::default();
    let (status, is_complete) = loop {
        if let Some(status) = child.try_wait()? {
            break (status, true);
        }
        if began.elapsed() > area.patience {
            kill_process(Pid::from_child(&child), Signal::TERM).ok();
            break (child.wait()?, false);
        }
        series.push(began.elapsed().as_secs_f64(), arrived(target));
        std::thread::sleep(SAMPLE);
    };
    let seconds = began.elapsed().as_secs_f64().min(if is_complete {
        f64::MAX
    } else {
        area.patience.as_secs_f64()
    });
    if is_complete {
        if !status.success() {
            return Err(format!("{status}: {}", fs::read_to_string(&said)?.trim()).into());
        }
        series.push(seconds, area.size);
    }
    let cpu = Usage::of(server.0.id()).cpu - server_before.cpu + children_cpu() - clients_before;
    // Our own events say when data arrived, not when it reached the file.
    if let Some(own) = events.and_then(|events: JoinHandle<Series>| events.join().ok()) {
        series = own;
    }
    Ok(Copied {
        seconds,
        is_complete,
        cpu,
        series,
    })
}

/// Reads our events: how much had arrived when.
fn follow(output: ChildStdout, began: Instant) -> Series {
    let mut series = Series::default();
    let mut started = None;
    for line in BufReader::new(output).lines() {
        let Ok(event) = line
            .map_err(Failure::from)
            .and_then(|l| Ok(serde_json::from_str::<Value>(&l)?))
        else {
            break;
        };
        let start = *started.get_or_insert_with(|| began.elapsed().as_secs_f64());
        let (bytes, elapsed) = (event["bytes_done"].as_u64(), event["elapsed_ms"].as_f64());
        if let (Some(bytes), Some(elapsed)) = (bytes, elapsed) {
            series.push(start + elapsed / 1e3, bytes);
        }
    }
    series
}

/// Bytes that the file in a directory takes so far, under whatever name.
fn arrived(target: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let Ok(entries) = fs::read_dir(target) else {
        return 0;
    };
    let sizes = entries.flatten().filter_map(|entry| entry.metadata().ok());
    sizes
        .map(|meta| (meta.blocks() * 512).min(meta.len()))
        .max()
        .unwrap_or(0)
}
