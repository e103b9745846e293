//! The passphrase that the files of an upload are protected with.

use std::sync::atomic::AtomicBool;

use fasp_crypt::{Cost, KeyRing, MemoryCeiling};
use fasp_net::engine::Protection;

use super::crypt::{self, passphrase, passphrase::Purpose};
use crate::{error::CommandError, resolve::PassphraseSource, ui::Ui};

/// Gets the passphrase and derives the key that all files of the transfer share (rule E-3).
pub(super) async fn begin(ui: Ui, source: PassphraseSource) -> Result<Protection, CommandError> {
    crypt::keep_secrets_in_memory();
    let work = move || {
        let passphrase = passphrase::get(source, Purpose::Protect)?;
        crypt::warn_of_short(&ui, &passphrase);
        let is_strong = passphrase.is_strong();
        let ring = KeyRing::new(passphrase, MemoryCeiling::DEFAULT);
        let batch = ring.new_batch(Cost::DEFAULT, &AtomicBool::new(false))?;
        Ok(Protection::new(batch, is_strong))
    };
    // A task that panicked has told why.
    let begun = tokio::task::spawn_blocking(work).await;
    begun.map_err(|_| CommandError::Cancelled)?
}
