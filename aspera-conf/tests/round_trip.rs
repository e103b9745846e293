//! What is read is written as it was, and an edit touches its own bytes only.
#![allow(clippy::unwrap_used, reason = "test set-up")]

mod documents;

use aspera_conf::{
    Assignment, Command, Conf, Record, Verb,
    schema::{self, Kind, OptionSpec, Section},
};
use proptest::prelude::*;

fn set(record: &Record, name: &str, value: &str) -> Command {
    Command {
        verb: Verb::Set,
        record: record.clone(),
        assignments: vec![Assignment::new(name, value)],
    }
}

/// The part of each that the other has not: what stands between the common beginning and the common end.
fn difference<'a>(old: &'a str, new: &'a str) -> (usize, &'a str, &'a str) {
    let same = |(a, b): &(char, char)| a == b;
    let front: usize = old
        .chars()
        .zip(new.chars())
        .take_while(same)
        .map(|(c, _)| c.len_utf8())
        .sum();
    let (old_rest, new_rest) = (&old[front..], &new[front..]);
    let back: usize = old_rest
        .chars()
        .rev()
        .zip(new_rest.chars().rev())
        .take_while(same)
        .map(|(c, _)| c.len_utf8())
        .sum();
    (
        front,
        &old_rest[..old_rest.len() - back],
        &new_rest[..new_rest.len() - back],
    )
}

fn option() -> impl Strategy<Value = &'static OptionSpec> {
    proptest::sample::select(
        schema::options()
            .iter()
            .filter(|spec| spec.section == Section::Default && spec.name != "name")
            .collect::<Vec<_>>(),
    )
}

fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        Just(Record::Node),
        "[a-z]{1,3}".prop_map(Record::User),
        "[a-z]{1,3}".prop_map(Record::Group),
    ]
}

fn value(spec: &OptionSpec, seed: u32) -> String {
    match spec.kind {
        Kind::Bool => seed.is_multiple_of(2).to_string(),
        Kind::Unsigned { max, .. } => (u64::from(seed) % max.max(1)).max(1).min(max).to_string(),
        Kind::Signed { .. } | Kind::Float { .. } => (seed % 1000).to_string(),
        Kind::Octal { .. } => format!("{:o}", seed % 0o777),
        Kind::Duration => format!("{}s", seed % 60),
        Kind::Size => format!("{seed}B"),
        Kind::Enum(words) | Kind::Enums(words) => {
            let words: Vec<_> = words.iter().collect();
            words[seed as usize % words.len()].to_owned()
        }
        Kind::List { .. } => format!("|a{seed}|<b>&"),
        _ => format!("text <{seed}> & more"),
    }
}

/// A file as people keep it: sections that hold something, comments, one style of indentation.
fn tidy_file() -> impl Strategy<Value = Conf> {
    let style = (
        proptest::sample::select(vec!["  ", "    ", "\t"]),
        any::<bool>(),
    );
    let sets = proptest::collection::vec((record(), option(), any::<u32>()), 1..12);
    (style, sets).prop_map(|((indent, has_crlf), sets)| {
        let text = format!(
            "<?xml version='1.0'?>\n<!-- kept -->\n<CONF version=\"2\">\n{indent}<client>\n\
             {indent}{indent}<ssh_path>/usr/bin/ssh</ssh_path> <!-- why not -->\n{indent}</client>\n\
             {indent}<other a='1'/>\n</CONF>\n"
        );
        let text = if has_crlf { text.replace('\n', "\r\n") } else { text };
        let mut conf = Conf::parse(text.as_bytes()).unwrap();
        for (record, spec, seed) in sets {
            conf.apply(&set(&record, spec.name, &value(spec, seed))).unwrap();
        }
        conf
    })
}

