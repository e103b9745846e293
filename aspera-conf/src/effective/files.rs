//! How files are written.

use super::{Read, Sourced};
use crate::error::Result;
use crate::schema::Value;

/// How files are written and what is kept of their attributes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Files {
    /// The suffix of checkpoints; none if there are none.
    pub resume_suffix: Sourced<Option<String>>,
    /// The suffix of files that are not complete; none if they have none.
    pub partial_suffix: Sourced<Option<String>>,
    /// The character in the place of those that the file system refuses.
    pub replace_illegal: Sourced<Option<char>>,
    /// Whether clients may replace files.
    pub may_overwrite: Sourced<bool>,
    /// Permission bits of created files.
    pub file_mode: ModeRule,
    /// Permission bits of created directories.
    pub directory_mode: ModeRule,
    /// What is done with symbolic links.
    pub symlinks: Sourced<SymlinkRule>,
    /// The group of created files; `-` leaves it to the directory.
    pub group: Sourced<Option<String>>,
    /// Whether modification times are kept; none leaves it to the client.
    pub keep_times: Sourced<Option<bool>>,
    /// How extended attributes are kept, such as `native` and `none`; none leaves it to the client.
    pub xattrs: Sourced<Option<String>>,
    /// Rules that come before those of the client, such as `- *.tmp`.
    pub filters: Sourced<Vec<String>>,
    /// The checksum that is told of every file; none leaves it to the client.
    pub checksum: Sourced<Option<&'static str>>,
    /// Receipts of transfers.
    pub manifest: Manifest,
}

/// Receipts of transfers: a text file for each, with a line for every file.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Whether they are written.
    pub is_on: Sourced<bool>,
    /// The directory they go to; none for the destination.
    pub directory: Sourced<Option<String>>,
    /// The suffix while they are written.
    pub suffix: Sourced<Option<String>>,
}

/// Permission bits of what is created.
#[derive(Debug, Clone, PartialEq)]
pub struct ModeRule {
    /// Exactly these; stronger than the others.
    pub exact: Sourced<Option<u32>>,
    /// Those of the source and these.
    pub granted: Sourced<Option<u32>>,
}

/// What is done with symbolic links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SymlinkRule {
    /// A client may make them.
    pub create: bool,
    /// Those that stay beneath the docroot are followed.
    pub follow: bool,
    /// Those that leave the docroot are followed too.
    pub follow_wide: bool,
}

impl Files {
    pub(super) fn of(read: &Read<'_, '_>) -> Result<Self> {
        Ok(Self {
            resume_suffix: read.text("resume_suffix")?,
            partial_suffix: read.text("partial_file_suffix")?,
            replace_illegal: read
                .text("replace_illegal_chars")?
                .map(|text| text.and_then(|text| text.chars().next())),
            may_overwrite: read.word("overwrite")?.map(|word| word == "allow"),
            file_mode: ModeRule::of(read, "file")?,
            directory_mode: ModeRule::of(read, "directory")?,
            symlinks: read.sourced("symbolic_links", |value| match value {
                Some(Value::Choices(words)) => SymlinkRule {
                    create: words.contains(&"create"),
                    follow: words.contains(&"follow") || words.contains(&"follow_wide"),
                    follow_wide: words.contains(&"follow_wide"),
                },
                _ => SymlinkRule::default(),
            })?,
            group: read.text("group_ownership")?,
            keep_times: read.word("preserve_attributes")?.map(|word| match word {
                "times" => Some(true),
                "none" => Some(false),
                _ => None,
            }),
            xattrs: read.text("preserve_xattrs")?,
            filters: read.list("file_filters")?,
            checksum: read
                .word("file_checksum")?
                .map(|word| (word != "any").then_some(word)),
            manifest: Manifest {
                is_on: read.word("file_manifest")?.map(|word| word == "text"),
                directory: read.text("file_manifest_path")?,
                suffix: read.text("file_manifest_inprogress_suffix")?,
            },
        })
    }
}

impl ModeRule {
    fn of(read: &Read<'_, '_>, what: &str) -> Result<Self> {
        let bits = |value| match value {
            Some(Value::Octal(bits)) => Some(bits),
            _ => None,
        };
        Ok(Self {
            exact: read.sourced(&format!("{what}_create_mode"), bits)?,
            granted: read.sourced(&format!("{what}_create_grant_mask"), bits)?,
        })
    }
}
