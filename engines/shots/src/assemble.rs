//! From cuts, mixes and flat runs to a gapless list of shots. Pure; no I/O.

use showrunner_timeline::Ticks;

use crate::{Shot, Transition};

/// How far, in frames, the end of a mix may lie from the flat run that it belongs to: near-black is hard to tell from black.
const FLAT_REACH: usize = 4;
/// A mix over at most this many frames is seen as a cut: interlacing and rate conversion blend that much.
const CUT_LENGTH: usize = 3;
/// Changes closer than this many frames are one.
const SHORTEST: usize = 4;

/// A frame's place in the stream and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) index: usize,
    pub(crate) pts: Ticks,
}

/// A stretch that is a mix of its ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mix {
    pub(crate) from: Mark,
    pub(crate) middle: Mark,
    pub(crate) to: Mark,
}

/// A run of frames of one colour, `[first, next)`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlatRun {
    pub(crate) first: Mark,
    pub(crate) next: Mark,
    pub(crate) at_start: bool,
    pub(crate) at_end: bool,
    /// Short, and the same picture is back soon after.
    pub(crate) flash: bool,
    /// The last frame at full strength before it, and the first after it, as far as its neighbours only gain contrast.
    pub(crate) from: Mark,
    pub(crate) to: Mark,
}

/// Everything found in a title, each list in order.
#[derive(Clone, Default)]
pub(crate) struct Findings {
    pub(crate) start: Option<Ticks>,
    pub(crate) cuts: Vec<Mark>,
    pub(crate) mixes: Vec<Mix>,
    pub(crate) flats: Vec<FlatRun>,
}

impl Findings {
    /// What was found of the shot that starts at `since` and of those after it.
    pub(crate) fn since(&self, since: Ticks) -> Self {
        let cuts = self.cuts.partition_point(|cut| cut.pts < since);
        let flats = self.flats.partition_point(|run| run.next.pts < since);
        // A mix that leads into a flat run is part of its fade, however long the run lasts.
        let leads = |mix: &Mix| self.flats.get(flats).is_some_and(|run| near(mix.to.index, run));
        let mixes = self.mixes.partition_point(|mix| mix.middle.pts < since && !leads(mix));
        Self {
            start: self.start.map(|start| start.max(since)),
            cuts: self.cuts[cuts..].to_vec(),
            mixes: self.mixes[mixes..].to_vec(),
            flats: self.flats[flats..].to_vec(),
        }
    }

    /// How many things were found, for the bound on memory.
    pub(crate) fn changes(&self) -> usize {
        self.cuts.len() + self.mixes.len() + self.flats.len()
    }
}

/// One change of shot: the new one starts `at`.
struct Change {
    at: Mark,
    transition: Transition,
}

/// The shots of a title that ends at `end`.
pub(crate) fn assemble(mut found: Findings, end: Ticks) -> Vec<Shot> {
    let start = found.start.unwrap_or_default();
    let mut changes = Vec::new();
    let (mut opening, mut closing) = (None, None);
    for run in std::mem::take(&mut found.flats) {
        let into = found.mixes.iter().position(|m| m.from.index < run.first.index && near(m.to.index, &run));
        let out = found.mixes.iter().position(|m| {
            m.to.index >= run.next.index
                && near(m.from.index, &run)
                && Some(m.from.index) != into.map(|i| found.mixes[i].from.index)
        });
        let outer = |a: Mark, b: Mark, later: bool| if (a.index > b.index) == later { a } else { b };
        let first = into.map_or(run.from, |i| outer(found.mixes[i].from, run.from, false));
        let next = out.map_or(run.to, |i| outer(found.mixes[i].to, run.to, true));
        // Light comes at once; what darkens or brightens slowly before the flat colour is a fade.
        let flash = run.flash && into.is_none() && run.from.index + 1 >= run.first.index;
        if !flash {
            let fade = Transition::Fade { start: first.pts, end: next.pts };
            if run.at_start {
                opening = Some(fade);
            } else if run.at_end {
                closing = Some(fade);
            } else {
                changes.push(Change { at: run.next, transition: fade });
            }
        }
        found.cuts.retain(|cut| cut.index + FLAT_REACH < first.index || cut.index > next.index + FLAT_REACH);
        found.mixes.retain(|m| m.to.index <= first.index || m.from.index >= next.index);
    }
    changes.extend(found.cuts.iter().map(|at| Change { at: *at, transition: Transition::Cut }));
    changes.extend(found.mixes.iter().map(|m| {
        let short = m.to.index - m.from.index <= CUT_LENGTH;
        let mixed = Transition::Dissolve { start: m.from.pts, end: m.to.pts };
        Change { at: m.middle, transition: if short { Transition::Cut } else { mixed } }
    }));
    changes.sort_by_key(|change| change.at.index);
    changes.dedup_by(|later, earlier| later.at.index - earlier.at.index < SHORTEST);
    build(start, end, opening, closing, &changes)
}

fn near(index: usize, run: &FlatRun) -> bool {
    index + FLAT_REACH >= run.first.index && index <= run.next.index + FLAT_REACH
}

fn build(start: Ticks, end: Ticks, opening: Option<Transition>, closing: Option<Transition>, changes: &[Change]) -> Vec<Shot> {
    // Only what is told from some shot on has a change at its very start: it says how that shot begins.
    let opening = changes.iter().find(|change| change.at.pts == start).map(|change| change.transition).or(opening);
    let mut shots = vec![Shot { start, end, transition_in: opening, transition_out: None }];
    for change in changes.iter().filter(|change| change.at.pts > start) {
        if let Some(before) = shots.last_mut() {
            before.end = change.at.pts;
        }
        shots.push(Shot { start: change.at.pts, end, transition_in: Some(change.transition), transition_out: None });
    }
    if let Some(last) = shots.last_mut() {
        last.transition_out = closing;
    }
    shots
}
