//! `server` and what is below it.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};
use fasp_core::Rate;

use super::{ServerStatusArgs, ServerWishArgs, SessionsArgs, value};

/// `server`
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ServerCommand,
}

/// The commands below `server`.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// Run a transfer server until it is stopped
    Start(ServerStartArgs),
    /// Serve one client over standard input and output: what a client with --ssh starts on the far side
    #[command(hide = true)]
    Session(ServerSessionArgs),
    /// Manage who may log in
    User(UserArgs),
    /// Show a running server: its sessions, users, rates and virtual links
    Status(ServerStatusArgs),
    /// End or steer sessions of a running server
    Sessions(SessionsArgs),
    /// Let a running server read aspera.conf again; sessions stay
    Reload(ServerWishArgs),
    /// Let a running server end when its sessions have ended; nobody is let in any more
    Drain(ServerWishArgs),
}

/// Where the server keeps its files.
#[derive(Debug, Clone, Default, Args)]
pub struct StateArgs {
    /// The server's state directory
    #[arg(
        help = "The server's state directory [default: ~/.local/state/connect-server, for root /var/lib/connect-server]",
        long = "state",
        value_name = "DIR"
    )]
    pub directory: Option<PathBuf>,
}

/// `server user`
#[derive(Debug, Args)]
pub struct UserArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// The commands below `server user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add an account
    Add(UserAddArgs),
    /// List the accounts
    List(UserListArgs),
    /// Remove an account
    Remove(UserRemoveArgs),
}

/// `server user add`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli server user add lea --docroot /srv/lea --authorized-key lea.pub
  connect-cli server user add inbox --docroot /srv/in --write-only --password-stdin
  connect-cli server user add guest --docroot /srv/pub --read-only --authorized-key g.pub")]
pub struct UserAddArgs {
    /// The name to log in with
    pub name: String,
    /// The directory the user cannot leave; it must exist. Without one, aspera.conf has to name it
    #[arg(long, value_name = "DIR")]
    pub docroot: Option<PathBuf>,
    /// A group of aspera.conf that the user belongs to; may be repeated
    #[arg(long = "group", value_name = "NAME")]
    pub groups: Vec<String>,
    /// A file with OpenSSH public keys that open the account; may be repeated
    #[arg(long = "authorized-key", value_name = "FILE")]
    pub authorized_keys: Vec<PathBuf>,
    /// Read a password from the first line of standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// Allow downloads only
    #[arg(long, conflicts_with = "write_only")]
    pub read_only: bool,
    /// Allow uploads only
    #[arg(long)]
    pub write_only: bool,
    /// Do not let the user list directories
    #[arg(long)]
    pub no_list: bool,
    /// The highest rate of each of the user's sessions, such as 100m
    #[arg(long, value_name = "RATE")]
    pub rate_cap: Option<Rate>,
    /// How many sessions the user may have open at once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=32))]
    pub max_sessions: Option<u32>,
    /// Where the server keeps its files.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `server user list`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli server user list
  connect-cli server user list --json | jq -r .name")]
pub struct UserListArgs {
    /// Where the server keeps its files.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `server user remove`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli server user remove lea

Sessions that are open stay open; the user's files stay where they are.")]
pub struct UserRemoveArgs {
    /// The account's name
    pub name: String,
    /// Where the server keeps its files.
    #[command(flatten)]
    pub state: StateArgs,
}

/// Run a transfer server until it is stopped
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli server start
  connect-cli server start --listen 192.0.2.7:33001 --fixed-policy-cap 500m

Open TCP and UDP of the port in the firewall.")]
pub struct ServerStartArgs {
    /// Where to listen, TCP and UDP
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:33001")]
    pub listen: SocketAddr,
    /// The highest rate of a session with policy 'fixed', which does not make room for others
    #[arg(long, value_name = "RATE")]
    pub fixed_policy_cap: Option<Rate>,
    /// Let clients say to whom the files belong that they send; only root can give files away
    #[arg(long)]
    pub keep_owners: bool,
    /// The configuration to obey
    #[arg(
        help = "The aspera.conf to obey [default: aspera.conf in the state directory, for root also /opt/aspera/etc/aspera.conf, if there is one]",
        long,
        value_name = "FILE"
    )]
    pub conf: Option<PathBuf>,
    /// The UDP port for data, or the ports to try in turn, such as 33001-33010
    #[arg(
        help = "The UDP port for data, or the ports to try in turn, such as 33001-33010 [default: as aspera.conf says, else the number of the TCP port]",
        long,
        value_name = "PORT[-PORT]",
        value_parser = value::ports
    )]
    pub udp_ports: Option<std::ops::RangeInclusive<u16>>,
    /// A program to run before and after each session and after each file; its answer decides whether a session begins
    #[arg(long, value_name = "FILE")]
    pub prepost: Option<PathBuf>,
    /// Refuse and end uploads where less than this is free, such as 10G
    #[arg(long, value_name = "SIZE", value_parser = value::bytes)]
    pub free_space_floor: Option<u64>,
    /// Write the log as JSON, one object per line
    #[arg(long)]
    pub json_log: bool,
    /// Write the log to server.log in the state directory instead of standard error
    #[arg(long)]
    pub log_file: bool,
    /// Where the server keeps its files.
    #[command(flatten)]
    pub state: StateArgs,
}

/// Serve one client over standard input and output: what a client with --ssh starts on the far side
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ssh host connect-cli server session
  ForceCommand /usr/bin/connect-cli server session --conf /etc/connect/aspera.conf")]
pub struct ServerSessionArgs {
    /// The UDP port for data; 0 takes a free one
    #[arg(
        help = "The UDP port for data; 0 takes the first free one from what aspera.conf says, else of 33001 to 33100, else any",
        long,
        value_name = "PORT",
        default_value_t = 0
    )]
    pub udp_port: u16,
    /// The configuration to obey
    #[arg(
        help = "The aspera.conf to obey [default: /opt/aspera/etc/aspera.conf, else aspera.conf in the state directory, for root the other way round]",
        long,
        value_name = "FILE"
    )]
    pub conf: Option<PathBuf>,
    /// The highest rate of a session with policy 'fixed', which does not make room for others
    #[arg(long, value_name = "RATE")]
    pub fixed_policy_cap: Option<Rate>,
    /// A program to run before and after each session and after each file; its answer decides whether a session begins
    #[arg(long, value_name = "FILE")]
    pub prepost: Option<PathBuf>,
    /// Refuse and end uploads where less than this is free, such as 10G
    #[arg(long, value_name = "SIZE", value_parser = value::bytes)]
    pub free_space_floor: Option<u64>,
    /// Write a log to server.log in the state directory; there is none otherwise
    #[arg(long)]
    pub log_file: bool,
    /// Write the log as JSON, one object per line
    #[arg(long, requires = "log_file")]
    pub json_log: bool,
    /// Where the server keeps its files.
    #[command(flatten)]
    pub state: StateArgs,
}
