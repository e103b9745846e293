//! Who copies: this project's command, and peers that are found on the machine.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use benches::process::{Failure, Server, client_key, installed, key_pair, must};

use crate::measure::{Figures, Sync, run};
use crate::options::What;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Contestant {
    Ours,
    Curl,
    Scp,
    RsyncDaemon,
    Cp,
}

impl Contestant {
    pub(crate) fn all(what: What) -> &'static [Self] {
        match what {
            What::Big => &[
                Self::Ours,
                Self::Curl,
                Self::Scp,
                Self::RsyncDaemon,
                Self::Cp,
            ],
            What::Small => &[Self::Ours, Self::RsyncDaemon, Self::Scp, Self::Cp],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Curl => "curl",
            Self::Scp => "scp",
            Self::RsyncDaemon => "rsyncd",
            Self::Cp => "cp",
        }
    }

    /// Copies `source` into the directory `target`; nothing when the program is not there.
    pub(crate) fn run(
        self,
        area: &Path,
        source: &Path,
        target: &Path,
    ) -> Result<Option<Figures>, Failure> {
        let name = source.file_name().ok_or("a source has a name")?;
        let copy = target.join(name);
        match self {
            Self::Ours => ours(area, source, target, &copy).map(Some),
            Self::Curl => curl(area, source, &copy),
            Self::Scp => scp(area, source, target, &copy),
            Self::RsyncDaemon => rsync(area, source, target, &copy),
            Self::Cp => run(
                Command::new("cp").arg("-r").arg(source).arg(target),
                None,
                source,
                &copy,
                Sync::Never,
            )
            .map(Some),
        }
    }
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn wait_for(port: u16) -> Result<(), Failure> {
    for _ in 0..500 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("the server does not listen".into())
}

fn ours(area: &Path, source: &Path, target: &Path, copy: &Path) -> Result<Figures, Failure> {
    let program = std::env::current_exe()?.with_file_name("connect-cli");
    let key = client_key(area)?;
    let state = area.join("state");
    let port = free_port()?;
    fs::create_dir_all(&state)?;
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700))?;
    let public = area.join("client_key.pub");
    // The account may be there from an earlier run.
    must(
        Command::new(&program)
            .args(["server", "user", "remove", "bench", "--state"])
            .arg(&state),
    )
    .ok();
    must(
        Command::new(&program)
            .args(["server", "user", "add", "bench", "--docroot"])
            .arg(target)
            .arg("--authorized-key")
            .arg(&public)
            .arg("--state")
            .arg(&state),
    )?;
    let server = Server(
        Command::new(&program)
            .args([
                "server",
                "start",
                "--listen",
                &format!("127.0.0.1:{port}"),
                "--state",
            ])
            .arg(&state)
            .stderr(Stdio::null())
            .spawn()?,
    );
    wait_for(port)?;
    let mut client = Command::new(&program);
    client.args([
        "upload",
        "--quiet",
        "--accept-new-host-key",
        "--cipher",
        "aes128",
        "--known-hosts",
    ]);
    client
        .arg(area.join("known_hosts"))
        .arg("-i")
        .arg(&key)
        .arg(source);
    client.arg(format!("bench@127.0.0.1:{port}:/"));
    run(&mut client, Some(server.0.id()), source, copy, Sync::Never)
}

