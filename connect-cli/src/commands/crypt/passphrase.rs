//! A passphrase from a person, a descriptor, the environment or a credential store.

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
};

use fasp_crypt::{MAX_PASSPHRASE, Passphrase, PassphraseFault};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use zeroize::Zeroizing;

use crate::{error::CommandError, resolve::PassphraseSource, ui};

/// Longer text, before normalisation, cannot become a passphrase.
const LIMIT: usize = 4 * MAX_PASSPHRASE;

/// What a passphrase is for: a new one is asked for twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Purpose {
    /// Files are opened with it.
    Open,
    /// Files are protected with it.
    Protect,
    /// Files are protected with it from now on, instead of with another.
    Replace,
}

/// Gets a passphrase. Blocks while a person types.
pub(in crate::commands) fn get(
    source: PassphraseSource,
    purpose: Purpose,
) -> Result<Passphrase, CommandError> {
    let passphrase = match source {
        PassphraseSource::Descriptor(number) => {
            let line = descriptor(number).and_then(read_line);
            let line = line.map_err(|source| CommandError::Input {
                what: "the passphrase from its descriptor",
                source,
            })?;
            Passphrase::from_bytes(&line)
        }
        PassphraseSource::Environment(text) => Passphrase::from_bytes(&text),
        PassphraseSource::Credential(path) => match credential(&path)? {
            Some(text) => Passphrase::from_bytes(&text),
            None => return get(PassphraseSource::Ask, purpose),
        },
        PassphraseSource::Ask if !ui::can_ask() => return Err(nobody_to_ask(purpose)),
        PassphraseSource::Ask => return ask(purpose, ui::ask_hidden),
    };
    Ok(passphrase.map_err(fasp_crypt::Error::from)?)
}

/// Whether there is a passphrase, or somebody who may know it.
pub(in crate::commands) fn is_obtainable(source: &PassphraseSource) -> bool {
    match source {
        PassphraseSource::Descriptor(_) | PassphraseSource::Environment(_) => true,
        // One that cannot be read is told of when it is used.
        PassphraseSource::Credential(path) => {
            !matches!(credential(path), Ok(None)) || ui::can_ask()
        }
        PassphraseSource::Ask => ui::can_ask(),
    }
}

/// Reads the first line of a credential; nothing when there is none.
fn credential(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, CommandError> {
    let text = match docroot::read_operator_file(path, LIMIT as u64) {
        Ok(text) => Zeroizing::new(text),
        Err(docroot::Error::NotFound) => return Ok(None),
        Err(source) => {
            return Err(CommandError::File {
                path: path.display().to_string(),
                source,
            });
        }
    };
    let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
    let line = text[..end].strip_suffix(b"\r").unwrap_or(&text[..end]);
    Ok(Some(Zeroizing::new(line.to_vec())))
}

fn nobody_to_ask(purpose: Purpose) -> CommandError {
    match purpose {
        Purpose::Replace => CommandError::arguments(
            "there is no new passphrase and no terminal to ask on",
            "add --new-passphrase-fd NUMBER",
        ),
        Purpose::Open | Purpose::Protect => CommandError::arguments(
            "there is no passphrase and no terminal to ask on",
            "set ASPERA_SCP_FILEPASS, or add --passphrase-fd NUMBER",
        ),
    }
}

/// Asks with `question`, twice for a new passphrase.
fn ask(
    purpose: Purpose,
    question: impl Fn(&str) -> Option<Zeroizing<String>>,
) -> Result<Passphrase, CommandError> {
    let words = match purpose {
        Purpose::Open => "Passphrase",
        Purpose::Protect => "Passphrase to protect the files with",
        Purpose::Replace => "New passphrase",
    };
    let first = question(words).ok_or(CommandError::Cancelled)?;
    let passphrase = Passphrase::new(&first).map_err(fasp_crypt::Error::from)?;
    if purpose != Purpose::Open {
        let second = question("The same again").ok_or(CommandError::Cancelled)?;
        if Passphrase::new(&second).ok().as_ref() != Some(&passphrase) {
            return Err(CommandError::arguments(
                "the two passphrases are not the same",
                "start again; nothing was changed",
            ));
        }
    }
    Ok(passphrase)
}

/// Takes a second handle of one of our own descriptors, which other programs gave us by its number.
fn descriptor(number: i32) -> io::Result<OwnedFd> {
    if number == 0 {
        return io::stdin().as_fd().try_clone_to_owned();
    }
    let this = pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(pidfd_getfd(this, number, PidfdGetfdFlags::empty())?)
}

/// Reads up to the end of the line and not one byte more, so that the next line is there for the next passphrase.
fn read_line(file: OwnedFd) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(LIMIT));
    let mut byte = [0];
    loop {
        match rustix::io::read(&file, &mut byte) {
            Ok(1) if byte[0] == b'\n' => break,
            Ok(1) if line.len() < LIMIT => line.push(byte[0]),
            Ok(1) => return Err(io::Error::other(PassphraseFault::TooLong)),
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn answers(
        words: &[&str],
        purpose: Purpose,
    ) -> (Result<Passphrase, CommandError>, Vec<String>) {
        let asked = RefCell::new(Vec::new());
        let result = ask(purpose, |question| {
            let mut asked = asked.borrow_mut();
            asked.push(question.to_owned());
            words
                .get(asked.len() - 1)
                .map(|word| Zeroizing::new((*word).to_owned()))
        });
        (result, asked.into_inner())
    }

    #[test]
    fn a_new_passphrase_is_asked_for_twice() {
        let (result, asked) = answers(&["one", "one"], Purpose::Protect);
        assert!(result.is_ok());
        assert_eq!(asked.len(), 2);
        let (result, _) = answers(&["one", "two"], Purpose::Replace);
        assert!(result.unwrap_err().to_string().contains("not the same"));
        let (result, asked) = answers(&["one"], Purpose::Open);
        assert!(result.is_ok());
        assert_eq!(asked.len(), 1);
        let (result, _) = answers(&["one"], Purpose::Protect);
        assert!(matches!(result, Err(CommandError::Cancelled)));
    }

    #[test]
    fn lines_of_one_descriptor_are_read_one_by_one() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&writer, b"first\r\nsecond\nthird").unwrap();
        drop(writer);
        for expected in [&b"first"[..], b"second", b"third", b""] {
            let line = read_line(reader.try_clone().unwrap()).unwrap();
            assert_eq!(line[..], expected[..]);
        }
    }
}
