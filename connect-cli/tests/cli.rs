//! The program as people run it: output, exit status, files.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, thread};

use support::{Bed, Run};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB2cP7nV2ktxsWvOKRDCJ2J5Ul7Tdt3KNg5KpdnC4Rfx lea@host\n";

/// A bed with a public key, for command lines.
struct Desk {
    bed: Bed,
}

impl Desk {
    fn new() -> Self {
        let bed = Bed::new();
        let key = bed.path("key.pub");
        fs::write(&key, KEY).unwrap();
        // Whatever the umask of this run is.
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        Self { bed }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.bed.path(name)
    }

    /// Runs the program in the test's directory; `STATE` in the line stands for the state option.
    fn run(&self, line: &str) -> Run {
        self.run_with_input(line, "")
    }

    fn run_with_input(&self, line: &str, input: &str) -> Run {
        let line = line.replace("STATE", "--state state");
        self.bed.run_with_input(line.split_whitespace(), input)
    }

    fn add(&self, name: &str) -> Run {
        self.run(&format!(
            "server user add {name} --docroot root --authorized-key key.pub STATE"
        ))
    }
}

#[test]
fn accounts_are_added_listed_and_removed() {
    let desk = Desk::new();
    let root = desk.path("root");
    let added = desk.add("lea");
    assert_eq!(added.status, 0, "{}", added.err);
    assert_eq!(added.out, "");
    assert_eq!(
        added.err,
        format!("added user 'lea' with docroot '{}'\n", root.display())
    );
    let line = "server user add box --docroot root --password-stdin --write-only --no-list \
                --rate-cap 100m --max-sessions 2 STATE";
    assert_eq!(desk.run_with_input(line, "pass word\n").status, 0);

    let listed = desk.run("server user list STATE");
    assert_eq!(
        listed.out,
        format!(
            "NAME  MAY              OPENED BY  RATE CAP      DOCROOT\n\
             box   write            password   100.0 Mbit/s  {root}\n\
             lea   read,write,list  1 key      -             {root}\n",
            root = root.display()
        )
    );
    let json = desk.run("server user list --json STATE");
    let first: serde_json::Value = serde_json::from_str(json.out.lines().next().unwrap()).unwrap();
    assert_eq!(first["name"], "box");
    assert_eq!(first["rate_cap_kbps"], 100_000);
    assert_eq!(first["max_sessions"], 2);
    assert!(!json.out.contains("argon2"), "hashes stay in the file");

    assert_eq!(desk.run("server user remove lea STATE").status, 0);
    let again = desk.run("server user remove lea STATE");
    assert_eq!(again.status, 2);
    assert_eq!(
        again.err,
        "error: there is no user 'lea' (FASP code 8)\n\nhint: connect-cli server user list\n"
    );
}

#[test]
fn an_existing_account_is_not_replaced() {
    let desk = Desk::new();
    desk.add("lea");
    let again = desk.add("lea");
    assert_eq!(again.status, 1);
    assert_eq!(
        again.err,
        "error: user 'lea' exists already (FASP code 42)\n\n\
         hint: remove it first: connect-cli server user remove lea\n"
    );
}

#[test]
fn mistakes_come_with_a_hint() {
    let desk = Desk::new();
    for (line, status, part) in [
        (
            "server user add lea --docroot root STATE",
            2,
            "hint: add --authorized-key FILE",
        ),
        (
            "server user add a/b --docroot root --password-stdin STATE",
            2,
            "hint: use 1 to 64 bytes",
        ),
        (
            "server user add lea --docroot gone --password-stdin STATE",
            1,
            "hint: check the path",
        ),
        (
            "server user add lea --docroot key.pub --password-stdin STATE",
            1,
            "FASP code 6",
        ),
        (
            "server user add lea --docroot root --authorized-key gone.pub STATE",
            1,
            "FASP code 4",
        ),
        (
            "server user add lea --docroot root --authorized-key root STATE",
            1,
            "FASP code 21",
        ),
        (
            "server user add lea --docroot root --password-stdin STATE",
            2,
            "1 to 1024 bytes",
        ),
        (
            "server user add lea --docroot root --read-only --write-only STATE",
            2,
            "cannot be used with",
        ),
        ("server user add lea --docrot root", 2, "--docroot"),
        (
            "server user add lea --docroot root --rate-cap 0 STATE",
            2,
            "out of range",
        ),
        ("server user lst", 2, "'list'"),
        ("uplaod", 2, "unrecognized subcommand"),
    ] {
        let run = desk.run(line);
        assert_eq!(run.status, status, "{line}: {}", run.err);
        assert!(run.err.contains(part), "{line}: {}", run.err);
        assert!(run.err.starts_with("error: "), "{line}: {}", run.err);
        assert_eq!(run.out, "", "{line}");
    }
    assert!(
        !desk.path("state/users.json").exists(),
        "a mistake writes nothing"
    );
}

