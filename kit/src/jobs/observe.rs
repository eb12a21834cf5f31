//! Job and pods -> what has become of the attempt.
//!
//! Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::conditions::{clean, cut};
use crate::names::{self, WORKER_CONTAINER};
use crate::object::{annotation, has_finalizer, is_controlled_by};

/// Longest termination message that is kept, bytes; what the kubelet allows.
pub const MAX_TERMINATION_MESSAGE: usize = 4096;
/// Pods of one Job that are remembered: one that ran, and some that never started.
pub const MAX_RECORDS: usize = 4;
/// Longest reason that is kept, bytes; Kubernetes' own are words.
const MAX_REASON: usize = 100;
/// Largest record annotation that is read back: more than [`MAX_RECORDS`] of the largest have, written as JSON.
const MAX_RECORDS_BYTES: usize = 64 * 1024;
/// How long after the end of a Job its pod may stay unseen before it counts as vanished.
pub const POD_SEEN_WITHIN: Duration = Duration::from_secs(30);
/// How long after a pod should have ended its node is given to say so.
pub const NODE_LOST_AFTER: Duration = Duration::from_mins(5);
/// The same for a pod that was asked to end because its node does not answer: that has been waited for already.
pub const NODE_SILENT_AFTER: Duration = Duration::from_secs(30);

/// Where an attempt is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Not admitted, and no pod of it is left.
    Suspended,
    /// Admitted, and no container runs yet.
    Pending {
        /// Since when: admission.
        since: Option<Timestamp>,
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

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub enum Cause {
    /// It ran longer than its run deadline.
    Deadline,
    /// The Job's own guard ended it.
    WallDeadline,
    /// More memory than its limit.
    OutOfMemory,
    /// More scratch space than its limit.
    OutOfScratch,
    /// It ended with this code.
    ExitCode(i32),
    /// The node was short of something and chose this pod.
    Evicted,
    /// Preempted, drained, or its node shut down.
    Disrupted,
    /// The node went away.
    NodeLost,
    /// The pod is gone and left no trace.
    PodVanished,
    /// No container of it ever ran.
    NeverStarted,
    /// None of the above; a cause that only a newer version knows, too.
    #[serde(other)]
    Unknown,
}

impl Cause {
    /// Whether the work (or its limits) is to blame, rather than where it ran.
    pub fn blames_work(self) -> bool {
        !matches!(self, Self::Evicted | Self::Disrupted | Self::NodeLost | Self::PodVanished | Self::NeverStarted)
    }

    /// Stable reason, for conditions and events.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Deadline => "DeadlineExceeded",
            Self::WallDeadline => "WallDeadlineExceeded",
            Self::OutOfMemory => "OutOfMemory",
            Self::OutOfScratch => "OutOfScratchSpace",
            Self::ExitCode(_) => "WorkerFailed",
            Self::Evicted => "Evicted",
            Self::Disrupted => "Disrupted",
            Self::NodeLost => "NodeLost",
            Self::PodVanished => "PodVanished",
            Self::NeverStarted => "NeverStarted",
            Self::Unknown => "FailedForUnknownReason",
        }
    }
}

/// What is kept of a pod after it is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    /// Name.
    pub pod: String,
    /// Node it ran on; empty when it never got one.
    pub node: String,
    /// Accelerator class.
    pub class: String,
    /// Start of the container.
    pub started: Option<Timestamp>,
    /// End of the container. A pod that started and has no end is charged to its upper bound.
    pub finished: Option<Timestamp>,
    /// Exit code.
    pub exit_code: Option<i32>,
    /// Why it failed; none when it succeeded.
    pub cause: Option<Cause>,
    /// The kubelet's reason.
    pub reason: String,
    /// Termination message, at most [`MAX_TERMINATION_MESSAGE`] bytes. Written by the worker: not to be trusted.
    pub message: String,
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
    let since = annotation(&job.metadata, names::ANNOTATION_ADMITTED_AT).and_then(|at| at.parse().ok());
    if let Some(since) = latest.and_then(started) {
        return JobState::Running { since };
    }
    let none =
        || ("NoPod".to_owned(), "the job controller has made no pod yet; if it lasts, kubectl describe the job".to_owned());
    let (reason, message) = latest.map_or_else(none, waiting);
    JobState::Pending { since, reason, message }
}

