//! The user's settings file, in TOML: what is not in it has its default, and what a command changes leaves the rest as it is.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use toml_edit::{Array, DocumentMut, Item, Table, Value, value};
use transfer_spec::Host;

use crate::directory::make_directory;
use crate::error::{Error, Result};

/// Longer than anybody's settings, bytes.
const LIMIT: u64 = 1 << 20;
/// Nobody else needs to know which servers a user talks to.
const MODE: u32 = 0o600;

const SECTION: &str = "content-protection";
const HOSTS: &str = "hosts";

/// What a user has chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Which files leave as envelopes.
    pub content_protection: ContentProtection,
}

/// Which files leave as envelopes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContentProtection {
    /// Servers whose uploads are protected.
    #[serde(deserialize_with = "hosts")]
    pub hosts: BTreeSet<String>,
}

impl ContentProtection {
    /// Whether uploads to this server are protected.
    pub fn covers(&self, host: &Host) -> bool {
        self.hosts.contains(&host.to_string())
    }
}

/// Reads names and addresses as they are typed, and keeps them as they are compared.
fn hosts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<String>, D::Error> {
    let typed = Vec::<String>::deserialize(deserializer)?;
    let parsed = typed.iter().map(|text| text.parse::<Host>());
    parsed
        .map(|host| host.map(|host| host.to_string()))
        .collect::<Result<_, _>>()
        .map_err(serde::de::Error::custom)
}

impl Settings {
    /// Reads the file; one that is not there has nothing but defaults.
    ///
    /// # Errors
    /// [`Error::File`] for one that cannot be read or trusted, [`Error::Malformed`].
    pub fn load(path: &Path) -> Result<Self> {
        match docroot::read_operator_file(path, LIMIT) {
            Ok(text) => parse(&text, path),
            Err(docroot::Error::NotFound) => Ok(Self::default()),
            Err(source) => Err(Error::from(source).at(path)),
        }
    }

    /// Adds a server whose uploads are protected; false when it was one already.
    ///
    /// # Errors
    /// As [`Settings::load`], and those of writing: then the file is as it was.
    pub fn protect_host(path: &Path, host: &Host) -> Result<bool> {
        if let Some(directory) = path.parent() {
            make_directory(directory)?;
        }
        change_hosts(path, |hosts| hosts.insert(host.to_string()))
    }

    /// Takes a server off that list; false when it was not on it.
    ///
    /// # Errors
    /// As [`Settings::protect_host`].
    pub fn unprotect_host(path: &Path, host: &Host) -> Result<bool> {
        match docroot::read_operator_file(path, LIMIT) {
            // Nothing is made, not even a lock, for a list that is not there.
            Err(docroot::Error::NotFound) => Ok(false),
            _ => change_hosts(path, |hosts| hosts.remove(&host.to_string())),
        }
    }
}

fn parse(text: &[u8], path: &Path) -> Result<Settings> {
    let malformed = |reason: String| Error::Malformed {
        path: path.to_owned(),
        reason: reason.trim_end().replace('\n', "; "),
    };
    let text = std::str::from_utf8(text).map_err(|error| malformed(error.to_string()))?;
    toml_edit::de::from_str(text).map_err(|error| malformed(error.message().to_owned()))
}

fn change_hosts(path: &Path, change: impl FnOnce(&mut BTreeSet<String>) -> bool) -> Result<bool> {
    let edited = docroot::edit_operator_file(path, LIMIT, MODE, |old| {
        let old = old.unwrap_or_default();
        let mut hosts = parse(old, path)?.content_protection.hosts;
        if !change(&mut hosts) {
            return Ok(None);
        }
        with_hosts(old, &hosts, path).map(Some)
    });
    edited.map_err(|error: Error| error.at(path))
}

/// Puts the list into the text, whose comments and order stay.
fn with_hosts(old: &[u8], hosts: &BTreeSet<String>, path: &Path) -> Result<Vec<u8>> {
    let malformed = |reason: &dyn ToString| Error::Malformed {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    // It was parsed a moment ago.
    let old = std::str::from_utf8(old).map_err(|error| malformed(&error))?;
    let mut document: DocumentMut = old.parse().map_err(|error| malformed(&error))?;
    let list: Array = hosts.iter().collect();
    let section = document
        .entry(SECTION)
        .or_insert_with(|| Item::Table(Table::new()));
    match section {
        Item::Table(table) => table[HOSTS] = value(one_a_line(list)),
        // Which may not have line breaks.
        Item::Value(Value::InlineTable(table)) => {
            table.insert(HOSTS, list.into());
        }
        _ => return Err(malformed(&"content-protection is not a section")),
    }
    Ok(document.to_string().into_bytes())
}

fn one_a_line(mut list: Array) -> Array {
    if !list.is_empty() {
        for host in list.iter_mut() {
            host.decor_mut().set_prefix("\n    ");
        }
        list.set_trailing("\n");
        list.set_trailing_comma(true);
    }
    list
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "test set-up")]

    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn host(text: &str) -> Host {
        text.parse().unwrap()
    }

    #[test]
    fn a_file_that_is_not_there_has_defaults_and_is_made_when_it_is_needed() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("config/connect/settings.toml");
        assert_eq!(Settings::load(&path).unwrap(), Settings::default());
        assert!(!Settings::unprotect_host(&path, &host("a.example")).unwrap());
        assert!(!path.exists());
        assert!(Settings::protect_host(&path, &host("A.Example.")).unwrap());
        assert!(!Settings::protect_host(&path, &host("a.example")).unwrap());
        let protection = Settings::load(&path).unwrap().content_protection;
        assert!(protection.covers(&host("a.example")));
        assert!(!protection.covers(&host("b.example")));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }

    #[test]
    fn what_a_person_wrote_stays_when_the_list_changes() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("settings.toml");
        let text =
            "# mine\n[content-protection] # labs\nhosts = [\"LAB.example\", \"2001:db8::1\"]\n";
        fs::write(&path, text).unwrap();
        Settings::protect_host(&path, &host("b.example")).unwrap();
        let now = fs::read_to_string(&path).unwrap();
        assert!(
            now.starts_with("# mine\n[content-protection] # labs\n"),
            "{now}"
        );
        let hosts = Settings::load(&path).unwrap().content_protection.hosts;
        assert_eq!(
            Vec::from_iter(&hosts),
            ["2001:db8::1", "b.example", "lab.example"]
        );
        for name in ["b.example", "lab.example", "[2001:db8::1]"] {
            assert!(
                Settings::unprotect_host(&path, &host(name)).unwrap(),
                "{name}"
            );
        }
        assert_eq!(Settings::load(&path).unwrap(), Settings::default());
        fs::write(&path, "content-protection = { hosts = [] }\n").unwrap();
        Settings::protect_host(&path, &host("b.example")).unwrap();
        let hosts = Settings::load(&path).unwrap().content_protection.hosts;
        assert_eq!(Vec::from_iter(&hosts), ["b.example"]);
    }

    #[test]
    fn text_that_is_no_settings_is_refused_and_stays() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("settings.toml");
        for text in [
            "content-protection = 3",
            "[content-protection]\nhosts = [\"a b\"]",
            "[content-protection]\nhost = []",
            "[",
            "colour = \"red\"",
        ] {
            fs::write(&path, text).unwrap();
            let error = Settings::load(&path).unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }), "{text}: {error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            assert!(Settings::protect_host(&path, &host("a")).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
