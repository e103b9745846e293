//! Random documents.
#![allow(dead_code, reason = "each test uses a part")]

use proptest::prelude::*;

/// Names of the format and others, so that documents are of both kinds.
const NAMES: &[&str] = &[
    "default",
    "transfer",
    "in",
    "out",
    "bandwidth",
    "flow",
    "target_rate",
    "cap",
    "aaa",
    "realms",
    "realm",
    "users",
    "user",
    "name",
    "groups",
    "group",
    "server",
    "trunks",
    "trunk",
    "id",
    "WEB",
    "file_system",
    "access",
    "paths",
    "path",
    "absolute",
    "restrictions",
    "restriction",
    "x-y.z",
    "ü",
    "_a:b",
];

fn name() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(NAMES)
}

fn attributes() -> impl Strategy<Value = String> {
    let attribute = prop_oneof![
        Just(" version=\"2\"".to_owned()),
        Just("\n\tpeer_ip = '10.0.0.1'".to_owned()),
        Just(" a=\"&lt;&#38;>\"".to_owned()),
    ];
    proptest::option::of(attribute).prop_map(Option::unwrap_or_default)
}

fn text() -> impl Strategy<Value = String> {
    let pieces: &[&str] = &[
        "",
        " ",
        "\n",
        "\r\n\t",
        "10000",
        "true",
        "AS_NULL",
        "a b",
        "&amp;",
        "&#x41;",
        "/srv/$(name)",
        "<!-- c -->",
        "<!---->",
        "<![CDATA[<&]]>",
        "ü",
        "]]",
        ">",
        "\u{a0}",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..4)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("']]>' may not stand in text", |text| {
            !text.replace("<![CDATA[<&]]>", "").contains("]]>")
        })
}

fn element() -> impl Strategy<Value = String> {
    let leaf = (name(), attributes(), text()).prop_map(|(name, attributes, text)| match &*text {
        "" => format!("<{name}{attributes} />"),
        text => format!("<{name}{attributes}>{text}</{name} >"),
    });
    leaf.prop_recursive(5, 40, 5, |inner| {
        (
            name(),
            attributes(),
            proptest::collection::vec((text(), inner), 1..5),
        )
            .prop_map(|(name, attributes, children)| {
                let content: String = children
                    .into_iter()
                    .map(|(text, child)| text + &child)
                    .collect();
                format!("<{name}{attributes}>{content}\n</{name}>")
            })
    })
}

/// A well-formed document with `CONF` as its root.
pub(crate) fn document() -> impl Strategy<Value = String> {
    let prolog = proptest::sample::select(vec![
        "",
        "\u{feff}",
        "<?xml version='1.0' encoding='UTF-8'?>\n",
        "\u{feff}<?xml version=\"1.0\"?>\r\n<!-- ours -->\r\n",
    ]);
    let children = proptest::collection::vec((text(), element()), 0..6);
    let end = proptest::sample::select(vec!["", "\n", "\n<!-- end -->\n\n"]);
    (prolog, children, text(), end).prop_map(|(prolog, children, last, end)| {
        let content: String = children
            .into_iter()
            .map(|(text, child)| text + &child)
            .collect();
        format!("{prolog}<CONF version=\"2\">{content}{last}</CONF>{end}")
    })
}
