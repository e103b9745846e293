//! Somebody else's SSH server: a real sshd on loopback, and an agent that has the only key.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Bed, PROGRAM, Run, skipped};

/// How long daemons may take to start.
const STARTED: Duration = Duration::from_secs(10);

/// Ended with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended, which the test has noticed then.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An sshd that knows one key, whose sessions find this build of the program, and an agent that has the key.
pub(crate) struct SshBed {
    pub(crate) bed: Bed,
    port: u16,
    socket: PathBuf,
    _sshd: Daemon,
    agent: Daemon,
}

fn program(name: &str) -> Option<PathBuf> {
    let found = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists());
    if found.is_none() {
        skipped(&format!("no {name} here"));
    }
    found
}

fn generate(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < STARTED, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

impl SshBed {
    /// Nothing, and a loud word, where OpenSSH is not installed.
    pub(crate) fn new() -> Option<Self> {
        Self::with(|_| String::new())
    }

    /// With more lines of configuration.
    pub(crate) fn with(more: impl FnOnce(&Bed) -> String) -> Option<Self> {
        let sshd = program("sshd")?;
        let agent = program("ssh-agent")?;
        let (_ssh, add) = (program("ssh")?, program("ssh-add")?);
        let bed = Bed::new();
        let socket = bed.path("agent");
        let agent = Command::new(agent)
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn();
        let agent = Daemon(agent.unwrap());
        wait_until("the agent did not start", || socket.exists());
        generate(&bed.path("host_key"));
        generate(&bed.path("id"));
        let added = Command::new(add)
            .args(["-q"])
            .arg(bed.path("id"))
            .env("SSH_AUTH_SOCK", &socket)
            .status();
        assert!(added.unwrap().success());
        fs::rename(bed.path("id.pub"), bed.path("authorized_keys")).unwrap();
        // From here on the agent alone has it.
        fs::remove_file(bed.path("id")).unwrap();
        let (sshd, port) = start(&sshd, &bed, &more(&bed));
        Some(Self {
            bed,
            port,
            socket,
            _sshd: sshd,
            agent,
        })
    }

    /// From here on nobody has the key.
    pub(crate) fn stop_agent(&mut self) {
        drop(self.agent.0.kill());
    }

    pub(crate) fn run(&self, words: &[&str]) -> Run {
        let known = self.bed.path("known");
        let mut client = self.bed.program(words);
        client
            .args([
                "--ssh",
                "-P",
                &self.port.to_string(),
                "--ssh-arg=-F/dev/null",
            ])
            .arg(format!(
                "--ssh-arg=-oUserKnownHostsFile={}",
                known.display()
            ))
            .arg("--ssh-arg=-oStrictHostKeyChecking=accept-new")
            .arg("--ssh-arg=-oBatchMode=yes")
            .env("SSH_AUTH_SOCK", &self.socket);
        Run::of(client.spawn().unwrap())
    }
}

fn start(sshd: &Path, bed: &Bed, more: &str) -> (Daemon, u16) {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    fs::create_dir(bed.path("bin")).unwrap();
    symlink(PROGRAM, bed.path("bin/connect-cli")).unwrap();
    let path = |name: &str| bed.path(name).display().to_string();
    let config = format!(
        "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
         PermitRootLogin yes\nPasswordAuthentication no\nSetEnv PATH={}:/usr/bin:/bin\n{more}",
        path("host_key"),
        path("authorized_keys"),
        path("bin"),
    );
    fs::write(bed.path("sshd_config"), config).unwrap();
    // The privilege separation directory a packaged sshd expects; its init script makes it otherwise.
    drop(fs::create_dir_all("/run/sshd"));
    let log = fs::File::create(bed.path("sshd.log")).unwrap();
    let sshd = Command::new(sshd)
        .args(["-D", "-e", "-f"])
        .arg(bed.path("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let sshd = Daemon(sshd.unwrap());
    wait_until("sshd did not start", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    (sshd, port)
}
