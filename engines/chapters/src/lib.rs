//! Finds the chapters of a title: runs of shots that look and sound like one scene or several that belong together.
//! Pure: what was seen and heard comes in as numbers, nothing is read or written.
//!
//! How it decides:
//! - A title is a row of **units**, its shots, each with what it looks like ([`Look`]) and sounds like ([`Sound`]).
//! - Chapters are the **grouping of neighbours** that leaves the least scatter inside the groups, found exactly by dynamic
//!   programming (optimal sequential grouping: Rotman, Porat, Ashour, ISM 2016). A dialogue that cuts to and fro scatters as
//!   much in either half of it as in the whole, and is not split by that.
//! - A boundary costs less where the picture is **dark** or the sound **rests**: chapters begin there.
//! - How many: as the length asks ([`Wanted`]), and within that as many as the material shows clearly.
//!
//! The same input gives the same chapters on every machine: floats are only added in a fixed order.

#![forbid(unsafe_code)]

mod group;
mod listen;
mod look;
mod title;
pub mod write;

use showrunner_timeline::Ticks;

pub use group::chapters;
pub use listen::{Ear, SLICE_MILLIS, Sound};
pub use look::{Error, Look};
pub use title::{Shot, Title, Wanted};

/// Name of the method. Its version is that of the step in the contracts, raised by hand whenever the same input could give
/// other chapters.
pub const ALGORITHM: &str = "optimal-sequential-grouping";

/// One chapter: `[start, end)` on the title's timeline. The chapters of a title are in order and leave no gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Chapter {
    /// First tick: that of its first shot.
    pub start: Ticks,
    /// First tick after it.
    pub end: Ticks,
    /// Index of its first shot.
    pub shot: usize,
    /// How clearly it differs from the chapter before, 0 to 1; 1 for the first.
    pub clarity: f32,
    /// How far picture and sound rest where it begins, 0 to 1.
    pub rest: f32,
}
