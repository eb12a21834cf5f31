//! Jobs that are not what the operator made: seen, named, stopped, and never believed. No I/O.
//!
//! The admission policy keeps them away; this is for clusters where it is switched off. What counts stands in the status,
//! which whoever may only write Jobs cannot write: the names of the title's Jobs, the seal of the one in hand, and whether
//! it was admitted. Nothing here asks the store, so that nothing here waits for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_crds::common::condition;
use showrunner_crds::title_enrichment::{AttemptStatus, MAX_RECORD_DIGESTS, StepState, StepStatus, TitleReason};
use showrunner_kit::Next;
use showrunner_kit::clock::Clock;
use showrunner_kit::conditions::{self, Truth, Want};
use showrunner_kit::events::Severity;
use showrunner_kit::jobs::{Charge, Seal};

use super::{Act, Decision, Draft, SeenJob, Steps, UNSEEN_WITHIN, Whereabouts, amount, failure, harvest};
use crate::title_enrichment::status::Note;

/// What is wrong with a Job that somebody else made first.
const NEVER_MADE: &str = "it is not the one that the operator was to make";

/// Most Jobs that one condition names, and that one look has events for.
const MAX_NAMED: usize = 10;

/// Something that is wrong with a Job.
struct Finding {
    reason: TitleReason,
    job: String,
    /// What people are told; names the Job.
    message: String,
}

