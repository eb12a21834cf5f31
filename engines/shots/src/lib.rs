//! Finds where one shot ends and the next begins, and how: by a cut, a dissolve or a fade.
//! Pure and streaming: frames come in as arguments, nothing is read or written, memory is a window of about 2 MiB.
//!
//! Frames carry presentation ticks; nothing is computed from a frame number and a rate. The same frames give the same shots
//! on every machine: integers where it matters, floats only added in a fixed order.
//!
//! How it decides:
//! - **Cuts**: what block matching cannot explain between two frames, relative to contrast, plus the change of colours; large by
//!   itself, large against the restlessness around it, and lasting (a flash brings the old picture back).
//! - **Dissolves**: a stretch whose frames are an even mix of two different ends and lose texture as a mix must.
//! - **Doubtful cuts**, those that hardly stand out, may be put to somebody else ([`judge`]), who can only say no.
//! - **Fades**: a run of one flat colour, with the ramps that lead into and out of it.

#![forbid(unsafe_code)]

mod assemble;
mod compare;
mod cut;
mod detector;
mod feature;
mod gradual;
pub mod judge;
mod window;

use showrunner_timeline::Ticks;

pub use detector::{Detector, Error, Frame, Observed, SETTLED_AFTER};

/// Name of the method. Its version is that of the step in the contracts, raised by hand whenever the same frames could give
/// other shots.
pub const ALGORITHM: &str = "motion-compensated-twin";

/// One shot: `[start, end)` on the title's timeline. The shots of a title are in order and leave no gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shot {
    /// First tick of the shot. After a dissolve this is its middle; after a fade, the end of the flat colour: the first frame
    /// that shows anything of the new picture, so that the black between two shots belongs to the one that faded out.
    pub start: Ticks,
    /// First tick after the shot.
    pub end: Ticks,
    /// How the shot begins; `None` only where the title begins with it at full strength.
    pub transition_in: Option<Transition>,
    /// How the title ends; only ever set on the last shot, to a fade.
    pub transition_out: Option<Transition>,
}

impl Shot {
    /// The part of the shot that no transition reaches into, `[start, end)`; empty (the ends may even cross) where they leave
    /// nothing of it. `next` is the shot after it.
    pub fn clear(&self, next: Option<&Self>) -> (Ticks, Ticks) {
        let span = |transition: Transition| match transition {
            Transition::Cut => None,
            Transition::Dissolve { start, end } | Transition::Fade { start, end } => Some((start, end)),
        };
        let entered = self.transition_in.and_then(span).map_or(self.start, |(_, end)| end.max(self.start));
        let leaves = next.map_or(self.transition_out, |next| next.transition_in).and_then(span);
        (entered, leaves.map_or(self.end, |(start, _)| start.min(self.end)))
    }
}

/// How one shot becomes the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// From one frame to the next.
    Cut,
    /// One picture mixes into the other from `start` (last pure frame of the old) to `end` (first pure frame of the new).
    Dissolve {
        /// Ticks of the last frame of the old picture alone.
        start: Ticks,
        /// Ticks of the first frame of the new picture alone.
        end: Ticks,
    },
    /// Through one flat colour, usually black; sides may be ramps or jumps. The flat run itself is inside.
    Fade {
        /// Ticks of the last frame of the old picture at full strength (or of the first flat frame, where it jumps).
        start: Ticks,
        /// Ticks of the first frame of the new picture at full strength.
        end: Ticks,
    },
}
