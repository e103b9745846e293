//! The receipt of a transfer, where one is wanted.

use std::path::PathBuf;

use docroot::{Dir, Docroot, PartialOptions, RootOptions, Suffixes};
use fasp_net::event::{Event, Outcome, ShownText, Started};
use fasp_net::receipt::Receipt;

use crate::{error::CommandError, ui};

/// What the name ends in while the transfer runs, as with `ascp`.
const IN_PROGRESS: &[u8] = b".aspera-inprogress";
/// Not used, but there has to be one.
const CHECKPOINT: &[u8] = b".aspera-manifest-ckpt";

/// A manifest, if one is wanted. What goes wrong with it is told at the end: files that move are more important.
pub(super) struct Manifest {
    directory: Option<Dir>,
    open: Option<Open>,
    error: Option<CommandError>,
}

struct Open {
    name: String,
    receipt: Receipt,
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
        if let Event::Started(started) = event {
            self.begin(started);
        }
        self.with(|receipt| match event {
            Event::FilePlanned { path, size, .. } => {
                let size = size.map_or_else(|| "-".to_owned(), |size| size.to_string());
                receipt.line(format_args!("planned\t{size}\t-\t{path}\t-"))
            }
            Event::Done(outcome) => receipt.line(totals(outcome)),
            _ => receipt.on_event(event),
        });
    }

    /// Says how the transfer ended, and gives the file its name.
    pub(super) fn finish(mut self, error: Option<&CommandError>) -> Result<(), CommandError> {
        if let Some(error) = error {
            let text = ShownText::from_message(&ui::error_sentence(error));
            let code = error.code().number();
            self.with(|receipt| receipt.line(format_args!("# ended: {text} (code {code})")));
        }
        match (self.error, self.open) {
            (Some(error), _) => Err(error),
            (None, None) => Ok(()),
            (None, Some(Open { name, receipt })) => {
                receipt.finish().map_err(|source| failed(&name, source))
            }
        }
    }

    fn begin(&mut self, started: &Started) {
        // Several sessions start one transfer.
        let is_first = self.open.is_none() && self.error.is_none();
        let directory = self.directory.as_ref().filter(|_| is_first);
        let Some(directory) = directory else {
            return;
        };
        let name = format!("aspera-transfer-{}-manifest.txt", started.transfer_id);
        let heading = (&started.transfer_id, started.direction, &started.peer);
        match Receipt::create(directory, &name, &PartialOptions::default(), heading) {
            Ok(receipt) => {
                self.open = Some(Open { name, receipt });
                // Whoever looks sees at once that there is a transfer.
                self.with(Receipt::write);
            }
            Err(source) => self.error = Some(failed(&name, source)),
        }
    }

    /// Does something with the receipt, unless there is none or it has failed.
    fn with(&mut self, work: impl FnOnce(&mut Receipt) -> Result<(), docroot::Error>) {
        let Some(open) = self.open.as_mut().filter(|_| self.error.is_none()) else {
            return;
        };
        if let Err(source) = work(&mut open.receipt) {
            self.error = Some(failed(&open.name, source));
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
