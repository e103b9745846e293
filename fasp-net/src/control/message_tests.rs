use super::*;
use proptest::{collection::vec, option, prelude::*, sample::select};
use transfer_spec::filter::{FilterAction, FilterRule, Pattern};
use transfer_spec::{AfterTransfer, EmptyDirectories, Filter, SourceFate};

fn bit_rate() -> impl Strategy<Value = BitRate> {
    (1..=BitRate::MAX.bits_per_second()).prop_map(BitRate::from_bits_per_second)
}

fn bytes(limit: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..limit)
}

fn session_id() -> impl Strategy<Value = SessionId> {
    any::<u64>().prop_map(SessionId)
}

fn code() -> impl Strategy<Value = ErrorCode> {
    select(ErrorCode::ALL)
}

fn policy() -> impl Strategy<Value = RatePolicy> {
    select(RatePolicy::ALL.map(|(policy, _)| policy).to_vec())
}

fn cipher() -> impl Strategy<Value = DatagramCipher> {
    select(vec![
        DatagramCipher::None,
        DatagramCipher::Aes128Gcm,
        DatagramCipher::Aes256Gcm,
    ])
}

prop_compose! {
    fn file_rules()(
        patterns in vec((any::<bool>(), "[a-z*?/]{0,20}[a-z*]"), 0..20),
        ages in any::<(Option<i64>, Option<i64>)>(),
        source_base in option::of(bytes(60)),
        names in vec(bytes(60), 0..20),
        flags in any::<[bool; 7]>(),
        fate in prop_oneof![Just(SourceFate::Stay), Just(SourceFate::Remove), bytes(60).prop_map(SourceFate::Move)],
        directories in select(vec![EmptyDirectories::Stay, EmptyDirectories::RemoveBelow, EmptyDirectories::RemoveAll]),
    ) -> FileRules {
        let rules = patterns.into_iter().map(|(is_include, pattern)| FilterRule {
            action: if is_include { FilterAction::Include } else { FilterAction::Exclude },
            pattern: Pattern::parse(pattern.as_bytes()).unwrap(),
        });
        let filter = Filter::new(rules.collect()).unwrap();
        let [is_list, skipped_too, save_existing, delete_absent, dry_run, precalculate, skip_special] = flags;
        FileRules {
            filter: filter.with_ages(ages.0, ages.1),
            source_base,
            names,
            is_list,
            after: AfterTransfer { fate, directories, skipped_too },
            save_existing,
            delete_absent,
            dry_run,
            precalculate,
            skip_special,
            ..FileRules::default()
        }
    }
}

prop_compose! {
    fn open()(
        ids in any::<([u8; 16], u16, u16, [u8; 32])>(),
        paths in (vec(bytes(60), 0..20), bytes(60)),
        policies in (select(Direction::ALL), select(OverwritePolicy::ALL), select(ResumePolicy::ALL), select(SymlinkPolicy::ALL)),
        preserve in any::<[bool; 6]>(),
        rates in (option::of(bit_rate()), bit_rate(), option::of(policy())),
        ciphers in vec(cipher(), 0..4),
        rest in (any::<bool>(), any::<u32>(), any::<u16>()),
        first_page in bytes(3000),
        split_threshold in option::of(any::<u64>()),
        protection in protection(),
        files in option::of(file_rules().prop_map(Box::new)),
    ) -> Open {
        Open {
            transfer_id: TransferId(ids.0),
            session_index: ids.1,
            session_count: ids.2,
            client_random: ids.3,
            direction: policies.0,
            sources: paths.0,
            destination: paths.1,
            create_dir: rest.0,
            source_count: rest.1,
            overwrite: policies.1,
            resume: policies.2,
            symlinks: policies.3,
            preserve: {
                let [times, mode, owner, group, access_time, xattrs] = preserve;
                Preserve { times, mode, owner, group, access_time, xattrs }
            },
            target_rate: rates.0,
            min_rate: rates.1,
            policy: rates.2,
            ciphers,
            datagram_max: rest.2,
            first_page,
            split_threshold,
            files,
            protection,
        }
    }
}

prop_compose! {
    fn accept()(
        ids in any::<([u8; 16], u16, u64, [u8; 32], u16, u16, bool)>(),
        cipher in cipher(),
        binding in select(vec![
            BindingKind::None,
            BindingKind::SshTranscript,
            BindingKind::Resumed,
        ]),
        rates in (option::of(bit_rate()), option::of(bit_rate()), bit_rate(), policy()),
        first_page in bytes(3000),
        address_token in option::of(any::<[u8; 8]>()),
        locks in any::<[bool; 3]>(),
        not_kept in 0u8..32,
    ) -> Accept {
        Accept {
            transfer_id: TransferId(ids.0),
            session_index: ids.1,
            session_id: SessionId(ids.2),
            server_random: ids.3,
            udp_port: ids.4,
            cipher,
            binding,
            target_rate: rates.0,
            rate_cap: rates.1,
            min_rate: rates.2,
            policy: rates.3,
            datagram_max: ids.5,
            destination_is_new: ids.6,
            first_page,
            address_token,
            locks: Locks {
                target: locks[0],
                min: locks[1],
                policy: locks[2],
            },
            not_kept: NotKept::from_bits(not_kept),
        }
    }
}

