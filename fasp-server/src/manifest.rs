//! Receipts of sessions, where the settings want them.

use std::path::Path;

use docroot::{Docroot, PartialOptions};
use fasp_core::SessionId;
use fasp_net::{engine::Finish, event::Event, receipt};
use tracing::warn;

use crate::{log::SessionRecord, policy::ManifestPlan};

/// A session's receipt. What goes wrong with it is logged once and does not end the transfer: its bytes move already.
#[derive(Debug)]
pub(crate) struct Receipt(Option<receipt::Receipt>);

impl Receipt {
    /// Creates the file.
    pub(crate) fn begin(
        plan: &ManifestPlan,
        record: &SessionRecord,
        id: SessionId,
    ) -> Option<Self> {
        create(plan, record, id)
            .inspect_err(|error| warn!(directory = plan.directory, "no receipt: {error}"))
            .ok()
            .map(|receipt| Self(Some(receipt)))
    }

    /// Adds a file's result.
    pub(crate) fn on_event(&mut self, event: &Event) {
        let result = self.0.as_mut().map(|receipt| receipt.on_event(event));
        self.check(result);
    }

    /// Adds the totals and publishes the file.
    pub(crate) fn finish(mut self, finish: &Finish) {
        let outcome = &finish.outcome;
        let status = finish.error.as_ref().map_or(0, |(code, _)| code.number());
        let totals = format!(
            "# end status {status} done {} skipped {} failed {} bytes {}",
            outcome.files_done, outcome.files_skipped, outcome.files_failed, outcome.bytes
        );
        let result = self.0.as_mut().map(|receipt| receipt.line(totals));
        self.check(result);
        if let Some(Err(error)) = self.0.map(receipt::Receipt::finish) {
            warn!("no receipt: {error}");
        }
    }

    fn check(&mut self, result: Option<Result<(), docroot::Error>>) {
        if let Some(Err(error)) = result {
            warn!("the receipt cannot be written: {error}");
            self.0 = None;
        }
    }
}

fn create(
    plan: &ManifestPlan,
    record: &SessionRecord,
    id: SessionId,
) -> Result<receipt::Receipt, docroot::Error> {
    let mut options = docroot::RootOptions::default();
    if !plan.suffix.is_empty() {
        options.suffixes = docroot::Suffixes::new(plan.suffix.as_bytes(), b".aspera-ckpt")?;
    }
    let root = Docroot::open_with(Path::new(&plan.directory), options)?;
    // Sessions of one transfer have receipts of their own.
    let name = format!("aspera-transfer-{}-{id}-manifest.txt", record.transfer_id);
    let who = format!("user {} peer {}", record.user.as_str(), record.peer);
    receipt::Receipt::create(
        &root.root_dir()?,
        &name,
        &PartialOptions::default().mode(0o600),
        (record.transfer_id, record.direction, who),
    )
}
