//! The seed corpora of the fuzz targets for this crate's parsers.

#[path = "../../fuzz/checks/admin_message.rs"]
mod admin_message;
#[path = "../../fuzz/checks/authorized_key.rs"]
mod authorized_key;
#[path = "../../fuzz/checks/file_rules.rs"]
mod file_rules;
#[path = "../../fuzz/checks/replay.rs"]
mod replay;
#[path = "../../fuzz/checks/users_file.rs"]
mod users_file;

#[test]
fn admin_message_corpus_holds() {
    replay::replay("admin_message", admin_message::check);
}

#[test]
fn file_rules_corpus_holds() {
    replay::replay("file_rules", file_rules::check);
}

#[test]
fn authorized_key_corpus_holds() {
    replay::replay("authorized_key", authorized_key::check);
}

#[test]
fn users_file_corpus_holds() {
    replay::replay("users_file", users_file::check);
}
