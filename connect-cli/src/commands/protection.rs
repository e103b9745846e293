//! Passphrases of transfers: those that uploads are protected with, and those that open downloads.

use std::sync::atomic::AtomicBool;

use fasp_crypt::{Cost, KeyRing, MemoryCeiling, SUFFIX};
use fasp_net::{
    Error as NetError,
    control::message::ContentProtection,
    engine::{Decryption, Protection as Sealed},
    event::Event,
    transfer::{Job, LocalDestination},
};

use transfer_spec::Preserve;

use super::crypt::{self, passphrase, passphrase::Purpose};
use crate::{
    error::CommandError,
    resolve::{Opening, Protection, Sealing},
    ui::Ui,
};

/// Gets what the content of a transfer needs from the start, and gives it to the job.
pub(super) async fn prepare(
    ui: Ui,
    protection: &Protection,
    job: &mut Job,
    preserve: Preserve,
) -> Result<(), CommandError> {
    if preserve.xattrs && matches!(protection, Protection::Protect(_)) {
        return Err(CommandError::arguments(
            "extended attributes are not protected: the server could read them",
            "leave --preserve-xattrs out, or --protect",
        ));
    }
    match (protection, job) {
        (Protection::Protect(sealing), Job::Upload { sources, .. }) => {
            let sealed = begin(ui, sealing.clone()).await?;
            *sources = std::mem::take(sources).protected(sealed);
        }
        (Protection::Decrypt(opening), Job::Download { destination, .. }) => {
            open(destination, opening.clone()).await?;
        }
        (Protection::DecryptIfPossible(opening), Job::Download { destination, .. }) => {
            match passphrase::is_obtainable(&opening.passphrase) {
                true => open(destination, opening.clone()).await?,
                false => ui.note(
                    "the protected files stay as they are; to open them, add --decrypt or set ASPERA_SCP_FILEPASS",
                ),
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether it makes sense to begin again with protected files: the server takes no others, and there may be a passphrase.
pub(super) fn is_demanded(protection: &Protection, error: &CommandError) -> bool {
    let Protection::ProtectIfDemanded(sealing) = protection else {
        return false;
    };
    let demands = match error {
        CommandError::Net(NetError::Refused { demands, .. }) => *demands,
        _ => ContentProtection::None,
    };
    demands != ContentProtection::None && passphrase::is_obtainable(&sealing.passphrase)
}

/// Gets the passphrase and derives the key that all files of the transfer share (rule E-3).
async fn begin(ui: Ui, sealing: Sealing) -> Result<Sealed, CommandError> {
    crypt::keep_secrets_in_memory();
    aside(move || {
        let passphrase = passphrase::get(sealing.passphrase, Purpose::Protect)?;
        crypt::warn_of_short(&ui, &passphrase);
        let is_strong = passphrase.is_strong();
        let ring = KeyRing::new(passphrase, MemoryCeiling::DEFAULT);
        let batch = ring.new_batch(Cost::DEFAULT, &AtomicBool::new(false))?;
        let Some(records) = sealing.records else {
            return Ok(Sealed::new(batch, is_strong));
        };
        let directory = connect_agent::own_directory(&records)?;
        Ok(Sealed::recorded(batch, is_strong, &directory, ring)?)
    })
    .await
}

/// Gets the passphrase that opens what arrives at a place.
async fn open(destination: &mut LocalDestination, opening: Opening) -> Result<(), CommandError> {
    let LocalDestination::Path(path) = destination else {
        // What is thrown away needs no passphrase.
        return Ok(());
    };
    crypt::keep_secrets_in_memory();
    let Opening {
        passphrase,
        ceiling,
    } = opening;
    let passphrase = aside(move || passphrase::get(passphrase, Purpose::Open)).await?;
    *destination = LocalDestination::Decrypted {
        path: std::mem::take(path),
        decryption: Decryption::new(KeyRing::new(passphrase, ceiling)),
    };
    Ok(())
}

/// Does what blocks, on a thread of its own.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CommandError> + Send + 'static,
) -> Result<T, CommandError> {
    // A task that panicked has told why.
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| CommandError::Cancelled)?
}

/// Counts the envelopes that arrive and stay what they are.
#[derive(Debug, Default)]
pub(super) struct Envelopes {
    count: u64,
}

impl Envelopes {
    pub(super) fn event(&mut self, event: &Event) {
        if let Event::FileDone { path, .. } = event {
            self.count += u64::from(path.as_str().ends_with(SUFFIX));
        }
    }

    /// Says how to open them, to somebody who may not know.
    pub(super) fn mention(&self, ui: &Ui, protection: &Protection) {
        let files = match self.count {
            0 => return,
            1 => "1 file is".to_owned(),
            count => format!("{count} files are"),
        };
        if *protection == Protection::Mention {
            ui.note(&format!(
                "{files} protected by a passphrase; to open what is here: connect-cli crypt decrypt PATH"
            ));
        }
    }
}
