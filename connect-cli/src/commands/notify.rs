//! What a service manager hears of a server: systemd's notification protocol.

use std::time::Duration;

use sd_notify::NotifyState;

/// Tells the service manager; without one, nobody.
#[derive(Debug)]
pub(super) struct Notifier {
    watchdog: Option<tokio::task::JoinHandle<()>>,
}

impl Notifier {
    /// Starts to say that the server lives, if the service manager wants to know. Must run on a tokio runtime: a runtime
    /// that is stuck says nothing.
    pub(super) fn start() -> Self {
        let mut micros = 0;
        let wants = sd_notify::watchdog_enabled(false, &mut micros);
        let interval = Duration::from_micros(micros) / 2;
        let watchdog = (wants && !interval.is_zero()).then(|| {
            tokio::spawn(async move {
                let mut ticks = tokio::time::interval(interval);
                loop {
                    ticks.tick().await;
                    tell(&[NotifyState::Watchdog]);
                }
            })
        });
        Self { watchdog }
    }

    /// The server takes clients, with the configuration that is in force.
    pub(super) fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// The configuration is read again; [`ready`](Self::ready) follows.
    pub(super) fn reloading(&self) {
        // systemd wants to know since when.
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        tell(&[NotifyState::Reloading, NotifyState::MonotonicUsec(micros)]);
    }

    /// The server ends.
    pub(super) fn stopping(&self) {
        tell(&[NotifyState::Stopping]);
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.abort();
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // A service manager that does not listen is no reason to stop serving.
    sd_notify::notify(false, state).ok();
}
