//! Places and rates as people, files and peers write them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use fasp_core::Rate;
use transfer_spec::{Location, RemoteLocation};

pub(crate) fn check(bytes: &[u8]) {
    if let Ok(Ok(rate)) = std::str::from_utf8(bytes).map(str::parse::<Rate>) {
        assert!(rate > Rate::ZERO && rate <= Rate::MAX);
    }
    match Location::parse(OsStr::from_bytes(bytes)) {
        Ok(Location::Local(path)) => assert_eq!(path.as_os_str().as_bytes(), bytes),
        Ok(Location::Remote(remote)) => check_remote(remote),
        Ok(Location::Faux(_)) => {}
        Err(error) => drop(error.to_string()),
    }
}

fn check_remote(remote: RemoteLocation) {
    let host = remote.host.to_string();
    assert_eq!(host.parse().as_ref(), Ok(&remote.host));
    let user = remote.user.as_deref().unwrap_or("account");
    assert!(
        !user.starts_with('-') && !user.contains(char::is_control),
        "{user:?}"
    );
    // What is shown can be typed in again, unless its path had to be escaped or makes it look like a URL.
    let path = &remote.path;
    let is_plain = path.escape_ascii().eq(path.iter().copied());
    if is_plain && !path.starts_with(b"//") {
        let shown = remote.to_string();
        assert_eq!(shown.parse(), Ok(Location::Remote(remote)), "{shown}");
    }
}
