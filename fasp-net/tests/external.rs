//! The carrier through an external `ssh` program, against a real sshd where there is one.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]
#![cfg(unix)]

use std::{
    ffi::OsString,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use fasp_core::{ErrorCode, SessionId};
use fasp_net::{
    Error,
    control::{
        external::ExternalSsh,
        message::{Message, Pause},
    },
};
use transfer_spec::Host;

fn pause() -> Message {
    Pause {
        session_id: SessionId(7),
        paused: true,
    }
    .into()
}

/// An `ssh` that is a shell script.
fn script(dir: &Path, body: &str) -> ExternalSsh {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join("ssh");
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    ExternalSsh {
        // Run by the shell, not directly: a file another thread has open for writing cannot be executed.
        program: "/bin/sh".into(),
        arguments: vec![path.into()],
        ..ExternalSsh::new(Host::Name("h".to_owned()))
    }
}

#[tokio::test]
async fn messages_pass_the_program_and_the_binding_is_zero() {
    let dir = tempfile::tempdir().unwrap();
    let mut far = script(dir.path(), "exec cat").connect().unwrap();
    assert_eq!(far.connection.binding, [0; 32]);
    far.connection.control.sender.send(pause()).await.unwrap();
    let echoed = far.connection.control.receiver.receive().await.unwrap();
    assert_eq!(echoed, Some(pause()));
}

#[tokio::test]
async fn how_the_program_ended_becomes_the_error() {
    let dir = tempfile::tempdir().unwrap();
    for (body, code) in [
        (
            "echo 'u@h: Permission denied (publickey).' >&2; exit 255",
            ErrorCode::Authentication,
        ),
        (
            "echo 'Host key verification failed.' >&2; exit 255",
            ErrorCode::HostKey,
        ),
        (
            "echo 'connect to host h port 22: Connection refused' >&2; exit 255",
            ErrorCode::ControlFailed,
        ),
        (
            "echo 'sh: connect-cli: not found' >&2; exit 127",
            ErrorCode::ControlFailed,
        ),
        ("kill -9 $$", ErrorCode::ControlFailed),
    ] {
        let mut far = script(dir.path(), body).connect().unwrap();
        assert!(matches!(
            far.connection.control.receiver.receive().await,
            Ok(None)
        ));
        let error = far.process.explain().await;
        assert_eq!(error.code(), code, "{body}: {error}");
        assert!(error.hint().is_some());
    }
    let missing = ExternalSsh {
        program: "/nonexistent/ssh".into(),
        ..ExternalSsh::new(Host::Name("h".to_owned()))
    };
    assert!(matches!(missing.connect(), Err(Error::Program { .. })));
}

/// An sshd of the test's own on a loopback port, one user, one key.
struct Sshd {
    child: std::process::Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin"]
        .iter()
        .map(|dir| Path::new(dir).join(name))
        .find(|path| path.exists())
}

fn generate(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

async fn sshd() -> Option<Sshd> {
    let binary = program("sshd")?;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    generate(&at("host_key"));
    generate(&at("id"));
    generate(&at("stranger"));
    std::fs::copy(at("id.pub"), at("authorized_keys")).unwrap();
    let port = {
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        free.local_addr().unwrap().port()
    };
    std::fs::write(
        at("sshd_config"),
        format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {key}\nAuthorizedKeysFile {keys}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n",
            key = at("host_key").display(),
            keys = at("authorized_keys").display(),
        ),
    )
    .unwrap();
    // The privilege separation directory a packaged sshd expects; its init script makes it otherwise.
    drop(std::fs::create_dir_all("/run/sshd"));
    let child = Command::new(binary)
        .arg("-D")
        .arg("-e")
        .arg("-f")
        .arg(at("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(at("log")).unwrap())
        .spawn()
        .ok()?;
    let mut sshd = Sshd { child, port, dir };
    for _ in 0..200 {
        if tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .is_ok()
        {
            return Some(sshd);
        }
        if sshd.child.try_wait().unwrap().is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = std::fs::read_to_string(sshd.dir.path().join("log")).unwrap_or_default();
    panic!("sshd did not start: {log}");
}

#[tokio::test]
async fn a_real_sshd_carries_messages_and_its_refusals_have_their_codes() {
    if program("ssh").is_none() {
        println!("skipped: no ssh here");
        return;
    }
    let Some(sshd) = sshd().await else {
        println!("skipped: no sshd here");
        return;
    };
    let known = sshd.dir.path().join("known_hosts");
    let with = |key: &str, checking: &str| ExternalSsh {
        arguments: [
            "-F/dev/null".to_owned(),
            format!("-i{}", sshd.dir.path().join(key).display()),
            "-oIdentitiesOnly=yes".to_owned(),
            "-oIdentityAgent=none".to_owned(),
            "-oBatchMode=yes".to_owned(),
            format!("-oUserKnownHostsFile={}", known.display()),
            format!("-oStrictHostKeyChecking={checking}"),
        ]
        .map(OsString::from)
        .to_vec(),
        port: Some(sshd.port),
        remote_command: "exec cat".to_owned(),
        ..ExternalSsh::new(Host::V4(Ipv4Addr::LOCALHOST))
    };
    let mut far = with("id", "accept-new").connect().unwrap();
    far.connection.control.sender.send(pause()).await.unwrap();
    let echoed = far.connection.control.receiver.receive().await.unwrap();
    if echoed.is_none() {
        let log = std::fs::read_to_string(sshd.dir.path().join("log")).unwrap_or_default();
        panic!("{:?}\n{log}", far.process.explain().await);
    }
    assert_eq!(echoed, Some(pause()));

    let mut stranger = with("stranger", "yes").connect().unwrap();
    assert!(matches!(
        stranger.connection.control.receiver.receive().await,
        Ok(None)
    ));
    assert_eq!(
        stranger.process.explain().await.code(),
        ErrorCode::Authentication
    );

    let text = std::fs::read_to_string(&known).unwrap();
    let other = std::fs::read_to_string(sshd.dir.path().join("stranger.pub")).unwrap();
    let other = other.split_whitespace().nth(1).unwrap();
    let mine = text.split_whitespace().nth(2).unwrap();
    std::fs::write(&known, text.replace(mine, other)).unwrap();
    let mut changed = with("id", "yes").connect().unwrap();
    assert!(matches!(
        changed.connection.control.receiver.receive().await,
        Ok(None)
    ));
    assert_eq!(changed.process.explain().await.code(), ErrorCode::HostKey);

    let closed = ExternalSsh {
        port: Some(1),
        ..with("id", "yes")
    };
    let mut closed = closed.connect().unwrap();
    assert!(matches!(
        closed.connection.control.receiver.receive().await,
        Ok(None)
    ));
    assert_eq!(
        closed.process.explain().await.code(),
        ErrorCode::ControlFailed
    );
}
