//! The SSH carrier over loopback: our client against our endpoint.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use fasp_core::{ErrorCode, SessionId};
use fasp_net::{
    Error,
    control::{
        known_hosts::KnownHosts,
        message::{Heard, Message, Pause},
        ssh::{
            HostKey, PublicKey,
            client::{self, Connection, FirstUse, HostKeyCheck},
            credentials::{Credentials, KeySource, PasswordSource, Prompt, Secret},
            server::{Accepted, Admission, Endpoint, Limits, UserHandle},
        },
    },
};
use russh::{
    MethodKind,
    keys::{
        HashAlg, PrivateKey, PrivateKeyWithHashAlg, ssh_key::LineEnding,
        ssh_key::private::Ed25519Keypair,
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// One user, one password, one key.
struct OneUser(Option<PublicKey>);

impl Admission for OneUser {
    fn password(&self, user: &str, password: &str) -> Option<UserHandle> {
        (user == "ada" && password == "correct").then(|| UserHandle {
            name: user.to_owned(),
        })
    }

    fn public_key(&self, user: &str, key: &PublicKey) -> Option<UserHandle> {
        let known = self
            .0
            .as_ref()
            .is_some_and(|k| k.key_data() == key.key_data());
        (user == "ada" && known).then(|| UserHandle {
            name: user.to_owned(),
        })
    }
}

fn quick() -> Limits {
    Limits {
        refusal: Duration::from_millis(5),
        ..Limits::default()
    }
}

struct Site {
    endpoint: Endpoint,
    host_key: HostKey,
    dir: tempfile::TempDir,
}

async fn site_with(limits: Limits, key: Option<PublicKey>) -> Site {
    let host_key = HostKey::generate().unwrap();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let endpoint = Endpoint::bind(any_port, host_key.clone(), Arc::new(OneUser(key)), limits)
        .await
        .unwrap();
    Site {
        endpoint,
        host_key,
        dir: tempfile::tempdir().unwrap(),
    }
}

async fn site() -> Site {
    site_with(quick(), None).await
}

impl Site {
    fn hosts(&self) -> KnownHosts {
        KnownHosts::new(self.dir.path().join("known_hosts"))
    }

    fn check(&self, first_use: FirstUse) -> HostKeyCheck {
        HostKeyCheck::Known {
            hosts: self.hosts(),
            first_use,
        }
    }

    fn port(&self) -> u16 {
        self.endpoint.local_addr().port()
    }

    async fn connect_as(
        &self,
        user: &str,
        credentials: &Credentials,
        check: HostKeyCheck,
    ) -> Result<Connection, Error> {
        client::connect(
            "127.0.0.1",
            self.port(),
            Duration::from_secs(10),
            user,
            credentials,
            check,
        )
        .await
    }

    async fn connect(&self, user: &str, credentials: &Credentials) -> Result<Connection, Error> {
        self.connect_as(user, credentials, self.check(FirstUse::AcceptNew))
            .await
    }

    async fn meet(&mut self, credentials: &Credentials) -> (Connection, Accepted) {
        let connection = self.connect("ada", credentials).await.unwrap();
        let accepted = self.endpoint.accept().await.unwrap();
        (connection, accepted)
    }
}

fn password(text: &str) -> Credentials {
    Credentials {
        password: Some(PasswordSource::Given(Secret::new(text))),
        ..Credentials::default()
    }
}

fn private_key(seed: u8) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))
}