/// Whether an admitted attempt has waited longer than its start deadline.
pub fn start_overdue(job: &Job, state: &JobState, now: Timestamp) -> Overdue {
    let JobState::Pending { since: Some(since), .. } = state else { return Overdue::No };
    let seconds = annotation(&job.metadata, names::ANNOTATION_START_DEADLINE).and_then(|text| text.parse::<u32>().ok());
    let Some(seconds) = seconds else { return Overdue::No };
    let due = Clock::after(*since, Duration::from_secs(u64::from(seconds)));
    if due <= now { Overdue::Now } else { Overdue::Due(due) }
}

/// What was recorded on the Job of pods that were let go, oldest first. An annotation that cannot be read counts as none.
pub fn records(job: &Job) -> Vec<PodRecord> {
    annotation(&job.metadata, names::ANNOTATION_POD_RECORDS)
        .filter(|text| text.len() <= MAX_RECORDS_BYTES)
        .and_then(|text| serde_json::from_str::<Vec<_>>(text).ok())
        // No more is ever written: whoever writes more writes made-up costs.
        .filter(|records| records.len() <= MAX_RECORDS)
        .unwrap_or_default()
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

/// Pods of this Job that still have our finalizer and of which everything is known that will ever be.
pub(super) fn releasable<'a>(job: &Job, pods: &'a [Arc<Pod>], now: Timestamp) -> Vec<&'a Arc<Pod>> {
    let own = pods.iter().filter(|pod| is_of(job, pod));
    own.filter(|pod| has_finalizer(&pod.metadata, names::FINALIZER_OBSERVE) && is_over(pod, now)).collect()
}

/// Pods of this Job that run or could run, and that nobody has asked to end.
pub(super) fn undeleted<'a>(job: &Job, pods: &'a [Arc<Pod>]) -> Vec<&'a Arc<Pod>> {
    let own = pods.iter().filter(|pod| is_of(job, pod));
    own.filter(|pod| pod.metadata.deletion_timestamp.is_none() && !is_terminal(pod)).collect()
}

/// The record of one pod.
pub fn record(job: &Job, pod: &Pod) -> PodRecord {
    let status = pod.status.as_ref();
    let state = worker_state(pod);
    let ended = state.and_then(|state| state.terminated.as_ref());
    let pod_reason = status.and_then(|status| status.reason.clone()).unwrap_or_default();
    let reason = ended.and_then(|ended| ended.reason.clone()).filter(|_| pod_reason.is_empty()).unwrap_or(pod_reason);
    let said = ended.and_then(|ended| ended.message.as_deref()).filter(|message| !message.is_empty());
    let message = said.or_else(|| status.and_then(|status| status.message.as_deref())).unwrap_or_default();
    PodRecord {
        pod: pod.metadata.name.clone().unwrap_or_default(),
        node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
        class: annotation(&job.metadata, names::ANNOTATION_CLASS).unwrap_or_default().to_owned(),
        started: started(pod),
        finished: ended.and_then(|ended| ended.finished_at.as_ref()).map(|time| time.0),
        exit_code: ended.map(|ended| ended.exit_code),
        cause: cause(pod),
        reason: word(&reason),
        // JSON writes six bytes for a control character, and needs none of them: last words keep their meaning without.
        message: cut(&message.replace(char::is_control, " "), MAX_TERMINATION_MESSAGE),
    }
}

/// Why a pod failed; none when it succeeded.
fn cause(pod: &Pod) -> Option<Cause> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() == Some("Succeeded") {
        return None;
    }
    let disruption = status.conditions.iter().flatten().find(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    if let Some(disruption) = disruption {
        return Some(match disruption.reason.as_deref() {
            Some("DeletionByTaintManager" | "DeletionByPodGC") => Cause::NodeLost,
            Some("TerminationByKubelet") => Cause::Evicted,
            _ => Cause::Disrupted,
        });
    }
    match status.reason.as_deref() {
        Some("DeadlineExceeded") => return Some(Cause::Deadline),
        // An eviction without a DisruptionTarget is the kubelet enforcing this pod's own storage limits.
        Some("Evicted") => return Some(Cause::OutOfScratch),
        Some("NodeLost") => return Some(Cause::NodeLost),
        Some("NodeShutdown" | "Terminated" | "Shutdown") => return Some(Cause::Disrupted),
        _ => {}
    }
    match worker_state(pod).and_then(|state| state.terminated.as_ref()) {
        Some(ended) if ended.reason.as_deref() == Some("OOMKilled") => Some(Cause::OutOfMemory),
        // "ContainerStatusUnknown" and friends: the kubelet came back and does not know.
        Some(ended) if ended.reason.as_deref() == Some("ContainerStatusUnknown") => Some(Cause::NodeLost),
        Some(ended) if ended.exit_code != 0 => Some(Cause::ExitCode(ended.exit_code)),
        Some(_) => Some(Cause::Unknown),
        None if started(pod).is_none() => Some(Cause::NeverStarted),
        None => Some(Cause::NodeLost),
    }
}

