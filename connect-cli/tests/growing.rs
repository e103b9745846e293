//! Files that are sent while they are being written (`file:///PATH?grow=SECONDS`).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::FileExt as _,
    path::Path,
    process::Child,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use support::{PASSWORD, Run, Site, content, names, terminate, wait_for};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn source(path: &Path, rest: &str) -> String {
    format!("file://{}?grow={rest}", path.display())
}

fn start(site: &Site, words: &[&str]) -> Child {
    let words = [
        &[
            "upload",
            "--json",
            "-l",
            "1g",
            "--retry",
            "0",
            "--accept-new-host-key",
        ],
        words,
    ]
    .concat();
    site.client("lea", PASSWORD, &words).spawn().unwrap()
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

/// Waits until the server has so many bytes of a file that has no final name yet.
fn wait_for_partial(site: &Site, name: &str, size: u64) {
    let begun = Instant::now();
    let partial = site.path("root").join(format!("{name}.partial"));
    while fs::metadata(&partial).map_or(0, |found| found.len()) < size {
        assert!(begun.elapsed() < PATIENCE, "{name} has not {size} bytes");
        assert!(!site.path("root").join(name).exists());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn events(run: &Run, name: &str) -> Vec<Value> {
    let events = run
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == name).collect()
}

/// The file failed with code 35 and left nothing, and the other one arrived.
#[track_caller]
fn assert_changed(site: &Site, run: &Run) {
    assert_eq!(run.status, 3, "{}", run.out);
    let failed = events(run, "file_failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (failed[0]["path"].as_str(), failed[0]["code"].as_u64()),
        (Some("grows"), Some(35))
    );
    assert_eq!(names(&site.path("root")), ["other"]);
}

#[test]
fn what_is_there_of_a_growing_file_is_sent_before_the_rest_is_written() {
    let site = Site::new();
    let whole = content(5_000_000);
    let [first, second] = ["first", "second"].map(|name| site.path(name));
    fs::write(&first, &whole[..100_000]).unwrap();
    fs::write(&second, "").unwrap();
    fs::create_dir(site.path("tree")).unwrap();
    let ordinary = site.bed.file("tree/ordinary", 300_000);
    let sources = [
        source(&first, "3&wait_start=null_read"),
        source(&second, "3&wait_start=null_read"),
    ];
    let client = start(
        &site,
        &[
            "--checksum",
            "md5",
            &sources[0],
            "tree",
            &sources[1],
            "HOST:",
        ],
    );
    // The last byte is kept back until it is clear that it is the last one.
    wait_for_partial(&site, "first", 99_999);
    let begun = Instant::now();
    while !site.path("root/tree/ordinary").exists() {
        assert!(
            begun.elapsed() < PATIENCE,
            "an ordinary file waits for others"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    for end in [100_100, 2_000_000, 5_000_000] {
        let length = fs::metadata(&first).unwrap().len() as usize;
        append(&first, &whole[length..end]);
        append(&second, b"a line\n");
        wait_for_partial(&site, "first", end as u64 - 1);
    }
    wait_for_partial(&site, "second", 20);
    let run = Run::of(client);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    for path in ["first", "second", "tree/ordinary"] {
        let [here, there] = [site.path(path), site.path("root").join(path)];
        assert!(
            fs::read(&there).unwrap() == fs::read(&here).unwrap(),
            "{path}"
        );
        let modified = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        assert_eq!(modified(&there), modified(&here), "{path}");
    }
    assert!(fs::read(&first).unwrap() == whole);
    let mut done: Vec<_> = events(&run, "file_done")
        .iter()
        .map(|event| {
            assert!(event["checksum"].is_string(), "{event}");
            (event["path"].to_string(), event["size"].as_u64().unwrap())
        })
        .collect();
    done.sort();
    let expected = [
        ("\"first\"", 5_000_000),
        ("\"second\"", 21),
        ("\"tree/ordinary\"", ordinary.len() as u64),
    ];
    assert_eq!(done, expected.map(|(path, size)| (path.to_owned(), size)));
    let last = events(&run, "done");
    assert_eq!(last[0]["bytes"], 5_000_021 + 300_000, "{last:?}");
}

#[test]
fn a_signal_ends_a_transfer_that_waits_for_a_growing_file() {
    let site = Site::new();
    site.bed.file("grows", 200_000);
    let mut client = start(&site, &[&source(&site.path("grows"), "100"), "HOST:"]);
    wait_for(&mut client, |event| {
        event["bytes_done"].as_u64() >= Some(199_999)
    });
    wait_for_partial(&site, "grows", 199_999);
    let begun = Instant::now();
    terminate(&client);
    let run = Run::of(client);
    assert!(begun.elapsed() < Duration::from_secs(5));
    run.assert_refused(130, 28);
    while !names(&site.path("root")).is_empty() {
        assert!(
            begun.elapsed() < PATIENCE,
            "{:?}",
            names(&site.path("root"))
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Something that happens to a file.
type Change<'a> = &'a dyn Fn(&Path) -> std::io::Result<()>;

#[test]
fn a_growing_file_that_is_not_what_it_was_fails_alone() {
    let shorten = |path: &Path| File::options().write(true).open(path).unwrap().set_len(9);
    let replace = |path: &Path| {
        fs::write(path.with_extension("new"), content(300_000))?;
        fs::rename(path.with_extension("new"), path)
    };
    let remove = |path: &Path| fs::remove_file(path);
    // As long as before and with later times: only reading it again tells.
    let write_over = |path: &Path| {
        let file = File::options().write(true).open(path)?;
        file.write_all_at(b"other", 1000)
    };
    let changes: [Change<'_>; 4] = [&shorten, &replace, &remove, &write_over];
    for change in changes {
        let site = Site::new();
        site.bed.file("grows", 200_000);
        site.bed.file("other", 10);
        let grows = site.path("grows");
        let client = start(
            &site,
            &["other", &source(&grows, "3&wait_start=null_read"), "HOST:"],
        );
        wait_for_partial(&site, "grows", 199_999);
        change(&grows).unwrap();
        assert_changed(&site, &Run::of(client));
    }
}

#[test]
fn a_growing_file_that_has_stopped_growing_is_sent_as_any_other() {
    let site = Site::new();
    let grows = site.path("grows");
    for (content, rest) in [("", "1"), ("x", "1&wait_start=null_read"), ("xyz", "0")] {
        fs::write(&grows, content).unwrap();
        site.lea(&[
            "upload",
            "--overwrite",
            "always",
            &source(&grows, rest),
            "HOST:",
        ])
        .assert_success();
        assert_eq!(
            fs::read_to_string(site.path("root/grows")).unwrap(),
            content
        );
    }
    let run = site.lea(&["upload", "--json", &source(&grows, "0"), "HOST:"]);
    run.assert_success();
    assert_eq!(events(&run, "file_skipped").len(), 1, "{}", run.out);
    // Under another name, and gone from here afterwards.
    let words = ["--remove-after-transfer", &source(&grows, "1"), "HOST:new"];
    site.lea(&[&["upload"][..], &words].concat())
        .assert_success();
    assert_eq!(fs::read_to_string(site.path("root/new")).unwrap(), "xyz");
    assert!(!grows.exists());
}

#[test]
fn only_whoever_sets_its_time_back_says_that_a_growing_file_is_complete() {
    let site = Site::new();
    let path = site.path("grows");
    let whole = site.bed.file("grows", 100_000);
    let client = start(&site, &[&source(&path, "100&confirm_stop=true"), "HOST:"]);
    wait_for_partial(&site, "grows", 99_999);
    let ago = SystemTime::now() - Duration::from_secs(1000);
    let file = File::options().append(true).open(&path).unwrap();
    file.set_modified(ago).unwrap();
    let run = Run::of(client);
    assert_eq!(run.status, 0, "{}{}", run.out, run.err);
    assert!(fs::read(site.path("root/grows")).unwrap() == whole);
    let modified = fs::metadata(site.path("root/grows")).unwrap().modified();
    assert_eq!(modified.unwrap(), ago);
}

#[test]
fn growing_files_that_are_not_there_or_not_named_right_are_refused() {
    let site = Site::new();
    let none = source(&site.path("none"), "1");
    assert_eq!(site.lea(&["upload", &none, "HOST:/"]).status, 1);
    site.lea(&["upload", "file:///x?grow=1&unknown=1", "HOST:/"])
        .assert_usage();
}

#[test]
fn a_growing_file_that_is_protected_waits_until_it_is_complete() {
    let site = Site::new();
    let grows = site.path("grows");
    fs::write(&grows, "first").unwrap();
    let words = ["upload", "--accept-new-host-key", "--protect"];
    let source = source(&grows, "1");
    let words = [&words[..], &[&source, "HOST:"]].concat();
    let mut client = site.client("lea", PASSWORD, &words);
    let child = client.env("ASPERA_SCP_FILEPASS", "a passphrase").spawn();
    append(&grows, b" and second");
    Run::of(child.unwrap()).assert_success();
    let mut decrypt = site
        .bed
        .program(["crypt", "decrypt", "root/grows.aspera-env"]);
    decrypt.env("ASPERA_SCP_FILEPASS", "a passphrase");
    Run::of(decrypt.spawn().unwrap()).assert_success();
    let opened = fs::read_to_string(site.path("root/grows")).unwrap();
    assert_eq!(opened, "first and second");
}
