//! PDQ, a perceptual hash of 256 bits: pictures that look alike differ in few of them. Pure arithmetic; no I/O.
//!
//! After "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook, 2019): two box blurs, 64x64
//! samples, the 16x16 lowest non-constant cosine coefficients, each against their median. Written here because the published
//! crate ties its callers to an image library of 2021.

use std::{f32::consts::PI, fmt};

use crate::picture::Work;

/// Bits in a hash.
pub const HASH_BITS: u32 = 256;
/// Side of the sampled picture.
const SAMPLED: usize = 64;
/// Side of the block of coefficients kept.
const KEPT: usize = 16;

/// A PDQ hash; shown as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// In how many of the 256 bits two hashes differ: about 128 for unrelated pictures, up to 31 for copies.
    pub fn distance(&self, other: &Self) -> u32 {
        self.0.iter().zip(other.0).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    pub(crate) fn of(work: &Work) -> Self {
        let (width, height) = (work.width, work.height);
        let mut luma: Vec<f32> =
            work.rgb.iter().map(|p| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])).collect();
        for _ in 0..2 {
            blur(&mut luma, height, width, 1, window(width)); // along rows
            blur(&mut luma, width, 1, width, window(height)); // along columns
        }
        let at = |i: usize, side: usize| (2 * i + 1) * side / (2 * SAMPLED);
        let sampled: Vec<f32> =
            (0..SAMPLED * SAMPLED).map(|i| luma[at(i / SAMPLED, height) * width + at(i % SAMPLED, width)]).collect();
        Self::from_coefficients(&cosines(&sampled))
    }

    fn from_coefficients(coefficients: &[f32]) -> Self {
        let mut sorted = coefficients.to_vec();
        sorted.sort_by(f32::total_cmp);
        let median = sorted[sorted.len() / 2 - 1];
        let mut bytes = [0u8; 32];
        for (i, _) in coefficients.iter().enumerate().filter(|(_, c)| **c > median) {
            bytes[31 - i / 8] |= 1 << (i % 8);
        }
        Self(bytes)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The reference's blur window for a side: the two passes then reach about one sample.
fn window(side: usize) -> usize {
    side.div_ceil(2 * SAMPLED)
}

/// Box blur of `window` values along every line of a picture, cut off at its ends. Lines begin at multiples of `step`;
/// neighbours on a line lie `stride` apart.
fn blur(picture: &mut [f32], lines: usize, step: usize, stride: usize, window: usize) {
    let ahead = window / 2;
    let behind = window - 1 - ahead;
    let mut line = vec![0f32; picture.len() / lines];
    let last = line.len() - 1;
    for base in (0..lines).map(|n| n * step) {
        for (i, value) in line.iter_mut().enumerate() {
            *value = picture[base + i * stride];
        }
        for i in 0..=last {
            let (from, to) = (i.saturating_sub(behind), (i + ahead).min(last));
            let sum: f32 = line[from..=to].iter().sum();
            picture[base + i * stride] = sum / (to - from + 1) as f32;
        }
    }
}

/// The two-dimensional discrete cosine transform's coefficients 1 to 16 along both axes, row by row.
fn cosines(sampled: &[f32]) -> Vec<f32> {
    let scale = (2.0 / SAMPLED as f32).sqrt();
    let basis: Vec<f32> = (0..KEPT * SAMPLED)
        .map(|i| {
            let (k, n) = (i / SAMPLED + 1, i % SAMPLED);
            scale * (PI / 2.0 / SAMPLED as f32 * (k * (2 * n + 1)) as f32).cos()
        })
        .collect();
    let mut half = vec![0f32; KEPT * SAMPLED];
    for k in 0..KEPT {
        for n in 0..SAMPLED {
            half[k * SAMPLED + n] = (0..SAMPLED).map(|m| basis[k * SAMPLED + m] * sampled[m * SAMPLED + n]).sum();
        }
    }
    let mut out = vec![0f32; KEPT * KEPT];
    for k in 0..KEPT {
        for l in 0..KEPT {
            out[k * KEPT + l] = (0..SAMPLED).map(|n| half[k * SAMPLED + n] * basis[l * SAMPLED + n]).sum();
        }
    }
    out
}
