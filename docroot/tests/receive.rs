//! Partials and publishing (D-1, D-2, D-9).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up, also outside the test functions"
)]

mod bed;

use std::fs;
use std::io::IoSlice;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use bed::{Bed, code, path, publish, with_both_resolvers};
use docroot::{
    CommitGroup, Dir, Error, Existing, LinkRule, Metadata, PartialOptions, Resolver, Timestamp,
};

fn receive(dir: &Dir, name: &str, content: &str, existing: Existing) -> docroot::Result<()> {
    let partial = dir.create_partial(name.as_bytes(), &PartialOptions::default())?;
    partial.write_all_at(content.as_bytes(), 0)?;
    publish(partial.finish(&Metadata::default(), existing)?)
}

/// D-1: the final name appears with the whole content, and not before the commit.
#[test]
fn the_final_name_appears_only_by_the_commit() {
    with_both_resolvers(|bed| {
        let dir = bed.root.root_dir().unwrap();
        let partial = dir
            .create_partial(b"a", &PartialOptions::default().size_hint(1 << 20))
            .unwrap();
        partial
            .write_vectored_at(
                &[IoSlice::new(b"wor"), IoSlice::new(b""), IoSlice::new(b"ld")],
                6,
            )
            .unwrap();
        partial.write_all_at(b"hello ", 0).unwrap();
        assert_eq!(partial.identity().unwrap().size, 11);
        let mut buffer = [0; 11];
        assert_eq!(partial.read_at(&mut buffer, 0).unwrap(), 11);
        assert_eq!(&buffer, b"hello world");
        let mtime = Timestamp {
            seconds: -5,
            nanos: 123_456_789,
        };
        let metadata = Metadata {
            mtime: Some(mtime),
            mode: Some(0o640),
            ..Metadata::default()
        };
        let mut group = CommitGroup::new();
        let finished = partial.finish(&metadata, Existing::Refuse).unwrap();
        assert!(finished.not_kept().is_nothing());
        group.add("a", finished);
        group.add(
            "b",
            dir.create_small(b"b", b"small", &metadata, Existing::Refuse)
                .unwrap(),
        );
        assert!(bed.content("a").is_none() && bed.content("b").is_none());
        let results = group.commit();
        assert!(group.is_empty());
        assert_eq!(
            results.iter().map(|(t, _)| *t).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(results.iter().all(|(_, r)| r.is_ok()), "{results:?}");
        assert_eq!(bed.content("a").as_deref(), Some("hello world"));
        assert_eq!(bed.content("b").as_deref(), Some("small"));
        for name in ["a", "b"] {
            let meta = fs::metadata(bed.path(name)).unwrap();
            assert_eq!((meta.mtime(), meta.mtime_nsec()), (-5, 123_456_789));
            assert_eq!(meta.permissions().mode() & 0o7777, 0o640);
        }
        assert_eq!(bed.names(""), ["a", "b"]);
    });
}

/// Many files, several directories, one commit: the way that syncs whole file systems.
#[test]
fn many_files_are_published_together() {
    with_both_resolvers(|bed| {
        let mut group = CommitGroup::new();
        for n in 0..100 {
            let dir = bed
                .root
                .create_dirs(&path(&format!("d/{}", n % 10)), 0o777)
                .unwrap();
            let name = format!("f{n}");
            let metadata = Metadata::default();
            let small = dir.create_small(
                name.as_bytes(),
                name.as_bytes(),
                &metadata,
                Existing::Refuse,
            );
            group.add(n, small.unwrap());
        }
        assert_eq!(group.len(), 100);
        for (n, result) in group.commit() {
            result.unwrap();
            assert_eq!(
                bed.content(&format!("d/{}/f{n}", n % 10)),
                Some(format!("f{n}"))
            );
        }
        assert_eq!(bed.names("d/3").len(), 10);
    });
}

/// P-10, F25.
#[test]
fn existing_targets_are_kept_or_replaced_as_asked() {
    with_both_resolvers(|bed| {
        let dir = bed.root.root_dir().unwrap();
        bed.file("file", "old");
        bed.link("link", "file");
        bed.link("dangling", "nowhere");
        bed.mkdir("dir");
        for name in ["file", "link", "dangling", "dir"] {
            assert_eq!(
                code(receive(&dir, name, "new", Existing::Refuse)),
                42,
                "{name}"
            );
            let small = dir.create_small(
                name.as_bytes(),
                b"new",
                &Metadata::default(),
                Existing::Refuse,
            );
            assert_eq!(code(publish(small.unwrap())), 42, "{name}");
        }
        assert_eq!(code(receive(&dir, "dir", "new", Existing::Replace)), 7);
        receive(&dir, "link", "new", Existing::Replace).unwrap();
        assert_eq!(bed.content("file").as_deref(), Some("old"));
        receive(&dir, "file", "new", Existing::Replace).unwrap();
        receive(&dir, "dangling", "new", Existing::Replace).unwrap();
        for name in ["file", "link", "dangling"] {
            assert_eq!(bed.content(name).as_deref(), Some("new"));
            assert!(!bed.path(name).is_symlink());
        }
        assert_eq!(bed.names(""), ["dangling", "dir", "file", "link"]);
        assert_eq!(
            code(dir.create_symlink(b"file", b"x", Existing::Refuse)),
            42
        );
        assert_eq!(code(dir.create_symlink(b"dir", b"x", Existing::Replace)), 7);
        dir.create_symlink(b"file", b"x", Existing::Replace)
            .unwrap();
        assert_eq!(dir.read_link(b"file").unwrap(), b"x");
        for target in ["/etc", "../x", ""] {
            let result = bed
                .root
                .create_symlink(&path("s"), target.as_bytes(), Existing::Refuse);
            assert_eq!(code(result), 27);
        }
    });
}

/// Two receivers of one name: the rename decides, and nobody's bytes are mixed.
#[test]
fn racing_publishers_never_clobber_under_refuse() {
    let bed = Bed::new(Resolver::Automatic);
    let dir = bed.root.root_dir().unwrap();
    for round in 0..200 {
        let name = format!("f{round}");
        let start = std::sync::Barrier::new(2);
        let race = |content: &'static str| {
            start.wait();
            let metadata = Metadata::default();
            let (name, bytes) = (name.as_bytes(), content.as_bytes());
            let small = dir
                .create_small(name, bytes, &metadata, Existing::Refuse)
                .unwrap();
            publish(small).is_ok().then(|| content.to_owned())
        };
        let winners: Vec<String> = std::thread::scope(|scope| {
            let one = scope.spawn(|| race("one"));
            let two = race("two!");
            one.join().unwrap().into_iter().chain(two).collect()
        });
        assert_eq!(winners, [bed.content(&name).unwrap()], "exactly one wins");
    }
}

