//! What is kept of files besides their names and contents; the names of the options are those of `ascp`.

use clap::Args;

/// What else to keep of files and directories. What cannot be kept is told and fails nothing.
#[derive(Debug, Clone, Copy, Args)]
pub struct PreserveArgs {
    /// Keep access times
    #[arg(long)]
    pub preserve_access_time: bool,
    /// Keep the numeric owner, where the receiver is root
    #[arg(long)]
    pub preserve_file_owner_uid: bool,
    /// Keep the numeric group, where the receiver is root or belongs to it
    #[arg(long)]
    pub preserve_file_owner_gid: bool,
    /// Keep extended attributes of the namespace 'user': native or none
    #[arg(
        help = "Keep extended attributes of the namespace 'user': native or none [default: none, without a value: native]",
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_value = "none",
        default_missing_value = "native",
        hide_default_value = true,
        value_parser = xattrs
    )]
    pub preserve_xattrs: KeepXattrs,
}

/// How extended attributes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepXattrs {
    /// As those of the new file.
    Native,
    /// Not at all.
    No,
}

fn xattrs(text: &str) -> Result<KeepXattrs, String> {
    match text {
        "native" => Ok(KeepXattrs::Native),
        "none" => Ok(KeepXattrs::No),
        "metafile" => Err("there are no files beside the files: use native, or none".to_owned()),
        text => Err(format!(
            "'{text}' is not a way to keep attributes: use native, or none"
        )),
    }
}