/// Why a pod's container does not run yet.
fn waiting(pod: &Pod) -> (String, String) {
    let waiting = worker_state(pod).and_then(|state| state.waiting.as_ref());
    if let Some(waiting) = waiting {
        let reason = waiting.reason.clone().unwrap_or_else(|| "Waiting".to_owned());
        return (word(&reason), clean(waiting.message.as_deref().unwrap_or_default()));
    }
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let unscheduled = conditions.into_iter().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    match unscheduled {
        Some(condition) => (
            condition.reason.as_deref().map_or_else(|| "Unschedulable".to_owned(), word),
            clean(condition.message.as_deref().unwrap_or_default()),
        ),
        None => ("Scheduling".to_owned(), String::new()),
    }
}

/// A reason as others wrote it.
fn word(reason: &str) -> String {
    cut(&clean(reason), MAX_REASON)
}

/// Pods of this Job, oldest first.
fn own_pods<'a>(job: &Job, pods: &'a [Arc<Pod>]) -> Vec<&'a Pod> {
    let mut own: Vec<&Pod> = pods.iter().map(AsRef::as_ref).filter(|pod| is_of(job, pod)).collect();
    own.sort_by_key(|pod| (pod.metadata.creation_timestamp.as_ref().map(|time| time.0), pod.metadata.name.clone()));
    own
}

fn is_of(job: &Job, pod: &Pod) -> bool {
    job.metadata.uid.as_deref().is_some_and(|uid| is_controlled_by(&pod.metadata, uid))
}

fn has_live_pods(job: &Job, own: &[&Pod], now: Timestamp) -> bool {
    let status = job.status.as_ref();
    let counted = status.map_or(0, |status| status.active.unwrap_or(0) + status.terminating.unwrap_or(0));
    // The job controller counts those as ending, for as long as nobody says that they have.
    let lost = own.iter().filter(|pod| is_lost(pod, now)).count();
    usize::try_from(counted).unwrap_or(0) > lost || own.iter().any(|pod| !is_terminal(pod) && !is_lost(pod, now))
}

/// Whether a pod has ended, by its own account.
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// Whether nothing more will be learned of a pod.
pub(crate) fn is_over(pod: &Pod, now: Timestamp) -> bool {
    let unbound = pod.metadata.deletion_timestamp.is_some() && !is_bound(pod);
    is_terminal(pod) || unbound || is_lost(pod, now)
}

/// Whether a pod should have ended for so long that its node must be gone, cut off or stuck.
fn is_lost(pod: &Pod, now: Timestamp) -> bool {
    given_up_at(pod).is_some_and(|at| at <= now)
}

/// When a pod that was asked to end counts as lost.
fn given_up_at(pod: &Pod) -> Option<Timestamp> {
    let deleted = pod.metadata.deletion_timestamp.as_ref().filter(|_| is_bound(pod) && !is_terminal(pod))?;
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    // The taint manager ends pods of nodes that have not answered for as long as the pods tolerate.
    let mut evicted = conditions.filter(|c| c.type_ == "DisruptionTarget" && c.status == "True");
    let silent = evicted.any(|c| c.reason.as_deref() == Some("DeletionByTaintManager"));
    // The deletion time of a pod has its grace period in it already.
    Some(Clock::after(deleted.0, if silent { NODE_SILENT_AFTER } else { NODE_LOST_AFTER }))
}

/// When the first of a Job's pods that were asked to end will count as lost, if nothing is heard of it before.
pub fn lost_at(job: &Job, pods: &[Arc<Pod>]) -> Option<Timestamp> {
    own_pods(job, pods).into_iter().filter_map(given_up_at).min()
}

fn is_bound(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

fn worker_state(pod: &Pod) -> Option<&ContainerState> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == WORKER_CONTAINER)?.state.as_ref()
}

fn started(pod: &Pod) -> Option<Timestamp> {
    let state = worker_state(pod)?;
    let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    let ended = state.terminated.as_ref().and_then(|ended| ended.started_at.as_ref());
    // The kubelet writes the epoch for a container that was ended before it could start.
    running.or(ended).map(|time| time.0).filter(|at| *at > Timestamp::UNIX_EPOCH)
}

/// Reason and message of a condition of the Job that is `True`.
fn job_condition<'a>(job: &'a Job, type_: &str) -> Option<(&'a str, &'a str)> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True")?;
    Some((condition.reason.as_deref().unwrap_or_default(), condition.message.as_deref().unwrap_or_default()))
}
