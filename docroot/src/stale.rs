//! Temporary files that a process left behind when it was killed.

//!
//! A small file has no lock of its own while it waits for its commit: it is closed by then. The directory has one instead: whoever
//! makes temporary files there shares it for as long as they may exist, so whoever gets it alone knows that those of others are
//! nobody's any more.

use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::{flock, openat, statat};
use rustix::fs::{AtFlags, FlockOperation, Mode};
use rustix::io::Errno;

use crate::attributes::{Attributes, FileKind};
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::listing::NameReader;
use crate::root::OPEN_DIRECTORY;

/// How often a lock is tried that somebody has for a moment, and how long apart.
const TRIES: usize = 100;
const APART: Duration = Duration::from_millis(1);

impl Dir {
    /// Removes temporary files of other, ended processes from this directory, and returns how many
    /// they were.
    ///
    /// Only files of this account whose names this crate makes for files written in one go are
    /// removed, and only if nothing was changed about them for `age`. Such a file normally exists
    /// until the next commit; an hour is ample. Partials, which may be resumed, stay.
    ///
    /// # Errors
    /// As [`Dir::list`].
    pub fn remove_stale(&self, age: Duration) -> Result<usize> {
        let mut removed = 0;
        let own = rustix::process::geteuid().as_raw();
        for entry in self.list()? {
            let entry = entry?;
            if !self.is_temporary_of_another(&entry.name)
                || !matches!(entry.kind(), FileKind::File | FileKind::Symlink)
                || entry.attributes.uid != own
            {
                continue;
            }
            // The time of the last change of anything: that of the content is the sender's.
            let Ok(stat) = statat(self, &entry.name[..], AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            let is_same = Attributes::of(&stat) == entry.attributes;
            let changed = u64::try_from(stat.st_ctime).map(Duration::from_secs);
            let is_old = changed.is_ok_and(|changed| {
                SystemTime::now()
                    .duration_since(UNIX_EPOCH + changed)
                    .is_ok_and(|since| since >= age)
            });
            if is_same && is_old && self.unlink(&entry.name).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Returns true if temporary files of other processes are here, whether these live or not.
    ///
    /// # Errors
    /// As [`Dir::list`].
    pub fn has_temporaries_of_others(&self) -> Result<bool> {
        let mut names = NameReader::new(self.description()?);
        while let Some(next) = names.next_name() {
            let (_, name, _) = next?;
            if self.is_temporary_of_another(name) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes temporary files that ended processes left here, and returns how many they were: none while anybody, this process
    /// included, has the directory open and has made such files in it.
    ///
    /// As [`Dir::remove_stale`], at once instead of after some time; the other way about, where there are no locks nothing is
    /// removed.
    ///
    /// # Errors
    /// As [`Dir::list`].
    pub fn remove_abandoned(&self) -> Result<usize> {
        // Before the lock: what is made while nobody can share it is not among them.
        let mut found = Vec::new();
        let mut names = NameReader::new(self.description()?);
        while let Some(next) = names.next_name() {
            let (_, name, _) = next?;
            if self.is_temporary_of_another(name) {
                found.push(name.to_vec());
            }
        }
        // A lock belongs to the description, and that of this directory may share it.
        let lock = self.description()?;
        if found.is_empty() || flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(0);
        }
        let own = rustix::process::geteuid().as_raw();
        let is_ours = |name: &[u8]| {
            statat(self, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
                let Attributes { kind, uid, .. } = Attributes::of(&stat);
                matches!(kind, FileKind::File | FileKind::Symlink) && uid == own
            })
        };
        let removed = found
            .iter()
            .filter(|name| is_ours(name) && self.unlink(name).is_ok());
        Ok(removed.count())
    }

    /// Shares the lock of the directory until its last clone is dropped; false if that has to be tried again.
    pub(crate) fn claim(&self) -> bool {
        for _ in 0..TRIES {
            match flock(self.as_fd(), FlockOperation::NonBlockingLockShared) {
                // Somebody is clearing up, and is about to have done it.
                Err(Errno::WOULDBLOCK) => thread::sleep(APART),
                // Where there are no locks nobody gets one alone either.
                _ => return true,
            }
        }
        false
    }

    /// Opens the directory once more.
    fn description(&self) -> Result<OwnedFd> {
        openat(self.as_fd(), ".", OPEN_DIRECTORY, Mode::empty())
            .map_err(|errno| Error::open(errno, Error::Read))
    }

    fn is_temporary_of_another(&self, name: &[u8]) -> bool {
        let own = format!("{:016x}", self.root().shared.nonce);
        let is_hex = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_hexdigit);
        let Some(stem) = name
            .strip_prefix(b".")
            .and_then(|name| name.strip_suffix(self.root().suffixes().partial()))
        else {
            return false;
        };
        match stem.split_at_checked(16) {
            Some((nonce, [b'-', number @ ..])) => {
                is_hex(nonce) && is_hex(number) && nonce != own.as_bytes()
            }
            _ => false,
        }
    }
}
