//! Programs as a bench runs them: found, started beside us, ended, and what they used.
#![allow(
    clippy::disallowed_methods,
    reason = "a bench sets its own files up and reads /proc"
)]

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Why a bench cannot go on.
pub type Failure = Box<dyn Error>;

/// A server process, ended when dropped.
#[derive(Debug)]
pub struct Server(pub Child);

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
pub struct Usage {
    /// CPU seconds, user and system.
    pub cpu: f64,
    /// The most memory resident at once, bytes.
    pub peak_bytes: u64,
}

impl Usage {
    /// Reads a process and the children it has waited for; zeros when it is gone.
    pub fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib: u64 = peak
            .and_then(|l| l.split_whitespace().next()?.parse().ok())
            .unwrap_or(0);
        let [own, children] = cpu_seconds(&pid.to_string());
        Self {
            cpu: own + children,
            peak_bytes: kib << 10,
        }
    }
}

/// Returns CPU seconds of the children this process has waited for.
pub fn children_cpu() -> f64 {
    let [_, children] = cpu_seconds("self");
    children
}

/// CPU seconds of a process, and of the children it has waited for.
fn cpu_seconds(process: &str) -> [f64; 2] {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // utime, stime, cutime and cstime are fields 14 to 17 of the line, 12 to 15 behind the name.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(11)
        .take(4)
        .filter_map(|f| f.parse().ok())
        .collect();
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    match ticks[..] {
        [user, system, children_user, children_system] => [
            (user + system) / per_second,
            (children_user + children_system) / per_second,
        ],
        _ => [0.0; 2],
    }
}

/// Finds a program on the search path, or among the system's servers.
pub fn installed(program: &str) -> Option<PathBuf> {
    let dirs = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&dirs).chain([PathBuf::from("/usr/sbin")]);
    places
        .map(|dir| dir.join(program))
        .find(|path| path.is_file())
}

/// Runs a command that has to succeed.
///
/// # Errors
/// What it wrote on standard error, or why it could not start.
pub fn must(command: &mut Command) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let program = command.get_program().display();
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.trim()).into())
}

/// Returns the private key of a key pair, made once per area; the public key is beside it, with `.pub`.
///
/// # Errors
/// Without `ssh-keygen`.
pub fn client_key(area: &Path) -> Result<PathBuf, Failure> {
    key_pair(&area.join("client_key"))
}

/// Makes a key pair unless it is there.
///
/// # Errors
/// Without `ssh-keygen`.
pub fn key_pair(path: &Path) -> Result<PathBuf, Failure> {
    if !path.exists() {
        must(
            Command::new("ssh-keygen")
                .args(["-qt", "ed25519", "-N", "", "-f"])
                .arg(path),
        )?;
    }
    Ok(path.to_owned())
}

/// Returns whether two files have the same content.
///
/// # Errors
/// Files that cannot be read.
pub fn is_same(a: &Path, b: &Path) -> io::Result<bool> {
    if fs::metadata(a)?.len() != fs::metadata(b)?.len() {
        return Ok(false);
    }
    let open = |path| Ok::<_, io::Error>(BufReader::with_capacity(1 << 20, fs::File::open(path)?));
    let (mut a, mut b) = (open(a)?, open(b)?);
    loop {
        let (left, right) = (a.fill_buf()?, b.fill_buf()?);
        let common = left.len().min(right.len());
        if left[..common] != right[..common] {
            return Ok(false);
        }
        if common == 0 {
            return Ok(left.len() == right.len());
        }
        a.consume(common);
        b.consume(common);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_has_used_cpu() {
        let before = Usage::of(std::process::id());
        let mut sum = 0u64;
        while Usage::of(std::process::id()).cpu < before.cpu + 0.02 {
            sum = (0..1_000_000u64).fold(sum, |a, b| std::hint::black_box(a ^ b));
        }
        assert!(Usage::of(std::process::id()).peak_bytes > 0);
        assert_eq!(cpu_seconds("no such process"), [0.0; 2]);
    }

    #[test]
    fn files_are_compared_by_content() {
        let temp = tempfile::tempdir().unwrap();
        let path = |name: &str, content: &[u8]| {
            let path = temp.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let mut long = vec![7; 3 << 20];
        let a = path("a", &long);
        assert!(is_same(&a, &path("b", &long)).unwrap());
        *long.last_mut().unwrap() = 8;
        assert!(!is_same(&a, &path("c", &long)).unwrap());
        assert!(!is_same(&a, &path("d", &long[1..])).unwrap());
    }
}
