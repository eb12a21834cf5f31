//! What really happened: every stored version of every Job, pod and object of ours, and the operator's requests as the
//! API server's audit log has them.
//!
//! I/O: watches the API server beside the proxies, with the administrator's rights; reads the audit log's file.

use super::plane::OPERATOR;
use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, stream, stream::BoxStream};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams},
    core::GroupVersionKind,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    io::{Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

/// Longest that one watch is left open, seconds; then it is opened again where it was.
const WATCH_SECONDS: u32 = 280;
/// How long a watch that has just been opened may take to refuse. What it gives later is kept.
const REFUSED_WITHIN: Duration = Duration::from_millis(250);
/// Group of our own kinds.
const OUR_GROUP: &str = "showrunner.dev";

/// One version of one object, as it was stored.
#[derive(Clone, Debug)]
pub struct Version {
    /// Place in the order of all writes to the cluster.
    pub at: u64,
    /// `jobs`, `pods`, `titleenrichments`, ...
    pub resource: String,
    /// The object; its last state where it is deleted.
    pub object: Arc<Value>,
    /// Whether this is its end.
    pub deleted: bool,
}

impl Version {
    /// The object's name.
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// The object's UID.
    pub fn uid(&self) -> &str {
        self.object["metadata"]["uid"].as_str().unwrap_or_default()
    }

    /// Whether it is an object of one of our own kinds.
    pub fn is_ours(&self) -> bool {
        self.object["apiVersion"].as_str().is_some_and(|version| version.starts_with(OUR_GROUP))
    }

    /// The object's finalizers of ours.
    pub fn our_finalizers(&self) -> Vec<&str> {
        let all = self.object["metadata"]["finalizers"].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).filter(|name| name.starts_with(OUR_GROUP)).collect()
    }
}

/// The history of all namespaces, growing. Cloning is cheap.
#[derive(Clone)]
pub struct History(Arc<Shared>);

struct Shared {
    client: Client,
    kinds: Vec<ApiResource>,
    versions: Mutex<HashMap<String, Vec<Version>>>,
    failed: Mutex<Option<String>>,
    /// How often each kind's watch was opened again.
    reopened: Mutex<HashMap<String, u32>>,
    grown: watch::Sender<()>,
}

type Events = BoxStream<'static, kube::Result<WatchEvent<DynamicObject>>>;

async fn watch_from(api: &Api<DynamicObject>, from: &str) -> Result<Events> {
    Ok(api.watch(&WatchParams::default().timeout(WATCH_SECONDS), from).await?.boxed())
}

/// A watch from a version on, with what it gave at once; none where that version is no longer remembered: an API server
/// remembers a kind only since it has served it, or since its definition changed.
async fn try_from(api: &Api<DynamicObject>, from: &str) -> Result<Option<Events>> {
    let mut events = watch_from(api, from).await?;
    Ok(match timeout(REFUSED_WITHIN, events.next()).await {
        Ok(Some(Ok(WatchEvent::Error(status)))) if status.code == 410 => None,
        Ok(Some(first)) => Some(stream::iter([first]).chain(events).boxed()),
        Ok(None) | Err(_) => Some(events),
    })
}

/// A watch from now on, and the version it begins after.
async fn open(api: &Api<DynamicObject>) -> Result<(String, Events)> {
    loop {
        let from = api.list(&ListParams::default().limit(1)).await?.metadata.resource_version.unwrap_or_default();
        if let Some(events) = try_from(api, &from).await? {
            return Ok((from, events));
        }
    }
}

