//! Is a stretch of frames a gradual mix of its two ends? Dissolves, and the two halves of a fade.
//! Pure decisions on a window of descriptors; no I/O.
//!
//! Three signs must agree, because movement, light and focus each fake one of them: every frame lies near the straight line
//! between the ends at a share that grows evenly; the two ends are different pictures; and texture is lost in the middle as the
//! sum of two unrelated pictures loses it ((1-x)^2 and x^2 of each one's gradient energy, after Lienhart's and Truong's edge and
//! variance parabolas), which holds however much the pictures move.

use crate::{
    compare::unlikeness,
    cut::{restless_before, same_picture},
    feature::{Feature, correlation, gradient_product},
    window::Window,
};

/// Half-lengths tried around every frame, in frames; close enough together that one fits any transition within a fifth.
const HALVES: [usize; 13] = [2, 3, 4, 5, 6, 8, 10, 13, 17, 23, 31, 43, 60];
/// The longest of them.
const LONGEST_HALF: usize = HALVES[HALVES.len() - 1];
/// Frames that must be known after a frame before it can be judged as a middle: the longest half and room to refine it.
pub(crate) const LOOKAHEAD: usize = LONGEST_HALF + 2 * MOST_MOVES;
/// Most frames from end to end of a mix: both halves refined outwards.
pub(crate) const LONGEST: usize = 2 * (LONGEST_HALF + MOST_MOVES);
/// Frames fitted per stretch at most.
const SAMPLES: usize = 13;
/// Ends closer than this (root mean square over the coarse colour picture, in levels) are one picture.
const LEAST_DISTANCE: f32 = 9.0;
/// Ends whose gradients correlate more than this are one picture under another light.
const MOST_CORRELATION: f32 = 0.45;
/// Root mean square deviation of the shares from an even ramp.
const MOST_RAMP_ERROR: f32 = 0.10;
/// Mean squared distance from the line, over the squared distance of the ends. Two unrelated pictures with unrelated content
/// between them give 0.75.
const MOST_RESIDUAL: f32 = 0.16;
/// Share of the predicted loss of texture that must be seen.
const LEAST_DIP: f32 = 0.45;
/// The same once the ends are placed. Dissolves give 0.8 and more; a pan into the dark, whose texture fades too, 0.55.
const LEAST_REFINED_DIP: f32 = 0.65;
/// Frames that each of the two pictures is seen by itself, unless it is a flat colour: what fills all the room between two cuts
/// is one moving shot.
const PURE: usize = 3;
/// A half of a mix is at least this unlike its end after block matching (0.42 to 1.1 in dissolves of real footage).
const LEAST_HALF: f32 = 0.4;
/// Mixes of more frames than this leave a camera time to turn away...
const LONG: usize = 30;
/// ...so their halves have to differ more (a slow tilt gave 0.44, dissolves this long 0.72 and more).
const LEAST_LONG_HALF: f32 = 0.55;
/// What the camera may have whipped round from end to end, in luma-picture pixels: a third of the picture.
const MOST_TURNED: f32 = 32.0;
/// Mean gradient energy below which a picture has no texture.
const NO_TEXTURE: f32 = 4.0;
/// The same for mixes of more frames than [`LONG`]: a slope of several colours (13 to 17) turns into another one in so many.
const NO_LONG_TEXTURE: f32 = 20.0;
/// The share of the way that one frame may cover in a stretch of more than five frames; more is a cut.
const MOST_STEP: f32 = 0.45;
/// Steps by which the two ends of a found stretch are tried elsewhere.
const MOVES: [(isize, isize); 12] =
    [(-1, 0), (1, 0), (0, -1), (0, 1), (-2, 0), (2, 0), (0, -2), (0, 2), (-1, -1), (1, 1), (-1, 1), (1, -1)];
/// Moves made at most, each of up to two frames: a third of the longest half-length.
const MOST_MOVES: usize = 20;
/// Frames from end to end of the shortest stretch: one mixed frame between them.
const SHORTEST: usize = 2;

/// A stretch found to be a mix: `from` is the last frame of the old picture, `to` the first of the new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Larger is surer; compared among overlapping ramps only.
    pub(crate) score: f32,
}

/// The best ramp whose middle is near `middle` and which lies inside `[low, high]`.
pub(crate) fn find(window: &Window, middle: usize, low: usize, high: usize) -> Option<Ramp> {
    let mut best: Option<Ramp> = None;
    for half in HALVES {
        if middle < low + half || middle + half > high {
            break;
        }
        let (from, to) = (middle - half, middle + half);
        let Some(fit) = Fit::measure(window, from, to) else { continue };
        if fit.accepted(half) && best.is_none_or(|b| fit.score() > b.score) {
            best = Some(Ramp { from, to, score: fit.score() });
        }
    }
    let rough = best?;
    if !different(window, rough) {
        return None;
    }
    let refined = refine(window, rough, low, high);
    let fit = Fit::measure(window, refined.from, refined.to)?;
    let pure_before = window.get(refined.from).flat || refined.from >= low + PURE;
    let pure_after = window.get(refined.to).flat || refined.to + PURE <= high;
    if !pure_before || !pure_after {
        return None;
    }
    (fit.dip >= LEAST_REFINED_DIP && unexplained_by_movement(window, refined)).then_some(refined)
}

/// How well a stretch is explained as a mix of its ends.
#[derive(Debug)]
struct Fit {
    distance: f32,
    ramp_error: f32,
    residual: f32,
    dip: f32,
    largest_step: f32,
}

