//! The thread of a sending session that reads what the receiver holds already (protocol §14.3, §14.4).

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};
use docroot::Identity;

use super::origin::Extract;
use super::storage::digest_of;

/// Digests remembered between the question and the request for the rest, at most.
const REMEMBERED: usize = 1024;

/// What is to be read, and what for.
#[derive(Debug)]
struct Job {
    file: u32,
    extract: Extract,
    ranges: Vec<Range<u64>>,
    /// What the receiver has there; nothing when it is about to get the rest.
    theirs: Option<u64>,
}

/// What was found.
#[derive(Debug)]
pub(super) enum Found {
    /// The digest of what the receiver holds, and which version of the file was read.
    Held {
        file: u32,
        result: Result<(u64, Option<Identity>), docroot::Error>,
    },
    /// Whether the source agrees with the receiver.
    Checked { file: u32, agrees: bool },
    /// Nothing can be read: the system gave no thread for it.
    Nothing(io::Error),
}

/// The session's side of the thread, which starts when there is something to read and stops when this is dropped.
#[derive(Debug)]
pub(super) struct Checks {
    jobs: Option<Sender<Job>>,
    found: Sender<Found>,
    pub(super) results: Receiver<Found>,
    stop: Arc<AtomicBool>,
}

impl Checks {
    pub(super) fn new() -> Self {
        let (found, results) = unbounded();
        Self {
            jobs: None,
            found,
            results,
            stop: Arc::default(),
        }
    }

    /// Reads what the receiver holds of a file, for the digest of the whole.
    pub(super) fn held(&mut self, file: u32, extract: Extract, ranges: Vec<Range<u64>>) {
        self.add(Job {
            file,
            extract,
            ranges,
            theirs: None,
        });
    }

    /// Compares what the receiver has of a file.
    pub(super) fn check(
        &mut self,
        file: u32,
        extract: Extract,
        ranges: Vec<Range<u64>>,
        theirs: u64,
    ) {
        self.add(Job {
            file,
            extract,
            ranges,
            theirs: Some(theirs),
        });
    }

    fn add(&mut self, job: Job) {
        let jobs = match &mut self.jobs {
            Some(jobs) => jobs,
            none => {
                let (sender, jobs) = unbounded::<Job>();
                let (found, stop) = (self.found.clone(), Arc::clone(&self.stop));
                let mut reader = Reader {
                    found,
                    stop,
                    known: BTreeMap::new(),
                };
                let started = thread::Builder::new()
                    .name("fasp-check".into())
                    .spawn(move || jobs.iter().for_each(|job| reader.run(job)));
                if let Err(error) = started {
                    // The other end is in here too.
                    self.found.send(Found::Nothing(error)).ok();
                    return;
                }
                none.insert(sender)
            }
        };
        // The thread lives as long as this sender.
        jobs.send(job).ok();
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A digest, of which bytes of which version.
type Known = (Vec<Range<u64>>, u64, Option<Identity>);

struct Reader {
    found: Sender<Found>,
    stop: Arc<AtomicBool>,
    /// What agreed, until the rest of the file is asked for.
    known: BTreeMap<u32, Known>,
}

impl Reader {
    fn run(&mut self, job: Job) {
        let Job {
            file,
            extract,
            ranges,
            theirs,
        } = job;
        let found = match theirs {
            Some(theirs) => {
                let agrees = match self.read(&extract, &ranges) {
                    Ok((ours, identity)) if ours == theirs => {
                        if self.known.len() < REMEMBERED {
                            self.known.insert(file, (ranges, ours, identity));
                        }
                        true
                    }
                    Ok(_) => false,
                    Err(error) => {
                        tracing::debug!(%error, "the source could not be compared");
                        false
                    }
                };
                Found::Checked { file, agrees }
            }
            None => {
                let known = self.known.remove(&file).filter(|(of, ..)| *of == ranges);
                let result = match known {
                    Some((_, digest, identity)) => Ok((digest, identity)),
                    None => self.read(&extract, &ranges),
                };
                Found::Held { file, result }
            }
        };
        // A session that has ended needs to hear nothing more.
        self.found.send(found).ok();
    }

    fn read(
        &self,
        extract: &Extract,
        ranges: &[Range<u64>],
    ) -> Result<(u64, Option<Identity>), docroot::Error> {
        let opened = extract.open()?;
        let read = |buffer: &mut [u8], offset| match self.stop.load(Ordering::Relaxed) {
            true => Ok(0),
            false => opened.read_at(buffer, offset),
        };
        let digest = digest_of(ranges, extract.base(), extract.size(), read)?;
        Ok((digest, opened.close()?))
    }
}
