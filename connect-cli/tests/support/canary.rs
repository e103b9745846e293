//! Files with bytes that must never be seen where their content is protected.

use std::{fs, io, path::Path};

use super::{Site, content, names};

/// What must never be seen outside the client.
pub(crate) const CANARY: &[u8; 64] =
    b"canary-7f1e2b0c9a4d4e6f8b1a3c5d7e9f0a2b4c6d8e0f1a3b5c7d9e1f3a5b7";

/// Files of all the ways to travel: empty, in a page, as blocks in one chunk, and in several.
pub(crate) const SIZES: [(&str, usize); 5] = [
    ("empty", 0),
    ("small", 1_000),
    ("edge", 65_536),
    ("one-chunk", 3_000_000),
    ("chunks", 35_000_000),
];

/// Content with the canary at its start, somewhere inside, and at its end.
pub(crate) fn with_canary(size: usize) -> Vec<u8> {
    let mut content = content(size);
    for at in [0, size / 2, size.saturating_sub(CANARY.len())] {
        if let Some(place) = content.get_mut(at..at + CANARY.len()) {
            place.copy_from_slice(CANARY);
        }
    }
    content
}

pub(crate) fn write_tree(site: &Site) {
    fs::create_dir(site.path("tree")).unwrap();
    for (name, size) in SIZES {
        fs::write(site.path(&format!("tree/{name}")), with_canary(size)).unwrap();
    }
}

/// Looks for the canary in everything below a directory.
pub(crate) fn assert_no_canary(directory: &Path) {
    // A server may still give a file its last name, and then the next look finds it under that.
    for _ in 0..100 {
        match name_with_canary(directory) {
            Ok(found) => return assert_eq!(found, None),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::NotFound, "{e}"),
        }
    }
    panic!("no look at {} found it at rest", directory.display());
}

/// Reads what a directory holds; fails with `NotFound` where that changes meanwhile.
fn name_with_canary(directory: &Path) -> io::Result<Option<String>> {
    for name in names(directory) {
        let path = directory.join(&name);
        let kind = fs::symlink_metadata(&path)?.file_type();
        // A running server has a socket there.
        if kind.is_file() {
            let bytes = fs::read(path)?;
            if bytes.windows(CANARY.len()).any(|window| window == CANARY) {
                return Ok(Some(name));
            }
        }
    }
    Ok(None)
}
