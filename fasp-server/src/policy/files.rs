//! How files are received and read.

use aspera_conf::effective::{Files, ModeRule};
use fasp_net::serve::{Creation, FileGrant, ModeGrant, Refusal};

use transfer_spec::filter::{Filter, FilterAction, FilterRule, Pattern};

use super::{Defaults, misconfigured, person::group_id};
use crate::users::User;

/// The group that leaves it to the directory.
const LEAVE_ALONE: &str = "-";

pub(super) fn grant(files: &Files, user: &User, defaults: &Defaults) -> Result<FileGrant, Refusal> {
    let links = files.symlinks.value;
    let group = match files.group.value.as_deref() {
        None | Some(LEAVE_ALONE) => None,
        Some(name) => {
            let unknown = || misconfigured(user, &format!("there is no group '{name}'"));
            Some(group_id(name).ok_or_else(unknown)?)
        }
    };
    Ok(FileGrant {
        may_overwrite: files.may_overwrite.value,
        may_follow_links: links.follow,
        may_create_links: links.create,
        keep_times: files.keep_times.value,
        keep_owner: defaults.keeps_owners,
        keep_xattrs: match files.xattrs.said().and_then(Option::as_deref) {
            None | Some("" | "native") => true,
            Some(_) => false,
        },
        checksum: files
            .checksum
            .value
            .and_then(|word| word.parse().ok())
            .unwrap_or_default(),
        creation: Creation {
            file_mode: modes(&files.file_mode),
            directory_mode: modes(&files.directory_mode),
            group,
            replacement: files.replace_illegal.value,
        },
    })
}

/// Rules such as `- *.tmp`, in the language of `ascp`; `+` keeps what it matches, `-` leaves it out.
pub(super) fn filter(files: &Files, user: &User) -> Result<Filter, Refusal> {
    let rules = files.filters.value.iter().map(|text| rule(text));
    let rules: Option<Vec<_>> = rules.collect();
    rules
        .and_then(|rules| Filter::new(rules).ok())
        .ok_or_else(|| misconfigured(user, &"file_filters has something that is no rule"))
}

fn rule(text: &str) -> Option<FilterRule> {
    let (action, pattern) = match text.split_once(' ')? {
        ("+" | "-N", pattern) => (FilterAction::Include, pattern),
        ("-" | "-E", pattern) => (FilterAction::Exclude, pattern),
        _ => return None,
    };
    let pattern = Pattern::parse(pattern.trim().as_bytes()).ok()?;
    Some(FilterRule { action, pattern })
}

fn modes(rule: &ModeRule) -> ModeGrant {
    ModeGrant {
        exact: rule.exact.said().copied().flatten(),
        granted: rule.granted.said().copied().flatten(),
    }
}
