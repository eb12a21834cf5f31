//! What the detector keeps of a frame: a small luma picture, a smaller colour picture, histograms and their texture energy.
//! Pure arithmetic on a borrowed rgb24 buffer; no I/O.

/// Width of the luma picture on which blocks are matched. 96 keeps a 640-wide picture's 20-pixel pan at 3 pixels, and a
/// full search cheap enough to run on every frame.
pub(crate) const LUMA_W: usize = 96;
/// Height of the luma picture: seven rows of 8x8 blocks, close to 16:9.
pub(crate) const LUMA_H: usize = 56;
/// Width of the colour picture on which blends are fitted: coarse, so that movement inside a shot averages out.
pub(crate) const COLOUR_W: usize = 16;
/// Height of the colour picture (56 divides by it evenly).
pub(crate) const COLOUR_H: usize = 7;
/// Values in the colour picture.
pub(crate) const COLOUR_LEN: usize = COLOUR_W * COLOUR_H * 3;
/// Luma histogram bins.
const LUMA_BINS: usize = 32;
/// Bins along each chroma axis.
const CHROMA_BINS: usize = 12;
/// Chroma beyond this distance from grey shares the outermost bin: saturated colours are rare and need no resolution.
const CHROMA_REACH: i32 = 72;
/// Each pixel spreads this much weight over two neighbouring bins, so that a slow change of light moves mass smoothly.
const SOFT: i32 = 16;
/// Luma up to this is the black of bars: limited-range black with coding noise.
const BAR_LUMA: u8 = 20;
/// Mean gradient energy below which a picture has no texture to correlate with.
const NO_TEXTURE: usize = 4;
/// A frame whose luma stays inside this range, its darkest and brightest hundredth left out, is one flat colour.
const FLAT_RANGE: usize = 10;

/// The descriptor of one frame (about 7 KiB).
#[derive(Clone)]
pub(crate) struct Feature {
    /// Luma, `LUMA_W` x `LUMA_H`, row by row.
    pub(crate) luma: Vec<u8>,
    /// Mean colour, `COLOUR_W` x `COLOUR_H` x RGB.
    pub(crate) colour: Vec<f32>,
    /// Luma then chroma histogram, each with the same total mass.
    histogram: Vec<i32>,
    /// Mean squared luma gradient: what a mix of two pictures loses.
    pub(crate) energy: f32,
    /// Mean absolute distance of luma from its mean.
    pub(crate) contrast: f32,
    /// Whether the frame is one colour.
    pub(crate) flat: bool,
}

impl Feature {
    /// Measures `rgb` (packed rgb24, `width * height * 3` bytes; the caller has checked that).
    pub(crate) fn measure(rgb: &[u8], width: usize, height: usize) -> Self {
        let small = shrink(rgb, (width, height), (LUMA_W, LUMA_H));
        let luma: Vec<u8> = small.iter().map(|p| luma(*p)).collect();
        let histogram = histogram(&small, &luma);
        let energy = gradient_product(&luma, &luma);
        let (contrast, flat) = spread(&luma);
        Self { colour: colour(&small), luma, histogram, energy, contrast, flat }
    }

    /// Half the L1 distance between two frames' histograms, luma and chroma taken equally: 0 same colours, 1 disjoint.
    pub(crate) fn colour_distance(&self, other: &Self) -> f32 {
        let mass = LUMA_W * LUMA_H * 2 * SOFT as usize;
        let difference: i64 = self.histogram.iter().zip(&other.histogram).map(|(a, b)| i64::from((a - b).abs())).sum();
        difference as f32 / (2 * mass) as f32
    }
}

/// Rec. 709 luma of one pixel, in integers.
fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 54 + u32::from(g) * 183 + u32::from(b) * 19 + 128) >> 8) as u8
}

/// Mean of what each pixel of a smaller picture stands for, to the fraction of a pixel; a source smaller than that repeats some.
pub(crate) fn shrink(rgb: &[u8], (width, height): (usize, usize), (columns, rows): (usize, usize)) -> Vec<[u8; 3]> {
    let mut out = Vec::with_capacity(columns * rows);
    let whole = (width * height) as u64;
    // First whole lines, one onto the other, which processors do many pixels at a time; then along the line.
    let mut band = vec![0u32; width * 3];
    for row in 0..rows {
        band.fill(0);
        for (y, weight) in cover(row, rows, height) {
            let line = &rgb[y * width * 3..(y + 1) * width * 3];
            for (sum, value) in band.iter_mut().zip(line) {
                // Cannot overflow (a side has 16384 pixels at most), but a check for it would be most of the work.
                *sum = sum.wrapping_add(u32::from(*value).wrapping_mul(weight));
            }
        }
        for column in 0..columns {
            let mut sums = [0u64; 3];
            for (x, weight) in cover(column, columns, width) {
                for (sum, value) in sums.iter_mut().zip(&band[x * 3..x * 3 + 3]) {
                    *sum = sum.wrapping_add(u64::from(*value).wrapping_mul(u64::from(weight)));
                }
            }
            out.push(sums.map(|sum| ((sum + whole / 2) / whole) as u8));
        }
    }
    out
}

/// The pixels of `size` that cell `nth` of `cells` lies on, each with how much of it; together `size`.
fn cover(nth: usize, cells: usize, size: usize) -> impl Iterator<Item = (usize, u32)> {
    let (from, to) = (nth * size, (nth + 1) * size);
    (from / cells..to.div_ceil(cells)).map(move |at| (at, (to.min((at + 1) * cells) - from.max(at * cells)) as u32))
}

