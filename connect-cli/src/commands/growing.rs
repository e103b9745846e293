//! Waiting for a file that is still being written.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use docroot::{Attributes, Docroot, FileKind, LinkRule, Timestamp};
use fasp_net::event::ShownText;

use crate::{
    error::CommandError,
    resolve::{Growing, Since},
};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until a file has stopped growing.
pub(super) fn wait(growing: &Growing) -> Result<(), CommandError> {
    let failed = |source| CommandError::File {
        path: ShownText::from(&*growing.path.to_string_lossy()).to_string(),
        source,
    };
    let (root, entry) = Docroot::for_source(&growing.path).map_err(failed)?;
    let mut last: Option<(u64, Timestamp, Instant)> = None;
    let mut latest = Timestamp::default();
    loop {
        let found = root.stat(&entry, LinkRule::FollowBeneath).map_err(failed)?;
        let Attributes {
            kind, size, mtime, ..
        } = found.ok_or(docroot::Error::NotFound).map_err(failed)?;
        if kind != FileKind::File {
            return Err(failed(docroot::Error::NotRegular(kind)));
        }
        latest = latest.max(mtime);
        let unchanged = last.filter(|(before, time, _)| (*before, *time) == (size, mtime));
        let since = unchanged.map_or_else(Instant::now, |(_, _, since)| since);
        last = Some((size, mtime, since));
        let is_still = match growing.since {
            Since::Seen => since.elapsed() >= growing.quiet && unchanged.is_some(),
            Since::Modified => age(mtime) >= growing.quiet,
            Since::SetBack => mtime < latest && age(mtime) >= growing.quiet,
        };
        if is_still {
            return Ok(());
        }
        thread::sleep(LOOK.min(growing.quiet.max(Duration::from_millis(1))));
    }
}

/// How long ago something was, by the clock that files have.
fn age(time: Timestamp) -> Duration {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    now.saturating_sub(Duration::new(seconds, time.nanos.min(999_999_999)))
}
