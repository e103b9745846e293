//! The records inside pages (protocol §9.3, §9.4).

use std::ops::Range;

use super::codec::{Malformed, Reader, put_varint};
use super::extra::{Extra, NotKept};
use crate::ErrorCode;

/// Largest page (protocol §12).
pub const MAX_PAGE: usize = 1 << 20;
/// Listed files up to this size travel as [`Record::Content`] once they are wanted, larger ones as blocks.
pub const MAX_SMALL_FILE: u64 = 64 << 10;
/// Longest path in bytes (protocol §12).
pub const MAX_PATH: usize = 4096;
/// Longest name of one component in bytes.
pub const MAX_NAME: usize = 255;
/// Longest text of a failure, in bytes.
pub(crate) const MAX_TEXT: usize = 1024;
/// Most ranges in one [`Record::WantFrom`] or [`Record::Check`].
pub const MAX_HELD_RANGES: usize = 4096;

/// What is kept of a file or directory besides its name and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Unix permission bits.
    pub mode: u32,
    /// Modification time, seconds since 1970.
    pub mtime: i64,
    /// Nanoseconds of the modification time, below 1,000,000,000.
    pub mtime_nanos: u32,
}

/// One record of a page, borrowing names and content from it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// The following names are in this directory.
    Enter {
        /// Path relative to the destination, components joined by `/`; empty is the destination.
        path: &'a [u8],
    },
    /// A directory to create.
    Directory {
        /// Path relative to the destination.
        path: &'a [u8],
        /// Applied after everything inside is complete.
        attributes: Attributes,
    },
    /// A file whose content is sent if the receiver asks.
    File {
        /// The file's number.
        file: u32,
        /// Name in the directory entered last.
        name: &'a [u8],
        /// Applied before the file gets its name.
        attributes: Attributes,
        /// Bytes.
        size: u64,
    },
    /// A part of a file that several sessions of the transfer send (protocol §13.3).
    Part {
        /// The part's number among this session's files.
        file: u32,
        /// The whole file's number, which all of its parts name.
        whole: u32,
        /// Name in the directory entered last.
        name: &'a [u8],
        /// Of the whole file.
        attributes: Attributes,
        /// Bytes of the whole file.
        size: u64,
        /// Where the part begins; its blocks count from here.
        start: u64,
        /// Bytes of the part.
        length: u64,
    },
    /// A part of a file that is still being written (protocol §13.6).
    Growing {
        /// The part's number among this session's files.
        file: u32,
        /// The whole file's number, which all of its parts name.
        whole: u32,
        /// Name in the directory entered last.
        name: &'a [u8],
        /// Of the file as it is now; those of the last part count.
        attributes: Attributes,
        /// Where the part begins; its blocks count from here.
        start: u64,
        /// Bytes of the part.
        length: u64,
        /// The file ends with this part.
        is_last: bool,
    },
    /// A file with its content.
    SmallFile {
        /// The file's number.
        file: u32,
        /// Name in the directory entered last.
        name: &'a [u8],
        /// Applied before the file gets its name.
        attributes: Attributes,
        /// All of it.
        content: &'a [u8],
    },
    /// The content of a small file that was asked for.
    Content {
        /// The file's number.
        file: u32,
        /// All of it.
        content: &'a [u8],
    },
    /// A symbolic link.
    Symlink {
        /// The link's number among the files.
        file: u32,
        /// Name in the directory entered last.
        name: &'a [u8],
        /// What it points at.
        target: &'a [u8],
    },
    /// The digest of a whole file whose blocks have all been sent once.
    Digest {
        /// The file's number.
        file: u32,
        /// CRC-64/NVME.
        digest: u64,
    },
    /// Whether the source has the bytes that [`Record::Check`] named.
    Checked {
        /// The file's number.
        file: u32,
        /// It has.
        agrees: bool,
    },
    /// The rest of this file will not come.
    SourceFailed {
        /// The file's number.
        file: u32,
        /// Why.
        code: ErrorCode,
        /// For people.
        text: &'a str,
    },
    /// This cannot be read and is not in the list; it has no number.
    Unlisted {
        /// Path relative to the destination; not checked by any rule, because it may break one.
        path: &'a [u8],
        /// Why.
        code: ErrorCode,
        /// For people.
        text: &'a str,
    },
    /// This is left out of the list on purpose.
    LeftOut {
        /// Path relative to the destination.
        path: &'a [u8],
        /// Why, for people.
        text: &'a str,
    },
    /// How much the list will name, counted beforehand.
    Counted {
        /// Files and links.
        files: u64,
        /// Bytes of the files.
        bytes: u64,
    },
    /// All of this directory is in the list: what else the destination has there is to be deleted.
    Prune {
        /// Path relative to the destination; empty is the destination.
        path: &'a [u8],
    },
    /// What is kept besides of the file or directory that the next record names.
    Extra(Extra<'a>),
    /// The list is complete.
    End {
        /// How many file numbers were used: 0 to `files - 1`.
        files: u32,
        /// How many records have no file number: `Directory`, `Unlisted`, `LeftOut`, `Counted` and `Prune`. Pages may
        /// arrive in any order, so that only their count tells that none is still on its way.
        loose: u32,
    },
    /// Send these files whole.
    Want {
        /// First number.
        first: u32,
        /// How many.
        count: u32,
    },
    /// Send this file but for what is held already.
    WantFrom {
        /// The file's number.
        file: u32,
        /// Held byte ranges, ascending, disjoint.
        held: Vec<Range<u64>>,
    },
    /// These files are there already.
    Skip {
        /// First number.
        first: u32,
        /// How many.
        count: u32,
    },
    /// These files are under their final names and durable.
    Done {
        /// First number.
        first: u32,
        /// How many.
        count: u32,
    },
    /// This file failed at the receiver.
    Failed {
        /// The file's number.
        file: u32,
        /// Why.
        code: ErrorCode,
        /// For people.
        text: &'a str,
    },
    /// This was not in the list and has been deleted.
    Deleted {
        /// Path relative to the destination.
        path: &'a [u8],
    },
    /// This was to be kept of a file or directory that is there, and could not be.
    NotKept {
        /// Path relative to the destination.
        path: &'a [u8],
        /// What was not.
        what: NotKept,
    },
    /// Every number has its result.
    Complete(Totals),
    /// Does the source have these bytes?
    Check {
        /// The file's number.
        file: u32,
        /// Byte ranges, ascending, disjoint.
        ranges: Vec<Range<u64>>,
        /// CRC-64/NVME of the file with zeros outside of them.
        digest: u64,
    },
    /// Nothing of this file is held any more: send it whole.
    Restart {
        /// The file's number.
        file: u32,
    },
}

