//! The 128 bits of a PDQ hash that last: its low frequencies. Pure arithmetic; no I/O.

use std::sync::LazyLock;

use showrunner_pdq::Hash;

/// Bits of a code.
pub(crate) const BITS: u32 = 128;
/// Side of the block of coefficients whose bits make up [`Code::low`].
const BLOCK: usize = 8;

/// The low frequencies of a hash. A crop of 5 % at each side turns 32 % of all bits of a hash, but 20 % of `low`; the bits of
/// unrelated pictures differ in half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Code {
    /// The 8x8 lowest.
    pub low: u64,
    /// The 64 next to these.
    pub rest: u64,
}

/// Which coefficients (row, column) the bits of a code are: the block, then by the larger of both frequencies.
static ORDER: LazyLock<Vec<(usize, usize)>> = LazyLock::new(|| {
    let mut all: Vec<_> = (0..16).flat_map(|row| (0..16).map(move |column| (row, column))).collect();
    all.sort_by_key(|&(row, column)| (row.max(column).max(BLOCK - 1), row + column, row));
    all.truncate(BITS as usize);
    all
});

impl Code {
    /// Of a hash.
    pub fn of(hash: &Hash) -> Self {
        let word = |order: &[(usize, usize)]| {
            order.iter().enumerate().fold(0, |word, (n, &(row, column))| word | u64::from(hash.bit(row, column)) << n)
        };
        Self { low: word(&ORDER[..64]), rest: word(&ORDER[64..]) }
    }

    /// In how many of 128 bits two codes differ: about 64 for unrelated pictures.
    pub fn distance(self, other: Self) -> u32 {
        (self.low ^ other.low).count_ones() + (self.rest ^ other.rest).count_ones()
    }
}
