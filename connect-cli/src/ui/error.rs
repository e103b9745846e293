//! Errors: one sentence, a blank line, and what to try.

use std::{error::Error, fmt::Write as _};

use fasp_core::ErrorCode;
use fasp_net::event::ShownText;
use serde::Serialize;

/// What `--json` prints for a failed command.
#[derive(Debug, Serialize)]
pub(super) struct ErrorLine<'a> {
    event: &'static str,
    code: u8,
    symbol: &'static str,
    message: ShownText,
    hint: Option<&'a str>,
}

impl<'a> ErrorLine<'a> {
    pub(super) fn new(error: &dyn Error, code: ErrorCode, hint: Option<&'a str>) -> Self {
        Self {
            event: "error",
            code: code.number(),
            symbol: code.symbol(),
            message: sentence(error),
            hint,
        }
    }
}

/// Returns the text for standard error: what happened and why, the public code, and the hint.
pub fn error_text(error: &dyn Error, code: ErrorCode, hint: Option<&str>) -> String {
    let mut text = format!("error: {} (FASP code {})\n", sentence(error), code.number());
    if let Some(hint) = hint.map(ShownText::from_message) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\nhint: {hint}\n");
    }
    text
}

/// Returns an error and its causes as one escaped sentence.
pub fn error_sentence(error: &dyn Error) -> String {
    sentence(error).to_string()
}

/// Joins an error and its causes into one sentence. A cause that its parent already quotes is not repeated.
fn sentence(error: &dyn Error) -> ShownText {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let message = next.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        cause = next.source();
    }
    ShownText::from_message(&text)
}

#[cfg(test)]
mod tests {
    use crate::error::CommandError;

    use super::*;

    #[test]
    fn an_error_is_a_sentence_with_its_code_and_a_hint() {
        let error = CommandError::arguments("no user is named", "name one as USER@HOST:PATH");
        assert_eq!(
            error_text(&error, error.code(), error.hint().as_deref()),
            "error: no user is named (FASP code 8)\n\nhint: name one as USER@HOST:PATH\n"
        );
    }

    #[test]
    fn causes_are_part_of_the_sentence() {
        let error = CommandError::Output {
            what: "to standard output".to_owned(),
            source: std::io::Error::other("disk on fire"),
        };
        assert_eq!(
            error_text(&error, error.code(), None),
            "error: cannot write to standard output: disk on fire (FASP code 36)\n"
        );
    }
}
