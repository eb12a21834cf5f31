//! Everything that choosing needs to know of one candidate picture, without its pixels. Pure arithmetic; no I/O.

use showrunner_timeline::Ticks;

use crate::{
    Hash,
    faults::Faults,
    picture::{Crop, Picture, Work},
    quality::{Attention, Quality, QualityError, QualityModel, moments},
    signs::Signs,
};

/// Cells along each side of the signature.
const SIGNATURE_SIDE: usize = 4;
/// Luma below which a picture's brightest hundredth makes it black.
const BLACK: u8 = 40;
/// Standard deviation of luma below which there is nothing to see.
const FLAT_DEVIATION: f32 = 8.0;
/// Sharpness below which a picture is blurred throughout: even its steepest edges take some ten pixels.
const BLURRED: f32 = 0.3;
/// Share of clipped pixels' exposure below which most of the picture is lost.
const LOST_EXPOSURE: f32 = 0.02;
/// Luma up to this counts as dark in a low-key picture.
const DARK: u8 = 56;

/// Why a picture is never shown unless a title has nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Even its brightest parts are dark.
    Black,
    /// One colour, or nearly.
    Flat,
    /// No part of it is in focus.
    Blurred,
    /// Nearly all of it is lost in shadow or burnt out.
    Lost,
}

/// One measured picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// When it is shown.
    pub pts: Ticks,
    /// Movement around it, as the shot detector observes it (share of the width per frame).
    pub motion: f32,
    /// Share of the picture that the largest face covers; `None` when nobody looked for faces.
    pub face: Option<f32>,
    /// How good it is.
    pub quality: Quality,
    /// What is wrong with it.
    pub faults: Faults,
    /// Why it should not be shown, if so.
    pub reject: Option<Reject>,
    /// A caller has found in it what is never shown, whatever else the title has; false as it is measured.
    pub barred: bool,
    /// The part inside black bars.
    pub content: Crop,
    /// Width and height of the whole picture, in pixels.
    pub size: (u32, u32),
    /// Perceptual hash of the content (PDQ of the picture at working size).
    pub hash: Hash,
    /// Mean colour in a 4x4 grid: what the shot's pictures have in common.
    pub(crate) signature: [f32; SIGNATURE_SIDE * SIGNATURE_SIDE * 3],
    /// Share of dark pixels.
    pub(crate) dark: f32,
    /// Luma that the brightest twentieth reaches.
    pub(crate) highlight: u8,
    /// How evenly attention is spread.
    pub(crate) spread: f32,
}

/// Measures a picture shown at `pts`; `motion` is [`Candidate::motion`].
///
/// # Errors
/// What the model says, and [`QualityError::Score`] when its score is not a number from 0 to 1.
pub fn measure(picture: &Picture<'_>, pts: Ticks, motion: f32, model: &mut dyn QualityModel) -> Result<Candidate, QualityError> {
    let content = picture.content();
    let work = picture.reduce(content);
    let attention = Attention::of(&work);
    // Faults are looked for at the picture's full size: what is made smaller hides them.
    let faults = Faults::from(&Signs::of(picture, content));
    let mut quality = Quality::of(&work, attention, &faults);
    let score = model.score(picture, content, &quality)?;
    if !(0.0..=1.0).contains(&score) {
        return Err(QualityError::Score(format!("{score} of model {}", model.name())));
    }
    quality.overall = score;
    let mut sorted = work.luma.clone();
    sorted.sort_unstable();
    let rank = |share: usize| sorted[(sorted.len() - 1) - (sorted.len() - 1) / share];
    let (_, deviation) = moments(work.luma.iter().map(|l| f32::from(*l)));
    let reject = if rank(100) < BLACK {
        Some(Reject::Black)
    } else if deviation < FLAT_DEVIATION {
        Some(Reject::Flat)
    } else if quality.sharpness < BLURRED {
        Some(Reject::Blurred)
    } else if quality.exposure < LOST_EXPOSURE
        && work.luma.iter().filter(|l| (16..240).contains(*l)).count() * 10 < work.luma.len()
    {
        Some(Reject::Lost)
    } else {
        None
    };
    Ok(Candidate {
        pts,
        motion: if motion.is_finite() { motion.max(0.0) } else { 0.0 },
        face: None,
        quality,
        faults,
        reject,
        barred: false,
        content,
        size: (picture.width(), picture.height()),
        hash: showrunner_pdq::hash(work.rgb.iter().map(|pixel| showrunner_pdq::luma(*pixel)).collect(), work.width, work.height)
            .0,
        signature: signature(&work),
        dark: work.luma.iter().filter(|l| **l <= DARK).count() as f32 / work.luma.len() as f32,
        highlight: rank(20),
        spread: attention.spread,
    })
}

fn signature(work: &Work) -> [f32; SIGNATURE_SIDE * SIGNATURE_SIDE * 3] {
    let mut sums = [0f32; SIGNATURE_SIDE * SIGNATURE_SIDE * 3];
    let mut counts = [0f32; SIGNATURE_SIDE * SIGNATURE_SIDE];
    for (i, pixel) in work.rgb.iter().enumerate() {
        let (x, y) = (i % work.width, i / work.width);
        let cell = (y * SIGNATURE_SIDE / work.height) * SIGNATURE_SIDE + x * SIGNATURE_SIDE / work.width;
        counts[cell] += 1.0;
        for (channel, value) in pixel.iter().enumerate() {
            sums[cell * 3 + channel] += f32::from(*value);
        }
    }
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum /= counts[i / 3].max(1.0);
    }
    sums
}