fn write_key(path: &Path, key: &PrivateKey, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, key.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn a_password_lets_in_and_messages_pass_both_ways() {
    let mut site = site().await;
    let (mut near, mut far) = site.meet(&password("correct")).await;
    assert_eq!(far.user.name, "ada");
    assert_eq!(near.peer, site.endpoint.local_addr());
    assert!(near.rtt > Duration::ZERO && near.rtt < Duration::from_secs(1));
    let pause = Message::from(Pause {
        session_id: SessionId(1),
        paused: true,
    });
    near.control.sender.send(pause.clone()).await.unwrap();
    assert_eq!(far.control.receiver.receive().await.unwrap(), Some(pause));
    let heard = Message::from(Heard {
        session_id: SessionId(2),
    });
    far.control.sender.send(heard.clone()).await.unwrap();
    assert_eq!(near.control.receiver.receive().await.unwrap(), Some(heard));
    drop(near);
    assert_eq!(far.control.receiver.receive().await.unwrap(), None);
}

#[tokio::test]
async fn the_binding_is_equal_at_both_ends_and_different_every_time() {
    let mut site = site().await;
    let (near, far) = site.meet(&password("correct")).await;
    let (near2, far2) = site.meet(&password("correct")).await;
    assert_eq!(near.binding, far.binding);
    assert_eq!(near2.binding, far2.binding);
    assert_ne!(near.binding, near2.binding);
    assert_ne!(near.binding, [0; 32]);
}

#[tokio::test]
async fn c8_a_wrong_password_and_an_unknown_user_look_the_same() {
    let site = site().await;
    let wrong = site.connect("ada", &password("wrong")).await.unwrap_err();
    let unknown = site.connect("bob", &password("correct")).await.unwrap_err();
    for error in [&wrong, &unknown] {
        assert_eq!(error.code(), ErrorCode::Authentication);
    }
    assert_eq!(wrong.to_string().replace("ada", "bob"), unknown.to_string());
    assert_eq!(wrong.hint(), unknown.hint());
    let nothing = site
        .connect("ada", &Credentials::default())
        .await
        .unwrap_err();
    assert!(nothing.hint().unwrap().contains("no key"), "{nothing:?}");
}

#[tokio::test]
async fn c8_a_refused_login_takes_its_time() {
    let limits = Limits {
        refusal: Duration::from_millis(300),
        ..Limits::default()
    };
    let site = site_with(limits, None).await;
    let started = Instant::now();
    site.connect("ada", &password("wrong")).await.unwrap_err();
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(Limits::default().refusal >= Duration::from_secs(1));
}

#[tokio::test]
async fn key_files_let_in_and_the_password_is_not_asked_for() {
    let key = private_key(1);
    let mut site = site_with(quick(), Some(key.public_key().clone())).await;
    let path = site.dir.path().join("id");
    write_key(&path, &key, 0o600);
    let asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&asked);
    let credentials = Credentials {
        keys: vec![KeySource::File(path.clone())],
        password: Some(PasswordSource::Ask(Prompt::new(move |_| {
            seen.store(true, Ordering::SeqCst);
            Some(Secret::new("correct"))
        }))),
        ..Credentials::default()
    };
    let (_near, far) = site.meet(&credentials).await;
    assert_eq!(far.user.name, "ada");
    assert!(!asked.load(Ordering::SeqCst));
    // A key that is not let in: then the password is asked for.
    write_key(&path, &private_key(2), 0o600);
    site.meet(&credentials).await;
    assert!(asked.load(Ordering::SeqCst));
    // A default key, and a key from a text.
    write_key(&path, &key, 0o600);
    let default = Credentials {
        default_keys: vec![site.dir.path().join("none"), path],
        ..Credentials::default()
    };
    site.meet(&default).await;
    let text = key.to_openssh(LineEnding::LF).unwrap().to_string();
    let text = Credentials {
        keys: vec![KeySource::Text(Secret::new(text))],
        ..Credentials::default()
    };
    site.meet(&text).await;
}

