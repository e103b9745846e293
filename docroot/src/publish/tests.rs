//! The order within a commit, failed syncs, and file systems without the newer calls.

use std::fs;

use super::steps::Step::{DirectorySynced, FileSynced, FilesystemSynced, Renamed};
use super::*;
use crate::{Metadata, Partial, PartialOptions, Timestamp};

/// Small files have temporary names here, wherever the system keeps its temporary files.
fn bed() -> (tempfile::TempDir, Docroot) {
    let dir = tempfile::tempdir().unwrap();
    let root = Docroot::open(dir.path()).unwrap();
    #[cfg(target_os = "linux")]
    root.root_dir()
        .unwrap()
        .filesystem()
        .has_nameless
        .set(false)
        .unwrap();
    (dir, root)
}

fn small(dir: &Dir, name: &str, existing: Existing) -> Finished {
    dir.create_small(name.as_bytes(), b"new", &Metadata::default(), existing)
        .unwrap()
}

fn partial(dir: &Dir, name: &str) -> Partial {
    let partial = dir
        .create_partial(name.as_bytes(), &PartialOptions::default())
        .unwrap();
    partial.write_all_at(b"new", 0).unwrap();
    partial
}

/// D-2: content, then names, then the directory, then the report.
#[test]
fn few_files_are_synced_singly_before_any_rename_and_the_directory_after() {
    let (_keep, root) = bed();
    let dir = root.root_dir().unwrap();
    let mut group = CommitGroup::new();
    group.add(
        1,
        partial(&dir, "a")
            .finish(&Metadata::default(), Existing::Refuse)
            .unwrap(),
    );
    group.add(2, small(&dir, "b", Existing::Refuse));
    steps::take();
    assert!(group.commit().iter().all(|(_, r)| r.is_ok()));
    assert_eq!(
        steps::take(),
        [FileSynced, FileSynced, Renamed, Renamed, DirectorySynced]
    );
}

