//! The plots: a heat map of the share of the limit, shares over round-trip time, rates over time, CPU.

use std::path::Path;

use benches::process::Failure;

use crate::cell::Cell;
use crate::results::{OURS, Results, median};
use crate::svg::{Anchor, COLOURS, FAINT, INK, Stroke, Svg};

/// Draws everything that the results are enough for.
pub(crate) fn draw(results: &Results, dir: &Path) -> Result<(), Failure> {
    for rate in results.rates() {
        let peers = results.peers(rate);
        let cells: Vec<Cell> = results
            .cells()
            .into_iter()
            .filter(|c| c.rate_mbps == rate)
            .collect();
        heat_map(results, rate, &peers, &cells).write(dir, &format!("share-{rate}mbit"))?;
        cpu(results, rate, &peers, &cells).write(dir, &format!("cpu-{rate}mbit"))?;
        if let Some(svg) = over_rtt(results, rate, &peers, &cells) {
            svg.write(dir, &format!("rtt-{rate}mbit"))?;
        }
        for cell in cells {
            over_time(results, cell, &peers).write(dir, &format!("time-{}", cell.slug()))?;
        }
    }
    Ok(())
}

pub(crate) fn colour(index: usize) -> &'static str {
    COLOURS[index.min(COLOURS.len() - 1)]
}

/// White ink where the background is dark.
fn shade(share: f64) -> (String, &'static str) {
    let share = share.clamp(0.0, 1.0);
    // From near white to a deep green, so that it also reads in grey.
    let mix = |from: f64, to: f64| (from + (to - from) * share) as u8;
    let fill = format!(
        "#{:02x}{:02x}{:02x}",
        mix(247.0, 0.0),
        mix(252.0, 92.0),
        mix(245.0, 60.0)
    );
    (fill, if share > 0.6 { "#ffffff" } else { INK })
}

/// Rows are peers, columns are lines.
fn heat_map(results: &Results, rate: f64, peers: &[String], cells: &[Cell]) -> Svg {
    const LEFT: f64 = 130.0;
    const TOP: f64 = 62.0;
    let (column, row) = (if cells.len() > 12 { 48.0 } else { 76.0 }, 30.0);
    let rows = peers.len() + 1;
    let mut svg = Svg::new(
        LEFT + column * cells.len() as f64 + 12.0,
        TOP + row * rows as f64 + 30.0,
    );
    let title = format!("{rate} Mbit/s: share of the limit, %");
    svg.text([10.0, 20.0], Anchor::Start, 14.0, INK, &title);
    for (i, cell) in cells.iter().enumerate() {
        let x = LEFT + (i as f64 + 0.5) * column;
        svg.text(
            [x, 42.0],
            Anchor::Middle,
            11.0,
            INK,
            &format!("{} ms", cell.rtt_ms),
        );
        svg.text(
            [x, 56.0],
            Anchor::Middle,
            11.0,
            INK,
            &format!("{} %", cell.loss_pct),
        );
    }
    let steady = [(0, OURS.to_owned(), true)];
    let whole = peers
        .iter()
        .enumerate()
        .map(|(i, name)| (i + 1, name.clone(), false));
    for (line, name, is_steady) in steady.into_iter().chain(whole) {
        let y = TOP + line as f64 * row;
        let label = if is_steady {
            format!("{name}, steady")
        } else {
            name.clone()
        };
        svg.text([LEFT - 8.0, y + 20.0], Anchor::End, 12.0, INK, &label);
        for (i, cell) in cells.iter().enumerate() {
            let Some(figure) = results.figure(&name, *cell) else {
                continue;
            };
            let Some(share) = (if is_steady {
                figure.steady
            } else {
                Some(figure.whole)
            }) else {
                continue;
            };
            let (fill, ink) = shade(share);
            let x = LEFT + i as f64 * column;
            svg.rect([x + 1.0, y + 1.0, column - 2.0, row - 2.0], &fill);
            let stopped = if figure.is_complete { "" } else { "~" };
            let text = format!("{stopped}{:.0}", share * 100.0);
            svg.text(
                [x + column / 2.0, y + 20.0],
                Anchor::Middle,
                12.0,
                ink,
                &text,
            );
        }
    }
    let note =
        "columns: round-trip time, loss each way; whole command unless steady; ~ stopped early";
    svg.text(
        [10.0, TOP + row * rows as f64 + 20.0],
        Anchor::Start,
        10.0,
        "#666666",
        note,
    );
    svg
}

/// A frame with axes, in which values are placed.
pub(crate) struct Frame {
    pub(crate) at: [f64; 2],
    pub(crate) size: [f64; 2],
    pub(crate) most: [f64; 2],
}

