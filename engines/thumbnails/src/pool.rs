//! A bounded set of candidates that stays spread over a title whose length is not known in advance. Memory only; no I/O.

use crate::measure::Candidate;

/// What became of an offered candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It was kept under `id`.
    Kept {
        /// Names it from now on.
        id: u64,
    },
    /// It was kept under `id`, and the one named `dropped` made room.
    Replaced {
        /// Names the new one.
        id: u64,
        /// The one to forget.
        dropped: u64,
    },
    /// It was not kept.
    Refused,
}

/// Candidates in order of time, at most as many as the limit. When full, the worse of the two that lie closest in time goes:
/// what stays is spread over the title and, where it was dense, is the better half.
#[derive(Clone, Debug)]
pub struct Pool {
    limit: usize,
    next: u64,
    kept: Vec<(u64, Candidate)>,
}

impl Pool {
    /// An empty pool of at most `limit` candidates (at least 2).
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(2), next: 0, kept: Vec::new() }
    }

    /// Offers the next candidate; one that is not later than the last kept is refused.
    pub fn offer(&mut self, candidate: Candidate) -> Offer {
        if self.kept.last().is_some_and(|(_, last)| candidate.pts <= last.pts) {
            return Offer::Refused;
        }
        let id = self.next;
        self.next += 1;
        self.kept.push((id, candidate));
        if self.kept.len() <= self.limit {
            return Offer::Kept { id };
        }
        match self.drop_one() {
            dropped if dropped == id => Offer::Refused,
            dropped => Offer::Replaced { id, dropped },
        }
    }

    fn drop_one(&mut self) -> u64 {
        let gap = |i: usize| self.kept[i + 1].1.pts.saturating_sub(self.kept[i].1.pts);
        let closest = (0..self.kept.len() - 1).min_by_key(|i| gap(*i)).unwrap_or(0);
        let worth = |i: usize| {
            let candidate = &self.kept[i].1;
            if candidate.reject.is_some() { -1.0 } else { candidate.quality.overall }
        };
        let loser = if worth(closest + 1) > worth(closest) { closest } else { closest + 1 };
        self.kept.remove(loser).0
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The kept candidates with their names, in order of time.
    pub fn into_candidates(self) -> Vec<(u64, Candidate)> {
        self.kept
    }
}
