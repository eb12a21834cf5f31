//! Five hundred titles applied at once, without and with poisoned ones among them: the queue's own figures move and come
//! to rest, and nobody waits for the poisoned. And a crowd of titles for which there is room for few Jobs.
//!
//! Runs only with `SHOWRUNNER_E2E=1`. Nothing here is judged by how long it takes: what is compared is who was asked for,
//! how often, and in which order, by the API server's own account.

mod crowd;
mod purse;

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::{
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use serde_json::{Value, json};
use showrunner_e2e::faults::{
    history::{Audit, History, Recorder},
    operator::{Replica, Setting, Watched},
    plane::{BUCKET, Plane},
    run::binaries,
    wire::Wire,
};
use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

const TITLES: &str = "titleenrichments";
/// Titles that are nothing but many.
const MANY: usize = 500;
/// Reconciles at once: the operator's default.
const WORKERS: usize = 4;
/// Requests of ours at once while they are applied.
const APPLYING: usize = 16;
/// How far from its place in the order of creation a title may be told of: while one worker waits for a slow answer, the
/// others go on. Two or three is usual.
const OUT_OF_TURN: usize = MANY / 5;
/// First wait after a failure and the longest, as configured here.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// How long anything may take. A machine may be busy.
const SOON: Duration = Duration::from_secs(30);
/// Time between two looks at something that cannot be watched.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// What the audit log has besides: Jobs as they are made and changed, and how pods end.
const BOOKS: &str = r#"
  - level: Request
    users: ["system:serviceaccount:showrunner-system:showrunner"]
    verbs: [create, patch]
    resources: [{group: batch, resources: [jobs]}]
  - level: Request
    verbs: [patch]
    resources: [{group: "", resources: ["pods/status"]}]
"#;
/// Writes of titles with this label are refused by a webhook that nobody answers.
const POISONED: &str = "flood.test/poisoned";

/// What all floods share.
struct Bed {
    client: Client,
    history: History,
    audit: Audit,
    http: reqwest::Client,
    token: String,
    titles: ApiResource,
    plain: OnceLock<Result<Flood, String>>,
    numbers: Arc<AtomicU32>,
    runtime: tokio::runtime::Runtime,
    _recorder: Recorder,
    // Last: what uses it ends first.
    plane: Plane,
}

/// What a flood left in the API server's books.
#[derive(Debug)]
struct Flood {
    /// Requests about each of the many, in order.
    asked: BTreeMap<String, Vec<String>>,
    /// How far the one that was most out of turn was from its place.
    out_of_turn: usize,
}

/// The queue of titles, as `/metrics` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Queue {
    depth: f64,
    adds: f64,
    retries: f64,
    running: f64,
    unfinished: f64,
    longest: f64,
}

impl Queue {
    async fn of(http: &reqwest::Client, operator: &Watched) -> Result<Self> {
        let text = http.get(operator.metrics()).send().await?.error_for_status()?.text().await?;
        let value = |metric: &str| {
            let line = text.lines().find(|line| line.starts_with(metric) && line.contains(r#"controller="titleenrichment""#));
            line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
        };
        Ok(Self {
            depth: value("workqueue_depth{"),
            adds: value("workqueue_adds_total{"),
            retries: value("workqueue_retries_total{"),
            running: value("controller_runtime_active_workers{"),
            unfinished: value("workqueue_unfinished_work_seconds{"),
            longest: value("workqueue_longest_running_processor_seconds{"),
        })
    }

    fn rests(self) -> bool {
        self == Self { adds: self.adds, retries: self.retries, ..Self::default() }
    }
}

/// A store that takes every request and answers none, until it hangs up.
struct Deaf {
    endpoint: String,
    task: tokio::task::JoinHandle<()>,
}

impl Deaf {
    async fn listen() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                held.push(connection);
            }
        });
        Ok(Self { endpoint, task })
    }

    fn hang_up(&self) {
        self.task.abort();
    }
}

