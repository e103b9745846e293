//! Whole transfers by real processes over loopback, and what people read when one cannot be.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_connect-cli");

/// A server process with two accounts, and a home directory for clients.
struct Bed {
    temp: TempDir,
    server: Child,
    port: u16,
}

struct Run {
    status: i32,
    out: String,
    err: String,
}

impl Bed {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        for name in ["root", "home"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        let state = temp.path().join("state");
        for (name, right) in [("lea", None), ("reader", Some("--read-only"))] {
            let mut adding = Command::new(PROGRAM)
                .args([
                    "server",
                    "user",
                    "add",
                    name,
                    "--password-stdin",
                    "--docroot",
                ])
                .arg(temp.path().join("root"))
                .arg("--state")
                .arg(&state)
                .args(right)
                .stdin(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            adding.stdin.take().unwrap().write_all(b"secret\n").unwrap();
            assert!(adding.wait().unwrap().success());
        }
        let mut server = Command::new(PROGRAM)
            .args([
                "server",
                "start",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--state",
            ])
            .arg(&state)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let listening: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = listening["address"].as_str().unwrap();
        let port = address.rsplit(':').next().unwrap().parse().unwrap();
        Self { temp, server, port }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Runs a client; `HOST` in the words stands for the server.
    fn run(&self, user: &str, password: &str, words: &[&str]) -> Run {
        let host = format!("{user}@127.0.0.1:{}", self.port);
        let words = words.iter().map(|word| word.replace("HOST", &host));
        let output = Command::new(PROGRAM)
            .args(words)
            .current_dir(self.temp.path())
            .env("HOME", self.path("home"))
            .env("ASPERA_SCP_PASS", password)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Run {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a client of the account that may do everything, which trusts the server.
    fn lea(&self, words: &[&str]) -> Run {
        self.run(
            "lea",
            "secret",
            &[words, &["--accept-new-host-key"]].concat(),
        )
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // It may have ended, which the test has noticed then.
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

/// One sentence with the code, and a hint.
fn assert_refused(run: &Run, status: i32, code: u8) {
    assert_eq!(run.status, status, "{}", run.err);
    let errors = run.err.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{}", run.err);
    assert!(
        run.err.contains(&format!("(FASP code {code})")),
        "{}",
        run.err
    );
    assert!(run.err.contains("\nhint: "), "{}", run.err);
}

#[test]
fn a_tree_comes_back_as_it_was_sent() {
    let bed = Bed::new();
    let source = bed.path("src");
    fs::create_dir_all(source.join("empty")).unwrap();
    let names = [
        "two words",
        "größe",
        "new\nline",
        "-dash",
        "back\\slash",
        "big",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let content: Vec<u8> = (0..number * 90_000).map(|i| ((i * i) >> 7) as u8).collect();
        fs::write(source.join(name), content).unwrap();
    }
    symlink("big", source.join("link")).unwrap();
    let sent = bed.lea(&["upload", "--symbolic-links", "copy", "src", "HOST:/"]);
    assert_eq!(sent.status, 0, "{}", sent.err);
    assert!(sent.out.starts_with("Completed: "), "{}", sent.out);
    let back = bed.lea(&["download", "--symbolic-links", "copy", "HOST:src", "back"]);
    assert_eq!(back.status, 0, "{}", back.err);
    for name in names {
        let is_same =
            fs::read(source.join(name)).unwrap() == fs::read(bed.path("back").join(name)).unwrap();
        assert!(is_same, "{name:?}");
    }
    assert!(bed.path("back/empty").is_dir());
    assert_eq!(
        fs::read_link(bed.path("back/link")).unwrap(),
        PathBuf::from("big")
    );
    let listed = bed.lea(&["ls", "HOST:src"]);
    assert!(listed.out.contains("empty/\n") && listed.out.contains("new\\u{a}line\n"));
    let again = bed.lea(&[
        "upload",
        "--json",
        "--symbolic-links",
        "copy",
        "src",
        "HOST:/",
    ]);
    assert!(again.out.contains("\"files_done\":0"), "{}", again.out);
}

#[test]
fn who_cannot_log_in_learns_nothing_about_accounts() {
    let bed = Bed::new();
    fs::write(bed.path("f"), b"x").unwrap();
    let words = ["upload", "--accept-new-host-key", "f", "HOST:"];
    let wrong = bed.run("lea", "wrong", &words);
    assert_refused(&wrong, 4, 19);
    let unknown = bed.run("nobody", "wrong", &words);
    assert_eq!(wrong.err.replace("lea", "nobody"), unknown.err);
}

#[test]
fn what_is_not_granted_is_refused_with_a_reason() {
    let bed = Bed::new();
    fs::write(bed.path("f"), b"x").unwrap();
    assert_refused(&bed.run("lea", "secret", &["upload", "f", "HOST:"]), 4, 51);
    assert_refused(&bed.lea(&["upload", "f", "HOST:../f"]), 1, 41);
    assert_refused(&bed.lea(&["upload", "gone", "HOST:"]), 1, 4);
    assert_refused(&bed.lea(&["download", "HOST:gone", "."]), 1, 4);
    assert_refused(
        &bed.run("reader", "secret", &["upload", "f", "HOST:"]),
        4,
        37,
    );
    assert_eq!(fs::read_dir(bed.path("root")).unwrap().count(), 0);
}

#[test]
fn h5_a_changed_host_key_ends_the_connection() {
    let bed = Bed::new();
    let other = Bed::new();
    assert_eq!(bed.lea(&["ls", "HOST:"]).status, 0);
    let known = fs::read_to_string(bed.path("home/.config/connect/known_hosts")).unwrap();
    assert_eq!(other.lea(&["ls", "HOST:"]).status, 0);
    let own = other.path("home/.config/connect/known_hosts");
    let foreign_key = known.split_whitespace().last().unwrap();
    let text = fs::read_to_string(&own).unwrap();
    let own_key = text.split_whitespace().last().unwrap();
    fs::write(&own, text.replace(own_key, foreign_key)).unwrap();
    assert_refused(&other.lea(&["ls", "HOST:"]), 4, 51);
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let bed = Bed::new();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let location = format!("lea@{closed}:");
    assert_refused(&bed.lea(&["ls", &location]), 5, 12);
    assert_refused(&bed.lea(&["ls", "lea@host.invalid:"]), 5, 12);
}

#[test]
fn garbage_on_either_port_disturbs_nobody() {
    let bed = Bed::new();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut tcp = TcpStream::connect(("127.0.0.1", bed.port)).unwrap();
    tcp.write_all(&[0xa5; 4000]).unwrap();
    for length in 0..1500 {
        udp.send_to(&vec![length as u8; length], ("127.0.0.1", bed.port))
            .unwrap();
    }
    // Whatever it answers, it ends the connection.
    drop(tcp.read_to_end(&mut Vec::new()));
    fs::write(bed.path("f"), b"x").unwrap();
    assert_eq!(bed.lea(&["upload", "f", "HOST:"]).status, 0);
}
