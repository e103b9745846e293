//! `crypt inspect`

use fasp_crypt::{HEADER_LEN, Header, Layout, MemoryCeiling};
use fasp_net::{engine::EnvelopeError, event::ShownText};
use serde::Serialize;

use super::{files::Item, open::usable_header};
use crate::{
    error::CommandError,
    ui::{Ui, byte_count},
};

/// What `crypt inspect --json` prints for an envelope.
#[derive(Debug, Serialize)]
struct Inspected<'a> {
    event: &'static str,
    path: &'a ShownText,
    version: u8,
    size: u64,
    envelope_size: u64,
    chunk_size: u64,
    chunks: u64,
    cipher: &'static str,
    kdf: &'static str,
    kdf_memory_kib: u32,
    kdf_passes: u8,
    kdf_lanes: u8,
    /// The same for the files of one batch.
    salt: String,
    rekey_interrupted: bool,
}

/// Reads and shows the header of one file.
pub(super) fn inspect(ui: &Ui, item: &Item) -> Result<Result<(), EnvelopeError>, CommandError> {
    let (header, layout, from_saved) = match read(item) {
        Ok(read) => read,
        Err(failure) => return Ok(Err(failure)),
    };
    show(ui, item, &header, &layout, from_saved).map(Ok)
}

fn read(item: &Item) -> Result<(Header, Layout, bool), EnvelopeError> {
    let (dir, name) = item.place()?;
    let source = dir.open_source(name)?;
    let mut bytes = vec![0; HEADER_LEN];
    let read = source.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    let usable = usable_header(&dir, name, bytes);
    // Nothing is derived here, so whatever the format allows may be asked for.
    let header = Header::parse(&usable.bytes, MemoryCeiling::RAISED)?;
    let layout = header.layout(source.attributes().size)?;
    Ok((header, layout, usable.from_saved))
}

fn show(
    ui: &Ui,
    item: &Item,
    header: &Header,
    layout: &Layout,
    from_saved: bool,
) -> Result<(), CommandError> {
    let cost = header.kdf().cost;
    let salt: String = header
        .kdf()
        .salt
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let chunk_size = layout.chunk_size().plain_len();
    if ui.is_json() {
        return ui.print_json(&Inspected {
            event: "inspected",
            path: &item.shown,
            version: 1,
            size: layout.plain_len(),
            envelope_size: layout.envelope_len(),
            chunk_size,
            chunks: layout.chunk_count(),
            cipher: "aes-256-gcm",
            kdf: "argon2id",
            kdf_memory_kib: cost.memory_kib(),
            kdf_passes: cost.passes(),
            kdf_lanes: cost.lanes(),
            salt,
            rekey_interrupted: from_saved,
        });
    }
    let interrupted = if from_saved {
        ", a change of passphrase was interrupted"
    } else {
        ""
    };
    ui.print_line(&format!(
        "{}: {} bytes, AES-256-GCM in {} of up to {}, Argon2id with {}, {} passes, {} lanes, batch {salt}{interrupted}",
        item.shown,
        layout.plain_len(),
        chunks(layout.chunk_count()),
        byte_count(chunk_size),
        byte_count(u64::from(cost.memory_kib()) << 10),
        cost.passes(),
        cost.lanes(),
    ))
}

fn chunks(count: u64) -> String {
    match count {
        1 => "1 chunk".to_owned(),
        count => format!("{count} chunks"),
    }
}
