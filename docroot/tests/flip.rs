//! A directory that turns into a link and back while the receiver works (F86).
#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up, also outside the test functions"
)]

mod bed;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bed::{Bed, path, publish};
use docroot::{Existing, LinkRule, Metadata, PartialOptions, Resolver, WalkOptions};
use rustix::fs::{CWD, RenameFlags, renameat_with};

const LONG_ENOUGH: Duration = Duration::from_secs(1);

/// U2 holds over very many flips, for every call that creates, changes, removes or lists.
fn nothing_appears_outside(resolver: Resolver) {
    let bed = Bed::in_memory(resolver);
    bed.mkdir("d/deep");
    bed.link("l", bed.outside(""));
    let stop = AtomicBool::new(false);
    let flips = AtomicU64::new(0);
    let mut worked = 0_u64;
    thread::scope(|scope| {
        scope.spawn(|| {
            let (d, l) = (bed.path("d"), bed.path("l"));
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &d, CWD, &l, RenameFlags::EXCHANGE).unwrap();
                flips.fetch_add(1, Ordering::Relaxed);
            }
        });
        let started = Instant::now();
        let has_raced = |worked| flips.load(Ordering::Relaxed) > 50_000 && worked > 1000;
        while started.elapsed() < LONG_ENOUGH
            || (!has_raced(worked) && started.elapsed() < 20 * LONG_ENOUGH)
        {
            worked += receive(&bed);
        }
        stop.store(true, Ordering::Relaxed);
    });
    bed.assert_outside_untouched();
    let flips = flips.into_inner();
    println!("{resolver:?}: {flips} flips, {worked} calls succeeded in between");
    assert!(
        flips > 1000 && worked > 100,
        "the race did not happen: {flips} {worked}"
    );
}

/// One round of everything a receiver does below the flipping name; returns what succeeded.
fn receive(bed: &Bed) -> u64 {
    let root = &bed.root;
    let metadata = Metadata {
        mode: Some(0o600),
        ..Metadata::default()
    };
    let mut worked = 0;
    let mut count = |succeeded: bool| worked += u64::from(succeeded);
    if let Ok(dir) = root.create_dirs(&path("d/new/newer"), 0o700) {
        count(dir.set_metadata(&metadata).is_ok());
    }
    if let Ok(dir) = root.dir(&path("d")) {
        // The descriptor holds the directory, so these may not fail, wherever its name went.
        let partial = dir
            .create_partial(b"secret", &PartialOptions::default())
            .unwrap();
        partial.write_all_at(b"mine", 0).unwrap();
        publish(partial.finish(&metadata, Existing::Replace).unwrap()).unwrap();
        publish(
            dir.create_small(b"s", b"mine", &metadata, Existing::Replace)
                .unwrap(),
        )
        .unwrap();
        dir.create_symlink(b"link", b"secret", Existing::Replace)
            .unwrap();
        count(true);
    }
    count(
        root.create_symlink(&path("d/link"), b"secret", Existing::Replace)
            .is_ok(),
    );
    count(root.remove_file(&path("d/secret")).is_ok());
    count(root.remove_file(&path("d/deep/secret")).is_ok());
    count(root.remove_dir(&path("d/new/newer")).is_ok());
    for rule in [LinkRule::Refuse, LinkRule::FollowBeneath] {
        if let Ok(source) = root.open_source(&path("d/secret"), rule) {
            let mut buffer = [0; 6];
            let read = source.read_at(&mut buffer, 0).unwrap();
            assert_ne!(&buffer[..read], b"canary", "read from outside");
            count(true);
        }
    }
    if let Ok(listing) = root.list(&path("d"), LinkRule::Refuse) {
        let names: Vec<_> = listing.map(|entry| entry.unwrap().name).collect();
        assert!(
            !names.contains(&b"secret.partial".to_vec()),
            "listed outside"
        );
        count(true);
    }
    for entry in root
        .walk(&path("d"), WalkOptions::default())
        .into_iter()
        .flatten()
        .flatten()
    {
        assert!(
            !entry.path.as_bytes().ends_with(b"secret.partial"),
            "walked outside"
        );
        count(true);
    }
    worked
}

#[test]
fn nothing_appears_outside_by_the_kernels_resolution() {
    nothing_appears_outside(Resolver::Automatic);
}

#[test]
fn nothing_appears_outside_by_the_component_walk() {
    nothing_appears_outside(Resolver::ComponentWalk);
}