/// Keeps the history growing; ends with it.
pub struct Recorder(#[allow(dead_code, reason = "held for its end")] JoinSet<()>);

impl History {
    /// Watches Jobs, pods and every kind of ours that the API server serves.
    pub async fn record(client: Client) -> Result<(Self, Recorder)> {
        use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
        let definitions = Api::<CustomResourceDefinition>::all(client.clone()).list(&ListParams::default()).await?;
        let mut kinds = vec![
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("batch", "v1", "Job"), "jobs"),
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Pod"), "pods"),
        ];
        // What is in no namespace belongs to no run alone.
        let is_ours =
            |definition: &&CustomResourceDefinition| definition.spec.group == OUR_GROUP && definition.spec.scope == "Namespaced";
        for definition in definitions.items.iter().filter(is_ours) {
            let version = definition.spec.versions.iter().find(|version| version.storage).context("no stored version")?;
            let kind = GroupVersionKind::gvk(OUR_GROUP, &version.name, &definition.spec.names.kind);
            kinds.push(ApiResource::from_gvk_with_plural(&kind, &definition.spec.names.plural));
        }
        let shared = Shared {
            client,
            kinds,
            versions: Mutex::default(),
            failed: Mutex::default(),
            reopened: Mutex::default(),
            grown: watch::Sender::new(()),
        };
        let history = Self(Arc::new(shared));
        let mut tasks = JoinSet::new();
        for kind in history.0.kinds.clone() {
            let api: Api<DynamicObject> = Api::all_with(history.0.client.clone(), &kind);
            let (from, events) = open(&api).await?;
            let history = history.clone();
            tasks.spawn(async move {
                let ended = history.follow(api, &kind.plural, from, events).await;
                let text =
                    format!("failed to watch {}: {:#}", kind.plural, ended.err().unwrap_or_else(|| anyhow::anyhow!("over")));
                *history.0.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                history.0.grown.send_replace(());
            });
        }
        Ok((history, Recorder(tasks)))
    }

    /// Without a gap: a watch that ends is opened again after the last version it gave. An error ends it, for then there
    /// could be one.
    async fn follow(&self, api: Api<DynamicObject>, resource: &str, mut from: String, mut events: Events) -> Result<()> {
        loop {
            while let Some(event) = events.next().await {
                let (object, deleted) = match event? {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
                    WatchEvent::Deleted(object) => (object, true),
                    WatchEvent::Bookmark(mark) => {
                        from = mark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(status) => bail!("{}", status.message),
                };
                from = object.metadata.resource_version.clone().context("a version has a resourceVersion")?;
                let namespace = object.metadata.namespace.clone().unwrap_or_default();
                let version = Version {
                    at: from.parse().context("resourceVersions are numbers")?,
                    resource: resource.to_owned(),
                    object: Arc::new(serde_json::to_value(object)?),
                    deleted,
                };
                let mut all = self.0.versions.lock().unwrap_or_else(PoisonError::into_inner);
                all.entry(namespace).or_default().push(version);
                drop(all);
                self.0.grown.send_replace(());
            }
            events = loop {
                if let Some(events) = try_from(&api, &from).await? {
                    break events;
                }
                from = self.unchanged_since(&api, resource, &from).await?;
            };
            *self.0.reopened.lock().unwrap_or_else(PoisonError::into_inner).entry(resource.to_owned()).or_default() += 1;
            self.0.grown.send_replace(());
        }
    }

    /// A later version up to which nothing of a kind has changed. An error where something has: that would be a gap.
    async fn unchanged_since(&self, api: &Api<DynamicObject>, resource: &str, from: &str) -> Result<String> {
        let place = |object: &DynamicObject| (object.metadata.namespace.clone(), object.metadata.name.clone());
        let list = api.list(&ListParams::default()).await?;
        let there: BTreeMap<_, _> =
            list.items.iter().map(|object| (place(object), object.metadata.resource_version.clone())).collect();
        let mut known = BTreeMap::new();
        for version in self.0.versions.lock().unwrap_or_else(PoisonError::into_inner).values().flatten() {
            let object: DynamicObject = serde_json::from_value(version.object.as_ref().clone())?;
            match version.resource == resource {
                true if version.deleted => _ = known.remove(&place(&object)),
                true => _ = known.insert(place(&object), object.metadata.resource_version),
                false => {}
            }
        }
        ensure!(there == known, "{from} is too old, and something has changed since");
        list.metadata.resource_version.context("a list has a version")
    }

    /// A watched kind, by its plural.
    pub fn kind(&self, resource: &str) -> Option<ApiResource> {
        self.0.kinds.iter().find(|kind| kind.plural == resource).cloned()
    }

    /// How often a kind's watch was opened again.
    pub fn reopened(&self, resource: &str) -> u32 {
        self.0.reopened.lock().unwrap_or_else(PoisonError::into_inner).get(resource).copied().unwrap_or_default()
    }

    /// Waits until a kind's watch was opened again more often than so many times.
    pub async fn reopens(&self, resource: &str, times: u32, limit: Duration) -> Result<()> {
        let more = |_: &World| (self.reopened(resource) > times).then_some(());
        self.until("", &format!("the watch of {resource} is opened again"), limit, more).await
    }

    /// All versions in a namespace, in the order in which they were stored.
    pub fn of(&self, namespace: &str) -> Vec<Version> {
        let all = self.0.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut versions = all.get(namespace).cloned().unwrap_or_default();
        versions.sort_by_key(|version| version.at);
        versions
    }

    /// The objects of a namespace as they are now, by resource and name.
    pub fn now(&self, namespace: &str) -> World {
        World::at_end(&self.of(namespace))
    }

    /// Waits until the objects of a namespace are as `wanted` says; the error shows how they stood.
    pub async fn until<T>(
        &self,
        namespace: &str,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&World) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + limit;
        let mut grown = self.0.grown.subscribe();
        loop {
            grown.mark_unchanged();
            if let Some(text) = self.0.failed.lock().unwrap_or_else(PoisonError::into_inner).clone() {
                bail!("the history has a gap: {text}");
            }
            let now = self.now(namespace);
            if let Some(found) = wanted(&now) {
                return Ok(found);
            }
            if timeout_at(deadline, grown.changed()).await.is_err() {
                bail!("{what}: not so after {:.0} s; {}", limit.as_secs_f64(), now.describe());
            }
        }
    }

    /// Waits until the history has what the API server has now.
    pub async fn catch_up(&self, namespace: &str, limit: Duration) -> Result<()> {
        for kind in &self.0.kinds {
            let api: Api<DynamicObject> = Api::namespaced_with(self.0.client.clone(), namespace, kind);
            let there = api.list(&ListParams::default()).await?;
            let wanted: BTreeMap<String, u64> = there
                .items
                .into_iter()
                .filter_map(|object| Some((object.metadata.name?, object.metadata.resource_version?.parse().ok()?)))
                .collect();
            self.until(namespace, "the history has every version", limit, |now| {
                let known = now.of(&kind.plural);
                let behind = |(name, at): (&String, &u64)| known.get(name).is_some_and(|version| version.at >= *at);
                let surplus = known.keys().any(|name| !wanted.contains_key(name));
                (wanted.iter().all(behind) && !surplus).then_some(())
            })
            .await?;
        }
        Ok(())
    }
}

