//! The attempt: begun, admitted, watched, given up when it does not start. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::{Digest, step::unit_key};
use showrunner_crds::common::Accelerator;
use showrunner_crds::title_enrichment::{AttemptStatus, StepState, TitleReason};
use showrunner_kit::jobs::{Deadlines, JobState, Overdue, Seal, job_name};
use showrunner_kit::{Next, planted};

use super::types::{Act, Answer, Decision, Need, Order, OrderedStep, SeenJob, price};
use super::{Draft, Planned, UNSEEN_WITHIN, failure, plan};
use crate::title_enrichment::{build, layout, validate, validate::Wish};

/// How often the progress of a running attempt is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(7);
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(30);
/// What is told while the cost is being reserved.
const RESERVING: &str = "the cost of the attempt is being reserved";
/// What is told before the pod says more.
const STARTING: &str = "waits for the pod to start";
/// What the Job's own guard leaves on top of start, run and grace.
const GUARD: Duration = Duration::from_mins(10);
/// Outcomes after which a preferred accelerator is given up for CPU.
const NO_ACCELERATOR: [TitleReason; 2] = [TitleReason::PodUnschedulable, TitleReason::StartDeadlineExceeded];

/// The Job of the attempt in hand.
enum Own {
    /// It is to be made, or to be held against what was to be made.
    ToMake,
    /// It was made, and has not been seen yet.
    Made,
    /// It is there, and is the one that was made.
    Seen(Box<SeenJob>),
}

