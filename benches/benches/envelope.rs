//! Micro benchmarks: sealing and opening chunks, wrapping a key, opening a small envelope.
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench stops where it fails")]

use std::sync::atomic::AtomicBool;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fasp_crypt::{
    ChunkSize, Cost, EnvelopeReader, EnvelopeWriter, KdfParams, KeyRing, MemoryCeiling, Passphrase,
    testing,
};

static GO_ON: AtomicBool = AtomicBool::new(false);

fn ring() -> KeyRing {
    KeyRing::new(Passphrase::new("bench").unwrap(), MemoryCeiling::DEFAULT)
}

fn params() -> KdfParams {
    KdfParams {
        cost: Cost::CHEAPEST,
        salt: [0; 16],
    }
}

fn chunks(c: &mut Criterion) {
    let mut group = c.benchmark_group("envelope");
    let ring = ring();
    let kek = ring.kek(&params(), &GO_ON).unwrap();
    for log2 in [16, 20, 25] {
        let chunk = ChunkSize::from_log2(log2).unwrap();
        // Zeros become one ciphertext: sealed once, a chunk has the same tag every time.
        let writer = testing::writer(&kek, [1; 32], chunk, chunk.plain_len()).unwrap();
        let mut sealed = vec![0; chunk.sealed_len() as usize];
        writer.seal_chunk(0, &mut sealed).unwrap();
        let header = writer.header().as_bytes();
        let reader =
            EnvelopeReader::open(header, writer.layout().envelope_len(), &ring, &GO_ON).unwrap();
        group.throughput(Throughput::Bytes(chunk.plain_len()));
        let plain = vec![0; chunk.sealed_len() as usize];
        let mut buffer = plain.clone();
        group.bench_function(BenchmarkId::new("seal", format!("2^{log2}")), |b| {
            b.iter(|| {
                buffer.copy_from_slice(&plain);
                writer.seal_chunk(0, &mut buffer).unwrap();
            });
        });
        group.bench_function(BenchmarkId::new("open", format!("2^{log2}")), |b| {
            b.iter(|| {
                buffer.copy_from_slice(&sealed);
                reader.open_chunk(0, &mut buffer).unwrap()
            });
        });
    }
    group.finish();
    c.bench_function("envelope/begin_file", |b| {
        b.iter(|| EnvelopeWriter::new(&kek, 10_240).unwrap());
    });
}

fn derivation(c: &mut Criterion) {
    let mut group = c.benchmark_group("envelope");
    group.sample_size(10);
    group.bench_function("derive_key", |b| {
        b.iter(|| ring().new_batch(Cost::DEFAULT, &GO_ON).unwrap());
    });
    group.finish();
}

criterion_group!(envelope, chunks, derivation);
criterion_main!(envelope);
