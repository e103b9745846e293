//! One line of a log, as text or JSON.

use serde_json::{Map, Value};

use crate::args::Severity;

/// A record that was read back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// The line as it stands in the file, without its end.
    pub(super) line: String,
    fields: Map<String, Value>,
}

/// Which records are wanted.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) level: Severity,
    /// How the uuid begins.
    pub(super) session: Option<String>,
    /// How the time of the oldest begins.
    pub(super) since: Option<String>,
}

impl Filter {
    pub(super) fn wants(&self, record: &Record) -> bool {
        record.severity() >= self.level
            && self
                .session
                .as_ref()
                .is_none_or(|session| record.text("uuid").starts_with(session.as_str()))
            && self
                .since
                .as_ref()
                .is_none_or(|since| record.time() >= since.as_str())
    }
}

impl Record {
    /// Reads a line; what is no record of ours is a message without a time.
    pub(super) fn parse(line: &str) -> Self {
        let fields = match serde_json::from_str::<Map<String, Value>>(line) {
            Ok(fields) => fields,
            Err(_) => text_fields(line).unwrap_or_else(|| {
                let message = ("message".to_owned(), line.into());
                Map::from_iter([message])
            }),
        };
        Self {
            line: line.to_owned(),
            fields,
        }
    }

    /// Times are all of one form, so their order as text is that of time.
    pub(super) fn time(&self) -> &str {
        self.text("time")
    }

    /// Returns the record as an object on a line.
    pub(super) fn json(&self) -> String {
        Value::Object(self.fields.clone()).to_string()
    }

    fn text(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    fn severity(&self) -> Severity {
        match self.text("severity") {
            "ERR" => Severity::Error,
            "WRN" => Severity::Warning,
            "DBG" => Severity::Debug,
            _ => Severity::Info,
        }
    }
}

/// `TIME SEVERITY MESSAGE key=value key="a b" ...`
fn text_fields(line: &str) -> Option<Map<String, Value>> {
    let (time, rest) = line.split_once(' ')?;
    let (severity, rest) = rest.split_once(' ')?;
    if !time.ends_with('Z') || !matches!(severity, "LOG" | "WRN" | "ERR" | "DBG") {
        return None;
    }
    let mut fields = Map::new();
    fields.insert("time".to_owned(), time.into());
    fields.insert("severity".to_owned(), severity.into());
    let mut message = Vec::new();
    let mut rest = rest;
    while let Some(word) = rest.split(' ').next().filter(|_| !rest.is_empty()) {
        let pair = word.split_once('=').filter(|(name, _)| is_name(name));
        let Some((name, _)) = pair else {
            if fields.len() == 2 {
                message.push(word);
            }
            rest = rest.get(word.len() + 1..).unwrap_or_default();
            continue;
        };
        let (value, length) = value(&rest[name.len() + 1..]);
        fields.insert(name.to_owned(), value);
        rest = rest.get(name.len() + 1 + length + 1..).unwrap_or_default();
    }
    fields.insert("message".to_owned(), message.join(" ").into());
    Some(fields)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Returns the value that a text begins with, and its length there.
fn value(text: &str) -> (Value, usize) {
    let Some(quoted) = text.strip_prefix('"') else {
        let plain = text.split(' ').next().unwrap_or_default();
        let value = match serde_json::from_str(plain) {
            Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
            _ => plain.into(),
        };
        return (value, plain.len());
    };
    // A quote in it has a backslash before it, and backslashes of the text itself are doubled.
    let mut is_escaped = false;
    let end = quoted.char_indices().find_map(|(at, c)| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends.then_some(at)
    });
    match end {
        Some(end) => (quoted[..end].replace("\\\"", "\"").into(), end + 2),
        None => (quoted.into(), text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"2026-03-01T14:05:06.000001Z ERR FASP Session Stop uuid=6f1c op=send errcode=15 errstr="no \"answer\" = none" loss=0.5 failed=true"#;

    #[test]
    fn text_becomes_the_object_that_json_logs_have() {
        let object: Value = serde_json::from_str(&Record::parse(LINE).json()).unwrap();
        let expected = serde_json::json!({
            "time": "2026-03-01T14:05:06.000001Z", "severity": "ERR", "message": "FASP Session Stop", "uuid": "6f1c",
            "op": "send", "errcode": 15, "errstr": "no \"answer\" = none", "loss": 0.5, "failed": true,
        });
        assert_eq!(object, expected);
        let again = Record::parse(&object.to_string());
        assert_eq!(again.fields, Record::parse(LINE).fields);
    }

    #[test]
    fn records_are_chosen_by_severity_session_and_age() {
        let wants = |level, session: Option<&str>, since: Option<&str>| {
            let filter = Filter {
                level,
                session: session.map(str::to_owned),
                since: since.map(str::to_owned),
            };
            filter.wants(&Record::parse(LINE))
        };
        assert!(wants(Severity::Error, Some("6f"), Some("2026-03-01")));
        assert!(wants(Severity::Debug, None, Some("2026-03-01T14:05:06")));
        assert!(!wants(Severity::Debug, Some("7"), None));
        assert!(!wants(Severity::Debug, None, Some("2026-03-01T14:05:07")));
        let info = Record::parse(&LINE.replace("ERR", "LOG"));
        let filter = Filter {
            level: Severity::Warning,
            session: None,
            since: None,
        };
        assert!(!filter.wants(&info));
    }

    #[test]
    fn lines_of_any_kind_are_read_without_panic() {
        for line in [
            "",
            " ",
            "=",
            "a=\"",
            "Z LOG",
            "1Z LOG a=\"b",
            "{}",
            "{\"time\":3}",
            "é=\"\\",
        ] {
            drop(Record::parse(line).json());
        }
        assert_eq!(Record::parse("what").json(), r#"{"message":"what"}"#);
    }
}
