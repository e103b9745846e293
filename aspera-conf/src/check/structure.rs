//! Each element by itself: is it an option, does it stand in the right place, is its value allowed.

use std::collections::BTreeSet;

use super::{Finding, MAX_FINDINGS, Rule};
use crate::conf::{Conf, NOT_SET, SETS};
use crate::resolve::{is_legacy_value, value_of};
use crate::schema::{self, Kind, Obeyed, OptionSpec, Section, Value};
use crate::xml::{ElementId, Position, Tree};

pub(super) fn check(conf: &Conf) -> Vec<Finding> {
    let mut walk = Walk {
        conf,
        tree: conf.tree(),
        findings: Vec::new(),
    };
    walk.root();
    walk.findings
}

struct Walk<'a> {
    conf: &'a Conf,
    tree: &'a Tree,
    findings: Vec<Finding>,
}

/// The elements from the root to users and groups, and what may stand in each.
const REALM: &str = "aaa/realms/realm";

impl Walk<'_> {
    fn root(&mut self) {
        let root = self.tree.root();
        if self.tree.has_text(root) {
            self.add(
                Rule::Shape,
                root,
                "text stands between the elements".to_owned(),
                None,
            );
        }
        let mut seen = BTreeSet::new();
        let mut trunks = BTreeSet::new();
        for id in self.children(root) {
            if self.is_full() {
                return;
            }
            let name = self.tree.name(id);
            let section = Section::from_name(name);
            if name != "trunk" && !seen.insert(name) && (section.is_some() || name == "aaa") {
                self.repeated(id);
            }
            match (name, section) {
                ("aaa", _) => self.way_to_records(id, "aaa"),
                ("trunk", _) => {
                    let text = "older files have <trunk> directly in <CONF>".to_owned();
                    let advice = Some("newer ones have it in <trunks>".to_owned());
                    self.add(Rule::Legacy, id, text, advice);
                    self.record(id, Section::Trunks, "id", &mut trunks);
                }
                (_, Some(Section::Trunks)) => self.records(id, "trunk", Section::Trunks, "id"),
                (_, Some(Section::Logging)) => {
                    self.records(id, "log_setting", Section::Logging, "classes");
                }
                (_, Some(section)) => self.options(id, section, ""),
                (_, None) => self.unknown_in_root(id),
            }
        }
    }

    fn unknown_in_root(&mut self, id: ElementId) {
        let name = self.tree.name(id);
        if schema::is_legacy_element(name) {
            let text = format!("<{name}> is of an older version, and left alone");
            return self.add(Rule::Legacy, id, text, None);
        }
        let names = Section::ALL.iter().map(|section| section.name());
        let meant = schema::nearest(name, names.chain(["aaa"])).map(str::to_owned);
        if let Some(meant) = meant {
            return self.unknown(id, Some(format!("did you mean <{meant}>?")));
        }
        let place = match name {
            "users" | "user" => Some(format!("users stand in {REALM}/users")),
            "groups" | "group" => Some(format!("groups stand in {REALM}/groups")),
            name => belongs(Section::Default, name),
        };
        self.unknown(id, place);
    }

    /// `aaa`, `realms`, `realm`.
    fn way_to_records(&mut self, id: ElementId, path: &str) {
        let mut users = BTreeSet::new();
        for child in self.children(id) {
            if self.is_full() {
                return;
            }
            let name = self.tree.name(child);
            let below = format!("{path}/{name}");
            match name {
                "users" if path == REALM => self.records(child, "user", Section::Default, "name"),
                "groups" if path == REALM => self.records(child, "group", Section::Default, "name"),
                _ if REALM == below || REALM.starts_with(&format!("{below}/")) => {
                    if name != "realm" && !users.insert(name) {
                        self.repeated(child);
                    }
                    self.way_to_records(child, &below);
                }
                _ => self.unknown(child, Some(format!("users stand in {REALM}/users"))),
            }
        }
    }

    /// The children of `users`, `groups`, `trunks` or `logging`.
    fn records(&mut self, holder: ElementId, element: &str, section: Section, key: &str) {
        let mut seen = BTreeSet::new();
        for id in self.children(holder) {
            if self.is_full() {
                return;
            }
            if self.tree.name(id) == element {
                self.record(id, section, key, &mut seen);
            } else {
                self.unknown(id, Some(format!("<{element}> stands here")));
            }
        }
    }

    fn record(&mut self, id: ElementId, section: Section, key: &str, seen: &mut BTreeSet<String>) {
        let name = self.tree.child(id, key).map(|key| self.tree.value(key));
        let name = name.filter(|name| !name.is_empty() && name != NOT_SET);
        let element = self.tree.name(id);
        match name {
            None => {
                let text = format!("this <{element}> has no <{key}> and counts for nobody");
                self.add(Rule::Nameless, id, text, Some(format!("add <{key}>")));
            }
            Some(name) => {
                if !seen.insert(name.into_owned()) {
                    self.repeated(id);
                }
            }
        }
        self.options(id, section, "");
    }

    /// What stands below the element of a record or section; `path` is the way from there.
    fn options(&mut self, id: ElementId, section: Section, path: &str) {
        if self.tree.has_children(id) && self.tree.has_text(id) {
            let text = "text stands between the elements".to_owned();
            self.add(Rule::Shape, id, text, None);
        }
        let mut seen = BTreeSet::new();
        for child in self.children(id) {
            if self.is_full() {
                return;
            }
            let name = self.tree.name(child);
            let below = match path {
                "" => name.to_owned(),
                path => format!("{path}/{name}"),
            };
            let spec = schema::find_path(section, &below);
            let is_way = schema::is_container(section, &below);
            if (spec.is_some() || is_way) && !seen.insert(name) && !SETS.contains(&name) {
                self.repeated(child);
            }
            match spec {
                Some(spec) => self.leaf(child, spec),
                None if is_way => self.way(child, section, &below),
                None => self.unknown_option(child, section, path),
            }
        }
    }

    fn way(&mut self, id: ElementId, section: Section, path: &str) {
        if !self.tree.has_children(id) && self.tree.has_text(id) {
            let name = self.tree.name(id);
            let text = format!("<{name}> holds options, not text");
            return self.add(Rule::Shape, id, text, options_below(section, path));
        }
        self.options(id, section, path);
    }

    fn leaf(&mut self, id: ElementId, spec: &'static OptionSpec) {
        if !self.shape(id, spec) {
            return;
        }
        let Some(stated) = self.conf.stated_in(id, spec) else {
            return;
        };
        let text = stated.to_string();
        match value_of(spec, &stated) {
            Err(bad) => {
                let shown = spec.shown(&text);
                let message = format!("'{shown}' is no value of '{}': it {bad}", spec.name);
                let meant = match spec.kind {
                    Kind::Enum(words) | Kind::Enums(words) => schema::nearest(&text, words.iter()),
                    _ => None,
                };
                let meant = meant.map(|word| format!("did you mean '{word}'?"));
                let at = self.tree.value_position(id);
                return self.add_at(Rule::BadValue, id, at, message, meant);
            }
            Ok(Some(Value::Bool(value))) if text.len() < 4 => {
                let message = format!("'{text}' is an older spelling");
                let advice = format!("write {value}");
                self.add(Rule::Legacy, id, message, Some(advice));
            }
            Ok(_) if is_legacy_value(spec, &text) => {
                let message = format!("'{text}' is of an older version, and counts as not set");
                self.add(Rule::Legacy, id, message, None);
            }
            Ok(_) => {}
        }
        match spec.obeyed() {
            Obeyed::Yes => {}
            Obeyed::Partly(missing) => {
                let message = format!("'{}' is obeyed in part: {missing}", spec.name);
                self.add(Rule::NoEffect, id, message, None);
            }
            Obeyed::No => {
                let message = format!("'{}' is recognised, and has no effect here", spec.name);
                self.add(Rule::NoEffect, id, message, None);
            }
        }
    }

    /// Returns false if the element holds what an option cannot hold.
    fn shape(&mut self, id: ElementId, spec: &OptionSpec) -> bool {
        let item = match spec.kind {
            Kind::List { item } => Some(item),
            _ => None,
        };
        let mut is_fine = true;
        for child in self.children(id) {
            let name = self.tree.name(child);
            if Some(name) != item {
                let holder = self.tree.name(id);
                let message = match item {
                    Some(item) => format!("<{holder}> holds <{item}> elements only"),
                    None => format!("<{holder}> holds text, not elements"),
                };
                let at = self.tree.position(child);
                self.add_at(Rule::Shape, child, at, message, None);
                is_fine = false;
            } else if self.tree.has_children(child) {
                let message = format!("<{name}> holds text, not elements");
                self.add(Rule::Shape, child, message, None);
                is_fine = false;
            }
        }
        is_fine
    }

    fn unknown_option(&mut self, id: ElementId, section: Section, path: &str) {
        let name = self.tree.name(id);
        if schema::is_legacy_element(name) {
            let text = format!("<{name}> is of an older version, and left alone");
            return self.add(Rule::Legacy, id, text, None);
        }
        let siblings = schema::children_of(section, path);
        if let Some(meant) = schema::nearest(name, siblings.iter().copied()) {
            let meant = Some(format!("did you mean <{meant}>?"));
            return self.unknown(id, meant);
        }
        match belongs(section, name) {
            Some(place) => {
                let text = format!("<{name}> has no meaning here");
                self.add(Rule::Misplaced, id, text, Some(place));
            }
            None => self.unknown(id, options_below(section, path)),
        }
        self.unknown_children(id);
    }

    fn unknown(&mut self, id: ElementId, suggestion: Option<String>) {
        let text = format!("<{}> is not known", self.tree.name(id));
        self.add(Rule::Unknown, id, text, suggestion);
        self.unknown_children(id);
    }

    /// Nothing below an element that is not known is a setting, and each is told.
    fn unknown_children(&mut self, id: ElementId) {
        for child in self.children(id) {
            if self.is_full() {
                return;
            }
            self.unknown(child, None);
        }
    }

    fn repeated(&mut self, id: ElementId) {
        let text = format!(
            "<{}> stands here again; the first counts",
            self.tree.name(id)
        );
        self.add(Rule::Repeated, id, text, None);
    }

    /// Returns true if there is enough to report; the rest is not even looked at.
    fn is_full(&self) -> bool {
        self.findings.len() >= MAX_FINDINGS
    }

    fn children(&self, id: ElementId) -> Vec<ElementId> {
        self.tree.children(id).collect()
    }

    fn add(&mut self, rule: Rule, id: ElementId, message: String, suggestion: Option<String>) {
        self.add_at(rule, id, self.tree.position(id), message, suggestion);
    }

    fn add_at(
        &mut self,
        rule: Rule,
        id: ElementId,
        position: Position,
        message: String,
        suggestion: Option<String>,
    ) {
        if !self.is_full() {
            self.findings.push(Finding {
                rule,
                position,
                path: super::path_of(self.tree, id),
                message,
                suggestion,
            });
        }
    }
}

/// Where an element of this name would have a meaning: in the same section first, and as high as possible.
fn belongs(section: Section, name: &str) -> Option<String> {
    let place = |spec: &'static OptionSpec| {
        let steps: Vec<_> = spec.steps().collect();
        // The name that asconfigurator uses may be another than the element's.
        let known = steps.iter().position(|step| *step == name);
        let at = known.or_else(|| (spec.name == name).then_some(steps.len() - 1))?;
        let way = [&[spec.section.path()], &steps[..at]].concat().join("/");
        let text = format!("<{}> stands in {way}", steps[at]);
        Some((spec.section != section, at, text))
    };
    let places = schema::options().iter().filter_map(place);
    places
        .min_by_key(|(is_elsewhere, depth, _)| (*is_elsewhere, *depth))
        .map(|(_, _, text)| text)
}

fn options_below(section: Section, path: &str) -> Option<String> {
    let names = schema::children_of(section, path);
    let few: Vec<_> = names
        .iter()
        .take(8)
        .map(|name| format!("<{name}>"))
        .collect();
    (!few.is_empty() && names.len() <= 8).then(|| format!("here may stand {}", few.join(", ")))
}
