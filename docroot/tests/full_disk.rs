//! Full, crowded and read-only file systems (D-12, F20, F23, F33). They need root for the mounts.
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up, also outside the test functions"
)]

mod bed;

use std::ffi::CString;
use std::fs;

use bed::{code, path, publish};
use docroot::{Docroot, Existing, Metadata, PartialOptions};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use tempfile::TempDir;

/// A small file system of its own, gone when dropped.
#[derive(Debug)]
struct Volume(TempDir);

impl Volume {
    /// Returns nothing, and says so, where this account may not mount.
    fn new(options: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let data = CString::new(options).unwrap();
        match mount(
            "tmpfs",
            dir.path(),
            "tmpfs",
            MountFlags::empty(),
            data.as_c_str(),
        ) {
            Ok(()) => Some(Self(dir)),
            Err(error) => {
                println!("skipped: this account may not mount a file system ({error})");
                None
            }
        }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        unmount(self.0.path(), UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn a_full_disk_is_err_25_and_a_kept_partial_resumes_when_there_is_space() {
    let Some(volume) = Volume::new("size=1m") else {
        return;
    };
    let root = Docroot::open(volume.0.path()).unwrap();
    let dir = root.root_dir().unwrap();
    fs::write(volume.0.path().join("ballast"), vec![0; 512 << 10]).unwrap();
    let (free, total) = root.free_space().unwrap();
    assert!(free <= 512 << 10 && total == 1 << 20, "{free} {total}");

    // The size is known: refused before a byte is written, and nothing stays behind.
    let options = PartialOptions::default().size_hint(2 << 20);
    assert_eq!(code(dir.create_partial(b"a", &options)), 25);
    assert_eq!(root.free_space().unwrap().0, free);

    // The size is not known: what was written stays.
    let mut partial = dir
        .create_partial(b"a", &PartialOptions::default())
        .unwrap();
    partial.keep();
    let block = [1; 64 << 10];
    let mut written = 0;
    let error = loop {
        match partial.write_all_at(&block, written) {
            Ok(()) => written += block.len() as u64,
            Err(error) => break error,
        }
        assert!(written < 1 << 20);
    };
    assert_eq!(error.code().number(), 25);
    let small = dir.create_small(b"s", &block, &Metadata::default(), Existing::Refuse);
    assert_eq!(code(small), 25);
    drop(partial);

    // A partial that is resumed outlives a reservation that fails.
    let resume = PartialOptions::default().resume(true);
    assert_eq!(
        code(dir.create_partial(b"a", &resume.size_hint(8 << 20))),
        25
    );
    dir.remove_file(b"ballast").unwrap();
    let partial = dir.create_partial(b"a", &resume).unwrap();
    assert!(partial.resumed_length() >= written);
    partial.write_all_at(&block, written).unwrap();
    publish(
        partial
            .finish(&Metadata::default(), Existing::Refuse)
            .unwrap(),
    )
    .unwrap();
    let names: Vec<_> = dir.list().unwrap().map(|e| e.unwrap().name).collect();
    assert_eq!(names, [b"a"]);
}

#[test]
fn a_disk_without_inodes_is_err_25() {
    let Some(volume) = Volume::new("size=1m,nr_inodes=8") else {
        return;
    };
    let root = Docroot::open(volume.0.path()).unwrap();
    let dir = root.root_dir().unwrap();
    let errors: Vec<u8> = (0..10)
        .filter_map(|n| {
            let name = format!("f{n}");
            let small =
                dir.create_small(name.as_bytes(), b"", &Metadata::default(), Existing::Refuse);
            small.and_then(publish).err().map(|e| e.code().number())
        })
        .collect();
    assert!(
        !errors.is_empty() && errors.iter().all(|c| *c == 25),
        "{errors:?}"
    );
    assert_eq!(code(root.create_dirs(&path("d"), 0o777)), 25);
}

#[test]
fn a_read_only_file_system_is_err_26_and_nothing_is_written() {
    let Some(volume) = Volume::new("size=1m") else {
        return;
    };
    fs::write(volume.0.path().join("old"), b"old").unwrap();
    let root = Docroot::open(volume.0.path()).unwrap();
    let dir = root.root_dir().unwrap();
    mount_remount(volume.0.path(), MountFlags::RDONLY, "").unwrap();
    assert_eq!(
        code(dir.create_partial(b"a", &PartialOptions::default())),
        26
    );
    let small = dir.create_small(b"a", b"x", &Metadata::default(), Existing::Refuse);
    assert_eq!(code(small), 26);
    assert_eq!(code(root.create_dirs(&path("d/e"), 0o777)), 26);
    assert_eq!(code(dir.remove_file(b"old")), 26);
    assert_eq!(code(dir.create_symlink(b"l", b"old", Existing::Refuse)), 26);
    assert_eq!(
        code(dir.set_metadata(&Metadata {
            mode: Some(0o700),
            ..Metadata::default()
        })),
        26
    );
    assert_eq!(dir.load(b"old", 10).unwrap().unwrap(), b"old");
}

/// A second file system beneath the root: files on it are published and made durable there.
#[test]
fn a_mount_beneath_the_root_is_part_of_the_tree() {
    let outer = tempfile::tempdir().unwrap();
    let Some(volume) = Volume::new("size=1m") else {
        return;
    };
    let inner = outer.path().join("mounted");
    fs::create_dir(&inner).unwrap();
    rustix::mount::mount_bind(volume.0.path(), &inner).unwrap();
    let root = Docroot::open(outer.path()).unwrap();
    let mut group = docroot::CommitGroup::new();
    for n in 0..30 {
        let place = if n % 2 == 0 { "mounted/sub" } else { "plain" };
        let dir = root.create_dirs(&path(place), 0o777).unwrap();
        let name = format!("f{n}");
        let metadata = Metadata::default();
        let small = dir.create_small(name.as_bytes(), b"x", &metadata, Existing::Refuse);
        group.add(n, small.unwrap());
    }
    let results = group.commit();
    unmount(&inner, UnmountFlags::DETACH).unwrap();
    assert!(results.iter().all(|(_, r)| r.is_ok()), "{results:?}");
    assert_eq!(
        fs::read_dir(volume.0.path().join("sub")).unwrap().count(),
        15
    );
    assert_eq!(
        fs::read_dir(outer.path().join("plain")).unwrap().count(),
        15
    );
}
