//! The sources of this workspace, for tests that compare documents with them.

#![allow(
    dead_code,
    reason = "every test binary has its own copy and uses a part of it"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The workspace's directory.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// Reads a document.
pub(crate) fn document(name: &str) -> String {
    fs::read_to_string(workspace().join("docs").join(name)).unwrap()
}

/// Every Rust file beneath a directory, build results left out.
pub(crate) fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && !name.starts_with('.') {
                files.extend(rust_files(&path));
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files
}

/// The cells of a table's rows whose first cell begins with `mark`.
pub(crate) fn rows<'a>(page: &'a str, mark: &'a str) -> impl Iterator<Item = Vec<&'a str>> {
    page.lines().filter_map(move |line| {
        let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
        let cells: Vec<_> = row.split(" | ").map(str::trim).collect();
        cells[0].starts_with(mark).then_some(cells)
    })
}
