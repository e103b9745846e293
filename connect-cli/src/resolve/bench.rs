//! What `bench` needs.

use std::{ffi::OsString, time::Duration};

use fasp_core::Rate;

use super::transfer::{Carrier, Server, connection, remote, with_path};
use crate::{args::BenchArgs, error::CommandError};

/// A path to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BenchRequest {
    /// Whom to ask.
    pub server: Server,
    /// How to reach it.
    pub carrier: Carrier,
    /// Which directions.
    pub directions: Directions,
    /// How long data moves in each.
    pub time: Duration,
    /// What to reach at most.
    pub target_rate: Option<Rate>,
}

/// Which directions are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directions {
    /// Both, as far as the account allows.
    Allowed,
    /// To the server.
    Up,
    /// From the server.
    Down,
}

/// Resolves `bench`.
///
/// # Errors
///
/// When the location is not on another machine, or has a path.
pub fn bench(
    args: BenchArgs,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<BenchRequest, CommandError> {
    let location = remote(&with_path(args.host))?;
    let (server, carrier, path) = connection(location, args.connection, variable)?;
    if !path.is_empty() {
        return Err(CommandError::arguments(
            "bench moves no files and takes no path",
            "name the server as [USER@]HOST[:PORT]",
        ));
    }
    Ok(BenchRequest {
        server,
        carrier,
        directions: match (args.up, args.down) {
            (true, _) => Directions::Up,
            (false, true) => Directions::Down,
            (false, false) => Directions::Allowed,
        },
        time: Duration::from_secs(args.seconds.into()),
        target_rate: args.target_rate,
    })
}
