//! Which value of an option counts for a user, who said so, and what limited it.
//!
//! A user's record is stronger than those of the groups, the group with the lowest precedence is stronger than the others,
//! a group is stronger than the node, and the built-in value counts when nobody speaks. Each option is decided by itself.

use std::fmt;
use std::net::IpAddr;

use crate::conf::{Conf, Record, Stated, set_for_peer};
use crate::error::{Error, Result};
use crate::schema::{self, Kind, OptionSpec, Section, Value, Word};
use crate::xml::{ElementId, Position};

/// The precedence of a group that names none.
const DEFAULT_PRECEDENCE: f64 = 1000.0;

/// Whom values are resolved for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Person<'a> {
    /// The login name.
    pub name: &'a str,
    /// The home directory, if there is one.
    pub home: Option<&'a str>,
    /// The groups that the operating system knows, compared exactly.
    pub groups: &'a [&'a str],
    /// The address of the other side: a docroot may be for one peer only.
    pub peer: Option<IpAddr>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The user's record.
    User,
    /// The record of that group.
    Group(String),
    /// The section of the node, or the only place of an option that is not inherited.
    Section(Section),
    /// Nobody said anything.
    BuiltIn,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Section(section) => write!(f, "{section}"),
            Self::BuiltIn => f.write_str("built-in"),
        }
    }
}

/// Another option that kept a value from being what was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Clamp {
    /// The option that limits.
    pub by: &'static OptionSpec,
    /// Who set the limit.
    pub origin: Origin,
    /// What was said.
    pub from: Value,
}

/// A value that is passed over because the option does not allow it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Whose it is.
    pub origin: Origin,
    /// Where it stands.
    pub position: Position,
    /// What is allowed.
    pub bad: schema::BadValue,
}

/// The value of an option, and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The option.
    pub spec: &'static OptionSpec,
    /// The value; none if nobody speaks and none is built in.
    pub value: Option<Value>,
    /// Who said so.
    pub origin: Origin,
    /// Where it stands, unless it is built in.
    pub position: Option<Position>,
    /// What limited it.
    pub clamp: Option<Clamp>,
    /// Values of stronger records that were passed over.
    pub refused: Vec<Refused>,
}

impl Setting {
    /// Returns the value as text that may be shown to anybody.
    pub fn shown(&self) -> String {
        let text = self.value.as_ref().map(Value::to_string);
        self.spec.shown(&text.unwrap_or_default())
    }
}

/// Resolves the options of one person.
#[derive(Debug)]
pub struct Resolver<'a> {
    conf: &'a Conf,
    person: Person<'a>,
    /// The strongest first.
    layers: Vec<(Origin, ElementId)>,
}

impl<'a> Resolver<'a> {
    /// Looks up the records of a person. A name without a record is fine.
    pub fn new(conf: &'a Conf, person: Person<'a>) -> Self {
        let user = conf.record(&Record::User(person.name.to_owned()));
        let mut layers: Vec<_> = user.map(|id| (Origin::User, id)).into_iter().collect();
        layers.extend(groups_of(conf, person.groups));
        Self::over(conf, person, layers)
    }

    /// Resolves over records that were found already; the strongest first, and `default` behind them.
    pub(crate) fn over(
        conf: &'a Conf,
        person: Person<'a>,
        mut layers: Vec<(Origin, ElementId)>,
    ) -> Self {
        let node = conf.record(&Record::Node);
        layers.extend(node.map(|id| (Origin::Section(Section::Default), id)));
        Self {
            conf,
            person,
            layers,
        }
    }

