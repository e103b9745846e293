//! Moving, state files, files the operator names, and what killed processes leave behind.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up, also outside the test functions"
)]

mod bed;

use std::fs;
use std::os::unix::fs::{chown, lchown, symlink};
use std::time::Duration;

use bed::{Bed, code, is_outside, path, with_both_resolvers};
use docroot::{
    Docroot, Error, Existing, LinkRule, Metadata, PartialOptions, Resolver, read_operator_file,
};

#[test]
fn objects_are_moved_beneath_the_root_only() {
    with_both_resolvers(|bed| {
        bed.mkdir("d/e");
        bed.mkdir("other");
        bed.file("a", "a");
        bed.file("b", "b");
        bed.link("l", bed.outside(""));
        let rename = |from, to, existing| bed.root.rename(&path(from), &path(to), existing);
        assert_eq!(code(rename("a", "b", Existing::Refuse)), 42);
        assert_eq!(code(rename("a", "d", Existing::Replace)), 7);
        assert_eq!(code(rename("none", "x", Existing::Refuse)), 4);
        assert_eq!(code(rename("a", "x.partial", Existing::Replace)), 56);
        assert_eq!(code(rename("d", "d/e/x", Existing::Refuse)), 64);
        is_outside(rename("l/secret", "x", Existing::Refuse));
        is_outside(rename("a", "l/secret", Existing::Replace));
        assert_eq!(bed.content("b").as_deref(), Some("b"));
        rename("a", "b", Existing::Replace).unwrap();
        rename("b", "d/e/b", Existing::Refuse).unwrap();
        rename("d", "other/d", Existing::Refuse).unwrap();
        assert_eq!(bed.content("other/d/e/b").as_deref(), Some("a"));
        // A link is moved as a link.
        rename("l", "other/l", Existing::Refuse).unwrap();
        assert!(bed.path("other/l").is_symlink());
        bed.assert_outside_untouched();
    });
}

#[test]
fn state_is_replaced_as_a_whole() {
    let bed = Bed::new(Resolver::Automatic);
    let dir = bed.root.root_dir().unwrap();
    assert_eq!(dir.load(b"state", 10).unwrap(), None);
    dir.store(b"state", b"one").unwrap();
    dir.store(b"state", b"").unwrap();
    assert_eq!(dir.load(b"state", 10).unwrap().unwrap(), b"");
    bed.mkdir("d");
    assert_eq!(code(dir.store(b"d", b"x")), 7);
    assert_eq!(code(dir.load(b"d", 10)), 21);
    assert_eq!(bed.names(""), ["d", "state"]);
}

/// F4: what a killed process left is removed later, and nothing else is.
#[test]
fn temporary_files_of_ended_processes_are_removed() {
    let bed = Bed::new(Resolver::Automatic);
    let dir = bed.root.root_dir().unwrap();
    // Not dropped, as in a process that was killed.
    let other = Docroot::open(&bed.path("")).unwrap().root_dir().unwrap();
    let left = other
        .create_small(b"a", b"x", &Metadata::default(), Existing::Refuse)
        .unwrap();
    std::mem::forget(left);
    let mine = dir
        .create_small(b"b", b"x", &Metadata::default(), Existing::Refuse)
        .unwrap();
    bed.file("a.partial", "may be resumed");
    bed.file(".hidden", "of the user");
    assert_eq!(bed.names("").len(), 4);
    assert_eq!(dir.remove_stale(Duration::from_secs(3600)).unwrap(), 0);
    assert_eq!(dir.remove_stale(Duration::ZERO).unwrap(), 1);
    assert_eq!(bed.names("").len(), 3);
    bed::publish(mine).unwrap();
    assert_eq!(bed.names(""), [".hidden", "a.partial", "b"]);
}

/// F1: what a killed process left goes at once when nobody makes such files there any more.
#[test]
fn temporary_files_of_ended_processes_are_removed_at_once_when_nobody_shares_the_directory() {
    let bed = Bed::new(Resolver::Automatic);
    let create = |dir: &docroot::Dir, name: &[u8]| {
        dir.create_small(name, b"x", &Metadata::default(), Existing::Refuse)
            .unwrap()
    };
    let open = || Docroot::open(&bed.path("")).unwrap().root_dir().unwrap();
    // A name as another process makes them: its descriptors are closed, as those of a killed one are.
    bed.file(".0123456789abcdef-1.partial", "x");
    bed.file("a.partial", "may be resumed");
    bed.file(".0123456789abcdef-x.partial", "of the user");
    let dir = bed.root.root_dir().unwrap();
    assert!(dir.has_temporaries_of_others().unwrap());
    // Another process has some that are waiting for their commit, whether it still uses the directory or not.
    let living = create(&open(), b"b");
    assert_eq!(dir.remove_abandoned().unwrap(), 0);
    bed::publish(living).unwrap();
    assert_eq!(dir.remove_abandoned().unwrap(), 1);
    assert!(!dir.has_temporaries_of_others().unwrap());
    let mine = create(&dir, b"c");
    bed::publish(mine).unwrap();
    assert_eq!(
        bed.names(""),
        [".0123456789abcdef-x.partial", "a.partial", "b", "c"]
    );
}

