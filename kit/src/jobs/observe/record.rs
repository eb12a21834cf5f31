//! What is kept of a pod after it is gone, and why it failed. Pure.
//!
//! Records stand on the Job, where whoever may patch Jobs can write: they say what an attempt is charged and which result
//! counts. A record therefore counts only if the owner's status has its digest, which is written there before the pod is let
//! go. Digests, and not the records themselves: last words may have 4 KiB, and a status has 32 KiB for everything. No seal in
//! an annotation, either: that would take a secret, and somebody to keep it. What does not count is as good as not there:
//! a charge is then the upper bound, and words that nobody can vouch for are not listened to.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};

use super::pods::{is_over, own_pods, started, worker_state};
use crate::conditions::{clean, cut};
use crate::jobs::short_digest;
use crate::names;
use crate::object::annotation;

/// Longest termination message that is kept, bytes; what the kubelet allows.
pub const MAX_TERMINATION_MESSAGE: usize = 4096;
/// Pods of one Job that are remembered: one that ran, and some that never started.
pub const MAX_RECORDS: usize = 4;
/// Longest reason that is kept, bytes; Kubernetes' own are words.
const MAX_REASON: usize = 100;
/// Largest record annotation that is read back: more than [`MAX_RECORDS`] of the largest have, written as JSON.
const MAX_RECORDS_BYTES: usize = 64 * 1024;
/// Hex digits of the digest of a record.
const DIGITS: usize = 24;

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

impl PodRecord {
    /// What an owner's status keeps of it.
    pub fn digest(&self) -> String {
        short_digest(&[&serde_json::to_string(self).unwrap_or_default()], DIGITS)
    }
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

/// The Job as it counts: with no other records than those with one of these digests. None believes all of them: an older
/// operator kept no digests.
#[must_use]
pub fn believed(job: &Arc<Job>, digests: Option<&[String]>) -> Arc<Job> {
    let Some(digests) = digests else { return Arc::clone(job) };
    if annotation(&job.metadata, names::ANNOTATION_POD_RECORDS).is_none() {
        return Arc::clone(job);
    }
    let known = records(job);
    let kept: Vec<&PodRecord> = known.iter().filter(|record| digests.contains(&record.digest())).collect();
    if !kept.is_empty() && kept.len() == known.len() {
        return Arc::clone(job);
    }
    let mut job = job.as_ref().clone();
    let annotations = job.metadata.annotations.get_or_insert_default();
    match serde_json::to_string(&kept) {
        Ok(text) if !kept.is_empty() => annotations.insert(names::ANNOTATION_POD_RECORDS.to_owned(), text),
        _ => annotations.remove(names::ANNOTATION_POD_RECORDS),
    };
    Arc::new(job)
}

/// Digests of all that is known of a Job's pods: of the records on it, and of those that its pods will leave once they are
/// let go. To be stored before they are.
pub fn record_digests(job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> Vec<String> {
    let over = own_pods(job, pods).into_iter().filter(|pod| is_over(pod, now)).map(|pod| record(job, pod));
    let mut all = records(job);
    for new in over {
        all.retain(|old| old.pod != new.pod);
        all.push(new);
    }
    all.iter().map(PodRecord::digest).collect()
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

/// A reason as others wrote it.
pub(super) fn word(reason: &str) -> String {
    cut(&clean(reason), MAX_REASON)
}
