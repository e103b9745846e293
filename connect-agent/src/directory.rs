//! Directories of a user's own, for nobody else's eyes.

use std::io;
use std::path::Path;

use docroot::{Docroot, make_private_directory};

use crate::error::{Error, Result};

/// Opens a directory that this program keeps files in, and makes it if it is missing.
///
/// # Errors
/// [`Error::Directory`].
pub fn own_directory(path: &Path) -> Result<Docroot> {
    make_directory(path)?;
    Docroot::open(path).map_err(|source| Error::Directory {
        path: path.to_owned(),
        source,
    })
}

/// Makes a directory with those above it, with mode 0700, if it is missing.
pub(crate) fn make_directory(path: &Path) -> Result<()> {
    make_private_directory(path).map_err(|error| Error::Directory {
        path: path.to_owned(),
        source: match error.kind() {
            io::ErrorKind::PermissionDenied => docroot::Error::NoPermission(error),
            io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
                docroot::Error::NotADirectory
            }
            _ => docroot::Error::Write(error),
        },
    })
}
