//! The storage thread of a receiving session: reads pages, decides, creates and writes files.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::IoSlice;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use docroot::{Dir, EntryPath, Existing, FileKind, Metadata, Partial, PartialOptions, Timestamp};
use fasp_core::{Attributes, BlockWrite, ErrorCode, MAX_SMALL_FILE, Record, Records};
use transfer_spec::{OverwritePolicy, Preserve, ResumePolicy, SymlinkPolicy};

use super::commit::{self, Pending};
use super::destination::Destination;
use crate::Error;
use crate::port::Port;

/// Jobs waiting for the thread; the session stops taking datagrams when there are this many.
pub(super) const QUEUE: usize = 128;
/// Files open for blocks at once (protocol §12).
const MAX_OPEN: usize = 256;
/// Directories kept open.
const MAX_DIRS: usize = 128;
/// Permission bits of new directories, less the umask.
const DIRECTORY_MODE: u32 = 0o777;

/// What to do about files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) overwrite: OverwritePolicy,
    pub(crate) resume: ResumePolicy,
    pub(crate) preserve: Preserve,
    pub(crate) symlinks: SymlinkPolicy,
}

/// Work for the thread.
#[derive(Debug)]
pub(super) enum Job {
    /// A page of the sender's.
    Page(Vec<u8>),
    /// Datagrams with blocks; positions are within `bytes`.
    Blocks {
        bytes: Vec<u8>,
        writes: Vec<BlockWrite>,
    },
    /// Every byte of this file has been handed over.
    Complete { file: u32 },
    /// The digest of this file did not agree.
    Damaged { file: u32 },
    /// Every other file has its result: links and directories are left.
    Finish,
}

/// What the thread and the commit thread tell the session.
#[derive(Debug)]
pub(super) enum StorageEvent {
    /// Ask the sender for the blocks of this file.
    Request { file: u32, size: u64 },
    /// Ask for the content of this small file.
    Want { file: u32 },
    /// The sender's digest.
    Digest { file: u32, digest: u64 },
    /// Listed: how many files and bytes the page named.
    Listed { files: u64, bytes: u64 },
    /// Results.
    Settled(Vec<Settled>),
    /// A link waits for the end.
    Link,
    /// The list is complete.
    End { files: u32 },
    /// A page of this many bytes is done with.
    PageDone(u64),
    /// Bytes written.
    Written(u64),
    /// Links and directories are done as well.
    TreeDone,
    /// The sender broke the protocol.
    Violation(&'static str),
}

/// A file's result.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) file: u32,
    pub(super) path: Vec<u8>,
    pub(super) result: SettledResult,
}

#[derive(Debug)]
pub(super) enum SettledResult {
    Done { size: u64 },
    Skipped,
    Failed { code: ErrorCode, text: String },
}

impl Settled {
    pub(super) fn done(file: u32, path: Vec<u8>, size: u64) -> Self {
        Self {
            file,
            path,
            result: SettledResult::Done { size },
        }
    }

    pub(super) fn failed(file: u32, path: Vec<u8>, error: &docroot::Error) -> Self {
        let result = SettledResult::Failed {
            code: error.code(),
            text: error.to_string(),
        };
        Self { file, path, result }
    }
}

/// A listed file that is wanted.
#[derive(Debug)]
struct Target {
    dir: Dir,
    name: Vec<u8>,
    path: Vec<u8>,
    size: u64,
    metadata: Metadata,
    existing: Existing,
}

/// A file that blocks are written to.
#[derive(Debug)]
struct Open {
    partial: Partial,
    target: Target,
}

#[derive(Debug)]
struct Storage {
    destination: Destination,
    rules: Rules,
    events: Sender<StorageEvent>,
    commits: Option<Sender<Pending>>,
    port: Port,
    open: BTreeMap<u32, Open>,
    /// Wanted by blocks, waiting for a free place.
    waiting: VecDeque<(u32, Target)>,
    /// Small files asked for.
    asked: BTreeMap<u32, Target>,
    dirs: HashMap<Vec<u8>, Dir>,
    links: Vec<(u32, EntryPath, Vec<u8>)>,
    directories: Vec<(EntryPath, Metadata)>,
}

/// Starts the storage and commit threads of a session.
pub(super) fn start(
    destination: Destination,
    rules: Rules,
    port: Port,
    events: Sender<StorageEvent>,
) -> Result<Sender<Job>, Error> {
    let commits = Some(commit::start(events.clone())?);
    let (sender, jobs) = bounded(QUEUE);
    let mut storage = Storage {
        destination,
        rules,
        events,
        commits,
        port,
        open: BTreeMap::new(),
        waiting: VecDeque::new(),
        asked: BTreeMap::new(),
        dirs: HashMap::new(),
        links: Vec::new(),
        directories: Vec::new(),
    };
    thread::Builder::new()
        .name("fasp-storage".into())
        .spawn(move || storage.run(&jobs))
        .map_err(Error::Thread)?;
    Ok(sender)
}

