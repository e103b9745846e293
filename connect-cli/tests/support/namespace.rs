//! Servers in mount namespaces of their own.

use std::{
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use super::{Bed, Server, Site, skipped};

/// Starts the server in a mount namespace of its own, after these commands. Says so and returns false where
/// the system does not allow it.
pub(crate) fn serve_in_namespace(bed: &Bed, mount: &str) -> Option<Server> {
    let flags = if is_root() { "-m" } else { "-rm" };
    let allowed = Command::new("unshare")
        .args([flags, "true"])
        .stderr(Stdio::null())
        .status();
    if !allowed.is_ok_and(|status| status.success()) {
        skipped("no mount namespaces here");
        return None;
    }
    let script = format!("{mount} && exec \"$0\" \"$@\"");
    Some(bed.serve_in(&["unshare", flags, "sh", "-c", &script]))
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    // The owner of what this process has just made.
    let temp = tempfile::tempfile().unwrap();
    temp.metadata().unwrap().uid() == 0
}

/// A site with such a server and one account, `lea`.
pub(crate) fn site_in_namespace(mount: &str) -> Option<Site> {
    let bed = Bed::new();
    bed.add_user("lea", &[]);
    let server = serve_in_namespace(&bed, mount)?;
    Some(Site { bed, server })
}

/// The docroot as the server's namespace has it.
pub(crate) fn inside(site: &Site) -> PathBuf {
    let root = site.path("root");
    let below = root.strip_prefix("/").unwrap();
    PathBuf::from(format!("/proc/{}/root", site.server.id())).join(below)
}
