//! An independent reader opens what the library writes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::path::Path;
use std::process::Command;

use fasp_crypt::testing::{pattern, to_hex};
use ring::digest::{SHA256, digest};
use support::{C, cheap, kek, ring, seal};

const WORDS: &str = "nai\u{308}ve pass\u{a0}phrase";

#[test]
fn a_reader_in_python_opens_what_we_write() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!(
            "NOT TESTED: there is no python3 on this machine, so nothing was compared with the second reader"
        );
        return;
    }
    let ring = ring(WORDS);
    let batch = kek(&ring, &cheap(7));
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    let mut files = Vec::new();
    let mut add = |envelope: &[u8], outcome: String| {
        let file = dir.path().join(files.len().to_string());
        std::fs::write(&file, envelope).unwrap();
        files.push(file);
        expected.push(outcome);
    };
    for (log2, len) in [
        (25, 0),
        (25, 1),
        (25, 16),
        (25, 1000),
        (16, C - 1),
        (16, C),
        (16, 2 * C + 3),
        (17, C + 1),
    ] {
        let plain = pattern(len);
        let hash = to_hex(digest(&SHA256, &plain).as_ref());
        add(&seal(&batch, 1, log2, &plain), hash);
    }
    let good = seal(&batch, 2, 16, &pattern(C));
    let mut flipped = good.clone();
    flipped[104 + C + 16 + 3] ^= 1;
    add(&flipped, "refused: ChunkCorrupt(1)".into());
    add(&good[..104 + C + 16], "refused: Truncated".into());
    let mut damaged = good;
    damaged[50] ^= 1;
    add(&damaged, "refused: HeaderCorrupt".into());

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reader.py");
    // The space that the library maps to an ordinary one is the caller's business there.
    let output = Command::new("python3")
        .arg("-B")
        .arg(script)
        .arg(WORDS.replace('\u{a0}', " "))
        .args(&files)
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}
