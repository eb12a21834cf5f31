//! PDQ, a perceptual hash of 256 bits: pictures that look alike differ in few of them. Pure arithmetic; no I/O.
//!
//! After "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm" (Facebook, 2019): two box blurs, 64x64
//! samples, the 16x16 lowest non-constant cosine coefficients, each against their median. Written here because the published
//! crate ties its callers to an image library of 2021, and because hashes of mirrored and shifted pictures cost little when they
//! share the blur: [`Smooth`] is made once, [`Smooth::samples`] is taken of any part, [`Coefficients`] are hashed either way round.

#![forbid(unsafe_code)]

mod cosine;
mod hash;
mod smooth;

pub use cosine::Coefficients;
pub use hash::{HASH_BITS, Hash, HashError};
pub use smooth::{Part, Samples, Smooth};

/// Lowest quality of a picture that is worth matching, after vPDQ: below it lies what is black, blank or next to it.
pub const LEAST_QUALITY: u8 = 50;

/// Rec. 601 luma of one pixel, as PDQ takes it: 0 to 255.
pub fn luma([r, g, b]: [u8; 3]) -> f32 {
    0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)
}

/// Hash of a picture and its quality, 0 (blank) to 100 (full of detail).
///
/// `luma` has `width * height` values of 0 to 255, row by row.
///
/// # Panics
/// When a side is 0 or the values are not as many as the sides say.
pub fn hash(luma: Vec<f32>, width: usize, height: usize) -> (Hash, u8) {
    let samples = Smooth::new(luma, width, height).samples(Part::WHOLE);
    (Coefficients::of(&samples).hash(), samples.quality())
}
