//! The commit thread: makes finished files durable and visible in groups (rule D-2).

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use docroot::{CommitGroup, Finished};

use super::storage::{Parts, Settled, StorageEvent};
use crate::Error;

/// Files in one group at most: a sync costs about the same for many as for few.
const MAX_GROUP: usize = 8192;
/// How long a group waits for more files …
const GATHER: Duration = Duration::from_millis(200);
/// … and how long for the next one: a sync gathers those that come meanwhile by itself.
const NEXT: Duration = Duration::from_millis(2);
/// Batches of finished files waiting for the thread.
const QUEUE: usize = 256;

/// A finished file, and what to say when it is durable.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) file: u32,
    pub(super) path: Vec<u8>,
    pub(super) size: u64,
    pub(super) finished: Finished,
    /// Of a split file: the parts that get its result, this one among them.
    pub(super) parts: Option<Parts>,
}

/// What to say about a file, and to whom.
type Told = (u32, Vec<u8>, u64, Option<Parts>);

/// Starts the thread; it ends when the sender is dropped and everything is committed.
pub(super) fn start(results: Sender<StorageEvent>) -> Result<Sender<Vec<Pending>>, Error> {
    let (sender, queue) = bounded(QUEUE);
    thread::Builder::new()
        .name("fasp-commit".into())
        .spawn(move || run(&queue, &results))
        .map_err(Error::Thread)?;
    Ok(sender)
}

fn run(queue: &Receiver<Vec<Pending>>, results: &Sender<StorageEvent>) {
    let mut group = CommitGroup::new();
    while let Ok(first) = queue.recv() {
        add(&mut group, first);
        let until = Instant::now() + GATHER;
        while group.len() < MAX_GROUP {
            match queue.recv_deadline(until.min(Instant::now() + NEXT)) {
                Ok(pending) => add(&mut group, pending),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        let mut settled = Vec::with_capacity(group.len());
        for ((file, path, size, parts), result) in group.commit() {
            if let Some(parts) = parts {
                parts.settle(&result);
                continue;
            }
            settled.push(match result {
                Ok(()) => Settled::done(file, path, size),
                Err(error) => Settled::failed(file, path, &error),
            });
        }
        if results.send(StorageEvent::Settled(settled)).is_err() {
            return;
        }
    }
}

fn add(group: &mut CommitGroup<Told>, batch: Vec<Pending>) {
    for pending in batch {
        let Pending {
            file,
            path,
            size,
            finished,
            parts,
        } = pending;
        group.add((file, path, size, parts), finished);
    }
}