proptest! {
    #[test]
    fn a_document_is_written_as_it_was_read(text in documents::document()) {
        let conf = Conf::parse(text.as_bytes()).unwrap();
        prop_assert_eq!(conf.text(), &text);
        // Looking does not hurt either.
        drop(aspera_conf::check(&conf));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(conf) = Conf::parse(&bytes) {
            prop_assert_eq!(conf.text().as_bytes(), &bytes);
        }
    }

    #[test]
    fn an_edit_of_any_document_changes_one_place(
        text in documents::document(),
        record in record(),
        spec in option(),
        seed: u32,
    ) {
        let mut conf = Conf::parse(text.as_bytes()).unwrap();
        let before = conf.stated(&record, spec);
        let value = value(spec, seed);
        conf.apply(&set(&record, spec.name, &value)).unwrap();
        let stated = conf.stated(&record, spec).map(|s| s.to_string());
        let expected = if matches!(spec.kind, Kind::List { .. }) { value[1..].to_owned() } else { value.clone() };
        prop_assert_eq!(stated, Some(expected));
        // What is there again reads the same.
        let again = conf.clone();
        prop_assert!(!conf.apply(&set(&record, spec.name, &value)).unwrap());
        prop_assert_eq!(conf.text(), again.text());
        let (_, old, new) = difference(&text, conf.text());
        if before.is_none() && !matches!(spec.kind, Kind::List { .. }) {
            let lost: String = old.chars().filter(|c| !c.is_whitespace() && !matches!(c, '/' | '>')).collect();
            // An element that said nothing may have been filled.
            let is_nothing = ["", "AS_NULL"].contains(&&*lost) || new.contains("<!--");
            prop_assert!(is_nothing, "lost {:?} for {:?}", old, new);
        }
    }

    #[test]
    fn a_value_takes_the_place_of_another_and_of_nothing_else(
        conf in tidy_file(),
        record in record(),
        spec in option(),
        seeds: (u32, u32),
    ) {
        let mut conf = conf;
        conf.apply(&set(&record, spec.name, &value(spec, seeds.0))).unwrap();
        let before = conf.text().to_owned();
        conf.apply(&set(&record, spec.name, &value(spec, seeds.1))).unwrap();
        if conf.text() == before {
            return Ok(());
        }
        let (at, old, new) = difference(&before, conf.text());
        if !matches!(spec.kind, Kind::List { .. }) {
            prop_assert!(!old.contains(['<', '>']) && !new.contains(['<', '>']), "{:?} {:?}", old, new);
            let open = before[..at].rfind('>').unwrap();
            let leaf = spec.path.rsplit('/').next().unwrap();
            let tag = format!("<{leaf}>");
            prop_assert!(before[..=open].ends_with(&tag));
        }
    }

    #[test]
    fn set_and_reset_give_the_file_back(
        conf in tidy_file(),
        record in record(),
        spec in option(),
        seed: u32,
    ) {
        let mut conf = conf;
        // Resetting keeps a record with a name, so it has to be there before.
        if record != Record::Node && !conf.has(&record) {
            return Ok(());
        }
        let start = conf.clone();
        let is_new = conf.stated(&record, spec).is_none();
        conf.apply(&set(&record, spec.name, &value(spec, seed))).unwrap();
        conf.apply(&set(&record, spec.name, "AS_NULL")).unwrap();
        prop_assert_eq!(conf.stated(&record, spec), None);
        if is_new {
            prop_assert_eq!(conf.text(), start.text());
        }
    }

    #[test]
    fn deleting_a_record_that_was_made_gives_the_file_back(conf in tidy_file(), spec in option(), seed: u32) {
        let mut conf = conf;
        let start = conf.text().to_owned();
        let record = Record::User("newcomer".into());
        conf.apply(&set(&record, spec.name, &value(spec, seed))).unwrap();
        conf.apply(&Command::parse("delete_user;user_name,newcomer").unwrap()).unwrap();
        prop_assert_eq!(conf.text(), start);
    }
}

#[test]
fn a_second_section_does_not_come_to_life_when_the_first_is_emptied() {
    let text = "<CONF>\n<default><session_timeout_sec>1</session_timeout_sec></default>\n\
                <default><session_timeout_sec>2</session_timeout_sec></default>\n</CONF>";
    let mut conf = Conf::parse(text.as_bytes()).unwrap();
    let line = "set_node_data;session_timeout_sec,AS_NULL";
    conf.apply(&Command::parse(line).unwrap()).unwrap();
    let spec = schema::find(Section::Default, "session_timeout_sec").unwrap();
    assert_eq!(conf.stated(&Record::Node, spec), None);
}

#[test]
fn comments_and_white_space_around_a_value_stay() {
    for (old, new) in [
        ("<cap>\n   100\n  </cap>", "<cap>\n   7\n  </cap>"),
        (
            "<cap> 100 <!-- kbit/s --></cap>",
            "<cap> 7 <!-- kbit/s --></cap>",
        ),
        ("<cap><!-- a -->100</cap>", "<cap><!-- a -->7</cap>"),
        ("<cap><![CDATA[100]]></cap>", "<cap>7</cap>"),
        ("<cap />", "<cap>7</cap>"),
        ("<cap a='1'/>", "<cap a='1'>7</cap>"),
        ("<cap></cap>", "<cap>7</cap>"),
        ("<cap>AS_NULL</cap>", "<cap>7</cap>"),
    ] {
        let file = |cap: &str| {
            format!(
                "<CONF><default><transfer><in><bandwidth><flow><target_rate>{cap}</target_rate></flow></bandwidth></in></transfer></default></CONF>"
            )
        };
        let mut conf = Conf::parse(file(old).as_bytes()).unwrap();
        let command = "set_node_data;transfer_in_bandwidth_flow_target_rate_cap,7";
        conf.apply(&Command::parse(command).unwrap()).unwrap();
        assert_eq!(conf.text(), file(new));
    }
}
