//! Who copies: this project's command, and peers that are found on the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use benches::process::{Failure, Server, client_key, installed, key_pair, must};

use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::line::{Line, SERVER, Side, has_congestion_control};

/// TCP's congestion control, or the peer's own of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Congestion {
    Cubic,
    Bbr,
}

impl Congestion {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Ours,
    Scp,
    Rsync,
    Curl,
    Qcp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    program: Program,
    pub(crate) congestion: Congestion,
}

/// Both ends of a copy, ready to go.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) server: Server,
    pub(crate) client: Command,
}

impl Peer {
    pub(crate) fn parse(name: &str) -> Result<Self, Failure> {
        let (program, congestion) = match name.rsplit_once('-') {
            Some((program, "bbr")) => (program, Congestion::Bbr),
            Some((program, "cubic")) => (program, Congestion::Cubic),
            _ => (name, Congestion::Cubic),
        };
        let program = match program {
            // Our own congestion control has no choice.
            "ours" if program == name => Program::Ours,
            "scp" => Program::Scp,
            "rsync" => Program::Rsync,
            "curl" => Program::Curl,
            "qcp" => Program::Qcp,
            _ => return Err(format!("peer '{name}' is not known").into()),
        };
        Ok(Self {
            program,
            congestion,
        })
    }

    pub(crate) fn name(self) -> String {
        let program = match self.program {
            Program::Ours => return "ours".into(),
            Program::Scp => "scp",
            Program::Rsync => "rsync",
            Program::Curl => "curl",
            Program::Qcp => "qcp",
        };
        format!("{program}-{}", self.congestion.name())
    }

    pub(crate) fn is_ours(self) -> bool {
        self.program == Program::Ours
    }

    /// What this peer needs and the machine does not have.
    pub(crate) fn missing(self) -> Option<String> {
        let programs: &[&str] = match self.program {
            Program::Ours => &["ssh-keygen"],
            Program::Scp => &["scp", "sshd", "ssh-keygen"],
            Program::Rsync => &["rsync"],
            Program::Curl => &["curl", "nginx"],
            Program::Qcp => &["qcp", "sshd", "ssh-keygen"],
        };
        if let Some(program) = programs.iter().find(|program| installed(program).is_none()) {
            return Some(format!("{program} is not installed"));
        }
        let control = self.congestion.name();
        (!has_congestion_control(control)).then(|| format!("the kernel has no {control}"))
    }

    /// Starts the server and prepares the client: `source` is to arrive in the directory `target`.
    pub(crate) fn prepare(
        self,
        line: &Line,
        cell: Cell,
        area: &Path,
        source: &Path,
        target: &Path,
    ) -> Result<Copy, Failure> {
        match self.program {
            Program::Ours => ours(line, area, source, target),
            Program::Scp => scp(line, area, source, target),
            Program::Rsync => rsync(line, area, source, target),
            Program::Curl => curl(line, area, source, target),
            Program::Qcp => qcp(line, cell, self.congestion, area, source, target),
        }
    }
}

fn find(program: &str) -> Result<PathBuf, Failure> {
    installed(program).ok_or_else(|| format!("{program} is not installed").into())
}

/// Starts a server on its side of the line and waits until it listens on a TCP port.
fn serve(mut command: Command, port: u16) -> Result<Server, Failure> {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut server = Server(quiet.spawn()?);
    // `ip netns exec` becomes the program, so its table of sockets is the namespace's.
    let tables = ["tcp", "tcp6"].map(|table| format!("/proc/{}/net/{table}", server.0.id()));
    let (listening, state) = (format!(":{port:04X} "), " 0A ");
    for _ in 0..1000 {
        let sockets = tables
            .iter()
            .map(|table| fs::read_to_string(table).unwrap_or_default());
        if sockets
            .flat_map(|s| s.lines().map(str::to_owned).collect::<Vec<_>>())
            .any(|l| l.contains(&listening) && l.contains(state))
        {
            return Ok(server);
        }
        if let Some(status) = server.0.try_wait()? {
            return Err(format!("the server ended at once: {status}").into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("the server does not listen".into())
}

fn ours(line: &Line, area: &Path, source: &Path, target: &Path) -> Result<Copy, Failure> {
    let server = our_server(line, area, target)?;
    let mut client = our_client(line, area, Direction::Upload)?;
    client.arg(source).arg(our_location("/"));
    Ok(Copy { server, client })
}

/// Our server's port.
const OUR_PORT: u16 = 33001;

/// How a client names a path on our server.
pub(crate) fn our_location(path: &str) -> String {
    format!("bench@{SERVER}:{OUR_PORT}:{path}")
}

/// Starts our server with an account for the directory `root`.
pub(crate) fn our_server(line: &Line, area: &Path, root: &Path) -> Result<Server, Failure> {
    let program = std::env::current_exe()?.with_file_name("connect-cli");
    let state = area.join("state");
    client_key(area)?;
    if !state.exists() {
        fs::create_dir_all(&state)?;
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700))?;
        let mut account = Command::new(&program);
        account
            .args(["server", "user", "add", "bench", "--docroot"])
            .arg(root);
        must(
            account
                .arg("--authorized-key")
                .arg(area.join("client_key.pub"))
                .arg("--state")
                .arg(&state),
        )?;
    }
    let mut server = line.command(Side::Server, &program);
    server
        .args([
            "server",
            "start",
            "--listen",
            &format!("{SERVER}:{OUR_PORT}"),
            "--state",
        ])
        .arg(state);
    serve(server, OUR_PORT)
}

/// Which way our client copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Upload,
    Download,
}

impl Direction {
    /// What the client calls it.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }
}

