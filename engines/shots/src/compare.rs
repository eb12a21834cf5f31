//! How unlike two frames are once movement is taken out: that of blocks, and that of a camera that whips round.
//! Pure arithmetic on descriptors; no I/O.

use crate::feature::{Feature, LUMA_H, LUMA_W};

/// Side of a matched block.
const BLOCK: usize = 8;
/// How far a block may have moved between two frames, in luma-picture pixels (8 of 96: a twelfth of the width per frame,
/// faster than any pan that is watched rather than endured).
const REACH: isize = 8;

/// Added to contrast before dividing by it, so that sensor noise in a dark picture is not taken for change.
const DARK: f32 = 4.0;
/// Beyond this a residual says no more.
const MOST_RESIDUAL: f32 = 2.0;

/// A turn of the camera is looked for in pictures half as large.
const HALF_W: usize = LUMA_W / 2;
const HALF_H: usize = LUMA_H / 2;
/// How far the camera may turn between two frames, in half-size pixels: half of the picture and a little more to either side...
const TURN_X: isize = 26;
/// ...and a third of it up or down.
const TURN_Y: isize = 10;
/// Turns this close to the farthest are none, in luma-picture pixels.
const EDGE: f32 = 3.0;
/// What a turn is at least, in luma-picture pixels; blocks follow less.
const LEAST_TURN: f32 = 6.0;
/// Mean absolute deviation of a normal distribution, in standard deviations.
const MEAN_DEVIATION: f32 = 0.8;

/// How unlike two frames are: what movement leaves unexplained, relative to contrast, plus the change of colours. Within a
/// hand-held shot 0.03 to 0.4, across a cut 0.5 and more.
pub(crate) fn unlikeness(earlier: &Feature, later: &Feature) -> f32 {
    unlikeness_of(match_blocks(earlier, later), earlier, later)
}

/// [`unlikeness`] of two frames between which the camera turned.
pub(crate) fn unlikeness_turned(turn: Turn, earlier: &Feature, later: &Feature) -> f32 {
    turn.residual + earlier.colour_distance(later)
}

/// [`unlikeness`] of two frames already matched.
pub(crate) fn unlikeness_of(matched: Match, earlier: &Feature, later: &Feature) -> f32 {
    let contrast = earlier.contrast.min(later.contrast) + DARK;
    (matched.residual / contrast).min(MOST_RESIDUAL) + earlier.colour_distance(later)
}

/// What block matching found between an earlier and a later frame.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Match {
    /// Mean absolute luma difference per pixel after every block took its best place.
    pub(crate) residual: f32,
    /// Mean length of the movement vectors, in luma-picture pixels.
    pub(crate) motion: f32,
}

/// Matches every block of `later` in `earlier`.
pub(crate) fn match_blocks(earlier: &Feature, later: &Feature) -> Match {
    let mut residual = 0u32;
    let mut motion = 0f32;
    let mut blocks = 0f32;
    let mut hint = (0, 0);
    for top in (0..LUMA_H).step_by(BLOCK) {
        for left in (0..LUMA_W).step_by(BLOCK) {
            let (best, dx, dy) = place_block(&earlier.luma, &later.luma, left, top, hint);
            hint = (dx, dy);
            residual += best;
            motion += ((dx * dx + dy * dy) as f32).sqrt();
            blocks += 1.0;
        }
    }
    Match { residual: residual as f32 / (LUMA_W * LUMA_H) as f32, motion: motion / blocks }
}

/// The least sum of absolute differences of one block over all places within reach, and the offset it was found at. `hint`, where
/// the block before it was found, only makes the search shorter.
fn place_block(earlier: &[u8], later: &[u8], left: usize, top: usize, hint: (isize, isize)) -> (u32, isize, isize) {
    let mut block = [0u8; BLOCK * BLOCK];
    for y in 0..BLOCK {
        let from = (top + y) * LUMA_W + left;
        block[y * BLOCK..(y + 1) * BLOCK].copy_from_slice(&later[from..from + BLOCK]);
    }
    let range = |at: usize, size: usize| {
        let lowest = -(at as isize).min(REACH);
        let highest = ((size - BLOCK - at) as isize).min(REACH);
        lowest..=highest
    };
    let (across, down) = (range(left, LUMA_W), range(top, LUMA_H));
    // Standing still is tried first, so that among equals nothing moves.
    let mut best = (block_difference(earlier, left, top, &block, u32::MAX), 0, 0);
    let mut enter = |dx: isize, dy: isize| {
        let (x, y) = ((left as isize + dx) as usize, (top as isize + dy) as usize);
        let difference = block_difference(earlier, x, y, &block, best.0);
        if difference < best.0 {
            best = (difference, dx, dy);
        }
        best.0 == 0
    };
    if across.contains(&hint.0) && down.contains(&hint.1) {
        enter(hint.0, hint.1);
    }
    for dy in down {
        for dx in across.clone() {
            if enter(dx, dy) {
                return best;
            }
        }
    }
    best
}