impl Storage {
    fn run(&mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            match job {
                Job::Page(page) => {
                    self.on_page(&page);
                    self.tell(StorageEvent::PageDone(page.len() as u64));
                }
                Job::Blocks { bytes, writes } => {
                    let count = self.write(&bytes, &writes);
                    self.tell(StorageEvent::Written(count));
                    self.port.recycle(bytes);
                }
                Job::Complete { file } => self.complete(file),
                Job::Damaged { file } => self.fail_open(file, &docroot::Error::SourceChanged),
                Job::Finish => self.finish(),
            }
        }
    }

    fn tell(&self, event: StorageEvent) {
        // A session that has ended needs to hear nothing more.
        self.events.send(event).ok();
    }

    fn settle(&self, settled: Settled) {
        self.tell(StorageEvent::Settled(vec![settled]));
    }

    fn on_page(&mut self, page: &[u8]) {
        let mut entered: &[u8] = b"";
        let mut listed = (0, 0);
        let mut settled = Vec::new();
        for record in Records::new(page) {
            let result = match record {
                Ok(Record::Enter { path }) => {
                    entered = path;
                    Ok(())
                }
                Ok(Record::Directory { path, attributes }) => {
                    self.directory(path, attributes);
                    Ok(())
                }
                Ok(Record::File {
                    file,
                    name,
                    attributes,
                    size,
                }) => {
                    listed = (listed.0 + 1, listed.1 + size);
                    let path = join(entered, name);
                    self.file(file, &path, attributes, size)
                        .map_err(|e| (file, path, e))
                }
                Ok(Record::SmallFile {
                    file,
                    name,
                    attributes,
                    content,
                }) => {
                    listed = (listed.0 + 1, listed.1 + content.len() as u64);
                    let path = join(entered, name);
                    self.small_file(file, &path, attributes, content)
                        .map_err(|e| (file, path, e))
                }
                Ok(Record::Content { file, content }) => self.content(file, content),
                Ok(Record::Symlink { file, name, target }) => {
                    listed.0 += 1;
                    let path = join(entered, name);
                    self.symlink(file, &path, target)
                        .map_err(|e| (file, path, e))
                }
                Ok(Record::Digest { file, digest }) => {
                    self.tell(StorageEvent::Digest { file, digest });
                    Ok(())
                }
                Ok(Record::SourceFailed { file, code, text }) => {
                    self.source_failed(file, code, text);
                    Ok(())
                }
                Ok(Record::End { files }) => {
                    self.tell(StorageEvent::End { files });
                    Ok(())
                }
                _ => {
                    self.tell(StorageEvent::Violation("malformed page"));
                    return;
                }
            };
            if let Err((file, path, error)) = result {
                settled.push(Settled::failed(file, path, &error));
            }
        }
        if listed.0 > 0 {
            self.tell(StorageEvent::Listed {
                files: listed.0,
                bytes: listed.1,
            });
        }
        if !settled.is_empty() {
            self.tell(StorageEvent::Settled(settled));
        }
    }

    /// Opens the directory of an entry, making it if it is missing.
    fn enter(&mut self, path: &EntryPath) -> Result<Dir, docroot::Error> {
        let parent = path.parent().unwrap_or(EntryPath::root());
        if let Some(dir) = self.dirs.get(parent.as_bytes()) {
            return Ok(dir.clone());
        }
        let dir = self
            .destination
            .root()
            .create_dirs(&parent, DIRECTORY_MODE)?;
        if self.dirs.len() >= MAX_DIRS {
            self.dirs.clear();
        }
        self.dirs.insert(parent.as_bytes().to_vec(), dir.clone());
        Ok(dir)
    }

    fn directory(&mut self, path: &[u8], attributes: Attributes) {
        let created = self.destination.place(path).and_then(|path| {
            self.destination.root().create_dirs(&path, DIRECTORY_MODE)?;
            Ok(path)
        });
        match created {
            Ok(path) => {
                let metadata = self.metadata(attributes);
                if metadata != Metadata::default() {
                    self.directories.push((path, metadata));
                }
            }
            // What belongs inside will fail with the same error, file by file.
            Err(error) => tracing::debug!(%error, "directory not created"),
        }
    }

    /// Decides about a file; nothing when it is to be left alone.
    fn target(
        &mut self,
        file: u32,
        path: &[u8],
        attributes: Attributes,
        size: u64,
    ) -> Result<Option<Target>, docroot::Error> {
        let place = self.destination.place(path)?;
        let dir = self.enter(&place)?;
        let name = place.file_name().unwrap_or_default().to_vec();
        let existing = if self.destination.is_new() {
            Existing::Refuse
        } else {
            match self.decide(&dir, &name, attributes, size)? {
                Some(existing) => existing,
                None => {
                    let result = SettledResult::Skipped;
                    self.settle(Settled {
                        file,
                        path: path.to_vec(),
                        result,
                    });
                    return Ok(None);
                }
            }
        };
        let metadata = self.metadata(attributes);
        Ok(Some(Target {
            dir,
            name,
            path: path.to_vec(),
            size,
            metadata,
            existing,
        }))
    }

    fn decide(
        &self,
        dir: &Dir,
        name: &[u8],
        attributes: Attributes,
        size: u64,
    ) -> Result<Option<Existing>, docroot::Error> {
        let Some(found) = dir.stat(name)? else {
            return Ok(Some(Existing::Refuse));
        };
        if found.kind == FileKind::Directory {
            return Err(docroot::Error::IsADirectory);
        }
        let theirs = (attributes.mtime, attributes.mtime_nanos);
        let ours = (found.mtime.seconds, found.mtime.nanos);
        let is_file = found.kind == FileKind::File;
        let is_same = is_file
            && found.size == size
            && ours == theirs
            && self.rules.resume != ResumePolicy::None;
        let replace = match self.rules.overwrite {
            OverwritePolicy::Always => true,
            OverwritePolicy::Never => false,
            OverwritePolicy::Diff => !is_same,
            OverwritePolicy::Older => ours < theirs,
            OverwritePolicy::DiffOlder => !is_same && ours < theirs,
        };
        Ok(replace.then_some(Existing::Replace))
    }

    fn metadata(&self, attributes: Attributes) -> Metadata {
        let Preserve { times, mode, .. } = self.rules.preserve;
        let mtime = Timestamp {
            seconds: attributes.mtime,
            nanos: attributes.mtime_nanos,
        };
        Metadata {
            mtime: times.then_some(mtime),
            atime: None,
            mode: mode.then_some(attributes.mode),
        }
    }

    fn file(
        &mut self,
        file: u32,
        path: &[u8],
        attributes: Attributes,
        size: u64,
    ) -> Result<(), docroot::Error> {
        let Some(target) = self.target(file, path, attributes, size)? else {
            return Ok(());
        };
        if size == 0 {
            return self.create(file, target, b"");
        }
        if size <= MAX_SMALL_FILE {
            self.asked.insert(file, target);
            self.tell(StorageEvent::Want { file });
            return Ok(());
        }
        if self.open.len() >= MAX_OPEN {
            self.waiting.push_back((file, target));
            return Ok(());
        }
        self.open_partial(file, target)
    }

    fn open_partial(&mut self, file: u32, target: Target) -> Result<(), docroot::Error> {
        let options = PartialOptions::default().size_hint(target.size);
        let partial = target.dir.create_partial(&target.name, &options)?;
        let size = target.size;
        self.open.insert(file, Open { partial, target });
        self.tell(StorageEvent::Request { file, size });
        Ok(())
    }

    /// Opens the next waiting file after one was closed.
    fn open_waiting(&mut self) {
        while self.open.len() < MAX_OPEN {
            let Some((file, target)) = self.waiting.pop_front() else {
                return;
            };
            let path = target.path.clone();
            if let Err(error) = self.open_partial(file, target) {
                self.settle(Settled::failed(file, path, &error));
            }
        }
    }

    fn small_file(
        &mut self,
        file: u32,
        path: &[u8],
        attributes: Attributes,
        content: &[u8],
    ) -> Result<(), docroot::Error> {
        match self.target(file, path, attributes, content.len() as u64)? {
            Some(target) => self.create(file, target, content),
            None => Ok(()),
        }
    }

    fn content(&mut self, file: u32, content: &[u8]) -> Result<(), (u32, Vec<u8>, docroot::Error)> {
        let Some(target) = self.asked.remove(&file) else {
            return Ok(());
        };
        let path = target.path.clone();
        if target.size != content.len() as u64 {
            return Err((file, path, docroot::Error::SourceChanged));
        }
        self.create(file, target, content)
            .map_err(|error| (file, path, error))
    }

    fn create(&self, file: u32, target: Target, content: &[u8]) -> Result<(), docroot::Error> {
        let Target {
            dir,
            name,
            path,
            size,
            metadata,
            existing,
        } = target;
        let finished = dir.create_small(&name, content, &metadata, existing)?;
        self.commit(Pending {
            file,
            path,
            size,
            finished,
        });
        Ok(())
    }

    fn commit(&self, pending: Pending) {
        if let Some(commits) = &self.commits {
            // The commit thread lives as long as this sender.
            commits.send(pending).ok();
        }
    }

    fn symlink(&mut self, file: u32, path: &[u8], target: &[u8]) -> Result<(), docroot::Error> {
        let place = self.destination.place(path)?;
        if self.rules.symlinks == SymlinkPolicy::Skip {
            self.settle(Settled {
                file,
                path: path.to_vec(),
                result: SettledResult::Skipped,
            });
            return Ok(());
        }
        self.links.push((file, place, target.to_vec()));
        self.tell(StorageEvent::Link);
        Ok(())
    }

    fn source_failed(&mut self, file: u32, code: ErrorCode, text: &str) {
        let path = match (self.open.remove(&file), self.asked.remove(&file)) {
            (Some(open), _) => open.target.path,
            (None, Some(target)) => target.path,
            (None, None) => match self.waiting.iter().position(|(f, _)| *f == file) {
                Some(at) => self
                    .waiting
                    .remove(at)
                    .map(|(_, t)| t.path)
                    .unwrap_or_default(),
                None => return,
            },
        };
        let result = SettledResult::Failed {
            code,
            text: text.to_owned(),
        };
        self.settle(Settled { file, path, result });
        self.open_waiting();
    }

    /// Writes blocks, neighbours together; returns the bytes.
    fn write(&mut self, bytes: &[u8], writes: &[BlockWrite]) -> u64 {
        let mut start = 0;
        let mut count = 0;
        while start < writes.len() {
            let mut end = start + 1;
            while end < writes.len() && follows(&writes[end - 1], &writes[end]) {
                end += 1;
            }
            let run = &writes[start..end];
            start = end;
            let Some(open) = self.open.get(&run[0].file) else {
                continue;
            };
            let slices: Vec<_> = run
                .iter()
                .map(|w| IoSlice::new(&bytes[w.at..w.at + w.length]))
                .collect();
            count += run.iter().map(|w| w.length as u64).sum::<u64>();
            if let Err(error) = open.partial.write_vectored_at(&slices, run[0].offset) {
                self.fail_open(run[0].file, &error);
            }
        }
        count
    }

    fn fail_open(&mut self, file: u32, error: &docroot::Error) {
        if let Some(open) = self.open.remove(&file) {
            self.settle(Settled::failed(file, open.target.path, error));
            self.open_waiting();
        }
    }

    fn complete(&mut self, file: u32) {
        let Some(Open { partial, target }) = self.open.remove(&file) else {
            return;
        };
        let Target {
            path,
            size,
            metadata,
            existing,
            ..
        } = target;
        match partial.finish(&metadata, existing) {
            Ok(finished) => self.commit(Pending {
                file,
                path,
                size,
                finished,
            }),
            Err(error) => self.settle(Settled::failed(file, path, &error)),
        }
        self.open_waiting();
    }

    /// Links last (rule P-5), then what the directories' own times and modes should be.
    fn finish(&mut self) {
        let existing = match self.rules.symlinks {
            SymlinkPolicy::CopyForce => Existing::Replace,
            _ => Existing::Refuse,
        };
        for (file, place, target) in std::mem::take(&mut self.links) {
            let path = place.as_bytes().to_vec();
            let made = self.enter(&place).and_then(|_| {
                self.destination
                    .root()
                    .create_symlink(&place, &target, existing)
            });
            self.settle(match made {
                Ok(()) => Settled::done(file, path, 0),
                Err(error) => Settled::failed(file, path, &error),
            });
        }
        self.dirs.clear();
        // Deepest first: setting a parent's times must come after its last change.
        let mut directories = std::mem::take(&mut self.directories);
        directories.sort_by_key(|(path, _)| std::cmp::Reverse(path.depth()));
        for (path, metadata) in directories {
            let applied = self
                .destination
                .root()
                .dir(&path)
                .and_then(|dir| dir.set_metadata(&metadata));
            if let Err(error) = applied {
                tracing::debug!(%error, "directory attributes not kept");
            }
        }
        // Dropping the queue ends the commit thread.
        self.commits = None;
        self.tell(StorageEvent::TreeDone);
    }
}

pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !directory.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

fn follows(a: &BlockWrite, b: &BlockWrite) -> bool {
    a.file == b.file && a.offset + a.length as u64 == b.offset
}
