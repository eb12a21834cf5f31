//! Small pictures and the sheets they lie on, for trick play and for the stills of shots. No I/O.

use super::jpeg::{self, Rgb};
use crate::{commit::StepFile, failure::internal};
use showrunner_contracts::result::Failure;
use showrunner_thumbnails::trickplay::{Place, Sheet};

/// Width and height that a small picture fits in, pixels.
pub type Bounds = (u32, u32);

/// The picture averaged down to fit `bounds`, its shape kept; never enlarged. `rgb` is packed rgb24.
pub fn shrink(rgb: &[u8], size: (u32, u32), bounds: Bounds) -> Rgb {
    let (width, height) = (u64::from(size.0), u64::from(size.1));
    // The larger of the two shrinkings, as a fraction of whole numbers, so that it is the same on every machine.
    let (num, den) = if u64::from(bounds.0) * height <= u64::from(bounds.1) * width {
        (u64::from(bounds.0), width)
    } else {
        (u64::from(bounds.1), height)
    };
    if num >= den {
        return Rgb { width: size.0, height: size.1, pixels: rgb.to_vec() };
    }
    let (tile_width, tile_height) = ((width * num / den).max(1), (height * num / den).max(1));
    let line = width as usize * 3;
    // Sums of a tile's line over the picture's lines, then over its columns: the first of the two, which is nearly all of the
    // work, goes through memory in order.
    let mut sums = vec![0_u32; line];
    let mut pixels = Vec::with_capacity((tile_width * tile_height * 3) as usize);
    for y in 0..tile_height {
        let rows = span(y, tile_height, height);
        sums.fill(0);
        for row in rows.clone() {
            for (sum, value) in sums.iter_mut().zip(&rgb[row * line..(row + 1) * line]) {
                *sum += u32::from(*value);
            }
        }
        for x in 0..tile_width {
            let columns = span(x, tile_width, width);
            let count = (rows.len() * columns.len()) as u32;
            let mut pixel = [0_u32; 3];
            for column in sums[columns.start * 3..columns.end * 3].as_chunks::<3>().0 {
                for (sum, value) in pixel.iter_mut().zip(column) {
                    *sum += value;
                }
            }
            pixels.extend(pixel.map(|sum| ((sum + count / 2) / count) as u8));
        }
    }
    Rgb { width: tile_width as u32, height: tile_height as u32, pixels }
}

/// The pixels of the picture that pixel `at` of `of` stands for.
fn span(at: u64, of: u64, size: u64) -> std::ops::Range<usize> {
    let start = at * size / of;
    start as usize..((at + 1) * size / of).max(start + 1) as usize
}

/// The sheets as files. `tile` gives the small picture of each place, once and in their order; `name` a sheet's file name.
pub fn files(
    sheets: &[Sheet],
    places: &[Place],
    quality: u8,
    name: impl Fn(usize) -> String,
    mut tile: impl FnMut(usize) -> Result<Rgb, Failure>,
) -> Result<Vec<StepFile>, Failure> {
    let mut places = places.iter().enumerate().peekable();
    let mut files = Vec::with_capacity(sheets.len());
    // One sheet after the other: uncompressed they are large.
    for (nth, sheet) in sheets.iter().enumerate() {
        let mut canvas = Rgb::black(sheet.width, sheet.height);
        while let Some((at, place)) = places.next_if(|(_, place)| place.sheet == nth) {
            draw(&mut canvas, &tile(at)?, place.x, place.y);
        }
        let bytes = jpeg::encode(canvas.width, canvas.height, &canvas.pixels, quality)?;
        files.push(StepFile { name: name(nth), media_type: jpeg::MEDIA_TYPE, bytes });
    }
    match places.next() {
        Some(_) => Err(internal("a small picture lies on no sheet; please report it")),
        None => Ok(files),
    }
}

/// Copies `tile` onto `canvas` at `x`, `y`, as far as it fits.
fn draw(canvas: &mut Rgb, tile: &Rgb, x: u32, y: u32) {
    let width = tile.width.min(canvas.width.saturating_sub(x)) as usize * 3;
    for line in 0..tile.height.min(canvas.height.saturating_sub(y)) {
        let from = line as usize * tile.width as usize * 3;
        let to = ((y + line) as usize * canvas.width as usize + x as usize) * 3;
        canvas.pixels[to..to + width].copy_from_slice(&tile.pixels[from..from + width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_keep_the_pictures_shape() {
        for ((width, height), tile) in
            [((640, 360), (160, 90)), ((640, 266), (160, 66)), ((202, 360), (50, 90)), ((80, 60), (80, 60)), ((640, 2), (160, 1))]
        {
            let shrunk = shrink(&Rgb::black(width, height).pixels, (width, height), (160, 90));
            assert_eq!((shrunk.width, shrunk.height), tile);
        }
    }

    #[test]
    fn a_tiles_pixel_is_the_mean_of_what_it_stands_for() {
        // Columns of 0, 10, 20 ... over two lines, the second 4 brighter: three columns to a pixel, and the odd one.
        let picture: Vec<u8> = [0, 4].iter().flat_map(|line| (0..7_u8).flat_map(move |x| [x * 10 + line; 3])).collect();
        let tile = shrink(&picture, (7, 2), (2, 1));
        assert_eq!((tile.width, tile.height), (2, 1));
        assert_eq!(tile.pixels, [12, 12, 12, 47, 47, 47]);
    }
}
