//! What the server's identification line says about the second way (protocol §2.7).

use std::fmt;

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom as _, SystemRandom};

const TOKEN: usize = 16;

/// Where the server takes second copies, and what their keys are derived from: another secret for each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::ssh) struct Offer {
    pub(in crate::control::ssh) port: u16,
    pub(in crate::control::ssh) token: [u8; TOKEN],
}

impl Offer {
    /// Returns an offer for one connection; `None` without random numbers.
    pub(in crate::control::ssh) fn new(port: u16) -> Option<Self> {
        let mut token = [0; TOKEN];
        SystemRandom::new().fill(&mut token).ok()?;
        Some(Self { port, token })
    }

    /// Reads a comment of an identification line; `None` unless it is an offer.
    pub(in crate::control::ssh) fn parse(comment: &[u8]) -> Option<Self> {
        let comment = std::str::from_utf8(comment).ok()?;
        let (port, digits) = comment.strip_prefix("udp=")?.split_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let token = HEXLOWER.decode(digits.as_bytes()).ok()?;
        let token = token.try_into().ok()?;
        Some(Self { port, token })
    }
}

/// Writes the comment.
impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udp={}:{}", self.port, HEXLOWER.encode(&self.token))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "test set-up")]
mod tests {
    use super::*;

    #[test]
    fn an_offer_survives_its_comment() {
        let offer = Offer::new(33_001).unwrap();
        let comment = offer.to_string();
        assert_eq!(Offer::parse(comment.as_bytes()), Some(offer));
    }

    #[test]
    fn f72_comments_that_offer_nothing_are_no_offers() {
        let digits = "0123456789abcdef0123456789abcdef";
        assert!(Offer::parse(format!("udp=1:{digits}").as_bytes()).is_some());
        for comment in [
            "udp=33001".to_owned(),
            format!("udp=0:{digits}"),
            format!("udp=65536:{digits}"),
            format!("udp=:{digits}"),
            format!("tcp=1:{digits}"),
            format!("udp=1:{digits}0"),
            format!("udp=1:{}", &digits[1..]),
            format!("udp=1:{}g", &digits[1..]),
        ] {
            assert_eq!(Offer::parse(comment.as_bytes()), None, "{comment}");
        }
        assert_eq!(Offer::parse(b"udp=1:\xff"), None);
    }
}
