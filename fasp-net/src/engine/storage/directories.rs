//! Directories whose own times, modes and owners wait for the end of a transfer.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use docroot::{EntryPath, Metadata};

/// What the directories of a transfer are to have. Clones share it.
///
/// Whatever is put into a directory changes its time, and any session of the transfer may do that: the last one that
/// finishes gives the directories what they should have.
#[derive(Debug, Clone, Default)]
pub(super) struct Directories(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    /// Sessions that still put files somewhere.
    writing: usize,
    wanted: Vec<Wanted>,
}

/// What one of them is to have.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) path: EntryPath,
    pub(super) metadata: Metadata,
    /// It had that already, before a session that came late.
    pub(super) is_known: bool,
}

/// One session's part in it.
#[derive(Debug)]
pub(super) struct Writing {
    directories: Directories,
    is_over: bool,
}

impl Directories {
    /// A session begins to put files somewhere.
    pub(super) fn join(&self) -> Writing {
        self.shared().writing += 1;
        Writing {
            directories: self.clone(),
            is_over: false,
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // A list that somebody who panicked was adding to is a list.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    /// Keeps what a directory is to have.
    pub(super) fn want(&self, path: EntryPath, metadata: Metadata) {
        self.directories.shared().wanted.push(Wanted {
            path,
            metadata,
            is_known: false,
        });
    }

    /// The session puts nothing anywhere any more. The last one gives every directory what it should have, the deepest
    /// first: a parent's time must be set after its last change.
    pub(super) fn finish(&mut self, mut give: impl FnMut(&Wanted)) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let mut shared = self.directories.shared();
        shared.writing -= 1;
        if shared.writing > 0 {
            return;
        }
        shared
            .wanted
            .sort_by_key(|wanted| Reverse(wanted.path.depth()));
        for wanted in &mut shared.wanted {
            give(wanted);
            wanted.is_known = true;
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.is_over {
            // It ended early, and the transfer with it.
            self.directories.shared().writing -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(writing: &mut Writing) -> Vec<(String, bool)> {
        let mut given = Vec::new();
        writing.finish(|wanted| {
            let path = String::from_utf8_lossy(wanted.path.as_bytes()).into_owned();
            given.push((path, wanted.is_known));
        });
        given
    }

    fn path(text: &str) -> EntryPath {
        EntryPath::parse_text(text).unwrap()
    }

    #[test]
    fn the_last_session_gives_directories_what_they_should_have_the_deepest_first() {
        let directories = Directories::default();
        let (mut first, mut second) = (directories.join(), directories.join());
        first.want(path("a"), Metadata::default());
        second.want(path("a/b"), Metadata::default());
        assert_eq!(given(&mut first), []);
        let all = [("a/b".to_owned(), false), ("a".to_owned(), false)];
        assert_eq!(given(&mut second), all);
        let mut late = directories.join();
        let again = [("a/b".to_owned(), true), ("a".to_owned(), true)];
        assert_eq!(given(&mut late), again);
    }

    #[test]
    fn a_session_that_ends_early_is_not_waited_for() {
        let directories = Directories::default();
        let (mut first, second) = (directories.join(), directories.join());
        first.want(path("a"), Metadata::default());
        drop(second);
        assert_eq!(given(&mut first), [("a".to_owned(), false)]);
        assert_eq!(given(&mut first), []);
    }
}
