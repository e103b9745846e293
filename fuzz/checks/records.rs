//! A page: every record decodes to what it encodes to.

use fasp_core::Records;

pub(crate) fn check(page: &[u8]) {
    for record in Records::new(page).flatten() {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        let again: Vec<_> = Records::new(&bytes).collect();
        assert_eq!(again, [Ok(record)]);
    }
}
