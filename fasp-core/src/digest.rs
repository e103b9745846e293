//! The whole-file digest, combined from blocks in any order (protocol §9.5).
//!
//! A CRC is linear: the value of a file is the sum of the values of its pieces, each moved to its place by a
//! multiplication with a power of x. Runs of adjacent blocks cost one plain CRC pass and no multiplication.

/// CRC-64/NVME without conditioning, as a polynomial in reflected bit order.
const POLYNOMIAL: u64 = 0x9a6c_9329_ac4b_c9b5;
const ALL_ONES: u64 = u64::MAX;
/// The polynomial "1" in reflected bit order.
const ONE: u64 = 1 << 63;

/// Accumulates the digest of one file of known size: CRC-64/NVME, from pieces in any order (protocol §9.5).
///
/// What has not been added counts as zeros, so that the digest of a part of a file has a meaning of its own.
#[derive(Clone)]
pub struct FileDigest {
    size: u64,
    /// Sum of the finished runs.
    sum: u64,
    /// The run that still grows.
    run_start: u64,
    run_end: u64,
    run: crc_fast::Digest,
}

impl std::fmt::Debug for FileDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileDigest")
            .field("run_end", &self.run_end)
            .finish_non_exhaustive()
    }
}

impl FileDigest {
    /// Begins the digest of a file of this many bytes.
    pub fn new(size: u64) -> Self {
        Self {
            size,
            sum: 0,
            run_start: 0,
            run_end: 0,
            run: plain_digest(),
        }
    }

    /// Adds bytes that were not added before.
    pub fn add(&mut self, offset: u64, bytes: &[u8]) {
        if offset != self.run_end {
            self.fold();
            self.run_start = offset;
            self.run_end = offset;
        }
        self.run.update(bytes);
        self.run_end += bytes.len() as u64;
    }

    /// Adds what another digest of the same file was given: bytes that were not added here.
    pub fn add_digest(&mut self, digest: u64) {
        self.sum ^= digest ^ conditioning(self.size);
    }

    /// Returns the digest of the file, with zeros where nothing was added.
    pub fn finish(mut self) -> u64 {
        self.fold();
        // Back to the conditioned form that everybody else computes.
        self.sum ^ conditioning(self.size)
    }

    fn fold(&mut self) {
        let length = self.run_end - self.run_start;
        if length == 0 {
            return;
        }
        let run = std::mem::replace(&mut self.run, plain_digest());
        let raw = run.finalize() ^ ALL_ONES ^ multiply(ALL_ONES, power_of_x(length));
        self.sum ^= multiply(raw, power_of_x(self.size - self.run_end));
    }
}

/// What the usual form of the CRC adds to the sum: the digest of as many zeros.
fn conditioning(size: u64) -> u64 {
    multiply(ALL_ONES, power_of_x(size)) ^ ALL_ONES
}

/// The digest of nothing yet, of one run of bytes.
fn plain_digest() -> crc_fast::Digest {
    crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme)
}

/// Multiplies two reflected polynomials modulo the CRC's.
fn multiply(a: u64, mut b: u64) -> u64 {
    let mut product = 0;
    for bit in (0..64).rev() {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        b = if b & 1 == 1 {
            b >> 1 ^ POLYNOMIAL
        } else {
            b >> 1
        };
    }
    product
}

/// Returns x to the power of `bytes * 8`.
fn power_of_x(bytes: u64) -> u64 {
    static SQUARES: std::sync::OnceLock<[u64; 64]> = std::sync::OnceLock::new();
    let squares = SQUARES.get_or_init(|| {
        let mut power = ONE >> 8;
        std::array::from_fn(|_| {
            let this = power;
            power = multiply(power, power);
            this
        })
    });
    let mut product = ONE;
    let mut rest = bytes;
    while rest != 0 {
        product = multiply(product, squares[rest.trailing_zeros() as usize]);
        rest &= rest - 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(bytes: &[u8]) -> u64 {
        let mut digest = plain_digest();
        digest.update(bytes);
        digest.finalize()
    }

    #[test]
    fn the_published_check_value_comes_out() {
        let mut digest = FileDigest::new(9);
        digest.add(0, b"123456789");
        assert_eq!(digest.finish(), 0xae8b_1486_0a79_9888);
        assert_eq!(FileDigest::new(0).finish(), plain(b""));
    }

    #[test]
    fn digests_of_parts_add_up_and_each_is_that_of_the_file_with_zeros_elsewhere() {
        let bytes: Vec<u8> = (0..1000u32).map(|n| ((n * n) >> 3) as u8).collect();
        let mut parts = [FileDigest::new(1000), FileDigest::new(1000)];
        for (n, at) in [(0, 0..100), (1, 100..350), (0, 350..351), (1, 351..1000)] {
            parts[n].add(at.start as u64, &bytes[at]);
        }
        let mut zeroed = bytes.clone();
        zeroed[100..350].fill(0);
        zeroed[351..].fill(0);
        let [first, second] = parts.map(FileDigest::finish);
        assert_eq!(first, plain(&zeroed));
        let mut whole = FileDigest::new(1000);
        whole.add_digest(first);
        whole.add_digest(second);
        assert_eq!(whole.finish(), plain(&bytes));
    }

    proptest! {
        #[test]
        fn any_order_of_pieces_gives_the_plain_crc(
            bytes in prop::collection::vec(any::<u8>(), 1..4000),
            cuts in prop::collection::vec(1usize..900, 1..20),
            seed: u64,
        ) {
            let mut pieces = Vec::new();
            let mut at = 0;
            for cut in cuts.iter().cycle() {
                let end = (at + cut).min(bytes.len());
                pieces.push((at, &bytes[at..end]));
                at = end;
                if at == bytes.len() { break; }
            }
            let mut state = seed | 1;
            for i in (1..pieces.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                pieces.swap(i, (state >> 33) as usize % (i + 1));
            }
            let mut digest = FileDigest::new(bytes.len() as u64);
            for (offset, piece) in pieces {
                digest.add(offset as u64, piece);
            }
            prop_assert_eq!(digest.finish(), plain(&bytes));
        }
    }
}
