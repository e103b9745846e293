//! Files to copy: content that no file system compresses away.
#![allow(clippy::disallowed_methods, reason = "a bench sets its own files up")]

use std::fs;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::process::Failure;

/// Fills a buffer with the next bytes of a cheap generator.
fn fill(random: &mut fastrand::Rng, buffer: &mut [u8]) {
    random.fill(buffer);
}

/// One file of `mib` MiB beneath `area`; returns its path.
///
/// # Errors
/// A file system that does not take it.
pub fn big(area: &Path, mib: u64) -> Result<PathBuf, Failure> {
    let path = area.join("source.bin");
    let mut file = BufWriter::with_capacity(1 << 20, fs::File::create(&path)?);
    let mut random = fastrand::Rng::with_seed(1);
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..mib {
        fill(&mut random, &mut buffer);
        file.write_all(&buffer)?;
    }
    file.flush()?;
    Ok(path)
}

/// Bytes of a small file.
pub const SMALL: u64 = 4096;

/// A directory with `files` files of 4 KiB beneath `area`, a thousand to a directory of their own; returns its path.
///
/// # Errors
/// A file system that does not take them.
pub fn small(area: &Path, files: u32) -> Result<PathBuf, Failure> {
    let path = area.join("source");
    let mut random = fastrand::Rng::with_seed(2);
    let mut buffer = vec![0; SMALL as usize];
    for i in 0..files {
        let dir = path.join(format!("{:03}", i / 1000));
        if i % 1000 == 0 {
            fs::create_dir_all(&dir)?;
        }
        fill(&mut random, &mut buffer);
        fs::write(dir.join(format!("{i:06}")), &buffer)?;
    }
    Ok(path)
}

/// Copies a directory to a place beside it and removes the copy, so that the system has at hand what that takes besides the
/// files' bytes: inodes and names.
///
/// # Errors
/// A file system that does not take it.
pub fn rehearse(source: &Path, place: &Path) -> Result<(), Failure> {
    copy(source, place)?;
    fs::remove_dir_all(place)?;
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &to)?,
            false => drop(fs::copy(entry.path(), &to)?),
        }
    }
    Ok(())
}
