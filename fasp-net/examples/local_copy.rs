//! Copies a file or tree over loopback within one process: `local_copy SOURCE TARGET_DIRECTORY`.
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use fasp_net::engine::Sources;
use fasp_net::request::TransferOptions;
use fasp_net::transfer::Job;

#[tokio::main]
async fn main() {
    let args: Vec<_> = std::env::args().collect();
    let server = support::TestServer::new(std::path::Path::new(&args[2]));
    let sources = Sources::local(&[&args[1]]).expect("source");
    let job = Job::Upload {
        sources,
        destination: b"/".to_vec(),
    };
    let began = std::time::Instant::now();
    let options = TransferOptions {
        overwrite: transfer_spec::OverwritePolicy::Always,
        ..Default::default()
    };
    let outcome = server.run(job, &options).await.expect("transfer");
    let seconds = began.elapsed().as_secs_f64();
    let clock = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let cpu = clock.tv_sec as f64 + clock.tv_nsec as f64 / 1e9;
    let gigabytes = outcome.bytes as f64 / 1e9;
    println!(
        "{} files {:.3} GB in {seconds:.3} s: {:.2} Gbit/s, {:.2} CPU s/GB, {:.0} files/s; resent {} loss {:.4} dropped {:?}",
        outcome.files_done,
        gigabytes,
        gigabytes * 8.0 / seconds,
        cpu / gigabytes,
        outcome.files_done as f64 / seconds,
        outcome.retransmitted_bytes,
        outcome.loss_ratio,
        server.context.port.counters()
    );
}
