//! The demo's files: made, and compared by their digests.
#![expect(
    clippy::disallowed_methods,
    reason = "these files lie in a directory that was made for them a moment ago"
)]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256};

use crate::error::CommandError;

/// Written and read at a time.
const CHUNK: usize = 1 << 20;
/// Small files.
const SMALL_FILES: u64 = 2000;
/// Directories they are spread over.
const DIRECTORIES: u64 = 20;
/// Names that programs stumble over.
const ODD_NAMES: [&str; 6] = [
    "two words",
    "größe ☂ 日本",
    "new\nline",
    "-leading-dash",
    "quote'\"$HOME",
    "back\\slash",
];

/// Digests of files by their paths below a directory.
pub(super) type Digests = BTreeMap<PathBuf, [u8; 32]>;

/// Makes a tree with one large file, many small ones, odd names, an empty file and an empty directory.
pub(super) fn make(directory: &Path, large: u64) -> Result<(), CommandError> {
    let mut random = fastrand::Rng::new();
    for number in 0..DIRECTORIES {
        let below = directory.join(format!("small/{number:02}"));
        fs::create_dir_all(&below).map_err(failed(&below))?;
    }
    for number in 0..SMALL_FILES {
        let name = format!("small/{:02}/{number:04}.txt", number % DIRECTORIES);
        let size = random.u64(1..8192);
        write(&directory.join(name), size, &mut random)?;
    }
    for name in ODD_NAMES {
        write(&directory.join(name), 100, &mut random)?;
    }
    write(&directory.join("empty file"), 0, &mut random)?;
    let empty = directory.join("empty directory");
    fs::create_dir(&empty).map_err(failed(&empty))?;
    write(&directory.join("large.bin"), large, &mut random)
}

/// Writes a file of random bytes.
pub(super) fn write(
    path: &Path,
    size: u64,
    random: &mut fastrand::Rng,
) -> Result<(), CommandError> {
    let mut file = File::create_new(path).map_err(failed(path))?;
    let mut chunk = vec![0; CHUNK.min(usize::try_from(size).unwrap_or(CHUNK))];
    let mut left = size;
    while left > 0 {
        let length = chunk.len().min(usize::try_from(left).unwrap_or(CHUNK));
        random.fill(&mut chunk[..length]);
        file.write_all(&chunk[..length]).map_err(failed(path))?;
        left -= length as u64;
    }
    Ok(())
}

/// Returns the digests of all files below a directory.
pub(super) fn digests(directory: &Path) -> Result<Digests, CommandError> {
    let mut found = Digests::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next).map_err(failed(&next))? {
            let entry = entry.map_err(failed(&next))?;
            let path = entry.path();
            if entry.file_type().map_err(failed(&path))?.is_dir() {
                directories.push(path);
            } else {
                let digest = digest(&path).map_err(failed(&path))?;
                let below = path.strip_prefix(directory).unwrap_or(&path).to_owned();
                found.insert(below, digest);
            }
        }
    }
    Ok(found)
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = file.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        context.update(&chunk[..length]);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    Ok(digest)
}

/// Returns how many files are missing on one side or differ.
pub(super) fn differences(a: &Digests, b: &Digests) -> usize {
    let changed = a
        .iter()
        .filter(|(path, digest)| b.get(*path) != Some(digest));
    let added = b.keys().filter(|path| !a.contains_key(*path));
    changed.count() + added.count()
}

/// Makes a directory.
pub(super) fn directory(path: PathBuf) -> Result<PathBuf, CommandError> {
    fs::create_dir(&path).map_err(failed(&path))?;
    Ok(path)
}

pub(super) fn failed(path: &Path) -> impl FnOnce(io::Error) -> CommandError {
    let path = path.to_owned();
    move |source| CommandError::Demo { path, source }
}