/// F76: of two who publish the same, both are done; of two who publish different things, one is.
#[test]
fn f76_what_is_the_same_was_published_by_whoever_was_first() {
    let (keep, root) = bed();
    let dir = root.root_dir().unwrap();
    let metadata = Metadata {
        mtime: Some(Timestamp {
            seconds: 7,
            nanos: 8,
        }),
        ..Metadata::default()
    };
    let mut group = CommitGroup::new();
    for (n, content) in [b"one", b"one", b"two"].into_iter().enumerate() {
        let new = dir.create_small(b"a", content, &metadata, Existing::RefuseOther);
        group.add(n, new.unwrap());
    }
    let late = dir.create_small(b"a", b"one", &Metadata::default(), Existing::RefuseOther);
    group.add(3, late.unwrap());
    let results: Vec<_> = group.commit().into_iter().map(|(_, r)| r.is_ok()).collect();
    assert_eq!(results, [true, true, false, false]);
    assert_eq!(
        fs::read_dir(keep.path()).unwrap().count(),
        1,
        "nothing is left over"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn many_files_are_synced_at_once_before_any_rename_and_each_directory_after() {
    let (_keep, root) = bed();
    let dirs = [
        root.create_dirs(&EntryPath::parse(b"d").unwrap(), 0o777),
        root.root_dir(),
    ];
    let dirs = dirs.map(Result::unwrap);
    let mut group = CommitGroup::new();
    for n in 0..20 {
        group.add(n, small(&dirs[n % 2], &format!("f{n}"), Existing::Refuse));
    }
    steps::take();
    assert!(group.commit().iter().all(|(_, r)| r.is_ok()));
    let mut expected = vec![FilesystemSynced];
    expected.extend([Renamed; 20]);
    expected.extend([DirectorySynced; 2]);
    assert_eq!(steps::take(), expected);
}

/// The names above a new directory become durable with the first file in it, and only once.
#[test]
#[cfg(target_os = "linux")]
fn a_new_directory_is_made_durable_with_what_is_in_it() {
    let (_keep, root) = bed();
    let dir = root
        .create_dirs(&EntryPath::parse(b"a/b/c").unwrap(), 0o777)
        .unwrap();
    steps::take();
    for expected in [
        [FilesystemSynced, Renamed, DirectorySynced],
        [FileSynced, Renamed, DirectorySynced],
    ] {
        let mut group = CommitGroup::new();
        group.add((), small(&dir, "f", Existing::Replace));
        assert!(group.commit()[0].1.is_ok());
        assert_eq!(steps::take(), expected);
    }
    let empty = root
        .create_dirs(&EntryPath::parse(b"empty").unwrap(), 0o777)
        .unwrap();
    let mut group = CommitGroup::new();
    group.add_dir((), &empty);
    assert!(group.commit()[0].1.is_ok());
    assert_eq!(steps::take(), [FilesystemSynced, DirectorySynced]);
}

/// D-6, F29: nothing that was begun before a failed sync is published or kept.
#[test]
fn after_a_failed_sync_nothing_is_trusted() {
    let (place, root) = bed();
    let dir = root.root_dir().unwrap();
    let mut kept = partial(&dir, "a");
    kept.keep();
    let mut resumable = partial(&dir, "b");
    resumable.keep();
    let mut group = CommitGroup::new();
    group.add(
        1,
        kept.finish(&Metadata::default(), Existing::Refuse).unwrap(),
    );
    group.add(2, small(&dir, "c", Existing::Refuse));
    dir.filesystem().note_failure();
    let results = group.commit();
    assert!(
        results
            .iter()
            .all(|(_, r)| r.as_ref().unwrap_err().code().number() == 36)
    );
    let finished = resumable.finish(&Metadata::default(), Existing::Refuse);
    assert_eq!(finished.unwrap_err().code().number(), 36);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    // What is begun afterwards is trusted again.
    group.add(3, small(&dir, "c", Existing::Refuse));
    assert!(group.commit()[0].1.is_ok());
}

/// File systems without a rename that refuses to replace: the older means keep the promise.
#[test]
fn without_the_newer_rename_nothing_is_clobbered_either() {
    let (place, root) = bed();
    let dir = root.root_dir().unwrap();
    dir.filesystem()
        .renames_without_replacing
        .store(false, Ordering::Relaxed);
    fs::write(place.path().join("old"), b"old").unwrap();
    let mut group = CommitGroup::new();
    group.add("old", small(&dir, "old", Existing::Refuse));
    group.add("new", small(&dir, "new", Existing::Refuse));
    let results = group.commit();
    assert!(matches!(results[0].1, Err(Error::AlreadyExists)));
    assert!(results[1].1.is_ok());
    drop(results);
    group.add("old", small(&dir, "old", Existing::Replace));
    assert!(group.commit()[0].1.is_ok());
    assert_eq!(fs::read(place.path().join("old")).unwrap(), b"new");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
}

/// F25: a file that this account may not write is not replaced, although its directory would
/// allow it. The account is changed for one thread only.
#[test]
#[cfg(target_os = "linux")]
fn a_read_only_target_is_err_5() {
    use std::os::unix::fs::PermissionsExt as _;

    let (place, root) = bed();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let target = place.path().join("f");
    fs::write(&target, b"old").unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o444)).unwrap();
    let code = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            let nobody = rustix::fs::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        let mut group = CommitGroup::new();
        group.add((), small(&root.root_dir().unwrap(), "f", Existing::Replace));
        let code = group.commit().remove(0).1.unwrap_err().code().number();
        // A mode that keeps the file from being read does not keep it from being published.
        let metadata = Metadata {
            mode: Some(0),
            ..Metadata::default()
        };
        let dir = root.root_dir().unwrap();
        group.add(
            (),
            dir.create_small(b"f0", b"x", &metadata, Existing::Refuse)
                .unwrap(),
        );
        group.commit().remove(0).1.unwrap();
        code
    });
    assert_eq!(code.join().unwrap(), 5);
    assert_eq!(fs::read(&target).unwrap(), b"old");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2);
}
