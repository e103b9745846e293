//! What counts for one person, as types that a server can obey.
//!
//! Every value carries its origin, so that a log or a report can say who decided.

mod bandwidth;
mod encryption;
mod files;
mod times;
mod trunk;

use crate::error::{Error, Result};
use crate::resolve::{Clamp, Origin, Resolver, Setting};
use crate::schema::{Value, Word};

pub use bandwidth::{Bandwidth, Granted, PolicyRule, RateRule};
pub use encryption::{CipherRule, Encryption};
pub use files::{Files, Manifest, ModeRule, SymlinkRule};
pub use times::{LogRule, Timeouts};
pub use trunk::{BadSchedule, Schedule, Trunk, WeekTime};

/// A value with where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Who said so.
    pub origin: Origin,
    /// What limited it.
    pub clamp: Option<Clamp>,
}

impl<T> Sourced<T> {
    /// Returns the value if somebody said so, not if it is built in.
    pub fn said(&self) -> Option<&T> {
        (self.origin != Origin::BuiltIn).then_some(&self.value)
    }

    fn map<U>(self, change: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced {
            value: change(self.value),
            origin: self.origin,
            clamp: self.clamp,
        }
    }
}

/// What a person may see of the file system.
#[derive(Debug, Clone, PartialEq)]
pub enum Access {
    /// Everything that the account may: nobody set a docroot or a restriction.
    Everything,
    /// What lies beneath a directory or a storage.
    Docroot(Sourced<String>),
    /// What the patterns allow.
    Restricted(Sourced<Vec<Pattern>>),
}

/// A pattern over paths in URI form, such as `file:////data/*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The glob, without the `!`.
    pub glob: String,
    /// It began with `!`: what it matches is rejected, whatever the others say.
    pub is_rejecting: bool,
}

/// Whether transfers in one direction are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authorization {
    /// They are.
    Allow,
    /// They are not.
    Deny,
    /// With a token.
    Token,
}

/// What counts for one person.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Effective {
    /// What the person may see.
    pub access: Access,
    /// Whether files may be downloaded.
    pub may_read: Sourced<bool>,
    /// Whether files may be uploaded.
    pub may_write: Sourced<bool>,
    /// Whether directories may be listed.
    pub may_list: Sourced<bool>,
    /// Transfers towards this host.
    pub uploads: Sourced<Authorization>,
    /// Transfers away from this host.
    pub downloads: Sourced<Authorization>,
    /// Rates towards this host.
    pub incoming: Bandwidth,
    /// Rates away from this host.
    pub outgoing: Bandwidth,
    /// Whether somebody else has to agree to transfers towards this host.
    pub uploads_ask_elsewhere: Sourced<bool>,
    /// Whether somebody else has to agree to transfers away from this host.
    pub downloads_ask_elsewhere: Sourced<bool>,
    /// What has to be encrypted.
    pub encryption: Encryption,
    /// How long sessions wait.
    pub timeouts: Timeouts,
    /// What sessions log.
    pub log: LogRule,
    /// The class of the log that sessions write to; none for the usual one.
    pub logging_class: Sourced<Option<String>>,
    /// The UDP port of the data; 0 is not possible.
    pub udp_port: Sourced<u16>,
    /// The largest datagram, bytes; none follows the path MTU.
    pub datagram_size: Sourced<Option<u32>>,
    /// How files are written and what is kept of their attributes.
    pub files: Files,
    /// Whether folders may be synchronised.
    pub sync_enabled: Sourced<bool>,
}

