//! Is there a hard cut between two neighbouring frames? A jump that is large by itself, large against what is around it, and lasting.
//! Pure decisions on a window of descriptors; no I/O.

use crate::{compare::unlikeness, window::Window};

/// Frames that must be known after a frame before it can be judged.
pub(crate) const LOOKAHEAD: usize = 8;
/// Frames on either side that tell how restless the material is.
const SURROUND: usize = 8;
/// No jump below this is a cut. Hand-held cycling footage stays under 0.37, the cuts in it start at 0.96.
pub(crate) const FLOOR: f32 = 0.5;
/// No jump below this is a cut even in calm material: a title line appearing stays below.
pub(crate) const CALM_FLOOR: f32 = 0.33;
/// Between the two floors a cut stands out from the calm around it by at least this factor.
const CALM_RATIO: f32 = 4.5;
/// A cut stands out from the restlessness around it by at least this factor.
const RATIO: f32 = 1.8;
/// ...and from the mean of the two frames on either side by this one.
const BESIDE_RATIO: f32 = 2.5;
/// A direct neighbour this close to the jump is part of it: a whip pan, an explosion, or a frame blended across the cut.
const SHOULDER: f32 = 0.6;
/// A disturbance of up to this many frames after which the old picture is back was a flash, not a cut.
pub(crate) const FLASH: usize = 6;
/// "The old picture is back" means less unlike than this share of the jump.
const RETURN: f32 = 0.55;
/// "Nothing is like it" means at least so much of the jump.
const LASTING: f32 = 0.8;
/// So many frames after such a cut are calm, as they are not where a mix begins.
const CALM_AFTER: usize = 3;
/// However restless the material, frames this unlike show two pictures.
const MOST_RESTLESS: f32 = 0.9;
/// No smaller jump next to a turn of the camera is a cut.
const BESIDE_WHIP: f32 = 0.9;
/// Two cuts closer than this many frames are one: nothing shorter is seen as a shot.
const SHORTEST: usize = 4;

/// A jump this large...
const SURE: f32 = 0.9;
/// ...and so many times as large as the restlessness before it, is doubted by nobody.
const SURE_RATIO: f32 = 6.0;
/// Pictures of less contrast are not put to anybody else: a network that knows films says no to cuts between pale pictures.
const LEAST_TELLING: f32 = 20.0;

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No shot starts here.
    Nothing,
    /// One does.
    Cut,
    /// One does, if nobody knows better.
    Doubtful,
}

/// Remembers across frames what a single look at the window cannot tell.
#[derive(Default)]
pub(crate) struct CutFinder {
    /// Jumps up to this frame belong to a flash.
    masked_to: Option<usize>,
    last: Option<usize>,
}

impl CutFinder {
    /// Whether a shot starts at frame `at`. Called once per frame, in order, when `LOOKAHEAD` more frames are in the
    /// window (or the title has ended).
    pub(crate) fn judge(&mut self, window: &Window, at: usize) -> Verdict {
        let jump = window.step(at);
        if !self.is_cut(window, at, jump) {
            Verdict::Nothing
        } else if is_telling(window, at) && (jump < SURE || jump < SURE_RATIO * restless_before(window, at)) {
            Verdict::Doubtful
        } else {
            Verdict::Cut
        }
    }

    /// A shot starts at frame `at`.
    pub(crate) fn keep(&mut self, at: usize) {
        self.last = Some(at);
    }

    fn is_cut(&mut self, window: &Window, at: usize, jump: f32) -> bool {
        if at == 0 || jump < CALM_FLOOR || self.masked_to.is_some_and(|to| at <= to) {
            return false;
        }
        if self.is_flash(window, at, jump) || !stands_out(window, at, jump) {
            return false;
        }
        if jump < BESIDE_WHIP && (window.whips(at - 1).is_some() || window.whips(at + 1).is_some()) {
            return false; // where the camera starts or stops to turn, the picture blurs or clears up
        }
        if window.get(at - 1).flat || window.get(at).flat {
            return false; // into or out of one colour: the flat run tells more than the jump does
        }
        self.last.is_none_or(|last| at - last >= SHORTEST)
    }

    fn is_flash(&mut self, window: &Window, at: usize, jump: f32) -> bool {
        let before = window.get(at - 1);
        let restless = restless_before(window, at);
        for after in at + 1..=at + FLASH {
            // Only a frame that itself ends a disturbance can bring the old picture back.
            let Some(feature) = window.try_get(after) else { break };
            if window.step(after) < FLOOR * RETURN {
                continue;
            }
            if unlikeness(before, feature) < same_picture(restless, after + 1 - at).min(jump * RETURN) {
                self.masked_to = Some(after);
                return true;
            }
        }
        false
    }
}

/// Whether both frames have the contrast that others need to tell them apart by.
fn is_telling(window: &Window, at: usize) -> bool {
    window.get(at - 1).contrast.min(window.get(at).contrast) >= LEAST_TELLING
}

fn stands_out(window: &Window, at: usize, jump: f32) -> bool {
    let before = window.step(at - 1);
    let after = window.step(at + 1);
    if before > jump || after >= jump {
        return false; // the neighbour is the larger part of the same jump
    }
    if before > jump * SHOULDER && (after > jump * SHOULDER || window.step(at.saturating_sub(2)) > before * SHOULDER) {
        return false; // inside a swell, or at the height of one
    }
    // A hand that comes in, or a camera that whips round, takes more than one frame (after PySceneDetect's adaptive detector).
    let beside = [at.saturating_sub(2), at - 1, at + 1, at + 2].map(|i| window.step(i));
    if jump * 4.0 < BESIDE_RATIO * beside.iter().sum::<f32>() {
        return false;
    }
    // The largest on each side may be the next cut; the second largest is how the material moves.
    let left = restless_before(window, at - 1);
    let right = second_largest((2..=SURROUND).map(|d| window.step(at + d)));
    let ratio = if jump < FLOOR { CALM_RATIO } else { RATIO };
    jump >= ratio * left.max(right) || jump >= FLOOR && jump >= ratio * left && lasts(window, at, jump)
}

/// Whether nothing after frame `at` is like what was before it: so even where a restless shot begins, it is another one.
fn lasts(window: &Window, at: usize, jump: f32) -> bool {
    let before = window.get(at - 1);
    let calm = (1..=CALM_AFTER).all(|d| window.step(at + d) * RATIO <= jump);
    calm && (1..=LOOKAHEAD).filter_map(|d| window.try_get(at + d)).all(|after| unlikeness(before, after) >= jump * LASTING)
}

/// How the material moves before frame `at`: the second largest jump of the frames before it (the largest may be a cut).
pub(crate) fn restless_before(window: &Window, at: usize) -> f32 {
    second_largest((1..SURROUND).filter_map(|d| at.checked_sub(d)).map(|i| window.step(i)))
}

/// Two frames `apart` frames from each other in material this restless show one picture when less unlike than this.
pub(crate) fn same_picture(restless: f32, apart: usize) -> f32 {
    (restless * apart.min(FLASH) as f32).clamp(FLOOR, MOST_RESTLESS)
}

fn second_largest(values: impl Iterator<Item = f32>) -> f32 {
    let (_, second) = values.fold((0f32, 0f32), |(first, second), v| if v > first { (v, first) } else { (first, second.max(v)) });
    second
}
