//! `conf` and what is below it, and the options of `asconfigurator`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// `conf`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli conf check
  connect-cli conf get partial_file_suffix
  connect-cli conf set absolute '/srv/$(name)' --file /opt/aspera/etc/aspera.conf
  connect-cli conf show --user ada --member-of staff --origin
  connect-cli conf explain target_rate
  connect-cli conf exec 'set_user_data;user_name,ada;read_allowed,false'")]
pub struct ConfArgs {
    /// The file
    #[arg(
        help = "The file [default: ~/.aspera/connect/etc/aspera.conf, else ~/.config/connect/aspera.conf]",
        long,
        global = true,
        value_name = "FILE"
    )]
    pub file: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: ConfCommand,
}

/// The commands below `conf`.
#[derive(Debug, Subcommand)]
pub enum ConfCommand {
    /// Print what an option is set to in a record
    Get(ConfGetArgs),
    /// Set an option in a record, and create the record when it is missing
    Set(ConfSetArgs),
    /// Take an option out of a record, so that a weaker record or the default decides
    Unset(ConfGetArgs),
    /// Say what is wrong in the file, with line and column
    Check(ConfCheckArgs),
    /// Print the values that count for the node or for a user
    Show(ConfShowArgs),
    /// Say what an option is for, what it may be and where it stands
    Explain(ConfExplainArgs),
    /// Carry out expressions in the language of asconfigurator
    Exec(ConfExecArgs),
}

/// Which record is meant.
#[derive(Debug, Clone, Default, Args)]
#[group(multiple = false)]
pub struct RecordArgs {
    /// The record of a user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The record of a group
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// A virtual link
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u8).range(1..))]
    pub trunk: Option<u8>,
    /// A logging profile
    #[arg(long, value_name = "CLASSES")]
    pub logging: Option<String>,
    /// Another section: central_server, http_server, database, server or client
    #[arg(long, value_name = "SECTION")]
    pub section: Option<String>,
}

/// `conf get`, `conf unset`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli conf get absolute --user ada
  connect-cli conf unset https_port --section http_server

Without a record it is the node's own, <default>.")]
pub struct ConfGetArgs {
    /// The option
    pub option: String,
    /// Which record.
    #[command(flatten)]
    pub record: RecordArgs,
    /// Print the value of a secret
    #[arg(long)]
    pub reveal: bool,
}

/// `conf set`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli conf set partial_file_suffix .part
  connect-cli conf set transfer_in_bandwidth_flow_target_rate_cap 100000 --group staff
  connect-cli conf set trunk_capacity 50000 --trunk 8
  connect-cli conf set file_restriction '|file:////data/*|!file:////data/old/*' --user ada

The first character of a list separates its items.")]
pub struct ConfSetArgs {
    /// The option
    pub option: String,
    /// The value; an empty one is kept as an empty element
    #[arg(allow_hyphen_values = true)]
    pub value: String,
    /// Which record.
    #[command(flatten)]
    pub record: RecordArgs,
}

/// `conf check`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli conf check --file /opt/aspera/etc/aspera.conf
  connect-cli conf check --json | jq -r 'select(.severity == \"error\") | .line'

An error is a value that cannot be used, and makes the exit status 1. A warning is
probably not what was meant. A notice is worth knowing, such as an option that has no
effect here.")]
pub struct ConfCheckArgs {}

/// `conf show`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli conf show
  connect-cli conf show absolute read_allowed --user ada --origin
  connect-cli conf show --all --user ada --member-of staff --json

A user's record is stronger than those of groups, the group with the lowest precedence
is the strongest of these, and <default> is stronger than what is built in.")]
pub struct ConfShowArgs {
    /// The options; all that somebody set, if none is named
    pub options: Vec<String>,
    /// The user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A group that the user is in; may be repeated
    #[arg(long, value_name = "GROUP")]
    pub member_of: Vec<String>,
    /// The user's home directory, for $(home)
    #[arg(long, value_name = "DIR")]
    pub home: Option<String>,
    /// Show where each value comes from, and what limited it
    #[arg(long)]
    pub origin: bool,
    /// Show options that nobody set, too
    #[arg(long, conflicts_with = "options")]
    pub all: bool,
}

/// `conf explain`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli conf explain absolute
  connect-cli conf explain rate
  connect-cli conf explain --json | jq -r .option")]
pub struct ConfExplainArgs {
    /// The option, or a part of its name; every option, if none is named
    pub option: Option<String>,
}

/// `conf exec`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli conf exec 'set_node_data;group_ownership,-'
  connect-cli conf exec 'set_user_data;user_name,xfer;absolute,;file_restriction,|*'
  connect-cli conf exec 'get_user_data;user_name,ada;option_mask,absolute'
  connect-cli conf exec --from changes.txt

AS_NULL takes an option out. All expressions are carried out, or none.")]
pub struct ConfExecArgs {
    /// The expressions
    #[arg(required_unless_present = "from")]
    pub expressions: Vec<String>,
    /// Read expressions from a file, one a line; lines that begin with # are left out
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Write the result into another file, and leave the first as it is
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print the changed file instead of writing it
    #[arg(long, conflicts_with = "output")]
    pub dry_run: bool,
}

/// What `asconfigurator` takes: this program when it is called by that name.
#[derive(Debug, Parser)]
#[command(
    name = "asconfigurator",
    version,
    about = "Edit aspera.conf by expressions",
    after_help = "\
Examples:
  asconfigurator -x 'set_node_data;group_ownership,-'
  asconfigurator -x 'set_user_data;user_name,ada;absolute,/home/$(name)'
  asconfigurator -F 'set_server_data;ssl_protocol,tlsv1.2'
  asconfigurator -x 'get_node_data;option_mask,absolute'

Prints 'success' or 'failure'. Exit status: 0 done, 1 failed, 2 wrong command line"
)]
pub struct AsconfiguratorArgs {
    /// An expression, or a file with one expression a line
    #[arg(
        short = 'x',
        short_alias = 'F',
        value_name = "EXPRESSION",
        required = true,
        allow_hyphen_values = true
    )]
    pub expressions: Vec<String>,
    /// The file to edit [default: /opt/aspera/etc/aspera.conf]
    #[arg(value_name = "FILE", conflicts_with = "file")]
    pub positional: Option<PathBuf>,
    /// The file to edit, as an option
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Write the result into another file, and leave the first as it is
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print nothing but what was asked for
    #[arg(short)]
    pub quiet: bool,
    /// Check the expressions and change nothing
    #[arg(long)]
    pub check: bool,
}
