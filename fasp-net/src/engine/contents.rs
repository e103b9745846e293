//! The content thread: reads the small files that the receiver wants.

use crossbeam_channel::{Receiver, Sender};
use fasp_core::Record;

use super::lister::{Ask, Asked, Listed, PAGE, lock};
use super::sources::failure;

/// Sends the content of what is asked for until nobody asks any more.
pub(super) fn send(asks: &Receiver<Ask>, pages: &Sender<Listed>, asked: &Asked) {
    let mut page = Vec::new();
    let mut content = Vec::new();
    for Ask::Content { first, count } in asks {
        for file in first..first.saturating_add(count) {
            let Some((origin, size)) = lock(asked).remove(&file) else {
                continue;
            };
            if page.len() + size as usize > 2 * PAGE && !flush(&mut page, pages) {
                return;
            }
            match origin.read_small(None, size, &mut content) {
                Ok(()) => Record::Content {
                    file,
                    content: &content,
                }
                .encode(&mut page),
                Err(error) => {
                    let (code, text) = failure(&error);
                    Record::SourceFailed {
                        file,
                        code,
                        text: &text,
                    }
                    .encode(&mut page);
                }
            }
        }
        if (asks.is_empty() || page.len() >= PAGE) && !flush(&mut page, pages) {
            return;
        }
    }
}

fn flush(page: &mut Vec<u8>, pages: &Sender<Listed>) -> bool {
    let page = std::mem::take(page);
    page.is_empty()
        || pages
            .send(Listed {
                page,
                ..Listed::default()
            })
            .is_ok()
}
