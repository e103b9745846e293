//! The seed corpora of the fuzz targets for this crate's parsers.

#[path = "../../fuzz/checks/authorized_key.rs"]
mod authorized_key;
#[path = "../../fuzz/checks/replay.rs"]
mod replay;
#[path = "../../fuzz/checks/users_file.rs"]
mod users_file;

#[test]
fn authorized_key_corpus_holds() {
    replay::replay("authorized_key", authorized_key::check);
}

#[test]
fn users_file_corpus_holds() {
    replay::replay("users_file", users_file::check);
}
