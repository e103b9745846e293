//! Where files are: on this machine, or `[USER@]HOST[:PORT]:PATH` on another one.

use std::{
    ffi::OsStr,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    str::FromStr,
};

use crate::Faux;

/// A host as people name it, normalised so that equal hosts compare equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name: lower case, ASCII, no trailing dot.
    Name(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address; shown in brackets wherever a port or path may follow.
    V6(Ipv6Addr),
}

impl fmt::Display for Host {
    /// Writes the host without brackets, as a resolver wants it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => address.fmt(f),
        }
    }
}

impl FromStr for Host {
    type Err = ParseLocationError;

    /// Parses a name or an address; an IPv6 address may stand in brackets.
    fn from_str(text: &str) -> Result<Self, ParseLocationError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner
                .strip_suffix(']')
                .ok_or_else(|| ParseLocationError::Bracket(text.to_owned()))?;
            return inner
                .parse()
                .map(Self::V6)
                .map_err(|_| ParseLocationError::Bracket(text.to_owned()));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::V6(address));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        // Without its dot it would be shown as an address, so it has to be one.
        if let Ok(address) = name.parse() {
            return Ok(Self::V4(address));
        }
        let label_is_good = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // A leading hyphen would be read as an option by an `ssh` program.
        if name.len() > 253 || name.starts_with('-') || !name.split('.').all(label_is_good) {
            return Err(ParseLocationError::Host(text.to_owned()));
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

/// A path on another machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteLocation {
    /// The account, if it was named.
    pub user: Option<String>,
    /// The machine.
    pub host: Host,
    /// The TCP port of the control connection, if it was named.
    pub port: Option<u16>,
    /// The path as bytes; empty means the account's start directory.
    pub path: Vec<u8>,
}

impl fmt::Display for RemoteLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match self.host {
            Host::V6(address) => write!(f, "[{address}]")?,
            Host::Name(_) | Host::V4(_) => write!(f, "{}", self.host)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        write!(f, ":{}", self.path.escape_ascii())
    }
}

/// A path here or elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Location {
    /// On this machine.
    Local(PathBuf),
    /// On another one.
    Remote(RemoteLocation),
    /// Nowhere: synthetic files, or a place that discards.
    Faux(Faux),
}

/// Why a text is not a location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseLocationError {
    /// Nothing at all.
    #[error("a path is empty")]
    Empty,
    /// Not a host name or address.
    #[error(
        "'{0}' is not a host name: use letters, digits, dots and hyphens (an international name in its xn-- form)"
    )]
    Host(String),
    /// A bracket that does not hold an IPv6 address.
    #[error("'{0}' is not an IPv6 address in brackets, such as [2001:db8::1]")]
    Bracket(String),
    /// Not a port.
    #[error("'{0}' is not a TCP port: use a number from 1 to 65535")]
    Port(String),
    /// An account name that is empty, too long or has characters no account has.
    #[error("'{0}' is not a user name")]
    User(String),
    /// A URL of another kind.
    #[error("'{0}' URLs are not served here: use fasp://USER@HOST:PORT/PATH or HOST:PATH")]
    Scheme(String),
    /// A `faux` URL that describes no files.
    #[error("that is not a faux URL: {0}")]
    Faux(String),
    /// A password inside a URL, where process lists and histories show it.
    #[error("a password must not stand in a URL: it is asked for, or taken from ASPERA_SCP_PASS")]
    PasswordInUrl,
    /// A percent sign not followed by two hexadecimal digits, or a NUL.
    #[error("'{0}' is not percent-encoded correctly")]
    PercentEncoding(String),
}

impl FromStr for Location {
    type Err = ParseLocationError;

    fn from_str(text: &str) -> Result<Self, ParseLocationError> {
        Self::parse(OsStr::new(text))
    }
}

