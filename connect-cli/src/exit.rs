//! The exit status, decided in one place and documented in `docs/cli.md`.

use std::process::ExitCode;

use fasp_core::ErrorCode;

/// What a finished command tells the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitStatus {
    /// Everything that was asked for is done.
    Success = 0,
    /// It failed, and trying again without a change will fail too.
    Failure = 1,
    /// The command line is wrong; nothing was tried.
    Usage = 2,
    /// The transfer ended well, but some of its files failed.
    SomeFilesFailed = 3,
    /// The server refused the login or the request, or is not the expected one.
    Refused = 4,
    /// The network or the other side failed; the same command may succeed later.
    TryAgain = 5,
    /// Somebody stopped it.
    Cancelled = 130,
}

impl ExitStatus {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Success,
        Self::Failure,
        Self::Usage,
        Self::SomeFilesFailed,
        Self::Refused,
        Self::TryAgain,
        Self::Cancelled,
    ];

    /// Returns the status for a public error code.
    pub fn from_code(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Usage | ErrorCode::AmbiguousTarget => Self::Usage,
            ErrorCode::SomeFilesFailed => Self::SomeFilesFailed,
            ErrorCode::Cancelled => Self::Cancelled,
            ErrorCode::Authentication
            | ErrorCode::Authorization
            | ErrorCode::Unauthorized
            | ErrorCode::HostKey => Self::Refused,
            code if code.is_retryable() => Self::TryAgain,
            _ => Self::Failure,
        }
    }

    /// Returns the number.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_ends_with_a_status_that_is_not_success() {
        for code in ErrorCode::ALL {
            assert_ne!(
                ExitStatus::from_code(*code),
                ExitStatus::Success,
                "{code:?}"
            );
        }
    }

    /// Rule D-11: only status 5 says that the same command may succeed later.
    #[test]
    fn codes_map_to_what_the_documentation_says() {
        for (code, number) in [
            (ErrorCode::NoSuchFile, 1),
            (ErrorCode::Usage, 2),
            (ErrorCode::SomeFilesFailed, 3),
            (ErrorCode::Authentication, 4),
            (ErrorCode::HostKey, 4),
            (ErrorCode::DataTimeout, 5),
            (ErrorCode::Cancelled, 130),
        ] {
            assert_eq!(ExitStatus::from_code(code).number(), number, "{code:?}");
        }
    }
}