/// D-9: one writer per partial.
#[test]
fn a_second_writer_is_err_42() {
    with_both_resolvers(|bed| {
        let dir = bed.root.root_dir().unwrap();
        let again = bed.root.dir(&docroot::EntryPath::root()).unwrap();
        let first = dir
            .create_partial(b"a", &PartialOptions::default())
            .unwrap();
        for resume in [false, true] {
            let second = again.create_partial(b"a", &PartialOptions::default().resume(resume));
            assert!(matches!(second, Err(Error::InUse)));
        }
        first.write_all_at(b"first", 0).unwrap();
        // The lock holds until the name is final.
        let finished = first
            .finish(&Metadata::default(), Existing::Refuse)
            .unwrap();
        assert_eq!(
            code(again.create_partial(b"a", &PartialOptions::default())),
            42
        );
        publish(finished).unwrap();
        drop(
            again
                .create_partial(b"a", &PartialOptions::default())
                .unwrap(),
        );
        assert_eq!(bed.content("a").as_deref(), Some("first"));
    });
}

#[test]
fn a_dropped_partial_is_gone_and_a_kept_one_resumes() {
    with_both_resolvers(|bed| {
        let dir = bed.root.root_dir().unwrap();
        let partial = dir
            .create_partial(b"a", &PartialOptions::default())
            .unwrap();
        assert_eq!(bed.names(""), ["a.partial"]);
        drop(partial);
        assert_eq!(bed.names(""), Vec::<String>::new());

        let mut partial = dir
            .create_partial(b"a", &PartialOptions::default())
            .unwrap();
        partial.write_all_at(b"half", 0).unwrap();
        partial.sync().unwrap();
        partial.keep();
        drop(partial);
        dir.store_checkpoint(b"a", b"4 bytes").unwrap();
        assert_eq!(bed.names(""), ["a.aspera-ckpt", "a.partial"]);

        assert_eq!(dir.load_checkpoint(b"a", 100).unwrap().unwrap(), b"4 bytes");
        let partial = dir
            .create_partial(b"a", &PartialOptions::default().resume(true))
            .unwrap();
        assert_eq!(partial.resumed_length(), 4);
        partial.write_all_at(b"+half", 4).unwrap();
        publish(
            partial
                .finish(&Metadata::default(), Existing::Refuse)
                .unwrap(),
        )
        .unwrap();
        dir.remove_checkpoint(b"a").unwrap();
        dir.remove_checkpoint(b"a").unwrap();
        assert_eq!(bed.content("a").as_deref(), Some("half+half"));
        assert_eq!(bed.names(""), ["a"]);

        // Without being asked to, nothing old is continued.
        bed.file("b.partial", "stale");
        let partial = dir
            .create_partial(b"b", &PartialOptions::default())
            .unwrap();
        assert_eq!(partial.identity().unwrap().size, 0);
        let finished = partial
            .finish(&Metadata::default(), Existing::Refuse)
            .unwrap();
        drop(finished);
        assert_eq!(bed.names(""), ["a"]);
    });
}

