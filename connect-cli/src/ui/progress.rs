//! The bar: bytes, rate, remaining time, and what the network does.

use std::time::Duration;

use fasp_core::Rate;
use fasp_net::event::{LimitedBy, Progress};
use indicatif::{ProgressDrawTarget, ProgressStyle};

use super::text::{byte_count, duration};

/// How often the terminal is drawn at most, times a second.
const DRAWS_A_SECOND: u8 = 8;

/// A progress bar on standard error.
#[derive(Debug)]
pub struct ProgressBar {
    bar: indicatif::ProgressBar,
}

impl ProgressBar {
    /// Makes a bar; `plain` leaves out colours.
    pub fn on_stderr(plain: bool) -> Self {
        Self::on(ProgressDrawTarget::stderr_with_hz(DRAWS_A_SECOND), plain)
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
        self.bar.set_message(progress_line(progress));
    }

    /// Shows how far local work on files is.
    pub fn show_bytes(&self, done: u64, total: u64) {
        self.bar.set_length(total);
        self.bar.set_position(done);
        self.bar
            .set_message(format!("{}/{}", byte_count(done), byte_count(total)));
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
pub fn progress_line(progress: &Progress) -> String {
    let mut parts = vec![match progress.bytes_total {
        Some(total) => format!("{}/{}", byte_count(progress.bytes_done), byte_count(total)),
        None => byte_count(progress.bytes_done),
    }];
    parts.push(Rate::from_kbps(progress.rate_kbps).to_string());
    if let Some(remaining) = remaining(progress) {
        parts.push(format!("ETA {}", duration(remaining)));
    }
    if progress.loss_ratio >= 0.0005 {
        parts.push(format!("loss {:.1}%", progress.loss_ratio * 100.0));
    }
    if progress.queueing_delay_us >= 1000 {
        parts.push(format!("queue {} ms", progress.queueing_delay_us / 1000));
    }
    match progress.limited_by {
        LimitedBy::StartUp => {}
        limit => parts.push(format!("limited by {}", limit.description())),
    }
    parts.join("  ")
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
            bytes_total: Some(1 << 30),
            files_done: 3,
            files_total: Some(7),
            rate_kbps: 93_100,
            mean_rate_kbps: 93_100,
            target_rate_kbps: 100_000,
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
            progress_line(&halfway()),
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
        assert_eq!(progress_line(&progress), "512 MiB  93.1 Mbit/s");
        let stalled = Progress {
            mean_rate_kbps: 0,
            rate_kbps: 0,
            limited_by: LimitedBy::StartUp,
            ..halfway()
        };
        assert!(!progress_line(&stalled).contains("ETA"));
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
