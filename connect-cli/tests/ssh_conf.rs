//! What `aspera.conf` says holds behind somebody else's SSH server too: an sshd that runs nothing but
//! `connect-cli server session` for whoever logs in.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command};

use serde_json::Value;
use support::{Run, names, sshd::SshBed};

/// An sshd with a forced command, and the file that it names.
struct Forced {
    ssh: SshBed,
    user: String,
}

impl Forced {
    fn new(options: &str) -> Option<Self> {
        let ssh = SshBed::with(|bed| {
            let directory = bed.path("").display().to_string();
            let options = options.replace("BED/", &directory);
            format!(
                "ForceCommand connect-cli server session --conf {directory}aspera.conf --log-file --state {directory}state {options}\n"
            )
        })?;
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
        Some(Self { ssh, user })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.ssh.bed.path(name)
    }

    /// Writes a configuration: what a line says of `USER` is about the account that logs in, `BED` is this directory.
    fn configure(&self, lines: &[&str]) {
        let file = self.path("aspera.conf");
        fs::write(&file, "<CONF/>").unwrap();
        let directory = self.path("").display().to_string();
        for line in lines {
            let line = line.replace("USER", &self.user).replace("BED/", &directory);
            let words = ["conf", "exec", &line, "--file", file.to_str().unwrap()];
            Run::of(self.ssh.bed.program(words).spawn().unwrap()).assert_success();
        }
    }

    fn run(&self, words: &[&str]) -> Run {
        self.ssh.run(words)
    }

    /// The first event of a transfer that ends with this status.
    fn started(&self, words: &[&str], status: i32) -> Value {
        let run = self.run(&[words, &["--json"]].concat());
        assert_eq!(run.status, status, "{}", run.err);
        serde_json::from_str(run.out.lines().next().unwrap()).unwrap()
    }
}

const UPLOAD: [&str; 5] = ["upload", "--overwrite", "always", "f", "127.0.0.1:/"];
const DOWNLOAD: [&str; 5] = ["download", "--overwrite", "always", "127.0.0.1:/g", "back"];

#[test]
fn the_file_names_the_docroot_and_the_rights_of_the_account_that_runs_the_session() {
    let Some(forced) = Forced::new("") else {
        return;
    };
    forced.ssh.bed.file("f", 100_000);
    forced.ssh.bed.file("root/g", 100_000);
    fs::create_dir(forced.path("peer")).unwrap();
    let docroot = "set_user_data;user_name,USER;absolute,BED/root";
    forced.configure(&[docroot]);
    forced.run(&UPLOAD).assert_success();
    forced.run(&DOWNLOAD).assert_success();
    let listed = forced.run(&["ls", "127.0.0.1:/"]);
    listed.assert_success();
    assert_eq!(listed.out, "f\ng\n", "the machine's root is not to be seen");
    forced
        .run(&["download", "127.0.0.1:/etc/hostname", "new"])
        .assert_refused(1, 4);
    for (line, up, down, list) in [
        ("write_allowed,false", 37, 0, 0),
        ("read_allowed,false", 0, 37, 0),
        ("dir_allowed,false", 0, 0, 37),
        ("authorization_transfer_in_value,deny", 37, 0, 0),
        ("authorization_transfer_out_value,deny", 0, 37, 0),
    ] {
        forced.configure(&[docroot, &format!("set_user_data;user_name,USER;{line}")]);
        for (words, code) in [
            (&UPLOAD[..], up),
            (&DOWNLOAD[..], down),
            (&["ls", "127.0.0.1:/"], list),
        ] {
            match (forced.run(words), code) {
                (run, 0) => run.assert_success(),
                (run, code) => run.assert_refused(4, code),
            }
        }
    }
    let token = "set_node_data;authorization_transfer_in_value,token;token_encryption_key,0123456789abcdef0123";
    forced.configure(&[docroot, token]);
    forced.run(&UPLOAD).assert_refused(4, 34);
    // A docroot for this peer, whom sshd names.
    let text = fs::read_to_string(forced.path("aspera.conf")).unwrap();
    let of_peer = format!(
        "<path><absolute peer_ip=\"127.0.0.1\">{}</absolute></path>",
        forced.path("peer").display()
    );
    let text = text.replacen("<path>", &format!("{of_peer}<path>"), 1);
    let text = text.replace("<value>token</value>", "<value>allow</value>");
    fs::write(forced.path("aspera.conf"), text).unwrap();
    forced.run(&UPLOAD).assert_success();
    assert_eq!(names(&forced.path("peer")), ["f"]);
    // And without a docroot the machine's permissions decide, with the rest of the file.
    forced.configure(&["set_user_data;user_name,USER;write_allowed,false"]);
    let source = format!("127.0.0.1:{}", forced.path("root/g").display());
    forced
        .run(&["download", "--overwrite", "always", &source, "back"])
        .assert_success();
    let target = format!("127.0.0.1:{}", forced.path("root").display());
    forced.run(&["upload", "f", &target]).assert_refused(4, 37);
    forced.configure(&["set_user_data;user_name,nobody-of-that-name;write_allowed,false"]);
    forced.run(&["upload", "f", &target]).assert_success();
}

