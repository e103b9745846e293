//! Being asked to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{error::CommandError, ui};

/// Ctrl-C and the signal that service managers send.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over from the system's own handling. Must run on a tokio runtime.
    pub(super) fn new() -> Result<Self, CommandError> {
        let take = |kind| {
            signal(kind).map_err(|source: io::Error| CommandError::Input {
                what: "signals",
                source,
            })
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs something until it is done or somebody stops it.
    pub(super) async fn unless<T>(
        &mut self,
        work: impl Future<Output = Result<T, CommandError>>,
    ) -> Result<T, CommandError> {
        tokio::select! {
            result = work => result,
            () = self.next() => {
                ui::restore_terminal();
                Err(CommandError::Cancelled)
            }
        }
    }
}
