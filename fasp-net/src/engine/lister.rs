//! The lister thread: walks the sources and builds pages (protocol §9.3).

mod growing;
mod walk;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use docroot::{EntryPath, SourceFile, Suffixes};
use fasp_core::{Attributes, ErrorCode, MAX_SMALL_FILE, Record};
use transfer_spec::{FileRules, Preserve, SymlinkPolicy};

use super::contents;
use super::extras::Extras;
use super::finisher::{Aftermath, Original};
use super::origin::{Origin, Span};
use super::pool::{Hand, Item, Offer, Part, Pool};
use super::sealed::Protection;
use super::sources::{Sources, failure};
use crate::Error;

/// Pages are closed at this size.
pub(super) const PAGE: usize = 128 << 10;
/// The first one, which travels in the control channel, at this one (protocol §9.7).
const FIRST_PAGE: usize = 8 << 10;
/// How long the control channel waits for the first page: a slow disk's follows on the data path.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Pages built ahead of the session.
const AHEAD: usize = 8;
/// Small files asked about and not settled, at most.
const MAX_ASKED: usize = 32_768;
/// Bytes of their extended attributes, at most: less than a receiver has room for.
const MAX_ASKED_XATTRS: usize = 32 << 20;

/// A page and what the session has to know about the files in it.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(super) page: Vec<u8>,
    /// Files in the page: number, path relative to the destination, size.
    pub(super) names: Vec<(u32, EntryPath, u64)>,
    /// Of these, the ones that travel as blocks.
    pub(super) blocks: Vec<(u32, Origin, u64, Option<Span>)>,
    /// What they are made of, for those that something is to be done with when they have arrived.
    pub(super) originals: Vec<(u32, Original)>,
    /// Growing files that have ended: the number of the first part, the size, and what they are made of by now.
    pub(super) grown: Vec<(u32, u64, Option<Original>)>,
    /// What could not be listed.
    pub(super) failures: Vec<(String, ErrorCode, String)>,
    /// Left out on purpose, with the reason.
    pub(super) notices: Vec<String>,
    pub(super) bytes: u64,
    /// How many files and bytes there will be, where they were counted first.
    pub(super) counted: Option<(u64, u64)>,
    /// Records in the page that have no number.
    pub(super) loose: u32,
    /// How many numbers have been used, and records without one, once the list is complete.
    pub(super) end: Option<(u32, u32)>,
}

/// What the session tells the lister.
#[derive(Debug)]
pub(super) enum Ask {
    /// Send the content of these small files.
    Content { first: u32, count: u32 },
}

/// Small files that wait to be asked for, shared by the lister and the session.
pub(super) type Asked = Arc<Mutex<BTreeMap<u32, (Origin, u64)>>>;

/// The session's side of the lister.
#[derive(Debug)]
pub(crate) struct Lister {
    pub(super) pages: Receiver<Listed>,
    pub(super) asks: Sender<Ask>,
    pub(super) asked: Asked,
    /// What the session has taken of what several share.
    pub(super) hand: Option<Arc<Hand>>,
    pub(super) rules: Arc<FileRules>,
    pub(super) aftermath: Option<Arc<Aftermath>>,
    /// The session ends when every other one of the transfer has ended.
    pub(super) is_last: bool,
    proceed: Sender<bool>,
}

impl Lister {
    /// Starts the threads. Behind the first page the lister waits for [`proceed`](Self::proceed).
    pub(crate) fn start(sources: Sources, symlinks: SymlinkPolicy) -> Result<Self, Error> {
        let (mut lister, mut listing, may_proceed) = Self::parts(symlinks)?;
        listing.may_proceed = Some(may_proceed);
        lister.rules = Arc::clone(&sources.rules);
        lister.aftermath = sources.aftermath.clone();
        thread::Builder::new()
            .name("fasp-lister".into())
            .spawn(move || listing.run(&sources))
            .map_err(Error::Thread)?;
        Ok(lister)
    }

    /// Starts the threads of the first of several sessions (protocol §13.2); the rest is as for [`start`](Self::start).
    pub(crate) fn first_of(pool: Pool, symlinks: SymlinkPolicy) -> Result<Self, Error> {
        let (lister, mut listing, may_proceed) = Self::parts(symlinks)?;
        listing.may_proceed = Some(may_proceed);
        lister.share(listing, pool, true)
    }

    /// Starts the threads of a further session, which sends no first page.
    pub(crate) fn further_of(
        pool: Pool,
        symlinks: SymlinkPolicy,
        asks_first: bool,
    ) -> Result<Self, Error> {
        let (lister, mut listing, _) = Self::parts(symlinks)?;
        listing.asks_first = asks_first;
        lister.share(listing, pool, false)
    }

