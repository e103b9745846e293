//! Small closed sets that say how a transfer treats what it finds, with the names users already know.

use std::{fmt, str::FromStr};

use fasp_core::UnknownName;

/// Gives an enum its table of names, `name`, `Display` and `FromStr`; further spellings are read but never written.
macro_rules! named {
    ($type:ident { $($variant:ident $name:literal $(| $alias:literal)*,)* }) => {
        impl $type {
            /// Every value, in the order in which help texts list them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name that command lines and transfer specs use.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $type {
            type Err = UnknownName;

            fn from_str(text: &str) -> Result<Self, UnknownName> {
                match text {
                    $($name $(| $alias)* => Ok(Self::$variant),)*
                    _ => Err(UnknownName(text.to_owned())),
                }
            }
        }
    };
}

/// Which way the files go, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The client sends, the server receives.
    Upload,
    /// The server sends, the client receives.
    Download,
}

named!(Direction {
    Upload "send" | "upload",
    Download "receive" | "recv" | "download",
});

/// When an existing file at the destination is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OverwritePolicy {
    /// Never.
    Never,
    /// Always.
    Always,
    /// When it differs by the comparison that the [`ResumePolicy`] names.
    #[default]
    Diff,
    /// When it differs and is older than the source.
    DiffOlder,
    /// When it is older than the source.
    Older,
}

named!(OverwritePolicy {
    Never "never",
    Always "always",
    Diff "diff",
    DiffOlder "diff+older",
    Older "older",
});

/// What must agree before a file that is partly or wholly there is continued or skipped: the levels of `ascp -k`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum ResumePolicy {
    /// Nothing is compared; every file is sent whole (level 0).
    None,
    /// Size and modification time of the source (level 1).
    #[default]
    Attributes,
    /// Level 1, and a checksum over samples of the content (level 2).
    SparseChecksum,
    /// Level 1, and a checksum over the whole content that is there (level 3).
    FullChecksum,
}

named!(ResumePolicy {
    None "none",
    Attributes "attrs" | "attributes",
    SparseChecksum "sparse_csum" | "sparse_checksum",
    FullChecksum "full_csum" | "full_checksum",
});

impl ResumePolicy {
    /// Returns the policy of an `ascp -k` level, 0 to 3.
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            0 => Some(Self::None),
            1 => Some(Self::Attributes),
            2 => Some(Self::SparseChecksum),
            3 => Some(Self::FullChecksum),
            _ => None,
        }
    }

    /// Returns the `ascp -k` level, 0 to 3.
    pub const fn level(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Attributes => 1,
            Self::SparseChecksum => 2,
            Self::FullChecksum => 3,
        }
    }
}

/// What becomes of a symbolic link in the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SymlinkPolicy {
    /// The content it points at is sent, as long as that is inside the source's root.
    #[default]
    Follow,
    /// The link itself is made at the destination; it replaces nothing.
    Copy,
    /// The link itself is made, replacing a file of that name.
    CopyForce,
    /// Links are left out.
    Skip,
}

named!(SymlinkPolicy {
    Follow "follow",
    Copy "copy",
    CopyForce "copy+force" | "copy_force",
    Skip "skip",
});

/// A checksum that is told of every file that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FileChecksum {
    /// None.
    #[default]
    None,
    /// MD5, which others still ask for; it shows no intent.
    Md5,
    /// SHA-1; likewise.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

named!(FileChecksum {
    None "none",
    Md5 "md5",
    Sha1 "sha1" | "sha-1",
    Sha256 "sha256" | "sha-256",
    Sha384 "sha384" | "sha-384",
    Sha512 "sha512" | "sha-512",
});

/// Which attributes of the source the destination gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Preserve {
    /// Modification times. On by default: without them the next run cannot see that a file is the same.
    pub times: bool,
    /// Permission bits, exactly; without it the receiver's own defaults decide.
    pub mode: bool,
    /// The numeric owner; needs a privileged receiver.
    pub owner: bool,
    /// The numeric group; needs a privileged receiver or membership.
    pub group: bool,
    /// When files were last read.
    pub access_time: bool,
    /// Extended attributes of the namespace `user`.
    pub xattrs: bool,
}

impl Default for Preserve {
    fn default() -> Self {
        Self {
            times: true,
            mode: false,
            owner: false,
            group: false,
            access_time: false,
            xattrs: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_value_and_defaults_are_the_documented_ones() {
        for value in Direction::ALL {
            assert_eq!(value.name().parse(), Ok(*value));
        }
        for value in OverwritePolicy::ALL {
            assert_eq!(value.name().parse(), Ok(*value));
        }
        for value in ResumePolicy::ALL {
            assert_eq!(value.name().parse(), Ok(*value));
            assert_eq!(ResumePolicy::from_level(value.level()), Some(*value));
        }
        for value in SymlinkPolicy::ALL {
            assert_eq!(value.name().parse(), Ok(*value));
        }
        for value in FileChecksum::ALL {
            assert_eq!(value.name().parse(), Ok(*value));
        }
        assert_eq!(OverwritePolicy::default().to_string(), "diff");
        assert_eq!(ResumePolicy::default().to_string(), "attrs");
        assert_eq!(SymlinkPolicy::default().to_string(), "follow");
        assert!(Preserve::default().times);
    }

    #[test]
    fn the_other_published_spellings_are_read() {
        assert_eq!("recv".parse(), Ok(Direction::Download));
        assert_eq!("full_checksum".parse(), Ok(ResumePolicy::FullChecksum));
        assert_eq!(
            "DIFF".parse::<OverwritePolicy>(),
            Err(UnknownName("DIFF".into()))
        );
        assert_eq!(ResumePolicy::from_level(4), None);
    }
}
