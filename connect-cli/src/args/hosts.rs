//! `hosts` and what is below it.

use clap::{Args, Subcommand};

/// `hosts`
#[derive(Debug, Args)]
pub struct HostsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: HostsCommand,
}

/// The commands below `hosts`.
#[derive(Debug, Subcommand)]
pub enum HostsCommand {
    /// Show the servers whose uploads are protected
    #[command(after_help = "\
Examples:
  connect-cli hosts list
  connect-cli hosts list --json | jq -r .host")]
    List,
    /// Protect uploads to a server with a passphrase from now on
    #[command(after_help = "\
Examples:
  connect-cli hosts protect files.example.org
  connect-cli upload report.pdf lea@files.example.org:in    (asks for a passphrase now)
  connect-cli upload --keep-unencrypted report.pdf lea@files.example.org:in")]
    Protect(HostArgs),
    /// Do not protect uploads to a server any more
    #[command(after_help = "\
Examples:
  connect-cli hosts unprotect files.example.org")]
    Unprotect(HostArgs),
}

/// One server.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// Name or address of the server, without an account and a port
    #[arg(value_name = "HOST")]
    pub host: String,
}
