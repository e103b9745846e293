//! A file while it is being received (D-1).

use std::io::IoSlice;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::sys::{fchmod, fchown, flock, fstat, ftruncate, futimens, openat, statat};
use fasp_core::NotKept;
use rustix::fs::{AtFlags, FlockOperation, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::attributes::{Attributes, FileKind, Identity, Metadata, permission_bits};
use crate::checkpoint::{Companion, PartialHandle};
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::publish::{Existing, Finished, Held};

/// How a partial is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartialOptions {
    /// Continue a partial that is already there, if it can be trusted to be ours.
    pub resume: bool,
    /// The size the file will have, in bytes, as far as known: reserved on the disk at once.
    pub size_hint: u64,
    /// Permission bits while receiving, less the process's umask.
    pub mode: u32,
}

impl Default for PartialOptions {
    fn default() -> Self {
        Self {
            resume: false,
            size_hint: 0,
            mode: 0o666,
        }
    }
}

impl PartialOptions {
    /// Sets whether a partial that is already there is continued.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Sets the size that is reserved on the disk at once.
    #[must_use]
    pub fn size_hint(mut self, bytes: u64) -> Self {
        self.size_hint = bytes;
        self
    }

    /// Sets the permission bits while receiving, less the process's umask.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }
}

/// A file under its temporary name, locked against other writers.
///
/// Dropping it removes it, unless [`Partial::keep`] was called or a checkpoint was stored.
#[derive(Debug)]
pub struct Partial {
    // Dropped before the descriptor, so that the name is gone before the lock is.
    unpublished: Unpublished,
    file: Arc<OwnedFd>,
    resumed: u64,
}

/// A temporary name, removed when dropped unless it is to be kept or was published.
#[derive(Debug)]
pub(crate) struct Unpublished {
    pub(crate) dir: Dir,
    /// The final name.
    pub(crate) name: Box<[u8]>,
    pub(crate) temporary: Box<[u8]>,
    /// Of a file that is written in several steps.
    pub(crate) companion: Option<Arc<Companion>>,
    /// The state of the file system's sync errors before the first byte was written (D-6).
    mark: u64,
    /// A sync failed: what the page cache says is not what the disk says (D-6).
    distrusted: bool,
}

impl Unpublished {
    pub(crate) fn new(dir: &Dir, name: &[u8], temporary: Vec<u8>) -> Self {
        let mark = dir.filesystem().mark();
        let (name, temporary) = (name.into(), temporary.into());
        Self {
            dir: dir.clone(),
            name,
            temporary,
            companion: None,
            mark,
            distrusted: false,
        }
    }

    /// One that may be kept and continued.
    fn continuable(dir: &Dir, name: &[u8], temporary: Vec<u8>) -> Self {
        let mut new = Self::new(dir, name, temporary);
        new.companion = Some(Arc::default());
        new
    }

    /// Notes that the bytes cannot be trusted any more.
    pub(crate) fn distrust(&mut self) {
        self.distrusted = true;
    }

    /// Returns true if a sync failed since the file was begun.
    pub(crate) fn is_distrusted(&self) -> bool {
        self.distrusted
            || self.companion.as_ref().is_some_and(|c| c.is_distrusted())
            || self.dir.filesystem().failed_since(self.mark)
    }

    /// Removes the checkpoint, now that the file has its final name or is to be removed.
    pub(crate) fn forget_checkpoint(&self) -> Result<()> {
        match &self.companion {
            Some(companion) => companion.forget(&self.dir, &self.name),
            None => Ok(()),
        }
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if self.temporary.is_empty() {
            return;
        }
        let is_kept = self.companion.as_ref().is_some_and(|c| c.is_kept());
        if is_kept && !self.is_distrusted() {
            give_back(&self.dir, &self.temporary);
        } else if self.forget_checkpoint().is_ok() {
            // What cannot be removed now is replaced by the next attempt. A partial whose checkpoint stays has to stay,
            // so that nothing else gets its place (D-3).
            let _ = self.dir.unlink(&self.temporary);
        }
    }
}

/// How often the name may change under us before that is an error.
const MAX_ATTEMPTS: usize = 16;

