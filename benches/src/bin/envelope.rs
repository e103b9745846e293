//! The speed of content protection in memory, beside the bare cipher, as one JSON object per run.
//!
//! ```text
//! cargo run --release -p benches --bin envelope [-- MIB RUNS]
//! ```
//!
//! `aead` is AES-256-GCM alone over the same chunks with one thread. `seal` and `open` are the library in place on all cores, as
//! the command and a transfer use it, and their ratio is the speed over cores times that of the cipher: 1 means that the
//! library costs nothing. `copy_seal` copies from other memory first, and the `_all` figures allocate the result too.
#![allow(clippy::print_stdout, reason = "a bench prints")]

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use fasp_crypt::{
    Cost, EnvelopeReader, EnvelopeWriter, HEADER_LEN, KeyRing, MemoryCeiling, Passphrase, parallel,
};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let mib = numbers.next().transpose()?.unwrap_or(1024);
    let runs = numbers.next().transpose()?.unwrap_or(3);
    let cores = std::thread::available_parallelism()?;
    let cancelled = AtomicBool::new(false);
    let ring = KeyRing::new(
        Passphrase::new("bench bench bench")?,
        MemoryCeiling::DEFAULT,
    );
    let batch = ring.new_batch(Cost::DEFAULT, &cancelled)?;
    let bytes = mib << 20;
    let plain: Vec<u8> = (0..bytes).map(|i| (i >> 3) as u8).collect();
    for run in 0..runs {
        let mut own = plain.clone();
        let aead = rate(bytes, || bare(&mut own))?;
        drop(own);
        let writer = EnvelopeWriter::new(&batch, bytes as u64)?;
        let mut envelope = Vec::new();
        let seal_all = rate(bytes, || {
            envelope = writer.seal_all(&plain, cores)?;
            Ok(())
        })?;
        let copy_seal = rate(bytes, || {
            copy_and_seal(&writer, &plain, &mut envelope, cores)
        })?;
        lay_out(&writer, &plain, &mut envelope);
        let seal = rate(bytes, || seal_in_place(&writer, &mut envelope, cores))?;
        let header = writer.header().as_bytes();
        let reader = EnvelopeReader::open(header, envelope.len() as u64, &ring, &cancelled)?;
        let open_all = rate(bytes, || {
            drop(reader.open_all(&envelope, cores)?);
            Ok(())
        })?;
        let open = rate(bytes, || open_in_place(&reader, &mut envelope, cores))?;
        println!(
            "{}",
            serde_json::json!({
                "run": run, "mib": mib, "cores": cores, "aead_gb_s": aead,
                "seal_gb_s": seal, "seal_ratio": seal / (cores.get() as f64 * aead),
                "open_gb_s": open, "open_ratio": open / (cores.get() as f64 * aead),
                "copy_seal_gb_s": copy_seal, "seal_all_gb_s": seal_all, "open_all_gb_s": open_all,
            })
        );
    }
    Ok(())
}

/// Returns 10^9 bytes a second.
fn rate(bytes: usize, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    work()?;
    Ok(bytes as f64 / start.elapsed().as_secs_f64() / 1e9)
}

/// The cipher alone, in the chunks of the envelope.
fn bare(buffer: &mut [u8]) -> Result<(), Failure> {
    let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).map_err(|_| "no key")?;
    let key = LessSafeKey::new(key);
    for (index, chunk) in buffer.chunks_mut(1 << 20).enumerate() {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&(index as u64).to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let sealed = key.seal_in_place_separate_tag(nonce, Aad::empty(), chunk);
        let _tag = std::hint::black_box(sealed.map_err(|_| "not sealed")?);
    }
    Ok(())
}

/// The chunks of an envelope in memory and their plain bytes.
fn chunks<'a>(
    writer: &EnvelopeWriter,
    plain: &'a [u8],
    envelope: &'a mut [u8],
) -> impl Iterator<Item = (&'a mut [u8], &'a [u8])> + Send {
    let size = writer.layout().chunk_size();
    let body = &mut envelope[HEADER_LEN..];
    let plain = plain.chunks(size.plain_len() as usize).chain([&[][..]]);
    body.chunks_mut(size.sealed_len() as usize).zip(plain)
}

/// Puts the plain bytes to where they are sealed.
fn lay_out(writer: &EnvelopeWriter, plain: &[u8], envelope: &mut [u8]) {
    for (chunk, plain) in chunks(writer, plain, envelope) {
        chunk[..plain.len()].copy_from_slice(plain);
    }
}

fn copy_and_seal(
    writer: &EnvelopeWriter,
    plain: &[u8],
    envelope: &mut [u8],
    threads: NonZeroUsize,
) -> Result<(), Failure> {
    let chunks = (0..).zip(chunks(writer, plain, envelope));
    let work = |_: &mut (), (index, (chunk, plain)): (_, (&mut [u8], &[u8]))| {
        chunk[..plain.len()].copy_from_slice(plain);
        writer.seal_chunk(index, chunk)
    };
    Ok(parallel::for_each(chunks, threads, || (), work)?)
}

fn seal_in_place(
    writer: &EnvelopeWriter,
    envelope: &mut [u8],
    threads: NonZeroUsize,
) -> Result<(), Failure> {
    let sealed_len = writer.layout().chunk_size().sealed_len() as usize;
    let chunks = (0..).zip(envelope[HEADER_LEN..].chunks_mut(sealed_len));
    let work = |_: &mut (), (index, chunk): (_, &mut [u8])| writer.seal_chunk(index, chunk);
    Ok(parallel::for_each(chunks, threads, || (), work)?)
}

fn open_in_place(
    reader: &EnvelopeReader,
    envelope: &mut [u8],
    threads: NonZeroUsize,
) -> Result<(), Failure> {
    let sealed_len = reader.layout().chunk_size().sealed_len() as usize;
    let body = &mut envelope[HEADER_LEN..];
    let chunks = (0..).zip(body.chunks_mut(sealed_len));
    parallel::for_each(
        chunks,
        threads,
        || (),
        |_: &mut (), (index, chunk)| reader.open_chunk(index, chunk).map(drop),
    )?;
    Ok(())
}
