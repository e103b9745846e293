//! Who may log in, where their files are and what they may do.

mod key;
mod name;
mod password;
mod store;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    path::{Component, Path, PathBuf},
};

use fasp_core::Rate;
use fasp_net::event::ShownText;
use serde::{Deserialize, Serialize};

#[cfg(feature = "testing")]
pub(crate) use self::store::rewritten;
pub use self::{
    key::AuthorizedKey,
    name::UserName,
    password::{PASSWORD_MAX, PasswordHash},
    store::{USERS_FILE, UserStore},
};
use crate::Error;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name to log in with.
    pub name: UserName,
    /// The directory the user cannot leave; `None` leaves it to `aspera.conf`. Without either there are no files for the
    /// account (rule P-1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docroot: Option<UserRoot>,
    /// Groups of `aspera.conf` that the account belongs to, besides those that the operating system knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The public keys that open the account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorized_keys: Vec<AuthorizedKey>,
    /// The password that opens it; `None` when only keys do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// What the user may do below the docroot.
    #[serde(default)]
    pub permissions: Permissions,
    /// The highest rate of each session of the user, kbit/s; `None` for no limit of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_cap_kbps: Option<u64>,
    /// How many sessions may be open at once, at most [`crate::limits::SESSIONS_PER_USER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
}

impl User {
    /// Makes an account that may do everything below `docroot`, but that nothing opens yet.
    pub fn new(name: UserName, docroot: impl Into<Option<UserRoot>>) -> Self {
        Self {
            name,
            docroot: docroot.into(),
            groups: Vec::new(),
            authorized_keys: Vec::new(),
            password: None,
            permissions: Permissions::default(),
            rate_cap_kbps: None,
            max_sessions: None,
        }
    }

    /// Returns the rate cap of this user.
    pub fn rate_cap(&self) -> Option<Rate> {
        self.rate_cap_kbps.map(Rate::from_kbps)
    }

    /// Returns true when a key or a password opens the account.
    pub fn can_log_in(&self) -> bool {
        self.password.is_some() || !self.authorized_keys.is_empty()
    }
}

/// What a user may do below the docroot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permissions {
    /// Download.
    pub read: bool,
    /// Upload.
    pub write: bool,
    /// List directories.
    pub list: bool,
}

impl Default for Permissions {
    fn default() -> Self {
        Self {
            read: true,
            write: true,
            list: true,
        }
    }
}

/// The path of a docroot: absolute, without `.` and `..`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserRoot(String);

impl UserRoot {
    /// Checks a path. It need not exist: a session opens it when the user logs in.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidDocroot`] for relative paths, `..`, and text that is not UTF-8 without control characters.
    pub fn new(path: &Path) -> Result<Self, Error> {
        let shown = ShownText::from_bytes(path.as_os_str().as_encoded_bytes());
        let plain = path.is_absolute()
            && path
                .components()
                .all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        match path.to_str() {
            // A backslash is legal in a name although it is shown doubled.
            Some(text) if plain && shown.as_str() == text.replace('\\', "\\\\") => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(Error::InvalidDocroot(shown)),
        }
    }

    /// Returns the path.
    pub fn path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl TryFrom<String> for UserRoot {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::new(&PathBuf::from(text))
    }
}

impl From<UserRoot> for String {
    fn from(root: UserRoot) -> Self {
        root.0
    }
}

/// All accounts at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    by_name: BTreeMap<UserName, User>,
}

impl Users {
    /// Adds an account.
    ///
    /// # Errors
    ///
    /// [`Error::UserExists`] when the name is taken.
    pub fn add(&mut self, user: User) -> Result<(), Error> {
        match self.by_name.entry(user.name.clone()) {
            Entry::Occupied(taken) => Err(Error::UserExists(taken.key().as_str().into())),
            Entry::Vacant(free) => {
                free.insert(user);
                Ok(())
            }
        }
    }

    /// Removes an account and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownUser`] when there is none with this name.
    pub fn remove(&mut self, name: &UserName) -> Result<User, Error> {
        self.by_name
            .remove(name)
            .ok_or_else(|| Error::UnknownUser(name.as_str().into()))
    }

    /// Returns the account with this name. Use the `verify` functions to log somebody in.
    pub fn find(&self, name: &UserName) -> Option<&User> {
        self.by_name.get(name)
    }

    /// Returns all accounts, by name.
    pub fn iter(&self) -> impl Iterator<Item = &User> {
        self.by_name.values()
    }

    /// Returns the account that this name and password open.
    ///
    /// The work is the same for a wrong password, an account without one and a name that does not exist (C-8). It
    /// takes tens of milliseconds: call it outside of an event loop.
    pub fn verify_password(&self, name: &str, password: &[u8]) -> Option<&User> {
        let user = self.by_text(name);
        match user.and_then(|user| user.password.as_ref()) {
            Some(hash) => user.filter(|_| hash.verify(password)),
            None => {
                password::verify_nobody(password);
                None
            }
        }
    }

    /// Returns the account that this public key, in SSH wire format, opens. The caller has checked the signature, or
    /// will before it lets anybody in.
    pub fn verify_key(&self, name: &str, blob: &[u8]) -> Option<&User> {
        self.by_text(name)
            .filter(|user| user.authorized_keys.iter().any(|key| key.blob() == blob))
    }

    fn by_text(&self, name: &str) -> Option<&User> {
        self.by_name.get(&name.parse::<UserName>().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> User {
        let root = UserRoot::new(Path::new("/srv/files")).unwrap();
        User::new(name.parse().unwrap(), root)
    }

    #[test]
    fn p1_docroots_are_plain_absolute_paths() {
        for path in ["/", "/srv/files", "/srv/with space", "/srv/back\\slash"] {
            assert!(UserRoot::new(Path::new(path)).is_ok(), "{path}");
        }
        for path in [
            "",
            "srv",
            "./srv",
            "/srv/../etc",
            "/srv/\n",
            "~/files",
            "/a\u{202e}b",
        ] {
            assert!(UserRoot::new(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn c8_only_the_right_name_and_password_open_an_account() {
        let mut users = Users::default();
        let mut lea = user("lea");
        lea.password = Some(PasswordHash::new(b"secret").unwrap());
        users.add(lea).unwrap();
        users.add(user("keyless")).unwrap();
        assert!(users.verify_password("lea", b"secret").is_some());
        assert!(users.verify_password("lea", b"Secret").is_none());
        assert!(users.verify_password("nobody", b"secret").is_none());
        assert!(users.verify_password("keyless", b"secret").is_none());
        assert!(
            users
                .verify_password("bad\nname", b"no account has this hash")
                .is_none()
        );
    }

    #[test]
    fn names_are_unique() {
        let mut users = Users::default();
        users.add(user("lea")).unwrap();
        assert!(matches!(users.add(user("lea")), Err(Error::UserExists(_))));
        users.remove(&"lea".parse().unwrap()).unwrap();
        assert!(matches!(
            users.remove(&"lea".parse().unwrap()),
            Err(Error::UnknownUser(_))
        ));
    }
}