#[test]
fn with_json_an_error_is_an_object_too() {
    let desk = Desk::new();
    let run = desk.run("server user remove lea --json STATE");
    let object: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(object["event"], "error");
    assert_eq!(object["code"], 8);
    assert_eq!(object["hint"], "connect-cli server user list");
}

#[test]
fn quiet_says_nothing_when_all_is_well() {
    let desk = Desk::new();
    let run = desk.run("-q server user add lea --docroot root --authorized-key key.pub STATE");
    assert_eq!(
        (run.status, run.out.as_str(), run.err.as_str()),
        (0, "", "")
    );
}

#[test]
fn c3_files_open_to_others_are_refused() {
    let desk = Desk::new();
    desk.add("lea");
    fs::set_permissions(
        desk.path("state/users.json"),
        fs::Permissions::from_mode(0o644),
    )
    .unwrap();
    let run = desk.run("server user list STATE");
    assert_eq!(run.status, 1);
    assert_eq!(
        run.err,
        "error: 'state/users.json' is open to other accounts (mode 644) (FASP code 50)\n\n\
         hint: chmod 600 'state/users.json'\n"
    );
    // P-8: a key file that others can write would let them in.
    fs::set_permissions(desk.path("key.pub"), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(desk.add("ben").err.contains("hint: chmod 644 'key.pub'"));
}

#[test]
fn c4_a_password_is_in_no_output_and_not_in_the_file() {
    let desk = Desk::new();
    let line = "server user add lea --docroot root --password-stdin --json STATE";
    let run = desk.run_with_input(line, "topsecret\r\n");
    assert_eq!(run.status, 0);
    let file = fs::read_to_string(desk.path("state/users.json")).unwrap();
    for text in [run.out, run.err, file] {
        assert!(!text.contains("topsecret"), "{text}");
    }
}

#[test]
fn concurrent_commands_lose_no_account() {
    let desk = Desk::new();
    thread::scope(|scope| {
        for number in 0..8 {
            let desk = &desk;
            scope.spawn(move || assert_eq!(desk.add(&format!("user{number}")).status, 0));
        }
    });
    assert_eq!(
        desk.run("server user list --json STATE")
            .out
            .lines()
            .count(),
        8
    );
}

#[test]
fn completions_and_manual_pages_are_made() {
    let desk = Desk::new();
    let script = desk.run("completions bash");
    assert_eq!(script.status, 0);
    assert!(script.out.contains("complete -F"), "{}", script.out);
    fs::create_dir(desk.path("man1")).unwrap();
    assert_eq!(desk.run("man man1").status, 0);
    let page = fs::read_to_string(desk.path("man1/connect-cli-server-user-add.1")).unwrap();
    assert!(page.contains("docroot"));
    assert_eq!(desk.run("man gone").status, 1);
}

#[test]
fn help_and_version_succeed_on_standard_output() {
    let desk = Desk::new();
    for line in ["--help", "--version", "server user add --help"] {
        let run = desk.run(line);
        assert_eq!(run.status, 0, "{line}");
        assert!(!run.out.is_empty() && run.err.is_empty(), "{line}");
    }
    let nothing = desk.run("");
    assert_eq!(nothing.status, 2);
    assert!(
        nothing.err.contains("Usage: connect-cli"),
        "{}",
        nothing.err
    );
}
