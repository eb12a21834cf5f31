//! The step `duplicates`: the title is looked up in the catalogue of prints, among those that entered it before. No I/O of its own:
//! the query is read, and the catalogue used, through the store.
//!
//! Memory for a query of ten hours, about the longest that titles are: 70 MB of its own, and while the index is searched 340 MB of
//! what is asked of it; for two hours a fifth of both. A part of the index is 66 MB where titles have two hours: one for each
//! thread, and 300 MB for one that has to be built, which only one thread at a time does. What is compared is the query and one
//! print of at most 12 MB for each thread. A title that repeats itself has more to be looked at: half an hour, twenty times, takes
//! 1.1 GB in all.

mod catalogue;
mod told;

use crate::{
    commit::Made,
    earlier,
    order::malformed,
    progress::{Pass, Tracker},
    store::Store,
};
use catalogue::Catalogue;
use showrunner_contracts::{
    catalogue::MAX_QUERY_BYTES,
    progress::Doing,
    result::Failure,
    step::{QUERY, Step},
    work_order::WorkOrder,
};
use showrunner_fingerprint::{
    Candidate, Query, compare_only,
    index::{Probes, best},
    query_file,
};
use std::{
    panic::resume_unwind,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    thread,
};
use told::Found;

/// The document's file name.
pub const FILE: &str = "duplicates.json";
/// Titles that are compared, of those that the index names: as many as the engine was measured with.
const CANDIDATES: usize = 48;

/// Looks the order's title up. The same catalogue gives the same bytes, whoever has built its index.
pub fn made(order: &WorkOrder, store: &Store, tracker: &Tracker) -> Result<Made, Failure> {
    tracker.doing(Doing::Fetching);
    let query = query(order, store)?;
    let catalogue = Catalogue::open(order, store)?;
    tracker.begin(&[Pass::Catalogue]);
    let threads = order.limits.threads as usize;
    let candidates = candidates(&catalogue, &query, threads, tracker)?;
    let found = compared(&catalogue, &query, &candidates, threads)?;
    tracker.doing(Doing::Committing);
    Ok(told::made(&query.print, catalogue.position(), found, catalogue.unreadable()))
}

fn query(order: &WorkOrder, store: &Store) -> Result<Query, Failure> {
    let bytes = earlier::bytes(order, store, Step::Fingerprint, QUERY, MAX_QUERY_BYTES)?;
    let bytes = bytes.ok_or_else(|| malformed(&format!("the work order gives no {QUERY}")))?;
    query_file::read(&bytes).map_err(|error| earlier::unusable(Step::Fingerprint, QUERY, &error.to_string()))
}

/// Places whose titles may share something with the query.
fn candidates(catalogue: &Catalogue<'_>, query: &Query, threads: usize, tracker: &Tracker) -> Result<Vec<Candidate>, Failure> {
    let (probes, bunches, searched) = (Probes::new(query), catalogue.bunches(), AtomicU32::new(0));
    let found = share_out(threads, bunches.len(), |nth| {
        let found = catalogue.search(&bunches[nth], &probes)?;
        let places = bunches[nth].places.len() as u32;
        let searched = searched.fetch_add(places, Ordering::Relaxed) + places;
        tracker.at(Pass::Catalogue, f64::from(searched), f64::from(catalogue.position()));
        Ok(best(found, CANDIDATES))
    })?;
    Ok(best(found.into_iter().flatten().collect(), CANDIDATES))
}

/// What the query shares with them. What the title itself left at an earlier place is no copy of it.
fn compared(catalogue: &Catalogue<'_>, query: &Query, candidates: &[Candidate], threads: usize) -> Result<Vec<Found>, Failure> {
    let found = share_out(threads, candidates.len(), |nth| {
        let candidate = &candidates[nth];
        let place = candidate.title as u32;
        let Some((title, print)) = catalogue.entry(place)?.filter(|(title, _)| title != catalogue.title()) else {
            return Ok(None);
        };
        let found = compare_only(query, &print, candidate);
        Ok(found.map(|shared| Found { title, place, seconds: print.seconds(), shared }))
    })?;
    Ok(found.into_iter().flatten().collect())
}

/// Hands the numbers up to `count` to so many threads, each the next as soon as it has done one. What they give is in no order; a
/// failure ends it all.
fn share_out<T: Send>(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> Result<T, Failure> + Sync,
) -> Result<Vec<T>, Failure> {
    let next = AtomicUsize::new(0);
    let turns = || {
        let mut done = Vec::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= count {
                return Ok(done);
            }
            match work(nth) {
                Ok(one) => done.push(one),
                Err(failure) => {
                    next.store(count, Ordering::Relaxed);
                    return Err(failure);
                }
            }
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.min(count)).map(|_| scope.spawn(turns)).collect();
        let mut done = Vec::with_capacity(count);
        for thread in threads {
            done.extend(thread.join().unwrap_or_else(|payload| resume_unwind(payload))?);
        }
        Ok(done)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::internal;

    #[test]
    fn work_that_is_shared_out_is_all_done_once_by_any_number_of_threads() {
        for threads in [1, 2, 7] {
            for count in [0, 1, 40] {
                let mut done = share_out(threads, count, Ok).expect("nothing fails");
                done.sort_unstable();
                assert_eq!(done, (0..count).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_failure_ends_what_is_shared_out() {
        let begun = AtomicUsize::new(0);
        let failed = share_out(2, 100_000, |nth| {
            begun.fetch_add(1, Ordering::Relaxed);
            thread::yield_now();
            if nth == 3 { Err(internal("the fourth")) } else { Ok(()) }
        });
        assert_eq!(failed, Err(internal("the fourth")));
        assert!(begun.into_inner() < 100_000);
    }
}