fn curl(area: &Path, source: &Path, copy: &Path) -> Result<Option<Figures>, Failure> {
    let (Some(nginx), Some(curl)) = (installed("nginx"), installed("curl")) else {
        return Ok(None);
    };
    let (dir, port) = (area.join("nginx"), free_port()?);
    fs::create_dir_all(&dir)?;
    if !dir.join("crt").exists() {
        must(Command::new("openssl").current_dir(&dir).args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=bench -keyout key -out crt"
                .split(' '),
        ))?;
    }
    let (root, here) = (source.parent().unwrap_or(source).display(), dir.display());
    fs::write(
        dir.join("conf"),
        format!(
            "worker_processes 1; daemon off; pid {here}/pid; error_log {here}/err;\nevents {{ }}\nhttp {{ access_log off; \
             sendfile on; client_body_temp_path {here}/b; proxy_temp_path {here}/p; fastcgi_temp_path {here}/f; \
             uwsgi_temp_path {here}/u; scgi_temp_path {here}/s; server {{ listen 127.0.0.1:{port} ssl; root {root}; \
             ssl_certificate {here}/crt; ssl_certificate_key {here}/key; ssl_protocols TLSv1.3; \
             ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256; }} }}\n"
        ),
    )?;
    // As a single process it can be measured like the others'.
    let directive = "master_process off; user root;";
    let server = Server(
        Command::new(nginx)
            .arg("-c")
            .arg(dir.join("conf"))
            .args(["-g", directive])
            .stderr(Stdio::null())
            .spawn()?,
    );
    wait_for(port)?;
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let mut client = Command::new(curl);
    client
        .args(["-sSk", "-o"])
        .arg(copy)
        .arg(format!("https://127.0.0.1:{port}/{name}"));
    run(&mut client, Some(server.0.id()), source, copy, Sync::Never).map(Some)
}

fn scp(area: &Path, source: &Path, target: &Path, copy: &Path) -> Result<Option<Figures>, Failure> {
    let (Some(sshd), Some(scp)) = (installed("sshd"), installed("scp")) else {
        return Ok(None);
    };
    let (dir, port, key) = (area.join("sshd"), free_port()?, client_key(area)?);
    fs::create_dir_all(&dir)?;
    fs::create_dir_all("/run/sshd").ok();
    let host = key_pair(&dir.join("host"))?;
    let keys = area.join("client_key.pub");
    fs::write(
        dir.join("conf"),
        format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPidFile none\nSubsystem sftp internal-sftp\n",
            host.display(),
            keys.display()
        ),
    )?;
    let server = Server(
        Command::new(sshd)
            .args(["-D", "-f"])
            .arg(dir.join("conf"))
            .stderr(Stdio::null())
            .spawn()?,
    );
    wait_for(port)?;
    let user = std::env::var("USER").unwrap_or_else(|_| "root".into());
    let mut client = Command::new(scp);
    client.args([
        "-rq",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
    ]);
    client
        .args([
            "-c",
            "aes128-gcm@openssh.com",
            "-P",
            &port.to_string(),
            "-i",
        ])
        .arg(key)
        .arg(source);
    client.arg(format!("{user}@127.0.0.1:{}/", target.display()));
    run(&mut client, Some(server.0.id()), source, copy, Sync::Never).map(Some)
}

fn rsync(
    area: &Path,
    source: &Path,
    target: &Path,
    copy: &Path,
) -> Result<Option<Figures>, Failure> {
    let Some(rsync) = installed("rsync") else {
        return Ok(None);
    };
    let (conf, port) = (area.join("rsyncd.conf"), free_port()?);
    fs::write(
        &conf,
        format!(
            "use chroot = no\nuid = root\ngid = root\n[target]\npath = {}\nread only = no\n",
            target.display()
        ),
    )?;
    let server = Server(
        Command::new(&rsync)
            .args([
                "--daemon",
                "--no-detach",
                "--address=127.0.0.1",
                &format!("--port={port}"),
                "--config",
            ])
            .arg(&conf)
            .stderr(Stdio::null())
            .spawn()?,
    );
    wait_for(port)?;
    let mut client = Command::new(rsync);
    client
        .args(["-a", "--whole-file"])
        .arg(source)
        .arg(format!("rsync://127.0.0.1:{port}/target/"));
    // Ours makes every file durable before it says that it is there; one sync at the end is the least that is comparable.
    run(&mut client, Some(server.0.id()), source, copy, Sync::Once).map(Some)
}
