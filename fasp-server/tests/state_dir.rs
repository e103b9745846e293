//! The state directory, the users file and the log, on a real file system.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    sync::Arc,
    thread,
};

use fasp_core::ErrorCode;
use fasp_server::{
    Error,
    log::{LOG_FILES_KEPT, LogFile, LogFormat},
    state::StateDir,
    users::{PasswordHash, USERS_FILE, User, UserRoot, UserStore},
};
use tempfile::TempDir;
use tracing::Level;

struct Bed {
    temp: TempDir,
    state: Arc<StateDir>,
}

impl Bed {
    fn new() -> Self {
        let temp = TempDir::new().unwrap();
        let state = Arc::new(StateDir::open(&temp.path().join("state")).unwrap());
        Self { temp, state }
    }

    fn store(&self) -> UserStore {
        UserStore::new(Arc::clone(&self.state))
    }

    fn users_file(&self) -> std::path::PathBuf {
        self.state.path().join(USERS_FILE)
    }
}

fn user(name: &str) -> User {
    let root = UserRoot::new(Path::new("/srv/files")).unwrap();
    User::new(name.parse().unwrap(), root)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_new_directory_is_private_with_all_its_files() {
    let bed = Bed::new();
    let nested = bed.temp.path().join("a/b/c");
    StateDir::open(&nested).unwrap();
    assert_eq!(mode(&nested), 0o700);
    let store = bed.store();
    store.edit(|users| users.add(user("lea"))).unwrap();
    let _lock = bed.state.lock_server().unwrap();
    assert_eq!(mode(bed.state.path()), 0o700);
    for entry in fs::read_dir(bed.state.path()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn c3_a_directory_or_users_file_open_to_others_is_refused() {
    let bed = Bed::new();
    bed.store().edit(|users| users.add(user("lea"))).unwrap();
    for wrong in [0o640, 0o604, 0o660, 0o666] {
        set_mode(&bed.users_file(), wrong);
        let error = bed.store().current().unwrap_err();
        assert!(matches!(error, Error::TooOpen { .. }), "{wrong:o}: {error}");
        assert_eq!(error.code(), ErrorCode::BadConfiguration);
        assert!(error.hint().unwrap().starts_with("chmod 600"));
    }
    set_mode(bed.state.path(), 0o755);
    let error = StateDir::open(bed.state.path()).unwrap_err();
    assert!(error.hint().unwrap().starts_with("chmod 700"), "{error}");
}

#[test]
fn a_link_in_the_place_of_the_users_file_is_not_followed() {
    let bed = Bed::new();
    let elsewhere = bed.temp.path().join("elsewhere");
    fs::write(&elsewhere, br#"{"version":1,"users":[]}"#).unwrap();
    set_mode(&elsewhere, 0o600);
    symlink(&elsewhere, bed.users_file()).unwrap();
    assert!(bed.store().current().is_err());
}

#[test]
fn d9_a_directory_has_one_server() {
    let bed = Bed::new();
    let lock = bed.state.lock_server().unwrap();
    let other = StateDir::open(bed.state.path()).unwrap();
    assert!(matches!(other.lock_server(), Err(Error::InUse(_))));
    drop(lock);
    assert!(other.lock_server().is_ok());
}

#[test]
fn accounts_survive_a_round_trip() {
    let bed = Bed::new();
    let mut lea = user("lea");
    lea.password = Some(PasswordHash::new(b"secret").unwrap());
    lea.permissions.write = false;
    lea.rate_cap_kbps = Some(100_000);
    bed.store().edit(|users| users.add(lea.clone())).unwrap();
    let users = bed.store().current().unwrap();
    assert_eq!(users.find(&lea.name), Some(&lea));
    assert!(users.verify_password("lea", b"secret").is_some());
    let text = fs::read_to_string(bed.users_file()).unwrap();
    assert!(text.contains("$argon2id$") && !text.contains("secret"));
}

#[test]
fn a_changed_file_is_read_again_and_an_unchanged_one_is_not() {
    let bed = Bed::new();
    let (reader, writer) = (bed.store(), bed.store());
    assert_eq!(reader.current().unwrap().iter().count(), 0);
    writer.edit(|users| users.add(user("lea"))).unwrap();
    let first = reader.current().unwrap();
    assert_eq!(first.iter().count(), 1);
    assert!(Arc::ptr_eq(&first, &reader.current().unwrap()));
    writer
        .edit(|users| users.remove(&user("lea").name))
        .unwrap();
    assert_eq!(reader.current().unwrap().iter().count(), 0);
}

#[test]
fn a_damaged_file_admits_nobody_and_is_not_overwritten() {
    let bed = Bed::new();
    let store = bed.store();
    store.edit(|users| users.add(user("lea"))).unwrap();
    assert!(store.current().is_ok());
    for damaged in [
        "",
        "{",
        r#"{"version":1}"#,
        r#"{"version":1,"users":[{"name":"a/b","docroot":"/x"}]}"#,
        r#"{"version":1,"users":[{"docroot":"/x"}]}"#,
        r#"{"version":1,"users":[{"name":"a","docroot":"/x","pasword":"y"}]}"#,
        r#"{"version":1,"users":[{"name":"a","docroot":"/x"},{"name":"a","docroot":"/y"}]}"#,
    ] {
        fs::write(bed.users_file(), damaged).unwrap();
        assert!(
            matches!(store.current(), Err(Error::UsersFile { .. })),
            "{damaged}"
        );
        assert!(store.edit(|users| users.add(user("ben"))).is_err());
        assert_eq!(fs::read_to_string(bed.users_file()).unwrap(), damaged);
    }
    fs::write(bed.users_file(), r#"{"version":2,"accounts":{}}"#).unwrap();
    assert!(matches!(
        store.current(),
        Err(Error::UsersVersion { version: 2, .. })
    ));
}

#[test]
fn an_edit_that_fails_changes_nothing() {
    let bed = Bed::new();
    let store = bed.store();
    store.edit(|users| users.add(user("lea"))).unwrap();
    let before = fs::read(bed.users_file()).unwrap();
    let result = store.edit(|users| {
        users.add(user("ben"))?;
        users.add(user("lea"))
    });
    assert!(matches!(result, Err(Error::UserExists(_))));
    assert_eq!(fs::read(bed.users_file()).unwrap(), before);
}

#[test]
fn an_interrupted_edit_does_not_stop_the_next_one() {
    let bed = Bed::new();
    fs::write(bed.state.path().join("users.json.new"), "half").unwrap();
    bed.store().edit(|users| users.add(user("lea"))).unwrap();
    assert_eq!(bed.store().current().unwrap().iter().count(), 1);
}

#[test]
fn concurrent_edits_lose_nothing() {
    let bed = Bed::new();
    let (writers, each) = (4, 8);
    thread::scope(|scope| {
        for writer in 0..writers {
            // A directory of its own each, as separate processes have: the lock is what keeps them apart.
            let state = Arc::new(StateDir::open(bed.state.path()).unwrap());
            scope.spawn(move || {
                let store = UserStore::new(state);
                for number in 0..each {
                    let name = format!("user-{writer}-{number}");
                    store.edit(|users| users.add(user(&name))).unwrap();
                }
            });
        }
    });
    assert_eq!(
        bed.store().current().unwrap().iter().count(),
        writers * each
    );
}

#[test]
fn p15_a_log_record_is_one_line_whatever_a_peer_calls_itself() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let bed = Bed::new();
        let file = Arc::new(LogFile::open(Arc::clone(&bed.state)).unwrap());
        let log = fasp_server::log::subscriber(format, Level::INFO, file);
        let hostile = "x\n2026-01-01 LOG faked\u{1b}[2J\u{202e} a=\"b\"";
        tracing::subscriber::with_default(log, || {
            tracing::info!(peer = hostile, count = 3, "FASP {hostile}");
            tracing::info!(display = %hostile, debug = ?hostile, long = "y".repeat(9000), "second");
            tracing::debug!("not logged");
        });
        let text = fs::read_to_string(bed.state.log_path()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().all(|line| line.len() <= 4096));
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        assert_eq!(mode(&bed.state.log_path()), 0o600);
    }
}

#[test]
fn full_log_files_move_aside_and_the_oldest_goes() {
    let bed = Bed::new();
    let file = Arc::new(LogFile::named(Arc::clone(&bed.state), "server.log", 200).unwrap());
    let log = fasp_server::log::subscriber(LogFormat::Text, Level::INFO, file);
    tracing::subscriber::with_default(log, || {
        for number in 0..100 {
            tracing::info!(
                number,
                "a line of some length, so that few of them fill a file"
            );
        }
    });
    // One of them is the lock of those who rotate.
    let files = fs::read_dir(bed.state.path()).unwrap().count();
    assert_eq!(files, LOG_FILES_KEPT as usize + 2);
    let newest = fs::read_to_string(bed.state.log_path()).unwrap();
    assert!(newest.contains("number=99"), "{newest}");
}

#[test]
fn two_writers_of_one_log_lose_no_record_when_it_moves_aside() {
    let bed = Bed::new();
    let open = || LogFile::named(Arc::clone(&bed.state), "shared.log", 4000).unwrap();
    thread::scope(|scope| {
        for writer in 0..4 {
            let log = open();
            scope.spawn(move || {
                for number in 0..100 {
                    let line = format!("{writer} {number} {}\n", "x".repeat(40));
                    (&log).write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
    let mut lines = BTreeSet::new();
    for number in 0..=LOG_FILES_KEPT {
        if let Some(mut file) = bed.state.read_log("shared.log", number).unwrap() {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            lines.extend(text.lines().map(str::to_owned));
        }
    }
    assert_eq!(lines.len(), 400);
}
