//! A configuration: the document, its records, and what stands in them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use crate::error::Result;
use crate::schema::{Kind, OptionSpec, Section};
use crate::xml::{ElementId, Fault, Position, Tree};

/// Elements of which there may be several: each begins a set of options of its own.
pub(crate) const SETS: &[&str] = &["path", "rule"];

/// A configuration, with its text kept byte for byte.
#[derive(Clone)]
pub struct Conf {
    tree: Tree,
}

/// The text may hold secrets, so it is left out.
impl fmt::Debug for Conf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conf")
            .field("bytes", &self.text().len())
            .finish_non_exhaustive()
    }
}

/// A place whose options belong together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Record {
    /// The whole node: `default`.
    Node,
    /// A user of that name.
    User(String),
    /// A group of that name.
    Group(String),
    /// The virtual link of that number, 1 to 255.
    Trunk(u8),
    /// The profile for these classes.
    Logging(String),
    /// One of the sections of which there is one only.
    Section(Section),
}

impl Record {
    /// Returns the section whose options the record has.
    pub const fn section(&self) -> Section {
        match self {
            Self::Node | Self::User(_) | Self::Group(_) => Section::Default,
            Self::Trunk(_) => Section::Trunks,
            Self::Logging(_) => Section::Logging,
            Self::Section(section) => *section,
        }
    }

    /// The element that holds the record, the record's own element, and the element in it that names it.
    pub(crate) fn place(&self) -> (&'static [&'static str], &'static str, &'static str) {
        match self {
            Self::User(_) => (&["aaa", "realms", "realm", "users"], "user", "name"),
            Self::Group(_) => (&["aaa", "realms", "realm", "groups"], "group", "name"),
            Self::Trunk(_) => (&["trunks"], "trunk", "id"),
            Self::Logging(_) => (&["logging"], "log_setting", "classes"),
            Self::Node => (&[], "default", ""),
            Self::Section(section) => (&[], section.name(), ""),
        }
    }

    /// The text of the element that names the record.
    pub(crate) fn key(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::User(name) | Self::Group(name) | Self::Logging(name) => Some(name.into()),
            Self::Trunk(id) => Some(id.to_string().into()),
            Self::Node | Self::Section(_) => None,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("default"),
            Self::User(name) => write!(f, "user '{name}'"),
            Self::Group(name) => write!(f, "group '{name}'"),
            Self::Trunk(id) => write!(f, "trunk {id}"),
            Self::Logging(classes) => write!(f, "logging '{classes}'"),
            Self::Section(section) => write!(f, "{section}"),
        }
    }
}

/// What stands in a file for an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stated {
    /// An element without text.
    Empty,
    /// Text, without the white space around it.
    Text(String),
    /// The items of a list.
    Items(Vec<String>),
}

impl fmt::Display for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => Ok(()),
            Self::Text(text) => f.write_str(text),
            Self::Items(items) => f.write_str(&items.join("|")),
        }
    }
}

/// The text that stands for "not set".
pub(crate) const NOT_SET: &str = "AS_NULL";

