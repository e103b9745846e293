//! Shares, and whether they are what is asked for.

use serde::{Deserialize, Serialize};

use super::case::{CELL, Case, Flow, Kind};
use crate::series::Series;

/// Least share of what all get for each of two flows.
const LEAST: f64 = 0.3;
/// Least Jain index of several flows of ours.
const JAIN: f64 = 0.95;
/// Most share of `low` beside TCP.
const LOW: f64 = 0.1;
/// What `low` has to be back at when TCP has left, share of the limit, and the time it has, seconds.
const BACK: f64 = 0.9;
const BACK_WITHIN: f64 = 3.0;
/// Stretch in which it has to be there, seconds.
const STRETCH: f64 = 1.0;

/// What a case showed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Shown {
    pub(super) case: String,
    pub(super) seed: u64,
    pub(super) flows: Vec<Flow>,
    /// What arrived of each flow, over time.
    pub(super) series: Vec<Series>,
    pub(super) window: (f64, f64),
    /// Of each flow, of what all of them got in the window.
    pub(super) shares: Vec<f64>,
    /// What all of them got, share of the limit.
    pub(super) used: f64,
    pub(super) jain: f64,
    /// When `low` was back after TCP had left, seconds; nothing when it was not, or where nobody leaves.
    pub(super) back_after: Option<f64>,
    /// What is below its bar; empty when everything is well.
    pub(super) short: Vec<String>,
    /// What the emulator counted.
    pub(super) line: serde_json::Value,
}

impl Shown {
    pub(super) fn of(case: &Case, seed: u64, series: Vec<Series>, line: serde_json::Value) -> Self {
        let (from, to) = case.window();
        let got: Vec<f64> = series.iter().map(|s| s.at(to) - s.at(from)).collect();
        let all: f64 = got.iter().sum();
        let mut shown = Self {
            case: case.name.to_owned(),
            seed,
            flows: case.flows.clone(),
            window: (from, to),
            shares: got.iter().map(|bytes| bytes / all.max(1.0)).collect(),
            used: all / (to - from) / CELL.limit(),
            jain: jain(&got),
            back_after: back_after(case, &series),
            series,
            short: Vec::new(),
            line,
        };
        shown.short = shown.shortfalls();
        shown
    }

    fn shortfalls(&self) -> Vec<String> {
        let kinds = || self.flows.iter().map(|flow| flow.kind);
        let mut short = Vec::new();
        if kinds().all(|kind| kind == Kind::Fair) {
            if self.jain < JAIN {
                short.push(format!("Jain index {:.3} < {JAIN}", self.jain));
            }
        } else if kinds().any(|kind| kind == Kind::Low) {
            let low = self.shares[0];
            if low >= LOW {
                short.push(format!("low has {} beside TCP", percent(low)));
            }
            match self.back_after {
                Some(after) if after <= BACK_WITHIN => {}
                Some(after) => short.push(format!("low is back after {after:.1} s")),
                None => short.push("low does not come back".to_owned()),
            }
        } else {
            for (kind, share) in kinds().zip(&self.shares).filter(|(_, s)| **s < LEAST) {
                short.push(format!("{} has {}", kind.name(), percent(*share)));
            }
        }
        short
    }

    pub(super) fn row(&self) -> String {
        let shares: Vec<String> = self
            .flows
            .iter()
            .zip(&self.shares)
            .map(|(flow, share)| format!("{} {}", flow.kind.name(), percent(*share)))
            .collect();
        let back = self
            .back_after
            .map_or_else(String::new, |after| format!("{after:.1} s"));
        let verdict = if self.short.is_empty() {
            "good".to_owned()
        } else {
            self.short.join(", ")
        };
        format!(
            "| {} | {} | {} | {} | {:.3} | {back} | {verdict} |",
            self.case,
            self.seed,
            shares.join(", "),
            percent(self.used),
            self.jain,
        )
    }
}

pub(super) const HEAD: &str = "| case | seed | shares | of the limit | Jain index | low is back after | verdict |\n|---|---|---|---|---|---|---|";

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Returns 1 for equal shares and 1/n when one of n has everything (Jain, Chiu, Hawe: A quantitative measure of fairness, 1984).
fn jain(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|v| v * v).sum();
    if squares == 0.0 {
        return 1.0;
    }
    sum * sum / (values.len() as f64 * squares)
}

/// When the flow that stays has the line again, counted from the moment at which the first one leaves.
fn back_after(case: &Case, series: &[Series]) -> Option<f64> {
    let end = case.seconds();
    let left = case.window().1;
    let stays = case.flows.iter().position(|flow| flow.to == end)?;
    let stretches = (0..).map(|i| f64::from(i) * 0.1);
    stretches
        .take_while(|after| left + after + STRETCH < end)
        .find(|after| {
            let from = left + after;
            let got = series[stays].at(from + STRETCH) - series[stays].at(from);
            got / STRETCH >= BACK * CELL.limit()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str) -> Case {
        let mut all = Case::all(70.0).into_iter();
        all.find(|case| case.name == name).unwrap()
    }

    /// Constant rates, shares of the limit, from 0 to 70 s; the second ones count from `change` on.
    fn shown(name: &str, rates: &[(f64, f64)], change: f64) -> Shown {
        let series = rates.iter().map(|(before, after)| {
            let mut series = Series::default();
            let mut bytes = 0.0;
            for tick in 1..=700 {
                let at = f64::from(tick) * 0.1;
                bytes += CELL.limit() * 0.1 * if at <= change { *before } else { *after };
                series.push(at, bytes as u64);
            }
            series
        });
        Shown::of(&case(name), 1, series.collect(), serde_json::Value::Null)
    }

    #[test]
    fn two_kinds_have_to_leave_each_other_room() {
        let well = shown("ours-then-cubic", &[(0.4, 0.4), (0.55, 0.55)], 70.0);
        assert!(well.short.is_empty(), "{:?}", well.short);
        assert!((well.used - 0.95).abs() < 0.01);
        let badly = shown("cubic-then-ours", &[(0.2, 0.2), (0.7, 0.7)], 70.0);
        assert_eq!(badly.short, ["cubic has 22.2 %"]);
    }

    #[test]
    fn our_own_flows_are_judged_by_their_index() {
        let rates = [(0.25, 0.25), (0.25, 0.25), (0.25, 0.25), (0.2, 0.2)];
        assert!(shown("four-ours", &rates, 70.0).short.is_empty());
        let rates = [(0.7, 0.7), (0.2, 0.2)];
        assert_eq!(
            shown("two-ours", &rates, 70.0).short,
            ["Jain index 0.764 < 0.95"]
        );
    }

    #[test]
    fn low_gives_way_and_comes_back() {
        let well = shown("low-and-cubic", &[(0.05, 0.97), (0.9, 0.0)], 56.0);
        assert!(well.short.is_empty(), "{:?}", well.short);
        let late = shown("low-and-cubic", &[(0.2, 0.97), (0.75, 0.0)], 60.0);
        assert_eq!(late.short.len(), 2, "{:?}", late.short);
        let never = shown("low-and-cubic", &[(0.05, 0.5), (0.9, 0.0)], 56.0);
        assert_eq!(never.short, ["low does not come back"]);
    }
}
