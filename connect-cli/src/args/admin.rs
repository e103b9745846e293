//! `server status`, `server sessions`, `server reload` and `server drain`: steering a server that runs.

use clap::{Args, Subcommand};
use fasp_core::{Rate, RatePolicy};

use super::{StateArgs, transfer::policy, value};

/// `server status`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli server status
  connect-cli server status --json | jq '.sessions[].user'")]
pub struct ServerStatusArgs {
    /// Where the server keeps its files.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `server reload` and `server drain`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli server reload
  connect-cli server drain --state /var/lib/connect-server")]
pub struct ServerWishArgs {
    /// Where the server keeps its files.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `server sessions`
#[derive(Debug, Args)]
pub struct SessionsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: SessionsCommand,
}

/// The commands below `server sessions`.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// End a session, and tell its client
    Stop(SessionStopArgs),
    /// Change the rates of a session while it runs
    Rate(SessionRateArgs),
}

/// `server sessions stop`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli server sessions stop 5f0c6a1be2d94e07")]
pub struct SessionStopArgs {
    /// The id of a session, or of a transfer, all of whose sessions end
    pub id: String,
    /// Where the server keeps its files.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `server sessions rate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli server sessions rate 5f0c6a1be2d94e07 --target-rate 50m
  connect-cli server sessions rate 5f0c6a1be2d94e07 --policy low

The client cannot go above that target rate again. Minimum rate and policy are the
sender's: from here they can be changed for downloads.")]
pub struct SessionRateArgs {
    /// The id of a session, or of a transfer
    pub id: String,
    /// What each session may reach at most from now on
    #[arg(short = 'l', long, value_name = "RATE", required_unless_present_any = ["min_rate", "policy"])]
    pub target_rate: Option<Rate>,
    /// What to keep even when the network is congested; downloads only
    #[arg(short = 'm', long, value_name = "RATE", value_parser = value::min_rate)]
    pub min_rate: Option<Rate>,
    /// How to share the link: fixed, high, fair or low; downloads only
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    pub policy: Option<RatePolicy>,
    /// Where the server keeps its files.
    #[command(flatten)]
    pub state: StateArgs,
}
