//! Reloading, and what administrators see and do through the socket.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    time::{Duration, Instant},
};

use fasp_core::ErrorCode;
use fasp_net::{event::Event, request::TransferOptions, transfer::Transfer};
use fasp_server::admin::{AdminAnswer, AdminRequest, SessionSteering};

use crate::bed::{Bed, LEA, MBPS, usual};

/// A transfer that would take half a minute, with its first bytes on their way.
async fn slow(bed: &Bed, is_upload: bool) -> Transfer {
    let options = TransferOptions {
        target_rate: Some(MBPS(10)),
        ..usual()
    };
    let job = match is_upload {
        true => bed.upload_job(&["big"], "/"),
        false => bed.download_job(&["big2"]),
    };
    let transfer = bed.start(LEA, job, &options).await.unwrap();
    tokio::task::spawn_blocking(move || {
        while !matches!(transfer.events().recv().unwrap(), Event::Progress(p) if p.bytes_done > 0) {
        }
        transfer
    })
    .await
    .unwrap()
}

fn files(bed: &Bed) {
    bed.file("f", 10);
    bed.file("big", 40_000_000);
    bed.file("root/big2", 40_000_000);
}

/// What it moves, kbit/s, over the next second.
async fn rate(transfer: Transfer) -> (Transfer, u64) {
    tokio::task::spawn_blocking(move || {
        let bytes = || loop {
            if let Event::Progress(progress) = transfer.events().recv().unwrap() {
                return progress.bytes_done;
            }
        };
        while transfer.events().try_recv().is_ok() {}
        let (began, first) = (Instant::now(), bytes());
        let mut last = first;
        while began.elapsed() < Duration::from_millis(1200) {
            last = bytes();
        }
        let kbps = (last - first) * 8 / began.elapsed().as_millis() as u64;
        (transfer, kbps)
    })
    .await
    .unwrap()
}

