//! A file of known host keys.

use fasp_net::testing::known_host_lines;

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for port in [22, 33001] {
        let lines = known_host_lines(text, "files.example.org", port);
        let count = text.lines().count();
        assert!(lines.iter().all(|line| (1..=count).contains(line)));
        assert!(lines.is_sorted());
    }
}
