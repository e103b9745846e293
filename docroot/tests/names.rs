//! Names from a peer, before any file is touched.

use docroot::{EntryPath, MAX_COMPONENT, MAX_DEPTH, MAX_PATH, Suffixes, symlink_target_is_beneath};
use proptest::prelude::*;

fn refused_with(path: &[u8]) -> Option<u8> {
    EntryPath::parse(path).err().map(|e| e.code().number())
}

/// F80.
#[test]
fn paths_that_climb_or_are_malformed_are_err_41() {
    for path in [
        &b""[..],
        b".",
        b"..",
        b"./",
        b"a/.",
        b"a/..",
        b"../a",
        b"a/../../b",
        b"a/./b",
        b"/",
        b"/abs",
        b"//x",
        b"a//b",
        b"a/",
        b"a\0b",
        b"a/\0",
        b"/..",
    ] {
        assert_eq!(refused_with(path), Some(41), "{path:?}");
    }
    for text in ["a\nb", "\u{1f}", "a/\u{7f}", "\0"] {
        assert_eq!(
            EntryPath::parse_text(text).unwrap_err().code().number(),
            41,
            "{text:?}"
        );
    }
}

/// F82, F83: what only looks dangerous is a name like any other, byte for byte.
#[test]
fn other_names_are_carried_literally() {
    for path in [
        &b"a"[..],
        b"a/b",
        b"...",
        b"..a",
        b"a..",
        b".hidden",
        b"-rf",
        b"$(x)",
        b"`x`",
        b"%2e%2e%2f",
        b";",
        b"\"'",
        b"a\nb",
        b"\x1b[2J",
        b"\xff\xfe",
        b"\xc0\xae\xc0\xae",
        b"\xed\xa0\x80",
        b"a:b",
        b"C:\\x",
        b"\\\\srv\\s",
        b"a\\..\\b",
        b"CON",
        "\u{feff}\u{202e}".as_bytes(),
    ] {
        let parsed = EntryPath::parse(path).unwrap();
        assert_eq!(parsed.as_bytes(), path);
        assert_eq!(
            EntryPath::from_components(parsed.components()).unwrap(),
            parsed
        );
        assert!(
            !parsed.to_string().chars().any(char::is_control),
            "{parsed}"
        );
    }
}

/// F81: each limit, and one beyond.
#[test]
fn limits_are_err_55_when_exceeded() {
    assert_eq!(refused_with(&[b'x'; MAX_COMPONENT]), None);
    assert_eq!(refused_with(&[b'x'; MAX_COMPONENT + 1]), Some(55));
    let long = |length: usize| {
        let mut path = [vec![b'x'; 250], vec![b'/']].concat().repeat(17);
        path.truncate(length);
        path
    };
    assert_eq!(refused_with(&long(MAX_PATH)), None);
    assert_eq!(refused_with(&long(MAX_PATH + 1)), Some(55));
    assert_eq!(refused_with(&vec![b'/'; 1 << 20]), Some(55));
    let deep = |depth: usize| vec!["d"; depth].join("/").into_bytes();
    assert_eq!(refused_with(&deep(MAX_DEPTH)), None);
    assert_eq!(refused_with(&deep(MAX_DEPTH + 1)), Some(55));
    let deepest = EntryPath::parse(&deep(MAX_DEPTH)).unwrap();
    let one = EntryPath::parse(b"x").unwrap();
    assert_eq!(deepest.join(&one).unwrap_err().code().number(), 55);
    let longest = EntryPath::parse(&long(MAX_PATH)).unwrap();
    assert_eq!(one.join(&longest).unwrap_err().code().number(), 55);
    assert_eq!(longest.clone().push(b"x").unwrap_err().code().number(), 55);
    assert!(EntryPath::from_components(["a/b"]).is_err());
}

