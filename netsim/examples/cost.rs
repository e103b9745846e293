//! Prints what the simulator costs per packet and link: `cargo run --release -p netsim --example cost`.
#![allow(
    clippy::print_stdout,
    reason = "a measurement is printed to be looked at"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use netsim::{Link, LinkConfig, Network, Payload, SizeOnly, presets};

const PACKETS: u64 = 3_000_000;
const SIZE: usize = 1_400;

fn main() {
    let presets = [
        ("ideal", LinkConfig::default()),
        ("loopback", presets::loopback()),
        ("lan", presets::lan()),
        ("transcontinental", presets::transcontinental()),
        ("satellite", presets::satellite()),
        ("lossy_wifi", presets::lossy_wifi()),
        ("policed", presets::policed()),
    ];
    println!(
        "ns per packet, a packet of {SIZE} bytes each time the last has left, {PACKETS} packets"
    );
    println!(
        "{:<18}{:>8}{:>12}{:>14}",
        "", "link", "network", "3 hops, /hop"
    );
    for (name, config) in presets {
        let link = through_link(config.clone());
        let network = through_network(&config, 1);
        let hops = through_network(&config, 3) / 3.0;
        println!("{name:<18}{link:>8.0}{network:>12.0}{hops:>14.0}");
    }
    let bytes = with_bytes(&presets::transcontinental());
    println!(
        "transcontinental, network, one Vec<u8> allocated, filled and freed per packet: {bytes:.0}"
    );
}

/// Time between sends that fills the link exactly.
fn interval(config: &LinkConfig) -> Duration {
    let rate = config.rate.unwrap_or(10_000_000_000);
    Duration::from_nanos((SIZE + config.overhead) as u64 * 8_000_000_000 / rate)
}

fn per_packet(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / PACKETS as f64
}

fn through_link(config: LinkConfig) -> f64 {
    let start = Instant::now();
    let interval = interval(&config);
    let mut link = Link::new(start, config, 1);
    let mut now = start;
    for number in 0..PACKETS {
        link.send(now, SizeOnly::new(SIZE, number));
        now += interval;
        while link.poll(now).is_some() {}
    }
    per_packet(start)
}

fn through_network(config: &LinkConfig, hops: usize) -> f64 {
    over_network(config, hops, |number| SizeOnly::new(SIZE, number))
}

fn with_bytes(config: &LinkConfig) -> f64 {
    over_network(config, 1, |number| vec![number as u8; SIZE])
}

/// Jumps from event to event, as a test does that drives two endpoints.
fn over_network<P: Payload>(config: &LinkConfig, hops: usize, packet: impl Fn(u64) -> P) -> f64 {
    let start = Instant::now();
    let interval = interval(config);
    let mut network = Network::new(start, 1);
    let addresses = [1, 2].map(|last| SocketAddr::from(([10, 0, 0, last], 33_001)));
    let hosts = addresses.map(|a| network.add_host(a).expect("two different addresses"));
    let links: Vec<_> = (0..hops)
        .map(|_| network.add_link(config.clone()))
        .collect();
    network.set_route(hosts[0], hosts[1], &links);
    let mut next_send = start;
    for number in 0..PACKETS {
        network.send(next_send, addresses[0], addresses[1], packet(number));
        next_send += interval;
        while let Some(now) = network.next_event()
            && now <= next_send
        {
            while network.poll(now).is_some() {}
        }
    }
    per_packet(start)
}
