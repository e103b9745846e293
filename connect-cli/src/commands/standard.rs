//! Standard input as a source and standard output as a destination.
//!
//! Both go through a file in the temporary directory: lost data is sent again, so it has to be there to be read again; and what
//! is written to a pipe cannot be taken back, so it is verified first.

use std::io::{self, Read as _};

use docroot::{Docroot, EntryPath, LinkRule};
use fasp_net::{engine::Source, transfer::LocalDestination};
use tempfile::TempDir;

use crate::{error::CommandError, ui::Ui};

/// Name of the file that holds it; the one at the destination when that is a directory.
const INPUT: &str = "stdin";
const OUTPUT: &str = "stdout";
/// Bytes written at once.
const WRITE: usize = 256 << 10;

/// What came from standard input, kept until the transfer is over.
#[derive(Debug)]
pub(super) struct Spool {
    directory: TempDir,
}

impl Spool {
    /// Reads all of standard input; of `size` bytes, where that is known.
    pub(super) fn read(size: Option<u64>) -> Result<Self, CommandError> {
        let failed = |source| CommandError::Input {
            what: "standard input",
            source,
        };
        let directory = tempfile::tempdir().map_err(failed)?;
        let mut file = tempfile::Builder::new()
            .prefix(INPUT)
            .rand_bytes(0)
            .tempfile_in(directory.path())
            .map_err(failed)?;
        let limit = size.map_or(u64::MAX, |size| size.saturating_add(1));
        let mut input = io::stdin().lock().take(limit);
        let count = io::copy(&mut input, &mut file).map_err(failed)?;
        // The directory removes it.
        file.keep().map_err(|error| failed(error.error))?;
        match size {
            Some(size) if count != size => {
                let more = if count > size { "more" } else { "fewer" };
                Err(CommandError::arguments(
                    format!("standard input has {more} than {size} bytes"),
                    "name its size, or write - to send all there is",
                ))
            }
            _ => Ok(Self { directory }),
        }
    }

    pub(super) fn source(&self) -> Result<Source, fasp_net::Error> {
        Source::local(&self.directory.path().join(INPUT))
    }
}

/// What goes to standard output when all of it is there.
#[derive(Debug)]
pub(super) struct Collected {
    directory: TempDir,
}

impl Collected {
    pub(super) fn new() -> Result<Self, CommandError> {
        let directory = tempfile::tempdir().map_err(failed)?;
        Ok(Self { directory })
    }

    pub(super) fn destination(&self) -> LocalDestination {
        self.directory.path().join(OUTPUT).into()
    }

    /// Writes the file that came.
    pub(super) fn write_out(self, ui: &Ui) -> Result<(), CommandError> {
        let unreadable = |source| CommandError::File {
            path: OUTPUT.to_owned(),
            source,
        };
        let file = Docroot::open(self.directory.path())
            .and_then(|root| {
                let path = EntryPath::parse(OUTPUT.as_bytes())?;
                root.open_source(&path, LinkRule::Refuse)
            })
            .map_err(|error| match error {
                docroot::Error::IsADirectory => CommandError::arguments(
                    "a directory cannot be written to standard output",
                    "name one file, or a directory here as the destination",
                ),
                error => unreadable(error),
            })?;
        let mut buffer = vec![0; WRITE];
        let mut offset = 0;
        loop {
            let count = file.read_at(&mut buffer, offset).map_err(unreadable)?;
            ui.print_data(&buffer[..count])?;
            offset += count as u64;
            if count < buffer.len() {
                return Ok(());
            }
        }
    }
}

fn failed(source: io::Error) -> CommandError {
    CommandError::Output {
        what: "to the temporary directory".to_owned(),
        source,
    }
}
