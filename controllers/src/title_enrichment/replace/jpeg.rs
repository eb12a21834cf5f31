//! A JPEG file that nobody has vetted, as pixels, in time and memory that are bounded whatever is in it. No I/O.
//!
//! The decoder bounds what pixels take, but not what headers and passes do: each segment of metadata has it look at all those before,
//! and a pass takes as long over ten bytes as over a thousand. So the file is walked first, and what is no picture is left out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// Widest and highest picture that is taken, pixels: a thumbnail's own bounds.
const MAX_SIDES: (usize, usize) = (1280, 720);
/// Shortest side of a picture that is taken, pixels.
const MIN_SIDE: usize = 180;
/// Most passes over a picture that its file may ask for; encoders write about ten.
const MAX_SCANS: usize = 32;
/// Most segments of a file, metadata included: editors write some dozens.
const MAX_SEGMENTS: usize = 512;

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
/// Frames whose passes are not progressive: baseline and extended.
const SEQUENTIAL: [u8; 2] = [0xc0, 0xc1];
/// Markers that stand alone: a restart within a pass, and one of no meaning.
const ALONE: [u8; 9] = [0x01, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7];
/// Metadata that says how colours are stored (JFIF, Adobe); all other is left out.
const ABOUT_COLOURS: [u8; 2] = [0xe0, 0xee];

/// Width, height and rgb24, by a decoder without unsafe code (`Cargo.toml` sees to that).
///
/// An error says what is wrong with the file, for whoever made it.
pub(super) fn decoded(file: &[u8]) -> Result<(u32, u32, Vec<u8>), String> {
    let file = walked(file)?;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&file), options);
    // A decoder that a file drives to a panic is a file that cannot be read, and no more.
    let read = catch_unwind(AssertUnwindSafe(|| {
        decoder.decode_headers().map_err(|error| unreadable(&error))?;
        let (width, height) = decoder.dimensions().ok_or("it is a JPEG file without a size")?;
        let sides = [width, height];
        if width > MAX_SIDES.0 || height > MAX_SIDES.1 || sides.iter().any(|side| *side < MIN_SIDE) {
            return Err(format!(
                "it has {width}x{height} pixels: at most {}x{}, each side {MIN_SIDE} or more",
                MAX_SIDES.0, MAX_SIDES.1
            ));
        }
        let pixels = decoder.decode().map_err(|error| unreadable(&error))?;
        Ok((width as u32, height as u32, pixels))
    }));
    read.unwrap_or_else(|_| Err(unreadable(&"its data")))
}

fn unreadable(why: &dyn std::fmt::Display) -> String {
    format!("it is no JPEG file that can be read ({why})")
}

