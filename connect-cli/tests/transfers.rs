//! Whole transfers by real processes over loopback.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

mod support;

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use support::Site;

#[test]
fn a_tree_comes_back_as_it_was_sent() {
    let site = Site::new();
    let source = site.path("src");
    fs::create_dir_all(source.join("empty")).unwrap();
    let names = [
        "two words",
        "größe",
        "new\nline",
        "-dash",
        "back\\slash",
        "big",
    ];
    for (number, name) in names.into_iter().enumerate() {
        let content: Vec<u8> = (0..number * 90_000).map(|i| ((i * i) >> 7) as u8).collect();
        fs::write(source.join(name), content).unwrap();
    }
    symlink("big", source.join("link")).unwrap();
    let sent = site.lea(&["upload", "--symbolic-links", "copy", "src", "HOST:/"]);
    assert_eq!(sent.status, 0, "{}", sent.err);
    assert!(sent.out.starts_with("Completed: "), "{}", sent.out);
    let back = site.lea(&["download", "--symbolic-links", "copy", "HOST:src", "back"]);
    assert_eq!(back.status, 0, "{}", back.err);
    for name in names {
        let is_same =
            fs::read(source.join(name)).unwrap() == fs::read(site.path("back").join(name)).unwrap();
        assert!(is_same, "{name:?}");
    }
    assert!(site.path("back/empty").is_dir());
    assert_eq!(
        fs::read_link(site.path("back/link")).unwrap(),
        PathBuf::from("big")
    );
    let listed = site.lea(&["ls", "HOST:src"]);
    assert!(listed.out.contains("empty/\n") && listed.out.contains("new\\nline\n"));
    let again = site.lea(&[
        "upload",
        "--json",
        "--symbolic-links",
        "copy",
        "src",
        "HOST:/",
    ]);
    assert!(again.out.contains("\"files_done\":0"), "{}", again.out);
}
