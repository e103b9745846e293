//! `crypt`: files protected with a passphrase, opened, checked, and given another one.

mod encrypt;
mod files;
mod inspect;
mod open;
pub(super) mod passphrase;
mod rekey;
mod report;
mod work;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use docroot::{Dir, Existing};
use fasp_crypt::{Cost, Error as CryptError, KeyRing, MemoryCeiling, Passphrase};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use tokio::runtime::Runtime;

use self::{
    encrypt::Encrypt,
    files::{Found, Wanted},
    open::Open,
    passphrase::Purpose,
    report::Report,
};
use super::signals::Signals;
use crate::{
    error::CommandError,
    exit::ExitStatus,
    resolve::{CryptRequest, CryptWork, Opening, PassphraseSource},
    ui::Ui,
};

/// Unfinished files that nobody touched for so long are of a process that was killed.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Shorter passphrases are warned of (rule E-13).
const SHORT: usize = 12;

pub(super) fn run(ui: &Ui, request: CryptRequest) -> Result<(), CommandError> {
    keep_secrets_in_memory();
    super::on_runtime(|runtime| run_on(ui, runtime, request))
}

/// No core dump, and no look into this process by others of the same account, its environment included (rule C-4).
pub(super) fn keep_secrets_in_memory() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Where the system refuses, the command is as safe as any other.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Warns of a new passphrase that is soon guessed.
pub(super) fn warn_of_short(ui: &Ui, passphrase: &Passphrase) {
    if passphrase.characters() < SHORT {
        ui.note(&format!(
            "warning: the passphrase has fewer than {SHORT} characters; whoever gets the files can try many a second"
        ));
    }
}

/// What a command works with besides its files.
struct Session<'a> {
    ui: &'a Ui,
    runtime: &'a Runtime,
    signals: Signals,
    cancelled: Arc<AtomicBool>,
}

fn run_on(ui: &Ui, runtime: &Runtime, request: CryptRequest) -> Result<(), CommandError> {
    let CryptRequest { paths, work } = request;
    let mut session = Session {
        ui,
        runtime,
        signals: runtime.block_on(async { Signals::new() })?,
        cancelled: Arc::default(),
    };
    let wanted = match work {
        CryptWork::Encrypt { .. } => Wanted::Plain,
        _ => Wanted::Envelopes,
    };
    // A misspelt name is found before anybody is asked for a passphrase.
    let mut found = files::find(&paths, wanted);
    if found.items.is_empty() && !matches!(work, CryptWork::Inspect) {
        return Report::new(ui, "nothing to do:", &mut found)?.finish();
    }
    if matches!(work, CryptWork::Encrypt { .. } | CryptWork::Decrypt(_)) {
        remove_stale(&found);
    }
    match work {
        CryptWork::Encrypt {
            passphrase,
            overwrite,
        } => {
            let passphrase = session.passphrase(passphrase, Purpose::Protect)?;
            let cancelled = session.cancel_on_signal();
            encrypt(ui, passphrase, overwrite, found, &cancelled)
        }
        CryptWork::Decrypt(opening) => {
            let ring = session.ring(opening)?;
            open(ui, &ring, true, found, &session.cancel_on_signal())
        }
        CryptWork::Verify(opening) => {
            let ring = session.ring(opening)?;
            open(ui, &ring, false, found, &session.cancel_on_signal())
        }
        CryptWork::Inspect => inspect(ui, found),
        CryptWork::Rekey { opening, new } => {
            let old = session.ring(opening)?;
            let new = session.passphrase(new, Purpose::Replace)?;
            rekey(ui, &old, new, found, &session.cancel_on_signal())
        }
    }
}

