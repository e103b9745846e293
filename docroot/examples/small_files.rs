//! Files per second: makes, publishes and walks over many small files.
//!
//! `cargo run --release -p docroot --example small_files -- [DIRECTORY] [FILES] [GROUP]`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement prints and gives up"
)]

use std::path::PathBuf;
use std::time::Instant;

use docroot::{
    CommitGroup, Docroot, EntryPath, Existing, LinkRule, Metadata, Timestamp, WalkOptions,
};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let place = arguments
        .next()
        .map_or_else(|| PathBuf::from("/dev/shm"), PathBuf::from);
    let files: u32 = arguments.next().map_or(50_000, |a| a.parse().unwrap());
    let group_size: usize = arguments.next().map_or(1000, |a| a.parse().unwrap());
    let dir = tempfile::tempdir_in(place).unwrap();
    let root = Docroot::open(dir.path()).unwrap();
    let content = [b'x'; 4096];
    let mtime = Timestamp {
        seconds: 1_700_000_000,
        nanos: 0,
    };
    let metadata = Metadata {
        mtime: Some(mtime),
        ..Metadata::default()
    };

    let started = Instant::now();
    let mut group = CommitGroup::new();
    let mut published = 0;
    let mut in_commit = std::time::Duration::ZERO;
    for folder in 0..files.div_ceil(1000) {
        let path = EntryPath::parse(format!("tree/{folder}").as_bytes()).unwrap();
        let dir = root.create_dirs(&path, 0o777).unwrap();
        for file in 0..1000.min(files - folder * 1000) {
            let name = format!("file-{file}");
            let made = dir.create_small(name.as_bytes(), &content, &metadata, Existing::Refuse);
            group.add((), made.unwrap());
            if group.len() >= group_size {
                let committing = Instant::now();
                published += group
                    .commit()
                    .into_iter()
                    .filter(|(_, r)| r.is_ok())
                    .count();
                in_commit += committing.elapsed();
            }
        }
    }
    published += group
        .commit()
        .into_iter()
        .filter(|(_, r)| r.is_ok())
        .count();
    report("create_small and commit", published, started);
    println!("  of which in commit: {in_commit:.2?}");

    let start = EntryPath::parse(b"tree").unwrap();
    for _ in 0..2 {
        let started = Instant::now();
        let entries = root.walk(&start, WalkOptions::default()).unwrap();
        report("walk", entries.filter(Result::is_ok).count(), started);
    }

    let paths: Vec<EntryPath> = root
        .walk(&start, WalkOptions::default())
        .unwrap()
        .map(|e| e.unwrap().path)
        .collect();
    let started = Instant::now();
    let mut buffer = [0; 8192];
    let mut read = 0;
    for path in &paths {
        if let Ok(source) = root.open_source(path, LinkRule::Refuse) {
            assert_eq!(source.read_at(&mut buffer, 0).unwrap(), 4096);
            source.unchanged().unwrap();
            read += 1;
        }
    }
    report("open_source, read, unchanged", read, started);
}

fn report(what: &str, count: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    let each = seconds * 1e6 / count as f64;
    println!(
        "{what}: {count} in {seconds:.3} s, {:.0} per second, {each:.2} us each",
        count as f64 / seconds
    );
}
