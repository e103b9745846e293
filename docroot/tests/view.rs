//! A root of which only a part exists for its user: what is hidden is not listed, read, made, replaced or removed.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "test set-up"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use docroot::{
    Docroot, EntryPath, Existing, LinkRule, Looked, Metadata, PartialOptions, RootOptions, View,
    WalkOptions,
};

/// `pub/**` exists, but for names that begin with a dot.
fn admits(path: &[u8], looked: Looked) -> bool {
    let text = str::from_utf8(path).unwrap();
    let is_in = text.starts_with("pub/") && !text.split('/').any(|name| name.starts_with('.'));
    is_in || (looked == Looked::Directory && text == "pub")
}

fn root(path: &Path) -> Docroot {
    fs::create_dir_all(path.join("pub/deep")).unwrap();
    fs::create_dir_all(path.join("pub/.git")).unwrap();
    fs::create_dir_all(path.join("other")).unwrap();
    for name in [
        "secret",
        "pub/a",
        "pub/.hidden",
        "pub/deep/b",
        "pub/.git/config",
        "other/c",
    ] {
        fs::write(path.join(name), name).unwrap();
    }
    symlink("../secret", path.join("pub/link")).unwrap();
    symlink("deep/b", path.join("pub/inner")).unwrap();
    let mut options = RootOptions::default();
    options.view = Some(View::new(admits));
    Docroot::open_with(path, options).unwrap()
}

fn entry(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

#[test]
fn p1_what_is_hidden_is_neither_listed_nor_walked() {
    let temp = tempfile::tempdir().unwrap();
    let root = root(temp.path());
    let list = |path: &EntryPath| -> Vec<String> {
        let entries = root.list(path, LinkRule::Refuse).unwrap();
        let names = entries.map(|entry| String::from_utf8(entry.unwrap().name).unwrap());
        names.collect()
    };
    assert_eq!(list(&EntryPath::root()), ["pub"]);
    assert_eq!(list(&entry("pub")), ["a", "deep", "inner", "link"]);
    assert!(root.list(&entry("other"), LinkRule::Refuse).is_err());
    let names: Vec<_> = root.dir(&entry("pub")).unwrap().list().unwrap().collect();
    assert_eq!(names.len(), 4);
    // Links are left out, wherever they lead, and nothing is opened before its path has been looked at.
    let mut walk = root
        .walk(&EntryPath::root(), WalkOptions::default())
        .unwrap();
    walk.open_files(true);
    let mut walked = Vec::new();
    while let Some(entry) = walk.next() {
        walked.push(entry.unwrap().path.to_string());
        assert!(walk.take_file().is_none());
    }
    assert_eq!(walked, ["pub", "pub/a", "pub/deep", "pub/deep/b"]);
}

#[test]
fn p1_what_is_hidden_is_as_if_it_were_not_there() {
    let temp = tempfile::tempdir().unwrap();
    let root = root(temp.path());
    for hidden in [
        "secret",
        "other",
        "other/c",
        "pub/.hidden",
        "pub/.git",
        "pub/.git/config",
    ] {
        let path = entry(hidden);
        assert_eq!(
            root.stat(&path, LinkRule::Refuse).unwrap(),
            None,
            "{hidden}"
        );
        assert_eq!(
            root.stat(&path, LinkRule::FollowBeneath).unwrap(),
            None,
            "{hidden}"
        );
        assert!(
            root.open_source(&path, LinkRule::Refuse).is_err(),
            "{hidden}"
        );
        assert!(root.remove_file(&path).is_err(), "{hidden}");
        assert!(
            root.create_symlink(&path, b"x", Existing::Replace).is_err(),
            "{hidden}"
        );
    }
    assert!(root.open_source(&entry("pub/a"), LinkRule::Refuse).is_ok());
    // A link whose name exists does not lead to what does not.
    for link in ["pub/link", "pub/inner"] {
        assert!(
            root.open_source(&entry(link), LinkRule::FollowBeneath)
                .is_err()
        );
    }
    assert_eq!(fs::read(temp.path().join("secret")).unwrap(), b"secret");
}

#[test]
fn p1_nothing_is_made_where_nothing_exists() {
    let temp = tempfile::tempdir().unwrap();
    let root = root(temp.path());
    assert_eq!(
        root.create_dirs(&entry("new"), 0o777)
            .unwrap_err()
            .code()
            .number(),
        41
    );
    assert!(root.create_dirs(&entry("pub/.x/y"), 0o777).is_err());
    root.create_dirs(&entry("pub/x/y"), 0o777).unwrap();
    let dir = root.dir(&entry("pub")).unwrap();
    let small = |name: &[u8]| dir.create_small(name, b"1", &Metadata::default(), Existing::Replace);
    assert!(small(b"new").is_ok());
    for name in [&b".hidden"[..], b".new"] {
        assert_eq!(small(name).unwrap_err().code().number(), 41);
        assert!(
            dir.create_partial(name, &PartialOptions::default())
                .is_err()
        );
        assert!(dir.stat(name).is_err());
    }
    let above = root.root_dir().unwrap();
    assert!(
        above
            .create_partial(b"secret", &PartialOptions::default())
            .is_err()
    );
    assert!(above.child(b"other").is_err());
    assert!(!temp.path().join("new").exists() && !temp.path().join("pub/.x").exists());
}
