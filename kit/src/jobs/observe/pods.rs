//! Pods of a Job: whose they are, whether they run, have ended, or are lost. Pure.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, Pod};

use super::record::word;
use crate::clock::Clock;
use crate::conditions::clean;
use crate::names::{self, WORKER_CONTAINER};
use crate::object::{has_finalizer, is_controlled_by};

/// How long after a pod should have ended its node is given to say so.
pub const NODE_LOST_AFTER: Duration = Duration::from_mins(5);
/// The same for a pod that was asked to end because its node does not answer: that has been waited for already.
pub const NODE_SILENT_AFTER: Duration = Duration::from_secs(30);

/// Pods of this Job, oldest first.
pub(super) fn own_pods<'a>(job: &Job, pods: &'a [Arc<Pod>]) -> Vec<&'a Pod> {
    let mut own: Vec<&Pod> = pods.iter().map(AsRef::as_ref).filter(|pod| is_of(job, pod)).collect();
    own.sort_by_key(|pod| (pod.metadata.creation_timestamp.as_ref().map(|time| time.0), pod.metadata.name.clone()));
    own
}

fn is_of(job: &Job, pod: &Pod) -> bool {
    job.metadata.uid.as_deref().is_some_and(|uid| is_controlled_by(&pod.metadata, uid))
}

pub(super) fn has_live_pods(job: &Job, own: &[&Pod], now: Timestamp) -> bool {
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
pub(super) fn is_lost(pod: &Pod, now: Timestamp) -> bool {
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

/// Pods of this Job that still have our finalizer and of which everything is known that will ever be.
pub(in crate::jobs) fn releasable<'a>(job: &Job, pods: &'a [Arc<Pod>], now: Timestamp) -> Vec<&'a Arc<Pod>> {
    let own = pods.iter().filter(|pod| is_of(job, pod));
    own.filter(|pod| has_finalizer(&pod.metadata, names::FINALIZER_OBSERVE) && is_over(pod, now)).collect()
}

/// Pods of this Job that run or could run, and that nobody has asked to end.
pub(in crate::jobs) fn undeleted<'a>(job: &Job, pods: &'a [Arc<Pod>]) -> Vec<&'a Arc<Pod>> {
    let own = pods.iter().filter(|pod| is_of(job, pod));
    own.filter(|pod| pod.metadata.deletion_timestamp.is_none() && !is_terminal(pod)).collect()
}

fn is_bound(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|node| !node.is_empty())
}

pub(super) fn worker_state(pod: &Pod) -> Option<&ContainerState> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == WORKER_CONTAINER)?.state.as_ref()
}

pub(super) fn started(pod: &Pod) -> Option<Timestamp> {
    let state = worker_state(pod)?;
    let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    let ended = state.terminated.as_ref().and_then(|ended| ended.started_at.as_ref());
    // The kubelet writes the epoch for a container that was ended before it could start.
    running.or(ended).map(|time| time.0).filter(|at| *at > Timestamp::UNIX_EPOCH)
}

/// Why a pod's container does not run yet.
pub(super) fn waiting(pod: &Pod) -> (String, String) {
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
