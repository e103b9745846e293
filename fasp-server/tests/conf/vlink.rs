//! Ten sessions of both directions on one virtual link.

use std::{collections::BTreeMap, time::Duration};

use fasp_core::RatePolicy;
use fasp_net::{
    engine::{Source, Sources},
    request::TransferOptions,
    transfer::{Job, LocalDestination, Transfer},
};
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

/// The bar: together within 5 % of the capacity, shares of policies within 20 %.
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
        transfers.push((policy, start(&bed, number, policy).await));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let status = bed.status().await;
    assert_eq!((status.vlinks.len(), status.vlinks[0].sessions), (1, 10));
    assert_eq!(status.vlinks[0].capacity_kbps, CAPACITY_KBPS);
    // What the machine does besides costs rate, never gives any: the bounds above hold in every stretch, those below in one.
    let mut last = Err(String::new());
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        last = stretch(&bed).await;
        if last.is_ok() {
            break;
        }
    }
    last.unwrap();
    // The file may change what the link carries while they run, and let it go.
    bed.configure(&[on, &link(CAPACITY_KBPS / 3)]).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let link = bed.status().await.vlinks[0].clone();
    assert_eq!(link.capacity_kbps, CAPACITY_KBPS / 3);
    assert!(link.used_kbps <= CAPACITY_KBPS / 3 * 105 / 100, "{link:?}");
    bed.configure(&[on]).await;
    let status = bed.status().await;
    assert!(status.vlinks.is_empty() && status.sessions.iter().all(|s| s.limit_kbps.is_none()));
    for (_, transfer) in transfers {
        transfer.remote().cancel();
    }
}

/// Measures for some seconds. Panics where more is moved than may be; the error says where less is.
async fn stretch(bed: &Bed) -> Result<(), String> {
    let (before, began) = (bytes(bed).await, std::time::Instant::now());
    tokio::time::sleep(Duration::from_secs(8)).await;
    let after = bytes(bed).await;
    let elapsed = began.elapsed().as_secs_f64();
    let mut by_policy = BTreeMap::<&str, Vec<f64>>::new();
    for (id, (bytes, policy)) in &after {
        let rate = (bytes - before[id].0) as f64 * 8.0 / 1000.0 / elapsed;
        by_policy.entry(policy.as_str()).or_default().push(rate);
    }
    let sum: f64 = by_policy.values().flatten().sum();
    let text = format!("{sum:.0} of {CAPACITY_KBPS} kbit/s: {by_policy:.0?}");
    println!("{text}");
    // File data is 1,366 bytes of 1,400, and the capacity is that of whole datagrams.
    let of_capacity = sum / CAPACITY_KBPS as f64 / FILE_DATA;
    assert!(of_capacity <= 1.05, "{text}");
    let unit = CAPACITY_KBPS as f64 * FILE_DATA / (4.0 * 2.0 + 4.0 + 2.0 * 0.25);
    let shares = [("high", 2.0), ("fair", 1.0), ("low", 0.25)];
    let is_near = shares.iter().all(|(policy, share)| {
        let rates = by_policy[policy].iter();
        rates
            .map(|rate| rate / (unit * share))
            .all(|part| (0.8..=1.2).contains(&part))
    });
    (of_capacity >= 0.95 && is_near).then_some(()).ok_or(text)
}

/// Bytes of file data and policy of each session.
async fn bytes(bed: &Bed) -> BTreeMap<String, (u64, String)> {
    let sessions = bed.status().await.sessions.into_iter();
    sessions.map(|s| (s.id, (s.bytes, s.policy))).collect()
}
