//! The receipt of a transfer: a text file with a line for each file.

use std::{fmt::Write as _, io::IoSlice, path::PathBuf};

use docroot::{
    CommitGroup, Dir, Docroot, Existing, Metadata, Partial, PartialOptions, RootOptions, Suffixes,
};
use fasp_net::event::{Event, EventDirection, Outcome, ShownText};

use crate::error::CommandError;

/// What the name ends in while the transfer runs, as with `ascp`.
const IN_PROGRESS: &[u8] = b".aspera-inprogress";
/// Not used, but there has to be one.
const CHECKPOINT: &[u8] = b".aspera-manifest-ckpt";
/// Lines are written when there are this many bytes of them.
const WRITE: usize = 64 << 10;

/// A manifest, if one is wanted. What goes wrong with it is told at the end: files that move are more important.
pub(super) struct Manifest {
    directory: Option<Dir>,
    open: Option<Open>,
    error: Option<CommandError>,
}

struct Open {
    name: String,
    partial: Partial,
    lines: String,
    offset: u64,
}

impl Manifest {
    /// Opens the directory, if one is named.
    pub(super) fn new(directory: Option<PathBuf>) -> Result<Self, CommandError> {
        let open = |path: PathBuf| {
            let mut options = RootOptions::default();
            Suffixes::new(IN_PROGRESS, CHECKPOINT)
                .and_then(|suffixes| {
                    options.suffixes = suffixes;
                    Docroot::open_with(&path, options)?.root_dir()
                })
                .map_err(|source| failed(&path.to_string_lossy(), source))
        };
        Ok(Self {
            directory: directory.map(open).transpose()?,
            open: None,
            error: None,
        })
    }

    pub(super) fn event(&mut self, event: &Event) {
        if self.directory.is_none() || self.error.is_some() {
            return;
        }
        match event {
            Event::Started(started) => {
                let name = format!("aspera-transfer-{}-manifest.txt", started.transfer_id);
                let direction = match started.direction {
                    EventDirection::Send => "send",
                    EventDirection::Receive => "receive",
                };
                let head = format!(
                    "# transfer {} {direction} {}\n# status\tsize\tchecksum\tpath\treason\n",
                    started.transfer_id, started.peer
                );
                self.begin(name, head);
            }
            Event::FileDone {
                path,
                size,
                checksum,
            } => {
                let checksum = checksum.as_deref().unwrap_or("-");
                self.line(&format!("done\t{size}\t{checksum}\t{path}\t-"));
            }
            Event::FilePlanned { path, size, .. } => {
                let size = size.map_or_else(|| "-".to_owned(), |size| size.to_string());
                self.line(&format!("planned\t{size}\t-\t{path}\t-"));
            }
            Event::FileSkipped { path, reason } => {
                self.line(&format!("skipped\t-\t-\t{path}\t{reason}"));
            }
            Event::FileDeleted { path } => self.line(&format!("deleted\t-\t-\t{path}\t-")),
            Event::FileFailed(failure) => self.line(&format!(
                "failed\t-\t-\t{}\t{} (code {})",
                failure.path,
                failure.message,
                failure.code.number()
            )),
            Event::Done(outcome) => self.line(&totals(outcome)),
            _ => {}
        }
    }

    /// Says how the transfer ended, and gives the file its name.
    pub(super) fn finish(mut self, error: Option<&fasp_net::Error>) -> Result<(), CommandError> {
        if let Some(error) = error {
            let text = ShownText::from_message(&error.to_string());
            self.line(&format!("# ended: {text} (code {})", error.code().number()));
        }
        self.write();
        match (self.error, self.open) {
            (Some(error), _) => Err(error),
            (None, None) => Ok(()),
            (None, Some(open)) => {
                let finished = open.partial.finish(&Metadata::default(), Existing::Refuse);
                let mut group = CommitGroup::new();
                let committed = finished.and_then(|finished| {
                    group.add((), finished);
                    group.commit().pop().map_or(Ok(()), |(_, result)| result)
                });
                committed.map_err(|source| failed(&open.name, source))
            }
        }
    }

    fn begin(&mut self, name: String, head: String) {
        // Several sessions start one transfer.
        let Some(directory) = self.directory.as_ref().filter(|_| self.open.is_none()) else {
            return;
        };
        match directory.create_partial(name.as_bytes(), &PartialOptions::default()) {
            Ok(partial) => {
                self.open = Some(Open {
                    name,
                    partial,
                    lines: head,
                    offset: 0,
                });
                // Whoever looks sees at once that there is a transfer.
                self.write();
            }
            Err(source) => self.error = Some(failed(&name, source)),
        }
    }

    fn line(&mut self, line: &str) {
        let Some(open) = &mut self.open else { return };
        // Writing to a string cannot fail.
        let _ = writeln!(open.lines, "{line}");
        if open.lines.len() >= WRITE {
            self.write();
        }
    }

    fn write(&mut self) {
        let Some(open) = &mut self.open else { return };
        let lines = std::mem::take(&mut open.lines);
        let slices = [IoSlice::new(lines.as_bytes())];
        let written = match lines.is_empty() {
            true => Ok(()),
            false => open.partial.write_vectored_at(&slices, open.offset),
        };
        match written {
            Ok(()) => open.offset += lines.len() as u64,
            Err(source) => self.error = Some(failed(&open.name, source)),
        }
    }
}

fn totals(outcome: &Outcome) -> String {
    format!(
        "# {} done, {} skipped, {} failed, {} bytes in {} ms",
        outcome.files_done,
        outcome.files_skipped,
        outcome.files_failed,
        outcome.bytes,
        outcome.elapsed_ms
    )
}

fn failed(path: &str, source: docroot::Error) -> CommandError {
    CommandError::File {
        path: ShownText::from(path).to_string(),
        source,
    }
}
