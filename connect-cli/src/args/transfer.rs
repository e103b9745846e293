//! `upload`, `download`, `ls`: the options have the letters and units that `ascp` gave them.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use fasp_core::{DatagramCipher, Rate, RatePolicy};
use fasp_net::request::{MAX_SESSIONS, Sessions};
use transfer_spec::{OverwritePolicy, ResumePolicy, SymlinkPolicy};

use super::{LogArgs, OpeningArgs, PreserveArgs, RuleArgs, value};

/// Send files and directories to a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli upload film.mov lea@files.example.org:incoming/
  connect-cli upload -l 300m -d photos/ notes.txt lea@files.example.org:/2026/march
  connect-cli upload -E '*.tmp' -E .git/ project lea@files.example.org:
  connect-cli upload --file-list names.txt --source-base . lea@files.example.org:in
  connect-cli upload --protect dataset/ lea@files.example.org:archive
  connect-cli upload 'file:///srv/take.mov?grow=30' lea@files.example.org:
  connect-cli upload --ssh dataset/ cluster:/scratch/lea

A source file:///PATH?grow=SECONDS is sent while it is written, until it has not changed
for so long; - is standard input.

With --protect the passphrase is asked for twice, or taken from ASPERA_SCP_FILEPASS; so
it is for servers that take protected files only, and for those of connect-cli hosts.")]
pub struct UploadArgs {
    /// Files or directories here, then `[USER@]HOST[:PORT]:PATH` there
    #[arg(help = "Files or directories here, then [USER@]HOST[:PORT]:PATH there", required = true, num_args = 1.., value_names = ["SOURCE", "DESTINATION"])]
    pub paths: Vec<OsString>,
    /// What to do with files.
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// Which files.
    #[command(flatten)]
    pub rules: RuleArgs,
    /// How their content is protected.
    #[command(flatten)]
    pub protection: ProtectionArgs,
    /// How to reach the server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Fetch files and directories from a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli download lea@files.example.org:results/run7 .
  connect-cli download --overwrite never lea@host:a.bin lea@host:b.bin /data
  connect-cli download lea@files.example.org:report.pdf.aspera-env .
  connect-cli download --decrypt lea@files.example.org:archive .
  connect-cli download --json --ssh cluster:/scratch/out.h5 . > events.jsonl

A protected file that is named is opened as it arrives: the passphrase is asked for, or
taken from ASPERA_SCP_FILEPASS. Those in directories are opened with --decrypt. Files
that the passphrase does not open keep their .aspera-env name and are reported.")]
pub struct DownloadArgs {
    /// `[USER@]HOST[:PORT]:PATH` there, then a file or directory here
    #[arg(help = "[USER@]HOST[:PORT]:PATH there, then a file or directory here", required = true, num_args = 1.., value_names = ["SOURCE", "DESTINATION"])]
    pub paths: Vec<OsString>,
    /// What to do with files.
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// Which files.
    #[command(flatten)]
    pub rules: RuleArgs,
    /// What happens to protected ones.
    #[command(flatten)]
    pub decryption: DecryptionArgs,
    /// How to reach the server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// How the content of an upload is protected.
#[derive(Debug, Args)]
#[command(next_help_heading = "Content protection")]
pub struct ProtectionArgs {
    /// Encrypt files on their way, with a passphrase: the server gets NAME.aspera-env and cannot read it
    #[arg(long)]
    pub protect: bool,
    /// Send files as they are, also to a server of the list that connect-cli hosts shows
    #[arg(long, conflicts_with = "protect")]
    pub keep_unencrypted: bool,
    /// Read the passphrase from the next line of this open file descriptor; 0 is standard input
    #[arg(long, value_name = "NUMBER", requires = "protect", value_parser = clap::value_parser!(i32).range(0..))]
    pub passphrase_fd: Option<i32>,
}

/// What happens to protected files of a download.
#[derive(Debug, Args)]
#[command(next_help_heading = "Content protection")]
pub struct DecryptionArgs {
    /// Open protected files as they arrive: NAME.aspera-env becomes NAME
    #[arg(long)]
    pub decrypt: bool,
    /// Leave protected files as they are
    #[arg(long, conflicts_with_all = ["decrypt", "passphrase_fd", "allow_costly_key"])]
    pub keep_encrypted: bool,
    /// How they are opened.
    #[command(flatten)]
    pub opening: OpeningArgs,
}

/// List a directory on a server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli ls lea@files.example.org:
  connect-cli ls -l lea@files.example.org:incoming
  connect-cli ls --json lea@files.example.org:incoming | jq -r .name")]
pub struct ListArgs {
    /// `[USER@]HOST[:PORT]:PATH`
    #[arg(help = "[USER@]HOST[:PORT]:PATH")]
    pub location: OsString,
    /// Show permission bits, size and modification time (UTC) too
    #[arg(short, long)]
    pub long: bool,
    /// How to reach the server.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// What to do with files, and how fast.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// What to reach at most, with K, M or G bits per second; a bare number is kbit/s
    #[arg(
        help = "What to reach at most, with K, M or G bits per second; a bare number is kbit/s [default: measured]",
        short = 'l',
        long,
        value_name = "RATE"
    )]
    pub target_rate: Option<Rate>,
    /// What to keep even when the network is congested
    #[arg(short = 'm', long, value_name = "RATE", default_value = "0", value_parser = value::min_rate)]
    pub min_rate: Rate,
    /// How to share the link: fixed, high, fair or low
    #[arg(long, value_name = "POLICY", value_parser = policy)]
    pub policy: Option<RatePolicy>,
    /// Replace files that exist: never, always, diff, diff+older or older
    #[arg(long, value_name = "WHEN", default_value = "diff", value_parser = overwrite)]
    pub overwrite: OverwritePolicy,
    /// What must match before a file is continued: 0 nothing (start over), 1 attributes, 2 samples, 3 all content
    #[arg(short = 'k', long, value_name = "LEVEL", default_value = "1", value_parser = resume)]
    pub resume: ResumePolicy,
    /// Keep permission bits and access times too; modification times are kept anyway
    #[arg(short, long)]
    pub preserve: bool,
    /// What else to keep of files.
    #[command(flatten)]
    pub keep: PreserveArgs,
    /// Symbolic links: follow, copy, copy+force or skip
    #[arg(long, value_name = "WHAT", default_value = "follow", value_parser = symlinks)]
    pub symbolic_links: SymlinkPolicy,
    /// The only cipher to accept: aes128, aes256 or none
    #[arg(help = "The only cipher to accept: aes128, aes256 or none [default: aes128, then aes256]", short, long, value_name = "CIPHER", value_parser = cipher)]
    pub cipher: Option<DatagramCipher>,
    /// Create the destination directory when it is missing
    #[arg(short = 'd', long)]
    pub create_dir: bool,
    /// The largest datagram, bytes; 0 finds out what the path carries
    #[arg(short = 'Z', long, value_name = "BYTES", default_value_t = 0)]
    pub datagram_size: u16,
    /// Parallel sessions: auto, or 1 to 16
    #[arg(long, value_name = "COUNT", default_value = "auto", value_parser = sessions)]
    pub sessions: Sessions,
    /// How files end until they are complete, on this side
    #[arg(
        help = "How files end until they are complete, on this side [default: .partial, or what aspera.conf says]",
        long,
        alias = "partial-suffix",
        value_name = "SUFFIX"
    )]
    pub partial_file_suffix: Option<OsString>,
    /// Split files of this size and more between sessions; 0 never splits
    #[arg(long, value_name = "SIZE", default_value = "60M", value_parser = value::bytes)]
    pub split_threshold: u64,
    /// How often to try again after an error that may pass
    #[arg(
        help = "How often to try again after an error that may pass [default: 3, and never when nothing has begun]",
        long,
        value_name = "COUNT"
    )]
    pub retry: Option<u32>,
    /// How long to wait before the first retry, seconds; each further wait is twice as long, up to 5 minutes
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub retry_interval: u32,
}

