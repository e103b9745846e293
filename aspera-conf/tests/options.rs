//! Every option of the table: its default, values that it takes and values that it refuses, in a file and by an edit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test set-up")]

use aspera_conf::{
    Assignment, Command, Conf, Error, Record, Verb,
    check::{Rule, check},
    schema::{self, Kind, OptionSpec, Section, Value},
};

/// Values that a type takes, with what is written for them.
fn good(kind: Kind) -> Vec<(String, String)> {
    let same = |text: &str| (text.to_owned(), text.to_owned());
    let pair = |text: &str, written: &str| (text.to_owned(), written.to_owned());
    let mut values = match kind {
        Kind::Bool => vec![pair("TRUE", "true"), pair("no", "false"), same("false")],
        Kind::Unsigned { min, max, .. } => vec![same(&min.to_string()), same(&max.to_string())],
        Kind::Signed { min, max, .. } => vec![same(&min.to_string()), same(&max.to_string())],
        Kind::Float { .. } => vec![same("0"), same("2.5"), same("1000")],
        Kind::Octal { .. } => vec![same("755"), same("0640")],
        Kind::Duration => vec![same("1h 30m"), same("90"), same("01:02:03")],
        Kind::Size => vec![same("0B"), same("16M")],
        Kind::Enum(words) => words.iter().map(same).collect(),
        Kind::Enums(_) => vec![same("none"), same("create,follow")],
        Kind::Schedule => vec![same("50000"), same("start=8 end=19 capacity=90")],
        Kind::Text => vec![
            same("a b"),
            same("<&>\"'"),
            same("ü; x,y".split(';').next().unwrap()),
        ],
        Kind::List { .. } => vec![pair("|a|b", "a|b"), pair(",x", "x")],
        _ => panic!("a type without values here"),
    };
    if let Kind::Unsigned { word, .. } | Kind::Signed { word, .. } | Kind::Octal { word } = kind
        && let Some(word) = word
    {
        values.push(pair(&word.name().to_lowercase(), word.name()));
    }
    values
}

/// Markup that is no value of a type, and how far into it the mistake is.
fn bad(kind: Kind) -> Vec<(String, usize)> {
    let texts: Vec<String> = match kind {
        Kind::Bool => ["maybe", "1", "on"].map(str::to_owned).to_vec(),
        Kind::Unsigned { min, max, .. } => {
            let mut texts = ["-1", "+1", "10M", "1.5"].map(str::to_owned).to_vec();
            texts.push((u128::from(max) + 1).to_string());
            if min > 0 {
                texts.push((min - 1).to_string());
            }
            texts
        }
        Kind::Signed { min, max, .. } => {
            vec![
                "+1".into(),
                (i128::from(max) + 1).to_string(),
                (i128::from(min) - 1).to_string(),
            ]
        }
        Kind::Float { .. } => ["a lot", "1e3", "nan"].map(str::to_owned).to_vec(),
        Kind::Octal { .. } => ["0999", "rwx", "77777"].map(str::to_owned).to_vec(),
        Kind::Duration => ["soon", "1w", "5m 1h"].map(str::to_owned).to_vec(),
        Kind::Size => ["1X", "big", "-1"].map(str::to_owned).to_vec(),
        Kind::Schedule => ["10M", "0", "start=8"].map(str::to_owned).to_vec(),
        Kind::Enum(_) | Kind::Enums(_) => ["no such word"].map(str::to_owned).to_vec(),
        // A control character, and an element where text belongs.
        Kind::Text => ["&#x7f;", "<x>1</x>"].map(str::to_owned).to_vec(),
        Kind::List { .. } => ["bare text", "<x>1</x>"].map(str::to_owned).to_vec(),
        _ => panic!("a type without values here"),
    };
    texts.into_iter().map(|text| (text, 0)).collect()
}

fn records(section: Section) -> Vec<Record> {
    match section {
        Section::Default => vec![
            Record::Node,
            Record::User("ada".into()),
            Record::Group("staff".into()),
        ],
        Section::Trunks => vec![Record::Trunk(8)],
        Section::Logging => vec![Record::Logging("web".into())],
        section => vec![Record::Section(section)],
    }
}

fn is_key(spec: &OptionSpec, record: &Record) -> bool {
    match record {
        Record::User(_) | Record::Group(_) => spec.path == "name",
        Record::Trunk(_) => spec.path == "id",
        Record::Logging(_) => spec.path == "classes",
        _ => false,
    }
}

/// A file with the option on line 3 or below, each element on a line of its own, and where its value begins.
fn file_with(spec: &OptionSpec, markup: &str) -> (String, u32, u32) {
    let path: Vec<_> = spec
        .section
        .path()
        .split('/')
        .chain(spec.path.split('/'))
        .collect();
    let (last, holders) = path.split_last().unwrap();
    let mut text = "<?xml version='1.0'?>\n<CONF version=\"2\">\n".to_owned();
    for (depth, name) in holders.iter().enumerate() {
        text += &format!("{}<{name}>\n", " ".repeat(depth));
    }
    let line = text.lines().count() as u32 + 1;
    let column = (holders.len() + last.len() + 3) as u32;
    text += &format!("{}<{last}>{markup}</{last}>\n", " ".repeat(holders.len()));
    for name in holders.iter().rev() {
        text += &format!("</{name}>\n");
    }
    (text + "</CONF>\n", line, column)
}

