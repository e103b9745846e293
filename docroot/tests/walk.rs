//! Walking a source tree.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up, also outside the test functions"
)]

mod bed;

use std::fs;

use bed::{Bed, path, with_both_resolvers};
use docroot::{
    Docroot, EntryPath, FileKind, LinkRule, MAX_DEPTH, Resolver, SymlinkPolicy, WalkOptions,
};

/// Returns each entry as `path`, `path/` or `path -> target`, and each error as `path!code`.
fn walk(root: &Docroot, start: &EntryPath, policy: SymlinkPolicy) -> Vec<String> {
    let options = WalkOptions::default().symlinks(policy);
    let mut lines = Vec::new();
    for entry in root.walk(start, options).unwrap() {
        lines.push(match entry {
            Ok(entry) => match (entry.kind(), &entry.target) {
                (FileKind::Directory, _) => format!("{}/", entry.path),
                (_, Some(target)) => {
                    format!("{} -> {}", entry.path, docroot::escape_name(target))
                }
                _ => entry.path.to_string(),
            },
            Err(error) => {
                let code = error.error.code().number();
                format!("{}!{code}", docroot::escape_name(&error.path))
            }
        });
    }
    lines
}

fn tree(bed: &Bed) {
    bed.mkdir("src/b/c");
    bed.mkdir("src/empty");
    bed.mkdir("beside");
    bed.file("src/a", "1");
    bed.file("src/b/x", "22");
    bed.file("src/b/c/y", "333");
    bed.file("src/z", "");
    bed.file("beside/n", "4");
}

#[test]
fn parents_come_before_children_and_names_in_order() {
    with_both_resolvers(|bed| {
        tree(&bed);
        let all = [
            "src/",
            "src/a",
            "src/b/",
            "src/b/c/",
            "src/b/c/y",
            "src/b/x",
            "src/empty/",
            "src/z",
        ];
        assert_eq!(walk(&bed.root, &path("src"), SymlinkPolicy::Follow), all);
        assert_eq!(
            walk(&bed.root, &path("src/b/x"), SymlinkPolicy::Follow),
            ["src/b/x"]
        );
        assert_eq!(
            walk(&bed.root, &path("src/b/c"), SymlinkPolicy::Copy),
            ["src/b/c/", "src/b/c/y"]
        );
        assert_eq!(
            walk(&bed.root, &path("none"), SymlinkPolicy::Follow),
            ["none!4"]
        );
        assert!(
            bed.root
                .walk(&path("none/x"), WalkOptions::default())
                .is_err()
        );
        let everything = walk(&bed.root, &EntryPath::root(), SymlinkPolicy::Follow);
        assert_eq!(everything.len(), all.len() + 2);
        let (root, name) = Docroot::for_source(&bed.path("src")).unwrap();
        assert_eq!(walk(&root, &name, SymlinkPolicy::Follow), all);
        let (root, name) = Docroot::for_source(&bed.path("src/..")).unwrap();
        assert!(name.is_root());
        assert_eq!(
            walk(&root, &name, SymlinkPolicy::Follow).len(),
            all.len() + 2
        );
        let size = |p: &str| {
            bed.root
                .stat(&path(p), LinkRule::Refuse)
                .unwrap()
                .unwrap()
                .size
        };
        assert_eq!((size("src/b/c/y"), size("src/z")), (3, 0));
    });
}

/// P-4: each policy, on links to a file, a directory, outside, nowhere and in circles.
#[test]
fn links_are_treated_by_the_policy() {
    with_both_resolvers(|bed| {
        bed.mkdir("src/sub");
        bed.mkdir("beside");
        bed.file("beside/n", "4");
        bed.link("src/file", "../beside/n");
        bed.link("src/dir", "../beside");
        bed.link("src/out", "../../outside");
        bed.link("src/abs", bed.outside("secret"));
        bed.link("src/gone", "nowhere");
        bed.link("src/self", "self");
        bed.link("src/sub/up", "..");
        let start = path("src");
        assert_eq!(
            walk(&bed.root, &start, SymlinkPolicy::Follow),
            [
                "src/",
                "src/abs!41",
                "src/dir/",
                "src/dir/n",
                "src/file",
                "src/gone!4",
                "src/out!41",
                "src/self!63",
                "src/sub/",
                "src/sub/up!63",
            ]
        );
        let secret = bed.outside("secret");
        for policy in [SymlinkPolicy::Copy, SymlinkPolicy::CopyForce] {
            assert_eq!(
                walk(&bed.root, &start, policy),
                [
                    "src/".to_owned(),
                    format!("src/abs -> {}", secret.display()),
                    "src/dir -> ../beside".to_owned(),
                    "src/file -> ../beside/n".to_owned(),
                    "src/gone -> nowhere".to_owned(),
                    "src/out -> ../../outside".to_owned(),
                    "src/self -> self".to_owned(),
                    "src/sub/".to_owned(),
                    "src/sub/up -> ..".to_owned(),
                ]
            );
        }
        assert_eq!(
            walk(&bed.root, &start, SymlinkPolicy::Skip),
            ["src/", "src/sub/"]
        );
        assert_eq!(
            walk(&bed.root, &path("src/dir"), SymlinkPolicy::Follow),
            ["src/dir/", "src/dir/n"]
        );
        assert_eq!(
            walk(&bed.root, &path("src/dir/n"), SymlinkPolicy::Follow),
            ["src/dir/n"]
        );
    });
}