impl Draft<'_> {
    /// Goes on with the attempt in hand.
    pub(super) fn run_attempt(&mut self, wish: &Wish) -> Decision {
        let Some(attempt) = self.status.attempt.clone() else { return self.next_step(wish) };
        if let Some(why) = &attempt.ending {
            let told =
                self.planned.iter().filter(|p| attempt.steps.contains(&p.status.name)).find_map(|p| p.status.message.clone());
            let outside = failure::is_outside(why);
            let reason = if outside { failure::reason_of_step(why) } else { TitleReason::Planned };
            let message = told.filter(|_| outside).unwrap_or_else(|| format!("the attempt is being ended: {why}"));
            self.stop(why);
            return self.tell(reason, message, Next::WaitForChange);
        }
        if !self.fits(&attempt) {
            self.stop(failure::SUPERSEDED);
            return self.tell(
                TitleReason::Planned,
                "what is wanted has changed: the job in hand is stopped first".to_owned(),
                Next::WaitForChange,
            );
        }
        let job = match self.own_job(&attempt) {
            Own::Seen(job) => *job,
            Own::Made => {
                let look_again = Next::At(attempt.since.0 + UNSEEN_WITHIN);
                return self.tell(TitleReason::WaitingForAdmission, RESERVING.to_owned(), look_again);
            }
            Own::ToMake => return self.recreate(&attempt, wish),
        };
        if job.deleting {
            self.stop(failure::JOB_DELETED);
            return self.tell(
                TitleReason::Retrying,
                "the job was deleted by somebody else: another one follows".to_owned(),
                Next::WaitForChange,
            );
        }
        match &job.state {
            JobState::Suspended => self.admit(&job),
            JobState::Pending { reason, message, .. } => self.wait_to_start(&job, reason, message),
            JobState::Running { .. } => self.watch(&attempt, wish),
            // Ended ones were harvested before this.
            JobState::Stopping | JobState::Succeeded { .. } | JobState::Failed { .. } | JobState::Lost { .. } => {
                self.tell(TitleReason::WaitingToStart, "the job's pod is ending".to_owned(), Next::WaitForChange)
            }
        }
    }

    /// Whether the attempt does what is wanted, under the keys that hold. What it does beside that for a newer version is
    /// let be done.
    fn fits(&self, attempt: &AttemptStatus) -> bool {
        let newer = |name: &String| {
            let mut steps = self.input.status.steps.iter();
            steps.find(|step| step.name == *name && plan::is_newer(step))?.key.parse().ok()
        };
        let planned = |name: &String| {
            self.planned.iter().find(|p| p.status.name == *name && p.status.state != StepState::Waiting)?.key.clone()
        };
        let keys: Option<Vec<Digest>> = attempt.steps.iter().map(|name| planned(name).or_else(|| newer(name))).collect();
        keys.is_some_and(|keys| self.unit(&keys).as_str() == attempt.unit)
    }

    /// The unit of these steps: nothing but what their results depend on.
    fn unit(&self, keys: &[Digest]) -> Digest {
        let unit = unit_key(keys);
        if planted!("generation-in-unit-key") { Digest::of_json(&(unit, self.input.title.generation)) } else { unit }
    }

    /// Where the attempt's Job is.
    fn own_job(&mut self, attempt: &AttemptStatus) -> Own {
        let job = self.job().cloned();
        let seal = self.input.facts.sealed.clone();
        let pending = attempt.seal.as_deref() == Some(Seal::PENDING);
        let unseen = job.is_none() && (attempt.seal.is_none() || self.now >= attempt.since.0 + UNSEEN_WITHIN);
        if seal.is_none() && (pending || unseen) {
            return Own::ToMake;
        }
        if let (Some(seal), Some(attempt)) = (seal, self.status.attempt.as_mut()) {
            attempt.seal = Some(seal);
        }
        job.map_or(Own::Made, |job| Own::Seen(Box::new(job)))
    }

    /// The attempt was intended, and its Job has not been seen: create it (again). Creating is idempotent, and says whether
    /// what is there is what was to be made.
    fn recreate(&mut self, attempt: &AttemptStatus, wish: &Wish) -> Decision {
        if let Some(trouble) = &self.input.facts.trouble {
            return self.trouble(trouble);
        }
        let steps: Vec<usize> =
            (0..self.planned.len()).filter(|i| attempt.steps.contains(&self.planned[*i].status.name)).collect();
        match self.order(attempt.clone(), &steps, wish) {
            Ok(order) => {
                self.acts.push(Act::Create(Box::new(order)));
                self.tell(TitleReason::Planned, planned_message(attempt), Next::WaitForChange)
            }
            Err(Some(decision)) => decision,
            // Made by another operator: what it would do now is something else.
            Err(None) => {
                self.stop(failure::SUPERSEDED);
                self.tell(
                    TitleReason::Planned,
                    "the attempt is planned anew under the current algorithms and models".to_owned(),
                    Next::WaitForChange,
                )
            }
        }
    }

    fn admit(&mut self, job: &SeenJob) -> Decision {
        if let Some(held) = &self.input.facts.held {
            return self.trouble(held);
        }
        let (now, reserved) = (self.now, self.input.facts.reserved);
        let Some(attempt) = self.status.attempt.as_mut().filter(|attempt| attempt.admitted.is_some() || reserved) else {
            self.acts.push(Act::Reserve { job: job.name.clone() });
            return self.tell(TitleReason::WaitingForAdmission, RESERVING.to_owned(), Next::WaitForChange);
        };
        // The admission is stored before the Job is let run: whoever else lets it run is told by that.
        attempt.admitted.get_or_insert(Time(now));
        self.acts.push(Act::Admit { job: job.name.clone() });
        self.tell(TitleReason::WaitingToStart, STARTING.to_owned(), Next::WaitForChange)
    }

    fn wait_to_start(&mut self, job: &SeenJob, pod_reason: &str, pod_message: &str) -> Decision {
        let scales = self.input.config.class(&job.class).is_some_and(|class| class.scale_from_zero);
        let reason = failure::of_waiting(pod_reason).filter(|reason| !(scales && *reason == TitleReason::PodUnschedulable));
        let message = match reason {
            // The kubelet alternates between two texts here: ours stays the same.
            Some(TitleReason::ImageUnavailable) => format!(
                "the worker image {} cannot be pulled: correct its name in the operator's configuration, or give the namespace its pull secret",
                self.input.config.image
            ),
            Some(_) => {
                format!(
                    "no node takes the pod ({pod_message}): add room, or lower the worker's resources in the operator's configuration"
                )
            }
            None if pod_reason == "Unschedulable" => format!("waits for a node of class {} to be added", job.class),
            None => STARTING.to_owned(),
        };
        match job.overdue {
            Overdue::Now => {
                let why = reason.unwrap_or(TitleReason::StartDeadlineExceeded);
                let message = match reason {
                    Some(_) => message,
                    None => format!("no pod started within spec.execution.startDeadline (last: {pod_reason} {pod_message})"),
                };
                if let Some(attempt) = &self.status.attempt {
                    for planned in self.planned.iter_mut().filter(|p| attempt.steps.contains(&p.status.name)) {
                        planned.status.message = Some(message.chars().take(super::harvest::MAX_STEP_MESSAGE).collect());
                    }
                }
                self.stop(&why.to_string());
                self.tell(why, message, Next::WaitForChange)
            }
            Overdue::Due(at) => self.tell(reason.unwrap_or(TitleReason::WaitingToStart), message, Next::At(at)),
            Overdue::No => self.tell(reason.unwrap_or(TitleReason::WaitingToStart), message, Next::WaitForChange),
        }
    }

    /// Looks how far a running attempt is. Progress that cannot be read is no trouble: the work goes on.
    fn watch(&mut self, attempt: &AttemptStatus, wish: &Wish) -> Decision {
        let Ok(unit) = attempt.unit.parse::<Digest>() else {
            return self.tell(TitleReason::Working, working(attempt), Next::WaitForChange);
        };
        let store = wish.store.clone();
        let progress = match &self.input.seen.progress {
            Answer::NotAsked => {
                let folder = layout::attempt_folder(&unit, &self.input.title.uid, attempt.number);
                return Decision::Need(Need::Progress { store, folder });
            }
            Answer::Trouble(_) | Answer::Got(None) => None,
            Answer::Got(Some(progress)) => Some(progress.clone()),
        };
        let committed = |p: &Planned| p.is_open() && progress.as_ref().is_some_and(|progress| progress.done.contains(&p.step()));
        let keys: Vec<_> =
            self.planned.iter().filter(|p| committed(p)).filter_map(|p| Some((p.step(), p.key.clone()?))).collect();
        match &self.input.seen.results {
            Answer::NotAsked if !keys.is_empty() => return Decision::Need(Need::Results { store, keys }),
            Answer::Got(found) => {
                for planned in &mut self.planned {
                    let Some(key) = planned.key.clone().filter(|_| planned.is_open()) else { continue };
                    if let Some(Some(Ok(committed))) = found.get(&key) {
                        super::harvest::take(&mut planned.status, committed);
                        planned.status.attempts += 1;
                    }
                }
            }
            Answer::NotAsked | Answer::Trouble(_) => {}
        }
        let percent = progress.as_ref().map_or(0, |progress| progress.percent.min(99));
        let phase = showrunner_crds::title_enrichment::Phase::Running;
        self.verdict(phase, TitleReason::Working, working(attempt), false, percent, Next::At(self.now + LOOK_EVERY))
    }

    /// No attempt is in hand and some step is open: begins one, or says what it waits for.
    pub(super) fn next_step(&mut self, wish: &Wish) -> Decision {
        if self.jobs.iter().any(|job| !job.has_ended() && !job.is_quiet()) {
            return self.tell(TitleReason::Planned, "an earlier job is still ending".to_owned(), Next::WaitForChange);
        }
        let fallen_back = self.fallen_back(wish);
        if let Some(at) = self.status.next_attempt_at.as_ref().map(|at| at.0).filter(|at| *at > self.now) {
            return self.retrying(at);
        }
        if let Some(refused) = self.refused(wish, fallen_back) {
            return refused;
        }
        let open: Vec<_> = self.planned.iter().filter(|p| p.is_open()).filter_map(|p| Some((p.step(), p.key.clone()?))).collect();
        let read = self
            .planned
            .iter()
            .filter(|p| !p.is_open())
            .filter(|p| open.iter().any(|(step, _)| step.needs().contains(&p.step())));
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
        match self.input.seen.room {
            Answer::NotAsked => Decision::Need(Need::Room),
            Answer::Trouble(ref trouble) => self.trouble(trouble),
            Answer::Got(true) => self.begin(wish),
            Answer::Got(false) => {
                let message = format!(
                    "waits for its turn, the oldest first: {} jobs at once are let run (jobs.maxInFlight in the operator's configuration), and none is begun in a namespace that refuses one",
                    self.input.config.max_in_flight
                );
                self.tell(TitleReason::Queued, message, Next::WaitForChange)
            }
        }
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
        let open: Vec<usize> = (0..self.planned.len()).filter(|i| self.planned[*i].is_open()).collect();
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
            seal: Some(Seal::PENDING.to_owned()),
            admitted: None,
            ending: None,
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
                    "a step that was done before has no result any more: change spec.refresh to do it again".to_owned(),
                );
            }
        };
        let estimate = build::estimate(&order, self.input.settings, self.input.config);
        attempt.cost_estimate = Some(price(estimate, &self.input.config.currency));
        order.attempt = attempt.clone();
        let message = planned_message(&attempt);
        self.status.attempt = Some(attempt);
        self.status.next_attempt_at = None;
        self.acts.push(Act::Create(Box::new(order)));
        self.tell(TitleReason::Planned, message, Next::WaitForChange)
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
    fn order(&mut self, attempt: AttemptStatus, steps: &[usize], wish: &Wish) -> Result<Order, Option<Decision>> {
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
            ordered.iter().any(|step| step.params.step().needs().contains(&p.step()))
                && !ordered.iter().any(|step| step.params.step() == p.step())
        };
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
        let Ok(class) = validate::class(wish, self.fallen_back(wish), self.input.config) else { return Err(None) };
        let deadlines = Deadlines { run: wish.run, start: wish.start, wall: wish.start + wish.run + GRACE + GUARD, grace: GRACE };
        Ok(Order { attempt, unit, source, sha256: wish.sha256.clone(), steps: ordered, given, class: class.clone(), deadlines })
    }
}

fn planned_message(attempt: &AttemptStatus) -> String {
    format!("attempt {} does {}", attempt.number, attempt.steps.join(", "))
}

fn working(attempt: &AttemptStatus) -> String {
    format!("attempt {} works on {}", attempt.number, attempt.steps.join(", "))
}