    /// Returns the person.
    pub fn person(&self) -> &Person<'a> {
        &self.person
    }

    /// Returns an option of `default` by its name, clamped, with `$(...)` replaced where that is done.
    ///
    /// # Errors
    /// [`Error::UnknownOption`], and [`Error::Variable`] or [`Error::UnsafeName`] from the replacing.
    pub fn option(&self, name: &str) -> Result<Setting> {
        let mut setting = self.template(name)?;
        if has_variables(setting.spec)
            && let Some(Value::Text(text)) = &mut setting.value
        {
            *text = substitute(text, &self.person)?;
        }
        Ok(setting)
    }

    /// Returns an option as [`Resolver::option`] does, with `$(...)` left in place: what a report about a node shows.
    ///
    /// # Errors
    /// [`Error::UnknownOption`].
    pub fn template(&self, name: &str) -> Result<Setting> {
        let mut setting = self.plain(find(Section::Default, name)?);
        self.clamp(&mut setting);
        Ok(setting)
    }

    /// Who speaks, before limits.
    fn plain(&self, spec: &'static OptionSpec) -> Setting {
        let choice = |tree: &_, id| set_for_peer(tree, id, self.person.peer);
        let layers = self.layers.iter().filter_map(|(origin, record)| {
            // The name of a record names that record only.
            let is_selector = spec.name == "name" || spec.name == "precedence";
            if is_selector && *origin != Origin::User {
                return None;
            }
            Some((origin.clone(), self.conf.leaf(*record, spec, &choice)?))
        });
        first_that_speaks(self.conf, spec, layers)
    }

    fn clamp(&self, setting: &mut Setting) {
        let Some(cap) = limit_of(setting.spec) else {
            return;
        };
        let limit = self.plain(cap);
        // A limit that nobody asked for does not overrule what somebody did ask for.
        if limit.origin == Origin::BuiltIn {
            return;
        }
        let (Some(value), Some(limit_value)) = (&setting.value, &limit.value) else {
            return;
        };
        if let Some(lower) = lowered(value, limit_value) {
            let from = setting.value.replace(lower);
            setting.clamp = from.map(|from| Clamp {
                by: cap,
                origin: limit.origin,
                from,
            });
        }
    }
}

/// Returns the value of an option that is not inherited: that of the record, else the built-in one.
///
/// # Errors
/// [`Error::UnknownOption`].
pub fn lookup(conf: &Conf, record: &Record, name: &str) -> Result<Setting> {
    let section = record.section();
    let spec = find(section, name)?;
    let element = conf
        .record(record)
        .and_then(|id| conf.leaf(id, spec, &crate::conf::first_set));
    let layers = element.map(|id| (Origin::Section(section), id));
    Ok(first_that_speaks(conf, spec, layers.into_iter()))
}

pub(crate) fn find(section: Section, name: &str) -> Result<&'static OptionSpec> {
    schema::find(section, name).ok_or_else(|| {
        let names = schema::options().iter();
        let names = names.filter(|spec| spec.section == section);
        Error::UnknownOption {
            name: name.to_owned(),
            section: section.to_string(),
            suggestion: schema::nearest(name, names.map(|spec| spec.name)).map(str::to_owned),
        }
    })
}

fn first_that_speaks(
    conf: &Conf,
    spec: &'static OptionSpec,
    layers: impl Iterator<Item = (Origin, ElementId)>,
) -> Setting {
    let mut refused = Vec::new();
    for (origin, id) in layers {
        let Some(stated) = conf.stated_in(id, spec) else {
            continue;
        };
        let position = conf.tree().value_position(id);
        match value_of(spec, &stated) {
            Ok(Some(value)) => {
                return Setting {
                    spec,
                    value: Some(value),
                    origin,
                    position: Some(position),
                    clamp: None,
                    refused,
                };
            }
            Ok(None) => {}
            Err(bad) => refused.push(Refused {
                origin,
                position,
                bad,
            }),
        }
    }
    Setting {
        spec,
        value: spec.builtin_value(),
        origin: Origin::BuiltIn,
        position: None,
        clamp: None,
        refused,
    }
}

/// Reads what stands in a file; nothing if it is as good as silence.
pub(crate) fn value_of(
    spec: &OptionSpec,
    stated: &Stated,
) -> Result<Option<Value>, schema::BadValue> {
    match (stated, spec.kind) {
        (Stated::Empty, Kind::Text) => Ok(Some(Value::Text(String::new()))),
        (Stated::Empty, Kind::List { .. }) => Ok(Some(Value::List(Vec::new()))),
        (Stated::Empty, _) => Ok(None),
        (Stated::Text(text), _) if is_legacy_value(spec, text) => Ok(None),
        (Stated::Text(_), kind @ Kind::List { .. }) => Err(schema::BadValue {
            expected: kind.to_string(),
        }),
        (Stated::Text(text), kind) => kind.parse(text).map(Some),
        (Stated::Items(items), kind) => {
            items
                .iter()
                .try_for_each(|item| kind.parse(item).map(drop))?;
            Ok(Some(Value::List(items.clone())))
        }
    }
}

