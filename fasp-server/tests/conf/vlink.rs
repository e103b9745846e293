//! Ten sessions of both directions on one virtual link.

use std::{collections::BTreeMap, time::Duration};

use fasp_core::RatePolicy;
use fasp_net::{
    engine::{Source, Sources},
    request::TransferOptions,
    transfer::{Job, LocalDestination, Transfer},
};
use fasp_server::admin::ServerStatus;
use transfer_spec::{Faux, FauxSource, Location};

use crate::bed::{Bed, LEA, usual};

const CAPACITY_KBPS: u64 = 12_000;
const FILE_DATA: f64 = 1366.0 / 1400.0;

fn made_up() -> FauxSource {
    match "faux:///f?4g".parse() {
        Ok(Location::Faux(Faux::Source(source))) => source,
        other => panic!("{other:?}"),
    }
}

async fn start(bed: &Bed, number: usize, policy: RatePolicy) -> Transfer {
    let job = match number % 2 {
        0 => Job::Upload {
            sources: Sources::new(vec![Source::Faux(made_up())]).unwrap(),
            destination: b"faux://".to_vec(),
        },
        _ => Job::Download {
            sources: vec![b"faux:///f?4g".to_vec()],
            destination: LocalDestination::Sink,
        },
    };
    let options = TransferOptions {
        policy: Some(policy),
        target_rate: Some(crate::bed::MBPS(100)),
        ..usual()
    };
    bed.start(LEA, job, &options).await.unwrap()
}

/// What each may use adds up to the capacity, and together they do not move more. How near they come and how they share is
/// shown on a virtual clock (`fasp-server/src/vlink/simulated.rs`): here the machine has other work as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_sessions_of_a_virtual_link_stay_at_its_capacity_and_share_by_policy() {
    let bed = Bed::new().await;
    let link = |capacity| {
        format!("set_trunk_data;id,7;trunk_name,office;trunk_on,true;trunk_capacity,{capacity}")
    };
    // Datagrams as on most networks: those of loopback come a few times a second at such rates.
    let on = "set_node_data;transfer_protocol_options_datagram_size,1400;transfer_in_bandwidth_aggregate_trunk_id,7;transfer_out_bandwidth_aggregate_trunk_id,7";
    bed.configure(&[on, &link(CAPACITY_KBPS)]).await;
    let mut transfers = Vec::new();
    for number in 0..10 {
        let policy = match number {
            0..4 => RatePolicy::High,
            4..8 => RatePolicy::Fair,
            _ => RatePolicy::Low,
        };
        transfers.push(start(&bed, number, policy).await);
    }
    let status = bed.status_when(|status| status.sessions.len() == 10).await;
    assert_eq!((status.vlinks.len(), status.vlinks[0].sessions), (1, 10));
    assert_eq!(status.vlinks[0].capacity_kbps, CAPACITY_KBPS);
    assert_eq!(status.vlinks[0].direction, None);
    assert_adds_up(&status, "", CAPACITY_KBPS);
    assert_no_more_is_moved(&bed).await;
    // The file may change what the link carries while they run,
    bed.configure(&[on, &link(CAPACITY_KBPS / 3)]).await;
    let status = bed.status().await;
    assert_eq!(status.vlinks[0].capacity_kbps, CAPACITY_KBPS / 3);
    assert_adds_up(&status, "", CAPACITY_KBPS / 3);
    // and whether both directions share it,
    let each_way = format!("{};trunk_ignore_direction,false", link(CAPACITY_KBPS));
    bed.configure(&[on, &each_way]).await;
    let status = bed.status().await;
    let ways: Vec<_> = status.vlinks.iter().map(|link| &link.direction).collect();
    assert_eq!(
        ways,
        [&Some("send".to_owned()), &Some("receive".to_owned())]
    );
    for (link, way) in status.vlinks.iter().zip(["send", "receive"]) {
        assert_eq!((link.capacity_kbps, link.sessions), (CAPACITY_KBPS, 5));
        assert_adds_up(&status, way, CAPACITY_KBPS);
    }
    let shared = format!("{};trunk_ignore_direction,true", link(CAPACITY_KBPS));
    bed.configure(&[on, &shared]).await;
    assert_adds_up(&bed.status().await, "", CAPACITY_KBPS);
    // and follow the time of day,
    let at_night = "start=0 end=24 capacity=6000;1000";
    let text = std::fs::read_to_string(bed.path("aspera.conf")).unwrap();
    let number = format!(">{CAPACITY_KBPS}<");
    bed.write_conf(&text.replace(&number, &format!(">{at_night}<")))
        .await;
    let status = bed.status().await;
    assert_eq!(status.vlinks[0].capacity_kbps, 6000);
    assert_adds_up(&status, "", 6000);
    // and let it go.
    bed.configure(&[on]).await;
    let status = bed.status().await;
    assert!(status.vlinks.is_empty() && status.sessions.iter().all(|s| s.limit_kbps.is_none()));
    for transfer in transfers {
        transfer.remote().cancel();
    }
}

/// What the sessions of a direction, or with `""` all, may use is what the link carries; a session does not hear of what is
/// less than half a per cent.
fn assert_adds_up(status: &ServerStatus, way: &str, capacity: u64) {
    let sessions = status.sessions.iter();
    let limits = sessions
        .filter(|session| session.direction.starts_with(way))
        .map(|session| session.limit_kbps.unwrap());
    let sum: u64 = limits.sum();
    let bounds = capacity * 99 / 100 - 10..=capacity * 101 / 100;
    assert!(bounds.contains(&sum), "{sum} of {capacity}: {status:?}");
}

/// Over some seconds, once they have heard of their shares.
async fn assert_no_more_is_moved(bed: &Bed) {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, began) = (bytes(bed).await, std::time::Instant::now());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = bytes(bed).await;
    let elapsed = began.elapsed().as_secs_f64();
    let moved: Vec<u64> = after.iter().map(|(id, bytes)| bytes - before[id]).collect();
    assert!(moved.iter().all(|bytes| *bytes > 0), "{moved:?}");
    let rate = moved.iter().sum::<u64>() as f64 * 8.0 / 1000.0 / elapsed;
    // File data is 1,366 bytes of 1,400, and the capacity is that of whole datagrams.
    let part = rate / CAPACITY_KBPS as f64 / FILE_DATA;
    assert!(part <= 1.05, "{part:.3}: {moved:?}");
}

/// Bytes of file data of each session.
async fn bytes(bed: &Bed) -> BTreeMap<String, u64> {
    let sessions = bed.status().await.sessions.into_iter();
    sessions.map(|s| (s.id, s.bytes)).collect()
}
