//! Where an account's files are, and which of them exist for it.

use std::path::{Path, PathBuf};

use aspera_conf::effective::{Access, Effective, Files};
use aspera_conf::resolve::Origin;
use docroot::{Docroot, Looked, RootOptions, Suffixes, View};
use fasp_core::ErrorCode;
use fasp_crypt::SUFFIX;
use fasp_net::serve::Refusal;
use tracing::{error, info};
use transfer_spec::Filter;

use super::{ADMINISTRATOR, Defaults, misconfigured, restriction::Restriction};
use crate::users::{User, UserRoot};

/// A root that can be opened.
#[derive(Debug)]
pub(crate) struct RootPlan {
    pub(crate) directory: PathBuf,
    /// Nobody named it: it is that of [`Defaults`].
    pub(crate) is_default: bool,
    options: RootOptions,
}

impl RootPlan {
    /// The directory of an account without a file.
    pub(super) fn of_account(user: &User, defaults: &Defaults) -> Result<Self, Refusal> {
        let account = user.docroot.as_ref().map(UserRoot::path);
        let root = account.or(defaults.root.as_deref());
        Ok(Self {
            directory: root.ok_or_else(|| rootless(user))?.to_owned(),
            is_default: account.is_none(),
            options: RootOptions::default(),
        })
    }

    /// The directory that counts: that of the user's record in the file, that of the account, that of a group or the node.
    /// What the file restricts, it restricts in any of them. An account with neither gets what is for such accounts, or
    /// nothing (rule P-1).
    pub(super) fn of(
        effective: &Effective,
        user: &User,
        defaults: &Defaults,
    ) -> Result<Self, Refusal> {
        let account = user.docroot.as_ref().map(UserRoot::path);
        let usual = account.or(defaults.root.as_deref());
        let (directory, restriction) = match (&effective.access, account) {
            (Access::Docroot(root), Some(account)) if root.origin != Origin::User => {
                (account.to_owned(), None)
            }
            (Access::Docroot(root), _) => (local_path(&root.value, user)?, None),
            (Access::Restricted(patterns), _) => (
                usual.unwrap_or_else(|| Path::new("/")).to_owned(),
                Some(Restriction::new(&patterns.value)),
            ),
            (Access::Everything, _) => (usual.ok_or_else(|| rootless(user))?.to_owned(), None),
        };
        let mut options = RootOptions::default();
        options.suffixes = suffixes(&effective.files, user)?;
        options.view = restriction.map(|rule| view(&directory, rule));
        let is_named = account.is_some() || matches!(effective.access, Access::Docroot(_));
        Ok(Self {
            directory,
            is_default: !is_named,
            options,
        })
    }

    /// Hides what a filter leaves out, besides what is hidden already.
    pub(super) fn admit_only(&mut self, filter: Filter) {
        let before = self.options.view.take();
        self.options.view = Some(View::new(move |path: &[u8], looked: Looked| {
            let is_there = before.as_ref().is_none_or(|view| view.admits(path, looked));
            is_there
                && match looked {
                    Looked::Directory => filter.admits_directory(path),
                    // Ages are the client's to ask for.
                    Looked::Other => filter.admits_file(path, 0),
                }
        }));
    }

    /// Hides every file that is no envelope by its name.
    pub(super) fn admit_envelopes_only(&mut self) {
        let before = self.options.view.take();
        self.options.view = Some(View::new(move |path: &[u8], looked: Looked| {
            let is_there = before.as_ref().is_none_or(|view| view.admits(path, looked));
            is_there && (looked == Looked::Directory || path.ends_with(SUFFIX.as_bytes()))
        }));
    }