impl Dir {
    /// Creates the file that `name` is received into: `name` with the partial suffix.
    ///
    /// Whatever has that name and is no regular file of ours with a single name is removed, never
    /// followed or written to. So is a stale partial, unless `options` ask to resume it.
    ///
    /// # Errors
    /// [`Error::InUse`] while another writer has the partial; [`Error::NoSpace`] when the size
    /// cannot be reserved; [`Error::IsADirectory`] when a directory is in the way; a
    /// [`NameFault`](crate::NameFault) for names that may not be published; those of a failed write.
    pub fn create_partial(&self, name: &[u8], options: &PartialOptions) -> Result<Partial> {
        self.check_final_name(name)?;
        let temporary = self.partial_name(name);
        for _ in 0..MAX_ATTEMPTS {
            if !options.resume || self.stat(&temporary)?.is_none() {
                // Nothing may speak of a file that begins now (D-3).
                self.unlink_checkpoint(name)?;
            }
            let (file, resumed) = match self.create_locked(&temporary, options.mode)? {
                Some(file) => (file, 0),
                None => match self.take_over(&temporary, options.resume)? {
                    Some(found) => found,
                    None => continue,
                },
            };
            let unpublished = Unpublished::continuable(self, name, temporary);
            let companion = unpublished.companion.as_ref();
            // What was received before outlives a disk that is full now.
            if let Some(companion) = companion.filter(|_| resumed > 0) {
                companion.note_stored();
                companion.keep();
            }
            reserve(self, &file, options.size_hint)?;
            return Ok(Partial {
                unpublished,
                file: Arc::new(file),
                resumed,
            });
        }
        Err(Error::InUse)
    }

    /// Creates a file for `name` under a temporary name of its own, which nobody knows and nobody resumes: for content that must
    /// not be found half done, such as a decrypted file.
    ///
    /// # Errors
    /// As [`Dir::create_partial`], but never [`Error::InUse`] for another writer of the same name.
    pub fn create_hidden(&self, name: &[u8], options: &PartialOptions) -> Result<Partial> {
        self.check_final_name(name)?;
        let temporary = self.temporary_name();
        let file = self
            .create_locked(&temporary, options.mode)?
            .ok_or(Error::InUse)?;
        let unpublished = Unpublished::continuable(self, name, temporary);
        reserve(self, &file, options.size_hint)?;
        Ok(Partial {
            unpublished,
            file: Arc::new(file),
            resumed: 0,
        })
    }

    /// Creates a new file and locks it. Nothing if the name is taken.
    fn create_locked(&self, temporary: &[u8], mode: u32) -> Result<Option<OwnedFd>> {
        let file = match create_new(self, temporary, permission_bits(mode | 0o600)) {
            Ok(file) => file,
            Err(Errno::EXIST) => return Ok(None),
            Err(errno) => return Err(Error::open(errno, Error::Write)),
        };
        lock(&file)?;
        Ok(self.still_names(temporary, &file)?.then_some(file))
    }

    /// Looks at what has the name already: continues it, or removes it and returns nothing.
    fn take_over(&self, temporary: &[u8], resume: bool) -> Result<Option<(OwnedFd, u64)>> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(self.as_fd(), temporary, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::MFILE | Errno::NFILE) => {
                return Err(Error::TooManyOpenFiles(Errno::MFILE.into()));
            }
            // A link, a socket, somebody else's file: nothing of ours.
            Err(_) => return self.discard(temporary),
        };
        let attributes = Attributes::of(&fstat(&file).map_err(Error::stat)?);
        let ours = attributes.kind == FileKind::File
            && attributes.uid == rustix::process::geteuid().as_raw()
            // A second name may lie anywhere, put there for us to write through.
            && attributes.links == 1;
        if !ours {
            return self.discard(temporary);
        }
        lock(&file)?;
        if !self.still_names(temporary, &file)? {
            return Ok(None);
        }
        if !resume {
            return self.discard(temporary);
        }
        clear_nonblock(&file)?;
        Ok(Some((file, attributes.size)))
    }

    fn discard<T>(&self, temporary: &[u8]) -> Result<Option<T>> {
        match self.unlink(temporary) {
            Ok(()) | Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::open(errno, Error::Write)),
        }
    }

    /// Returns true if the name still belongs to the open file: between opening and locking it,
    /// its former writer may have published it, and another may have made a new one.
    fn still_names(&self, name: &[u8], file: &OwnedFd) -> Result<bool> {
        let open = Attributes::of(&fstat(file).map_err(Error::stat)?);
        match statat(self.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Attributes::of(&stat).is_same_object(&open)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::stat(errno)),
        }
    }
}

impl Partial {
    /// Writes all of `data` at `offset`, in bytes from the start.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::TooBig`], [`Error::Write`].
    pub fn write_all_at(&self, data: &[u8], offset: u64) -> Result<()> {
        write_all_at(&self.file, data, offset)
    }

