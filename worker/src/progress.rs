//! How far the work is: counted by whoever does it, told to the store now and then by a thread of its own.
//! Writes one small object through the store; a failure to do so is nobody's concern.

use crate::{commit::JSON, store::Store};
use showrunner_contracts::{
    Document as _,
    progress::{Doing, Progress},
    step::Step,
};
use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Shortest time between two writes.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Percent given to fetching the source.
const FETCHING: f64 = 10.0;
/// Percent given to decoding and analysing.
const ANALYSING: f64 = 85.0;

/// What goes through the title, or through others to compare it with: each pass counts by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Through the picture.
    Picture,
    /// Through the sound.
    Sound,
    /// Through the catalogue.
    Catalogue,
}

/// Counts how far the work is.
#[derive(Debug)]
pub struct Tracker {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    doing: Doing,
    fetched: f64,
    passes: Vec<(Pass, f64)>,
    done: Vec<Step>,
    percent: u8,
    ended: bool,
}

impl Default for Tracker {
    fn default() -> Self {
        let state =
            State { doing: Doing::Fetching, fetched: 0.0, passes: Vec::new(), done: Vec::new(), percent: 0, ended: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Tracker {
    /// Bytes of the source that are there.
    pub fn fetched(&self, bytes: u64, of: u64) {
        self.change(|state| state.fetched = part(bytes as f64, of as f64));
    }

    /// What is being done now.
    pub fn doing(&self, doing: Doing) {
        self.change(|state| state.doing = doing);
    }

    /// These passes will be made.
    pub fn begin(&self, passes: &[Pass]) {
        self.change(|state| {
            state.doing = Doing::Analysing;
            state.fetched = 1.0;
            state.passes = passes.iter().map(|pass| (*pass, 0.0)).collect();
        });
    }

    /// A pass is so far into a title of so many seconds (0: not known), or a catalogue of so many places.
    pub fn at(&self, pass: Pass, far: f64, of: f64) {
        self.change(|state| {
            for (_, there) in state.passes.iter_mut().filter(|(other, _)| *other == pass) {
                *there = part(far, of);
            }
        });
    }

    /// A step is committed.
    pub fn done(&self, step: Step) {
        self.change(|state| {
            state.done.push(step);
            state.done.sort();
        });
    }

    /// Everything is done, well or not: the reporter's loop ends.
    pub fn end(&self) {
        self.change(|state| state.ended = true);
    }

    /// As it is now.
    pub fn snapshot(&self) -> Progress {
        self.lock().snapshot()
    }

    /// Tells the store until [`Tracker::end`]; for a thread of its own.
    pub fn report(&self, store: &Store, url: &str) {
        let mut told: Option<Progress> = None;
        loop {
            let progress = {
                let unchanged = |state: &mut State| !state.ended && told.as_ref() == Some(&state.snapshot());
                let state = self.changed.wait_while(self.lock(), unchanged).unwrap_or_else(PoisonError::into_inner);
                if state.ended {
                    return;
                }
                state.snapshot()
            };
            if let Err(error) = store.put_news("the progress", url, JSON, &progress.to_bytes()) {
                tracing::debug!(%error, "progress could not be told");
            }
            told = Some(progress);
            let next = Instant::now() + INTERVAL;
            let mut state = self.lock();
            while !state.ended {
                let left = next.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.count();
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; were it so, the numbers would still be numbers.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self) {
        let passes = self.passes.iter().map(|(_, there)| there).sum::<f64>() / self.passes.len().max(1) as f64;
        let percent = FETCHING * self.fetched + ANALYSING * passes;
        self.percent = self.percent.max(percent.clamp(0.0, 100.0) as u8);
    }

    fn snapshot(&self) -> Progress {
        Progress { schema: Progress::SCHEMA.to_owned(), percent: self.percent, doing: self.doing, done: self.done.clone() }
    }
}

fn part(have: f64, of: f64) -> f64 {
    if of > 0.0 { (have / of).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_never_falls_and_both_passes_count_alike() {
        let tracker = Tracker::default();
        tracker.fetched(50, 100);
        assert_eq!(tracker.snapshot().percent, 5);
        tracker.begin(&[Pass::Picture, Pass::Sound]);
        tracker.at(Pass::Picture, 60.0, 120.0);
        assert_eq!(tracker.snapshot().percent, 31);
        tracker.at(Pass::Sound, 120.0, 120.0);
        assert_eq!(tracker.snapshot().percent, 73);
        tracker.at(Pass::Picture, 0.0, 120.0);
        assert_eq!(tracker.snapshot().percent, 73);
    }

    #[test]
    fn steps_are_told_in_their_own_order() {
        let tracker = Tracker::default();
        tracker.done(Step::Subtitles);
        tracker.done(Step::Shots);
        assert_eq!(tracker.snapshot().done, [Step::Shots, Step::Subtitles]);
    }

    #[test]
    fn a_title_of_unknown_length_stays_where_it_is() {
        let tracker = Tracker::default();
        tracker.begin(&[Pass::Sound]);
        tracker.at(Pass::Sound, 60.0, 0.0);
        assert_eq!(tracker.snapshot().percent, 10);
    }
}
