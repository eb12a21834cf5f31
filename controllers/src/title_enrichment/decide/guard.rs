//! Jobs that are not what the operator made: seen, named, stopped, and never believed. No I/O.
//!
//! The admission policy keeps them away; this is for clusters where it is switched off. What counts stands in the status,
//! which whoever may only write Jobs cannot write: the names of the title's Jobs, the seal of the one in hand, and whether
//! it was admitted. Nothing here asks the store, so that nothing here waits for it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_crds::common::condition;
use showrunner_crds::title_enrichment::{StepState, StepStatus, TitleReason};
use showrunner_kit::Next;
use showrunner_kit::conditions::{self, Truth, Want};
use showrunner_kit::events::Severity;
use showrunner_kit::jobs::{Charge, Seal};

use super::types::{Act, Decision, SeenJob, Steps};
use super::{Draft, failure, harvest};
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

    fn is_known(&self, job: &SeenJob) -> bool {
        let status = self.input.status;
        let in_hand = status.attempt.as_ref().is_some_and(|attempt| attempt.job == job.name);
        job.controlled && (in_hand || status.history.iter().any(|past| past.job == job.name))
    }

    /// Names and stops what is not the operator's; none when there is nothing new of it.
    pub(super) fn guard(&mut self) -> Option<Decision> {
        let before = self.status.clone();
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
        Some(Decision::Do(Box::new(Steps {
            status: self.status.clone(),
            verdict: None,
            notes: news.map(note).collect(),
            acts: std::mem::take(&mut self.acts),
            next: Next::WaitForChange,
        })))
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

    /// The Job in hand, when somebody else has changed it, let it run, or put another one in its place: the attempt ends.
    fn altered(&mut self) -> Option<Finding> {
        let attempt = self.status.attempt.clone()?;
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
        let job = self.jobs.iter().find(|job| job.name == attempt.job);
        let what = match job {
            Some(job) => what_is_wrong(attempt.seal.as_deref()?, attempt.admitted.as_ref(), job, self.input.facts.forged),
            // It is there by the API server's own account, and the cache does not have it yet.
            None => self.input.facts.forged.then(|| NEVER_MADE.to_owned()),
        }?;
        let message =
            format!("Job {} was changed by somebody else ({what}): it is stopped, and another one follows", attempt.job);
        for step in steps {
            step.message = Some(message.chars().take(harvest::MAX_STEP_MESSAGE).collect());
        }
        if let Some(job) = job.filter(|job| job.can_run()) {
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
        }
    }

    /// What a Job is charged: of one that was changed nothing is believed.
    pub(super) fn charge(&self, job: &str) -> Charge {
        let in_hand = self.status.attempt.as_ref().filter(|attempt| attempt.job == job);
        let ended = in_hand.and_then(|attempt| attempt.ending.as_deref());
        let past = self.status.history.iter().find(|past| past.job == job).map(|past| past.outcome.as_str());
        if ended.or(past) == Some(failure::JOB_ALTERED) { Charge::Worst } else { Charge::Spent }
    }
}

fn what_is_wrong(seal: &str, admitted: Option<&Time>, job: &SeenJob, forged: bool) -> Option<String> {
    let broken = Seal::read(seal).and_then(|seal| seal.broken_by(&job.seal));
    let never_made = || (forged && seal == Seal::PENDING).then(|| NEVER_MADE.to_owned());
    let let_run = || (!job.suspended && admitted.is_none()).then(|| "it was let run and its cost is not reserved".to_owned());
    broken.or_else(never_made).or_else(let_run)
}
