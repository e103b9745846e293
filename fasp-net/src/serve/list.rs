//! Directory listings.

use std::sync::Arc;

use docroot::{Attributes, Docroot, FileKind, LinkRule};
use fasp_core::ErrorCode;

use super::{Client, Context, Refusal};
use crate::control::Message;
use crate::control::message::{Entry, EntryKind, List, Listing, Refuse};
use crate::engine::beneath;

pub(super) async fn list(context: &Context, client: &Arc<Client>, request: List) -> Message {
    let (context, client) = (context.clone(), Arc::clone(client));
    let task = tokio::task::spawn_blocking(move || {
        let root = context.access.listing(&client, &request)?;
        list_blocking(&root, &request)
    });
    let result = task.await;
    match result.unwrap_or_else(|_| Err(Refusal::new(ErrorCode::Internal, "the listing failed"))) {
        Ok(listing) => listing.into(),
        Err(Refusal {
            code,
            message,
            hint,
            demands,
        }) => Refuse {
            transfer_id: None,
            session_index: 0,
            code,
            message,
            hint,
            demands,
        }
        .into(),
    }
}

fn list_blocking(root: &Docroot, request: &List) -> Result<Listing, Refusal> {
    let shown = docroot::escape_name(&request.path).into_owned();
    let failed = |error: docroot::Error| Refusal::new(error.code(), format!("{shown}: {error}"));
    let path = beneath(&request.path).map_err(failed)?;
    let found = root.stat(&path, LinkRule::Refuse).map_err(failed)?;
    let found = found.ok_or_else(|| failed(docroot::Error::NotFound))?;
    let mut listing = Listing {
        entries: Vec::new(),
        more: false,
    };
    if found.kind != FileKind::Directory {
        let name = path.file_name().unwrap_or_default().to_vec();
        // One entry always fits.
        listing.push(entry(name, &found)).ok();
        return Ok(listing);
    }
    let mut entries = Vec::new();
    for item in root.list(&path, LinkRule::Refuse).map_err(failed)? {
        // What vanishes or cannot be looked at while listing is left out.
        let Ok(item) = item else { continue };
        if request
            .after
            .as_ref()
            .is_none_or(|after| item.name.as_slice() > after.as_slice())
        {
            entries.push(item);
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    for item in entries {
        if listing
            .push(entry(item.name.clone(), &item.attributes))
            .is_err()
        {
            break;
        }
    }
    Ok(listing)
}

fn entry(name: Vec<u8>, attributes: &Attributes) -> Entry {
    let kind = match attributes.kind {
        FileKind::File => EntryKind::File,
        FileKind::Directory => EntryKind::Directory,
        FileKind::Symlink => EntryKind::Symlink,
        _ => EntryKind::Other,
    };
    Entry {
        name,
        kind,
        size: attributes.size,
        mtime: attributes.mtime.seconds,
        mode: attributes.mode & 0o7777,
    }
}
