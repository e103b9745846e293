//! A file of public keys: one that was accepted is accepted again.

use fasp_server::users::AuthorizedKey;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match AuthorizedKey::parse_file(text) {
        Ok(keys) => {
            for key in keys {
                let line = String::from(key.clone());
                let again = AuthorizedKey::parse(&line).expect("it was accepted before");
                assert_eq!(again, key);
            }
        }
        Err(error) => drop(error.to_string()),
    }
}
