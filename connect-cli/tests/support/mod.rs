//! What tests of the program stand on: directories of their own, the program in them, a server, and a network that
//! loses what it should not.
#![allow(
    dead_code,
    reason = "every test binary has its own copy and uses a part of it"
)]

pub(crate) mod canary;
pub(crate) mod namespace;
pub(crate) mod network;
pub(crate) mod sshd;

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_connect-cli");
/// The password of every account.
pub(crate) const PASSWORD: &str = "secret";

/// What a finished program left.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Waits for a program that may have been killed; true when it had succeeded before.
    pub(crate) fn of_killed(child: Child) -> bool {
        child.wait_with_output().unwrap().status.success()
    }

    #[track_caller]
    pub(crate) fn assert_success(&self) {
        assert_eq!(self.status, 0, "{}", self.err);
    }

    /// The command line is wrong.
    #[track_caller]
    pub(crate) fn assert_usage(&self) {
        assert_eq!(self.status, 2, "{}", self.err);
    }

    /// One sentence with the code, and a hint.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: i32, code: u8) {
        assert_eq!(self.status, status, "{}", self.err);
        let errors = self.err.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{}", self.err);
        assert!(
            self.err.contains(&format!(" (FASP code {code})\n\nhint: ")),
            "{}",
            self.err
        );
        assert!(!self.err.contains("panicked"), "{}", self.err);
    }
}

/// Directories of one test: `root` for the server's files, `home` for clients, `state` once there is an account.
#[derive(Debug)]
pub(crate) struct Bed {
    temp: TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::of(TempDir::new().unwrap())
    }

    /// A bed that costs no disk writes, where there is so much room in memory and `TMPDIR` asks for no other place.
    pub(crate) fn in_memory(room: u64) -> Self {
        let memory = "/dev/shm";
        let has_room = rustix::fs::statvfs(memory)
            .is_ok_and(|memory| memory.f_bavail.saturating_mul(memory.f_frsize) >= room);
        match has_room && std::env::var_os("TMPDIR").is_none() {
            true => Self::of(TempDir::new_in(memory).unwrap()),
            false => Self::new(),
        }
    }

    fn of(temp: TempDir) -> Self {
        for name in ["root", "home"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        Self { temp }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Writes a file that differs from its neighbours in every block.
    pub(crate) fn file(&self, name: &str, size: usize) -> Vec<u8> {
        let content = content(size);
        fs::write(self.path(name), &content).unwrap();
        content
    }

    /// The program, in this bed and with nothing of the environment that could help it to log in.
    pub(crate) fn program<W: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = W>) -> Command {
        self.wrapped(&[], words)
    }

    /// The program behind another one that starts it, such as `setpriv`.
    pub(crate) fn wrapped<W: AsRef<OsStr>>(
        &self,
        wrapper: &[&str],
        words: impl IntoIterator<Item = W>,
    ) -> Command {
        let mut command = match wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(PROGRAM);
                command
            }
            None => Command::new(PROGRAM),
        };
        command
            .args(words)
            .current_dir(self.temp.path())
            .env("HOME", self.path("home"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for variable in [
            "ASPERA_SCP_PASS",
            "ASPERA_SCP_KEY",
            "SSH_AUTH_SOCK",
            "XDG_CONFIG_HOME",
            "XDG_STATE_HOME",
            "CREDENTIALS_DIRECTORY",
        ] {
            command.env_remove(variable);
        }
        command
    }

    /// Runs the program with something to read.
    pub(crate) fn run_with_input<W: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = W>,
        input: &str,
    ) -> Run {
        let mut child = self.program(words).stdin(Stdio::piped()).spawn().unwrap();
        // A program that does not read its input closes it, which is no failure of the test.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        Run::of(child)
    }

    /// Adds an account with the usual password for the directory `root`.
    pub(crate) fn add_user(&self, name: &str, options: &[&str]) {
        let words = "server user add --password-stdin --state state --docroot root";
        let words = words
            .split(' ')
            .chain([name])
            .chain(options.iter().copied());
        self.run_with_input(words, &format!("{PASSWORD}\n"))
            .assert_success();
    }

    /// Starts a server on a free port of loopback.
    pub(crate) fn serve(&self) -> Server {
        self.serve_in(&[])
    }

    /// Starts a server behind another program, which has to replace itself with it.
    pub(crate) fn serve_in(&self, wrapper: &[&str]) -> Server {
        self.serve_on(wrapper, "127.0.0.1:0", &[])
    }

    /// The same, with further options.
    pub(crate) fn serve_with(&self, wrapper: &[&str], options: &[&str]) -> Server {
        self.serve_on(wrapper, "127.0.0.1:0", options)
    }

    /// Starts a server where another one was.
    pub(crate) fn serve_at(&self, address: SocketAddr) -> Server {
        self.serve_on(&[], &address.to_string(), &[])
    }

    fn serve_on(&self, wrapper: &[&str], listen: &str, options: &[&str]) -> Server {
        let words = format!("server start --json --listen {listen} --state state");
        let log = fs::File::create(self.path("server.log")).unwrap();
        let mut child = self
            .wrapped(wrapper, words.split(' ').chain(options.iter().copied()))
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Ok(listening) = serde_json::from_str::<serde_json::Value>(&line) else {
            let log = fs::read_to_string(self.path("server.log")).unwrap();
            panic!("the server did not start: {log}");
        };
        let address = listening["address"].as_str().unwrap().parse().unwrap();
        Server { child, address }
    }
}

