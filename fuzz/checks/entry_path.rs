//! Names from a peer: paths that cannot climb, targets of links, and how names are shown.

use docroot::{EntryPath, escape_name, symlink_target_is_beneath};

/// The first byte says where the path ends and the link's target begins.
pub(crate) fn check(bytes: &[u8]) {
    let Some((split, rest)) = bytes.split_first() else {
        return;
    };
    check_shown(rest);
    let (path, target) = rest.split_at(usize::from(*split).min(rest.len()));
    let Ok(path) = EntryPath::parse(path) else {
        return;
    };
    check_path(&path);
    let beneath = symlink_target_is_beneath(&path, target);
    assert!(
        !beneath || stays_beneath(&path, target),
        "{path} {target:?}"
    );
}

fn check_path(path: &EntryPath) {
    for component in path.components() {
        assert!(!matches!(component, b"" | b"." | b".."), "{path}");
        assert!(
            !component.contains(&0) && !component.contains(&b'/'),
            "{path}"
        );
    }
    let rebuilt = EntryPath::from_components(path.components()).expect("it was valid before");
    assert_eq!(&rebuilt, path);
    if let Ok(joined) = path.join(path) {
        assert_eq!(joined.strip_prefix(path).as_ref(), Some(path));
    }
}

/// Follows the target as a list of names.
fn stays_beneath(link: &EntryPath, target: &[u8]) -> bool {
    let mut stack: Vec<&[u8]> = link.components().collect();
    stack.pop();
    !target.starts_with(b"/")
        && target.split(|b| *b == b'/').all(|part| match part {
            b"" | b"." => true,
            b".." => stack.pop().is_some(),
            name => {
                stack.push(name);
                true
            }
        })
}

fn check_shown(name: &[u8]) {
    let shown = escape_name(name);
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    assert_eq!(unescaped(&shown), name, "two names must not look the same");
}

fn unescaped(shown: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = shown;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.extend_from_slice(plain.as_bytes());
        let used = match escape.as_bytes()[0] {
            b'u' => {
                let end = escape.find('}').expect("an escape ends");
                let code = u32::from_str_radix(&escape[2..end], 16).expect("hexadecimal");
                let c = char::from_u32(code).expect("a character");
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                end + 1
            }
            b'x' => {
                out.push(u8::from_str_radix(&escape[1..3], 16).expect("hexadecimal"));
                3
            }
            simple => {
                out.push(match simple {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => other,
                });
                1
            }
        };
        rest = &escape[used..];
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
