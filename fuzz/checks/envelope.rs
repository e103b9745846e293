//! Headers and whole envelopes. The first byte of the input says whether the checksum is repaired, so that the fuzzer gets past it.

use std::io::Read as _;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use fasp_crypt::{
    EnvelopeReader, Error, HEADER_LEN, Header, KeyRing, MemoryCeiling, OpenReader, Passphrase,
    testing,
};

static NEVER: AtomicBool = AtomicBool::new(false);
static GAVE_UP: AtomicBool = AtomicBool::new(true);
/// Salt and cost of the envelopes in the corpus. Only these are derived, and once.
static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let words = Passphrase::new("fuzz").expect("it is a passphrase");
    KeyRing::new(words, MemoryCeiling::DEFAULT)
});

pub(crate) fn check(bytes: &[u8]) {
    let Some((mode, envelope)) = bytes.split_first() else {
        return;
    };
    let mut envelope = envelope.to_vec();
    if mode & 1 == 1 {
        testing::repair_checksum(&mut envelope);
    }
    let Ok(header) = Header::parse(&envelope, MemoryCeiling::RAISED) else {
        return;
    };
    assert_eq!(header.as_bytes()[..], envelope[..HEADER_LEN]);
    let length = envelope.len() as u64;
    let layout = header.layout(length);
    if let Ok(layout) = layout {
        assert_eq!(layout.envelope_len(), length);
        let last = layout
            .span(layout.last_index())
            .expect("it has a last chunk");
        assert_eq!(last.sealed_range().end, length);
        assert!(layout.span(layout.chunk_count()).is_err());
    }
    // Other salts and costs would take all the time there is.
    let is_known = header.kdf().salt == [7; 16] && header.kdf().cost == fasp_crypt::Cost::CHEAPEST;
    let cancelled = if is_known { &NEVER } else { &GAVE_UP };
    let whole = EnvelopeReader::open(&envelope, length, &RING, cancelled)
        .and_then(|reader| reader.open_all(&envelope, std::num::NonZeroUsize::MIN));
    let mut streamed = Vec::new();
    let stream = OpenReader::new(&envelope[..], &RING, cancelled)
        .and_then(|mut reader| reader.read_to_end(&mut streamed));
    assert_eq!(whole.is_ok(), stream.is_ok());
    match whole {
        Ok(plain) => {
            let layout = layout.expect("what opens has a layout");
            assert_eq!(plain.len() as u64, layout.plain_len());
            assert_eq!(plain, streamed);
        }
        Err(Error::Misuse(what)) => panic!("{what}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
