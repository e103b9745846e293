//! What people read when files, names or rights stand in the way: one sentence, its code, a hint, and no half-written
//! file under a final name.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use support::{
    Bed, PASSWORD, Site, assert_nothing_final, names,
    namespace::{inside, is_root, serve_in_namespace, site_in_namespace},
    skipped,
};

#[test]
fn who_cannot_log_in_learns_nothing_about_accounts() {
    let site = Site::new();
    site.bed.file("f", 1);
    let words = ["upload", "--accept-new-host-key", "f", "HOST:"];
    let wrong = site.run("lea", "wrong", &words);
    wrong.assert_refused(4, 19);
    let unknown = site.run("nobody", "wrong", &words);
    assert_eq!(wrong.err.replace("lea", "nobody"), unknown.err);
}

#[test]
fn what_is_not_granted_is_refused_with_a_reason() {
    let site = Site::new();
    site.bed.file("f", 1);
    site.run("lea", PASSWORD, &["upload", "f", "HOST:"])
        .assert_refused(4, 51);
    for outside in ["../f", "a/../../f", "..", "a/.."] {
        let location = format!("HOST:{outside}");
        site.lea(&["upload", "f", &location]).assert_refused(1, 41);
        site.lea(&["download", &location, "new"])
            .assert_refused(1, 41);
        site.lea(&["ls", &location]).assert_refused(1, 41);
    }
    site.lea(&["upload", "gone", "HOST:"]).assert_refused(1, 4);
    site.lea(&["upload", "f", "HOST:gone/f"])
        .assert_refused(1, 4);
    site.lea(&["download", "HOST:gone", "."])
        .assert_refused(1, 4);
    site.lea(&["ls", "HOST:gone"]).assert_refused(1, 4);
    for destination in ["HOST:", "HOST:faux://"] {
        site.run("reader", PASSWORD, &["upload", "f", destination])
            .assert_refused(4, 37);
    }
    // A server makes up single files only: what a client asks for must not grow its list.
    site.lea(&["download", "HOST:faux:///x?count=9&size=1g", "."])
        .assert_refused(1, 41);
    assert_eq!(names(&site.path("root")), [""; 0]);
    assert!(!site.path("new").exists());
}

#[test]
fn h5_a_changed_host_key_ends_the_connection() {
    let site = Site::new();
    let other = Site::new();
    site.lea(&["ls", "HOST:"]).assert_success();
    other.lea(&["ls", "HOST:"]).assert_success();
    let list = |site: &Site| site.path("home/.config/connect/known_hosts");
    let key = |text: &str| text.split_whitespace().last().unwrap().to_owned();
    let foreign = key(&fs::read_to_string(list(&site)).unwrap());
    let text = fs::read_to_string(list(&other)).unwrap();
    fs::write(list(&other), text.replace(&key(&text), &foreign)).unwrap();
    let run = other.lea(&["ls", "HOST:"]);
    run.assert_refused(4, 51);
    assert!(run.err.contains("ssh-keygen -R"), "{}", run.err);
}

/// Rule P-4: links in the docroot that lead out of it are not followed.
#[test]
fn p4_a_link_out_of_the_docroot_is_no_way_out() {
    let site = Site::new();
    site.bed.file("secret", 10);
    site.bed.file("f", 10);
    std::os::unix::fs::symlink(site.path(""), site.path("root/out")).unwrap();
    site.lea(&["download", "HOST:out/secret", "stolen"])
        .assert_refused(1, 41);
    site.lea(&["upload", "f", "HOST:out/planted"])
        .assert_refused(1, 41);
    assert!(!site.path("stolen").exists() && !site.path("planted").exists());
}

#[test]
fn a_file_and_a_directory_of_one_name_do_not_replace_each_other() {
    let site = Site::new();
    site.bed.file("x", 10);
    fs::create_dir_all(site.path("root/x")).unwrap();
    let file_on_directory = site.lea(&["upload", "--overwrite", "always", "x", "HOST:/"]);
    file_on_directory.assert_refused(1, 7);
    fs::create_dir_all(site.path("d")).unwrap();
    site.bed.file("d/inner", 10);
    site.bed.file("root/d", 5);
    let directory_on_file = site.lea(&["upload", "--overwrite", "always", "d", "HOST:/"]);
    directory_on_file.assert_refused(1, 6);
    // Several sources need a directory.
    site.lea(&["upload", "x", "d/inner", "HOST:d"])
        .assert_refused(1, 6);
    assert_eq!(names(&site.path("root")), ["d", "x/"]);
    assert_eq!(fs::metadata(site.path("root/d")).unwrap().len(), 5);
    // And the other way round.
    fs::create_dir_all(site.path("back/d")).unwrap();
    site.lea(&["download", "--overwrite", "always", "HOST:d", "back"])
        .assert_refused(1, 7);
}

