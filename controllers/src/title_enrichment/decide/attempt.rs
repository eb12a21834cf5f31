//! The next attempt: what it waits for, what it is made from. No I/O.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::{
    Digest,
    result::Reason,
    step::{Step, unit_key},
};
use showrunner_crds::common::Accelerator;
use showrunner_crds::title_enrichment::{AttemptStatus, StepState, TitleReason};
use showrunner_kit::jobs::{Deadlines, Seal, job_name};
use showrunner_kit::{Next, planted};
use strum::IntoEnumIterator as _;

use super::spot::{self, Machine};
use super::{Act, Answer, Decision, Draft, Need, Order, OrderedStep, Planned, SeenJob, failure, price};
use crate::title_enrichment::{build, validate, validate::Wish};

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(30);
/// What the Job's own guard leaves on top of start, run and grace.
const GUARD: Duration = Duration::from_mins(10);
/// Outcomes after which a preferred accelerator is given up for CPU.
const NO_ACCELERATOR: [TitleReason; 2] = [TitleReason::PodUnschedulable, TitleReason::StartDeadlineExceeded];

impl Draft<'_> {
    /// No attempt is in hand and some step is open: begins one, or says what it waits for.
    pub(super) fn next_step(&mut self, wish: &Wish) -> Decision {
        let ends = |job: &&SeenJob| !job.has_ended() && !job.is_quiet() && !planted!("ending-not-awaited");
        if self.jobs.iter().any(ends) {
            return self.tell(TitleReason::Planned, "an earlier job is still ending".to_owned(), Next::WaitForChange);
        }
        if let Some(budget) = self.input.orders.stop.clone() {
            return self.stopped(&budget);
        }
        let fallen_back = self.fallen_back(wish);
        if let Some(at) = self.status.next_attempt_at.as_ref().map(|at| at.0).filter(|at| *at > self.now) {
            return self.retrying(at);
        }
        if let Some(refused) = self.refused(wish, fallen_back) {
            return refused;
        }
        let open: Vec<_> =
            self.planned.iter().filter(|p| p.is_ready()).filter_map(|p| Some((p.step(), p.key.clone()?))).collect();
        let read = self
            .planned
            .iter()
            .filter(|p| !p.is_open())
            .filter(|p| self.planned.iter().any(|other| other.is_open() && other.params.needs().contains(&p.step())));
        let keys: Vec<_> = open.iter().cloned().chain(read.filter_map(|p| Some((p.step(), p.key.clone()?)))).collect();
        match &self.input.seen.results {
            Answer::NotAsked => return Decision::Need(Need::Results { store: wish.store.clone(), keys }),
            Answer::Trouble(trouble) => return self.trouble(trouble),
            Answer::Got(found) => {
                for planned in self.planned.iter_mut().filter(|_| !planted!("results-not-looked-up")) {
                    let Some(key) = planned.key.clone().filter(|_| planned.is_open()) else { continue };
                    match found.get(&key) {
                        Some(Some(Ok(committed))) => {
                            super::harvest::take(&mut planned.status, committed);
                            self.status.media = Some(super::harvest::media(&committed.result.media));
                        }
                        Some(Some(Err(wrong))) => super::harvest::spoil(&mut planned.status, wrong),
                        Some(None) | None => {}
                    }
                }
            }
        }
        self.settle_dependents();
        if let Some(decision) = self.publication(wish) {
            return decision;
        }
        if !self.input.title.has_finalizer {
            return self.first(Act::AddFinalizer);
        }
        // Another print may just have been found ready.
        if let Some(decision) = self.leave().or_else(|| self.enter(wish)) {
            return decision;
        }
        match self.input.seen.room {
            Answer::NotAsked => Decision::Need(Need::Room),
            Answer::Trouble(ref trouble) => self.trouble(trouble),
            Answer::Got(true) => self.begin(wish),
            Answer::Got(false) => self.queued(),
        }
    }

    /// Waits for a place.
    pub(super) fn queued(&mut self) -> Decision {
        let message = format!(
            "waits for its turn, the oldest first: {} jobs at once are let run (jobs.maxInFlight in the operator's configuration), and none is begun in a namespace that refuses one",
            self.input.config.max_in_flight
        );
        self.tell(TitleReason::Queued, message, Next::WaitForChange)
    }

    /// Waits for the next attempt, and says what the last one met.
    fn retrying(&mut self, at: Timestamp) -> Decision {
        let last = self.planned.iter().filter(|p| p.status.state == StepState::Waiting).find_map(|p| {
            let reason = p.status.reason.clone()?;
            Some((reason, p.status.message.clone().unwrap_or_default()))
        });
        let (reason, message) = match last {
            Some((word, message)) if failure::is_outside(&word) => (failure::reason_of_step(&word), message),
            Some((word, message)) => (TitleReason::Retrying, format!("the last attempt failed ({word}): {message}")),
            None => (TitleReason::Retrying, "the last attempt failed".to_owned()),
        };
        self.tell(reason, format!("{message}; next attempt at {at}"), Next::At(at))
    }

    /// What keeps the open steps from being done as they are asked for.
    fn refused(&mut self, wish: &Wish, fallen_back: bool) -> Option<Decision> {
        let models = self.planned.iter().filter(|p| p.is_open()).find_map(|p| p.current.as_ref().err().cloned());
        let class = validate::class(wish, fallen_back, self.input.config).err();
        if let Some(refusal) = models.or(class) {
            return Some(self.fail(refusal.reason, refusal.message));
        }
        let source = self.status.source.as_ref()?;
        let size = u64::try_from(source.size_bytes).unwrap_or_default();
        if size == 0 {
            let message = format!("{} has no bytes: upload it again, then change spec.refresh", source.path);
            return Some(self.fail(TitleReason::SourceEmpty, message));
        }
        let room = self.input.settings.resources.scratch_bytes;
        if size > room {
            let message = format!(
                "{} has {size} bytes and a worker has {room} bytes of scratch space: raise it in the operator's configuration",
                source.path
            );
            return Some(self.fail(TitleReason::SourceTooLarge, message));
        }
        None
    }

    /// Whether a preferred accelerator was waited for in vain before.
    fn fallen_back(&self, wish: &Wish) -> bool {
        wish.accelerator == Accelerator::Preferred
            && self.status.history.iter().any(|past| NO_ACCELERATOR.iter().any(|reason| past.outcome == reason.to_string()))
    }

    /// Stores the intent to make an attempt, and makes it.
    fn begin(&mut self, wish: &Wish) -> Decision {
        let mut open: Vec<usize> = (0..self.planned.len()).filter(|i| self.planned[*i].is_ready()).collect();
        // What reads no source shares no decode, and comes after what does.
        if open.iter().any(|i| self.planned[*i].step().reads_source()) {
            open.retain(|i| self.planned[*i].step().reads_source());
        }
        let keys: Vec<Digest> = open.iter().filter_map(|i| self.planned[*i].key.clone()).collect();
        let unit = self.unit(&keys);
        let number = self.highest_number().saturating_add(1);
        let mut attempt = AttemptStatus {
            job: job_name(&self.input.title.uid, unit.as_str(), u32::try_from(number).unwrap_or(1)),
            unit: unit.to_string(),
            number,
            steps: open.iter().map(|i| self.planned[*i].status.name.clone()).collect(),
            cost_estimate: None,
            since: Time(self.now),
            store: self.status.source.as_ref().map(|source| source.store.clone()),
            seal: Some(Seal::PENDING.to_owned()),
            admitted: None,
            ending: None,
            limits: None,
            records: Vec::new(),
        };
        for index in open.clone() {
            let status = &mut self.planned[index].status;
            (status.state, status.reason, status.message) = (StepState::Running, None, None);
        }
        let mut order = match self.order(attempt.clone(), &open, wish) {
            Ok(order) => order,
            Err(Some(decision)) => return decision,
            Err(None) => {
                return self.fail(
                    TitleReason::ResultInvalid,
                    "a step that was done before has no result in the store any more: disable it, and enable it again to have it done anew".to_owned(),
                );
            }
        };
        let estimate = build::estimate(&order, self.input.settings, self.input.config);
        attempt.cost_estimate = Some(price(estimate, &self.input.config.currency));
        attempt.limits = Some(limits(&order));
        order.attempt = attempt.clone();
        let message = planned_message(&attempt);
        self.status.attempt = Some(attempt);
        self.status.next_attempt_at = None;
        self.acts.push(Act::Create(Box::new(order)));
        self.tell(TitleReason::Planned, message, Next::WaitForChange)
    }

    /// The unit of these steps: nothing but what their results depend on.
    pub(super) fn unit(&self, keys: &[Digest]) -> Digest {
        let unit = unit_key(keys);
        if planted!("generation-in-unit-key") { Digest::of_json(&(unit, self.input.title.generation)) } else { unit }
    }

    /// Numbers count up over all attempts of the title, so that neither a Job's name nor a folder is ever used twice. Only
    /// the status is asked: what stands on a Job, anybody who may write Jobs may have written.
    fn highest_number(&self) -> i32 {
        if planted!("attempt-not-advanced") {
            return 0;
        }
        self.status.history.iter().map(|past| past.number).max().unwrap_or(0)
    }

    /// What the Job is made from. `Err(None)` when it cannot be made any more as it was intended.
    pub(super) fn order(&mut self, attempt: AttemptStatus, steps: &[usize], wish: &Wish) -> Result<Order, Option<Decision>> {
        let (Some(source), Ok(unit)) = (self.status.source.clone(), attempt.unit.parse::<Digest>()) else { return Err(None) };
        let mut ordered = Vec::new();
        for index in steps {
            let planned = &self.planned[*index];
            let Ok(current) = &planned.current else { return Err(None) };
            if planned.key.as_ref() != Some(&current.key) {
                return Err(None);
            }
            ordered.push(OrderedStep {
                key: current.key.clone(),
                params: planned.params.clone(),
                models: current.models.clone(),
            });
        }
        let reads = |p: &&Planned| {
            ordered.iter().any(|step| step.params.needs().contains(&p.step()))
                && !ordered.iter().any(|step| step.params.step() == p.step())
        };
        let word = |p: &Planned| Reason::iter().find(|reason| p.status.reason.as_deref() == Some(&*reason.to_string()));
        let skipped = self.planned.iter().filter(reads).filter(|p| p.status.state == StepState::Skipped);
        let skipped = skipped.filter_map(|p| Some((p.step(), word(p)?))).collect::<BTreeMap<_, _>>();
        let reads = |p: &&Planned| reads(p) && !skipped.contains_key(&p.step());
        let needed: Vec<_> = self.planned.iter().filter(reads).filter_map(|p| Some((p.step(), p.key.clone()?))).collect();
        let mut given = Vec::new();
        if !needed.is_empty() {
            match &self.input.seen.results {
                Answer::NotAsked => return Err(Some(Decision::Need(Need::Results { store: wish.store.clone(), keys: needed }))),
                Answer::Trouble(trouble) => return Err(Some(self.trouble(trouble))),
                Answer::Got(found) => {
                    for (_, key) in needed {
                        let Some(Ok(committed)) = found.get(&key).cloned().flatten() else { return Err(None) };
                        given.push(*committed);
                    }
                }
            }
        }
        let intended = attempt.limits.as_deref().and_then(read_limits);
        let class = match &intended {
            Some((name, ..)) => self.input.config.class(name).ok_or(None)?,
            // What reads no media computes on no accelerator.
            None if !ordered.iter().any(|step| step.params.step().reads_source()) => self.input.config.cpu_class().ok_or(None)?,
            None => validate::class(wish, self.fallen_back(wish), self.input.config).map_err(|_| None)?,
        };
        let machine = match &intended {
            Some((_, start, _)) => Machine { class, start: *start, why: None },
            None => self.machine(class, &ordered.iter().map(|step| step.params.step()).collect::<Vec<_>>(), wish),
        };
        let (class, start) = (machine.class, machine.start);
        let run = intended.as_ref().map_or(wish.run, |(.., run)| *run);
        let deadlines = Deadlines { run, start, wall: start + run + GRACE + GUARD, grace: GRACE };
        let looks_up = ordered.iter().any(|step| step.params.step() == Step::Duplicates);
        let place = self.status.catalogue.as_ref().filter(|_| looks_up).and_then(|place| u32::try_from(place.position).ok());
        if looks_up && place.is_none() {
            return Err(None);
        }
        Ok(Order {
            attempt,
            unit,
            source,
            sha256: wish.sha256.clone(),
            steps: ordered,
            given,
            skipped,
            place,
            class: class.clone(),
            why: machine.why,
            deadlines,
        })
    }
}

/// What an attempt's Job is made with, as the status has it: the Job that is made after a crash is the same one.
fn limits(order: &Order) -> String {
    let Deadlines { start, run, .. } = order.deadlines;
    let why = order.why.map(|why| format!(" {why}")).unwrap_or_default();
    format!("{} {} {}{why}", order.class.name, start.as_secs(), run.as_secs())
}

fn read_limits(text: &str) -> Option<(String, Duration, Duration)> {
    let mut words = text.split(' ');
    let (class, start, run) = (words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some((class.to_owned(), Duration::from_secs(start), Duration::from_secs(run)))
}

pub(super) fn planned_message(attempt: &AttemptStatus) -> String {
    format!("attempt {} does {}{}", attempt.number, attempt.steps.join(", "), spot::told(attempt))
}
