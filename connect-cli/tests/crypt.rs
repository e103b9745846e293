//! `crypt` as people run it: names, results, exit status, and what is left on the disk.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

const WORDS: &str = "correct horse battery staple";

struct Bed {
    temp: TempDir,
}

struct Run {
    status: i32,
    out: String,
    err: String,
}

impl Bed {
    fn new(files: &[(&str, &str)]) -> Self {
        let bed = Self {
            temp: TempDir::new().unwrap(),
        };
        for (name, content) in files {
            bed.write(name, content.as_bytes());
        }
        bed
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Every name in a directory, hidden ones too.
    fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(directory)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn run(&self, line: &str) -> Run {
        self.run_with(line, Some(WORDS), "")
    }

    fn run_with(&self, line: &str, words: Option<&str>, input: &str) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_connect-cli"));
        command
            .arg("crypt")
            .args(line.split_whitespace())
            .current_dir(self.temp.path())
            .env("NO_COLOR", "1")
            .env_remove("ASPERA_SCP_FILEPASS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(words) = words {
            command.env("ASPERA_SCP_FILEPASS", words);
        }
        let mut child = command.spawn().unwrap();
        // A program that does not read its input closes it, which is no failure of the test.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let run = Run {
            status: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        // Rule C-4, U7
        let secrets = words.into_iter().chain(input.lines());
        for words in secrets.filter(|words| words.len() > 5) {
            assert!(!run.out.contains(words) && !run.err.contains(words));
        }
        run
    }

    fn done(&self, line: &str) -> Run {
        let run = self.run(line);
        assert_eq!(run.status, 0, "{line}: {}", run.err);
        run
    }
}

