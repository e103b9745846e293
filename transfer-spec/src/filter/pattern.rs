//! Patterns of include and exclude rules, in the language of `ascp`.

use super::ParseFilterError;

/// Longest pattern, bytes.
pub const MAX_PATTERN: usize = 1024;

/// What a name has to look like.
///
/// | piece | matches |
/// |---|---|
/// | `*` | any characters but `/`; a leading dot too |
/// | `**` | any characters |
/// | `?` | one character but `/` |
/// | `[a-m]`, `[^a-m]`, `[[:digit:]]` | one character of a set, or not of it; never `/` |
/// | `\` | the next character as it is |
/// | leading `/` | the path from its start; else any of its ends that begin at a component |
/// | trailing `/` | directories only |
///
/// A trailing `/*` or `/**` means what is in a directory, not the directory.
///
/// Matching takes at most the product of both lengths, whatever the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Vec<u8>,
    tokens: Vec<Token>,
    is_anchored: bool,
    is_for_directories: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(u32),
    /// Any character but `/`.
    One,
    Set(Set),
    /// Any number of characters but `/`.
    Star,
    /// Any number of characters.
    StarStar,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Set {
    is_negated: bool,
    ranges: Vec<(u32, u32)>,
    /// Positions in [`CLASSES`].
    classes: Vec<usize>,
}

type InClass = fn(&u8) -> bool;

/// The names that POSIX gives to sets of ASCII characters.
const CLASSES: [(&str, InClass); 12] = [
    ("alnum", u8::is_ascii_alphanumeric),
    ("alpha", u8::is_ascii_alphabetic),
    ("blank", |b| matches!(b, b' ' | b'\t')),
    ("cntrl", u8::is_ascii_control),
    ("digit", u8::is_ascii_digit),
    ("graph", u8::is_ascii_graphic),
    ("lower", u8::is_ascii_lowercase),
    ("print", |b| (0x20..0x7f).contains(b)),
    ("punct", u8::is_ascii_punctuation),
    ("space", |b| b.is_ascii_whitespace() || *b == 0x0b),
    ("upper", u8::is_ascii_uppercase),
    ("xdigit", u8::is_ascii_hexdigit),
];

/// Set on a byte that is no part of a character, so that it equals no character.
const RAW: u32 = 1 << 31;
const SLASH: u32 = b'/' as u32;

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// [`ParseFilterError`] for one that is empty, too long, or has a set without an end.
    pub fn parse(text: &[u8]) -> Result<Self, ParseFilterError> {
        let shown = || String::from_utf8_lossy(text).into_owned();
        if text.len() > MAX_PATTERN {
            return Err(ParseFilterError::TooLong);
        }
        let (is_anchored, body) = match text.strip_prefix(b"/") {
            Some(body) => (true, body),
            None => (false, text),
        };
        let mut tokens = tokens(body).ok_or_else(|| ParseFilterError::Set(shown()))?;
        let is_for_directories = tokens.last() == Some(&Token::Literal(SLASH));
        if is_for_directories {
            tokens.pop();
        }
        if tokens.is_empty() {
            return Err(ParseFilterError::Empty);
        }
        Ok(Self {
            text: text.to_vec(),
            tokens,
            is_anchored,
            is_for_directories,
        })
    }

    /// The pattern as it was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Whether it matches a path of components joined by `/`, without one in front.
    pub fn matches(&self, path: &[u8], is_directory: bool) -> bool {
        if self.is_for_directories && !is_directory {
            return false;
        }
        // Every position in the pattern at once, so that no choice of what a star takes is ever tried again.
        let mut states = States::new(self.tokens.len());
        let mut rest = path;
        let mut is_start = true;
        loop {
            if is_start {
                self.enter(&mut states.now, 0);
            }
            if rest.is_empty() {
                return states.now.has(self.tokens.len());
            }
            let (character, length) = character(rest);
            rest = &rest[length..];
            is_start = character == SLASH && !self.is_anchored;
            self.step(&mut states, character);
            if states.now.is_empty() && self.is_anchored {
                return false;
            }
        }
    }

    /// Adds a position, and those that stars let be reached without a character.
    fn enter(&self, states: &mut Bits, mut at: usize) {
        while states.add(at) {
            match self.tokens.get(at) {
                Some(Token::Star | Token::StarStar) => at += 1,
                _ => return,
            }
        }
    }

    fn step(&self, states: &mut States, character: u32) {
        let States { now, next } = states;
        next.clear();
        for at in now.iter() {
            match self.tokens.get(at) {
                Some(Token::StarStar) => self.enter(next, at),
                Some(Token::Star) if character != SLASH => self.enter(next, at),
                Some(Token::Literal(wanted)) if *wanted == character => self.enter(next, at + 1),
                Some(Token::One) if character != SLASH => self.enter(next, at + 1),
                Some(Token::Set(set)) if set.has(character) => self.enter(next, at + 1),
                _ => {}
            }
        }
        std::mem::swap(now, next);
    }
}

