//! What a client may know about the server's machine.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Client, Context};
use crate::control::message::{Facts, Inquiry, List};

pub(super) async fn facts(context: &Context, client: &Arc<Client>, inquiry: Inquiry) -> Facts {
    let (context, client) = (context.clone(), Arc::clone(client));
    let task = tokio::task::spawn_blocking(move || space(&context, &client, inquiry));
    let (free, total) = task.await.ok().flatten().unzip();
    let time = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Facts {
        time_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
        free,
        total,
    }
}

/// Who may list a directory may know how full its disk is.
fn space(context: &Context, client: &Client, inquiry: Inquiry) -> Option<(u64, u64)> {
    let request = List {
        path: inquiry.path,
        after: None,
    };
    let root = context.access.listing(client, &request).ok()?;
    root.free_space().ok()
}
