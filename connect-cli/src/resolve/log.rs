//! Where the logs of this account are.

use std::{ffi::OsString, path::PathBuf};

use crate::{args::LogArgs, error::CommandError};

/// Returns the directory of the logs: the one named, or the place where such files usually are.
///
/// # Errors
///
/// When the environment has no home directory.
pub fn log_directory(
    args: &LogArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, CommandError> {
    if let Some(directory) = &args.log_dir {
        return Ok(directory.clone());
    }
    state_home(variable)
        .map(|base| base.join("connect/log"))
        .ok_or_else(|| {
            CommandError::arguments(
                "there is no home directory for logs",
                "name a directory with --log-dir DIR",
            )
        })
}

/// Returns where this account's programs keep what they write by themselves (XDG base directory specification).
pub(super) fn state_home(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
}
