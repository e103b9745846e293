//! A root with a canary tree beside it, and both ways to resolve paths.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use docroot::{CommitGroup, Docroot, EntryPath, Error, Finished, Resolver, Result, RootOptions};
use tempfile::TempDir;

/// A directory with `root` and, beside it, `outside`, which nothing may touch.
#[derive(Debug)]
pub(crate) struct Bed {
    dir: TempDir,
    pub(crate) root: Docroot,
    before: Vec<String>,
}

impl Bed {
    pub(crate) fn new(resolver: Resolver) -> Self {
        Self::in_dir(resolver, tempfile::tempdir().unwrap())
    }

    /// A bed that costs no disk writes, where there is such a place.
    pub(crate) fn in_memory(resolver: Resolver) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::in_dir(resolver, dir.unwrap())
    }

    fn in_dir(resolver: Resolver, dir: TempDir) -> Self {
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::create_dir_all(dir.path().join("outside/deep")).unwrap();
        for name in [
            "outside/secret",
            "outside/deep/secret",
            "outside/secret.partial",
        ] {
            fs::write(dir.path().join(name), b"canary").unwrap();
        }
        let mut options = RootOptions::default();
        options.resolver = resolver;
        let root = Docroot::open_with(&dir.path().join("root"), options).unwrap();
        let before = snapshot(&dir.path().join("outside"));
        Self { dir, root, before }
    }

    /// Returns the path of something in the root.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("root").join(name)
    }

    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().join("outside").join(name)
    }

    pub(crate) fn mkdir(&self, name: &str) {
        fs::create_dir_all(self.path(name)).unwrap();
    }

    pub(crate) fn file(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn link(&self, name: &str, target: impl AsRef<Path>) {
        symlink(target, self.path(name)).unwrap();
    }

    pub(crate) fn content(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path(name)).ok()
    }

    /// Returns the names in a directory of the root, sorted.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(name))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// U2: nothing beside the root was created, changed or removed.
    #[track_caller]
    pub(crate) fn assert_outside_untouched(&self) {
        assert_eq!(self.before, snapshot(&self.dir.path().join("outside")));
    }
}

/// Runs a test with the kernel's resolution and with the component walk.
pub(crate) fn with_both_resolvers(test: impl Fn(Bed)) {
    for resolver in [Resolver::Automatic, Resolver::ComponentWalk] {
        println!("with {resolver:?}");
        test(Bed::new(resolver));
    }
}

pub(crate) fn path(path: &str) -> EntryPath {
    EntryPath::parse(path.as_bytes()).unwrap()
}

pub(crate) fn publish(file: Finished) -> Result<()> {
    let mut group = CommitGroup::new();
    group.add((), file);
    group.commit().pop().unwrap().1
}

/// Returns the public number of an error.
#[track_caller]
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T>) -> u8 {
    result.expect_err("this must fail").code().number()
}

#[track_caller]
pub(crate) fn is_outside<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::OutsideRoot)), "{result:?}");
}

fn snapshot(dir: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let meta = entry.path().symlink_metadata().unwrap();
        let content = if meta.is_file() {
            fs::read(entry.path()).unwrap()
        } else {
            Vec::new()
        };
        lines.push(format!(
            "{:?} {:o} {} {:?} {content:?}",
            entry.path(),
            meta.mode(),
            meta.ino(),
            meta.modified().unwrap(),
        ));
        if meta.is_dir() {
            lines.extend(snapshot(&entry.path()));
        }
    }
    lines.sort();
    lines
}