/// "/data" is no prefix of "/data2".
#[test]
fn prefixes_are_compared_by_component() {
    let parse = |p: &str| EntryPath::parse(p.as_bytes()).unwrap();
    assert!(!parse("data2").starts_with(&parse("data")));
    assert!(!parse("data2/x").starts_with(&parse("data")));
    assert!(parse("data/x").starts_with(&parse("data")));
    assert!(parse("data").starts_with(&parse("data")));
    assert!(parse("data").starts_with(&EntryPath::root()));
    assert_eq!(parse("data2").strip_prefix(&parse("data")), None);
    assert_eq!(
        parse("data/x/y").strip_prefix(&parse("data")),
        Some(parse("x/y"))
    );
    assert_eq!(
        parse("data").strip_prefix(&parse("data")),
        Some(EntryPath::root())
    );
}

#[test]
fn our_own_suffixes_are_reserved_in_any_component() {
    let suffixes = Suffixes::default();
    for (path, reserved) in [
        ("a.partial", true),
        (".partial", true),
        ("d/x.aspera-ckpt", true),
        ("d.partial/x", true),
        ("a.partial.txt", false),
        ("partial", false),
        ("a.PARTIAL", false),
    ] {
        let parsed = EntryPath::parse(path.as_bytes()).unwrap();
        assert_eq!(parsed.is_reserved(&suffixes), reserved, "{path}");
    }
    let own = Suffixes::new(b".part", b".ckpt").unwrap();
    assert!(EntryPath::parse(b"a.part").unwrap().is_reserved(&own));
    for bad in [&b""[..], b"a/b", b"..", b".ckpt", b"x.ckpt", &[b'x'; 65]] {
        assert!(Suffixes::new(bad, b".ckpt").is_err(), "{bad:?}");
    }
}

/// P-5.
#[test]
fn link_targets_are_judged_by_their_words() {
    for (link, target, beneath) in [
        ("l", "x", true),
        ("l", "..", false),
        ("l", "x/../..", false),
        ("l", "x/..", true),
        ("d/l", "../x", true),
        ("d/l", "../../x", false),
        ("d/l", "../../d/x", false),
        ("d/e/l", "../../x", true),
        ("l", "/etc/passwd", false),
        ("l", "", false),
        ("l", "a\0b", false),
        ("l", ".", true),
        ("l", "./././x//y", true),
    ] {
        let path = EntryPath::parse(link.as_bytes()).unwrap();
        assert_eq!(
            symlink_target_is_beneath(&path, target.as_bytes()),
            beneath,
            "{link} {target}"
        );
    }
    let path = EntryPath::parse(b"l").unwrap();
    assert!(symlink_target_is_beneath(&path, &[b'x'; 4095]));
    assert!(!symlink_target_is_beneath(&path, &[b'x'; 4096]));
}

fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"..".to_vec()),
        Just(b".".to_vec()),
        Just(b"/".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"\\".to_vec()),
        Just(vec![b'x'; 255]),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_parses_cannot_climb_and_round_trips(bytes in hostile_bytes()) {
        if let Ok(path) = EntryPath::parse(&bytes) {
            prop_assert_eq!(path.as_bytes(), &bytes[..]);
            prop_assert!(bytes.len() <= MAX_PATH && path.depth() <= MAX_DEPTH);
            for component in path.components() {
                prop_assert!(!matches!(component, b"" | b"." | b".."));
                prop_assert!(component.len() <= MAX_COMPONENT);
                prop_assert!(!component.contains(&b'/') && !component.contains(&0));
            }
            prop_assert_eq!(EntryPath::from_components(path.components()).unwrap(), path.clone());
            let parent = path.parent().unwrap();
            let name = EntryPath::parse(path.file_name().unwrap()).unwrap();
            prop_assert_eq!(parent.join(&name).unwrap(), path);
        }
    }

    #[test]
    fn nothing_shown_can_break_a_line(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let shown = docroot::escape_name(&bytes);
        let separators = '\u{2028}'..='\u{202e}';
        let breaks = shown.chars().any(|c| c.is_control() || separators.contains(&c));
        prop_assert!(!breaks);
    }
}
