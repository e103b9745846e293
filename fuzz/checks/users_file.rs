//! The users file: reading, writing and reading again gives the same accounts.

use fasp_server::testing::rewritten_users;

pub(crate) fn check(bytes: &[u8]) {
    match rewritten_users(bytes) {
        Ok(written) => {
            let again = rewritten_users(&written).expect("what we write can be read");
            assert_eq!(again, written);
        }
        Err(error) => drop(error.to_string()),
    }
}
