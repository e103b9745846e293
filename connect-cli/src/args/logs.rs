//! `logs`, and what commands write down.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

/// What a command writes into the logs of this account.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// How much to log; debug and trace are for finding faults
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        help_heading = "Log"
    )]
    pub log_level: LogLevel,
    /// The directory with the logs
    #[arg(
        help = "The directory with the logs [default: ~/.local/state/connect/log]",
        short = 'L',
        long,
        value_name = "DIR",
        help_heading = "Log"
    )]
    pub log_dir: Option<PathBuf>,
    /// Log as JSON instead of `key=value`
    #[arg(help = "Log as JSON instead of key=value", long, help_heading = "Log")]
    pub log_json: bool,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Requests, and how sessions begin and end.
    Info,
    /// Every file as well.
    Debug,
    /// Everything, figures of running sessions as well.
    Trace,
}

/// Show what transfers of this account have logged
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  connect-cli logs --since 2h
  connect-cli logs --level warning --since 2026-03-01
  connect-cli logs --session 6f1c2b9a --json
  connect-cli logs -f")]
pub struct LogsArgs {
    /// Wait for more and show it as it comes
    #[arg(short, long)]
    pub follow: bool,
    /// The lowest severity to show
    #[arg(long, value_name = "LEVEL", default_value = "debug")]
    pub level: Severity,
    /// Only the session whose uuid begins like this
    #[arg(long, value_name = "UUID")]
    pub session: Option<String>,
    /// Only what is younger: 30s, 10m, 2h or 7d, or a time (UTC) such as 2026-03-01 or 2026-03-01T14:05
    #[arg(long, value_name = "WHEN", value_parser = since)]
    pub since: Option<Since>,
    /// The directory with the logs
    #[arg(
        help = "The directory with the logs [default: ~/.local/state/connect/log]",
        short = 'L',
        long,
        value_name = "DIR"
    )]
    pub log_dir: Option<PathBuf>,
}

/// How bad a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Severity {
    /// `DBG`
    Debug,
    /// `LOG`
    Info,
    /// `WRN`
    Warning,
    /// `ERR`
    Error,
}

/// The age of the oldest record to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// Before now.
    Ago(Duration),
    /// The beginning of a time as it stands in the log.
    Time(String),
}

fn since(text: &str) -> Result<Since, String> {
    let wrong = || format!("'{text}' is neither an age such as 2h nor a time such as 2026-03-01");
    if let Some((count, unit)) = text
        .char_indices()
        .next_back()
        .map(|(at, unit)| (&text[..at], unit))
    {
        let seconds = match unit {
            's' => Some(1),
            'm' => Some(60),
            'h' => Some(3600),
            'd' => Some(86_400),
            _ => None,
        };
        if let Some(seconds) = seconds {
            let count: u64 = count.parse().map_err(|_| wrong())?;
            let age = count.checked_mul(seconds).ok_or_else(wrong)?;
            return Ok(Since::Ago(Duration::from_secs(age)));
        }
    }
    let pattern = b"0000-00-00T00:00:00";
    let fits = text.len() >= 10
        && text.len() <= pattern.len()
        && text.bytes().zip(pattern).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b' '),
            like => byte == *like,
        });
    if fits {
        Ok(Since::Time(text.replace(' ', "T")))
    } else {
        Err(wrong())
    }
}