/// Given up, with some sum that is no less, once it is no less than `enough`.
fn block_difference(picture: &[u8], left: usize, top: usize, block: &[u8; BLOCK * BLOCK], enough: u32) -> u32 {
    let mut sum = 0u32;
    for (y, rows) in block.chunks_exact(BLOCK * 2).enumerate() {
        for (half, row) in rows.chunks_exact(BLOCK).enumerate() {
            let from = (top + 2 * y + half) * LUMA_W + left;
            let line = &picture[from..from + BLOCK];
            sum = sum.wrapping_add(difference(row, line));
        }
        if sum >= enough {
            break;
        }
    }
    sum
}

/// Sum of absolute differences of two lines. They are far too short to overflow; checking for it would be most of the work.
fn difference(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).fold(0, |sum, (a, b)| sum.wrapping_add(u32::from(a.abs_diff(*b))))
}

/// A shift of the whole picture.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Mean absolute luma difference where both pictures show the same part, relative to the contrast of that part. Whip pans give
    /// up to 0.6, mostly under 0.3; the best of all shifts across a cut 0.6 and more.
    pub(crate) residual: f32,
    /// How far it moved, across and down, in luma-picture pixels.
    pub(crate) by: (f32, f32),
}

/// The shift that explains most of `later` by `earlier`; none where the best lies at the edge of the search, as it does for
/// pictures that have nothing to do with each other, or within reach of the blocks.
pub(crate) fn find_turn(earlier: &Feature, later: &Feature) -> Option<Turn> {
    let (a, b) = (Half::of(&earlier.luma), Half::of(&later.luma));
    let mut best = Turn { residual: f32::INFINITY, by: (0.0, 0.0) };
    for dy in -TURN_Y..=TURN_Y {
        for dx in -TURN_X..=TURN_X {
            let (width, height) = (HALF_W - dx.unsigned_abs(), HALF_H - dy.unsigned_abs());
            // Where the common part starts in either picture.
            let (ax, bx) = (dx.max(0) as usize, (-dx).max(0) as usize);
            let (ay, by) = (dy.max(0) as usize, (-dy).max(0) as usize);
            let mut sum = 0u32;
            for row in 0..height {
                let p = &a.luma[(ay + row) * HALF_W + ax..][..width];
                let q = &b.luma[(by + row) * HALF_W + bx..][..width];
                sum = sum.wrapping_add(difference(p, q));
            }
            let contrast = a.deviation(ax, ay, width, height).min(b.deviation(bx, by, width, height)) * MEAN_DEVIATION;
            let residual = sum as f32 / (width * height) as f32 / (contrast + DARK);
            if residual < best.residual {
                best = Turn { residual, by: (2.0 * dx as f32, 2.0 * dy as f32) };
            }
        }
    }
    let (x, y) = best.by;
    let edge = x.abs() + EDGE > 2.0 * TURN_X as f32 || y.abs() + EDGE > 2.0 * TURN_Y as f32;
    (!edge && x.hypot(y) >= LEAST_TURN).then_some(best)
}

/// A luma picture of half the size, with sums of all its values and their squares above and left of each place.
struct Half {
    luma: [u8; HALF_W * HALF_H],
    sums: Vec<(u32, u32)>,
}

impl Half {
    fn of(full: &[u8]) -> Self {
        let luma = std::array::from_fn(|i| {
            let at = i / HALF_W * 2 * LUMA_W + i % HALF_W * 2;
            let sum: u16 = [at, at + 1, at + LUMA_W, at + LUMA_W + 1].iter().map(|at| u16::from(full[*at])).sum();
            ((sum + 2) / 4) as u8
        });
        let mut sums = vec![(0, 0); (HALF_W + 1) * (HALF_H + 1)];
        for y in 0..HALF_H {
            let mut row = (0u32, 0u32);
            for x in 0..HALF_W {
                let value = u32::from(luma[y * HALF_W + x]);
                row = (row.0 + value, row.1 + value * value);
                let above = sums[y * (HALF_W + 1) + x + 1];
                sums[(y + 1) * (HALF_W + 1) + x + 1] = (above.0 + row.0, above.1 + row.1);
            }
        }
        Self { luma, sums }
    }

    /// Standard deviation of a part.
    fn deviation(&self, left: usize, top: usize, width: usize, height: usize) -> f32 {
        let at = |x: usize, y: usize| self.sums[y * (HALF_W + 1) + x];
        let (a, b) = (at(left, top), at(left + width, top));
        let (c, d) = (at(left, top + height), at(left + width, top + height));
        let count = (width * height) as f32;
        let mean = (d.0 + a.0 - b.0 - c.0) as f32 / count;
        ((d.1 + a.1 - b.1 - c.1) as f32 / count - mean * mean).max(0.0).sqrt()
    }
}