impl Fit {
    /// None where the frames do not lie on the line, or not evenly.
    fn measure(window: &Window, from: usize, to: usize) -> Option<Self> {
        let (a, b) = (window.get(from), window.get(to));
        let line = Line::between(a, b);
        let distance = (line.squared / a.colour.len() as f32).sqrt();
        if distance < LEAST_DISTANCE {
            return None;
        }
        let length = to - from;
        let inside = length - 1;
        let count = inside.min(SAMPLES);
        let places = (0..count).map(|n| from + 1 + n * inside / count);
        let even = |at: usize| (at - from) as f32 / length as f32;
        let (mut ramp, mut residual) = (0f32, 0f32);
        let (mut last, mut largest_step) = (0f32, 0f32);
        for at in places.clone() {
            let (share, off) = line.place(window.get(at));
            ramp += (share - even(at)).powi(2);
            residual += off / line.squared;
            largest_step = largest_step.max(share - last);
            last = share;
        }
        largest_step = largest_step.max(1.0 - last);
        let (ramp_error, residual) = ((ramp / count as f32).sqrt(), residual / count as f32);
        if ramp_error > MOST_RAMP_ERROR || residual > MOST_RESIDUAL {
            return None;
        }
        let cross = gradient_product(&a.luma, &b.luma);
        let (mut seen, mut predicted) = (0f32, 0f32);
        for at in places {
            let even = even(at);
            seen += (1.0 - even) * a.energy + even * b.energy - window.get(at).energy;
            predicted += even * (1.0 - even) * (a.energy + b.energy - 2.0 * cross);
        }
        let dip = if predicted > 0.0 { seen / predicted } else { 0.0 };
        Some(Self { distance, ramp_error, residual, dip, largest_step })
    }

    fn accepted(&self, half: usize) -> bool {
        self.dip >= LEAST_DIP && (half < 3 || self.largest_step <= MOST_STEP)
    }

    /// Longer stretches of the same mix have ends further apart, so distance leads and misfit holds it back; a part of a mix
    /// loses less texture than the whole.
    fn score(&self) -> f32 {
        self.distance * (1.0 - 3.0 * self.ramp_error) * (1.0 - 2.0 * self.residual) * self.dip.clamp(0.0, 1.0)
    }
}

/// The straight line between two pictures.
struct Line<'a> {
    a: &'a Feature,
    direction: Vec<f32>,
    squared: f32,
}

impl<'a> Line<'a> {
    fn between(a: &'a Feature, b: &Feature) -> Self {
        let direction: Vec<f32> = a.colour.iter().zip(&b.colour).map(|(x, y)| y - x).collect();
        let squared = direction.iter().map(|d| d * d).sum();
        Self { a, direction, squared }
    }

    /// How far along the line a frame is (0 at the first end, 1 at the second) and its squared distance from the line.
    fn place(&self, frame: &Feature) -> (f32, f32) {
        let (mut along, mut length) = (0f32, 0f32);
        for ((f, a), d) in frame.colour.iter().zip(&self.a.colour).zip(&self.direction) {
            along += (f - a) * d;
            length += (f - a) * (f - a);
        }
        (along / self.squared, (length - along * along / self.squared).max(0.0))
    }
}

/// Whether the two ends show different things, whatever moved and however the light changed.
fn different(window: &Window, ramp: Ramp) -> bool {
    let (a, b) = (window.get(ramp.from), window.get(ramp.to));
    if correlation(&a.luma, &b.luma).is_some_and(|c| c > MOST_CORRELATION) {
        return false;
    }
    unlikeness(a, b) >= same_picture(restless_before(window, ramp.from + 1), ramp.to - ramp.from)
}

/// Whether the middle is unlike at least one end even after block matching. A camera that slowly turns away also reaches another
/// picture, but by halves that movement explains; and where there is no texture, movement cannot be told from mixing.
fn unexplained_by_movement(window: &Window, ramp: Ramp) -> bool {
    let (a, b) = (window.get(ramp.from), window.get(ramp.to));
    let middle = window.get(usize::midpoint(ramp.from, ramp.to));
    let long = ramp.to - ramp.from > LONG;
    let (least, no_texture) = if long { (LEAST_LONG_HALF, NO_LONG_TEXTURE) } else { (LEAST_HALF, NO_TEXTURE) };
    a.energy.max(b.energy) >= no_texture
        && unlikeness(a, middle).max(unlikeness(middle, b)) >= least
        && (long || a.flat || b.flat || window.turned(ramp.from, ramp.to) <= MOST_TURNED)
}

/// Moves each end by a frame or two for as long as that makes the fit better.
fn refine(window: &Window, rough: Ramp, low: usize, high: usize) -> Ramp {
    let mut best = rough;
    for _ in 0..MOST_MOVES {
        let mut moved = best;
        for (from_by, to_by) in MOVES {
            let (Some(from), Some(to)) = (best.from.checked_add_signed(from_by), best.to.checked_add_signed(to_by)) else {
                continue;
            };
            if from < low || to > high || to < from + SHORTEST {
                continue;
            }
            let Some(fit) = Fit::measure(window, from, to) else { continue };
            if fit.score() > moved.score {
                moved = Ramp { from, to, score: fit.score() };
            }
        }
        if moved.score <= best.score {
            break;
        }
        best = moved;
    }
    best
}