impl Frame {
    pub(crate) fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let share = [x / self.most[0], (y / self.most[1]).min(1.05)];
        [
            self.at[0] + share[0] * self.size[0],
            self.at[1] + (1.0 - share[1]) * self.size[1],
        ]
    }

    /// Horizontal rules with their values.
    pub(crate) fn rules(&self, svg: &mut Svg, step: f64) {
        let stroke = Stroke {
            colour: FAINT,
            width: 1.0,
            is_dashed: false,
        };
        let mut value = 0.0;
        while value <= self.most[1] * 1.001 {
            let [left, y] = self.place([0.0, value]);
            svg.line(&[[left, y], [left + self.size[0], y]], stroke);
            svg.text([left - 6.0, y + 4.0], Anchor::End, 11.0, INK, &tidy(value));
            value += step;
        }
    }
}

pub(crate) fn tidy(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A step of 1, 2 or 5 times a power of ten that divides a range into about `parts`.
pub(crate) fn step(range: f64, parts: f64) -> f64 {
    let raw = (range / parts).max(1e-9);
    let power = 10f64.powf(raw.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|t| t * power >= raw);
    times.unwrap_or(10.0) * power
}

pub(crate) fn legend(svg: &mut Svg, [mut x, y]: [f64; 2], entries: &[(String, &str, bool)]) {
    for (name, colour, is_dashed) in entries {
        let stroke = Stroke {
            colour,
            width: 2.5,
            is_dashed: *is_dashed,
        };
        svg.line(&[[x, y - 4.0], [x + 22.0, y - 4.0]], stroke);
        svg.text([x + 27.0, y], Anchor::Start, 11.0, INK, name);
        x += 40.0 + 7.0 * name.len() as f64;
    }
}

/// One panel per loss with two or more round-trip times.
fn over_rtt(results: &Results, rate: f64, peers: &[String], cells: &[Cell]) -> Option<Svg> {
    let mut losses: Vec<f64> = cells.iter().map(|c| c.loss_pct).collect();
    losses.sort_by(f64::total_cmp);
    losses.dedup();
    losses.retain(|loss| cells.iter().filter(|c| c.loss_pct == *loss).count() > 1);
    if losses.is_empty() {
        return None;
    }
    const PANEL: f64 = 250.0;
    let mut svg = Svg::new(
        (40.0 + (PANEL + 30.0) * losses.len() as f64).max(560.0),
        310.0,
    );
    svg.text(
        [10.0, 20.0],
        Anchor::Start,
        14.0,
        INK,
        &format!("{rate} Mbit/s: share of the limit over round-trip time"),
    );
    let mut entries = vec![("ours, steady".to_owned(), colour(0), true)];
    entries.extend(
        peers
            .iter()
            .enumerate()
            .map(|(i, name)| (name.clone(), colour(i), false)),
    );
    legend(&mut svg, [12.0, 42.0], &entries);
    for (panel, loss) in losses.iter().enumerate() {
        let cells: Vec<&Cell> = cells.iter().filter(|c| c.loss_pct == *loss).collect();
        let furthest = cells.iter().map(|c| c.rtt_ms).fold(1.0, f64::max);
        let at = [44.0 + panel as f64 * (PANEL + 30.0), 82.0];
        let frame = Frame {
            at,
            size: [PANEL - 20.0, 180.0],
            most: [furthest * 1.05, 100.0],
        };
        frame.rules(&mut svg, 25.0);
        svg.text(
            [at[0], 72.0],
            Anchor::Start,
            12.0,
            INK,
            &format!("{loss} % loss each way"),
        );
        for cell in &cells {
            let [x, y] = frame.place([cell.rtt_ms, 0.0]);
            svg.text([x, y + 16.0], Anchor::Middle, 11.0, INK, &tidy(cell.rtt_ms));
        }
        svg.text(
            [at[0] + (PANEL - 20.0) / 2.0, 296.0],
            Anchor::Middle,
            11.0,
            INK,
            "round-trip time, ms",
        );
        // Ours last, on top.
        for (index, name) in peers.iter().enumerate().rev() {
            let figures = || {
                cells
                    .iter()
                    .filter_map(|c| results.figure(name, **c).map(|f| (c.rtt_ms, f)))
            };
            let points: Vec<_> = figures()
                .map(|(rtt, f)| frame.place([rtt, f.whole * 100.0]))
                .collect();
            let width = if name == OURS { 3.0 } else { 2.0 };
            svg.line(
                &points,
                Stroke {
                    colour: colour(index),
                    width,
                    is_dashed: false,
                },
            );
            points
                .iter()
                .for_each(|point| svg.circle(*point, 3.5, colour(index)));
            if name == OURS {
                let steady =
                    figures().filter_map(|(rtt, f)| Some(frame.place([rtt, f.steady? * 100.0])));
                let points: Vec<_> = steady.collect();
                svg.line(
                    &points,
                    Stroke {
                        colour: colour(0),
                        width: 2.0,
                        is_dashed: true,
                    },
                );
            }
        }
    }
    Some(svg)
}

/// The first run of every peer, second by second.
fn over_time(results: &Results, cell: Cell, peers: &[String]) -> Svg {
    let mut svg = Svg::new(640.0, 330.0);
    svg.text(
        [10.0, 20.0],
        Anchor::Start,
        14.0,
        INK,
        &format!("{cell} loss each way: file data, Mbit/s"),
    );
    let runs: Vec<_> = peers
        .iter()
        .map(|name| {
            results
                .runs
                .iter()
                .find(|r| r.cell == cell && r.peer == *name)
        })
        .collect();
    let longest = runs
        .iter()
        .flatten()
        .map(|run| run.series.last_at())
        .fold(1.0, f64::max);
    let limit = cell.limit() * 8e-6;
    let frame = Frame {
        at: [48.0, 60.0],
        size: [575.0, 220.0],
        most: [longest, limit * 1.1],
    };
    axes(&mut svg, &frame, limit, "seconds since the command began");
    let mut entries = vec![("limit".to_owned(), INK, true)];
    for (index, run) in runs.iter().enumerate() {
        if run.is_some() {
            entries.push((peers[index].clone(), colour(index), false));
        }
    }
    legend(&mut svg, [48.0, 44.0], &entries);
    let bin = (longest / 60.0).max(0.5);
    for (index, run) in runs.iter().enumerate().rev() {
        let Some(run) = run else {
            continue;
        };
        let rates = run.series.rates(bin);
        let points: Vec<_> = rates
            .iter()
            .map(|(at, rate)| frame.place([*at, rate * 8e-6]))
            .collect();
        let width = if index == 0 { 2.6 } else { 1.8 };
        svg.line(
            &points,
            Stroke {
                colour: colour(index),
                width,
                is_dashed: false,
            },
        );
    }
    svg
}

/// The scales of rates over time, and the limit.
pub(crate) fn axes(svg: &mut Svg, frame: &Frame, limit: f64, name: &str) {
    let longest = frame.most[0];
    frame.rules(svg, step(limit, 5.0));
    let seconds = step(longest, 8.0);
    let mut tick = 0.0;
    while tick <= longest {
        let [x, y] = frame.place([tick, 0.0]);
        svg.text([x, y + 16.0], Anchor::Middle, 11.0, INK, &tidy(tick));
        tick += seconds;
    }
    let below = frame.at[1] + frame.size[1] + 38.0;
    let middle = frame.at[0] + frame.size[0] / 2.0;
    svg.text([middle, below], Anchor::Middle, 11.0, INK, name);
    let limits = [frame.place([0.0, limit]), frame.place([longest, limit])];
    svg.line(
        &limits,
        Stroke {
            colour: INK,
            width: 1.2,
            is_dashed: true,
        },
    );
}

/// Bars: the median over all lines on which the copy was complete.
fn cpu(results: &Results, rate: f64, peers: &[String], cells: &[Cell]) -> Svg {
    let value = |name: &String| {
        let figures = cells
            .iter()
            .filter_map(|c| results.figure(name, *c))
            .filter(|f| f.is_complete);
        median(figures.map(|f| f.cpu_s_per_gb).collect())
    };
    let values: Vec<Option<f64>> = peers.iter().map(value).collect();
    let most = values.iter().flatten().copied().fold(0.1, f64::max);
    let mut svg = Svg::new(560.0, 50.0 + 28.0 * peers.len() as f64);
    let title =
        format!("{rate} Mbit/s: CPU seconds per GB, both ends' processes, median of the lines");
    svg.text([10.0, 20.0], Anchor::Start, 13.0, INK, &title);
    for (index, (name, value)) in peers.iter().zip(values).enumerate() {
        let y = 36.0 + 28.0 * index as f64;
        svg.text([100.0, y + 15.0], Anchor::End, 12.0, INK, name);
        let Some(value) = value else {
            svg.text(
                [108.0, y + 15.0],
                Anchor::Start,
                12.0,
                "#666666",
                "never complete",
            );
            continue;
        };
        let width = 380.0 * value / most;
        svg.rect([106.0, y, width, 20.0], colour(index));
        svg.text(
            [112.0 + width, y + 15.0],
            Anchor::Start,
            12.0,
            INK,
            &tidy(value),
        );
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (range, expected) in [(94.9, 20.0), (40.0, 10.0), (1.0, 0.2), (284.0, 100.0)] {
            assert_eq!(tidy(step(range, 5.0)), tidy(expected), "{range}");
        }
    }
}