/// How to reach the server.
#[derive(Debug, Args)]
pub struct ConnectionArgs {
    /// A private key to log in with; may be repeated
    #[arg(short, long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// The server's TCP port
    #[arg(help = "The server's TCP port [default: 33001, with --ssh what ssh decides]", short = 'P', long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Log in with the ssh program of this machine; connect-cli must be installed on the other one
    #[arg(long)]
    pub ssh: bool,
    /// A further argument for the ssh program; may be repeated, implies --ssh
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub ssh_arg: Vec<OsString>,
    /// Trust the key of a server that was never seen before
    #[arg(long)]
    pub accept_new_host_key: bool,
    /// The file with the keys of known servers
    #[arg(
        help = "The file with the keys of known servers [default: ~/.config/connect/known_hosts]",
        long,
        value_name = "FILE"
    )]
    pub known_hosts: Option<PathBuf>,
    /// What is written down.
    #[command(flatten)]
    pub log: LogArgs,
}

pub(super) fn policy(text: &str) -> Result<RatePolicy, String> {
    value::one_of(text, &RatePolicy::ALL.map(|(_, name)| name))
}

fn overwrite(text: &str) -> Result<OverwritePolicy, String> {
    let names: Vec<_> = OverwritePolicy::ALL.iter().map(|v| v.name()).collect();
    value::one_of(text, &names)
}

fn sessions(text: &str) -> Result<Sessions, String> {
    let count = |text: &str| text.parse().ok().filter(|n| (1..=MAX_SESSIONS).contains(n));
    match text {
        "auto" => Ok(Sessions::Auto),
        text => count(text)
            .map(Sessions::Exactly)
            .ok_or_else(|| format!("'{text}' is not a number of sessions: use auto, or 1 to 16")),
    }
}

fn symlinks(text: &str) -> Result<SymlinkPolicy, String> {
    let names: Vec<_> = SymlinkPolicy::ALL.iter().map(|v| v.name()).collect();
    value::one_of(text, &names)
}

fn resume(text: &str) -> Result<ResumePolicy, String> {
    text.parse()
        .ok()
        .and_then(ResumePolicy::from_level)
        .ok_or_else(|| format!("'{text}' is not a level: use 0, 1, 2 or 3"))
}

fn cipher(text: &str) -> Result<DatagramCipher, String> {
    value::one_of(text, &["aes128", "aes256", "none"])
}
