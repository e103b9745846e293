//! `faux://`: synthetic files to send and a place where what arrives is thrown away, as `ascp` names them.

use crate::ParseLocationError;

/// Largest synthetic file, bytes: what the protocol's integers carry (protocol §1).
const MAX_SIZE: u64 = (1 << 62) - 1;

/// A location that exists only in name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Faux {
    /// `faux://`: a destination that discards.
    Sink,
    /// `faux:///…`: files to send.
    Source(FauxSource),
}

/// Files that are made up as they are read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FauxSource {
    /// `faux:///NAME?SIZE`: one file of zeros.
    File {
        /// Its name.
        name: String,
        /// Its size, bytes.
        size: u64,
    },
    /// `faux:///NAME?count=N&…`: a directory of files.
    Directory(FauxDirectory),
}

/// A directory of synthetic files, named `BASE_NUMBER_SIZE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FauxDirectory {
    /// The directory's name.
    pub name: String,
    /// How many files.
    pub count: u32,
    /// What their names begin with.
    pub base: String,
    /// Size of the first file, or the middle of random sizes, bytes.
    pub size: u64,
    /// How sizes differ, bytes.
    pub increment: u64,
    /// How sizes follow each other.
    pub sequence: FauxSequence,
    /// What is in the files.
    pub content: FauxContent,
}

/// How the sizes of synthetic files follow each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum FauxSequence {
    /// Each is larger than the one before by the increment.
    #[default]
    Sequential,
    /// Each differs from the size by up to the increment, at random.
    Random,
}

/// What is in synthetic files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum FauxContent {
    /// Zeros.
    #[default]
    Zero,
    /// Bytes that do not compress.
    Random,
}

impl FauxSource {
    /// Name of the file or directory.
    pub fn name(&self) -> &str {
        match self {
            Self::File { name, .. } => name,
            Self::Directory(directory) => &directory.name,
        }
    }
}

impl FauxDirectory {
    /// Size of a file, counted from 1.
    pub fn size_of(&self, number: u32) -> u64 {
        let size = match self.sequence {
            FauxSequence::Sequential => {
                let steps = u64::from(number.saturating_sub(1));
                self.size
                    .saturating_add(self.increment.saturating_mul(steps))
            }
            FauxSequence::Random => {
                // The same directory has the same sizes whenever it is listed.
                let up = mix(u64::from(number)) % self.increment.saturating_mul(2).max(1);
                self.size.saturating_add(up).saturating_sub(self.increment)
            }
        };
        size.min(MAX_SIZE)
    }

    /// Name of a file, counted from 1.
    pub fn name_of(&self, number: u32) -> String {
        format!("{}_{number}_{}", self.base, self.size_of(number))
    }
}

/// The output function of `SplitMix64` (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Faux {
    /// Parses what stands behind `faux://`.
    pub(crate) fn parse(rest: &[u8]) -> Result<Self, ParseLocationError> {
        let text = str::from_utf8(rest).map_err(|_| wrong("its text is not UTF-8"))?;
        if text.is_empty() || text == "/" {
            return Ok(Self::Sink);
        }
        let (name, query) = text
            .strip_prefix('/')
            .and_then(|text| text.split_once('?'))
            .ok_or_else(|| wrong("write faux:///NAME?SIZE or faux:///NAME?count=N&size=SIZE"))?;
        let name = component(name)?;
        if !query.contains('=') {
            let size = size(query)?;
            return Ok(Self::Source(FauxSource::File { name, size }));
        }
        directory(name, query).map(|d| Self::Source(FauxSource::Directory(d)))
    }
}

fn directory(name: String, query: &str) -> Result<FauxDirectory, ParseLocationError> {
    let mut directory = FauxDirectory {
        name,
        count: 0,
        base: "file".into(),
        size: 0,
        increment: 0,
        sequence: FauxSequence::default(),
        content: FauxContent::default(),
    };
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match (key, value) {
            ("count", _) => {
                directory.count = value
                    .parse()
                    .map_err(|_| wrong("count is a number below 4,294,967,296"))?;
            }
            ("file", _) => directory.base = component(value)?,
            ("size", _) => directory.size = size(value)?,
            ("inc", _) => directory.increment = size(value)?,
            ("seq", "sequential") => directory.sequence = FauxSequence::Sequential,
            ("seq", "random") => directory.sequence = FauxSequence::Random,
            // What memory happens to hold is nobody else's business: `none` sends zeros as well.
            ("buf_init", "none" | "zero") => directory.content = FauxContent::Zero,
            ("buf_init", "random") => directory.content = FauxContent::Random,
            _ => return Err(wrong(&format!("'{pair}' is not one of its parameters"))),
        }
    }
    Ok(directory)
}

fn component(name: &str) -> Result<String, ParseLocationError> {
    let is_good = !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']);
    is_good
        .then(|| name.to_owned())
        .ok_or_else(|| wrong("a name is one component of a path"))
}

/// Parses a size with k, m, g, t, p or e for powers of 1,024.
fn size(text: &str) -> Result<u64, ParseLocationError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let power = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return Err(wrong("a size ends in k, m, g, t, p or e")),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << (10 * power)))
        .filter(|size| *size <= MAX_SIZE)
        .ok_or_else(|| wrong("a size is a number below 4e, such as 500m"))
}

fn wrong(why: &str) -> ParseLocationError {
    ParseLocationError::Faux(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> FauxSource {
        match Faux::parse(text.as_bytes()) {
            Ok(Faux::Source(source)) => source,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_sink_has_no_name_and_a_file_has_a_size_in_powers_of_1024() {
        assert_eq!(Faux::parse(b""), Ok(Faux::Sink));
        assert_eq!(Faux::parse(b"/"), Ok(Faux::Sink));
        for (text, size) in [
            ("0", 0),
            ("7", 7),
            ("3k", 3072),
            ("2G", 2 << 30),
            ("3e", 3 << 60),
        ] {
            let name = "a".to_owned();
            assert_eq!(
                source(&format!("/a?{text}")),
                FauxSource::File { name, size }
            );
        }
    }

    #[test]
    fn sizes_of_a_directory_grow_or_stay_around_the_middle() {
        let FauxSource::Directory(mut directory) = source("/d?count=3&file=f&size=10&inc=5") else {
            panic!("a directory");
        };
        assert_eq!(directory.name_of(1), "f_1_10");
        assert_eq!(directory.name_of(3), "f_3_20");
        directory.sequence = FauxSequence::Random;
        assert!((1..1000).all(|n| (5..15).contains(&directory.size_of(n))));
        let text = "/d?count=1&seq=random&buf_init=random";
        assert!(matches!(
            source(text),
            FauxSource::Directory(FauxDirectory {
                content: FauxContent::Random,
                sequence: FauxSequence::Random,
                ..
            })
        ));
    }

    #[test]
    fn what_ascp_would_not_take_is_refused_with_a_reason() {
        for text in [
            "a",
            "/a",
            "/?1",
            "/../x?1",
            "/..?1",
            "/a?",
            "/a?x",
            "/a?1x",
            "/a?4e",
            "/a?-1",
            "/a?99999999999999999999",
            "/a?count=x",
            "/a?count=1&colour=red",
            "/a?count=1&seq=up",
            "/a?count=1&file=",
            "/a\u{0}?1",
        ] {
            let error = Faux::parse(text.as_bytes()).expect_err(text);
            assert!(matches!(error, ParseLocationError::Faux(_)), "{text}");
        }
        assert!(Faux::parse(b"/\xff?1").is_err());
    }
}
