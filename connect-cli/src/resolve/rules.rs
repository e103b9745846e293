//! From options about files to the rules of a transfer.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use transfer_spec::{AfterTransfer, EmptyDirectories, FileRules, Filter, SourceFate};

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

/// Whether a location is standard input or output: `-`, or `stdio://` as `ascp` names them.
pub(super) fn is_standard(location: &OsStr) -> bool {
    location == "-" || location == "stdio://"
}

/// The size of standard input as a source, if it is one and its size is named: `stdio:///?SIZE`.
pub(super) fn standard_input(source: &OsStr) -> Result<Option<Option<u64>>, CommandError> {
    if is_standard(source) {
        return Ok(Some(None));
    }
    let Some(size) = source.to_str().and_then(|s| s.strip_prefix("stdio:///?")) else {
        return Ok(None);
    };
    let size = size.parse().map_err(|_| {
        CommandError::arguments(
            format!("'{size}' is no number of bytes"),
            "write stdio:///?SIZE, or - to send all there is",
        )
    })?;
    Ok(Some(Some(size)))
}

/// Standard input is one file or one list.
pub(super) fn one_reader(
    list: Option<&ListFile>,
    sources: &[OsString],
) -> Result<(), CommandError> {
    let is_read = |s: &&OsString| is_standard(s) || s.as_bytes().starts_with(b"stdio:///?");
    let mut readers = sources.iter().filter(is_read).count();
    readers += usize::from(list.is_some_and(|list| is_standard(list.path.as_os_str())));
    if readers < 2 && (readers == 0 || sources.len() < 2) {
        return Ok(());
    }
    Err(CommandError::arguments(
        "standard input is one file, and the only source",
        "send it in a transfer of its own",
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
        names: Vec::new(),
        skip_special: args.skip_special_files,
        after: after(args)?,
        save_existing: args.save_before_overwrite,
        delete_absent: args.delete_before_transfer,
        dry_run: args.dry_run,
        precalculate: args.precalculate,
        checksum: args.checksum,
    })
}

fn after(args: &RuleArgs) -> Result<AfterTransfer, CommandError> {
    let fate = match &args.move_after_transfer {
        Some(path) => SourceFate::Move(path.as_bytes().to_vec()),
        None if args.remove_after_transfer => SourceFate::Remove,
        None => SourceFate::Stay,
    };
    let directories = match (
        args.remove_empty_source_directory,
        args.remove_empty_directories,
    ) {
        (true, _) => EmptyDirectories::RemoveAll,
        (false, true) => EmptyDirectories::RemoveBelow,
        (false, false) => EmptyDirectories::Stay,
    };
    let after = AfterTransfer {
        skipped_too: args.remove_skipped,
        fate,
        directories,
    };
    if after.fate == SourceFate::Stay && after != AfterTransfer::default() {
        return Err(CommandError::arguments(
            "directories and skipped files go only where files go",
            "add --remove-after-transfer or --move-after-transfer DIR",
        ));
    }
    Ok(after)
}
