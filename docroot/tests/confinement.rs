//! Links planted in every component: nothing that receives follows one (P-2, P-3, P-4, F85, F87).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up, also outside the test functions"
)]

mod bed;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use bed::{Bed, code, is_outside, path, publish, with_both_resolvers};
use docroot::{Error, Existing, FileKind, LinkRule, Metadata, PartialOptions};

/// Links to a directory outside, at the first, a middle and the last component before `x`.
fn plant(bed: &Bed) -> Vec<&'static str> {
    bed.mkdir("d/e");
    bed.mkdir("real");
    for (link, target) in [
        ("first", bed.outside("")),
        ("d/middle", bed.outside("")),
        ("d/e/last", bed.outside("deep")),
    ] {
        bed.link(link, target);
    }
    bed.link("climb", "../outside");
    // A link that stays inside is refused to a receiver just the same.
    bed.link("inside", "real");
    vec![
        "first",
        "first/deep",
        "d/middle",
        "d/middle/deep",
        "d/e/last",
        "climb",
        "climb/deep",
        "inside",
    ]
}

#[test]
fn no_receiving_call_passes_a_planted_link() {
    with_both_resolvers(|bed| {
        for dir in plant(&bed) {
            println!("through {dir}");
            let inner = path(&format!("{dir}/x"));
            let secret = path(&format!("{dir}/secret"));
            is_outside(bed.root.dir(&path(dir)));
            is_outside(bed.root.create_dirs(&path(dir), 0o777));
            is_outside(bed.root.create_dirs(&inner, 0o777));
            is_outside(bed.root.create_dirs(&path(&format!("{dir}/x/y")), 0o777));
            is_outside(bed.root.stat(&secret, LinkRule::Refuse));
            is_outside(bed.root.open_source(&secret, LinkRule::Refuse));
            is_outside(bed.root.remove_file(&secret));
            is_outside(bed.root.remove_dir(&path(&format!("{dir}/deep"))));
            is_outside(bed.root.create_symlink(&inner, b"y", Existing::Replace));
            is_outside(bed.root.read_link(&inner));
            is_outside(bed.root.list(&path(dir), LinkRule::Refuse));
            assert_eq!(code(bed.root.dir(&path(dir))), 41);
        }
        bed.assert_outside_untouched();
        assert_eq!(bed.names("real"), Vec::<String>::new());
    });
}

#[test]
fn no_call_of_a_directory_passes_a_planted_link() {
    with_both_resolvers(|bed| {
        bed.link("l", bed.outside("deep"));
        bed.link("f", bed.outside("secret"));
        let dir = bed.root.root_dir().unwrap();
        is_outside(dir.child(b"l"));
        is_outside(dir.create_child(b"l", 0o777));
        is_outside(dir.open_source(b"f"));
        assert!(matches!(
            dir.load(b"f", 100),
            Err(Error::NotRegular(FileKind::Symlink))
        ));
        assert_eq!(dir.stat(b"f").unwrap().unwrap().kind, FileKind::Symlink);
        // Storing and removing act on the link, not on what it points at.
        dir.store(b"f", b"own").unwrap();
        assert_eq!(bed.content("f").as_deref(), Some("own"));
        dir.remove_file(b"l").unwrap();
        assert!(dir.stat(b"l").unwrap().is_none());
        for name in [
            &b""[..],
            b".",
            b"..",
            b"a/b",
            b"../outside/x",
            b"/x",
            b"a\0",
        ] {
            assert_eq!(code(dir.child(name)), 41, "{name:?}");
            assert_eq!(code(dir.stat(name)), 41);
            assert_eq!(code(dir.remove_file(name)), 41);
            assert_eq!(code(dir.create_child(name, 0o777)), 41);
            assert_eq!(
                code(dir.create_partial(name, &PartialOptions::default())),
                41
            );
            assert_eq!(code(dir.create_symlink(name, b"x", Existing::Refuse)), 41);
        }
        bed.assert_outside_untouched();
    });
}

