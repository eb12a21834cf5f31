//! Lets Jobs and pods go whose owner is gone.
//!
//! Writes to the API server, through [`super::Jobs`].
//!
//! Normally the owner's own controller does this before the owner goes. But a finalizer can be removed by hand, and a
//! kind's clean-up is bounded in time; what is left then has a deletion timestamp (the garbage collector sets it once the
//! API server itself says that the owner is gone) and is held by our finalizers alone. Of Jobs that timestamp is asked for
//! here; pods have one, too, when their Job was suspended, so of these the API server is asked whether their Job is gone.
//! A cache that lags behind makes an orphan of nothing.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::observe::is_over;
use super::{ActError, CancelStep, Charge, NODE_LOST_AFTER};
use crate::clock::Clock;
use crate::controller::{Kit, Reconciler};
use crate::error::{Next, ReconcileError};
use crate::names;
use crate::object::{ObjectKey, controller_of, has_finalizer};

/// How long a Job that is being deleted waits for a budget that does not answer.
const PATIENCE: Duration = Duration::from_mins(2);
/// When to look again at a pod whose Job is there and was not seen yet.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Whether an object with this UID is known to exist.
pub(crate) type KnownOwner = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Ends Jobs that nobody owns any more.
pub(crate) struct OrphanJobs {
    kit: Kit,
    known: Vec<KnownOwner>,
}

impl OrphanJobs {
    pub(crate) fn new(kit: Kit, known: Vec<KnownOwner>) -> Self {
        Self { kit, known }
    }

    fn is_orphan(&self, job: &Job) -> bool {
        let owner = controller_of(&job.metadata).map(|owner| owner.uid.as_str());
        job.metadata.deletion_timestamp.is_some()
            && has_finalizer(&job.metadata, names::FINALIZER_SETTLE)
            && !owner.is_some_and(|uid| self.known.iter().any(|known| known(uid)))
    }
}

impl Reconciler for OrphanJobs {
    type Kind = Job;
    const NAME: &'static str = "orphan-jobs";

    async fn reconcile(&self, job: Arc<Job>, now: Timestamp) -> Result<Next, ReconcileError> {
        if !self.is_orphan(&job) {
            return Ok(Next::WaitForChange);
        }
        let pods = self.kit.pod_cache.controlled_by(job.metadata.uid.as_deref().unwrap_or_default());
        let step = match self.kit.jobs.cancel(&job, &pods, Charge::Spent, &[], now).await {
            // A budget that does not answer for so long holds nobody's namespace.
            Err(ActError::Admission(_)) if deleted_for(&job, now) > PATIENCE => {
                self.kit.jobs.abandon(&job, &pods).await?;
                CancelStep::Settle
            }
            other => other?,
        };
        if step == CancelStep::Settle {
            tracing::warn!(job = %ObjectKey::of(&job.metadata), "let go of a job whose owner is gone");
        }
        Ok(match step {
            // A node that never answers is given up on by time alone.
            CancelStep::Wait => Next::At(now + NODE_LOST_AFTER),
            _ => Next::WaitForChange,
        })
    }
}

/// For how long a Job has been being deleted.
fn deleted_for(job: &Job, now: Timestamp) -> Duration {
    job.metadata.deletion_timestamp.as_ref().map_or(Duration::ZERO, |deleted| Clock::until(deleted.0, now))
}

/// Lets pods go whose Job is gone.
pub(crate) struct OrphanPods {
    kit: Kit,
}

impl OrphanPods {
    pub(crate) fn new(kit: Kit) -> Self {
        Self { kit }
    }
}

impl Reconciler for OrphanPods {
    type Kind = Pod;
    const NAME: &'static str = "orphan-pods";

    async fn reconcile(&self, pod: Arc<Pod>, now: Timestamp) -> Result<Next, ReconcileError> {
        let Some(deleted) = &pod.metadata.deletion_timestamp else { return Ok(Next::WaitForChange) };
        let owner = controller_of(&pod.metadata);
        let job = owner.and_then(|owner| self.kit.job_cache.key_of_uid(&owner.uid));
        if job.is_some() || !has_finalizer(&pod.metadata, names::FINALIZER_OBSERVE) {
            return Ok(Next::WaitForChange);
        }
        if !is_over(&pod, now) {
            return Ok(Next::At(Clock::after(deleted.0, NODE_LOST_AFTER)));
        }
        // The pod's timestamp says nothing of its Job, and a cache that lags behind would make an orphan of the pod.
        if let Some(owner) = owner {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            if !self.kit.jobs.is_gone(namespace, &owner.name, &owner.uid).await? {
                return Ok(Next::At(now + LOOK_AGAIN));
            }
        }
        tracing::warn!(pod = %ObjectKey::of(&pod.metadata), "letting go of a pod whose job is gone");
        self.kit.jobs.release_pod(&pod).await?;
        Ok(Next::WaitForChange)
    }
}