impl Set {
    fn has(&self, character: u32) -> bool {
        if character == SLASH {
            return false;
        }
        let is_in = self
            .ranges
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&character))
            || u8::try_from(character)
                .is_ok_and(|byte| self.classes.iter().any(|at| (CLASSES[*at].1)(&byte)));
        is_in != self.is_negated
    }
}

/// Positions in a pattern.
struct States {
    now: Bits,
    next: Bits,
}

impl States {
    fn new(tokens: usize) -> Self {
        let words = tokens / 64 + 1;
        Self {
            now: Bits(vec![0; words]),
            next: Bits(vec![0; words]),
        }
    }
}

struct Bits(Vec<u64>);

impl Bits {
    /// Adds a number; false when it was there.
    fn add(&mut self, at: usize) -> bool {
        let word = &mut self.0[at / 64];
        let bit = 1 << (at % 64);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.checked_sub(1)?;
                Some(at * 64 + bit)
            })
        })
    }
}

/// Takes one character, or one byte that is no part of one; returns its length too.
fn character(bytes: &[u8]) -> (u32, usize) {
    let first = bytes[0];
    let length = match first {
        0x00..=0x7f => return (first.into(), 1),
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return (RAW | u32::from(first), 1),
    };
    let character = bytes
        .get(..length)
        .and_then(|b| str::from_utf8(b).ok())
        .and_then(|text| text.chars().next());
    match character {
        Some(character) => (character.into(), length),
        None => (RAW | u32::from(first), 1),
    }
}

/// Takes a pattern apart; nothing for a set without an end.
fn tokens(mut rest: &[u8]) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let (first, length) = character(rest);
        rest = &rest[length..];
        let token = match u8::try_from(first) {
            Ok(b'*') => {
                let more = rest.iter().take_while(|b| **b == b'*').count();
                rest = &rest[more..];
                if more == 0 {
                    Token::Star
                } else {
                    Token::StarStar
                }
            }
            Ok(b'?') => Token::One,
            Ok(b'[') => {
                let (set, behind) = set(rest)?;
                rest = behind;
                Token::Set(set)
            }
            Ok(b'\\') if !rest.is_empty() => {
                let (escaped, length) = character(rest);
                rest = &rest[length..];
                Token::Literal(escaped)
            }
            _ => Token::Literal(first),
        };
        tokens.push(token);
    }
    Some(tokens)
}