impl<'a> Draft<'a> {
    /// Jobs that the title has by its own account: the one in hand, and those of earlier attempts.
    pub(super) fn known_jobs(&self) -> Vec<&'a SeenJob> {
        self.input.jobs.iter().filter(|job| self.is_known(job)).collect()
    }

    /// In hand is also what has taken the place of the one that was made, so that it is told of as such; in the history, what
    /// has the name and another UID is not ours, and neither is what has lost its owner and was never seen.
    fn is_known(&self, job: &SeenJob) -> bool {
        let status = self.input.status;
        let is_uid = |uid: &str| uid == job.seal.uid();
        if let Some(attempt) = status.attempt.as_ref().filter(|attempt| attempt.job == job.name) {
            return job.controlled || sealed(attempt).is_some_and(|seal| is_uid(seal.uid()));
        }
        let past = status.history.iter().find(|past| past.job == job.name);
        past.is_some_and(|past| past.uid.as_deref().map_or(job.controlled, is_uid))
    }

    /// The Job in hand was made, and no cache has it: what became of it has to be known before anything else. A Job that was
    /// made a moment ago, and never let run, is only not seen yet.
    pub(super) fn look_for_job(&mut self) -> Option<Decision> {
        if !self.is_missing() || self.input.facts.found.is_some() {
            return None;
        }
        let attempt = self.status.attempt.as_ref()?;
        let new =
            attempt.admitted.is_none() && attempt.ending.is_none() && self.now < Clock::after(attempt.since.0, UNSEEN_WITHIN);
        let find = Act::Find { job: attempt.job.clone(), uid: sealed(attempt)?.uid().to_owned() };
        (!new).then(|| self.first(find))
    }

    fn is_missing(&self) -> bool {
        self.job().is_none() && self.status.attempt.as_ref().and_then(sealed).is_some()
    }

    /// Whether the Job in hand is there although it is not seen.
    pub(super) fn is_somewhere(&self) -> bool {
        self.is_missing() && self.input.facts.found != Some(Whereabouts::Gone)
    }

    /// The Job in hand is gone, and it was not let go by us: who has let it go has not said what it cost. A title that is
    /// deleted, and an uninstall, let theirs go without an end of the attempt.
    pub(super) fn write_off(&mut self) -> Option<Decision> {
        if self.input.title.deleting.is_some() || !self.is_missing() || self.is_somewhere() {
            return None;
        }
        let attempt = self.status.attempt.as_mut()?;
        let ending = attempt.ending.get_or_insert_with(|| failure::JOB_DELETED.to_owned());
        if ending.as_str() == failure::UNINSTALLED || attempt.admitted.is_none() || self.input.facts.written_off {
            return None;
        }
        let (job, bound) = (attempt.job.clone(), attempt.cost_estimate.as_deref().and_then(amount)?);
        Some(self.only(vec![Act::WriteOff { job, bound }], Vec::new()))
    }

    /// What is known of a Job's pods is told before they are let go.
    pub(super) fn note_records(&mut self, job: &SeenJob) {
        let in_hand = self.status.attempt.as_mut().filter(|attempt| attempt.job == job.name && attempt.seal.is_some());
        let past = self.status.history.iter_mut().find(|past| past.job == job.name && past.uid.is_some());
        let told = in_hand.map(|attempt| &mut attempt.records).or_else(|| past.map(|past| &mut past.records));
        let Some(told) = told else { return };
        for record in &job.records {
            if !told.contains(record) && told.len() < MAX_RECORD_DIGESTS {
                told.push(record.clone());
            }
        }
    }

    /// Names and stops what is not the operator's; none when there is nothing new of it.
    pub(super) fn guard(&mut self) -> Option<Decision> {
        let before = self.status.clone();
        self.reclaim();
        let mut findings: Vec<Finding> = self.altered().into_iter().collect();
        findings.extend(self.strangers());
        self.tell_of(&findings);
        if self.status == before && self.acts.is_empty() {
            return None;
        }
        let told = conditions::get(&before.conditions, condition::TAMPERED).map_or("", |told| told.message.as_str());
        let news = findings.iter().filter(|finding| self.status != before && !told.contains(&finding.job)).take(MAX_NAMED);
        let note =
            |finding: &Finding| Note { severity: Severity::Warning, reason: finding.reason, message: finding.message.clone() };
        let notes = news.map(note).collect();
        let acts = std::mem::take(&mut self.acts);
        Some(self.only(acts, notes))
    }

    /// This, and nothing more for now.
    fn only(&self, acts: Vec<Act>, notes: Vec<Note>) -> Decision {
        let status = self.status.clone();
        Decision::Do(Box::new(Steps { status, verdict: None, notes, acts, next: Next::WaitForChange }))
    }

    /// Jobs that say they are this title's: they are suspended and left for a person to look at.
    fn strangers(&mut self) -> Vec<Finding> {
        let strangers = self.input.jobs.iter().filter(|job| !self.is_known(job));
        // What is over, or about to be gone, and is not held by a finalizer in our name, is nothing to anybody.
        let strangers: Vec<&SeenJob> = strangers.filter(|job| job.held || !(job.finished || job.deleting)).collect();
        for job in strangers.iter().filter(|job| (job.can_run() || job.held) && !self.input.facts.disowned.contains(&job.name)) {
            self.acts.push(Act::Disown { job: job.name.clone() });
        }
        let finding = |job: &&SeenJob| Finding {
            reason: TitleReason::JobForged,
            job: job.name.clone(),
            message: format!(
                "Job {} says that it is this title's, and the operator has not made it: it is kept suspended and nothing is taken from it; delete it, and see who may create Jobs in this namespace",
                job.name
            ),
        };
        strangers.iter().map(finding).collect()
    }

    /// A Job in hand that our caches do not see as the title's, or that could end without a charge, is taken back. That it was
    /// changed is stored first, with the same decision.
    fn reclaim(&mut self) {
        let Some(attempt) = &self.status.attempt else { return };
        let Some(seal) = sealed(attempt) else { return };
        let taken = match self.job() {
            Some(job) => seal.uid() == job.seal.uid() && (!job.controlled || self.is_unpaid(job)),
            None => matches!(&self.input.facts.found, Some(Whereabouts::There(now)) if seal.broken_by(now).is_some()),
        };
        if taken {
            let job = attempt.job.clone();
            self.acts.push(Act::Reclaim { job });
        }
    }

    /// Whether our finalizer is off a Job that was not settled: we take it off when the attempt is over, and from the Jobs of a
    /// title that is deleted.
    fn is_unpaid(&self, job: &SeenJob) -> bool {
        let uninstalled =
            self.status.attempt.as_ref().is_some_and(|attempt| attempt.ending.as_deref() == Some(failure::UNINSTALLED));
        !(job.unsettled || job.deleting || uninstalled || self.input.title.deleting.is_some())
    }

    /// The Job in hand, when somebody else has changed it, let it run, or put another one in its place: the attempt ends.
    fn altered(&mut self) -> Option<Finding> {
        let attempt = self.status.attempt.clone()?;
        let job = self.jobs.iter().copied().find(|job| job.name == attempt.job);
        let unpaid = job.is_some_and(|job| self.is_unpaid(job));
        let open = |step: &&mut StepStatus| {
            attempt.steps.contains(&step.name) && matches!(step.state, StepState::Running | StepState::Waiting)
        };
        let mut steps = self.status.steps.iter_mut().filter(open);
        let finding = |message| Finding { reason: TitleReason::JobAltered, job: attempt.job.clone(), message };
        if attempt.ending.as_deref() == Some(failure::JOB_ALTERED) {
            let told = steps.find_map(|step| step.message.clone()).filter(|told| told.contains(&attempt.job));
            return Some(finding(
                told.unwrap_or_else(|| format!("Job {} was changed by somebody else: it is stopped", attempt.job)),
            ));
        }
        if attempt.ending.is_some() {
            return None;
        }
        let what = match (job, &self.input.facts.found) {
            (Some(job), _) => what_is_wrong(attempt.seal.as_deref()?, attempt.admitted.as_ref(), job, self.input.facts.forged)
                .or_else(|| unpaid.then(|| "our finalizer is off it, and its cost is not settled".to_owned())),
            (None, Some(Whereabouts::There(now))) => sealed(&attempt).and_then(|seal| seal.broken_by(now)),
            // It is there by the API server's own account, and the cache does not have it yet.
            (None, _) => self.input.facts.forged.then(|| NEVER_MADE.to_owned()),
        }?;
        let message =
            format!("Job {} was changed by somebody else ({what}): it is stopped, and another one follows", attempt.job);
        for step in steps {
            step.message = Some(harvest::cut(&message, harvest::MAX_STEP_MESSAGE));
        }
        if let Some(job) = job.filter(|job| job.can_run() && self.acts.is_empty()) {
            self.acts.push(Act::End { job: job.name.clone(), charge: Charge::Worst });
        }
        if let Some(attempt) = self.status.attempt.as_mut() {
            attempt.ending = Some(failure::JOB_ALTERED.to_owned());
        }
        Some(finding(message))
    }

    fn tell_of(&mut self, findings: &[Finding]) {
        let Some((first, others)) = findings.split_first() else {
            conditions::remove(&mut self.status.conditions, condition::TAMPERED);
            return;
        };
        let mut message = first.message.clone();
        if !others.is_empty() {
            let named: Vec<&str> = others.iter().take(MAX_NAMED).map(|other| other.job.as_str()).collect();
            message = format!("{message}. Beside it {} others: {}", others.len(), named.join(", "));
        }
        let want = Want { type_: condition::TAMPERED, status: Truth::True, reason: &first.reason.to_string(), message };
        conditions::set(&mut self.status.conditions, want, self.input.title.generation, self.now);
    }

    /// An attempt of an older operator has no seal: its Job is taken as it is found.
    pub(super) fn adopt(&mut self) {
        let Some(job) = self.job().cloned() else { return };
        let now = self.now;
        if let Some(attempt) = self.status.attempt.as_mut().filter(|attempt| attempt.seal.is_none()) {
            attempt.seal = Some(job.seal.to_string());
            attempt.admitted = (!job.suspended).then_some(Time(now));
            attempt.records.clone_from(&job.records);
        }
    }

    /// What a Job is charged: of one that was changed nothing is believed, and neither is what is left of the records of its
    /// pods when one is missing.
    pub(super) fn charge(&self, job: &str) -> Charge {
        let in_hand = self.status.attempt.as_ref().filter(|attempt| attempt.job == job);
        let past = self.status.history.iter().find(|past| past.job == job);
        let outcome = in_hand.and_then(|attempt| attempt.ending.as_deref()).or(past.map(|past| past.outcome.as_str()));
        let records = in_hand.map(|attempt| &attempt.records).or(past.map(|past| &past.records));
        let seen = self.jobs.iter().find(|seen| seen.name == job);
        let is_left = |record: &String| seen.is_none_or(|seen| seen.records.contains(record));
        let altered = outcome == Some(failure::JOB_ALTERED)
            || in_hand.and_then(sealed).zip(seen).is_some_and(|(seal, seen)| seal.broken_by(&seen.seal).is_some());
        if altered || !records.is_none_or(|records| records.iter().all(is_left)) { Charge::Worst } else { Charge::Spent }
    }
}

/// What the Job of an attempt was made as; none before it is.
fn sealed(attempt: &AttemptStatus) -> Option<Seal> {
    attempt.seal.as_deref().and_then(Seal::read)
}

fn what_is_wrong(seal: &str, admitted: Option<&Time>, job: &SeenJob, forged: bool) -> Option<String> {
    let broken = Seal::read(seal).and_then(|seal| seal.broken_by(&job.seal));
    let never_made = || (forged && seal == Seal::PENDING).then(|| NEVER_MADE.to_owned());
    let let_run = || (!job.suspended && admitted.is_none()).then(|| "it was let run and its cost is not reserved".to_owned());
    broken.or_else(never_made).or_else(let_run)
}
