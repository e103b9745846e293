//! Parsers that nothing else makes public (feature `testing`).

use docroot::Looked;

use crate::{
    Error,
    admin::{self, AdminAnswer, AdminRequest},
    policy, users,
};

/// Reads the bytes of a users file and returns how we would write its accounts.
///
/// # Errors
///
/// As [`users::UserStore::current`] for a damaged file.
pub fn rewritten_users(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    users::rewritten(bytes)
}

/// Reads a request as the server does.
pub fn read_request(line: &[u8]) -> Option<AdminRequest> {
    admin::read(line)
}

/// Reads an answer as an administrator's program does.
pub fn read_answer(line: &[u8]) -> Option<AdminAnswer> {
    admin::read(line)
}

/// Returns the line of a request.
pub fn written_request(request: &AdminRequest) -> Vec<u8> {
    admin::written(request).unwrap_or_default()
}

/// Returns the line of an answer.
pub fn written_answer(answer: &AdminAnswer) -> Vec<u8> {
    admin::written(answer).unwrap_or_default()
}

/// Whether an absolute path exists for an account with these file restrictions, spelled as in `aspera.conf`.
pub fn restriction_admits(patterns: &[&str], path: &[u8], is_directory: bool) -> bool {
    let looked = match is_directory {
        true => Looked::Directory,
        false => Looked::Other,
    };
    policy::restriction_admits(patterns, path, looked)
}
