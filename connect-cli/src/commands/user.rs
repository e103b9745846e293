//! `server user`: who may log in.

use std::io::{self, BufRead as _, Read as _};

use fasp_server::users::{PASSWORD_MAX, PasswordHash, User, UserName};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{
    args::{UserAddArgs, UserCommand, UserListArgs, UserRemoveArgs},
    error::CommandError,
    resolve,
    ui::{Ui, table},
};

/// What `server user list --json` prints for an account. Hashes are left out.
#[derive(Debug, Serialize)]
struct UserLine<'a> {
    name: &'a UserName,
    docroot: Option<&'a str>,
    groups: &'a [String],
    read: bool,
    write: bool,
    list: bool,
    keys: Vec<&'a str>,
    password: bool,
    rate_cap_kbps: Option<u64>,
    max_sessions: Option<u32>,
}

pub(super) fn run(ui: &Ui, command: UserCommand) -> Result<(), CommandError> {
    match command {
        UserCommand::Add(args) => add(ui, args),
        UserCommand::List(args) => list(ui, args),
        UserCommand::Remove(args) => remove(ui, args),
    }
}

fn add(ui: &Ui, args: UserAddArgs) -> Result<(), CommandError> {
    let account = resolve::new_user(&args)?;
    let mut user = account.user;
    if account.reads_password {
        user.password = Some(PasswordHash::new(read_password()?.as_bytes())?);
    }
    let store = resolve::user_store(&args.state)?;
    let name = user.name.clone();
    let root = user.docroot.clone();
    store.edit(|users| users.add(user))?;
    ui.note(&match root {
        Some(root) => format!(
            "added user '{name}' with docroot '{}'",
            root.path().display()
        ),
        None => format!("added user '{name}'; aspera.conf has to name its docroot"),
    });
    Ok(())
}

fn remove(ui: &Ui, args: UserRemoveArgs) -> Result<(), CommandError> {
    let name: UserName = args.name.parse()?;
    let store = resolve::user_store(&args.state)?;
    let removed = store.edit(|users| users.remove(&name))?;
    ui.note(&format!("removed user '{}'", removed.name));
    Ok(())
}

fn list(ui: &Ui, args: UserListArgs) -> Result<(), CommandError> {
    let users = resolve::user_store(&args.state)?.current()?;
    if ui.is_json() {
        return users.iter().try_for_each(|user| ui.print_json(&line(user)));
    }
    let mut rows = vec![["NAME", "MAY", "OPENED BY", "RATE CAP", "DOCROOT"].map(str::to_owned)];
    rows.extend(users.iter().map(row));
    ui.print_data(table(&rows).as_bytes())
}

fn line(user: &User) -> UserLine<'_> {
    UserLine {
        name: &user.name,
        docroot: user.docroot.as_ref().and_then(|root| root.path().to_str()),
        groups: &user.groups,
        read: user.permissions.read,
        write: user.permissions.write,
        list: user.permissions.list,
        keys: user
            .authorized_keys
            .iter()
            .map(|key| key.fingerprint())
            .collect(),
        password: user.password.is_some(),
        rate_cap_kbps: user.rate_cap_kbps,
        max_sessions: user.max_sessions,
    }
}

fn row(user: &User) -> [String; 5] {
    let may: Vec<&str> = [
        (user.permissions.read, "read"),
        (user.permissions.write, "write"),
        (user.permissions.list, "list"),
    ]
    .into_iter()
    .filter_map(|(allowed, name)| allowed.then_some(name))
    .collect();
    let keys = match user.authorized_keys.len() {
        0 => None,
        1 => Some("1 key".to_owned()),
        count => Some(format!("{count} keys")),
    };
    let password = user.password.is_some().then(|| "password".to_owned());
    let opened_by: Vec<String> = keys.into_iter().chain(password).collect();
    [
        user.name.to_string(),
        may.join(","),
        opened_by.join(", "),
        user.rate_cap()
            .map_or_else(|| "-".to_owned(), |rate| rate.to_string()),
        user.docroot
            .as_ref()
            .map_or_else(|| "-".to_owned(), |root| root.path().display().to_string()),
    ]
}

/// Reads the first line of standard input; at most a little more than a password may have.
fn read_password() -> Result<Zeroizing<String>, CommandError> {
    let mut line = Zeroizing::new(String::with_capacity(PASSWORD_MAX + 2));
    io::stdin()
        .lock()
        .take(PASSWORD_MAX as u64 + 2)
        .read_line(&mut line)
        .map_err(|source| CommandError::Input {
            what: "the password from standard input",
            source,
        })?;
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(line)
}
