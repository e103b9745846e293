//! The language of `asconfigurator`: `set_node_data;absolute,/srv;read_allowed,true`.
//!
//! ```text
//! line       = command *( ";" assignment )
//! assignment = name "," value        ; split at the first comma
//! list       = sep item *( sep item ); the first character of a list is its separator
//! ```

use crate::conf::Record;
use crate::error::{Error, Result};
use crate::schema::Section;

/// The longest expression, bytes.
pub const MAX_EXPRESSION: usize = 1 << 20;

/// An expression that was understood; names of options and values are not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What to do.
    pub verb: Verb,
    /// With which record.
    pub record: Record,
    /// The options, in the order they were written.
    pub assignments: Vec<Assignment>,
}

/// What an expression does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Sets options, and creates the record when it is missing.
    Set,
    /// Prints options; an assignment `option_mask,NAME` limits to one.
    Get,
    /// Removes the record.
    Delete,
}

/// One option and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The option's name.
    pub name: String,
    /// The value, without white space around it; may be empty.
    pub value: String,
}

impl Assignment {
    /// Makes an assignment.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

/// The words between `set_` and `_data`.
#[derive(Clone, Copy)]
enum Target {
    Node,
    User,
    Group,
    Trunk,
    Logging,
    Section(Section),
}

const TARGETS: [(&str, Target); 10] = [
    ("node", Target::Node),
    ("user", Target::User),
    ("group", Target::Group),
    ("trunk", Target::Trunk),
    ("logging", Target::Logging),
    ("central_server", Target::Section(Section::CentralServer)),
    ("http_server", Target::Section(Section::HttpServer)),
    ("database", Target::Section(Section::Database)),
    ("server", Target::Section(Section::Server)),
    ("client", Target::Section(Section::Client)),
];

const SYNTAX: &str = "write COMMAND;OPTION,VALUE such as \"set_node_data;absolute,/srv\"";
const COMMANDS: &str = "commands are set_X_data and get_X_data with X one of node, user, group, trunk, central_server, \
                        http_server, database, server, client, logging; and delete_user, delete_group, delete_trunk";

impl Command {
    /// Reads an expression.
    ///
    /// # Errors
    /// [`Error::Expression`].
    pub fn parse(line: &str) -> Result<Self> {
        if line.len() > MAX_EXPRESSION {
            return Err(fault("", "the expression is too long", SYNTAX));
        }
        let mut parts = line.split(';').map(str::trim);
        let word = parts.next().unwrap_or_default();
        let (verb, target) =
            command_of(word).ok_or_else(|| fault(word, "this is no command", COMMANDS))?;
        let mut assignments = Vec::new();
        // A semicolon at the end is common.
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once(',')
                .ok_or_else(|| fault(name_only(part), "a comma and a value are missing", SYNTAX))?;
            assignments.push(Assignment::new(name.trim(), value.trim()));
        }
        let record = record_of(target, &mut assignments, word)?;
        if verb == Verb::Delete && !assignments.is_empty() {
            return Err(fault(word, "nothing follows the record's name", SYNTAX));
        }
        if verb == Verb::Get && assignments.iter().any(|a| a.name != "option_mask") {
            let hint = "write option_mask,NAME to see one option";
            return Err(fault(word, "only option_mask may follow", hint));
        }
        Ok(Self {
            verb,
            record,
            assignments,
        })
    }

    /// Returns true if the text begins like an expression.
    pub fn is_one(text: &str) -> bool {
        let word = text.split(';').next().unwrap_or_default();
        command_of(word.trim()).is_some()
    }
}

fn command_of(word: &str) -> Option<(Verb, Target)> {
    let target = |name: &str| {
        let found = TARGETS.iter().find(|(known, _)| *known == name);
        found.map(|(_, target)| *target)
    };
    if let Some(name) = word.strip_prefix("delete_") {
        let target = target(name)?;
        let can_go = matches!(target, Target::User | Target::Group | Target::Trunk);
        return can_go.then_some((Verb::Delete, target));
    }
    let data = word.strip_suffix("_data");
    if let Some(name) = data.and_then(|word| word.strip_prefix("get_")) {
        return Some((Verb::Get, target(name)?));
    }
    // Scripts also write the bare word for `set_..._data`.
    let name = match data {
        Some(word) => word.strip_prefix("set_")?,
        None => word,
    };
    Some((Verb::Set, target(name)?))
}

/// Takes the parameter that names the record out of the assignments.
fn record_of(target: Target, assignments: &mut Vec<Assignment>, word: &str) -> Result<Record> {
    let mut take = |name: &str| -> Option<String> {
        let at = assignments.iter().position(|a| a.name == name)?;
        Some(assignments.remove(at).value)
    };
    let missing = |hint| fault(word, "the record is not named", hint);
    let named = |value: Option<String>, hint| match value {
        Some(value) if !value.is_empty() && value != crate::conf::NOT_SET => Ok(value),
        _ => Err(missing(hint)),
    };
    Ok(match target {
        Target::Node => Record::Node,
        Target::Section(section) => Record::Section(section),
        Target::User => Record::User(named(take("user_name"), "add ;user_name,NAME")?),
        Target::Group => Record::Group(named(take("group_name"), "add ;group_name,NAME")?),
        Target::Logging => Record::Logging(named(take("classes"), "add ;classes,NAME")?),
        Target::Trunk => {
            let id = named(take("id"), "add ;id,N with N from 1 to 255")?;
            let id = id.parse().ok().filter(|id| *id > 0);
            Record::Trunk(id.ok_or_else(|| missing("N of id,N is from 1 to 255"))?)
        }
    })
}

/// A value is never part of a message: it may be a secret.
fn name_only(part: &str) -> &str {
    let end = part.char_indices().nth(40).map_or(part.len(), |(at, _)| at);
    &part[..end]
}

fn fault(expression: &str, reason: &str, hint: &'static str) -> Error {
    Error::Expression {
        expression: name_only(expression).to_owned(),
        reason: reason.to_owned(),
        hint,
    }
}
