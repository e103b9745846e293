//! What is still to be done with a file once it has arrived: its checksum, and what becomes of the source.
//!
//! A thread of its own does it, so that reading and removing files holds no datagram up.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use docroot::{Docroot, EntryPath, Identity, LinkRule, SourceFile};
use transfer_spec::{EmptyDirectories, FileChecksum, FileRules, SourceFate};

use super::checksum::Hasher;
use super::command::Report;
use super::origin::Root;
use crate::Error;
use crate::event::{Event, ShownText};

/// Bytes read at once for a checksum.
const READ: usize = 256 << 10;

/// A source as it was when it was listed.
#[derive(Debug, Clone)]
pub(super) struct Original {
    pub(super) root: Root,
    pub(super) path: EntryPath,
    pub(super) identity: Identity,
    /// Its path in the list.
    pub(super) place: EntryPath,
}

/// What becomes of the sources of a transfer; its sessions share it.
#[derive(Debug)]
pub(crate) struct Aftermath {
    rules: Arc<FileRules>,
    /// Where sources move to.
    target: Option<(Docroot, EntryPath)>,
    /// Directories that may be empty at the end, parents before children.
    directories: Mutex<Vec<(Root, EntryPath)>>,
}

impl Aftermath {
    /// For sources of a client's own.
    pub(crate) fn local(rules: &Arc<FileRules>) -> Result<Option<Arc<Self>>, Error> {
        let target = match &rules.after.fate {
            SourceFate::Move(path) => {
                use std::os::unix::ffi::OsStrExt as _;
                let path = Path::new(std::ffi::OsStr::from_bytes(path));
                let found = Docroot::for_source(path);
                Some(found.map_err(|source| Error::File {
                    path: path.display().to_string(),
                    source,
                })?)
            }
            SourceFate::Stay | SourceFate::Remove => None,
        };
        Ok(Self::new(rules, target))
    }

    /// For sources beneath an account's root.
    pub(crate) fn beneath(
        rules: &Arc<FileRules>,
        root: &Docroot,
    ) -> Result<Option<Arc<Self>>, Error> {
        let target = match &rules.after.fate {
            SourceFate::Move(path) => {
                let entry = super::beneath(path).map_err(|source| Error::File {
                    path: docroot::escape_name(path).into_owned(),
                    source,
                })?;
                Some((root.clone(), entry))
            }
            SourceFate::Stay | SourceFate::Remove => None,
        };
        Ok(Self::new(rules, target))
    }

    fn new(rules: &Arc<FileRules>, target: Option<(Docroot, EntryPath)>) -> Option<Arc<Self>> {
        let is_needed = !rules.dry_run && !rules.after.is_nothing();
        is_needed.then(|| {
            Arc::new(Self {
                rules: Arc::clone(rules),
                target,
                directories: Mutex::default(),
            })
        })
    }

    /// Remembers a directory that may be empty at the end. `is_named` says that the user named it.
    pub(super) fn note_directory(&self, root: &Root, path: &EntryPath, is_named: bool) {
        let is_wanted = match self.rules.after.directories {
            EmptyDirectories::Stay => false,
            EmptyDirectories::RemoveBelow => !is_named,
            EmptyDirectories::RemoveAll => true,
        };
        if is_wanted && !path.is_root() {
            self.directories().push((root.clone(), path.clone()));
        }
    }

    fn directories(&self) -> MutexGuard<'_, Vec<(Root, EntryPath)>> {
        // Every change is a single step, so a panic elsewhere leaves nothing half done.
        self.directories
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, original: &Original) -> Result<(), docroot::Error> {
        let Original {
            root,
            path,
            identity,
            place,
        } = original;
        match (&self.rules.after.fate, &self.target) {
            (SourceFate::Remove, _) => root.open()?.remove_source(path, identity),
            (SourceFate::Move(_), Some((target, base))) => {
                let to = base.join(place)?;
                root.open()?.move_source(path, identity, target, &to)
            }
            _ => Ok(()),
        }
    }

    /// Removes the directories that are empty now; one that is not has something in it that stays.
    fn remove_directories(&self) {
        let directories = std::mem::take(&mut *self.directories());
        for (root, path) in directories.into_iter().rev() {
            let removed = root.open().and_then(|root| root.remove_dir(&path));
            if let Err(error) = removed {
                tracing::debug!(%error, "a source directory stays");
            }
        }
    }
}

/// A file that has arrived.
#[derive(Debug)]
pub(super) struct Arrived {
    /// Its path in the list.
    pub(super) path: Vec<u8>,
    pub(super) size: u64,
    /// Where this side has it.
    pub(super) place: Option<(Root, EntryPath)>,
    /// The source, if something becomes of it.
    pub(super) original: Option<Original>,
    /// It was there before, so there is no event of its arrival.
    pub(super) is_skipped: bool,
}

