//! Reading what is on the disk already, beside the transfer (protocol §14.3, §14.4).

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Sender, unbounded};
use docroot::{PartialHandle, SourceFile};
use fasp_core::{FileDigest, MAX_HELD_RANGES};

use super::{StorageEvent, Voice};

/// Read at once, bytes.
const PIECE: usize = 1 << 20;
/// One sample, bytes.
const SAMPLE: u64 = 64 << 10;
/// A sample is taken of each stretch of this length, bytes.
const STRETCH: u64 = 16 << 20;

/// Something on the disk that is read.
#[derive(Debug)]
pub(super) enum Present {
    /// A file that is being continued.
    Partial(PartialHandle),
    /// A file under its final name.
    Whole(SourceFile),
}

impl Present {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, docroot::Error> {
        match self {
            Self::Partial(handle) => handle.read_at(buffer, offset),
            Self::Whole(file) => file.read_at(buffer, offset),
        }
    }
}

/// Which bytes of which file.
#[derive(Debug)]
pub(super) struct Extent {
    pub(super) file: u32,
    /// Where the file (or part) begins on the disk.
    pub(super) base: u64,
    /// Bytes of the file (or part).
    pub(super) size: u64,
    /// Within the file (or part): ascending, disjoint.
    pub(super) ranges: Vec<Range<u64>>,
}

#[derive(Debug)]
struct Job {
    present: Present,
    extent: Extent,
    /// The sender is asked whether it has the same; else the digest is for the session.
    is_question: bool,
}

/// The thread that reads. It stops when this is dropped.
#[derive(Debug)]
pub(super) struct Verifier {
    voice: Voice,
    jobs: Option<Sender<Job>>,
    stop: Arc<AtomicBool>,
}

impl Verifier {
    pub(super) fn new(voice: Voice) -> Self {
        Self {
            voice,
            jobs: None,
            stop: Arc::default(),
        }
    }

    /// Tells the session the digest of bytes that it counts as present.
    pub(super) fn digest(&mut self, present: Present, extent: Extent) {
        self.add(present, extent, false);
    }

    /// Asks the sender whether it has these bytes too.
    pub(super) fn ask(&mut self, present: Present, extent: Extent) {
        self.add(present, extent, true);
    }

    fn add(&mut self, present: Present, extent: Extent, is_question: bool) {
        let job = Job {
            present,
            extent,
            is_question,
        };
        let (voice, stop) = (&self.voice, &self.stop);
        let jobs = match &mut self.jobs {
            Some(jobs) => jobs,
            none => {
                let (sender, jobs) = unbounded::<Job>();
                let (voice, stop) = (voice.clone(), Arc::clone(stop));
                let started = thread::Builder::new()
                    .name("fasp-verify".into())
                    .spawn(move || jobs.iter().for_each(|job| run(job, &voice, &stop)));
                if started.is_err() {
                    // A digest that is not the file's: it is sent whole, as one that does not agree.
                    let (voice, stop) = (&self.voice, AtomicBool::new(true));
                    return run(job, voice, &stop);
                }
                none.insert(sender)
            }
        };
        // The thread lives as long as this sender.
        jobs.send(job).ok();
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn run(job: Job, voice: &Voice, stop: &AtomicBool) {
    let Job {
        present,
        extent,
        is_question,
    } = job;
    let digest = digest(&extent, |buffer, offset| {
        match stop.load(Ordering::Relaxed) {
            true => Ok(0),
            false => present.read_at(buffer, offset),
        }
    });
    // What cannot be read does not agree.
    let digest = digest.unwrap_or(0);
    drop(present);
    let file = extent.file;
    voice.tell(match is_question {
        true => StorageEvent::Check {
            file,
            ranges: extent.ranges,
            digest,
        },
        false => StorageEvent::Present { file, digest },
    });
}

/// Reads ranges and returns their digest; bytes that are missing count as zeros.
pub(in crate::engine) fn digest_of<E>(
    ranges: &[Range<u64>],
    base: u64,
    size: u64,
    mut read_at: impl FnMut(&mut [u8], u64) -> Result<usize, E>,
) -> Result<u64, E> {
    let mut digest = FileDigest::new(size);
    let mut buffer = vec![0; PIECE];
    for range in ranges {
        let mut at = range.start;
        while at < range.end {
            let wanted = (range.end - at).min(PIECE as u64) as usize;
            let read = read_at(&mut buffer[..wanted], base + at)?;
            if read == 0 {
                break;
            }
            digest.add(at, &buffer[..read]);
            at += read as u64;
        }
    }
    Ok(digest.finish())
}

fn digest<E>(
    extent: &Extent,
    read_at: impl FnMut(&mut [u8], u64) -> Result<usize, E>,
) -> Result<u64, E> {
    digest_of(&extent.ranges, extent.base, extent.size, read_at)
}

/// Which bytes stand for all of `held` at level 2: pieces of its ends and of every stretch of the file.
pub(super) fn samples(held: &[Range<u64>], size: u64) -> Vec<Range<u64>> {
    let (Some(first), Some(last)) = (held.first(), held.last()) else {
        return Vec::new();
    };
    // Two for the ends, and never more than a record has room for.
    let stretch = STRETCH.max(size.div_ceil(MAX_HELD_RANGES as u64 - 2));
    let starts = [first.start, last.end.saturating_sub(SAMPLE)]
        .into_iter()
        .chain((1..size.div_ceil(stretch)).map(|n| n * stretch));
    let mut wanted = fasp_core::RangeSet::new();
    for start in starts {
        wanted.insert(start..(start.saturating_add(SAMPLE)).min(size));
    }
    let mut samples = Vec::new();
    for range in held {
        for sample in wanted.ranges() {
            let both = sample.start.max(range.start)..sample.end.min(range.end);
            if !both.is_empty() {
                samples.push(both);
            }
        }
    }
    samples.truncate(MAX_HELD_RANGES);
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_lie_within_what_is_held_and_have_both_ends() {
        let size = 100 << 20;
        let held = [1000..(20 << 20), (30 << 20)..(31 << 20), (48 << 20)..size];
        let samples = samples(&held, size);
        for sample in &samples {
            assert!(
                held.iter()
                    .any(|h| h.start <= sample.start && sample.end <= h.end)
            );
        }
        assert!(samples.windows(2).all(|w| w[0].end <= w[1].start));
        assert_eq!(samples.first(), Some(&(1000..1000 + SAMPLE)));
        assert_eq!(samples.last().map(|s| s.end), Some(size));
        assert!(samples.contains(&((16 << 20)..(16 << 20) + SAMPLE)));
        assert_eq!(
            samples.iter().map(|s| s.end - s.start).sum::<u64>() / SAMPLE,
            7
        );
    }

    #[test]
    fn a_file_however_large_has_no_more_samples_than_a_record_has_room_for() {
        let size = 1 << 50;
        assert!(samples(&[0..size], size).len() <= MAX_HELD_RANGES);
        assert_eq!(samples(&[0..100], 100), [0..100]);
        assert_eq!(samples(&[], 100), []);
    }
}