fn colour(small: &[[u8; 3]]) -> Vec<f32> {
    let (cell_w, cell_h) = (LUMA_W / COLOUR_W, LUMA_H / COLOUR_H);
    let mut sums = vec![0u32; COLOUR_LEN];
    for (i, pixel) in small.iter().enumerate() {
        let cell = (i / LUMA_W / cell_h) * COLOUR_W + i % LUMA_W / cell_w;
        for (channel, value) in pixel.iter().enumerate() {
            sums[cell * 3 + channel] += u32::from(*value);
        }
    }
    sums.into_iter().map(|s| s as f32 / (cell_w * cell_h) as f32).collect()
}

fn histogram(small: &[[u8; 3]], luma: &[u8]) -> Vec<i32> {
    let mut bins = vec![0i32; LUMA_BINS + CHROMA_BINS * CHROMA_BINS];
    let step = 256 / LUMA_BINS as i32;
    for (pixel, y) in small.iter().zip(luma) {
        let y = i32::from(*y);
        // Position in sixteenths of a bin, measured from the middle of the first bin.
        let at = ((y * SOFT / step) - SOFT / 2).clamp(0, (LUMA_BINS as i32 - 1) * SOFT);
        let (bin, part) = ((at / SOFT) as usize, at % SOFT);
        bins[bin] += SOFT - part;
        if part > 0 {
            bins[bin + 1] += part;
        }
        let axis = |c: u8| {
            let along = (i32::from(c) - y).clamp(-CHROMA_REACH, CHROMA_REACH - 1) + CHROMA_REACH;
            (along * CHROMA_BINS as i32 / (2 * CHROMA_REACH)) as usize
        };
        bins[LUMA_BINS + axis(pixel[2]) * CHROMA_BINS + axis(pixel[0])] += SOFT;
    }
    bins
}

/// Mean over the picture of the product of two pictures' gradients (with itself: gradient energy).
pub(crate) fn gradient_product(a: &[u8], b: &[u8]) -> f32 {
    let step = |from: u8, to: u8| i32::from(to).wrapping_sub(i32::from(from));
    let mut sum = 0i64;
    for y in 0..LUMA_H - 1 {
        let lines = |p: &'_ [u8]| -> ([u8; LUMA_W], [u8; LUMA_W]) {
            let line = |y: usize| std::array::from_fn(|x| p[y * LUMA_W + x]);
            (line(y), line(y + 1))
        };
        let ((a, a_below), (b, b_below)) = (lines(a), lines(b));
        // Two squares of a byte for each pixel of a line are far from overflowing; a check for it would be most of the work.
        let product = |a: i32, b: i32| a.wrapping_mul(b);
        let along = (0..LUMA_W - 1).map(|x| product(step(a[x], a[x + 1]), step(b[x], b[x + 1])));
        let down = (0..LUMA_W - 1).map(|x| product(step(a[x], a_below[x]), step(b[x], b_below[x])));
        sum += i64::from(along.zip(down).fold(0i32, |sum, (a, b)| sum.wrapping_add(a).wrapping_add(b)));
    }
    sum as f32 / ((LUMA_W - 1) * (LUMA_H - 1)) as f32
}

/// Correlation of two pictures' gradients, -1 to 1, leaving out steps from or to black that both have (the edges of bars);
/// `None` where either has next to no texture.
pub(crate) fn correlation(a: &[u8], b: &[u8]) -> Option<f32> {
    let (mut across, mut own_a, mut own_b) = (0i64, 0i64, 0i64);
    for y in 0..LUMA_H - 1 {
        for x in 0..LUMA_W - 1 {
            let i = y * LUMA_W + x;
            for j in [i + 1, i + LUMA_W] {
                let dark = |p: &[u8]| p[i].min(p[j]) <= BAR_LUMA;
                if dark(a) && dark(b) {
                    continue;
                }
                let step = |p: &[u8]| i64::from(p[j]) - i64::from(p[i]);
                across += step(a) * step(b);
                own_a += step(a) * step(a);
                own_b += step(b) * step(b);
            }
        }
    }
    let least = (NO_TEXTURE * LUMA_W * LUMA_H) as i64;
    (own_a >= least && own_b >= least).then(|| across as f32 / ((own_a as f32) * (own_b as f32)).sqrt())
}

fn spread(luma: &[u8]) -> (f32, bool) {
    let mut counts = [0u32; 256];
    for y in luma {
        counts[usize::from(*y)] += 1;
    }
    let total: u64 = luma.iter().map(|y| u64::from(*y)).sum();
    let mean = total as f32 / luma.len() as f32;
    let deviation: f32 = luma.iter().map(|y| (f32::from(*y) - mean).abs()).sum();
    let skip = luma.len() as u32 / 100;
    let low = rank(counts.iter(), skip);
    let high = 255 - rank(counts.iter().rev(), skip);
    (deviation / luma.len() as f32, high.saturating_sub(low) <= FLAT_RANGE)
}

/// The place of the first count at which more than `skip` values have been passed.
fn rank<'a>(counts: impl Iterator<Item = &'a u32>, skip: u32) -> usize {
    counts
        .scan(0, |seen, count| {
            *seen += count;
            Some(*seen)
        })
        .take_while(|seen| *seen <= skip)
        .count()
}
