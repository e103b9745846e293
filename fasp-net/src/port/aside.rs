//! Datagrams that belong to a log-in, not to a session (protocol §2.7).

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use fasp_core::session_id_of;
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit};
use tokio::sync::mpsc;

use super::{Inbound, MAX_SESSIONS, Port, Shared};

/// Receptions that wait for one log-in; more are dropped.
const QUEUE: usize = 64;
/// Largest reception kept: a few datagrams of the smallest size.
const MAX_RECEPTION: usize = 16 * 1024;

/// A place on a port for the time of a log-in, waited for without a thread.
#[derive(Debug)]
pub(crate) struct Aside {
    shared: Arc<Shared>,
    id: u64,
    inbound: mpsc::Receiver<Inbound>,
}

impl Port {
    /// Opens a place for datagrams that begin with an id; `None` where it is taken or there are too many.
    pub(crate) fn aside(&self, id: u64) -> Option<Aside> {
        let mut sessions = self.shared.sessions.write().ok()?;
        let is_taken = sessions.open.contains_key(&id) || sessions.aside.contains_key(&id);
        if is_taken || sessions.aside.len() >= MAX_SESSIONS {
            return None;
        }
        let (queue, inbound) = mpsc::channel(QUEUE);
        sessions.aside.insert(id, queue);
        Some(Aside {
            shared: Arc::clone(&self.shared),
            id,
            inbound,
        })
    }
}

impl Aside {
    /// Sends a datagram if the socket takes it at once.
    pub(crate) fn send(&self, destination: SocketAddr, datagram: &[u8]) {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents: datagram,
            segment_size: None,
            src_ip: None,
        };
        let socket = &self.shared.socket;
        // A copy of what travels by TCP as well: nothing is lost with it.
        self.shared.state.try_send(socket.into(), &transmit).ok();
    }

    /// Returns the next datagrams.
    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        self.inbound.poll_recv(cx)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Ok(mut sessions) = self.shared.sessions.write() {
            sessions.aside.remove(&self.id);
        }
    }
}

/// Hands datagrams to the log-in that their id names; returns whether there is one.
pub(super) fn dispatch(shared: &Shared, buffer: &[u8], meta: &RecvMeta, at: Instant) -> bool {
    let Some(bytes) = buffer.get(..meta.len.min(MAX_RECEPTION)) else {
        return false;
    };
    let Some(id) = session_id_of(&bytes[..bytes.len().min(meta.stride)]) else {
        return false;
    };
    let Ok(sessions) = shared.sessions.read() else {
        return false;
    };
    let Some(queue) = sessions.aside.get(&id.0) else {
        return false;
    };
    let inbound = Inbound {
        from: meta.addr,
        at,
        bytes: bytes.to_vec(),
        length: bytes.len(),
        stride: meta.stride.max(1),
        congestion_mark: meta.ecn == Some(EcnCodepoint::Ce),
    };
    queue.try_send(inbound).ok();
    true
}
