//! Rates and policies: defaults, caps, locks, virtual ports, time-outs.

use std::time::Duration;

use fasp_core::{Rate, RatePolicy};
use fasp_net::{event::Event, request::TransferOptions};

use crate::bed::{Bed, LEA, MBPS, usual};

fn asked(target: Option<u64>, min: u64, policy: Option<RatePolicy>) -> TransferOptions {
    TransferOptions {
        target_rate: target.map(MBPS),
        min_rate: MBPS(min),
        policy,
        overwrite: transfer_spec::OverwritePolicy::Always,
        ..usual()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn target_rates_have_a_default_and_a_cap_for_each_direction() {
    let bed = Bed::new().await;
    bed.file("f", 10);
    bed.file("root/g", 10);
    let rate =
        |side: &str, part: &str| format!("transfer_{side}_bandwidth_flow_target_rate_{part}");
    bed.configure(&[
        &format!(
            "set_node_data;{},20000;{},50000",
            rate("in", "default"),
            rate("in", "cap")
        ),
        &format!(
            "set_group_data;group_name,editors;{},7000",
            rate("out", "cap")
        ),
    ])
    .await;
    let bed = &bed;
    let up = |wish| async move {
        bed.run(LEA, bed.upload_job(&["f"], "/"), &asked(wish, 0, None))
            .await
    };
    let down = |wish| async move {
        bed.run(LEA, bed.download_job(&["g"]), &asked(wish, 0, None))
            .await
    };
    for (ran, target, cap) in [
        (up(None).await, Some(20_000), Some(50_000)),
        (up(Some(30)).await, Some(30_000), Some(50_000)),
        (up(Some(90)).await, Some(50_000), Some(50_000)),
        (down(None).await, None, Some(7_000)),
        (down(Some(90)).await, Some(7_000), Some(7_000)),
    ] {
        let started = ran.started();
        assert_eq!(
            (started.target_rate_kbps, started.rate_cap_kbps),
            (target, cap)
        );
        let is_told = ran
            .notices()
            .iter()
            .any(|note| note.contains("limits the target rate"));
        // Who asks for less than there is hears nothing.
        assert_eq!(
            is_told,
            target == cap && ran.started().target_rate_kbps.is_some()
        );
    }
    // An empty file limits nothing, and nothing is measured away.
    bed.configure(&[]).await;
    assert_eq!(up(None).await.started().target_rate_kbps, None);
    assert_eq!(up(Some(90)).await.started().target_rate_kbps, Some(90_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn minimum_rates_have_a_default_and_a_cap() {
    let bed = Bed::new().await;
    bed.file("f", 10);
    let bed = &bed;
    let up = |min| async move {
        bed.run(
            LEA,
            bed.upload_job(&["f"], "/"),
            &asked(Some(80), min, None),
        )
        .await
    };
    bed.configure(&[
        "set_node_data;transfer_in_bandwidth_flow_min_rate_cap,10000;transfer_in_bandwidth_flow_min_rate_default,2000",
    ])
    .await;
    assert_eq!(up(5).await.notices(), [""; 0]);
    assert_eq!(
        up(60).await.notices(),
        ["the server limits the minimum rate to 10.0 Mbit/s"]
    );
    bed.configure(&["set_node_data;transfer_in_bandwidth_flow_min_rate_cap,0"])
        .await;
    assert_eq!(up(5).await.notices(), ["the server allows no minimum rate"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn w30_policies_have_a_default_and_a_most_and_a_refused_one_is_told() {
    use RatePolicy::{Fair, Fixed, High, Low};
    let bed = Bed::new().await;
    bed.file("f", 10);
    let policy = "transfer_in_bandwidth_flow_policy";
    let cap = "transfer_in_bandwidth_flow_target_rate_cap,90000";
    for (conf, wish, granted) in [
        (String::new(), Some(Fixed), Fair),
        (String::new(), None, Fair),
        (format!("{policy}_default,low"), None, Low),
        (format!("{policy}_default,low"), Some(High), High),
        (format!("{policy}_allowed,high"), Some(Fixed), High),
        (format!("{policy}_allowed,low"), Some(Fair), Low),
        (format!("{policy}_allowed,low"), None, Low),
        // Fixed needs a cap as well.
        (format!("{policy}_allowed,any"), Some(Fixed), Fair),
        (format!("{policy}_allowed,any;{cap}"), Some(Fixed), Fixed),
    ] {
        let line = format!("set_node_data;{conf}");
        match conf.is_empty() {
            true => bed.configure(&[]).await,
            false => bed.configure(&[&line]).await,
        }
        let ran = bed
            .run(LEA, bed.upload_job(&["f"], "/"), &asked(Some(80), 0, wish))
            .await;
        assert_eq!(ran.started().policy, granted, "{conf} {wish:?}");
        let told = ran.notices();
        match wish.filter(|wish| *wish != granted) {
            Some(wish) => assert_eq!(
                told,
                [format!(
                    "the server does not allow the policy '{wish}' and shares as '{granted}'"
                )],
            ),
            None => assert_eq!(told, [""; 0], "{conf} {wish:?}"),
        }
    }
}

/// Whether the sender goes faster when the client asks for more in flight.
async fn goes_faster(bed: &Bed, is_upload: bool) -> bool {
    let job = match is_upload {
        true => bed.upload_job(&["big"], "/"),
        false => bed.download_job(&["big2"]),
    };
    let transfer = bed.start(LEA, job, &asked(Some(4), 0, None)).await.unwrap();
    let seen = tokio::task::spawn_blocking(move || {
        let rate = || loop {
            match transfer.events().recv().unwrap() {
                Event::Progress(p) if p.bytes_done > 0 => return p.sending_rate_kbps,
                _ => {}
            }
        };
        assert!(rate() <= 4_000);
        transfer.remote().set_rates(Some(MBPS(16)), None, None);
        let began = std::time::Instant::now();
        let is_faster = loop {
            if rate() > 5_000 {
                break true;
            }
            if began.elapsed() > Duration::from_secs(3) {
                break false;
            }
        };
        transfer.remote().cancel();
        transfer.wait().unwrap_err();
        is_faster
    });
    seen.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_locked_does_not_change_in_flight() {
    let bed = Bed::new().await;
    bed.file("big", 30_000_000);
    bed.file("root/big2", 30_000_000);
    for is_upload in [true, false] {
        let side = if is_upload { "in" } else { "out" };
        let lock = format!("set_node_data;transfer_{side}_bandwidth_flow_target_rate_lock,true");
        bed.configure(&[&lock]).await;
        assert!(!goes_faster(&bed, is_upload).await, "{side}");
        bed.configure(&[]).await;
        assert!(goes_faster(&bed, is_upload).await, "{side}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_may_have_a_udp_port_of_its_own() {
    let bed = Bed::new().await;
    bed.file("f", 10);
    // A port that was free a moment ago.
    let port = std::net::UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    bed.configure(&[&format!(
        "set_user_data;user_name,lea;transfer_protocol_options_bind_udp_port,{port};transfer_protocol_options_datagram_size,1300"
    )])
    .await;
    let ran = bed.upload(LEA, &["f"], "/").await;
    ran.done();
    assert!(
        ran.started().peer.as_str().ends_with(&format!(":{port}")),
        "{:?}",
        ran.started()
    );
    // One that somebody else has is told, not replaced by another.
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    bed.configure(&[&format!(
        "set_user_data;user_name,lea;transfer_protocol_options_bind_udp_port,{port}"
    )])
    .await;
    assert_eq!(bed.upload(LEA, &["f"], "/").await.code(), 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_has_a_udp_port_and_the_next_free_one_of_a_range() {
    let free = || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    let port = free();
    let temp = tempfile::tempdir().unwrap();
    let conf = temp.path().join("aspera.conf");
    let text = format!(
        "<CONF><default><transfer><protocol_options><bind_udp_port>{port}</bind_udp_port></protocol_options></transfer></default></CONF>"
    );
    std::fs::write(&conf, text).unwrap();
    let bed = Bed::with(|settings| settings.conf = fasp_server::ConfSource::File(conf)).await;
    assert_eq!(bed.status().await.udp_port, port);
    bed.file("f", 10);
    bed.upload(LEA, &["f"], "/").await.done();
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let first = taken.local_addr().unwrap().port();
    let last = first.saturating_add(20);
    let other = Bed::with(|settings| settings.udp_ports = Some(first..=last)).await;
    let got = other.status().await.udp_port;
    assert!((first + 1..=last).contains(&got), "{first} {got}");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_outs_are_those_of_the_file() {
    let bed = Bed::new().await;
    bed.file("big", 3_000_000);
    bed.configure(&["set_node_data;session_timeout_sec,1;connection_timeout_sec,1"])
        .await;
    // A client that stops to speak is gone after a second, one that never speaks as well.
    let nowhere = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = TransferOptions {
        data_address: nowhere.local_addr().ok(),
        target_rate: Some(Rate::from_kbps(500)),
        ..usual()
    };
    let transfer = bed
        .start(LEA, bed.upload_job(&["big"], "/"), &options)
        .await
        .unwrap();
    assert_eq!(bed.server.sessions(), 1);
    let began = std::time::Instant::now();
    while bed.server.sessions() > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "the usual time is 15 s"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(800));
    drop(transfer);
}

/// Over the control connection alone: what is granted, and what becomes of a change.
#[tokio::test(flavor = "multi_thread")]
async fn minimum_rate_and_policy_are_locked_as_the_file_says() {
    let bed = Bed::new().await;
    bed.file("big", 30_000_000);
    for side in ["in", "out"] {
        let flow = format!("transfer_{side}_bandwidth_flow");
        for (conf, locks) in [
            (String::new(), (false, false, false)),
            (format!(";{flow}_min_rate_lock,true"), (false, true, false)),
            (format!(";{flow}_policy_lock,true"), (false, false, true)),
            (
                format!(";{flow}_target_rate_lock,true"),
                (true, false, false),
            ),
        ] {
            match conf.is_empty() {
                true => bed.configure(&[]).await,
                false => bed.configure(&[&format!("set_node_data{conf}")]).await,
            }
            let accept = bed.accept(side == "in").await;
            let told = (accept.locks.target, accept.locks.min, accept.locks.policy);
            assert_eq!(told, locks, "{conf}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_no_larger_than_the_file_says() {
    let bed = Bed::new().await;
    for (size, granted) in [("1300", 1300), ("100", 1200), ("65000", 9216), ("0", 9216)] {
        bed.configure(&[&format!(
            "set_node_data;transfer_protocol_options_datagram_size,{size}"
        )])
        .await;
        assert_eq!(bed.accept(true).await.datagram_max, granted, "{size}");
    }
}

/// A sender that falls silent in the middle, because the way to the server is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_falls_silent_ends_when_the_file_says() {
    let bed = Bed::new().await;
    bed.file("big", 30_000_000);
    bed.configure(&["set_node_data;session_timeout_sec,1"])
        .await;
    let (way, is_open) = crate::bed::udp_way(bed.server.local_addr());
    let options = TransferOptions {
        data_address: Some(way),
        ..asked(Some(5), 0, None)
    };
    let transfer = bed
        .start(LEA, bed.upload_job(&["big"], "/"), &options)
        .await
        .unwrap();
    let transfer = tokio::task::spawn_blocking(move || {
        while !matches!(transfer.events().recv().unwrap(), Event::Progress(p) if p.bytes_done > 0) {
        }
        transfer
    })
    .await
    .unwrap();
    is_open.store(false, std::sync::atomic::Ordering::Relaxed);
    let began = std::time::Instant::now();
    while bed.server.sessions() > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(6),
            "the usual time is 60 s"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(800));
    drop(transfer);
}
