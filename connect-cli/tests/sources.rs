//! Sources that are not what they were: special, unfinished, cut, growing or removed while they are sent.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use support::{PASSWORD, Run, Site, assert_nothing_final, names, wait_for};

fn events(run: &Run, name: &str) -> Vec<Value> {
    let events = run
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == name).collect()
}

/// What an upload of `src` at a rate that leaves time says when something happens to the sources in the middle.
fn disturbed(site: &Site, options: &[&str], disturb: impl FnOnce()) -> Run {
    let words = [
        "upload",
        "--json",
        "--retry",
        "0",
        "-l",
        "20m",
        "--accept-new-host-key",
    ];
    let words = [&words[..], options, &["src", "HOST:/"]].concat();
    let mut client = site.client("lea", PASSWORD, &words).spawn().unwrap();
    wait_for(&mut client, |event| {
        event["bytes_done"].as_u64() > Some(100_000)
    });
    disturb();
    Run::of(client)
}

fn make_sources(site: &Site) {
    fs::create_dir(site.path("src")).unwrap();
    site.bed.file("src/a-first", 3_000_000);
    site.bed.file("src/other", 200_000);
}

/// The first file fails with code 35 and has no final name; the other one arrives.
#[track_caller]
fn assert_first_changed(site: &Site, run: &Run) {
    assert_eq!(run.status, 3, "{}", run.out);
    let failed = events(run, "file_failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (failed[0]["path"].as_str(), failed[0]["code"].as_u64()),
        (Some("src/a-first"), Some(35))
    );
    assert!(!site.path("root/src/a-first").exists());
    assert_eq!(
        fs::read(site.path("root/src/other")).unwrap(),
        fs::read(site.path("src/other")).unwrap()
    );
}

#[test]
fn d7_f26_a_source_that_is_cut_while_it_is_sent_fails_alone() {
    for options in [&[][..], &["--sessions", "2", "--split-threshold", "1M"]] {
        let site = Site::new();
        make_sources(&site);
        let run = disturbed(&site, options, || {
            let file = File::options()
                .write(true)
                .open(site.path("src/a-first"))
                .unwrap();
            file.set_len(2_000_000).unwrap();
        });
        assert_first_changed(&site, &run);
    }
}

/// A file that grows is not sent in part, nor in a mixture: it fails, and the next run sends what it is then.
#[test]
fn d7_f27_a_source_that_grows_while_it_is_sent_fails_alone_and_follows_later() {
    let site = Site::new();
    make_sources(&site);
    let run = disturbed(&site, &[], || {
        let mut file = File::options()
            .append(true)
            .open(site.path("src/a-first"))
            .unwrap();
        file.write_all(b"more").unwrap();
    });
    assert_first_changed(&site, &run);
    site.lea(&["upload", "src", "HOST:/"]).assert_success();
    let content = fs::read(site.path("src/a-first")).unwrap();
    assert_eq!(content.len(), 3_000_004);
    assert!(fs::read(site.path("root/src/a-first")).unwrap() == content);
}

#[test]
fn d7_f27_a_source_that_is_overwritten_while_it_is_sent_fails_alone() {
    let site = Site::new();
    make_sources(&site);
    let run = disturbed(&site, &[], || {
        let file = File::options()
            .write(true)
            .open(site.path("src/a-first"))
            .unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"other", 1_000_000).unwrap();
    });
    assert_first_changed(&site, &run);
}

/// A new file under the old name is no part of the transfer: what was begun is finished from the open descriptor.
#[test]
fn f27_a_source_that_is_replaced_while_it_is_sent_arrives_as_it_was() {
    let site = Site::new();
    make_sources(&site);
    let content = fs::read(site.path("src/a-first")).unwrap();
    let run = disturbed(&site, &[], || {
        fs::write(site.path("new"), "new").unwrap();
        fs::rename(site.path("new"), site.path("src/a-first")).unwrap();
    });
    if run.status == 0 {
        assert!(fs::read(site.path("root/src/a-first")).unwrap() == content);
    } else {
        assert_first_changed(&site, &run);
    }
}

