//! What happens to the content of files on their way: nothing, protected by a passphrase, or opened with one.

use std::{ffi::OsString, path::PathBuf};

use connect_agent::Settings;
use fasp_crypt::SUFFIX;
use transfer_spec::Host;

use super::{
    ListFile,
    crypt::{self, Opening, PassphraseSource},
    log::state_home,
    transfer::{LocalSource, config_directory},
};
use crate::{
    args::{DecryptionArgs, ProtectionArgs},
    error::CommandError,
};

/// What uploads are protected with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealing {
    /// Where the passphrase comes from.
    pub passphrase: PassphraseSource,
    /// Where is kept what another command needs to go on; `None` where this account has no home.
    pub records: Option<PathBuf>,
}

/// What happens to the content of files on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protection {
    /// They travel and arrive as they are.
    Off,
    /// Files leave as envelopes.
    Protect(Sealing),
    /// As they are, unless the server takes protected files only.
    ProtectIfDemanded(Sealing),
    /// Envelopes are opened as they arrive.
    Decrypt(Opening),
    /// The same if the person has the passphrase: an envelope was asked for by its name.
    DecryptIfPossible(Opening),
    /// Envelopes stay what they are, and the person hears of that.
    Mention,
}

/// Decides about an upload: protected on request, or because the server is on the user's list.
pub(super) fn upload(
    args: &ProtectionArgs,
    sources: &[LocalSource],
    host: &Host,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Protection, CommandError> {
    if args.keep_unencrypted {
        return Ok(Protection::Off);
    }
    let is_made_up = sources.iter().any(|s| matches!(s, LocalSource::Faux(_)));
    if is_made_up && args.protect {
        return Err(CommandError::arguments(
            "synthetic files are not protected",
            "leave --protect out, or name files",
        ));
    }
    let is_read = |s: &LocalSource| matches!(s, LocalSource::StandardInput(_));
    if args.passphrase_fd == Some(0) && sources.iter().any(is_read) {
        return Err(CommandError::arguments(
            "standard input cannot have both the file and the passphrase",
            "use another descriptor, or ASPERA_SCP_FILEPASS",
        ));
    }
    let sealing = Sealing {
        passphrase: crypt::passphrase(args.passphrase_fd, &variable),
        records: state_home(&variable).map(|base| base.join("connect/protected")),
    };
    Ok(match is_made_up {
        // There is nothing in them to protect.
        true => Protection::Off,
        false if args.protect || is_listed(host, variable)? => Protection::Protect(sealing),
        false => Protection::ProtectIfDemanded(sealing),
    })
}

/// Whether the server is on the user's list.
fn is_listed(
    host: &Host,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<bool, CommandError> {
    // Without a home there is no list.
    let Some(path) = settings_file(variable) else {
        return Ok(false);
    };
    Ok(Settings::load(&path)?.content_protection.covers(host))
}

/// Returns the user's settings file: beside the keys of known servers.
fn settings_file(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    Some(config_directory(variable)?.join("settings.toml"))
}

/// The same, for commands that are about it.
///
/// # Errors
///
/// When the environment has no home directory.
pub fn settings_path(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, CommandError> {
    settings_file(variable).ok_or_else(|| {
        CommandError::arguments(
            "there is no home directory for the settings",
            "set HOME or XDG_CONFIG_HOME",
        )
    })
}

/// Decides about a download: opened on request, or when an envelope was named.
pub(super) fn download(
    args: DecryptionArgs,
    sources: &[Vec<u8>],
    list: Option<&ListFile>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Protection {
    if args.keep_encrypted {
        return Protection::Off;
    }
    let is_wanted = args.decrypt || args.opening.passphrase.passphrase_fd.is_some();
    let opening = crypt::opening(args.opening, variable);
    let is_named = |source: &Vec<u8>| source.ends_with(SUFFIX.as_bytes());
    match is_wanted {
        true => Protection::Decrypt(opening),
        false if list.is_none() && sources.iter().any(is_named) => {
            Protection::DecryptIfPossible(opening)
        }
        false => Protection::Mention,
    }
}
