//! Work side by side whose results come back in the order in which it was given. Threads; no I/O.
//!
//! Each piece of work runs on one thread: that scales better than several threads for one piece, which wait for each other
//! (and burn processor time while they do), and what it gives does not depend on how many there are.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::cpu;

/// Most pieces of work at once: each has a copy of the model and some 200 MB to work in, and a job's memory is bounded.
const MOST: usize = 2;

/// A queue of work, as long as there are lanes.
pub(super) struct Lanes<T> {
    running: VecDeque<JoinHandle<(T, Duration)>>,
    count: usize,
    used: Duration,
}

impl<T: Send + 'static> Lanes<T> {
    /// As many lanes as there are processors for this process, within bounds.
    pub(super) fn new() -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from).min(MOST);
        Self { running: VecDeque::with_capacity(count), count, used: Duration::ZERO }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Starts the work; when all lanes are taken, waits for the oldest first and gives its result.
    pub(super) fn run(&mut self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let finished = if self.running.len() >= self.count { self.next() } else { None };
        self.running.push_back(thread::spawn(|| (work(), cpu::of_this_thread())));
        finished
    }

    /// The oldest result that was not given yet, waiting for it; `None` when there is none. A panic goes on here.
    pub(super) fn next(&mut self) -> Option<T> {
        let (result, used) = self.running.pop_front()?.join().unwrap_or_else(|panic| resume_unwind(panic));
        self.used += used;
        Some(result)
    }

    /// Processor time of the lanes that have ended, which nobody can ask any more.
    pub(super) const fn used(&self) -> Duration {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_work_whatever_ends_first() {
        let mut lanes = Lanes { running: VecDeque::new(), count: 2, used: Duration::ZERO };
        let (release, held) = mpsc::channel::<()>();
        assert_eq!(lanes.run(move || held.recv().map(|()| 1).unwrap_or_default()), None);
        // The second ends at once and lets the first end.
        assert_eq!(lanes.run(move || release.send(()).map(|()| 2).unwrap_or_default()), None);
        assert_eq!(lanes.run(|| 3), Some(1));
        assert_eq!([lanes.next(), lanes.next(), lanes.next()], [Some(2), Some(3), None]);
    }

    #[test]
    fn what_a_lane_used_is_known_after_its_end() {
        let mut lanes = Lanes { running: VecDeque::new(), count: 1, used: Duration::ZERO };
        let most = Duration::from_millis(30);
        lanes.run(move || while cpu::of_this_thread() < most {});
        lanes.next();
        assert!(lanes.used() >= most, "{:?}", lanes.used());
    }

    #[test]
    fn a_panic_is_not_lost() {
        let mut lanes: Lanes<u32> = Lanes { running: VecDeque::new(), count: 1, used: Duration::ZERO };
        lanes.run(|| panic!("alas"));
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lanes.next()));
        assert_eq!(caught.expect_err("it panicked").downcast_ref::<&str>(), Some(&"alas"));
    }
}
