//! What `crypt` needs: which files, and where the passphrases come from.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::PathBuf};

use fasp_crypt::MemoryCeiling;
use zeroize::Zeroizing;

use crate::args::{CryptArgs, CryptCommand, OpeningArgs, PassphraseArgs};

/// The environment variable with the passphrase.
const VARIABLE: &str = "ASPERA_SCP_FILEPASS";
/// Where systemd shows a service the secrets that its unit names with `LoadCredential` or `LoadCredentialEncrypted`.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// What the passphrase is called there.
const CREDENTIAL: &str = "file-passphrase";

/// One call of `crypt`.
#[derive(Debug)]
pub struct CryptRequest {
    /// As the user named them.
    pub paths: Vec<PathBuf>,
    /// What happens to the files.
    pub work: CryptWork,
}

/// What happens to the files.
#[derive(Debug)]
pub enum CryptWork {
    /// A protected copy is made.
    Encrypt {
        /// Where the passphrase comes from.
        passphrase: PassphraseSource,
        /// Whether copies that exist are replaced.
        overwrite: bool,
    },
    /// A plain copy is made.
    Decrypt(Opening),
    /// Headers are shown.
    Inspect,
    /// Files are opened, and nothing is written.
    Verify(Opening),
    /// The passphrase is changed.
    Rekey {
        /// How the files are opened.
        opening: Opening,
        /// Where the new passphrase comes from.
        new: PassphraseSource,
    },
}

/// How protected files are opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Where the passphrase comes from.
    pub passphrase: PassphraseSource,
    /// What a key may cost.
    pub ceiling: MemoryCeiling,
}

/// Where a passphrase comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum PassphraseSource {
    /// The next line of an open descriptor.
    Descriptor(i32),
    /// The environment, already read.
    Environment(Zeroizing<Vec<u8>>),
    /// A file in the credential store of the service manager; a person where it is not there.
    Credential(PathBuf),
    /// A person.
    Ask,
}

impl std::fmt::Debug for PassphraseSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Descriptor(_) => "Descriptor",
            Self::Environment(_) => "Environment(***)",
            Self::Credential(_) => "Credential",
            Self::Ask => "Ask",
        })
    }
}

/// Where a passphrase comes from: a descriptor wins over the environment, that over the credential store, and that over a
/// question.
pub(super) fn passphrase(
    descriptor: Option<i32>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> PassphraseSource {
    if let Some(number) = descriptor {
        return PassphraseSource::Descriptor(number);
    }
    if let Some(text) = variable(VARIABLE) {
        return PassphraseSource::Environment(Zeroizing::new(text.into_vec()));
    }
    let store = variable(CREDENTIALS).map(PathBuf::from);
    match store.filter(|directory| directory.is_absolute()) {
        Some(directory) => PassphraseSource::Credential(directory.join(CREDENTIAL)),
        None => PassphraseSource::Ask,
    }
}

/// How protected files are opened.
pub(super) fn opening(args: OpeningArgs, variable: impl Fn(&str) -> Option<OsString>) -> Opening {
    Opening {
        passphrase: passphrase(args.passphrase.passphrase_fd, variable),
        ceiling: match args.allow_costly_key {
            true => MemoryCeiling::RAISED,
            false => MemoryCeiling::DEFAULT,
        },
    }
}

/// Resolves `crypt`.
pub fn crypt(args: CryptArgs, variable: impl Fn(&str) -> Option<OsString>) -> CryptRequest {
    let source = |args: PassphraseArgs| passphrase(args.passphrase_fd, &variable);
    let opening = |args| opening(args, &variable);
    let (paths, work) = match args.command {
        CryptCommand::Encrypt(args) => {
            let work = CryptWork::Encrypt {
                passphrase: source(args.passphrase),
                overwrite: args.overwrite,
            };
            (args.paths, work)
        }
        CryptCommand::Decrypt(args) => (args.paths, CryptWork::Decrypt(opening(args.opening))),
        CryptCommand::Inspect(args) => (args.paths, CryptWork::Inspect),
        CryptCommand::Verify(args) => (args.paths, CryptWork::Verify(opening(args.opening))),
        CryptCommand::Rekey(args) => {
            let new = args
                .new_passphrase_fd
                .map_or(PassphraseSource::Ask, PassphraseSource::Descriptor);
            let work = CryptWork::Rekey {
                opening: opening(args.opening),
                new,
            };
            (args.paths, work)
        }
    };
    CryptRequest { paths, work }
}
