//! The four ways to write to the API server, and no fifth.
//!
//! Writes. Every call asks the lease first, has the lease's request timeout and a rate limit shared by all, is counted, and turns the answer into an
//! error that says what happened. There is no retry here: a reconcile that failed is run again from what is then true.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy,
};
use kube::{Api, Client};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::lease::Leadership;
use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::names::{ANNOTATION_APPLIED, FIELD_MANAGER};
use crate::object::{Object, ObjectKey, annotation, is_controlled_by};
use crate::traces;

mod diff;
mod error;

pub use error::{CONFLICT, WriteError};

/// Writes a second where nobody says otherwise: more than a thousand titles at work make, and little to an API server.
pub const WRITES_PER_SECOND: u32 = 100;

/// What [`Writer::create_once`] found.
#[derive(Clone, Debug)]
pub enum Created<K> {
    /// It was not there.
    New(K),
    /// It was there and is the same owner's: this is a repetition of a write that has happened.
    Existing(K),
}

impl<K> Created<K> {
    /// The object, whoever made it.
    pub fn into_inner(self) -> K {
        match self {
            Self::New(object) | Self::Existing(object) => object,
        }
    }
}

/// What [`Writer::write_status`] did.
#[derive(Clone, Debug)]
pub enum StatusWrite<K> {
    /// It says so already.
    Unchanged,
    /// The object as the API server echoed it.
    Written(K),
}

/// What [`Writer::apply_owned`] did.
#[derive(Clone, Debug)]
pub enum Applied<K> {
    /// It is so already.
    Unchanged,
    /// The object as the API server echoed it.
    Written(K),
}

/// Which part of an object [`Writer::patch_dynamic`] patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything but the status.
    Object,
    /// The status alone.
    Status,
}

/// Writes to the API server. Cloning is cheap.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    pace: Option<Arc<(Limit, Clock)>>,
}

impl Writer {
    /// Whether this process may write now: for what is written elsewhere than to the API server.
    pub fn leads(&self) -> bool {
        self.leadership.guard().is_ok()
    }

    /// A writer that asks `leadership` before each write.
    pub fn new(client: Client, leadership: Leadership, metrics: Arc<Metrics>) -> Self {
        Self { client, leadership, metrics, pace: None }
    }

    /// The same with at most so many calls a second (as many at once after a second's rest), all clones together: who waits
    /// is a reconcile, so that no more wait than run side by side.
    #[must_use]
    pub fn paced(self, per_second: u32, clock: Clock) -> Self {
        Self { pace: Some(Arc::new((Limit::per_second(per_second), clock))), ..self }
    }

    /// First way: POST. An object of that name that is already there is ours only if `owner_uid` controls it;
    /// otherwise the error names whose it is.
    pub async fn create_once<K: Object>(&self, object: &K, owner_uid: &str) -> Result<Created<K>, WriteError> {
        let api = self.api(object)?;
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.run("create", object, api.create(&params, object)).await {
            Ok(created) => Ok(Created::New(created)),
            Err(WriteError::AlreadyExists { object: what }) => {
                let name = object.meta().name.as_deref().unwrap_or_default();
                // Read from the API server, not from a cache: the cache may not have it yet.
                let existing = self.run("get", object, api.get(name)).await?;
                if is_controlled_by(existing.meta(), owner_uid) {
                    return Ok(Created::Existing(existing));
                }
                let owner = crate::object::controller_of(existing.meta())
                    .map_or_else(|| "nobody".to_owned(), |owner| format!("{} {}", owner.kind, owner.name));
                Err(WriteError::Foreign { object: what, owner })
            }
            Err(error) => Err(error),
        }
    }

    /// Second way, for objects made by [`Writer::create_once`]: a merge patch that holds only if nobody wrote since
    /// `read` was read.
    pub async fn patch_versioned<K: Object>(&self, read: &K, patch: Value) -> Result<K, WriteError> {
        let patch = with_version(read.meta(), &read.describe(), patch)?;
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let name = name_of(read)?;
        self.run("patch", read, self.api(read)?.patch(name, &params, &Patch::Merge(patch))).await
    }

    /// Second way, for objects of a kind that is known by its definition alone.
    pub async fn patch_dynamic(
        &self,
        kind: &ApiResource,
        read: &DynamicObject,
        part: Part,
        patch: Value,
    ) -> Result<DynamicObject, WriteError> {
        let key = ObjectKey::of(&read.metadata);
        let patch = with_version(&read.metadata, &format!("{} {key}", kind.kind), patch)?;
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let api: Api<DynamicObject> = match key.namespace.as_str() {
            "" => Api::all_with(self.client.clone(), kind),
            namespace => Api::namespaced_with(self.client.clone(), namespace, kind),
        };
        match part {
            Part::Object => self.run_for("patch", &kind.kind, &key, api.patch(&key.name, &params, &Patch::Merge(patch))).await,
            Part::Status => {
                self.run_for("patch_status", &kind.kind, &key, api.patch_status(&key.name, &params, &Patch::Merge(patch))).await
            }
        }
    }