/// A copy of ours that logs in by key and prints its events; sources and destination are missing.
pub(crate) fn our_client(
    line: &Line,
    area: &Path,
    direction: Direction,
) -> Result<Command, Failure> {
    let program = std::env::current_exe()?.with_file_name("connect-cli");
    let mut client = line.command(Side::Client, &program);
    client.args([
        direction.command(),
        "--json",
        "--accept-new-host-key",
        "--cipher",
        "aes128",
        "--known-hosts",
    ]);
    client
        .arg(area.join("known_hosts"))
        .arg("-i")
        .arg(client_key(area)?);
    Ok(client)
}

/// Starts an SSH server; returns it with a client configuration in which it is called `server`.
fn sshd(line: &Line, area: &Path) -> Result<(Server, PathBuf), Failure> {
    const PORT: u16 = 2222;
    let dir = area.join("sshd");
    fs::create_dir_all(&dir)?;
    // Where the program wants to find an empty directory.
    fs::create_dir_all("/run/sshd").ok();
    let (key, host) = (client_key(area)?, key_pair(&dir.join("host"))?);
    let keys = area.join("client_key.pub");
    fs::write(
        dir.join("server.conf"),
        format!(
            "Port {PORT}\nListenAddress {SERVER}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nUseDNS no\n\
             PermitRootLogin yes\nPidFile none\nSubsystem sftp internal-sftp\n",
            host.display(),
            keys.display()
        ),
    )?;
    let config = dir.join("client.conf");
    fs::write(
        &config,
        format!(
            "Host server\n  HostName {SERVER}\n  Port {PORT}\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  \
             StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  Compression no\n  LogLevel ERROR\n  \
             Ciphers aes128-gcm@openssh.com\n",
            key.display()
        ),
    )?;
    let mut server = line.command(Side::Server, &find("sshd")?);
    server.args(["-D", "-f"]).arg(dir.join("server.conf"));
    Ok((serve(server, PORT)?, config))
}

fn scp(line: &Line, area: &Path, source: &Path, target: &Path) -> Result<Copy, Failure> {
    let (server, config) = sshd(line, area)?;
    let mut client = line.command(Side::Client, &find("scp")?);
    client.args(["-q", "-F"]).arg(config).arg(source);
    client.arg(format!("server:{}/", target.display()));
    Ok(Copy { server, client })
}

fn qcp(
    line: &Line,
    cell: Cell,
    congestion: Congestion,
    area: &Path,
    source: &Path,
    target: &Path,
) -> Result<Copy, Failure> {
    let (server, config) = sshd(line, area)?;
    let program = find("qcp")?;
    let bandwidth = ((cell.rate_mbps * 1e6 / 8.0) as u64).to_string();
    // It sizes its windows by these; twice the round trip leaves room for the queue.
    let rtt = ((2.0 * cell.rtt_ms).max(300.0) as u64).to_string();
    let mut client = line.command(Side::Client, &program);
    client.args(["-q", "--tx", &bandwidth, "--rx", &bandwidth, "--rtt", &rtt]);
    client
        .args(["--congestion", congestion.name(), "--remote-qcp-binary"])
        .arg(&program);
    client
        .arg("--ssh-config")
        .arg(&config)
        .args(["-S", "-F", "-S"])
        .arg(&config)
        .arg(source);
    client.arg(format!("server:{}/", target.display()));
    Ok(Copy { server, client })
}

fn rsync(line: &Line, area: &Path, source: &Path, target: &Path) -> Result<Copy, Failure> {
    const PORT: u16 = 8730;
    let (program, conf) = (find("rsync")?, area.join("rsyncd.conf"));
    fs::write(
        &conf,
        format!(
            "use chroot = no\nuid = root\ngid = root\n[target]\npath = {}\nread only = no\n",
            target.display()
        ),
    )?;
    let mut server = line.command(Side::Server, &program);
    server
        .args([
            "--daemon",
            "--no-detach",
            &format!("--port={PORT}"),
            "--config",
        ])
        .arg(conf);
    let server = serve(server, PORT)?;
    let mut client = line.command(Side::Client, &program);
    client
        .arg("--whole-file")
        .arg(source)
        .arg(format!("rsync://{SERVER}:{PORT}/target/"));
    Ok(Copy { server, client })
}

fn curl(line: &Line, area: &Path, source: &Path, target: &Path) -> Result<Copy, Failure> {
    const PORT: u16 = 8080;
    let dir = area.join("nginx");
    fs::create_dir_all(&dir)?;
    let (root, here) = (source.parent().unwrap_or(source).display(), dir.display());
    fs::write(
        dir.join("conf"),
        format!(
            "worker_processes 1; daemon off; pid {here}/pid; error_log {here}/err;\nevents {{ }}\nhttp {{ access_log off; \
             sendfile on; tcp_nopush on; client_body_temp_path {here}/b; proxy_temp_path {here}/p; \
             fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s; \
             server {{ listen {SERVER}:{PORT}; root {root}; }} }}\n"
        ),
    )?;
    let mut server = line.command(Side::Server, &find("nginx")?);
    // As a single process it can be measured like the others'.
    server
        .arg("-c")
        .arg(dir.join("conf"))
        .args(["-g", "master_process off; user root;"]);
    let server = serve(server, PORT)?;
    let name = source.file_name().unwrap_or_default();
    let mut client = line.command(Side::Client, &find("curl")?);
    client.args(["-sS", "-o"]).arg(target.join(name));
    client.arg(format!("http://{SERVER}:{PORT}/{}", name.to_string_lossy()));
    Ok(Copy { server, client })
}
