//! The seed corpora of the fuzz targets for this crate's parsers.

#[path = "../../fuzz/checks/entry_path.rs"]
mod entry_path;
#[path = "../../fuzz/checks/replay.rs"]
mod replay;

#[test]
fn entry_path_corpus_holds() {
    replay::replay("entry_path", entry_path::check);
}
