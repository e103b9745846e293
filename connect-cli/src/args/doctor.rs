//! `doctor`

use std::ffi::OsString;

use clap::Args;

use super::ConnectionArgs;

/// Find out what is in the way between here and a server
///
/// Looks at the name, TCP, SSH, the server's key, the login, UDP in both directions, the size of datagrams, clocks and disks, in this
/// order, and says for each what to do about it. No file is made, read or changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli doctor files.example.org
  connect-cli doctor lea@files.example.org:33001 --json
  connect-cli doctor --ssh cluster:/scratch/lea

FASP codes in log files say the same: 12, 13, 16, 40 TCP is in the way;
14, 15, 18 UDP is; 19 the login, 51 the host key.")]
pub struct DoctorArgs {
    /// `[USER@]HOST[:PORT][:PATH]`
    #[arg(
        help = "[USER@]HOST[:PORT][:PATH]; the path is where space is looked for",
        value_name = "HOST"
    )]
    pub host: OsString,
    /// How to reach the server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