    fn share(mut self, mut listing: Listing, pool: Pool, is_first: bool) -> Result<Self, Error> {
        let hand = Arc::new(Hand::default());
        self.rules = Arc::clone(pool.rules());
        self.aftermath = pool.aftermath().cloned();
        self.is_last = is_first;
        self.hand = Some(Arc::clone(&hand));
        thread::Builder::new()
            .name("fasp-lister".into())
            .spawn(move || listing.run_share(&pool, &hand, is_first))
            .map_err(Error::Thread)?;
        Ok(self)
    }

    fn parts(symlinks: SymlinkPolicy) -> Result<(Self, Listing, Receiver<bool>), Error> {
        let (page_sender, pages) = bounded(AHEAD);
        let (asks, ask_receiver) = unbounded();
        let asked = Asked::default();
        let content_sender = page_sender.clone();
        let content_asked = Arc::clone(&asked);
        thread::Builder::new()
            .name("fasp-content".into())
            .spawn(move || contents::send(&ask_receiver, &content_sender, &content_asked))
            .map_err(Error::Thread)?;
        let (proceed, may_proceed) = bounded(1);
        let listing = Listing::new(Out::Pages(page_sender), symlinks, Arc::clone(&asked));
        let lister = Self {
            pages,
            asks,
            asked,
            hand: None,
            rules: Arc::default(),
            aftermath: None,
            is_last: true,
            proceed,
        };
        Ok((lister, listing, may_proceed))
    }

    /// Returns the first page, which lists small files without their content; `None` when it takes too long. Blocks.
    pub(crate) fn first(&self) -> Option<Listed> {
        self.pages.recv_timeout(FIRST_WAIT).ok()
    }

    /// Lets the list go on. `asks_first` says that small files are listed without their content, which is sent when it
    /// is wanted.
    pub(crate) fn proceed(&self, asks_first: bool) {
        // A lister that is gone has said why; one that was told has no use for more.
        self.proceed.try_send(asks_first).ok();
    }
}

impl Listed {
    /// An empty page that will not have to move as it fills.
    fn with_room() -> Self {
        Self {
            page: Vec::with_capacity(PAGE + MAX_SMALL_FILE as usize),
            ..Self::default()
        }
    }

    /// Whether there is nothing to hand on.
    pub(super) fn is_empty(&self) -> bool {
        self.page.is_empty() && self.failures.is_empty() && self.notices.is_empty()
    }

    /// Adds what another walk has found that needs no number.
    pub(super) fn absorb(&mut self, other: Self) {
        self.page.extend(other.page);
        self.loose = self.loose.saturating_add(other.loose);
        self.counted = self.counted.or(other.counted);
        self.failures.extend(other.failures);
        self.notices.extend(other.notices);
    }

    /// The page's records.
    pub(crate) fn page(&self) -> &[u8] {
        &self.page
    }
}

/// Where what was found goes.
enum Out {
    /// To the session.
    Pages(Sender<Listed>),
    /// To whichever session takes it.
    Pool(Pool),
}

/// The state of the walk.
pub(super) struct Listing {
    out: Out,
    symlinks: SymlinkPolicy,
    asks_first: bool,
    /// Until the first page has been handed on and the list may go on.
    may_proceed: Option<Receiver<bool>>,
    pub(super) asked: Asked,
    pub(super) current: Listed,
    /// The directory that the page's names are in.
    entered: Option<EntryPath>,
    pub(super) next: u32,
    /// Growing files that were begun, and the parts of all of them.
    wholes: u32,
    growing_parts: u32,
    /// Records without a number in the pages that are closed.
    loose: u32,
    /// Directories that the list names with everything in them, when that matters.
    complete: Vec<EntryPath>,
    /// Something could not be listed.
    has_failed: bool,
    rules: Arc<FileRules>,
    unfinished: Option<Suffixes>,
    /// How files are protected, if they are.
    protection: Option<Protection>,
    aftermath: Option<Arc<Aftermath>>,
    /// What is kept of files.
    preserve: Preserve,
    /// Bytes of extended attributes of small files that may wait to be asked for.
    asked_xattrs: usize,
    /// The content of the small file that is being listed.
    content: Vec<u8>,
}

