//! The table of options, and ways to look into it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::kind::Kind;
use super::{OptionSpec, Secrecy, Section};

const TABLE: &str = include_str!("../../data/options.tsv");

/// Names that files and scripts use and that are not in the table, as rows of it.
const LEGACY: &str = "\
default\tcanonical_absolute\tfile_system/access/paths/path/canonical_absolute\ttext\t\t\t\turi\tKept for scripts that write it; absolute decides
default\tasync_connection_timeout\tasync_connection_timeout\tuint32\t\t\ts\t\tOlder name of async_connection_timeout_sec
default\tasync_session_timeout\tasync_session_timeout\tuint32\t\t\ts\t\tOlder name of async_session_timeout_sec";

/// Elements of old versions that are left alone: the last step of their path.
const LEGACY_ELEMENTS: &[&str] = &["WEB", "enable_sslv2"];

/// Values of old versions that are left alone, and count as not set: option and value.
pub(crate) const LEGACY_VALUES: &[(&str, &str)] = &[("ssl_protocol", "sslv23")];

struct Tables {
    options: Vec<OptionSpec>,
    legacy: Vec<OptionSpec>,
    by_name: BTreeMap<(Section, &'static str), Place>,
    by_path: BTreeMap<(Section, &'static str), Place>,
}

/// In which of the two lists, and at which index.
#[derive(Clone, Copy)]
enum Place {
    Option(usize),
    Legacy(usize),
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let options = rows(TABLE);
    let legacy = rows(LEGACY);
    let mut by_name = BTreeMap::new();
    let mut by_path = BTreeMap::new();
    let places = (0..options.len()).map(Place::Option);
    let legacy_places = (0..legacy.len()).map(Place::Legacy);
    for (spec, place) in (options.iter().zip(places)).chain(legacy.iter().zip(legacy_places)) {
        by_name.insert((spec.section, spec.name), place);
        by_path.insert((spec.section, spec.path), place);
    }
    Tables {
        options,
        legacy,
        by_name,
        by_path,
    }
});

fn rows(table: &'static str) -> Vec<OptionSpec> {
    table.lines().filter_map(row).collect()
}

/// Reads a row. The tests of this crate read every row, so none is missing in a program that was tested.
fn row(line: &'static str) -> Option<OptionSpec> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = line.split('\t');
    let mut field = || fields.next();
    let section = Section::from_name(field()?)?;
    let (name, path, kind, builtin, allowed) = (field()?, field()?, field()?, field()?, field()?);
    let unit = field()?;
    let secrecy = match field()? {
        "" => Secrecy::Shown,
        "uri" => Secrecy::Uri,
        "secret" => Secrecy::Secret,
        _ => return None,
    };
    Some(OptionSpec {
        section,
        name,
        path,
        kind: Kind::of(kind, allowed)?,
        builtin,
        unit,
        secrecy,
        about: field()?,
    })
}

/// Returns every option, section by section.
pub fn options() -> &'static [OptionSpec] {
    &TABLES.options
}

fn at(place: Place) -> &'static OptionSpec {
    match place {
        Place::Option(index) => &TABLES.options[index],
        Place::Legacy(index) => &TABLES.legacy[index],
    }
}

/// Returns the option of a section by the name that asconfigurator uses, old names too.
pub fn find(section: Section, name: &str) -> Option<&'static OptionSpec> {
    TABLES.by_name.get(&(section, name)).map(|place| at(*place))
}

/// Returns the option at a path below the section's element, or below a user or group.
pub fn find_path(section: Section, path: &str) -> Option<&'static OptionSpec> {
    TABLES.by_path.get(&(section, path)).map(|place| at(*place))
}

/// Returns true if options lie below the path; the empty path is the section's element.
pub(crate) fn is_container(section: Section, path: &str) -> bool {
    let below = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    TABLES
        .by_path
        .range((section, &*below)..)
        .next()
        .is_some_and(|((found, path), _)| *found == section && path.starts_with(&below))
}

pub(crate) fn is_legacy_element(name: &str) -> bool {
    LEGACY_ELEMENTS.contains(&name)
}

/// Returns the candidate that looks most like `name`, if one does.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer names cost too much to compare and resemble nothing.
    const LONGEST: usize = 100;
    if name.len() > LONGEST {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    candidates
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_ascii_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The elements that have a meaning directly below a path.
pub(crate) fn children_of(section: Section, path: &str) -> Vec<&'static str> {
    let below = |full: &'static str| {
        let rest = match path {
            "" => full,
            path => full.strip_prefix(path)?.strip_prefix('/')?,
        };
        rest.split('/').next()
    };
    let paths = TABLES.options.iter();
    let paths = paths.filter(|spec| spec.section == section);
    let mut names: Vec<_> = paths.filter_map(|spec| below(spec.path)).collect();
    names.sort_unstable();
    names.dedup();
    names
}