/// F35: second names, pipes and foreign files under the partial's name.
#[test]
fn what_is_not_our_own_partial_is_discarded() {
    with_both_resolvers(|bed| {
        let dir = bed.root.root_dir().unwrap();
        let options = PartialOptions::default().resume(true);
        let fresh = || {
            let partial = dir.create_partial(b"a", &options).unwrap();
            assert_eq!(partial.resumed_length(), 0);
            partial.write_all_at(b"mine", 0).unwrap();
        };
        fs::hard_link(bed.outside("secret"), bed.path("a.partial")).unwrap();
        fresh();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            bed.path("a.partial"),
            fifo,
            0o644.into(),
            0,
        )
        .unwrap();
        fresh();
        bed.file("a.partial", "foreign");
        match chown(bed.path("a.partial"), Some(65533), None) {
            Ok(()) => fresh(),
            Err(_) => println!("skipped: only root can give a file away"),
        }
        bed.mkdir("a.partial");
        assert_eq!(code(dir.create_partial(b"a", &options)), 7);
        // Checkpoints likewise.
        bed.link("c.aspera-ckpt", bed.outside("secret"));
        assert_eq!(code(dir.load_checkpoint(b"c", 100)), 21);
        bed.file("d.aspera-ckpt", "0123456789");
        assert_eq!(code(dir.load_checkpoint(b"d", 9)), 50);
        assert_eq!(dir.load_checkpoint(b"d", 10).unwrap().unwrap().len(), 10);
        if chown(bed.path("d.aspera-ckpt"), Some(65533), None).is_ok() {
            assert_eq!(code(dir.load_checkpoint(b"d", 10)), 5);
        }
        assert!(dir.load_checkpoint(b"none", 10).unwrap().is_none());
    });
}

#[test]
fn names_at_the_limit_are_received_and_reserved_ones_are_not() {
    with_both_resolvers(|bed| {
        let dir = bed.root.root_dir().unwrap();
        let longest = "n".repeat(255);
        receive(&dir, &longest, "x", Existing::Refuse).unwrap();
        dir.store_checkpoint(longest.as_bytes(), b"c").unwrap();
        assert_eq!(
            dir.load_checkpoint(longest.as_bytes(), 9).unwrap().unwrap(),
            b"c"
        );
        assert_eq!(
            code(receive(&dir, &"n".repeat(256), "x", Existing::Refuse)),
            55
        );
        for name in ["a.partial", ".partial", "a.aspera-ckpt"] {
            assert_eq!(code(receive(&dir, name, "x", Existing::Replace)), 56);
            let small = dir.create_small(
                name.as_bytes(),
                b"",
                &Metadata::default(),
                Existing::Replace,
            );
            assert_eq!(code(small), 56);
            assert_eq!(
                code(dir.create_symlink(name.as_bytes(), b"x", Existing::Replace)),
                56
            );
        }
    });
}