impl Location {
    /// Tells a local path from a remote one as `scp` does: a colon before the first slash makes it remote.
    ///
    /// `./a:b` is therefore how a local file with a colon is named.
    pub fn parse(text: &OsStr) -> Result<Self, ParseLocationError> {
        let bytes = text.as_encoded_bytes();
        if bytes.is_empty() {
            return Err(ParseLocationError::Empty);
        }
        if let Some((scheme, rest)) = split_scheme(bytes) {
            return match scheme {
                "fasp" => parse_url(rest).map(Self::Remote),
                "faux" => Faux::parse(rest).map(Self::Faux),
                _ => Err(ParseLocationError::Scheme(format!("{scheme}://"))),
            };
        }
        let head = bytes.split(|b| *b == b'/').next().unwrap_or_default();
        let drive_letter =
            cfg!(windows) && bytes.len() > 1 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':';
        match head.iter().position(|b| *b == b':') {
            Some(colon) if !drive_letter => parse_scp(bytes, colon).map(Self::Remote),
            _ => Ok(Self::Local(PathBuf::from(text))),
        }
    }
}

fn split_scheme(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(3).position(|w| w == b"://")?;
    let scheme = str::from_utf8(&bytes[..end]).ok()?;
    let is_scheme = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    is_scheme.then_some((scheme, &bytes[end + 3..]))
}

/// Parses `[USER@]HOST[:PORT]:PATH`, given where its first colon is.
fn parse_scp(bytes: &[u8], colon: usize) -> Result<RemoteLocation, ParseLocationError> {
    let (user, rest) = match bytes[..colon].iter().rposition(|b| *b == b'@') {
        Some(at) => (Some(parse_user(&bytes[..at])?), &bytes[at + 1..]),
        None => (None, bytes),
    };
    let (host, rest) = split_host(rest)?;
    let rest = rest
        .strip_prefix(b":")
        .ok_or_else(|| ParseLocationError::Bracket(lossy(bytes)))?;
    // `HOST:22:x` names a port; `HOST:22` and `HOST:a:b` are paths.
    let (port, path) = match rest.iter().position(|b| *b == b':') {
        Some(end) if end > 0 && rest[..end].iter().all(u8::is_ascii_digit) => {
            (Some(parse_port(&rest[..end])?), &rest[end + 1..])
        }
        _ => (None, rest),
    };
    Ok(RemoteLocation {
        user,
        host,
        port,
        path: path.to_vec(),
    })
}

/// Parses `[user@]host[:port][/path]`, percent-encoded.
fn parse_url(rest: &[u8]) -> Result<RemoteLocation, ParseLocationError> {
    let slash = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let (user, authority) = match authority.iter().rposition(|b| *b == b'@') {
        Some(at) if authority[..at].contains(&b':') => {
            return Err(ParseLocationError::PasswordInUrl);
        }
        Some(at) => (
            Some(parse_user(&percent_decode(&authority[..at])?)?),
            &authority[at + 1..],
        ),
        None => (None, authority),
    };
    let (host, port) = split_host(authority)?;
    let port = match port.strip_prefix(b":") {
        Some(port) => Some(parse_port(port)?),
        None if port.is_empty() => None,
        None => return Err(ParseLocationError::Port(lossy(port))),
    };
    Ok(RemoteLocation {
        user,
        host,
        port,
        path: percent_decode(path)?,
    })
}

/// Takes the host off the front; what is left starts with a colon or is empty.
fn split_host(bytes: &[u8]) -> Result<(Host, &[u8]), ParseLocationError> {
    let end = if bytes.starts_with(b"[") {
        bytes
            .iter()
            .position(|b| *b == b']')
            .map(|at| at + 1)
            .ok_or_else(|| ParseLocationError::Bracket(lossy(bytes)))?
    } else {
        bytes.iter().position(|b| *b == b':').unwrap_or(bytes.len())
    };
    let (host, rest) = bytes.split_at(end);
    let host = str::from_utf8(host).map_err(|_| ParseLocationError::Host(lossy(host)))?;
    Ok((host.parse()?, rest))
}

fn parse_port(bytes: &[u8]) -> Result<u16, ParseLocationError> {
    let bad = || ParseLocationError::Port(lossy(bytes));
    if !bytes.iter().all(u8::is_ascii_digit) {
        return Err(bad());
    }
    match str::from_utf8(bytes).ok().and_then(|t| t.parse().ok()) {
        Some(port) if port > 0 => Ok(port),
        _ => Err(bad()),
    }
}

