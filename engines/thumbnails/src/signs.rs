//! What faults leave behind in a picture at its full size: how fast its edges rise, grain, the grid of a coder, missing levels,
//! where its light lies. Pure arithmetic; no I/O.

use crate::{
    picture::{Crop, Picture, luma},
    quality::moments,
};

/// Scales at which edges are compared: the picture's own, then each half as fine.
pub(crate) const SCALES: usize = 4;
/// Colours at or above this are burnt out.
const WHITE: u8 = 250;
/// Edges are judged by the strongest of this share of all pixels: one sharp subject is enough.
const STRONGEST: usize = 100;
/// Side of the blocks in which grain is looked for, pixels.
const GRAIN_BLOCK: usize = 16;
/// Blocks darker or lighter than this on average hide grain by clipping it.
const OPEN: std::ops::RangeInclusive<u32> = 12..=243;
/// Differences above this are edges of things and not of blocks, levels.
const CAP: u32 = 24;
/// Side of a coder's blocks, pixels.
const GRID: usize = 8;
/// As many equal pixels in a row are a plain.
const PLAIN: usize = 3;
/// Plains farther apart than this are no steps of one slope, pixels.
const STEP_WIDTH: usize = 2;
/// Steps are no fault when fewer than this share of them are about as large as the median...
const LEAST_ALIKE: f32 = 0.3;
/// ...and surely one from this share on.
const SURELY_ALIKE: f32 = 0.5;
/// A step of more than this is an edge of something, levels.
const STEP_MOST: usize = 96;

/// The measurements of one picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Signs {
    /// How steep the steepest hundredth is at the picture's own scale, and 2, 4 and 8 times coarser, levels. Pictures look alike
    /// at all scales: these are much the same unless something took the fine ones away.
    pub steep: [f32; SCALES],
    /// Standard deviation of the grain in the calmest tenth of the picture, levels.
    pub grain: f32,
    /// Difference across the likeliest grid of 8x8 blocks, over that inside of blocks.
    pub grid: f32,
    /// Mean difference of neighbours inside of blocks, levels.
    pub activity: f32,
    /// How often differences of neighbours change their sign, 0 to 1.
    pub crossings: f32,
    /// Step between neighbouring plains, levels; 1 where slopes are smooth or plains differ by anything.
    pub step: f32,
    /// Share of pixels that lie in plains.
    pub plains: f32,
    /// Luma that 0.1, 0.5, 50, 98, 99.5 and 99.9 of a hundred pixels do not exceed.
    pub ranks: [u8; 6],
    /// Standard deviation of luma, levels.
    pub deviation: f32,
    /// Share of pixels that are white: burnt out in all colours.
    pub white: f32,
}

/// One channel.
struct Plane {
    width: usize,
    height: usize,
    values: Vec<u8>,
}

impl Signs {
    /// Of the `crop` of a picture.
    pub fn of(picture: &Picture<'_>, crop: Crop) -> Self {
        let (light, green, white) = planes(picture, crop);
        let mut histogram = [0_u32; 256];
        for value in &light.values {
            histogram[usize::from(*value)] += 1;
        }
        let (grid, activity, crossings) = grid(&light);
        let (step, plains) = steps(&green);
        Self {
            steep: steep(&light),
            grain: grain(&light),
            grid,
            activity,
            crossings,
            step,
            plains,
            ranks: [1, 5, 500, 980, 995, 999].map(|mille| rank(&histogram, mille)),
            deviation: moments(light.values.iter().map(|v| f32::from(*v))).1,
            white,
        }
    }
}

/// Luma, green, and the share of white pixels.
fn planes(picture: &Picture<'_>, crop: Crop) -> (Plane, Plane, f32) {
    let (width, height) = (crop.width as usize, crop.height as usize);
    let (mut light, mut green) = (Vec::with_capacity(width * height), Vec::with_capacity(width * height));
    let mut white = 0_u32;
    for line in 0..height {
        let from = ((crop.y as usize + line) * picture.width() as usize + crop.x as usize) * 3;
        for pixel in picture.rgb()[from..from + width * 3].as_chunks::<3>().0 {
            light.push(luma(*pixel));
            green.push(pixel[1]);
            white += u32::from(pixel.iter().all(|value| *value >= WHITE));
        }
    }
    let plane = |values| Plane { width, height, values };
    (plane(light), plane(green), white as f32 / (width * height) as f32)
}

