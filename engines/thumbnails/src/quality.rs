//! How good a picture is by itself: sharpness, exposure, contrast, colour, noise and composition, and the model that weighs them.
//! Pure arithmetic; no I/O.

use std::fmt;

use crate::picture::{Crop, Picture, PictureError, Work};

/// Side of the blocks in which sharpness is looked for, in working pixels.
const BLOCK: usize = 16;
/// The block whose sharpness counts, from the sharpest, as a share of all: one tenth, so that a sharp subject before a soft
/// background is a sharp picture.
const SHARPEST: usize = 10;
/// Variance of the Laplacian at which sharpness is 0.63 of the scale. Focused footage gives 300 to 3000 in its best blocks.
const LAPLACIAN_SCALE: f32 = 400.0;
/// Luma at or below this is lost in shadow.
const SHADOW: u8 = 8;
/// Luma at or above this is burnt out.
const BURNT: u8 = 250;
/// Share of lost pixels that costs all of the exposure score.
const MOST_CLIPPED: f32 = 0.4;
/// Mean luma of a well exposed picture, and how far from it scores nothing.
const MIDDLE: f32 = 112.0;
/// Reach of exposure around the middle.
const EXPOSURE_REACH: f32 = 104.0;
/// Standard deviation of luma of a picture of full contrast.
const FULL_CONTRAST: f32 = 64.0;
/// Hasler and Suesstrunk's M for "highly colourful" is 82, "extremely" 109.
const FULL_COLOUR: f32 = 82.0;
/// Noise (standard deviation, levels) that costs all of the noise score.
const FULL_NOISE: f32 = 14.0;
/// Weights of the classical model; they add up to 1. Sharpness leads: a soft picture is useless however well composed.
const WEIGHTS: [f32; 6] = [0.32, 0.18, 0.14, 0.12, 0.10, 0.14];

/// What was measured of one picture, each from 0 (bad) to 1 (good).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// The model's verdict, by which pictures are compared.
    pub overall: f32,
    /// Focus of the sharpest tenth: variance of the Laplacian at a fixed scale.
    pub sharpness: f32,
    /// Brightness near the middle and nothing lost in shadow or burnt out.
    pub exposure: f32,
    /// Spread of luma.
    pub contrast: f32,
    /// Hasler and Suesstrunk's colourfulness ("Measuring colourfulness in natural images", 2003).
    pub colourfulness: f32,
    /// Freedom from noise (Immerkaer, "Fast noise variance estimation", 1996, over the calmer half of the picture).
    pub cleanness: f32,
    /// How much of what stands out lies near the thirds, rather than at the border.
    pub composition: f32,
}

/// Why a quality model gave no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QualityError {
    /// The picture itself was wrong.
    Picture(PictureError),
    /// The model failed; what it said.
    Model(String),
    /// The model gave something other than a number from 0 to 1.
    Score(String),
}

impl fmt::Display for QualityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture(error) => error.fmt(f),
            Self::Model(text) => write!(f, "failed to score a picture: {text}"),
            Self::Score(text) => write!(f, "failed to use a picture's score {text}: need a number from 0 to 1"),
        }
    }
}

impl std::error::Error for QualityError {}

impl From<PictureError> for QualityError {
    fn from(error: PictureError) -> Self {
        Self::Picture(error)
    }
}

/// Scores how good a picture is to look at. The default is [`ClassicalQuality`]; a learnt model is plugged in here.
///
/// For a model in ONNX the input is the content part of one picture as `float32[1, 3, H, W]`, RGB, 0 to 1 before
/// the model's own normalisation, resized with its aspect kept; the output one `float32`, the mean opinion, brought to 0..1 by the caller.
pub trait QualityModel {
    /// Name and version, kept with the result.
    fn name(&self) -> &str;

    /// The verdict on the `content` part of one picture, from 0 to 1. `measured.overall` holds the classical verdict.
    ///
    /// # Errors
    /// [`QualityError::Model`] when the model cannot run.
    fn score(&mut self, picture: &Picture<'_>, content: Crop, measured: &Quality) -> Result<f32, QualityError>;
}

/// The classical model: a weighted sum of what is measured, needing no model file.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassicalQuality;

impl QualityModel for ClassicalQuality {
    fn name(&self) -> &'static str {
        "classical/1"
    }

    fn score(&mut self, _: &Picture<'_>, _: Crop, measured: &Quality) -> Result<f32, QualityError> {
        Ok(measured.overall)
    }
}

impl Quality {
    pub(crate) fn of(work: &Work, attention: Attention) -> Self {
        let sharpness = 1.0 - (-sharpest(work) / LAPLACIAN_SCALE).exp();
        let (mean, deviation) = moments(work.luma.iter().map(|l| f32::from(*l)));
        let clipped = work.luma.iter().filter(|l| **l <= SHADOW || **l >= BURNT).count() as f32 / work.luma.len() as f32;
        let exposure = (1.0 - (mean - MIDDLE).abs() / EXPOSURE_REACH).max(0.0) * (1.0 - clipped / MOST_CLIPPED).max(0.0);
        let contrast = (deviation / FULL_CONTRAST).min(1.0);
        let colourfulness = (colourfulness(work) / FULL_COLOUR).min(1.0);
        let cleanness = 1.0 - (noise(work) / FULL_NOISE).min(1.0);
        let composition = attention.thirds;
        let parts = [sharpness, exposure, contrast, colourfulness, cleanness, composition];
        let overall = parts.iter().zip(WEIGHTS).map(|(p, w)| p * w).sum();
        Self { overall, sharpness, exposure, contrast, colourfulness, cleanness, composition }
    }
}