/// The receiver's final count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Files under their final names.
    pub done: u64,
    /// Files that were there already.
    pub skipped: u64,
    /// Files that failed.
    pub failed: u64,
    /// Bytes of the files done.
    pub bytes: u64,
}

const ENTER: u8 = 1;
const DIRECTORY: u8 = 2;
const FILE: u8 = 3;
const SMALL_FILE: u8 = 4;
const CONTENT: u8 = 5;
const SYMLINK: u8 = 6;
const DIGEST: u8 = 7;
const SOURCE_FAILED: u8 = 8;
const END: u8 = 9;
const PART: u8 = 10;
const UNLISTED: u8 = 11;
const LEFT_OUT: u8 = 12;
const COUNTED: u8 = 13;
const PRUNE: u8 = 14;
const CHECKED: u8 = 15;
const EXTRA: u8 = 16;
const GROWING: u8 = 17;
const WANT: u8 = 32;
const WANT_FROM: u8 = 33;
const SKIP: u8 = 34;
const DONE: u8 = 35;
const FAILED: u8 = 36;
const COMPLETE: u8 = 37;
const DELETED: u8 = 38;
const CHECK: u8 = 39;
const RESTART: u8 = 40;
const NOT_KEPT: u8 = 41;

impl<'a> Record<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let kind = reader.u8()?;
        Ok(match kind {
            ENTER => Self::Enter {
                path: reader.length_prefixed(MAX_PATH)?,
            },
            DIRECTORY => {
                let path = reader.length_prefixed(MAX_PATH)?;
                Self::Directory {
                    path,
                    attributes: Attributes::decode(reader)?,
                }
            }
            FILE => Self::File {
                file: reader.varint_u32()?,
                name: reader.length_prefixed(MAX_NAME)?,
                attributes: Attributes::decode(reader)?,
                size: reader.varint()?,
            },
            PART => Self::Part {
                file: reader.varint_u32()?,
                name: reader.length_prefixed(MAX_NAME)?,
                attributes: Attributes::decode(reader)?,
                size: reader.varint()?,
                whole: reader.varint_u32()?,
                start: reader.varint()?,
                length: reader.varint()?,
            },
            GROWING => Self::Growing {
                file: reader.varint_u32()?,
                name: reader.length_prefixed(MAX_NAME)?,
                attributes: Attributes::decode(reader)?,
                whole: reader.varint_u32()?,
                start: reader.varint()?,
                length: reader.varint()?,
                is_last: decode_flag(reader)?,
            },
            SMALL_FILE => Self::SmallFile {
                file: reader.varint_u32()?,
                name: reader.length_prefixed(MAX_NAME)?,
                attributes: Attributes::decode(reader)?,
                content: reader.length_prefixed(MAX_PAGE)?,
            },
            CONTENT => Self::Content {
                file: reader.varint_u32()?,
                content: reader.length_prefixed(MAX_PAGE)?,
            },
            SYMLINK => Self::Symlink {
                file: reader.varint_u32()?,
                name: reader.length_prefixed(MAX_NAME)?,
                target: reader.length_prefixed(MAX_PATH)?,
            },
            DIGEST => Self::Digest {
                file: reader.varint_u32()?,
                digest: reader.u64()?,
            },
            CHECKED => Self::Checked {
                file: reader.varint_u32()?,
                agrees: decode_flag(reader)?,
            },
            SOURCE_FAILED => {
                let (file, code, text) = decode_failure(reader)?;
                Self::SourceFailed { file, code, text }
            }
            UNLISTED => {
                let path = reader.length_prefixed(2 * MAX_PATH)?;
                let (code, text) = decode_reason(reader)?;
                Self::Unlisted { path, code, text }
            }
            LEFT_OUT => Self::LeftOut {
                path: reader.length_prefixed(MAX_PATH)?,
                text: decode_text(reader)?,
            },
            COUNTED => Self::Counted {
                files: reader.varint()?,
                bytes: reader.varint()?,
            },
            PRUNE => Self::Prune {
                path: reader.length_prefixed(MAX_PATH)?,
            },
            EXTRA => Self::Extra(Extra::decode(reader)?),
            END => Self::End {
                files: reader.varint_u32()?,
                loose: reader.varint_u32()?,
            },
            WANT => {
                let (first, count) = decode_run(reader)?;
                Self::Want { first, count }
            }
            WANT_FROM => {
                let file = reader.varint_u32()?;
                Self::WantFrom {
                    file,
                    held: decode_held(reader)?,
                }
            }
            SKIP => {
                let (first, count) = decode_run(reader)?;
                Self::Skip { first, count }
            }
            DONE => {
                let (first, count) = decode_run(reader)?;
                Self::Done { first, count }
            }
            FAILED => {
                let (file, code, text) = decode_failure(reader)?;
                Self::Failed { file, code, text }
            }
            DELETED => Self::Deleted {
                path: reader.length_prefixed(MAX_PATH)?,
            },
            NOT_KEPT => Self::NotKept {
                path: reader.length_prefixed(MAX_PATH)?,
                what: NotKept::from_bits(reader.u8()?),
            },
            COMPLETE => Self::Complete(Totals {
                done: reader.varint()?,
                skipped: reader.varint()?,
                failed: reader.varint()?,
                bytes: reader.varint()?,
            }),
            CHECK => {
                let file = reader.varint_u32()?;
                let ranges = decode_held(reader)?;
                Self::Check {
                    file,
                    ranges,
                    digest: reader.u64()?,
                }
            }
            RESTART => Self::Restart {
                file: reader.varint_u32()?,
            },
            _ => return Err(Malformed::UnknownKind(kind)),
        })
    }

    /// Appends the record to a page under construction.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Enter { path } => put_bytes(out, ENTER, None, path),
            Self::Directory { path, attributes } => {
                put_bytes(out, DIRECTORY, None, path);
                attributes.encode(out);
            }
            Self::File {
                file,
                name,
                attributes,
                size,
            } => {
                put_bytes(out, FILE, Some(*file), name);
                attributes.encode(out);
                put_varint(out, *size);
            }
            Self::Part {
                file,
                whole,
                name,
                attributes,
                size,
                start,
                length,
            } => {
                put_bytes(out, PART, Some(*file), name);
                attributes.encode(out);
                for value in [*size, u64::from(*whole), *start, *length] {
                    put_varint(out, value);
                }
            }
            Self::Growing {
                file,
                whole,
                name,
                attributes,
                start,
                length,
                is_last,
            } => {
                put_bytes(out, GROWING, Some(*file), name);
                attributes.encode(out);
                for value in [u64::from(*whole), *start, *length] {
                    put_varint(out, value);
                }
                out.push(u8::from(*is_last));
            }
            Self::SmallFile {
                file,
                name,
                attributes,
                content,
            } => {
                put_bytes(out, SMALL_FILE, Some(*file), name);
                attributes.encode(out);
                put_varint(out, content.len() as u64);
                out.extend_from_slice(content);
            }
            Self::Content { file, content } => put_bytes(out, CONTENT, Some(*file), content),
            Self::Symlink { file, name, target } => {
                put_bytes(out, SYMLINK, Some(*file), name);
                put_varint(out, target.len() as u64);
                out.extend_from_slice(target);
            }
            Self::Digest { file, digest } => {
                out.push(DIGEST);
                put_varint(out, u64::from(*file));
                out.extend_from_slice(&digest.to_be_bytes());
            }
            Self::Checked { file, agrees } => {
                out.push(CHECKED);
                put_varint(out, u64::from(*file));
                out.push(u8::from(*agrees));
            }
            Self::SourceFailed { file, code, text } => {
                put_failure(out, SOURCE_FAILED, *file, *code, text);
            }
            Self::Unlisted { path, code, text } => {
                put_bytes(out, UNLISTED, None, &path[..path.len().min(2 * MAX_PATH)]);
                out.push(code.number());
                put_text(out, text);
            }
            Self::LeftOut { path, text } => {
                put_bytes(out, LEFT_OUT, None, path);
                put_text(out, text);
            }
            Self::Counted { files, bytes } => {
                out.push(COUNTED);
                put_varint(out, *files);
                put_varint(out, *bytes);
            }
            Self::Prune { path } => put_bytes(out, PRUNE, None, path),
            Self::Extra(extra) => {
                out.push(EXTRA);
                extra.encode(out);
            }
            Self::End { files, loose } => {
                out.push(END);
                put_varint(out, u64::from(*files));
                put_varint(out, u64::from(*loose));
            }
            Self::Want { first, count } => put_run(out, WANT, *first, *count),
            Self::WantFrom { file, held } => {
                out.push(WANT_FROM);
                put_varint(out, u64::from(*file));
                put_held(out, held);
            }
            Self::Skip { first, count } => put_run(out, SKIP, *first, *count),
            Self::Done { first, count } => put_run(out, DONE, *first, *count),
            Self::Failed { file, code, text } => put_failure(out, FAILED, *file, *code, text),
            Self::Deleted { path } => put_bytes(out, DELETED, None, path),
            Self::NotKept { path, what } => {
                put_bytes(out, NOT_KEPT, None, path);
                out.push(what.bits());
            }
            Self::Complete(totals) => {
                out.push(COMPLETE);
                for value in [totals.done, totals.skipped, totals.failed, totals.bytes] {
                    put_varint(out, value);
                }
            }
            Self::Check {
                file,
                ranges,
                digest,
            } => {
                out.push(CHECK);
                put_varint(out, u64::from(*file));
                put_held(out, ranges);
                out.extend_from_slice(&digest.to_be_bytes());
            }
            Self::Restart { file } => {
                out.push(RESTART);
                put_varint(out, u64::from(*file));
            }
        }
    }
}