#[tokio::test]
async fn c3_keys_that_others_may_read_are_refused() {
    let site = site().await;
    let path = site.dir.path().join("id");
    write_key(&path, &private_key(1), 0o640);
    let credentials = Credentials {
        keys: vec![KeySource::File(path)],
        ..Credentials::default()
    };
    let error = site.connect("ada", &credentials).await.unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[tokio::test]
async fn encrypted_keys_ask_for_their_passphrase() {
    let site_dir = tempfile::tempdir().unwrap();
    let path = site_dir.path().join("id");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-a", "1", "-N", "open sesame", "-f"])
        .arg(&path)
        .output();
    if made.is_err() {
        println!("skipped: no ssh-keygen here");
        return;
    }
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    let public = PublicKey::from_openssh(&public).unwrap();
    let mut site = site_with(quick(), Some(public)).await;
    let with = |passphrase: &'static str| Credentials {
        keys: vec![KeySource::File(path.clone())],
        passphrase: Some(Prompt::new(move |_| Some(Secret::new(passphrase)))),
        ..Credentials::default()
    };
    site.meet(&with("open sesame")).await;
    let error = site.connect("ada", &with("wrong")).await.unwrap_err();
    assert!(
        error.to_string().ends_with("the passphrase is wrong"),
        "{error}"
    );
}

#[tokio::test]
async fn rsa_keys_sign_with_sha2() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("id_rsa");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"])
        .arg(&path)
        .output();
    if made.is_err() {
        println!("skipped: no ssh-keygen here");
        return;
    }
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    let mut site = site_with(quick(), Some(PublicKey::from_openssh(&public).unwrap())).await;
    let credentials = Credentials {
        keys: vec![KeySource::File(path)],
        ..Credentials::default()
    };
    site.meet(&credentials).await;
}

#[tokio::test]
async fn a_real_agent_lets_in() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent");
    let agent = tokio::process::Command::new("ssh-agent")
        .arg("-D")
        .arg("-a")
        .arg(&socket)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(_agent) = agent else {
        println!("skipped: no ssh-agent here");
        return;
    };
    let key = private_key(3);
    let path = dir.path().join("id");
    write_key(&path, &key, 0o600);
    while !socket.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let added = std::process::Command::new("ssh-add")
        .env("SSH_AUTH_SOCK", &socket)
        .arg(&path)
        .output()
        .unwrap();
    assert!(added.status.success(), "{added:?}");
    let mut site = site_with(quick(), Some(key.public_key().clone())).await;
    let credentials = Credentials {
        agent: Some(socket),
        ..Credentials::default()
    };
    site.meet(&credentials).await;
    let missing = Credentials {
        agent: Some("/nonexistent".into()),
        ..password("correct")
    };
    site.meet(&missing).await;
}

#[tokio::test]
async fn h5_first_use_is_refused_asked_about_or_accepted() {
    let site = site().await;
    let login = password("correct");
    let refused = site
        .connect_as("ada", &login, site.check(FirstUse::Refuse))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), ErrorCode::HostKey);
    let fingerprint = site.host_key.fingerprint();
    assert!(refused.to_string().contains(&fingerprint), "{refused}");
    let ask = |answer: bool| {
        let expected = fingerprint.clone();
        site.check(FirstUse::Ask(Arc::new(move |question| {
            assert_eq!(question.fingerprint, expected);
            answer
        })))
    };
    assert!(site.connect_as("ada", &login, ask(false)).await.is_err());
    assert!(!site.hosts().path().exists());
    assert!(site.connect_as("ada", &login, ask(true)).await.is_ok());
    // Known now: nobody is asked.
    assert!(site.connect_as("ada", &login, ask(false)).await.is_ok());
}

#[tokio::test]
async fn h5_pinned_fingerprints_decide_alone() {
    let site = site().await;
    let login = password("correct");
    let hex: String = {
        let fingerprint = site.host_key.public_key().fingerprint(HashAlg::Sha256);
        fingerprint
            .as_bytes()
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect()
    };
    for pin in [site.host_key.fingerprint(), hex] {
        assert!(
            site.connect_as("ada", &login, HostKeyCheck::Pinned(pin))
                .await
                .is_ok()
        );
    }
    let other = HostKey::generate().unwrap().fingerprint();
    for pin in [other, String::new(), "SHA256:".to_owned()] {
        let error = site
            .connect_as("ada", &login, HostKeyCheck::Pinned(pin))
            .await
            .unwrap_err();
        assert_eq!(error.code(), ErrorCode::HostKey);
    }
    assert!(!site.hosts().path().exists());
}

