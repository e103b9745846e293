//! The seed corpora of the fuzz targets for this crate's parsers.

#[path = "../../fuzz/checks/asconfigurator.rs"]
mod asconfigurator;
#[path = "../../fuzz/checks/aspera_conf.rs"]
mod aspera_conf;
#[path = "../../fuzz/checks/replay.rs"]
mod replay;

#[test]
fn aspera_conf_corpus_holds() {
    replay::replay("aspera_conf", aspera_conf::check);
}

#[test]
fn asconfigurator_corpus_holds() {
    replay::replay("asconfigurator", asconfigurator::check);
}