#[test]
fn f28_a_source_that_is_removed_after_it_was_listed_fails_alone() {
    let site = Site::new();
    make_sources(&site);
    site.bed.file("src/later", 2_000_000);
    let run = disturbed(&site, &[], || {
        fs::remove_file(site.path("src/later")).unwrap();
    });
    assert_eq!(run.status, 3, "{}", run.out);
    let failed = events(&run, "file_failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (failed[0]["path"].as_str(), failed[0]["code"].as_u64()),
        (Some("src/later"), Some(4))
    );
    assert_eq!(events(&run, "done")[0]["files_done"], 2);
    assert!(!site.path("root/src/later").exists());
}

fn pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
}

#[test]
fn f30_special_files_fail_alone_or_are_left_out_as_asked() {
    let site = Site::new();
    for (base, target) in [("src", "HOST:/"), ("root/down", "")] {
        fs::create_dir(site.path(base)).unwrap();
        fs::write(site.path(base).join("file"), "content").unwrap();
        pipe(&site.path(base).join("pipe"));
        let _socket = UnixListener::bind(site.path(base).join("socket")).unwrap();
        let words = match target {
            "" => vec!["download", "--json", "-d", "HOST:down", "back"],
            target => vec!["upload", "--json", base, target],
        };
        let run = site.lea(&words);
        assert_eq!(run.status, 3, "{}", run.out);
        let codes: Vec<_> = events(&run, "file_failed")
            .iter()
            .map(|e| e["code"].as_u64())
            .collect();
        assert_eq!(codes, [Some(21), Some(21)], "{base}");
        let run = site.lea(&[&words[..], &["--skip-special-files"]].concat());
        run.assert_success();
        let told: Vec<_> = events(&run, "notice")
            .iter()
            .map(|e| e["message"].to_string())
            .collect();
        assert!(
            told.iter()
                .any(|t| t.contains("pipe was left out: it is a named pipe")),
            "{told:?}"
        );
        assert!(
            told.iter()
                .any(|t| t.contains("socket was left out: it is a socket")),
            "{told:?}"
        );
    }
    // What is left out is not missing.
    fs::write(site.path("root/src/pipe"), "a file here").unwrap();
    fs::write(site.path("root/src/gone"), "").unwrap();
    let run = site.lea(&[
        "upload",
        "--skip-special-files",
        "--delete-before-transfer",
        "src",
        "HOST:/",
    ]);
    run.assert_success();
    assert_eq!(names(&site.path("root/src")), ["file", "pipe"]);
}

#[test]
fn the_suffix_of_unfinished_files_is_the_one_that_was_asked_for() {
    let site = Site::new();
    fs::create_dir(site.path("src")).unwrap();
    for name in ["a", "b.part", "c.partial"] {
        fs::write(site.path("src").join(name), "content").unwrap();
    }
    let run = site.lea(&[
        "upload",
        "--json",
        "--partial-file-suffix",
        ".part",
        "src",
        "HOST:/",
    ]);
    // The server has the usual suffix, and does not make a file of somebody's that ends so.
    assert_eq!(run.status, 3, "{}", run.out);
    assert_eq!(names(&site.path("root/src")), ["a"]);
    let told = &events(&run, "notice")[0]["message"];
    assert_eq!(told, "src/b.part was left out: it is a partial file");
    // On the side that receives, it is what a file ends with until it is complete.
    site.bed.file("root/big", 5_000_000);
    let words = [
        "download",
        "--json",
        "--partial-file-suffix=.part",
        "-l",
        "20m",
        "--accept-new-host-key",
    ];
    let words = [&words[..], &["HOST:big", "home"]].concat();
    let mut client = site.client("lea", PASSWORD, &words).spawn().unwrap();
    wait_for(&mut client, |event| {
        event["bytes_done"].as_u64() > Some(100_000)
    });
    client.kill().unwrap();
    client.wait().unwrap();
    let left = names(&site.path("home"));
    assert!(left.iter().any(|name| name == "big.part"), "{left:?}");
    assert!(
        !left.iter().any(|name| name.ends_with(".partial")),
        "{left:?}"
    );
    let words = [
        "download",
        "--partial-file-suffix",
        ".part",
        "HOST:big",
        "home",
    ];
    site.lea(&words).assert_success();
    assert!(!site.path("home/big.part").exists() && site.path("home/big").exists());
    for bad in ["a/b", ".aspera-ckpt"] {
        site.lea(&["download", "--partial-file-suffix", bad, "HOST:big", "new"])
            .assert_usage();
    }
    assert_nothing_final(&site.path("new"));
}