fn entry() -> impl Strategy<Value = Entry> {
    let kinds = vec![
        EntryKind::File,
        EntryKind::Directory,
        EntryKind::Symlink,
        EntryKind::Other,
    ];
    (bytes(255), select(kinds), any::<(u64, i64, u32)>()).prop_map(|(name, kind, n)| Entry {
        name,
        kind,
        size: n.0,
        mtime: n.1,
        mode: n.2,
    })
}

fn protection() -> impl Strategy<Value = ContentProtection> {
    select(vec![
        ContentProtection::None,
        ContentProtection::Passphrase,
        ContentProtection::StrongPassphrase,
    ])
}

fn message() -> impl Strategy<Value = Message> {
    let text = "\\PC{0,50}";
    prop_oneof![
        (vec(any::<u8>(), 0..5), text).prop_map(|(versions, software)| Hello {
            versions,
            software
        }
        .into()),
        open().prop_map(Message::from),
        accept().prop_map(Message::from),
        (
            any::<[u8; 16]>(),
            vec(bytes(60), 0..20),
            vec(bytes(60), 0..20)
        )
            .prop_map(|(id, paths, names)| {
                let transfer_id = TransferId(id);
                Sources {
                    transfer_id,
                    paths,
                    names,
                }
                .into()
            }),
        (
            option::of(any::<[u8; 16]>()),
            any::<u16>(),
            code(),
            text,
            option::of(text),
            protection()
        )
            .prop_map(|(id, session_index, code, message, hint, demands)| {
                Refuse {
                    transfer_id: id.map(TransferId),
                    session_index,
                    code,
                    message,
                    hint,
                    demands,
                }
                .into()
            }),
        (
            session_id(),
            option::of(bit_rate()),
            option::of(bit_rate()),
            option::of(policy())
        )
            .prop_map(|(session_id, target_rate, min_rate, policy)| {
                Rate {
                    session_id,
                    target_rate,
                    min_rate,
                    policy,
                }
                .into()
            }),
        (session_id(), any::<bool>())
            .prop_map(|(session_id, paused)| Pause { session_id, paused }.into()),
        (option::of(session_id()), code(), text, option::of(text)).prop_map(
            |(session_id, code, message, hint)| Cancel {
                session_id,
                code,
                message,
                hint
            }
            .into()
        ),
        (session_id(), bit_rate(), any::<(u32, u32, u32)>()).prop_map(|(session_id, rate, n)| {
            Statistics {
                session_id,
                rate,
                loss_ppm: n.0,
                queueing_delay: Duration::from_micros(n.1.into()),
                rtt: Duration::from_micros(n.2.into()),
            }
            .into()
        }),
        session_id().prop_map(|session_id| Heard { session_id }.into()),
        (bytes(100), option::of(bytes(100))).prop_map(|(path, after)| List { path, after }.into()),
        (vec(entry(), 0..20), any::<bool>())
            .prop_map(|(entries, more)| Listing { entries, more }.into()),
        (session_id(), any::<(u64, u64, u64, u64)>()).prop_map(|(session_id, n)| {
            Closed {
                session_id,
                files_done: n.0,
                files_skipped: n.1,
                files_failed: n.2,
                bytes: n.3,
            }
            .into()
        }),
        bytes(100).prop_map(|path| Inquiry { path }.into()),
        (
            any::<u64>(),
            option::of(any::<u64>()),
            option::of(any::<u64>())
        )
            .prop_map(|(time_ms, free, total)| {
                Facts {
                    time_ms,
                    free,
                    total,
                }
                .into()
            }),
    ]
}

