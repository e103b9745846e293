//! The threads: small files next to each other, large ones chunk by chunk.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use docroot::{CommitGroup, Finished};
use fasp_crypt::{Error as CryptError, parallel};
use fasp_net::engine::EnvelopeError;
use zeroize::Zeroizing;

use super::{files::Item, report::Report};
use crate::error::CommandError;

/// A file up to this size is worked on by one thread, in one buffer: one chunk of the largest size.
pub(super) const SMALL: u64 = (32 << 20) + 120;
/// Small files that are made durable together: so many, or so many bytes.
const GROUP_FILES: usize = 256;
const GROUP_BYTES: u64 = 256 << 20;
/// What the buffers of all threads take at most.
const BUFFERS: u64 = 128 << 20;

/// A thread's own memory, wiped in the end because plain bytes were in it.
pub(super) type Buffer = Zeroizing<Vec<u8>>;

/// A file that is complete, and under which name it is published if it is.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) output: Option<(Finished, Vec<u8>)>,
    /// The length of the content, in bytes.
    pub(super) size: u64,
}

/// What happens to a file.
pub(super) trait Task: Sync {
    /// Works on a small file with one thread.
    fn small(
        &self,
        item: &Item,
        buffer: &mut Buffer,
        report: &Report<'_>,
    ) -> Result<Product, EnvelopeError>;

    /// Works on a large file with several threads.
    fn large(&self, item: &Item, report: &Report<'_>) -> Result<Product, EnvelopeError>;
}

/// Does `task` for every item, and reports each.
pub(super) fn run(
    task: &impl Task,
    items: &[Item],
    report: &mut Report<'_>,
    cancelled: &AtomicBool,
) -> Result<(), CommandError> {
    let mut rest = items;
    while let Some(first) = rest.first() {
        if cancelled.load(Ordering::Relaxed) {
            return Err(CryptError::Cancelled.into());
        }
        let count = group(rest);
        let (now, later) = rest.split_at(count.max(1));
        let results = match count {
            0 => vec![task.large(first, report)],
            _ => side_by_side(task, now, report, cancelled),
        };
        publish(now, results, report)?;
        rest = later;
    }
    Ok(())
}

/// Returns how many files from the first on are worked on together; 0 if the first is a large one.
fn group(items: &[Item]) -> usize {
    let mut bytes = 0;
    let fits = |item: &&Item| {
        bytes += item.size;
        item.size <= SMALL && bytes <= GROUP_BYTES
    };
    items.iter().take(GROUP_FILES).take_while(fits).count()
}

fn side_by_side(
    task: &impl Task,
    items: &[Item],
    report: &Report<'_>,
    cancelled: &AtomicBool,
) -> Vec<Result<Product, EnvelopeError>> {
    let largest = items.iter().map(|item| item.size).max().unwrap_or(0);
    let slots: Vec<_> = items.iter().map(|_| Mutex::new(None)).collect();
    let work = |buffer: &mut Buffer, (item, slot): (&Item, &Mutex<_>)| {
        let result = if cancelled.load(Ordering::Relaxed) {
            Err(CryptError::Cancelled.into())
        } else {
            task.small(item, buffer, report)
        };
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        Ok::<_, ()>(())
    };
    // A failure is kept in its slot, so none comes back from here.
    let _done = parallel::for_each(
        items.iter().zip(&slots),
        threads(largest),
        Buffer::default,
        work,
    );
    slots
        .into_iter()
        .map(|slot| {
            let result = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
            result.unwrap_or_else(|| Err(CryptError::Cancelled.into()))
        })
        .collect()
}

/// Makes the files of a group durable and visible, then tells about them.
fn publish(
    items: &[Item],
    results: Vec<Result<Product, EnvelopeError>>,
    report: &mut Report<'_>,
) -> Result<(), CommandError> {
    let mut group = CommitGroup::new();
    let mut outcomes = Vec::with_capacity(items.len());
    for (at, result) in results.into_iter().enumerate() {
        outcomes.push(result.map(|Product { output, size }| {
            let name = output.map(|(finished, name)| {
                group.add(at, finished);
                name
            });
            (name, size)
        }));
    }
    for (at, result) in group.commit() {
        if let Err(error) = result {
            outcomes[at] = Err(error.into());
        }
    }
    for (item, outcome) in items.iter().zip(outcomes) {
        match outcome {
            Ok((name, size)) => {
                report.done(item, name.as_deref(), size)?;
            }
            Err(EnvelopeError::Crypt(CryptError::Cancelled)) => {
                return Err(CryptError::Cancelled.into());
            }
            Err(failure) => report.fail(item.shown.clone(), failure)?,
        }
    }
    Ok(())
}

/// Returns how many threads work with buffers of so many bytes each.
pub(super) fn threads(buffer: u64) -> NonZeroUsize {
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let affordable = usize::try_from(BUFFERS / buffer.max(1)).unwrap_or(usize::MAX);
    NonZeroUsize::new(affordable).map_or(NonZeroUsize::MIN, |affordable| cores.min(affordable))
}