#[tokio::test]
async fn f73_a_changed_host_key_is_51_and_no_credential_is_used() {
    let mut site = site().await;
    site.meet(&password("correct")).await;
    let address = site.endpoint.local_addr();
    let host_key = HostKey::generate().unwrap();
    // The same address, another key.
    let Site { endpoint, dir, .. } = site;
    drop(endpoint);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let endpoint = Endpoint::bind(address, host_key.clone(), Arc::new(OneUser(None)), quick())
        .await
        .unwrap();
    let site = Site {
        endpoint,
        host_key,
        dir,
    };
    let asked = Credentials {
        password: Some(PasswordSource::Ask(Prompt::new(|_| {
            panic!("asked for a password")
        }))),
        ..Credentials::default()
    };
    let error = site.connect("ada", &asked).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::HostKey);
    assert!(!error.code().is_retryable());
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("line 1 of") && hint.contains("ssh-keygen -R"),
        "{hint}"
    );
}

#[tokio::test]
async fn h5_a_host_whose_known_key_type_is_gone_is_51() {
    let site = site().await;
    let p256 = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";
    let p256 = PublicKey::from_openssh(p256).unwrap();
    site.hosts().add("127.0.0.1", site.port(), &p256).unwrap();
    let error = site.connect("ada", &password("correct")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::HostKey, "{error}");
}

#[tokio::test]
async fn connection_errors_have_their_codes() {
    let check = || HostKeyCheck::Pinned(String::new());
    let none = Credentials::default();
    let short = Duration::from_millis(300);
    let unknown = client::connect(
        "no-such-host.invalid",
        1,
        Duration::from_secs(10),
        "u",
        &none,
        check(),
    )
    .await
    .unwrap_err();
    assert_eq!(unknown.code(), ErrorCode::ControlFailed);
    assert!(matches!(unknown, Error::HostNotFound { .. }), "{unknown:?}");
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    // A listener that says nothing.
    let silent = client::connect("127.0.0.1", port, short, "u", &none, check())
        .await
        .unwrap_err();
    assert_eq!(silent.code(), ErrorCode::ControlTimeout, "{silent:?}");
    drop(free);
    let refused = client::connect("127.0.0.1", port, short, "u", &none, check())
        .await
        .unwrap_err();
    assert!(
        matches!(refused, Error::ConnectFailed { .. }),
        "{refused:?}"
    );
    assert_eq!(refused.code(), ErrorCode::ControlFailed);
    assert!(refused.hint().unwrap().contains("firewall"));
}

async fn is_closed_without_a_word(stream: &mut TcpStream) -> bool {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await;
    read.is_ok() && bytes.is_empty()
}

#[tokio::test]
async fn w37_places_of_a_network_run_out_and_come_back() {
    let limits = Limits {
        per_network: 3,
        identification: Duration::from_millis(700),
        authentication: Duration::from_millis(700),
        ..quick()
    };
    let mut site = site_with(limits, None).await;
    let mut idle = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(site.endpoint.local_addr())
            .await
            .unwrap();
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await.unwrap();
        idle.push(stream);
    }
    let mut fourth = TcpStream::connect(site.endpoint.local_addr())
        .await
        .unwrap();
    assert!(is_closed_without_a_word(&mut fourth).await);
    for stream in &mut idle {
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
    }
    // Closed for its silence; an honest login gets through.
    let (near, far) = site.meet(&password("correct")).await;
    assert_eq!(near.binding, far.binding);
}

