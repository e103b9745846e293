//! A file that is about to be replaced is kept under another name.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::sys::linkat;
use rustix::fs::AtFlags;
use rustix::io::Errno;

use crate::attributes::FileKind;
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::path::MAX_COMPONENT;
use crate::publish::{rename_without_replacing, renaming};

/// How many files of one name may be saved in one second.
const MAX_INDEX: u32 = 10_000;

/// Gives the file `name` a second name, `NAME.yyyy.mm.dd.hh.mm.ss.INDEX.EXTENSION` with the time in UTC, so that a
/// rename over it loses nothing. What is no file, or not there, is left alone.
pub(crate) fn save(dir: &Dir, name: &[u8]) -> Result<()> {
    match dir.stat(name)?.map(|attributes| attributes.kind) {
        Some(FileKind::File) => {}
        _ => return Ok(()),
    }
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    for index in 1..=MAX_INDEX {
        let saved = saved_name(name, seconds, index);
        match linkat(dir, name, dir, &*saved, AtFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::EXIST) => {}
            // No second names here: the file moves away, and its name is free for a moment.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {
                match rename_without_replacing((dir, name), (dir, &saved)) {
                    Err(Errno::EXIST) => {}
                    result => return result.map_err(renaming),
                }
            }
            Err(errno) => return Err(Error::open(errno, Error::Rename)),
        }
    }
    Err(Error::AlreadyExists)
}

fn saved_name(name: &[u8], seconds: u64, index: u32) -> Vec<u8> {
    let dot = name.iter().rposition(|b| *b == b'.').filter(|at| *at > 0);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let (year, month, day) = date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let stamp = format!(".{year:04}.{month:02}.{day:02}.{hour:02}.{minute:02}.{second:02}.{index}");
    // A name that would be too long loses the end of its stem, or what looked like an extension.
    let room = MAX_COMPONENT - stamp.len();
    let extension = if extension.len() < room {
        extension
    } else {
        b""
    };
    let stem = &stem[..stem.len().min(room - extension.len())];
    [stem, stamp.as_bytes(), extension].concat()
}

/// Year, month and day of a day since 1970 (Howard Hinnant, chrono-Compatible Low-Level Date Algorithms).
fn date(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day) = (z / 146_097, z % 146_097);
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_stands_before_the_extension() {
        let name = |name: &str, seconds| {
            String::from_utf8(saved_name(name.as_bytes(), seconds, 2)).unwrap()
        };
        let leap = 951_782_400 + 86_399;
        assert_eq!(name("a.tar.gz", leap), "a.tar.2000.02.29.23.59.59.2.gz");
        assert_eq!(name("a", 0), "a.1970.01.01.00.00.00.2");
        assert_eq!(name(".rc", 1_772_374_500), ".rc.2026.03.01.14.15.00.2");
        assert_eq!(name(&"x".repeat(255), 0).len(), 255);
        assert!(name(&format!("{}.txt", "x".repeat(251)), 0).ends_with(".2.txt"));
    }
}
