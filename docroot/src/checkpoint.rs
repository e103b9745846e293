//! What lies beside a partial and says how much of it can be continued, and the threads that keep it up to date (D-3).

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use crate::dir::Dir;
use crate::error::{Error, Result};
use crate::partial::{read_at, sync_data};
use crate::path::EntryPath;
use crate::root::Docroot;

/// What the writer of a partial and those with a [`PartialHandle`] share.
#[derive(Debug, Default)]
pub(crate) struct Companion {
    state: Mutex<State>,
    /// A sync failed: what the page cache says is not what the disk says (D-6).
    distrusted: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// Handles of earlier generations speak of content that is gone.
    generation: u64,
    /// A checkpoint may be there.
    is_stored: bool,
    /// The partial stays when it is dropped unpublished.
    keep: bool,
}

impl Companion {
    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole when the lock is free, whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Release);
    }

    pub(crate) fn is_distrusted(&self) -> bool {
        self.distrusted.load(Ordering::Acquire)
    }

    pub(crate) fn keep(&self) {
        self.state().keep = true;
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.state().keep
    }

    /// Notes that a checkpoint of an earlier writer is there.
    pub(crate) fn note_stored(&self) {
        self.state().is_stored = true;
    }

    /// Removes the checkpoint, and lets nobody store one for what has been written so far.
    pub(crate) fn forget(&self, dir: &Dir, name: &[u8]) -> Result<()> {
        let mut state = self.state();
        state.generation += 1;
        state.keep = false;
        if state.is_stored {
            dir.unlink_checkpoint(name)?;
            state.is_stored = false;
        }
        Ok(())
    }
}

/// A second handle of a partial, for threads that sync and verify what its writer writes. Clones are the same handle.
#[derive(Debug, Clone)]
pub struct PartialHandle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Arc<OwnedFd>,
    dir: Dir,
    name: Box<[u8]>,
    companion: Arc<Companion>,
    generation: u64,
}

impl PartialHandle {
    pub(crate) fn new(
        file: &Arc<OwnedFd>,
        dir: &Dir,
        name: &[u8],
        companion: &Arc<Companion>,
    ) -> Self {
        let generation = companion.state().generation;
        Self(Arc::new(Inner {
            file: Arc::clone(file),
            dir: dir.clone(),
            name: name.into(),
            companion: Arc::clone(companion),
            generation,
        }))
    }

    /// Makes the bytes written so far durable, so that a checkpoint may claim them.
    ///
    /// # Errors
    /// [`Error::Write`]: the partial is removed when dropped, whatever its checkpoint says (D-6).
    pub fn sync(&self) -> Result<()> {
        sync_data(&self.0.file).inspect_err(|_| self.0.companion.distrust())
    }

    /// Replaces the checkpoint in one step; from then on the partial stays when it is dropped unpublished.
    ///
    /// It may claim only bytes that were written before the last [`sync`](Self::sync) (D-3). Nothing happens when the
    /// content has been given up meanwhile, or published.
    ///
    /// # Errors
    /// Those of a failed write; the former checkpoint is still there then.
    pub fn store_checkpoint(&self, content: &[u8]) -> Result<()> {
        let inner = &*self.0;
        // Held while storing: whoever removes the checkpoint waits until it is whole.
        let mut state = inner.companion.state();
        if state.generation != inner.generation || inner.companion.is_distrusted() {
            return Ok(());
        }
        inner.dir.write_checkpoint(&inner.name, content)?;
        state.is_stored = true;
        state.keep = true;
        Ok(())
    }

    /// Reads what was written, to verify it; returns how many bytes there were.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        read_at(&self.0.file, buffer, offset)
    }
}

impl Docroot {
    /// Whether something lies where the partial or the checkpoint of a file would; it may be anything.
    ///
    /// # Errors
    /// Those of [`Docroot::dir`].
    pub fn has_partial(&self, path: &EntryPath) -> Result<bool> {
        let (dir, name) = self.parent_dir(path)?;
        let names = [dir.partial_name(name), dir.checkpoint_name(name)];
        for name in names {
            if dir.stat(&name)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Dir {
    /// Removes the checkpoint of `name` and what a killed process left of the next one.
    pub(crate) fn unlink_checkpoint(&self, name: &[u8]) -> Result<()> {
        for name in [self.checkpoint_name(name), self.next_checkpoint_name(name)] {
            match self.unlink(&name) {
                // A directory of that name is nobody's checkpoint.
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => return Err(Error::open(errno, Error::Write)),
            }
        }
        Ok(())
    }
}
