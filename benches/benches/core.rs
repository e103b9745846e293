//! Micro benchmarks: codec, cipher, range set, whole sessions.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fasp_core::testing::{Pair, Scenario, bench};
use fasp_core::{DatagramCipher, RangeSet};

const CIPHERS: [DatagramCipher; 3] = [
    DatagramCipher::None,
    DatagramCipher::Aes128Gcm,
    DatagramCipher::Aes256Gcm,
];
const SIZES: [usize; 2] = [1472, 9216];

fn wire_codec(c: &mut Criterion) {
    let (mut out, block) = (Vec::with_capacity(2000), [1; 1438]);
    let mut number = 0;
    c.bench_function("wire_codec/block", |b| {
        b.iter(|| {
            number += 1;
            bench::wire_round_trip(&mut out, number, black_box(&block))
        });
    });
}

fn cipher(c: &mut Criterion) {
    let mut group = c.benchmark_group("cipher");
    for cipher in CIPHERS {
        for size in SIZES {
            let mut datagrams = bench::CipherBench::new(cipher, size);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new(format!("seal/{cipher}"), size), |b| {
                b.iter(|| datagrams.seal());
            });
            let mut datagrams = bench::CipherBench::new(cipher, size);
            group.bench_function(BenchmarkId::new(format!("open/{cipher}"), size), |b| {
                b.iter(|| datagrams.open());
            });
        }
    }
}

fn range_set(c: &mut Criterion) {
    c.bench_function("range_set/append", |b| {
        let (mut set, mut at) = (RangeSet::new(), 0);
        b.iter(|| {
            set.insert(at..at + 1438);
            at += 1438;
        });
    });
    c.bench_function("range_set/fill one of 1000 gaps", |b| {
        let mut full = RangeSet::new();
        for i in 0..1000 {
            full.insert(i * 10..i * 10 + 9);
        }
        b.iter_batched_ref(
            || full.clone(),
            |set| set.insert(5009..5010),
            criterion::BatchSize::SmallInput,
        );
    });
}

fn session_step(c: &mut Criterion) {
    let mut group = c.benchmark_group("session_step");
    for size in [1472, 9216] {
        for (name, part) in [("sender", 0), ("receiver", 1), ("reports", 2)] {
            group.bench_function(BenchmarkId::new(name, size), |b| {
                b.iter_custom(|count| {
                    let bytes = (count * u64::from(size)).max(4_000_000);
                    let cost = bench::session_steps(DatagramCipher::Aes128Gcm, size, bytes);
                    let spent = [cost.transmit, cost.receive, cost.feedback][part];
                    spent.mul_f64(count as f64 / cost.datagrams as f64)
                });
            });
        }
    }
}

fn session_simulated(c: &mut Criterion) {
    let mut group = c.benchmark_group("session_simulated");
    group
        .sample_size(10)
        .throughput(Throughput::Bytes(10_000_000));
    group.bench_function("10 MB across a continent", |b| {
        b.iter(|| {
            let scenario = Scenario::new(1, vec![10_000_000], netsim::presets::transcontinental());
            Pair::new(scenario).run(Duration::from_secs(60)).complete
        });
    });
}

criterion_group!(
    core,
    wire_codec,
    cipher,
    range_set,
    session_step,
    session_simulated
);
criterion_main!(core);