    /// Second way, for status: the difference between the status of `read` and `status`, as a merge patch with
    /// the resourceVersion of `read`. Writes nothing when they are equal but for transition times.
    pub async fn write_status<K: Object>(&self, read: &K, status: &impl Serialize) -> Result<StatusWrite<K>, WriteError> {
        let invalid = |error: serde_json::Error| WriteError::Invalid { object: read.describe(), message: error.to_string() };
        let old = serde_json::to_value(read).map_err(invalid)?.get_mut("status").map_or(Value::Null, Value::take);
        // None is as good as an empty one.
        let old = if old.is_null() { json!({}) } else { old };
        let new = serde_json::to_value(status).map_err(invalid)?;
        if diff::equal_but_for_times(&old, &new) && !crate::planted!("written-at-rest") {
            return Ok(StatusWrite::Unchanged);
        }
        let patch = with_version(read.meta(), &read.describe(), json!({ "status": diff::merge_patch(&old, &new) }))?;
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let name = name_of(read)?;
        let written = self.run("patch_status", read, self.api(read)?.patch_status(name, &params, &Patch::Merge(patch))).await?;
        Ok(StatusWrite::Written(written))
    }

    /// Third way, for children only we own: server-side apply with force, one manager per usage site. Compared with the
    /// live object first: writes when what is wanted changed, or when somebody else changed a field of it.
    pub async fn apply_owned<K: Object>(
        &self,
        wanted: &K,
        live: Option<&K>,
        manager: &'static str,
    ) -> Result<Applied<K>, WriteError> {
        let (body, digest) = apply_body(wanted)?;
        if let Some(live) = live {
            let current = serde_json::to_value(live)
                .map_err(|error| WriteError::Invalid { object: live.describe(), message: error.to_string() })?;
            if annotation(live.meta(), ANNOTATION_APPLIED) == Some(digest.as_str()) && diff::contains(&current, &body) {
                return Ok(Applied::Unchanged);
            }
        }
        let params = PatchParams::apply(manager).force();
        let name = name_of(wanted)?;
        Ok(Applied::Written(self.run("apply", wanted, self.api(wanted)?.patch(name, &params, &Patch::Apply(body))).await?))
    }

