//! The lowest cosine coefficients of a sampled picture, and their hash, either way round. Pure arithmetic; no I/O.

use std::{f32::consts::PI, sync::LazyLock};

use crate::{Hash, Samples, smooth::SAMPLED};

/// Side of the block of coefficients kept.
const KEPT: usize = 16;

/// `cos(pi / 128 * k * (2 n + 1))` for `k` 1 to 16 and `n` 0 to 63, row by row.
static BASIS: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let scale = (2.0 / SAMPLED as f32).sqrt();
    (0..KEPT * SAMPLED)
        .map(|i| {
            let (k, n) = (i / SAMPLED + 1, i % SAMPLED);
            scale * (PI / 2.0 / SAMPLED as f32 * (k * (2 * n + 1)) as f32).cos()
        })
        .collect()
});

/// The two-dimensional discrete cosine transform's coefficients 1 to 16 along both axes, row by row.
#[derive(Clone, Debug)]
pub struct Coefficients(Vec<f32>);

impl Coefficients {
    /// Of a sampled picture.
    pub fn of(samples: &Samples) -> Self {
        let basis = &*BASIS;
        let mut half = vec![0f32; KEPT * SAMPLED];
        for k in 0..KEPT {
            // Row by row: the inner loop then runs along memory, while each sum is still made in the order of `m`.
            let row = &mut half[k * SAMPLED..(k + 1) * SAMPLED];
            for m in 0..SAMPLED {
                let factor = basis[k * SAMPLED + m];
                for (sum, sample) in row.iter_mut().zip(&samples.0[m * SAMPLED..(m + 1) * SAMPLED]) {
                    *sum += factor * sample;
                }
            }
        }
        let mut out = vec![0f32; KEPT * KEPT];
        for k in 0..KEPT {
            for l in 0..KEPT {
                let (row, wave) = (&half[k * SAMPLED..(k + 1) * SAMPLED], &basis[l * SAMPLED..(l + 1) * SAMPLED]);
                out[k * KEPT + l] = row.iter().zip(wave).map(|(a, b)| a * b).sum();
            }
        }
        Self(out)
    }

    /// Of the picture seen in a mirror: waves that are odd about its middle turn their sign.
    #[must_use]
    pub fn mirrored(&self) -> Self {
        Self(self.0.iter().enumerate().map(|(i, value)| if (i % KEPT).is_multiple_of(2) { -value } else { *value }).collect())
    }

    /// Each coefficient against the median.
    pub fn hash(&self) -> Hash {
        let mut sorted = self.0.clone();
        let middle = sorted.len() / 2 - 1;
        let median = *sorted.select_nth_unstable_by(middle, f32::total_cmp).1;
        let mut bytes = [0u8; 32];
        for (i, _) in self.0.iter().enumerate().filter(|(_, c)| **c > median) {
            bytes[31 - i / 8] |= 1 << (i % 8);
        }
        Hash(bytes)
    }
}
