//! Checkpoints of files that are being received: when, and by whom (protocol §14.2).

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};
use docroot::PartialHandle;
use fasp_core::RangeSet;

use super::checkpoint::{Checkpoint, SourceVersion};

/// A checkpoint is begun when this much was written since the last one, bytes …
const BEGIN_BYTES: u64 = 32 << 20;
/// … or when anything was and this much time has gone by.
pub(super) const BEGIN_AFTER: Duration = Duration::from_secs(1);
/// The checkpoint interval: more than this is never written and not covered by a checkpoint, bytes.
pub(crate) const CHECKPOINT_INTERVAL: u64 = 64 << 20;

/// The thread that syncs and writes checkpoints; it ends with the last clone.
#[derive(Debug, Clone)]
pub(super) struct Checkpoints(Sender<Job>);

#[derive(Debug)]
struct Job {
    handle: PartialHandle,
    content: Vec<u8>,
    done: Sender<Result<(), docroot::Error>>,
}

impl Checkpoints {
    /// Starts the thread.
    pub(super) fn start() -> std::io::Result<Self> {
        let (sender, jobs) = unbounded::<Job>();
        thread::Builder::new()
            .name("fasp-checkpoint".into())
            .spawn(move || {
                for job in jobs {
                    let result = write(&job.handle, &job.content);
                    // A file that has ended meanwhile does not wait.
                    job.done.send(result).ok();
                }
            })?;
        Ok(Self(sender))
    }
}

/// Fails when the bytes cannot be made durable; a checkpoint that cannot be written is only missed when it is needed (F21).
fn write(handle: &PartialHandle, content: &[u8]) -> Result<(), docroot::Error> {
    handle.sync()?;
    if let Err(error) = handle.store_checkpoint(content) {
        tracing::debug!(%error, "checkpoint not written");
    }
    Ok(())
}

/// How much of a file is written, and how much of that is covered by a checkpoint.
#[derive(Debug)]
pub(super) struct Progress {
    handle: PartialHandle,
    checkpoints: Checkpoints,
    inode: u64,
    source: SourceVersion,
    /// Written, or held from before.
    written: RangeSet,
    /// Bytes written since the last checkpoint was begun.
    fresh: u64,
    /// Bytes that are being written: several sessions may write parts of one file.
    writing: u64,
    /// When the first of them was, or the last checkpoint was begun if that is later.
    since: Instant,
    /// Bytes that the running checkpoint will cover, and where its result comes.
    running: Option<(u64, Receiver<Result<(), docroot::Error>>)>,
}

impl Progress {
    pub(super) fn new(
        handle: PartialHandle,
        checkpoints: Checkpoints,
        inode: u64,
        source: SourceVersion,
        held: RangeSet,
    ) -> Self {
        Self {
            handle,
            checkpoints,
            inode,
            source,
            written: held,
            fresh: 0,
            writing: 0,
            since: Instant::now(),
            running: None,
        }
    }

    /// Waits until so many bytes may be written: with them, no more than the interval is not covered by a checkpoint.
    ///
    /// # Errors
    /// When earlier bytes could not be made durable.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<(), docroot::Error> {
        loop {
            let covered = self.running.as_ref().map_or(0, |(bytes, _)| *bytes);
            let uncovered = self.fresh + self.writing + covered;
            if self.fresh + covered == 0 || uncovered + bytes <= CHECKPOINT_INTERVAL {
                self.writing += bytes;
                return Ok(());
            }
            if self.running.is_none() {
                self.begin()?;
            }
            self.wait()?;
        }
    }

    /// A range has been written that there was [room](Self::make_room) for; begins a checkpoint when one is due.
    ///
    /// # Errors
    /// As [`make_room`](Self::make_room).
    pub(super) fn on_written(&mut self, start: u64, end: u64) -> Result<(), docroot::Error> {
        if self.fresh == 0 && self.running.is_none() {
            self.since = Instant::now();
        }
        self.written.insert(start..end);
        self.writing = self.writing.saturating_sub(end - start);
        self.fresh += end - start;
        if self.fresh >= BEGIN_BYTES {
            self.begin()?;
        }
        Ok(())
    }

    /// How much is there from the start of the file on, bytes.
    pub(super) fn held_from_start(&self) -> u64 {
        let first = self.written.ranges().first();
        first.map_or(0, |range| if range.start == 0 { range.end } else { 0 })
    }

    /// Begins a checkpoint if one has been due for some time.
    ///
    /// # Errors
    /// As [`make_room`](Self::make_room).
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), docroot::Error> {
        if self.fresh > 0 && now.saturating_duration_since(self.since) >= BEGIN_AFTER {
            self.begin()?;
        }
        Ok(())
    }

    /// Whether there is something that a later checkpoint should cover.
    pub(super) fn is_fresh(&self) -> bool {
        self.fresh > 0
    }

    /// Begins a checkpoint unless one is running.
    fn begin(&mut self) -> Result<(), docroot::Error> {
        if let Some((_, done)) = &self.running {
            match done.try_recv() {
                Ok(result) => result?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => {}
            }
        }
        let (done, result) = bounded(1);
        let job = Job {
            handle: self.handle.clone(),
            content: self.content(),
            done,
        };
        // The thread lives as long as this sender.
        self.checkpoints.0.send(job).ok();
        self.running = Some((std::mem::take(&mut self.fresh), result));
        self.since = Instant::now();
        Ok(())
    }

    /// Waits for the running checkpoint.
    fn wait(&mut self) -> Result<(), docroot::Error> {
        match self.running.take() {
            Some((_, done)) => done.recv().unwrap_or(Ok(())),
            None => Ok(()),
        }
    }

    /// Covers everything by a checkpoint, now: the session has ended.
    ///
    /// # Errors
    /// As [`make_room`](Self::make_room).
    pub(super) fn finish(&mut self) -> Result<(), docroot::Error> {
        self.wait()?;
        if self.fresh > 0 {
            write(&self.handle, &self.content())?;
            self.fresh = 0;
        }
        Ok(())
    }

    /// A range is not there any more, nor what an earlier handle could claim.
    pub(super) fn remove(&mut self, start: u64, end: u64, handle: PartialHandle) {
        let mut left = RangeSet::new();
        for range in self.written.ranges() {
            left.insert(range.start..range.end.min(start));
            left.insert(range.start.max(end)..range.end);
        }
        self.written = left;
        self.handle = handle;
        self.running = None;
        // What is left is not covered by anything.
        self.fresh = self.written.count();
    }

    fn content(&self) -> Vec<u8> {
        Checkpoint {
            inode: self.inode,
            source: self.source,
            held: self.written.clone(),
        }
        .encode()
    }
}
