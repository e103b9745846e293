use proptest::prelude::*;

use super::*;

#[test]
fn every_kind_round_trips() {
    let attributes = Attributes {
        mode: 0o644,
        mtime: -5,
        mtime_nanos: 999_999_999,
    };
    let records = [
        Record::Enter { path: b"a/b" },
        Record::Directory {
            path: b"a",
            attributes,
        },
        Record::File {
            file: 1,
            name: b"n",
            attributes,
            size: 1 << 40,
        },
        Record::SmallFile {
            file: 2,
            name: b"m",
            attributes,
            content: b"hello",
        },
        Record::Content {
            file: 3,
            content: b"",
        },
        Record::Symlink {
            file: 4,
            name: b"l",
            target: b"../x",
        },
        Record::Digest {
            file: 1,
            digest: u64::MAX,
        },
        Record::SourceFailed {
            file: 9,
            code: ErrorCode::DiskRead,
            text: "gone",
        },
        Record::Part {
            file: 5,
            whole: 1,
            name: b"big",
            attributes,
            size: 1 << 40,
            start: 1 << 30,
            length: 1 << 26,
        },
        Record::Growing {
            file: 6,
            whole: 2,
            name: b"log",
            attributes,
            start: 1 << 30,
            length: 1,
            is_last: true,
        },
        Record::Unlisted {
            path: b"a/pipe",
            code: ErrorCode::DiskRead,
            text: "a named pipe",
        },
        Record::LeftOut {
            path: b"a/b.partial",
            text: "unfinished",
        },
        Record::Counted {
            files: 3,
            bytes: 1 << 50,
        },
        Record::Prune { path: b"" },
        Record::Extra(Extra {
            accessed: Some((-7, 1)),
            owner: Some(1000),
            group: Some(u32::MAX),
            xattrs: vec![(b"user.a", b"1"), (b"user.b", b"")],
            lacks_xattrs: true,
        }),
        Record::Extra(Extra::default()),
        Record::End {
            files: 10,
            loose: 3,
        },
        Record::Want { first: 0, count: 3 },
        Record::WantFrom {
            file: 1,
            held: vec![0..10, 20..30],
        },
        Record::Skip { first: 4, count: 1 },
        Record::Done { first: 5, count: 2 },
        Record::Failed {
            file: 7,
            code: ErrorCode::NoSpace,
            text: "full",
        },
        Record::Deleted { path: b"a/old" },
        Record::NotKept {
            path: b"a/b",
            what: NotKept {
                owner: true,
                xattrs: true,
                ..NotKept::default()
            },
        },
        Record::Complete(Totals {
            done: 1,
            skipped: 2,
            failed: 3,
            bytes: 4,
        }),
        Record::Check {
            file: 8,
            ranges: vec![5..6, 7..1 << 50],
            digest: 1 << 63,
        },
        Record::Checked {
            file: 8,
            agrees: true,
        },
        Record::Restart { file: 9 },
    ];
    let mut page = Vec::new();
    records.iter().for_each(|r| r.encode(&mut page));
    let decoded: Result<Vec<_>, _> = Records::new(&page).collect();
    assert_eq!(decoded.as_deref(), Ok(&records[..]));
}

#[test]
fn runs_that_wrap_or_are_empty_are_refused() {
    for run in [
        Record::Want {
            first: u32::MAX,
            count: 1,
        },
        Record::Done { first: 3, count: 0 },
    ] {
        let mut page = Vec::new();
        run.encode(&mut page);
        assert_eq!(Records::new(&page).next(), Some(Err(Malformed::Range)));
    }
}

proptest! {
    #[test]
    fn arbitrary_pages_never_panic_and_end(bytes: Vec<u8>) {
        prop_assert!(Records::new(&bytes).count() <= bytes.len());
    }
}
