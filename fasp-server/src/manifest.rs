//! Receipts of transfers: a text file for each session, with a line for every file.

use std::{fmt::Write as _, path::Path};

use docroot::{CommitGroup, Docroot, Existing, Metadata, Partial, PartialOptions};
use fasp_core::SessionId;
use fasp_net::{
    engine::Finish,
    event::{Event, EventDirection},
};
use tracing::warn;

use crate::{log::SessionRecord, policy::ManifestPlan};

/// A receipt being written. It gets its final name when it is complete.
#[derive(Debug)]
pub(crate) struct Receipt {
    partial: Partial,
    /// Bytes written.
    length: u64,
    /// Lines that wait to be written.
    lines: String,
    is_damaged: bool,
}

/// Lines are written when so many bytes wait.
const WRITE_AT: usize = 16 << 10;

impl Receipt {
    /// Creates the file. A receipt that cannot be written is logged and does not end the transfer: its bytes move already.
    pub(crate) fn begin(
        plan: &ManifestPlan,
        record: &SessionRecord,
        id: SessionId,
    ) -> Option<Self> {
        let partial = create(plan, record, id)
            .inspect_err(|error| warn!(directory = plan.directory, "no receipt: {error}"))
            .ok()?;
        let operation = match record.direction {
            EventDirection::Send => "send",
            EventDirection::Receive => "receive",
        };
        let mut lines = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            lines,
            "# transfer {} {operation} user {} peer {}\n# status\tsize\tchecksum\tpath\treason",
            record.transfer_id,
            record.user.as_str(),
            record.peer
        );
        Some(Self {
            partial,
            length: 0,
            lines,
            is_damaged: false,
        })
    }

    /// Adds a file's result.
    pub(crate) fn on_event(&mut self, event: &Event) {
        let lines = &mut self.lines;
        // Names are escaped, so each stays on its line.
        let _ = match event {
            Event::FileDone {
                path,
                size,
                checksum,
            } => {
                let checksum = checksum.as_deref().unwrap_or("-");
                writeln!(lines, "done\t{size}\t{checksum}\t{path}\t-")
            }
            Event::FileSkipped { path, reason } => {
                writeln!(lines, "skipped\t-\t-\t{path}\t{reason}")
            }
            Event::FileDeleted { path } => writeln!(lines, "deleted\t-\t-\t{path}\t-"),
            Event::FileFailed(failure) => writeln!(
                lines,
                "failed\t-\t-\t{}\t{} (code {})",
                failure.path,
                failure.message,
                failure.code.number()
            ),
            _ => Ok(()),
        };
        if self.lines.len() >= WRITE_AT {
            self.write();
        }
    }

    /// Adds the totals and publishes the file.
    pub(crate) fn finish(mut self, finish: &Finish) {
        let outcome = &finish.outcome;
        let status = finish.error.as_ref().map_or(0, |(code, _)| code.number());
        let _ = writeln!(
            self.lines,
            "# end status {status} done {} skipped {} failed {} bytes {}",
            outcome.files_done, outcome.files_skipped, outcome.files_failed, outcome.bytes
        );
        self.write();
        if self.is_damaged {
            return;
        }
        let finished = self.partial.finish(&Metadata::default(), Existing::Refuse);
        let mut group = CommitGroup::new();
        let result = finished.map(|finished| group.add((), finished));
        let result = result.and_then(|()| {
            let results = group.commit();
            results
                .into_iter()
                .try_for_each(|((), result)| result.map(drop))
        });
        if let Err(error) = result {
            warn!("no receipt: {error}");
        }
    }

    fn write(&mut self) {
        let result = self
            .partial
            .write_all_at(self.lines.as_bytes(), self.length);
        if let Err(error) = result
            && !std::mem::replace(&mut self.is_damaged, true)
        {
            warn!("the receipt cannot be written: {error}");
        }
        self.length += self.lines.len() as u64;
        self.lines.clear();
    }
}

fn create(
    plan: &ManifestPlan,
    record: &SessionRecord,
    id: SessionId,
) -> Result<Partial, docroot::Error> {
    let mut options = docroot::RootOptions::default();
    if !plan.suffix.is_empty() {
        options.suffixes = docroot::Suffixes::new(plan.suffix.as_bytes(), b".aspera-ckpt")?;
    }
    let root = Docroot::open_with(Path::new(&plan.directory), options)?;
    // Sessions of one transfer have receipts of their own.
    let name = format!("aspera-transfer-{}-{id}-manifest.txt", record.transfer_id);
    root.root_dir()?
        .create_partial(name.as_bytes(), &PartialOptions::default().mode(0o600))
}
