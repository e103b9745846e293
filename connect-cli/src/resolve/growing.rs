//! Sources that are still being written, in the words of `ascp`: `file:///PATH?grow=SECONDS`.

use std::{ffi::OsStr, ffi::OsString, os::unix::ffi::OsStrExt as _, path::PathBuf, time::Duration};

use fasp_net::engine::{Growth, Since};

use crate::error::CommandError;

/// How long a file has to stay as it is where the number cannot be read, as with `ascp`.
const USUAL: Duration = Duration::from_secs(10);

/// A file that is sent while it is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growing {
    /// Where it is.
    pub path: PathBuf,
    /// When it counts as complete.
    pub growth: Growth,
}

/// Returns the file if the source is named so.
pub(super) fn growing(source: &OsStr) -> Result<Option<Growing>, CommandError> {
    let Some(rest) = source.as_bytes().strip_prefix(b"file://") else {
        return Ok(None);
    };
    let at = rest.iter().position(|byte| *byte == b'?');
    let (path, query) = rest.split_at(at.unwrap_or(rest.len()));
    let query = String::from_utf8_lossy(query.strip_prefix(b"?").unwrap_or_default());
    let wrong = || {
        CommandError::arguments(
            format!("'{}' names no growing file", super::transfer::shown(source)),
            "write file:///PATH?grow=SECONDS, with &wait_start=mtime or null_read, and &confirm_stop=true or false",
        )
    };
    let (mut quiet, mut is_seen, mut is_confirmed) = (None, false, false);
    for part in query.split('&') {
        match part.split_once('=').ok_or_else(wrong)? {
            ("grow", seconds) => {
                quiet = Some(seconds.parse().map_or(USUAL, Duration::from_secs));
            }
            ("wait_start", "mtime") => is_seen = false,
            ("wait_start", "null_read") => is_seen = true,
            ("confirm_stop", "true") => is_confirmed = true,
            ("confirm_stop", "false") => is_confirmed = false,
            _ => return Err(wrong()),
        }
    }
    if !path.starts_with(b"/") {
        return Err(wrong());
    }
    Ok(Some(Growing {
        path: OsString::from(OsStr::from_bytes(path)).into(),
        growth: Growth {
            quiet: quiet.ok_or_else(wrong)?,
            since: match (is_seen, is_confirmed) {
                (true, _) => Since::Seen,
                (false, true) => Since::SetBack,
                (false, false) => Since::Modified,
            },
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_files_are_named_as_ascp_names_them() {
        let parsed = |text: &str| growing(OsStr::new(text));
        for (text, quiet, since) in [
            ("file:///a/b?grow=3", 3, Since::Modified),
            ("file:///a/b?grow=soon", 10, Since::Modified),
            ("file:///a/b?grow=3&wait_start=null_read", 3, Since::Seen),
            ("file:///a/b?grow=3&confirm_stop=true", 3, Since::SetBack),
            (
                "file:///a/b?grow=3&wait_start=null_read&confirm_stop=true",
                3,
                Since::Seen,
            ),
        ] {
            let Growing { path, growth } = parsed(text).unwrap().unwrap();
            assert_eq!(path, PathBuf::from("/a/b"));
            assert_eq!(
                (growth.quiet.as_secs(), growth.since),
                (quiet, since),
                "{text}"
            );
        }
        for text in [
            "file:///a",
            "file:///a?",
            "file:///a?grow",
            "file:///a?grow=1&x=2",
            "file://a?grow=1",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
        assert_eq!(parsed("file").unwrap(), None);
    }
}
