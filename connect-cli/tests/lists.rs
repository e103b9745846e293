//! Lists of very many sources, in both directions.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::fmt::Write as _;
use std::fs;

use support::{Bed, Site};

const MANY: usize = 100_000;

/// What the process has taken of memory at most, in KiB.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Most files are empty, so that what counts is the list.
#[test]
fn a_list_of_a_hundred_thousand_names_goes_up_and_comes_down() {
    let bed = Bed::in_memory(1 << 30);
    bed.add_user("lea", &[]);
    let server = bed.serve();
    let site = Site { bed, server };
    let mut list = String::new();
    for number in 0..MANY {
        let directory = format!("dir-{:03}", number / 1000);
        if number % 1000 == 0 {
            fs::create_dir_all(site.path("src").join(&directory)).unwrap();
        }
        let content = if number % 1000 == 7 { "content" } else { "" };
        let name = format!("{directory}/file-{number:06}");
        fs::write(site.path("src").join(&name), content).unwrap();
        writeln!(list, "src/{name}").unwrap();
    }
    fs::write(site.path("names"), &list).unwrap();
    let up = [
        "upload",
        "--file-list",
        "names",
        "--source-base",
        "src",
        "--sessions",
        "1",
        "HOST:in",
    ];
    let run = site.lea(&up);
    run.assert_success();
    assert!(run.out.contains("in 100000 files."), "{}", run.out);
    // Below the directory that is named, under the names that they have there.
    fs::write(site.path("names"), list.replace("src/", "")).unwrap();
    let down = [
        "download",
        "--file-list",
        "names",
        "--source-base",
        ".",
        "HOST:in",
        "back",
    ];
    let run = site.lea(&[&down[..], &["--sessions", "2", "--json"]].concat());
    run.assert_success();
    let done = run.out.lines().last().unwrap();
    assert!(done.contains("\"files_done\":100000,"), "{done}");
    let kept = fs::read(site.path("back/dir-042/file-042007")).unwrap();
    assert_eq!(kept, b"content");
    let server = peak(site.server.id());
    assert!(server < 300 * 1024, "{server} KiB");
}

#[test]
fn a_list_that_is_too_long_is_refused_before_anything_is_asked_for() {
    let site = Site::new();
    fs::write(site.path("names"), "x\n".repeat(250_001)).unwrap();
    let run = site.lea(&["download", "--file-list", "names", "HOST:", "back"]);
    run.assert_usage();
    assert!(
        run.err.contains("more than a download can ask for"),
        "{}",
        run.err
    );
    assert!(!site.path("back").exists());
}