/// One namespace with one operator.
struct Ground<'a> {
    bed: &'a Bed,
    namespace: String,
    operator: Replica,
    deaf: Deaf,
}

impl Bed {
    fn start() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let plane = runtime.block_on(Plane::start_with(BOOKS))?;
        let (client, history, recorder, token) = runtime.block_on(async {
            let client = plane.client().await?;
            let (history, recorder) = History::record(client.clone()).await?;
            let token = plane.token(&client).await?;
            anyhow::Ok((client, history, recorder, token))
        })?;
        let titles = history.kind(TITLES).context("there is no kind of titles")?;
        let authority = reqwest::Certificate::from_pem(&plane.authority)?;
        Ok(Self {
            audit: Audit::new(plane.audit_log()),
            http: reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build()?,
            plain: OnceLock::new(),
            numbers: Arc::default(),
            _recorder: recorder,
            client,
            history,
            token,
            titles,
            runtime,
            plane,
        })
    }

    /// The flood without poison; played once.
    fn plain(&self) -> Result<&Flood, String> {
        let plain = self.plain.get_or_init(|| self.runtime.block_on(plain(self)).map_err(|error| format!("{error:#}")));
        plain.as_ref().map_err(Clone::clone)
    }

    async fn namespace(&self, name: &str) -> Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &self.titles)
    }

    async fn ground(&self, namespace: &str) -> Result<Ground<'_>> {
        self.ground_with(namespace, json!({})).await
    }

    /// The same with more parts of the configuration given.
    async fn ground_with(&self, namespace: &str, more: Value) -> Result<Ground<'_>> {
        let deaf = Deaf::listen().await?;
        let folder = self.plane.folder().join(namespace);
        let keys = folder.join("a/keys");
        let store = |name: &str, endpoint: &str| json!({ "name": name, "endpoint": endpoint, "bucket": BUCKET, "prefix": "{namespace}/", "credentials": keys });
        let mut parts = json!({
            "queue": { "concurrency": WORKERS, "resyncSeconds": 3600,
                "backoffBaseMillis": BACKOFF.0.as_millis() as u64, "backoffCapSeconds": BACKOFF.1.as_secs() },
            "stores": [store("default", &self.plane.store), store("deaf", &deaf.endpoint)],
        });
        if let (Some(parts), Value::Object(more)) = (parts.as_object_mut(), more) {
            parts.extend(more);
        }
        let setting = Setting {
            binary: binaries()?.join("showrunner-operator"),
            bug: None,
            namespace: namespace.to_owned(),
            token: self.token.clone(),
            keys: self.plane.keys.clone(),
            store: self.plane.store.clone(),
            folder,
            kinds: json!({}),
        };
        let wire = Wire::new(namespace, self.http.clone(), &self.plane.api, &self.plane.store, None);
        let operator = Replica::start_with(setting, wire, "a", &self.numbers, parts)?;
        Ok(Ground { bed: self, namespace: namespace.to_owned(), operator, deaf })
    }
}

