//! Parsers that nothing else makes public (feature `testing`).

use crate::{Error, users};

/// Reads the bytes of a users file and returns how we would write its accounts.
///
/// # Errors
///
/// As [`users::UserStore::current`] for a damaged file.
pub fn rewritten_users(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    users::rewritten(bytes)
}
