//! The seed corpora of the fuzz targets for this crate's parsers.

#[path = "../../fuzz/checks/location.rs"]
mod location;
#[path = "../../fuzz/checks/replay.rs"]
mod replay;

#[test]
fn location_corpus_holds() {
    replay::replay("location", location::check);
}
