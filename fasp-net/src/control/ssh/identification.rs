//! What both ends say of themselves in the comments of their identification lines.

use super::doubled::Offer;

/// How both ends of ours name themselves.
const SOFTWARE: &str = "SSH-2.0-connect";
const PUSH: &str = "push";
const PROOF: &str = "proof";

/// The comments of an identification line (RFC 4253 section 4.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comments {
    /// The server opens the channel (protocol §2.1).
    pub(super) push: bool,
    /// The server takes a key's proof (protocol §2.9).
    pub(super) proof: bool,
    /// Where the server takes second copies (protocol §2.7).
    pub(super) offer: Option<Offer>,
}

impl Comments {
    /// What our client says.
    pub(super) fn of_client() -> Self {
        Self {
            push: true,
            ..Self::default()
        }
    }

    /// What our server says.
    pub(super) fn of_server(offer: Option<Offer>) -> Self {
        Self {
            push: true,
            proof: true,
            offer,
        }
    }

    /// Reads a whole line; what is not known is skipped.
    pub(super) fn parse(line: &[u8]) -> Self {
        let mut comments = Self::default();
        for comment in line.trim_ascii_end().split(|b| *b == b' ').skip(1) {
            comments.push |= comment == PUSH.as_bytes();
            comments.proof |= comment == PROOF.as_bytes();
            comments.offer = comments.offer.or_else(|| Offer::parse(comment));
        }
        comments
    }

    /// Returns the line, without its end.
    pub(super) fn line(&self) -> String {
        let mut line = SOFTWARE.to_owned();
        for (is_said, comment) in [(self.push, PUSH), (self.proof, PROOF)] {
            if is_said {
                line.push(' ');
                line.push_str(comment);
            }
        }
        if let Some(offer) = &self.offer {
            line.push_str(&format!(" {offer}"));
        }
        line
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test set-up")]
mod tests {
    use super::*;

    #[test]
    fn comments_survive_their_line() {
        let offer = Offer::new(1).unwrap();
        for comments in [
            Comments::default(),
            Comments::of_client(),
            Comments::of_server(None),
            Comments::of_server(Some(offer)),
        ] {
            let line = comments.line() + "\r\n";
            assert!(line.len() <= 255, "{line}");
            assert_eq!(Comments::parse(line.as_bytes()), comments, "{line}");
        }
    }

    #[test]
    fn lines_of_others_say_nothing() {
        for line in [
            "SSH-2.0-OpenSSH_9.8 Debian-1",
            "SSH-2.0-push",
            "SSH-2.0-x proofs udp=1",
        ] {
            assert_eq!(
                Comments::parse(line.as_bytes()),
                Comments::default(),
                "{line}"
            );
        }
    }
}
