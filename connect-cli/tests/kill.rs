//! `kill -9` of either side at random moments: never a wrong byte under a final name.
//!
//! `KILLS` sets how many (12 unless said otherwise), `KILL_SEED` replays a seed, which is printed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use support::{Bed, PASSWORD};

const SMALL_FILES: usize = 300;

fn bench() -> Bed {
    let bed = Bed::new();
    fs::create_dir(bed.path("back")).unwrap();
    bed.add_user("kim", &[]);
    bed
}

fn client(bed: &Bed, upload: bool, server: SocketAddr) -> Child {
    let host = format!("kim@{server}:/");
    let words = if upload {
        ["upload".to_owned(), "tree".to_owned(), host]
    } else {
        [
            "download".to_owned(),
            format!("{host}tree"),
            "back".to_owned(),
        ]
    };
    bed.program(words)
        .args(["--quiet", "--accept-new-host-key"])
        .env("ASPERA_SCP_PASS", PASSWORD)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
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
    let bed = bench();
    make_tree(&bed.path("tree"), &mut random);
    let mut finished = 0;
    for round in 0..count {
        let upload = round % 4 < 2;
        if !upload && !bed.path("root/tree/large").exists() {
            // Something to download.
            let mut server = bed.serve();
            assert!(client(&bed, true, server.address).wait().unwrap().success());
            server.kill();
        }
        let mut server = bed.serve();
        let mut running = client(&bed, upload, server.address);
        std::thread::sleep(Duration::from_millis(random.u64(5..600)));
        let victim_is_client = round % 2 == 0;
        if victim_is_client {
            running.kill().unwrap();
        } else {
            server.kill();
            // The survivor would wait for its time-outs: it has seen what it will see.
            std::thread::sleep(Duration::from_millis(50));
            running.kill().unwrap();
        }
        finished += usize::from(running.wait().unwrap().success());
        server.kill();
        let (source, copy) = match upload {
            true => (bed.path("tree"), bed.path("root/tree")),
            false => (bed.path("tree"), bed.path("back/tree")),
        };
        check(&source, &copy);
        if random.u8(..) < 64 {
            fs::remove_dir_all(&copy).ok();
        }
    }
    println!("{finished} of {count} had finished before the kill");
    // A clean run afterwards completes everything.
    let server = bed.serve();
    for (upload, copy) in [(true, "root/tree"), (false, "back/tree")] {
        assert!(
            client(&bed, upload, server.address)
                .wait()
                .unwrap()
                .success()
        );
        assert_eq!(check(&bed.path("tree"), &bed.path(copy)), SMALL_FILES + 1);
    }
}
