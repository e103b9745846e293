//! The directory that holds everything a server keeps.
//!
//! It is opened once; all files in it are reached through that descriptor, so that replacing the
//! directory under a running server changes nothing. Only its owner may look inside.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags, Stat},
    io::Errno,
};

use crate::error::{Error, io_error};

/// The largest file that is read from the directory.
const FILE_MAX: u64 = 64 << 20;

const HOST_KEY: &str = "host_key";
pub(crate) const LOG: &str = "server.log";
const SERVER_LOCK: &str = "server.lock";
const ADMIN_SOCKET: &str = "server.sock";

/// An open state directory.
#[derive(Debug)]
pub struct StateDir {
    dir: OwnedFd,
    path: PathBuf,
}

/// Says that this process is the directory's only server; released when dropped or when the process ends.
#[derive(Debug)]
pub struct ServerLock {
    _file: OwnedFd,
}

/// Says that this process is the only one editing a file.
#[derive(Debug)]
pub(crate) struct EditLock {
    _file: OwnedFd,
}

/// Tells versions of one file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileVersion {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, u64),
}

impl StateDir {
    /// Opens the directory, and creates it with mode 0700 when it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::TooOpen`] and [`Error::NotOurs`] when other accounts could use what is inside.
    pub fn open(path: &Path) -> Result<Self, Error> {
        create_missing(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(io_error("open", path))?;
        let stat = rustix::fs::fstat(&dir).map_err(io_error("check", path))?;
        require_private(&stat, path, 0o700)?;
        Ok(Self {
            dir,
            path: path.to_owned(),
        })
    }

    /// Returns the path the directory was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns where the server's SSH host key is kept.
    pub fn host_key_path(&self) -> PathBuf {
        self.path.join(HOST_KEY)
    }

    /// Returns where the log goes when it goes to a file.
    pub fn log_path(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Opens a log for appending, and creates it with mode 0600; returns its version too.
    pub(crate) fn open_log(&self, name: &str) -> Result<(File, FileVersion), Error> {
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let file = self.open_at(name, flags)?;
        let stat = self.require_private_file(&file, name)?;
        Ok((File::from(file), FileVersion::from(&stat)))
    }

    /// Opens a log for reading: the one that is written for 0, older ones for 1 and above; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, or other accounts can use it.
    pub fn read_log(&self, name: &str, number: u32) -> Result<Option<File>, Error> {
        let name = log_name(name, number);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, &name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(io_error("open", self.path.join(name))(errno)),
        };
        self.require_private_file(&file, &name)?;
        Ok(Some(File::from(file)))
    }

    /// Returns true while `file` is the log of this name that is written; false when it was moved aside.
    ///
    /// # Errors
    ///
    /// When one of them cannot be looked at.
    pub fn is_current_log(&self, name: &str, file: &File) -> Result<bool, Error> {
        let stat = rustix::fs::fstat(file).map_err(io_error("check", self.path.join(name)))?;
        let ours = FileVersion::from(&stat);
        Ok(self
            .version(name)?
            .is_some_and(|current| current.is_same_file(ours)))
    }

    /// Moves a log out of the way: `server.log` becomes `server.log.1`, and so on up to `kept`; with 0 it is removed.
    pub(crate) fn rotate_log(&self, name: &str, kept: u32) -> Result<(), Error> {
        // The oldest that is kept, more where more were kept before, or the log itself.
        for number in kept.. {
            let old = log_name(name, number);
            match rustix::fs::unlinkat(&self.dir, &old, AtFlags::empty()) {
                Ok(()) => {}
                Err(Errno::NOENT) => break,
                Err(errno) => return Err(io_error("remove", self.path.join(old))(errno)),
            }
        }
        for number in (0..kept).rev() {
            let (old, new) = (log_name(name, number), log_name(name, number + 1));
            match rustix::fs::renameat(&self.dir, &old, &self.dir, &new) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(io_error("rename", self.path.join(old))(errno)),
            }
        }
        Ok(())
    }

