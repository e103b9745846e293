//! Which options this project obeys. `conf check` names the others that a file sets.

use super::Section;

/// Whether an option has an effect here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obeyed {
    /// It does what it says.
    Yes,
    /// It does some of it; the text says what is missing.
    Partly(&'static str),
    /// It is recognised, checked and kept, and has no effect.
    No,
}

impl Obeyed {
    /// Returns the word for tables and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Partly(_) => "partly",
            Self::No => "no",
        }
    }
}

/// Grows with the program: an option is added here together with the code that obeys it.
const OBEYED: &[(Section, &str, Obeyed)] = &[
    // This crate itself: which record a value comes from.
    (Section::Default, "name", Obeyed::Yes),
    (Section::Default, "precedence", Obeyed::Yes),
];

pub(super) fn of(section: Section, name: &str) -> Obeyed {
    OBEYED
        .iter()
        .find(|(s, n, _)| *s == section && *n == name)
        .map_or(Obeyed::No, |(_, _, obeyed)| *obeyed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_obeyed_exists() {
        for (section, name, _) in OBEYED {
            assert!(super::super::find(*section, name).is_some(), "{name}");
        }
    }
}
