//! One record as one line.

use std::fmt::{self, Write as _};

use fasp_net::event::ShownText;
use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use super::LogFormat;

/// The longest line, bytes; what is longer is cut.
pub const LINE_MAX: usize = 4096;

/// The longest text of one field, bytes: a few of them always fit into a line.
const VALUE_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct LineFormat {
    format: LogFormat,
}

/// The parts of a record, in the order they were given.
#[derive(Default)]
struct Record {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl LineFormat {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let mut record = Record::default();
        event.record(&mut record);
        let mut line = match self.format {
            LogFormat::Text => record.text(&time, *event.metadata().level())?,
            LogFormat::Json => record.json(time, *event.metadata().level()),
        };
        cut(&mut line, LINE_MAX);
        writeln!(writer, "{line}")
    }
}

impl Record {
    fn text(&self, time: &str, level: Level) -> Result<String, fmt::Error> {
        let mut line = format!("{time} {} {}", severity(level), self.message);
        for (name, value) in &self.fields {
            match value {
                Value::String(text) if needs_quotes(text) => {
                    write!(line, " {name}=\"{}\"", text.replace('"', "\\\""))?;
                }
                Value::String(text) => write!(line, " {name}={text}")?,
                other => write!(line, " {name}={other}")?,
            }
        }
        Ok(line)
    }

    fn json(self, time: String, level: Level) -> String {
        let mut object = Map::new();
        object.insert("time".to_owned(), Value::String(time));
        object.insert("severity".to_owned(), severity(level).into());
        object.insert("message".to_owned(), self.message.into());
        for (name, value) in self.fields {
            object.insert(name.to_owned(), value);
        }
        let line = Value::Object(object.clone()).to_string();
        if line.len() <= LINE_MAX {
            return line;
        }
        // A cut object would not be JSON any more: keep what matters of it.
        object.retain(|name, _| matches!(name.as_str(), "time" | "severity" | "message" | "uuid"));
        object.insert("cut".to_owned(), true.into());
        Value::Object(object).to_string()
    }

    fn push_text(&mut self, field: &Field, text: &str) {
        let mut shown = ShownText::from_message(text).to_string();
        cut(&mut shown, VALUE_MAX);
        match field.name() {
            "message" => self.message = shown,
            name => self.fields.push((name, shown.into())),
        }
    }
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push_text(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.push_text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.fields.push((field.name(), value.into()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), value.into()));
    }
}

/// The severity words of the field's logs.
fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERR",
        Level::WARN => "WRN",
        Level::INFO => "LOG",
        _ => "DBG",
    }
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty() || text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '='))
}

fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let mark = "...";
        let mut end = max - mark.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(mark);
    }
}
