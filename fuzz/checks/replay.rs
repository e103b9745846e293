//! Runs a check over its seed corpus, as an ordinary test does.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "test set-up, and output that a failing test shows"
)]

use std::{fs, path::Path};

/// Gives every file of `fuzz/corpus/<target>` to `check`, in the order of their names; captured output names the last.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut files: Vec<_> = fs::read_dir(corpus.join(target))
        .expect("there is a corpus")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        println!("{}", file.display());
        check(&fs::read(&file).expect("the file can be read"));
    }
}
