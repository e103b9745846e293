//! Parsers of what a peer or a file says that nothing else makes public (feature `testing`).

use tokio::io::AsyncWriteExt as _;

use crate::control::{Control, Message, known_hosts, message::Ticket, resume, ssh};

/// Returns the numbers, from 1, of the lines of a known-hosts file that hold a key of this host.
pub fn known_host_lines(text: &str, host: &str, port: u16) -> Vec<usize> {
    known_hosts::lines_about(text, host, port)
}

/// Returns what one side of an SSH handshake sent before encryption, given in pieces of at most `piece` bytes.
///
/// `None` when it is refused or the bytes end before encryption starts.
pub fn recorded_handshake(from_client: bool, bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    ssh::recorded(from_client, bytes, piece)
}

/// Makes an offer of `messages` with a ticket (protocol §2.5); `None` when they are none or too many.
pub fn sealed_offer(
    ticket: &Ticket,
    random: &[u8; 32],
    share: &[u8; 32],
    messages: &[u8],
) -> Option<Vec<u8>> {
    resume::seal(&ticket.secret, &ticket.id, random, share, messages)
}

/// Opens an offer with a ticket's secret.
pub fn opened_offer(ticket: &Ticket, offer: &[u8]) -> Option<Vec<u8>> {
    resume::open(&ticket.secret, offer)
}

/// Returns the messages of a control stream that arrives in pieces of at most `piece` bytes, and whether it ended well.
pub fn received_messages(bytes: &[u8], piece: usize) -> (Vec<Message>, bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime else {
        return (Vec::new(), false);
    };
    runtime.block_on(async {
        let (mut far, near) = tokio::io::duplex(piece.max(1));
        let Control { mut receiver, .. } = Control::new(near);
        let write = async {
            // A receiver that gives up reads no more.
            far.write_all(bytes).await.ok();
            drop(far);
        };
        let read = async {
            let mut messages = Vec::new();
            loop {
                match receiver.receive().await {
                    Ok(Some(message)) => messages.push(message),
                    end => {
                        drop(receiver);
                        return (messages, end.is_ok());
                    }
                }
            }
        };
        tokio::join!(write, read).1
    })
}
