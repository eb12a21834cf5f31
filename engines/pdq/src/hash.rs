//! The hash itself: 256 bits and the distance between two. No I/O.

use std::{fmt, str::FromStr};

/// Bits in a hash.
pub const HASH_BITS: u32 = 256;

/// A PDQ hash; shown as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// In how many of the 256 bits two hashes differ: about 128 for unrelated pictures, up to 31 for copies.
    pub fn distance(&self, other: &Self) -> u32 {
        self.words().into_iter().zip(other.words()).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    /// Whether the coefficient of vertical frequency `row + 1` and horizontal frequency `column + 1` lies above the median.
    /// Both are 0 to 15.
    pub fn bit(&self, row: usize, column: usize) -> bool {
        let at = row * 16 + column;
        self.0[31 - at / 8] >> (at % 8) & 1 == 1
    }

    fn words(&self) -> [u64; 4] {
        std::array::from_fn(|n| {
            let mut word = [0; 8];
            word.copy_from_slice(&self.0[n * 8..n * 8 + 8]);
            u64::from_le_bytes(word)
        })
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(hex: &str) -> Result<Self, HashError> {
        let digits = hex.bytes().map(|digit| char::from(digit).to_digit(16)).collect::<Option<Vec<u32>>>();
        let digits = digits.filter(|digits| digits.len() == 64).ok_or(HashError)?;
        Ok(Self(std::array::from_fn(|n| (digits[2 * n] << 4 | digits[2 * n + 1]) as u8)))
    }
}

/// Not the 64 hex digits that a hash is shown as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashError;

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed to read a PDQ hash: need 64 hex digits")
    }
}

impl std::error::Error for HashError {}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back_and_nothing_else_is() {
        let hash = Hash(std::array::from_fn(|n| (n * 37 + 5) as u8));
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for other in ["", "0", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(other.parse::<Hash>(), Err(HashError), "{other}");
        }
    }
}
