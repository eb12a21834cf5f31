//! What every behaviour is shown on: a cluster, Jobs of the probe, and waiting for their pods. I/O: the API server.

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStateTerminated, Pod},
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use showrunner_e2e::{cluster::Cluster, titles::Namespaced};
use std::time::Duration;

/// How long most things may take, on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// On pods that are to be looked at after their end.
pub(crate) const FINALIZER: &str = "showrunner.dev/test";
/// The one container of every Job here.
const CONTAINER: &str = "probe";

pub(crate) struct Bed {
    pub(crate) backend: &'static str,
    pub(crate) cluster: Cluster,
    pub(crate) client: kube::Client,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) image: String,
}

impl Bed {
    pub(crate) fn start(backend: &'static str) -> Result<Self> {
        let node = if backend == "process" { "process" } else { "container" };
        let cluster = Cluster::start_with(&format!("showrunner-{backend}"), false, node)?;
        let text = |output: std::process::Output| Ok::<_, anyhow::Error>(String::from_utf8(output.stdout)?.trim().to_owned());
        let archive = text(cluster.script("archive", &["probe"])?)?;
        let image = text(cluster.script("load", &[&archive])?)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let client = runtime.block_on(cluster.client())?;
        Ok(Self { backend, cluster, client, runtime, image })
    }

    /// A namespace with one Job in it, whose only pod runs the probe with these arguments; `changes` are made to its pod
    /// template by pointer.
    pub(crate) async fn job(&self, test: &str, arguments: &[&str], changes: &[(&str, Value)]) -> Result<Case> {
        let case = Case { space: Namespaced::make(self.client.clone(), test).await? };
        case.make(&self.image, arguments, changes).await?;
        Ok(case)
    }
}

/// One behaviour's namespace and Job.
pub(crate) struct Case {
    pub(crate) space: Namespaced,
}