/// A server process, killed at the end of the test.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as nothing can be ended more abruptly.
    pub(crate) fn kill(&mut self) {
        // It may have ended, which the test has noticed then.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        terminate(&self.child);
    }

    pub(crate) fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A bed with a running server and two accounts: `lea` may do everything, `reader` may not write.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) bed: Bed,
    pub(crate) server: Server,
}

impl Site {
    pub(crate) fn new() -> Self {
        let bed = Bed::new();
        bed.add_user("lea", &[]);
        bed.add_user("reader", &["--read-only"]);
        let server = bed.serve();
        Self { bed, server }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.bed.path(name)
    }

    /// A client; `HOST` in the words stands for the account on the server.
    pub(crate) fn client(&self, user: &str, password: &str, words: &[&str]) -> Command {
        self.client_of(self.server.address, user, password, words)
    }

    /// A client that takes another address for the server's.
    pub(crate) fn client_of(
        &self,
        server: SocketAddr,
        user: &str,
        password: &str,
        words: &[&str],
    ) -> Command {
        let host = format!("{user}@{server}");
        let words = words.iter().map(|word| word.replace("HOST", &host));
        let mut command = self.bed.program(words);
        command.env("ASPERA_SCP_PASS", password);
        command
    }

    pub(crate) fn run(&self, user: &str, password: &str, words: &[&str]) -> Run {
        Run::of(self.client(user, password, words).spawn().unwrap())
    }

    /// Runs a client of the account that may do everything, which trusts the server.
    pub(crate) fn lea(&self, words: &[&str]) -> Run {
        self.lea_at(self.server.address, words)
    }

    pub(crate) fn lea_at(&self, server: SocketAddr, words: &[&str]) -> Run {
        let words = [words, &["--accept-new-host-key"]].concat();
        let mut client = self.client_of(server, "lea", PASSWORD, &words);
        Run::of(client.spawn().unwrap())
    }
}

/// Sends the signal that service managers send.
pub(crate) fn terminate(child: &Child) {
    let id = Pid::from_child(child);
    kill_process(id, Signal::TERM).unwrap();
}

/// Reads the events of a client with `--json` up to the first of this name.
pub(crate) fn wait_for_event(client: &mut Child, name: &str) {
    wait_for(client, |event| event["event"] == name);
}

/// Reads the events of a client with `--json` up to the first that fits, and returns that.
pub(crate) fn wait_for(
    client: &mut Child,
    fits: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    let mut out = BufReader::with_capacity(1, client.stdout.take().unwrap());
    loop {
        let mut line = String::new();
        assert_ne!(out.read_line(&mut line).unwrap(), 0, "the event never came");
        let event = serde_json::from_str(&line).unwrap();
        if fits(&event) {
            client.stdout = Some(out.into_inner());
            return event;
        }
    }
}

/// Bytes without a period that a block could have.
pub(crate) fn content(size: usize) -> Vec<u8> {
    (0..size as u64)
        .map(|i| (i.wrapping_mul(i).wrapping_mul(0x9e37_79b9) >> 11) as u8)
        .collect()
}

/// Makes files that hold their own paths, and the directories above them.
pub(crate) fn write_files(base: &Path, paths: &[&str]) {
    for path in paths {
        let path = base.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.to_string_lossy().as_bytes()).unwrap();
    }
}

/// Names below a directory, with `/` behind directories, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    collect(directory, "", &mut names);
    names.sort();
    names
}

fn collect(directory: &Path, prefix: &str, names: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().unwrap().is_dir() {
            names.push(format!("{name}/"));
            collect(&entry.path(), &format!("{name}/"), names);
        } else {
            names.push(name);
        }
    }
}

/// Asserts that no file stands under a final name: what is unfinished says so.
#[track_caller]
pub(crate) fn assert_nothing_final(directory: &Path) {
    let left: Vec<_> = names(directory)
        .into_iter()
        .filter(|name| !name.ends_with('/') && !is_unfinished(name))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn is_unfinished(name: &str) -> bool {
    name.ends_with(".partial") || name.ends_with(".aspera-ckpt")
}

/// Says loudly that a test shows nothing here.
#[allow(clippy::print_stdout, reason = "a test that is skipped has to say so")]
pub(crate) fn skipped(why: &str) {
    println!("SKIPPED: {why}");
}

/// Another address of loopback, for a second way to the same port.
pub(crate) fn second_way(server: SocketAddr) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), server.port()))
}