/// The value that `mille` of a thousand do not exceed.
fn rank(histogram: &[u32; 256], mille: u64) -> u8 {
    let total: u64 = histogram.iter().map(|n| u64::from(*n)).sum();
    let mut seen = 0;
    for (value, count) in histogram.iter().enumerate() {
        seen += u64::from(*count);
        if seen * 1_000 >= total * mille.max(1) {
            return value as u8;
        }
    }
    255
}

fn steep(light: &Plane) -> [f32; SCALES] {
    let mut steep = [0.0; SCALES];
    let mut small: Option<Plane> = None;
    for value in &mut steep {
        let last = small.as_ref().unwrap_or(light);
        *value = steepest(last);
        // What is too small for another scale is taken for alike there.
        small = if last.width < 4 || last.height < 4 { small } else { Some(last.halved()) };
    }
    steep
}

impl Plane {
    fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let (upper, lower) = (&self.values[2 * y * self.width..], &self.values[(2 * y + 1) * self.width..]);
            values.extend((0..width).map(|x| {
                let sum =
                    [upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]].iter().map(|v| u16::from(*v)).sum::<u16>();
                ((sum + 2) / 4) as u8
            }));
        }
        Self { width, height, values }
    }

    fn rows(&self) -> std::slice::ChunksExact<'_, u8> {
        self.values.chunks_exact(self.width)
    }
}

/// Mean of the steepest hundredth of differences between neighbours.
fn steepest(plane: &Plane) -> f32 {
    let mut histogram = [0_u32; 256];
    for row in plane.rows() {
        for pair in row.windows(2) {
            histogram[usize::from(pair[0].abs_diff(pair[1]))] += 1;
        }
    }
    for (upper, lower) in plane.rows().zip(plane.rows().skip(1)) {
        for (a, b) in upper.iter().zip(lower) {
            histogram[usize::from(a.abs_diff(*b))] += 1;
        }
    }
    let wanted = (histogram.iter().sum::<u32>() / STRONGEST as u32).max(1);
    let (mut left, mut sum) = (wanted, 0_u64);
    for (value, count) in histogram.iter().enumerate().rev() {
        let taken = (*count).min(left);
        sum += u64::from(taken) * value as u64;
        left -= taken;
    }
    sum as f32 / wanted as f32
}

/// After Immerkaer ("Fast noise variance estimation", 1996): the mask that no edge or slope excites.
fn grain(light: &Plane) -> f32 {
    let (width, height) = (light.width, light.height);
    let mut found: Vec<f32> = Vec::new();
    let mut shut: Vec<f32> = Vec::new();
    for top in (1..height.saturating_sub(GRAIN_BLOCK)).step_by(GRAIN_BLOCK) {
        for left in (1..width.saturating_sub(GRAIN_BLOCK)).step_by(GRAIN_BLOCK) {
            let (mut sum, mut mean) = (0_u32, 0_u32);
            for y in top..top + GRAIN_BLOCK {
                let line = |y: usize| &light.values[y * width + left - 1..=y * width + left + GRAIN_BLOCK];
                let (up, mid, low) = (line(y - 1), line(y), line(y + 1));
                for x in 1..=GRAIN_BLOCK {
                    let at = |row: &[u8], x: usize| i32::from(row[x]);
                    let corners = at(up, x - 1) + at(up, x + 1) + at(low, x - 1) + at(low, x + 1);
                    let sides = at(up, x) + at(low, x) + at(mid, x - 1) + at(mid, x + 1);
                    sum += (corners - 2 * sides + 4 * at(mid, x)).unsigned_abs();
                    mean += u32::from(mid[x]);
                }
            }
            let count = (GRAIN_BLOCK * GRAIN_BLOCK) as u32;
            // The mean of |N(0, 6 sigma)| is sqrt(2 / pi) * 6 sigma.
            let sigma = sum as f32 / count as f32 / (6.0 * (2.0 / std::f32::consts::PI).sqrt());
            if OPEN.contains(&(mean / count)) { found.push(sigma) } else { shut.push(sigma) }
        }
    }
    let blocks = if found.len() * 10 >= shut.len() { &mut found } else { &mut shut };
    blocks.sort_by(f32::total_cmp);
    blocks.get(blocks.len() / 10).copied().unwrap_or(0.0)
}