/// F30: reported, and the walk goes on.
#[test]
fn special_files_are_reported_and_passed() {
    with_both_resolvers(|bed| {
        tree(&bed);
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            bed.path("src/b/fifo"),
            fifo,
            0o644.into(),
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(bed.path("src/b/socket")).unwrap();
        bed.link("src/b/tofifo", "fifo");
        assert_eq!(
            walk(&bed.root, &path("src/b"), SymlinkPolicy::Follow),
            [
                "src/b/",
                "src/b/c/",
                "src/b/c/y",
                "src/b/fifo!21",
                "src/b/socket!21",
                "src/b/tofifo!21",
                "src/b/x",
            ]
        );
    });
}

/// F24: an account that may not read a directory gets one error for it. The account is changed for
/// one thread only.
#[test]
#[cfg(target_os = "linux")]
fn unreadable_directories_are_reported_and_passed() {
    use std::os::unix::fs::PermissionsExt as _;

    with_both_resolvers(|bed| {
        tree(&bed);
        fs::set_permissions(bed.path("src/b"), fs::Permissions::from_mode(0o000)).unwrap();
        let lines = std::thread::scope(|scope| {
            let walking = scope.spawn(|| {
                if rustix::process::geteuid().is_root() {
                    let nobody = rustix::fs::Uid::from_raw(65534);
                    rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
                }
                walk(&bed.root, &path("src"), SymlinkPolicy::Follow)
            });
            walking.join().unwrap()
        });
        fs::set_permissions(bed.path("src/b"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(lines, ["src/", "src/a", "src/b!5", "src/empty/", "src/z"]);
    });
}

/// F81, F89: a tree at the limit of depth is walked, one below it is an error.
#[test]
fn depth_is_limited() {
    with_both_resolvers(|bed| {
        let mut deep = path("d");
        for _ in 1..MAX_DEPTH {
            deep.push(b"d").unwrap();
        }
        let dir = bed.root.create_dirs(&deep, 0o777).unwrap();
        assert_eq!(
            walk(&bed.root, &path("d"), SymlinkPolicy::Follow).len(),
            MAX_DEPTH
        );
        dir.create_child(b"e", 0o777).unwrap();
        let lines = walk(&bed.root, &path("d"), SymlinkPolicy::Follow);
        assert_eq!(lines.len(), MAX_DEPTH + 1);
        assert!(lines[MAX_DEPTH].ends_with("e!55"));
    });
}

/// F89: one directory with more names than are held in memory at once.
#[test]
fn a_directory_of_very_many_names_is_walked_completely() {
    let bed = Bed::in_memory(Resolver::Automatic);
    let mut expected = Vec::new();
    for n in 0..20_000 {
        let name = format!("a-rather-long-name-of-a-file-to-fill-more-than-one-part-{n}");
        bed.file(&name, "");
        expected.push(name);
    }
    expected.sort();
    let mut walked = walk(&bed.root, &EntryPath::root(), SymlinkPolicy::Follow);
    walked.sort();
    assert_eq!(walked, expected);
    let listed = bed.root.list(&EntryPath::root(), LinkRule::Refuse).unwrap();
    assert_eq!(listed.filter(|e| e.is_ok()).count(), 20_000);
}

#[test]
fn a_directory_that_is_skipped_is_not_looked_into_and_its_neighbours_are() {
    with_both_resolvers(|bed| {
        tree(&bed);
        let mut walk = bed.root.walk(&path("src"), WalkOptions::default()).unwrap();
        let mut lines = Vec::new();
        while let Some(entry) = walk.next() {
            let entry = entry.unwrap();
            if entry.path == path("src/b") {
                walk.skip_directory();
            }
            lines.push(entry.path.to_string());
            if entry.path == path("src/empty") {
                // Its content has been told: nothing is left to skip.
                assert_eq!(walk.next().unwrap().unwrap().path, path("src/z"));
                walk.skip_directory();
            }
        }
        assert_eq!(lines, ["src", "src/a", "src/b", "src/empty"]);
    });
}

#[test]
fn p6_files_are_opened_as_they_are_found_and_nothing_else_is() {
    with_both_resolvers(|bed| {
        bed.mkdir("src/dir");
        bed.file("src/file", "content");
        let fifo = rustix::fs::FileType::Fifo;
        let pipe = bed.path("src/pipe");
        rustix::fs::mknodat(rustix::fs::CWD, pipe, fifo, 0o644.into(), 0).unwrap();
        bed.link("src/link", "file");
        let mut walk = bed.root.walk(&path("src"), WalkOptions::default()).unwrap();
        walk.open_files(true);
        let mut lines = Vec::new();
        while let Some(entry) = walk.next() {
            let opened = walk.take_file().map(|file| {
                let mut buffer = [0; 16];
                let length = file.read_at(&mut buffer, 0).unwrap();
                assert_eq!(length as u64, file.attributes().size);
                String::from_utf8_lossy(&buffer[..length]).into_owned()
            });
            let found = match entry {
                Ok(entry) => entry.path.to_string(),
                Err(error) => format!("!{}", docroot::escape_name(&error.path)),
            };
            lines.push((found, opened));
        }
        let expected = [
            ("src", None),
            ("src/dir", None),
            ("src/file", Some("content")),
            // Followed by its whole path, which the walk leaves to those who read it.
            ("src/link", None),
            ("!src/pipe", None),
        ];
        let expected =
            expected.map(|(path, content)| (path.to_owned(), content.map(str::to_owned)));
        assert_eq!(lines, expected);
        walk.open_files(false);
        assert!(walk.take_file().is_none());
    });
}
