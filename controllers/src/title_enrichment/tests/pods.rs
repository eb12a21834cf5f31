//! What the cluster does in the world in memory: Jobs are created and ended, pods follow their script.

use showrunner_contracts::{
    Digest, Document as _,
    result::{Failure, Outcome, Reason, RunRecord, StepOutcome, Termination, UnitResult},
    step::Step,
};
use showrunner_kit::jobs::{Cause, Charge, JobState, PodRecord};

use super::fixtures::{media, step_result};
use super::world::{FakeJob, Script, Taken, UID, World, seal};
use crate::title_enrichment::decide::Order;
use crate::title_enrichment::layout;

impl World {
    pub(super) fn create(&mut self, order: Order) {
        let name = order.attempt.job.clone();
        if self.jobs.contains_key(&name) {
            return;
        }
        assert!(!self.names.contains(&name), "a name that was used before is used again");
        let uid = format!("{name}-{}", self.names.len());
        self.names.push(name.clone());
        self.classes.push(order.class.name.clone());
        let script = if self.scripts.is_empty() { Script::Work } else { self.scripts.remove(0) };
        self.jobs.insert(
            name,
            FakeJob {
                order,
                state: JobState::Suspended,
                admitted: 0,
                admitted_at: None,
                held: true,
                pods_held: false,
                settled: 0,
                script,
                seal: if self.squatted { seal("squatter", "3") } else { seal(&uid, "1") },
                taken: Taken::default(),
                late: false,
                ran: false,
                forged_records: false,
            },
        );
    }

    /// One step of ending a Job, as the kit does it.
    pub(super) fn end(&mut self, name: &str, charge: Charge) {
        let job = self.jobs.get_mut(name).unwrap();
        match &job.state {
            JobState::Pending { .. } | JobState::Running { .. } => {
                job.state = JobState::Stopping;
                job.admitted_at = None;
            }
            // The job controller says that it is suspended; of its pod nothing more is heard.
            JobState::Lost { .. } => job.state = JobState::Suspended,
            JobState::Stopping => {}
            _ if job.pods_held => job.pods_held = false,
            _ if job.held && !job.taken.finalizer => {
                job.held = false;
                job.settled += 1;
                self.charged.push((name.to_owned(), charge));
            }
            _ => {
                self.jobs.remove(name);
            }
        }
    }

    /// Pods go on by one step. Says whether something moved.
    pub(super) fn pods(&mut self) -> bool {
        let mut moved = false;
        for name in self.jobs.keys().cloned().collect::<Vec<_>>() {
            let mut job = self.jobs[&name].clone();
            let next = match (&job.state, &job.script) {
                (JobState::Stopping, _) => JobState::Suspended,
                (JobState::Pending { reason, .. }, Script::NeverStarts(why)) if reason != why => {
                    JobState::Pending { reason: (*why).into(), message: "0/1 nodes".into() }
                }
                (JobState::Pending { .. }, Script::NeverStarts(_)) | (JobState::Running { .. }, Script::Hangs) => continue,
                (JobState::Pending { .. }, _) => {
                    (job.pods_held, job.ran) = (true, true);
                    JobState::Running { since: self.now }
                }
                (JobState::Running { .. }, script) => {
                    let script = script.clone();
                    self.work(&job, &script)
                }
                _ => continue,
            };
            moved = true;
            job.state = next;
            self.jobs.insert(name, job);
        }
        moved
    }

    /// What a pod does from start to end.
    fn work(&mut self, job: &FakeJob, script: &Script) -> JobState {
        let folder = layout::attempt_folder(&job.order.unit, UID, job.order.attempt.number);
        let commits = |step: Step| match script {
            Script::Dies(steps, _) | Script::NodeGone(steps) => steps.contains(&step),
            Script::Fails(steps, _) => !steps.contains(&step),
            Script::NoSound => !step.hears(),
            _ => true,
        };
        let mut told = Vec::new();
        for ordered in &job.order.steps {
            let step = ordered.params.step();
            let outcome = if commits(step) {
                let bytes = self
                    .results
                    .entry(ordered.key.clone())
                    .or_insert_with(|| step_result(step, &ordered.key, &folder).to_bytes());
                Outcome::Done { result: Digest::of(bytes) }
            } else {
                match script {
                    Script::NoSound => Outcome::Skipped(Reason::NoSound),
                    Script::Fails(_, reason) => Outcome::Failed(Failure::new(*reason, "as the script says")),
                    _ => continue,
                }
            };
            told.push(StepOutcome { step, key: ordered.key.clone(), outcome, wall_ms: 1200, cpu_ms: None });
        }
        let record = |message: String, exit_code| PodRecord {
            pod: "pod".into(),
            node: "node".into(),
            class: job.order.class.name.clone(),
            started: Some(self.now),
            finished: Some(self.now),
            exit_code: Some(exit_code),
            cause: None,
            reason: String::new(),
            message,
        };
        if let Script::NodeGone(_) = script {
            return JobState::Lost { record: PodRecord { finished: None, exit_code: None, ..record(String::new(), 0) } };
        }
        if let Script::Dies(_, cause) = script {
            return JobState::Failed { cause: *cause, message: "gone".into(), record: Some(record(String::new(), 137)) };
        }
        let failed = told.iter().any(|told| matches!(told.outcome, Outcome::Failed(_)));
        let report = UnitResult {
            schema: UnitResult::SCHEMA.into(),
            unit_key: job.order.unit.clone(),
            attempt: u32::try_from(job.order.attempt.number).unwrap(),
            media: Some(media()),
            steps: told,
            run: RunRecord::default(),
        };
        let bytes = report.to_bytes();
        let message = serde_json::to_string(&Termination::Result(Digest::of(&bytes))).unwrap();
        let ended = record(message, if failed { 10 } else { 0 });
        self.reports.insert(folder, bytes);
        if failed {
            JobState::Failed { cause: Cause::ExitCode(10), message: String::new(), record: Some(ended) }
        } else {
            JobState::Succeeded { record: Some(ended) }
        }
    }
}