#[tokio::test]
async fn w37_authenticated_connections_outlive_the_deadline() {
    let limits = Limits {
        authentication: Duration::from_millis(500),
        identification: Duration::from_millis(500),
        ..quick()
    };
    let mut site = site_with(limits, None).await;
    let (near, mut far) = site.meet(&password("correct")).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    let pause = Message::from(Pause {
        session_id: SessionId(1),
        paused: false,
    });
    near.control.sender.send(pause.clone()).await.unwrap();
    assert_eq!(far.control.receiver.receive().await.unwrap(), Some(pause));
}

#[tokio::test]
async fn f69_a_user_who_asks_for_nothing_is_let_go() {
    let limits = Limits {
        authentication: Duration::from_millis(500),
        ..quick()
    };
    let site = site_with(limits, None).await;
    let handle = plain_client(&site).await;
    let closed = async {
        while !handle.is_closed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed)
        .await
        .unwrap();
}

#[tokio::test]
async fn c8_a_source_of_failed_logins_is_turned_away() {
    let site = site().await;
    // Three refused logins make the penalty; a fourth and fifth cover what runs off while the test runs.
    let mut failures = 0;
    while let Error::Authentication { .. } =
        site.connect("ada", &password("wrong")).await.unwrap_err()
    {
        failures += 1;
        assert!(failures < 10);
    }
    assert!(failures >= 3, "{failures}");
    let mut stream = TcpStream::connect(site.endpoint.local_addr())
        .await
        .unwrap();
    assert!(is_closed_without_a_word(&mut stream).await);
}

#[tokio::test]
async fn f72_garbage_and_oversize_before_the_identification_close() {
    let site = site().await;
    for garbage in [
        vec![b'x'; 300],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"pre-banner\r\nSSH-2.0-x\r\n".to_vec(),
        [&b"SSH-2.0-x\r\n"[..], &[0xff; 100]].concat(),
        [&b"SSH-2.0-x\r\n"[..], &[0, 0, 0, 0]].concat(),
    ] {
        let mut stream = TcpStream::connect(site.endpoint.local_addr())
            .await
            .unwrap();
        stream.write_all(&garbage).await.unwrap();
        let mut rest = Vec::new();
        let closed =
            tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{garbage:?}");
    }
}

/// A client that trusts any key, to ask for what ours never would.
struct Anybody;

