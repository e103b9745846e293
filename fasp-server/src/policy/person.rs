//! Who an account is on this machine: its groups and its home directory.

use std::net::IpAddr;

use aspera_conf::resolve::Person;
use nix::unistd::{self, Gid};

use crate::users::User;

/// The most groups that are looked at; systems allow 65,536.
const MAX_GROUPS: usize = 1024;

/// What the account's own record and the operating system know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) groups: Vec<String>,
    home: Option<String>,
}

impl Identity {
    /// Looks an account up. May ask a directory service, so it may block.
    pub(crate) fn of(user: &User) -> Self {
        let mut groups = user.groups.clone();
        // An account need not exist on the machine.
        let system = unistd::User::from_name(user.name.as_str()).ok().flatten();
        let home = system.as_ref().and_then(|user| user.dir.to_str());
        if let Some(system) = &system {
            for name in system_groups(user.name.as_str(), system.gid) {
                if !groups.contains(&name) {
                    groups.push(name);
                }
            }
        }
        Self {
            home: home.map(str::to_owned),
            groups,
        }
    }

    pub(crate) fn person<'a>(
        &'a self,
        name: &'a str,
        groups: &'a [&'a str],
        peer: Option<IpAddr>,
    ) -> Person<'a> {
        Person {
            name,
            home: self.home.as_deref(),
            groups,
            // An IPv4 peer of a socket for both is written in IPv6 there.
            peer: peer.map(|peer| peer.to_canonical()),
        }
    }
}

fn system_groups(name: &str, primary: Gid) -> Vec<String> {
    let Ok(name) = std::ffi::CString::new(name) else {
        return Vec::new();
    };
    let ids = unistd::getgrouplist(&name, primary).unwrap_or_default();
    let known = |id: &Gid| unistd::Group::from_gid(*id).ok().flatten();
    ids.iter()
        .take(MAX_GROUPS)
        .filter_map(known)
        .map(|group| group.name)
        .collect()
}

/// Returns the number of a group, by its name or as a number.
pub(super) fn group_id(name: &str) -> Option<u32> {
    let by_name = unistd::Group::from_name(name).ok().flatten();
    by_name
        .map(|group| group.gid.as_raw())
        .or_else(|| name.parse().ok())
}
