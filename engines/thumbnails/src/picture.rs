//! A checked view of one rgb24 picture, where its content lies inside black bars, and its reduction to one working size.
//! Pure arithmetic; no I/O.

use std::fmt;

/// Widest or highest picture accepted.
const MAX_SIDE: u32 = 16_384;
/// Luma up to this is bar-black: limited-range black with coding noise.
const BAR_LUMA: u8 = 24;
/// A line is bar when all but this share of its pixels are bar-black (1 in 50: logos and noise in bars).
const BAR_EXCEPTIONS: usize = 50;
/// Bars reach at most this share of a side from each edge (a third: 2.39:1 inside 4:3 needs 0.22).
const MOST_BAR: u32 = 3;
/// Longer side of the working picture: sharpness and noise are judged at one scale, whatever the source's.
const WORK_SIDE: usize = 320;

/// Why a picture was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureError {
    /// Bytes given.
    pub bytes: usize,
    /// Width stated.
    pub width: u32,
    /// Height stated.
    pub height: u32,
}

impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, width, height } = self;
        write!(
            f,
            "failed to read a picture: {bytes} bytes for {width}x{height} rgb24, need width * height * 3 and sides of 1 to {MAX_SIDE}"
        )
    }
}

impl std::error::Error for PictureError {}

/// One picture: packed rgb24, rows from the top left.
#[derive(Clone, Copy, Debug)]
pub struct Picture<'a> {
    rgb: &'a [u8],
    width: u32,
    height: u32,
}

/// A rectangle of a picture, in its pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// Pixels left of it.
    pub x: u32,
    /// Pixels above it.
    pub y: u32,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl<'a> Picture<'a> {
    /// Checks that the buffer is the picture it is said to be.
    ///
    /// # Errors
    /// [`PictureError`] when its length is not `width * height * 3` or a side is 0 or above 16384.
    pub fn new(rgb: &'a [u8], width: u32, height: u32) -> Result<Self, PictureError> {
        let sides = 1..=MAX_SIDE;
        let fits = sides.contains(&width) && sides.contains(&height);
        if !fits || rgb.len() as u64 != u64::from(width) * u64::from(height) * 3 {
            return Err(PictureError { bytes: rgb.len(), width, height });
        }
        Ok(Self { rgb, width, height })
    }

    /// The bytes, `width * height * 3`.
    pub fn rgb(&self) -> &'a [u8] {
        self.rgb
    }

    /// Pixels across.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels down.
    pub fn height(&self) -> u32 {
        self.height
    }

    fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width as usize + x) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// The part inside black bars. A picture that is black throughout, or whose bars would leave too little, is all content.
    pub fn content(&self) -> Crop {
        let (width, height) = (self.width as usize, self.height as usize);
        let row = |y: usize| is_bar((0..width).map(|x| self.pixel(x, y)), width);
        let most = (self.height / MOST_BAR) as usize;
        let top = (0..most).take_while(|y| row(*y)).count();
        let bottom = (0..most).take_while(|y| row(height - 1 - y)).count();
        let rows = top..height - bottom;
        let column = |x: usize| is_bar(rows.clone().map(|y| self.pixel(x, y)), rows.len());
        let most = (self.width / MOST_BAR) as usize;
        let left = (0..most).take_while(|x| column(*x)).count();
        let right = (0..most).take_while(|x| column(width - 1 - x)).count();
        if top == (self.height / MOST_BAR) as usize && bottom == top {
            return self.whole();
        }
        // One more line than found: scaling leaves a grey seam along the bar.
        let seam = |bar: usize| if bar == 0 { 0 } else { bar as u32 + 1 };
        let (top, bottom, left, right) = (seam(top), seam(bottom), seam(left), seam(right));
        Crop {
            x: left,
            y: top,
            width: self.width.saturating_sub(left + right).max(1),
            height: self.height.saturating_sub(top + bottom).max(1),
        }
    }

    /// All of the picture.
    pub fn whole(&self) -> Crop {
        Crop { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// The cropped part averaged down to the working size; never enlarged.
    pub(crate) fn reduce(&self, crop: Crop) -> Work {
        let longer = crop.width.max(crop.height) as usize;
        let scale = |side: u32| {
            if longer <= WORK_SIDE { side as usize } else { (side as usize * WORK_SIDE / longer).max(1) }
        };
        let (width, height) = (scale(crop.width), scale(crop.height));
        let mut rgb = Vec::with_capacity(width * height);
        for y in 0..height {
            let (top, bottom) = span(y, height, crop.height as usize);
            for x in 0..width {
                let (left, right) = span(x, width, crop.width as usize);
                let mut sums = [0u32; 3];
                for line in top..bottom {
                    for column in left..right {
                        let pixel = self.pixel(crop.x as usize + column, crop.y as usize + line);
                        for (sum, value) in sums.iter_mut().zip(pixel) {
                            *sum += u32::from(value);
                        }
                    }
                }
                let count = ((right - left) * (bottom - top)) as u32;
                rgb.push(sums.map(|s| ((s + count / 2) / count) as u8));
            }
        }
        let luma = rgb.iter().map(|p| luma(*p)).collect();
        Work { width, height, rgb, luma }
    }
}

/// A picture at working size.
pub(crate) struct Work {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgb: Vec<[u8; 3]>,
    pub(crate) luma: Vec<u8>,
}

fn span(cell: usize, cells: usize, size: usize) -> (usize, usize) {
    let start = cell * size / cells;
    (start, ((cell + 1) * size / cells).max(start + 1))
}

fn is_bar(line: impl Iterator<Item = [u8; 3]>, length: usize) -> bool {
    line.filter(|p| luma(*p) > BAR_LUMA).count() <= length / BAR_EXCEPTIONS
}

/// Rec. 709 luma of one pixel, in integers.
pub(crate) fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 54 + u32::from(g) * 183 + u32::from(b) * 19 + 128) >> 8) as u8
}
