//! Configurations in files: found, read, and changed in one step.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::conf::Conf;
use crate::error::{Error, Result};
use crate::xml::MAX_BYTES;

/// Where servers keep their file.
pub const SERVER_FILE: &str = "/opt/aspera/etc/aspera.conf";

/// Permission bits of a file that is created: it may come to hold secrets.
const NEW_MODE: u32 = 0o600;

/// Reads the configuration in a file.
///
/// # Errors
/// [`Error::File`], also when another account could have put the file there; [`Error::Document`].
pub fn load(path: &Path) -> Result<Conf> {
    let bytes = docroot::read_operator_file(path, MAX_BYTES as u64).map_err(at(path))?;
    Conf::parse(&bytes)
}

/// Reads the configuration in a file; nothing if there is no such file.
///
/// # Errors
/// As [`load`].
pub fn load_if_there(path: &Path) -> Result<Option<Conf>> {
    match load(path) {
        Ok(conf) => Ok(Some(conf)),
        Err(Error::File {
            source: docroot::Error::NotFound,
            ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Changes the configuration in a file, and returns what `change` returns.
///
/// One process at a time does so. The file is replaced in one step with its owner and mode, or, when the text stays the
/// same, not at all; a missing file is created for this account only, in a directory that exists.
///
/// # Errors
/// [`Error::File`], [`Error::Document`], and what `change` returns; the file is then as it was.
pub fn edit<T>(path: &Path, change: impl FnOnce(&mut Conf) -> Result<T>) -> Result<T> {
    let mut outcome = None;
    let edited = docroot::edit_operator_file(path, MAX_BYTES as u64, NEW_MODE, |old| {
        let mut conf = match old {
            Some(bytes) => Conf::parse(bytes).map_err(Failed::Conf)?,
            None => Conf::new(),
        };
        let before = old.is_some().then(|| conf.text().to_owned());
        outcome = Some(change(&mut conf).map_err(Failed::Conf)?);
        let is_same = before.as_deref() == Some(conf.text());
        Ok((!is_same).then(|| conf.text().as_bytes().to_vec()))
    });
    match (edited, outcome) {
        (Ok(_), Some(outcome)) => Ok(outcome),
        (Err(Failed::Conf(error)), _) => Err(error),
        (Err(Failed::File(source)), _) => Err(at(path)(source)),
        (Ok(_), None) => Err(at(path)(docroot::Error::NotFound)),
    }
}

enum Failed {
    File(docroot::Error),
    Conf(Error),
}

impl From<docroot::Error> for Failed {
    fn from(error: docroot::Error) -> Self {
        Self::File(error)
    }
}

fn at(path: &Path) -> impl Fn(docroot::Error) -> Error {
    move |source| Error::File {
        path: path.display().to_string(),
        source,
    }
}

/// Returns where a client's file may lie, the first choice first: `~/.aspera/connect/etc/aspera.conf`, where Connect has
/// it, and `connect/aspera.conf` in the XDG directory for configuration.
///
/// `variable` looks up `HOME` and `XDG_CONFIG_HOME`; what is no absolute path there is passed over.
pub fn client_files(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let absolute = |name: &str| {
        let path = variable(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let home = absolute("HOME");
    let connect = home.as_ref().map(|home| home.join(".aspera/connect/etc"));
    let xdg = absolute("XDG_CONFIG_HOME").or_else(|| home.map(|home| home.join(".config")));
    let xdg = xdg.map(|base| base.join("connect"));
    let directories = connect.into_iter().chain(xdg);
    directories
        .map(|directory| directory.join("aspera.conf"))
        .collect()
}

/// Returns the client's configuration and where it lies; nothing if there is none.
///
/// # Errors
/// As [`load`], for a file that is there and cannot be used: others are not tried then.
pub fn find_client_file(
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<(PathBuf, Conf)>> {
    for path in client_files(variable) {
        if let Some(conf) = load_if_there(&path)? {
            return Ok(Some((path, conf)));
        }
    }
    Ok(None)
}
