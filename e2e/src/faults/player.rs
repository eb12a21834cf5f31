//! Scheduler, kubelet and worker for the pods of our Jobs, without a node: each pod is bound, runs, commits recorded
//! results through the signed URLs of its work order as the worker does, and ends as its scenario says.
//!
//! I/O: writes pods' bindings and status to the API server with the administrator's rights; PUTs to the store.
//!
//! Between two steps it waits until the operator has told of the last one, so that every run takes the same way; it does
//! not wait for ever, for an operator that was killed tells nothing.

use super::{
    cast::{Commits, Leash},
    history::History,
    recording::{RecordedStep, Recording},
};
use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Value, json};
use showrunner_contracts::{
    Digest, Document as _,
    catalogue::{self, CatalogueView},
    documents::DuplicatesDocument,
    manifest::StepSummary,
    result::{Failure, Outcome, Output, Reason, RunRecord, StepOutcome, StepResult, Termination, UnitResult, exit},
    step::{QUERY, Step, StepParams},
    work_order::{StepOrder, WorkOrder},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// The annotation that holds the work order.
const WORK_ORDER: &str = "showrunner.dev/work-order";
/// The container that does the work.
const CONTAINER: &str = "worker";
/// Where pods seem to run.
const NODE: &str = "player";
/// How long it waits for the operator to tell of what the pod does: longer than a fail-over.
const PATIENCE: Duration = Duration::from_secs(7);
/// How long the pods of a scenario may go on at all.
const FOR_EVER: Duration = Duration::from_mins(10);

/// What the pod of an attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Everything, and ends well.
    Succeeds,
    /// Ends with exit code 1 and without a word.
    Crashes,
    /// Commits its first step, then needs more memory than it has.
    OutOfMemory,
    /// Commits its first step, then the node wants its room back.
    Evicted,
    /// Commits its first step and runs until it is stopped.
    Hangs,
    /// Commits its first step, and does the rest when the story lets its pods go.
    Lingers,
    /// Runs until it is stopped, and commits nothing.
    Idles,
    /// Finds no node.
    Waits,
}

/// A pod's deletion: the object as it is then.
type Doom = watch::Receiver<Option<Arc<Value>>>;

/// Plays the pods of one namespace.
pub struct Player {
    /// Administrator.
    pub client: Client,
    /// What is stored.
    pub history: History,
    /// The namespace.
    pub namespace: String,
    /// What the worker makes.
    pub recording: Arc<Recording>,
    /// What the pods of the first, second, ... attempt do; those after the last one succeed.
    pub behaviours: Vec<Behaviour>,
    /// The same for pods whose source has this file name: of several titles in one namespace each may have its own.
    pub by_source: BTreeMap<String, Vec<Behaviour>>,
    /// Whether to wait for the operator between two steps.
    pub patient: bool,
    /// To the store, past the proxies.
    pub http: reqwest::Client,
    /// Holds those that linger.
    pub leash: Arc<Leash>,
    /// What they have committed.
    pub commits: Arc<Commits>,
}

/// What a container of a pod ended with.
struct End {
    phase: &'static str,
    exit_code: i32,
    reason: &'static str,
    message: String,
    condition: Option<Value>,
}

impl End {
    fn of(exit_code: i32, reason: &'static str, message: String) -> Self {
        let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
        Self { phase, exit_code, reason, message, condition: None }
    }
}

impl Player {
    /// Plays until it is dropped. An error is one of the test's own means.
    pub async fn play(self) -> Result<()> {
        let player = Arc::new(self);
        let mut begun: BTreeMap<String, watch::Sender<Option<Arc<Value>>>> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        let mut pods = tokio::task::JoinSet::new();
        loop {
            let (fresh, doomed) = {
                let (begun, ended) = (&begun, &ended);
                let look = player.history.until(&player.namespace, "a pod to play", FOR_EVER, |now| {
                    let of_job = now.of("pods");
                    let fresh = of_job.values().find(|pod| !begun.contains_key(pod.uid())).cloned();
                    let doomed = of_job.values().find(|pod| !ended.contains(pod.uid()) && is_deleting(&pod.object)).cloned();
                    (fresh.is_some() || doomed.is_some()).then_some((fresh, doomed))
                });
                tokio::select! {
                    found = look => found?,
                    Some(done) = pods.join_next() => {
                        done.context("a pod's player panicked")??;
                        continue;
                    }
                }
            };
            if let Some(pod) = fresh {
                let (doom, coming) = watch::channel(None);
                begun.insert(pod.uid().to_owned(), doom);
                let (player, object) = (Arc::clone(&player), Arc::clone(&pod.object));
                pods.spawn(async move { player.live(&object, coming).await });
            }
            if let Some(pod) = doomed {
                ended.insert(pod.uid().to_owned());
                if let Some(doom) = begun.get(pod.uid()) {
                    doom.send_replace(Some(Arc::clone(&pod.object)));
                }
            }
        }
    }

