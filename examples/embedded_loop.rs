//! The protocol without threads, async or a driver: two sessions on two sockets, whose keys a control channel would agree on.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, net::UdpSocket, time::Instant};

use fasp_core::{
    Attributes, Event, KeyMaterial, Record, Records, Role, Session, SessionConfig, SessionId, Side,
    Totals, TransferId, TransmitBatch,
};

/// One end: a session and its socket.
struct End {
    session: Session,
    socket: UdpSocket,
    batch: TransmitBatch,
}

#[rustfmt::skip] // one screen
impl End {
    /// Takes what has arrived, then sends what may leave now; `file` is read by a sender and written by a receiver.
    fn step(&mut self, file: &mut [u8]) -> std::io::Result<()> {
        let (mut buffer, mut writes) = ([0; 10_000], Vec::new());
        while let Ok((size, from)) = self.socket.recv_from(&mut buffer) {
            let datagram = &mut buffer[..size];
            self.session.handle_datagram(Instant::now(), from, false, datagram, &mut writes);
            for write in writes.drain(..) {
                let room = &mut file[write.offset as usize..][..write.length];
                room.copy_from_slice(&datagram[write.at..][..write.length]);
            }
        }
        self.session.handle_timeout(Instant::now());
        while let Some(event) = self.session.poll_event() {
            on_event(&mut self.session, event);
        }
        while self.session.poll_transmit(Instant::now(), &mut self.batch) {
            for read in self.batch.reads().to_vec() {
                self.batch
                    .room(&read)
                    .copy_from_slice(&file[read.offset as usize..][..read.length]);
            }
            self.session.seal(Instant::now(), &mut self.batch);
            let Some(to) = self.batch.destination() else { break };
            for datagram in self.batch.bytes().chunks(self.batch.segment_size()) {
                self.socket.send_to(datagram, to)?;
            }
        }
        Ok(())
    }
}

/// The sender vouches for what it has read; the receiver asks for what is listed and says when it has it.
#[rustfmt::skip]
fn on_event(session: &mut Session, event: Event) {
    match event {
        Event::Sent { file, digest } => session.send_digest(file, digest),
        Event::Page(page) => {
            for record in Records::new(&page).flatten() {
                match record {
                    Record::File { file, size, .. } => {
                        assert!(session.request_file(file, size, &[]));
                    }
                    Record::Digest { file, digest } => session.file_digest(file, digest),
                    _ => {}
                }
            }
            session.page_consumed(page.len() as u64);
        }
        Event::FileComplete { file } => {
            session.reply(&Record::Done { first: file, count: 1 });
            session.complete(Totals { done: 1, ..Totals::default() });
        }
        _ => {}
    }
}

#[rustfmt::skip]
fn main() -> Result<(), Box<dyn Error>> {
    let mut source: Vec<u8> = (0..16u32 << 20).map(|i| (i ^ (i >> 9)) as u8).collect();
    let mut copy = vec![0; source.len()];
    let sockets = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
    let client = Side::Client { server: sockets[1].local_addr()? };
    let (session, transfer, channel_binding) = (SessionId(4), TransferId([5; 16]), [3; 32]);
    let (client_random, server_random) = ([1; 32].into(), [2; 32].into());
    let keys = KeyMaterial { client_random, server_random, channel_binding, session, transfer };
    let roles = [(client, Role::Sender), (Side::Server, Role::Receiver)];
    let ends = sockets.into_iter().zip(roles).map(|(socket, (side, role))| {
        socket.set_nonblocking(true)?;
        let session = Session::new(Instant::now(), SessionConfig::new(side, role, keys.clone(), 6));
        Ok(End { session, socket, batch: TransmitBatch::new(16) })
    });
    let mut ends = ends.collect::<std::io::Result<Vec<_>>>()?;
    let (file, size, name, attributes) =
        (0, source.len() as u64, b"file".as_slice(), Attributes::default());
    ends[0].session.announce(file, size);
    ends[0].session.send_record(&Record::File { file, name, attributes, size });
    ends[0].session.end_list(1, 0);
    while !ends.iter().all(|end| end.session.is_closed()) {
        ends[0].step(&mut source)?;
        ends[1].step(&mut copy)?;
    }
    println!("{} MiB arrived, the same: {}", size >> 20, source == copy);
    Ok(())
}
