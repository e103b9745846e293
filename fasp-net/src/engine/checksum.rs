//! Checksums of files, as people compare them.

use data_encoding::HEXLOWER;
use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use transfer_spec::FileChecksum;

/// A checksum that grows.
pub(super) enum Hasher {
    None,
    Md5(Box<md5::Context>),
    Sha(Box<digest::Context>),
}

impl Hasher {
    pub(super) fn new(kind: FileChecksum) -> Self {
        let sha = |algorithm| Self::Sha(Box::new(digest::Context::new(algorithm)));
        match kind {
            FileChecksum::None => Self::None,
            FileChecksum::Md5 => Self::Md5(Box::new(md5::Context::new())),
            FileChecksum::Sha1 => sha(&SHA1_FOR_LEGACY_USE_ONLY),
            FileChecksum::Sha256 => sha(&SHA256),
            FileChecksum::Sha384 => sha(&SHA384),
            FileChecksum::Sha512 => sha(&SHA512),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Md5(context) => context.consume(bytes),
            Self::Sha(context) => context.update(bytes),
        }
    }

    /// The checksum in hexadecimal digits.
    pub(super) fn finish(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Md5(context) => HEXLOWER.encode(&context.finalize().0),
            Self::Sha(context) => HEXLOWER.encode(context.finish().as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_that_other_programs_show() {
        for (kind, start) in [
            (FileChecksum::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (
                FileChecksum::Sha1,
                "a9993e364706816aba3e25717850c26c9cd0d89d",
            ),
            (
                FileChecksum::Sha256,
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            ),
            (
                FileChecksum::Sha384,
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163",
            ),
            (
                FileChecksum::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2",
            ),
        ] {
            let mut hasher = Hasher::new(kind);
            hasher.update(b"a");
            hasher.update(b"bc");
            assert!(hasher.finish().starts_with(start), "{kind}");
        }
    }
}