#[test]
fn p12_archives_arrive_as_files() {
    let site = Site::new();
    fs::create_dir(site.path("src")).unwrap();
    // The smallest of each kind: an empty zip file, an empty tar file, and one of gzip.
    let archives: [(&str, Vec<u8>); 3] = [
        ("a.zip", [&b"PK\x05\x06"[..], &[0; 18]].concat()),
        ("b.tar", vec![0; 1024]),
        (
            "c.tar.gz",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0".to_vec(),
        ),
    ];
    for (name, content) in &archives {
        fs::write(site.path("src").join(name), content).unwrap();
    }
    site.lea(&["upload", "src", "HOST:/"]).assert_success();
    site.lea(&["download", "-d", "HOST:src", "back"])
        .assert_success();
    for directory in ["root/src", "back/src"] {
        assert_eq!(
            names(&site.path(directory)),
            archives.each_ref().map(|(name, _)| *name)
        );
        for (name, content) in &archives {
            assert_eq!(fs::read(site.path(directory).join(name)).unwrap(), *content);
        }
    }
}

/// Who has the old file open keeps it as it was, to its end.
#[test]
fn f25_a_target_that_somebody_has_open_is_replaced_as_a_whole() {
    use std::io::Read as _;

    let site = Site::new();
    let old = site.bed.file("root/f", 300_000);
    let mut reader = File::open(site.path("root/f")).unwrap();
    let mut begun = vec![0; 1000];
    reader.read_exact(&mut begun).unwrap();
    let new = site.bed.file("f", 200_001);
    site.lea(&["upload", "--overwrite", "always", "f", "HOST:/"])
        .assert_success();
    assert!(fs::read(site.path("root/f")).unwrap() == new);
    reader.read_to_end(&mut begun).unwrap();
    assert!(begun == old);
}

/// Around what fits into a datagram, a page, a small file, and a block of everything.
#[test]
fn f32_files_of_odd_sizes_arrive() {
    let site = Site::new();
    fs::create_dir(site.path("src")).unwrap();
    let edges = [1, 1158, 1430, 8192, 65_536, 131_072, 262_144, 1 << 20];
    let sizes = edges
        .into_iter()
        .flat_map(|size| [size - 1, size, size + 1]);
    for size in sizes {
        site.bed.file(&format!("src/{size}"), size);
    }
    // More holes than bytes.
    let sparse = File::create(site.path("src/sparse")).unwrap();
    sparse.set_len(100 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"here", 77_777_777).unwrap();
    for options in [
        &["--sessions", "1"][..],
        &["--sessions", "3", "--split-threshold", "200000"],
    ] {
        let up = [
            &["upload", "--overwrite", "always", "src", "HOST:/"],
            options,
        ]
        .concat();
        site.lea(&up).assert_success();
        let down = [
            &[
                "download",
                "--overwrite",
                "always",
                "-d",
                "HOST:src",
                "back",
            ],
            options,
        ]
        .concat();
        site.lea(&down).assert_success();
        for name in names(&site.path("src")) {
            let is_same = fs::read(site.path("back/src").join(&name)).unwrap()
                == fs::read(site.path("src").join(&name)).unwrap();
            assert!(is_same, "{name}");
        }
    }
}
