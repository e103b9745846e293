//! The users file: read when it changes, edited by one process at a time.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{User, Users};
use crate::{
    Error,
    state::{FileVersion, StateDir},
};

/// The name of the users file in the state directory.
pub const USERS_FILE: &str = "users.json";

/// The version of the file that this code writes and the highest it reads.
const FORMAT: u64 = 1;

/// The accounts of a state directory.
#[derive(Debug)]
pub struct UserStore {
    state: Arc<StateDir>,
    cache: Mutex<Option<(FileVersion, Arc<Users>)>>,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersDocument {
    version: u64,
    users: Vec<User>,
}

impl UserStore {
    /// Makes a store over a state directory. Nothing is read yet.
    pub fn new(state: Arc<StateDir>) -> Self {
        Self {
            state,
            cache: Mutex::new(None),
        }
    }

    /// Returns the accounts as they are now; reads the file only when it changed. A missing file means no accounts.
    ///
    /// # Errors
    ///
    /// When the file is damaged or open to others. Callers then admit nobody: an old copy could still have an account
    /// that was just removed.
    pub fn current(&self) -> Result<Arc<Users>, Error> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(version) = self.state.version(USERS_FILE)? else {
            *cache = None;
            return Ok(Arc::default());
        };
        if let Some((cached, users)) = cache.as_ref()
            && *cached == version
        {
            return Ok(Arc::clone(users));
        }
        *cache = None;
        let Some((bytes, version)) = self.state.read(USERS_FILE)? else {
            return Ok(Arc::default());
        };
        let users = Arc::new(parse(self.path(), &bytes)?);
        *cache = Some((version, Arc::clone(&users)));
        Ok(users)
    }

    fn path(&self) -> PathBuf {
        self.state.path().join(USERS_FILE)
    }

    /// Changes the accounts: reads the file, lets `change` work on it and writes it, while no other process can.
    ///
    /// # Errors
    ///
    /// What `change` returns; the file is then left as it was.
    pub fn edit<T>(&self, change: impl FnOnce(&mut Users) -> Result<T, Error>) -> Result<T, Error> {
        let _lock = self.state.lock_for_edit(USERS_FILE)?;
        let mut users = match self.state.read(USERS_FILE)? {
            Some((bytes, _)) => parse(self.path(), &bytes)?,
            None => Users::default(),
        };
        let result = change(&mut users)?;
        self.state.replace(USERS_FILE, &to_bytes(&users)?)?;
        Ok(result)
    }
}

fn parse(path: PathBuf, bytes: &[u8]) -> Result<Users, Error> {
    let invalid = |error: serde_json::Error| Error::UsersFile {
        path: path.clone(),
        reason: error.to_string(),
    };
    // The version first: a later format may differ in everything else.
    let VersionOnly { version } = serde_json::from_slice(bytes).map_err(invalid)?;
    if version != FORMAT {
        return Err(Error::UsersVersion { path, version });
    }
    let document: UsersDocument = serde_json::from_slice(bytes).map_err(invalid)?;
    let mut users = Users::default();
    for user in document.users {
        users.add(user).map_err(|error| Error::UsersFile {
            path: path.clone(),
            reason: error.to_string(),
        })?;
    }
    Ok(users)
}

/// Reads a users file and writes its accounts again.
#[cfg(feature = "testing")]
pub(crate) fn rewritten(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    to_bytes(&parse(USERS_FILE.into(), bytes)?)
}

fn to_bytes(users: &Users) -> Result<Vec<u8>, Error> {
    let document = UsersDocument {
        version: FORMAT,
        users: users.iter().cloned().collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&document).map_err(|error| Error::UsersFile {
        path: USERS_FILE.into(),
        reason: error.to_string(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}