#[test]
fn the_file_says_rates_policy_cipher_and_what_becomes_of_files() {
    let Some(forced) = Forced::new("") else {
        return;
    };
    fs::create_dir(forced.path("d")).unwrap();
    forced.ssh.bed.file("d/f", 10);
    forced.ssh.bed.file("d/f.tmp", 10);
    forced.ssh.bed.file("f", 10);
    let docroot = "set_node_data;absolute,BED/root";
    let rates = "set_node_data;transfer_in_bandwidth_flow_target_rate_cap,4000;transfer_in_bandwidth_flow_policy_allowed,low";
    let files = "set_node_data;transfer_encryption_allowed_cipher,aes-256;file_filters,|- *.tmp;file_create_mode,0640";
    forced.configure(&[docroot, rates, files]);
    let started = forced.started(
        &["upload", "d", "127.0.0.1:/", "-l", "9m", "--policy", "high"],
        // What the file leaves out is told.
        3,
    );
    assert_eq!(started["target_rate_kbps"], 4000, "{started}");
    assert_eq!(started["rate_cap_kbps"], 4000, "{started}");
    assert_eq!(started["policy"], "low", "{started}");
    assert_eq!(started["cipher"], "aes-256-gcm", "{started}");
    assert_eq!(names(&forced.path("root")), ["d/", "d/f"]);
    let mode = fs::metadata(forced.path("root/d/f")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o640);
    // The other direction has rules of its own.
    let started = forced.started(&["download", "127.0.0.1:/d", "back", "-l", "9m"], 0);
    assert_eq!(started["target_rate_kbps"], 9000, "{started}");
    forced.configure(&[docroot, "set_node_data;overwrite,deny"]);
    fs::write(forced.path("root/f"), "old").unwrap();
    forced.run(&UPLOAD).assert_refused(1, 42);
    assert_eq!(fs::read(forced.path("root/f")).unwrap(), b"old");
    let log = fs::read_to_string(forced.path("state/server.log")).unwrap();
    let line = format!("user={}", forced.user);
    assert!(
        log.contains("FASP Session Start") && log.contains(&line),
        "{log}"
    );
    assert!(log.contains("peer=127.0.0.1:"), "{log}");
}

#[test]
fn the_program_before_and_after_sessions_is_asked_and_space_is_kept_free() {
    let Some(forced) = Forced::new("--prepost BED/hook --free-space-floor 1K") else {
        return;
    };
    forced.ssh.bed.file("f", 10);
    forced.configure(&["set_node_data;absolute,BED/root"]);
    let hook = |end: &str| {
        let told = forced.path("told");
        let script = format!(
            "#!/bin/sh\necho \"$TYPE $STARTSTOP $STATE $USER $FILE\" >> {}\n{end}\n",
            told.display()
        );
        fs::write(forced.path("hook"), script).unwrap();
        fs::set_permissions(forced.path("hook"), fs::Permissions::from_mode(0o700)).unwrap();
    };
    hook("exit 1");
    forced.run(&UPLOAD).assert_refused(4, 34);
    assert_eq!(names(&forced.path("root")), [""; 0]);
    hook("exit 0");
    forced.run(&UPLOAD).assert_success();
    let told = fs::read_to_string(forced.path("told")).unwrap();
    let begun = format!("Session Start started {} \n", forced.user);
    assert_eq!(told.matches(&begun).count(), 2, "{told}");
    let Some(forced) = Forced::new("--free-space-floor 1000000000G") else {
        return;
    };
    forced.ssh.bed.file("f", 10);
    forced.configure(&["set_node_data;absolute,BED/root"]);
    forced.run(&UPLOAD).assert_refused(1, 25);
}

/// A session never begins with settings that were not read, and what is wrong with them is not the client's business.
#[test]
fn a_file_that_cannot_be_used_lets_nothing_begin() {
    let Some(forced) = Forced::new("") else {
        return;
    };
    forced.ssh.bed.file("f", 10);
    let file = forced.path("aspera.conf");
    fs::write(&file, "<CONF><secret").unwrap();
    let run = forced.run(&UPLOAD);
    run.assert_refused(1, 50);
    assert!(!run.err.contains("secret"), "{}", run.err);
    forced.run(&["ls", "127.0.0.1:/"]).assert_refused(1, 50);
    let log = fs::read_to_string(forced.path("state/server.log")).unwrap();
    assert!(log.contains("line 1, column"), "{log}");
    // Nor one that others can write (rule P-8), nor none where one is named.
    forced.configure(&["set_node_data;absolute,BED/root"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o622)).unwrap();
    forced.run(&UPLOAD).assert_refused(1, 50);
    fs::remove_file(&file).unwrap();
    forced.run(&UPLOAD).assert_refused(1, 50);
}
