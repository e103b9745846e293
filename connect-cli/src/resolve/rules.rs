//! From options about files to the rules of a transfer.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use transfer_spec::{FileRules, Filter};

use crate::{
    args::{Moment, RuleArgs},
    error::CommandError,
};

/// A file with the sources of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFile {
    /// Where it is; `-` is standard input.
    pub path: PathBuf,
    /// Its lines are pairs of a source and its name at the destination.
    pub has_pairs: bool,
}

pub(super) fn list_file(args: &RuleArgs) -> Option<ListFile> {
    let (path, has_pairs) = match (&args.file_list, &args.file_pair_list) {
        (Some(path), _) => (path, false),
        (None, Some(path)) => (path, true),
        (None, None) => return None,
    };
    let path = path.clone();
    Some(ListFile { path, has_pairs })
}

/// For an upload, a list stands instead of sources.
pub(super) fn no_sources_beside(
    list: Option<&ListFile>,
    sources: &[OsString],
) -> Result<(), CommandError> {
    if list.is_none() || sources.is_empty() {
        return Ok(());
    }
    Err(CommandError::arguments(
        "sources are named on the command line and in a list",
        "name only the destination: connect-cli upload --file-list FILE USER@HOST:PATH",
    ))
}

/// For a download, the one source says on which server, and below which directory, the listed ones are.
pub(super) fn one_source_above(
    list: Option<&ListFile>,
    sources: &[OsString],
) -> Result<(), CommandError> {
    if list.is_none() || sources.len() == 1 {
        return Ok(());
    }
    Err(CommandError::arguments(
        "sources are named on the command line and in a list",
        "name where the listed ones are: connect-cli download --file-list FILE USER@HOST:DIR DESTINATION",
    ))
}

pub(super) fn file_rules(args: &RuleArgs) -> Result<FileRules, CommandError> {
    let filter = Filter::new(args.filter.rules.clone()).map_err(|error| {
        CommandError::arguments(
            error.to_string(),
            "use patterns that match more, such as '*.tmp'",
        )
    })?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() as i64);
    let time = |moment: Option<Moment>| {
        moment.map(|moment| match moment {
            Moment::At(seconds) => seconds,
            Moment::Ago(seconds) => now.saturating_sub(seconds),
        })
    };
    let base = args.source_base.as_ref().map(|b| b.as_bytes().to_vec());
    Ok(FileRules {
        filter: filter.with_ages(time(args.exclude_newer_than), time(args.exclude_older_than)),
        source_base: base,
        is_list: args.file_list.is_some() || args.file_pair_list.is_some(),
        ..FileRules::default()
    })
}
