//! Which options there are: the table `data/options.tsv`, read once.

mod kind;
mod obeyed;
mod table;

use std::fmt;

pub use kind::{BadValue, Kind, MAX_TEXT, Value, Word, Words};
pub use obeyed::Obeyed;
pub(crate) use table::{LEGACY_VALUES, children_of, is_container, is_legacy_element};
pub use table::{find, find_path, nearest, options};

/// A part of the document whose options have names of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// `default`, and every user and group: the only options that are inherited.
    Default,
    /// `trunks/trunk`: virtual links.
    Trunks,
    /// `central_server`: the history of transfers.
    CentralServer,
    /// `http_server`: the fallback over HTTP.
    HttpServer,
    /// `database`: obsolete.
    Database,
    /// `server`: node API, WebSocket, watch folders, proxies.
    Server,
    /// `logging/log_setting`: profiles for logs.
    Logging,
    /// `client`: what a client starts from.
    Client,
}

impl Section {
    /// Every section.
    pub const ALL: [Self; 8] = [
        Self::Default,
        Self::Trunks,
        Self::CentralServer,
        Self::HttpServer,
        Self::Database,
        Self::Server,
        Self::Logging,
        Self::Client,
    ];

    /// Returns the name of the section's element below the root.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Trunks => "trunks",
            Self::CentralServer => "central_server",
            Self::HttpServer => "http_server",
            Self::Database => "database",
            Self::Server => "server",
            Self::Logging => "logging",
            Self::Client => "client",
        }
    }

    /// Returns the path from the root to the element that holds the options.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Trunks => "trunks/trunk",
            Self::Logging => "logging/log_setting",
            section => section.name(),
        }
    }

    /// Returns the section whose element has this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|section| section.name() == name)
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An option: where it stands, what it may be, and what it is when nobody says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OptionSpec {
    /// The section; the pair of section and name is unique.
    pub section: Section,
    /// The name that asconfigurator uses.
    pub name: &'static str,
    /// The path of elements below the element of the section, or of a user or group.
    pub path: &'static str,
    /// What values are allowed.
    pub kind: Kind,
    /// The value when nobody says, as it would stand in the file; empty for none.
    pub builtin: &'static str,
    /// The unit of a number, such as `kbit/s`; empty for none.
    pub unit: &'static str,
    /// The value may be a secret, or hold one.
    pub secrecy: Secrecy,
    /// What it is for; empty where the name says all that is known.
    pub about: &'static str,
}

/// Whether a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    Shown,
    /// The part of a URI before its `@` may not.
    Uri,
    /// It may not.
    Secret,
}

impl OptionSpec {
    /// Returns the built-in value, if there is one.
    pub fn builtin_value(&self) -> Option<Value> {
        match self.builtin {
            "" => None,
            text => self.kind.parse(text).ok(),
        }
    }

    /// Returns whether this project does what the option says.
    pub fn obeyed(&self) -> Obeyed {
        obeyed::of(self.section, self.name)
    }

    /// Returns the steps of the path.
    pub fn steps(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.path.split('/')
    }

    /// Returns a value in a form that may be shown to anybody.
    pub fn shown(&self, text: &str) -> String {
        match self.secrecy {
            Secrecy::Shown => text.to_owned(),
            Secrecy::Secret if text.is_empty() => String::new(),
            Secrecy::Secret => REDACTED.to_owned(),
            Secrecy::Uri => without_credentials(text),
        }
    }
}

const REDACTED: &str = "[redacted]";

/// Leaves out what stands between `//` and `@` in a URI, and what follows a `?`: both hold credentials.
fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, format!("?{REDACTED}")),
        None => (rest, String::new()),
    };
    // A key that was not encoded may hold a slash, so the last '@' counts, wherever it is.
    match rest.rfind('@') {
        Some(at) => format!("{scheme}://{REDACTED}{}{query}", &rest[at..]),
        None => format!("{scheme}://{rest}{query}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_storage_are_not_shown() {
        for (text, shown) in [
            ("/srv/a@b", "/srv/a@b"),
            ("s3://bucket/x", "s3://bucket/x"),
            ("s3://key:se/cret@s3.host/b", "s3://[redacted]@s3.host/b"),
            ("azu://h/x?sig=abc", "azu://h/x?[redacted]"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
