//! How the rules about files travel (protocol §2.6).

use minicbor::{
    Decode, Decoder, Encode, Encoder,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};
use transfer_spec::filter::{FilterAction, FilterRule, MAX_RULES, Pattern};
use transfer_spec::{AfterTransfer, EmptyDirectories, FileChecksum, FileRules, Filter, SourceFate};

use super::wire;

const SAVE_EXISTING: u32 = 1;
const DELETE_ABSENT: u32 = 2;
const DRY_RUN: u32 = 4;
const PRECALCULATE: u32 = 8;
const LIST: u32 = 16;
const REMOVE: u32 = 32;
const REMOVE_BELOW: u32 = 64;
const REMOVE_ALL: u32 = 128;
const SKIPPED_TOO: u32 = 256;
const SKIP_SPECIAL: u32 = 512;

#[derive(Encode, Decode)]
#[cbor(map)]
struct Travelling {
    #[n(0)]
    flags: u32,
    #[cbor(n(1), with = "rules")]
    rules: Vec<FilterRule>,
    #[n(2)]
    newer_than: Option<i64>,
    #[n(3)]
    older_than: Option<i64>,
    #[cbor(n(4), with = "wire::optional_path")]
    source_base: Option<Vec<u8>>,
    #[cbor(n(5), with = "wire::paths")]
    names: Vec<Vec<u8>>,
    #[cbor(n(6), with = "wire::optional_path")]
    move_to: Option<Vec<u8>>,
}

impl From<&FileRules> for Travelling {
    fn from(from: &FileRules) -> Self {
        let AfterTransfer {
            fate,
            directories,
            skipped_too,
        } = &from.after;
        let flags = [
            (from.save_existing, SAVE_EXISTING),
            (from.delete_absent, DELETE_ABSENT),
            (from.dry_run, DRY_RUN),
            (from.precalculate, PRECALCULATE),
            (from.is_list, LIST),
            (*fate == SourceFate::Remove, REMOVE),
            (*directories == EmptyDirectories::RemoveBelow, REMOVE_BELOW),
            (*directories == EmptyDirectories::RemoveAll, REMOVE_ALL),
            (*skipped_too, SKIPPED_TOO),
            (from.skip_special, SKIP_SPECIAL),
        ];
        Self {
            flags: flags.iter().map(|(is, bit)| u32::from(*is) * bit).sum(),
            rules: from.filter.rules().to_vec(),
            newer_than: from.filter.newer_than,
            older_than: from.filter.older_than,
            source_base: from.source_base.clone(),
            names: from.names.clone(),
            move_to: match fate {
                SourceFate::Move(path) => Some(path.clone()),
                SourceFate::Stay | SourceFate::Remove => None,
            },
        }
    }
}

impl TryFrom<Travelling> for FileRules {
    type Error = DecodeError;

    fn try_from(from: Travelling) -> Result<Self, DecodeError> {
        let has = |bit| from.flags & bit != 0;
        let filter = Filter::new(from.rules)
            .map_err(|_| DecodeError::message("too many rules about files"))?;
        Ok(Self {
            filter: filter.with_ages(from.newer_than, from.older_than),
            source_base: from.source_base,
            names: from.names,
            is_list: has(LIST),
            skip_special: has(SKIP_SPECIAL),
            after: AfterTransfer {
                fate: match from.move_to {
                    Some(path) => SourceFate::Move(path),
                    None if has(REMOVE) => SourceFate::Remove,
                    None => SourceFate::Stay,
                },
                directories: match (has(REMOVE_ALL), has(REMOVE_BELOW)) {
                    (true, _) => EmptyDirectories::RemoveAll,
                    (false, true) => EmptyDirectories::RemoveBelow,
                    (false, false) => EmptyDirectories::Stay,
                },
                skipped_too: has(SKIPPED_TOO),
            },
            save_existing: has(SAVE_EXISTING),
            delete_absent: has(DELETE_ABSENT),
            dry_run: has(DRY_RUN),
            precalculate: has(PRECALCULATE),
            checksum: FileChecksum::None,
        })
    }
}

/// The rules, absent when there are none.
pub(super) mod optional {
    use super::*;

    pub(in super::super) fn encode<C, W: Write>(
        value: &Option<Box<FileRules>>,
        e: &mut Encoder<W>,
        c: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        match value {
            Some(rules) => Travelling::from(&**rules).encode(e, c),
            None => e.null()?.ok(),
        }
    }

    pub(in super::super) fn decode<C>(
        d: &mut Decoder<'_>,
        c: &mut C,
    ) -> Result<Option<Box<FileRules>>, DecodeError> {
        if d.datatype()? == minicbor::data::Type::Null {
            d.null()?;
            return Ok(None);
        }
        let rules = FileRules::try_from(Travelling::decode(d, c)?)?;
        Ok(Some(Box::new(rules)))
    }
}

/// Include and exclude rules: pattern after pattern, with what becomes of what it matches.
mod rules {
    use super::*;

    pub(super) fn encode<C, W: Write>(
        rules: &[FilterRule],
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), EncodeError<W::Error>> {
        e.array(2 * rules.len() as u64)?;
        for rule in rules {
            e.bool(rule.action == FilterAction::Include)?;
            e.bytes(rule.pattern.as_bytes())?;
        }
        Ok(())
    }

    pub(super) fn decode<C>(
        d: &mut Decoder<'_>,
        _: &mut C,
    ) -> Result<Vec<FilterRule>, DecodeError> {
        let count = d.array()?.unwrap_or(0);
        if count % 2 != 0 || count > 2 * MAX_RULES as u64 {
            return Err(DecodeError::message("not a list of rules about files"));
        }
        (0..count / 2)
            .map(|_| {
                let action = match d.bool()? {
                    true => FilterAction::Include,
                    false => FilterAction::Exclude,
                };
                let pattern = Pattern::parse(d.bytes()?)
                    .map_err(|_| DecodeError::message("not a pattern"))?;
                Ok(FilterRule { action, pattern })
            })
            .collect()
    }
}