/// F32, F34: sizes and times at the edges.
/// P-7: a change of owner or group takes bits away, and a mode may keep even the owner from setting attributes.
#[test]
fn p7_attributes_owner_mode_and_times_are_set_in_an_order_that_keeps_all_of_them() {
    use docroot::Xattrs;

    with_both_resolvers(|bed| {
        let dir = bed.root.root_dir().unwrap();
        let (xattrs, are_all) = Xattrs::new([(&b"user.a"[..], &b"1"[..]), (b"security.b", b"2")]);
        assert!(!are_all);
        let me = rustix::process::geteuid().as_raw();
        let metadata = Metadata {
            mode: Some(0o6400),
            owner: Some(if me == 0 { 12_345 } else { me }),
            mtime: Some(Timestamp {
                seconds: 5,
                nanos: 6,
            }),
            atime: Some(Timestamp {
                seconds: 7,
                nanos: 8,
            }),
            xattrs,
            ..Metadata::default()
        };
        let small = dir
            .create_small(b"small", b"x", &metadata, Existing::Refuse)
            .unwrap();
        let partial = dir
            .create_partial(b"large", &PartialOptions::default())
            .unwrap();
        partial.write_all_at(b"x", 0).unwrap();
        for finished in [small, partial.finish(&metadata, Existing::Refuse).unwrap()] {
            let lost = finished.not_kept();
            assert!(!(lost.times || lost.mode || lost.owner), "{lost:?}");
            publish(finished).unwrap();
        }
        for name in ["small", "large"] {
            let found = bed
                .root
                .stat(&path(name), LinkRule::Refuse)
                .unwrap()
                .unwrap();
            assert_eq!((found.mode, Some(found.uid)), (0o400, metadata.owner));
            assert_eq!(
                (Some(found.mtime), Some(found.atime)),
                (metadata.mtime, metadata.atime)
            );
            let (kept, are_all) = bed.root.xattrs(&path(name), LinkRule::Refuse).unwrap();
            assert!(
                are_all && (kept.is_empty() || kept == metadata.xattrs),
                "{kept:?}"
            );
        }
        assert!(bed.root.xattrs(&path("none"), LinkRule::Refuse).is_err());
    });
}

#[test]
fn empty_sparse_and_oddly_dated_files_are_received() {
    with_both_resolvers(|bed| {
        let dir = bed.root.root_dir().unwrap();
        receive(&dir, "empty", "", Existing::Refuse).unwrap();
        assert_eq!(fs::metadata(bed.path("empty")).unwrap().len(), 0);
        let partial = dir
            .create_partial(b"sparse", &PartialOptions::default())
            .unwrap();
        partial.set_len(1 << 40).unwrap();
        partial.write_all_at(b"end", (1 << 40) - 3).unwrap();
        publish(
            partial
                .finish(&Metadata::default(), Existing::Refuse)
                .unwrap(),
        )
        .unwrap();
        assert_eq!(fs::metadata(bed.path("sparse")).unwrap().len(), 1 << 40);
        let partial = dir
            .create_partial(b"big", &PartialOptions::default())
            .unwrap();
        assert!(partial.write_all_at(b"x", u64::MAX - 1).is_err());
        assert!(
            partial
                .write_vectored_at(&[IoSlice::new(b"x")], u64::MAX)
                .is_err()
        );
        for (seconds, nanos) in [
            (i64::MIN, 0),
            (-1, 999_999_999),
            (253_402_300_799, u32::MAX),
        ] {
            let mtime = Some(Timestamp { seconds, nanos });
            let metadata = Metadata {
                mtime,
                atime: mtime,
                ..Metadata::default()
            };
            publish(
                dir.create_small(b"dated", b"", &metadata, Existing::Replace)
                    .unwrap(),
            )
            .unwrap();
        }
    });
}
