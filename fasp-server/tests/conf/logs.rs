//! What sessions write into the log.

use std::{fs, io::Write as _, sync::Arc, time::Duration};

use fasp_net::request::TransferOptions;
use fasp_server::{
    ConfSource, LogSettings,
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

#[test]
fn the_log_has_the_level_the_size_and_the_count_of_the_file() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("aspera.conf");
    let settings = |lines: &[&str]| {
        let mut conf = aspera_conf::Conf::new();
        for line in lines {
            conf.apply(&aspera_conf::Command::parse(line).unwrap())
                .unwrap();
        }
        fs::write(&path, conf.text()).unwrap();
        ConfSource::File(path.clone()).log_settings().unwrap()
    };
    let usual = LogSettings::default();
    assert_eq!(settings(&[]), usual);
    let node = "set_node_data;logging_level,dbg1;logging_log_size,2;logging_log_count,3";
    let of_node = LogSettings {
        level: Some(tracing::Level::DEBUG),
        size_max: 2 << 20,
        kept: 3,
    };
    assert_eq!(settings(&[node]), of_node);
    let profile = "set_logging_data;classes,web;level,disable;log_size,1;log_count,0";
    let of_profile = LogSettings {
        level: None,
        size_max: 1 << 20,
        kept: 0,
    };
    let class = "set_node_data;logging_class,web";
    assert_eq!(settings(&[node, profile, class]), of_profile);
    assert_eq!(settings(&[node, profile]), of_node, "nobody asked for it");
    // And the file obeys: with two older ones, the third is gone.
    let state = Arc::new(StateDir::open(&temp.path().join("state")).unwrap());
    let small = LogSettings {
        size_max: 100,
        kept: 2,
        ..usual
    };
    let log = LogFile::with_settings(Arc::clone(&state), small).unwrap();
    for _ in 0..6 {
        (&log).write_all(&[b'x'; 90]).unwrap();
    }
    let names = fs::read_dir(state.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| !name.ends_with("lock")).count(), 3);
}
