//! Job and pods -> what has become of the attempt.
//!
//! Pure.

mod pods;
mod record;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use crate::clock::Clock;
use crate::conditions::clean;
use crate::names;
use crate::object::annotation;

pub(crate) use pods::is_over;
pub use pods::{NODE_LOST_AFTER, NODE_SILENT_AFTER, is_terminal, lost_at};
use pods::{has_live_pods, is_lost, own_pods, started, waiting};
pub(super) use pods::{releasable, undeleted};
pub use record::{Cause, MAX_RECORDS, MAX_TERMINATION_MESSAGE, PodRecord, believed, record, record_digests, records};

/// How long after the end of a Job its pod may stay unseen before it counts as vanished.
pub const POD_SEEN_WITHIN: Duration = Duration::from_secs(30);

/// Where an attempt is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not admitted, and no pod of it is left.
    Suspended,
    /// Admitted, and no container runs yet.
    Pending {
        /// Why, in the kubelet's or scheduler's words: `Unschedulable`, `ImagePullBackOff`, `ContainerCreating`, ...
        reason: String,
        /// More of it; cleaned.
        message: String,
    },
    /// The container runs, or has ended and the Job does not say so yet.
    Running {
        /// Start of the container.
        since: Timestamp,
    },
    /// Suspended or deleted, and a pod of it is still there.
    Stopping,
    /// Exit code 0.
    Succeeded {
        /// What is known of the pod.
        record: Option<PodRecord>,
    },
    /// It should have ended, and its node does not say so. Kubernetes waits until the node is back or its Node object is
    /// gone; for us the attempt is over, although its pod may still run there. What it commits after this is no harm:
    /// results are written once, by whoever is first, and every attempt has a folder of its own.
    Lost {
        /// What is known of the pod; it has no end.
        record: PodRecord,
    },
    /// It will not run (again).
    Failed {
        /// Whose fault.
        cause: Cause,
        /// For people; cleaned.
        message: String,
        /// What is known of the pod.
        record: Option<PodRecord>,
    },
}

/// Whether an attempt has waited too long for a running container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It does not wait.
    No,
    /// Not yet: then.
    Due(Timestamp),
    /// Yes.
    Now,
}

/// What has become of an attempt. `pods` may hold others' pods; those are ignored.
pub fn observe(job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> JobState {
    let pods = own_pods(job, pods);
    let latest = pods.last().copied();
    if let Some(ended) = ended_at(job).filter(|_| is_ahead(job, &pods, now)) {
        return JobState::Running { since: latest.and_then(started).unwrap_or(ended) };
    }
    let record = || latest.map(|pod| record(job, pod)).or_else(|| records(job).pop());
    if job_condition(job, "Complete").is_some() {
        return JobState::Succeeded { record: record() };
    }
    if let Some((reason, message)) = job_condition(job, "Failed") {
        let record = record();
        let cause = match (&record, reason) {
            (Some(PodRecord { started: None, .. }) | None, "DeadlineExceeded") => Cause::NeverStarted,
            (_, "DeadlineExceeded") => Cause::WallDeadline,
            (Some(record), _) => record.cause.unwrap_or(Cause::Unknown),
            (None, _) => Cause::PodVanished,
        };
        let said = record.as_ref().map_or("", |record| record.message.as_str());
        let message = clean(if said.is_empty() { message } else { said });
        return JobState::Failed { cause, message, record };
    }
    if is_suspended(job) || job.metadata.deletion_timestamp.is_some() {
        return if has_live_pods(job, &pods, now) { JobState::Stopping } else { JobState::Suspended };
    }
    if let Some(pod) = latest.filter(|pod| is_lost(pod, now)) {
        return JobState::Lost { record: self::record(job, pod) };
    }
    if let Some(since) = latest.and_then(started) {
        return JobState::Running { since };
    }
    let none =
        || ("NoPod".to_owned(), "the job controller has made no pod yet; if it lasts, kubectl describe the job".to_owned());
    let (reason, message) = latest.map_or_else(none, waiting);
    JobState::Pending { reason, message }
}

/// Whether an attempt has waited longer than its start deadline since it was admitted. When that was, the owner's status says:
/// what stands on the Job is for people.
pub fn start_overdue(job: &Job, state: &JobState, admitted: Option<Timestamp>, now: Timestamp) -> Overdue {
    let (JobState::Pending { .. }, Some(admitted)) = (state, admitted) else { return Overdue::No };
    let seconds = annotation(&job.metadata, names::ANNOTATION_START_DEADLINE).and_then(|text| text.parse::<u32>().ok());
    let Some(seconds) = seconds else { return Overdue::No };
    let due = Clock::after(admitted, Duration::from_secs(u64::from(seconds)));
    if due <= now { Overdue::Now } else { Overdue::Due(due) }
}

/// Whether `spec.suspend` is set.
pub fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true))
}

/// Whether the Job has ended, one way or the other.
pub fn is_finished(job: &Job) -> bool {
    job_condition(job, "Complete").is_some() || job_condition(job, "Failed").is_some()
}

/// Whether the job controller has seen the suspension and everything of it has ended. A Job that is suspended just as its
/// pod ends comes no further than the criteria: suspension takes its start time away, and without one the API server does
/// not let it be called finished, ever (seen with Kubernetes 1.35).
pub(super) fn is_quiet(job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> bool {
    let own = own_pods(job, pods);
    let has = |condition: &str| job_condition(job, condition).is_some();
    let stuck = is_suspended(job) && (has("SuccessCriteriaMet") || has("FailureTarget"));
    let seen = is_finished(job) || has("Suspended") || stuck;
    seen && !has_live_pods(job, &own, now) && !is_ahead(job, &own, now)
}

/// Whether a Job has ended and what we see of its pod is older than that: the watches of Jobs and of pods do not keep
/// step. What the pod said last, and what it cost, will be seen, for our finalizer holds it; a pod that somebody has let
/// go all the same is not waited for for long.
fn is_ahead(job: &Job, own: &[&Pod], now: Timestamp) -> bool {
    let Some(ended) = ended_at(job) else { return false };
    let counted = job.status.as_ref().map_or(0, |status| status.succeeded.unwrap_or(0) + status.failed.unwrap_or(0));
    let unseen = own.is_empty() && counted > 0 && records(job).is_empty() && now < Clock::after(ended, POD_SEEN_WITHIN);
    unseen || own.iter().any(|pod| !is_over(pod, now))
}

/// When the Job ended, by its own account.
fn ended_at(job: &Job) -> Option<Timestamp> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let ended = |type_: &str| matches!(type_, "Complete" | "Failed");
    let condition = conditions.iter().find(|condition| ended(&condition.type_) && condition.status == "True")?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// Reason and message of a condition of the Job that is `True`.
fn job_condition<'a>(job: &'a Job, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")?;
    Some((condition.reason.as_deref().unwrap_or_default(), condition.message.as_deref().unwrap_or_default()))
}
