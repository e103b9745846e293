//! The bench's arguments.

use std::path::PathBuf;

use benches::process::Failure;

/// Which workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// One large file.
    Big,
    /// Many small files.
    Small,
}

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) what: What,
    pub(crate) mib: u64,
    pub(crate) files: u32,
    pub(crate) dir: PathBuf,
    pub(crate) runs: u32,
    only: Option<Vec<String>>,
}

impl Options {
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let what = match args.next().as_deref() {
            Some("big") => What::Big,
            Some("small") => What::Small,
            _ => return Err("say big or small".into()),
        };
        let mut options = Self {
            what,
            mib: 4096,
            files: 50_000,
            dir: "/dev/shm".into(),
            runs: 3,
            only: None,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} wants a value"))?;
            match name.as_str() {
                "--mib" => options.mib = value.parse()?,
                "--files" => options.files = value.parse()?,
                "--dir" => options.dir = value.into(),
                "--runs" => options.runs = value.parse()?,
                "--only" => options.only = Some(value.split(',').map(str::to_owned).collect()),
                _ => return Err(format!("{name} is not known").into()),
            }
        }
        Ok(options)
    }

    pub(crate) fn takes(&self, name: &str) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.iter().any(|n| n == name))
    }
}