impl Case {
    pub(crate) async fn make(&self, image: &str, arguments: &[&str], changes: &[(&str, Value)]) -> Result<()> {
        let mut template = json!({
            "metadata": {"finalizers": [FINALIZER], "annotations": {"example.org/order": "the order"}},
            "spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
                "terminationGracePeriodSeconds": 5,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": CONTAINER, "image": image, "imagePullPolicy": "IfNotPresent", "args": arguments,
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                    "volumeMounts": [{"name": "order", "mountPath": "/etc/order", "readOnly": true},
                        {"name": "scratch", "mountPath": "/scratch"}],
                }],
                "volumes": [
                    {"name": "order", "downwardAPI": {"items": [
                        {"path": "order", "fieldRef": {"fieldPath": "metadata.annotations['example.org/order']"}}]}},
                    {"name": "scratch", "emptyDir": {"sizeLimit": "8Mi"}},
                ],
            },
        });
        for (pointer, value) in changes {
            let (parent, key) = pointer.rsplit_once('/').context("a pointer has a slash")?;
            template.pointer_mut(parent).with_context(|| format!("there is no {parent}"))?[key] = value.clone();
        }
        let job: Job =
            serde_json::from_value(json!({"metadata": {"name": "probe"}, "spec": {"backoffLimit": 0, "template": template}}))?;
        self.jobs().create(&PostParams::default(), &job).await?;
        Ok(())
    }

    pub(crate) fn jobs(&self) -> Api<Job> {
        Api::namespaced(self.space.client.clone(), &self.space.name)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.space.client.clone(), &self.space.name)
    }

    /// Waits until the Job's pod is as wanted; says how it stood when that took too long.
    pub(crate) async fn wait(&self, what: &str, limit: Duration, wanted: impl Fn(&Pod) -> bool) -> Result<Pod> {
        let mut stream = watcher(self.pods(), watcher::Config::default()).default_backoff().applied_objects().boxed();
        let mut last = None;
        let seen = tokio::time::timeout(limit, async {
            while let Some(pod) = stream.try_next().await? {
                if wanted(&pod) {
                    return Ok::<_, anyhow::Error>(Some(pod));
                }
                last = Some(pod);
            }
            Ok(None)
        })
        .await;
        match seen {
            Ok(Ok(Some(pod))) => Ok(pod),
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) | Err(_) => {
                bail!("no pod is {what} after {} s; the last one: {}", limit.as_secs(), serde_json::to_string_pretty(&last)?)
            }
        }
    }

    pub(crate) async fn running(&self) -> Result<Pod> {
        self.wait("running", LIMIT, |pod| phase(pod) == "Running").await
    }

    pub(crate) async fn over(&self) -> Result<Pod> {
        self.wait("over", LIMIT, |pod| matches!(phase(pod), "Succeeded" | "Failed")).await
    }

    /// Waits for a condition of the Job.
    pub(crate) async fn job_is(&self, condition: &str) -> Result<()> {
        let is = |job: Option<&Job>| {
            let conditions = job.and_then(|job| job.status.as_ref()).and_then(|status| status.conditions.as_ref());
            conditions.into_iter().flatten().any(|found| found.type_ == condition && found.status == "True")
        };
        let wait = kube::runtime::wait::await_condition(self.jobs(), "probe", is);
        tokio::time::timeout(LIMIT, wait).await.with_context(|| format!("the Job is not {condition}"))??;
        Ok(())
    }

    /// Takes our finalizer off every pod; with the Job's own gone too, nothing keeps what was deleted.
    pub(crate) async fn release(&self) -> Result<()> {
        const CONFLICT: u16 = 409;
        let began = std::time::Instant::now();
        loop {
            let mut pods = self.pods().list(&ListParams::default()).await?.items;
            pods.retain(|pod| pod.finalizers().iter().any(|name| name == FINALIZER));
            let Some(pod) = pods.first() else { return Ok(()) };
            let rest: Vec<_> = pod.finalizers().iter().filter(|name| *name != FINALIZER).collect();
            let patch = json!({"metadata": {"finalizers": rest, "resourceVersion": pod.resource_version()}});
            match self.pods().patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await {
                // The node wrote first: it has something to say of a pod that is ending, and then no more.
                Err(kube::Error::Api(status)) if status.code == CONFLICT && began.elapsed() < LIMIT => {}
                patched => drop(patched?),
            }
        }
    }

    /// Waits until there is no pod of this UID any more.
    pub(crate) async fn gone(&self, pod: &Pod) -> Result<()> {
        let uid = pod.uid().context("the pod has no uid")?;
        let deleted = kube::runtime::conditions::is_deleted(&uid);
        let name = pod.name_any();
        let gone = kube::runtime::wait::await_condition(self.pods(), &name, deleted);
        tokio::time::timeout(LIMIT, gone).await.with_context(|| format!("pod {name} is still there"))??;
        Ok(())
    }

    /// Ends the behaviour: whatever is left must be able to go.
    pub(crate) async fn end(self) -> Result<()> {
        self.jobs().delete("probe", &kube::api::DeleteParams::background()).await?;
        loop {
            match self.release().await {
                Ok(()) => return self.space.end().await,
                // Somebody else wrote in between.
                Err(error) if conflicts(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn conflicts(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<kube::Error>(), Some(kube::Error::Api(status)) if matches!(status.code, 404 | 409))
}

pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// Status and reason of a condition.
pub(crate) fn condition<'a>(pod: &'a Pod, name: &str) -> Option<(&'a str, &'a str)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions.iter().find(|condition| condition.type_ == name)?;
    Some((&condition.status, condition.reason.as_deref().unwrap_or_default()))
}

/// Reason of a wait.
pub(crate) fn waiting(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    status.state.as_ref()?.waiting.as_ref()?.reason.as_deref()
}

/// How the container ended.
pub(crate) fn terminated(pod: &Pod) -> Result<&ContainerStateTerminated> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let state = statuses.and_then(|statuses| statuses.first()).and_then(|status| status.state.as_ref());
    state.and_then(|state| state.terminated.as_ref()).with_context(|| format!("the container has not ended: {:?}", pod.status))
}

/// Start and end of a container that ran.
pub(crate) fn times(ended: &ContainerStateTerminated) -> Result<(Timestamp, Timestamp)> {
    let (start, end) = (ended.started_at.as_ref().context("no start")?.0, ended.finished_at.as_ref().context("no end")?.0);
    ensure!(start > Timestamp::UNIX_EPOCH && start <= end, "it ran from {start} to {end}");
    Ok((start, end))
}

/// Phase, exit code, reason of the container and reason of the pod, in one comparison.
pub(crate) fn ended_as(pod: &Pod, expected: (&str, i32, &str, &str)) -> Result<()> {
    let ended = terminated(pod)?;
    let reason = pod.status.as_ref().and_then(|status| status.reason.as_deref()).unwrap_or_default();
    let found = (phase(pod), ended.exit_code, ended.reason.as_deref().unwrap_or_default(), reason);
    ensure!(found == expected, "it ended as {found:?}, not as {expected:?}: {:?}", pod.status);
    Ok(())
}
