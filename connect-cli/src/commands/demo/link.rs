//! A bad link inside the process: datagrams wait, queue and get lost between two sockets on loopback.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use fasp_core::Rate;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Longest wait before the thread looks whether it is to end.
const TICK: Duration = Duration::from_millis(100);
/// Larger than any datagram.
const BUFFER: usize = 65_536;
/// Asked for the sockets, so that they are not the bottleneck.
const SOCKET_BUFFER: usize = 4 << 20;

/// What a link does to datagrams, in each direction.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkSettings {
    /// What it carries.
    pub(super) rate: Rate,
    /// From one end to the other and back, without queues.
    pub(super) rtt: Duration,
    /// Probability of losing a datagram.
    pub(super) loss: f64,
    /// Of the random numbers.
    pub(super) seed: u64,
}

impl LinkSettings {
    /// Bytes that fit on the link, there and back: the size of its queues too.
    fn bandwidth_delay_product(&self) -> u64 {
        self.rate.bytes_in(self.rtt)
    }
}

/// A running link; it ends when dropped.
#[derive(Debug)]
pub(super) struct Link {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Link {
    /// Starts a link to a server's UDP port.
    pub(super) fn start(server: SocketAddr, settings: LinkSettings) -> io::Result<Self> {
        let near = socket()?;
        let far = socket()?;
        far.connect(server)?;
        let address = near.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let relay = Relay {
            near,
            far,
            client: None,
            up: Direction::new(settings, settings.seed),
            down: Direction::new(settings, settings.seed ^ 0x9e37_79b9_7f4a_7c15),
        };
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("demo-link".into())
            .spawn(move || relay.run(&stopping))?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// The near end: where a client sends its datagrams.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A relay that panicked has lost datagrams, which is what it is for.
            drop(thread.join());
        }
    }
}

fn socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    // A wish: with less room a burst may lose a few datagrams more.
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER)
        .or_else(|_| rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER))
        .ok();
    Ok(socket)
}

struct Relay {
    near: UdpSocket,
    far: UdpSocket,
    /// Learnt from its datagrams.
    client: Option<SocketAddr>,
    up: Direction,
    down: Direction,
}

impl Relay {
    fn run(mut self, stop: &AtomicBool) {
        let mut buffer = vec![0; BUFFER];
        while !stop.load(Ordering::Relaxed) {
            while let Ok((length, from)) = self.near.recv_from(&mut buffer) {
                self.client = Some(from);
                self.up.accept(Instant::now(), &buffer[..length]);
            }
            while let Ok(length) = self.far.recv(&mut buffer) {
                self.down.accept(Instant::now(), &buffer[..length]);
            }
            let now = Instant::now();
            // What a socket refuses is lost on the way.
            while let Some(datagram) = self.up.take_due(now) {
                self.far.send(&datagram).ok();
            }
            while let Some(datagram) = self.down.take_due(now) {
                if let Some(client) = self.client {
                    self.near.send_to(&datagram, client).ok();
                }
            }
            self.wait();
        }
    }

    fn wait(&self) {
        let due = [self.up.next_due(), self.down.next_due()];
        let now = Instant::now();
        let timeout = due
            .into_iter()
            .flatten()
            .map(|due| due.saturating_duration_since(now))
            .fold(TICK, Duration::min);
        let timeout = Timespec {
            tv_sec: 0,
            // A tick is far below a second.
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut fds = [
            PollFd::new(&self.near, PollFlags::IN),
            PollFd::new(&self.far, PollFlags::IN),
        ];
        // Whatever ended the wait is looked at next.
        poll(&mut fds, Some(&timeout)).ok();
    }
}

/// One way: a queue that drops at its tail, a wire, and a delay.
#[derive(Debug)]
struct Direction {
    settings: LinkSettings,
    random: fastrand::Rng,
    /// When the wire has sent everything that waits.
    free_at: Option<Instant>,
    /// In the order in which they come out.
    travelling: VecDeque<(Instant, Vec<u8>)>,
}

impl Direction {
    fn new(settings: LinkSettings, seed: u64) -> Self {
        Self {
            settings,
            random: fastrand::Rng::with_seed(seed),
            free_at: None,
            travelling: VecDeque::new(),
        }
    }

    fn accept(&mut self, now: Instant, datagram: &[u8]) {
        let settings = &self.settings;
        let starts = self.free_at.map_or(now, |free| free.max(now));
        let waiting = settings
            .rate
            .bytes_in(starts.saturating_duration_since(now));
        let is_full = waiting + datagram.len() as u64 > settings.bandwidth_delay_product();
        if is_full || self.random.f64() < settings.loss {
            return;
        }
        let free = starts + settings.rate.time_for(datagram.len() as u64);
        self.free_at = Some(free);
        let due = free + settings.rtt / 2;
        self.travelling.push_back((due, datagram.to_vec()));
    }

    fn next_due(&self) -> Option<Instant> {
        self.travelling.front().map(|(due, _)| *due)
    }

    fn take_due(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.next_due()? > now {
            return None;
        }
        self.travelling.pop_front().map(|(_, datagram)| datagram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(loss: f64) -> LinkSettings {
        LinkSettings {
            rate: Rate::from_mbps(8),
            rtt: Duration::from_millis(100),
            loss,
            seed: 7,
        }
    }

    #[test]
    fn a_datagram_takes_its_time_on_the_wire_and_half_a_round_trip() {
        let mut way = Direction::new(settings(0.0), 1);
        let now = Instant::now();
        way.accept(now, &[0; 1000]);
        way.accept(now, &[1; 1000]);
        assert_eq!(way.take_due(now + Duration::from_micros(50_999)), None);
        assert_eq!(
            way.take_due(now + Duration::from_millis(51)),
            Some(vec![0; 1000])
        );
        assert_eq!(way.next_due(), Some(now + Duration::from_millis(52)));
    }

    #[test]
    fn the_queue_holds_one_bandwidth_delay_product() {
        let mut way = Direction::new(settings(0.0), 1);
        let now = Instant::now();
        for _ in 0..200 {
            way.accept(now, &[0; 1000]);
        }
        assert_eq!(way.travelling.len(), 100);
    }

    #[test]
    fn loss_is_as_likely_as_asked_for() {
        let mut way = Direction::new(settings(0.1), 7);
        let mut now = Instant::now();
        for _ in 0..10_000 {
            now += Duration::from_millis(2);
            way.accept(now, &[0; 100]);
        }
        let arrived = way.travelling.len();
        assert!((8_900..9_100).contains(&arrived), "{arrived}, seed 7");
    }
}
