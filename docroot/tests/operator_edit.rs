//! Editing a file that the operator names by its whole path.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up, also outside the test functions"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;

use docroot::{Error, edit_operator_file};

fn append(path: &Path, text: &str) -> Result<bool, Error> {
    edit_operator_file(path, 1000, 0o640, |old| {
        Ok(Some([old.unwrap_or_default(), text.as_bytes()].concat()))
    })
}

// Rule D-4.
#[test]
fn an_edit_keeps_mode_and_owner_and_leaves_nothing_but_its_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conf");
    assert!(append(&path, "a").unwrap());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    // Only root may give a file away.
    let is_root = chown(&path, Some(0), Some(12345)).is_ok();
    assert!(append(&path, "b").unwrap());
    assert_eq!(fs::read_to_string(&path).unwrap(), "ab");
    let after = fs::metadata(&path).unwrap();
    assert_eq!(after.mode() & 0o777, 0o604);
    assert!(!is_root || after.gid() == 12345);
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["conf", "conf.lock"]);
}

#[test]
fn an_edit_that_changes_nothing_or_fails_leaves_the_very_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conf");
    fs::write(&path, "a").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    assert!(!append(&path, "").unwrap());
    assert!(!edit_operator_file(&path, 1000, 0o600, |_| Ok::<_, Error>(None)).unwrap());
    let failed = edit_operator_file(&path, 1000, 0o600, |_| Err(Error::AlreadyExists));
    assert!(matches!(failed, Err(Error::AlreadyExists)));
    let over = edit_operator_file(&path, 0, 0o600, |_| Ok::<_, Error>(None));
    assert!(matches!(over, Err(Error::OverLimit { limit: 0 })));
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    let missing = append(&dir.path().join("none/conf"), "a");
    assert!(matches!(missing, Err(Error::NotFound)));
}

#[test]
fn a_link_of_ours_stays_a_link() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("real")).unwrap();
    fs::write(dir.path().join("real/conf"), "a").unwrap();
    symlink("real/conf", dir.path().join("conf")).unwrap();
    assert!(append(&dir.path().join("conf"), "b").unwrap());
    assert!(dir.path().join("conf").is_symlink());
    let text = fs::read_to_string(dir.path().join("real/conf")).unwrap();
    assert_eq!(text, "ab");
}

#[test]
fn editors_at_once_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conf");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| assert!(append(&path, "x").unwrap())));
        }
    });
    assert_eq!(fs::read_to_string(&path).unwrap(), "x".repeat(40));
}
