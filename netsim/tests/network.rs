//! Hosts, routes, shared links and address changes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netsim::{Delivery, Error, LinkConfig, Network, SizeOnly, presets};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn addr(last: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], port))
}

fn delayed(delay: Duration) -> LinkConfig {
    LinkConfig {
        delay,
        ..LinkConfig::default()
    }
}

fn drain(network: &mut Network<SizeOnly>) -> Vec<Delivery<SizeOnly>> {
    let mut deliveries = Vec::new();
    while let Some(now) = network.next_event() {
        while let Some(delivery) = network.poll(now) {
            deliveries.push(delivery);
        }
    }
    assert!(deliveries.is_sorted_by_key(|delivery| delivery.at));
    deliveries
}

#[test]
fn a_packet_crosses_every_link_of_its_route() {
    let epoch = Instant::now();
    let mut network = Network::new(epoch, 1);
    let a = network.add_host(addr(1, 1)).unwrap();
    let b = network.add_host(addr(2, 2)).unwrap();
    let links = [3, 20, 4].map(|delay| network.add_link(delayed(ms(delay))));
    network.set_route(a, b, &links);
    network.send(epoch, addr(1, 1), addr(2, 2), SizeOnly::new(100, 7));
    assert_eq!(
        drain(&mut network),
        [Delivery {
            at: epoch + ms(27),
            host: b,
            src: addr(1, 1),
            dst: addr(2, 2),
            payload: SizeOnly::new(100, 7),
        }]
    );
    for link in links {
        assert_eq!(network.link_counters(link).delivered, 1);
    }
    assert_eq!(network.counters().delivered, 1);
}

#[test]
fn the_two_directions_of_a_connection_are_independent() {
    let epoch = Instant::now();
    let mut network = Network::new(epoch, 1);
    let a = network.add_host(addr(1, 1)).unwrap();
    let b = network.add_host(addr(2, 2)).unwrap();
    network.connect(a, b, delayed(ms(10)), delayed(ms(30)));
    network.send(epoch, addr(1, 1), addr(2, 2), SizeOnly::new(1, 0));
    network.send(epoch, addr(2, 2), addr(1, 1), SizeOnly::new(1, 1));
    let arrivals: Vec<_> = drain(&mut network)
        .iter()
        .map(|d| (d.host, d.at - epoch))
        .collect();
    assert_eq!(arrivals, [(b, ms(10)), (a, ms(30))]);
}

#[test]
fn two_routes_share_a_bottleneck_whatever_their_round_trips() {
    let epoch = Instant::now();
    let mut network = Network::new(epoch, 2);
    let sink = network.add_host(addr(9, 9)).unwrap();
    // 1,000-byte packets every millisecond from each sender: twice what the bottleneck carries.
    let bottleneck = network.add_link(LinkConfig {
        rate: Some(8_000_000),
        queue: 20_000,
        ..LinkConfig::default()
    });
    let mut senders = Vec::new();
    for (last, access_delay) in [(1, 5), (2, 80)] {
        let host = network.add_host(addr(last, 1)).unwrap();
        let access = network.add_link(delayed(ms(access_delay)));
        network.set_route(host, sink, &[access, bottleneck]);
        senders.push(addr(last, 1));
    }
    for step in 0..2_000_u64 {
        // Off each other's beat, so that drop-tail does not always hit the same sender.
        let now = epoch + ms(step);
        let first = (step.wrapping_mul(7) / 3 % 2) as usize;
        network.send(now, senders[first], addr(9, 9), SizeOnly::new(1_000, step));
        network.send(
            now,
            senders[1 - first],
            addr(9, 9),
            SizeOnly::new(1_000, step),
        );
    }
    let deliveries = drain(&mut network);
    let busy = deliveries.last().unwrap().at - deliveries[0].at;
    let counters = network.link_counters(bottleneck);
    // Back to back at 1 ms each from the moment both senders are heard.
    assert_eq!(counters.sent, 4_000);
    assert_eq!(counters.sent, counters.delivered + counters.overflowed);
    assert_eq!(busy, ms(deliveries.len() as u64 - 1));
    assert!(deliveries.is_sorted_by_key(|d| d.at));
    assert_eq!(counters.max_queue_delay, ms(20));
    for sender in senders {
        let from = deliveries.iter().filter(|d| d.src == sender).count();
        assert!(from > 50, "{sender} got {from} of {}", deliveries.len());
    }
}

