//! `crypt` and what is below it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `crypt`
#[derive(Debug, Args)]
pub struct CryptArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: CryptCommand,
}

/// The commands below `crypt`.
#[derive(Debug, Subcommand)]
pub enum CryptCommand {
    /// Make a protected copy of each file beside it, with .aspera-env behind its name
    Encrypt(EncryptArgs),
    /// Make a plain copy of each protected file beside it
    Decrypt(DecryptArgs),
    /// Show what can be known of protected files without a passphrase
    Inspect(InspectArgs),
    /// Check that protected files open and are whole, and write nothing
    Verify(VerifyArgs),
    /// Change the passphrase of protected files without touching their content
    Rekey(RekeyArgs),
}

/// `crypt encrypt`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli crypt encrypt report.pdf photos/
  pass show project | connect-cli crypt encrypt --passphrase-fd 0 dataset/
  connect-cli crypt encrypt --overwrite report.pdf

The files themselves stay. The passphrase is asked for twice, or taken from
ASPERA_SCP_FILEPASS. Without it nobody can open the copies: it is stored nowhere.
IBM's programs cannot open them.")]
pub struct EncryptArgs {
    /// Files, and directories with all that is in them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Replace protected copies that exist already
    #[arg(long)]
    pub overwrite: bool,
    /// Where the passphrase comes from.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// `crypt decrypt`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli crypt decrypt report.pdf.aspera-env
  connect-cli crypt decrypt ~/Downloads
  ASPERA_SCP_FILEPASS=... connect-cli crypt decrypt --json inbox/

When report.pdf exists, the copy is report(decrypted).pdf, and an older one of that
name is replaced. Files that the passphrase does not open are reported, and the
others are decrypted all the same. Those made by IBM's programs cannot be opened.")]
pub struct DecryptArgs {
    /// Protected files, and directories with those in them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to open them.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// `crypt inspect`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli crypt inspect report.pdf.aspera-env
  connect-cli crypt inspect --json inbox/ | jq .size")]
pub struct InspectArgs {
    /// Protected files, and directories with those in them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// `crypt verify`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli crypt verify archive/
  connect-cli crypt verify --passphrase-fd 3 backup.tar.aspera-env 3< passphrase.txt")]
pub struct VerifyArgs {
    /// Protected files, and directories with those in them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to open them.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// `crypt rekey`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli crypt rekey archive/
  connect-cli crypt rekey --passphrase-fd 3 --new-passphrase-fd 4 inbox/ 3< old 4< new

Copies made earlier still open with the old passphrase. To take access away, encrypt
the files again.")]
pub struct RekeyArgs {
    /// Protected files, and directories with those in them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// How to open them.
    #[command(flatten)]
    pub opening: OpeningArgs,
    /// Read the new passphrase from the next line of this open file descriptor
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    pub new_passphrase_fd: Option<i32>,
}

/// Where the passphrase comes from.
#[derive(Debug, Args)]
pub struct PassphraseArgs {
    /// Read the passphrase from the next line of this open file descriptor; 0 is standard input
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(0..))]
    pub passphrase_fd: Option<i32>,
}

/// How protected files are opened.
#[derive(Debug, Args)]
pub struct OpeningArgs {
    /// Where the passphrase comes from.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// Spend up to 1 GiB of memory, instead of 256 MiB, on a key when a file asks for it
    #[arg(long)]
    pub allow_costly_key: bool,
}