impl Arrived {
    /// A file that the other side has now.
    pub(super) fn sent(path: &EntryPath, size: u64, original: Option<Original>) -> Self {
        Self {
            path: path.as_bytes().to_vec(),
            size,
            place: original.as_ref().map(|o| (o.root.clone(), o.path.clone())),
            original,
            is_skipped: false,
        }
    }

    pub(super) fn skipped(self) -> Self {
        Self {
            is_skipped: true,
            ..self
        }
    }
}

#[derive(Debug)]
enum Task {
    Arrived(Box<Arrived>),
    /// Everything has arrived.
    End,
}

/// The session's end of the thread.
#[derive(Debug)]
pub(super) struct Finisher {
    tasks: Sender<Task>,
    thread: JoinHandle<()>,
}

impl Finisher {
    /// Starts the thread; it tells of files in place of the session.
    pub(super) fn start(
        checksum: FileChecksum,
        aftermath: Option<Arc<Aftermath>>,
        reports: Sender<Report>,
    ) -> Result<Self, Error> {
        // The session must not wait for a file that is read: its peer would give it up.
        let (tasks, receiver) = unbounded();
        let work = Work {
            checksum,
            aftermath,
            reports,
        };
        let thread = thread::Builder::new()
            .name("fasp-finish".into())
            .spawn(move || work.run(&receiver))
            .map_err(Error::Thread)?;
        Ok(Self { tasks, thread })
    }

    pub(super) fn arrived(&self, arrived: Arrived) {
        // The thread lives as long as this sender.
        self.tasks.send(Task::Arrived(Box::new(arrived))).ok();
    }

    /// Waits until everything is done. Directories go only when the session was the last and ended well.
    pub(super) fn end(self, is_last_and_whole: bool) {
        if is_last_and_whole {
            self.tasks.send(Task::End).ok();
        }
        drop(self.tasks);
        // A thread that panicked has left sources where they are.
        self.thread.join().ok();
    }
}

struct Work {
    checksum: FileChecksum,
    aftermath: Option<Arc<Aftermath>>,
    reports: Sender<Report>,
}

impl Work {
    fn run(&self, tasks: &Receiver<Task>) {
        for task in tasks {
            match task {
                Task::Arrived(arrived) => self.finish(&arrived),
                Task::End => {
                    if let Some(aftermath) = &self.aftermath {
                        aftermath.remove_directories();
                    }
                }
            }
        }
    }

    fn finish(&self, arrived: &Arrived) {
        if !arrived.is_skipped {
            self.tell(arrived);
        }
        let Some((aftermath, original)) = self.aftermath.as_ref().zip(arrived.original.as_ref())
        else {
            return;
        };
        if let Err(error) = aftermath.settle(original) {
            let what = match aftermath.rules.after.fate {
                SourceFate::Move(_) => "moved",
                SourceFate::Stay | SourceFate::Remove => "removed",
            };
            self.notice(&format!("{} was not {what}: {error}", original.path));
        }
    }

    fn tell(&self, arrived: &Arrived) {
        let checksum = match &arrived.place {
            Some((root, path)) if self.checksum != FileChecksum::None => {
                checksum(self.checksum, root, path, arrived)
                    .inspect_err(|error| {
                        let path = docroot::escape_name(&arrived.path);
                        self.notice(&format!("{path} has no checksum: {error}"));
                    })
                    .ok()
            }
            _ => None,
        };
        self.report(Event::FileDone {
            path: ShownText::from_bytes(&arrived.path),
            size: arrived.size,
            checksum,
        });
    }

    fn notice(&self, message: &str) {
        self.report(Event::Notice {
            message: ShownText::from_message(message),
        });
    }

    fn report(&self, event: Event) {
        // An owner that has gone away needs no reports.
        self.reports.send(Report::Event(event)).ok();
    }
}

/// Reads a file once more; one that is not what arrived has no checksum that would say anything.
fn checksum(
    kind: FileChecksum,
    root: &Root,
    path: &EntryPath,
    arrived: &Arrived,
) -> Result<String, docroot::Error> {
    // A source may have been reached through a link.
    let file = root.open()?.open_source(path, LinkRule::FollowBeneath)?;
    let expected = arrived.original.as_ref().map(|original| original.identity);
    let differs = expected.is_some_and(|identity| identity != file.identity());
    if differs || file.attributes().size != arrived.size {
        return Err(docroot::Error::SourceChanged);
    }
    let checksum = digest(kind, &file)?;
    file.unchanged()?;
    Ok(checksum)
}

fn digest(kind: FileChecksum, file: &SourceFile) -> Result<String, docroot::Error> {
    let mut hasher = Hasher::new(kind);
    let mut buffer = vec![0; READ];
    let mut offset = 0;
    loop {
        let count = file.read_at(&mut buffer, offset)?;
        hasher.update(&buffer[..count]);
        offset += count as u64;
        if count < buffer.len() {
            return Ok(hasher.finish());
        }
    }
}