/// P-8.
#[test]
fn a_file_of_the_operator_is_read_through_trusted_links_only() {
    let bed = Bed::new(Resolver::Automatic);
    bed.mkdir("d");
    bed.file("d/list", "one\ntwo\n");
    bed.link("good", "d");
    bed.link("absolute", bed.path("good/list"));
    for name in ["d/list", "good/list", "absolute", "d/../d/list"] {
        assert_eq!(
            read_operator_file(&bed.path(name), 100).unwrap(),
            b"one\ntwo\n",
            "{name}"
        );
    }
    assert!(matches!(
        read_operator_file(&bed.path("d/list"), 3),
        Err(Error::OverLimit { limit: 3 })
    ));
    assert_eq!(code(read_operator_file(&bed.path("d"), 100)), 7);
    assert_eq!(code(read_operator_file(&bed.path("none"), 100)), 4);
    assert_eq!(code(read_operator_file(&bed.path("d/list/x"), 100)), 6);
    bed.link("self", "self");
    assert_eq!(code(read_operator_file(&bed.path("self"), 100)), 63);
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, bed.path("fifo"), fifo, 0o644.into(), 0).unwrap();
    assert_eq!(code(read_operator_file(&bed.path("fifo"), 100)), 21);

    symlink("d", bed.path("foreign")).unwrap();
    bed.file("theirs", "x");
    if lchown(bed.path("foreign"), Some(65533), None).is_err() {
        println!("skipped: only root can give a link away");
        return;
    }
    chown(bed.path("theirs"), Some(65533), None).unwrap();
    for name in ["foreign/list", "theirs"] {
        assert!(
            matches!(
                read_operator_file(&bed.path(name), 100),
                Err(Error::Untrusted)
            ),
            "{name}"
        );
    }
}

/// U4: nothing here keeps a descriptor longer than its handle lives.
#[test]
#[cfg(target_os = "linux")]
fn descriptors_are_given_back() {
    let bed = Bed::in_memory(Resolver::Automatic);
    bed.mkdir("a/b");
    bed.file("a/b/f", "x");
    // Descriptors of this bed only: other tests of this process open and close theirs.
    let open = || {
        let place = fs::canonicalize(bed.path("")).unwrap();
        let fds = fs::read_dir("/proc/self/fd").unwrap();
        fds.filter(|fd| {
            fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|p| p.starts_with(&place))
        })
        .count()
    };
    let before = open();
    for _ in 0..50 {
        let dir = bed.root.create_dirs(&path("a/b/c/d"), 0o777).unwrap();
        let small = dir
            .create_small(b"x", b"x", &Metadata::default(), Existing::Replace)
            .unwrap();
        let held = open() - before;
        assert!(
            (1..=2).contains(&held),
            "a small file holds its directory, and itself while it has no name: {held}"
        );
        bed::publish(small).unwrap();
        bed.root
            .open_source(&path("a/b/f"), LinkRule::FollowBeneath)
            .unwrap();
        assert!(
            bed.root
                .open_source(&path("a/b"), LinkRule::Refuse)
                .is_err()
        );
        assert!(
            bed.root
                .walk(&path("a"), docroot::WalkOptions::default())
                .unwrap()
                .count()
                > 3
        );
    }
    assert_eq!(open(), before);
}

#[test]
fn handles_may_be_shared_by_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Docroot>();
    is_shared::<docroot::Dir>();
    is_shared::<docroot::Partial>();
    is_shared::<docroot::SourceFile>();
    is_shared::<docroot::CommitGroup<u64>>();
    is_shared::<docroot::Walk>();
    is_shared::<Error>();
}

#[test]
fn a_file_is_edited_in_place_by_one_at_a_time_and_never_through_a_link() {
    with_both_resolvers(|bed| {
        bed.file("a", "old header, content");
        bed.mkdir("d");
        bed.link("l", bed.outside("secret"));
        let dir = bed.root.root_dir().unwrap();
        let file = dir.open_edit(b"a").unwrap();
        assert!(matches!(dir.open_edit(b"a"), Err(Error::InUse)));
        file.write_durably_at(b"new", 0).unwrap();
        let mut read = [0; 10];
        assert_eq!(file.read_at(&mut read, 0).unwrap(), 10);
        assert_eq!(&read, b"new header");
        assert_eq!(file.attributes().size, 19);
        assert_eq!(bed.content("a").as_deref(), Some("new header, content"));
        is_outside(dir.open_edit(b"l"));
        assert_eq!(code(dir.open_edit(b"d")), 7);
        assert_eq!(code(dir.open_edit(b"none")), 4);
    });
}

// Rule E-6: nobody knows the name of a file that is being decrypted, nobody else reads it, and nothing of it stays.
#[test]
fn a_hidden_partial_has_a_name_of_its_own_and_leaves_nothing() {
    use std::os::unix::fs::PermissionsExt as _;

    with_both_resolvers(|bed| {
        let dir = bed.root.root_dir().unwrap();
        let options = PartialOptions::default().mode(0o600);
        let [first, second] = [(); 2].map(|()| dir.create_hidden(b"a", &options).unwrap());
        first.write_all_at(b"plain", 0).unwrap();
        let names: Vec<_> = dir.list().unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(names.len(), 2);
        for entry in &names {
            assert!(entry.name.starts_with(b".") && entry.name.ends_with(b".partial"));
            assert_eq!(
                fs::Permissions::from_mode(entry.attributes.mode).mode() & 0o077,
                0
            );
        }
        drop(second);
        let mut group = docroot::CommitGroup::new();
        group.add(
            (),
            first
                .finish(&Metadata::default(), Existing::Refuse)
                .unwrap(),
        );
        assert!(
            group
                .commit()
                .into_iter()
                .all(|((), result)| result.is_ok())
        );
        assert_eq!(dir.list().unwrap().count(), 1);
        assert_eq!(bed.content("a").as_deref(), Some("plain"));
    });
}