fn events(run: &Run) -> Vec<serde_json::Value> {
    run.out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_tree_is_encrypted_beside_its_files_and_decrypted_again() {
    let bed = Bed::new(&[
        ("d/a.txt", "first"),
        ("d/sub/b", ""),
        ("d/sub/c.tar.gz", "third"),
    ]);
    bed.write("d/big", &vec![7; (33 << 20) + 5]);
    fs::set_permissions(bed.path("d/a.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let file = fs::File::options()
        .write(true)
        .open(bed.path("d/a.txt"))
        .unwrap();
    file.set_modified(long_ago).unwrap();

    let run = bed.done("encrypt d");
    assert_eq!(
        run.out,
        "encrypted d/a.txt -> d/a.txt.aspera-env\n\
         encrypted d/big -> d/big.aspera-env\n\
         encrypted d/sub/b -> d/sub/b.aspera-env\n\
         encrypted d/sub/c.tar.gz -> d/sub/c.tar.gz.aspera-env\n"
    );
    assert_eq!(bed.read("d/a.txt.aspera-env").len(), 5 + 120);
    assert_eq!(bed.read("d/sub/b.aspera-env").len(), 120);
    assert_eq!(
        bed.read("d/big.aspera-env").len(),
        (33 << 20) + 5 + 104 + 16 * 34
    );
    assert_eq!(bed.text("d/a.txt"), "first", "the files stay");
    // Rule E-3: one salt, one derivation.
    assert_eq!(
        bed.read("d/a.txt.aspera-env")[..10],
        bed.read("d/big.aspera-env")[..10]
    );
    assert_eq!(
        bed.read("d/a.txt.aspera-env")[12..32],
        bed.read("d/big.aspera-env")[12..32]
    );

    for name in ["d/a.txt", "d/sub/b", "d/big"] {
        fs::rename(
            bed.path(name),
            bed.path(&format!("was-{}", name.replace('/', "-"))),
        )
        .unwrap();
    }
    let run = bed.done("decrypt d");
    assert!(
        run.out
            .contains("decrypted d/a.txt.aspera-env -> d/a.txt\n"),
        "{}",
        run.out
    );
    assert!(
        run.out.contains("-> d/sub/c.tar(decrypted).gz\n"),
        "{}",
        run.out
    );
    assert_eq!(bed.text("d/a.txt"), "first");
    assert_eq!(bed.read("d/big"), bed.read("was-d-big"));
    assert_eq!(bed.text("d/sub/c.tar(decrypted).gz"), "third");
    let metadata = fs::metadata(bed.path("d/a.txt")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o640);
    assert_eq!(metadata.modified().unwrap(), long_ago);
    assert_eq!(
        bed.names("d"),
        ["a.txt", "a.txt.aspera-env", "big", "big.aspera-env", "sub"],
        "nothing unfinished is left"
    );
}

// Rule E-5, F109
#[test]
fn a_plain_name_that_is_taken_is_left_alone() {
    let bed = Bed::new(&[("p.CR2", "mine"), ("out", "outside")]);
    bed.done("encrypt p.CR2");
    bed.write("p.CR2", b"edited since");
    bed.write("p(decrypted).CR2", b"older");
    bed.done("decrypt p.CR2.aspera-env");
    assert_eq!(bed.text("p.CR2"), "edited since");
    assert_eq!(bed.text("p(decrypted).CR2"), "mine");

    // A link at either name is not followed.
    fs::remove_file(bed.path("p.CR2")).unwrap();
    fs::remove_file(bed.path("p(decrypted).CR2")).unwrap();
    symlink("out", bed.path("p.CR2")).unwrap();
    symlink("out", bed.path("p(decrypted).CR2")).unwrap();
    bed.done("decrypt p.CR2.aspera-env");
    assert_eq!(bed.text("out"), "outside");
    assert!(
        fs::symlink_metadata(bed.path("p(decrypted).CR2"))
            .unwrap()
            .is_file()
    );
    assert_eq!(bed.text("p(decrypted).CR2"), "mine");

    bed.write(".aspera-env", &bed.read("p.CR2.aspera-env"));
    let run = bed.run("decrypt .aspera-env");
    assert_eq!(run.status, 1, "{}", run.err);
    // A renamed envelope opens when it is named.
    fs::rename(bed.path("p.CR2.aspera-env"), bed.path("renamed.bin")).unwrap();
    bed.done("decrypt renamed.bin");
    assert_eq!(bed.text("renamed(decrypted).bin"), "mine");
}

// Rule E-4
#[test]
fn a_wrong_passphrase_for_some_files_does_not_stop_the_others() {
    let bed = Bed::new(&[("d/a", "a"), ("d/b", "b"), ("d/c", "c")]);
    bed.done("encrypt d/a d/c");
    assert_eq!(
        bed.run_with("encrypt d/b", Some("another passphrase"), "")
            .status,
        0
    );
    for name in ["d/a", "d/b", "d/c"] {
        fs::remove_file(bed.path(name)).unwrap();
    }
    let run = bed.run("decrypt d");
    assert_eq!(run.status, 3);
    assert_eq!(run.out.lines().count(), 2);
    assert!(
        run.err
            .contains("failed: d/b.aspera-env: wrong passphrase (FASP code 49)\n"),
        "{}",
        run.err
    );
    assert!(
        run.err
            .contains("error: 1 of 3 files failed (FASP code 27)"),
        "{}",
        run.err
    );
    assert_eq!(
        bed.names("d"),
        ["a", "a.aspera-env", "b.aspera-env", "c", "c.aspera-env"]
    );

    let alone = bed.run("decrypt d/b.aspera-env");
    assert_eq!(alone.status, 1);
    assert!(
        alone
            .err
            .starts_with("error: 'd/b.aspera-env': wrong passphrase (FASP code 49)\n\nhint: "),
        "{}",
        alone.err
    );

    let events = events(&bed.run("verify --json d"));
    let kinds: Vec<_> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["file_done", "file_failed", "file_done", "done", "error"]
    );
    assert_eq!(events[1]["code"], 49);
    assert_eq!(events[3]["files_failed"], 1);
    assert_eq!(events[4]["code"], 27);
}

// F101, F102, F103: through the program.
#[test]
fn damaged_envelopes_are_refused_and_leave_nothing_behind() {
    let bed = Bed::new(&[("in/small", "some content"), ("in/other", "some content")]);
    let content: Vec<u8> = (0..(33u32 << 20)).map(|i| i as u8).collect();
    bed.write("in/large", &content);
    bed.done("encrypt in");
    let small = bed.read("in/small.aspera-env");
    let large = bed.read("in/large.aspera-env");
    let chunk = (1 << 20) + 16;
    let changed = |of: &[u8], change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = of.to_vec();
        change(&mut bytes);
        bytes
    };
    let flip = |at: usize| move |e: &mut Vec<u8>| e[at] ^= 1;
    let other = bed.read("in/other.aspera-env");
    let cases = BTreeMap::from([
        ("cut", changed(&small, &|e| e.truncate(small.len() - 1))),
        ("cut-to-header", changed(&small, &|e| e.truncate(104))),
        ("empty", Vec::new()),
        ("flip-body", changed(&small, &flip(110))),
        ("flip-header", changed(&small, &flip(70))),
        ("flip-magic", changed(&small, &flip(1))),
        (
            "graft",
            changed(&small, &|e| e[104..].copy_from_slice(&other[104..])),
        ),
        ("large-append", changed(&large, &|e| e.push(0))),
        (
            "large-cut",
            changed(&large, &|e| e.truncate(104 + 20 * chunk + 500)),
        ),
        ("large-flip-first", changed(&large, &flip(104))),
        (
            "large-flip-last",
            changed(&large, &|e| *e.last_mut().unwrap() ^= 1),
        ),
        (
            "large-swap",
            changed(&large, &|e| {
                e[104 + chunk..104 + 3 * chunk].rotate_left(chunk);
            }),
        ),
    ]);
    for (name, bytes) in &cases {
        bed.write(&format!("out/{name}.aspera-env"), bytes);
    }
    let before = bed.names("out");
    let run = bed.run("decrypt --json out");
    assert_eq!(run.status, 3, "{}", run.err);
    assert_eq!(bed.names("out"), before, "no output, whole or half");
    let failed: BTreeMap<_, _> = events(&run)
        .into_iter()
        .filter(|event| event["event"] == "file_failed")
        .map(|event| {
            let path = event["path"].as_str().unwrap().to_owned();
            assert_eq!(event["code"], 48, "{path}");
            (path, event["message"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(failed.len(), cases.len());
    for (name, message) in [
        ("empty", "cut short"),
        ("flip-body", "chunk 0"),
        ("flip-header", "header of the envelope is damaged"),
        ("flip-magic", "not an envelope"),
        ("large-append", "chunk 33"),
        ("large-cut", "chunk 20"),
        ("large-flip-last", "chunk 33"),
        ("large-swap", "chunk 1"),
    ] {
        let told = &failed[&format!("out/{name}.aspera-env")];
        assert!(told.contains(message), "{name}: {told}");
    }
}

#[test]
fn what_is_protected_or_unfinished_already_is_skipped_and_copies_are_kept() {
    let bed = Bed::new(&[
        ("d/a", "a"),
        ("d/x.partial", "half"),
        ("d/y.aspera-env.rekey", "saved"),
    ]);
    symlink("a", bed.path("d/link")).unwrap();
    bed.done("encrypt d/a");
    let first = bed.read("d/a.aspera-env");
    let run = bed.run("encrypt d");
    assert_eq!(run.status, 1, "{}", run.out);
    assert!(
        run.err
            .contains("exists already (FASP code 42)\n\nhint: add --overwrite"),
        "{}",
        run.err
    );
    assert!(
        run.out
            .contains("skipped d/a.aspera-env: it is protected already\n"),
        "{}",
        run.out
    );
    assert!(run.out.contains("skipped d/x.partial: "), "{}", run.out);
    assert!(
        run.out.contains("skipped d/y.aspera-env.rekey: "),
        "{}",
        run.out
    );
    assert_eq!(bed.read("d/a.aspera-env"), first);
    bed.done("encrypt --overwrite d");
    assert_ne!(bed.read("d/a.aspera-env"), first);
    assert!(!bed.names("d").contains(&"link.aspera-env".to_owned()));
    let link = bed.run("encrypt d/link");
    assert!(link.err.contains("symbolic link"), "{}", link.err);
}

#[test]
fn inspect_needs_no_passphrase() {
    let bed = Bed::new(&[
        ("a", "some content"),
        (
            "b.aspera-env",
            "not one of ours, but long enough to have a header of the right length; that of others has another form",
        ),
    ]);
    bed.done("encrypt a");
    let run = bed.run_with("inspect a.aspera-env", None, "");
    assert_eq!(run.status, 0, "{}", run.err);
    assert!(
        run.out.starts_with(
            "a.aspera-env: 12 bytes, AES-256-GCM in 1 chunk of up to 32.0 MiB, Argon2id with 64.0 MiB, 3 passes, 4 lanes, batch "
        ),
        "{}",
        run.out
    );
    let run = bed.run_with("inspect --json .", None, "");
    assert_eq!(run.status, 3);
    let events = events(&run);
    assert_eq!(events[0]["size"], 12);
    assert_eq!(events[0]["envelope_size"], 132);
    assert_eq!(events[1]["code"], 48);
}

// Rule E-10
#[test]
fn another_passphrase_opens_the_same_content() {
    let bed = Bed::new(&[("a", "some content")]);
    bed.done("encrypt a");
    let before = bed.read("a.aspera-env");
    let line = "rekey --passphrase-fd 0 --new-passphrase-fd 0 a.aspera-env";
    let input = format!("{WORDS}\nthe new passphrase\n");
    let run = bed.run_with(line, None, &input);
    assert_eq!(run.status, 0, "{}", run.err);
    assert!(
        run.err.contains("copies made earlier still open"),
        "{}",
        run.err
    );
    let after = bed.read("a.aspera-env");
    assert_eq!(before[..12], after[..12]);
    assert_ne!(before[16..104], after[16..104]);
    assert_eq!(before[104..], after[104..]);
    assert_eq!(
        bed.names("."),
        ["a", "a.aspera-env"],
        "the saved header is gone"
    );
    assert_eq!(bed.run("verify a.aspera-env").status, 1);
    let new = bed.run_with("verify a.aspera-env", Some("the new passphrase"), "");
    assert_eq!(new.status, 0, "{}", new.err);
    let wrong = bed.run_with(line, None, "a wrong one here\nthe new passphrase\n");
    assert!(wrong.err.contains("FASP code 49"), "{}", wrong.err);
    assert_eq!(bed.read("a.aspera-env"), after);
    assert_eq!(bed.names("."), ["a", "a.aspera-env"]);
}

// Rule E-10, F7: wherever a change of passphrase was interrupted, the envelope opens.
#[test]
fn an_interrupted_change_of_passphrase_is_mended() {
    let bed = Bed::new(&[("a", "some content")]);
    bed.done("encrypt a");
    let good = bed.read("a.aspera-env");
    let mut torn = good.clone();
    torn[40..104].fill(0xaa);
    // Between saving the old header and writing the new one; in the middle of that.
    for state in [&good, &torn] {
        bed.write("a.aspera-env", state);
        bed.write("a.aspera-env.rekey", &good[..104]);
        bed.done("verify a.aspera-env");
        assert_eq!(bed.read("a.aspera-env"), **state, "verify writes nothing");
        bed.done("decrypt a.aspera-env");
        assert_eq!(bed.text("a(decrypted)"), "some content");
        assert_eq!(bed.read("a.aspera-env"), good);
    }
    assert!(!bed.names(".").contains(&"a.aspera-env.rekey".to_owned()));
    // A saved header of something else does not open it.
    bed.write("a.aspera-env", &torn);
    bed.write("a.aspera-env.rekey", b"no header");
    let run = bed.run("decrypt a.aspera-env");
    assert!(run.err.contains("FASP code 48"), "{}", run.err);
    assert_eq!(bed.read("a.aspera-env"), torn);
}

// F100
#[test]
fn passphrases_that_cannot_be_are_refused_before_anything_is_written() {
    let bed = Bed::new(&[("a", "a")]);
    let long = "x".repeat(1025);
    for (words, input, line, status, part) in [
        (None, "", "encrypt a", 2, "hint: set ASPERA_SCP_FILEPASS"),
        (Some(""), "", "encrypt a", 1, "the passphrase is empty"),
        (
            Some(&long[..]),
            "",
            "encrypt a",
            1,
            "longer than 1024 bytes",
        ),
        (
            None,
            "\n",
            "encrypt --passphrase-fd 0 a",
            1,
            "the passphrase is empty",
        ),
        (
            None,
            &long,
            "encrypt --passphrase-fd 0 a",
            1,
            "longer than 1024 bytes",
        ),
        (
            None,
            "",
            "encrypt --passphrase-fd 77 a",
            1,
            "cannot read the passphrase",
        ),
        (Some(WORDS), "", "encrypt gone", 1, "FASP code 4)"),
        (Some(WORDS), "", "encrypt", 2, "required"),
    ] {
        let run = bed.run_with(line, words, input);
        assert_eq!(run.status, status, "{line}: {}", run.err);
        assert!(run.err.contains(part), "{line}: {}", run.err);
        assert_eq!(bed.names("."), ["a"], "{line}");
    }
    let short = bed.run_with("encrypt --passphrase-fd 0 a", None, "short\r\n");
    assert_eq!(short.status, 0, "{}", short.err);
    assert!(
        short
            .err
            .contains("warning: the passphrase has fewer than 12 characters")
    );
    // NFC and NFD are one passphrase.
    bed.write("b", b"b");
    assert_eq!(
        bed.run_with("encrypt b", Some("pass na\u{ef}ve word"), "")
            .status,
        0
    );
    let decomposed = bed.run_with("verify b.aspera-env", Some("pass nai\u{308}ve word"), "");
    assert_eq!(decomposed.status, 0, "{}", decomposed.err);
}

// C-4: what other processes of the account can see of a running command.
#[test]
fn nobody_reads_the_environment_of_a_running_command() {
    let bed = Bed::new(&[("a", "a")]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_connect-cli"))
        .args(["crypt", "encrypt", "--passphrase-fd", "0", "a"])
        .current_dir(bed.temp.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It waits for the passphrase; a process that is not dumpable belongs to root in /proc.
    let start = std::time::Instant::now();
    loop {
        let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        if core.is_some_and(|line| line.split_whitespace().nth(4) == Some("0")) {
            break;
        }
        assert!(start.elapsed().as_secs() < 20, "{limits}");
        std::thread::yield_now();
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn the_help_says_what_it_cannot_open() {
    let bed = Bed::new(&[]);
    for line in ["encrypt --help", "decrypt --help"] {
        let help = bed.done(line).out;
        assert!(help.contains("IBM's"), "{help}");
        assert!(help.contains("Examples:"), "{help}");
    }
}
