//! What is done to a Job after it was built: create, admit, suspend, let its pods go, settle, cancel.
//!
//! Writes to the API server, each step one write with a precondition; safe to repeat, and to stop after any of them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use super::cost::{Charge, bound, charged, unpriced};
use super::observe::{MAX_RECORDS, PodRecord, is_finished, is_quiet, is_suspended, record, records, releasable, undeleted};
use super::{JobsConfig, Seal};
use crate::admission::{Admission, AdmissionError, Orders, Reservation, Settlement, Verdict, Wake, Work};
use crate::error::ReconcileError;
use crate::money::Money;
use crate::names;
use crate::object::{Object, ObjectKey, has_finalizer, is_controlled_by, without_finalizer};
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
    job.metadata.uid.as_deref().is_some_and(|uid| is_controlled_by(&pod.metadata, uid))
        && has_finalizer(&pod.metadata, names::FINALIZER_OBSERVE)
}

/// What [`Jobs::create`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// The Job is there, and it is the one that was to be made. To be stored before it is let run.
    Sealed(Seal),
    /// The owner has a Job of this name that is not the one that was to be made: somebody else made it.
    Forged,
}

/// Why something could not be done to a Job.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The API server.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The budget.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
}

impl From<ActError> for ReconcileError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Write(error) => error.into(),
            ActError::Admission(error) => error.into(),
        }
    }
}

/// Acts on Jobs: the only one who reserves and settles what they cost. Cloning is cheap.
#[derive(Clone)]
pub struct Jobs {
    writer: Writer,
    admission: Arc<dyn Admission>,
    config: Option<Arc<JobsConfig>>,
}

impl Jobs {
    /// Acts through this writer, and accounts for it there. Without a configuration there are no prices: what was reserved
    /// for a Job whose cost cannot be read is then left as it is.
    pub fn new(writer: Writer, admission: Arc<dyn Admission>, config: Option<Arc<JobsConfig>>) -> Self {
        Self { writer, admission, config }
    }

    /// Creates a Job made by [`super::build`]; repeating it finds the one that is there, and looks whether it is the same.
    pub async fn create(&self, job: &Job, owner_uid: &str) -> Result<Made, WriteError> {
        match self.writer.create_once(job, owner_uid).await? {
            Created::New(made) => Ok(Made::Sealed(Seal::of(&made))),
            Created::Existing(there) => {
                let seal = Seal::of(&there);
                Ok(if seal.is_like(&Seal::of(job)) { Made::Sealed(seal) } else { Made::Forged })
            }
        }
    }