/// F35: a link under the partial's name is replaced, what it points at stays.
#[test]
fn a_link_in_place_of_a_partial_or_a_target_is_replaced() {
    with_both_resolvers(|bed| {
        bed.link("a.partial", bed.outside("secret"));
        bed.link("a", bed.outside("secret"));
        let dir = bed.root.root_dir().unwrap();
        for resume in [false, true] {
            let options = PartialOptions::default().resume(resume);
            let partial = dir.create_partial(b"a", &options).unwrap();
            assert_eq!(partial.resumed_length(), 0);
            partial.write_all_at(b"new", 0).unwrap();
            drop(partial);
            bed.link("a.partial", bed.outside("secret"));
        }
        let partial = dir
            .create_partial(b"a", &PartialOptions::default())
            .unwrap();
        partial.write_all_at(b"new", 0).unwrap();
        publish(
            partial
                .finish(&Metadata::default(), Existing::Replace)
                .unwrap(),
        )
        .unwrap();
        assert_eq!(bed.content("a").as_deref(), Some("new"));
        assert!(!bed.path("a").is_symlink());
        bed.assert_outside_untouched();
    });
}

/// P-4: a sender may follow links, but only beneath the root.
#[test]
fn following_stays_beneath_the_root() {
    with_both_resolvers(|bed| {
        plant(&bed);
        bed.file("real/x", "hello");
        bed.link("file", "inside/x");
        bed.link("up", "d/e/../../real/x");
        bed.link("absolute", bed.path("real/x"));
        bed.link("one", "two");
        bed.link("two", "one");
        bed.link("dangling", "nowhere");
        bed.link("over", "d/../../outside/secret");
        let follow = LinkRule::FollowBeneath;
        for good in ["real/x", "inside/x", "file", "up"] {
            let source = bed.root.open_source(&path(good), follow).unwrap();
            let mut buffer = [0; 9];
            assert_eq!(source.read_at(&mut buffer, 0).unwrap(), 5);
            assert_eq!(bed.root.stat(&path(good), follow).unwrap().unwrap().size, 5);
        }
        for bad in [
            "first/secret",
            "climb/secret",
            "absolute",
            "over",
            "d/e/last/secret",
        ] {
            assert_eq!(code(bed.root.open_source(&path(bad), follow)), 41, "{bad}");
            assert_eq!(code(bed.root.stat(&path(bad), follow)), 41, "{bad}");
        }
        assert_eq!(code(bed.root.open_source(&path("one"), follow)), 63);
        assert_eq!(code(bed.root.stat(&path("two/x"), follow)), 63);
        assert_eq!(code(bed.root.open_source(&path("dangling"), follow)), 4);
        let listed = bed.root.list(&path("inside"), follow).unwrap();
        assert_eq!(listed.map(|e| e.unwrap().name).collect::<Vec<_>>(), [b"x"]);
    });
}

/// P-6, F30.
#[test]
fn special_files_are_err_21_and_never_block() {
    with_both_resolvers(|bed| {
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, bed.path("fifo"), fifo, 0o644.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(bed.path("socket")).unwrap();
        bed.mkdir("dir");
        for rule in [LinkRule::Refuse, LinkRule::FollowBeneath] {
            assert_eq!(code(bed.root.open_source(&path("fifo"), rule)), 21);
            assert_eq!(code(bed.root.open_source(&path("socket"), rule)), 21);
            assert_eq!(code(bed.root.open_source(&path("dir"), rule)), 7);
            assert_eq!(code(bed.root.open_source(&path("none"), rule)), 4);
            assert_eq!(code(bed.root.open_source(&path("fifo/x"), rule)), 6);
        }
    });
}

