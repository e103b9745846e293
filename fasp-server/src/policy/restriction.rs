//! File restrictions: patterns over the URI form of a path, instead of a docroot or inside one.

use aspera_conf::effective::Pattern;
use docroot::Looked;

/// What stands before a local path in a pattern: `file:////data/*` is about `/data/...`.
const SCHEME: &[u8] = b"file:///";

/// Which paths exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restriction {
    allowed: Vec<Vec<u8>>,
    rejected: Vec<Vec<u8>>,
}

impl Restriction {
    pub(super) fn new(patterns: &[Pattern]) -> Self {
        let of = |is_rejecting| {
            let kept = patterns.iter().filter(|p| p.is_rejecting == is_rejecting);
            kept.map(|pattern| with_scheme(pattern.glob.as_bytes()))
                .collect()
        };
        Self {
            allowed: of(false),
            rejected: of(true),
        }
    }

    /// Whether the absolute path `path` exists. Its directories on the way down do where something in them may.
    pub(super) fn admits(&self, path: &[u8], looked: Looked) -> bool {
        let uri = [SCHEME, path].concat();
        if self.rejected.iter().any(|glob| matches(glob, &uri)) {
            return false;
        }
        if self.allowed.is_empty() {
            return true;
        }
        let below = [&uri[..], b"/"].concat();
        self.allowed.iter().any(|glob| {
            matches(glob, &uri) || (looked == Looked::Directory && may_continue(glob, &below))
        })
    }
}

/// A pattern as people also write it, without the scheme, gets one; `*` alone matches everything anyway.
fn with_scheme(glob: &[u8]) -> Vec<u8> {
    match glob {
        [b'/', ..] => [SCHEME, glob].concat(),
        glob => glob.to_vec(),
    }
}

/// Whether the whole text matches. `*` stands for any bytes, slashes too, and `?` for any one.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    states(glob, text)[glob.len()]
}

/// Whether some text that begins like this may match.
fn may_continue(glob: &[u8], text: &[u8]) -> bool {
    states(glob, text).contains(&true)
}

/// Which positions in the pattern are reached behind the text: in the product of both lengths, whatever the pattern.
fn states(glob: &[u8], text: &[u8]) -> Vec<bool> {
    let mut now = vec![false; glob.len() + 1];
    now[0] = true;
    pass_stars(glob, &mut now);
    for byte in text {
        let mut next = vec![false; glob.len() + 1];
        for (at, wanted) in glob.iter().enumerate().filter(|(at, _)| now[*at]) {
            match wanted {
                b'*' => next[at] = true,
                b'?' => next[at + 1] = true,
                wanted if wanted == byte => next[at + 1] = true,
                _ => {}
            }
        }
        pass_stars(glob, &mut next);
        now = next;
    }
    now
}

/// A star may stand for nothing.
fn pass_stars(glob: &[u8], states: &mut [bool]) {
    for (at, byte) in glob.iter().enumerate() {
        if states[at] && *byte == b'*' {
            states[at + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restriction(items: &[&str]) -> Restriction {
        let patterns: Vec<_> = items
            .iter()
            .map(|item| Pattern {
                glob: item.trim_start_matches('!').to_owned(),
                is_rejecting: item.starts_with('!'),
            })
            .collect();
        Restriction::new(&patterns)
    }

    #[test]
    fn a_path_matches_one_pattern_at_least_and_none_that_rejects() {
        let rule = restriction(&["file:////data/*", "!*.tmp", "/pub/a?c"]);
        let file = |path: &str| rule.admits(path.as_bytes(), Looked::Other);
        assert!(file("/data/x") && file("/data/deep/er/x") && file("/pub/abc"));
        for path in [
            "/data",
            "/database/x",
            "/data/x.tmp",
            "/pub/ac",
            "/etc/passwd",
            "/",
        ] {
            assert!(!file(path), "{path}");
        }
        // The order does not matter.
        assert!(!restriction(&["!*.tmp", "*"]).admits(b"/x.tmp", Looked::Other));
        assert!(restriction(&["!*.tmp"]).admits(b"/x", Looked::Other));
        assert!(restriction(&["*"]).admits(b"/x", Looked::Other));
    }

    #[test]
    fn directories_on_the_way_exist() {
        let rule = restriction(&["file:////data/*/out/*", "!file:////data/closed"]);
        let dir = |path: &str| rule.admits(path.as_bytes(), Looked::Directory);
        assert!(dir("/data") && dir("/data/a") && dir("/data/a/out"));
        assert!(!dir("/other") && !dir("/dat") && !dir("/data/closed"));
        assert!(!rule.admits(b"/data/a", Looked::Other));
    }

    #[test]
    fn a_pattern_of_stars_takes_no_longer_than_its_length() {
        let glob = "*a".repeat(500);
        let text = vec![b'a'; 4096];
        let began = std::time::Instant::now();
        assert!(!matches(format!("{glob}b").as_bytes(), &text));
        assert!(began.elapsed() < std::time::Duration::from_secs(1));
    }
}