/// Mean and standard deviation.
pub(crate) fn moments(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let (count, sum) = values.clone().fold((0usize, 0f64), |(n, s), v| (n + 1, s + f64::from(v)));
    let mean = sum / count.max(1) as f64;
    let variance: f64 = values.map(|v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count.max(1) as f64;
    (mean as f32, variance.sqrt() as f32)
}

/// Four-neighbour Laplacian at an inner pixel.
fn laplacian(work: &Work, x: usize, y: usize) -> i32 {
    let at = |x: usize, y: usize| i32::from(work.luma[y * work.width + x]);
    at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4 * at(x, y)
}

/// Variance of the Laplacian of the block that nine tenths of the blocks do not reach.
fn sharpest(work: &Work) -> f32 {
    let mut blocks = Vec::new();
    let starts = |side: usize| (1..side.saturating_sub(1)).step_by(BLOCK);
    for top in starts(work.height) {
        for left in starts(work.width) {
            let (bottom, right) = ((top + BLOCK).min(work.height - 1), (left + BLOCK).min(work.width - 1));
            let values =
                (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y))).map(|(x, y)| laplacian(work, x, y) as f32);
            let (_, deviation) = moments(values);
            blocks.push(deviation * deviation);
        }
    }
    blocks.sort_by(|a, b| b.total_cmp(a));
    blocks.get(blocks.len() / SHARPEST).copied().unwrap_or(0.0)
}

fn colourfulness(work: &Work) -> f32 {
    let rg = work.rgb.iter().map(|p| f32::from(p[0]) - f32::from(p[1]));
    let yb = work.rgb.iter().map(|p| f32::midpoint(f32::from(p[0]), f32::from(p[1])) - f32::from(p[2]));
    let ((mean_rg, dev_rg), (mean_yb, dev_yb)) = (moments(rg), moments(yb));
    dev_rg.hypot(dev_yb) + 0.3 * mean_rg.hypot(mean_yb)
}

/// Standard deviation of noise in levels, from the mask that no edge or slope excites, over the calmer half of pixels.
fn noise(work: &Work) -> f32 {
    let at = |x: usize, y: usize| i32::from(work.luma[y * work.width + x]);
    let mut responses: Vec<i32> = Vec::with_capacity(work.luma.len());
    for y in 1..work.height.saturating_sub(1) {
        for x in 1..work.width.saturating_sub(1) {
            let corners = at(x - 1, y - 1) + at(x + 1, y - 1) + at(x - 1, y + 1) + at(x + 1, y + 1);
            let sides = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
            responses.push((corners - 2 * sides + 4 * at(x, y)).abs());
        }
    }
    responses.sort_unstable();
    // The median of |N(0, 6 sigma)| is 0.6745 * 6 sigma; texture only lifts the upper half.
    responses.get(responses.len() / 2).map_or(0.0, |median| *median as f32 / (0.6745 * 6.0))
}

/// Columns and rows of the map of what stands out.
const MAP: (usize, usize) = (18, 12);
/// Distance from a crossing of thirds, as a share of the picture's side, at which attention counts for 0.37.
const THIRDS_REACH: f32 = 0.17;

/// What stands out in a picture, and where.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Attention {
    /// Share near the four crossings of thirds or the centre, 0 to 1.
    pub(crate) thirds: f32,
    /// How evenly it is spread: 0 in one place, 1 everywhere.
    pub(crate) spread: f32,
}

impl Attention {
    /// A cell stands out by its distance in colour from the whole picture times the detail inside it.
    pub(crate) fn of(work: &Work) -> Self {
        let (columns, rows) = (MAP.0.min(work.width), MAP.1.min(work.height));
        let mut sums = vec![([0f32; 3], 0f32, 0f32); columns * rows];
        for (i, pixel) in work.rgb.iter().enumerate() {
            let (x, y) = (i % work.width, i / work.width);
            let cell = &mut sums[(y * rows / work.height) * columns + x * columns / work.width];
            for (sum, value) in cell.0.iter_mut().zip(pixel) {
                *sum += f32::from(*value);
            }
            if x + 1 < work.width {
                cell.1 += (f32::from(work.luma[i + 1]) - f32::from(work.luma[i])).abs();
            }
            cell.2 += 1.0;
        }
        let mut mean = [0f32; 3];
        for (colour, _, count) in &sums {
            for (m, c) in mean.iter_mut().zip(colour) {
                *m += c / count.max(1.0) / sums.len() as f32;
            }
        }
        let weights: Vec<f32> = sums
            .iter()
            .map(|(colour, detail, count)| {
                let apart: f32 = colour.iter().zip(mean).map(|(c, m)| (c / count.max(1.0) - m).powi(2)).sum::<f32>().sqrt();
                (apart + 8.0) * (detail / count.max(1.0) + 1.0)
            })
            .collect();
        let total: f32 = weights.iter().sum();
        let near = |index: usize| {
            let (x, y) = (((index % columns) as f32 + 0.5) / columns as f32, ((index / columns) as f32 + 0.5) / rows as f32);
            let points = [(1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (2.0, 2.0), (1.5, 1.5)];
            points
                .iter()
                .map(|(px, py)| (-((x - px / 3.0).powi(2) + (y - py / 3.0).powi(2)) / THIRDS_REACH.powi(2)).exp())
                .fold(0f32, f32::max)
        };
        let thirds = weights.iter().enumerate().map(|(i, w)| w * near(i)).sum::<f32>() / total;
        let entropy: f32 = weights.iter().map(|w| w / total).filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum();
        let spread = if weights.len() > 1 { entropy / (weights.len() as f32).ln() } else { 0.0 };
        Self { thirds: thirds.clamp(0.0, 1.0), spread: spread.clamp(0.0, 1.0) }
    }
}
