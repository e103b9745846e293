//! The command line: arguments in, libraries called, results shown.
//!
//! 1. [`args`] mirrors what people type and touches nothing.
//! 2. [`resolve`] turns that into what a command needs, with the environment and the rules between options applied.
//! 3. `commands` calls the libraries.
//! 4. [`ui`] is the only place that prints; [`exit`] decides the exit status.

pub mod args;
mod commands;
pub mod error;
pub mod exit;
pub mod resolve;
pub mod ui;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;

use crate::{args::Cli, exit::ExitStatus, ui::Ui};

/// Runs the command in `args`, whose first item is the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return ui::show_clap_message(&error).into(),
    };
    let ui = Ui::new(cli.output);
    match commands::run(&ui, cli.command) {
        Ok(()) => ExitStatus::Success.into(),
        Err(error) => {
            ui.show_error(&error);
            error.exit_status().into()
        }
    }
}
