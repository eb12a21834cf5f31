//! Pictures as JPEG files (baseline, 4:2:0), the same bytes for the same pixels, and back. No I/O.

use crate::failure::internal;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use showrunner_contracts::result::Failure;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// Media type.
pub const MEDIA_TYPE: &str = "image/jpeg";
/// Quality of thumbnails: no loss is seen at their size, and eight of them are a megabyte.
pub const THUMBNAIL_QUALITY: u8 = 90;
/// Quality of trick-play sheets: tiles are looked at for a moment while a player fetches the whole sheet.
pub const SHEET_QUALITY: u8 = 72;

/// A packed rgb24 picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rgb {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// `width * height * 3` bytes, rows from the top.
    pub pixels: Vec<u8>,
}

impl Rgb {
    /// A black picture.
    pub fn black(width: u32, height: u32) -> Self {
        Self { width, height, pixels: vec![0; width as usize * height as usize * 3] }
    }

    /// The part of `width` by `height` pixels at `x`, `y`, which lies inside.
    #[must_use]
    pub fn part(&self, x: u32, y: u32, width: u32, height: u32) -> Self {
        let (x, width) = (x.min(self.width), width.min(self.width - x.min(self.width)));
        let (y, height) = (y.min(self.height), height.min(self.height - y.min(self.height)));
        let row = |line: u32| {
            let from = ((y + line) as usize * self.width as usize + x as usize) * 3;
            &self.pixels[from..from + width as usize * 3]
        };
        Self { width, height, pixels: (0..height).flat_map(row).copied().collect() }
    }
}

/// The picture as a JPEG file.
pub fn encode(width: u32, height: u32, pixels: &[u8], quality: u8) -> Result<Vec<u8>, Failure> {
    let side = |side: u32| {
        u16::try_from(side).map_err(|_| internal(format_args!("failed to encode a picture with a side of {side} pixels")))
    };
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    // Optimised Huffman tables would save a twentieth, but this encoder then writes one scan per component, which not every
    // decoder reads right (zune-jpeg 0.5.15 does not).
    encoder.set_optimized_huffman_tables(false);
    let encoded = encoder.encode(pixels, side(width)?, side(height)?, ColorType::Rgb);
    encoded.map_err(|error| internal(format_args!("failed to encode a picture: {error}")))?;
    Ok(file)
}

/// What libjpeg makes of packed rgb24 on its way through a file (4:2:0): the same pixels as through Pillow, which
/// the reference code of `open_nsfw` uses.
pub fn through_libjpeg(width: usize, height: usize, pixels: &[u8], quality: u8) -> Result<Vec<u8>, Failure> {
    let failed = |error: turbojpeg::Error| internal(format_args!("failed to bring a picture through a JPEG file: {error}"));
    let image = turbojpeg::Image { pixels, width, pitch: width * 3, height, format: turbojpeg::PixelFormat::RGB };
    let file = turbojpeg::compress(image, i32::from(quality), turbojpeg::Subsamp::Sub2x2).map_err(failed)?;
    Ok(turbojpeg::decompress(&file, turbojpeg::PixelFormat::RGB).map_err(failed)?.pixels)
}

/// One of our own JPEG files as pixels.
pub fn decode(file: &[u8]) -> Result<Rgb, Failure> {
    let failed = |error: &dyn std::fmt::Display| internal(format_args!("failed to decode a picture of our own: {error}"));
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    let pixels = decoder.decode().map_err(|error| failed(&error))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| failed(&"it has no size"))?;
    Ok(Rgb { width: width as u32, height: height as u32, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slope(width: u32, height: u32) -> Rgb {
        let pixel = |i: u32| [(i % width * 255 / width) as u8, (i / width * 255 / height) as u8, 128];
        Rgb { width, height, pixels: (0..width * height).flat_map(pixel).collect() }
    }

    #[test]
    fn a_picture_comes_back_nearly_as_it_was_and_encodes_to_the_same_bytes_each_time() {
        let picture = slope(98, 54);
        let file = encode(98, 54, &picture.pixels, THUMBNAIL_QUALITY).expect("encodes");
        assert_eq!(file, encode(98, 54, &picture.pixels, THUMBNAIL_QUALITY).expect("encodes"));
        let back = decode(&file).expect("decodes");
        assert_eq!((back.width, back.height), (98, 54));
        let worst = back.pixels.iter().zip(&picture.pixels).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst.is_some_and(|worst| worst < 16), "{worst:?}");
    }

    #[test]
    fn a_part_holds_the_pixels_of_its_place() {
        let part = slope(100, 100).part(50, 25, 10, 2);
        assert_eq!((part.width, part.height, part.pixels.len()), (10, 2, 60));
        assert_eq!(part.pixels[..3], [127, 63, 128]);
        assert_eq!(slope(10, 10).part(8, 9, 10, 10).pixels.len(), 2 * 3, "cut at the border");
    }
}