/// The objects of a namespace at one moment.
#[derive(Clone, Debug, Default)]
pub struct World(BTreeMap<String, BTreeMap<String, Version>>);

impl World {
    /// What is left after these versions.
    pub fn at_end(versions: &[Version]) -> Self {
        let mut world = Self::default();
        for version in versions {
            let objects = world.0.entry(version.resource.clone()).or_default();
            if version.deleted {
                objects.remove(version.name());
            } else {
                objects.insert(version.name().to_owned(), version.clone());
            }
        }
        world
    }

    /// The objects of one resource, by name.
    pub fn of(&self, resource: &str) -> BTreeMap<String, Version> {
        self.0.get(resource).cloned().unwrap_or_default()
    }

    /// One object.
    pub fn get(&self, resource: &str, name: &str) -> Option<&Value> {
        self.0.get(resource)?.get(name).map(|version| version.object.as_ref())
    }

    /// Every object.
    pub fn all(&self) -> impl Iterator<Item = &Version> {
        self.0.values().flat_map(BTreeMap::values)
    }

    /// In one line, for messages.
    pub fn describe(&self) -> String {
        let tell = |version: &Version| {
            let object = &version.object;
            let ready = object["status"]["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == "Ready");
            let of_ours = ready.filter(|_| version.is_ours()).map(|ready| format!("{}: {}", ready["reason"], ready["message"]));
            let state = of_ours.unwrap_or_else(|| match version.resource.as_str() {
                "jobs" => format!("suspend {}, status {}", object["spec"]["suspend"], object["status"]),
                _ => format!("phase {}", object["status"]["phase"]),
            });
            let deleting = if object["metadata"]["deletionTimestamp"].is_null() { "" } else { ", deleting" };
            format!(
                "{} {} ({state}{deleting}, finalizers {})",
                version.resource,
                version.name(),
                object["metadata"]["finalizers"]
            )
        };
        let all: Vec<String> = self.all().map(tell).collect();
        if all.is_empty() { "there is nothing".to_owned() } else { format!("there are {}", all.join("; ")) }
    }
}

/// One request of the operator, as the API server wrote it down.
#[derive(Clone, Debug)]
pub struct Audited {
    /// `create`, `patch`, `list`, ...
    pub verb: String,
    /// Resource, with its subresource after a slash.
    pub resource: String,
    /// Name.
    pub name: String,
    /// Answer.
    pub code: u64,
    /// User agent.
    pub agent: String,
    /// What was sent, of requests about our own kinds.
    pub body: Value,
}

impl Audited {
    /// Whether it asked for a change.
    pub fn is_write(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection")
    }
}

/// The API server's audit log, read as it grows. Cloning is cheap.
#[derive(Clone)]
pub struct Audit(Arc<Mutex<Tail>>);

struct Tail {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
    lines: HashMap<String, Vec<Audited>>,
}

impl Audit {
    /// The log at this path.
    pub fn new(path: PathBuf) -> Self {
        Self(Arc::new(Mutex::new(Tail { path, offset: 0, rest: Vec::new(), lines: HashMap::new() })))
    }

    /// The operator's requests in a namespace so far, in the order in which they were answered.
    pub fn of(&self, namespace: &str) -> Result<Vec<Audited>> {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.read()?;
        Ok(tail.lines.get(namespace).cloned().unwrap_or_default())
    }
}

impl Tail {
    fn read(&mut self) -> Result<()> {
        let mut file = std::fs::File::open(&self.path).with_context(|| format!("failed to read {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.offset))?;
        self.offset += file.read_to_end(&mut self.rest)? as u64;
        let end = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        for line in whole.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Value = serde_json::from_slice(line).context("failed to read a line of the audit log")?;
            if line["user"]["username"] != OPERATOR || line["stage"] != "ResponseComplete" {
                continue;
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let target = &line["objectRef"];
            let below = target["subresource"].as_str().map_or_else(String::new, |below| format!("/{below}"));
            let audited = Audited {
                verb: text(&line["verb"]),
                resource: format!("{}{below}", text(&target["resource"])),
                name: text(&target["name"]),
                code: line["responseStatus"]["code"].as_u64().unwrap_or_default(),
                agent: text(&line["userAgent"]),
                body: line["requestObject"].clone(),
            };
            self.lines.entry(text(&target["namespace"])).or_default().push(audited);
        }
        Ok(())
    }
}
