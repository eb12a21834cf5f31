//! What a story is played on: people's hands and eyes in one namespace, and how it looks when the story is over.
//!
//! I/O: the API server with the administrator's rights, the store; waits on the history and the proxies.

use super::{
    cast::Leash,
    history::{Version, World},
    run::{Means, SOON},
    wire::Wire,
};
use anyhow::{Context as _, Result, bail, ensure};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use showrunner_contracts::{Digest, Document as _, manifest::TitleManifest};
use showrunner_crds::AiBudget;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Touching this annotation has an object looked at at once.
const RECONCILE_AT: &str = "showrunner.dev/reconcile-at";

/// What a story is played on.
pub struct Stage<'a> {
    pub(super) means: &'a Means,
    /// The run's namespace.
    pub namespace: String,
    pub(super) wire: Wire,
    pub(super) limit: Duration,
    pub(super) specs: Mutex<Vec<Value>>,
    pub(super) leash: Arc<Leash>,
    /// Pages of the ledger when somebody first changed the budget.
    pub(super) known_from: Mutex<Option<usize>>,
}

impl Stage<'_> {
    fn api(&self, resource: &str) -> Result<Api<DynamicObject>> {
        let kind = self.means.history.kind(resource).with_context(|| format!("there is no kind {resource}"))?;
        Ok(Api::namespaced_with(self.means.client.clone(), &self.namespace, &kind))
    }

    fn wrote(&self, object: &DynamicObject) {
        let spec = object.data["spec"].clone();
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        if specs.last() != Some(&spec) {
            specs.push(spec);
        }
    }

    /// Creates an object of ours, as a person would; gives it as it was stored.
    pub async fn create(&self, resource: &str, name: &str, spec: &Value) -> Result<Value> {
        let kind = self.means.history.kind(resource).with_context(|| format!("there is no kind {resource}"))?;
        let object = DynamicObject::new(name, &kind).data(json!({ "spec": spec }));
        let made = self.api(resource)?.create(&PostParams::default(), &object).await?;
        self.wire.old_version(made.metadata.resource_version.as_deref().unwrap_or_default());
        self.wrote(&made);
        self.recorded(resource, made).await
    }

    /// Changes an object's spec, as a person would; gives it as it was stored.
    pub async fn edit(&self, resource: &str, name: &str, spec: &Value) -> Result<Value> {
        match self.try_edit(resource, name, spec).await? {
            Ok(stored) => Ok(stored),
            Err(refusal) => bail!("the API server refuses {spec}: {refusal}"),
        }
    }

    /// As before; or what the API server says where it refuses the change.
    pub async fn try_edit(&self, resource: &str, name: &str, spec: &Value) -> Result<Result<Value, String>> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        match self.api(resource)?.patch(name, &PatchParams::default(), &patch).await {
            Ok(written) => {
                self.wrote(&written);
                Ok(Ok(self.recorded(resource, written).await?))
            }
            Err(kube::Error::Api(status)) if status.code == 422 => Ok(Err(status.message.clone())),
            Err(error) => Err(error.into()),
        }
    }

    /// An object as it is now.
    pub async fn read(&self, resource: &str, name: &str) -> Result<Value> {
        Ok(serde_json::to_value(self.api(resource)?.get(name).await?)?)
    }

    /// Waits until the history has what was written: who looks at it afterwards does not see what was before.
    async fn recorded(&self, resource: &str, written: DynamicObject) -> Result<Value> {
        let at: u64 =
            written.metadata.resource_version.as_deref().unwrap_or_default().parse().context("a version is a number")?;
        let uid = written.metadata.uid.clone().unwrap_or_default();
        let has = |version: &Version| version.resource == resource && version.uid() == uid && version.at >= at;
        let history = &self.means.history;
        history
            .until(&self.namespace, "the history has what was written", SOON, |_| {
                history.of(&self.namespace).iter().any(has).then_some(())
            })
            .await?;
        Ok(serde_json::to_value(written)?)
    }

    /// Puts an object into the store, below the run's prefix.
    pub async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.means.store.put(&format!("{}/{path}", self.namespace), bytes).await
    }

    /// Waits until the operator has made so many more writes.
    pub async fn writes(&self, count: usize) {
        self.wire.wait_writes(self.wire.writes() + count).await;
    }

    /// Waits until a pod waits for what people do.
    pub async fn pods_wait(&self) {
        self.leash.holds().await;
    }

    /// People do nothing more: pods that waited go on, and from now on all of them do their work.
    pub fn let_pods_go(&self) {
        self.leash.let_go();
    }

    /// Has every object of ours looked at at once, as a person would.
    pub async fn nudge_all(&self) -> Result<bool> {
        self.nudge(self.wire.writes().try_into().unwrap_or_default()).await
    }

    /// Changes the spec of the run's budget, as a person would.
    pub async fn edit_budget(&self, spec: &Value) -> Result<()> {
        let pages = self.means.store.list(&format!("{}/{}/", self.namespace, super::money::FOLDER)).await?.len();
        self.known_from.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(pages);
        let patch = Patch::Merge(json!({ "spec": spec }));
        let budgets: Api<AiBudget> = Api::all(self.means.client.clone());
        budgets.patch(&self.namespace, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Deletes an object, as a person would.
    pub async fn delete(&self, resource: &str, name: &str) -> Result<()> {
        self.api(resource)?.delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until the namespace's objects are as `wanted` says.
    pub async fn until(&self, what: &str, wanted: impl Fn(&World) -> bool) -> Result<()> {
        // A fault costs a fail-over, and what waits behind it.
        let limit = self.limit + SOON;
        self.means.history.until(&self.namespace, what, limit, |now| wanted(now).then_some(())).await
    }

    /// Has every object of ours looked at at once.
    pub(super) async fn nudge(&self, value: u32) -> Result<bool> {
        let now = self.means.history.now(&self.namespace);
        let ours: Vec<_> = now.all().filter(|version| version.is_ours()).cloned().collect();
        for version in &ours {
            let patch = Patch::Merge(json!({ "metadata": { "annotations": { RECONCILE_AT: value.to_string() } } }));
            self.api(&version.resource)?.patch(version.name(), &PatchParams::default(), &patch).await?;
        }
        Ok(!ours.is_empty())
    }

    /// How every object of ours ended: what must not depend on what went wrong on the way.
    pub(super) fn ending(&self) -> Value {
        let now = self.means.history.now(&self.namespace);
        let tell = |object: &Value| {
            let status = &object["status"];
            let all = |list: &Value, fields: &[&str]| -> Vec<Value> {
                let pick = |item: &Value| fields.iter().map(|field| item[field].clone()).collect();
                list.as_array().into_iter().flatten().map(pick).collect()
            };
            json!({
                "phase": status["phase"],
                "conditions": all(&status["conditions"], &["type", "status", "reason"]),
                "steps": all(&status["steps"], &["name", "state", "reason", "attempts", "lost"]),
                "history": all(&status["history"], &["number", "outcome", "counted"]),
                "published": status["published"]["digest"],
                "media": status["media"],
                "place": status["catalogue"]["state"],
            })
        };
        now.all().filter(|version| version.is_ours()).map(|version| tell(&version.object)).collect()
    }
}

impl Means {
    /// Whether what is published in a namespace is in the store, whole, and the alias shows it.
    pub async fn verify(&self, namespace: &str) -> Result<()> {
        for version in self.history.now(namespace).all().filter(|version| version.is_ours()) {
            let published = &version.object["status"]["published"];
            let (Some(digest), Some(folder)) = (published["digest"].as_str(), published["folder"].as_str()) else { continue };
            let digest: Digest = digest.parse()?;
            let bytes = self.store.read(&format!("{folder}/{}.json", digest.hex())).await?;
            ensure!(Digest::of(&bytes) == digest, "the published manifest has other bytes than its digest says");
            let alias = self.store.read(&format!("{folder}/manifest.json")).await?;
            ensure!(alias == bytes, "manifest.json is not what is published");
            for output in TitleManifest::from_bytes(&bytes)?.steps.iter().flat_map(|step| &step.outputs) {
                let file = self.store.read(&format!("{folder}/blobs/{}", output.sha256.hex())).await?;
                ensure!(Digest::of(&file) == output.sha256, "{} has other bytes than its digest says", output.name);
            }
        }
        Ok(())
    }
}
