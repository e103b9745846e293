//! The seed corpora of the fuzz targets for this crate's parsers.
#![allow(clippy::unwrap_used, reason = "test set-up")]

#[path = "../../fuzz/checks/envelope.rs"]
mod envelope;
#[path = "../../fuzz/checks/replay.rs"]
mod replay;
mod support;

#[test]
fn envelope_corpus_holds() {
    replay::replay("envelope", envelope::check);
}

/// Writes the corpus: `FASP_WRITE_CORPUS=1 cargo test -p fasp-crypt --test corpus`.
#[test]
#[allow(clippy::disallowed_methods, reason = "writes the corpus when asked to")]
fn envelope_corpus_is_what_the_table_says() {
    let kek = support::kek(&support::ring("fuzz"), &support::cheap(7));
    let with = |mode: u8, envelope: &[u8]| [&[mode], envelope].concat();
    let small = support::seal(&kek, 1, 25, b"seed");
    let two = support::seal(&kek, 1, 16, &vec![0; support::C]);
    let edited = |at: usize, byte: u8| {
        let mut envelope = small.clone();
        envelope[at] = byte;
        with(1, &envelope)
    };
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/envelope");
    for (name, bytes) in [
        ("small", with(0, &small)),
        ("empty_file", with(0, &support::seal(&kek, 1, 25, b""))),
        ("wrong_checksum", with(0, &edited(40, 0)[1..])),
        ("wrong_tag", edited(40, 0)),
        ("small_chunks", edited(10, 16)),
        ("chunk_size_out_of_range", edited(10, 26)),
        ("costly_key", edited(13, 20)),
        ("other_version", edited(8, 2)),
        ("flags", edited(11, 1)),
        ("other_salt", edited(16, 1)),
        ("cut", with(1, &small[..110])),
        ("cut_at_a_border", with(1, &two[..104])),
        ("flipped", edited(106, 0)),
        ("appended", with(0, &[&small[..], b"x"].concat())),
    ] {
        let file = corpus.join(name);
        if std::env::var_os("FASP_WRITE_CORPUS").is_some() {
            std::fs::write(&file, &bytes).unwrap();
        }
        assert!(std::fs::read(&file).unwrap() == bytes, "{name}");
    }
}