impl Conf {
    /// Reads a configuration.
    ///
    /// # Errors
    /// [`Error::Document`](crate::Error::Document) with the place. Options are not looked at:
    /// [`check`](crate::check()) does that.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let tree = Tree::parse(bytes)?;
        let root = tree.root();
        let fault = |fault| Err((tree.position(root), fault).into());
        if !tree.name(root).eq_ignore_ascii_case("conf") {
            return fault(Fault::NotConf(tree.name(root).chars().take(80).collect()));
        }
        match tree.attribute(root, "version") {
            Some(version) if version.trim() != "2" => {
                fault(Fault::Version(version.chars().take(80).collect()))
            }
            _ => Ok(Self { tree }),
        }
    }

    /// Makes the smallest configuration that has room for more.
    pub fn new() -> Self {
        const TEXT: &str =
            "<?xml version='1.0' encoding='UTF-8'?>\n<CONF version=\"2\">\n</CONF>\n";
        match Self::parse(TEXT.as_bytes()) {
            Ok(conf) => conf,
            Err(error) => unreachable!("a constant that the tests read: {error}"),
        }
    }

    /// Returns the text, as it was read but for what was edited since.
    pub fn text(&self) -> &str {
        self.tree.text()
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.tree
    }

    pub(crate) fn tree_mut(&mut self) -> &mut Tree {
        &mut self.tree
    }

    /// The elements at a path below the root, across repeated ones.
    pub(crate) fn elements_at(&self, path: &[&str]) -> Vec<ElementId> {
        path.iter().fold(vec![self.tree.root()], |parents, name| {
            let children = parents
                .iter()
                .flat_map(|parent| self.tree.children_named(*parent, name));
            children.collect()
        })
    }

    /// The elements of every record of a kind, each with the text that names it.
    pub(crate) fn records_at(&self, like: &Record) -> Vec<(String, ElementId)> {
        let (holder, element, key) = like.place();
        let mut holders = self.elements_at(holder);
        if matches!(like, Record::Trunk(_)) {
            // Older files have them directly below the root.
            holders.push(self.tree.root());
        }
        let name = |id| {
            let key = self.tree.child(id, key)?;
            Some(self.tree.value(key).into_owned())
        };
        holders
            .iter()
            .flat_map(|holder| self.tree.children_named(*holder, element))
            .filter_map(|id| Some((name(id)?, id)))
            .filter(|(name, _)| !name.is_empty())
            .collect()
    }

    /// The records of a kind, without those whose name an earlier one has.
    pub(crate) fn first_records(&self, like: &Record) -> Vec<(String, ElementId)> {
        let mut seen = BTreeSet::new();
        let mut records = self.records_at(like);
        records.retain(|(name, _)| seen.insert(name.clone()));
        records
    }

    /// The element of a record; the first, if there are several.
    pub(crate) fn record(&self, record: &Record) -> Option<ElementId> {
        match record.key() {
            None => self.tree.child(self.tree.root(), record.place().1),
            Some(key) => self
                .records_at(record)
                .into_iter()
                .find(|(name, _)| *name == key)
                .map(|(_, id)| id),
        }
    }

    /// Returns true if the record is in the file.
    pub fn has(&self, record: &Record) -> bool {
        self.record(record).is_some()
    }

    /// Returns the names of all users, in the order of the file.
    pub fn users(&self) -> Vec<String> {
        self.names(&Record::User(String::new()))
    }

    /// Returns the names of all groups, in the order of the file.
    pub fn groups(&self) -> Vec<String> {
        self.names(&Record::Group(String::new()))
    }

    /// Returns the numbers of all virtual links, in the order of the file; what is no such number is left out.
    pub fn trunks(&self) -> Vec<u8> {
        let names = self.names(&Record::Trunk(1));
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    fn names(&self, like: &Record) -> Vec<String> {
        let records = self.first_records(like).into_iter();
        records.map(|(name, _)| name).collect()
    }

    /// The element of an option in a record: the first, and of several paths or rules, of the chosen one.
    pub(crate) fn leaf(
        &self,
        record: ElementId,
        spec: &OptionSpec,
        choice: &dyn Fn(&Tree, ElementId) -> bool,
    ) -> Option<ElementId> {
        let steps: Vec<_> = spec.steps().collect();
        self.descend(record, &steps, choice)
    }

    fn descend(
        &self,
        from: ElementId,
        steps: &[&str],
        choice: &dyn Fn(&Tree, ElementId) -> bool,
    ) -> Option<ElementId> {
        let Some((step, rest)) = steps.split_first() else {
            return Some(from);
        };
        let mut children = self.tree.children_named(from, step);
        if SETS.contains(step) && !rest.is_empty() {
            let chosen = children.find(|child| choice(&self.tree, *child))?;
            return self.descend(chosen, rest, choice);
        }
        children.find_map(|child| self.descend(child, rest, choice))
    }

    /// What an element says for an option; nothing if it says that it is not set.
    pub(crate) fn stated_in(&self, id: ElementId, spec: &OptionSpec) -> Option<Stated> {
        let stated = match spec.kind {
            Kind::List { item } => {
                let items = self.tree.children_named(id, item);
                let items: Vec<_> = items.map(|id| self.tree.value(id).into_owned()).collect();
                if !items.is_empty() {
                    return Some(Stated::Items(items));
                }
                self.tree.value(id)
            }
            _ => self.tree.value(id),
        };
        match &*stated {
            NOT_SET => None,
            "" => Some(Stated::Empty),
            text => Some(Stated::Text(text.to_owned())),
        }
    }

    /// Returns what stands in a record for an option; nothing if the record is silent about it.
    pub fn stated(&self, record: &Record, spec: &OptionSpec) -> Option<Stated> {
        let record = self.record(record)?;
        let id = self.leaf(record, spec, &first_set)?;
        self.stated_in(id, spec)
    }

    /// Returns where an option stands in a record.
    pub fn position(&self, record: &Record, spec: &OptionSpec) -> Option<Position> {
        let record = self.record(record)?;
        let id = self.leaf(record, spec, &first_set)?;
        Some(self.tree.value_position(id))
    }
}

impl Default for Conf {
    fn default() -> Self {
        Self::new()
    }
}

/// Of several paths or rules, the first counts.
pub(crate) fn first_set(_: &Tree, _: ElementId) -> bool {
    true
}

/// Of several paths, the one for the peer counts, else the first for all peers.
pub(crate) fn set_for_peer(tree: &Tree, id: ElementId, peer: Option<IpAddr>) -> bool {
    let address_of = |id| {
        let absolute = tree.child(id, "absolute")?;
        tree.attribute(absolute, "peer_ip")
    };
    let is_for_peer = |id| match (address_of(id), peer) {
        (Some(address), Some(peer)) => address.trim().parse() == Ok(peer),
        _ => false,
    };
    if is_for_peer(id) {
        return true;
    }
    let siblings = || {
        let parent = tree.parent(id);
        let name = tree.name(id);
        parent
            .into_iter()
            .flat_map(move |parent| tree.children_named(parent, name))
    };
    address_of(id).is_none() && !siblings().any(is_for_peer)
}
