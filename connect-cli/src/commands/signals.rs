//! Being asked to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{error::CommandError, ui};

/// What a signal asks a server for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To end.
    Stop,
    /// To read its configuration again.
    Reload,
}

/// Ctrl-C and the signal that service managers send.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
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
            hangup: None,
        })
    }

    /// Takes the signal over that asks servers to read their configuration again; it ends other programs.
    pub(super) fn and_reload(mut self) -> Result<Self, CommandError> {
        let hangup = signal(SignalKind::hangup());
        self.hangup = Some(hangup.map_err(|source| CommandError::Input {
            what: "signals",
            source,
        })?);
        Ok(self)
    }

    /// Waits for the next thing that a server is asked for.
    pub(super) async fn wish(&mut self) -> Wish {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Stop,
            () = hangup => Wish::Reload,
        }
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