#[test]
fn names_that_the_target_cannot_hold_are_refused() {
    let site = Site::new();
    fs::create_dir_all(site.path("src")).unwrap();
    site.bed.file("src/good", 10);
    site.bed.file("src/bad.partial", 10);
    // Names of unfinished files are ours: such a file is left out, and nothing can be given such a name.
    let run = site.lea(&["upload", "src", "HOST:/"]);
    run.assert_success();
    assert!(run.err.contains("note: src/bad.partial "), "{}", run.err);
    assert_eq!(names(&site.path("root")), ["src/", "src/good"]);
    site.lea(&["upload", "src/good", "HOST:x.partial"])
        .assert_refused(1, 56);
    let long = format!("HOST:{}", "n".repeat(256));
    site.lea(&["upload", "src/good", &long])
        .assert_refused(1, 55);
}

/// What `ls -l` shows of time, moved.
fn set_age(path: &Path, seconds: u64) {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

#[test]
fn existing_files_are_replaced_as_the_rule_says() {
    let site = Site::new();
    // The rule, the age of the source and of the target (0 is newer), whether sizes differ, and who wins.
    let cases = [
        ("never", 0, 100, true, false),
        ("always", 100, 0, true, true),
        ("always", 100, 100, false, true),
        ("older", 0, 100, true, true),
        ("older", 100, 0, true, false),
        ("diff", 100, 0, true, true),
        ("diff", 0, 100, true, true),
        ("diff", 100, 100, false, false),
        ("diff+older", 0, 100, true, true),
        ("diff+older", 100, 0, true, false),
    ];
    for (rule, ours, theirs, differs, is_replaced) in cases {
        for direction in ["upload", "download"] {
            let (from, to) = match direction {
                "upload" => (site.path("f"), site.path("root/f")),
                _ => (site.path("root/f"), site.path("f")),
            };
            fs::write(&from, "new content").unwrap();
            fs::write(&to, if differs { "old" } else { "old content" }).unwrap();
            set_age(&from, ours);
            set_age(&to, theirs);
            if ours == theirs {
                let time = fs::metadata(&from).unwrap().modified().unwrap();
                let file = fs::File::options().write(true).open(&to).unwrap();
                file.set_modified(time).unwrap();
            }
            let words = match direction {
                "upload" => ["f", "HOST:"],
                _ => ["HOST:f", "."],
            };
            let run = site.lea(&[direction, "--overwrite", rule, words[0], words[1]]);
            run.assert_success();
            let now = fs::read_to_string(&to).unwrap();
            let what = format!("{direction} {rule} {ours} {theirs} {differs}: {}", run.out);
            assert_eq!(now == "new content", is_replaced, "{what}");
            assert_eq!(!run.out.contains("1 file skipped"), is_replaced, "{what}");
        }
    }
}

#[test]
fn a_full_disk_has_its_code_and_leaves_nothing_half_written() {
    let Some(site) = site_in_namespace("mount -t tmpfs -o size=4m none root") else {
        return;
    };
    site.bed.file("big", 12_000_000);
    site.bed.file("small", 100_000);
    let run = site.lea(&["upload", "big", "HOST:"]);
    run.assert_refused(1, 25);
    assert_nothing_final(&inside(&site));
    // What failed does not stand in the way of what fits.
    site.lea(&["upload", "small", "HOST:"]).assert_success();
    assert_eq!(
        fs::read(inside(&site).join("small")).unwrap().len(),
        100_000
    );
}

/// Rule D-12: an upload ends while the disk still has what has to stay free, and what is there of it can be continued.
#[test]
fn d12_an_upload_that_is_under_way_ends_where_the_space_that_has_to_stay_free_begins() {
    let bed = Bed::new();
    bed.add_user("lea", &[]);
    let floor = "exec \"$0\" \"$@\" --free-space-floor 48M";
    let mount = format!("mount -t tmpfs -o size=64m none root && {floor}");
    let Some(server) = serve_in_namespace(&bed, &mount) else {
        return;
    };
    let site = Site { bed, server };
    site.bed.file("big", 60_000_000);
    site.bed.file("small", 100_000);
    // Two seconds to the floor and eight to the end of the file: the disk itself is never full.
    let run = site.lea(&["upload", "--json", "-l", "60m", "big", "HOST:"]);
    assert_eq!(run.status, 1, "{}", run.out);
    let events: Vec<serde_json::Value> = run
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let has_moved = |event: &&serde_json::Value| {
        event["event"] == "progress" && event["bytes_done"].as_u64() > Some(1_000_000)
    };
    assert!(events.iter().any(|event| has_moved(&event)), "{}", run.out);
    let error = events.last().unwrap();
    assert_eq!(
        (&error["event"], &error["code"], &error["symbol"]),
        (&"error".into(), &25.into(), &"NO_SPACE_LEFT".into()),
        "{error}"
    );
    let hint = "free space on the target and run the same command again";
    assert_eq!(error["hint"], hint, "{error}");
    assert_nothing_final(&inside(&site));
    // There is less than the floor, so nothing begins; with what is unfinished out of the way, something does.
    site.lea(&["upload", "small", "HOST:"])
        .assert_refused(1, 25);
    for name in names(&inside(&site)) {
        fs::remove_file(inside(&site).join(name)).unwrap();
    }
    site.lea(&["upload", "small", "HOST:"]).assert_success();
}

#[test]
fn a_read_only_file_system_has_its_code() {
    let Some(site) = site_in_namespace("mount -t tmpfs -o ro none root") else {
        return;
    };
    site.bed.file("f", 100_000);
    site.bed.file("small", 10);
    site.lea(&["upload", "f", "HOST:"]).assert_refused(1, 26);
    site.lea(&["upload", "small", "HOST:"])
        .assert_refused(1, 26);
    site.lea(&["upload", "-d", "f", "HOST:new/dir"])
        .assert_refused(1, 26);
    assert_eq!(names(&inside(&site)), [""; 0]);
}

#[test]
fn a_file_beyond_the_file_size_limit_has_its_code() {
    let bed = Bed::new();
    bed.add_user("lea", &[]);
    // The unit is 512 or 1024 bytes, depending on the shell; ignored signals stay ignored behind exec.
    let script = "trap '' XFSZ; ulimit -f 4000; exec \"$0\" \"$@\"";
    let server = bed.serve_in(&["sh", "-c", script]);
    let site = Site { bed, server };
    site.bed.file("big", 12_000_000);
    site.lea(&["upload", "big", "HOST:"]).assert_refused(1, 24);
    assert_nothing_final(&site.path("root"));
    site.bed.file("small", 100_000);
    site.lea(&["upload", "small", "HOST:"]).assert_success();
}

/// Runs what follows without root's right to ignore permission bits.
fn unprivileged() -> Option<Vec<&'static str>> {
    if !is_root() {
        return Some(Vec::new());
    }
    let wrapper = vec!["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let allowed = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .args(["sh", "-c", "! cat /dev/null > /proc/1/oom_score_adj"])
        .stderr(Stdio::null())
        .status();
    if allowed.is_err() {
        skipped("this test is root and there is no setpriv");
        return None;
    }
    Some(wrapper)
}

#[test]
fn permission_bits_of_the_docroot_are_told() {
    let Some(wrapper) = unprivileged() else {
        return;
    };
    let bed = Bed::new();
    bed.add_user("lea", &[]);
    let server = bed.serve_in(&wrapper);
    let site = Site { bed, server };
    site.bed.file("f", 100_000);
    site.bed.file("small", 10);
    site.bed.file("root/locked", 10);
    fs::create_dir(site.path("root/sealed")).unwrap();
    let mode = |name: &str, bits| {
        fs::set_permissions(site.path(name), fs::Permissions::from_mode(bits)).unwrap();
    };
    mode("root/locked", 0o000);
    mode("root/sealed", 0o000);
    mode("root", 0o555);
    for file in ["f", "small"] {
        site.lea(&["upload", file, "HOST:"]).assert_refused(1, 5);
    }
    site.lea(&["download", "HOST:locked", "new"])
        .assert_refused(1, 5);
    site.lea(&["ls", "HOST:sealed"]).assert_refused(1, 5);
    assert_eq!(names(&site.path("root")), ["locked", "sealed/"]);
    assert!(!site.path("new").exists());
    mode("root", 0o755);
    mode("root/sealed", 0o755);
}

#[test]
fn permission_bits_on_this_side_are_told() {
    let Some(wrapper) = unprivileged() else {
        return;
    };
    let site = Site::new();
    site.bed.file("locked", 10);
    fs::set_permissions(site.path("locked"), fs::Permissions::from_mode(0o000)).unwrap();
    site.bed.file("root/f", 100_000);
    fs::create_dir(site.path("back")).unwrap();
    fs::set_permissions(site.path("back"), fs::Permissions::from_mode(0o555)).unwrap();
    let host = format!("lea@{}:", site.server.address);
    let run = |words: [&str; 3]| {
        let mut client = site.bed.wrapped(&wrapper, words);
        client
            .arg("--accept-new-host-key")
            .env("ASPERA_SCP_PASS", PASSWORD);
        support::Run::of(client.spawn().unwrap())
    };
    run(["upload", "locked", &host]).assert_refused(1, 5);
    run(["download", &format!("{host}f"), "back"]).assert_refused(1, 5);
    assert_eq!(names(&site.path("root")), ["f"]);
    assert_eq!(names(&site.path("back")), [""; 0]);
}
