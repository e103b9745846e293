//! What a receiver can say about a list before it has done anything (protocol §9.7).

use std::collections::BTreeSet;

use docroot::LinkRule;
use fasp_core::{MAX_SMALL_FILE, Record, Records};

use super::{Destination, storage::join};

/// Files wanted this way: all of them can be opened at once when the page is handled.
const MAX_WANTED: usize = 128;

/// Returns `Want` records for the files of a page that nothing is in the way of. Only looks; changes nothing.
pub(crate) fn wanted_at_once(destination: &Destination, page: &[u8]) -> Vec<u8> {
    let mut entered: &[u8] = b"";
    let mut answer = Vec::new();
    let mut run: Option<(u32, u32)> = None;
    let mut count = 0;
    for record in Records::new(page) {
        match record {
            Ok(Record::Enter { path }) => entered = path,
            Ok(Record::File {
                file, name, size, ..
            }) if size > 0
                && count < MAX_WANTED
                && is_free(destination, &join(entered, name), size) =>
            {
                count += 1;
                match &mut run {
                    Some((first, length)) if first.checked_add(*length) == Some(file) => {
                        *length += 1;
                    }
                    other => put(&mut answer, other.replace((file, 1))),
                }
            }
            Ok(_) => {}
            // Handling the page ends the session.
            Err(_) => return Vec::new(),
        }
    }
    put(&mut answer, run);
    answer
}

/// The numbers in such an answer.
pub(crate) fn promised(answer: &[u8]) -> BTreeSet<u32> {
    let runs = Records::new(answer).filter_map(|record| match record {
        Ok(Record::Want { first, count }) => Some(first..first + count),
        _ => None,
    });
    runs.flatten().collect()
}

fn put(answer: &mut Vec<u8>, run: Option<(u32, u32)>) {
    if let Some((first, count)) = run {
        Record::Want { first, count }.encode(answer);
    }
}

/// Whether a file may come into being at this path of the sender's, as far as one can see.
fn is_free(destination: &Destination, path: &[u8], size: u64) -> bool {
    // What is thrown away is handled with the rest of the list.
    let Destination::Tree(tree) = destination else {
        return false;
    };
    let Ok(place) = tree.place(path) else {
        return false;
    };
    match tree.root().stat(&place, LinkRule::Refuse) {
        // One that is there in part is asked for but for that part. Without a checkpoint it may be that of a session
        // whose client is gone, and which will write one when it notices.
        Ok(None) => size <= MAX_SMALL_FILE || !tree.root().has_partial(&place).unwrap_or(true),
        Ok(Some(_)) => false,
        // A directory on the way is missing.
        Err(error) => matches!(error, docroot::Error::NotFound),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "test set-up")]

    use docroot::Docroot;
    use fasp_core::Attributes;

    use super::*;

    fn file(page: &mut Vec<u8>, file: u32, name: &str, size: u64) {
        let attributes = Attributes::default();
        let name = name.as_bytes();
        Record::File {
            file,
            name,
            attributes,
            size,
        }
        .encode(page);
    }

    #[test]
    fn files_that_nothing_is_in_the_way_of_are_wanted_in_runs_and_nothing_is_touched() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["there", "half.partial", "rest.aspera-ckpt"] {
            std::fs::write(temp.path().join(name), "x").unwrap();
        }
        let root = Docroot::open(temp.path()).unwrap();
        let destination = Destination::beneath(&root, b"/", 2, false).unwrap();
        let mut page = Vec::new();
        Record::Enter { path: b"" }.encode(&mut page);
        file(&mut page, 0, "a", 1);
        file(&mut page, 1, "b", 1_000_000);
        file(&mut page, 2, "there", 1);
        file(&mut page, 3, "empty", 0);
        Record::Enter { path: b"new/dir" }.encode(&mut page);
        file(&mut page, 4, "c", 1);
        file(&mut page, 5, "..", 1);
        Record::Enter { path: b"" }.encode(&mut page);
        file(&mut page, 6, "half", 1_000_000);
        file(&mut page, 7, "rest", 1_000_000);
        let mut expected = Vec::new();
        Record::Want { first: 0, count: 2 }.encode(&mut expected);
        Record::Want { first: 4, count: 1 }.encode(&mut expected);
        let answer = wanted_at_once(&destination, &page);
        assert_eq!(answer, expected);
        assert_eq!(promised(&answer), [0, 1, 4].into());
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 3);
        page.push(255);
        assert_eq!(wanted_at_once(&destination, &page), b"", "malformed");
    }

    #[test]
    fn no_more_files_are_wanted_than_can_be_opened() {
        let temp = tempfile::tempdir().unwrap();
        let root = Docroot::open(temp.path()).unwrap();
        let destination = Destination::beneath(&root, b"/", 2, false).unwrap();
        let mut page = Vec::new();
        for number in 0..1000 {
            file(&mut page, number, &format!("f{number}"), 100_000);
        }
        let mut expected = Vec::new();
        let (first, count) = (0, MAX_WANTED as u32);
        Record::Want { first, count }.encode(&mut expected);
        assert_eq!(wanted_at_once(&destination, &page), expected);
    }
}