impl Effective {
    /// Resolves everything for the person of a resolver.
    ///
    /// # Errors
    /// [`Error::DocrootAndRestriction`], [`Error::Variable`] and [`Error::UnsafeName`]: a transfer must not begin.
    pub fn of(resolver: &Resolver<'_>) -> Result<Self> {
        let read = Read { resolver };
        Ok(Self {
            access: read.access()?,
            may_read: read.bool("read_allowed")?,
            may_write: read.bool("write_allowed")?,
            may_list: read.bool("dir_allowed")?,
            uploads: read.authorization("authorization_transfer_in_value")?,
            downloads: read.authorization("authorization_transfer_out_value")?,
            incoming: Bandwidth::of(&read, "in")?,
            outgoing: Bandwidth::of(&read, "out")?,
            uploads_ask_elsewhere: read.asks_elsewhere("in")?,
            downloads_ask_elsewhere: read.asks_elsewhere("out")?,
            encryption: Encryption::of(&read)?,
            timeouts: Timeouts::of(&read)?,
            log: LogRule::of(&read)?,
            logging_class: read.text("logging_class")?,
            udp_port: read
                .number("transfer_protocol_options_bind_udp_port")?
                .map(|port| u16::try_from(port).unwrap_or(u16::MAX)),
            datagram_size: read
                .number("transfer_protocol_options_datagram_size")?
                .map(|size| u32::try_from(size).ok().filter(|size| *size > 0)),
            files: Files::of(&read)?,
            sync_enabled: read.bool("async_enabled")?,
        })
    }
}

/// Reads options as plain types. The table gives each option its type and a default, so the other arms of the matches
/// below stand for values that it cannot have.
struct Read<'a, 'c> {
    resolver: &'a Resolver<'c>,
}

impl Read<'_, '_> {
    fn sourced<T>(&self, name: &str, read: impl FnOnce(Option<Value>) -> T) -> Result<Sourced<T>> {
        let Setting {
            value,
            origin,
            clamp,
            ..
        } = self.resolver.option(name)?;
        Ok(Sourced {
            value: read(value),
            origin,
            clamp,
        })
    }

    fn bool(&self, name: &str) -> Result<Sourced<bool>> {
        self.sourced(name, |value| matches!(value, Some(Value::Bool(true))))
    }

    /// A number; a word for "nothing" is zero.
    fn number(&self, name: &str) -> Result<Sourced<u64>> {
        let number = self.bounded(name)?;
        Ok(number.map(|number| number.unwrap_or(u64::MAX)))
    }

    /// A number; none is no bound.
    fn bounded(&self, name: &str) -> Result<Sourced<Option<u64>>> {
        self.sourced(name, |value| match value {
            Some(Value::Unsigned(number)) => Some(number),
            Some(Value::Word(Word::Unlimited)) => None,
            _ => Some(0),
        })
    }

    fn word(&self, name: &str) -> Result<Sourced<&'static str>> {
        self.sourced(name, |value| match value {
            Some(Value::Choice(word)) => word,
            _ => "",
        })
    }

    /// Text; none if it is empty.
    fn text(&self, name: &str) -> Result<Sourced<Option<String>>> {
        self.sourced(name, |value| match value {
            Some(Value::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        })
    }

    fn authorization(&self, name: &str) -> Result<Sourced<Authorization>> {
        let word = self.word(name)?;
        Ok(word.map(|word| match word {
            "allow" => Authorization::Allow,
            "token" => Authorization::Token,
            _ => Authorization::Deny,
        }))
    }

    fn asks_elsewhere(&self, side: &str) -> Result<Sourced<bool>> {
        let url = format!("authorization_transfer_{side}_external_provider_url");
        Ok(self.text(&url)?.map(|url| url.is_some()))
    }

    fn list(&self, name: &str) -> Result<Sourced<Vec<String>>> {
        self.sourced(name, |value| match value {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        })
    }

    fn access(&self) -> Result<Access> {
        let docroot = self.text("absolute")?;
        let patterns = self.sourced("file_restriction", |value| match value {
            Some(Value::List(items)) => items.iter().map(|item| Pattern::parse(item)).collect(),
            _ => Vec::new(),
        })?;
        match (docroot.value.is_some(), patterns.value.is_empty()) {
            (true, true) => Ok(Access::Docroot(docroot.map(Option::unwrap_or_default))),
            (false, false) => Ok(Access::Restricted(patterns)),
            (false, true) => Ok(Access::Everything),
            (true, false) => {
                let name = self.resolver.person().name.to_owned();
                Err(Error::DocrootAndRestriction(name))
            }
        }
    }
}

impl Pattern {
    /// Takes an item of a list of restrictions.
    pub fn parse(item: &str) -> Self {
        let glob = item.strip_prefix('!');
        Self {
            glob: glob.unwrap_or(item).to_owned(),
            is_rejecting: glob.is_some(),
        }
    }
}
