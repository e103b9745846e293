//! `demo`

use clap::Args;

use super::value;

/// Show a whole transfer on this machine, through a server that runs only for it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli demo
  connect-cli demo --size 4G")]
pub struct DemoArgs {
    /// How much to transfer, with K, M or G
    #[arg(long, value_name = "BYTES", default_value = "256M", value_parser = value::bytes)]
    pub size: u64,
}
