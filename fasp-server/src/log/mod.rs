//! The log: one line a fact, as `key=value` or JSON.
//!
//! Whatever a peer called itself or its files, a record stays one line of harmless characters: all text goes
//! through one escaping function on its way out. Secrets have no `Display`, so they cannot get here.

mod file;
mod format;
mod session;

use std::{io, sync::Arc};

use tracing::{Level, Subscriber};
use tracing_subscriber::{
    Registry, filter::LevelFilter, fmt::MakeWriter, layer::SubscriberExt as _,
};

pub use self::{
    file::{LOG_FILE_MAX, LOG_FILES_KEPT, LogFile},
    format::LINE_MAX,
    session::{SessionRecord, SessionStatus},
};
use crate::Error;

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Time, severity, message, `key=value` pairs.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Makes a log that writes records of `level` and above to `writer`.
pub fn subscriber<W>(format: LogFormat, level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .event_format(format::LineFormat::new(format))
        .with_writer(writer);
    Registry::default()
        .with(layer)
        .with(LevelFilter::from_level(level))
}

/// Logs to standard error for the rest of the process.
///
/// # Errors
///
/// [`Error::LogInstalled`] when the process has a log already.
pub fn install_on_stderr(format: LogFormat, level: Level) -> Result<(), Error> {
    install(subscriber(format, level, io::stderr))
}

/// Logs to the state directory's file for the rest of the process.
///
/// # Errors
///
/// [`Error::LogInstalled`] when the process has a log already.
pub fn install_in_file(format: LogFormat, level: Level, file: LogFile) -> Result<(), Error> {
    install(subscriber(format, level, Arc::new(file)))
}

fn install(subscriber: impl Subscriber + Send + Sync) -> Result<(), Error> {
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::LogInstalled)
}
