//! From a title's frames to their hashes, in every look that is wanted. Pure arithmetic; no I/O.

use std::fmt;

use showrunner_pdq::{Coefficients, Smooth};

use crate::{Bars, Code, Look, Seen};

/// Widest or highest frame accepted: what is beyond is scaled down by whoever decodes.
const MAX_SIDE: usize = 4096;

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureError {
    /// Bytes given.
    pub bytes: usize,
    /// Width stated.
    pub width: usize,
    /// Height stated.
    pub height: usize,
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, width, height } = self;
        write!(
            f,
            "failed to read a frame: {bytes} bytes for {width}x{height} luma, need one for each pixel, sides of 1 to {MAX_SIDE}"
        )
    }
}

impl std::error::Error for PictureError {}

/// Hashes frames of a title whose bars are known.
#[derive(Clone, Debug)]
pub struct Painter {
    bars: Bars,
    looks: Vec<Look>,
    frames: Vec<Seen>,
    codes: Vec<Vec<Code>>,
}

impl Painter {
    /// For the catalogue alone, give no looks but the plain one.
    pub fn new(bars: Bars, looks: Vec<Look>) -> Self {
        let codes = vec![Vec::new(); looks.len()];
        Self { bars, looks, frames: Vec::new(), codes }
    }

    /// Takes the title's next frame: luma, 0 to 255, row by row, of any size from 64x64 on; 160 across is enough. Frames come
    /// once a second.
    ///
    /// # Errors
    /// [`PictureError`] when the bytes are not the pixels, or a side is 0 or above 4096.
    pub fn paint(&mut self, luma: &[u8], width: usize, height: usize) -> Result<(), PictureError> {
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) || luma.len() != width * height {
            return Err(PictureError { bytes: luma.len(), width, height });
        }
        let smooth = Smooth::new(luma.iter().map(|value| f32::from(*value)).collect(), width, height);
        let plain = smooth.samples(Look::PLAIN.part(&self.bars));
        let seen = Seen { hash: Coefficients::of(&plain).hash(), quality: plain.quality() };
        self.frames.push(seen);
        let mut last: Option<(Look, Coefficients)> = None;
        for (look, codes) in self.looks.iter().zip(&mut self.codes) {
            if !seen.is_telling() {
                codes.push(Code::default()); // nobody will look at it
                continue;
            }
            let direct = Look { mirrored: false, ..*look };
            let coefficients = match last {
                Some((of, coefficients)) if of == direct => coefficients,
                _ => Coefficients::of(&smooth.samples(direct.part(&self.bars))),
            };
            let hash = if look.mirrored { coefficients.mirrored().hash() } else { coefficients.hash() };
            codes.push(Code::of(&hash));
            last = Some((direct, coefficients));
        }
        Ok(())
    }

    /// What was seen: as it is, and for each look.
    pub fn finish(self) -> (Vec<Seen>, Vec<(Look, Vec<Code>)>) {
        (self.frames, self.looks.into_iter().zip(self.codes).collect())
    }
}