    /// Writes all of `slices`, one after the other, at `offset`.
    ///
    /// # Errors
    /// As [`Partial::write_all_at`].
    pub fn write_vectored_at(&self, slices: &[IoSlice<'_>], mut offset: u64) -> Result<()> {
        let mut rest = slices;
        while !rest.is_empty() {
            let mut written = match crate::sys::pwritev(&self.file, rest, offset) {
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::write(errno)),
            };
            offset = advance(offset, written)?;
            let mut progress = written > 0;
            while let Some((first, others)) = rest.split_first() {
                if written < first.len() {
                    break;
                }
                written -= first.len();
                rest = others;
                progress = true;
            }
            match rest.split_first() {
                None => return Ok(()),
                // A short write ended inside a slice: finish that one by itself.
                Some((first, others)) if written > 0 => {
                    self.write_all_at(&first[written..], offset)?;
                    offset = advance(offset, first.len() - written)?;
                    rest = others;
                }
                Some(_) if progress => {}
                Some(_) => return Err(Error::write(Errno::IO)),
            }
        }
        Ok(())
    }

    /// Cuts or extends the file to `length` bytes.
    ///
    /// # Errors
    /// As [`Partial::write_all_at`].
    pub fn set_len(&self, length: u64) -> Result<()> {
        ftruncate(&self.file, length).map_err(Error::write)
    }

    /// Reads what was written, to verify it; returns how many bytes there were.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        read_at(&self.file, buffer, offset)
    }

    /// Makes the bytes written so far durable, so that a checkpoint may claim them.
    ///
    /// # Errors
    /// [`Error::Write`]: the partial is removed when dropped, whether or not it was to be kept.
    pub fn sync(&mut self) -> Result<()> {
        sync_data(&self.file).inspect_err(|_| self.unpublished.distrust())
    }

    /// Leaves the partial on the disk when it is dropped unpublished, so that it can be resumed.
    pub fn keep(&mut self) {
        if let Some(companion) = &self.unpublished.companion {
            companion.keep();
        }
    }

    /// Returns a handle for threads that sync, checkpoint and verify what is written here. The lock lasts as long as
    /// any of them.
    pub fn handle(&self) -> PartialHandle {
        let Unpublished { dir, name, .. } = &self.unpublished;
        let companion = self.unpublished.companion.clone().unwrap_or_default();
        PartialHandle::new(&self.file, dir, name, &companion)
    }

    /// Removes the checkpoint; handles made before cannot store one any more, and the partial is not kept.
    ///
    /// # Errors
    /// Those of removing it: then what it claims has to stay as it is.
    pub fn forget_checkpoint(&self) -> Result<()> {
        self.unpublished.forget_checkpoint()
    }

    /// Gives up what was written so far, its checkpoint first, and begins anew.
    ///
    /// # Errors
    /// As [`Partial::forget_checkpoint`] and [`Partial::set_len`].
    pub fn restart(&self, size_hint: u64) -> Result<()> {
        self.forget_checkpoint()?;
        self.set_len(0)?;
        reserve(&self.unpublished.dir, &self.file, size_hint)
    }

    /// Sets metadata and hands the file over for publishing under its final name.
    ///
    /// # Errors
    /// [`Error::Write`] when a sync failed before.
    pub fn finish(self, metadata: &Metadata, existing: Existing) -> Result<Finished> {
        if self.unpublished.is_distrusted() {
            return Err(Error::write(Errno::IO));
        }
        let not_kept = apply(self.file.as_fd(), metadata, Mode::empty())?;
        Ok(Finished::new(
            self.unpublished,
            Held::Locked(self.file),
            existing,
            not_kept,
        ))
    }

    /// Returns what the file is now; the size is what was written so far.
    ///
    /// # Errors
    /// [`Error::Stat`].
    pub fn attributes(&self) -> Result<Attributes> {
        Ok(Attributes::of(&fstat(&self.file).map_err(Error::stat)?))
    }

    /// Returns what tells this file from others.
    ///
    /// # Errors
    /// As [`Partial::attributes`].
    pub fn identity(&self) -> Result<Identity> {
        Ok(self.attributes()?.identity())
    }

    /// Returns the length the partial had when it was taken over, 0 for a new one.
    pub fn resumed_length(&self) -> u64 {
        self.resumed
    }
}

/// Creates a file that did not exist; anything that has the name already is an error.
pub(crate) fn create_new(dir: &Dir, name: &[u8], mode: Mode) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        match openat(dir.as_fd(), name, flags, mode) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Gives back what was reserved and not written (D-12). Nobody writes: the lock is still held, by a writer that is done.
fn give_back(dir: &Dir, name: &[u8]) {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(file) = openat(dir.as_fd(), name, flags, Mode::empty())
        && let Ok(stat) = fstat(&file)
        && let Ok(size) = u64::try_from(stat.st_size)
    {
        // A file system that cannot give it back keeps it until the file is continued.
        ftruncate(&file, size).ok();
    }
}

