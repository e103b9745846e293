//! The lister thread: walks the sources and builds pages (protocol §9.3).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use docroot::{Entry, EntryPath, FileKind, LinkRule, Suffixes, WalkOptions};
use fasp_core::{Attributes, ErrorCode, MAX_SMALL_FILE, Record};
use transfer_spec::SymlinkPolicy;

use super::sources::{Source, Sources, failure};
use crate::Error;

/// Pages are closed at this size.
const PAGE: usize = 128 << 10;
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
    pub(super) blocks: Vec<(u32, Source, LinkRule, u64)>,
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
pub(super) type Asked = Arc<Mutex<BTreeMap<u32, (Source, LinkRule, u64)>>>;

/// The session's side of the lister.
#[derive(Debug)]
pub(crate) struct Lister {
    pub(super) pages: Receiver<Listed>,
    pub(super) asks: Sender<Ask>,
    pub(super) asked: Asked,
    proceed: Sender<bool>,
}

impl Lister {
    /// Starts the threads. Behind the first page the lister waits for [`proceed`](Self::proceed).
    pub(crate) fn start(sources: Sources, symlinks: SymlinkPolicy) -> Result<Self, Error> {
        let (page_sender, pages) = bounded(AHEAD);
        let (asks, ask_receiver) = unbounded();
        let asked = Asked::default();
        let content_sender = page_sender.clone();
        let content_asked = Arc::clone(&asked);
        thread::Builder::new()
            .name("fasp-content".into())
            .spawn(move || send_contents(&ask_receiver, &content_sender, &content_asked))
            .map_err(Error::Thread)?;
        let (proceed, may_proceed) = bounded(1);
        let mut listing = Listing {
            symlinks,
            // Nobody knows yet whether the destination is new.
            asks_first: true,
            may_proceed: Some(may_proceed),
            asked: Arc::clone(&asked),
            pages: page_sender,
            current: Listed::default(),
            entered: None,
            next: 0,
            suffixes: Suffixes::default(),
        };
        thread::Builder::new()
            .name("fasp-lister".into())
            .spawn(move || listing.run(&sources))
            .map_err(Error::Thread)?;
        Ok(Self {
            pages,
            asks,
            asked,
            proceed,
        })
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
    /// The page's records.
    pub(crate) fn page(&self) -> &[u8] {
        &self.page
    }
}

/// The state of the walk.
struct Listing {
    symlinks: SymlinkPolicy,
    asks_first: bool,
    /// Until the first page has been handed on and the list may go on.
    may_proceed: Option<Receiver<bool>>,
    asked: Asked,
    pages: Sender<Listed>,
    current: Listed,
    /// The directory that the page's names are in.
    entered: Option<EntryPath>,
    next: u32,
    suffixes: Suffixes,
}

/// The session is gone: nobody takes pages any more.
struct Gone;

impl Listing {
    fn run(&mut self, sources: &Sources) {
        for source in &sources.items {
            if self.walk(source).is_err() {
                return;
            }
        }
        self.current.end = Some(self.next);
        // Nobody to tell: the session has ended already.
        self.close_page().ok();
    }

