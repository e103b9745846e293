//! The list of host keys we trust (H-5): OpenSSH's format, host names hashed, one entry per key type.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use russh::keys::{Algorithm, PublicKey};

use super::user_file::{self, Privacy};
use crate::Error;

/// What the list says about a host's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the key on record.
    Known,
    /// Nothing is on record for this host and port.
    Unknown,
    /// Another key is on record, on this line (from 1). A key of another type counts as changed too, or an attacker
    /// would only have to offer a type never seen before.
    Changed {
        /// The line, from 1.
        line: usize,
    },
    /// The key is marked as revoked, on this line (from 1).
    Revoked {
        /// The line, from 1.
        line: usize,
    },
}

/// A file of known hosts. It need not exist yet.
#[derive(Debug, Clone)]
pub struct KnownHosts {
    path: PathBuf,
}

struct Entry {
    line: usize,
    revoked: bool,
    key: PublicKey,
}

impl KnownHosts {
    /// Names the file; nothing is read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns where the list is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the key types on record for exactly this host and port.
    ///
    /// # Errors
    /// [`Error::UserFile`] when the file cannot be read, or others could have written it.
    pub fn key_types(&self, host: &str, port: u16) -> Result<Vec<Algorithm>, Error> {
        let entries = self.entries(host, port)?;
        Ok(entries
            .iter()
            .filter(|e| !e.revoked)
            .map(|e| e.key.algorithm())
            .collect())
    }

    /// Compares a key with what is on record.
    ///
    /// # Errors
    /// As [`KnownHosts::key_types`].
    pub fn check(&self, host: &str, port: u16, key: &PublicKey) -> Result<Verdict, Error> {
        let entries = self.entries(host, port)?;
        let same = |e: &&Entry| e.key.key_data() == key.key_data();
        if let Some(revoked) = entries.iter().filter(|e| e.revoked).find(same) {
            return Ok(Verdict::Revoked { line: revoked.line });
        }
        let valid = || entries.iter().filter(|e| !e.revoked);
        if valid().any(|e| same(&e)) {
            return Ok(Verdict::Known);
        }
        let of_same_type = valid().find(|e| e.key.algorithm() == key.algorithm());
        match of_same_type.or_else(|| valid().next()) {
            Some(other) => Ok(Verdict::Changed { line: other.line }),
            None => Ok(Verdict::Unknown),
        }
    }

    /// Adds a key, with the host's name hashed under a fresh salt; one that another program has added meanwhile stays.
    ///
    /// # Errors
    /// [`Error::UserFile`] when the file cannot be read or replaced, or the host has another key of this type already.
    pub fn add(&self, host: &str, port: u16, key: &PublicKey) -> Result<(), Error> {
        let _alone = user_file::lock(&self.path)?;
        let mut content = self.read()?;
        let token = token(host, port);
        let same_type = |e: &Entry| !e.revoked && e.key.algorithm() == key.algorithm();
        let of_same_type: Vec<_> = entries_in(&content, &token).filter(same_type).collect();
        if of_same_type
            .iter()
            .any(|e| e.key.key_data() == key.key_data())
        {
            return Ok(());
        }
        if !of_same_type.is_empty() {
            let text = format!("{token} has another key of this type already");
            return Err(user_file::user_file(&self.path, text));
        }
        let mut salt = [0; 20];
        SystemRandom::new()
            .fill(&mut salt)
            .map_err(|_| user_file::user_file(&self.path, "no random numbers"))?;
        let plain = PublicKey::new(key.key_data().clone(), "");
        let encoded = plain
            .to_openssh()
            .map_err(|e| user_file::user_file(&self.path, e.to_string()))?;
        if !content.is_empty() && !content.ends_with('\n') {
            content.push('\n');
        }
        content.push_str(&format!(
            "|1|{}|{} {encoded}\n",
            BASE64.encode(&salt),
            BASE64.encode(hashed(&salt, &token).as_ref()),
        ));
        user_file::write(&self.path, content.as_bytes())
    }

    fn read(&self) -> Result<String, Error> {
        let content = user_file::read(&self.path, Privacy::Public)?;
        Ok(content.map(|text| text.to_string()).unwrap_or_default())
    }

    fn entries(&self, host: &str, port: u16) -> Result<Vec<Entry>, Error> {
        let token = token(host, port);
        Ok(entries_in(&self.read()?, &token).collect())
    }
}

fn entries_in(text: &str, token: &str) -> impl Iterator<Item = Entry> {
    let lines = text.lines().enumerate();
    lines.filter_map(move |(index, line)| parse_line(index + 1, line, token))
}

/// Returns the lines that speak about a host.
#[cfg(feature = "testing")]
pub(crate) fn lines_about(text: &str, host: &str, port: u16) -> Vec<usize> {
    entries_in(text, &token(host, port))
        .map(|entry| entry.line)
        .collect()
}

/// Returns the host as the file spells it: with its port unless that is 22.
fn token(host: &str, port: u16) -> String {
    match port {
        22 => host.to_owned(),
        _ => format!("[{host}]:{port}"),
    }
}

fn hashed(salt: &[u8], token: &str) -> hmac::Tag {
    // The file format prescribes SHA-1; it hides names from a casual reader and protects nothing else.
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
    hmac::sign(&key, token.as_bytes())
}

/// Returns the entry when the line is one and speaks about this host; lines of other kinds are passed over.
fn parse_line(line: usize, text: &str, token: &str) -> Option<Entry> {
    let mut fields = text.split_ascii_whitespace();
    let mut hosts = fields.next()?;
    let revoked = hosts == "@revoked";
    if revoked {
        hosts = fields.next()?;
    } else if hosts.starts_with(['@', '#']) {
        return None;
    }
    // Patterns with wildcards are not honoured: a match is exact (H-2).
    if !hosts.split(',').any(|host| names(host, token)) {
        return None;
    }
    let (kind, key) = (fields.next()?, fields.next()?);
    let key = PublicKey::from_openssh(&format!("{kind} {key}")).ok()?;
    Some(Entry { line, revoked, key })
}

fn names(host: &str, token: &str) -> bool {
    let Some(hash) = host.strip_prefix("|1|") else {
        return host == token;
    };
    let Some((salt, expected)) = hash.split_once('|') else {
        return false;
    };
    match (
        BASE64.decode(salt.as_bytes()),
        BASE64.decode(expected.as_bytes()),
    ) {
        (Ok(salt), Ok(expected)) => hashed(&salt, token).as_ref() == expected,
        _ => false,
    }
}

#[cfg(test)]
#[path = "known_hosts_tests.rs"]
mod tests;