#[test]
fn the_table_has_every_option_once() {
    let options = schema::options();
    let rows = include_str!("../data/options.tsv");
    let rows = rows.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(options.len(), 553);
    assert_eq!(rows.count(), 553, "no row was passed over");
    for spec in options {
        assert_eq!(schema::find(spec.section, spec.name), Some(spec));
        assert_eq!(schema::find_path(spec.section, spec.path), Some(spec));
        assert!(!spec.about.ends_with('.'), "{}", spec.name);
    }
}

#[test]
fn every_default_is_a_value_of_its_option() {
    let mut without = 0;
    for spec in schema::options() {
        match spec.builtin {
            "" => without += 1,
            text => assert!(spec.builtin_value().is_some(), "{}: {text}", spec.name),
        }
    }
    assert_eq!(without, 125);
    let value = |section, name: &str| schema::find(section, name).unwrap().builtin_value();
    let node = |name| value(Section::Default, name);
    assert_eq!(node("resume_suffix"), Some(Value::Text(".aspx".into())));
    assert_eq!(
        node("transfer_protocol_options_bind_udp_port"),
        Some(Value::Unsigned(33001))
    );
    assert_eq!(
        node("symbolic_links"),
        Some(Value::Choices(vec!["create", "follow"]))
    );
    assert_eq!(
        value(Section::HttpServer, "https_port"),
        Some(Value::Unsigned(8443))
    );
}

#[test]
fn good_values_are_set_read_and_reset_in_each_section() {
    for spec in schema::options() {
        for record in records(spec.section) {
            if is_key(spec, &record) {
                continue;
            }
            let mut conf = Conf::new();
            // The record itself stays when its options go.
            conf.apply(&set(&record, vec![])).unwrap();
            let start = conf.text().to_owned();
            for (typed, written) in good(spec.kind) {
                let at = format!("{record} {} = {typed}", spec.name);
                let assignment = Assignment::new(spec.name, &*typed);
                assert!(
                    conf.apply(&set(&record, vec![assignment.clone()])).unwrap(),
                    "{at}"
                );
                let stated = conf.stated(&record, spec).unwrap();
                assert_eq!(stated.to_string(), written, "{at}");
                assert!(
                    !conf.apply(&set(&record, vec![assignment])).unwrap(),
                    "again: {at}"
                );
                let errors = check(&conf).into_iter().find(|f| f.rule == Rule::BadValue);
                assert_eq!(errors, None, "{at}");
                assert_eq!(
                    Conf::parse(conf.text().as_bytes()).unwrap().text(),
                    conf.text()
                );
                let reset = set(&record, vec![Assignment::new(spec.name, "AS_NULL")]);
                assert!(conf.apply(&reset).unwrap(), "{at}");
                if start.contains(&format!("<{}>", record_element(&record))) {
                    assert_eq!(conf.stated(&record, spec), None, "{at}");
                }
            }
        }
    }
}

fn record_element(record: &Record) -> &'static str {
    match record {
        Record::User(_) => "user",
        Record::Group(_) => "group",
        _ => "CONF",
    }
}

fn set(record: &Record, assignments: Vec<Assignment>) -> Command {
    Command {
        verb: Verb::Set,
        record: record.clone(),
        assignments,
    }
}

#[test]
fn bad_values_are_refused_with_line_and_column() {
    for spec in schema::options() {
        for (markup, _) in bad(spec.kind) {
            let (text, line, column) = file_with(spec, &markup);
            let conf = Conf::parse(text.as_bytes()).unwrap();
            let findings = check(&conf);
            let found = findings
                .iter()
                .find(|f| matches!(f.rule, Rule::BadValue | Rule::Shape))
                .unwrap_or_else(|| panic!("{} takes {markup}", spec.name));
            let position = found.position;
            assert_eq!(
                (position.line, position.column),
                (line, column),
                "{}: {markup}",
                spec.name
            );
        }
    }
}

#[test]
fn bad_values_are_refused_by_an_edit_and_change_nothing() {
    for spec in schema::options() {
        let record = records(spec.section).remove(0);
        let is_markup = matches!(spec.kind, Kind::Text | Kind::List { .. });
        if is_markup || is_key(spec, &record) {
            continue;
        }
        for (text, _) in bad(spec.kind) {
            let mut conf = Conf::new();
            let start = conf.text().to_owned();
            let refused = conf.apply(&set(&record, vec![Assignment::new(spec.name, text)]));
            assert!(
                matches!(refused, Err(Error::BadValue { .. })),
                "{}",
                spec.name
            );
            assert_eq!(conf.text(), start);
        }
    }
}

#[test]
fn good_values_in_a_file_are_found_without_a_mistake() {
    for spec in schema::options() {
        for (text, _) in good(spec.kind) {
            let markup = match spec.kind {
                Kind::List { item } => format!("<{item}>a</{item}><{item}>b</{item}>"),
                _ => text.replace('&', "&amp;").replace('<', "&lt;"),
            };
            let (file, ..) = file_with(spec, &markup);
            let conf = Conf::parse(file.as_bytes()).unwrap();
            let mistake = check(&conf)
                .into_iter()
                .find(|f| matches!(f.rule, Rule::BadValue | Rule::Shape | Rule::Unknown));
            assert_eq!(mistake, None, "{file}");
        }
    }
}
