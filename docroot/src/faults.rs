//! Calls that fail on purpose, for tests: does anything that was reported done get lost, is anything ever half done?
//!
//! With the feature `faults` every call of this crate for a file is counted by the place that makes it, and one of them can
//! be chosen to fail: by an error, without having been made, or by the end of the process. All of it is one for the whole
//! process, so tests that use it run in processes of their own.
//!
//! ```
//! use docroot::faults::{self, Fault, Place};
//! faults::count();
//! # let dir = tempfile::tempdir().unwrap();
//! # let directory = dir.path();
//! docroot::Docroot::open(directory)?;
//! let counted = faults::counted();
//! let (place, count) = counted.iter().next().unwrap();
//! faults::arm(place, *count, Fault::Io);
//! assert!(docroot::Docroot::open(directory).is_err());
//! assert!(faults::has_struck());
//! # Ok::<(), docroot::Error>(())
//! ```

use std::collections::BTreeMap;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::{Errno, Result};
use rustix::process::{Signal, getpid, kill_process};

/// What becomes of the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `ENOSPC`.
    NoSpace,
    /// `EIO`.
    Io,
    /// `EACCES`.
    Access,
    /// The process is killed, as by `kill -9`, before the call.
    Death,
}

/// Where a call stands in this crate: its name, file and line.
pub type Place = String;

static IS_ON: AtomicBool = AtomicBool::new(false);
static STATE: Mutex<State> = Mutex::new(State {
    counts: BTreeMap::new(),
    armed: None,
    has_struck: false,
    slow: None,
});

struct State {
    counts: BTreeMap<Place, u64>,
    armed: Option<Armed>,
    has_struck: bool,
    /// A call, and how long it takes.
    slow: Option<(&'static str, Duration)>,
}

struct Armed {
    place: Place,
    /// Calls that are still to be made there, the chosen one among them.
    countdown: u64,
    fault: Fault,
}

fn state() -> MutexGuard<'static, State> {
    // Every change is whole when the lock is free, whoever panicked.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts calls from now on, beginning with none.
pub fn count() {
    state().counts.clear();
    IS_ON.store(true, Ordering::SeqCst);
}

/// Returns how many calls each place has made.
pub fn counted() -> BTreeMap<Place, u64> {
    state().counts.clone()
}

/// Lets a call fail: the `number`th from now on that is made in this place, counted from 1. Those after it succeed.
pub fn arm(place: &str, number: u64, fault: Fault) {
    let mut state = state();
    state.has_struck = false;
    state.armed = Some(Armed {
        place: place.to_owned(),
        countdown: number,
        fault,
    });
    IS_ON.store(true, Ordering::SeqCst);
}

/// Lets every call of this name take so much longer from now on, as on a slow disk.
pub fn slow(call: &'static str, delay: Duration) {
    state().slow = Some((call, delay));
    IS_ON.store(true, Ordering::SeqCst);
}

/// Whether the call that was chosen has failed.
pub fn has_struck() -> bool {
    state().has_struck
}

/// Lets calls be made as ever.
pub fn disarm() {
    IS_ON.store(false, Ordering::SeqCst);
    let mut state = state();
    state.armed = None;
    state.slow = None;
}

#[track_caller]
pub(crate) fn before(call: &'static str) -> Result<()> {
    if !IS_ON.load(Ordering::Relaxed) {
        return Ok(());
    }
    let location = Location::caller();
    let file = location.file().rsplit('/').next().unwrap_or_default();
    let place = format!("{call} {file}:{}", location.line());
    let mut state = state();
    let is_chosen = state.armed.as_mut().is_some_and(|armed| {
        armed.countdown -= u64::from(armed.place == place);
        armed.countdown == 0
    });
    *state.counts.entry(place).or_default() += 1;
    if !is_chosen {
        let delay = state.slow.filter(|(slow, _)| *slow == call);
        drop(state);
        if let Some((_, delay)) = delay {
            thread::sleep(delay);
        }
        return Ok(());
    }
    state.has_struck = true;
    match state.armed.take().map(|armed| armed.fault) {
        None => Ok(()),
        Some(Fault::NoSpace) => Err(Errno::NOSPC),
        Some(Fault::Io) => Err(Errno::IO),
        Some(Fault::Access) => Err(Errno::ACCESS),
        Some(Fault::Death) => die(),
    }
}

fn die() -> ! {
    // It does not come back from here; were it refused, the test would have no death.
    kill_process(getpid(), Signal::KILL).ok();
    loop {
        thread::park();
    }
}
