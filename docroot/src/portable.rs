//! What a name may be on each kind of target, and what replaces a name that may not.

use std::borrow::Cow;
use std::os::fd::BorrowedFd;

use crate::error::{NameFault, Result};
use crate::path::EntryPath;

/// The kind of system a path is created on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameRules {
    /// Any bytes but NUL and `/`.
    Unix,
    /// As Unix, but names are UTF-8.
    Mac,
    /// UTF-8, `\` separates, drives and shares exist, devices hide behind names.
    Windows,
}

impl NameRules {
    /// The rules of the machine this was compiled for.
    pub const HOST: Self = if cfg!(windows) {
        Self::Windows
    } else if cfg!(target_vendor = "apple") {
        Self::Mac
    } else {
        Self::Unix
    };

    /// The rules of the file system that an open directory is on.
    pub(crate) fn of(directory: BorrowedFd<'_>) -> Self {
        #[cfg(target_os = "linux")]
        {
            /// `linux/magic.h`: FAT, exFAT, NTFS (both drivers), SMB in its two versions.
            const WINDOWS: [u64; 6] = [
                0x4d44,
                0x2011_bab0,
                0x5346_544e,
                0x7366_746e,
                0xff53_4d42,
                0xfe53_4d42,
            ];
            let stat = crate::sys::fstatfs(directory);
            // The width of the number differs between machines.
            let magic = stat.map(|stat| stat.f_type as u64 & 0xffff_ffff);
            if magic.is_ok_and(|magic| WINDOWS.contains(&magic)) {
                return Self::Windows;
            }
        }
        let _ = directory;
        Self::HOST
    }

    /// Returns true if the path begins at a root, a drive or a share.
    pub(crate) fn is_absolute(self, path: &[u8]) -> bool {
        match (self, path) {
            (_, [b'/', ..]) => true,
            (Self::Windows, [b'\\', ..]) => true,
            (Self::Windows, [letter, b':', ..]) => letter.is_ascii_alphabetic(),
            _ => false,
        }
    }

    /// Returns the path with every name made legal on the target: each offending character becomes
    /// `replacement`.
    ///
    /// # Errors
    /// [`NameFault::Illegal`] when a name is not legal and there is no replacement, or when the
    /// replaced name still is not; the limits of [`EntryPath`] when it grew past them.
    pub fn adapt(self, path: &EntryPath, replacement: Option<char>) -> Result<Cow<'_, EntryPath>> {
        if path.components().all(|c| self.is_legal(c)) {
            return Ok(Cow::Borrowed(path));
        }
        let replacement = replacement.ok_or(NameFault::Illegal)?;
        let mut adapted = EntryPath::root();
        for component in path.components() {
            let name = self.replace(component, replacement);
            if !self.is_legal(name.as_bytes()) {
                return Err(NameFault::Illegal.into());
            }
            adapted.push(name.as_bytes())?;
        }
        Ok(Cow::Owned(adapted))
    }

    fn is_legal(self, name: &[u8]) -> bool {
        match self {
            Self::Unix => true,
            Self::Mac => std::str::from_utf8(name).is_ok(),
            Self::Windows => std::str::from_utf8(name).is_ok_and(|name| {
                !name.chars().any(is_windows_illegal)
                    && !name.ends_with(['.', ' '])
                    && !is_windows_device(name)
            }),
        }
    }

    fn replace(self, name: &[u8], replacement: char) -> String {
        let mut out = String::with_capacity(name.len() + 1);
        for chunk in name.utf8_chunks() {
            for c in chunk.valid().chars() {
                let illegal = self == Self::Windows && is_windows_illegal(c);
                out.push(if illegal { replacement } else { c });
            }
            out.extend(chunk.invalid().iter().map(|_| replacement));
        }
        if self == Self::Windows {
            if out.ends_with(['.', ' ']) {
                out.pop();
                out.push(replacement);
            }
            if is_windows_device(&out) {
                out.insert(0, replacement);
            }
        }
        out
    }
}

fn is_windows_illegal(c: char) -> bool {
    c < ' ' || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\\' | '/')
}

/// Device names hold with any extension, with spaces before it, and with the superscript digits
/// that old code pages map to plain ones.
fn is_windows_device(name: &str) -> bool {
    let stem = name.split(['.', ':']).next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    let Some(digit) = stem
        .strip_prefix("COM")
        .or_else(|| stem.strip_prefix("LPT"))
    else {
        return false;
    };
    let mut chars = digit.chars();
    matches!(chars.next(), Some('0'..='9' | '¹' | '²' | '³')) && chars.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(name: &[u8], replacement: Option<char>) -> Option<String> {
        let path = EntryPath::parse(name).unwrap();
        let adapted = NameRules::Windows.adapt(&path, replacement).ok()?;
        Some(String::from_utf8(adapted.as_bytes().to_vec()).unwrap())
    }

    /// F83.
    #[test]
    fn names_that_windows_refuses_are_replaced_or_err_56() {
        for (name, replaced) in [
            (&b"a:b"[..], "a_b"),
            (b"<>\"|?*", "______"),
            (b"dot.", "dot_"),
            (b"space ", "space_"),
            (b"con", "_con"),
            (b"NUL.txt", "_NUL.txt"),
            (b"dir/aux .c", "dir/_aux .c"),
            (b"COM0", "_COM0"),
            (b"lpt9.x.y", "_lpt9.x.y"),
            ("COM¹".as_bytes(), "_COM¹"),
            ("lpt³.log".as_bytes(), "_lpt³.log"),
            (b"\xff.txt", "_.txt"),
            (b"tab\there", "tab_here"),
        ] {
            assert_eq!(windows(name, Some('_')).as_deref(), Some(replaced));
            assert_eq!(windows(name, None), None);
            // Created literally on Unix.
            let path = EntryPath::parse(name).unwrap();
            assert_eq!(&*NameRules::Unix.adapt(&path, None).unwrap(), &path);
        }
        for name in ["COM10", "COM", "console", "LPTX", "a.b", ".hidden", "com¹¹"] {
            assert_eq!(windows(name.as_bytes(), None).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_replacement_that_is_itself_illegal_is_err_56() {
        assert_eq!(windows(b"a?b", Some('*')), None);
        assert_eq!(windows(b"dot.", Some('.')), None);
        let path = EntryPath::parse(b"a\xff").unwrap();
        assert!(NameRules::Mac.adapt(&path, Some('/')).is_err());
    }

    #[test]
    fn names_that_are_not_utf8_are_replaced_where_they_cannot_exist() {
        let path = EntryPath::parse(b"d/\xffx").unwrap();
        let adapted = NameRules::Mac.adapt(&path, Some('_')).unwrap();
        assert_eq!(adapted.as_bytes(), b"d/_x");
        assert!(NameRules::Mac.adapt(&path, None).is_err());
    }

    #[test]
    fn drives_shares_and_backslashes_are_err_41_on_windows() {
        for path in [&b"C:\\x"[..], b"c:x", b"\\\\srv\\s", b"\\x", b"a\\..\\b"] {
            let error = EntryPath::parse_for(path, NameRules::Windows).unwrap_err();
            assert_eq!(error.code().number(), 41);
            assert!(EntryPath::parse_for(path, NameRules::Unix).is_ok());
        }
    }
}
