//! What is told about each file, and in the end.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use fasp_net::{engine::EnvelopeError, event::ShownText};
use serde::Serialize;

use super::files::{Found, Item};
use crate::{
    error::CommandError,
    ui::{ProgressBar, Ui, byte_count},
};

/// Collects the results of one call and shows them.
#[derive(Debug)]
pub(super) struct Report<'a> {
    ui: &'a Ui,
    verb: &'static str,
    bar: Option<ProgressBar>,
    /// Bytes worked on so far, and all there are.
    bytes: AtomicU64,
    total_bytes: u64,
    total_files: u64,
    done: u64,
    skipped: u64,
    failed: u64,
    only_failure: Option<(ShownText, EnvelopeError)>,
    started: Instant,
}

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    FileDone {
        path: &'a ShownText,
        output: Option<&'a ShownText>,
        size: u64,
    },
    FileSkipped {
        path: &'a ShownText,
        reason: &'a str,
    },
    FileFailed {
        path: &'a ShownText,
        code: u8,
        message: ShownText,
    },
    Done {
        files_done: u64,
        files_skipped: u64,
        files_failed: u64,
        bytes: u64,
        elapsed_ms: u64,
    },
}

impl<'a> Report<'a> {
    /// Begins a report on the files that were found; those that failed already are told at once.
    pub(super) fn new(
        ui: &'a Ui,
        verb: &'static str,
        found: &mut Found,
    ) -> Result<Self, CommandError> {
        let (skipped, failed) = (
            std::mem::take(&mut found.skipped),
            std::mem::take(&mut found.failed),
        );
        let mut report = Self {
            ui,
            verb,
            bar: ui.bar(),
            bytes: AtomicU64::new(0),
            total_bytes: found.items.iter().map(|item| item.size).sum(),
            total_files: (found.items.len() + failed.len()) as u64,
            done: 0,
            skipped: 0,
            failed: 0,
            only_failure: None,
            started: Instant::now(),
        };
        for (path, reason) in skipped {
            report.skipped += 1;
            report.tell(
                &Line::FileSkipped {
                    path: &path,
                    reason,
                },
                &format!("skipped {path}: {reason}"),
            )?;
        }
        for (path, failure) in failed {
            report.fail(path, failure)?;
        }
        Ok(report)
    }

    /// Notes bytes that were worked on. From any thread.
    pub(super) fn advance(&self, bytes: u64) {
        let done = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(bar) = &self.bar {
            bar.show_bytes(done, self.total_bytes.max(done));
        }
    }

    /// Tells that a file is done; `size` is that of its content.
    pub(super) fn done(
        &mut self,
        item: &Item,
        output: Option<&[u8]>,
        size: u64,
    ) -> Result<(), CommandError> {
        self.done += 1;
        let output = output.map(|name| item.beside(name));
        let text = match &output {
            Some(output) => format!("{} {} -> {output}", self.verb, item.shown),
            None => format!("{} {}", self.verb, item.shown),
        };
        let line = Line::FileDone {
            path: &item.shown,
            output: output.as_ref(),
            size,
        };
        self.tell(&line, &text)
    }

    /// Counts a file that was shown already.
    pub(super) fn count(&mut self) {
        self.done += 1;
    }

    /// Tells that a file failed.
    pub(super) fn fail(
        &mut self,
        path: ShownText,
        failure: EnvelopeError,
    ) -> Result<(), CommandError> {
        self.failed += 1;
        let message = message(&failure);
        let code = failure.code().number();
        if self.ui.is_json() {
            self.ui.print_json(&Line::FileFailed {
                path: &path,
                code,
                message,
            })?;
        } else if self.total_files > 1 {
            self.above(|ui| ui.complain(&format!("failed: {path}: {message} (FASP code {code})")));
        }
        // The error at the end of the command says it when there is no other file.
        self.only_failure = (self.total_files == 1).then_some((path, failure));
        Ok(())
    }

    /// Ends the report: an error if something failed.
    pub(super) fn finish(self) -> Result<(), CommandError> {
        if let Some(bar) = &self.bar {
            bar.clear();
        }
        let elapsed = self.started.elapsed();
        let bytes = self.bytes.load(Ordering::Relaxed);
        if self.ui.is_json() {
            self.ui.print_json(&Line::Done {
                files_done: self.done,
                files_skipped: self.skipped,
                files_failed: self.failed,
                bytes,
                elapsed_ms: elapsed.as_millis() as u64,
            })?;
        } else if self.done > 0 || self.failed == 0 {
            let files = if self.done == 1 { "file" } else { "files" };
            self.ui.note(&format!(
                "{} {} {files}, {} in {:.1} s",
                self.verb,
                self.done,
                byte_count(bytes),
                elapsed.as_secs_f64()
            ));
        }
        match (self.only_failure, self.failed) {
            (None, 0) => Ok(()),
            (None, failed) => Err(CommandError::SomeFiles {
                failed,
                total: self.total_files,
            }),
            (Some((path, EnvelopeError::Crypt(source))), _) => Err(CommandError::Crypt {
                path: Some(path.to_string()),
                source,
            }),
            (Some((path, EnvelopeError::Storage(source))), _) => Err(CommandError::File {
                path: path.to_string(),
                source,
            }),
        }
    }

    fn tell(&self, line: &Line<'_>, text: &str) -> Result<(), CommandError> {
        if self.ui.is_json() {
            return self.ui.print_json(line);
        }
        self.above(|ui| ui.print_line(text))
    }

    fn above<T>(&self, write: impl FnOnce(&Ui) -> T) -> T {
        match &self.bar {
            Some(bar) => bar.above(|| write(self.ui)),
            None => write(self.ui),
        }
    }
}

/// The failure and its cause in one line.
fn message(failure: &EnvelopeError) -> ShownText {
    let mut text = failure.to_string();
    let mut cause = std::error::Error::source(failure);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    ShownText::from_message(&text)
}
