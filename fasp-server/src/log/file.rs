//! The log file: bounded, with a few older ones beside it.

use std::{
    fs::File,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Error, LogSettings,
    state::{FileVersion, LOG, StateDir},
};

/// A log file is closed and renamed when the next line would make it longer, bytes.
pub const LOG_FILE_MAX: u64 = 10 << 20;

/// How many older files are kept.
pub const LOG_FILES_KEPT: u32 = 9;

/// A log in a state directory. Each write is one record; several processes may write to one log.
#[derive(Debug)]
pub struct LogFile {
    open: Mutex<OpenLog>,
}

#[derive(Debug)]
struct OpenLog {
    state: Arc<StateDir>,
    name: String,
    file: File,
    version: FileVersion,
    size_max: u64,
    kept: u32,
}

impl LogFile {
    /// Opens the server's log, and continues the file that is there.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or other accounts can use it.
    pub fn open(state: Arc<StateDir>) -> Result<Self, Error> {
        Self::named(state, LOG, LOG_FILE_MAX)
    }

    /// Opens the log of a name, with the size at which files change.
    ///
    /// # Errors
    ///
    /// As [`LogFile::open`].
    pub fn named(state: Arc<StateDir>, name: &str, size_max: u64) -> Result<Self, Error> {
        let (file, version) = state.open_log(name)?;
        let open = OpenLog {
            state,
            name: name.to_owned(),
            file,
            version,
            size_max,
            kept: LOG_FILES_KEPT,
        };
        Ok(Self {
            open: Mutex::new(open),
        })
    }
}

impl LogFile {
    /// Opens the server's log with the settings of a configuration.
    ///
    /// # Errors
    ///
    /// As [`LogFile::open`].
    pub fn with_settings(state: Arc<StateDir>, settings: LogSettings) -> Result<Self, Error> {
        let mut log = Self::named(state, LOG, settings.size_max)?;
        let open = log.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        open.kept = settings.kept;
        Ok(log)
    }

    /// Obeys the size and the count of these settings from the next line on.
    pub fn apply(&self, settings: LogSettings) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        (open.size_max, open.kept) = (settings.size_max, settings.kept);
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
        self.follow_name(line.len() as u64)
            .map_err(io::Error::other)?;
        self.file.write_all(line)
    }

    /// Makes sure that the file is the one of the name, and has room for a line.
    fn follow_name(&mut self, length: u64) -> Result<(), Error> {
        if self.has_room(length)? {
            return Ok(());
        }
        // Another process may be about to do the same, or has just done it.
        let lock = self.state.lock_for_edit(&self.name)?;
        (self.file, self.version) = self.state.open_log(&self.name)?;
        if !self.has_room(length)? {
            self.state.rotate_log(&self.name, self.kept)?;
            (self.file, self.version) = self.state.open_log(&self.name)?;
        }
        drop(lock);
        Ok(())
    }

    fn has_room(&self, length: u64) -> Result<bool, Error> {
        let Some(current) = self.state.version(&self.name)? else {
            return Ok(false);
        };
        let is_full = current.size() > 0 && current.size().saturating_add(length) > self.size_max;
        Ok(current.is_same_file(self.version) && !is_full)
    }
}
