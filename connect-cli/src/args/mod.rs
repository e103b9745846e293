//! What people type. Parsing touches nothing: no file, no environment but `NO_COLOR` and the like, no network.

mod admin;
mod bench;
mod conf;
mod crypt;
mod demo;
mod doctor;
mod hosts;
mod logs;
mod preserve;
mod rules;
mod server;
mod transfer;
mod value;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub use self::{
    admin::{
        ServerStatusArgs, ServerWishArgs, SessionRateArgs, SessionStopArgs, SessionsArgs,
        SessionsCommand,
    },
    bench::BenchArgs,
    conf::{
        AsconfiguratorArgs, ConfArgs, ConfCheckArgs, ConfCommand, ConfExecArgs, ConfExplainArgs,
        ConfGetArgs, ConfSetArgs, ConfShowArgs, RecordArgs,
    },
    crypt::{
        CryptArgs, CryptCommand, DecryptArgs, EncryptArgs, InspectArgs, OpeningArgs,
        PassphraseArgs, RekeyArgs, VerifyArgs,
    },
    demo::DemoArgs,
    doctor::DoctorArgs,
    hosts::{HostArgs, HostsArgs, HostsCommand},
    logs::{LogArgs, LogLevel, LogsArgs, Severity, Since},
    preserve::{KeepXattrs, PreserveArgs},
    rules::{FilterArgs, RuleArgs},
    server::{
        ServerArgs, ServerCommand, ServerSessionArgs, ServerStartArgs, StateArgs, UserAddArgs,
        UserArgs, UserCommand, UserListArgs, UserRemoveArgs,
    },
    transfer::{
        ConnectionArgs, DecryptionArgs, DownloadArgs, ListArgs, ProtectionArgs, TransferArgs,
        UploadArgs,
    },
    value::Moment,
};

/// Move files fast over long and lossy networks.
#[derive(Debug, Parser)]
#[command(
    name = "connect-cli",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong command line, 3 some files failed, 4 refused, \
                  5 network (try again), 130 cancelled"
)]
pub struct Cli {
    /// How results are shown.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How results are shown.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputArgs {
    /// Print one JSON object per line on standard output
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
    /// Print nothing but errors
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send files and directories to a server
    Upload(UploadArgs),
    /// Fetch files and directories from a server
    Download(DownloadArgs),
    /// List a directory on a server
    Ls(ListArgs),
    /// Protect files with a passphrase, and open protected ones
    Crypt(CryptArgs),
    /// Choose the servers whose uploads are protected
    Hosts(HostsArgs),
    /// Find out what is in the way between here and a server
    Doctor(DoctorArgs),
    /// Measure the way to a server: round trip, loss, rate each way, and what limits it
    Bench(BenchArgs),
    /// Show what transfers of this account have logged
    Logs(LogsArgs),
    /// Show a whole transfer on this machine, through a server that runs only for it
    Demo(DemoArgs),
    /// Run a transfer server and manage who may use it
    Server(ServerArgs),
    /// Read, check, explain and edit aspera.conf
    Conf(ConfArgs),
    /// Print the completion script for a shell
    Completions(CompletionsArgs),
    /// Write a manual page for each command into a directory
    Man(ManArgs),
}

/// `completions`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli completions bash > /etc/bash_completion.d/connect-cli
  connect-cli completions fish > ~/.config/fish/completions/connect-cli.fish")]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// `man`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli man ~/.local/share/man/man1 && man connect-cli")]
pub struct ManArgs {
    /// An existing directory
    pub directory: PathBuf,
}
