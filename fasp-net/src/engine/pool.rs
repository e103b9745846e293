//! What the sending sessions of one transfer share out among them (protocol §13.2).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use docroot::EntryPath;
use fasp_core::{Attributes, MAX_SMALL_FILE};
use transfer_spec::{FileRules, SymlinkPolicy};

use super::extras::Extras;
use super::finisher::{Aftermath, Original};
use super::lister::{Gone, Listed, Listing};
use super::origin::{Origin, Span};
use super::sources::Sources;
use crate::Error;

/// Files and parts that wait, at most: the walk stops there.
const WAITING: usize = 1024;
/// Parts that one session has and has not sent once, at most.
const PARTS_IN_HAND: u32 = 3;
/// Bytes of whole files likewise.
const BYTES_IN_HAND: u64 = 256 << 20;
/// Small files that one session has asked about and got no answer to, at most.
const ASKED_IN_HAND: usize = 1024;
/// Parts that a file is split into for each session, so that they end at about the same time.
const PARTS_A_SESSION: u64 = 4;
/// Length of parts, unless the threshold is lower …
const SHORTEST_PART: u64 = 8 << 20;
/// … or the file needs too many of them.
const LONGEST_PART: u64 = 64 << 20;
/// Parts of a file, at most.
const MAX_PARTS: u64 = 4096;
/// How often those who wait look whether anybody is left.
const PATIENCE: Duration = Duration::from_millis(5);

/// When files are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    /// From this size on; 0 is never.
    pub(crate) threshold: u64,
    /// For how many sessions.
    pub(crate) sessions: u16,
}

impl Split {
    /// The length of a file's parts; nothing for a file that stays whole.
    fn part_length(self, size: u64) -> Option<u64> {
        if self.threshold == 0 || size < self.threshold || size <= MAX_SMALL_FILE {
            return None;
        }
        let shortest = SHORTEST_PART.min(self.threshold).max(MAX_SMALL_FILE + 1);
        let wanted = size.div_ceil(u64::from(self.sessions.max(1)) * PARTS_A_SESSION);
        let length = wanted
            .clamp(shortest, LONGEST_PART)
            .max(size.div_ceil(MAX_PARTS));
        (length < size).then_some(length)
    }
}

/// A file, or a part of one, that is to be sent.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) origin: Origin,
    pub(super) path: EntryPath,
    pub(super) attributes: Attributes,
    /// Of the whole file.
    pub(super) size: u64,
    pub(super) part: Option<Part>,
    /// What it is made of, if something is to be done with it when it has arrived.
    pub(super) original: Option<Box<Original>>,
    /// What else is kept of it.
    pub(super) extras: Option<Arc<Extras>>,
}

impl Offer {
    /// A whole file that nothing is done with when it has arrived.
    pub(super) fn new(origin: Origin, path: EntryPath, attributes: Attributes, size: u64) -> Self {
        Self {
            origin,
            path,
            attributes,
            size,
            part: None,
            original: None,
            extras: None,
        }
    }
}

/// Which part of which file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) whole: u32,
    pub(super) length: u64,
    pub(super) span: Span,
}

/// Something that a session takes.
#[derive(Debug)]
pub(super) enum Item {
    /// Directories, failures and notices: the first session's.
    Listed(Box<Listed>),
    /// A symbolic link: the first session's.
    Link {
        path: EntryPath,
        target: Vec<u8>,
        original: Option<Box<Original>>,
    },
    /// Anybody's.
    Offer(Offer),
}

/// What there is for a session.
#[derive(Debug)]
pub(super) enum Taken {
    Item(Item),
    /// Nothing now.
    Nothing,
    /// Nothing any more.
    End,
}

/// Files that no session has taken yet. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Pool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    split: Split,
    rules: Arc<FileRules>,
    aftermath: Option<Arc<Aftermath>>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    first_only: VecDeque<Item>,
    waiting: VecDeque<Offer>,
    wholes: u32,
    /// The walk is over.
    is_listed: bool,
    /// Further sessions that have not ended.
    others: u32,
    /// The first session has been told the end: nobody joins any more.
    is_ended: bool,
    /// The transfer is over, well or not.
    is_closed: bool,
}

impl Pool {
    /// Starts to walk the sources.
    pub(crate) fn start(
        sources: Sources,
        symlinks: SymlinkPolicy,
        split: Split,
    ) -> Result<Self, Error> {
        let pool = Self(Arc::new(Shared {
            split,
            rules: Arc::clone(&sources.rules),
            aftermath: sources.aftermath.clone(),
            state: Mutex::default(),
            changed: Condvar::new(),
        }));
        let mut walk = Listing::into_pool(pool.clone(), symlinks);
        thread::Builder::new()
            .name("fasp-walk".into())
            .spawn(move || walk.run(&sources))
            .map_err(Error::Thread)?;
        Ok(pool)
    }

    pub(super) fn rules(&self) -> &Arc<FileRules> {
        &self.0.rules
    }

    pub(super) fn aftermath(&self) -> Option<&Arc<Aftermath>> {
        self.0.aftermath.as_ref()
    }