/// After Wang, Sheikh and Bovik ("No-reference perceptual quality assessment of JPEG compressed images", 2002), but for a grid that
/// may begin anywhere: (difference across it over that inside, difference inside, changes of sign).
fn grid(light: &Plane) -> (f32, f32, f32) {
    let (mut across, mut counts) = ([[0_u64; GRID]; 2], [[0_u64; GRID]; 2]);
    let (mut crossings, mut pairs) = (0_u64, 0_u64);
    for row in light.rows() {
        let mut last = 0_i32;
        for (x, pair) in row.windows(2).enumerate() {
            let step = i32::from(pair[1]) - i32::from(pair[0]);
            across[0][x % GRID] += u64::from(step.unsigned_abs().min(CAP));
            counts[0][x % GRID] += 1;
            crossings += u64::from(step * last < 0);
            last = step;
        }
        pairs += row.len().saturating_sub(2) as u64;
    }
    for (y, (upper, lower)) in light.rows().zip(light.rows().skip(1)).enumerate() {
        let sum: u64 = upper.iter().zip(lower).map(|(a, b)| u64::from(u32::from(a.abs_diff(*b)).min(CAP))).sum();
        across[1][y % GRID] += sum;
        counts[1][y % GRID] += upper.len() as u64;
    }
    let (mut ratio, mut inside) = (0.0, 0.0);
    for (sums, counts) in across.iter().zip(&counts) {
        let means: Vec<f32> = sums.iter().zip(counts).map(|(s, c)| *s as f32 / (*c).max(1) as f32).collect();
        let most = means.iter().copied().fold(0.0, f32::max);
        let rest = (means.iter().sum::<f32>() - most) / (GRID - 1) as f32;
        ratio += (most + 0.1) / (rest + 0.1) / 2.0;
        inside += rest / 2.0;
    }
    (ratio, inside, crossings as f32 / pairs.max(1) as f32)
}

/// (step between neighbouring plains of a row, as far as steps are alike; share of pixels in plains).
fn steps(plane: &Plane) -> (f32, f32) {
    let mut sizes = [0_u32; STEP_MOST + 1];
    let mut flat = 0_u64;
    for row in plane.rows() {
        let (mut start, mut last): (usize, Option<(usize, u8)>) = (0, None); // the last plain's end and value
        for x in 1..=row.len() {
            if x < row.len() && row[x] == row[start] {
                continue;
            }
            if x - start >= PLAIN {
                flat += (x - start) as u64;
                if let Some((end, value)) = last.filter(|(end, _)| start - end <= STEP_WIDTH) {
                    let size = usize::from(value.abs_diff(row[start]));
                    if size > 0 && size <= STEP_MOST && start >= end {
                        sizes[size] += 1;
                    }
                }
                last = Some((x, row[start]));
            }
            start = x;
        }
    }
    let total: u32 = sizes.iter().sum();
    let mut seen = 0;
    let median = sizes.iter().position(|count| {
        seen += count;
        total > 0 && seen * 2 >= total
    });
    let median = median.unwrap_or(0);
    // Missing levels make all steps alike; between the flat colours of a drawing they are of all sizes.
    let near = median / 8 + 1;
    let alike =
        sizes[median.saturating_sub(near)..=(median + near).min(STEP_MOST)].iter().sum::<u32>() as f32 / total.max(1) as f32;
    let believed = ((alike - LEAST_ALIKE) / (SURELY_ALIKE - LEAST_ALIKE)).clamp(0.0, 1.0);
    (1.0 + (median as f32 - 1.0).max(0.0) * believed, flat as f32 / plane.values.len() as f32)
}
