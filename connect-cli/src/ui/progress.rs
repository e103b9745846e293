//! The bar: bytes, rate, remaining time, and what the network does.

use std::time::Duration;

use fasp_core::Rate;
use fasp_net::event::{LimitedBy, Progress};
use indicatif::{ProgressDrawTarget, ProgressStyle};

use super::{
    screen::Screen,
    text::{byte_count, duration},
};

/// How often the terminal is drawn at most, times a second.
const DRAWS_A_SECOND: u8 = 8;

/// Between two parts of the words beside the bar.
const GAP: &str = "  ";
/// Columns that the bar itself keeps.
const SHORTEST_BAR: usize = 5;

/// A progress bar on standard error. Clones are the same bar.
#[derive(Debug, Clone)]
pub struct ProgressBar {
    bar: indicatif::ProgressBar,
}

impl ProgressBar {
    /// Makes a bar; `plain` leaves out colours.
    pub fn on_stderr(plain: bool) -> Self {
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen), DRAWS_A_SECOND);
        Self::on(target, plain)
    }

    fn on(target: ProgressDrawTarget, plain: bool) -> Self {
        let bar = indicatif::ProgressBar::with_draw_target(None, target);
        let template = if plain {
            "{wide_bar} {msg}"
        } else {
            "{wide_bar:.cyan} {msg}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar }
    }

    /// Shows how far the transfer is.
    pub fn show(&self, progress: &Progress) {
        if let Some(total) = progress.bytes_total {
            self.bar.set_length(total);
        }
        self.bar.set_position(progress.bytes_done);
        self.bar
            .set_message(progress_line(progress, Screen::columns()));
    }

    /// Shows how far local work on files is.
    pub fn show_bytes(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar
            .set_message(format!("{}/{}", byte_count(done), byte_count(total)));
    }

    /// Shows how far a measurement of `total` is.
    pub fn show_measurement(&self, name: &str, total: Duration, progress: &Progress) {
        let total = total.as_millis() as u64;
        self.bar.set_length(total);
        self.bar.set_position(progress.elapsed_ms.min(total));
        let progress = Progress {
            bytes_total: None,
            ..*progress
        };
        let room = Screen::columns().saturating_sub(name.len() + GAP.len());
        let line = progress_line(&progress, room);
        self.bar.set_message(format!("{name}{GAP}{line}"));
    }

    /// Writes a line above the bar, while the bar is out of the way.
    pub fn above<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// Returns the words beside the bar, such as
/// `512 MiB/1.00 GiB  93.1 Mbit/s  ETA 00:46  loss 0.3%  queue 12 ms  limited by the network`.
///
/// In fewer than `columns`, what matters least is left out first; the bar itself gets what is left of the line.
pub fn progress_line(progress: &Progress, columns: usize) -> String {
    let mut parts = parts(progress);
    let length = |parts: &[(Weight, String)]| {
        let gaps = GAP.len() * parts.len().saturating_sub(1);
        parts.iter().map(|(_, text)| text.len()).sum::<usize>() + gaps
    };
    while length(&parts) + SHORTEST_BAR + 1 > columns {
        let lightest = parts.iter().map(|(weight, _)| *weight).min();
        let Some(lightest) = lightest.filter(|weight| *weight < Weight::Always) else {
            break;
        };
        parts.retain(|(weight, _)| *weight != lightest);
    }
    let texts: Vec<String> = parts.into_iter().map(|(_, text)| text).collect();
    texts.join(GAP)
}

/// How much a part of the line matters, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Queue,
    Loss,
    Limit,
    Remaining,
    Always,
}

/// Every part there is something to say about, in the order of the line.
fn parts(progress: &Progress) -> Vec<(Weight, String)> {
    let done = byte_count(progress.bytes_done);
    let amount = match progress.bytes_total {
        Some(total) => format!("{done}/{}", byte_count(total)),
        None => done,
    };
    let rate = Rate::from_kbps(progress.rate_kbps).to_string();
    let eta = remaining(progress).map(|time| format!("ETA {}", duration(time)));
    let loss = (progress.loss_ratio >= 0.0005)
        .then(|| format!("loss {:.1}%", progress.loss_ratio * 100.0));
    let queue = (progress.queueing_delay_us >= 1000)
        .then(|| format!("queue {} ms", progress.queueing_delay_us / 1000));
    let limit = match progress.limited_by {
        LimitedBy::StartUp => None,
        limit => Some(format!("limited by {}", limit.description())),
    };
    [
        (Weight::Always, Some(amount)),
        (Weight::Always, Some(rate)),
        (Weight::Remaining, eta),
        (Weight::Loss, loss),
        (Weight::Queue, queue),
        (Weight::Limit, limit),
    ]
    .into_iter()
    .filter_map(|(weight, text)| Some((weight, text?)))
    .collect()
}

/// Returns the time that the rest takes at the mean rate, when both are known.
fn remaining(progress: &Progress) -> Option<Duration> {
    let total = progress.bytes_total?;
    let rate = Rate::from_kbps(progress.mean_rate_kbps);
    (rate > Rate::ZERO).then(|| rate.time_for(total.saturating_sub(progress.bytes_done)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halfway() -> Progress {
        Progress {
            bytes_done: 512 << 20,
            resumed_bytes: 0,
            bytes_total: Some(1 << 30),
            files_done: 3,
            files_total: Some(7),
            rate_kbps: 93_100,
            mean_rate_kbps: 93_100,
            target_rate_kbps: 100_000,
            sending_rate_kbps: 98_000,
            datagram_size: 1452,
            rtt_us: 80_000,
            queueing_delay_us: 12_345,
            loss_ratio: 0.003,
            retransmitted_bytes: 1 << 20,
            limited_by: LimitedBy::Network,
            elapsed_ms: 46_000,
        }
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_why_not_faster() {
        assert_eq!(
            progress_line(&halfway(), 120),
            "512 MiB/1.00 GiB  93.1 Mbit/s  ETA 00:46  loss 0.3%  queue 12 ms  limited by the network"
        );
    }

    #[test]
    fn what_is_not_known_or_not_worth_it_is_left_out() {
        let progress = Progress {
            bytes_total: None,
            loss_ratio: 0.0,
            queueing_delay_us: 400,
            limited_by: LimitedBy::StartUp,
            ..halfway()
        };
        assert_eq!(progress_line(&progress, 80), "512 MiB  93.1 Mbit/s");
        let stalled = Progress {
            mean_rate_kbps: 0,
            rate_kbps: 0,
            limited_by: LimitedBy::StartUp,
            ..halfway()
        };
        assert!(!progress_line(&stalled, 80).contains("ETA"));
    }

    #[test]
    fn a_narrow_terminal_keeps_what_matters_most() {
        for (columns, line) in [
            (
                80,
                "512 MiB/1.00 GiB  93.1 Mbit/s  ETA 00:46  limited by the network",
            ),
            (60, "512 MiB/1.00 GiB  93.1 Mbit/s  ETA 00:46"),
            (45, "512 MiB/1.00 GiB  93.1 Mbit/s"),
            (10, "512 MiB/1.00 GiB  93.1 Mbit/s"),
        ] {
            assert_eq!(progress_line(&halfway(), columns), line, "{columns}");
        }
    }

    #[test]
    fn both_templates_are_valid() {
        for template in ["{wide_bar} {msg}", "{wide_bar:.cyan} {msg}"] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
        let bar = ProgressBar::on(ProgressDrawTarget::hidden(), true);
        bar.show(&halfway());
        bar.clear();
    }
}
