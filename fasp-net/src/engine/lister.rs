//! The lister thread: walks the sources and builds pages (protocol §9.3).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use docroot::{Entry, EntryPath, FileKind, LinkRule, Suffixes, WalkOptions};
use fasp_core::{Attributes, ErrorCode, MAX_SMALL_FILE, Record};
use transfer_spec::{FauxSource, FileRules, SymlinkPolicy};

use super::contents;
use super::faux::Content;
use super::pool::{Hand, Item, Offer, Part, Pool};
use super::source_list::{ListWalk, Located as Found, SourceList};
use super::sources::{Origin, Root, Source, Sources, Span, failure};
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

/// A page and what the session has to know about the files in it.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(super) page: Vec<u8>,
    /// Files in the page: number, path relative to the destination, size.
    pub(super) names: Vec<(u32, EntryPath, u64)>,
    /// Of these, the ones that travel as blocks.
    pub(super) blocks: Vec<(u32, Origin, u64, Option<Span>)>,
    /// What could not be listed.
    pub(super) failures: Vec<(String, ErrorCode, String)>,
    /// Left out on purpose, with the reason.
    pub(super) notices: Vec<String>,
    pub(super) bytes: u64,
    /// How many numbers have been used, once the list is complete.
    pub(super) end: Option<u32>,
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
    proceed: Sender<bool>,
}