    /// One pod from its binding to its end, and its deletion after that. What it was about to write it writes first: of a
    /// pod that is gone nothing arrives any more.
    async fn live(&self, pod: &Value, mut doom: Doom) -> Result<()> {
        if !is_deleting(pod) && !has_ended(pod) {
            self.run(pod, &doom).await?;
        }
        let object = doom.wait_for(Option::is_some).await.context("the player is over")?.clone();
        self.stop(&object.unwrap_or_default()).await
    }

    fn api(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// What the pod of this order does.
    fn behaviour(&self, order: &WorkOrder) -> Behaviour {
        let path = order.source.url.split('?').next().unwrap_or_default();
        let of_source = self.by_source.get(path.rsplit('/').next().unwrap_or_default());
        of_source.unwrap_or(&self.behaviours).get(order.attempt as usize - 1).copied().unwrap_or(Behaviour::Succeeds)
    }

    /// One pod from its binding to its end, or to its deletion.
    async fn run(&self, pod: &Value, doom: &Doom) -> Result<()> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let order = pod["metadata"]["annotations"][WORK_ORDER].as_str().context("the pod has no work order")?;
        let order = WorkOrder::from_bytes(order.as_bytes())?;
        let mut behaviour = self.behaviour(&order);
        if behaviour == Behaviour::Waits {
            return Ok(());
        }
        let job = pod["metadata"]["ownerReferences"][0]["name"].as_str().unwrap_or_default();
        order.steps.iter().for_each(|step| self.commits.asked(step, job));
        self.told("WaitingToStart", doom).await;
        if is_doomed(doom) {
            return Ok(());
        }
        let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": NODE } });
        let (api, params) = (self.api(), PostParams::default());
        if let Err(error) = api.create_subresource::<Value, Value>("binding", name, &params, &binding).await
            && !is_gone(&error)
        {
            return Err(error).with_context(|| format!("failed to bind pod {name}"));
        }
        let started = Timestamp::now();
        if !self.status(name, &running(started)).await? {
            return Ok(());
        }
        self.told("Working", doom).await;
        if is_doomed(doom) {
            return Ok(());
        }
        if let Some(failure) = self.refused_source(&order).await? {
            let words = serde_json::to_string(&Termination::Failure(failure))?;
            self.status(name, &over(&End::of(exit::NO_RESULT, "Error", words), Some(started))).await?;
            return Ok(());
        }
        if self.leash.is_loose() {
            behaviour = Behaviour::Succeeds;
        }
        let (first, rest) = order.steps.split_at(order.steps.len().min(1));
        let mut outcomes = Vec::new();
        if !matches!(behaviour, Behaviour::Crashes | Behaviour::Idles) {
            self.commit_all(&order, first, job, &mut outcomes).await?;
        }
        if behaviour == Behaviour::Lingers {
            let mut coming = doom.clone();
            tokio::select! {
                () = self.leash.hold() => behaviour = Behaviour::Succeeds,
                _ = coming.wait_for(Option::is_some) => return Ok(()),
            }
        }
        if behaviour == Behaviour::Succeeds {
            self.commit_all(&order, rest, job, &mut outcomes).await?;
        }
        let end = match behaviour {
            Behaviour::Succeeds => End::of(0, "Completed", self.unit_result(&order, outcomes).await?),
            Behaviour::Crashes => End::of(1, "Error", String::new()),
            Behaviour::OutOfMemory => End::of(137, "OOMKilled", String::new()),
            Behaviour::Evicted => {
                let disruption = json!({ "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet",
                    "lastTransitionTime": Timestamp::now().to_string() });
                End { condition: Some(disruption), ..End::of(137, "Error", String::new()) }
            }
            Behaviour::Hangs | Behaviour::Lingers | Behaviour::Idles | Behaviour::Waits => return Ok(()),
        };
        self.status(name, &over(&end, Some(started))).await?;
        Ok(())
    }

