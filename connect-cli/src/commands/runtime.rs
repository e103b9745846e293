//! The threads that a command runs on.

use std::{io, os::unix::net::UnixStream, thread, time::Duration};

use tokio::runtime::{Builder, Runtime};

use crate::error::CommandError;

/// Threads that the runtime takes while a command has hardly begun: two workers, two for what waits in the system.
const THREADS: usize = 4;

/// Descriptors that it takes: for polling, for waking it up, for signals.
const DESCRIPTORS: usize = 8;

/// Runs a command on a runtime of its own. Threads that still wait for a person or a pipe afterwards are left alone.
pub(super) fn on_runtime<T>(
    command: impl FnOnce(&Runtime) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    can_begin().map_err(fasp_net::Error::Thread)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(fasp_net::Error::Thread)?;
    let result = command(&runtime);
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Asks the system for what the runtime needs: where there is none, the runtime panics, or waits for its second
/// worker for ever, instead of saying so.
fn can_begin() -> io::Result<()> {
    let descriptors: io::Result<Vec<_>> =
        (0..DESCRIPTORS / 2).map(|_| UnixStream::pair()).collect();
    drop(descriptors?);
    // All at once, as the runtime has them: they end when the sender is gone.
    let (wait, end) = crossbeam_channel::bounded::<()>(0);
    let started: Vec<_> = (0..THREADS)
        .map(|_| {
            let end = end.clone();
            thread::Builder::new().spawn(move || end.recv())
        })
        .collect();
    drop(wait);
    started.into_iter().try_for_each(|thread| {
        // Such a thread does nothing that could panic.
        thread?.join().ok();
        Ok(())
    })
}
