//! Documents made to hurt are refused at once, with little memory (requirement F120 of the security rules).
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "test set-up: reads /proc"
)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use aspera_conf::{Conf, Error, xml::Fault};

/// Parses, and looks at the clock and at the most memory this process has had.
fn refused(name: &str, bytes: &[u8]) -> Fault {
    let before = peak_kib();
    // The fastest of three: a busy machine says nothing about the parser.
    let took = (0..3).map(|_| {
        let start = Instant::now();
        drop(Conf::parse(bytes));
        start.elapsed()
    });
    let took = took.min().unwrap();
    let result = Conf::parse(bytes);
    let grown = peak_kib().saturating_sub(before);
    println!("{name}: {took:?}, {grown} KiB");
    assert!(took < Duration::from_millis(50), "{name}: {took:?}");
    assert!(grown < 16 * 1024, "{name}: {grown} KiB");
    match result {
        Err(Error::Document { fault, .. }) => fault,
        other => panic!("{name}: {other:?}"),
    }
}

fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[test]
fn hostile_documents_are_refused_within_50_ms_and_16_mib() {
    let mut laughs = "<?xml version='1.0'?><!DOCTYPE CONF [<!ENTITY a0 'ha'>".to_owned();
    for level in 1..30 {
        write!(
            laughs,
            "<!ENTITY a{level} '{}'>",
            format!("&a{};", level - 1).repeat(10)
        )
        .unwrap();
    }
    laughs += "]><CONF>&a29;</CONF>";
    assert_eq!(refused("laughs", laughs.as_bytes()), Fault::DocumentType);

    let external = b"<!DOCTYPE CONF SYSTEM 'file:///etc/passwd'><CONF/>";
    assert_eq!(refused("external", external), Fault::DocumentType);
    let entity = b"<CONF>&passwd;</CONF>";
    assert_eq!(refused("entity", entity), Fault::Entity("passwd".into()));
    let instruction = b"<?xml-stylesheet href='x'?><CONF/>";
    assert_eq!(refused("PI", instruction), Fault::ProcessingInstruction);

    let mut attributes = "<CONF".to_owned();
    (0..80_000).for_each(|n| write!(attributes, " a{n}=''").unwrap());
    attributes += "/>";
    assert_eq!(
        refused("attributes", attributes.as_bytes()),
        Fault::TagTooLong
    );
    let mut attributes = "<CONF".to_owned();
    (0..40).for_each(|n| write!(attributes, " a{n}=''").unwrap());
    attributes += "/>";
    assert_eq!(
        refused("40 attributes", attributes.as_bytes()),
        Fault::TooManyAttributes
    );
    let mut spaces = "<CONF".to_owned();
    (0..100_000).for_each(|n| write!(spaces, " xmlns:a{n}='u'").unwrap());
    assert_eq!(
        refused("xmlns", (spaces + "/>").as_bytes()),
        Fault::TooLarge
    );

    let nested = "<a>".repeat((10 << 20) / 3);
    assert_eq!(
        refused("10 MiB of nesting", nested.as_bytes()),
        Fault::TooLarge
    );
    let nested = "<CONF>".to_owned() + &"<a>".repeat(340_000);
    assert_eq!(refused("nesting", nested.as_bytes()), Fault::TooDeep);
    let flat = "<CONF>".to_owned() + &"<a/>".repeat(250_000);
    assert_eq!(refused("elements", flat.as_bytes()), Fault::TooManyElements);

    assert_eq!(refused("UTF-8", b"<CONF>\xff</CONF>"), Fault::NotUtf8);
    let utf16: Vec<u8> = "<CONF/>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(matches!(refused("UTF-16", &utf16), Fault::Character(0)));
    let declared = b"<?xml version='1.0' encoding='ISO-8859-1'?><CONF/>";
    assert_eq!(refused("encoding", declared), Fault::Declaration);
    let open = "<CONF><!-- ".to_owned() + &"x".repeat(1_000_000);
    assert!(matches!(
        refused("comment", open.as_bytes()),
        Fault::IllFormed(_)
    ));
    let tag = "<CONF a='".to_owned() + &"x".repeat(1_000_000);
    assert!(matches!(
        refused("tag", tag.as_bytes()),
        Fault::IllFormed(_)
    ));
}

#[test]
fn the_largest_documents_are_read_in_time() {
    let filler = "<a>1</a>\n".repeat(60_000);
    let text = format!("<CONF>{filler}</CONF>");
    let start = Instant::now();
    let conf = Conf::parse(text.as_bytes()).unwrap();
    assert_eq!(conf.text(), text);
    assert!(aspera_conf::check(&conf).len() <= aspera_conf::check::MAX_FINDINGS);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn mistakes_in_xml_have_their_place() {
    for (text, place, part) in [
        ("", (1, 1), "no element"),
        ("<CONF>", (1, 1), "<CONF> is not closed"),
        ("<CONF>\n <a>\n</CONF>", (3, 1), "<a> is not closed"),
        ("<CONF>\n<allowed>any</allowed\n</CONF>", (2, 13), "not"),
        ("<CONF>a & b</CONF>", (1, 9), "not well-formed"),
        ("<CONF/><CONF/>", (1, 8), "outside the root"),
        ("<CONF/>\nx", (2, 1), "outside the root"),
        ("<CONF>&#7;</CONF>", (1, 7), "'&#7;' is refused"),
        ("<CONF>]]></CONF>", (1, 7), "CDATA"),
        ("<CONF><!-- a -- b --></CONF>", (1, 14), "not well-formed"),
        ("<CONF a='1' a='2'/>", (1, 1), "attributes"),
        ("<CONF>\n  <1/></CONF>", (2, 3), "'1' is not a name"),
        ("<html/>", (1, 1), "should be <CONF"),
        ("<CONF version='3'/>", (1, 1), "version '3'"),
        ("<CONF version='1'/>", (1, 1), "version '1'"),
    ] {
        let Err(Error::Document { position, fault }) = Conf::parse(text.as_bytes()) else {
            panic!("{text} is read");
        };
        let message = fault.to_string();
        assert!(message.contains(part), "{text}: {message}");
        assert_eq!((position.line, position.column), place, "{text}: {message}");
    }
    for text in [
        "<CONF/>",
        "\u{feff}<conf version=' 2 '/>",
        "<CONF>&#38;<![CDATA[<&>]]></CONF>",
    ] {
        assert_eq!(Conf::parse(text.as_bytes()).unwrap().text(), text);
    }
}
