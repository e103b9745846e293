//! Temporary files that a process left behind when it was killed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys::statat;
use rustix::fs::AtFlags;

use crate::attributes::{Attributes, FileKind};
use crate::dir::Dir;
use crate::error::Result;

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
