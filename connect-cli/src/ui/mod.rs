//! The only place that prints. Data goes to standard output, everything else to standard error.

mod error;
mod follow;
mod json;
mod progress;
mod prompt;
mod screen;
mod summary;
mod text;

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

pub use self::{
    error::{error_sentence, error_text},
    follow::{Reporter, follow},
    json::json_line,
    progress::{ProgressBar, progress_line},
    prompt::{ask_hidden, ask_secret, can_ask, confirm_host_key, restore_terminal},
    summary::summary,
    text::{byte_count, date_time, duration, permissions, table},
};
use crate::{args::OutputArgs, error::CommandError, exit::ExitStatus};

/// How this run of the program shows things.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    output: OutputArgs,
}

impl Ui {
    /// Makes the output that the arguments ask for.
    pub fn new(output: OutputArgs) -> Self {
        Self { output }
    }

    /// Returns true when results are wanted as JSON.
    pub fn is_json(&self) -> bool {
        self.output.json
    }

    /// Returns what shows a running transfer: JSON lines, a bar on a terminal, or nothing but failures and the summary.
    pub fn reporter(&self) -> Reporter<io::Stdout, io::Stderr> {
        match (self.output.json, self.output.quiet) {
            (true, _) => Reporter::Json { data: io::stdout() },
            (false, true) => Reporter::Quiet {
                notes: io::stderr(),
            },
            (false, false) => Reporter::Text {
                data: io::stdout(),
                notes: io::stderr(),
                bar: self.bar(),
            },
        }
    }

    /// Returns what shows failures only: standard output is taken.
    pub fn quiet_reporter(&self) -> Reporter<io::Stdout, io::Stderr> {
        Reporter::Quiet {
            notes: io::stderr(),
        }
    }

    /// Returns a progress bar where a person watches.
    pub fn bar(&self) -> Option<ProgressBar> {
        let is_wanted = !self.output.json && !self.output.quiet && io::stderr().is_terminal();
        is_wanted.then(|| ProgressBar::on_stderr(std::env::var_os("NO_COLOR").is_some()))
    }

    /// Prints what the command was asked for.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written; a reader that went away is no error.
    pub fn print_data(&self, data: &[u8]) -> Result<(), CommandError> {
        self.print_while_read(data).map(|_| ())
    }

    /// Prints like [`Ui::print_data`] and returns false when the reader went away.
    ///
    /// # Errors
    ///
    /// As [`Ui::print_data`].
    pub fn print_while_read(&self, data: &[u8]) -> Result<bool, CommandError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(data).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(CommandError::Output {
                what: "to standard output".to_owned(),
                source: error,
            }),
        }
    }

    /// Prints a line about a result; not with `--quiet`.
    ///
    /// # Errors
    ///
    /// As [`Ui::print_data`].
    pub fn print_line(&self, text: &str) -> Result<(), CommandError> {
        if self.output.quiet {
            return Ok(());
        }
        self.print_data(format!("{text}\n").as_bytes())
    }

    /// Tells a person what went wrong with one of several things, also with `--quiet`.
    pub fn complain(&self, text: &str) {
        to_stderr(&format!("{text}\n"));
    }

    /// Prints one object on a line of its own.
    ///
    /// # Errors
    ///
    /// As [`Ui::print_data`].
    pub fn print_json(&self, object: &impl Serialize) -> Result<(), CommandError> {
        self.print_data(json_line(object).as_bytes())
    }

    /// Tells a person what was done; not with `--quiet` or `--json`.
    pub fn note(&self, text: &str) {
        if !self.output.quiet && !self.output.json {
            to_stderr(&format!("{text}\n"));
        }
    }

    /// Shows why the command failed.
    pub fn show_error(&self, error: &CommandError) {
        let hint = error.hint();
        if self.output.json {
            let object = error::ErrorLine::new(error, error.code(), hint.as_deref());
            // Standard output may be what failed; the text below then still tells.
            drop(self.print_json(&object));
        }
        to_stderr(&error_text(error, error.code(), hint.as_deref()));
    }
}

/// Shows help, the version, or what is wrong with the arguments, and returns the exit status.
pub fn show_clap_message(message: &clap::Error) -> ExitStatus {
    // Nothing can be told when the terminal went away.
    drop(message.print());
    match message.exit_code() {
        0 => ExitStatus::Success,
        _ => ExitStatus::Usage,
    }
}

fn to_stderr(text: &str) {
    // Standard error is the last resort: there is nowhere to report its failure.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
