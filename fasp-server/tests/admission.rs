//! The accounts, asked as an SSH endpoint asks.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

use std::{fs, path::Path, sync::Arc};

use fasp_net::control::ssh::{PublicKey, server::Admission as _};
use fasp_server::{
    state::StateDir,
    users::{AuthorizedKey, PasswordHash, USERS_FILE, User, UserRoot, UserStore},
};
use tempfile::TempDir;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE6TPfM2r8jDn+XPBomLmsD/JEW2zRX9Xx9CgJnzcVl0 lea@host";
const OTHER: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJkSIuG7AbZCFWOSxqM8SeAhHH1oQ9C3tZuoRizyHS94 eve@host";

fn store(temp: &TempDir) -> UserStore {
    let state = StateDir::open(&temp.path().join("state")).unwrap();
    let store = UserStore::new(Arc::new(state));
    let root = UserRoot::new(Path::new("/srv/lea")).unwrap();
    let mut lea = User::new("lea".parse().unwrap(), root);
    lea.password = Some(PasswordHash::new(b"secret").unwrap());
    lea.authorized_keys.push(AuthorizedKey::parse(KEY).unwrap());
    store.edit(|users| users.add(lea)).unwrap();
    store
}

#[test]
fn the_right_key_or_password_opens_the_account_and_nothing_else_does() {
    let temp = TempDir::new().unwrap();
    let store = store(&temp);
    let (key, other): (PublicKey, PublicKey) = (KEY.parse().unwrap(), OTHER.parse().unwrap());
    assert_eq!(store.public_key("lea", &key).unwrap().name, "lea");
    assert_eq!(store.password("lea", "secret").unwrap().name, "lea");
    assert_eq!(store.public_key("lea", &other), None);
    assert_eq!(store.public_key("eve", &key), None);
    assert_eq!(store.password("lea", "wrong"), None);
    assert_eq!(store.password("eve", "secret"), None);
    assert_eq!(store.password("lea\n", "secret"), None);
}

/// Rule D-8.
#[test]
fn a_damaged_users_file_lets_nobody_in() {
    let temp = TempDir::new().unwrap();
    let store = store(&temp);
    assert!(store.password("lea", "secret").is_some());
    fs::write(temp.path().join("state").join(USERS_FILE), "{").unwrap();
    assert_eq!(store.password("lea", "secret"), None);
    assert_eq!(store.public_key("lea", &KEY.parse().unwrap()), None);
}
