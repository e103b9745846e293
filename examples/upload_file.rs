//! Uploads one file: `upload_file FILE USER HOST PORT SHA256:FINGERPRINT`, with the password in `ASPERA_SCP_PASS`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{env, error::Error, path::Path};

use fasp_net::{
    control::ssh::{
        client::{self, CONNECT_TIMEOUT, HostKeyCheck},
        credentials::Credentials,
    },
    engine::Sources,
    event::Event,
    request::TransferOptions,
    transfer::{Job, Transfer},
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [file, user, host, port, pin] = words.as_slice() else {
        return Err("usage: upload_file FILE USER HOST PORT FINGERPRINT".into());
    };
    let job = Job::Upload {
        sources: Sources::local(&[file])?,
        destination: b"/".to_vec(),
    };
    let home = env::var("HOME")?;
    let credentials = Credentials::from_environment(Path::new(&home), |name| env::var(name).ok());
    let check = HostKeyCheck::Pinned(pin.clone());
    let port = port.parse()?;
    let connection =
        client::connect(host, port, CONNECT_TIMEOUT, user, &credentials, check).await?;
    let transfer = Transfer::start(connection, job, &TransferOptions::default()).await?;
    // Events and the result are waited for on a thread that may block.
    let outcome = tokio::task::spawn_blocking(move || {
        for event in transfer.events() {
            if let Event::Progress(progress) = event {
                println!(
                    "{} bytes, {} kbit/s",
                    progress.bytes_done, progress.rate_kbps
                );
            }
        }
        transfer.wait()
    })
    .await??;
    println!("{} files, {} bytes", outcome.files_done, outcome.bytes);
    Ok(())
}
