//! Which file and which record the commands below `conf` are about.

use std::{ffi::OsString, path::PathBuf};

use aspera_conf::{Conf, Record, schema::Section, store};

use crate::{args::RecordArgs, error::CommandError};

/// A configuration file, and how it came to be that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfFile {
    /// The file.
    pub path: PathBuf,
    /// Nobody named it, so its directory may have to be made before it is written.
    pub is_default: bool,
}

/// Returns the file that is named, else the first of a client's places that has one, else the last of them.
///
/// # Errors
///
/// When the environment has no home directory, or a file that is there cannot be used.
pub fn conf_file(
    named: Option<PathBuf>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<ConfFile, CommandError> {
    if let Some(path) = named {
        return Ok(ConfFile {
            path,
            is_default: false,
        });
    }
    let found = store::find_client_file(&variable)?.map(|(path, _)| path);
    let path = found.or_else(|| store::client_files(&variable).pop());
    let path = path.ok_or_else(|| {
        CommandError::arguments(
            "there is no home directory for aspera.conf",
            "name the file with --file FILE",
        )
    })?;
    Ok(ConfFile {
        path,
        is_default: true,
    })
}

/// Reads a file; a default file that is not there is as good as an empty one.
///
/// # Errors
///
/// When it cannot be read.
pub fn read_conf(file: &ConfFile) -> Result<Conf, CommandError> {
    if file.is_default {
        return Ok(store::load_if_there(&file.path)?.unwrap_or_default());
    }
    Ok(store::load(&file.path)?)
}

/// Returns the record that is meant; without any, the node's own.
///
/// # Errors
///
/// For a section that does not exist.
pub fn conf_record(args: &RecordArgs) -> Result<Record, CommandError> {
    if let Some(name) = &args.user {
        return Ok(Record::User(name.clone()));
    }
    if let Some(name) = &args.group {
        return Ok(Record::Group(name.clone()));
    }
    if let Some(id) = args.trunk {
        return Ok(Record::Trunk(id));
    }
    if let Some(classes) = &args.logging {
        return Ok(Record::Logging(classes.clone()));
    }
    match &args.section {
        None => Ok(Record::Node),
        Some(name) => match Section::from_name(name) {
            Some(Section::Default) => Ok(Record::Node),
            Some(section) if !matches!(section, Section::Trunks | Section::Logging) => {
                Ok(Record::Section(section))
            }
            _ => Err(CommandError::arguments(
                format!("'{name}' is no section of aspera.conf"),
                "use central_server, http_server, database, server or client; or --trunk, --logging",
            )),
        },
    }
}

/// Makes the directory of a default file, for this account only.
///
/// # Errors
///
/// The operating system's reason.
pub fn make_conf_directory(file: &ConfFile) -> Result<(), CommandError> {
    let Some(directory) = file.path.parent().filter(|_| file.is_default) else {
        return Ok(());
    };
    docroot::make_private_directory(directory).map_err(|source| CommandError::Output {
        what: format!("the directory '{}'", directory.display()),
        source,
    })
}
