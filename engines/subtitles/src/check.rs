//! Names every way in which cues miss their style. No I/O.

use crate::{Cue, Picture, Style, TICKS_PER_SECOND};

/// Most misses that a document lists: beyond that they are only counted.
pub const MAX_TOLD: usize = 200;

/// One miss of the style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Position of the cue in the list, from 0.
    pub cue: usize,
    /// What is wrong with it.
    pub kind: ViolationKind,
}

/// What can be wrong with a cue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViolationKind {
    /// Nothing to read, or an empty line.
    Empty,
    /// More lines than allowed.
    TooManyLines {
        /// How many.
        lines: usize,
    },
    /// A line longer than allowed.
    LineTooLong {
        /// Its length.
        characters: usize,
    },
    /// Ends before it begins, or is shown too briefly.
    TooShort {
        /// Its duration.
        ticks: i64,
    },
    /// Shown too long.
    TooLong {
        /// Its duration.
        ticks: i64,
    },
    /// Begins before the cue before it has ended.
    Overlap {
        /// How much.
        ticks: i64,
    },
    /// The pause before it is shorter than two frames.
    GapTooSmall {
        /// The pause.
        ticks: i64,
    },
    /// More characters a second than can be read.
    TooFast {
        /// The speed.
        characters_per_second: i64,
    },
    /// Begins or ends close to a shot change but not on it: a flash of text over the cut.
    BesideShot {
        /// From the edge to the shot change.
        ticks: i64,
    },
}

impl ViolationKind {
    /// Whether no speech excuses it: such cues are a fault of ours, the others of a speaker in a hurry.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Self::Empty | Self::TooManyLines { .. } | Self::LineTooLong { .. } | Self::Overlap { .. } | Self::TooLong { .. }
        )
    }
}

/// Misses as people read them, the first so many.
pub fn told(violations: &[Violation], most: usize) -> Vec<String> {
    let mut told: Vec<String> = violations.iter().take(most).map(|v| format!("cue {}: {:?}", v.cue + 1, v.kind)).collect();
    let left = violations.len().saturating_sub(most);
    if left > 0 {
        told.push(format!("and {left} more"));
    }
    told
}

/// All misses of all cues, in order.
pub fn check(cues: &[Cue], picture: &Picture<'_>, style: &Style) -> Vec<Violation> {
    let mut found = Vec::new();
    for (nth, cue) in cues.iter().enumerate() {
        let mut say = |kind| found.push(Violation { cue: nth, kind });
        if cue.lines.is_empty() || cue.lines.iter().any(|line| line.trim().is_empty()) {
            say(ViolationKind::Empty);
        }
        if cue.lines.len() > style.lines {
            say(ViolationKind::TooManyLines { lines: cue.lines.len() });
        }
        for characters in cue.lines.iter().map(|line| line.chars().count()) {
            if characters > style.line {
                say(ViolationKind::LineTooLong { characters });
            }
        }
        let ticks = cue.end - cue.start;
        if ticks < style.shortest {
            say(ViolationKind::TooShort { ticks });
        }
        if ticks > style.longest {
            say(ViolationKind::TooLong { ticks });
        }
        if ticks < style.reading_time(cue.characters()) {
            say(ViolationKind::TooFast { characters_per_second: cue.characters() as i64 * TICKS_PER_SECOND / ticks.max(1) });
        }
        if let Some(before) = nth.checked_sub(1).map(|index| &cues[index]) {
            let gap = cue.start - before.end;
            if gap < 0 {
                say(ViolationKind::Overlap { ticks: -gap });
            } else if gap < style.gap {
                say(ViolationKind::GapTooSmall { ticks: gap });
            }
        }
        for edge in [cue.start, cue.end + style.gap] {
            if let Some(shot) = picture.shot_near(edge, style.snap)
                && shot != edge
            {
                say(ViolationKind::BesideShot { ticks: shot - edge });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_violations_is_bounded() {
        let many = vec![Violation { cue: 0, kind: ViolationKind::Empty }; MAX_TOLD + 5];
        assert_eq!(told(&many, MAX_TOLD).len(), MAX_TOLD + 1);
        assert_eq!(told(&many, MAX_TOLD).last().map(String::as_str), Some("and 5 more"));
    }
}
