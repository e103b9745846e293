//! Receipts of transfers: a text file with a line for every file (`docs/cli.md`, manifests).
//!
//! ```text
//! # transfer UUID send|receive WHO
//! # status <tab> size <tab> checksum <tab> path <tab> reason
//! ```
//!
//! Sizes are bytes, checksums hexadecimal; what is not known is `-`. Names are escaped, so each stays on its line.

use std::fmt::{Display, Write as _};

use docroot::{CommitGroup, Dir, Existing, Metadata, Partial, PartialOptions};

use crate::event::{Event, EventDirection};

/// Lines are written when so many bytes wait.
const WRITE_AT: usize = 16 << 10;

/// A receipt being written. It gets its final name when it is complete.
#[derive(Debug)]
pub struct Receipt {
    partial: Partial,
    /// Bytes written.
    length: u64,
    /// Lines that wait to be written.
    lines: String,
}

impl Receipt {
    /// Creates the file and its heading; `who` is for people.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(
        directory: &Dir,
        name: &str,
        options: &PartialOptions,
        (transfer, direction, who): (impl Display, EventDirection, impl Display),
    ) -> Result<Self, docroot::Error> {
        let direction = match direction {
            EventDirection::Send => "send",
            EventDirection::Receive => "receive",
        };
        Ok(Self {
            partial: directory.create_partial(name.as_bytes(), options)?,
            length: 0,
            lines: format!(
                "# transfer {transfer} {direction} {who}\n# status\tsize\tchecksum\tpath\treason\n"
            ),
        })
    }

    /// Adds a file's result; other events say nothing here.
    ///
    /// # Errors
    /// When what has gathered cannot be written.
    pub fn on_event(&mut self, event: &Event) -> Result<(), docroot::Error> {
        match event {
            Event::FileDone {
                path,
                size,
                checksum,
            } => {
                let checksum = checksum.as_deref().unwrap_or("-");
                self.line(format_args!("done\t{size}\t{checksum}\t{path}\t-"))
            }
            Event::FileSkipped { path, reason } => {
                self.line(format_args!("skipped\t-\t-\t{path}\t{reason}"))
            }
            Event::FileDeleted { path } => self.line(format_args!("deleted\t-\t-\t{path}\t-")),
            Event::FileFailed(failure) => self.line(format_args!(
                "failed\t-\t-\t{}\t{} (code {})",
                failure.path,
                failure.message,
                failure.code.number()
            )),
            _ => Ok(()),
        }
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When what has gathered cannot be written.
    pub fn line(&mut self, line: impl Display) -> Result<(), docroot::Error> {
        // Writing to a string does not fail.
        let _ = writeln!(self.lines, "{line}");
        match self.lines.len() >= WRITE_AT {
            true => self.write(),
            false => Ok(()),
        }
    }

    /// Writes what has gathered.
    ///
    /// # Errors
    /// When it cannot be written; what could not is lost.
    pub fn write(&mut self) -> Result<(), docroot::Error> {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() {
            return Ok(());
        }
        self.partial.write_all_at(lines.as_bytes(), self.length)?;
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Writes the rest and gives the file its name; it is durable then.
    ///
    /// # Errors
    /// When the rest cannot be written, the name is taken, or the storage fails.
    pub fn finish(mut self) -> Result<(), docroot::Error> {
        self.write()?;
        let finished = self.partial.finish(&Metadata::default(), Existing::Refuse);
        let mut group = CommitGroup::new();
        group.add((), finished?);
        group
            .commit()
            .into_iter()
            .try_for_each(|((), result)| result.map(drop))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests look at what is there")]
mod tests {
    use super::*;
    use crate::event::ShownText;

    #[test]
    fn a_receipt_has_its_name_only_when_it_is_complete() {
        let temp = tempfile::tempdir().unwrap();
        let root = docroot::Docroot::open(temp.path()).unwrap();
        let directory = root.root_dir().unwrap();
        let options = PartialOptions::default();
        let heading = (7, EventDirection::Send, "host");
        let mut receipt = Receipt::create(&directory, "receipt", &options, heading).unwrap();
        receipt
            .on_event(&Event::FileDone {
                path: ShownText::from("a\nb"),
                size: 3,
                checksum: None,
            })
            .unwrap();
        receipt.line("# 1 done").unwrap();
        receipt.write().unwrap();
        assert!(!temp.path().join("receipt").exists());
        receipt.finish().unwrap();
        let text = std::fs::read_to_string(temp.path().join("receipt")).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert_eq!(lines[0], "# transfer 7 send host");
        assert!(lines[2].starts_with("done\t3\t-\ta"), "{text}");
        assert_eq!(lines[3], "# 1 done");
    }
}
