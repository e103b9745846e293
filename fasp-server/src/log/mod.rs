//! The log: one line a fact, as `key=value` or JSON.
//!
//! Whatever a peer called itself or its files, a record stays one line of harmless characters: all text goes
//! through one escaping function on its way out. Secrets have no `Display`, so they cannot get here.

mod file;
mod format;
mod session;

use std::{io, sync::Arc};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    Layer as _, Registry,
    filter::{LevelFilter, filter_fn},
    fmt::MakeWriter,
    layer::SubscriberExt as _,
    reload,
};

pub use self::{
    file::{LOG_FILE_MAX, LOG_FILES_KEPT, LogFile},
    format::LINE_MAX,
    session::{SessionRecord, SessionStatus},
};
use crate::{Error, LogSettings, state::StateDir};

/// Whose records a client keeps: other libraries do not know what must not be written down.
const OUR_CRATES: [&str; 4] = ["connect_cli", "docroot", "fasp_", "transfer_spec"];

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

/// Changes what a server's log has while it is written. Clones change the same one.
#[derive(Debug, Clone)]
pub struct LogControl {
    level: reload::Handle<LevelFilter, Registry>,
    /// Where it is a file.
    file: Option<Arc<LogFile>>,
}

impl LogControl {
    /// Obeys these settings from now on.
    pub fn apply(&self, settings: LogSettings) {
        if let Some(file) = &self.file {
            file.apply(settings);
        }
        // It fails for a log that is gone, which nobody reads any more.
        self.level.reload(filter(settings)).ok();
    }
}

/// Logs to standard error for the rest of the process.
///
/// # Errors
///
/// [`Error::LogInstalled`] when the process has a log already.
pub fn install_on_stderr(format: LogFormat, settings: LogSettings) -> Result<LogControl, Error> {
    controlled(format, settings, io::stderr, None)
}

/// Logs to the state directory's file for the rest of the process.
///
/// # Errors
///
/// [`Error::LogInstalled`] when the process has a log already; as [`LogFile::open`].
pub fn install_in_file(
    format: LogFormat,
    state: Arc<StateDir>,
    settings: LogSettings,
) -> Result<LogControl, Error> {
    let file = Arc::new(LogFile::with_settings(state, settings)?);
    controlled(format, settings, Arc::clone(&file), Some(file))
}

fn controlled<W>(
    format: LogFormat,
    settings: LogSettings,
    writer: W,
    file: Option<Arc<LogFile>>,
) -> Result<LogControl, Error>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (level, handle) = reload::Layer::new(filter(settings));
    let layer = tracing_subscriber::fmt::layer()
        .event_format(format::LineFormat::new(format))
        .with_writer(writer);
    install(Registry::default().with(level).with(layer))?;
    Ok(LogControl {
        level: handle,
        file,
    })
}

fn filter(settings: LogSettings) -> LevelFilter {
    settings
        .level
        .map_or(LevelFilter::OFF, LevelFilter::from_level)
}

/// Logs to two files for the rest of the process: records of the target `target` to `one`, all others of ours to
/// `other`. A full disk loses records and disturbs nobody.
///
/// # Errors
///
/// [`Error::LogInstalled`] when the process has a log already.
pub fn install_in_two_files(
    format: LogFormat,
    level: Level,
    target: &'static str,
    one: LogFile,
    other: LogFile,
) -> Result<(), Error> {
    let files = TwoFiles { target, one, other };
    let layer = tracing_subscriber::fmt::layer()
        .event_format(format::LineFormat::new(format))
        .with_writer(files)
        .log_internal_errors(false)
        .with_filter(filter_fn(move |record| {
            let of = record.target();
            let is_ours = of == target || OUR_CRATES.iter().any(|name| of.starts_with(name));
            is_ours && *record.level() <= level
        }));
    install(Registry::default().with(layer))
}

/// Chooses the file by the target of a record.
#[derive(Debug)]
struct TwoFiles {
    target: &'static str,
    one: LogFile,
    other: LogFile,
}

impl<'a> MakeWriter<'a> for TwoFiles {
    type Writer = &'a LogFile;

    fn make_writer(&'a self) -> &'a LogFile {
        &self.other
    }

    fn make_writer_for(&'a self, record: &Metadata<'_>) -> &'a LogFile {
        if record.target() == self.target {
            &self.one
        } else {
            &self.other
        }
    }
}

fn install(subscriber: impl Subscriber + Send + Sync) -> Result<(), Error> {
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::LogInstalled)
}
