//! The seed corpora of the fuzz targets for this crate's parsers.

#[path = "../../fuzz/checks/control_message.rs"]
mod control_message;
#[path = "../../fuzz/checks/control_stream.rs"]
mod control_stream;
#[path = "../../fuzz/checks/known_hosts.rs"]
mod known_hosts;
#[path = "../../fuzz/checks/replay.rs"]
mod replay;
#[path = "../../fuzz/checks/resume_offer.rs"]
mod resume_offer;
#[path = "../../fuzz/checks/ssh_transcript.rs"]
mod ssh_transcript;

#[test]
fn control_message_corpus_holds() {
    replay::replay("control_message", control_message::check);
}

#[test]
fn control_stream_corpus_holds() {
    replay::replay("control_stream", control_stream::check);
}

#[test]
fn known_hosts_corpus_holds() {
    replay::replay("known_hosts", known_hosts::check);
}

#[test]
fn ssh_transcript_corpus_holds() {
    replay::replay("ssh_transcript", ssh_transcript::check);
}

#[test]
fn resume_offer_corpus_holds() {
    replay::replay("resume_offer", resume_offer::check);
}