impl Ground<'_> {
    async fn create(&self, name: &str, labels: &Value, spec: &Value) -> Result<()> {
        let mut object = DynamicObject::new(name, &self.bed.titles).data(json!({ "spec": spec }));
        object.metadata.labels = serde_json::from_value(labels.clone())?;
        self.bed.api(&self.namespace).create(&PostParams::default(), &object).await.with_context(|| name.to_owned())?;
        Ok(())
    }

    /// A title whose source lies in the store that never answers.
    async fn create_deaf(&self, name: &str) -> Result<()> {
        self.create(name, &Value::Null, &json!({ "source": { "store": "deaf", "path": "clip.mp4" } })).await
    }

    /// All of the many, applied at once; each needs one write and nobody else.
    async fn create_many(&self) -> Result<()> {
        let spec = json!({ "source": { "path": "clip.mp4" }, "suspend": true });
        let create = |number: usize| {
            let spec = &spec;
            async move { self.create(&format!("many-{number:03}"), &Value::Null, spec).await }
        };
        stream::iter(0..MANY).map(create).buffer_unordered(APPLYING).try_collect().await
    }

    fn told_of(&self, name: &str) -> bool {
        let now = self.bed.history.now(&self.namespace);
        now.get(TITLES, name).is_some_and(|title| title["status"]["observedGeneration"] == title["metadata"]["generation"])
    }

    async fn all_told(&self) -> Result<()> {
        let told = self.bed.history.until(&self.namespace, "every title has been looked at", SOON, |now| {
            let titles = now.of(TITLES);
            let told = titles.values().filter(|version| {
                version.name().starts_with("many-")
                    && version.object["status"]["observedGeneration"] == version.object["metadata"]["generation"]
            });
            (told.count() == MANY).then_some(())
        });
        told.await.with_context(|| format!("the operator's last words:\n{}", self.operator.watched().tail()))
    }

    /// Waits until the queue is as `wanted` says.
    async fn queue(&self, what: &str, wanted: impl Fn(Queue) -> bool) -> Result<Queue> {
        let (began, operator) = (Instant::now(), self.operator.watched());
        let mut last = Queue::default();
        while began.elapsed() < SOON {
            if let Ok(queue) = Queue::of(&self.bed.http, &operator).await {
                if wanted(queue) {
                    return Ok(queue);
                }
                last = queue;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        anyhow::bail!("the queue does not come to this: {what}; it is {last:?}; the operator's last words:\n{}", operator.tail())
    }

    /// What the operator asked the API server about each title, in order.
    fn asked(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let mut asked: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for request in self.bed.audit.of(&self.namespace)?.into_iter().filter(|request| request.resource.starts_with(TITLES)) {
            let told = format!("{} {} -> {}", request.verb, request.resource, request.code);
            asked.entry(request.name).or_default().push(told);
        }
        Ok(asked)
    }

    fn books(&self) -> Result<Flood> {
        let mut created = Vec::new();
        let mut told = Vec::new();
        for version in self.bed.history.of(&self.namespace) {
            let name = version.name().to_owned();
            if version.resource != TITLES || !name.starts_with("many-") {
                continue;
            }
            let list = if version.object["status"].is_null() { &mut created } else { &mut told };
            if !list.contains(&name) {
                list.push(name);
            }
        }
        ensure!(created.len() == MANY && told.len() == MANY, "{} created, {} told of", created.len(), told.len());
        let place: BTreeMap<&String, usize> = created.iter().enumerate().map(|(place, name)| (name, place)).collect();
        let out_of_turn = told.iter().enumerate().map(|(at, name)| place[name].abs_diff(at)).max().unwrap_or_default();
        let mut asked = self.asked()?;
        asked.retain(|name, _| place.contains_key(name));
        Ok(Flood { asked, out_of_turn })
    }
}

/// Every worker is kept busy by a store that does not answer while the flood comes; then the store hangs up.
async fn plain(bed: &Bed) -> Result<Flood> {
    bed.namespace("flood-plain").await?;
    let ground = bed.ground("flood-plain").await?;
    let before = ground.queue("it leads and rests", Queue::rests).await?;
    for number in 0..WORKERS {
        ground.create_deaf(&format!("deaf-{number}")).await?;
    }
    let busy = ground.queue("every worker is busy", |queue| queue.running >= WORKERS as f64).await?;
    ground.create_many().await?;
    let full = ground.queue("all of them wait", |queue| queue.depth >= MANY as f64).await?;
    println!("full: {full:?}");
    ensure!(full.adds >= before.adds + (MANY + WORKERS) as f64, "everything that came was counted once at least: {full:?}");
    ensure!(full.longest > busy.longest, "the longest runs on: {busy:?}, then {full:?}");
    ensure!(full.unfinished > full.longest, "all of the unfinished are more than the longest of them: {full:?}");
    ground.deaf.hang_up();
    ground.all_told().await?;
    let rest = ground.queue("it rests", Queue::rests).await?;
    println!("at rest: {rest:?}");
    let flood = ground.books()?;
    ensure!(flood.out_of_turn <= OUT_OF_TURN, "somebody was told of {} places out of turn", flood.out_of_turn);
    ground.operator.end().await?;
    Ok(flood)
}

/// Three kinds of poison: one that holds a worker, one whose every write fails, one that cannot be read.
async fn poisoned(bed: &Bed, plain: &Flood) -> Result<()> {
    bed.namespace("flood-poisoned").await?;
    store_malformed(bed, "flood-poisoned").await?;
    let ground = bed.ground("flood-poisoned").await?;
    let _ = ground.queue("it leads and rests", Queue::rests).await?;
    let broken = break_writes(bed, &ground).await?;
    ground.create_deaf("deaf").await?;
    let began = Instant::now();
    ground.create("refused", &json!({ POISONED: "yes" }), &json!({ "source": { "path": "clip.mp4" }, "suspend": true })).await?;
    let _ = ground.queue("one is held, one has failed", |queue| queue.running >= 1.0 && queue.retries >= 1.0).await?;
    ground.create_many().await?;
    ground.all_told().await?;
    ensure!(!ground.told_of("deaf"), "the one that hears nothing was to be held all the while");
    let flood = ground.books()?;
    let differ = flood.asked.iter().find(|(name, asked)| plain.asked.get(*name) != Some(asked));
    ensure!(differ.is_none(), "with poison among them: {differ:?}; without: {:?}", differ.map(|(name, _)| plain.asked.get(name)));
    ensure!(flood.out_of_turn <= OUT_OF_TURN, "somebody was told of {} places out of turn", flood.out_of_turn);
    // It is tried again and again, and never hot: as often as its backoff allows.
    let asked = ground.asked()?;
    let tries = asked.get("refused").map_or(0, Vec::len);
    let doublings = (BACKOFF.1.as_secs_f64() / BACKOFF.0.as_secs_f64()).log2().ceil();
    let allowed = 1.0 + doublings + began.elapsed().as_secs_f64() / (BACKOFF.1.as_secs_f64() * 0.9) + 1.0;
    println!("out of turn by {} at most, {} without; the refused was tried {tries} times", flood.out_of_turn, plain.out_of_turn);
    ensure!(tries >= 2 && tries as f64 <= allowed, "the one whose writes fail was tried {tries} times; {allowed:.1} are allowed");
    ensure!(!asked.contains_key("malformed"), "what cannot be read is left alone: {:?}", asked.get("malformed"));
    // What was broken is mended: they come to their ends, too, and nothing is left in the queue.
    Api::<ValidatingWebhookConfiguration>::all(bed.client.clone()).delete(&broken, &DeleteParams::default()).await?;
    ground.deaf.hang_up();
    let both = |now: &showrunner_e2e::faults::history::World| {
        let told = |name: &str| now.get(TITLES, name).is_some_and(|title| !title["status"]["observedGeneration"].is_null());
        (told("refused") && told("deaf")).then_some(())
    };
    bed.history.until(&ground.namespace, "the poisoned are looked at, too", SOON, both).await?;
    let rest = ground.queue("it rests", Queue::rests).await?;
    println!("at rest: {rest:?}");
    ensure!(rest.retries >= 1.0, "retries were counted: {rest:?}");
    ground.operator.end().await
}

/// Has every write of a poisoned title end with 500: a webhook that must be asked and cannot be reached.
async fn break_writes(bed: &Bed, ground: &Ground<'_>) -> Result<String> {
    let name = "flood.showrunner.test".to_owned();
    let hook = json!({ "metadata": { "name": name }, "webhooks": [{
        "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 1,
        "clientConfig": { "url": "https://127.0.0.1:1/" },
        "objectSelector": { "matchLabels": { POISONED: "yes" } },
        "rules": [{ "apiGroups": ["showrunner.dev"], "apiVersions": ["*"], "operations": ["UPDATE"],
            "resources": [TITLES, format!("{TITLES}/status")] }],
    }] });
    let hooks = Api::<ValidatingWebhookConfiguration>::all(bed.client.clone());
    hooks.create(&PostParams::default(), &serde_json::from_value(hook)?).await?;
    // It counts some time after it is stored.
    ground.create("probe", &json!({ POISONED: "yes" }), &json!({ "source": { "path": "clip.mp4" }, "suspend": true })).await?;
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let (began, titles) = (Instant::now(), bed.api(&ground.namespace));
    let patch = Patch::Merge(json!({ "metadata": { "annotations": { "flood.test/probe": "yes" } } }));
    while titles.patch("probe", &dry, &patch).await.is_ok() {
        ensure!(began.elapsed() < SOON, "a webhook that was made is not asked");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    titles.delete("probe", &DeleteParams::default()).await?;
    Ok(name)
}

/// Stores a title that cannot be read as one, as an older schema would have let through.
async fn store_malformed(bed: &Bed, namespace: &str) -> Result<()> {
    let definitions = Api::<CustomResourceDefinition>::all(bed.client.clone());
    let name = format!("{TITLES}.showrunner.dev");
    let strict = serde_json::to_value(definitions.get(&name).await?)?;
    let at = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let put =
        |value: &Value| serde_json::from_value(json!([{ "op": "replace", "path": at, "value": value }])).map(Patch::Json::<()>);
    let spec = strict.pointer(at).context("the definition has no schema of a spec")?;
    let lax = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let object = DynamicObject::new("malformed", &bed.titles).data(json!({ "spec": { "source": 42 } }));
    let (titles, began) = (bed.api(namespace), Instant::now());
    definitions.patch(&name, &PatchParams::default(), &put(&lax)?).await?;
    while let Err(error) = titles.create(&PostParams::default(), &object).await {
        ensure!(began.elapsed() < SOON, "a lax schema takes nothing malformed: {error}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    definitions.patch(&name, &PatchParams::default(), &put(spec)?).await?;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let other = DynamicObject::new("other", &bed.titles).data(json!({ "spec": { "source": 42 } }));
    while titles.create(&dry, &other).await.is_ok() {
        ensure!(began.elapsed() < SOON, "the strict schema is not back");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    if std::env::var_os("SHOWRUNNER_E2E").is_none() {
        println!("the flood is run by `make load-test`");
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        return ExitCode::SUCCESS;
    }
    match flood(&arguments) {
        Ok(conclusion) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("failed to flood: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn flood(arguments: &Arguments) -> Result<Conclusion> {
    let began = Instant::now();
    let bed = Arc::new(Bed::start()?);
    let fills = {
        let bed = Arc::clone(&bed);
        Trial::test("a flood fills the queue, each is looked at in turn, and it comes to rest", move || {
            let flood = bed.plain().map_err(Failed::from)?;
            let odd = flood.asked.iter().find(|(_, asked)| asked.len() != 1);
            odd.map_or(Ok(()), |odd| Err(Failed::from(format!("a suspended title takes one write: {odd:?}"))))
        })
    };
    let delays = {
        let bed = Arc::clone(&bed);
        Trial::test("poisoned objects delay no other", move || {
            let plain = bed.plain().map_err(Failed::from)?;
            bed.runtime.block_on(poisoned(&bed, plain)).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let waits = {
        let bed = Arc::clone(&bed);
        Trial::test("where there is room for few the oldest go first, whatever becomes of the operator", move || {
            bed.runtime.block_on(crowd::play(&bed)).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let pays = {
        let bed = Arc::clone(&bed);
        Trial::test("a crowd under a cap never goes beyond it, and is charged what the audit log says", move || {
            bed.runtime.block_on(purse::play(&bed)).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    let conclusion = libtest_mimic::run(arguments, vec![fills, delays, waits, pays]);
    println!("{} operators, {:.1} s", bed.numbers.load(Ordering::SeqCst), began.elapsed().as_secs_f64());
    Ok(conclusion)
}
