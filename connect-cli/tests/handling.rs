//! What becomes of files at both ends: dry runs, what is replaced, deleted, removed or moved, receipts.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::fs;

use serde_json::Value;
use support::{PASSWORD, Run, Site, names, write_files};

fn events(run: &Run, name: &str) -> Vec<Value> {
    run.out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == name)
        .collect()
}

fn paths(events: &[Value]) -> Vec<&str> {
    let mut paths: Vec<_> = events.iter().map(|e| e["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    paths
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn a_dry_run_tells_what_would_happen_and_changes_nothing_at_either_end() {
    let site = Site::new();
    write_files(&site.path(""), &["src/a", "src/s/b", "src/gone"]);
    site.lea(&words("upload src HOST:/")).assert_success();
    fs::remove_file(site.path("src/gone")).unwrap();
    fs::write(site.path("src/a"), "changed").unwrap();
    fs::write(site.path("src/s/big"), vec![1; 200_000]).unwrap();
    let before = names(&site.path("root"));
    let line = "upload --json -n --delete-before-transfer --remove-after-transfer src HOST:/";
    let run = site.lea(&words(line));
    run.assert_success();
    let planned = events(&run, "file_planned");
    let of = |action| {
        planned
            .iter()
            .filter(move |e| e["action"] == action)
            .cloned()
    };
    assert_eq!(
        paths(&of("transfer").collect::<Vec<_>>()),
        ["src/a", "src/s/big"]
    );
    assert_eq!(paths(&of("delete").collect::<Vec<_>>()), ["src/gone"]);
    assert_eq!(events(&run, "done")[0]["dry_run"], true);
    assert_eq!(paths(&events(&run, "file_skipped")), ["src/s/b"]);
    assert_eq!(names(&site.path("root")), before);
    assert!(site.path("src/a").exists());
    let run = site.lea(&words("download -n HOST:src new/back"));
    assert_ne!(run.status, 0, "the parent is missing");
    let run = site.lea(&words("download -n HOST:src back"));
    run.assert_success();
    assert!(run.out.contains("would transfer src/s/b\n"), "{}", run.out);
    assert!(run.out.contains("Would transfer "), "{}", run.out);
    assert!(!site.path("back").exists());
}

#[test]
fn what_is_replaced_is_kept_under_a_name_with_the_time() {
    let site = Site::new();
    write_files(&site.path(""), &["a.txt"]);
    write_files(&site.path("root"), &["a.txt"]);
    fs::write(site.path("root/a.txt"), "old").unwrap();
    let line = "upload --save-before-overwrite --overwrite always a.txt HOST:/";
    site.lea(&words(line)).assert_success();
    let saved: Vec<_> = names(&site.path("root"))
        .into_iter()
        .filter(|n| n != "a.txt")
        .collect();
    assert_eq!(saved.len(), 1, "{saved:?}");
    assert!(
        saved[0].starts_with("a.20") && saved[0].ends_with(".1.txt"),
        "{saved:?}"
    );
    assert_eq!(fs::read(site.path("root").join(&saved[0])).unwrap(), b"old");
}

#[test]
fn p11_sources_go_once_they_have_arrived_with_the_directories_that_are_empty_then() {
    let site = Site::new();
    write_files(&site.path(""), &["src/a", "src/s/b", "src/keep/x.partial"]);
    fs::write(site.path("src/s/big"), vec![1; 300_000]).unwrap();
    fs::create_dir(site.path("src/empty")).unwrap();
    let line = "upload --remove-after-transfer --remove-empty-directories src HOST:/";
    site.lea(&words(line)).assert_success();
    assert_eq!(names(&site.path("src")), ["keep/", "keep/x.partial"]);
    let line = "download -d --remove-after-transfer --remove-empty-source-directory HOST:src back";
    site.lea(&words(line)).assert_success();
    let arrived = [
        "src/",
        "src/a",
        "src/empty/",
        "src/keep/",
        "src/s/",
        "src/s/b",
        "src/s/big",
    ];
    assert_eq!(names(&site.path("back")), arrived);
    assert!(names(&site.path("root")).is_empty());
}

#[test]
fn p11_several_sessions_remove_every_source_and_split_ones_once() {
    let site = Site::new();
    for number in 0..40 {
        write_files(&site.path(""), &[&format!("src/d{}/f{number}", number % 4)]);
    }
    let big = site.bed.file("src/big", 3 << 20);
    let line = "upload --sessions 3 --split-threshold 1M --checksum md5 --json \
                --remove-after-transfer --remove-empty-source-directory src HOST:/";
    let run = site.lea(&words(line));
    run.assert_success();
    assert!(!site.path("src").exists(), "{:?}", names(&site.path("src")));
    assert_eq!(fs::read(site.path("root/src/big")).unwrap(), big);
    assert_eq!(events(&run, "file_done").len(), 41);
}

#[test]
fn p11_skipped_and_failed_sources_stay_unless_skipped_ones_shall_go_too() {
    let site = Site::new();
    write_files(&site.path(""), &["src/same", "src/fails"]);
    site.lea(&words("upload src HOST:/")).assert_success();
    fs::remove_file(site.path("root/src/fails")).unwrap();
    fs::create_dir(site.path("root/src/fails")).unwrap();
    let run = site.lea(&words("upload --remove-after-transfer src HOST:/"));
    assert_eq!(run.status, 3, "{}", run.err);
    assert_eq!(names(&site.path("src")), ["fails", "same"]);
    let line = "upload --remove-after-transfer --remove-skipped src HOST:/";
    assert_eq!(site.lea(&words(line)).status, 3);
    assert_eq!(names(&site.path("src")), ["fails"]);
}

#[test]
fn sources_move_and_keep_their_paths_below_the_base() {
    let site = Site::new();
    write_files(&site.path(""), &["p/q/a", "p/r/b"]);
    let line = "upload --source-base p --move-after-transfer sent p/q/a p/r HOST:in";
    site.lea(&words(line)).assert_success();
    assert_eq!(names(&site.path("sent")), ["q/", "q/a", "r/", "r/b"]);
    assert_eq!(names(&site.path("p")), ["q/", "r/"]);
    let line = "download -d --move-after-transfer archive HOST:in back";
    site.lea(&words(line)).assert_success();
    assert_eq!(
        names(&site.path("back")),
        ["in/", "in/q/", "in/q/a", "in/r/", "in/r/b"]
    );
    let moved = [
        "archive/",
        "archive/in/",
        "archive/in/q/",
        "archive/in/q/a",
        "archive/in/r/",
        "archive/in/r/b",
    ];
    let there = names(&site.path("root"));
    assert!(
        moved.iter().all(|m| there.contains(&(*m).to_owned())),
        "{there:?}"
    );
}

#[test]
fn p4_removing_after_a_download_needs_the_right_to_write_and_stays_in_the_docroot() {
    let site = Site::new();
    write_files(&site.path("root"), &["a"]);
    for line in [
        "download --accept-new-host-key --remove-after-transfer HOST:a .",
        "download --accept-new-host-key --move-after-transfer sent HOST:a .",
    ] {
        site.run("reader", PASSWORD, &words(line))
            .assert_refused(4, 37);
    }
    let line = "download --move-after-transfer ../outside HOST:a back";
    let run = site.lea(&words(line));
    assert_ne!(run.status, 0);
    assert!(run.err.contains("code 41"), "{}", run.err);
    assert!(site.path("root/a").exists() && !site.path("outside").exists());
}

#[test]
fn p13_what_the_sources_do_not_have_is_deleted_and_what_rules_leave_out_is_not() {
    let site = Site::new();
    write_files(&site.path(""), &["src/a", "src/s/b"]);
    let there = [
        "src/a",
        "src/old",
        "src/olds/x",
        "src/x.tmp",
        "src/s/c",
        "beside",
    ];
    write_files(&site.path("root"), &there);
    fs::write(site.path("root/src/u.partial"), "").unwrap();
    let line = "upload --json -E *.tmp --delete-before-transfer src HOST:/";
    let run = site.lea(&words(line));
    run.assert_success();
    let left = [
        "beside",
        "src/",
        "src/a",
        "src/s/",
        "src/s/b",
        "src/u.partial",
        "src/x.tmp",
    ];
    assert_eq!(names(&site.path("root")), left);
    let deleted = events(&run, "file_deleted");
    assert_eq!(
        paths(&deleted),
        ["src/old", "src/olds", "src/olds/x", "src/s/c"]
    );
    write_files(&site.path("back"), &["src/mine", "else"]);
    site.lea(&words("download --delete-before-transfer HOST:src back"))
        .assert_success();
    let back = names(&site.path("back"));
    assert!(back.contains(&"else".to_owned()) && !back.contains(&"src/mine".to_owned()));
}

#[test]
fn p13_nothing_is_deleted_when_the_list_is_not_complete() {
    let site = Site::new();
    write_files(&site.path(""), &["src/a"]);
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        site.path("src/pipe"),
        rustix::fs::Mode::RUSR,
    )
    .unwrap();
    write_files(&site.path("root"), &["src/old"]);
    let run = site.lea(&words("upload --delete-before-transfer src HOST:/"));
    assert_eq!(run.status, 3, "{}", run.err);
    assert!(run.err.contains("nothing is deleted"), "{}", run.err);
    assert!(site.path("root/src/old").exists());
}

#[test]
fn checksums_are_told_of_each_file_and_stand_in_the_manifest() {
    let site = Site::new();
    fs::create_dir(site.path("receipts")).unwrap();
    fs::write(site.path("abc"), "abc").unwrap();
    fs::write(site.path("big"), vec![0; 1 << 20]).unwrap();
    let line = "upload --json --checksum sha-256 --file-manifest receipts abc big HOST:/";
    let run = site.lea(&words(line));
    run.assert_success();
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let zeros = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58";
    let mut sums: Vec<_> = events(&run, "file_done")
        .iter()
        .map(|e| e["checksum"].to_string())
        .collect();
    sums.sort();
    assert_eq!(sums, [format!("\"{zeros}\""), format!("\"{abc}\"")]);
    let id = events(&run, "started")[0]["transfer_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let name = format!("aspera-transfer-{id}-manifest.txt");
    assert_eq!(names(&site.path("receipts")), std::slice::from_ref(&name));
    let text = fs::read_to_string(site.path("receipts").join(name)).unwrap();
    assert!(
        text.contains(&format!("done\t3\t{abc}\tabc\t-\n")),
        "{text}"
    );
    let line = "download --json --file-checksum md5 HOST:abc got";
    let run = site.lea(&words(line));
    let sum = &events(&run, "file_done")[0]["checksum"];
    assert_eq!(sum, "900150983cd24fb0d6963f7d28e17f72");
    let run = site.lea(&words("upload --file-manifest missing abc HOST:/"));
    assert_eq!(run.status, 1, "{}", run.err);
}

#[test]
fn totals_are_known_before_the_first_file_when_the_sources_are_counted_first() {
    let site = Site::new();
    for number in 0..300 {
        write_files(&site.path(""), &[&format!("src/d{}/f{number}", number % 7)]);
    }
    write_files(&site.path(""), &["src/x.tmp"]);
    for line in [
        "upload --json --precalculate -E *.tmp src HOST:/",
        "download --json --precalculate-job-size HOST:src back",
    ] {
        let run = site.lea(&words(line));
        run.assert_success();
        let totals = events(&run, "totals");
        assert_eq!(totals[0]["files"], 300, "{line}");
        assert_eq!(totals[0]["complete"], true, "{line}");
        assert!(
            totals.iter().all(|t| t["bytes"] == totals[0]["bytes"]),
            "{line}"
        );
    }
}

#[test]
fn standard_input_and_output_are_files_whose_bytes_are_all_there() {
    use std::io::Write as _;
    let site = Site::new();
    let content = support::content(3_000_000);
    let send = |line: &str, input: &[u8]| {
        let words = [words(line), vec!["--accept-new-host-key"]].concat();
        let mut client = site.client("lea", PASSWORD, &words);
        let mut child = client.stdin(std::process::Stdio::piped()).spawn().unwrap();
        // A program that wants less closes its end, which is no failure of the test.
        drop(child.stdin.take().unwrap().write_all(input));
        Run::of(child)
    };
    send("upload - HOST:new", &content).assert_success();
    assert!(fs::read(site.path("root/new")).unwrap() == content);
    send("upload stdio:///?5 HOST:five", b"12345").assert_success();
    for input in [&b"1234"[..], b"123456"] {
        send("upload stdio:///?5 HOST:other", input).assert_refused(2, 8);
    }
    send("upload - new HOST:other", b"").assert_refused(2, 8);
    assert_eq!(names(&site.path("root")), ["five", "new"]);
    let mut client = site.client("lea", PASSWORD, &["download", "HOST:new", "-"]);
    let output = client.output().unwrap();
    assert!(output.status.success() && output.stdout == content);
    fs::create_dir(site.path("root/dir")).unwrap();
    site.lea(&words("download HOST:dir -")).assert_refused(2, 8);
    site.lea(&words("download --json HOST:new -"))
        .assert_refused(2, 8);
    let missing = site.lea(&words("download HOST:missing stdio://"));
    assert!(
        missing.status != 0 && missing.out.is_empty(),
        "{}",
        missing.out
    );
}

/// Rules P-11 and D-2: a source goes when its copy is durable, so that at no moment a file is nowhere.
#[test]
fn p11_f1_a_receiver_that_dies_in_the_middle_costs_no_source_that_has_not_arrived() {
    let mut site = Site::new();
    for number in 0..3000 {
        write_files(&site.path(""), &[&format!("src/d{}/f{number}", number % 9)]);
    }
    let big = site.bed.file("src/z-big", 40 << 20);
    let all: Vec<_> = names(&site.path("src"));
    let line = "upload --json --accept-new-host-key -l 300m --remove-after-transfer src HOST:/";
    let mut client = site.client("lea", PASSWORD, &words(line)).spawn().unwrap();
    support::wait_for_event(&mut client, "file_done");
    site.server.kill();
    // What the client still writes, nobody reads.
    drop(client.stdout.take());
    assert!(!client.wait().unwrap().success());
    for name in all.iter().filter(|name| !name.ends_with('/')) {
        let (here, there) = (
            site.path("src").join(name),
            site.path("root/src").join(name),
        );
        if !here.exists() {
            let content = fs::read(&there).unwrap();
            let expected = match name.as_str() {
                "z-big" => big.clone(),
                _ => here.to_string_lossy().into_owned().into_bytes(),
            };
            assert!(content == expected, "{name}");
        }
    }
    assert!(site.path("src/z-big").exists(), "it cannot have arrived");
}
