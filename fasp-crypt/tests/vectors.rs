//! The published vectors of docs/envelope.md, byte for byte.
#![allow(clippy::unwrap_used, reason = "test set-up")]

mod support;

use fasp_crypt::testing::{self, from_hex, pattern, to_hex};
use fasp_crypt::{ChunkSize, Cost, HEADER_LEN, Header, KdfParams, MemoryCeiling, rekey};
use ring::digest::{SHA256, digest};
use support::{GO_ON, TWO, WORDS, cheap, kek, open, open_stream, ring};

const FILE_KEY: [u8; 32] = {
    let mut key = [0; 32];
    let mut i = 0;
    while i < 32 {
        key[i] = i as u8;
        i += 1;
    }
    key
};

const HEADER_25: &str = "
    8941454e560d0a1a0101190001100304a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
    4de072b896406d4e073fe3392a6a28a837cf02a792d6d2d1a3135d2cc40f1479
    dc3e8d9326300fea58187531bf99c880d9f96cc6715cb1824934556761302426
    f313176dc9c544d8";
const HEADER_16: &str = "
    8941454e560d0a1a0101100001100304a0a1a2a3a4a5a6a7a8a9aaabacadaeaf
    f44b0d25b34d77882bb06fd3dd5c8ef7b76985401991a8a13b2ba3b6d0a7e929
    fffe38c6e8a40b76bf18082cca2ac53f5cd385f8d07318c7f73d3a485b6b1e9a
    17e949a47faa7412";
const HEADER_REKEYED: &str = "
    8941454e560d0a1a01011000010d0101c0c1c2c3c4c5c6c7c8c9cacbcccdcecf
    fc88149fb02cb3c7891fbb30fc151f2ef85c2d9a23fcdfaf7190c45f1ebb1667
    663794444e0d7b4cc45279c7480f9d21cde74816d1e6f930b711d50c644fae93
    3f5dba646bd0356e";

fn counting_salt(first: u8) -> [u8; 16] {
    std::array::from_fn(|i| first + i as u8)
}

fn sha256(bytes: &[u8]) -> String {
    to_hex(digest(&SHA256, bytes).as_ref())
}

#[test]
fn v1_to_v6_are_made_and_opened() {
    let ring = ring(WORDS);
    let params = KdfParams {
        cost: Cost::DEFAULT,
        salt: counting_salt(0xa0),
    };
    let kek = kek(&ring, &params);
    let seal = |log2, plain: &[u8]| {
        let chunk = ChunkSize::from_log2(log2).unwrap();
        let writer = testing::writer(&kek, FILE_KEY, chunk, plain.len() as u64).unwrap();
        let envelope = writer.seal_all(plain, TWO).unwrap();
        assert_eq!(open(&ring, &envelope).unwrap(), plain);
        assert_eq!(open_stream(&ring, &envelope).unwrap(), plain);
        let mut stream = testing::stream(&kek, FILE_KEY, chunk, Vec::new()).unwrap();
        for piece in plain.chunks(9_999) {
            std::io::Write::write_all(&mut stream, piece).unwrap();
        }
        assert_eq!(
            stream.finish().unwrap(),
            envelope,
            "both ways to write agree"
        );
        envelope
    };
    let v1 = seal(25, b"");
    assert_eq!(to_hex(&v1[..HEADER_LEN]), to_hex(&from_hex(HEADER_25)));
    assert_eq!(
        to_hex(&v1[HEADER_LEN..]),
        "970714d2ed086107b3bdc175987924e5"
    );
    let v2 = seal(25, b"hello, envelope\n");
    assert_eq!(
        to_hex(&v2[HEADER_LEN..]),
        "a7973cfee397afdfc9fc2d99cc57334e1ab4ff0bb507f1d0fd716f1dae8972df"
    );
    for (plain_len, total, hash) in [
        (
            65_535,
            65_655,
            "02464dbd740dad527c4d06f0a9495e66128d2a37c7612518d47faee056f5116d",
        ),
        (
            65_536,
            65_672,
            "1f461bb89cf7f1f2440b9ffe70d3d223f5a0168b6b2e795c3cc1091299d80699",
        ),
        (
            65_537,
            65_673,
            "d015319b6f46bb8d4572b71b89af1956bdb765aa01deecdb42eecebd6f1eadd4",
        ),
        (
            131_072,
            131_224,
            "7fe7098eb5fc221ce3a2a401443a4275547523892ed1b9878d8f3759145c29bc",
        ),
    ] {
        let envelope = seal(16, &pattern(plain_len));
        assert_eq!(envelope.len(), total);
        assert_eq!(
            to_hex(&envelope[..HEADER_LEN]),
            to_hex(&from_hex(HEADER_16))
        );
        assert_eq!(sha256(&envelope), hash, "{plain_len}");
    }
}

#[test]
fn v7_passphrases_are_normalised() {
    let whole = from_hex(
        "8941454e560d0a1a01011900010d010100000000000000000000000000000000
         c3e829b53e6cee25e3374260c9b9202a7c7694fc7f0a2ca5be37b46301f206a1
         8e194d86349d272fab395495292a9e0b80940ae97c6d05ed30c5d060a6871441
         4a228eb597a6f563ba9c39f1e3dfea5db05722c8d8b94cbebfe497be12f9d3",
    );
    let composed =
        String::from_utf8(from_hex("d09fd0b0d180d0bed0bbd18c2dc3b12de5af86e7a081")).unwrap();
    let decomposed = composed.replace('\u{f1}', "n\u{303}");
    assert_ne!(composed, decomposed);
    for words in [composed, decomposed] {
        let ring = ring(&words);
        assert_eq!(open(&ring, &whole).unwrap(), b"unicode");
        let writer = testing::writer(&kek(&ring, &cheap(0)), FILE_KEY, ChunkSize::MAX, 7).unwrap();
        assert_eq!(writer.seal_all(b"unicode", TWO).unwrap(), whole);
    }
}

// Rule E-10
#[test]
fn v8_a_change_of_passphrase_changes_the_header_only() {
    let old_header = from_hex(HEADER_16);
    let (old, new) = (ring(WORDS), ring("new passphrase"));
    let params = KdfParams {
        cost: Cost::CHEAPEST,
        salt: counting_salt(0xc0),
    };
    let batch = kek(&new, &params);
    let header = rekey(&old_header, &old, &batch, &GO_ON).unwrap();
    assert_eq!(to_hex(header.as_bytes()), to_hex(&from_hex(HEADER_REKEYED)));
    assert!(batch.opens(&header));
    let before = Header::parse(&old_header, MemoryCeiling::DEFAULT).unwrap();
    assert!(!batch.opens(&before));

    let old_kek = kek(&old, before.kdf());
    let writer = testing::writer(&old_kek, FILE_KEY, ChunkSize::MIN, 131_072).unwrap();
    let mut envelope = writer.seal_all(&pattern(131_072), TWO).unwrap();
    envelope[..HEADER_LEN].copy_from_slice(header.as_bytes());
    assert_eq!(open(&new, &envelope).unwrap(), pattern(131_072));
    assert!(open(&old, &envelope).is_err());
}
