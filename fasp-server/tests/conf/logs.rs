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
    // For the whole process: the other tests' lines are among them.
    let usual_log = LogSettings::default();
    let control = log::install_in_file(LogFormat::Text, Arc::clone(&state), usual_log).unwrap();
    let bed = Bed::with(|settings| settings.log = Some(control)).await;
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
    let lines = lines_of(&state, &uuid).await;
    assert!(
        !fs::read_to_string(state.log_path())
            .unwrap()
            .contains("quiet-name"),
        "paths are the user's business unless the file says so"
    );
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(
        has("FASP Transfer") && has("file=told-name size=2500000 status=success"),
        "{lines:#?}"
    );
    assert!(has("FASP Session Statistics"), "{lines:#?}");
    obeys_what_is_read_again(&bed, &state).await;
}

/// The lines of a transfer, once it has ended.
async fn lines_of(state: &StateDir, uuid: &str) -> Vec<String> {
    let began = std::time::Instant::now();
    loop {
        let text = fs::read_to_string(state.log_path()).unwrap();
        let lines: Vec<_> = text
            .lines()
            .filter(|line| line.contains(uuid))
            .map(str::to_owned)
            .collect();
        if lines.iter().any(|line| line.contains("FASP Session Stop")) {
            return lines;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{lines:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// There is one log in a process, so this belongs to the test above.
async fn obeys_what_is_read_again(bed: &Bed, state: &StateDir) {
    bed.configure(&["set_node_data;logging_level,disable"])
        .await;
    bed.file("f", 10);
    let ran = bed.upload(LEA, &["f"], "/a").await;
    ran.done();
    bed.status_when(|status| status.sessions.is_empty()).await;
    let uuid = ran.started().transfer_id.to_string();
    let text = fs::read_to_string(state.log_path()).unwrap();
    assert!(!text.contains(&uuid), "it says nothing any more");
    // Longer than the new size, so that the next line begins another file, and no older one is kept.
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(state.log_path())
        .unwrap();
    file.write_all(&vec![b'\n'; 2 << 20]).unwrap();
    bed.configure(&["set_node_data;logging_level,log;logging_log_size,1;logging_log_count,0"])
        .await;
    let ran = bed.upload(LEA, &["f"], "/b").await;
    ran.done();
    lines_of(state, &ran.started().transfer_id.to_string()).await;
    assert!(fs::metadata(state.log_path()).unwrap().len() < 1 << 20);
    let names = fs::read_dir(state.path()).unwrap();
    let logs = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("server.log") && !name.ends_with("lock"));
    assert_eq!(logs.count(), 1);
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
    let files = || {
        for _ in 0..6 {
            (&log).write_all(&[b'x'; 90]).unwrap();
        }
        let names = fs::read_dir(state.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with("lock")).count()
    };
    assert_eq!(files(), 3);
    // From now on more or fewer, or none at all.
    for (kept, count) in [(4, 5), (1, 2), (0, 1)] {
        log.apply(LogSettings { kept, ..small });
        assert_eq!(files(), count, "{kept}");
        assert_eq!(fs::metadata(state.log_path()).unwrap().len(), 90);
    }
}