impl Session<'_> {
    /// Gets a passphrase; a signal ends the question.
    fn passphrase(
        &mut self,
        source: PassphraseSource,
        purpose: Purpose,
    ) -> Result<Passphrase, CommandError> {
        let asking = tokio::task::spawn_blocking;
        let _entered = self.runtime.enter();
        let asked = asking(move || passphrase::get(source, purpose));
        let answer = async { asked.await.map_err(|_| CommandError::Cancelled)? };
        let passphrase = self.runtime.block_on(self.signals.unless(answer))?;
        if purpose != Purpose::Open {
            warn_of_short(self.ui, &passphrase);
        }
        Ok(passphrase)
    }

    fn ring(&mut self, opening: Opening) -> Result<KeyRing, CommandError> {
        let passphrase = self.passphrase(opening.passphrase, Purpose::Open)?;
        Ok(KeyRing::new(passphrase, opening.ceiling))
    }

    /// From here on the first signal ends the work in order, the second one at once.
    fn cancel_on_signal(self) -> Arc<AtomicBool> {
        let Self {
            ui,
            runtime,
            mut signals,
            cancelled,
        } = self;
        let (flag, ui) = (Arc::clone(&cancelled), *ui);
        runtime.spawn(async move {
            signals.next().await;
            flag.store(true, Ordering::Relaxed);
            ui.note("stopping; once more to stop at once");
            signals.next().await;
            std::process::exit(ExitStatus::Cancelled.number().into());
        });
        cancelled
    }
}

fn encrypt(
    ui: &Ui,
    passphrase: Passphrase,
    overwrite: bool,
    mut found: Found,
    cancelled: &AtomicBool,
) -> Result<(), CommandError> {
    let ring = KeyRing::new(passphrase, MemoryCeiling::DEFAULT);
    let task = Encrypt {
        batch: ring.new_batch(Cost::DEFAULT, cancelled)?,
        existing: if overwrite {
            Existing::Replace
        } else {
            Existing::Refuse
        },
        cancelled,
    };
    let mut report = Report::new(ui, "encrypted", &mut found)?;
    work::run(&task, &found.items, &mut report, cancelled)?;
    report.finish()
}

fn open(
    ui: &Ui,
    ring: &KeyRing,
    writes: bool,
    mut found: Found,
    cancelled: &AtomicBool,
) -> Result<(), CommandError> {
    let verb = if writes { "decrypted" } else { "verified" };
    let mut report = Report::new(ui, verb, &mut found)?;
    let task = Open {
        ring,
        writes,
        cancelled,
    };
    work::run(&task, &found.items, &mut report, cancelled)?;
    report.finish()
}

fn inspect(ui: &Ui, mut found: Found) -> Result<(), CommandError> {
    let mut report = Report::new(ui, "inspected", &mut found)?;
    for item in &found.items {
        match inspect::inspect(ui, item)? {
            Ok(()) => report.count(),
            Err(failure) => report.fail(item.shown.clone(), failure)?,
        }
    }
    report.finish()
}

fn rekey(
    ui: &Ui,
    old: &KeyRing,
    new: Passphrase,
    mut found: Found,
    cancelled: &AtomicBool,
) -> Result<(), CommandError> {
    let new = KeyRing::new(new, MemoryCeiling::DEFAULT).new_batch(Cost::DEFAULT, cancelled)?;
    let mut report = Report::new(ui, "rekeyed", &mut found)?;
    for item in &found.items {
        if cancelled.load(Ordering::Relaxed) {
            return Err(CryptError::Cancelled.into());
        }
        match rekey::rekey(item, old, &new, cancelled) {
            Ok(size) => report.done(item, None, size)?,
            Err(failure) => report.fail(item.shown.clone(), failure)?,
        }
    }
    ui.note("copies made earlier still open with the old passphrase; to take access away, encrypt the files again");
    report.finish()
}

/// Removes what a killed process left of a file it was writing: it may hold plain bytes.
fn remove_stale(found: &Found) {
    let mut seen = BTreeSet::new();
    for item in &found.items {
        // A directory that cannot be opened or cleaned is met again when its files are worked on.
        let Ok((dir, _)) = item.place() else { continue };
        let is_new = dir
            .attributes()
            .is_ok_and(|attributes| seen.insert((attributes.device, attributes.inode)));
        if is_new {
            let _removed = dir.remove_stale(STALE);
        }
    }
}

/// Finds out early that a file will not fit (rule D-12). Reserving the room would take as long as filling it on some systems.
fn check_space(dir: &Dir, bytes: u64) -> Result<(), docroot::Error> {
    let root = dir.root();
    let elsewhere = root.root_dir()?.attributes()?.device != dir.attributes()?.device;
    match root.free_space() {
        Ok((free, _)) if free < bytes && !elsewhere => {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            Err(docroot::Error::NoSpace(full))
        }
        // A system that does not tell is written to all the same.
        _ => Ok(()),
    }
}
