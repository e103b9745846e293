//! Ending a transfer from outside, whatever it does at the moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fasp_net::transfer::Remote;
use tokio::{runtime::Runtime, sync::watch};

use super::signals::Signals;
use crate::{
    error::CommandError,
    exit::ExitStatus,
    ui::{self, ProgressBar, Ui},
};

/// Listens to signals: the first one ends the transfer in order, the second one at once.
pub(super) struct Stop {
    current: Arc<Mutex<Option<Running>>>,
    is_asked: watch::Receiver<bool>,
}

/// What runs now.
struct Running {
    remote: Remote,
    bar: Option<ProgressBar>,
}

impl Stop {
    pub(super) fn listen(ui: Ui, runtime: &Runtime) -> Result<Self, CommandError> {
        let signals = runtime.block_on(async { Signals::new() })?;
        let current = Arc::default();
        let (ask, is_asked) = watch::channel(false);
        runtime.spawn(on_signals(signals, ui, Arc::clone(&current), ask));
        Ok(Self { current, is_asked })
    }

    /// A transfer runs from now on.
    pub(super) fn watch(&self, remote: Remote, bar: Option<ProgressBar>) {
        if *self.is_asked.borrow() {
            remote.cancel();
        }
        *lock(&self.current) = Some(Running { remote, bar });
    }

    /// None runs any more.
    pub(super) fn unwatch(&self) {
        *lock(&self.current) = None;
    }

    /// Runs something until it is done or somebody stops it.
    pub(super) async fn unless<T>(&self, work: impl Future<Output = T>) -> Result<T, CommandError> {
        let mut is_asked = self.is_asked.clone();
        tokio::select! {
            result = work => Ok(result),
            _ = is_asked.wait_for(|is_asked| *is_asked) => {
                ui::restore_terminal();
                Err(CommandError::Cancelled)
            }
        }
    }
}

fn lock(current: &Mutex<Option<Running>>) -> MutexGuard<'_, Option<Running>> {
    // Replaced as a whole, so it is whole whenever the lock is free.
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn on_signals(
    mut signals: Signals,
    ui: Ui,
    current: Arc<Mutex<Option<Running>>>,
    ask: watch::Sender<bool>,
) {
    signals.next().await;
    ask.send_replace(true);
    if let Some(Running { remote, bar }) = &*lock(&current) {
        let note = || ui.note("stopping; once more to stop at once");
        match bar {
            Some(bar) => bar.above(note),
            None => note(),
        }
        remote.cancel();
    }
    signals.next().await;
    if let Some(Running { bar: Some(bar), .. }) = &*lock(&current) {
        bar.clear();
    }
    std::process::exit(ExitStatus::Cancelled.number().into());
}