/// The session is gone: nobody takes pages any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Listing {
    fn new(out: Out, symlinks: SymlinkPolicy, asked: Asked) -> Self {
        Self {
            unfinished: None,
            protection: None,
            out,
            symlinks,
            // Nobody knows yet whether the destination is new.
            asks_first: true,
            may_proceed: None,
            asked,
            current: Listed::default(),
            entered: None,
            next: 0,
            wholes: 0,
            growing_parts: 0,
            loose: 0,
            complete: Vec::new(),
            has_failed: false,
            rules: Arc::default(),
            aftermath: None,
            preserve: Preserve::default(),
            asked_xattrs: 0,
            content: Vec::new(),
        }
    }

    /// A walk whose files several sessions share.
    pub(super) fn into_pool(pool: Pool, symlinks: SymlinkPolicy) -> Self {
        Self::new(Out::Pool(pool), symlinks, Asked::default())
    }

    /// Says that the list is complete.
    pub(super) fn end(&mut self) {
        self.current.end = Some((self.next, self.loose.saturating_add(self.current.loose)));
        // Nobody to tell: the session has ended already.
        self.close_page().ok();
    }

    /// Adds a record that has no number.
    fn add_loose(&mut self, record: &Record<'_>) {
        record.encode(&mut self.current.page);
        self.current.loose = self.current.loose.saturating_add(1);
    }

    /// Tells both sides of something that cannot be sent.
    fn fail(&mut self, path: &[u8], error: &docroot::Error) {
        let (code, text) = failure(error);
        self.fail_with(path, code, text);
    }

    fn fail_with(&mut self, path: &[u8], code: ErrorCode, text: String) {
        self.add_loose(&Record::Unlisted {
            path,
            code,
            text: &text,
        });
        let path = docroot::escape_name(path).into_owned();
        self.current.failures.push((path, code, text));
        self.has_failed = true;
    }

    /// Tells both sides of something that is not sent on purpose.
    fn leave_out(&mut self, path: &EntryPath, text: &str) {
        self.add_loose(&Record::LeftOut {
            path: path.as_bytes(),
            text,
        });
        self.current.notices.push(left_out(path.as_bytes(), text));
    }

    pub(super) fn link(
        &mut self,
        path: &EntryPath,
        target: &[u8],
        original: Option<Box<Original>>,
    ) {
        self.enter(path);
        let file = self.number(path, 0, original);
        let name = path.file_name().unwrap_or_default();
        Record::Symlink { file, name, target }.encode(&mut self.current.page);
    }

    /// Whether nearly every file that is found is read at once.
    fn reads_at_once(&self) -> bool {
        matches!(self.out, Out::Pages(_)) && !self.asks_first && self.rules.filter.is_empty()
    }

    /// Hands on a file; `opened` is the file itself, if the walk has opened it.
    fn offer(&mut self, offer: Offer, opened: Option<SourceFile>) -> Result<(), Gone> {
        match &self.out {
            Out::Pool(pool) => pool.put(offer),
            Out::Pages(_) => self.list_offer(offer, opened),
        }
    }

    /// Lists a file: with its content if it is small and surely wanted.
    pub(super) fn list_offer(
        &mut self,
        offer: Offer,
        opened: Option<SourceFile>,
    ) -> Result<(), Gone> {
        let Offer {
            origin,
            path,
            attributes,
            size,
            part,
            original,
            extras,
        } = offer;
        let extras = extras.as_deref();
        self.make_room(extras)?;
        if let Some(part) = part {
            self.enter(&path);
            self.add_extras(extras);
            self.list_part(&path, attributes, size, origin, part, original);
            return Ok(());
        }
        if size > MAX_SMALL_FILE {
            let file = self.list(&path, attributes, size, original, extras);
            self.current.blocks.push((file, origin, size, None));
            return Ok(());
        }
        if self.asks_first {
            self.wait_for_room(extras);
            let file = self.list(&path, attributes, size, original, extras);
            // Nobody asks for the content of an empty file, so nothing would take it out again.
            if size > 0 {
                lock(&self.asked).insert(file, (origin, size));
            }
            return Ok(());
        }
        match origin.read_small(opened, size, &mut self.content) {
            Ok(()) => {
                if self.current.page.len() + self.content.len() > 2 * PAGE {
                    self.close_page()?;
                }
                self.enter(&path);
                self.add_extras(extras);
                let file = self.number(&path, size, original);
                let name = path.file_name().unwrap_or_default();
                Record::SmallFile {
                    file,
                    name,
                    attributes,
                    content: &self.content,
                }
                .encode(&mut self.current.page);
            }
            Err(error) => self.fail(path.as_bytes(), &error),
        }
        Ok(())
    }

    /// Names a file whose content is sent when the receiver asks.
    fn list(
        &mut self,
        path: &EntryPath,
        attributes: Attributes,
        size: u64,
        original: Option<Box<Original>>,
        extras: Option<&Extras>,
    ) -> u32 {
        self.enter(path);
        self.add_extras(extras);
        let file = self.number(path, size, original);
        let name = path.file_name().unwrap_or_default();
        let record = Record::File {
            file,
            name,
            attributes,
            size,
        };
        record.encode(&mut self.current.page);
        file
    }

    /// Closes the page if what is kept of the next file or directory would make it too large. The first page travels in
    /// a message that may be short.
    fn make_room(&mut self, extras: Option<&Extras>) -> Result<(), Gone> {
        let limit = match self.may_proceed {
            Some(_) => FIRST_PAGE,
            None => 2 * PAGE,
        };
        let bytes = extras.map_or(0, Extras::bytes);
        if bytes > 0 && self.current.page.len() + bytes > limit {
            self.close_page()?;
        }
        Ok(())
    }

    /// Says what else is kept of the file or directory that the next record names.
    fn add_extras(&mut self, extras: Option<&Extras>) {
        if let Some(extras) = extras {
            extras.encode(&mut self.current.page);
        }
    }

    /// Names a part of a file, whose directory the page is in; the part at the start stands for the whole file (protocol §13.4).
    fn list_part(
        &mut self,
        path: &EntryPath,
        attributes: Attributes,
        size: u64,
        origin: Origin,
        part: Part,
        original: Option<Box<Original>>,
    ) {
        let Part {
            whole,
            length,
            span,
        } = part;
        let start = span.start;
        let file = if start == 0 {
            self.number(path, size, original)
        } else {
            self.next += 1;
            self.next - 1
        };
        let name = path.file_name().unwrap_or_default();
        let record = Record::Part {
            file,
            whole,
            name,
            attributes,
            size,
            start,
            length,
        };
        record.encode(&mut self.current.page);
        self.current.blocks.push((file, origin, length, Some(span)));
    }

    fn number(&mut self, path: &EntryPath, size: u64, original: Option<Box<Original>>) -> u32 {
        let file = self.next;
        self.next += 1;
        self.current.originals.extend(original.map(|o| (file, *o)));
        self.current.names.push((file, path.clone(), size));
        self.current.bytes = self.current.bytes.saturating_add(size);
        file
    }

    /// Names the directory of `path` if the page is not in it already.
    fn enter(&mut self, path: &EntryPath) {
        let parent = path.parent().unwrap_or(EntryPath::root());
        if self.entered.as_ref() != Some(&parent) {
            Record::Enter {
                path: parent.as_bytes(),
            }
            .encode(&mut self.current.page);
            self.entered = Some(parent);
        }
    }

    pub(super) fn close_full_page(&mut self) -> Result<(), Gone> {
        if let Out::Pool(pool) = &self.out {
            return match self.current.is_empty() {
                true => Ok(()),
                false => pool.put_first(Item::Listed(Box::new(std::mem::take(&mut self.current)))),
            };
        }
        let limit = match self.may_proceed {
            Some(_) => FIRST_PAGE,
            None => PAGE,
        };
        if self.current.page.len() >= limit || self.current.failures.len() >= 1000 {
            self.close_page()?;
        }
        Ok(())
    }

    pub(super) fn close_page(&mut self) -> Result<(), Gone> {
        let Out::Pages(pages) = &self.out else {
            return Ok(());
        };
        let page = std::mem::replace(&mut self.current, Listed::with_room());
        self.loose = self.loose.saturating_add(page.loose);
        self.entered = None;
        let is_end = page.end.is_some();
        pages.send(page).map_err(|_| Gone)?;
        if let Some(may_proceed) = self.may_proceed.take().filter(|_| !is_end) {
            self.asks_first = may_proceed.recv().map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Waits until the receiver has settled enough of the files it was asked about.
    fn wait_for_room(&mut self, extras: Option<&Extras>) {
        self.asked_xattrs += extras.map_or(0, Extras::bytes);
        let waiting = match self.asked_xattrs > MAX_ASKED_XATTRS {
            // How many of them are left is not known, unless none is.
            true => 1,
            false if lock(&self.asked).len() < MAX_ASKED => return,
            false => MAX_ASKED / 2,
        };
        if waiting == 1 {
            self.asked_xattrs = 0;
        }
        if self.close_page().is_err() {
            return;
        }
        while lock(&self.asked).len() >= waiting && self.is_heard() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether the session is still there.
    fn is_heard(&self) -> bool {
        Arc::strong_count(&self.asked) > 2
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Collections that are whole after every single call, so a panic elsewhere leaves nothing half done.
    shared
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The sentence about something that was left out.
pub(super) fn left_out(path: &[u8], text: &str) -> String {
    format!("{} was left out: {text}", docroot::escape_name(path))
}