    /// The end of a pod that was deleted, as its kubelet and worker go about it.
    async fn stop(&self, pod: &Value) -> Result<()> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        if !has_ended(pod) {
            let started = pod["status"]["startTime"].as_str().and_then(|at| at.parse().ok());
            let stopped = Failure::new(Reason::Internal, "stopped by signal 15 before the work was done");
            let words = serde_json::to_string(&Termination::Failure(stopped))?;
            self.status(name, &over(&End::of(11, "Error", words), started)).await?;
        }
        let uid = pod["metadata"]["uid"].as_str().map(str::to_owned);
        let exactly = Preconditions { uid, resource_version: None };
        let params = DeleteParams { grace_period_seconds: Some(0), preconditions: Some(exactly), ..DeleteParams::default() };
        match self.api().delete(name, &params).await {
            Err(error) if !is_gone(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Writes a pod's status; false when the pod is gone.
    async fn status(&self, name: &str, status: &Value) -> Result<bool> {
        let patch = Patch::Merge(json!({ "status": status }));
        match self.api().patch_status(name, &PatchParams::default(), &patch).await {
            Ok(_) => Ok(true),
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits, with patience but not for ever, until an object of ours gives this reason for not being ready.
    async fn told(&self, reason: &str, doom: &Doom) {
        if !self.patient {
            return;
        }
        let told = self.history.until(&self.namespace, reason, PATIENCE, |now| {
            now.all().any(|version| version.is_ours() && ready_reason(&version.object) == Some(reason)).then_some(())
        });
        let mut coming = doom.clone();
        tokio::select! {
            // An operator that says nothing is what many runs are about.
            _ = told => {}
            _ = coming.wait_for(Option::is_some) => {}
        }
    }

    /// Why the worker does not begin: the bytes are not those that are asked for.
    async fn refused_source(&self, order: &WorkOrder) -> Result<Option<Failure>> {
        let Some(wanted) = &order.source.sha256 else { return Ok(None) };
        let bytes = get(&self.http, &order.source.url).await?.context("the source is gone")?;
        let found = Digest::of(&bytes);
        let message = format!("the source has {found}, not {wanted}");
        Ok((found != *wanted).then(|| Failure::new(Reason::SourceDigestMismatch, &message)))
    }

    /// Some steps, one after the other.
    async fn commit_all(&self, order: &WorkOrder, steps: &[StepOrder], job: &str, outcomes: &mut Vec<StepOutcome>) -> Result<()> {
        for step in steps {
            let outcome = self.commit(order, step).await?;
            if matches!(outcome.outcome, Outcome::Done { .. }) {
                self.commits.committed(&step.key, job);
            }
            outcomes.push(outcome);
        }
        Ok(())
    }

    /// One step, as the worker does it: what is committed stands; else files first, then the result where the first wins.
    async fn commit(&self, order: &WorkOrder, step: &StepOrder) -> Result<StepOutcome> {
        let outcome = |outcome| StepOutcome { step: step.step, key: step.key.clone(), outcome, wall_ms: 100, cpu_ms: None };
        if let Some(other) = self.recording.others.get(&step.step) {
            return Ok(outcome(other.clone()));
        }
        if let Some(there) = get(&self.http, &step.result_url).await? {
            return Ok(outcome(Outcome::Done { result: Digest::of(&there) }));
        }
        let recorded = match step.step {
            Step::Duplicates => self.looked_up(order).await?,
            _ => self.recorded(step)?,
        };
        for (name, bytes) in &recorded.files {
            let url = order.grants.files.get(name).with_context(|| format!("the order grants no writing of {name}"))?;
            let status = put(&self.http, url, bytes, false).await?;
            ensure!(status == 200, "the store answers {status} to {name}");
        }
        let result = StepResult {
            key: step.key.clone(),
            folder: order.grants.folder.clone(),
            models: step.models.clone(),
            ..recorded.result
        };
        let bytes = result.to_bytes();
        let url = order.grants.commits.get(&step.step).context("the order grants no commit")?;
        let stands = match put(&self.http, url, &bytes, true).await? {
            200 => bytes,
            412 => get(&self.http, &step.result_url).await?.context("the store has a result and has none")?,
            status => bail!("the store answers {status} to a commit"),
        };
        Ok(outcome(Outcome::Done { result: Digest::of(&stands) }))
    }

    /// What the worker made of the clip; and, where the title is to be looked up, a file in the place of the one for that.
    fn recorded(&self, step: &StepOrder) -> Result<RecordedStep> {
        let recorded = self.recording.done.get(&step.step).with_context(|| format!("{} is not recorded", step.step))?;
        let mut recorded = recorded.clone();
        if matches!(step.params, StepParams::Fingerprint { query: true, .. }) {
            let bytes = b"looks".to_vec();
            let (sha256, size_bytes) = (Digest::of(&bytes), bytes.len() as u64);
            let media_type = "application/octet-stream".to_owned();
            recorded.result.kept = vec![Output { name: QUERY.to_owned(), media_type, sha256, size_bytes, origin: None }];
            recorded.files.insert(QUERY.to_owned(), bytes);
        }
        Ok(recorded)
    }

    /// A look that finds nothing. It goes to every place before the title's: one that nobody has taken, or that cannot be read, is a
    /// title that would not be found.
    async fn looked_up(&self, order: &WorkOrder) -> Result<RecordedStep> {
        let url = order.catalogue.as_deref().context("the order shows no catalogue")?;
        let view = CatalogueView::from_bytes(&get(&self.http, url).await?.context("the view is not there")?)?;
        ensure!(view.entries.signatures.len() == view.position as usize, "a view of {} places: {view:?}", view.position);
        for place in 0..view.position {
            let url = view.entries.url(place).context("a place without an address")?;
            let entry =
                get(&self.http, &url).await?.with_context(|| format!("place {place} is free, before {}", view.position))?;
            catalogue::read(&entry).with_context(|| format!("place {place}"))?;
        }
        let query = order.given.iter().find(|given| given.name == QUERY).context("the query is not given")?;
        ensure!(get(&self.http, &query.url).await?.is_some_and(|bytes| Digest::of(&bytes) == query.sha256), "another query");
        let document = DuplicatesDocument {
            schema: DuplicatesDocument::SCHEMA.to_owned(),
            algorithm: "none".to_owned(),
            file_version: catalogue::VERSION,
            position: view.position,
            seconds: 5.0,
            matches: Vec::new(),
        };
        let (name, bytes) = ("duplicates.json".to_owned(), document.to_bytes());
        let output = Output {
            name: name.clone(),
            media_type: "application/json".to_owned(),
            sha256: Digest::of(&bytes),
            size_bytes: bytes.len() as u64,
            origin: None,
        };
        let like = &self.recording.done.values().next().context("nothing is recorded")?.result;
        let result = StepResult {
            step: Step::Duplicates,
            media: order.media.clone().context("the order says nothing of the source")?,
            outputs: vec![output],
            kept: Vec::new(),
            summary: StepSummary::Duplicates { searched: view.position, matches: 0, closest: Vec::new() },
            settings: BTreeMap::new(),
            ..like.clone()
        };
        Ok(RecordedStep { result, files: BTreeMap::from([(name, bytes)]) })
    }

    /// Stores the unit's result; gives the last words.
    async fn unit_result(&self, order: &WorkOrder, steps: Vec<StepOutcome>) -> Result<String> {
        let result = UnitResult {
            schema: UnitResult::SCHEMA.to_owned(),
            unit_key: order.unit_key.clone(),
            attempt: order.attempt,
            media: Some(self.recording.media.clone()),
            steps,
            run: RunRecord { worker: "recorded".to_owned(), wall_ms: 300, ..RunRecord::default() },
        };
        let bytes = result.to_bytes();
        let status = put(&self.http, &order.grants.unit_result, &bytes, false).await?;
        ensure!(status == 200, "the store answers {status} to the unit's result");
        Ok(serde_json::to_string(&Termination::Result(Digest::of(&bytes)))?)
    }
}

/// Reason of the Ready condition.
pub fn ready_reason(object: &Value) -> Option<&str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready")?["reason"].as_str()
}

fn is_doomed(doom: &Doom) -> bool {
    doom.borrow().is_some()
}

fn has_ended(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409))
}

fn container(state: &Value, ready: bool) -> Value {
    json!([{ "name": CONTAINER, "image": "recorded", "imageID": "", "ready": ready, "started": ready, "restartCount": 0, "state": state }])
}

fn running(started: Timestamp) -> Value {
    let now = Timestamp::now().to_string();
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "lastTransitionTime": now });
    json!({
        "phase": "Running",
        "startTime": whole(started),
        "conditions": [condition("PodScheduled"), condition("Initialized"), condition("ContainersReady"), condition("Ready")],
        "containerStatuses": container(&json!({ "running": { "startedAt": whole(started) } }), true),
    })
}

fn over(end: &End, started: Option<Timestamp>) -> Value {
    let mut terminated = json!({ "exitCode": end.exit_code, "reason": end.reason, "message": end.message,
        "finishedAt": whole(Timestamp::now()) });
    if let Some(started) = started {
        terminated["startedAt"] = whole(started).into();
    }
    let mut status = json!({ "phase": end.phase, "containerStatuses": container(&json!({ "terminated": terminated }), false) });
    if let Some(condition) = &end.condition {
        status["reason"] = "Evicted".into();
        status["conditions"] = json!([condition]);
    }
    status
}

/// The API keeps whole seconds.
fn whole(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

async fn get(http: &reqwest::Client, url: &str) -> Result<Option<Vec<u8>>> {
    let answer = http.get(url).send().await?;
    match answer.status().as_u16() {
        404 => Ok(None),
        200 => Ok(Some(answer.bytes().await?.to_vec())),
        status => bail!("the store answers {status} to a signed read"),
    }
}

async fn put(http: &reqwest::Client, url: &str, bytes: &[u8], first: bool) -> Result<u16> {
    let mut request = http.put(url).body(bytes.to_vec());
    if first {
        request = request.header("if-none-match", "*");
    }
    Ok(request.send().await?.status().as_u16())
}