/// P-7: on files, on new directories, and a directory's own set-gid bit.
#[test]
fn bits_that_lend_rights_are_masked() {
    with_both_resolvers(|bed| {
        let mode = |name: &str| fs::metadata(bed.path(name)).unwrap().permissions().mode() & 0o7777;
        let dir = bed.root.create_dirs(&path("made/deep"), 0o7755).unwrap();
        assert_eq!(mode("made/deep") & 0o7000, 0);
        let metadata = Metadata {
            mode: Some(0o7755),
            ..Metadata::default()
        };
        let partial = dir
            .create_partial(b"a", &PartialOptions::default().mode(0o7777))
            .unwrap();
        publish(partial.finish(&metadata, Existing::Refuse).unwrap()).unwrap();
        publish(
            dir.create_small(b"b", b"x", &metadata, Existing::Refuse)
                .unwrap(),
        )
        .unwrap();
        assert_eq!(mode("made/deep/a"), 0o755);
        assert_eq!(mode("made/deep/b"), 0o755);
        fs::set_permissions(bed.path("made"), fs::Permissions::from_mode(0o2775)).unwrap();
        let made = bed.root.dir(&path("made")).unwrap();
        let metadata = Metadata {
            mode: Some(0o1700),
            ..Metadata::default()
        };
        made.set_metadata(&metadata).unwrap();
        assert_eq!(mode("made"), 0o2700);
    });
}

#[test]
fn missing_directories_are_made_and_a_file_in_the_way_is_err_6() {
    with_both_resolvers(|bed| {
        bed.root.create_dirs(&path("a/b/c/d"), 0o755).unwrap();
        bed.root.create_dirs(&path("a/b/c/d"), 0o755).unwrap();
        bed.root.create_dirs(&path("a/b/x"), 0o755).unwrap();
        assert_eq!(bed.names("a/b"), ["c", "x"]);
        bed.file("f", "");
        assert_eq!(code(bed.root.create_dirs(&path("f/x"), 0o755)), 6);
        assert_eq!(code(bed.root.create_dirs(&path("f"), 0o755)), 6);
        let deepest = vec!["d"; 128].join("/");
        bed.root.create_dirs(&path(&deepest), 0o755).unwrap();
        assert!(
            bed.root
                .stat(&path(&deepest), LinkRule::Refuse)
                .unwrap()
                .is_some()
        );
        assert!(
            bed.root
                .stat(&path("no/such"), LinkRule::Refuse)
                .unwrap()
                .is_none()
        );
        assert_eq!(code(bed.root.create_dirs(&path("x.partial/y"), 0o755)), 56);
        let (free, total) = bed.root.free_space().unwrap();
        assert!(free <= total && total > 0);
    });
}

/// P-11: only what was sent is removed.
#[test]
fn a_source_is_removed_only_if_it_still_is_what_was_sent() {
    with_both_resolvers(|bed| {
        bed.file("a", "one");
        let sent = bed.root.open_source(&path("a"), LinkRule::Refuse).unwrap();
        bed.file("b", "two");
        fs::rename(bed.path("b"), bed.path("a")).unwrap();
        let result = bed.root.remove_source(&path("a"), &sent.identity());
        assert!(matches!(result, Err(Error::SourceChanged)));
        assert_eq!(bed.content("a").as_deref(), Some("two"));
        let sent = bed.root.open_source(&path("a"), LinkRule::Refuse).unwrap();
        bed.root
            .remove_source(&path("a"), &sent.identity())
            .unwrap();
        assert_eq!(bed.content("a"), None);
    });
}

/// D-7, F26, F27: a change while it is read is noticed, and nothing is padded.
#[test]
fn a_source_that_changes_is_err_35() {
    with_both_resolvers(|bed| {
        bed.file("a", "0123456789");
        let source = bed.root.open_source(&path("a"), LinkRule::Refuse).unwrap();
        source.advise_sequential();
        source.advise_willneed(0..10);
        source.unchanged().unwrap();
        let file = fs::OpenOptions::new()
            .write(true)
            .open(bed.path("a"))
            .unwrap();
        file.set_len(4).unwrap();
        let mut buffer = [7; 10];
        assert_eq!(source.read_at(&mut buffer, 0).unwrap(), 4);
        assert_eq!(&buffer, b"0123\x07\x07\x07\x07\x07\x07");
        assert_eq!(code(source.unchanged()), 35);
        assert_eq!(source.read_at(&mut buffer, u64::MAX).unwrap_or(0), 0);
    });
}
