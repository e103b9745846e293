//! Whole transfers through somebody else's SSH server: a real sshd on loopback, and a key that only an agent has.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::fs;

use support::sshd::SshBed;

#[test]
fn a_tree_goes_through_openssh_and_comes_back_with_a_key_from_the_agent() {
    let Some(ssh) = SshBed::new() else { return };
    fs::create_dir_all(ssh.bed.path("src/sub/empty")).unwrap();
    let files = [
        ("src/big", 5_000_000),
        ("src/sub/small", 10),
        ("src/none", 0),
    ];
    let contents = files.map(|(name, size)| ssh.bed.file(name, size));
    let root = format!("127.0.0.1:{}", ssh.bed.path("root").display());
    ssh.run(&["upload", "src", &root]).assert_success();
    let listed = ssh.run(&["ls", &format!("{root}/src")]);
    listed.assert_success();
    assert_eq!(listed.out, "big\nnone\nsub/\n");
    ssh.run(&["download", &format!("{root}/src"), "back"])
        .assert_success();
    for ((name, _), content) in files.iter().zip(contents) {
        let back = ssh.bed.path(&name.replace("src", "back"));
        assert!(fs::read(back).unwrap() == content, "{name}");
    }
    assert!(ssh.bed.path("back/sub/empty").is_dir());
    let doctor = ssh.run(&["doctor", "--json", "127.0.0.1"]);
    doctor.assert_success();
    for check in ["ssh", "version", "udp_back", "path_mtu", "server_disk"] {
        let line = format!("\"check\":\"{check}\",\"result\":\"good\"");
        assert!(doctor.out.contains(&line), "{check}: {}", doctor.out);
    }
}

/// Rule P-11.
#[test]
fn p11_a_dry_run_changes_nothing_and_sources_go_once_they_have_arrived_through_openssh() {
    let Some(ssh) = SshBed::new() else { return };
    fs::create_dir(ssh.bed.path("src")).unwrap();
    let content = ssh.bed.file("src/f", 100_000);
    let root = format!("127.0.0.1:{}", ssh.bed.path("root").display());
    let there = format!("{root}/src");
    for (words, from, to) in [
        (["upload", "src", &root], "src/f", "root/src/f"),
        (["download", &there, "back"], "root/src/f", "back/f"),
    ] {
        let planned = ssh.run(&[&words[..], &["--dry-run", "--json"]].concat());
        planned.assert_success();
        assert!(
            planned.out.contains("\"event\":\"file_planned\""),
            "{}",
            planned.out
        );
        let remove = ["--remove-after-transfer", "--remove-empty-source-directory"];
        let checked = ssh.run(&[&words[..], &remove, &["--dry-run"]].concat());
        checked.assert_success();
        let (from, to) = (ssh.bed.path(from), ssh.bed.path(to));
        assert!(from.exists() && !to.exists(), "{words:?}");
        ssh.run(&[&words[..], &remove].concat()).assert_success();
        assert!(!from.parent().unwrap().exists(), "{words:?}");
        assert!(fs::read(&to).unwrap() == content, "{words:?}");
    }
}

/// Code 3: there is no docroot, so paths are below the home directory or absolute, but not both in one transfer.
#[test]
fn paths_of_two_kinds_in_one_transfer_are_ambiguous() {
    let Some(ssh) = SshBed::new() else { return };
    let absolute = ssh.bed.path("root").display().to_string();
    let words = [
        "download",
        &format!("127.0.0.1:{absolute}"),
        "127.0.0.1:relative",
        ".",
    ];
    ssh.run(&words).assert_refused(2, 3);
}

#[test]
fn what_ssh_or_the_far_side_says_becomes_the_error() {
    let Some(mut ssh) = SshBed::new() else { return };
    ssh.bed.file("f", 10);
    let root = format!("127.0.0.1:{}", ssh.bed.path("root").display());
    ssh.run(&["download", &format!("{root}/gone"), "new"])
        .assert_refused(1, 4);
    // No program on the far side.
    fs::remove_file(ssh.bed.path("bin/connect-cli")).unwrap();
    let missing = ssh.run(&["upload", "f", &root]);
    missing.assert_refused(5, 12);
    assert!(
        missing.err.contains("must be installed on the far side"),
        "{}",
        missing.err
    );
    let doctor = ssh.run(&["doctor", &root]);
    doctor.assert_refused(5, 12);
    assert!(doctor.out.contains("FAILED       SSH "), "{}", doctor.out);
    // No key any more.
    ssh.stop_agent();
    let refused = ssh.run(&["upload", "f", &root]);
    refused.assert_refused(4, 19);
    assert_eq!(support::names(&ssh.bed.path("root")), [""; 0]);
}