    fn walk(&mut self, source: &Source) -> Result<(), Gone> {
        let symlinks = match self.symlinks {
            SymlinkPolicy::Follow => docroot::SymlinkPolicy::Follow,
            SymlinkPolicy::Copy => docroot::SymlinkPolicy::Copy,
            SymlinkPolicy::CopyForce => docroot::SymlinkPolicy::CopyForce,
            SymlinkPolicy::Skip => docroot::SymlinkPolicy::Skip,
        };
        let base = source.path.parent().unwrap_or(EntryPath::root());
        let walk = match source
            .root
            .walk(&source.path, WalkOptions::default().symlinks(symlinks))
        {
            Ok(walk) => walk,
            Err(error) => {
                self.fail(source.path.to_string(), &error);
                return Ok(());
            }
        };
        for entry in walk {
            match entry {
                Ok(entry) => match entry.path.strip_prefix(&base) {
                    Some(path) => self.add(source, &entry, path)?,
                    None => self.fail(entry.path.to_string(), &docroot::Error::NotFound),
                },
                Err(error) => {
                    self.fail(docroot::escape_name(&error.path).into_owned(), &error.error);
                }
            }
            let limit = if self.may_proceed.is_some() {
                FIRST_PAGE
            } else {
                PAGE
            };
            if self.current.page.len() >= limit || self.current.failures.len() >= 1000 {
                self.close_page()?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, path: String, error: &docroot::Error) {
        let (code, text) = failure(error);
        self.current.failures.push((path, code, text));
    }

    fn add(&mut self, source: &Source, entry: &Entry, path: EntryPath) -> Result<(), Gone> {
        if path.is_reserved(&self.suffixes) {
            self.current
                .notices
                .push(format!("{path} is a partial file and was left out"));
            return Ok(());
        }
        let attributes = attributes(entry);
        match entry.kind() {
            FileKind::Directory => {
                let path = path.as_bytes();
                Record::Directory { path, attributes }.encode(&mut self.current.page);
                Ok(())
            }
            FileKind::Symlink => {
                self.enter(&path);
                let file = self.number(&path, 0);
                let target = entry.target.as_deref().unwrap_or_default();
                let name = path.file_name().unwrap_or_default();
                Record::Symlink { file, name, target }.encode(&mut self.current.page);
                Ok(())
            }
            _ => self.add_file(source, entry, path, attributes),
        }
    }

    fn add_file(
        &mut self,
        source: &Source,
        entry: &Entry,
        path: EntryPath,
        attributes: Attributes,
    ) -> Result<(), Gone> {
        let size = entry.attributes.size;
        let rule = match self.symlinks {
            SymlinkPolicy::Follow => LinkRule::FollowBeneath,
            _ => LinkRule::Refuse,
        };
        let origin = Source {
            root: source.root.clone(),
            path: entry.path.clone(),
        };
        if size > MAX_SMALL_FILE {
            let file = self.list(&path, attributes, size);
            self.current.blocks.push((file, origin, rule, size));
            return Ok(());
        }
        if self.asks_first {
            self.wait_for_room();
            let file = self.list(&path, attributes, size);
            lock(&self.asked).insert(file, (origin, rule, size));
            return Ok(());
        }
        match read_small(&origin, rule, size) {
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
            Err(error) => self.fail(path.to_string(), &error),
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

    fn number(&mut self, path: &EntryPath, size: u64) -> u32 {
        let file = self.next;
        self.next += 1;
        self.current.names.push((file, path.clone(), size));
        self.current.bytes += size;
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

    fn close_page(&mut self) -> Result<(), Gone> {
        let page = std::mem::take(&mut self.current);
        self.entered = None;
        let is_end = page.end.is_some();
        self.pages.send(page).map_err(|_| Gone)?;
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

pub(super) fn lock(
    asked: &Asked,
) -> std::sync::MutexGuard<'_, BTreeMap<u32, (Source, LinkRule, u64)>> {
    // The map is whole after every single call, so a panic elsewhere leaves nothing half done.
    asked
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn attributes(entry: &Entry) -> Attributes {
    Attributes {
        mode: entry.attributes.mode & 0o7777,
        mtime: entry.attributes.mtime.seconds,
        mtime_nanos: entry.attributes.mtime.nanos,
    }
}

/// Reads a whole small file of the size it was listed with.
fn read_small(source: &Source, rule: LinkRule, size: u64) -> Result<Vec<u8>, docroot::Error> {
    if size == 0 {
        return Ok(Vec::new());
    }
    let file = source.root.open_source(&source.path, rule)?;
    if file.attributes().size != size {
        return Err(docroot::Error::SourceChanged);
    }
    let mut content = vec![0; size as usize];
    let read = file.read_at(&mut content, 0)?;
    if read < content.len() {
        return Err(docroot::Error::SourceChanged);
    }
    Ok(content)
}

/// The content thread: reads the small files that the receiver wants.
fn send_contents(asks: &Receiver<Ask>, pages: &Sender<Listed>, asked: &Asked) {
    let mut page = Vec::new();
    for Ask::Content { first, count } in asks {
        for file in first..first.saturating_add(count) {
            let Some((source, rule, size)) = lock(asked).remove(&file) else {
                continue;
            };
            if page.len() + size as usize > 2 * PAGE && !flush(&mut page, pages) {
                return;
            }
            match read_small(&source, rule, size) {
                Ok(content) => Record::Content {
                    file,
                    content: &content,
                }
                .encode(&mut page),
                Err(error) => {
                    let (code, text) = failure(&error);
                    Record::SourceFailed {
                        file,
                        code,
                        text: &text,
                    }
                    .encode(&mut page);
                }
            }
        }
        if (asks.is_empty() || page.len() >= PAGE) && !flush(&mut page, pages) {
            return;
        }
    }
}

fn flush(page: &mut Vec<u8>, pages: &Sender<Listed>) -> bool {
    let page = std::mem::take(page);
    page.is_empty()
        || pages
            .send(Listed {
                page,
                ..Listed::default()
            })
            .is_ok()
}
