//! Files that are sent while they are being written (protocol §13.6): when they count as complete, and their bytes.

use std::io::IoSliceMut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use docroot::{Identity, SourceFile, Timestamp};
use fasp_core::FileDigest;

use super::lister::lock;

/// Bytes read at once when what was sent is read again.
const READ: usize = 256 << 10;

/// When a file that is being written counts as complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// How long it has to stay as it is.
    pub quiet: Duration,
    /// Since when that counts.
    pub since: Since,
}

/// Since when a file counts as unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Its modification time.
    Modified,
    /// The moment at which it was seen to be no longer than before.
    Seen,
    /// Its modification time, once somebody has set it back.
    SetBack,
}

/// What was seen of a file each time that somebody looked.
#[derive(Debug, Default)]
pub(super) struct Watched {
    last: Option<(u64, Timestamp, Instant)>,
    latest: Timestamp,
}

impl Watched {
    /// Takes what is seen now; returns whether the file is complete.
    pub(super) fn is_complete(
        &mut self,
        growth: Growth,
        (size, mtime): (u64, Timestamp),
        now: Instant,
        time_of_day: Duration,
    ) -> bool {
        self.latest = self.latest.max(mtime);
        let unchanged = self.last.filter(|(s, m, _)| (*s, *m) == (size, mtime));
        let since = unchanged.map_or(now, |(.., since)| since);
        self.last = Some((size, mtime, since));
        let age = time_of_day.saturating_sub(since_1970(mtime));
        match growth.since {
            Since::Seen => unchanged.is_some() && now - since >= growth.quiet,
            Since::Modified => age >= growth.quiet,
            Since::SetBack => mtime < self.latest && age >= growth.quiet,
        }
    }
}

/// The time by the clock that files have.
pub(super) fn time_of_day() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn since_1970(time: Timestamp) -> Duration {
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    Duration::new(seconds, time.nanos.min(999_999_999))
}

/// A file of which some has been listed while it grows: the walk and the session share it.
#[derive(Debug)]
pub(super) struct GrowingFile {
    file: SourceFile,
    /// Parts that have been sent once, in that order: start, length, digest.
    sent: Mutex<Vec<(u64, u64, u64)>>,
    /// What it was when its last part was listed.
    last: Mutex<Option<Identity>>,
    /// It is not what it was any more.
    has_changed: AtomicBool,
    /// It has its result.
    is_settled: AtomicBool,
}

impl GrowingFile {
    pub(super) fn new(file: SourceFile) -> Self {
        file.advise_sequential();
        Self {
            file,
            sent: Mutex::default(),
            last: Mutex::default(),
            has_changed: AtomicBool::new(false),
            is_settled: AtomicBool::new(false),
        }
    }

    /// Whether this is the file, however much longer, and not another one of its name.
    pub(super) fn is(&self, found: &Identity) -> bool {
        let opened = self.file.identity();
        (opened.device, opened.inode) == (found.device, found.inode)
    }

    /// Reads neighbouring blocks into their rooms; all of them have to be there.
    pub(super) fn read(
        &self,
        rooms: &mut [IoSliceMut<'_>],
        mut offset: u64,
    ) -> Result<(), docroot::Error> {
        if self.has_changed.load(Ordering::Relaxed) {
            return Err(docroot::Error::SourceChanged);
        }
        for room in rooms {
            self.read_all(room, offset)?;
            offset += room.len() as u64;
        }
        Ok(())
    }

    fn read_all(&self, room: &mut [u8], offset: u64) -> Result<(), docroot::Error> {
        match self.file.read_at(room, offset)? == room.len() {
            true => Ok(()),
            false => Err(docroot::Error::SourceChanged),
        }
    }

    /// A part has been sent once. Behind the last one the file has to be what it was (rule D-7).
    pub(super) fn sent(&self, start: u64, length: u64, digest: u64) -> Result<(), docroot::Error> {
        lock(&self.sent).push((start, length, digest));
        match *lock(&self.last) {
            Some(last) => self.file.unchanged_since(&last),
            None => Ok(()),
        }
    }

    /// How many parts have been sent once.
    pub(super) fn parts_sent(&self) -> usize {
        lock(&self.sent).len()
    }

    /// Reads again what was sent; returns whether it still is the same. `is_wanted` says whether anybody wants to know.
    pub(super) fn is_as_sent(&self, is_wanted: impl Fn() -> bool) -> Result<bool, docroot::Error> {
        let sent = lock(&self.sent).clone();
        let mut buffer = vec![0; READ];
        for (start, length, expected) in sent {
            let mut digest = FileDigest::new(length);
            let mut done = 0;
            while done < length {
                if !is_wanted() {
                    return Ok(false);
                }
                let room = (length - done).min(READ as u64) as usize;
                self.read_all(&mut buffer[..room], start + done)?;
                digest.add(done, &buffer[..room]);
                done += room as u64;
            }
            if digest.finish() != expected {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The part that is listed next is the last one, of the file as it is now.
    pub(super) fn end(&self, now: Identity) {
        *lock(&self.last) = Some(now);
    }

    /// The file cannot be sent: whatever is read of it from now on fails.
    pub(super) fn set_changed(&self) {
        self.has_changed.store(true, Ordering::Relaxed);
    }

    /// A part has its result, which is the file's.
    pub(super) fn settle(&self) {
        self.is_settled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    /// What is said each time, of looks with (seconds since the first, size, modification time).
    fn looks(since: Since, looks: &[(u64, u64, i64)]) -> Vec<bool> {
        let begun = Instant::now();
        let growth = Growth {
            quiet: QUIET,
            since,
        };
        let mut watched = Watched::default();
        let mut look = |&(after, size, mtime): &(u64, u64, i64)| {
            let after = Duration::from_secs(after);
            let time_of_day = Duration::from_secs(1000) + after;
            watched.is_complete(growth, (size, at(mtime)), begun + after, time_of_day)
        };
        looks.iter().map(&mut look).collect()
    }

    #[test]
    fn a_file_is_complete_when_its_time_is_old_enough() {
        let seen = [(0, 1, 999), (5, 2, 1005), (14, 2, 1005), (15, 2, 1005)];
        assert_eq!(looks(Since::Modified, &seen), [false, false, false, true]);
        assert_eq!(looks(Since::Modified, &[(0, 1, 500)]), [true]);
        // One from the future is not old.
        assert_eq!(looks(Since::Modified, &[(0, 1, 5000)]), [false]);
    }

    #[test]
    fn a_file_is_complete_when_it_was_seen_unchanged_for_long_enough() {
        let seen = [
            (0, 1, 500),
            (9, 1, 500),
            (10, 2, 500),
            (19, 2, 500),
            (20, 2, 500),
        ];
        let complete = [false, false, false, false, true];
        assert_eq!(looks(Since::Seen, &seen), complete);
    }

    #[test]
    fn a_file_is_complete_when_somebody_has_set_its_time_back() {
        let seen = [(0, 1, 500), (50, 1, 500), (51, 1, 499)];
        assert_eq!(looks(Since::SetBack, &seen), [false, false, true]);
    }
}