    /// Fourth way, for objects that others own too: server-side apply without force. A field that somebody else owns
    /// is [`WriteError::Owned`], which names the manager and the field.
    pub async fn apply_shared<K: Object>(
        &self,
        wanted: &K,
        live: Option<&K>,
        manager: &'static str,
    ) -> Result<Applied<K>, WriteError> {
        let (body, _) = apply_body(wanted)?;
        let mut body = body;
        // Others own this object too: our digest would be one more thing to argue about.
        if let Some(annotations) = body.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
            annotations.remove(ANNOTATION_APPLIED);
        }
        if let Some(live) = live {
            let current = serde_json::to_value(live)
                .map_err(|error| WriteError::Invalid { object: live.describe(), message: error.to_string() })?;
            if diff::contains(&current, &body) {
                return Ok(Applied::Unchanged);
            }
        }
        let params = PatchParams::apply(manager);
        let name = name_of(wanted)?;
        Ok(Applied::Written(self.run("apply", wanted, self.api(wanted)?.patch(name, &params, &Patch::Apply(body))).await?))
    }

    /// Deletes exactly the object that was read (UID and resourceVersion), children in the background. Already gone is
    /// fine.
    pub async fn delete_exact<K: Object>(&self, read: &K) -> Result<(), WriteError> {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: read.meta().uid.clone(),
                resource_version: read.meta().resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        let name = name_of(read)?;
        let api = self.api(read)?;
        let call = async { api.delete(name, &params).await.map(|_| ()) };
        match self.run("delete", read, call).await {
            Err(WriteError::Gone { .. }) => Ok(()),
            other => other,
        }
    }

    /// Whether the API server itself says that this very object is gone: a cache may lag behind.
    pub async fn is_gone<K: Object>(&self, namespace: &str, name: &str, uid: &str) -> Result<bool, WriteError> {
        Ok(self.get_now::<K>(namespace, name).await?.is_none_or(|object| object.meta().uid.as_deref() != Some(uid)))
    }

    /// The object of this name, by the API server itself; none where there is none.
    pub async fn get_now<K: Object>(&self, namespace: &str, name: &str) -> Result<Option<K>, WriteError> {
        let found = self.read(format!("{} {namespace}/{name}", K::kind(&())), async {
            K::api(self.client.clone(), Some(namespace)).get_opt(name).await
        });
        found.await
    }

    /// Every object with this label, by the API server itself: a cache may lag behind.
    pub async fn list_now<K: Object>(&self, namespace: &str, selector: &str) -> Result<Vec<K>, WriteError> {
        let params = ListParams::default().labels(selector);
        let found = self.read(format!("{} {namespace}/*", K::kind(&())), async {
            K::api(self.client.clone(), Some(namespace)).list(&params).await
        });
        Ok(found.await?.items)
    }

    async fn read<T>(&self, what: String, call: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
        let token = self.leadership.guard().map_err(|_| WriteError::NotLeader)?;
        match tokio::time::timeout(token.timeout, call).await {
            Err(_) => Err(WriteError::Timeout { object: what }),
            Ok(answer) => answer.map_err(|error| WriteError::of(what, error)),
        }
    }

    fn api<K: Object>(&self, object: &K) -> Result<Api<K>, WriteError> {
        match object.meta().namespace.as_deref() {
            namespace if namespace.is_some() || K::CLUSTER => Ok(K::api(self.client.clone(), namespace)),
            _ => Err(WriteError::Invalid { object: object.describe(), message: "it has no namespace".into() }),
        }
    }

    async fn run<K: Object, T>(
        &self,
        verb: &'static str,
        object: &K,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, WriteError> {
        self.run_for(verb, &K::kind(&()), &ObjectKey::of(object.meta()), call).await
    }

    async fn run_for<T>(
        &self,
        verb: &'static str,
        kind: &str,
        key: &ObjectKey,
        call: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, WriteError> {
        let what = format!("{kind} {key}");
        if let Some((limit, clock)) = self.pace.as_deref() {
            // Before the lease is asked, whose answer does not keep.
            tokio::time::sleep(limit.book(clock.mono())).await;
        }
        let span = traces::request(verb, kind, key);
        let result = match self.leadership.guard() {
            Err(_) => Err(WriteError::NotLeader),
            Ok(token) => match tokio::time::timeout(token.timeout, call.instrument(span.clone())).await {
                Err(_) => Err(WriteError::Timeout { object: what }),
                Ok(answer) => answer.map_err(|error| WriteError::of(what, error)),
            },
        };
        traces::end(&span, result.as_ref().map(|_| ()).map_err(WriteError::reason));
        match &result {
            Ok(_) if verb == "get" => {}
            Ok(_) => {
                self.metrics.wrote(kind, verb);
                tracing::debug!(kind, object = %key, verb, "wrote");
            }
            Err(error) => self.metrics.write_failed(kind, verb, error.reason()),
        }
        result
    }
}

fn name_of<K: Object>(object: &K) -> Result<&str, WriteError> {
    object
        .meta()
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
        .ok_or_else(|| WriteError::Invalid { object: object.describe(), message: "it has no name".into() })
}

/// The patch with the resourceVersion that the object had when it was read.
fn with_version(read: &ObjectMeta, object: &str, mut patch: Value) -> Result<Value, WriteError> {
    let invalid = |message: &str| WriteError::Invalid { object: object.to_owned(), message: message.into() };
    let version = read.resource_version.clone().ok_or_else(|| invalid("it was not read from the API server"))?;
    let root = patch.as_object_mut().ok_or_else(|| invalid("the patch is not a JSON object"))?;
    let metadata = root.entry("metadata").or_insert_with(|| json!({}));
    let metadata = metadata.as_object_mut().ok_or_else(|| invalid("metadata of the patch is not a JSON object"))?;
    if !crate::planted!("unversioned-writes") {
        metadata.insert("resourceVersion".into(), version.into());
    }
    Ok(patch)
}

/// The body of a server-side apply and its digest: type, what is wanted, and nothing that the server or others set.
fn apply_body<K: Object>(wanted: &K) -> Result<(Value, String), WriteError> {
    use sha2::{Digest as _, Sha256};
    let invalid = |message: String| WriteError::Invalid { object: wanted.describe(), message };
    let mut body = serde_json::to_value(wanted).map_err(|error| invalid(error.to_string()))?;
    let root = body.as_object_mut().ok_or_else(|| invalid("it is not a JSON object".into()))?;
    root.remove("status");
    root.insert("apiVersion".into(), K::api_version(&()).into());
    root.insert("kind".into(), K::kind(&()).into());
    if let Some(metadata) = root.get_mut("metadata").and_then(Value::as_object_mut) {
        for server_side in ["resourceVersion", "uid", "generation", "managedFields", "creationTimestamp", "selfLink"] {
            metadata.remove(server_side);
        }
    }
    let digest = crate::jobs::hex(&Sha256::digest(body.to_string()));
    body["metadata"]["annotations"][ANNOTATION_APPLIED] = digest.clone().into();
    Ok((body, digest))
}

#[cfg(test)]
#[path = "write/tests.rs"]
mod tests;