pub(crate) fn is_legacy_value(spec: &OptionSpec, text: &str) -> bool {
    schema::LEGACY_VALUES.contains(&(spec.name, text))
}

/// The records of the groups that the file knows, the strongest first.
fn groups_of(conf: &Conf, groups: &[&str]) -> Vec<(Origin, ElementId)> {
    let mut found: Vec<(f64, String, ElementId)> = Vec::new();
    for (name, id) in conf.records_at(&Record::Group(String::new())) {
        let is_known = found.iter().any(|(_, known, _)| *known == name);
        if groups.contains(&&*name) && !is_known {
            found.push((precedence_of(conf, id), name, id));
        }
    }
    // The sort is stable: equal numbers stay in the order of the file.
    found.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let origin = |(_, name, id)| (Origin::Group(name), id);
    found.into_iter().map(origin).collect()
}

fn precedence_of(conf: &Conf, group: ElementId) -> f64 {
    let number = || {
        let spec = schema::find(Section::Default, "precedence")?;
        let id = conf.tree().child(group, spec.path)?;
        match spec.kind.parse(&conf.tree().value(id)) {
            Ok(Value::Float(number)) => Some(number),
            _ => None,
        }
    };
    number().unwrap_or(DEFAULT_PRECEDENCE)
}

/// The option that limits another: a cap, or for policies what is allowed.
fn limit_of(spec: &OptionSpec) -> Option<&'static OptionSpec> {
    let stem = spec.name.strip_suffix("_default")?;
    let last = if stem.ends_with("_flow_policy") {
        "allowed"
    } else {
        "cap"
    };
    schema::find(spec.section, &format!("{stem}_{last}"))
}

/// Returns the limit if the value is above it.
fn lowered(value: &Value, limit: &Value) -> Option<Value> {
    let is_above = match (value, limit) {
        (_, Value::Word(Word::Unlimited)) => false,
        (Value::Word(Word::Unlimited), _) => true,
        (Value::Unsigned(value), Value::Unsigned(limit)) => value > limit,
        (Value::Float(value), Value::Float(limit)) => value > limit,
        (Value::Choice(value), Value::Choice(limit)) => force(value) > force(limit),
        _ => false,
    };
    is_above.then(|| limit.clone())
}

/// How much of the link a policy or a priority takes.
fn force(word: &str) -> u8 {
    match word {
        "low" | "trickle" => 0,
        "fair" | "regular" | "normal" => 1,
        "high" => 2,
        "fixed" => 3,
        // `any`
        _ => 4,
    }
}

/// Paths whose `$(...)` is replaced.
fn has_variables(spec: &OptionSpec) -> bool {
    spec.name == "absolute" || spec.name.ends_with("log_dir") || spec.name == "logging_directory"
}

/// Replaces `$(name)` and `$(home)`.
fn substitute(text: &str, person: &Person<'_>) -> Result<String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("$(") {
        result.push_str(&rest[..at]);
        let after = &rest[at + 2..];
        let unknown = |name: &str| Error::Variable(name.chars().take(40).collect());
        let end = after.find(')').ok_or_else(|| unknown(after))?;
        result.push_str(match &after[..end] {
            "name" => component(person.name)?,
            "home" => absolute(person.home.ok_or_else(|| unknown("home"))?)?,
            name => return Err(unknown(name)),
        });
        rest = &after[end + 1..];
    }
    result.push_str(rest);
    Ok(result)
}

/// A name that stays one component of a path.
fn component(name: &str) -> Result<&str> {
    let is_one = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    is_one
        .then_some(name)
        .ok_or_else(|| Error::UnsafeName(name.to_owned()))
}

fn absolute(home: &str) -> Result<&str> {
    let is_plain =
        home.starts_with('/') && !home.contains('\0') && !home.split('/').any(|c| c == "..");
    is_plain
        .then_some(home)
        .ok_or_else(|| Error::UnsafeName(home.to_owned()))
}
