//! Which faults a story meets at which points, and what of a run is a failure. No I/O.

use crate::{Fault, Outcome, Plan, Point};
use showrunner_e2e::faults::{dice::Dice, wire::Old};

/// Each write, always.
const WRITES: [Fault; 3] = [Fault::KilledBefore, Fault::AnswerLost, Fault::KilledAfter];
/// Each write to the API server, one of these by the seed; all of them when everything is swept.
const ANSWERS: [Fault; 9] = [
    Fault::Answered(409),
    Fault::Answered(429),
    Fault::Answered(500),
    Fault::TimedOut,
    Fault::TimedOutDone,
    Fault::KilledThenOld(Old::All),
    Fault::KilledThenOld(Old::Owners),
    Fault::KilledThenOld(Old::Jobs),
    Fault::KilledThenOld(Old::Pods),
];
/// Each write to the store, likewise.
const STORE: [Fault; 2] = [Fault::Answered(503), Fault::Away];
/// Some writes to the API server: they take two replicas.
const STOPS: [Fault; 2] = [Fault::StoppedMidWrite, Fault::StoppedAfter];
/// Lists.
const LISTS: [Fault; 4] = [Fault::Answered(500), Fault::Answered(429), Fault::Cut, Fault::Held];
/// Events of watches.
const EVENTS: [Fault; 7] = [
    Fault::Held,
    Fault::Cut,
    Fault::Expired,
    Fault::ExpiredThenOld(Old::All),
    Fault::ExpiredThenOld(Old::Owners),
    Fault::ExpiredThenOld(Old::Jobs),
    Fault::ExpiredThenOld(Old::Pods),
];
/// Reads of the store.
const READS: [Fault; 3] = [Fault::Answered(503), Fault::Cut, Fault::Away];
/// Of a story that is not swept whole: so many runs with a fault at a write, and so many at a read.
const SAMPLE: (usize, usize) = (6, 3);
/// Of the story that is swept whole, points that are not always taken: two replicas, reads.
const WHOLE: (usize, usize) = (4, 16);

/// The runs of one story.
pub(crate) fn faults(points: &[Point], whole: bool, all: bool, seed: u64) -> Vec<(Point, Fault)> {
    let mut dice = Dice(seed);
    let each = |of: &dyn Fn(&Point) -> bool, faults: &[Fault]| -> Vec<(Point, Fault)> {
        let points = points.iter().filter(|point| of(point));
        points.flat_map(|point| faults.iter().map(|fault| (point.clone(), *fault))).collect()
    };
    let api = |point: &Point| point.is_write() && !point.is_store();
    let store = |point: &Point| point.is_write() && point.is_store();
    let always = each(&Point::is_write, &WRITES);
    let (answers, outages) = (each(&api, &ANSWERS), each(&store, &STORE));
    let stops = each(&api, &STOPS);
    let mut reads = each(&|point| point.verb == "event", &EVENTS);
    reads.extend(each(&|point| point.verb == "list", &LISTS));
    reads.extend(each(&|point| matches!(point.verb, "get" | "head") && point.is_store(), &READS));
    if all {
        return [always, answers, outages, stops, reads].concat();
    }
    if whole {
        let mut runs = always;
        for (of, faults) in [(&api as &dyn Fn(&Point) -> bool, &ANSWERS[..]), (&store, &STORE[..])] {
            for point in points.iter().filter(|point| of(point)) {
                runs.push((point.clone(), dice.pick(faults)));
            }
        }
        runs.extend(dice.some(stops, WHOLE.0));
        runs.extend(dice.some(reads, WHOLE.1));
        return runs;
    }
    let mut runs = dice.some([always, answers, outages, stops].concat(), SAMPLE.0);
    runs.extend(dice.some(reads, SAMPLE.1));
    runs
}

/// Breaches in words.
pub(crate) fn told(breaches: &[(String, String)]) -> String {
    breaches.iter().fold(String::new(), |told, (law, breach)| told + "\n  " + law + ": " + breach)
}

/// Whether a run with a fault is as it should be.
pub(crate) fn judge(plan: &Plan, outcome: &Outcome, straight: &Outcome) -> Result<(), String> {
    if !outcome.breaches.is_empty() {
        return Err(format!("{}\nlogs: {}", told(&outcome.breaches), outcome.folder.display()));
    }
    if outcome.ending != straight.ending {
        return Err(format!("it ended otherwise than without the fault:\n  {}\n  {}", outcome.ending, straight.ending));
    }
    // How many events and reads there are depends on how the API server groups them: the report says which were not met.
    let must = plan.fault.as_ref().is_some_and(|(point, _)| point.is_write());
    if must && !outcome.reached {
        return Err("the point was not reached".to_owned());
    }
    Ok(())
}
