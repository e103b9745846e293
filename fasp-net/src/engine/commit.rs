//! The commit thread: makes finished files durable and visible in groups (rule D-2).

use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use docroot::{CommitGroup, Finished};

use super::storage::{Parts, Received, Settled, SettledResult, StorageEvent};
use crate::Error;

/// Files in one group at most: a sync costs about the same for many as for few.
const MAX_GROUP: usize = 8192;
/// How long a group waits for more files …
const GATHER: Duration = Duration::from_millis(200);
/// … and how long for the next one: a sync gathers those that come meanwhile by itself.
const NEXT: Duration = Duration::from_millis(2);
/// Batches of finished files waiting for the thread.
const QUEUE: usize = 256;
/// With so many of them waiting, whoever has more commits those itself where no sync is needed: the thread has no core to
/// run on, and small files in memory are held open until then.
const BEHIND: usize = 8;

/// A finished file, and what to say when it is durable.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) file: u32,
    pub(super) path: Vec<u8>,
    pub(super) result: SettledResult,
    pub(super) finished: Finished,
    /// Of a split file: the parts that get its result, this one among them.
    pub(super) parts: Option<Parts>,
    /// The envelope that it came out of, which goes when the file has its name.
    pub(super) opened_from: Option<Box<Received>>,
}

/// What to do when a file is durable.
struct Then {
    file: u32,
    path: Vec<u8>,
    result: SettledResult,
    parts: Option<Parts>,
    opened_from: Option<Box<Received>>,
}

impl Then {
    /// Sees to what is left of the file; returns its result unless it was told to its parts.
    fn settle(self, committed: Result<(), docroot::Error>) -> Option<Settled> {
        match (self.opened_from, &committed) {
            (Some(received), Ok(())) => received.forget(),
            (Some(received), Err(_)) => received.keep(),
            (None, _) => {}
        }
        let result = match committed {
            Ok(()) => self.result,
            Err(error) => SettledResult::failed(&error),
        };
        if let Some(parts) = self.parts {
            parts.settle(&result);
            return None;
        }
        Some(Settled {
            file: self.file,
            path: self.path,
            is_further: false,
            result,
        })
    }
}

/// Where finished files go: the commit thread, which ends with the last clone, when everything is committed.
#[derive(Debug, Clone)]
pub(super) struct Commits {
    queue: Sender<Vec<Pending>>,
    results: Sender<StorageEvent>,
}

impl Commits {
    /// Starts the thread.
    pub(super) fn start(results: Sender<StorageEvent>) -> Result<Self, Error> {
        let (sender, queue) = bounded(QUEUE);
        let mine = results.clone();
        thread::Builder::new()
            .name("fasp-commit".into())
            .spawn(move || run(&queue, &mine))
            .map_err(Error::Thread)?;
        Ok(Self {
            queue: sender,
            results,
        })
    }

    /// Hands finished files on: together, because waking the thread costs as much as a small file does.
    pub(super) fn hand_on(&self, finished: Vec<Pending>) {
        if finished.is_empty() {
            return;
        }
        if self.queue.len() >= BEHIND && !needs_sync(&finished) {
            let mut group = CommitGroup::new();
            add(&mut group, finished);
            // A session that has ended needs no results.
            commit(&mut group, &self.results);
            return;
        }
        // The commit thread lives as long as this sender.
        self.queue.send(finished).ok();
    }
}

fn run(queue: &Receiver<Vec<Pending>>, results: &Sender<StorageEvent>) {
    let mut group = CommitGroup::new();
    while let Ok(first) = queue.recv() {
        let mut is_worth_waiting = needs_sync(&first);
        add(&mut group, first);
        let until = Instant::now() + GATHER;
        while group.len() < MAX_GROUP {
            let next = match is_worth_waiting {
                true => queue.recv_deadline(until.min(Instant::now() + NEXT)).ok(),
                // Receiving with a deadline gives the core away before it looks at the clock.
                false => queue.try_recv().ok(),
            };
            let Some(next) = next else { break };
            is_worth_waiting |= needs_sync(&next);
            add(&mut group, next);
        }
        if !commit(&mut group, results) {
            return;
        }
    }
}

fn needs_sync(finished: &[Pending]) -> bool {
    finished.iter().any(|pending| pending.finished.needs_sync())
}

/// Publishes a group; false when nobody wants to hear of it any more.
fn commit(group: &mut CommitGroup<Then>, results: &Sender<StorageEvent>) -> bool {
    let mut settled = Vec::with_capacity(group.len());
    let committed = group.commit().into_iter();
    settled.extend(committed.filter_map(|(then, result): (Then, _)| then.settle(result)));
    results.send(StorageEvent::Settled(settled)).is_ok()
}

fn add(group: &mut CommitGroup<Then>, batch: Vec<Pending>) {
    for pending in batch {
        let Pending {
            file,
            path,
            result,
            finished,
            parts,
            opened_from,
        } = pending;
        let then = Then {
            file,
            path,
            result,
            parts,
            opened_from,
        };
        group.add(then, finished);
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
