//! What is kept of files besides names and contents: access times, owners, groups, extended attributes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::fs::{self, FileTimes, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::Value;
use support::{Bed, Run, Site, namespace::is_root, skipped};

const ALL: &[&str] = &[
    "-p",
    "--preserve-file-owner-uid",
    "--preserve-file-owner-gid",
    "--preserve-xattrs",
];
const LONG_AGO: Duration = Duration::from_secs(1_000_000_000);

/// Whether there are extended attributes where the tests have their files.
fn has_xattrs(bed: &Bed) -> bool {
    let has = setxattr(bed.path("home"), "user.probe", b"", XattrFlags::empty()).is_ok();
    if !has {
        skipped("the file system has no extended attributes");
    }
    has
}

fn xattr(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 70_000];
    let length = getxattr(path, name, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

/// Gives something everything that can be kept, and times that nothing has by itself.
fn adorn(path: &Path) {
    setxattr(path, "user.colour", b"blue\0green", XattrFlags::empty()).unwrap();
    setxattr(path, "user.empty", b"", XattrFlags::empty()).unwrap();
    // Not for others to give.
    if is_root() {
        setxattr(path, "trusted.connect", b"x", XattrFlags::empty()).unwrap();
        chown(path, Some(12_345), Some(23_456)).unwrap();
    }
    let is_directory = path.is_dir();
    let mode = if is_directory { 0o751 } else { 0o6640 };
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let time = SystemTime::UNIX_EPOCH + LONG_AGO;
    let times = FileTimes::new()
        .set_accessed(time + Duration::from_nanos(123_456_789))
        .set_modified(time + Duration::from_secs(1));
    fs::File::open(path).unwrap().set_times(times).unwrap();
}

#[track_caller]
fn assert_kept(path: &Path) {
    // Before anything looks into it.
    let found = fs::metadata(path).unwrap();
    assert_eq!(
        (found.atime(), found.atime_nsec()),
        (1_000_000_000, 123_456_789),
        "{path:?}"
    );
    assert_eq!(found.mtime(), 1_000_000_001, "{path:?}");
    let mode = if found.is_dir() { 0o751 } else { 0o640 };
    assert_eq!(
        found.mode() & 0o7777,
        mode,
        "P-7: no bits that lend rights: {path:?}"
    );
    if is_root() {
        assert_eq!((found.uid(), found.gid()), (12_345, 23_456), "{path:?}");
    }
    assert_eq!(
        xattr(path, "user.colour").unwrap(),
        b"blue\0green",
        "{path:?}"
    );
    assert_eq!(xattr(path, "user.empty").unwrap(), b"", "{path:?}");
    assert_eq!(xattr(path, "trusted.connect"), None, "P-7: {path:?}");
}

const TREE: [&str; 5] = ["src/small", "src/empty", "src/big", "src/d/inner", "src/d"];

fn make_tree(bed: &Bed) {
    fs::create_dir_all(bed.path("src/d")).unwrap();
    for (name, size) in TREE[..4].iter().zip([100, 0, 3_000_000, 70_000]) {
        bed.file(name, size);
    }
    TREE.iter().for_each(|name| adorn(&bed.path(name)));
}

fn site() -> Site {
    let bed = Bed::new();
    bed.add_user("lea", &[]);
    let server = bed.serve_with(&[], &["--keep-owners"]);
    Site { bed, server }
}

fn with<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let (command, rest) = words.split_first().unwrap();
    [&[*command], ALL, rest].concat()
}

fn events(run: &Run, name: &str) -> Vec<Value> {
    let events = run
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == name).collect()
}

#[test]
fn p7_what_is_asked_for_is_kept_in_both_directions_and_nothing_else() {
    let site = site();
    if !has_xattrs(&site.bed) {
        return;
    }
    make_tree(&site.bed);
    for (round, sessions) in ["1", "3"].into_iter().enumerate() {
        let several = ["--sessions", sessions, "--split-threshold", "500K"];
        let (there, back) = (format!("HOST:/{round}"), format!("back{round}"));
        // Reading the sources was the last use of them.
        TREE.iter().for_each(|name| adorn(&site.path(name)));
        // Into directories that are new and, the second time, some that are not.
        let up = [&with(&["upload", "--json", "src", &there])[..], &several].concat();
        fs::create_dir(site.path(&format!("root/{round}"))).unwrap();
        let run = site.lea(&up);
        run.assert_success();
        assert!(events(&run, "not_kept").is_empty(), "{}", run.out);
        for name in TREE {
            assert_kept(&site.path(&format!("root/{round}")).join(name));
        }
        let from = format!("HOST:{round}/src");
        let down = [&with(&["download", "-d", &from, &back])[..], &several].concat();
        site.lea(&down).assert_success();
        for name in TREE {
            assert_kept(&site.path(&back).join(name));
            let is_same = site.path(name).is_dir()
                || fs::read(site.path(&back).join(name)).unwrap()
                    == fs::read(site.path(name)).unwrap();
            assert!(is_same, "{name}");
        }
    }
    // Nobody asked.
    site.lea(&["download", "-d", "HOST:0/src/small", "plain"])
        .assert_success();
    let plain = site.path("plain/small");
    assert_eq!(xattr(&plain, "user.colour"), None);
    let found = fs::metadata(&plain).unwrap();
    assert!(found.uid() != 12_345 && found.atime() != 1_000_000_000);
    assert_eq!(found.mtime(), 1_000_000_001);
}

