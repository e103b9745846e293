//! What sessions write into the log.

use std::{fs, sync::Arc, time::Duration};

use fasp_net::request::TransferOptions;
use fasp_server::{
    log::{self, LogFile, LogFormat},
    state::StateDir,
};

use crate::bed::{Bed, LEA, MBPS, usual};

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_as_much_as_the_file_asks_for() {
    let temp = tempfile::tempdir().unwrap();
    let state = Arc::new(StateDir::open(&temp.path().join("state")).unwrap());
    let file = LogFile::open(Arc::clone(&state)).unwrap();
    // For the whole process: the other tests' lines are among them.
    log::install_in_file(LogFormat::Text, tracing::Level::INFO, file).unwrap();
    let bed = Bed::new().await;
    bed.file("quiet-name", 2_500_000);
    bed.file("told-name", 2_500_000);
    let slow = TransferOptions {
        target_rate: Some(MBPS(8)),
        ..usual()
    };
    bed.run(LEA, bed.upload_job(&["quiet-name"], "/"), &slow)
        .await
        .done();
    bed.configure(&[
        "set_node_data;transfer_log_files_activity,true;transfer_log_stats_interval,1",
    ])
    .await;
    let ran = bed
        .run(LEA, bed.upload_job(&["told-name"], "/"), &slow)
        .await;
    ran.done();
    let uuid = ran.started().transfer_id.to_string();
    let lines = loop {
        let text = fs::read_to_string(state.log_path()).unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.contains(&uuid))
            .map(str::to_owned)
            .collect();
        if lines.iter().any(|line| line.contains("FASP Session Stop")) {
            assert!(
                !text.contains("quiet-name"),
                "paths are the user's business unless the file says so"
            );
            break lines;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(
        has("FASP Transfer") && has("file=told-name size=2500000 status=success"),
        "{lines:#?}"
    );
    assert!(has("FASP Session Statistics"), "{lines:#?}");
}
