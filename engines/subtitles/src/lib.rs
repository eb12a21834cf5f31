//! Readable subtitles from recognised words: where cues begin, end and break, and the files that carry them.
//! No I/O: words and shot starts in, cues and text out.
//!
//! All times are ticks of the sample clock that speech is recognised on, [`TICKS_PER_SECOND`] a second, zero at the
//! title's first presented picture. Milliseconds appear only in the two file formats, and always by flooring, which
//! keeps ordered cues ordered.
//!
//! The measures are those of the Netflix Timed Text Style Guide (general requirements and English), the public
//! yardstick of the trade.
//!
//! Whoever changes the cues of the same words, or the files of the same cues, raises the step's version in the contracts.
#![forbid(unsafe_code)]

mod check;
mod estimate;
pub mod imsc;
mod layout;
mod read;
mod shape;
mod style;
mod text;
mod timing;
pub mod webvtt;
pub mod wer;

pub use check::{MAX_TOLD, Violation, ViolationKind, check, told};
pub use estimate::{CALIBRATIONS, Calibration, Estimate, Evidence, uncovered};
pub use read::{MAX_BYTES, MAX_CUES, MsCue, ReadError};
pub use shape::shape;
pub use style::Style;
pub use text::joined;

/// Ticks in a second: the 16 kHz sample clock of speech recognition.
pub const TICKS_PER_SECOND: i64 = 16_000;

/// Ticks in a millisecond.
pub const TICKS_PER_MS: i64 = TICKS_PER_SECOND / 1000;

/// One recognised word with the span in which it is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The word as it is to be read, with its punctuation.
    pub text: String,
    /// First tick of the word.
    pub start: i64,
    /// First tick after the word.
    pub end: i64,
    /// No space stands between the word before and this one (Japanese and Chinese, or the rest of a split word).
    pub glued: bool,
}

impl Word {
    /// A word that is set off by a space.
    pub fn new(text: impl Into<String>, start: i64, end: i64) -> Self {
        Self { text: text.into(), start, end, glued: false }
    }
}

/// What is shown at once: one or two lines over a span of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// First tick on screen.
    pub start: i64,
    /// First tick off screen again.
    pub end: i64,
    /// The lines, top first; none is empty.
    pub lines: Vec<String>,
}

impl Cue {
    /// Characters a viewer reads, spaces between words included and line breaks not.
    pub fn characters(&self) -> usize {
        self.lines.iter().map(|line| line.chars().count()).sum()
    }

    /// Milliseconds at which the cue begins and ends in a file.
    pub fn milliseconds(&self) -> (i64, i64) {
        (self.start.div_euclid(TICKS_PER_MS), self.end.div_euclid(TICKS_PER_MS))
    }
}

/// What the cues are laid over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Picture<'a> {
    /// First ticks of the shots, ascending; empty for sound only.
    pub shot_starts: &'a [i64],
    /// First tick after the title; no cue stays longer. `None` where it is not known.
    pub end: Option<i64>,
}

impl Picture<'_> {
    /// The shot start nearest to `tick`, if one lies within `reach`.
    pub(crate) fn shot_near(&self, tick: i64, reach: i64) -> Option<i64> {
        let after = self.shot_starts.partition_point(|&shot| shot < tick);
        let before = after.checked_sub(1).and_then(|index| self.shot_starts.get(index));
        [before, self.shot_starts.get(after)]
            .into_iter()
            .flatten()
            .copied()
            .filter(|shot| shot.abs_diff(tick) <= reach.unsigned_abs())
            .min_by_key(|shot| shot.abs_diff(tick))
    }

    /// Whether a shot starts strictly between the two ticks.
    pub(crate) fn has_shot_between(&self, after: i64, before: i64) -> bool {
        let index = self.shot_starts.partition_point(|&shot| shot <= after);
        self.shot_starts.get(index).is_some_and(|&shot| shot < before)
    }
}