/// Reads a complete page record by record; it ends after the first malformed one.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    reader: Reader<'a>,
}

impl<'a> Records<'a> {
    /// Starts at the front of a page.
    pub fn new(page: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(page),
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let record = Record::decode(&mut self.reader);
        if record.is_err() {
            self.reader.tail();
        }
        Some(record)
    }
}

impl Attributes {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mode = reader.u32()?;
        let mtime = reader.u64()?.cast_signed();
        let mtime_nanos = reader.u32()?;
        if mtime_nanos >= 1_000_000_000 {
            return Err(Malformed::Range);
        }
        Ok(Self {
            mode,
            mtime,
            mtime_nanos,
        })
    }

    fn encode(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.mode.to_be_bytes());
        out.extend_from_slice(&self.mtime.to_be_bytes());
        out.extend_from_slice(&self.mtime_nanos.to_be_bytes());
    }
}

fn decode_run(reader: &mut Reader<'_>) -> Result<(u32, u32), Malformed> {
    let (first, count) = (reader.varint_u32()?, reader.varint_u32()?);
    if count == 0 || first.checked_add(count).is_none() {
        return Err(Malformed::Range);
    }
    Ok((first, count))
}

fn decode_flag(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::Range),
    }
}

fn decode_failure<'a>(reader: &mut Reader<'a>) -> Result<(u32, ErrorCode, &'a str), Malformed> {
    let file = reader.varint_u32()?;
    let (code, text) = decode_reason(reader)?;
    Ok((file, code, text))
}

