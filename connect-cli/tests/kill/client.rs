//! A client that runs beside the test, and waiting for it.

use std::{
    fs,
    path::PathBuf,
    process::Child,
    thread,
    time::{Duration, Instant},
};

/// No command takes as long.
const LIMIT: Duration = Duration::from_secs(120);

/// A client that runs, and the file with its events.
pub(crate) struct Client {
    pub(crate) child: Child,
    pub(crate) events: PathBuf,
}

impl Client {
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end; true when it was a success.
    pub(crate) fn wait(&mut self) -> Result<bool, String> {
        let mut status = None;
        wait_until("the end of the client", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .inspect_err(|_| self.kill())?;
        Ok(status.is_some_and(|status| status.success()))
    }

    pub(crate) fn is_retrying(&self) -> bool {
        fs::read_to_string(&self.events)
            .unwrap()
            .contains("\"event\":\"retrying\"")
    }

    /// Waits for its success; returns what it said then.
    pub(crate) fn succeed(&mut self) -> Result<serde_json::Value, String> {
        let is_success = self.wait()?;
        let events = fs::read_to_string(&self.events).unwrap();
        let last = events.lines().last().unwrap_or_default();
        match serde_json::from_str::<serde_json::Value>(last) {
            Ok(done) if is_success && done["event"] == "done" => Ok(done),
            _ => Err(format!("the client did not succeed: {last}")),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It has ended, unless its round has failed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn wait_until(what: &str, mut is_there: impl FnMut() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    while !is_there() {
        if begun.elapsed() > LIMIT {
            return Err(format!("{what} did not come"));
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