proptest! {
    #[test]
    fn what_is_decoded_is_what_was_encoded(message in message()) {
        let frame = message.to_frame().unwrap();
        prop_assert_eq!(frame.len(), 4 + u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize);
        prop_assert_eq!(Message::decode(frame[4], &frame[5..]).unwrap(), Some(message));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused_without_panic(kind in 0u8..16, body in bytes(300)) {
        drop(Message::decode(kind, &body));
    }

    #[test]
    fn a_damaged_message_is_decoded_or_refused_without_panic(
        message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut frame = message.to_frame().unwrap();
        let at = 5 + at.index(frame.len() - 5);
        frame[at] = byte;
        if cut {
            frame.truncate(at);
        }
        drop(Message::decode(frame[4], &frame[5..]));
    }
}

fn refused(kind: u8, body: &[u8]) -> bool {
    matches!(Message::decode(kind, body), Err(Error::Violation(_)))
}

#[test]
fn unknown_keys_are_skipped_and_missing_ones_refused() {
    // {0: 5, 1: true, 9: [1, {2: "x"}]}
    let body = b"\xa3\x00\x05\x01\xf5\x09\x82\x01\xa1\x02\x61x";
    let pause = Pause {
        session_id: SessionId(5),
        paused: true,
    };
    assert_eq!(Message::decode(6, body).unwrap(), Some(pause.into()));
    assert!(refused(6, b"\xa1\x00\x05"));
    assert!(refused(6, b""));
    assert_eq!(Message::decode(77, b"\xff").unwrap(), None);
}

#[test]
fn nesting_of_16_passes_and_17_does_not() {
    let nested = |depth: usize| {
        // {0: 5, 9: [[[..]]]}: the map is the first level, the innermost array holds a number.
        let mut body = b"\xa2\x00\x05\x09".to_vec();
        body.extend(vec![0x81; depth - 1]);
        body.push(0);
        body
    };
    assert!(matches!(
        Message::decode(9, &nested(16)),
        Ok(Some(Message::Heard(_)))
    ));
    assert!(refused(9, &nested(17)));
    assert!(refused(9, &nested(60_000)));
}

#[test]
fn f68_lengths_beyond_the_input_tags_and_trailing_bytes_are_refused() {
    for body in [
        &b"\xa1\x00\x9b\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x00",
        b"\xa1\x00\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xbf\x00\x05\xff",
        b"\xa1\x00\xc0\x05",
        b"\xa1\x00\x05\x00",
    ] {
        assert!(refused(9, body), "{body:x?}");
    }
}

#[test]
fn w32_f74_rates_of_zero_and_beyond_the_limit_are_refused() {
    let body = |value: &[u8]| [b"\xa2\x00\x01\x01", value].concat();
    assert!(!refused(5, &body(b"\x01")));
    assert!(refused(5, &body(b"\x00")), "zero");
    assert!(refused(5, &body(b"\x20")), "minus one");
    assert!(
        refused(5, &body(b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff")),
        "2^64-1"
    );
    assert!(refused(5, &body(b"\xf9\x7e\x00")), "not a number");
    let limit = [&b"\x1b"[..], &1_000_000_000_000u64.to_be_bytes()].concat();
    assert!(!refused(5, &body(&limit)));
    let above = [&b"\x1b"[..], &1_000_000_000_001u64.to_be_bytes()].concat();
    assert!(refused(5, &body(&above)));
}

#[test]
fn limits_hold_at_the_limit_and_one_beyond() {
    let list = |length: usize, name: usize| {
        Message::from(List {
            path: vec![b'a'; length],
            after: Some(vec![b'n'; name]),
        })
    };
    let round = |message: Message| {
        let frame = message.to_frame().unwrap();
        !refused(frame[4], &frame[5..])
    };
    assert!(round(list(4096, 255)));
    assert!(!round(list(4097, 255)));
    assert!(!round(list(4096, 256)));
    let text = |length| {
        Message::from(Hello {
            versions: vec![1],
            software: "x".repeat(length),
        })
    };
    assert!(round(text(1024)));
    assert!(!round(text(1025)));
    let long = text(MAX_MESSAGE);
    assert!(matches!(long.to_frame(), Err(Error::MessageTooLong(_))));
}

/// Code 11: whoever made the message has a defect.
#[test]
fn a_message_of_ours_that_is_too_long_is_an_internal_error() {
    let long = Message::from(Hello {
        versions: vec![1],
        software: "x".repeat(MAX_MESSAGE),
    });
    assert_eq!(long.to_frame().unwrap_err().code(), ErrorCode::Internal);
}

/// Code 0.
#[test]
fn a_code_that_nobody_knows_yet_is_an_unknown_error_with_its_words() {
    let refuse = Message::from(Refuse {
        transfer_id: None,
        session_index: 0,
        code: ErrorCode::PeerRequiresCipher,
        message: "new".into(),
        hint: None,
        demands: ContentProtection::None,
    });
    let mut frame = refuse.to_frame().unwrap();
    // 66 takes the byte behind 0x18 in CBOR.
    let place = frame
        .windows(2)
        .position(|pair| pair == [0x18, 66])
        .unwrap();
    frame[place + 1] = 200;
    let Some(Message::Refuse(read)) = Message::decode(frame[4], &frame[5..]).unwrap() else {
        panic!("not a refusal");
    };
    assert_eq!(
        (read.code, read.message.as_str()),
        (ErrorCode::Unknown, "new")
    );
}

#[test]
fn a_listing_takes_what_fits_one_message_and_says_that_more_follow() {
    for name in [1, 255] {
        let entry = Entry {
            name: vec![b'n'; name],
            kind: EntryKind::File,
            size: u64::MAX,
            mtime: i64::MIN,
            mode: u32::MAX,
        };
        let mut listing = Listing::default();
        while listing.push(entry.clone()).is_ok() {}
        assert!(listing.more);
        assert!(listing.entries.len() >= 200);
        assert!(Message::from(listing).to_frame().is_ok());
    }
}

#[test]
fn a_version_in_common_is_needed() {
    let hello = |versions| Hello {
        versions,
        software: "x".into(),
    };
    assert_eq!(agree_version(&hello(vec![3, 1])).unwrap(), 1);
    assert!(agree_version(&hello(vec![2])).is_err());
}
