//! The attempt in hand: its Job made, admitted, watched, given up when it does not start. No I/O.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_contracts::Digest;
use showrunner_crds::common::condition;
use showrunner_crds::title_enrichment::{AttemptStatus, StepState, TitleEnrichmentStatus, TitleReason};
use showrunner_kit::Next;
use showrunner_kit::conditions;
use showrunner_kit::jobs::{JobState, Overdue, Seal};

use super::attempt::planned_message;
use super::{Act, Answer, Decision, Draft, Need, Planned, SeenJob, UNSEEN_WITHIN, failure, plan, spot};
use crate::title_enrichment::{layout, validate::Wish};

/// How often the progress of a running attempt is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(7);
/// What is told while the cost is being reserved.
const RESERVING: &str = "the cost of the attempt is being reserved";
/// What is told before the pod says more.
const STARTING: &str = "waits for the pod to start";

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
        if let Some(budget) = self.input.orders.stop.clone() {
            self.stop(failure::BUDGET_STOP);
            return self.stopped(&budget);
        }
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
                let look_again = Next::At((attempt.since.0 + UNSEEN_WITHIN).max(self.now + LOOK_EVERY));
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

    /// Where the attempt's Job is.
    fn own_job(&mut self, attempt: &AttemptStatus) -> Own {
        let job = self.job().cloned();
        let seal = self.input.facts.sealed.clone();
        let pending = attempt.seal.as_deref() == Some(Seal::PENDING);
        let unseen = job.is_none() && attempt.seal.is_none();
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
        if !reserved && waits_for_money(self.input.status) {
            // It held no place meanwhile, and needs one to run.
            match &self.input.seen.room {
                Answer::NotAsked => return Decision::Need(Need::Room),
                Answer::Trouble(trouble) => return self.trouble(trouble),
                Answer::Got(false) => return self.queued(),
                Answer::Got(true) => {}
            }
            self.acts.push(Act::Reserve { job: job.name.clone() });
            return self.as_before();
        }
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
                // Others may still be had on demand: that no spot machine came says nothing of them.
                let no_spot = spot::is_spot(&job.class, self.input.config) && reason != Some(TitleReason::ImageUnavailable);
                let why =
                    if no_spot { TitleReason::SpotUnavailable } else { reason.unwrap_or(TitleReason::StartDeadlineExceeded) };
                let message = match reason {
                    _ if no_spot => format!(
                        "no spot machine of class {} took the pod in time (last: {pod_reason} {pod_message}): it is tried again, on demand when the deadline leaves no more room",
                        job.class
                    ),
                    Some(_) => message,
                    None => format!("no pod started within spec.execution.startDeadline (last: {pod_reason} {pod_message})"),
                };
                if let Some(attempt) = &self.status.attempt {
                    for planned in self.planned.iter_mut().filter(|p| attempt.steps.contains(&p.status.name)) {
                        planned.status.message = Some(super::harvest::cut(&message, super::harvest::MAX_STEP_MESSAGE));
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
                let mut at_border = false;
                for planned in &mut self.planned {
                    let Some(key) = planned.key.clone().filter(|_| planned.is_open()) else { continue };
                    if let Some(Some(Ok(committed))) = found.get(&key) {
                        super::harvest::take(&mut planned.status, committed);
                        planned.status.attempts += 1;
                        at_border = true;
                    }
                }
                let is_left = |p: &&Planned| p.is_open() && attempt.steps.contains(&p.status.name);
                let left: Vec<_> = self.planned.iter().filter(is_left).map(Planned::step).collect();
                if at_border && self.leaves_spot(attempt, &left, wish) {
                    self.stop(failure::LEFT_SPOT);
                    let message = "the deadline leaves no more room for spot machines: what is left is done on demand".to_owned();
                    return self.tell(TitleReason::Planned, message, Next::WaitForChange);
                }
            }
            Answer::NotAsked | Answer::Trouble(_) => {}
        }
        let percent = progress.as_ref().map_or(0, |progress| progress.percent.min(99));
        let phase = showrunner_crds::title_enrichment::Phase::Running;
        self.verdict(phase, TitleReason::Working, working(attempt), false, percent, Next::At(self.now + LOOK_EVERY))
    }
}

/// Whether a title has a Job that waits for a budget to have room: it holds no place for Jobs in flight meanwhile.
pub(in crate::title_enrichment) fn waits_for_money(status: &TitleEnrichmentStatus) -> bool {
    let words = [TitleReason::WaitingForBudget, TitleReason::Queued].map(|reason| reason.to_string());
    let waits = || conditions::get(&status.conditions, condition::READY).is_some_and(|ready| words.contains(&ready.reason));
    status.attempt.as_ref().is_some_and(|attempt| attempt.admitted.is_none() && attempt.ending.is_none()) && waits()
}

fn working(attempt: &AttemptStatus) -> String {
    format!("attempt {} works on {}{}", attempt.number, attempt.steps.join(", "), spot::told(attempt))
}
