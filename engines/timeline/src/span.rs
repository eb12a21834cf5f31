//! A stretch of the timeline. Pure arithmetic, no I/O.

use crate::{Millis, Ticks, TimeBase};

/// From `start` up to, not including, `end`; never backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    start: Ticks,
    end: Ticks,
}

impl Span {
    /// `None` when `end` is before `start`.
    pub const fn new(start: Ticks, end: Ticks) -> Option<Self> {
        if end.0 < start.0 { None } else { Some(Self { start, end }) }
    }

    /// The first tick inside.
    pub const fn start(self) -> Ticks {
        self.start
    }

    /// The first tick after.
    pub const fn end(self) -> Ticks {
        self.end
    }

    /// How long it is, in ticks.
    pub const fn duration(self) -> Ticks {
        self.end.saturating_sub(self.start)
    }

    /// Whether nothing is inside.
    pub const fn is_empty(self) -> bool {
        self.start.0 == self.end.0
    }

    /// Whether `at` is inside.
    pub const fn contains(self, at: Ticks) -> bool {
        self.start.0 <= at.0 && at.0 < self.end.0
    }

    /// Whether the two share a tick.
    pub const fn overlaps(self, other: Self) -> bool {
        self.start.0 < other.end.0 && other.start.0 < self.end.0
    }

    /// Start and end in milliseconds by the one monotone rule; `None` when nothing of the span is left after rounding.
    pub fn to_millis(self, base: TimeBase) -> Option<(Millis, Millis)> {
        let (start, end) = (base.to_millis(self.start), base.to_millis(self.end));
        (start < end).then_some((start, end))
    }
}
