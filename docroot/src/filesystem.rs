//! What is known about each file system beneath a root: how to make it durable, what it lacks.

use std::os::fd::OwnedFd;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};

/// One file system, shared by everything a root has open on it.
#[derive(Debug)]
#[cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "only Linux syncs one file system as a whole")
)]
pub(crate) struct Filesystem {
    pub(crate) device: u64,
    /// Opened before anything was written, so that no write error escapes it.
    sync_handle: OwnedFd,
    /// Serialises whole-file-system syncs: the kernel reports an error once per descriptor.
    syncing: Mutex<()>,
    /// How many syncs failed. What was written before a failure is not trusted after it (D-6).
    failures: AtomicU64,
    /// Directories made so far, and how many of them are known to be durable.
    directories_made: AtomicU64,
    directories_synced: AtomicU64,
    /// Nothing there outlives the system, so nothing has to be made durable.
    pub(crate) is_in_memory: bool,
    /// Whether files can be made there without a name and get one later, once that was tried.
    #[cfg(target_os = "linux")]
    pub(crate) has_nameless: OnceLock<bool>,
    /// Cleared when the file system turns out not to know a rename that refuses to replace.
    pub(crate) renames_without_replacing: AtomicBool,
}

/// The file systems beneath one root, by device number. Usually one.
#[derive(Debug, Default)]
pub(crate) struct Filesystems(Mutex<Vec<Arc<Filesystem>>>);

impl Filesystems {
    /// Returns the record of a device, made from `handle` when it is new.
    pub(crate) fn get(
        &self,
        device: u64,
        handle: impl FnOnce() -> Result<OwnedFd>,
    ) -> Result<Arc<Filesystem>> {
        // The list is only pushed to: a panic elsewhere cannot leave it half changed.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.iter().find(|f| f.device == device) {
            return Ok(Arc::clone(found));
        }
        let sync_handle = handle()?;
        let new = Arc::new(Filesystem {
            device,
            is_in_memory: is_in_memory(&sync_handle),
            #[cfg(target_os = "linux")]
            has_nameless: OnceLock::new(),
            sync_handle,
            syncing: Mutex::new(()),
            failures: AtomicU64::new(0),
            directories_made: AtomicU64::new(0),
            directories_synced: AtomicU64::new(0),
            renames_without_replacing: AtomicBool::new(true),
        });
        known.push(Arc::clone(&new));
        Ok(new)
    }
}

impl Filesystem {
    /// Returns a mark to compare with [`Filesystem::failed_since`] later.
    pub(crate) fn mark(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// Returns true if a sync failed after `mark` was taken.
    pub(crate) fn failed_since(&self, mark: u64) -> bool {
        self.mark() != mark
    }

    /// Notes that a sync failed: nothing that was begun before is trusted any more.
    pub(crate) fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that a directory was made whose name is not durable yet.
    pub(crate) fn note_directory(&self) {
        self.directories_made.fetch_add(1, Ordering::AcqRel);
    }

    /// Returns true if names of directories may still be in memory only.
    pub(crate) fn has_fresh_directories(&self) -> bool {
        self.directories_made.load(Ordering::Acquire)
            != self.directories_synced.load(Ordering::Acquire)
    }

    /// Makes everything on the file system durable.
    #[cfg(target_os = "linux")]
    pub(crate) fn sync_all(&self) -> Result<()> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let made = self.directories_made.load(Ordering::Acquire);
        match crate::sys::syncfs(&self.sync_handle) {
            Ok(()) => {
                #[cfg(test)]
                crate::publish::steps::note(crate::publish::steps::Step::FilesystemSynced);
                self.directories_synced.fetch_max(made, Ordering::AcqRel);
                Ok(())
            }
            Err(errno) => {
                self.note_failure();
                Err(Error::write(errno))
            }
        }
    }
}

/// Returns true if a file or directory lies in memory.
#[cfg(target_os = "linux")]
fn is_in_memory(file: &OwnedFd) -> bool {
    /// `linux/magic.h`.
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    crate::sys::fstatfs(file).is_ok_and(|stat| stat.f_type as u64 == TMPFS_MAGIC)
}

/// Returns true if a file or directory lies in memory, as far as is known.
#[cfg(not(target_os = "linux"))]
const fn is_in_memory(_file: &OwnedFd) -> bool {
    false
}

/// Returns true if a whole-file-system sync exists and reports write errors: Linux 5.8 and later.
#[cfg(target_os = "linux")]
pub(crate) fn sync_all_is_reliable() -> bool {
    static RELIABLE: OnceLock<bool> = OnceLock::new();
    *RELIABLE.get_or_init(|| {
        let uname = rustix::system::uname();
        let release = uname.release().to_string_lossy();
        let mut numbers = release
            .split(|c: char| !c.is_ascii_digit())
            .map(str::parse::<u32>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (5, 8),
            _ => false,
        }
    })
}

impl Filesystem {
    /// Makes everything durable if the system can do that and tells about errors.
    pub(crate) fn try_sync_all(&self) -> Option<Result<()>> {
        #[cfg(target_os = "linux")]
        if sync_all_is_reliable() {
            return Some(self.sync_all());
        }
        None
    }
}