impl Lister {
    /// Starts the threads. Behind the first page the lister waits for [`proceed`](Self::proceed).
    pub(crate) fn start(sources: Sources, symlinks: SymlinkPolicy) -> Result<Self, Error> {
        let (lister, mut listing, may_proceed) = Self::parts(symlinks)?;
        listing.may_proceed = Some(may_proceed);
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
    /// Whether there is nothing to hand on.
    pub(super) fn is_empty(&self) -> bool {
        self.page.is_empty() && self.failures.is_empty() && self.notices.is_empty()
    }

    /// Adds what another walk has found that needs no number.
    pub(super) fn absorb(&mut self, other: Self) {
        self.page.extend(other.page);
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
    suffixes: Suffixes,
    rules: Arc<FileRules>,
}

/// The session is gone: nobody takes pages any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Listing {
    fn new(out: Out, symlinks: SymlinkPolicy, asked: Asked) -> Self {
        Self {
            out,
            symlinks,
            // Nobody knows yet whether the destination is new.
            asks_first: true,
            may_proceed: None,
            asked,
            current: Listed::default(),
            entered: None,
            next: 0,
            suffixes: Suffixes::default(),
            rules: Arc::default(),
        }
    }

    /// A walk whose files several sessions share.
    pub(super) fn into_pool(pool: Pool, symlinks: SymlinkPolicy) -> Self {
        Self::new(Out::Pool(pool), symlinks, Asked::default())
    }

    pub(super) fn run(&mut self, sources: &Sources) {
        self.rules = Arc::clone(&sources.rules);
        for source in &sources.items {
            let listed = match source {
                Source::Tree { root, path, place } => self.walk(&Found {
                    root: root.clone(),
                    held: Root::Open(root.clone()),
                    path: path.clone(),
                    place: place.clone(),
                }),
                Source::List(list) => self.walk_list(list),
                Source::Faux(faux) => self.make_up(faux),
            };
            if listed.is_err() {
                return;
            }
        }
        // What was left out behind the last entry.
        self.close_full_page().ok();
        match &self.out {
            Out::Pool(pool) => pool.end_walk(),
            Out::Pages(_) => self.end(),
        }
    }

    /// Says that the list is complete.
    pub(super) fn end(&mut self) {
        self.current.end = Some(self.next);
        // Nobody to tell: the session has ended already.
        self.close_page().ok();
    }

    fn walk_list(&mut self, list: &SourceList) -> Result<(), Gone> {
        let mut walk = ListWalk::default();
        for entry in list.entries() {
            match walk.locate(list, entry) {
                Ok(found) => self.walk(&found)?,
                Err((code, text)) => self.fail_with(entry.source, code, text),
            }
            self.close_full_page()?;
        }
        Ok(())
    }

    fn walk(&mut self, source: &Found) -> Result<(), Gone> {
        let symlinks = match self.symlinks {
            SymlinkPolicy::Follow => docroot::SymlinkPolicy::Follow,
            SymlinkPolicy::Copy => docroot::SymlinkPolicy::Copy,
            SymlinkPolicy::CopyForce => docroot::SymlinkPolicy::CopyForce,
            SymlinkPolicy::Skip => docroot::SymlinkPolicy::Skip,
        };
        let options = WalkOptions::default().symlinks(symlinks);
        let mut walk = match source.root.walk(&source.path, options) {
            Ok(walk) => walk,
            Err(error) => {
                self.fail(source.path.as_bytes(), &error);
                return Ok(());
            }
        };
        let name = source.path.parent().unwrap_or(EntryPath::root());
        while let Some(entry) = walk.next() {
            match entry {
                Ok(entry) => match self.admits(&entry, &name) && self.add(source, &entry)? {
                    true => {}
                    false => walk.skip_directory(),
                },
                Err(error) if self.leaves_out(&error.path, &name) => {}
                Err(error) => self.fail(&error.path, &error.error),
            }
            self.close_full_page()?;
        }
        Ok(())
    }

    /// Whether the rules let an entry through. They see its path from the source's own name on.
    fn admits(&self, entry: &Entry, above: &EntryPath) -> bool {
        let filter = &self.rules.filter;
        if filter.is_empty() {
            return true;
        }
        let Some(path) = entry.path.strip_prefix(above) else {
            return true;
        };
        match entry.kind() {
            FileKind::Directory => filter.admits_directory(path.as_bytes()),
            _ => filter.admits_file(path.as_bytes(), entry.attributes.mtime.seconds),
        }
    }

    /// Whether the rules leave out what could not be looked at, which nobody misses then.
    fn leaves_out(&self, path: &[u8], above: &EntryPath) -> bool {
        let below = match above.as_bytes() {
            b"" => path,
            above => path.get(above.len() + 1..).unwrap_or_default(),
        };
        !self.rules.filter.admits_directory(below)
    }

    /// Lists files that do not exist.
    fn make_up(&mut self, faux: &FauxSource) -> Result<(), Gone> {
        let name = match EntryPath::parse(faux.name().as_bytes()) {
            Ok(name) => name,
            Err(error) => {
                self.fail(faux.name().as_bytes(), &error);
                return Ok(());
            }
        };
        let attributes = Attributes {
            mode: 0o644,
            ..made_now()
        };
        let directory = match faux {
            FauxSource::File { size, .. } => {
                return self.offer(Origin::Faux(Content::Zero), name, attributes, *size);
            }
            FauxSource::Directory(directory) => directory,
        };
        Record::Directory {
            path: name.as_bytes(),
            attributes: Attributes {
                mode: 0o755,
                ..attributes
            },
        }
        .encode(&mut self.current.page);
        for number in 1..=directory.count {
            let path = EntryPath::parse(directory.name_of(number).as_bytes())
                .and_then(|file| name.join(&file));
            match path {
                Ok(path) => {
                    let content = Content::new(directory.content, u64::from(number));
                    let size = directory.size_of(number);
                    self.offer(Origin::Faux(content), path, attributes, size)?;
                }
                Err(error) => self.fail(directory.name_of(number).as_bytes(), &error),
            }
            self.close_full_page()?;
        }
        Ok(())
    }

    /// Tells both sides of something that cannot be sent.
    fn fail(&mut self, path: &[u8], error: &docroot::Error) {
        let (code, text) = failure(error);
        self.fail_with(path, code, text);
    }

    fn fail_with(&mut self, path: &[u8], code: ErrorCode, text: String) {
        let record = Record::Unlisted {
            path,
            code,
            text: &text,
        };
        record.encode(&mut self.current.page);
        let path = docroot::escape_name(path).into_owned();
        self.current.failures.push((path, code, text));
    }

    /// Tells both sides of something that is not sent on purpose.
    fn leave_out(&mut self, path: &EntryPath) {
        let text = "it is a partial file";
        let record = Record::LeftOut {
            path: path.as_bytes(),
            text,
        };
        record.encode(&mut self.current.page);
        self.current.notices.push(left_out(path.as_bytes(), text));
    }

    /// Lists an entry; false for one that is left out, with everything in it.
    fn add(&mut self, source: &Found, entry: &Entry) -> Result<bool, Gone> {
        let path = match entry.path.strip_prefix(&source.path) {
            Some(path) => source.place.join(&path),
            None => Err(docroot::Error::NotFound),
        };
        let path = match path {
            // The destination itself.
            Ok(path) if path.is_root() => return Ok(true),
            Ok(path) => path,
            Err(error) => {
                self.fail(entry.path.as_bytes(), &error);
                return Ok(false);
            }
        };
        if path.is_reserved(&self.suffixes) {
            self.leave_out(&path);
            return Ok(false);
        }
        let attributes = attributes(entry);
        match entry.kind() {
            FileKind::Directory => {
                let path = path.as_bytes();
                Record::Directory { path, attributes }.encode(&mut self.current.page);
            }
            FileKind::Symlink => {
                let target = entry.target.as_deref().unwrap_or_default();
                if let Out::Pool(pool) = &self.out {
                    let target = target.to_vec();
                    pool.put_first(Item::Link { path, target })?;
                } else {
                    self.link(&path, target);
                }
            }
            _ => {
                let origin = Origin::File {
                    root: source.held.clone(),
                    path: entry.path.clone(),
                    rule: match self.symlinks {
                        SymlinkPolicy::Follow => LinkRule::FollowBeneath,
                        _ => LinkRule::Refuse,
                    },
                };
                self.offer(origin, path, attributes, entry.attributes.size)?;
            }
        }
        Ok(true)
    }

    pub(super) fn link(&mut self, path: &EntryPath, target: &[u8]) {
        self.enter(path);
        let file = self.number(path, 0);
        let name = path.file_name().unwrap_or_default();
        Record::Symlink { file, name, target }.encode(&mut self.current.page);
    }

    fn offer(
        &mut self,
        origin: Origin,
        path: EntryPath,
        attributes: Attributes,
        size: u64,
    ) -> Result<(), Gone> {
        let offer = Offer {
            origin,
            path,
            attributes,
            size,
            part: None,
        };
        match &self.out {
            Out::Pool(pool) => pool.put(offer),
            Out::Pages(_) => self.list_offer(offer),
        }
    }

    /// Lists a file: with its content if it is small and surely wanted.
    pub(super) fn list_offer(&mut self, offer: Offer) -> Result<(), Gone> {
        let Offer {
            origin,
            path,
            attributes,
            size,
            part,
        } = offer;
        if let Some(part) = part {
            self.list_part(&path, attributes, size, origin, part);
            return Ok(());
        }
        if size > MAX_SMALL_FILE {
            let file = self.list(&path, attributes, size);
            self.current.blocks.push((file, origin, size, None));
            return Ok(());
        }
        if self.asks_first {
            self.wait_for_room();
            let file = self.list(&path, attributes, size);
            // Nobody asks for the content of an empty file, so nothing would take it out again.
            if size > 0 {
                lock(&self.asked).insert(file, (origin, size));
            }
            return Ok(());
        }
        match origin.read_small(size) {
            Ok(content) => {
                if self.current.page.len() + content.len() > 2 * PAGE {
                    self.close_page()?;
                }
                self.enter(&path);
                let file = self.number(&path, size);
                let name = path.file_name().unwrap_or_default();
                Record::SmallFile {
                    file,
                    name,
                    attributes,
                    content: &content,
                }
                .encode(&mut self.current.page);
            }
            Err(error) => self.fail(path.as_bytes(), &error),
        }
        Ok(())
    }

    /// Names a file whose content is sent when the receiver asks.
    fn list(&mut self, path: &EntryPath, attributes: Attributes, size: u64) -> u32 {
        self.enter(path);
        let file = self.number(path, size);
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

    /// Names a part of a file; the part at the start stands for the whole file (protocol §13.4).
    fn list_part(
        &mut self,
        path: &EntryPath,
        attributes: Attributes,
        size: u64,
        origin: Origin,
        part: Part,
    ) {
        let Part {
            whole,
            length,
            span,
        } = part;
        self.enter(path);
        let start = span.start;
        let file = if start == 0 {
            self.number(path, size)
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

    fn number(&mut self, path: &EntryPath, size: u64) -> u32 {
        let file = self.next;
        self.next += 1;
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
                false => pool.put_first(Item::Listed(std::mem::take(&mut self.current))),
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
        let page = std::mem::take(&mut self.current);
        self.entered = None;
        let is_end = page.end.is_some();
        pages.send(page).map_err(|_| Gone)?;
        if let Some(may_proceed) = self.may_proceed.take().filter(|_| !is_end) {
            self.asks_first = may_proceed.recv().map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// Waits until the receiver has settled enough of the files it was asked about.
    fn wait_for_room(&mut self) {
        if lock(&self.asked).len() < MAX_ASKED {
            return;
        }
        if self.close_page().is_err() {
            return;
        }
        while lock(&self.asked).len() >= MAX_ASKED / 2 && Arc::strong_count(&self.asked) > 2 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

pub(super) fn lock(asked: &Asked) -> std::sync::MutexGuard<'_, BTreeMap<u32, (Origin, u64)>> {
    // The map is whole after every single call, so a panic elsewhere leaves nothing half done.
    asked
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The sentence about something that was left out.
pub(super) fn left_out(path: &[u8], text: &str) -> String {
    format!("{} was left out: {text}", docroot::escape_name(path))
}

fn attributes(entry: &Entry) -> Attributes {
    Attributes {
        mode: entry.attributes.mode & 0o7777,
        mtime: entry.attributes.mtime.seconds,
        mtime_nanos: entry.attributes.mtime.nanos,
    }
}

/// Attributes of something that comes into being as it is listed.
fn made_now() -> Attributes {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Attributes {
        mode: 0,
        mtime: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        mtime_nanos: now.subsec_nanos(),
    }
}
