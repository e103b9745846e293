//! TCP connections on lines that lose their first packet.
//!
//! The system repeats a lost SYN after a second, the next after two more: on a long line that is longer than a whole
//! log-in. Further attempts begin earlier, and the first that succeeds is taken.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, task::JoinSet};

/// When the next attempt begins: a little more than the longest round trips of terrestrial lines, so that most
/// connections have one.
const STAGGER: Duration = Duration::from_millis(400);
/// Attempts at one address: a server counts connections of a network that has not logged in.
const ATTEMPTS: u32 = 3;

/// Connects; returns the stream and the time that its own attempt took. Ends with the future.
pub(super) async fn connect(address: SocketAddr) -> io::Result<(TcpStream, Duration)> {
    staggered(|| async move {
        let started = Instant::now();
        let stream = TcpStream::connect(address).await?;
        Ok((stream, started.elapsed()))
    })
    .await
}

/// Starts up to [`ATTEMPTS`], one behind the other, and returns what the first that ends brought: a refusal is an answer
/// as well.
async fn staggered<T, F>(attempt: impl Fn() -> F) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut attempts = JoinSet::new();
    for _ in 1..ATTEMPTS {
        attempts.spawn(attempt());
        if let Ok(Some(ended)) = tokio::time::timeout(STAGGER, attempts.join_next()).await {
            return ended?;
        }
    }
    attempts.spawn(attempt());
    match attempts.join_next().await {
        Some(ended) => ended?,
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Runs attempts that end as told, one each; returns the result, the attempts made and the time taken.
    async fn run(
        ends: &[(u64, Result<u32, io::ErrorKind>)],
    ) -> (Result<u32, io::ErrorKind>, u32, u128) {
        let made = AtomicU32::new(0);
        let started = tokio::time::Instant::now();
        let result = staggered(|| {
            let (after, end) = ends[made.fetch_add(1, Ordering::Relaxed) as usize];
            async move {
                tokio::time::sleep(Duration::from_millis(after)).await;
                end.map_err(io::Error::from)
            }
        })
        .await;
        let elapsed = started.elapsed().as_millis();
        (
            result.map_err(|e| e.kind()),
            made.load(Ordering::Relaxed),
            elapsed,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_comes_soon_is_the_only_attempt() {
        assert_eq!(run(&[(300, Ok(1))]).await, (Ok(1), 1, 300));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_first_packet_costs_less_than_the_systems_second() {
        let ends = [(1300, Ok(1)), (300, Ok(2))];
        assert_eq!(run(&ends).await, (Ok(2), 2, 700));
        let ends = [(1300, Ok(1)), (3300, Ok(2)), (300, Ok(3))];
        assert_eq!(run(&ends).await, (Ok(3), 3, 1100));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_an_answer() {
        let refused = Err(io::ErrorKind::ConnectionRefused);
        let ends = [(1300, Ok(1)), (100, refused)];
        assert_eq!(run(&ends).await, (refused, 2, 500));
    }
}
