//! What `bench` says in the end.

use fasp_core::Rate;
use fasp_net::event::ShownText;
use serde::Serialize;

use super::{
    figures::{Figures, Settled},
    session::Way,
    verdict::Limit,
};
use crate::{error::CommandError, resolve::BenchRequest, ui::Ui};

/// What became of one direction.
#[derive(Debug)]
pub(super) enum Measured {
    Figures {
        figures: Figures,
        settled: Settled,
        limit: Limit,
    },
    /// The server would not do it.
    Refused(CommandError),
}

impl Measured {
    pub(super) fn figures(way: Way, figures: Figures, wanted: Option<Rate>) -> Self {
        let settled = figures.settled();
        let limit = Limit::of(way, &figures, &settled, wanted);
        Self::Figures {
            figures,
            settled,
            limit,
        }
    }
}

/// What was measured, in the order in which that was done.
#[derive(Debug)]
pub(super) struct Report {
    host: String,
    directions: Vec<(Way, Measured)>,
}

impl Report {
    pub(super) fn new(request: &BenchRequest) -> Self {
        Self {
            host: request.server.host.to_string(),
            directions: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, way: Way, measured: Measured) {
        self.directions.push((way, measured));
    }

    /// Whether a direction may be missing: there are others, and not all of them are missing as well.
    pub(super) fn may_lack(&self, index: usize, count: usize) -> bool {
        let some = self.measured().next().is_some();
        count > 1 && (some || index + 1 < count)
    }

    fn measured(&self) -> impl Iterator<Item = &Figures> {
        self.directions
            .iter()
            .filter_map(|(_, measured)| match measured {
                Measured::Figures { figures, .. } => Some(figures),
                Measured::Refused(_) => None,
            })
    }

    pub(super) fn show(&self, ui: &Ui) -> Result<(), CommandError> {
        if ui.is_json() {
            ui.print_json(&self.object())
        } else {
            ui.print_data(self.text().as_bytes())
        }
    }

    /// The smallest and the usual round trip, microseconds. Queues in the busier direction are part of the usual one.
    fn round_trip(&self) -> (u64, u64) {
        let times = || self.measured().map(Figures::round_trip);
        let smallest = times().map(|(smallest, _)| smallest).min();
        let typical = times().map(|(_, typical)| typical).max();
        (smallest.unwrap_or(0), typical.unwrap_or(0))
    }

    fn datagram(&self) -> Option<u16> {
        self.measured().find_map(|figures| figures.datagram)
    }

    fn text(&self) -> String {
        let (smallest, typical) = self.round_trip();
        let ms = |us: u64| us as f64 / 1000.0;
        let peer = self.measured().next().map(|figures| figures.peer.as_str());
        let mut text = format!(
            "path         {}, UDP to {}\nround trip   smallest {:.1} ms, typical {:.1} ms\n",
            ShownText::from(self.host.as_str()),
            peer.unwrap_or_default(),
            ms(smallest),
            ms(typical),
        );
        if let Some(size) = self.datagram() {
            text.push_str(&format!("datagrams    {size} bytes\n"));
        }
        for (way, measured) in &self.directions {
            text.push_str(&format!("{:<11}  {}\n", way.name(), line(*way, measured)));
        }
        text
    }

    fn object(&self) -> Object {
        let (smallest, typical) = self.round_trip();
        let direction = |wanted: Way| {
            let found = self.directions.iter().find(|(way, _)| *way == wanted);
            found.map(|(way, measured)| Direction::new(*way, measured))
        };
        Object {
            event: "bench",
            host: ShownText::from(self.host.as_str()),
            rtt_min_us: smallest,
            rtt_typical_us: typical,
            datagram_bytes: self.datagram(),
            up: direction(Way::Up),
            down: direction(Way::Down),
        }
    }
}

fn line(way: Way, measured: &Measured) -> String {
    match measured {
        Measured::Figures { settled, limit, .. } => format!(
            "{}, loss {:.2} %, queue {:.1} ms; {}",
            Rate::from_kbps(settled.rate_kbps),
            settled.loss * 100.0,
            settled.queueing_us as f64 / 1000.0,
            limit.sentence(way),
        ),
        Measured::Refused(error) => format!("not measured: {}", refusal(error)),
    }
}

fn refusal(error: &CommandError) -> String {
    format!(
        "{} (FASP code {})",
        crate::ui::error_sentence(error),
        error.code().number()
    )
}

/// Leaves out digits that mean nothing.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Object {
    event: &'static str,
    host: ShownText,
    rtt_min_us: u64,
    rtt_typical_us: u64,
    datagram_bytes: Option<u16>,
    up: Option<Direction>,
    down: Option<Direction>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
enum Direction {
    Measured {
        rate_kbps: u64,
        sending_rate_kbps: u64,
        rate_cap_kbps: Option<u64>,
        loss_ratio: f64,
        queueing_delay_us: u64,
        processors_here: f64,
        bytes: u64,
        elapsed_ms: u64,
        limited_by: Limit,
        message: &'static str,
    },
    NotMeasured {
        code: u8,
        message: String,
    },
}

impl Direction {
    fn new(way: Way, measured: &Measured) -> Self {
        match measured {
            Measured::Figures {
                figures,
                settled,
                limit,
            } => {
                let (time, bytes) = figures.moved();
                Self::Measured {
                    rate_kbps: settled.rate_kbps,
                    sending_rate_kbps: settled.sending_kbps,
                    rate_cap_kbps: figures.cap_kbps,
                    loss_ratio: rounded(settled.loss, 1e5),
                    queueing_delay_us: settled.queueing_us,
                    processors_here: rounded(settled.processors, 1e2),
                    bytes,
                    elapsed_ms: time.as_millis() as u64,
                    limited_by: *limit,
                    message: limit.sentence(way),
                }
            }
            Measured::Refused(error) => Self::NotMeasured {
                code: error.code().number(),
                message: crate::ui::error_sentence(error),
            },
        }
    }
}
