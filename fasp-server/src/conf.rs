//! The server's `aspera.conf`: found, read once, and read again when somebody asks for it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use aspera_conf::{
    Conf,
    check::{Severity, check},
    effective::Trunk,
    store,
};
use tracing::{info, warn};

use crate::Error;

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
    fn load(source: &ConfSource) -> Result<Self, Error> {
        let found = match source {
            ConfSource::Nowhere => None,
            ConfSource::File(path) => Some((path.clone(), store::load(path)?)),
            ConfSource::FirstOf(paths) => first_of(paths)?,
        };
        let Some((path, conf)) = found else {
            return Ok(Self::default());
        };
        report(&path, &conf);
        Ok(Self {
            path: Some(path),
            trunks: Trunk::all(&conf),
            conf: Some(conf),
        })
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
