//! What is looked at, and what was found.

use fasp_core::ErrorCode;
use fasp_net::event::ShownText;
use serde::Serialize;

use crate::error::CommandError;

/// Something that a transfer needs, in the order in which it needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    Dns,
    Tcp,
    Ssh,
    HostKey,
    Login,
    Version,
    UdpOut,
    UdpBack,
    PathMtu,
    Clock,
    ServerDisk,
    LocalDisk,
}

impl Check {
    pub(super) const ALL: [Self; 12] = [
        Self::Dns,
        Self::Tcp,
        Self::Ssh,
        Self::HostKey,
        Self::Login,
        Self::Version,
        Self::UdpOut,
        Self::UdpBack,
        Self::PathMtu,
        Self::Clock,
        Self::ServerDisk,
        Self::LocalDisk,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dns => "name",
            Self::Tcp => "TCP",
            Self::Ssh => "SSH",
            Self::HostKey => "host key",
            Self::Login => "login",
            Self::Version => "version",
            Self::UdpOut => "UDP there",
            Self::UdpBack => "UDP back",
            Self::PathMtu => "datagrams",
            Self::Clock => "clock",
            Self::ServerDisk => "disk there",
            Self::LocalDisk => "disk here",
        }
    }

    /// What has to work before this can be looked at.
    pub(super) fn needs(self) -> Option<Self> {
        match self {
            Self::Dns | Self::LocalDisk => None,
            Self::Tcp => Some(Self::Dns),
            Self::Ssh => Some(Self::Tcp),
            Self::HostKey => Some(Self::Ssh),
            Self::Login => Some(Self::HostKey),
            Self::Version => Some(Self::Login),
            Self::UdpOut | Self::Clock | Self::ServerDisk => Some(Self::Version),
            Self::UdpBack => Some(Self::UdpOut),
            Self::PathMtu => Some(Self::UdpBack),
        }
    }
}

/// What was found. Texts are half sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// It works.
    Good(String),
    /// It works, and something about it will surprise.
    Odd { message: String, hint: String },
    /// It does not work.
    Bad {
        code: ErrorCode,
        message: String,
        hint: Option<String>,
    },
    /// Nobody looked.
    NotChecked(String),
}

impl Finding {
    pub(super) fn bad(error: &CommandError) -> Self {
        Self::Bad {
            code: error.code(),
            message: crate::ui::error_sentence(error),
            hint: error.hint(),
        }
    }

    /// What `--json` calls it.
    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::Good(_) => "good",
            Self::Odd { .. } => "odd",
            Self::Bad { .. } => "bad",
            Self::NotChecked(_) => "not_checked",
        }
    }

    /// What people see.
    fn word(&self) -> &'static str {
        match self {
            Self::Good(_) => "ok",
            Self::Odd { .. } => "look",
            Self::Bad { .. } => "FAILED",
            Self::NotChecked(_) => "not checked",
        }
    }

    pub(super) fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Bad { code, .. } => Some(*code),
            _ => None,
        }
    }

    fn message(&self) -> &str {
        match self {
            Self::Good(message) | Self::NotChecked(message) => message,
            Self::Odd { message, .. } | Self::Bad { message, .. } => message,
        }
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::Odd { hint, .. } => Some(hint),
            Self::Bad { hint, .. } => hint.as_deref(),
            Self::Good(_) | Self::NotChecked(_) => None,
        }
    }

    /// Returns a line, and another one with the cure where there is one.
    pub(super) fn text(&self, check: Check) -> String {
        let message = ShownText::from_message(self.message());
        let code = self
            .code()
            .map(|code| format!(" (FASP code {})", code.number()))
            .unwrap_or_default();
        let mut text = format!(
            "{:<11}  {:<10}  {message}{code}\n",
            self.word(),
            check.name()
        );
        if let Some(hint) = self.hint() {
            let hint = ShownText::from_message(hint);
            text.push_str(&format!("{:<11}  {:<10}  hint: {hint}\n", "", ""));
        }
        text
    }

    pub(super) fn line(&self, check: Check) -> Line {
        Line {
            event: "check",
            check,
            result: self.result(),
            code: self.code().map(ErrorCode::number),
            message: ShownText::from_message(self.message()),
            hint: self.hint().map(ShownText::from_message),
        }
    }
}

/// What `--json` prints for a check.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    event: &'static str,
    check: Check,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    message: ShownText,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<ShownText>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_needs_is_looked_at_before() {
        for (index, check) in Check::ALL.iter().enumerate() {
            if let Some(needed) = check.needs() {
                assert!(Check::ALL[..index].contains(&needed), "{check:?}");
            }
        }
    }

    #[test]
    fn a_cure_has_a_line_of_its_own() {
        let finding = Finding::Bad {
            code: ErrorCode::DataFailed,
            message: "UDP is refused".to_owned(),
            hint: Some("open the port".to_owned()),
        };
        assert_eq!(
            finding.text(Check::UdpOut),
            "FAILED       UDP there   UDP is refused (FASP code 14)\n                         hint: open the port\n"
        );
    }
}
