//! A picture blurred as PDQ blurs it, and 64x64 samples of it or of a part. Pure arithmetic; no I/O.

/// Side of the sampled picture.
pub(crate) const SAMPLED: usize = 64;
/// What the quality's sum of steps is divided by, from the reference.
const QUALITY_SCALE: i32 = 90;

/// A picture's luma after two box blurs in both directions.
#[derive(Clone, Debug)]
pub struct Smooth {
    luma: Vec<f32>,
    width: usize,
    height: usize,
}

/// A part of a picture, in shares of its sides. It may reach beyond the picture: what lies there is the picture mirrored at its
/// edge, the likeliest guess of what somebody cut off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Part {
    /// Where it begins, from the left edge; negative when it lies outside.
    pub left: f32,
    /// Where it begins, from the upper edge.
    pub top: f32,
    /// Where it ends, from the left edge; above 1 when it lies outside.
    pub right: f32,
    /// Where it ends, from the upper edge.
    pub bottom: f32,
}

impl Part {
    /// All of the picture and no more.
    pub const WHOLE: Self = Self { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };
}

/// 64x64 samples, row by row.
#[derive(Clone, Debug)]
pub struct Samples(pub(crate) Vec<f32>);

impl Smooth {
    /// `luma` has `width * height` values of 0 to 255, row by row.
    ///
    /// # Panics
    /// When a side is 0 or the values are not as many as the sides say.
    pub fn new(mut luma: Vec<f32>, width: usize, height: usize) -> Self {
        assert!(width > 0 && height > 0 && luma.len() == width * height, "{} values for {width}x{height}", luma.len());
        for _ in 0..2 {
            blur(&mut luma, height, width, 1, window(width)); // along rows
            blur(&mut luma, width, 1, width, window(height)); // along columns
        }
        Self { luma, width, height }
    }

    /// 64x64 samples of a part.
    pub fn samples(&self, part: Part) -> Samples {
        let columns = positions(part.left, part.right, self.width);
        let rows = positions(part.top, part.bottom, self.height);
        Samples(rows.iter().flat_map(|y| columns.iter().map(move |x| self.luma[y * self.width + x])).collect())
    }
}

impl Samples {
    /// PDQ's figure for how much there is to see, 0 to 100: the steps between neighbouring samples, in hundredths of the
    /// brightness's range and without what is less than one, summed.
    pub fn quality(&self) -> u8 {
        let step = |a: f32, b: f32| ((a - b) * 100.0 / 255.0) as i32;
        let at = |row: usize, column: usize| self.0[row * SAMPLED + column];
        let mut sum = 0;
        for row in 0..SAMPLED {
            for column in 0..SAMPLED {
                if row + 1 < SAMPLED {
                    sum += step(at(row, column), at(row + 1, column)).abs();
                }
                if column + 1 < SAMPLED {
                    sum += step(at(row, column), at(row, column + 1)).abs();
                }
            }
        }
        (sum / QUALITY_SCALE).min(100) as u8
    }
}

/// Where the samples of a span lie on a side of so many pixels; mirrored where they would lie outside.
fn positions(from: f32, to: f32, side: usize) -> [usize; SAMPLED] {
    if from.to_bits() == 0 && to.to_bits() == 1f32.to_bits() {
        // As the reference rounds.
        return std::array::from_fn(|n| (2 * n + 1) * side / (2 * SAMPLED));
    }
    let last = side as i64 - 1;
    std::array::from_fn(|n| {
        let share = from + (to - from) * (n as f32 + 0.5) / SAMPLED as f32;
        let at = (share * side as f32).floor() as i64;
        let mirrored = if at < 0 {
            -1 - at
        } else if at > last {
            2 * last + 1 - at
        } else {
            at
        };
        mirrored.clamp(0, last) as usize
    })
}

/// The reference's blur window for a side: the two passes then reach about one sample.
fn window(side: usize) -> usize {
    side.div_ceil(2 * SAMPLED)
}

/// Box blur of `window` values along every line of a picture, cut off at its ends. Lines begin at multiples of `step`;
/// neighbours on a line lie `stride` apart.
fn blur(picture: &mut [f32], lines: usize, step: usize, stride: usize, window: usize) {
    let ahead = window / 2;
    let behind = window - 1 - ahead;
    let mut line = vec![0f32; picture.len() / lines];
    let last = line.len() - 1;
    for base in (0..lines).map(|n| n * step) {
        for (i, value) in line.iter_mut().enumerate() {
            *value = picture[base + i * stride];
        }
        for i in 0..=last {
            let (from, to) = (i.saturating_sub(behind), (i + ahead).min(last));
            let sum: f32 = line[from..=to].iter().sum();
            picture[base + i * stride] = sum / (to - from + 1) as f32;
        }
    }
}
