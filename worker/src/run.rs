//! One work order from its reading to the last words: what is done already is left alone, what reads the source shares one
//! download, what reads none is done apart.
//! Talks to the store, writes the source to the scratch volume, runs the pipeline.

use crate::{
    apart,
    commit::{JSON, StoreSink, committed},
    cpu, earlier,
    failure::internal,
    farewell::Farewell,
    models::Artefacts,
    order,
    pipeline::{self, Done, Given, Work},
    progress::Tracker,
    sandbox::{Policy, Sandbox, Source},
    store::{Patience, Store},
};
use showrunner_contracts::{
    Digest, Document as _,
    progress::Doing,
    result::{Failure, Outcome, Reason, RunRecord, StepOutcome, Termination, UnitResult, exit},
    work_order::{StepOrder, WorkOrder},
};
use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

/// The source's name on the scratch volume.
const SCRATCH_FILE: &str = "source";

/// Where things are on this machine.
#[derive(Clone, Debug)]
pub struct Places {
    /// The mounted order.
    pub order: PathBuf,
    /// Folder with room for the source.
    pub scratch: PathBuf,
    /// The worker's own binary, which starts media tools.
    pub launcher: PathBuf,
    /// What to do where tools cannot be confined.
    pub policy: Policy,
}

/// What one attempt came to: the outcomes and what they took.
struct Attempt {
    done: Done,
    sandbox: String,
}

/// Does the order at `places.order` and says the last words. Gives the exit code.
pub fn run(places: &Places, patience: Patience, farewell: &Farewell) -> i32 {
    let begun = Instant::now();
    match order::read(&places.order).and_then(|order| attempt(places, patience, &order, begun)) {
        Ok((digest, all_done)) => {
            farewell.say(&Termination::Result(digest));
            if all_done { exit::DONE } else { exit::STEPS_FAILED }
        }
        Err(failure) => {
            tracing::error!(reason = %failure.reason, message = failure.message, "no result");
            farewell.say(&Termination::Failure(failure));
            exit::NO_RESULT
        }
    }
}

/// Does the order and stores the unit's result. Gives its digest and whether nothing failed.
fn attempt(places: &Places, patience: Patience, order: &WorkOrder, begun: Instant) -> Result<(Digest, bool), Failure> {
    let store = Store::new(patience)?;
    let tracker = Tracker::default();
    let attempt = thread::scope(|scope| {
        scope.spawn(|| tracker.report(&store, &order.grants.progress));
        // Ends the reporter however the work ends; the scope waits for it.
        let _end = EndAtLast(&tracker);
        work(places, order, &store, &tracker)
    })?;
    let done = attempt.done;
    let all_done = !done.steps.iter().any(|step| matches!(step.outcome, Outcome::Failed(_)));
    let result = UnitResult {
        schema: UnitResult::SCHEMA.to_owned(),
        unit_key: order.unit_key.clone(),
        attempt: order.attempt,
        media: done.media,
        steps: done.steps,
        run: RunRecord {
            worker: env!("CARGO_PKG_VERSION").to_owned(),
            wall_ms: begun.elapsed().as_millis() as u64,
            cpu_ms: cpu::of_everything(),
            bytes_read: store.bytes_read(),
            bytes_written: store.bytes_written(),
            picture_decodes: done.picture_decodes,
            sound_decodes: done.sound_decodes,
            picture_decode_cpu_ms: done.picture_decode_cpu_ms,
            sound_decode_cpu_ms: done.sound_decode_cpu_ms,
            sandbox: attempt.sandbox,
        },
    };
    let bytes = result.to_bytes();
    store.put("the unit's result", &order.grants.unit_result, JSON, &bytes)?;
    Ok((Digest::of(&bytes), all_done))
}

struct EndAtLast<'a>(&'a Tracker);

