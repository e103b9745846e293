//! The link's arguments.

use crate::Failure;

/// One direction of the link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinkOptions {
    /// Bits of IP packets per second; nothing means no limit.
    pub(crate) rate: Option<f64>,
    /// Delay of this direction, nanoseconds.
    pub(crate) delay: u64,
    /// Bytes that may wait before the bottleneck.
    pub(crate) queue: u64,
    /// Share of packets lost behind the bottleneck.
    pub(crate) loss: f64,
    /// Mean length of a loss burst, packets; 1 for independent losses.
    pub(crate) burst: f64,
    /// Uniform deviation of the delay, nanoseconds, without reordering.
    pub(crate) jitter: u64,
    pub(crate) seed: u64,
}

#[derive(Debug)]
pub(crate) struct Options {
    /// Namespaces of the two sides.
    pub(crate) sides: [String; 2],
    pub(crate) device: String,
    pub(crate) mtu: usize,
    /// How long to sleep while packets flow, nanoseconds.
    pub(crate) tick: u64,
    /// From the first side to the second, and back.
    pub(crate) links: [LinkOptions; 2],
}

pub(crate) const USAGE: &str = "\
wan-link --ns-a NAMESPACE --ns-b NAMESPACE [options]

Joins two network namespaces (ip netns add) by a TUN device in each, and lets packets through as a long line would.
Runs until SIGTERM or SIGINT, then prints what happened as one line of JSON. Needs root and /dev/net/tun.

  --dev NAME     name of both devices (wan0)
  --rtt MS       round-trip time, half of it each way (0)
  --rate MBIT    Mbit/s of IP packets, each way (no limit)
  --queue MS     drop-tail queue, in time at the rate (one round trip, 5 to 100 ms)
  --loss PCT     random loss each way, behind the bottleneck (0)
  --burst N      mean length of a loss burst (1)
  --jitter MS    uniform deviation of the delay (0); packets stay in order
  --mtu BYTES    largest packet (1500)
  --seed N       of the losses (1)
  --tick-us N    sleep while packets flow (100)

rtt, rate, queue, loss, burst and jitter also exist for one direction: --loss-ab, --rate-ba and so on.";

/// Numbers that an option set.
struct Numbers(Vec<(String, f64)>);

impl Numbers {
    fn get(&self, name: &str) -> Option<f64> {
        self.0
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .map(|(_, v)| *v)
    }

    /// The value for one direction, or the one for both.
    fn of(&self, name: &str, direction: &str) -> Option<f64> {
        self.get(&format!("--{name}-{direction}"))
            .or_else(|| self.get(&format!("--{name}")))
    }

    fn link(&self, direction: &str, mtu: usize) -> LinkOptions {
        let value = |name, otherwise| self.of(name, direction).unwrap_or(otherwise);
        let rate = self.of("rate", direction).map(|mbit| mbit * 1e6);
        let rtt = value("rtt", 0.0);
        let queue_ms = value("queue", rtt.clamp(5.0, 100.0));
        let queue = queue_ms / 1e3 * rate.unwrap_or(0.0) / 8.0;
        LinkOptions {
            rate,
            delay: (rtt / 2.0 * 1e6) as u64,
            queue: queue.max(3.0 * mtu as f64) as u64,
            loss: value("loss", 0.0) / 100.0,
            burst: value("burst", 1.0).max(1.0),
            jitter: (value("jitter", 0.0) * 1e6) as u64,
            seed: self.get("--seed").unwrap_or(1.0) as u64 * 2 + u64::from(direction == "ba"),
        }
    }
}

impl Options {
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let (mut a, mut b, mut device) = (None, None, "wan0".to_owned());
        let mut numbers = Numbers(Vec::new());
        while let Some(name) = args.next() {
            let value = args
                .next()
                .ok_or_else(|| format!("{name} wants a value\n\n{USAGE}"))?;
            match name.as_str() {
                "--ns-a" => a = Some(value),
                "--ns-b" => b = Some(value),
                "--dev" => device = value,
                _ if is_known(&name) => {
                    let number: f64 = value
                        .parse()
                        .map_err(|_| format!("{name} {value} is no number"))?;
                    if !number.is_finite() || number < 0.0 {
                        return Err(format!("{name} {value} is not possible").into());
                    }
                    numbers.0.push((name, number));
                }
                _ => return Err(format!("{name} is not known\n\n{USAGE}").into()),
            }
        }
        let (Some(a), Some(b)) = (a, b) else {
            return Err(USAGE.into());
        };
        let mtu = numbers.get("--mtu").unwrap_or(1500.0) as usize;
        let tick = numbers.get("--tick-us").unwrap_or(100.0) * 1e3;
        Ok(Self {
            sides: [a, b],
            device,
            mtu,
            tick: tick as u64,
            links: [numbers.link("ab", mtu), numbers.link("ba", mtu)],
        })
    }
}

fn is_known(name: &str) -> bool {
    if matches!(name, "--mtu" | "--seed" | "--tick-us") {
        return true;
    }
    let name = name.trim_start_matches("--");
    let name = name
        .strip_suffix("-ab")
        .or_else(|| name.strip_suffix("-ba"))
        .unwrap_or(name);
    matches!(name, "rtt" | "rate" | "queue" | "loss" | "burst" | "jitter")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, Failure> {
        let sides = ["--ns-a", "a", "--ns-b", "b"].map(str::to_owned);
        Options::from_args(
            sides
                .into_iter()
                .chain(text.split_whitespace().map(str::to_owned)),
        )
    }

    #[test]
    fn a_queue_is_one_round_trip_within_bounds() {
        for (rtt, queue) in [(1, 62_500), (50, 625_000), (300, 1_250_000)] {
            let options = parse(&format!("--rtt {rtt} --rate 100")).unwrap();
            assert_eq!(options.links[0].queue, queue, "{rtt} ms");
            assert_eq!(options.links[0].delay, rtt * 500_000);
        }
    }

    #[test]
    fn one_direction_can_differ() {
        let options = parse("--rate 100 --rate-ba 10 --loss-ab 5").unwrap();
        assert_eq!(options.links.map(|l| l.rate), [Some(1e8), Some(1e7)]);
        assert_eq!(options.links.map(|l| l.loss), [0.05, 0.0]);
    }

    #[test]
    fn what_is_not_known_or_not_possible_is_refused() {
        for text in ["--los 1", "--rate", "--rate fast", "--rtt -1", "--rate inf"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
