//! The end of an installation: every Job of ours is stopped and settled, every finalizer of ours let go, and what stands
//! still then says why.
//!
//! Lists and writes through the API server, in passes; asks no store and no budget for leave. Knows no kind: what is ours
//! is told by our label, by owners and finalizers of our domain, and by the list of definitions it is given. Each write is
//! guarded by the lease, which the caller takes first, and carries the version that was read; a drain that is cut off
//! anywhere is finished by the next one. Nothing of people's is deleted.

mod decide;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::ObjectList;
use kube::{Api, Client, Resource as _};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::admission::{Admission, AdmissionError, Reservation, Settlement, Verdict, Wake};
use crate::clock::Clock;
use crate::events::{Events, Severity};
use crate::jobs::{ActError, CancelStep, Charge, Jobs, next_cancel_step};
use crate::names::{ANNOTATION_COST_ESTIMATE, FIELD_MANAGER, LABEL_MANAGED_BY, MANAGED_BY};
use crate::object::{Object as _, ObjectKey, annotation};
use crate::write::{Part, WriteError, Writer};

use decide::{MESSAGE, has_jobs, is_held, is_our_job, is_our_pod, job_of, owner_of, resource_of, told, without_ours};

pub use decide::OPERATOR_UNINSTALLED;

/// Exit code of a drain that has left something: trying again at once would end the same way.
pub const EXIT_LEFT: u8 = 3;
/// How long Jobs are given to end, unless that is more than half of the time there is; then they are let go.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Between two passes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Time for one call that is no write through the lease.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Objects per page: bounds what is held in memory.
const PAGE_SIZE: u32 = 100;
/// Writes at once.
const CONCURRENT: usize = 8;
/// Objects that are named when something is left; of the others it is said how many there are.
const MAX_NAMED: usize = 10;
/// What events say was done.
const ACTION: &str = "Uninstall";

/// What is drained, and how long that may take.
#[derive(Clone, Debug)]
pub struct DrainConfig {
    /// Namespaces that were served; none means all.
    pub namespaces: Vec<String>,
    /// Definitions of our kinds.
    pub kinds: Vec<CustomResourceDefinition>,
    /// How long Jobs are given to end.
    pub patience: Duration,
    /// How long all of it may take.
    pub limit: Duration,
}

/// Why a drain has not done all it was to do.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// An operator goes on.
    #[error(
        "failed to stop the operators within {} s: one of them still holds the lease {lease}; scale its Deployment to 0 \
         (whatever scales it up again must be stopped too), then uninstall again",
        .limit.as_secs()
    )]
    Led {
        /// Namespace and name of the lease.
        lease: ObjectKey,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The lease was lost on the way.
    #[error("failed to keep the lease: somebody else has taken it, or it could not be renewed in time; uninstall again")]
    LeaseLost,
    /// Somebody asked the drain to end.
    #[error("failed to let everything go: asked to stop before the end; uninstall again")]
    Interrupted,
    /// Something is left.
    #[error(
        "failed to let everything go within {} s; left: {left}. Cure what it says and uninstall again; the operator stays \
         stopped until then. By hand: 'helm uninstall --no-hooks', then the commands of docs/operations.md#by-hand",
        .limit.as_secs()
    )]
    Left {
        /// What.
        left: Left,
        /// How long it was tried.
        limit: Duration,
    },
}

/// What a pass has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left(Vec<String>);

