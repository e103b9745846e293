//! The program before and after sessions, and the space that stays free.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use fasp_server::{Server, ServerSettings};

use crate::bed::{Bed, LEA};

#[tokio::test(flavor = "multi_thread")]
async fn w39_the_program_hears_of_sessions_and_files_and_no_shell_is_between() {
    let temp = tempfile::tempdir().unwrap();
    let program = temp.path().join("prepost");
    let heard = temp.path().join("heard");
    let text = format!(
        "#!/bin/sh\n[ \"$USER\" = lea ] || exit 1\nprintf '%s|%s|%s|%s|%s\\n' \"$TYPE\" \"$STARTSTOP\" \"$STATE\" \"$DIRECTION\" \"$FILE\" >> '{}'\n[ ! -e '{}/no' ]\n",
        heard.display(),
        temp.path().display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let hook = program.clone();
    let bed = Bed::with(|settings| settings.prepost = Some(hook)).await;
    bed.file("$(touch pwned); `id`", 10);
    bed.upload(LEA, &["$(touch pwned); `id`"], "/").await.done();
    let wanted = "Session|Start|started|recv|\nFile|Stop|success|recv|$(touch pwned); `id`\nSession|Stop|success|recv|\n";
    let began = std::time::Instant::now();
    while fs::read_to_string(&heard).unwrap() != wanted {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{}",
            fs::read_to_string(&heard).unwrap()
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What it refuses does not begin.
    fs::write(temp.path().join("no"), "").unwrap();
    assert_eq!(
        bed.upload(LEA, &["$(touch pwned); `id`"], "/x")
            .await
            .code(),
        34
    );
    // P-8: one that others can change is not run.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o757)).unwrap();
    let settings = ServerSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        prepost: Some(program),
        ..ServerSettings::new(std::sync::Arc::new(
            fasp_server::state::StateDir::open(&temp.path().join("state")).unwrap(),
        ))
    };
    assert!(Server::start(settings).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn d12_uploads_leave_the_space_that_has_to_stay_free() {
    let bed = Bed::with(|settings| settings.free_space_floor = Some(u64::MAX)).await;
    bed.file("f", 10);
    bed.file("root/g", 10);
    assert_eq!(bed.upload(LEA, &["f"], "/").await.code(), 25);
    bed.download(LEA, &["g"]).await.done();
    let bed = Bed::with(|settings| settings.free_space_floor = Some(1)).await;
    bed.file("f", 10);
    bed.upload(LEA, &["f"], "/").await.done();
}
