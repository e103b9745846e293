//! `demo`: real files through a real server in this process, on loopback and over a simulated bad link.

mod link;
mod stage;
mod tree;

use std::time::Duration;

use fasp_core::Rate;
use fasp_net::{event::Outcome, request::TransferOptions, transfer::Job};
use serde::Serialize;
use tokio::runtime::Runtime;

use self::{
    link::{Link, LinkSettings},
    stage::Stage,
};
use crate::{
    args::DemoArgs,
    error::CommandError,
    ui::{Ui, byte_count, table},
};

/// What goes over the bad link, bytes.
const LINK_BYTES: u64 = 24 << 20;
/// The bad link.
const LINK: LinkSettings = LinkSettings {
    rate: Rate::from_mbps(100),
    rtt: Duration::from_millis(100),
    loss: 0.01,
    seed: 20_240_229,
};
/// Largest datagram over the bad link, bytes of UDP payload: what Ethernet carries.
const LINK_DATAGRAM: u16 = 1472;
/// Segment size of TCP on Ethernet, bytes.
const TCP_SEGMENT: f64 = 1460.0;

/// One row of the table.
#[derive(Debug, Serialize)]
struct Step {
    event: &'static str,
    what: String,
    files: u64,
    bytes: u64,
    elapsed_ms: u64,
    rate_kbps: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    link_share: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_formula_kbps: Option<u64>,
}

/// The last object of `--json`.
#[derive(Debug, Serialize)]
struct Verdict {
    event: &'static str,
    files_compared: usize,
    files_different: usize,
}

impl Step {
    fn new(what: &str, outcome: &Outcome) -> Self {
        Self {
            event: "demo_step",
            what: what.to_owned(),
            files: outcome.files_done,
            bytes: outcome.bytes,
            elapsed_ms: outcome.elapsed_ms,
            rate_kbps: outcome.mean_rate_kbps,
            link_share: None,
            tcp_formula_kbps: None,
        }
    }

    fn row(&self) -> [String; 7] {
        let dash = || "-".to_owned();
        [
            self.what.clone(),
            self.files.to_string(),
            byte_count(self.bytes),
            format!("{:.2} s", self.elapsed_ms as f64 / 1000.0),
            Rate::from_kbps(self.rate_kbps).to_string(),
            self.link_share
                .map_or_else(dash, |share| format!("{:.0} %", share * 100.0)),
            self.tcp_formula_kbps
                .map_or_else(dash, |kbps| Rate::from_kbps(kbps).to_string()),
        ]
    }
}

pub(super) fn run(ui: &Ui, args: &DemoArgs) -> Result<(), CommandError> {
    super::on_runtime(|runtime| {
        let stage = Stage::set_up(*ui, runtime)?;
        let shown = show(ui, &stage, runtime, args.size);
        stage.tear_down(runtime);
        shown
    })
}

fn show(ui: &Ui, stage: &Stage, runtime: &Runtime, size: u64) -> Result<(), CommandError> {
    ui.note("making files");
    let tree = stage.make_tree(size)?;
    let options = TransferOptions::default();
    let mut steps = Vec::new();

    ui.note("uploading them to a server in this process");
    let upload = stage.upload(&tree, "/")?;
    let outcome = stage.transfer(runtime, upload, &options)?;
    steps.push(Step::new("upload, loopback", &outcome));

    ui.note("downloading them again");
    let back = stage.path("back");
    let download = Job::Download {
        sources: vec![b"tree".to_vec()],
        destination: back.clone().into(),
    };
    let outcome = stage.transfer(runtime, download, &options)?;
    steps.push(Step::new("download, loopback", &outcome));

    ui.note("uploading over a simulated bad link: 100 Mbit/s, 100 ms round trip, 1 % loss");
    let film = stage.make_file(LINK_BYTES)?;
    let (outcome, share) = over_link(stage, runtime, &film)?;
    steps.push(Step {
        link_share: Some(share),
        tcp_formula_kbps: Some(tcp_formula(&LINK).kbps()),
        ..Step::new("upload, bad link", &outcome)
    });

    ui.note("comparing the SHA-256 digests of all files");
    let sent = tree::digests(&tree)?;
    let film_sent = tree::digests(&film)?;
    let different = tree::differences(&sent, &tree::digests(&stage.received("tree"))?)
        + tree::differences(&sent, &tree::digests(&back)?)
        + tree::differences(&film_sent, &tree::digests(&stage.received("film"))?);
    let compared = 2 * sent.len() + film_sent.len();
    print(ui, &steps, compared, different)?;
    match different {
        0 => Ok(()),
        different => Err(CommandError::Differs(different)),
    }
}

/// Uploads through a link, and returns its share of what the link carries.
fn over_link(
    stage: &Stage,
    runtime: &Runtime,
    film: &std::path::Path,
) -> Result<(Outcome, f64), CommandError> {
    let link = Link::start(stage.server(), LINK).map_err(tree::failed(film))?;
    let options = TransferOptions {
        data_address: Some(link.address()),
        datagram_max: Some(LINK_DATAGRAM),
        ..TransferOptions::default()
    };
    let upload = stage.upload(film, "/")?;
    let outcome = stage.transfer(runtime, upload, &options)?;
    let share = outcome.mean_rate_kbps as f64 / LINK.rate.kbps() as f64;
    Ok((outcome, share))
}

/// What one TCP connection reaches at most where loss is random: Mathis, Semke, Mahdavi, Ott (1997).
fn tcp_formula(link: &LinkSettings) -> Rate {
    let bytes_per_second = TCP_SEGMENT / link.rtt.as_secs_f64() * 1.22 / link.loss.sqrt();
    // Far below 2^53.
    Rate::from_bits_per_second((bytes_per_second * 8.0) as u64)
}

fn print(ui: &Ui, steps: &[Step], compared: usize, different: usize) -> Result<(), CommandError> {
    if ui.is_json() {
        steps.iter().try_for_each(|step| ui.print_json(step))?;
        return ui.print_json(&Verdict {
            event: "demo_done",
            files_compared: compared,
            files_different: different,
        });
    }
    let head = [
        "WHAT",
        "FILES",
        "BYTES",
        "TIME",
        "RATE",
        "OF THE LINK",
        "TCP'S FORMULA THERE",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(steps.iter().map(Step::row));
    let verdict = match different {
        0 => format!("all {compared} SHA-256 digests agree\n"),
        different => format!("{different} of {compared} SHA-256 digests differ\n"),
    };
    ui.print_data(format!("{}\n{verdict}", table(&rows)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_crawls_where_the_demo_shows_it() {
        let rate = tcp_formula(&LINK).kbps();
        assert!((1_424..1_426).contains(&rate), "{rate}");
    }
}