impl Left {
    fn note(&mut self, what: String, result: Result<bool, WriteError>) {
        match result {
            Ok(false) => {}
            // In a conflict somebody wrote first: the next pass looks again.
            Ok(true) | Err(WriteError::Conflict { .. }) => self.0.push(what),
            Err(error) => self.0.push(format!("{what} ({error})")),
        }
    }
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = self.0.iter().take(MAX_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        f.write_str(&named)?;
        match self.0.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Scales the Deployment of the operators to nothing; one that is not there is as good. Asks until the API server has taken
/// it: the network of a pod may be there a moment later than the pod, so the caller limits the time.
pub async fn stop_operators(client: &Client, namespace: &str, deployment: &str) {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    loop {
        let error = match tokio::time::timeout(CALL_TIMEOUT, api.patch_scale(deployment, &params, &patch)).await {
            Ok(Ok(_)) => return tracing::info!(namespace, deployment, "scaled the operators to 0"),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
                return tracing::info!(namespace, deployment, "there are no operators to stop");
            }
            Ok(Err(error)) => said(&error),
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::warn!(namespace, deployment, error, "failed to scale the operators to 0; trying again");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends an installation.
pub struct Drain {
    /// Reads.
    pub client: Client,
    /// Writes.
    pub writer: Writer,
    /// Records events.
    pub events: Events,
    /// Settles what Jobs cost.
    pub admission: Arc<dyn Admission>,
    /// Clocks.
    pub clock: Clock,
    /// What, and how long.
    pub config: DrainConfig,
}

impl Drain {
    /// Passes over everything until nothing is left, or until the time is up.
    pub async fn run(&self) -> Result<(), DrainError> {
        let (began, limit) = (self.clock.mono(), self.config.limit);
        let mut last = Left(vec!["everything: the API server has not answered yet".to_owned()]);
        let mut told = BTreeSet::new();
        loop {
            let spent = self.clock.mono().saturating_sub(began);
            let forced = spent >= self.config.patience;
            let pass = tokio::time::timeout(limit.saturating_sub(spent), self.pass(&mut told, forced));
            let Ok(mut left) = pass.await else { return Err(DrainError::Left { left: last, limit }) };
            left.0.sort();
            if left.0.is_empty() {
                tracing::info!("nothing is left: no job runs and no finalizer of ours holds anything");
                return Ok(());
            }
            if left != last {
                tracing::info!(forced, count = left.0.len(), "left: {left}");
            }
            last = left;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// One step for everything. `scopes` are those whose objects have been told what is coming.
    async fn pass(&self, scopes: &mut BTreeSet<Option<String>>, forced: bool) -> Left {
        let mut left = Left::default();
        let all: Vec<Option<String>> = match self.config.namespaces.as_slice() {
            [] => vec![None],
            some => some.iter().cloned().map(Some).collect(),
        };
        for scope in all {
            let first = !scopes.contains(&scope);
            if self.scope(scope.as_deref(), first, forced, &mut left).await {
                scopes.insert(scope);
            }
        }
        left
    }

    /// One step for everything of a namespace, or of all of them; whether the objects in it have been told.
    async fn scope(&self, namespace: Option<&str>, first: bool, forced: bool, left: &mut Left) -> bool {
        let failed = |what: &str, error: &kube::Error| {
            format!("{what} in {} (failed to list them: {})", namespace.unwrap_or("all namespaces"), said(error))
        };
        let ours = ListParams::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGED_BY}"));
        let jobs = match all::<Job>(&self.api(namespace), &ours).await {
            Ok(jobs) => jobs.into_iter().filter(is_our_job).collect::<Vec<_>>(),
            Err(error) if self.is_gone(namespace, &error).await => return true,
            Err(error) => {
                left.0.push(failed("Jobs", &error));
                return false;
            }
        };
        let pods = match all::<Pod>(&self.api(namespace), &ours).await {
            Ok(pods) => pods.into_iter().filter(|pod| is_our_pod(pod, &jobs)).map(Arc::new).collect::<Vec<_>>(),
            Err(error) => {
                left.0.push(failed("pods", &error));
                return false;
            }
        };
        // First of all what is coming: whoever finds a Job gone must find why. Then again when the Jobs are gone, or when
        // some do not go: that must not hold the others.
        if first || forced || jobs.is_empty() {
            for (kind, everywhere) in self.config.kinds.iter().filter_map(resource_of) {
                let within = namespace.filter(|_| !everywhere);
                if let Err(error) = self.objects(within, &kind, &jobs, left).await {
                    // What is in no namespace may be nothing that this installation may touch, and then it never has.
                    if everywhere && matches!(&error, kube::Error::Api(status) if status.code == 403) {
                        continue;
                    }
                    left.0.push(failed(&kind.kind, &error));
                    if first && !forced {
                        return false;
                    }
                }
            }
        }
        let now = self.clock.now();
        let ends: Vec<_> = futures::stream::iter(&jobs)
            .map(|job| async { (job.describe(), self.job(job, &pods, forced, now).await) })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        let orphans = pods.iter().filter(|pod| job_of(pod, &jobs).is_none());
        let more: Vec<_> = futures::stream::iter(orphans)
            .map(|pod| async { (pod.describe(), self.orphan(pod, forced, now).await) })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        for (what, result) in ends.into_iter().chain(more) {
            left.note(what, result);
        }
        true
    }

    /// One step of ending a Job; whether it is still to be waited for.
    async fn job(&self, job: &Job, pods: &[Arc<Pod>], forced: bool, now: Timestamp) -> Result<bool, WriteError> {
        let (held, deleted) = (is_held(&job.metadata), job.metadata.deletion_timestamp.is_some());
        match next_cancel_step(job, pods, now) {
            // The list of pods is of this very pass: what they cost is on record.
            CancelStep::Settle | CancelStep::Delete | CancelStep::Done if held => {
                let job = written(self.jobs().let_go(job, Charge::Spent, &[], Duration::ZERO).await)?;
                self.free(&job).await?;
            }
            CancelStep::Settle | CancelStep::Delete => self.writer.delete_exact(job).await?,
            // Others hold it: that is not ours to wait for.
            CancelStep::Done => return Ok(!forced),
            _ if forced && deleted && !held => return Ok(false),
            _ if forced => Box::pin(self.force(job, pods)).await?,
            _ => {
                written(self.jobs().cancel(job, pods, Charge::Spent, &[], now).await)?;
            }
        }
        Ok(true)
    }

    /// Lets a Job and its pods go whatever they do: its node may be gone, and nobody waits for ever.
    async fn force(&self, job: &Job, pods: &[Arc<Pod>]) -> Result<(), WriteError> {
        let own = |pod: &&Arc<Pod>| job_of(pod, std::slice::from_ref(job)).is_some();
        if !is_held(&job.metadata) {
            for pod in pods.iter().filter(own).filter(|pod| is_held(&pod.metadata)) {
                self.let_go(pod).await?;
            }
            return self.writer.delete_exact(job).await;
        }
        let job = self.free(&written(self.jobs().abandon(job, pods).await)?).await?;
        let note = format!(
            "{} had not ended {} s after the uninstall began: it was let go and is charged its upper bound, {}",
            job.describe(),
            self.config.patience.as_secs(),
            annotation(&job.metadata, ANNOTATION_COST_ESTIMATE).unwrap_or("which is what was reserved")
        );
        tracing::warn!("{note}");
        self.events.publish_about(owner_of(&job), Severity::Warning, "Released", ACTION, &note).await;
        self.writer.delete_exact(&job).await
    }

    /// The Job without whatever else of ours may hold it.
    async fn free(&self, job: &Job) -> Result<Job, WriteError> {
        if !is_held(&job.metadata) {
            return Ok(job.clone());
        }
        self.writer.patch_versioned(job, without_ours(&job.metadata)).await
    }

    /// One step of ending a pod whose Job is gone; whether it is still to be waited for.
    async fn orphan(&self, pod: &Pod, forced: bool, now: Timestamp) -> Result<bool, WriteError> {
        let (held, deleted) = (is_held(&pod.metadata), pod.metadata.deletion_timestamp.is_some());
        if !deleted {
            self.writer.delete_exact(pod).await?;
        } else if held && (forced || crate::jobs::observe::is_over(pod, now)) {
            self.let_go(pod).await?;
        } else if !held && forced {
            // Asked to end and held by nobody of ours: its node has the last word, if there still is one.
            return Ok(false);
        }
        Ok(true)
    }

    async fn let_go(&self, pod: &Pod) -> Result<(), WriteError> {
        match self.writer.patch_versioned(pod, without_ours(&pod.metadata)).await {
            Ok(_) | Err(WriteError::Gone { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn jobs(&self) -> Jobs {
        Jobs::new(self.writer.clone(), Arc::new(Patient(Arc::clone(&self.admission))), None)
    }

    /// One step for all objects of a kind, page by page.
    async fn objects(&self, namespace: Option<&str>, kind: &ApiResource, jobs: &[Job], left: &mut Left) -> kube::Result<()> {
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, kind),
            None => Api::all_with(self.client.clone(), kind),
        };
        let mut params = ListParams::default().limit(PAGE_SIZE);
        loop {
            let page = match page(&api, &params).await {
                // A kind that is not installed has no objects.
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                other => other?,
            };
            let next = page.metadata.continue_.filter(|token| !token.is_empty());
            let ends: Vec<_> = futures::stream::iter(page.items)
                .map(|object| async {
                    let what = format!("{} {}", kind.kind, ObjectKey::of(&object.metadata));
                    (what, self.object(kind, object, jobs).await)
                })
                .buffer_unordered(CONCURRENT)
                .collect()
                .await;
            for (what, result) in ends {
                left.note(what, result);
            }
            match next {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(()),
            }
        }
    }

    /// Tells an object that it stands still and lets it go once it has no Jobs; whether it is still to be waited for.
    async fn object(&self, kind: &ApiResource, mut object: DynamicObject, jobs: &[Job]) -> Result<bool, WriteError> {
        if let Some(conditions) = told(&object, self.clock.now()) {
            let patch = json!({ "status": { "conditions": conditions } });
            match self.writer.patch_dynamic(kind, &object, Part::Status, patch).await {
                Ok(written) => {
                    object = written;
                    let regarding = object.object_ref(kind);
                    self.events.publish_about(regarding, Severity::Warning, OPERATOR_UNINSTALLED, ACTION, MESSAGE).await;
                }
                // An object that may not be told is let go all the same.
                Err(error @ (WriteError::Rejected { .. } | WriteError::Invalid { .. })) => {
                    tracing::warn!(%error, "letting go of an object that does not say why it stands still");
                }
                Err(WriteError::Gone { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        if !is_held(&object.metadata) {
            return Ok(false);
        }
        if has_jobs(&object.metadata, jobs) {
            return Ok(true);
        }
        match self.writer.patch_dynamic(kind, &object, Part::Object, without_ours(&object.metadata)).await {
            Ok(_) | Err(WriteError::Gone { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a list was refused because the namespace, and with it our role there, is gone.
    async fn is_gone(&self, namespace: Option<&str>, error: &kube::Error) -> bool {
        let (Some(namespace), kube::Error::Api(status)) = (namespace, error) else { return false };
        let api: Api<Namespace> = Api::all(self.client.clone());
        let found = tokio::time::timeout(CALL_TIMEOUT, api.get_opt(namespace)).await;
        status.code == 403 && matches!(found, Ok(Ok(None)))
    }

    fn api<K: crate::object::Object>(&self, namespace: Option<&str>) -> Api<K> {
        K::api(self.client.clone(), namespace)
    }
}

/// A budget that does not answer keeps what was reserved, which is the upper bound: a drain waits for none.
struct Patient(Arc<dyn Admission>);

impl Admission for Patient {
    fn reserve<'a>(&'a self, reservation: &'a Reservation) -> BoxFuture<'a, Result<Verdict, AdmissionError>> {
        self.0.reserve(reservation)
    }

    fn settle<'a>(&'a self, settlement: &'a Settlement) -> BoxFuture<'a, Result<(), AdmissionError>> {
        async move {
            if let Err(error) = self.0.settle(settlement).await {
                let (job, cost) = (&settlement.work.job, settlement.spent);
                tracing::warn!(%job, %cost, %error, "going on without a settlement");
            }
            Ok(())
        }
        .boxed()
    }

    fn wake_by(&self, kind: &str, wake: Wake) {
        self.0.wake_by(kind, wake);
    }

    fn forget(&self, job: &ObjectKey) {
        self.0.forget(job);
    }
}

/// What became of a write; nothing here waits for a budget.
fn written<T>(result: Result<T, ActError>) -> Result<T, WriteError> {
    result.map_err(|error| match error {
        ActError::Write(error) => error,
        ActError::Admission(error) => WriteError::Invalid { object: "a settlement".to_owned(), message: error.to_string() },
    })
}

/// All objects of a list, without the managedFields.
async fn all<K: crate::object::Object>(api: &Api<K>, params: &ListParams) -> kube::Result<Vec<K>> {
    let mut params = params.clone().limit(PAGE_SIZE);
    let mut all = Vec::new();
    loop {
        let page = page(api, &params).await?;
        all.extend(page.items.into_iter().map(|mut object| {
            object.meta_mut().managed_fields = None;
            object
        }));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(all),
        }
    }
}

/// An error in the API server's own words, where it has any.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => crate::conditions::clean(&status.message),
        other => crate::conditions::clean(&other.to_string()),
    }
}

/// One page, or an error that says that there was no answer.
async fn page<K: Clone + DeserializeOwned + std::fmt::Debug>(api: &Api<K>, params: &ListParams) -> kube::Result<ObjectList<K>> {
    match tokio::time::timeout(CALL_TIMEOUT, api.list(params)).await {
        Ok(answer) => answer,
        Err(_) => Err(kube::Error::Service("no answer in time".into())),
    }
}

#[cfg(test)]
mod tests;
