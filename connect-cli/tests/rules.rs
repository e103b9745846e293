//! Which files go where: include and exclude rules, lists, names at the destination.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{fs, path::Path};

use support::{PASSWORD, Run, Site, names, write_files};

fn files(base: &Path) -> Vec<String> {
    let mut names = names(base);
    names.retain(|name| !name.ends_with('/'));
    names
}

fn lea_with_input(site: &Site, words: &[&str], input: &str) -> Run {
    use std::io::Write as _;
    let words = [words, &["--accept-new-host-key"]].concat();
    let mut client = site.client("lea", PASSWORD, &words);
    let mut child = client.stdin(std::process::Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    Run::of(child)
}

const TREE: [&str; 6] = [
    "src/a.txt",
    "src/a.tmp",
    "src/keep.tmp",
    "src/s/b.txt",
    "src/build/x.txt",
    "src/s/build",
];

#[test]
fn the_first_rule_that_matches_decides_in_both_directions() {
    let site = Site::new();
    write_files(&site.path(""), &TREE);
    let rules = ["-N", "keep.tmp", "-E", "*.tmp", "--exclude=build/"];
    let expected = ["src/a.txt", "src/keep.tmp", "src/s/b.txt", "src/s/build"];
    site.lea(&[&["upload"], &rules[..], &["src", "HOST:/"]].concat())
        .assert_success();
    assert_eq!(files(&site.path("root")), expected);
    write_files(&site.path("root"), &TREE);
    site.lea(&[&["download", "-d"], &rules[..], &["HOST:src", "back"]].concat())
        .assert_success();
    assert_eq!(files(&site.path("back")), expected);
    let only = ["-N", "*.txt", "-N", "/**/", "-E", "/**"];
    site.lea(&[&["download", "-d"], &only[..], &["HOST:src", "texts"]].concat())
        .assert_success();
    let texts = ["src/a.txt", "src/build/x.txt", "src/s/b.txt"];
    assert_eq!(files(&site.path("texts")), texts);
}

#[test]
fn an_excluded_directory_is_not_looked_into_and_ages_count_for_files() {
    let site = Site::new();
    write_files(&site.path(""), &["src/old", "src/new", "src/locked/x"]);
    let old = filetime(&site.path("src/old"), 1_000_000_000);
    assert!(old);
    let words = "upload --exclude-older-than 2d -E locked src HOST:/";
    let words: Vec<_> = words.split(' ').collect();
    site.lea(&words).assert_success();
    assert_eq!(files(&site.path("root")), ["src/new"]);
    let words = "download -d --exclude-newer-than 2020-01-01 HOST:src back";
    write_files(&site.path("root"), &["src/old"]);
    assert!(filetime(&site.path("root/src/old"), 1_000_000_000));
    site.lea(&words.split(' ').collect::<Vec<_>>())
        .assert_success();
    assert_eq!(files(&site.path("back")), ["src/old"]);
}

fn filetime(path: &Path, seconds: u64) -> bool {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .is_ok()
}

#[test]
fn what_a_list_names_loses_its_directories_or_keeps_what_is_behind_the_base() {
    let site = Site::new();
    write_files(&site.path(""), &["p/q/f1", "p/r/f2", "p/d/x", "other"]);
    fs::write(site.path("list"), "p/q/f1\r\np/r/f2\n\np/d\n").unwrap();
    site.lea(&["upload", "--file-list", "list", "HOST:flat"])
        .assert_success();
    assert_eq!(files(&site.path("root/flat")), ["d/x", "f1", "f2"]);
    site.lea(&["upload", "--file-list=list", "--src-base=p", "HOST:deep"])
        .assert_success();
    assert_eq!(files(&site.path("root/deep")), ["d/x", "q/f1", "r/f2"]);
    site.lea(&[
        "upload",
        "--source-base",
        "p",
        "p/q/f1",
        "p/r/f2",
        "HOST:named",
    ])
    .assert_success();
    assert_eq!(files(&site.path("root/named")), ["q/f1", "r/f2"]);
    let outside = site.lea(&["upload", "--source-base", "p", "other", "HOST:x"]);
    outside.assert_refused(2, 8);

    let list = "q/f1\nr/f2\n";
    lea_with_input(
        &site,
        &["download", "--file-list", "-", "HOST:deep", "flat"],
        list,
    )
    .assert_success();
    assert_eq!(files(&site.path("flat")), ["f1", "f2"]);
    let words = [
        "download",
        "--file-list=-",
        "--source-base",
        "deep",
        "HOST:",
        "based",
    ];
    lea_with_input(&site, &words, "deep/q/f1\n/deep/d\n").assert_success();
    assert_eq!(files(&site.path("based")), ["d/x", "q/f1"]);
}

#[test]
fn f24_f28_one_missing_file_of_a_list_fails_alone() {
    let site = Site::new();
    write_files(&site.path(""), &["a", "b"]);
    let list = "a\nmissing\nno/such/dir\nb\n";
    let sent = lea_with_input(&site, &["upload", "--file-list", "-", "HOST:up"], list);
    assert_eq!(sent.status, 3, "{}", sent.err);
    assert!(sent.err.contains("missing: "), "{}", sent.err);
    assert_eq!(files(&site.path("root/up")), ["a", "b"]);
    let words = ["download", "--file-list", "-", "HOST:up", "back"];
    let fetched = lea_with_input(&site, &words, list);
    assert_eq!(fetched.status, 3, "{}", fetched.err);
    assert_eq!(files(&site.path("back")), ["a", "b"]);
}

#[test]
fn partial_files_are_left_out_with_a_notice_on_either_side() {
    let site = Site::new();
    write_files(
        &site.path(""),
        &["src/a", "src/b.partial", "src/c.partial/x"],
    );
    write_files(&site.path("root"), &["src/a", "src/b.partial"]);
    for words in [
        ["upload", "src", "HOST:up"],
        ["download", "HOST:src", "down"],
    ] {
        let run = site.lea(&words);
        run.assert_success();
        let note = "note: src/b.partial was left out: it is a partial file\n";
        assert!(run.err.contains(note), "{}", run.err);
    }
    assert_eq!(files(&site.path("root/up")), ["a"]);
    assert_eq!(files(&site.path("down")), ["a"]);
}

#[test]
fn f24_what_cannot_be_read_there_fails_a_download_here() {
    let site = Site::new();
    write_files(&site.path("root"), &["src/a"]);
    let pipe = site.path("root/src/pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
    let fetched = site.lea(&["download", "HOST:src", "back"]);
    assert_eq!(fetched.status, 3, "{}", fetched.err);
    assert!(fetched.err.contains("src/pipe: "), "{}", fetched.err);
    assert_eq!(files(&site.path("back")), ["a"]);
}

#[test]
fn pairs_give_every_source_its_name() {
    let site = Site::new();
    write_files(&site.path(""), &["p/f1", "p/d/x"]);
    let list = "p/f1\nnew/one\np/d\n/dir\n";
    lea_with_input(&site, &["upload", "--file-pair-list", "-", "HOST:in"], list).assert_success();
    assert_eq!(files(&site.path("root/in")), ["dir/x", "new/one"]);
    let list = "new/one\nf1\ndir\nback/d\n";
    let words = ["download", "--file-pair-list", "-", "HOST:in", "back"];
    lea_with_input(&site, &words, list).assert_success();
    assert_eq!(files(&site.path("back")), ["back/d/x", "f1"]);
    let odd = lea_with_input(
        &site,
        &["upload", "--file-pair-list", "-", "HOST:in"],
        "p/f1\n",
    );
    odd.assert_refused(2, 8);
}

#[test]
fn f80_names_in_lists_cannot_leave_the_destination_or_the_docroot() {
    let site = Site::new();
    write_files(&site.path(""), &["a", "outside"]);
    write_files(&site.path("root"), &["in/a"]);
    let up = lea_with_input(
        &site,
        &["upload", "--file-pair-list", "-", "HOST:in"],
        "a\n../../x\n",
    );
    assert_ne!(up.status, 0);
    let words = ["download", "--file-list", "-", "HOST:in", "back"];
    let down = lea_with_input(&site, &words, "../../outside\na\n");
    assert_ne!(down.status, 0);
    let words = ["download", "--file-pair-list", "-", "HOST:in", "back"];
    let down = lea_with_input(&site, &words, "a\n../escaped\n");
    assert_ne!(down.status, 0);
    assert!(!site.path("escaped").exists() && !site.path("x").exists());
    assert!(!site.path("root/x").exists() && !site.path("back/outside").exists());
}

#[test]
fn p8_a_list_of_somebody_elses_is_not_read() {
    let site = Site::new();
    write_files(&site.path(""), &["a"]);
    fs::write(site.path("list"), "a\n").unwrap();
    if std::os::unix::fs::chown(site.path("list"), Some(12_345), None).is_err() {
        return support::skipped("only root can give files away");
    }
    let run = site.lea(&["upload", "--file-list", "list", "HOST:/"]);
    assert_eq!(run.status, 1, "{}", run.err);
    assert!(run.err.contains("owned by another user"), "{}", run.err);
    assert!(files(&site.path("root")).is_empty());
}
