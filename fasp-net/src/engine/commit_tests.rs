//! Who commits what when the thread is behind.
#![allow(clippy::disallowed_methods, reason = "a test looks at what was made")]

use std::fs;
use std::path::Path;

use docroot::{Docroot, Existing, Metadata};

use super::*;

/// A file in `place` that waits for its commit.
fn pending(place: &Path, name: &str) -> Pending {
    let dir = Docroot::open(place).unwrap().root_dir().unwrap();
    let metadata = Metadata::default();
    Pending {
        file: 1,
        path: name.into(),
        result: SettledResult::done(1),
        finished: dir
            .create_small(name.as_bytes(), b"x", &metadata, Existing::Refuse)
            .unwrap(),
        parts: None,
        opened_from: None,
    }
}

/// Hands more batches on than are left to a thread that does not come; returns how many were committed by the caller, and
/// whether their files need a sync.
fn hand_on(place: &Path) -> (usize, bool) {
    let temp = tempfile::tempdir_in(place).unwrap();
    let (queue, waiting) = bounded(QUEUE);
    let (sender, results) = crossbeam_channel::unbounded();
    let commits = Commits {
        queue,
        results: sender,
    };
    for n in 0..BEHIND {
        commits.hand_on(vec![pending(temp.path(), &n.to_string())]);
    }
    assert_eq!((waiting.len(), results.len()), (BEHIND, 0));
    let last = pending(temp.path(), "last");
    let needs_sync = last.finished.needs_sync();
    commits.hand_on(vec![last]);
    assert_eq!(waiting.len() + results.len(), BEHIND + 1);
    let is_there = fs::exists(temp.path().join("last")).unwrap();
    assert_eq!(is_there, results.len() == 1);
    if let Ok(StorageEvent::Settled(settled)) = results.try_recv() {
        assert!(matches!(settled[0].result, SettledResult::Done { .. }));
        return (1, needs_sync);
    }
    (0, needs_sync)
}

#[test]
fn files_in_memory_are_committed_by_whoever_has_them_when_the_thread_is_behind() {
    let places = [std::env::temp_dir(), "/dev/shm".into()];
    for place in places.iter().filter(|place| place.is_dir()) {
        let (committed, needs_sync) = hand_on(place);
        assert_eq!(committed, usize::from(!needs_sync), "{}", place.display());
    }
}
