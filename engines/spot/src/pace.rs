//! How long work takes for its size, by what was seen of other work of its kind. Whole milliseconds, no clock, no I/O.
//!
//! A forecast here decides whether a deadline can bear a loss, so it errs on the long side: it is what all but one of twenty
//! of the newest pieces of work have taken for their size, and nothing at all before there are enough of them.

use std::collections::VecDeque;
use std::time::Duration;

/// Pieces of work that are remembered, the newest.
const KEPT: usize = 64;
/// Pieces of work without which nothing is foretold.
const ENOUGH: usize = 8;
/// What is smaller counts as this, bytes: there it is starting that takes the time.
const LEAST: u64 = 64 << 20;
/// One piece of work in so many may have taken longer.
const ONE_IN: usize = 20;
/// Bytes in a GiB.
const GIB: u128 = 1 << 30;

/// What was seen of one kind of work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Name of the work, and microseconds that it took for each GiB.
    seen: VecDeque<(u64, u64)>,
}

impl Pace {
    /// Remembers that a piece of work took so long for so many bytes. `id` names it: telling of it again changes nothing.
    pub fn note(&mut self, id: u64, bytes: u64, took: Duration) {
        if self.seen.iter().any(|(other, _)| *other == id) {
            return;
        }
        if self.seen.len() == KEPT {
            self.seen.pop_front();
        }
        let per_gib = took.as_micros() * GIB / u128::from(bytes.max(LEAST));
        self.seen.push_back((id, u64::try_from(per_gib).unwrap_or(u64::MAX)));
    }

    /// How long work of so many bytes takes, at most as far as can be told; none where too little was seen.
    #[must_use]
    pub fn expected(&self, bytes: u64) -> Option<Duration> {
        if self.seen.len() < ENOUGH {
            return None;
        }
        let mut paces: Vec<u64> = self.seen.iter().map(|(_, pace)| *pace).collect();
        paces.sort_unstable();
        let pace = paces[paces.len() - 1 - paces.len() / ONE_IN];
        let micros = u128::from(pace) * u128::from(bytes.max(LEAST)) / GIB;
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: u64 = 1 << 30;

    fn seen(paces: impl IntoIterator<Item = u64>) -> Pace {
        let mut pace = Pace::default();
        for (id, seconds) in (0..).zip(paces) {
            pace.note(id, ONE, Duration::from_secs(seconds));
        }
        pace
    }

    #[test]
    fn nothing_is_foretold_from_little() {
        assert_eq!(seen(vec![60; ENOUGH - 1]).expected(ONE), None);
        assert_eq!(seen(vec![60; ENOUGH]).expected(2 * ONE), Some(Duration::from_mins(2)));
    }

    #[test]
    fn one_of_twenty_may_take_longer_and_the_slowest_of_a_few_counts() {
        assert_eq!(seen(1..=10).expected(ONE), Some(Duration::from_secs(10)));
        assert_eq!(seen(1..=40).expected(ONE), Some(Duration::from_secs(38)));
    }

    #[test]
    fn the_newest_count_and_each_once() {
        let mut pace = seen(vec![1000; KEPT]);
        for id in 0..KEPT as u64 {
            pace.note(id, ONE, Duration::from_secs(1));
        }
        assert_eq!(pace.expected(ONE), Some(Duration::from_secs(1000)), "all of them were told before");
        for id in 1000..1000 + KEPT as u64 {
            pace.note(id, ONE, Duration::from_secs(10));
        }
        assert_eq!(pace.expected(ONE), Some(Duration::from_secs(10)));
        assert_eq!(pace.seen.len(), KEPT);
    }

    #[test]
    fn small_and_absurd_sizes_are_borne() {
        let mut pace = Pace::default();
        for id in 0..20 {
            pace.note(id, 1, Duration::from_secs(8));
        }
        assert_eq!(pace.expected(0), Some(Duration::from_secs(8)), "what is small takes as long as what is small");
        assert!(pace.expected(u64::MAX).is_some());
        let mut long = Pace::default();
        (0..20).for_each(|id| long.note(id, u64::MAX, Duration::MAX));
        (0..20).for_each(|id| long.note(100 + id, 0, Duration::MAX));
        assert!(long.expected(u64::MAX).is_some());
    }
}