#[test]
fn p7_a_server_gives_no_files_away_unless_its_owner_says_so() {
    let site = Site::new();
    if !is_root() {
        return skipped("only root can give files away");
    }
    let content = site.bed.file("f", 10);
    chown(site.path("f"), Some(12_345), Some(23_456)).unwrap();
    let run = site.lea(&with(&["upload", "--json", "f", "HOST:/"]));
    run.assert_success();
    let found = fs::metadata(site.path("root/f")).unwrap();
    assert_eq!((found.uid(), found.gid()), (0, 0));
    assert_eq!(fs::read(site.path("root/f")).unwrap(), content);
    let told: Vec<_> = events(&run, "notice")
        .iter()
        .map(|e| e["message"].to_string())
        .collect();
    assert!(
        told.iter()
            .any(|text| text.contains("to whom files belong")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|text| text.contains("the group of files")),
        "{told:?}"
    );
}

#[test]
fn what_cannot_be_kept_is_told_and_fails_nothing() {
    if !is_root() {
        return skipped("only root can make files of others, and lay its rights down");
    }
    let bed = Bed::new();
    bed.add_user("lea", &[]);
    make_tree(&bed);
    let wrapper = ["setpriv", "--bounding-set=-chown", "--inh-caps=-chown"];
    let Ok(status) = std::process::Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg("true")
        .status()
    else {
        return skipped("there is no setpriv");
    };
    assert!(status.success());
    let server = bed.serve_with(&wrapper, &["--keep-owners"]);
    let site = Site { bed, server };
    let run = site.lea(&with(&["upload", "--json", "src", "HOST:/"]));
    run.assert_success();
    let lacking = events(&run, "not_kept");
    let mut paths: Vec<_> = lacking
        .iter()
        .map(|e| e["path"].as_str().unwrap())
        .collect();
    paths.sort_unstable();
    let mut all = [&TREE[..], &["src"]].concat();
    // The directory above belongs to whom it should.
    all.retain(|name| *name != "src");
    all.sort_unstable();
    assert_eq!(paths, all);
    assert!(
        lacking
            .iter()
            .all(|e| e["what"] == serde_json::json!(["owner", "group"])),
        "{lacking:?}"
    );
    let done = &events(&run, "done")[0];
    assert_eq!(done["not_kept"]["count"], 5);
    assert_eq!(done["files_failed"], 0);
    assert_eq!(fs::metadata(site.path("root/src/big")).unwrap().uid(), 0);
    // The same in words, once, and on the way back.
    let words = with(&["download", "-d", "HOST:src", "back"]);
    let words = [&words[..], &["--accept-new-host-key"]].concat();
    let host = format!("lea@{}", site.server.address);
    chown(site.path("root/src/big"), Some(12_345), None).unwrap();
    let words = words.iter().map(|word| word.replace("HOST", &host));
    let mut client = site.bed.wrapped(&wrapper, words);
    client.env("ASPERA_SCP_PASS", support::PASSWORD);
    let run = Run::of(client.spawn().unwrap());
    run.assert_success();
    assert!(run.out.contains("owner of 1 file not kept"), "{}", run.out);
}

#[test]
fn attributes_beyond_what_travels_or_fits_are_told() {
    let memory = Path::new("/dev/shm");
    let Ok(source) = tempfile::TempDir::new_in(memory) else {
        return skipped("there is no file system in memory");
    };
    let site = Site::new();
    if !has_xattrs(&site.bed)
        || setxattr(source.path(), "user.a", b"", XattrFlags::empty()).is_err()
    {
        return skipped("a file system in memory has no extended attributes here");
    }
    let many = source.path().join("many");
    let large = source.path().join("large");
    for path in [&many, &large] {
        fs::write(path, "content").unwrap();
    }
    for number in 0..130 {
        setxattr(&many, format!("user.{number}"), b"", XattrFlags::empty()).unwrap();
    }
    setxattr(&large, "user.large", &vec![7; 60_000], XattrFlags::empty()).unwrap();
    let to = site.path("to");
    let words = [
        "upload",
        "--json",
        "--preserve-xattrs",
        many.to_str().unwrap(),
        "HOST:/",
    ];
    let run = site.lea(&words);
    run.assert_success();
    assert_eq!(
        events(&run, "not_kept")[0]["what"],
        serde_json::json!(["xattrs"])
    );
    let kept = (0..130).filter(|n| xattr(&site.path("root/many"), &format!("user.{n}")).is_some());
    assert_eq!(kept.count(), 128);
    // What one file system holds and the next one does not, beside a page that has no room for more.
    let words = [
        "upload",
        "--json",
        "--preserve-xattrs=native",
        large.to_str().unwrap(),
        "HOST:/",
    ];
    let run = site.lea(&words);
    run.assert_success();
    let is_kept = xattr(&site.path("root/large"), "user.large").is_some();
    assert_eq!(events(&run, "not_kept").is_empty(), is_kept, "{}", run.out);
    assert_eq!(fs::read(site.path("root/large")).unwrap(), b"content");
    assert!(!to.exists());
}

#[test]
fn protected_files_leave_without_extended_attributes() {
    let site = Site::new();
    site.bed.file("f", 10);
    let run = site.lea(&["upload", "--protect", "--preserve-xattrs", "f", "HOST:/"]);
    run.assert_usage();
    let run = site.lea(&["upload", "--preserve-xattrs=metafile", "f", "HOST:/"]);
    run.assert_usage();
    assert!(run.err.contains("use native, or none"), "{}", run.err);
}
