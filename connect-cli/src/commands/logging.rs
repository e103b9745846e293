//! The logs that commands write, beside what they show.
//!
//! `aspera-connect.log` has what commands were asked for and how they ended, `aspera-scp-transfer.log` has the sessions. A log that
//! cannot be written stops nothing.

use std::{env, sync::Arc};

use fasp_server::{
    log::{self, LOG_FILE_MAX, LogFile, LogFormat},
    state::StateDir,
};
use tracing::Level;

use crate::{
    args::{LogArgs, LogLevel},
    error::CommandError,
    resolve,
    ui::{self, Ui},
};

/// The log of the program.
pub(super) const CONNECT_LOG: &str = "aspera-connect.log";
/// The log of its transfers.
pub(super) const TRANSFER_LOG: &str = "aspera-scp-transfer.log";
/// Records of this target go to the log of transfers.
pub(super) const TRANSFER: &str = "transfer";

/// Runs a command and logs what it is and how it ended.
pub(super) fn logged(
    ui: &Ui,
    name: &'static str,
    args: LogArgs,
    command: impl FnOnce() -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    match start(&args) {
        // Somebody asked for this directory.
        Err(error) if args.log_dir.is_some() => return Err(error),
        Err(error) => ui.note(&format!(
            "note: nothing is logged: {}",
            ui::error_sentence(&error)
        )),
        Ok(()) => {}
    }
    tracing::info!(
        command = name,
        ver = env!("CARGO_PKG_VERSION"),
        "command started"
    );
    let result = command();
    match &result {
        Ok(()) => tracing::info!(command = name, status = "success", "command ended"),
        Err(error) => tracing::error!(
            command = name,
            status = "failed",
            errcode = error.code().number(),
            errstr = ui::error_sentence(error),
            "command ended"
        ),
    }
    result
}

fn start(args: &LogArgs) -> Result<(), CommandError> {
    let level = match args.log_level {
        LogLevel::Off => return Ok(()),
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    let format = if args.log_json {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    let directory = resolve::log_directory(args, |name| env::var_os(name))?;
    let directory = Arc::new(StateDir::open(&directory)?);
    let file = |name| LogFile::named(Arc::clone(&directory), name, LOG_FILE_MAX);
    let (transfers, connect) = (file(TRANSFER_LOG)?, file(CONNECT_LOG)?);
    log::install_in_two_files(format, level, TRANSFER, transfers, connect)?;
    Ok(())
}
