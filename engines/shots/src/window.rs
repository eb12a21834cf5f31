//! The last few hundred descriptors and the jumps between them, by frame index. Memory only; no I/O.

use std::collections::VecDeque;

use crate::{compare::match_blocks, compare::unlikeness_of, feature::Feature};

struct Entry {
    feature: Feature,
    /// Unlikeness to the frame before, 0 for the first.
    step: f32,
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
        self.entries.push_back(Entry { feature, step });
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

    /// The jump into frame `at`; 0 where there is no such frame.
    pub(crate) fn step(&self, at: usize) -> f32 {
        at.checked_sub(self.first).and_then(|i| self.entries.get(i)).map_or(0.0, |e| e.step)
    }

    /// The descriptor of frame `at`, if held.
    pub(crate) fn try_get(&self, at: usize) -> Option<&Feature> {
        at.checked_sub(self.first).and_then(|i| self.entries.get(i)).map(|e| &e.feature)
    }

    /// The descriptor of frame `at`; the nearest held frame where it is outside the window.
    pub(crate) fn get(&self, at: usize) -> &Feature {
        let nearest = at.clamp(self.first, self.end().saturating_sub(1)) - self.first;
        &self.entries[nearest].feature
    }
}
