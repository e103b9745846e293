//! `ls`

use fasp_core::ErrorCode;
use fasp_net::{
    Error as NetError,
    control::{
        Control, Message,
        message::{self, ContentProtection, Entry, EntryKind, Hello, List, VERSION},
    },
    event::ShownText,
};
use serde::Serialize;

use super::{
    connection::{self, Connected},
    signals::Signals,
};
use crate::{
    error::CommandError,
    resolve::Listing,
    ui::{Ui, date_time, permissions, table},
};

/// What `ls --json` prints for an entry.
#[derive(Debug, Serialize)]
struct EntryLine {
    name: ShownText,
    kind: &'static str,
    size: u64,
    mtime: i64,
    mode: String,
}

pub(super) fn run(ui: &Ui, request: &Listing) -> Result<(), CommandError> {
    super::on_runtime(|runtime| {
        let mut signals = runtime.block_on(async { Signals::new() })?;
        runtime.block_on(signals.unless(list(ui, request)))
    })
}

async fn list(ui: &Ui, request: &Listing) -> Result<(), CommandError> {
    let Connected {
        connection,
        process,
    } = connection::connect(&request.server, &request.carrier).await?;
    let mut control = connection.control;
    let mut after = None;
    let mut entries = Vec::new();
    // Pages of one listing arrive at once and in order; the table needs all of them for its widths.
    loop {
        match page(&mut control, request.path.clone(), after.take()).await {
            Ok(mut listing) => {
                after = listing.entries.last().map(|entry| entry.name.clone());
                entries.append(&mut listing.entries);
                if !listing.more || after.is_none() {
                    break;
                }
            }
            Err(error) => return Err(connection::explain(error, process).await),
        }
    }
    show(ui, request.long, &entries)
}

/// Asks for the entries behind `after`.
async fn page(
    control: &mut Control,
    path: Vec<u8>,
    after: Option<Vec<u8>>,
) -> Result<message::Listing, NetError> {
    if after.is_none() {
        control.sender.send(hello()).await?;
    }
    control.sender.send(List { path, after }).await?;
    loop {
        match control.receiver.receive().await? {
            Some(Message::Hello(hello)) => {
                message::agree_version(&hello)?;
            }
            Some(Message::Listing(listing)) => return Ok(listing),
            Some(Message::Refuse(refuse)) => return Err(refuse.into()),
            Some(Message::Cancel(cancel)) => {
                return Err(NetError::Refused {
                    code: ErrorCode::PeerAborted,
                    message: cancel.message,
                    hint: cancel.hint,
                    demands: ContentProtection::None,
                });
            }
            Some(_) => {}
            None => return Err(NetError::ConnectionLost(None)),
        }
    }
}

fn hello() -> Hello {
    Hello {
        versions: vec![VERSION],
        software: concat!("connect-cli/", env!("CARGO_PKG_VERSION")).to_owned(),
    }
}

fn show(ui: &Ui, long: bool, entries: &[Entry]) -> Result<(), CommandError> {
    if ui.is_json() {
        return entries.iter().try_for_each(|entry| {
            ui.print_json(&EntryLine {
                name: ShownText::from_bytes(&entry.name),
                kind: kind(entry.kind).0,
                size: entry.size,
                mtime: entry.mtime,
                mode: format!("{:04o}", entry.mode),
            })
        });
    }
    if long {
        let rows: Vec<_> = entries.iter().map(row).collect();
        return ui.print_data(table(&rows).as_bytes());
    }
    let names: String = entries.iter().map(|entry| name(entry) + "\n").collect();
    ui.print_data(names.as_bytes())
}

fn row(entry: &Entry) -> [String; 4] {
    [
        format!("{}{}", kind(entry.kind).1, permissions(entry.mode)),
        entry.size.to_string(),
        date_time(entry.mtime),
        name(entry),
    ]
}

fn name(entry: &Entry) -> String {
    let slash = if entry.kind == EntryKind::Directory {
        "/"
    } else {
        ""
    };
    format!("{}{slash}", ShownText::from_bytes(&entry.name))
}

/// The word for JSON and the letter for people.
fn kind(kind: EntryKind) -> (&'static str, char) {
    match kind {
        EntryKind::File => ("file", '-'),
        EntryKind::Directory => ("directory", 'd'),
        EntryKind::Symlink => ("symlink", 'l'),
        EntryKind::Other => ("other", '?'),
    }
}
