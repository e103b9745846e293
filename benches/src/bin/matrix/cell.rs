//! A line to measure over, what can be reached on it, and the bars.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Share of a full IP packet that is file data: 1,500 bytes less IP, UDP, our header, tag and frame. TCP's share is
/// 0.7 % larger; one limit for everybody keeps the figures comparable.
pub(crate) const PAYLOAD_SHARE: f64 = 1438.0 / 1500.0;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) rate_mbps: f64,
    pub(crate) rtt_ms: f64,
    pub(crate) loss_pct: f64,
}

/// What is asked of us in a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bars {
    /// Least share of the limit from the first data and ten round trips to the last byte.
    pub(crate) steady: f64,
    /// Least share of the limit for the whole command.
    pub(crate) whole: f64,
    /// Most bytes on the wire, as a multiple of the least possible without loss.
    pub(crate) overhead: f64,
    /// Whether every peer has to be slower.
    pub(crate) ahead: bool,
}

impl Cell {
    fn kept(&self) -> f64 {
        1.0 - self.loss_pct / 100.0
    }

    /// File data that fits through the line, bytes per second.
    pub(crate) fn limit(&self) -> f64 {
        self.rate_mbps * 1e6 / 8.0 * self.kept() * PAYLOAD_SHARE
    }

    pub(crate) fn bars(&self) -> Bars {
        Bars {
            steady: if self.loss_pct <= 5.0 { 0.95 } else { 0.92 },
            whole: if self.rtt_ms <= 100.0 { 0.92 } else { 0.88 },
            overhead: 1.02 / self.kept(),
            ahead: self.rtt_ms >= 50.0 || self.loss_pct >= 1.0,
        }
    }

    /// For names of files.
    pub(crate) fn slug(&self) -> String {
        format!(
            "{}mbit-{}ms-{}pct",
            self.rate_mbps, self.rtt_ms, self.loss_pct
        )
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} Mbit/s, {} ms, {} %",
            self.rate_mbps, self.rtt_ms, self.loss_pct
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_what_survives_of_the_payload() {
        let cell = Cell {
            rate_mbps: 100.0,
            rtt_ms: 100.0,
            loss_pct: 5.0,
        };
        assert!((cell.limit() - 11_384_166.67).abs() < 1.0);
        let bars = cell.bars();
        assert_eq!((bars.steady, bars.whole, bars.ahead), (0.95, 0.92, true));
        assert!((bars.overhead - 1.0737).abs() < 1e-4);
        let far = Cell {
            rtt_ms: 300.0,
            loss_pct: 10.0,
            ..cell
        };
        assert_eq!((far.bars().steady, far.bars().whole), (0.92, 0.88));
        let near = Cell {
            rtt_ms: 1.0,
            loss_pct: 0.1,
            ..cell
        };
        assert!(!near.bars().ahead);
    }
}
