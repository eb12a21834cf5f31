//! How good a picture is by itself: freedom from faults, contrast, colour and composition, and the model that weighs them.
//! Pure arithmetic; no I/O.

use std::fmt;

use crate::{
    faults::Faults,
    picture::{Crop, Picture, PictureError, Work},
};

/// Standard deviation of luma of a picture of full contrast.
const FULL_CONTRAST: f32 = 64.0;
/// Hasler and Suesstrunk's M for "highly colourful" is 82, "extremely" 109.
const FULL_COLOUR: f32 = 82.0;
/// What a picture without any appeal loses of its soundness. Little: a well composed picture is of no use when it is spoilt,
/// and how far it is spoilt has to be seen across pictures of all kinds.
const APPEAL: f32 = 0.08;
/// Appeal is this much composition, the rest colour and contrast in equal parts.
const COMPOSITION: f32 = 0.6;

/// What was measured of one picture, each from 0 (bad) to 1 (good).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// The model's verdict, by which pictures are compared.
    pub overall: f32,
    /// Freedom from blur, by the steepest edges: one sharp subject before a soft background is a sharp picture.
    pub sharpness: f32,
    /// Freedom from too little and from too much light.
    pub exposure: f32,
    /// Spread of luma.
    pub contrast: f32,
    /// Hasler and Suesstrunk's colourfulness ("Measuring colourfulness in natural images", 2003).
    pub colourfulness: f32,
    /// Freedom from noise.
    pub cleanness: f32,
    /// Freedom from what coders leave behind: blocks and bands.
    pub coding: f32,
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

/// The classical model: how free of faults a picture is, and a little of how it is composed; it needs no model file.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassicalQuality;

impl QualityModel for ClassicalQuality {
    fn name(&self) -> &'static str {
        "classical/2"
    }

    fn score(&mut self, _: &Picture<'_>, _: Crop, measured: &Quality) -> Result<f32, QualityError> {
        Ok(measured.overall)
    }
}

impl Quality {
    pub(crate) fn of(work: &Work, attention: Attention, faults: &Faults) -> Self {
        let (_, deviation) = moments(work.luma.iter().map(|l| f32::from(*l)));
        let contrast = (deviation / FULL_CONTRAST).min(1.0);
        let colourfulness = (colourfulness(work) / FULL_COLOUR).min(1.0);
        let composition = attention.thirds;
        let appeal = COMPOSITION * composition + (1.0 - COMPOSITION) * f32::midpoint(colourfulness, contrast);
        Self {
            overall: (1.0 - faults.together()) * (1.0 - APPEAL * (1.0 - appeal)),
            sharpness: 1.0 - faults.blur,
            exposure: 1.0 - faults.dark.max(faults.bright),
            contrast,
            colourfulness,
            cleanness: 1.0 - faults.noise,
            coding: 1.0 - faults.blocks.max(faults.banding),
            composition,
        }
    }
}

/// Mean and standard deviation.
pub(crate) fn moments(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
    let (count, sum) = values.clone().fold((0usize, 0f64), |(n, s), v| (n + 1, s + f64::from(v)));
    let mean = sum / count.max(1) as f64;
    let variance: f64 = values.map(|v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count.max(1) as f64;
    (mean as f32, variance.sqrt() as f32)
}

fn colourfulness(work: &Work) -> f32 {
    let rg = work.rgb.iter().map(|p| f32::from(p[0]) - f32::from(p[1]));
    let yb = work.rgb.iter().map(|p| f32::midpoint(f32::from(p[0]), f32::from(p[1])) - f32::from(p[2]));
    let ((mean_rg, dev_rg), (mean_yb, dev_yb)) = (moments(rg), moments(yb));
    dev_rg.hypot(dev_yb) + 0.3 * mean_rg.hypot(mean_yb)
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
