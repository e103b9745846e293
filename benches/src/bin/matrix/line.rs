//! The emulated line between two network namespaces, and the host's settings that a measurement needs.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use benches::process::{Failure, must};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cell::Cell;
use crate::peer::Congestion;

/// RFC 2544's block for benchmarks; it exists only inside the two namespaces.
const ADDRESSES: [&str; 2] = ["198.18.0.1", "198.18.0.2"];
/// Where servers listen.
pub(crate) const SERVER: &str = ADDRESSES[1];
const DEVICE: &str = "wan0";
/// Most bytes in a TCP buffer: more than any cell's bandwidth-delay product.
const TCP_BUFFER: u32 = 128 << 20;

/// A side of the line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Client,
    Server,
}

/// A line that is up. Taken down when dropped, with everything that still runs in its namespaces.
#[derive(Debug)]
pub(crate) struct Line {
    namespaces: [String; 2],
    emulator: Option<(Child, BufReader<ChildStdout>)>,
}

impl Line {
    /// Joins two new namespaces, whose names begin with `prefix`.
    pub(crate) fn up(
        prefix: &str,
        cell: Cell,
        congestion: Congestion,
        seed: u64,
    ) -> Result<Self, Failure> {
        let name = |side| format!("{prefix}-{}-{side}", std::process::id());
        let mut line = Self {
            namespaces: [name("a"), name("b")],
            emulator: None,
        };
        for namespace in &line.namespaces {
            must(Command::new("ip").args(["netns", "add", namespace]))?;
        }
        line.start_emulator(cell, seed)?;
        for (namespace, address) in line.namespaces.iter().zip(ADDRESSES) {
            let ip = |args: &[&str]| must(Command::new("ip").args(["-n", namespace]).args(args));
            ip(&["link", "set", "lo", "up"])?;
            ip(&["addr", "add", &format!("{address}/24"), "dev", DEVICE])?;
            ip(&["link", "set", DEVICE, "txqueuelen", "20000", "up"])?;
            let settings = [
                "net.ipv6.conf.all.disable_ipv6=1".to_owned(),
                format!("net.ipv4.tcp_rmem=4096 131072 {TCP_BUFFER}"),
                format!("net.ipv4.tcp_wmem=4096 65536 {TCP_BUFFER}"),
                format!("net.ipv4.tcp_congestion_control={}", congestion.name()),
                "net.ipv4.tcp_no_metrics_save=1".to_owned(),
            ];
            for setting in settings {
                let within = ["netns", "exec", namespace, "sysctl", "-qw", &setting];
                must(Command::new("ip").args(within))?;
            }
        }
        Ok(line)
    }

    fn start_emulator(&mut self, cell: Cell, seed: u64) -> Result<(), Failure> {
        let [a, b] = &self.namespaces;
        let mut child = Command::new(std::env::current_exe()?.with_file_name("wan-link"))
            .args(["--ns-a", a, "--ns-b", b, "--dev", DEVICE])
            .args([
                "--rate",
                &cell.rate_mbps.to_string(),
                "--rtt",
                &cell.rtt_ms.to_string(),
            ])
            .args([
                "--loss",
                &cell.loss_pct.to_string(),
                "--seed",
                &seed.to_string(),
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("wan-link: {error}"))?;
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("wan-link has no output".into());
        };
        self.emulator = Some((child, BufReader::new(output)));
        let mut said = String::new();
        for line in BufReader::new(errors).lines() {
            let line = line?;
            if line == "wan-link: up" {
                return Ok(());
            }
            said.push_str(&line);
        }
        Err(said.into())
    }

    /// A command that will run on one side.
    pub(crate) fn command(&self, side: Side, program: &Path) -> Command {
        let namespace = match side {
            Side::Client => &self.namespaces[0],
            Side::Server => &self.namespaces[1],
        };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(program);
        command
    }

    /// Takes the line down and returns what the emulator counted.
    pub(crate) fn down(mut self) -> Result<Value, Failure> {
        let Some((mut child, mut output)) = self.emulator.take() else {
            return Ok(Value::Null);
        };
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        let mut summary = String::new();
        output.read_to_string(&mut summary)?;
        child.wait()?;
        Ok(serde_json::from_str(&summary)?)
    }

    /// Processes that run inside the line's namespaces.
    fn inside(&self) -> Vec<Pid> {
        let mut pids = Vec::new();
        for namespace in &self.namespaces {
            let listed = Command::new("ip")
                .args(["netns", "pids", namespace])
                .output();
            let text = listed.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
            let numbers = text.unwrap_or_default();
            pids.extend(
                numbers
                    .split_whitespace()
                    .filter_map(|n| Pid::from_raw(n.parse().ok()?)),
            );
        }
        pids
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for signal in [Signal::TERM, Signal::KILL] {
            for pid in self.inside() {
                // The emulator is not inside: only its devices are. It may have entered, though.
                let is_emulator = self
                    .emulator
                    .as_ref()
                    .is_some_and(|(child, _)| Pid::from_child(child) == pid);
                if !is_emulator {
                    // It may have ended already.
                    kill_process(pid, signal).ok();
                }
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if let Some((mut child, _)) = self.emulator.take() {
            child.kill().ok();
            child.wait().ok();
        }
        for namespace in &self.namespaces {
            must(Command::new("ip").args(["netns", "del", namespace])).ok();
        }
    }
}

/// Settings of the host, put back when dropped.
#[derive(Debug, Default)]
pub(crate) struct HostSettings(Vec<(String, String)>);

impl HostSettings {
    /// Lets programs have buffers as large as the lines need, namespaces any congestion control, and the emulator its time.
    pub(crate) fn raise() -> Self {
        let mut settings = Self::default();
        for (name, value) in [
            ("net/core/rmem_max", "67108864"),
            ("net/core/wmem_max", "67108864"),
            ("net/ipv4/tcp_allowed_congestion_control", "reno cubic bbr"),
            // The emulator sleeps by itself; being stopped for 50 ms of each second would show as loss.
            ("kernel/sched_rt_runtime_us", "-1"),
        ] {
            let path = format!("/proc/sys/{name}");
            let Ok(before) = fs::read_to_string(&path) else {
                continue;
            };
            if fs::write(&path, value).is_ok() {
                settings.0.push((path, before));
            }
        }
        settings
    }
}

impl Drop for HostSettings {
    fn drop(&mut self) {
        for (path, before) in &self.0 {
            fs::write(path, before).ok();
        }
    }
}

/// Removes namespaces of matrices that were killed.
pub(crate) fn remove_stale(prefix: &str) {
    let Ok(entries) = fs::read_dir("/run/netns") else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            must(Command::new("ip").args(["netns", "del", &name])).ok();
        }
    }
}

/// Returns whether the kernel has this congestion control.
pub(crate) fn has_congestion_control(name: &str) -> bool {
    let available = fs::read_to_string("/proc/sys/net/ipv4/tcp_available_congestion_control");
    available
        .unwrap_or_default()
        .split_whitespace()
        .any(|n| n == name)
}
