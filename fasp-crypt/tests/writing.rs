//! What a transfer needs of a writer: lengths in advance, chunks at random, the same bytes again or none.
#![allow(clippy::unwrap_used, reason = "test set-up")]

mod support;

use std::io::{Read as _, Write as _};
use std::sync::atomic::AtomicBool;

use fasp_crypt::testing::pattern;
use fasp_crypt::{
    ChunkSize, Cost, EnvelopeReader, EnvelopeWriter, Error, HEADER_LEN, OpenReader, SealWriter,
};
use support::{C, GO_ON, TWO, WORDS, cheap, kek, open, open_stream, ring, seal};

/// Seals chunk `index` of `plain` by itself.
fn sealed(writer: &EnvelopeWriter, index: u64, plain: &[u8]) -> Result<Vec<u8>, Error> {
    let span = writer.layout().span(index)?;
    let start = span.plain_start as usize;
    let mut chunk = plain[start..start + span.plain_len].to_vec();
    chunk.resize(span.sealed_len(), 0);
    writer.seal_chunk(index, &mut chunk)?;
    Ok(chunk)
}

fn writer(plain_len: usize) -> EnvelopeWriter {
    let kek = kek(&ring(WORDS), &cheap(1));
    fasp_crypt::testing::writer(&kek, [1; 32], ChunkSize::MIN, plain_len as u64).unwrap()
}

#[test]
fn chunks_sealed_in_any_order_are_the_envelope() {
    let plain = pattern(3 * C + 77);
    let writer = writer(plain.len());
    let whole = writer.seal_all(&plain, TWO).unwrap();
    assert_eq!(whole.len() as u64, writer.layout().envelope_len());
    assert_eq!(whole[..HEADER_LEN], writer.header().as_bytes()[..]);
    for index in [3, 0, 2, 1, 0] {
        let span = writer.layout().span(index).unwrap();
        let start = span.sealed_start as usize;
        let chunk = sealed(&writer, index, &plain).unwrap();
        assert_eq!(chunk, whole[start..start + span.sealed_len()]);
    }
}

// Rule E-9
#[test]
fn a_changed_source_gives_no_second_ciphertext() {
    let mut plain = pattern(2 * C);
    let writer = writer(plain.len());
    let first = sealed(&writer, 0, &plain).unwrap();
    plain[C - 1] ^= 1;
    assert_eq!(sealed(&writer, 0, &plain), Err(Error::SourceChanged(0)));
    let mut room = [plain[..C].to_vec(), vec![0; 16]].concat();
    assert!(writer.seal_chunk(0, &mut room).is_err());
    assert!(
        room.iter().all(|byte| *byte == 0),
        "nothing to send by mistake"
    );
    plain[C - 1] ^= 1;
    assert_eq!(sealed(&writer, 0, &plain).unwrap(), first);
    // A chunk that was not sealed yet may still change.
    plain[C] ^= 1;
    assert!(sealed(&writer, 1, &plain).is_ok());
}

// Rule E-9: after a restart too.
#[test]
fn an_envelope_is_continued_with_the_same_bytes() {
    let mut plain = pattern(2 * C + 5);
    let ring = ring(WORDS);
    let batch = kek(&ring, &cheap(1));
    let before =
        fasp_crypt::testing::writer(&batch, [1; 32], ChunkSize::MIN, plain.len() as u64).unwrap();
    let first = sealed(&before, 0, &plain).unwrap();
    let tags: Vec<_> = before
        .tags()
        .iter()
        .map(|(index, tag)| (*index, *tag))
        .collect();
    let header = *before.header();
    drop(before);

    let resume = || EnvelopeWriter::resume(&batch, header, plain.len() as u64, tags.clone());
    let after = resume().unwrap();
    assert_eq!(sealed(&after, 0, &plain).unwrap(), first);
    let rest = [
        sealed(&after, 1, &plain).unwrap(),
        sealed(&after, 2, &plain).unwrap(),
    ]
    .concat();
    let whole = [&header.as_bytes()[..], &first, &rest].concat();
    assert_eq!(open(&ring, &whole).unwrap(), plain);

    let other = kek(&support::ring("another passphrase"), &cheap(1));
    let refused = EnvelopeWriter::resume(&other, header, plain.len() as u64, tags.clone());
    assert_eq!(refused.unwrap_err(), Error::BadPassphrase);
    let beyond = EnvelopeWriter::resume(&batch, header, plain.len() as u64, [(3, [0; 16])]);
    assert!(matches!(beyond, Err(Error::Misuse(_))));
    let after = resume().unwrap();
    plain[0] ^= 1;
    assert_eq!(sealed(&after, 0, &plain), Err(Error::SourceChanged(0)));
}

