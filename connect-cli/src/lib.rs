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

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::ExitCode,
};

use clap::Parser as _;

use crate::{args::Cli, exit::ExitStatus, ui::Ui};

/// Runs the command in `args`, whose first item is the program's name.
///
/// Called as `asconfigurator` it behaves like that program.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let called = args.first().and_then(|name| Path::new(name).file_stem());
    if called == Some(OsStr::new("asconfigurator")) {
        return commands::asconfigurator(args).into();
    }
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
