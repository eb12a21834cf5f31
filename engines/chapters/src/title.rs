//! What chapters are looked for in, and how many. No I/O.

use showrunner_timeline::{Ticks, TimeBase};

use crate::{Look, Sound};

/// One shot, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shot {
    /// First tick.
    pub start: Ticks,
    /// First tick after it.
    pub end: Ticks,
    /// It begins out of a flat colour: after a fade.
    pub from_flat: bool,
}

/// All that was seen and heard of a title.
#[derive(Clone, Copy, Debug)]
pub struct Title<'a> {
    /// Ticks of every time here.
    pub base: TimeBase,
    /// In order, each beginning where the one before ends.
    pub shots: &'a [Shot],
    /// Frames, by presentation time, in order; two a second are enough.
    pub looks: &'a [(Ticks, Look)],
    /// Sound from the title's beginning, a slice each [`crate::SLICE_MILLIS`]; empty: there is none.
    pub sounds: &'a [Sound],
}

/// How many chapters, and how far apart, for a title of some length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// Fewest, where the shots allow it.
    pub fewest: usize,
    /// Most.
    pub most: usize,
    /// Least time from one beginning to the next, seconds.
    pub apart: f64,
}

/// Shortest distance on titles that are long, seconds.
const APART: f64 = 150.0;
/// Shortest distance on any title, seconds.
const APART_SHORT: f64 = 10.0;
/// Chapters that a title may have however short it is, as far as the distance allows.
const FEW: usize = 5;

impl Wanted {
    /// 15 to 20 for two hours, in proportion for others, at least 2.5 minutes apart on titles of 40 minutes and more; short
    /// ones may have up to five.
    pub fn of(seconds: f64) -> Self {
        let minutes = seconds / 60.0;
        let apart = (seconds / 16.0).clamp(APART_SHORT, APART);
        let room = ((seconds / (2.0 * apart)) as usize).max(1);
        let most = ((minutes / 6.0).ceil() as usize).max(FEW.min(room)).max(1);
        let fewest = ((minutes / 8.0).floor() as usize).clamp(1, most);
        Self { fewest, most, apart }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hours_have_fifteen_to_twenty_and_others_in_proportion() {
        let wanted = |minutes: f64| {
            let Wanted { fewest, most, apart } = Wanted::of(minutes * 60.0);
            (fewest, most, apart)
        };
        assert_eq!(wanted(120.0), (15, 20, 150.0));
        assert_eq!(wanted(60.0), (7, 10, 150.0));
        assert_eq!(wanted(40.0), (5, 7, 150.0));
        assert_eq!(wanted(10.0), (1, 5, 37.5));
        assert_eq!(wanted(0.5), (1, 1, 10.0));
        assert_eq!(wanted(0.0), (1, 1, 10.0));
    }
}
