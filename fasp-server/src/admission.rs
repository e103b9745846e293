//! The accounts of a state directory as what an SSH endpoint asks.

use fasp_net::control::ssh::{
    PublicKey,
    server::{Admission, UserHandle},
};
use tracing::{error, info};

use crate::{
    Error,
    users::{User, UserStore, Users},
};

impl Admission for UserStore {
    fn password(&self, user: &str, password: &str) -> Option<UserHandle> {
        self.admit(user, "password", |users| {
            users.verify_password(user, password.as_bytes())
        })
    }

    fn public_key(&self, user: &str, key: &PublicKey) -> Option<UserHandle> {
        let blob = key.to_bytes().ok()?;
        self.admit(user, "publickey", |users| users.verify_key(user, &blob))
    }

    /// The account as the file has it: whatever changes there makes its tickets worthless.
    fn account_state(&self, user: &str) -> Option<Vec<u8>> {
        let users = self.current().ok()?;
        let user = users.find(&user.parse().ok()?)?;
        serde_json::to_vec(user).ok()
    }
}

impl UserStore {
    fn admit(
        &self,
        name: &str,
        method: &'static str,
        verify: impl FnOnce(&Users) -> Option<&User>,
    ) -> Option<UserHandle> {
        match self.current() {
            Ok(users) => {
                let handle = verify(&users).map(|user| UserHandle {
                    name: user.name.to_string(),
                });
                if handle.is_none() {
                    info!(user = name, method, "login refused");
                }
                handle
            }
            // Nobody is let in on the word of a file that cannot be trusted.
            Err(error) => {
                log_unusable(&error);
                None
            }
        }
    }
}

fn log_unusable(error: &Error) {
    error!(
        errcode = error.code().number(),
        hint = error.hint(),
        "accounts cannot be read: {error}"
    );
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use super::*;
    use crate::{
        state::StateDir,
        users::{PasswordHash, UserRoot},
    };

    #[test]
    fn w1_the_state_of_an_account_is_another_after_any_change_and_gone_with_it() {
        let temp = tempfile::tempdir().unwrap();
        let state = Arc::new(StateDir::open(&temp.path().join("state")).unwrap());
        let store = UserStore::new(state);
        let name = || "lea".parse().unwrap();
        let root = UserRoot::new(Path::new("/srv/lea")).unwrap();
        store
            .edit(|users| users.add(User::new(name(), root)))
            .unwrap();
        let mut states = vec![store.account_state("lea").unwrap()];
        assert_eq!(store.account_state("lea").as_ref(), states.last());
        let changes: [fn(&mut User); 4] = [
            |user| user.permissions.write = false,
            |user| user.password = Some(PasswordHash::new(b"secret").unwrap()),
            |user| user.password = Some(PasswordHash::new(b"secret").unwrap()),
            |user| user.rate_cap_kbps = Some(1000),
        ];
        for change in changes {
            store
                .edit(|users| {
                    let mut user = users.remove(&name())?;
                    change(&mut user);
                    users.add(user)
                })
                .unwrap();
            let state = store.account_state("lea").unwrap();
            assert!(!states.contains(&state));
            states.push(state);
        }
        store.edit(|users| users.remove(&name())).unwrap();
        assert_eq!(store.account_state("lea"), None);
        assert_eq!(store.account_state("bad\nname"), None);
    }
}