impl Drop for EndAtLast<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Finds out what is left to do and does it. An error is one that leaves nothing to report on: the store is away.
fn work(places: &Places, order: &WorkOrder, store: &Store, tracker: &Tracker) -> Result<Attempt, Failure> {
    let begun = Instant::now();
    let (mut settled, mut left, mut known) = (Vec::new(), Vec::new(), None);
    for step in &order.steps {
        match committed(store, step) {
            Ok(Some(theirs)) => {
                tracing::info!(step = %step.step, "an earlier attempt finished the step");
                tracker.done(step.step);
                known = Some(theirs.media);
                let done = Outcome::Done { result: theirs.digest };
                settled.push(StepOutcome { step: step.step, key: step.key.clone(), outcome: done, wall_ms: 0, cpu_ms: None });
            }
            // Stores that hide what one may not list answer "denied" for what is not there. Were the permission gone
            // altogether, the source would be denied, too.
            Ok(None) | Err(Failure { reason: Reason::StoreDenied, .. }) => left.push(step.clone()),
            Err(failure) if failure.reason == Reason::StoreUnavailable => return Err(failure),
            Err(failure) => settled.push(outcome(step, Outcome::Failed(failure), begun)),
        }
    }
    let mut attempt = Attempt { done: Done::default(), sandbox: String::new() };
    let (of_source, apart): (Vec<StepOrder>, Vec<StepOrder>) = left.into_iter().partition(|step| step.step.reads_source());
    if !of_source.is_empty() {
        attempt = match prepare(places, order, store, tracker, &of_source) {
            Ok(prepared) => prepared.go(order, store, tracker, &of_source),
            Err(failure) => {
                tracing::error!(reason = %failure.reason, message = failure.message, "the source cannot be worked on");
                attempt.done.steps =
                    of_source.iter().map(|step| outcome(step, Outcome::Failed(failure.clone()), begun)).collect();
                attempt
            }
        };
    }
    attempt.done.steps.extend(apart::run(order, store, tracker, &apart));
    attempt.done.media = attempt.done.media.or(known).or_else(|| order.media.clone());
    attempt.done.steps.extend(settled);
    attempt.done.steps.sort_by_key(|outcome| order.steps.iter().position(|step| step.step == outcome.step));
    tracker.doing(Doing::Committing);
    Ok(attempt)
}

/// What the pipeline needs of the outside, brought here.
struct Prepared {
    artefacts: Artefacts,
    sandbox: Sandbox,
    source: Source,
    given: Given,
    _scratch: Scratch,
}

fn prepare(
    places: &Places,
    order: &WorkOrder,
    store: &Store,
    tracker: &Tracker,
    left: &[StepOrder],
) -> Result<Prepared, Failure> {
    if order.source.size_bytes == 0 {
        return Err(Failure::new(Reason::SourceEmpty, "failed to read the source: it has no bytes; upload it again"));
    }
    let artefacts = Artefacts::from_environment();
    let sandbox = Sandbox::new(&places.launcher, artefacts.root(), places.policy).map_err(internal)?;
    let given = earlier::given(order, store, left)?;
    tracker.doing(Doing::Fetching);
    let mut scratch = Scratch::new(&places.scratch)?;
    let size = order.source.size_bytes;
    let digest = store.download(&order.source, &mut scratch.file, &|have| tracker.fetched(have, size))?;
    if let Some(wanted) = order.source.sha256.as_ref().filter(|wanted| **wanted != digest) {
        let message =
            format!("the source's bytes are {digest}, stated is {wanted}; upload the right file or correct the stated digest");
        return Err(Failure::new(Reason::SourceDigestMismatch, &message));
    }
    let source =
        Source::open(&scratch.path).map_err(|error| internal(format_args!("failed to open the scratch file: {error}")))?;
    Ok(Prepared { artefacts, sandbox, source, given, _scratch: scratch })
}

impl Prepared {
    fn go(&self, order: &WorkOrder, store: &Store, tracker: &Tracker, left: &[StepOrder]) -> Attempt {
        let sink = StoreSink::new(store, order);
        let done = pipeline::run(Work {
            artefacts: &self.artefacts,
            sandbox: &self.sandbox,
            source: &self.source,
            steps: left,
            given: &self.given,
            limits: &order.limits,
            sink: &sink,
            tracker,
        });
        Attempt { done, sandbox: self.sandbox.confinement().to_string() }
    }
}

/// The source on the scratch volume; gone when dropped.
struct Scratch {
    path: PathBuf,
    file: File,
}

impl Scratch {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join(SCRATCH_FILE);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(|error| {
            internal(format_args!("failed to write {}: {error}; mount a scratch volume there", path.display()))
        })?;
        Ok(Self { path, file })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // the volume goes with the pod anyway
    }
}

fn outcome(order: &StepOrder, outcome: Outcome, begun: Instant) -> StepOutcome {
    StepOutcome { step: order.step, key: order.key.clone(), outcome, wall_ms: begun.elapsed().as_millis() as u64, cpu_ms: None }
}
