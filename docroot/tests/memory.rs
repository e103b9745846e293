//! Small files where files lie in memory: they have no name before they are published.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up, also outside the test functions"
)]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use docroot::{CommitGroup, Dir, Docroot, Error, Existing, Finished, Metadata, Timestamp};
use rustix::fs::statfs;

/// `linux/magic.h`.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// One test at a time: only so many files of a process are without a name at once.
static ALONE: Mutex<()> = Mutex::new(());

/// A directory in memory; nothing where there is none.
fn bed() -> Option<(tempfile::TempDir, Dir, MutexGuard<'static, ()>)> {
    let place = Path::new("/dev/shm");
    if !statfs(place).is_ok_and(|stat| stat.f_type as u64 == TMPFS_MAGIC) {
        println!("skipped: there is no memory-backed /dev/shm");
        return None;
    }
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let temp = tempfile::tempdir_in(place).unwrap();
    let dir = Docroot::open(temp.path()).unwrap().root_dir().unwrap();
    Some((temp, dir, alone))
}

fn small(dir: &Dir, name: &str, content: &str, existing: Existing) -> Finished {
    let metadata = Metadata {
        mode: Some(0o640),
        mtime: Some(Timestamp {
            seconds: 1_700_000_000,
            nanos: 5,
        }),
        ..Metadata::default()
    };
    dir.create_small(name.as_bytes(), content.as_bytes(), &metadata, existing)
        .unwrap()
}

fn names(temp: &tempfile::TempDir) -> usize {
    fs::read_dir(temp.path()).unwrap().count()
}

#[test]
fn a_file_has_no_name_until_it_is_published_and_is_complete_then() {
    let Some((temp, dir, _alone)) = bed() else {
        return;
    };
    let file = small(&dir, "a", "content", Existing::Refuse);
    assert_eq!(names(&temp), 0);
    assert!(!file.needs_sync());
    let mut group = CommitGroup::new();
    group.add((), file);
    group.commit().remove(0).1.unwrap();
    let path = temp.path().join("a");
    let found = fs::metadata(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"content");
    assert_eq!((found.mode() & 0o7777, found.nlink()), (0o640, 1));
    assert_eq!((found.mtime(), found.mtime_nsec()), (1_700_000_000, 5));
}

#[test]
fn a_file_that_is_dropped_leaves_nothing() {
    let Some((temp, dir, _alone)) = bed() else {
        return;
    };
    drop(small(&dir, "a", "content", Existing::Refuse));
    assert_eq!(names(&temp), 0);
}

#[test]
fn what_has_the_name_is_refused_replaced_or_saved_as_ever() {
    let Some((temp, dir, _alone)) = bed() else {
        return;
    };
    let publish = |name: &str, content: &str, existing| {
        let mut group = CommitGroup::new();
        group.add((), small(&dir, name, content, existing));
        group.commit().remove(0).1
    };
    let content = |name: &str| fs::read_to_string(temp.path().join(name)).unwrap();
    publish("a", "first", Existing::RefuseOther).unwrap();
    publish("a", "first", Existing::RefuseOther).unwrap();
    for existing in [Existing::Refuse, Existing::RefuseOther] {
        let refused = publish("a", "other", existing);
        assert!(matches!(refused, Err(Error::AlreadyExists)), "{refused:?}");
    }
    assert_eq!(content("a"), "first");
    publish("a", "second", Existing::Replace).unwrap();
    assert_eq!((content("a").as_str(), names(&temp)), ("second", 1));
    publish("a", "third", Existing::Save).unwrap();
    assert_eq!((content("a").as_str(), names(&temp)), ("third", 2));
    fs::create_dir(temp.path().join("d")).unwrap();
    let refused = publish("d", "x", Existing::Replace);
    assert!(matches!(refused, Err(Error::IsADirectory)), "{refused:?}");
    assert_eq!(names(&temp), 3, "nothing is left over");
}

/// They are open until then, and a process may not have any number of files open.
#[test]
fn of_very_many_the_later_ones_get_temporary_names() {
    const FILES: usize = 1500;
    let Some((temp, dir, _alone)) = bed() else {
        return;
    };
    let mut group = CommitGroup::new();
    for n in 0..FILES {
        group.add(n, small(&dir, &n.to_string(), "x", Existing::Refuse));
    }
    let named = names(&temp);
    assert!((FILES - 1024..FILES).contains(&named), "{named}");
    assert!(group.commit().iter().all(|(_, result)| result.is_ok()));
    assert_eq!(names(&temp), FILES);
    // Their places are free again.
    let file = small(&dir, "one more", "x", Existing::Refuse);
    assert_eq!(names(&temp), FILES);
    drop(file);
}
