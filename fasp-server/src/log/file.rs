//! The log file: bounded, with a few older ones beside it.

use std::{
    fs::File,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{Error, state::StateDir};

/// A log file is closed and renamed when the next line would make it longer, bytes.
pub const LOG_FILE_MAX: u64 = 10 << 20;

/// How many older files are kept.
pub const LOG_FILES_KEPT: u32 = 9;

/// The log of a state directory. Each write is one record.
#[derive(Debug)]
pub struct LogFile {
    open: Mutex<OpenLog>,
}

#[derive(Debug)]
struct OpenLog {
    state: Arc<StateDir>,
    file: File,
    size: u64,
    size_max: u64,
}

impl LogFile {
    /// Opens the log, and continues the file that is there.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or other accounts can use it.
    pub fn open(state: Arc<StateDir>) -> Result<Self, Error> {
        Self::with_size_max(state, LOG_FILE_MAX)
    }

    /// Opens the log with another size at which files change.
    pub fn with_size_max(state: Arc<StateDir>, size_max: u64) -> Result<Self, Error> {
        let (file, size) = state.open_log()?;
        let open = OpenLog {
            state,
            file,
            size,
            size_max,
        };
        Ok(Self {
            open: Mutex::new(open),
        })
    }
}

impl Write for &LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.write_line(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl OpenLog {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if self.size > 0 && self.size.saturating_add(length) > self.size_max {
            self.rotate().map_err(io::Error::other)?;
        }
        self.file.write_all(line)?;
        self.size = self.size.saturating_add(length);
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), Error> {
        self.state.rotate_log(LOG_FILES_KEPT)?;
        (self.file, self.size) = self.state.open_log()?;
        Ok(())
    }
}