async fn cancel(transfer: Transfer) {
    transfer.remote().cancel();
    tokio::task::spawn_blocking(move || transfer.wait())
        .await
        .unwrap()
        .unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_a_reload_and_a_bad_file_changes_nothing() {
    let bed = Bed::new().await;
    files(&bed);
    let transfer = slow(&bed, true).await;
    bed.configure(&["set_user_data;user_name,lea;write_allowed,false"])
        .await;
    assert_eq!(bed.upload(LEA, &["f"], "/").await.code(), 37);
    assert_eq!(bed.server.sessions(), 1, "what was granted stays granted");
    fs::write(bed.path("aspera.conf"), "<CONF><default>").unwrap();
    let refused = bed.server.reload().await.unwrap_err();
    assert!(
        refused.to_string().contains("line 1, column 7"),
        "{refused}"
    );
    let asked = bed.ask(AdminRequest::Reload).await.unwrap_err();
    assert_eq!(asked.to_string(), refused.to_string());
    assert_eq!(
        bed.upload(LEA, &["f"], "/").await.code(),
        37,
        "the old one holds"
    );
    fs::write(bed.path("aspera.conf"), "<CONF/>").unwrap();
    let done = bed.ask(AdminRequest::Reload).await.unwrap();
    assert_eq!(done, AdminAnswer::Done { sessions: 1 });
    bed.upload(LEA, &["f"], "/").await.done();
    cancel(transfer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_see_sessions_users_and_rates() {
    let bed = Bed::new().await;
    files(&bed);
    let (up, down) = (slow(&bed, true).await, slow(&bed, false).await);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let status = bed.status().await;
    assert_eq!(status.listen, bed.server.local_addr().to_string());
    assert!(!status.is_draining && status.conf.unwrap().ends_with("aspera.conf"));
    assert_eq!((status.sessions.len(), status.users.len()), (2, 1));
    assert_eq!(
        (status.users[0].name.as_str(), status.users[0].sessions),
        (LEA, 2)
    );
    for session in &status.sessions {
        assert_eq!(
            (session.user.as_str(), session.policy.as_str()),
            (LEA, "fair")
        );
        assert!(session.peer.starts_with("127.0.0.1:"), "{session:?}");
        assert_eq!(session.target_rate_kbps, Some(10_000));
        assert!((1..12_000).contains(&session.rate_kbps), "{session:?}");
        assert!(session.bytes > 100_000, "{session:?}");
    }
    let mut ways: Vec<_> = status
        .sessions
        .iter()
        .map(|s| s.direction.as_str())
        .collect();
    ways.sort_unstable();
    assert_eq!(ways, ["receive", "send"]);
    // What a client changes in flight is seen too, and its virtual link would share by it.
    down.remote()
        .set_rates(None, None, Some(fasp_core::RatePolicy::Low));
    let began = Instant::now();
    let is_low = |status: fasp_server::admin::ServerStatus| {
        status
            .sessions
            .iter()
            .any(|session| session.policy == "low")
    };
    while !is_low(bed.status().await) {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cancel(up).await;
    cancel(down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_end_sessions_and_clients_hear_of_it() {
    let bed = Bed::new().await;
    files(&bed);
    let transfer = slow(&bed, false).await;
    let id = bed.status().await.sessions[0].id.clone();
    assert_eq!(
        bed.ask(AdminRequest::Stop { id }).await.unwrap(),
        AdminAnswer::Done { sessions: 1 }
    );
    let error = tokio::task::spawn_blocking(move || transfer.wait())
        .await
        .unwrap()
        .unwrap_err();
    // A code that clients do not try again.
    assert_eq!(error.code(), ErrorCode::Cancelled, "{error}");
    assert!(error.to_string().contains("administrator"), "{error}");
    let nobody = bed
        .ask(AdminRequest::Stop {
            id: "0123456789abcdef".into(),
        })
        .await
        .unwrap_err();
    assert_eq!(nobody.to_string(), "there is no such session");
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_change_rates_of_either_direction_and_clients_cannot_undo_it() {
    let bed = Bed::new().await;
    files(&bed);
    for is_upload in [true, false] {
        let transfer = slow(&bed, is_upload).await;
        let id = bed.status().await.sessions[0].id.clone();
        let steer = |steering| {
            bed.ask(AdminRequest::Rate {
                id: id.clone(),
                steering,
            })
        };
        let target = |kbps| SessionSteering {
            target_rate_kbps: Some(kbps),
            ..SessionSteering::default()
        };
        steer(target(3_000)).await.unwrap();
        transfer.remote().set_rates(Some(MBPS(50)), None, None);
        let (mut transfer, kbps) = rate(transfer).await;
        assert!(kbps < 3_400, "{is_upload}: {kbps}");
        assert_eq!(bed.status().await.sessions[0].limit_kbps, Some(3_000));
        steer(target(20_000)).await.unwrap();
        // A busy machine is slow; what was limited before moves more than that in the end.
        let began = Instant::now();
        loop {
            let (same, kbps) = rate(transfer).await;
            transfer = same;
            if kbps > 4_000 {
                break;
            }
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{is_upload}: {kbps}"
            );
        }
        let policy = SessionSteering {
            policy: Some("low".into()),
            ..SessionSteering::default()
        };
        assert_eq!(
            steer(policy).await.is_ok(),
            !is_upload,
            "the sender has the policy"
        );
        assert!(steer(target(0)).await.is_err());
        assert!(
            steer(SessionSteering {
                policy: Some("warp".into()),
                ..target(1)
            })
            .await
            .is_err()
        );
        cancel(transfer).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drains_lets_sessions_end_and_another_one_start() {
    let bed = Bed::new().await;
    bed.file("big", 6_000_000);
    let transfer = slow(&bed, true).await;
    let address = bed.server.local_addr();
    bed.server.drain().await;
    while std::net::TcpStream::connect(address).is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The state directory is free, and so is the TCP port; data takes the next UDP port.
    let settings = fasp_server::ServerSettings {
        listen: address,
        udp_ports: Some(address.port()..=address.port().saturating_add(50)),
        ..fasp_server::ServerSettings::new(std::sync::Arc::clone(&bed.state))
    };
    let next = fasp_server::Server::start(settings).await.unwrap();
    let outcome = tokio::task::spawn_blocking(move || transfer.wait())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(outcome.files_done, 1);
    let mut old = bed.server;
    tokio::time::timeout(Duration::from_secs(5), old.ended())
        .await
        .unwrap();
    next.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_private_and_bounded() {
    let bed = Bed::new().await;
    let path = bed.path("state/server.sock");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let ask = |line: Vec<u8>| {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            // A server that has heard enough closes its side.
            stream.write_all(&line).ok();
            stream.shutdown(std::net::Shutdown::Write).ok();
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).ok();
            answer
        })
    };
    for line in [
        b"".to_vec(),
        b"{}\n".to_vec(),
        b"{\"do\":\"format_disk\"}\n".to_vec(),
        b"{\"do\":\"stop\"}\n".to_vec(),
        "[".repeat(60_000).into_bytes(),
        vec![b'a'; 1 << 20],
        b"\xff\xfe\n".to_vec(),
    ] {
        let answer = ask(line).await.unwrap();
        assert!(
            answer.is_empty() || answer.contains("no request this server knows"),
            "{answer}"
        );
    }
    // Those who say nothing keep nobody out.
    let idle: Vec<_> = (0..8)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    assert_eq!(bed.status().await.sessions.len(), 0);
    drop(idle);
}