    /// Asks for the upper bound of what a Job may cost. To be granted, and the grant stored, before it is let run.
    pub async fn reserve(&self, job: &Job) -> Result<Verdict, AdmissionError> {
        let reservation = Reservation {
            work: Work::of(job),
            estimate: bound(job, self.config.as_deref())
                .ok_or_else(|| AdmissionError(format!("the cost of {} cannot be read", job.describe())))?,
            since: job.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |created| created.0),
            unpriced: self.config.as_deref().and_then(|config| unpriced(job, config)),
        };
        self.admission.reserve(&reservation).await
    }

    /// Upper bound of what a Job may cost; none where nobody can know.
    pub fn bound(&self, job: &Job) -> Option<Money> {
        bound(job, self.config.as_deref())
    }

    /// Lets a Job run. What it costs must be reserved before.
    pub async fn admit(&self, job: &Job, now: Timestamp) -> Result<Job, WriteError> {
        let mut patch = json!({
            "metadata": { "annotations": { names::ANNOTATION_ADMITTED_AT: now.to_string() } },
            "spec": { "suspend": false },
        });
        if crate::planted!("parallelism-raised") {
            patch["spec"]["parallelism"] = 2.into();
        }
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

    /// A Job by name, by the API server itself: ours may be where no cache of ours sees it any more.
    pub async fn find(&self, job: &ObjectKey) -> Result<Option<Job>, WriteError> {
        self.writer.get_now(&job.namespace, &job.name).await
    }

    /// Puts back what a Job of ours is found and charged by, and suspends it: the labels of our caches, its owner, our
    /// finalizer. Whoever took them off would else have a Job that nobody looks after and nobody pays for.
    pub async fn reclaim(&self, job: &Job, owner: &OwnerReference) -> Result<Job, WriteError> {
        let (deleting, meta) = (job.metadata.deletion_timestamp.is_some(), &job.metadata);
        let mut patch = json!({ "metadata": {
            "labels": { names::LABEL_MANAGED_BY: names::MANAGED_BY, names::LABEL_OWNER_UID: owner.uid },
            "ownerReferences": [owner],
        } });
        // The API server adds no finalizer to what is being deleted.
        if !deleting && !has_finalizer(meta, names::FINALIZER_SETTLE) {
            let others = meta.finalizers.iter().flatten().map(String::as_str);
            patch["metadata"]["finalizers"] = json!(others.chain([names::FINALIZER_SETTLE]).collect::<Vec<_>>());
        }
        if !deleting && !is_suspended(job) && !is_finished(job) {
            patch["spec"] = json!({ "suspend": true });
        }
        self.writer.patch_versioned(job, patch).await
    }

    /// Settles what a Job cost that is gone, and was not let go by us: its upper bound, for nobody knows what ran.
    pub async fn write_off(&self, job: &ObjectKey, bound: Money) -> Result<(), AdmissionError> {
        let settlement = Settlement { work: Work::named(job), spent: bound, bound: true, parts: Vec::new() };
        self.admission.settle(&settlement).await
    }

    /// Has owners of this kind woken when there is money for what they wait for.
    pub(crate) fn wake_by(&self, kind: &str, wake: Wake) {
        self.admission.wake_by(kind, wake);
    }

    /// What budgets ask of the work of an owner of this kind now.
    pub fn orders(&self, kind: &str, owner: &ObjectKey) -> Orders {
        self.admission.orders(kind, owner)
    }

    /// A Job is gone: it asks for no money any more.
    pub(crate) fn forget(&self, job: &ObjectKey) {
        self.admission.forget(job);
    }

    /// Takes everything of ours off a Job that only claims to be ours, and suspends it: nothing of it is recorded, charged or
    /// waited for, and whoever deletes it finds nothing in the way.
    pub async fn disown(&self, job: &Job, pods: &[Arc<Pod>]) -> Result<(), WriteError> {
        let mut patch = json!({});
        if has_finalizer(&job.metadata, names::FINALIZER_SETTLE) {
            patch["metadata"] = json!({ "finalizers": without_finalizer(&job.metadata, names::FINALIZER_SETTLE) });
        }
        if !is_suspended(job) && !is_finished(job) && job.metadata.deletion_timestamp.is_none() {
            patch["spec"] = json!({ "suspend": true });
        }
        if patch.as_object().is_some_and(|patch| !patch.is_empty()) {
            match self.writer.patch_versioned(job, patch).await {
                Ok(_) | Err(WriteError::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        for pod in pods.iter().filter(|pod| is_held(job, pod)) {
            self.release_pod(pod).await?;
        }
        Ok(())
    }

    /// Records pods that have ended on the Job, then lets them go. Returns the Job as it then is; writes nothing when no
    /// pod is waiting.
    pub async fn release_pods(&self, job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> Result<Job, WriteError> {
        let waiting = releasable(job, pods, now);
        let mut job = job.clone();
        let known = records(&job);
        let mut kept = known.clone();
        for pod in &waiting {
            let new = record(&job, pod);
            // What is seen counts for more than what is written on the Job.
            if !crate::planted!("charged-twice") {
                kept.retain(|old| old.pod != new.pod);
            }
            kept.push(new);
        }
        if kept != known {
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

    /// Lets a finished or quiet Job go: settles what it cost, sets its time to live and removes our finalizer in one patch.
    /// The harvest comes before. A conflict when a pod of it is not on record yet, by the API server's own account: our
    /// cache of pods may lag behind that of Jobs, and what the pod has cost would be lost.
    /// `parts` are the models that it worked for, each with its weight; none where nobody knows.
    pub async fn settle(&self, job: &Job, charge: Charge, parts: &[(String, u64)], ttl: Duration) -> Result<Job, ActError> {
        if !has_finalizer(&job.metadata, names::FINALIZER_SETTLE) {
            return Ok(job.clone());
        }
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
        // As our cache selects them: nobody waits for a pod that is only labelled like one of this Job, or that is never seen.
        let ours = format!("{LABEL_CONTROLLER}={uid},{}={}", names::LABEL_MANAGED_BY, names::MANAGED_BY);
        let pods: Vec<Pod> = self.writer.list_now(namespace, &ours).await?;
        if pods.iter().any(|pod| is_held(job, pod)) {
            return Err(WriteError::Conflict { object: job.describe() }.into());
        }
        self.let_go(job, charge, parts, ttl).await
    }

    /// As [`Jobs::settle`], whatever its pods do: they are let go without a record, and the Job is charged its upper bound. Nothing
    /// waits for a budget that does not answer: what stays reserved is charged once it is seen that there is no Job any more.
    pub async fn abandon(&self, job: &Job, pods: &[Arc<Pod>]) -> Result<Job, ActError> {
        for pod in pods.iter().filter(|pod| is_held(job, pod)) {
            self.release_pod(pod).await?;
        }
        match self.let_go(job, Charge::Bound, &[], Duration::ZERO).await {
            Err(ActError::Admission(error)) => {
                tracing::warn!(job = %ObjectKey::of(&job.metadata), %error, "letting go of a job without a settlement");
                Ok(self.release(job, Duration::ZERO).await?)
            }
            other => other,
        }
    }

    /// The only place where a Job is settled. A settlement may be repeated; without our finalizer it has been done.
    pub(crate) async fn let_go(
        &self,
        job: &Job,
        charge: Charge,
        parts: &[(String, u64)],
        ttl: Duration,
    ) -> Result<Job, ActError> {
        if !has_finalizer(&job.metadata, names::FINALIZER_SETTLE) {
            return Ok(job.clone());
        }
        if let Some(spent) = charged(job, charge, self.config.as_deref()) {
            let settlement = Settlement { work: Work::of(job), spent, bound: charge != Charge::Spent, parts: parts.to_vec() };
            self.admission.settle(&settlement).await?;
        }
        Ok(self.release(job, ttl).await?)
    }

    /// Takes our finalizer off a Job and sets its time to live.
    async fn release(&self, job: &Job, ttl: Duration) -> Result<Job, WriteError> {
        let patch = json!({
            "metadata": { "finalizers": without_finalizer(&job.metadata, names::FINALIZER_SETTLE) },
            "spec": { "ttlSecondsAfterFinished": i32::try_from(ttl.as_secs()).unwrap_or(i32::MAX) },
        });
        self.writer.patch_versioned(job, patch).await
    }

    /// Does the next step of ending an attempt for good, and says which.
    pub async fn cancel(
        &self,
        job: &Job,
        pods: &[Arc<Pod>],
        charge: Charge,
        parts: &[(String, u64)],
        now: Timestamp,
    ) -> Result<CancelStep, ActError> {
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
                self.settle(job, charge, parts, Duration::ZERO).await?;
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
        let patch = json!({ "metadata": { "finalizers": without_finalizer(&pod.metadata, names::FINALIZER_OBSERVE) } });
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