// Rule E-3: one salt, and a key for every file.
#[test]
fn files_of_a_batch_share_the_salt_and_nothing_else() {
    let ring = ring(WORDS);
    let batch = ring.new_batch(Cost::CHEAPEST, &GO_ON).unwrap();
    let [a, b] = [(); 2].map(|()| EnvelopeWriter::new(&batch, 3).unwrap());
    let [a, b] = [a, b].map(|writer| writer.seal_all(b"abc", TWO).unwrap());
    assert_eq!(a[..32], b[..32]);
    assert_ne!(a[32..64], b[32..64]);
    assert_ne!(a[64..96], b[64..96]);
    assert_ne!(a[104..], b[104..]);
    let other = ring.new_batch(Cost::CHEAPEST, &GO_ON).unwrap();
    assert_ne!(other.params().salt, batch.params().salt);
    assert_eq!(a.len(), 123);
}

// Rule E-8
#[test]
fn single_chunks_are_used_after_the_last_one_was_verified() {
    let (ring, plain) = (ring(WORDS), pattern(2 * C + 9));
    let envelope = seal(&kek(&ring, &cheap(1)), 1, 16, &plain);
    let reader = || EnvelopeReader::open(&envelope, envelope.len() as u64, &ring, &GO_ON).unwrap();
    let mut last = envelope[envelope.len() - 25..].to_vec();
    let (random, len) = reader().random_access(&mut last).unwrap();
    assert_eq!(last[..len], plain[2 * C..]);
    let mut chunk = envelope[104 + C + 16..104 + 2 * (C + 16)].to_vec();
    assert_eq!(random.open_chunk(1, &mut chunk), Ok(C));
    assert_eq!(chunk[..C], plain[C..2 * C]);
    assert!(matches!(
        random.open_chunk(3, &mut chunk),
        Err(Error::Misuse(_))
    ));
    assert!(matches!(
        random.open_chunk(2, &mut chunk),
        Err(Error::Misuse(_))
    ));

    // Cut behind the first chunk's next 25 bytes: the header cannot know, the last chunk does.
    let cut = &envelope[..104 + C + 16 + 25];
    let reader = EnvelopeReader::open(cut, cut.len() as u64, &ring, &GO_ON).unwrap();
    let mut last = cut[cut.len() - 25..].to_vec();
    assert_eq!(
        reader.random_access(&mut last).unwrap_err(),
        Error::ChunkCorrupt(1)
    );
}

#[test]
fn a_stream_of_unknown_length_has_chunks_of_a_mebibyte() {
    let ring = ring(WORDS);
    let batch = kek(&ring, &cheap(1));
    for len in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 19] {
        let plain = pattern(len);
        let mut stream = SealWriter::new(&batch, Vec::new()).unwrap();
        stream.write_all(&plain).unwrap();
        let unfinished = format!("{stream:?}");
        assert!(unfinished.contains("SealWriter"));
        let envelope = stream.finish().unwrap();
        assert_eq!(envelope[10], 20);
        assert!(open(&ring, &envelope).unwrap() == plain, "{len}");
        assert!(open_stream(&ring, &envelope).unwrap() == plain, "{len}");
    }
}

#[test]
fn a_stream_that_was_not_finished_is_refused() {
    let ring = ring(WORDS);
    let mut sink = Vec::new();
    let mut stream = SealWriter::new(&kek(&ring, &cheap(1)), &mut sink).unwrap();
    stream.write_all(&pattern(1 << 20)).unwrap();
    drop(stream);
    let mut reader = OpenReader::new(&sink[..], &ring, &GO_ON).unwrap();
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
    assert_eq!(open(&ring, &sink), Err(Error::Truncated));
}

// F104: whatever a header asks for, refusing it costs nothing.
#[test]
fn hostile_headers_are_refused_at_once() {
    let (ring, mut spent) = (ring(WORDS), std::time::Duration::ZERO);
    let base = seal(&kek(&ring, &cheap(1)), 1, 16, b"");
    for (at, byte) in [
        (13, 30),
        (13, 20),
        (14, 255),
        (15, 255),
        (10, 40),
        (10, 0),
        (8, 2),
        (11, 1),
        (12, 9),
    ] {
        let mut envelope = base.clone();
        envelope[at] = byte;
        fasp_crypt::testing::repair_checksum(&mut envelope);
        let start = std::time::Instant::now();
        assert!(open(&ring, &envelope).is_err());
        spent += start.elapsed();
    }
    assert!(spent.as_millis() < 90, "{spent:?}");
}

#[test]
fn who_gave_up_gets_no_key() {
    let ring = ring(WORDS);
    let gave_up = AtomicBool::new(true);
    let refused = ring.new_batch(Cost::DEFAULT, &gave_up);
    assert_eq!(refused.unwrap_err(), Error::Cancelled);
}
