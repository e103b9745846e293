//! Who is on the line when, and what is asked of them.

use serde::{Deserialize, Serialize};

use crate::cell::Cell;
use crate::peer::Congestion;

/// Every case is on this line; its queue holds one bandwidth-delay product.
pub(super) const CELL: Cell = Cell {
    rate_mbps: 100.0,
    rtt_ms: 100.0,
    loss_pct: 0.0,
};
/// When a second flow comes, seconds.
const SECOND: f64 = 10.0;
/// How long flows get to find their shares, seconds.
const SETTLING: f64 = 15.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// An upload of ours with policy `fair`.
    Fair,
    /// The same with policy `low`.
    Low,
    /// One connection of the kernel.
    Tcp(Congestion),
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fair => "ours",
            Self::Low => "ours, low",
            Self::Tcp(control) => control.name(),
        }
    }
}

/// One flow, and when it is on the line, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Flow {
    pub(super) kind: Kind,
    pub(super) from: f64,
    pub(super) to: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) flows: Vec<Flow>,
}

impl Case {
    /// All cases; each takes `seconds`.
    pub(super) fn all(seconds: f64) -> Vec<Self> {
        let flow = |kind, from, to| Flow { kind, from, to };
        let from = |kind, from| flow(kind, from, seconds);
        let pair = |name, first, second| Self {
            name,
            flows: vec![from(first, 0.0), from(second, SECOND)],
        };
        let (cubic, bbr) = (Kind::Tcp(Congestion::Cubic), Kind::Tcp(Congestion::Bbr));
        let four = |i| from(Kind::Fair, f64::from(i) * SECOND / 3.0);
        vec![
            pair("ours-then-cubic", Kind::Fair, cubic),
            pair("cubic-then-ours", cubic, Kind::Fair),
            pair("ours-then-bbr", Kind::Fair, bbr),
            pair("bbr-then-ours", bbr, Kind::Fair),
            pair("two-ours", Kind::Fair, Kind::Fair),
            Self {
                name: "four-ours",
                flows: (0..4).map(four).collect(),
            },
            Self {
                name: "low-and-cubic",
                flows: vec![
                    from(Kind::Low, 0.0),
                    flow(cubic, SECOND, seconds - SETTLING),
                ],
            },
        ]
    }

    pub(super) fn seconds(&self) -> f64 {
        self.flows.iter().map(|flow| flow.to).fold(0.0, f64::max)
    }

    /// When all flows are on the line and have found their shares.
    pub(super) fn window(&self) -> (f64, f64) {
        let last = self.flows.iter().map(|flow| flow.from).fold(0.0, f64::max);
        let first = self.flows.iter().map(|flow| flow.to);
        (last + SETTLING, first.fold(f64::MAX, f64::min))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_taken_while_everybody_is_there() {
        for case in Case::all(70.0) {
            let (from, to) = case.window();
            assert!(to - from >= 20.0, "{}", case.name);
            assert!(
                case.flows
                    .iter()
                    .all(|flow| flow.from < from && to <= flow.to)
            );
        }
    }
}
