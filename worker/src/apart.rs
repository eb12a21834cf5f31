//! Steps that read no source: done apart from the pipeline, without its download and its media tools, from what other steps left.
//! Each fails alone. Reads and writes through the store.

use crate::{
    commit::{StoreSink, commit},
    cpu,
    failure::{internal, of_panic},
    progress::Tracker,
    steps::duplicates,
    store::Store,
};
use showrunner_contracts::{
    Digest,
    result::{Failure, Outcome, StepOutcome},
    step::Step,
    work_order::{StepOrder, WorkOrder},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

/// Does these steps of the order, one after another.
pub fn run(order: &WorkOrder, store: &Store, tracker: &Tracker, steps: &[StepOrder]) -> Vec<StepOutcome> {
    steps.iter().map(|step| outcome(order, store, tracker, step)).collect()
}

fn outcome(order: &WorkOrder, store: &Store, tracker: &Tracker, step: &StepOrder) -> StepOutcome {
    let (begun, before) = (Instant::now(), cpu::of_everything());
    let done = catch_unwind(AssertUnwindSafe(|| done(order, store, tracker, step)));
    let outcome = match done.unwrap_or_else(|payload| Err(of_panic(payload.as_ref()))) {
        Ok(result) => {
            tracker.done(step.step);
            Outcome::Done { result }
        }
        Err(failure) => {
            tracing::error!(step = %step.step, reason = %failure.reason, message = failure.message, "the step failed");
            Outcome::Failed(failure)
        }
    };
    // Nobody else is at work: what the process used is the step's.
    let used = cpu::of_everything().saturating_sub(before);
    StepOutcome {
        step: step.step,
        key: step.key.clone(),
        outcome,
        wall_ms: begun.elapsed().as_millis() as u64,
        cpu_ms: Some(used),
    }
}

fn done(order: &WorkOrder, store: &Store, tracker: &Tracker, step: &StepOrder) -> Result<Digest, Failure> {
    let media = order.media.as_ref().ok_or_else(|| internal("the work order does not say what is known of the source"))?;
    let made = match step.step {
        Step::Duplicates => duplicates::made(order, store, tracker)?,
        Step::Shots | Step::Thumbnails | Step::Subtitles | Step::Chapters | Step::Moderation | Step::Fingerprint => {
            return Err(internal(format_args!("the step {} cannot be done without the source; please report it", step.step)));
        }
    };
    commit(&StoreSink::new(store, order), step, media, made)
}
