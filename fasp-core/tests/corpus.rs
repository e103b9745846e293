//! The seed corpora of the fuzz targets for this crate's parsers.

#[path = "../../fuzz/checks/frames.rs"]
mod frames;
#[path = "../../fuzz/checks/records.rs"]
mod records;
#[path = "../../fuzz/checks/replay.rs"]
mod replay;
#[path = "../../fuzz/checks/session.rs"]
mod session;

#[test]
fn frames_corpus_holds() {
    replay::replay("frames", frames::check);
}

#[test]
fn records_corpus_holds() {
    replay::replay("records", records::check);
}

#[test]
fn session_corpus_holds() {
    replay::replay("session", session::check);
}
