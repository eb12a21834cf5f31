//! What is done to a Job after it was built: create, admit, suspend, let its pods go, settle, cancel.
//!
//! Writes to the API server, each step one write with a precondition; safe to repeat, and to stop after any of them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::observe::{MAX_RECORDS, PodRecord, is_finished, is_quiet, is_suspended, record, records, releasable, undeleted};
use crate::names;
use crate::object::{Object, has_finalizer};
use crate::write::{Created, WriteError, Writer};

/// The job controller's label on pods: the UID of their Job.
const LABEL_CONTROLLER: &str = "batch.kubernetes.io/controller-uid";

/// The next step of ending an attempt for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelStep {
    /// Suspend the Job.
    Suspend,
    /// The Job is being deleted already, so that suspending it stops nothing: delete its pods.
    DeletePods,
    /// Let go of pods that have ended.
    ReleasePods,
    /// Pods are still ending: wait for a change.
    Wait,
    /// Everything has ended. Settle the cost now; then our finalizer goes.
    Settle,
    /// Delete the Job.
    Delete,
    /// It is going.
    Done,
}

/// Decides the next step of ending an attempt for good.
pub fn next_cancel_step(job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> CancelStep {
    let deleted = job.metadata.deletion_timestamp.is_some();
    if !deleted && !is_suspended(job) && !is_finished(job) {
        return CancelStep::Suspend;
    }
    if deleted && !undeleted(job, pods).is_empty() {
        return CancelStep::DeletePods;
    }
    if !releasable(job, pods, now).is_empty() {
        return CancelStep::ReleasePods;
    }
    // Of a Job that is being deleted the job controller says nothing more: its pods are all there is to go by.
    let quiet = if deleted { !pods.iter().any(|pod| is_held(job, pod)) } else { is_quiet(job, pods, now) };
    match (quiet, has_finalizer(&job.metadata, names::FINALIZER_SETTLE), deleted) {
        (false, _, _) => CancelStep::Wait,
        (true, true, _) => CancelStep::Settle,
        (true, false, false) => CancelStep::Delete,
        (true, false, true) => CancelStep::Done,
    }
}

fn is_held(job: &Job, pod: &Pod) -> bool {
    job.metadata.uid.as_deref().is_some_and(|uid| crate::object::is_controlled_by(&pod.metadata, uid))
        && has_finalizer(&pod.metadata, names::FINALIZER_OBSERVE)
}

/// Acts on Jobs. Cloning is cheap.
#[derive(Clone)]
pub struct Jobs {
    writer: Writer,
}

impl Jobs {
    /// Acts through this writer.
    pub fn new(writer: Writer) -> Self {
        Self { writer }
    }

    /// Creates a Job made by [`super::build`]; repeating it finds the one that is there.
    pub async fn create(&self, job: &Job, owner_uid: &str) -> Result<Created<Job>, WriteError> {
        self.writer.create_once(job, owner_uid).await
    }

    /// Lets a Job run. What it costs must be reserved before.
    pub async fn admit(&self, job: &Job, now: Timestamp) -> Result<Job, WriteError> {
        let patch = json!({
            "metadata": { "annotations": { names::ANNOTATION_ADMITTED_AT: now.to_string() } },
            "spec": { "suspend": false },
        });
        self.writer.patch_versioned(job, patch).await
    }

    /// Takes a Job back. Its pods end; the reservation may be released once it is [`super::JobState::Suspended`].
    pub async fn suspend(&self, job: &Job) -> Result<Job, WriteError> {
        if is_suspended(job) {
            return Ok(job.clone());
        }
        let patch = json!({
            "metadata": { "annotations": { names::ANNOTATION_ADMITTED_AT: null } },
            "spec": { "suspend": true },
        });
        self.writer.patch_versioned(job, patch).await
    }

    /// Records pods that have ended on the Job, then lets them go. Returns the Job as it then is; writes nothing when no
    /// pod is waiting.
    pub async fn release_pods(&self, job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> Result<Job, WriteError> {
        let waiting = releasable(job, pods, now);
        let mut job = job.clone();
        let mut kept = records(&job);
        let known = kept.len();
        for pod in &waiting {
            let new = record(&job, pod);
            if crate::planted!("charged-twice") || !kept.iter().any(|old| old.pod == new.pod) {
                kept.push(new);
            }
        }
        if kept.len() > known {
            forget_oldest(&mut kept);
            let text = serde_json::to_string(&kept)
                .map_err(|error| WriteError::Invalid { object: job.describe(), message: error.to_string() })?;
            let patch = json!({ "metadata": { "annotations": { names::ANNOTATION_POD_RECORDS: text } } });
            job = match self.writer.patch_versioned(&job, patch).await {
                // The Job is gone, and with it the place to write to: the pods must not outlive it for that.
                Err(WriteError::Gone { .. }) => job,
                other => other?,
            };
        }
        for pod in waiting {
            self.release_pod(pod).await?;
        }
        Ok(job)
    }

    /// Lets a finished or quiet Job go: sets its time to live and removes our finalizer in one patch. Harvest and
    /// settlement come before. A conflict when a pod of it is not on record yet, by the API server's own account: our
    /// cache of pods may lag behind that of Jobs, and what the pod has cost would be lost.
    pub async fn settle(&self, job: &Job, ttl: Duration) -> Result<Job, WriteError> {
        if !has_finalizer(&job.metadata, names::FINALIZER_SETTLE) {
            return Ok(job.clone());
        }
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
        let pods: Vec<Pod> = self.writer.list_now(namespace, &format!("{LABEL_CONTROLLER}={uid}")).await?;
        if pods.iter().any(|pod| has_finalizer(&pod.metadata, names::FINALIZER_OBSERVE)) {
            return Err(WriteError::Conflict { object: job.describe() });
        }
        self.abandon(job, ttl).await
    }

    /// As [`Jobs::settle`], whatever is known of its pods.
    pub async fn abandon(&self, job: &Job, ttl: Duration) -> Result<Job, WriteError> {
        if !has_finalizer(&job.metadata, names::FINALIZER_SETTLE) {
            return Ok(job.clone());
        }
        let patch = json!({
            "metadata": { "finalizers": without(job.metadata.finalizers.as_ref(), names::FINALIZER_SETTLE) },
            "spec": { "ttlSecondsAfterFinished": i32::try_from(ttl.as_secs()).unwrap_or(i32::MAX) },
        });
        self.writer.patch_versioned(job, patch).await
    }

    /// Does the next step of ending an attempt for good and says which it was. At [`CancelStep::Settle`] the cost must
    /// have been settled before the call: ask [`next_cancel_step`] first.
    pub async fn cancel(&self, job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> Result<CancelStep, WriteError> {
        let step = next_cancel_step(job, pods, now);
        match step {
            CancelStep::Suspend => {
                self.suspend(job).await?;
            }
            CancelStep::DeletePods => {
                for pod in undeleted(job, pods) {
                    self.writer.delete_exact(pod.as_ref()).await?;
                }
            }
            CancelStep::ReleasePods => {
                self.release_pods(job, pods, now).await?;
            }
            CancelStep::Settle => {
                self.settle(job, Duration::ZERO).await?;
            }
            CancelStep::Delete => self.writer.delete_exact(job).await?,
            CancelStep::Wait | CancelStep::Done => {}
        }
        Ok(step)
    }

    /// Whether the API server itself says that this very Job is gone.
    pub(super) async fn is_gone(&self, namespace: &str, name: &str, uid: &str) -> Result<bool, WriteError> {
        self.writer.is_gone::<Job>(namespace, name, uid).await
    }

    pub(super) async fn release_pod(&self, pod: &Pod) -> Result<(), WriteError> {
        let patch = json!({ "metadata": { "finalizers": without(pod.metadata.finalizers.as_ref(), names::FINALIZER_OBSERVE) } });
        match self.writer.patch_versioned(pod, patch).await {
            Ok(_) | Err(WriteError::Gone { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Keeps the newest records, and of pods that never started no more than fit beside those that ran.
fn forget_oldest(records: &mut Vec<PodRecord>) {
    while records.len() > MAX_RECORDS {
        let oldest = records.iter().position(|record| record.started.is_none()).unwrap_or(0);
        records.remove(oldest);
    }
}

/// The finalizers but one; null when none is left.
fn without(finalizers: Option<&Vec<String>>, finalizer: &str) -> Value {
    let left: Vec<_> = finalizers.into_iter().flatten().filter(|f| *f != finalizer).collect();
    if left.is_empty() { Value::Null } else { json!(left) }
}