pub(crate) fn read_at(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<usize> {
    loop {
        match crate::sys::pread(file, &mut *buffer, offset) {
            Err(Errno::INTR) => {}
            result => return result.map_err(Error::read),
        }
    }
}

pub(crate) fn write_all_at(file: &OwnedFd, mut data: &[u8], mut offset: u64) -> Result<()> {
    while !data.is_empty() {
        match crate::sys::pwrite(file, data, offset) {
            Ok(0) => return Err(Error::write(Errno::IO)),
            Ok(written) => {
                offset = advance(offset, written)?;
                data = &data[written..];
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::write(errno)),
        }
    }
    Ok(())
}

/// Sets metadata through the descriptor, and says what could not be kept. `kept` are bits of the mode that stay.
pub(crate) fn apply(fd: BorrowedFd<'_>, metadata: &Metadata, kept: Mode) -> Result<NotKept> {
    // Before owner and mode, either of which may keep this account from setting them.
    let mut not_kept = NotKept {
        xattrs: !metadata.xattrs.set(fd),
        ..NotKept::default()
    };
    let note = |result: rustix::io::Result<()>, is_lost: &mut bool| match result {
        Ok(()) => Ok(()),
        // Not this account's to change, or a file system without such: no reason to lose the file.
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            *is_lost = true;
            Ok(())
        }
        Err(errno) => Err(Error::write(errno)),
    };
    // Before the mode, some bits of which a change of owner or group takes away. Each for itself, for one may be allowed
    // where the other is not.
    if let Some(owner) = metadata.owner {
        note(
            fchown(fd, Some(Uid::from_raw(owner)), None),
            &mut not_kept.owner,
        )?;
    }
    if let Some(group) = metadata.group {
        note(
            fchown(fd, None, Some(Gid::from_raw(group))),
            &mut not_kept.group,
        )?;
    }
    if let Some(mode) = metadata.permissions() {
        note(fchmod(fd, mode | kept), &mut not_kept.mode)?;
    }
    if let Some(times) = metadata.timestamps() {
        note(futimens(fd, &times), &mut not_kept.times)?;
        // A file system takes what it has no room for as well, and keeps the nearest that it has.
        if metadata.has_odd_times() {
            let now = Attributes::of(&fstat(fd).map_err(Error::stat)?);
            not_kept.times |= !metadata.has_times_of(&now);
        }
    }
    Ok(not_kept)
}

/// Makes the content of a file durable, with what is needed to find it.
pub(crate) fn sync_data(file: &OwnedFd) -> Result<()> {
    #[cfg(test)]
    crate::publish::steps::note(crate::publish::steps::Step::FileSynced);
    loop {
        #[cfg(target_vendor = "apple")]
        let result = crate::sys::fcntl_fullfsync(file);
        #[cfg(not(target_vendor = "apple"))]
        let result = crate::sys::fdatasync(file);
        match result {
            Err(Errno::INTR) => {}
            result => return result.map_err(Error::write),
        }
    }
}

fn lock(file: &OwnedFd) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        // Some network file systems have no locks; their users have one writer.
        Ok(()) | Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(Error::InUse),
        Err(errno) => Err(Error::write(errno)),
    }
}

pub(crate) fn clear_nonblock(file: &OwnedFd) -> Result<()> {
    crate::sys::fcntl_setfl(file, OFlags::empty()).map_err(Error::read)
}

/// Reserves space without changing the length, where the file system can (D-12).
fn reserve(dir: &Dir, file: &OwnedFd, bytes: u64) -> Result<()> {
    #[cfg(target_os = "linux")]
    if bytes > 0 {
        use crate::sys::fallocate;
        use rustix::fs::FallocateFlags;
        // There a reservation takes every page one by one, which holds up the first write for as long as a third of all
        // writes take.
        if dir.filesystem().is_in_memory {
            return check_space(file, bytes);
        }
        match fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => {}
            Err(errno) => return Err(Error::write(errno)),
        }
    }
    let _ = (dir, file, bytes);
    Ok(())
}

/// Finds out whether `bytes` fit, with what the file has already.
#[cfg(target_os = "linux")]
fn check_space(file: &OwnedFd, bytes: u64) -> Result<()> {
    /// Of `st_blocks`, whatever the file system's own block size.
    const BLOCK: u64 = 512;
    let (Ok(space), Ok(own)) = (crate::sys::fstatvfs(file), fstat(file)) else {
        // A system that does not tell is written to all the same.
        return Ok(());
    };
    let held = (own.st_blocks as u64).saturating_mul(BLOCK);
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    // One without a limit has no size.
    if space.f_blocks > 0 && free.saturating_add(held) < bytes {
        return Err(Error::write(Errno::NOSPC));
    }
    Ok(())
}

fn advance(offset: u64, written: usize) -> Result<u64> {
    offset
        .checked_add(written as u64)
        .ok_or_else(|| Error::write(Errno::FBIG))
}