fn parse_user(bytes: &[u8]) -> Result<String, ParseLocationError> {
    let bad = || ParseLocationError::User(lossy(bytes));
    let user = str::from_utf8(bytes).map_err(|_| bad())?;
    let odd = |c: char| c.is_control() || c.is_whitespace() || "/:\"'`$;&|<>\\".contains(c);
    // A leading hyphen would be read as an option by an `ssh` program.
    if user.is_empty() || user.len() > 255 || user.starts_with('-') || user.contains(odd) {
        return Err(bad());
    }
    Ok(user.to_owned())
}

fn percent_decode(bytes: &[u8]) -> Result<Vec<u8>, ParseLocationError> {
    let bad = || ParseLocationError::PercentEncoding(lossy(bytes));
    let digit = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            decoded.push(byte);
            at += 1;
            continue;
        }
        let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2)) else {
            return Err(bad());
        };
        decoded.push((high * 16 + low) as u8);
        at += 3;
    }
    if decoded.contains(&0) {
        return Err(bad());
    }
    Ok(decoded)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn remote(text: &str) -> RemoteLocation {
        match text.parse() {
            Ok(Location::Remote(remote)) => remote,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn parts(text: &str) -> (Option<String>, String, Option<u16>, String) {
        let r = remote(text);
        let path = String::from_utf8(r.path).unwrap();
        (r.user, r.host.to_string(), r.port, path)
    }

    #[test]
    fn scp_forms_give_user_host_port_and_path() {
        let some = |s: &str| Some(s.to_owned());
        for (text, user, host, port, path) in [
            ("host:", None, "host", None, ""),
            ("host:/a/b", None, "host", None, "/a/b"),
            (
                "Ada@Host.Example.:in",
                some("Ada"),
                "host.example",
                None,
                "in",
            ),
            ("u@h:33001:/x", some("u"), "h", Some(33001), "/x"),
            ("u@h:22", some("u"), "h", None, "22"),
            ("h:a:b", None, "h", None, "a:b"),
            ("h::x", None, "h", None, ":x"),
            ("ada@x.org@h:p", some("ada@x.org"), "h", None, "p"),
            ("[2001:DB8::1]:p", None, "2001:db8::1", None, "p"),
            ("u@[::1]:33001:p", some("u"), "::1", Some(33001), "p"),
            ("127.0.0.1:p", None, "127.0.0.1", None, "p"),
            (
                "fasp://u@h:22/a%20b/%c3%a9",
                some("u"),
                "h",
                Some(22),
                "/a b/é",
            ),
            ("fasp://[::1]:22", None, "::1", Some(22), ""),
            ("fasp://a%40b@h/", some("a@b"), "h", None, "/"),
        ] {
            assert_eq!(
                parts(text),
                (user, host.to_owned(), port, path.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn without_a_colon_before_the_first_slash_it_is_local() {
        for text in ["a", "./a:b", "/a:b", "a/b:c", "..", "u@h", "[x]"] {
            assert_eq!(text.parse(), Ok(Location::Local(text.into())), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        use ParseLocationError as E;
        for (text, error) in [
            ("", E::Empty),
            (":x", E::Host(String::new())),
            ("-oProxyCommand=x:y", E::Host("-oProxyCommand=x".into())),
            ("-u@h:x", E::User("-u".into())),
            ("@h:x", E::User(String::new())),
            ("h:0:x", E::Port("0".into())),
            ("h:65536:x", E::Port("65536".into())),
            ("[1.2.3.4]:x", E::Bracket("[1.2.3.4]".into())),
            ("a..b:x", E::Host("a..b".into())),
            ("müller.de:x", E::Host("müller.de".into())),
            ("http://h/x", E::Scheme("http://".into())),
            ("fasp://u:p@h/x", E::PasswordInUrl),
            ("fasp://h/%zz", E::PercentEncoding("/%zz".into())),
            ("fasp://h/%00", E::PercentEncoding("/%00".into())),
            ("fasp://h:x/", E::Port("x".into())),
        ] {
            assert_eq!(text.parse::<Location>(), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_shown_parses_to_the_same_location() {
        for text in ["u@h:22:/x", "[::1]:x", "h:", "h:22:a:b"] {
            assert_eq!(remote(&remote(text).to_string()), remote(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_without_panic(text in ".*") {
            drop(text.parse::<Location>());
        }
    }
}
