//! `kill -9` of either side at random moments: never a wrong byte under a final name.
//!
//! `KILLS` sets how many (12 unless said otherwise), `KILL_SEED` replays a seed, which is printed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_connect-cli");
const SMALL_FILES: usize = 300;

/// One server directory, and what it takes to run either side on it.
struct Bench {
    temp: TempDir,
}

impl Bench {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        for name in ["root", "home", "back"] {
            fs::create_dir(temp.path().join(name)).unwrap();
        }
        let bench = Self { temp };
        let mut adding = Command::new(PROGRAM)
            .args([
                "server",
                "user",
                "add",
                "kim",
                "--password-stdin",
                "--docroot",
            ])
            .arg(bench.path("root"))
            .arg("--state")
            .arg(bench.path("state"))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        adding.stdin.take().unwrap().write_all(b"secret\n").unwrap();
        assert!(adding.wait().unwrap().success());
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn server(&self) -> (Child, u16) {
        let mut server = Command::new(PROGRAM)
            .args([
                "server",
                "start",
                "--json",
                "--listen",
                "127.0.0.1:0",
                "--state",
            ])
            .arg(self.path("state"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let listening: serde_json::Value = serde_json::from_str(&line).unwrap();
        let port = listening["address"]
            .as_str()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        (server, port)
    }

    fn client(&self, upload: bool, port: u16) -> Child {
        let host = format!("kim@127.0.0.1:{port}:");
        let mut client = Command::new(PROGRAM);
        if upload {
            client
                .arg("upload")
                .arg(self.path("tree"))
                .arg(format!("{host}/"));
        } else {
            client
                .arg("download")
                .arg(format!("{host}/tree"))
                .arg(self.path("back"));
        }
        client
            .args(["--quiet", "--accept-new-host-key"])
            .env("HOME", self.path("home"))
            .env("ASPERA_SCP_PASS", "secret")
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

fn make_tree(tree: &Path, random: &mut fastrand::Rng) {
    fs::create_dir_all(tree.join("many")).unwrap();
    let mut content = vec![0; 60_000_000];
    random.fill(&mut content);
    fs::write(tree.join("large"), &content).unwrap();
    for i in 0..SMALL_FILES {
        let size = random.usize(0..100_000);
        fs::write(tree.join(format!("many/{i}")), &content[i..i + size]).unwrap();
    }
}

/// Every file under a final name is the source's, byte by byte; returns how many there are.
fn check(source: &Path, copy: &Path) -> usize {
    let Ok(entries) = fs::read_dir(copy) else {
        return 0;
    };
    let mut found = 0;
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() {
            found += check(&source.join(name), &path);
        } else if !name.to_string_lossy().ends_with(".partial") {
            assert!(
                fs::read(&path).unwrap() == fs::read(source.join(name)).unwrap(),
                "{} is wrong",
                path.display()
            );
            found += 1;
        }
    }
    found
}

#[test]
fn f1_f2_kill_9_of_either_side_leaves_no_wrong_byte_under_a_final_name() {
    let count = std::env::var("KILLS").map_or(12, |n| n.parse().unwrap());
    let seed =
        std::env::var("KILL_SEED").map_or_else(|_| fastrand::u64(..), |n| n.parse().unwrap());
    println!("KILL_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let bench = Bench::new();
    make_tree(&bench.path("tree"), &mut random);
    let mut finished = 0;
    for round in 0..count {
        let upload = round % 4 < 2;
        if !upload && !bench.path("root/tree/large").exists() {
            // Something to download.
            let (mut server, port) = bench.server();
            assert!(bench.client(true, port).wait().unwrap().success());
            server.kill().unwrap();
            server.wait().unwrap();
        }
        let (mut server, port) = bench.server();
        let mut client = bench.client(upload, port);
        std::thread::sleep(Duration::from_millis(random.u64(5..600)));
        let victim_is_client = round % 2 == 0;
        if victim_is_client {
            client.kill()
        } else {
            server.kill()
        }
        .unwrap();
        if !victim_is_client {
            // The survivor would wait for its time-outs: it has seen what it will see.
            std::thread::sleep(Duration::from_millis(50));
            client.kill().unwrap();
        }
        finished += usize::from(client.wait().unwrap().success());
        server.kill().unwrap();
        server.wait().unwrap();
        let (source, copy) = match upload {
            true => (bench.path("tree"), bench.path("root/tree")),
            false => (bench.path("tree"), bench.path("back/tree")),
        };
        check(&source, &copy);
        if random.u8(..) < 64 {
            fs::remove_dir_all(&copy).ok();
        }
    }
    println!("{finished} of {count} had finished before the kill");
    // A clean run afterwards completes everything.
    let (mut server, port) = bench.server();
    for (upload, copy) in [(true, "root/tree"), (false, "back/tree")] {
        assert!(bench.client(upload, port).wait().unwrap().success());
        assert_eq!(
            check(&bench.path("tree"), &bench.path(copy)),
            SMALL_FILES + 1
        );
    }
    server.kill().unwrap();
    server.wait().unwrap();
}
