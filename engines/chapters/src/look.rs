//! What a frame looks like, as far as chapters care: its colours, where they are, and how fine its texture is. No I/O.

use std::fmt;

/// Cells across and down in which colours are told apart by place.
const GRID: (usize, usize) = (4, 3);
/// Bins of brightness.
const LUMA_BINS: usize = 16;
/// Bins along each of the two colour axes.
const CHROMA_BINS: usize = 6;
/// Colour farther from grey than this shares the outermost bin.
const CHROMA_REACH: i32 = 72;
/// Pixels looked at along the longer axis, about; more say nothing more about a whole scene.
const SAMPLES: usize = 96;
/// Share of the distance between two looks that the place of colours has; the rest is the colours'.
const PLACE: f32 = 0.25;
/// Share of brightness in what the colours have.
const BRIGHTNESS: f32 = 0.35;
/// Mean luma at and below which a frame is black, and above which it is not dark at all; 8 bits, limited range.
const BLACK: (f32, f32) = (18.0, 40.0);

/// How many numbers describe a frame.
pub(crate) const LEN: usize = LUMA_BINS + CHROMA_BINS * CHROMA_BINS + GRID.0 * GRID.1 * 3;

/// A frame that cannot be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a frame is width x height x 3 bytes, and not empty")
    }
}

impl std::error::Error for Error {}

/// What one frame looks like. The squared distance of two is between 0 and about 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    pub(crate) vector: [f32; LEN],
    /// 1 where the frame is black, 0 where it is not dark.
    pub(crate) dark: f32,
}

impl Look {
    /// Measures `rgb`: packed rgb24, `width * height * 3` bytes.
    pub fn of(rgb: &[u8], width: usize, height: usize) -> Result<Self, Error> {
        if width == 0 || height == 0 || width.checked_mul(height).and_then(|n| n.checked_mul(3)) != Some(rgb.len()) {
            return Err(Error);
        }
        let step = (width.max(height) / SAMPLES).max(1);
        let (mut luma_bins, mut chroma_bins) = ([0u32; LUMA_BINS], [0u32; CHROMA_BINS * CHROMA_BINS]);
        let mut cells = [([0u32; 3], 0u32); GRID.0 * GRID.1];
        let (mut count, mut luma_sum) = (0u32, 0u64);
        for y in (step / 2..height).step_by(step) {
            for x in (step / 2..width).step_by(step) {
                let at = (y * width + x) * 3;
                let [r, g, b] = [rgb[at], rgb[at + 1], rgb[at + 2]].map(u32::from);
                let luma = (r * 54 + g * 183 + b * 19 + 128) >> 8;
                luma_bins[luma as usize * LUMA_BINS / 256] += 1;
                let axis = |c: u32| {
                    let along = (c as i32 - luma as i32).clamp(-CHROMA_REACH, CHROMA_REACH - 1) + CHROMA_REACH;
                    (along as usize * CHROMA_BINS) / (2 * CHROMA_REACH as usize)
                };
                chroma_bins[axis(b) * CHROMA_BINS + axis(r)] += 1;
                let (sums, in_cell) = &mut cells[(y * GRID.1 / height) * GRID.0 + x * GRID.0 / width];
                for (sum, value) in sums.iter_mut().zip([r, g, b]) {
                    *sum += value;
                }
                *in_cell += 1;
                count += 1;
                luma_sum += u64::from(luma);
            }
        }
        let mut vector = [0.0; LEN];
        // Square roots of shares: the squared distance of two such is Hellinger's, at most 2.
        let share = |bin: u32, weight: f32| (weight * (1.0 - PLACE) / 2.0).sqrt() * (bin as f32 / count as f32).sqrt();
        let brightness = luma_bins.iter().map(|bin| share(*bin, BRIGHTNESS));
        let colours = chroma_bins.iter().map(|bin| share(*bin, 1.0 - BRIGHTNESS));
        let scale = (PLACE / (GRID.0 * GRID.1 * 3) as f32).sqrt() / 128.0;
        let places = cells.iter().flat_map(|(sums, n)| sums.map(|sum| scale * sum as f32 / (*n).max(1) as f32));
        for (value, from) in vector.iter_mut().zip(brightness.chain(colours).chain(places)) {
            *value = from;
        }
        let mean = luma_sum as f32 / count as f32;
        Ok(Self { vector, dark: ((BLACK.1 - mean) / (BLACK.1 - BLACK.0)).clamp(0.0, 1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(colour: [u8; 3]) -> Look {
        Look::of(&colour.repeat(64 * 36), 64, 36).unwrap()
    }

    fn distance(a: &Look, b: &Look) -> f32 {
        a.vector.iter().zip(&b.vector).map(|(a, b)| (a - b) * (a - b)).sum()
    }

    #[test]
    fn the_same_picture_is_no_distance_away_and_opposite_ones_are_about_one() {
        let (black, white, red) = (flat([16; 3]), flat([235; 3]), flat([200, 20, 20]));
        assert!(distance(&black, &flat([16; 3])) < f32::EPSILON);
        assert!(distance(&black, &white) > 0.4 && distance(&red, &white) > 0.4);
        assert!([distance(&black, &white), distance(&red, &white), distance(&red, &black)].iter().all(|d| *d <= 1.5));
        assert!(black.dark > 0.99 && white.dark < 0.01);
    }

    #[test]
    fn a_frame_of_the_wrong_size_is_refused() {
        assert_eq!(Look::of(&[0; 10], 2, 2), Err(Error));
        assert_eq!(Look::of(&[], 0, 2), Err(Error));
        assert!(Look::of(&[0; 3], 1, 1).is_ok());
    }
}