/// Parses a set behind its `[`.
fn set(rest: &[u8]) -> Option<(Set, &[u8])> {
    let (is_negated, mut rest) = match rest {
        [b'^' | b'!', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut set = Set {
        is_negated,
        ranges: Vec::new(),
        classes: Vec::new(),
    };
    let mut is_first = true;
    loop {
        if let Some(behind) = rest.strip_prefix(b"]").filter(|_| !is_first) {
            return Some((set, behind));
        }
        is_first = false;
        if let Some((class, behind)) = class(rest) {
            set.classes.push(class);
            rest = behind;
            continue;
        }
        let (low, behind) = member(rest)?;
        rest = behind;
        let mut high = low;
        if let [b'-', end, ..] = rest
            && *end != b']'
        {
            (high, rest) = member(&rest[1..])?;
        }
        set.ranges.push((low, high));
    }
}

/// One character of a set, or of the end of a range.
fn member(rest: &[u8]) -> Option<(u32, &[u8])> {
    let rest = match rest {
        [b'\\', escaped @ ..] if !escaped.is_empty() => escaped,
        rest => rest,
    };
    if rest.is_empty() {
        return None;
    }
    let (found, length) = character(rest);
    Some((found, &rest[length..]))
}

/// A class such as `[:digit:]`.
fn class(rest: &[u8]) -> Option<(usize, &[u8])> {
    let inner = rest.strip_prefix(b"[:")?;
    CLASSES.iter().enumerate().find_map(|(at, (name, _))| {
        let behind = inner.strip_prefix(name.as_bytes())?;
        Some((at, behind.strip_prefix(b":]")?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hit(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern.as_bytes())
            .unwrap()
            .matches(path.as_bytes(), false)
    }

    #[test]
    fn every_piece_matches_what_the_table_says() {
        for (pattern, yes, no) in [
            ("*.txt", "d/a.txt", "d/a.txt/b"),
            ("*x", ".x", "xy"),
            ("/d/*", "d/.a", "d"),
            ("/d/*", "d/a", "d/s/a"),
            ("/d/**", "d/s/a", "d"),
            ("/*", "d", "d/s"),
            ("?.c", "größe/ö.c", "ab.c"),
            ("a?b", "a.b", "a/b"),
            ("s/b", "d/s/b", "d/ss/b"),
            ("/s/b", "s/b", "d/s/b"),
            ("[a-c]x", "bx", "dx"),
            ("[^a-c]x", "dx", "bx"),
            ("[!a-c]x", "dx", "bx"),
            ("[[:digit:]_]x", "7x", "ax"),
            ("[]x]", "]", "y"),
            ("[a-]", "-", "b"),
            ("a[^b]c", "adc", "a/c"),
            ("[ä-ü]", "ö", "z"),
            ("\\*", "*", "a"),
            ("a\\", "a\\", "a"),
            ("**/b", "a/x/b", "b/a"),
            ("x**z", "x/y/z", "y/z"),
            ("a*b**c", "axb/y/c", "a/b/c"),
        ] {
            assert!(hit(pattern, yes), "{pattern} {yes}");
            assert!(!hit(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn a_slash_at_the_end_means_directories_only() {
        let pattern = Pattern::parse(b"build/").unwrap();
        assert!(pattern.matches(b"src/build", true));
        assert!(!pattern.matches(b"src/build", false));
        let all = Pattern::parse(b"/**/").unwrap();
        assert!(all.matches(b"src/build", true) && !all.matches(b"src", false));
    }

    #[test]
    fn bytes_that_are_no_text_are_characters_of_their_own() {
        let any = Pattern::parse(b"a?b").unwrap();
        assert!(any.matches(b"a\xffb", false));
        assert!(Pattern::parse(b"a\xffb").unwrap().matches(b"a\xffb", false));
        assert!(
            !Pattern::parse("a\u{ff}b".as_bytes())
                .unwrap()
                .matches(b"a\xffb", false)
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        use ParseFilterError as E;
        assert_eq!(Pattern::parse(b""), Err(E::Empty));
        assert_eq!(Pattern::parse(b"/"), Err(E::Empty));
        assert_eq!(Pattern::parse(b"[ab"), Err(E::Set("[ab".into())));
        assert_eq!(Pattern::parse(b"[]"), Err(E::Set("[]".into())));
        assert_eq!(Pattern::parse(&[b'a'; MAX_PATTERN + 1]), Err(E::TooLong));
    }

    #[test]
    fn f68_stars_in_a_row_cost_no_more_than_the_product_of_the_lengths() {
        let pattern = format!("/{}b", "*a".repeat(500));
        let path = "a".repeat(4096);
        let start = std::time::Instant::now();
        assert!(!hit(&pattern, &path));
        let pattern = format!("{}**/b", "**/*a".repeat(200));
        assert!(!hit(&pattern, &"a/".repeat(2000)));
        // Tried one by one, the ways to match would outlast the universe.
        assert!(start.elapsed().as_secs() < 5);
    }

    /// The definition, word by word, and exponential.
    fn slow(pattern: &[char], path: &[char]) -> bool {
        match pattern {
            [] => path.is_empty(),
            ['*', '*', rest @ ..] => {
                let rest = match rest.iter().position(|c| *c != '*') {
                    Some(at) => &rest[at..],
                    None => &[],
                };
                (0..=path.len()).any(|at| slow(rest, &path[at..]))
            }
            ['*', rest @ ..] => {
                let end = path.iter().position(|c| *c == '/').unwrap_or(path.len());
                (0..=end).any(|at| slow(rest, &path[at..]))
            }
            ['?', rest @ ..] => path.first().is_some_and(|c| *c != '/') && slow(rest, &path[1..]),
            [c, rest @ ..] => path.first() == Some(c) && slow(rest, &path[1..]),
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*?/]{1,8}[ab*?]", path in "[ab]{1,2}(/[ab]{1,3}){0,3}") {
            let parsed = Pattern::parse(pattern.as_bytes()).unwrap();
            let words: Vec<char> = path.chars().collect();
            let ends = words.iter().enumerate().filter(|(_, c)| **c == '/').map(|(at, _)| at + 1);
            let expected = match pattern.strip_prefix('/') {
                Some(rest) => slow(&rest.chars().collect::<Vec<_>>(), &words),
                None => {
                    let pattern: Vec<_> = pattern.chars().collect();
                    std::iter::once(0).chain(ends).any(|at| slow(&pattern, &words[at..]))
                }
            };
            prop_assert_eq!(parsed.matches(path.as_bytes(), false), expected);
        }

        #[test]
        fn any_bytes_are_parsed_or_refused_and_matched_without_panic(
            pattern in proptest::collection::vec(any::<u8>(), 0..64),
            path in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                pattern.matches(&path, true);
            }
        }
    }
}