fn decode_reason<'a>(reader: &mut Reader<'a>) -> Result<(ErrorCode, &'a str), Malformed> {
    let code = ErrorCode::from_number(reader.u8()?).unwrap_or(ErrorCode::Unknown);
    Ok((code, decode_text(reader)?))
}

fn decode_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let text = reader.length_prefixed(MAX_TEXT)?;
    std::str::from_utf8(text).map_err(|_| Malformed::Range)
}

fn decode_held(reader: &mut Reader<'_>) -> Result<Vec<Range<u64>>, Malformed> {
    let count = usize::try_from(reader.varint()?).map_err(|_| Malformed::Range)?;
    // Each range takes at least two bytes, which bounds the reservation by what is really there.
    if count > MAX_HELD_RANGES || count * 2 > reader.remaining() {
        return Err(Malformed::Range);
    }
    let mut held = Vec::with_capacity(count);
    let mut at = 0u64;
    for _ in 0..count {
        let start = at.checked_add(reader.varint()?).ok_or(Malformed::Range)?;
        let end = start
            .checked_add(reader.varint()?)
            .ok_or(Malformed::Range)?;
        if start == end {
            return Err(Malformed::Range);
        }
        held.push(start..end);
        at = end;
    }
    Ok(held)
}

fn put_held(out: &mut Vec<u8>, held: &[Range<u64>]) {
    put_varint(out, held.len() as u64);
    let mut at = 0;
    for range in held {
        put_varint(out, range.start - at);
        put_varint(out, range.end - range.start);
        at = range.end;
    }
}

fn put_bytes(out: &mut Vec<u8>, kind: u8, file: Option<u32>, bytes: &[u8]) {
    out.push(kind);
    if let Some(file) = file {
        put_varint(out, u64::from(file));
    }
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_run(out: &mut Vec<u8>, kind: u8, first: u32, count: u32) {
    out.push(kind);
    put_varint(out, u64::from(first));
    put_varint(out, u64::from(count));
}

fn put_failure(out: &mut Vec<u8>, kind: u8, file: u32, code: ErrorCode, text: &str) {
    out.push(kind);
    put_varint(out, u64::from(file));
    out.push(code.number());
    put_text(out, text);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = &text.as_bytes()[..text.floor_char_boundary(MAX_TEXT)];
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text);
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
