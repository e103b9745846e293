//! What becomes of a listed envelope that is opened as it arrives: the plain file decides whether it is wanted.

use docroot::{Dir, EntryPath, Existing};
use fasp_core::Attributes;
use fasp_crypt::envelope_name;

use super::{Decider, Decision, Found, Place, Target};
use crate::engine::decryption::{Decryption, likely_plain_len, plain_name, plain_place};
use crate::engine::storage::checkpoint::SourceVersion;

/// The plain file that an envelope is opened into.
#[derive(Debug, Clone)]
pub(in crate::engine::storage) struct Plain {
    pub(in crate::engine::storage) decryption: Decryption,
    pub(in crate::engine::storage) dir: Dir,
    pub(in crate::engine::storage) name: Vec<u8>,
    pub(in crate::engine::storage) existing: Existing,
    /// How an envelope that does not open replaces what has its name; nothing where that stays.
    pub(in crate::engine::storage) envelope: Option<Existing>,
}

impl Plain {
    /// The name of the envelope beside it.
    pub(in crate::engine::storage) fn envelope_name(&self) -> Vec<u8> {
        envelope_name(&self.name)
    }
}

/// An envelope as it was listed, and the directory that it goes into.
pub(super) struct Envelope {
    pub(super) path: Vec<u8>,
    pub(super) source: SourceVersion,
    pub(super) attributes: Attributes,
    pub(super) dir: Dir,
    /// Nothing is in the way of anything.
    pub(super) is_new: bool,
}

/// How an envelope is opened, and the name of the file in it.
type Opened = (Decryption, Vec<u8>);

impl Decider {
    /// How the file of this path, which goes under `name`, is opened; nothing for one that stays what it is.
    pub(super) fn opened(&self, path: &[u8], name: &[u8]) -> Option<Opened> {
        let decryption = self.destination.decryption()?;
        // A single source may have a new name here, which may be that of the file or of the envelope.
        plain_name(path)?;
        let name = plain_name(name).unwrap_or(name);
        Some((decryption.clone(), name.to_vec()))
    }

    /// Where a dry run looks for what is in the way, and which size would be the same.
    pub(super) fn planned(
        &self,
        path: &[u8],
        place: EntryPath,
        size: u64,
    ) -> Result<(EntryPath, u64), docroot::Error> {
        let name = place.file_name().unwrap_or_default();
        match self.opened(path, name) {
            Some(_) => Ok((plain_place(place)?, likely_plain_len(size).unwrap_or(size))),
            None => Ok((place, size)),
        }
    }

    /// Decides about an envelope.
    pub(super) fn envelope(
        &self,
        listed: Envelope,
        (decryption, name): Opened,
    ) -> Result<Decision, docroot::Error> {
        let Envelope {
            path,
            source,
            attributes,
            dir,
            is_new,
        } = listed;
        let stat = |name: &[u8]| match is_new {
            true => Ok(None),
            false => dir.stat(name),
        };
        // One whose length no envelope has is found out when it is opened.
        let plain_len = likely_plain_len(source.size).unwrap_or(source.size);
        let existing = match self.find(stat(&name)?, attributes, plain_len)? {
            Found::Nothing => Existing::RefuseOther,
            // The sender cannot compare what it has no plain bytes of, so it counts as other.
            Found::Other | Found::Same => self.replacing(),
            Found::Stays => return Ok(Decision::Skip),
        };
        let envelope_name = envelope_name(&name);
        let present = stat(&envelope_name)?;
        let is_present = present.is_some_and(|there| self.is_same(&there, attributes, source.size));
        let envelope = match self.find(present, attributes, source.size) {
            Ok(Found::Nothing) => Some(Existing::RefuseOther),
            Ok(Found::Other | Found::Same) => Some(self.replacing()),
            Ok(Found::Stays) | Err(_) => None,
        };
        let target = Target {
            path,
            source,
            place: Place::Dir {
                dir: dir.clone(),
                name: envelope_name,
                metadata: self.metadata(attributes, self.rules.creation.file_mode),
                existing: envelope.unwrap_or(Existing::Refuse),
                plain: Some(Plain {
                    decryption,
                    dir,
                    name,
                    existing,
                    envelope,
                }),
            },
        };
        Ok(match is_present {
            true => Decision::Open(target),
            false => Decision::Take(target),
        })
    }
}
