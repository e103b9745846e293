//! One direction: a session with made-up content, ended when its time is over.

use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use fasp_core::ErrorCode;
use fasp_net::{
    Error as NetError,
    engine::{Source, Sources},
    event::{Event, Outcome, Progress},
    request::TransferOptions,
    transfer::{Job, LocalDestination, Transfer},
};
use rustix::time::{ClockId, clock_gettime};
use transfer_spec::FauxSource;

use super::figures::{Figures, Sample};
use crate::{
    commands::{
        answers::Answers,
        connection::{self, Reached},
        signals::Signals,
        transfer_log::TransferLog,
    },
    error::CommandError,
    exit::ExitStatus,
    resolve::BenchRequest,
    ui::{ProgressBar, Ui},
};

/// More than any session moves in its time, bytes: 4 TiB, which 100 Gbit/s move in six minutes.
const PLENTY: u64 = 4 << 40;
/// The same, as a server is asked for it.
const PLENTY_THERE: &[u8] = b"faux:///bench?4t";
/// What discards, on the server.
const SINK: &[u8] = b"faux://";
/// What the server gets to hear that somebody stopped it here.
const FAREWELL: Duration = Duration::from_secs(2);

/// A direction, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    fn job(self) -> Result<Job, NetError> {
        Ok(match self {
            Self::Up => Job::Upload {
                sources: Sources::new(vec![Source::Faux(FauxSource::File {
                    name: "bench".to_owned(),
                    size: PLENTY,
                })])?,
                destination: SINK.to_vec(),
            },
            Self::Down => Job::Download {
                sources: vec![PLENTY_THERE.to_vec()],
                destination: LocalDestination::Sink,
            },
        })
    }
}

/// Measures one direction. The first signal ends it in order, the second one at once.
pub(super) async fn measure(
    ui: &Ui,
    request: &BenchRequest,
    way: Way,
    signals: &mut Signals,
) -> Result<Figures, CommandError> {
    let options = TransferOptions {
        target_rate: request.target_rate,
        ..TransferOptions::default()
    };
    let log = TransferLog::new(&request.server, &options);
    let (transfer, process) = signals.unless(start(request, way, &options)).await?;
    let seconds = request.time.as_secs();
    let bar = ui.bar();
    if bar.is_none() {
        ui.note(&format!("measuring {} for {seconds} s", way.name()));
    }
    let follower = Follower {
        way,
        time: request.time,
        log,
        bar: bar.clone(),
        figures: Figures::default(),
        origin: None,
    };
    let remote = transfer.remote();
    let mut following = tokio::task::spawn_blocking(move || follower.follow(transfer));
    let joined = tokio::select! {
        joined = &mut following => joined,
        () = signals.next() => {
            remote.cancel();
            let ended = tokio::select! {
                ended = tokio::time::timeout(FAREWELL, &mut following) => ended.is_ok(),
                () = signals.next() => false,
            };
            if let Some(bar) = bar {
                bar.clear();
            }
            if !ended {
                std::process::exit(ExitStatus::Cancelled.number().into());
            }
            return Err(CommandError::Cancelled);
        }
    };
    drop(process);
    joined.unwrap_or_else(|_| {
        Err(CommandError::Net(NetError::Session {
            code: ErrorCode::Internal,
            message: "the measurement's thread ended unexpectedly".to_owned(),
            hint: None,
        }))
    })
}

/// Starts the session; what is returned beside it has to live as long.
async fn start(
    request: &BenchRequest,
    way: Way,
    options: &TransferOptions,
) -> Result<(Transfer, impl Sized + use<>), CommandError> {
    let Reached { dialled, process } =
        connection::reach(&request.server, &request.carrier, &Answers::default()).await?;
    match Transfer::start(dialled, way.job()?, options).await {
        Ok(transfer) => Ok((transfer, process)),
        Err(error) => Err(connection::explain(error, process).await),
    }
}

/// Reads a session's figures.
struct Follower {
    way: Way,
    time: Duration,
    log: TransferLog,
    bar: Option<ProgressBar>,
    figures: Figures,
    /// When data moved first.
    origin: Option<Instant>,
}

impl Follower {
    fn follow(mut self, transfer: Transfer) -> Result<Figures, CommandError> {
        while self.next(&transfer) {}
        let is_over = self.is_over();
        if is_over {
            transfer.remote().cancel();
        }
        if let Some(bar) = &self.bar {
            bar.clear();
        }
        let result = match transfer.wait() {
            // It was ended because its time was over.
            Err(NetError::Session { code, .. }) if is_over && code == ErrorCode::Cancelled => {
                Ok(self.outcome())
            }
            result => result,
        };
        self.log.stop(result.as_ref());
        result?;
        Ok(self.figures)
    }

    /// Takes the next event; false when there is no other to wait for.
    fn next(&mut self, transfer: &Transfer) -> bool {
        let event = match self.origin {
            Some(origin) => transfer.events().recv_deadline(origin + self.time),
            // A path that carries nothing ends the session by itself.
            None => transfer
                .events()
                .recv()
                .map_err(|_| RecvTimeoutError::Disconnected),
        };
        let Ok(event) = event else {
            return false;
        };
        self.log.event(&event);
        match &event {
            Event::Started(started) => {
                self.figures.peer = started.peer.to_string();
                self.figures.target_kbps = started.target_rate_kbps;
                self.figures.cap_kbps = started.rate_cap_kbps;
            }
            Event::Progress(progress) => self.on_progress(progress),
            Event::Done(_) => return false,
            _ => {}
        }
        true
    }

    fn on_progress(&mut self, progress: &Progress) {
        if progress.bytes_done > 0 {
            self.origin.get_or_insert_with(Instant::now);
            self.figures.samples.push(Sample {
                at: Duration::from_millis(progress.elapsed_ms),
                bytes: progress.bytes_done,
                sending_kbps: progress.sending_rate_kbps,
                rtt_us: progress.rtt_us,
                queueing_us: progress.queueing_delay_us,
                loss: progress.loss_ratio,
                processor: processor_time(),
            });
        }
        if self.way == Way::Up {
            self.figures.datagram = Some(progress.datagram_size);
        }
        if let Some(bar) = &self.bar {
            bar.show_measurement(self.way.name(), self.time, progress);
        }
    }

    fn is_over(&self) -> bool {
        self.origin
            .is_some_and(|origin| origin.elapsed() >= self.time)
    }

    fn outcome(&self) -> Outcome {
        let last = self.figures.samples.last();
        let elapsed_ms = last.map_or(0, |last| last.at.as_millis() as u64);
        let bytes = last.map_or(0, |last| last.bytes);
        Outcome {
            bytes,
            elapsed_ms,
            mean_rate_kbps: (bytes * 8).checked_div(elapsed_ms).unwrap_or(0),
            ..Outcome::default()
        }
    }
}

/// What this process has used of the processors so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // It does not go below zero.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