impl russh::client::Handler for Anybody {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

async fn plain_client(site: &Site) -> russh::client::Handle<Anybody> {
    let config = Arc::new(russh::client::Config::default());
    let mut handle = russh::client::connect(config, site.endpoint.local_addr(), Anybody)
        .await
        .unwrap();
    assert!(
        handle
            .authenticate_password("ada", "correct")
            .await
            .unwrap()
            .success()
    );
    handle
}

async fn refused(channel: &mut russh::Channel<russh::client::Msg>) -> bool {
    while let Some(message) = channel.wait().await {
        match message {
            russh::ChannelMsg::Failure | russh::ChannelMsg::Close => return true,
            russh::ChannelMsg::Success => return false,
            _ => {}
        }
    }
    true
}

#[tokio::test]
async fn w38_f72_only_the_subsystem_is_served() {
    let mut site = site().await;
    let handle = plain_client(&site).await;
    for what in ["shell", "exec", "pty", "x11", "env", "agent", "sftp"] {
        let mut channel = handle.channel_open_session().await.unwrap();
        match what {
            "shell" => channel.request_shell(true).await.unwrap(),
            "exec" => channel
                .exec(true, "connect-cli server session")
                .await
                .unwrap(),
            "pty" => channel
                .request_pty(true, "xterm", 80, 25, 0, 0, &[])
                .await
                .unwrap(),
            "x11" => channel
                .request_x11(true, false, "MIT", "00", 0)
                .await
                .unwrap(),
            "env" => channel.set_env(true, "LD_PRELOAD", "x").await.unwrap(),
            "agent" => channel.agent_forward(true).await.unwrap(),
            _ => channel.request_subsystem(true, what).await.unwrap(),
        }
        assert!(refused(&mut channel).await, "{what}");
    }
    assert!(handle.tcpip_forward("127.0.0.1", 0).await.is_err());
    assert!(handle.streamlocal_forward("/tmp/none").await.is_err());
    let direct = handle
        .channel_open_direct_tcpip("127.0.0.1", 22, "127.0.0.1", 1)
        .await;
    assert!(direct.is_err());
    assert!(
        handle
            .channel_open_direct_streamlocal("/tmp/none")
            .await
            .is_err()
    );
    // The connection survived all of it.
    let channel = handle.channel_open_session().await.unwrap();
    channel.request_subsystem(true, "connect").await.unwrap();
    assert_eq!(site.endpoint.accept().await.unwrap().user.name, "ada");
}

#[tokio::test]
async fn the_seventeenth_channel_is_refused() {
    let site = site().await;
    let handle = plain_client(&site).await;
    let mut channels = Vec::new();
    for _ in 0..16 {
        channels.push(handle.channel_open_session().await.unwrap());
    }
    assert!(handle.channel_open_session().await.is_err());
}

#[tokio::test]
async fn w38_without_a_proof_for_this_connection_nobody_is_let_in_by_keyboard_interactive() {
    use russh::client::KeyboardInteractiveAuthResponse;

    let key = private_key(1);
    let site = site_with(quick(), Some(key.public_key().clone())).await;
    let config = Arc::new(russh::client::Config::default());
    let mut handle = russh::client::connect(config, site.endpoint.local_addr(), Anybody)
        .await
        .unwrap();
    // Signed by the right key for the right user, but for a connection whose binding is another.
    let stolen = [&[7; 32][..], b"ada"].concat();
    let stolen = key.sign("fdc1-login", HashAlg::Sha512, &stolen).unwrap();
    let stolen = stolen.to_pem(LineEnding::LF).unwrap();
    for words in [String::new(), "pam".to_owned(), stolen] {
        let answer = handle
            .authenticate_keyboard_interactive_start("ada", words)
            .await
            .unwrap();
        let KeyboardInteractiveAuthResponse::Failure {
            remaining_methods, ..
        } = answer
        else {
            panic!("{answer:?}");
        };
        assert!(!remaining_methods.contains(&MethodKind::KeyboardInteractive));
    }
    // The way that any client takes with a key.
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let answer = handle.authenticate_publickey("ada", key).await.unwrap();
    assert!(answer.success());
}

#[tokio::test]
async fn six_refused_logins_end_the_connection() {
    let site = site().await;
    let config = Arc::new(russh::client::Config::default());
    let mut handle = russh::client::connect(config, site.endpoint.local_addr(), Anybody)
        .await
        .unwrap();
    let mut refused = 0;
    while !handle.is_closed() && refused < 20 {
        match handle.authenticate_password("ada", "wrong").await {
            Ok(answer) if !answer.success() => refused += 1,
            _ => break,
        }
    }
    assert!((6..=7).contains(&refused), "{refused}");
}

#[tokio::test]
async fn w38_a_client_without_strict_key_exchange_is_refused() {
    let site = site().await;
    let mut preferred = russh::Preferred::DEFAULT;
    preferred.kex = vec![russh::kex::CURVE25519].into();
    let config = Arc::new(russh::client::Config {
        preferred,
        ..Default::default()
    });
    assert!(
        russh::client::connect(config, site.endpoint.local_addr(), Anybody)
            .await
            .is_err()
    );
}

#[test]
fn host_keys_are_made_once_and_kept_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("etc/host_key");
    let made = HostKey::load_or_create(&path).unwrap();
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        HostKey::load_or_create(&path).unwrap().fingerprint(),
        made.fingerprint()
    );
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(HostKey::load_or_create(&path).is_err());
}
