//! Files that are kept aside: what is replaced, and sources that have been sent.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test set-up, also outside the test functions"
)]

mod bed;

use bed::{Bed, code, path, publish, with_both_resolvers};
use docroot::{Docroot, Existing, LinkRule, Metadata};

fn replace(bed: &Bed, name: &str, content: &str) -> docroot::Result<()> {
    let dir = bed.root.root_dir().unwrap();
    let metadata = Metadata::default();
    let finished = dir.create_small(
        name.as_bytes(),
        content.as_bytes(),
        &metadata,
        Existing::Save,
    );
    publish(finished?)
}

#[test]
fn what_is_replaced_keeps_a_name_with_the_time_and_nothing_is_ever_lost() {
    with_both_resolvers(|bed| {
        for round in 0..3 {
            replace(&bed, "a.txt", &round.to_string()).unwrap();
        }
        assert_eq!(bed.content("a.txt").as_deref(), Some("2"));
        let saved: Vec<_> = bed.names("").into_iter().filter(|n| n != "a.txt").collect();
        let mut contents: Vec<_> = saved.iter().map(|n| bed.content(n).unwrap()).collect();
        contents.sort();
        assert_eq!(contents, ["0", "1"]);
        for name in saved {
            assert!(name.starts_with("a.20") && name.ends_with(".txt"), "{name}");
        }
        bed.mkdir("d");
        assert_eq!(
            code(replace(&bed, "d", "x")),
            7,
            "a directory is not replaced"
        );
        bed.link("l", bed.outside("secret"));
        replace(&bed, "l", "mine").unwrap();
        assert_eq!(bed.content("l").as_deref(), Some("mine"));
        bed.assert_outside_untouched();
    });
}

#[test]
fn p11_a_source_moves_only_if_it_still_is_what_was_sent() {
    with_both_resolvers(|bed| {
        bed.mkdir("done");
        bed.file("a", "1");
        let done = Docroot::open(&bed.path("done")).unwrap();
        let look = || {
            bed.root
                .stat(&path("a"), LinkRule::Refuse)
                .unwrap()
                .unwrap()
        };
        let sent = look().identity();
        bed.root
            .move_source(&path("a"), &sent, &done, &path("x/a"))
            .unwrap();
        assert_eq!(bed.content("done/x/a").as_deref(), Some("1"));
        bed.file("a", "22");
        let result = bed.root.move_source(&path("a"), &sent, &done, &path("x/b"));
        assert_eq!(code(result), 35, "another file has the name now");
        let sent = look().identity();
        let result = bed.root.move_source(&path("a"), &sent, &done, &path("x/a"));
        assert_eq!(code(result), 42, "nothing is replaced there");
        assert_eq!(bed.content("a").as_deref(), Some("22"));
        bed.link("done/out", bed.outside(""));
        let result = bed
            .root
            .move_source(&path("a"), &sent, &done, &path("out/a"));
        assert_eq!(code(result), 41, "no link is followed");
        bed.assert_outside_untouched();
    });
}
