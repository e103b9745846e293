//! Small files, made in one go.
//!
//! Where files lie in memory, most of what such a file costs is what the system does with its names. There it is made
//! without one (`O_TMPFILE`) and gets its final name when it is published: one name is made instead of two, the
//! directory is locked once instead of twice, and a killed process leaves nothing behind. It has to stay open until then,
//! which is why only so many are made at once, and none where a group waits for a sync.

use std::os::fd::AsFd as _;

use rustix::fs::Mode;

use crate::attributes::Metadata;
use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::partial::{Unpublished, apply, create_new, write_all_at};
use crate::publish::{Existing, Finished, Held};

impl Dir {
    /// Creates a file of `content` in one go, for small files.
    ///
    /// It gets a temporary name of its own or none at all, no lock and no reservation.
    ///
    /// # Errors
    /// As [`Dir::create_partial`](crate::Dir::create_partial) and a failed write.
    pub fn create_small(
        &self,
        name: &[u8],
        content: &[u8],
        metadata: &Metadata,
        existing: Existing,
    ) -> Result<Finished> {
        self.check_final_name(name)?;
        let mode = metadata
            .permissions()
            .unwrap_or(Mode::from_bits_truncate(0o666));
        #[cfg(target_os = "linux")]
        if let Some(nameless) = Nameless::create(self, mode) {
            let file = nameless.file();
            write_all_at(file, content, 0)?;
            let not_kept = apply(file.as_fd(), metadata, Mode::empty())?;
            let unpublished = Unpublished::new(self, name, Vec::new());
            let file = Held::Nameless(nameless);
            return Ok(Finished::new(unpublished, file, existing, not_kept));
        }
        let unpublished = Unpublished::new(self, name, self.temporary_name());
        let file = create_new(self, &unpublished.temporary, mode)
            .map_err(|errno| Error::open(errno, Error::Write))?;
        write_all_at(&file, content, 0)?;
        let not_kept = apply(file.as_fd(), metadata, Mode::empty())?;
        Ok(Finished::new(unpublished, Held::Closed, existing, not_kept))
    }
}

#[cfg(target_os = "linux")]
pub(crate) use self::nameless::Nameless;

#[cfg(target_os = "linux")]
mod nameless {
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustix::fs::{AtFlags, Mode, OFlags};
    use rustix::io::Errno;
    use rustix::process::{Resource, getrlimit};

    use crate::dir::Dir;
    use crate::sys::{linkat, openat};

    /// Files without a name at once in the whole process, at most …
    const MAX_OPEN: usize = 1024;
    /// … and as a share of the files that the system lets it have open.
    const SHARE: u64 = 4;

    static OPEN: AtomicUsize = AtomicUsize::new(0);

    fn max_open() -> usize {
        static MAX: OnceLock<usize> = OnceLock::new();
        *MAX.get_or_init(|| {
            let limit = getrlimit(Resource::Nofile).current;
            let share = usize::try_from(limit.unwrap_or(u64::MAX) / SHARE);
            share.map_or(MAX_OPEN, |share| share.min(MAX_OPEN))
        })
    }

    /// An open file that has no name yet, and is gone without a trace when dropped before it gets one.
    #[derive(Debug)]
    pub(crate) struct Nameless {
        file: OwnedFd,
        _place: Place,
    }

    /// One of the files that may be open.
    #[derive(Debug)]
    struct Place;

    impl Place {
        fn take() -> Option<Self> {
            // Only a count: nothing is published by it.
            let taken = OPEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < max_open()).then_some(open + 1)
            });
            taken.ok().map(|_| Self)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
    }

    impl Nameless {
        /// Makes a file in a directory that lies in memory. Nothing where that is not so, where it cannot be done, or while
        /// too many are open: then a file needs a name.
        pub(crate) fn create(dir: &Dir, mode: Mode) -> Option<Self> {
            let filesystem = dir.filesystem();
            let place = filesystem.is_in_memory.then(Place::take)??;
            let is_known = *filesystem.has_nameless.get_or_init(|| is_known(dir));
            // What keeps one from being made keeps one with a name as well, and is an error then.
            let file = is_known.then(|| create(dir, mode).ok())??;
            Some(Self {
                file,
                _place: place,
            })
        }

        pub(crate) const fn file(&self) -> &OwnedFd {
            &self.file
        }

        /// Gives the file a name, which has to be free.
        pub(crate) fn link(&self, dir: &Dir, name: &[u8]) -> Result<(), Errno> {
            link(&self.file, dir, name)
        }
    }

    fn create(dir: &Dir, mode: Mode) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        openat(dir.as_fd(), ".", flags, mode)
    }

    fn link(file: &OwnedFd, dir: &Dir, name: &[u8]) -> Result<(), Errno> {
        linkat(file, "", dir.as_fd(), name, AtFlags::EMPTY_PATH)
    }

    /// Whether files can be made without a name and get one later. Before Linux 6.10 only some accounts may do the latter.
    fn is_known(dir: &Dir) -> bool {
        let Ok(file) = create(dir, Mode::RUSR | Mode::WUSR) else {
            return false;
        };
        let name = dir.temporary_name();
        link(&file, dir, &name).is_ok() && dir.unlink(&name).is_ok()
    }
}