/// The file with nothing but its picture, if it has few enough parts.
fn walked(file: &[u8]) -> Result<Vec<u8>, String> {
    let broken = || unreadable(&"it ends within a part, or a part is none");
    if !file.starts_with(&[0xff, START]) {
        return Err(unreadable(&"it does not begin as one"));
    }
    let mut kept = vec![0xff, START];
    let (mut at, mut segments, mut scans, mut parts) = (2, 0, 0, None);
    loop {
        // Bytes of ones may fill the room before a marker.
        while file.get(at..at + 2) == Some(&[0xff, 0xff]) {
            at += 1;
        }
        let [0xff, marker] = *file.get(at..at + 2).ok_or_else(broken)? else { return Err(broken()) };
        if marker == END {
            kept.extend([0xff, END]);
            return Ok(kept);
        }
        segments += 1;
        if segments > MAX_SEGMENTS {
            return Err(format!("it has more than {MAX_SEGMENTS} parts: save it without metadata"));
        }
        if ALONE.contains(&marker) {
            at += 2;
            continue;
        }
        let length = file.get(at + 2..at + 4).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]]))).ok_or_else(broken)?;
        let segment = file.get(at..at + 2 + length.max(2)).ok_or_else(broken)?;
        at += segment.len();
        let is_about_more = marker == 0xfe || ((0xe0..=0xef).contains(&marker) && !ABOUT_COLOURS.contains(&marker));
        if !is_about_more {
            kept.extend_from_slice(segment);
        }
        if SEQUENTIAL.contains(&marker) {
            parts = segment.get(9).copied();
        }
        if marker == SCAN {
            scans += 1;
            if scans > MAX_SCANS {
                return Err(format!("it wants more than {MAX_SCANS} passes: save it anew"));
            }
            if parts.is_some() && segment.get(4).copied() != parts {
                return Err("it holds its colours one after another: save it as a baseline or progressive JPEG file".to_owned());
            }
            let data = &file[at..];
            // Within a pass a byte of ones is followed by a zero, or it is a marker; a restart is part of the pass.
            let ends = |pair: &[u8]| pair[0] == 0xff && pair[1] != 0 && !(0xd0..=0xd7).contains(&pair[1]);
            let length = data.windows(2).position(ends).ok_or_else(broken)?;
            kept.extend_from_slice(&data[..length]);
            at += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: u16 = 192;

    fn picture(progressive: bool) -> Vec<u8> {
        let pixels: Vec<u8> = (0..usize::from(SIDE) * usize::from(SIDE) * 3).map(|i| (i * i / 977 % 251) as u8).collect();
        let mut file = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut file, 90);
        encoder.set_progressive(progressive);
        encoder.encode(&pixels, SIDE, SIDE, jpeg_encoder::ColorType::Rgb).expect("encodes");
        file
    }

    /// The file with these bytes before its first marker of this kind.
    fn with(file: &[u8], before: u8, what: &[u8]) -> Vec<u8> {
        let at = file.windows(2).position(|pair| pair == [0xff, before]).expect("it has one");
        [&file[..at], what, &file[at..]].concat()
    }

    #[test]
    fn pictures_are_read_whichever_way_they_were_stored_and_without_what_else_is_in_the_file() {
        for progressive in [false, true] {
            let plain = picture(progressive);
            let (width, height, pixels) = decoded(&plain).expect("a picture");
            assert_eq!((width, height, pixels.len()), (u32::from(SIDE), u32::from(SIDE), usize::from(SIDE).pow(2) * 3));
            let comment = [0xff, 0xfe, 0, 4, b'h', b'i'];
            let told = with(&plain, 0xdb, &[&comment[..], &[0xff, 0xe1, 0, 6, b'E', b'x', b'i', b'f']].concat());
            assert_eq!(walked(&told), walked(&plain));
            assert_eq!(decoded(&[&told[..], b"and more"].concat()).expect("the same").2, pixels);
        }
    }

    #[test]
    fn a_flood_of_parts_or_passes_is_refused_before_anything_is_decoded() {
        let flood = with(&picture(false), 0xdb, &[0xff, 0xfe, 0, 2].repeat(MAX_SEGMENTS));
        assert!(decoded(&flood).unwrap_err().contains("more than 512 parts"));
        let plain = picture(true);
        let pass = plain.windows(2).position(|pair| pair == [0xff, SCAN]).expect("it has one");
        let end = pass + 2 + plain[pass + 2..].windows(2).position(|pair| pair[0] == 0xff && pair[1] != 0).expect("it ends");
        let many = with(&plain, SCAN, &plain[pass..end].repeat(MAX_SCANS));
        assert!(decoded(&many).unwrap_err().contains("more than 32 passes"));
        // A baseline file may name the same colour again and again, in ten bytes each.
        let plain = picture(false);
        let one = with(&plain, SCAN, &[0xff, SCAN, 0, 8, 1, 1, 0, 0, 63, 0]);
        assert!(decoded(&one).unwrap_err().contains("one after another"));
    }

    #[test]
    fn whatever_is_cut_off_is_an_error_and_no_panic() {
        let whole = picture(true);
        for length in (0..whole.len()).step_by(17) {
            assert!(decoded(&whole[..length]).is_err(), "{length}");
        }
    }
}
