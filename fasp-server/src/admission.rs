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
