//! Opening a partial file: a new one, or one that is continued (protocol §14.1).

use std::thread;
use std::time::{Duration, Instant};

use docroot::{Dir, Partial, PartialOptions};
use fasp_core::RangeSet;
use transfer_spec::ResumePolicy;

use super::checkpoint::{Checkpoint, MAX_CHECKPOINT, SourceVersion};
use super::durable::{Checkpoints, Progress};

/// How long a partial may be in use by a session that does nothing with it any more: a little more than the data time-out,
/// with which a session ends whose peer is gone without a word.
const PATIENCE: Duration = Duration::from_secs(70);
/// A partial that changes after this time belongs to a session that lives; before, one that ends may still write.
const DYING: Duration = Duration::from_secs(3);
/// How often it is tried again.
const TRY: Duration = Duration::from_millis(50);

/// Opens partial files as the resume level says.
#[derive(Debug, Clone)]
pub(super) struct Opener {
    pub(super) resume: ResumePolicy,
    /// Nothing at level 0.
    checkpoints: Option<Checkpoints>,
}

/// A partial that blocks can be written to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) partial: Partial,
    /// Nothing at level 0.
    pub(super) progress: Option<Progress>,
    /// What is there from before.
    pub(super) held: RangeSet,
}

impl Opener {
    /// Starts the thread that writes checkpoints, if any are to be written.
    pub(super) fn new(resume: ResumePolicy) -> std::io::Result<Self> {
        let checkpoints = match resume {
            ResumePolicy::None => None,
            _ => Some(Checkpoints::start()?),
        };
        Ok(Self {
            resume,
            checkpoints,
        })
    }

    /// Opens the partial of `name` for this version of its source, and goes on with what is there if that is wanted.
    pub(super) fn open(
        &self,
        dir: &Dir,
        name: &[u8],
        source: SourceVersion,
        is_continued: bool,
    ) -> Result<Opened, docroot::Error> {
        let options = PartialOptions::default()
            .size_hint(source.size)
            .resume(self.checkpoints.is_some());
        let partial = patiently(dir, name, &options)?;
        let inode = partial.identity()?.inode;
        let held = match partial.resumed_length() {
            0 => RangeSet::new(),
            _ if !is_continued => RangeSet::new(),
            length => claimed(dir, name, inode, length, source),
        };
        if partial.resumed_length() > 0 && held.is_empty() {
            partial.restart(source.size)?;
        }
        let progress = self.checkpoints.clone().map(|checkpoints| {
            Progress::new(partial.handle(), checkpoints, inode, source, held.clone())
        });
        Ok(Opened {
            partial,
            progress,
            held,
        })
    }

    /// Opens the partial of a file that is still being written, which is never continued (protocol §13.6).
    pub(super) fn open_growing(&self, dir: &Dir, name: &[u8]) -> Result<Opened, docroot::Error> {
        let partial = patiently(dir, name, &PartialOptions::default())?;
        Ok(Opened {
            partial,
            progress: None,
            held: RangeSet::new(),
        })
    }
}

/// Waits for a former session that has not noticed yet that its client is gone.
fn patiently(dir: &Dir, name: &[u8], options: &PartialOptions) -> Result<Partial, docroot::Error> {
    let begun = Instant::now();
    let mut before = None;
    loop {
        match dir.create_partial(name, options) {
            Err(docroot::Error::InUse) => {}
            result => return result,
        }
        let now = dir.partial_attributes(name)?;
        let waited = begun.elapsed();
        let is_changing = before.replace(now).is_some_and(|before| before != now);
        if waited >= PATIENCE || (is_changing && waited >= DYING) {
            return Err(docroot::Error::InUse);
        }
        thread::sleep(TRY);
    }
}

/// What the checkpoint says is there; nothing unless it fits in every detail (D-4).
fn claimed(dir: &Dir, name: &[u8], inode: u64, length: u64, source: SourceVersion) -> RangeSet {
    let loaded = dir.load_checkpoint(name, MAX_CHECKPOINT);
    let checkpoint = loaded.ok().flatten();
    let fits = |c: &Checkpoint| {
        let end = c.held.ranges().last().map_or(0, |range| range.end);
        c.inode == inode && c.source == source && end <= length && length <= source.size
    };
    checkpoint
        .and_then(|bytes| Checkpoint::decode(&bytes))
        .filter(fits)
        .map_or_else(RangeSet::new, |checkpoint| checkpoint.held)
}
