//! What measurements that print one table have in common: their options, and what precedes the first line.

use std::path::PathBuf;

use benches::process::Failure;

use crate::line::{self, HostSettings};

#[derive(Debug)]
pub(crate) struct Common {
    /// Runs of each, with seeds from 1.
    pub(crate) runs: u64,
    /// Where files are.
    pub(crate) dir: PathBuf,
    /// What names of namespaces begin with.
    pub(crate) prefix: String,
    pub(crate) builds: bool,
}

impl Common {
    /// `name` is what names of namespaces begin with unless they are told to begin otherwise.
    pub(crate) fn new(name: &str, runs: u64) -> Self {
        Self {
            runs,
            dir: "/dev/shm".into(),
            prefix: name.to_owned(),
            builds: true,
        }
    }

    /// Reads arguments; `own` takes an option with its value, or says that it does not know it.
    pub(crate) fn read(
        &mut self,
        args: &[String],
        usage: &str,
        mut own: impl FnMut(&str, &str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut args = args.iter();
        while let Some(name) = args.next() {
            if name == "--no-build" {
                self.builds = false;
                continue;
            }
            let value = args.next().ok_or(usage)?;
            match name.as_str() {
                "--runs" => self.runs = value.parse()?,
                "--dir" => self.dir = value.into(),
                "--prefix" => self.prefix.clone_from(value),
                _ if own(name, value)? => {}
                _ => return Err(usage.into()),
            }
        }
        Ok(())
    }

    /// Builds the programs and makes the host ready; its settings are put back when the result is dropped.
    pub(crate) fn prepare(&self) -> Result<HostSettings, Failure> {
        crate::needs_root()?;
        if self.builds {
            crate::build()?;
        }
        line::remove_stale(&self.prefix);
        Ok(HostSettings::raise())
    }
}
