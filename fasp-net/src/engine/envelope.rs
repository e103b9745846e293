//! What goes wrong with an envelope: with the file that it is, or with what is in it.

use fasp_core::ErrorCode;

/// Why a file cannot be protected, or an envelope not be opened.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It cannot be read, written or named.
    #[error(transparent)]
    Storage(#[from] docroot::Error),
    /// Its content, its passphrase or its size.
    #[error(transparent)]
    Crypt(#[from] fasp_crypt::Error),
}

impl EnvelopeError {
    /// Returns the public code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Storage(error) => error.code(),
            Self::Crypt(error) => {
                ErrorCode::from_number(error.code()).unwrap_or(ErrorCode::Internal)
            }
        }
    }

    /// Whether nobody wants to know any more.
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Crypt(fasp_crypt::Error::Cancelled))
    }
}
