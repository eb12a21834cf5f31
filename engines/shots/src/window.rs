//! The last few hundred descriptors and the jumps between them, by frame index. Memory only; no I/O.

use std::{cell::OnceCell, collections::VecDeque};

use crate::{
    compare::{Turn, find_turn, match_blocks, unlikeness_of, unlikeness_turned},
    cut::CALM_FLOOR,
    feature::Feature,
};

/// A turn of the camera that leaves no more than this explains a jump...
const MOST_TURNED: f32 = 0.6;
/// ...and this little is seen all through a whip pan...
const MOST_CLEARLY_TURNED: f32 = 0.45;
/// ...between pictures of this contrast; those of less fit each other anywhere...
const LEAST_CONTRAST: f32 = 3.0;
/// ...if it goes on: of two neighbouring turns, the one is at least this part of the other. Across a cut nothing goes on.
const LEAST_ALIKE: f32 = 0.4;

struct Entry {
    feature: Feature,
    /// Unlikeness to the frame before, 0 for the first.
    step: f32,
    /// How the camera turned since the frame before. Found when first asked for: a thorough search, and few frames need it.
    turn: OnceCell<Option<Turn>>,
}

/// A bounded run of neighbouring frames; the oldest are forgotten.
pub(crate) struct Window {
    first: usize,
    limit: usize,
    entries: VecDeque<Entry>,
}

impl Window {
    pub(crate) fn new(limit: usize) -> Self {
        Self { first: 0, limit, entries: VecDeque::with_capacity(limit + 1) }
    }

    /// Adds the next frame; returns how far its blocks moved since the frame before, in luma-picture pixels.
    pub(crate) fn push(&mut self, feature: Feature) -> f32 {
        let (step, motion) = self.entries.back().map_or((0.0, 0.0), |last| {
            let matched = match_blocks(&last.feature, &feature);
            (unlikeness_of(matched, &last.feature, &feature), matched.motion)
        });
        self.entries.push_back(Entry { feature, step, turn: OnceCell::new() });
        if self.entries.len() > self.limit {
            self.entries.pop_front();
            self.first += 1;
        }
        motion
    }

    /// Index of the oldest frame still held.
    pub(crate) fn first(&self) -> usize {
        self.first
    }

    /// Index after the newest frame.
    pub(crate) fn end(&self) -> usize {
        self.first + self.entries.len()
    }

    fn entry(&self, at: usize) -> Option<&Entry> {
        self.entries.get(at.checked_sub(self.first)?)
    }

    /// The jump into frame `at` that no movement explains; 0 where there is no such frame.
    pub(crate) fn step(&self, at: usize) -> f32 {
        let Some(entry) = self.entry(at) else { return 0.0 };
        let Some(turn) = self.whips(at) else { return entry.step };
        unlikeness_turned(turn, self.get(at - 1), &entry.feature).min(entry.step)
    }

    fn turn(&self, at: usize) -> Option<Turn> {
        let (entry, before) = (self.entry(at)?, self.entry(at.checked_sub(1)?)?);
        *entry.turn.get_or_init(|| find_turn(&before.feature, &entry.feature))
    }

    /// The turn into frame `at`, if it makes the picture jump and explains that.
    fn explained(&self, at: usize) -> Option<Turn> {
        let entry = self.entry(at)?;
        let contrast = self.entry(at.checked_sub(1)?)?.feature.contrast.min(entry.feature.contrast);
        if entry.step < CALM_FLOOR || contrast < LEAST_CONTRAST {
            return None;
        }
        self.turn(at).filter(|turn| turn.residual <= MOST_TURNED)
    }

    /// How the camera turns into frame `at`, if that makes the picture jump, explains the jump, and goes on beside it.
    pub(crate) fn whips(&self, at: usize) -> Option<Turn> {
        let turn = self.explained(at)?;
        let (x, y) = turn.by;
        let goes_on = |(u, v): (f32, f32)| x * u + y * v >= LEAST_ALIKE * (x * x + y * y).max(u * u + v * v);
        let beside = [at.checked_sub(1), Some(at + 1)].into_iter().flatten();
        beside.filter_map(|at| self.explained(at)).any(|other| goes_on(other.by)).then_some(turn)
    }

    /// How far the camera clearly turned from frame `from` to frame `to`, in luma-picture pixels.
    pub(crate) fn turned(&self, from: usize, to: usize) -> f32 {
        let turns = (from + 1..=to).filter_map(|at| self.turn(at)).filter(|turn| turn.residual <= MOST_CLEARLY_TURNED);
        let (x, y) = turns.fold((0.0, 0.0), |(x, y), turn| (x + turn.by.0, y + turn.by.1));
        x.hypot(y)
    }

    /// The descriptor of frame `at`, if held.
    pub(crate) fn try_get(&self, at: usize) -> Option<&Feature> {
        self.entry(at).map(|entry| &entry.feature)
    }

    /// The descriptor of frame `at`; the nearest held frame where it is outside the window.
    pub(crate) fn get(&self, at: usize) -> &Feature {
        let nearest = at.clamp(self.first, self.end().saturating_sub(1)) - self.first;
        &self.entries[nearest].feature
    }
}