    /// Opens it.
    ///
    /// # Errors
    /// What the client is told.
    pub(crate) fn open(self, user: &User) -> Result<Docroot, Refusal> {
        Docroot::open_with(&self.directory, self.options).map_err(|error| {
            // Where the directory is and what is wrong with it is the administrator's business.
            error!(
                user = user.name.as_str(),
                errcode = error.code().number(),
                docroot = %self.directory.display(),
                "the docroot cannot be opened: {error}"
            );
            Refusal::new(
                ErrorCode::BadConfiguration,
                "the account's directory is not available",
            )
            .hint(ADMINISTRATOR)
        })
    }
}

fn view(directory: &Path, rule: Restriction) -> View {
    let mut above = directory.as_os_str().as_encoded_bytes().to_vec();
    if above.last() != Some(&b'/') {
        above.push(b'/');
    }
    View::new(move |path: &[u8], looked: Looked| rule.admits(&[&above[..], path].concat(), looked))
}

fn rootless(user: &User) -> Refusal {
    info!(
        user = user.name.as_str(),
        "the account has no docroot, so it has no files"
    );
    let text = "the account has no directory on this server";
    Refusal::new(ErrorCode::Authorization, text).hint("ask the server's administrator for one")
}

/// A docroot as the file names it: a path, or a URI of this machine.
fn local_path(text: &str, user: &User) -> Result<PathBuf, Refusal> {
    let path = match text.split_once("://") {
        None => text.to_owned(),
        Some(("file", rest)) => {
            // `file:////data` and `file:///data` are both in use.
            let rest = rest
                .strip_prefix("//")
                .map_or_else(|| rest.to_owned(), |rest| format!("/{rest}"));
            percent_decoded(&rest)
                .ok_or_else(|| misconfigured(user, &"the docroot's URI has a bad escape"))?
        }
        Some((scheme, _)) => {
            let text = format!("docroots on '{scheme}' storage are not supported");
            return Err(misconfigured(user, &text));
        }
    };
    let root = UserRoot::new(Path::new(&path)).map_err(|why| misconfigured(user, &why))?;
    Ok(root.path().to_owned())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        let digits = str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

fn suffixes(files: &Files, user: &User) -> Result<Suffixes, Refusal> {
    let usual = Suffixes::default();
    let of = |said: Option<&Option<String>>, usual: &[u8]| {
        // An empty suffix would give unfinished files their final names (rule D-1).
        let said = said.cloned().flatten();
        said.map_or_else(|| usual.to_vec(), String::into_bytes)
    };
    let partial = of(files.partial_suffix.said(), usual.partial());
    let checkpoint = of(files.resume_suffix.said(), usual.checkpoint());
    Suffixes::new(&partial, &checkpoint)
        .map_err(|why| misconfigured(user, &format!("the suffixes of unfinished files: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_envelopes_come_in_where_all_files_have_to_be_protected() {
        let mut root = RootPlan {
            directory: "/srv".into(),
            options: RootOptions::default(),
            is_default: false,
        };
        root.admit_only(Filter::default());
        root.admit_envelopes_only();
        let view = root.options.view.unwrap();
        assert!(view.admits(b"d/f.aspera-env", Looked::Other));
        assert!(view.admits(b"d", Looked::Directory));
        for name in [&b"d/f"[..], b"f.aspera-env.txt", b"f.aspera-env/g"] {
            assert!(!view.admits(name, Looked::Other), "{name:?}");
        }
    }

    #[test]
    fn p1_docroots_are_local_and_absolute() {
        let user = User::new("lea".parse().unwrap(), None);
        let of = |text: &str| {
            local_path(text, &user)
                .ok()
                .map(|path| path.display().to_string())
        };
        for (text, path) in [
            ("/srv/lea", "/srv/lea"),
            ("file:///srv/lea", "/srv/lea"),
            ("file:////srv/lea", "/srv/lea"),
            ("file:///srv/a%20b", "/srv/a b"),
        ] {
            assert_eq!(of(text).as_deref(), Some(path), "{text}");
        }
        for text in [
            "srv",
            "/srv/../etc",
            "s3://k:s@h/b",
            "azu://x/y",
            "file:///a%2",
            "file:///%zz",
            "file:///%00",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
