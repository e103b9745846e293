//! The server's `aspera.conf`: found, read once, and read again when somebody asks for it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use aspera_conf::{
    Conf, Record,
    check::{Severity, check},
    effective::Trunk,
    resolve::{Origin, lookup},
    schema::Value,
    store,
};
use tracing::{info, warn};

use crate::{
    Error,
    log::{LOG_FILE_MAX, LOG_FILES_KEPT},
    operator_file,
};

/// Where a server's configuration may lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ConfSource {
    /// Nowhere: the server does what it does by itself.
    #[default]
    Nowhere,
    /// There; it must exist.
    File(PathBuf),
    /// In the first of these that exists; nowhere if none does.
    FirstOf(Vec<PathBuf>),
}

/// What the file says about the server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// The least important records that are written; `None` writes nothing.
    pub level: Option<tracing::Level>,
    /// The size at which files change, bytes.
    pub size_max: u64,
    /// How many older files are kept.
    pub kept: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: Some(tracing::Level::INFO),
            size_max: LOG_FILE_MAX,
            kept: LOG_FILES_KEPT,
        }
    }
}

impl ConfSource {
    /// Returns what the file says about the server's log: the profile of the node's `logging_class`, else the node itself.
    ///
    /// # Errors
    /// [`Error::Conf`] for a file that cannot be used.
    pub fn log_settings(&self) -> Result<LogSettings, Error> {
        let document = Document::read(self)?;
        Ok(log_settings(document.as_ref().map(|(_, conf)| conf)))
    }
}

fn log_settings(conf: Option<&Conf>) -> LogSettings {
    let usual = LogSettings::default();
    let Some(conf) = conf else { return usual };
    let said = |record: &Record, name: &str| {
        let setting = lookup(conf, record, name).ok()?;
        setting.value.filter(|_| setting.origin != Origin::BuiltIn)
    };
    let class = match said(&Record::Node, "logging_class") {
        Some(Value::Text(class)) if !class.is_empty() => Some(Record::Logging(class)),
        _ => None,
    };
    let value = |name: &str| {
        let profile = class.as_ref().and_then(|class| said(class, name));
        profile.or_else(|| said(&Record::Node, &format!("logging_{name}")))
    };
    LogSettings {
        level: match value("level") {
            Some(Value::Choice("disable")) => None,
            Some(Value::Choice("dbg1")) => Some(tracing::Level::DEBUG),
            Some(Value::Choice("dbg2")) => Some(tracing::Level::TRACE),
            _ => usual.level,
        },
        size_max: match value("log_size") {
            Some(Value::Unsigned(megabytes @ 1..)) => megabytes.saturating_mul(1 << 20),
            _ => usual.size_max,
        },
        kept: match value("log_count") {
            Some(Value::Unsigned(count)) => {
                u32::try_from(count).map_or(1000, |count| count.min(1000))
            }
            _ => usual.kept,
        },
    }
}

/// What is in force now. Sessions that run keep what they began with.
#[derive(Debug)]
pub(crate) struct Configuration {
    source: ConfSource,
    current: Mutex<Arc<Document>>,
}

/// A configuration that was read.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) path: Option<PathBuf>,
    pub(crate) conf: Option<Conf>,
    pub(crate) trunks: Vec<Trunk>,
}

impl Configuration {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`Error::Conf`] for a file that cannot be used: nothing runs with settings that were not read.
    pub(crate) fn load(source: ConfSource) -> Result<Self, Error> {
        let document = Document::load(&source)?;
        Ok(Self {
            source,
            current: Mutex::new(Arc::new(document)),
        })
    }

    /// Returns what is in force now.
    pub(crate) fn current(&self) -> Arc<Document> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again. On an error everything stays as it was.
    ///
    /// # Errors
    /// As [`Configuration::load`].
    pub(crate) fn reload(&self) -> Result<Arc<Document>, Error> {
        let document = Arc::new(Document::load(&self.source)?);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::clone(&document);
        Ok(document)
    }
}

impl Document {
    fn read(source: &ConfSource) -> Result<Option<(PathBuf, Conf)>, Error> {
        let read = match source {
            ConfSource::Nowhere => None,
            ConfSource::File(path) => Some((path.clone(), store::load(path)?)),
            ConfSource::FirstOf(paths) => first_of(paths)?,
        };
        if let Some((path, _)) = &read {
            // Whoever can write it would decide what every account may do.
            operator_file::require_unshared(path)?;
        }
        Ok(read)
    }

    fn load(source: &ConfSource) -> Result<Self, Error> {
        let Some((path, conf)) = Self::read(source)? else {
            return Ok(Self::default());
        };
        report(&path, &conf);
        Ok(Self {
            path: Some(path),
            trunks: Trunk::all(&conf),
            conf: Some(conf),
        })
    }

    /// Returns what it says about the server's log.
    pub(crate) fn log_settings(&self) -> LogSettings {
        log_settings(self.conf.as_ref())
    }

    /// Returns the virtual link of a number, if it is on.
    pub(crate) fn trunk(&self, id: u8) -> Option<&Trunk> {
        self.trunks
            .iter()
            .find(|trunk| trunk.id == id && trunk.is_on)
    }
}

fn first_of(paths: &[PathBuf]) -> Result<Option<(PathBuf, Conf)>, Error> {
    for path in paths {
        if let Some(conf) = store::load_if_there(path)? {
            return Ok(Some((path.clone(), conf)));
        }
    }
    Ok(None)
}

/// Logs what is wrong in the file: such values are passed over.
fn report(path: &Path, conf: &Conf) {
    let findings = check(conf);
    let mut errors = 0;
    for finding in findings.iter().filter(|f| f.severity() == Severity::Error) {
        errors += 1;
        warn!(
            line = finding.position.line,
            column = finding.position.column,
            rule = finding.rule.name(),
            "aspera.conf: {}",
            finding.message
        );
    }
    info!(file = %path.display(), errors, "configuration read");
}