#[test]
fn packets_enter_a_shared_link_in_order_of_time_not_of_calls() {
    let epoch = Instant::now();
    let mut network = Network::new(epoch, 3);
    let sink = network.add_host(addr(9, 9)).unwrap();
    let shared = network.add_link(LinkConfig {
        rate: Some(8_000_000),
        ..LinkConfig::default()
    });
    for (last, access_delay) in [(1, 50), (2, 10)] {
        let host = network.add_host(addr(last, 1)).unwrap();
        let access = network.add_link(delayed(ms(access_delay)));
        network.set_route(host, sink, &[access, shared]);
    }
    network.send(epoch, addr(1, 1), addr(9, 9), SizeOnly::new(1_000, 1));
    network.send(
        epoch + ms(1),
        addr(2, 1),
        addr(9, 9),
        SizeOnly::new(1_000, 2),
    );
    // One late poll must replay the past in its order.
    let late = epoch + ms(1_000);
    let arrivals: Vec<_> = std::iter::from_fn(|| network.poll(late))
        .map(|d| (d.payload.number, d.at - epoch))
        .collect();
    assert_eq!(arrivals, [(2, ms(12)), (1, ms(51))]);
}

#[test]
fn after_a_rebind_packets_carry_the_new_source_and_the_old_address_is_dead() {
    let epoch = Instant::now();
    let mut network = Network::new(epoch, 4);
    let (old, new, server) = (addr(1, 1), addr(1, 4_000), addr(2, 2));
    let client = network.add_host(old).unwrap();
    let far = network.add_host(server).unwrap();
    network.connect(client, far, delayed(ms(10)), delayed(ms(10)));

    // On its way when the mapping changes: dropped at the door.
    network.send(epoch, server, old, SizeOnly::new(1, 0));
    network.rebind(client, new).unwrap();
    assert_eq!(network.address(client), new);
    network.send(epoch + ms(1), server, old, SizeOnly::new(1, 1));
    // The client does not know about its NAT and keeps naming its old address.
    network.send(epoch + ms(1), old, server, SizeOnly::new(1, 2));
    network.send(epoch + ms(2), server, new, SizeOnly::new(1, 3));

    let seen: Vec<_> = drain(&mut network)
        .iter()
        .map(|d| (d.payload.number, d.src, d.dst, d.host))
        .collect();
    assert_eq!(seen, [(2, new, server, far), (3, server, new, client)]);
    assert_eq!(network.counters().stale_address, 2);

    network.rebind(client, old).unwrap();
    network.send(epoch + ms(50), server, old, SizeOnly::new(1, 4));
    assert_eq!(drain(&mut network).len(), 1);
}

#[test]
fn an_address_of_another_host_is_refused() {
    let mut network: Network<SizeOnly> = Network::new(Instant::now(), 5);
    let a = network.add_host(addr(1, 1)).unwrap();
    assert_eq!(
        network.add_host(addr(1, 1)),
        Err(Error::AddressInUse(addr(1, 1)))
    );
    let b = network.add_host(addr(2, 1)).unwrap();
    network.rebind(a, addr(1, 2)).unwrap();
    let refused = network.rebind(b, addr(1, 1)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "address 10.0.0.1:1 belongs to another host"
    );
    assert_eq!(network.address(b), addr(2, 1));
}