    /// Counts a further session in; false when there is nothing for it any more.
    pub(crate) fn join(&self) -> bool {
        let mut state = self.state();
        let is_open = !state.is_ended && !state.is_closed;
        let has_work = !state.is_listed || !state.waiting.is_empty();
        if is_open && has_work {
            state.others += 1;
        }
        is_open && has_work
    }

    /// A further session has ended well, or never began.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.others = state.others.saturating_sub(1);
        drop(state);
        self.0.changed.notify_all();
    }

    /// The transfer is over: nothing is shared out any more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.waiting.clear();
        state.first_only.clear();
        drop(state);
        self.0.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single step, so a panic elsewhere leaves nothing half done.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        match self.0.changed.wait_timeout(state, PATIENCE) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }

    /// Offers a file, as parts if it is large.
    pub(super) fn put(&self, offer: Offer) -> Result<(), Gone> {
        let Some(length) = self.0.split.part_length(offer.size) else {
            return self.put_one(offer);
        };
        let whole = {
            let mut state = self.state();
            let whole = state.wholes;
            state.wholes += 1;
            whole
        };
        let mut span = Span::first(offer.size);
        while span.start < offer.size {
            let length = length.min(offer.size - span.start);
            let next = span.behind(length);
            self.put_one(Offer {
                origin: offer.origin.clone(),
                extras: offer.extras.clone(),
                path: offer.path.clone(),
                // The part at the start stands for the file (protocol §13.4).
                original: offer.original.clone().filter(|_| span.start == 0),
                part: Some(Part {
                    whole,
                    length,
                    span,
                }),
                ..offer
            })?;
            span = next;
        }
        Ok(())
    }

    fn put_one(&self, offer: Offer) -> Result<(), Gone> {
        let mut state = self.state();
        while state.waiting.len() >= WAITING && !state.is_closed {
            state = self.wait(state);
        }
        if state.is_closed {
            return Err(Gone);
        }
        state.waiting.push_back(offer);
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }

    /// Leaves something to the first session.
    pub(super) fn put_first(&self, item: Item) -> Result<(), Gone> {
        let mut state = self.state();
        while state.first_only.len() >= WAITING && !state.is_closed {
            state = self.wait(state);
        }
        if state.is_closed {
            return Err(Gone);
        }
        state.first_only.push_back(item);
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }

    /// The walk is over.
    pub(super) fn end_walk(&self) {
        self.state().is_listed = true;
        self.0.changed.notify_all();
    }

    /// Takes what is next for a session; waits a little unless it has a page that could leave meanwhile.
    pub(super) fn take(&self, is_first: bool, hand: &Hand, has_page: bool) -> Result<Taken, Gone> {
        let mut state = self.state();
        for is_last_try in [false, true] {
            if state.is_closed {
                return Err(Gone);
            }
            if is_first && let Some(item) = state.first_only.pop_front() {
                return Ok(Taken::Item(item));
            }
            if state.waiting.front().is_some_and(|o| hand.has_room(o))
                && let Some(offer) = state.waiting.pop_front()
            {
                drop(state);
                hand.take(&offer);
                self.0.changed.notify_all();
                return Ok(Taken::Item(Item::Offer(offer)));
            }
            let is_empty = state.is_listed && state.waiting.is_empty();
            if is_empty && (!is_first || state.others == 0) {
                state.is_ended |= is_first;
                return Ok(Taken::End);
            }
            if is_last_try || (is_empty && has_page) {
                break;
            }
            state = self.wait(state);
        }
        Ok(Taken::Nothing)
    }
}

/// Closes a pool when the transfer it is for is not going to be.
#[derive(Debug)]
pub(crate) struct PoolOwner(pub(crate) Pool);

impl Drop for PoolOwner {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a session has taken and not sent once.
#[derive(Debug, Default)]
pub(super) struct Hand {
    asked: AtomicUsize,
    parts: AtomicU32,
    bytes: AtomicU64,
}

impl Hand {
    fn has_room(&self, offer: &Offer) -> bool {
        match &offer.part {
            Some(_) => self.parts.load(Ordering::Relaxed) < PARTS_IN_HAND,
            None if offer.size <= MAX_SMALL_FILE => {
                self.asked.load(Ordering::Relaxed) < ASKED_IN_HAND
            }
            None => self.bytes.load(Ordering::Relaxed) < BYTES_IN_HAND,
        }
    }

    fn take(&self, offer: &Offer) {
        match &offer.part {
            Some(_) => {
                self.parts.fetch_add(1, Ordering::Relaxed);
            }
            None if offer.size > MAX_SMALL_FILE => {
                self.bytes.fetch_add(offer.size, Ordering::Relaxed);
            }
            None => {}
        }
    }

    /// How many small files wait to be asked for.
    pub(super) fn set_asked(&self, count: usize) {
        self.asked.store(count, Ordering::Relaxed);
    }

    /// A file of blocks has been sent once, or will not be sent.
    pub(super) fn put_down(&self, size: u64, is_part: bool) {
        if is_part {
            self.parts.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
        }
    }
}
