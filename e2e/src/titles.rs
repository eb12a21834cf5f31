//! `TitleEnrichment`s in tests: apply, watch, wait. I/O: the API server.

use anyhow::{Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{batch::v1::Job, core::v1::Namespace};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use serde_json::{Value, json};
use showrunner_crds::{TitleEnrichment, title_enrichment::Phase};
use std::time::Duration;

/// One test's namespace.
pub struct Namespaced {
    /// The administrator's client.
    pub client: Client,
    /// The namespace's name.
    pub name: String,
}

impl Namespaced {
    /// Makes a namespace under the restricted pod security standard, named after the test.
    pub async fn make(client: Client, test: &str) -> Result<Self> {
        let prefix: String =
            test.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(40).collect();
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {
            "generateName": format!("{}-", prefix.trim_matches('-')),
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}))?;
        let made = Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(Self { client, name: made.name_any() })
    }

    /// The namespace's titles.
    pub fn titles(&self) -> Api<TitleEnrichment> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Applies a title with this spec, as kubectl would.
    pub async fn apply(&self, name: &str, spec: Value) -> Result<TitleEnrichment> {
        let object =
            json!({"apiVersion": "showrunner.dev/v1alpha1", "kind": "TitleEnrichment", "metadata": {"name": name}, "spec": spec});
        Ok(self.titles().patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(object)).await?)
    }

    /// Waits until the title is as wanted; says how it stood when that took too long.
    pub async fn wait(
        &self,
        name: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&TitleEnrichment) -> bool,
    ) -> Result<TitleEnrichment> {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut stream = watcher(self.titles(), config).default_backoff().applied_objects().boxed();
        let mut last = None;
        let seen = tokio::time::timeout(limit, async {
            while let Some(title) = stream.try_next().await? {
                if wanted(&title) {
                    return Ok::<_, anyhow::Error>(Some(title));
                }
                last = Some(title);
            }
            Ok(None)
        })
        .await;
        match seen {
            Ok(Ok(Some(title))) => Ok(title),
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) | Err(_) => bail!(
                "{name} in {} is not {what} after {} s; it stands at:\n{}",
                self.name,
                limit.as_secs(),
                serde_json::to_string_pretty(&last.and_then(|title| title.status))?
            ),
        }
    }

    /// Waits for a phase.
    pub async fn wait_for(&self, name: &str, phase: Phase, limit: Duration) -> Result<TitleEnrichment> {
        self.wait(name, &phase.to_string(), limit, |title| {
            let status = title.status.as_ref();
            status.and_then(|s| s.phase) == Some(phase) && status.and_then(|s| s.observed_generation) == title.metadata.generation
        })
        .await
    }

    /// Waits until the Ready condition has this reason, and gives its message.
    pub async fn wait_reason(&self, name: &str, reason: &str, limit: Duration) -> Result<String> {
        let title = self.wait(name, reason, limit, |title| ready(title).is_some_and(|(found, _)| found == reason)).await?;
        Ok(ready(&title).map(|(_, message)| message).unwrap_or_default())
    }

    /// The namespace's Jobs.
    pub async fn jobs(&self) -> Result<Vec<Job>> {
        Ok(Api::<Job>::namespaced(self.client.clone(), &self.name).list(&ListParams::default()).await?.items)
    }

    /// Deletes the namespace and waits until it is gone: nothing may hold it for ever.
    pub async fn end(self) -> Result<()> {
        let api = Api::<Namespace>::all(self.client.clone());
        api.delete(&self.name, &DeleteParams::default()).await?;
        let gone = kube::runtime::wait::await_condition(api, &self.name, |namespace: Option<&Namespace>| namespace.is_none());
        if tokio::time::timeout(Duration::from_secs(150), gone).await.is_err() {
            bail!("namespace {} is still there 150 s after it was deleted", self.name);
        }
        Ok(())
    }
}

/// Reason and message of the Ready condition.
pub fn ready(title: &TitleEnrichment) -> Option<(String, String)> {
    let conditions = &title.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    Some((ready.reason.clone(), ready.message.clone()))
}
