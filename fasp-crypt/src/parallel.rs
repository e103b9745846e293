//! The same work on many items, on several threads.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// The most threads that are of use here, and that a caller may ask for.
const MAX_THREADS: usize = 64;

/// Does `work` for every item, each thread with a state of its own from `state` (a buffer, say).
///
/// Items are handed out in order. After a failure no further ones are; of several failures the one of the foremost item is
/// returned, whichever thread was faster, so that the result does not depend on timing.
///
/// # Errors
/// What `work` returned.
pub fn for_each<I, S, E>(
    items: I,
    threads: NonZeroUsize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, I::Item) -> Result<(), E> + Sync,
) -> Result<(), E>
where
    I: Iterator + Send,
    E: Send,
{
    let queue = Mutex::new(Queue {
        items: items.enumerate(),
        failed: None,
    });
    let run = || {
        let mut own = state();
        loop {
            // In a statement of its own, so that the lock is not held during the work.
            let next = lock(&queue).next();
            let Some((position, item)) = next else { break };
            if let Err(error) = work(&mut own, item) {
                lock(&queue).fail(position, error);
            }
        }
    };
    let others = threads.get().min(MAX_THREADS) - 1;
    std::thread::scope(|scope| {
        for _ in 0..others {
            scope.spawn(run);
        }
        run();
    });
    let queue = queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    match queue.failed {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

struct Queue<I, E> {
    items: std::iter::Enumerate<I>,
    failed: Option<(usize, E)>,
}

impl<I: Iterator, E> Queue<I, E> {
    fn next(&mut self) -> Option<(usize, I::Item)> {
        match self.failed {
            Some(_) => None,
            None => self.items.next(),
        }
    }

    fn fail(&mut self, position: usize, error: E) {
        if self.failed.as_ref().is_none_or(|(at, _)| position < *at) {
            self.failed = Some((position, error));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A panic in the iterator ends the scope with that panic anyway.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREADS: NonZeroUsize = NonZeroUsize::new(4).unwrap();

    #[test]
    fn every_item_is_done_once() {
        let done = Mutex::new(Vec::new());
        let work = |_: &mut (), item| {
            lock(&done).push(item);
            Ok::<_, ()>(())
        };
        for_each(0..1000, THREADS, || (), work).unwrap();
        let mut done = done.into_inner().unwrap();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..1000));
    }

    #[test]
    fn the_foremost_failure_is_reported_and_ends_the_work() {
        for _ in 0..50 {
            let result = for_each(
                0u64..,
                THREADS,
                || (),
                |_: &mut (), item| {
                    if item >= 20 { Err(item) } else { Ok(()) }
                },
            );
            assert_eq!(result, Err(20));
        }
    }
}
