//! `bench`

use std::ffi::OsString;

use clap::Args;
use fasp_core::Rate;

use super::ConnectionArgs;

/// Measure the way to a server: round trip, loss, rate each way, and what limits it
///
/// Sends made-up data up and fetches made-up data down, in sessions as transfers use them, and throws away what arrives. No file is
/// made, read or changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli bench files.example.org
  connect-cli bench --down --seconds 15 lea@files.example.org:33001
  connect-cli bench --json -l 500m lea@files.example.org | jq .up.rate_kbps")]
pub struct BenchArgs {
    /// `[USER@]HOST[:PORT]`
    #[arg(help = "[USER@]HOST[:PORT]", value_name = "HOST")]
    pub host: OsString,
    /// Measure the way to the server only
    #[arg(long, conflicts_with = "down")]
    pub up: bool,
    /// Measure the way from the server only
    #[arg(long)]
    pub down: bool,
    /// How long data moves in each direction
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=300))]
    pub seconds: u16,
    /// What to reach at most, with K, M or G bits per second; a bare number is kbit/s
    #[arg(
        help = "What to reach at most, with K, M or G bits per second; a bare number is kbit/s [default: measured]",
        short = 'l',
        long,
        value_name = "RATE"
    )]
    pub target_rate: Option<Rate>,
    /// How to reach the server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