#[test]
fn packets_without_a_way_are_counted() {
    let epoch = Instant::now();
    let mut network = Network::new(epoch, 6);
    let a = network.add_host(addr(1, 1)).unwrap();
    let b = network.add_host(addr(2, 2)).unwrap();
    network.set_route(a, b, &[]);
    network.send(epoch, addr(2, 2), addr(1, 1), SizeOnly::new(1, 0));
    network.send(epoch, addr(1, 1), addr(7, 7), SizeOnly::new(1, 1));
    network.send(epoch, addr(7, 7), addr(1, 1), SizeOnly::new(1, 2));
    assert_eq!(network.counters().unroutable, 3);
    assert_eq!(network.next_event(), None);
    // The one route there is has no links: no delay.
    network.send(epoch, addr(1, 1), addr(2, 2), SizeOnly::new(1, 3));
    assert_eq!(drain(&mut network)[0].at, epoch);
}

#[test]
fn a_new_route_leaves_packets_under_way_on_the_old_one() {
    let epoch = Instant::now();
    let mut network = Network::new(epoch, 7);
    let a = network.add_host(addr(1, 1)).unwrap();
    let b = network.add_host(addr(2, 2)).unwrap();
    let (slow, _) = network.connect(a, b, delayed(ms(100)), delayed(ms(100)));
    network.send(epoch, addr(1, 1), addr(2, 2), SizeOnly::new(1, 0));
    let quick = network.add_link(delayed(ms(5)));
    network.set_route(a, b, &[quick]);
    network.send(epoch + ms(1), addr(1, 1), addr(2, 2), SizeOnly::new(1, 1));
    let arrivals: Vec<_> = drain(&mut network)
        .iter()
        .map(|d| (d.payload.number, d.at - epoch))
        .collect();
    assert_eq!(arrivals, [(1, ms(6)), (0, ms(100))]);
    assert_eq!(network.link_counters(slow).sent, 1);
}

#[test]
fn a_link_changed_in_flight_keeps_the_agenda_right() {
    let epoch = Instant::now();
    let mut network = Network::new(epoch, 8);
    let a = network.add_host(addr(1, 1)).unwrap();
    let b = network.add_host(addr(2, 2)).unwrap();
    let slow = LinkConfig {
        rate: Some(8_000),
        ..LinkConfig::default()
    };
    let (link, _) = network.connect(a, b, slow.clone(), slow);
    for number in 0..3 {
        network.send(epoch, addr(1, 1), addr(2, 2), SizeOnly::new(1_000, number));
    }
    assert_eq!(network.next_event(), Some(epoch + ms(1_000)));
    assert_eq!(network.queue_delay(epoch, link), ms(3_000));
    let fast = LinkConfig {
        rate: Some(8_000_000),
        delay: ms(7),
        ..network.link_config(link).clone()
    };
    network.set_link(epoch + ms(500), link, fast);
    let arrivals: Vec<_> = drain(&mut network)
        .iter()
        .map(|d| (d.at - epoch).as_micros())
        .collect();
    assert_eq!(arrivals, [507_500, 508_500, 509_500]);
}

#[test]
fn traffic_on_one_link_does_not_change_the_luck_of_another() {
    let epoch = Instant::now();
    let survivors = |noise: bool| {
        let mut network = Network::new(epoch, 99);
        let hosts: Vec<_> = (1..=4)
            .map(|last| network.add_host(addr(last, 1)).unwrap())
            .collect();
        let config = presets::lossy_wifi();
        network.connect(hosts[0], hosts[1], config.clone(), config.clone());
        network.connect(hosts[2], hosts[3], config.clone(), config);
        for step in 0..3_000 {
            let now = epoch + ms(step);
            network.send(now, addr(1, 1), addr(2, 1), SizeOnly::new(1_000, step));
            if noise {
                network.send(now, addr(3, 1), addr(4, 1), SizeOnly::new(1_000, step));
            }
        }
        let mut deliveries = drain(&mut network);
        deliveries.retain(|d| d.host == hosts[1]);
        deliveries
    };
    let quiet = survivors(false);
    assert!(quiet.len() > 2_500 && quiet.len() < 3_000);
    assert_eq!(quiet, survivors(true));
}