    /// Makes this process the directory's only server (rule D-9).
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] when another process is it.
    pub fn lock_server(&self) -> Result<ServerLock, Error> {
        let file = self.lock_file(SERVER_LOCK)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(ServerLock { _file: file }),
            Err(Errno::WOULDBLOCK) => Err(Error::InUse(self.path.clone())),
            Err(errno) => Err(io_error("lock", self.path.join(SERVER_LOCK))(errno)),
        }
    }

    /// Waits until this process is the only one that edits `name`.
    pub(crate) fn lock_for_edit(&self, name: &str) -> Result<EditLock, Error> {
        // A lock on the file itself would end with the rename that replaces it.
        let lock_name = format!("{name}.lock");
        let file = self.lock_file(&lock_name)?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(EditLock { _file: file }),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(io_error("lock", self.path.join(lock_name))(errno)),
            }
        }
    }

    /// Returns the version of `name` that is there now; `None` when there is none.
    pub(crate) fn version(&self, name: &str) -> Result<Option<FileVersion>, Error> {
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileVersion::from(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(io_error("check", self.path.join(name))(errno)),
        }
    }

    /// Reads `name` whole; `None` when there is none. Refuses a file that other accounts can use (C-3).
    pub(crate) fn read(&self, name: &str) -> Result<Option<(Vec<u8>, FileVersion)>, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(io_error("open", self.path.join(name))(errno)),
        };
        let stat = self.require_private_file(&file, name)?;
        let mut bytes = Vec::new();
        File::from(file)
            .take(FILE_MAX)
            .read_to_end(&mut bytes)
            .map_err(|source| self.io("read", name, source))?;
        Ok(Some((bytes, FileVersion::from(&stat))))
    }

    /// Puts `bytes` in the place of `name` in one step that survives a crash; the caller holds the edit lock.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let new = format!("{name}.new");
        match rustix::fs::unlinkat(&self.dir, &new, AtFlags::empty()) {
            // What an interrupted edit left behind.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(io_error("remove", self.path.join(&new))(errno)),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(self.open_at(&new, flags)?);
        file.write_all(bytes)
            .and_then(|()| file.sync_all())
            .map_err(|source| {
                // It would take room on a disk that has none; one that stays goes with the next edit.
                rustix::fs::unlinkat(&self.dir, &new, AtFlags::empty()).ok();
                self.io("write", &new, source)
            })?;
        rustix::fs::renameat(&self.dir, &new, &self.dir, name)
            .map_err(io_error("replace", self.path.join(name)))?;
        rustix::fs::fsync(&self.dir).map_err(io_error("write", &self.path))
    }

    /// Makes the administrators' socket, in the place of one that a server left behind; the caller holds the server's
    /// lock, so nobody uses that one. Must run on a tokio runtime.
    pub(crate) fn bind_admin(&self) -> Result<tokio::net::UnixListener, Error> {
        match rustix::fs::unlinkat(&self.dir, ADMIN_SOCKET, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(io_error("remove", self.path.join(ADMIN_SOCKET))(errno)),
        }
        let listener = tokio::net::UnixListener::bind(self.admin_path())
            .map_err(|source| self.io("listen at", ADMIN_SOCKET, source))?;
        // Until here the directory alone kept others out.
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::chmodat(&self.dir, ADMIN_SOCKET, mode, AtFlags::empty())
            .map_err(io_error("change", self.path.join(ADMIN_SOCKET)))?;
        Ok(listener)
    }

    /// Connects to the administrators' socket.
    pub(crate) fn connect_admin(&self) -> std::io::Result<std::os::unix::net::UnixStream> {
        std::os::unix::net::UnixStream::connect(self.admin_path())
    }

    /// Where the socket is, through the open directory where the system allows it: a path of more than about 100 bytes is
    /// no address.
    fn admin_path(&self) -> PathBuf {
        if cfg!(target_os = "linux") {
            let fd = self.dir.as_raw_fd();
            return PathBuf::from(format!("/proc/self/fd/{fd}/{ADMIN_SOCKET}"));
        }
        self.path.join(ADMIN_SOCKET)
    }

    fn lock_file(&self, name: &str) -> Result<OwnedFd, Error> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.open_at(name, flags)
    }

    fn open_at(&self, name: &str, flags: OFlags) -> Result<OwnedFd, Error> {
        rustix::fs::openat(&self.dir, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(io_error("open", self.path.join(name)))
    }

    fn require_private_file(&self, file: &OwnedFd, name: &str) -> Result<Stat, Error> {
        let path = self.path.join(name);
        let stat = rustix::fs::fstat(file).map_err(io_error("check", &path))?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(Error::NotRegular(path));
        }
        require_private(&stat, &path, 0o600)?;
        if stat.st_size.unsigned_abs() > FILE_MAX {
            return Err(Error::NotRegular(path));
        }
        Ok(stat)
    }

    fn io(&self, action: &'static str, name: &str, source: std::io::Error) -> Error {
        Error::Io {
            action,
            path: self.path.join(name),
            source,
        }
    }
}

impl FileVersion {
    /// Returns true when both are the same file, whatever was written to it meanwhile.
    pub(crate) fn is_same_file(self, other: Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Returns the size, bytes.
    pub(crate) fn size(self) -> u64 {
        self.size
    }
}

impl From<&Stat> for FileVersion {
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.unsigned_abs(),
            // The change time: it cannot be set back, and it also changes with the mode.
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

fn log_name(name: &str, number: u32) -> String {
    match number {
        0 => name.to_owned(),
        _ => format!("{name}.{number}"),
    }
}

/// Creates the directory and its missing parents, all with mode 0700.
fn create_missing(path: &Path) -> Result<(), Error> {
    let mut prefix = PathBuf::new();
    for component in path.components() {
        prefix.push(component);
        if !matches!(component, Component::Normal(_)) {
            continue;
        }
        match rustix::fs::mkdir(&prefix, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST | Errno::ROFS) => {}
            // A parent that is there but not ours to write: the next step tells.
            Err(Errno::ACCESS | Errno::PERM) if prefix != path => {}
            Err(errno) => return Err(io_error("create", prefix)(errno)),
        }
    }
    Ok(())
}

/// Refuses what another account owns or can use (C-3).
fn require_private(stat: &Stat, path: &Path, wanted: u32) -> Result<(), Error> {
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(Error::NotOurs(path.to_owned()));
    }
    let mode = stat.st_mode & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::TooOpen {
            path: path.to_owned(),
            mode,
            wanted,
        });
    }
    Ok(())
}
