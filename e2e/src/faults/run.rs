//! One scenario with one fault, from an empty namespace to an empty namespace, and all that is known of it afterwards.
//!
//! I/O: the API server, the store, the operator as a process; a folder of its own for configuration and logs.

use super::{
    cast::Commits,
    history::{Audit, History, World},
    laws::{self, Record},
    money::{self, Account},
    operator::{LEASE, Replica, Setting, Watched},
    plane::{BUCKET, Plane},
    player::{Behaviour, Player},
    recording::Recording,
    stage::Stage,
    wire::{Entry, Fault, Point, Wire},
};
use crate::{cluster::root, store::Store};
use anyhow::{Context as _, Result, bail, ensure};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};
use showrunner_crds::AiBudget;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// Where every scenario's source lies, below the run's prefix.
pub const SOURCE: &str = "ingest/clip.mp4";
/// How often the operator is made to look again when everything is at its end.
const NUDGES: u32 = 3;
/// How long anything may take that comes after the story: fail-overs, settling, deletion. A machine may be busy.
pub(super) const SOON: Duration = Duration::from_secs(40);
/// Time between two looks at something that cannot be watched.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What all runs share.
pub struct Means {
    /// Administrator.
    pub client: Client,
    /// Everything that is stored.
    pub history: History,
    /// Everything that the operator asks for.
    pub audit: Audit,
    /// Knows the API server's certificate.
    pub http: reqwest::Client,
    /// The API server.
    pub api: String,
    /// The store.
    pub store_url: String,
    /// The store, past the proxies.
    pub store: Store,
    /// The store's access key and secret.
    pub keys: (String, String),
    /// Token of the operator's service account.
    pub token: String,
    /// What the worker makes of the clip.
    pub recording: Arc<Recording>,
    /// Where runs have their folders.
    pub folder: PathBuf,
    /// Settings of the kinds, as the chart gives them by default.
    pub kinds: Value,
    /// Names runs.
    pub count: AtomicU32,
}

impl Means {
    /// Of a control plane that runs.
    pub async fn of(plane: &Plane, history: History, recording: Recording) -> Result<Self> {
        let client = plane.client().await?;
        let authority = reqwest::Certificate::from_pem(&plane.authority)?;
        let folder = plane.folder().join("runs");
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            history,
            audit: Audit::new(plane.audit_log()),
            http: reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build()?,
            api: plane.api.clone(),
            store_url: plane.store.clone(),
            store: Store::new(&plane.store, BUCKET, "us-east-1", &plane.keys.0, &plane.keys.1)?,
            keys: plane.keys.clone(),
            token: plane.token(&client).await?,
            recording: Arc::new(recording),
            folder,
            kinds: kinds()?,
            count: AtomicU32::new(0),
            client,
        })
    }
}

/// Settings of the kinds from the installation that the chart gives by default.
pub fn kinds() -> Result<Value> {
    let text = std::fs::read_to_string(root().join("dist/install.yaml"))?;
    for document in text.split("\n---\n") {
        let object: Option<Value> = serde_saphyr::from_str(document)?;
        let data = object.filter(|object| object["kind"] == "ConfigMap").map(|object| object["data"].clone());
        let mut texts = data.iter().filter_map(Value::as_object).flat_map(|data| data.values()).filter_map(Value::as_str);
        if let Some(text) = texts.next() {
            let config: Value = serde_saphyr::from_str(text)?;
            return Ok(config["kinds"].clone());
        }
    }
    bail!("dist/install.yaml has no configuration of the operator")
}

/// A story that the operator is to bring to its end.
pub trait Scenario: Send + Sync {
    /// In one or two words.
    fn name(&self) -> &str;

    /// What pods do, by attempt.
    fn pods(&self) -> Vec<Behaviour> {
        Vec::new()
    }

    /// Jobs that it takes at most.
    fn jobs(&self) -> usize {
        1
    }

    /// Manifests that it publishes at most.
    fn editions(&self) -> usize {
        1
    }

    /// Changes of mind that people have on the way: each may cost the operator some writes more.
    fn changes(&self) -> usize {
        0
    }

    /// Spec of the budget that the story is told under, over its namespace alone, and the highest cap that it ever has, in millionths.
    fn budget(&self) -> Option<(Value, i128)> {
        None
    }

    /// Whether the budget's limits are not known before somebody changes it.
    fn is_blind(&self) -> bool {
        false
    }

    /// What must hold beside the laws; breaches with their names.
    fn look(&self, _record: &Record) -> Vec<(String, String)> {
        Vec::new()
    }

    /// How long the story may take without a fault.
    fn limit(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Plays what people do, and waits for what is to come of it.
    fn play<'a>(&'a self, stage: &'a Stage<'a>) -> BoxFuture<'a, Result<()>>;
}

/// Which run.
#[derive(Clone)]
pub struct Plan {
    /// The story.
    pub scenario: Arc<dyn Scenario>,
    /// What goes wrong, and where.
    pub fault: Option<(Point, Fault)>,
    /// The operator's binary.
    pub binary: PathBuf,
    /// A bug planted in it.
    pub bug: Option<String>,
    /// Whether pods wait until the operator has told of them.
    pub patient: bool,
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Whether the planned point was met.
    pub reached: bool,
    /// What went against a law, with the law's name; empty when all is well.
    pub breaches: Vec<(String, String)>,
    /// How it ended: what must be the same whatever goes wrong.
    pub ending: Value,
    /// Points, in order.
    pub points: Vec<Point>,
    /// Writes, in order and in words.
    pub tale: Vec<String>,
    /// Processes of the operator.
    pub processes: usize,
    /// Jobs that were made.
    pub jobs: usize,
    /// Writes and Events of the operator, by the audit log.
    pub writes: (usize, usize),
    /// How long it took.
    pub took: Duration,
    /// Where the operator's logs are.
    pub folder: PathBuf,
}

/// Runs a plan. An error is one of the test's own means; what the operator does wrong is a breach.
pub async fn run(means: &Means, plan: &Plan) -> Result<Outcome> {
    let began = Instant::now();
    let number = means.count.fetch_add(1, Ordering::SeqCst) + 1;
    let namespace = format!("sweep-{number}");
    let folder = means.folder.join(&namespace);
    std::fs::create_dir_all(&folder)?;
    prepare(means, &namespace).await?;
    let budget = plan.scenario.budget();
    if let Some((spec, _)) = &budget {
        budgets(means).create(&PostParams::default(), &budget_of(&namespace, spec)?).await?;
    }
    let wire = Wire::new(&namespace, means.http.clone(), &means.api, &means.store_url, plan.fault.clone());
    let stage = Stage {
        means,
        namespace: namespace.clone(),
        wire: wire.clone(),
        limit: plan.scenario.limit(),
        specs: Mutex::default(),
        leash: Arc::default(),
        known_from: Mutex::default(),
    };
    let commits = Arc::new(Commits::default());
    let player = Player {
        client: means.client.clone(),
        history: means.history.clone(),
        namespace: namespace.clone(),
        recording: Arc::clone(&means.recording),
        behaviours: plan.scenario.pods(),
        by_source: BTreeMap::new(),
        patient: plan.patient,
        http: means.http.clone(),
        leash: Arc::clone(&stage.leash),
        commits: Arc::clone(&commits),
    };
    let setting = Setting {
        binary: plan.binary.clone(),
        bug: plan.bug.clone(),
        namespace: namespace.clone(),
        token: means.token.clone(),
        keys: means.keys.clone(),
        store: means.store_url.clone(),
        folder: folder.clone(),
        kinds: kinds_of(means, &namespace),
    };
    let acts = Acts { plan, stage: &stage, setting, numbers: Arc::default(), second: Mutex::default(), seen: Mutex::default() };
    let result = tokio::select! {
        ended = acts.play() => ended,
        ended = player.play() => Err(ended.err().unwrap_or_else(|| anyhow::anyhow!("the pods' player ended"))),
    };
    let Seen { rest, ending } = acts.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut outcome = Outcome {
        reached: plan.fault.is_none() || wire.fired().is_some(),
        ending,
        took: began.elapsed(),
        folder,
        ..Outcome::default()
    };
    if let Err(error) = &result {
        outcome.breaches.push(("the wanted end is reached, and rests".to_owned(), format!("{error:#}")));
    }
    let processes = acts.numbers.load(Ordering::SeqCst) as usize;
    let mut record = collect(&stage, plan, rest, processes).await?;
    record.redone = commits.redone();
    outcome.breaches.extend(laws::breaches(&record).into_iter().map(|(law, breach)| (law.to_owned(), breach)));
    outcome.breaches.extend(plan.scenario.look(&record));
    outcome.jobs = record.births().len();
    outcome.points = steady(&record.journal);
    outcome.tale = record.journal.iter().filter(|entry| entry.point.is_write()).map(Entry::describe).collect();
    outcome.processes = processes;
    let events = record.audit.iter().filter(|request| request.resource == "events").count();
    outcome.writes = (record.audit.iter().filter(|request| request.is_write()).count() - events, events);
    if outcome.breaches.is_empty() {
        let _ = std::fs::remove_dir_all(&outcome.folder);
    }
    Ok(outcome)
}

/// Budgets, as the administrator sees them.
fn budgets(means: &Means) -> Api<AiBudget> {
    Api::all(means.client.clone())
}

/// A run's budget: over its namespace alone, and seen by its operator alone.
fn budget_of(namespace: &str, spec: &Value) -> Result<AiBudget> {
    let mut object = json!({ "apiVersion": "showrunner.dev/v1alpha1", "kind": "AiBudget", "spec": spec,
        "metadata": { "name": namespace, "labels": { "sweep": namespace } } });
    object["spec"]["scope"] = json!({ "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } } });
    Ok(serde_json::from_value(object)?)
}

/// Settings of the kinds with the run's own ledger and budget.
fn kinds_of(means: &Means, namespace: &str) -> Value {
    let mut kinds = means.kinds.clone();
    kinds["aiBudget"] =
        json!({ "selector": format!("sweep={namespace}"), "ledger": { "store": "default", "path": money::FOLDER } });
    kinds
}

/// The points that every run has: a write that met a conflict was made once more, and would not have been otherwise.
fn steady(journal: &[Entry]) -> Vec<Point> {
    let of = |point: &Point| (point.verb, point.resource.clone(), point.name.clone());
    let mut extra: BTreeMap<_, u32> = BTreeMap::new();
    let mut all: BTreeMap<_, u32> = BTreeMap::new();
    for entry in journal {
        *all.entry(of(&entry.point)).or_default() += 1;
        if entry.point.is_write() && entry.answered.is_some_and(|(_, status)| status == 409) {
            *extra.entry(of(&entry.point)).or_default() += 1;
        }
    }
    // How often a budget's status is written depends on how long things take, not on what is done.
    let kept = |point: &&Point| {
        point.resource != "aibudgets/status" && point.nth <= all[&of(point)] - extra.get(&of(point)).copied().unwrap_or_default()
    };
    journal.iter().map(|entry| &entry.point).filter(kept).cloned().collect()
}

async fn prepare(means: &Means, namespace: &str) -> Result<()> {
    let object: Namespace = serde_json::from_value(json!({ "metadata": { "name": namespace,
        "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } }))?;
    Api::<Namespace>::all(means.client.clone()).create(&PostParams::default(), &object).await?;
    means.store.put(&format!("{namespace}/{SOURCE}"), means.recording.clip.clone()).await?;
    // Pods cannot be made before.
    let accounts = Api::<ServiceAccount>::namespaced(means.client.clone(), namespace);
    let there = kube::runtime::wait::await_condition(accounts, "default", |account: Option<&ServiceAccount>| account.is_some());
    tokio::time::timeout(SOON, there).await.context("the namespace has no default service account")??;
    Ok(())
}

async fn collect(stage: &Stage<'_>, plan: &Plan, writes_at_rest: Vec<String>, processes: usize) -> Result<Record> {
    let (means, namespace) = (stage.means, &stage.namespace);
    means.history.catch_up(namespace, SOON).await?;
    let prefix = format!("{namespace}/");
    let specs = stage.specs.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Record {
        versions: means.history.of(namespace),
        journal: stage.wire.journal(),
        audit: means.audit.of(namespace)?,
        specs,
        editions: plan.scenario.editions(),
        jobs: plan.scenario.jobs(),
        changes: plan.scenario.changes(),
        redone: Vec::new(),
        processes,
        writes_at_rest,
        account: account(stage, plan, &prefix).await?,
        keys: means.store.list(&prefix).await?,
    })
}

/// The run's budget with its ledger as it lies in the store.
async fn account(stage: &Stage<'_>, plan: &Plan, prefix: &str) -> Result<Option<Account>> {
    let means = stage.means;
    let Some((_, cap)) = plan.scenario.budget() else { return Ok(None) };
    let mut pages = Vec::new();
    let mut keys = means.store.list(&format!("{prefix}{}/", money::FOLDER)).await?;
    keys.sort_unstable();
    for key in keys {
        pages.push(means.store.read(&key).await?.to_vec());
    }
    let blind = *stage.known_from.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Some(Account { cap, pages, blind: blind.filter(|_| plan.scenario.is_blind()) }))
}

/// What was seen of a run's end.
#[derive(Clone, Default)]
struct Seen {
    rest: Vec<String>,
    ending: Value,
}

/// The acts of one run.
struct Acts<'a> {
    plan: &'a Plan,
    stage: &'a Stage<'a>,
    setting: Setting,
    numbers: Arc<AtomicU32>,
    second: Mutex<Option<Replica>>,
    seen: Mutex<Seen>,
}

impl Acts<'_> {
    fn replica(&self, name: &str) -> Result<Replica> {
        Replica::start(self.setting.clone(), self.stage.wire.clone(), name, &self.numbers)
    }

    fn second(&self) -> MutexGuard<'_, Option<Replica>> {
        self.second.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn play(&self) -> Result<()> {
        let mut first = self.replica("a")?;
        let watched = first.watched();
        let story = async {
            self.plan.scenario.play(self.stage).await?;
            self.come_to_rest(&watched).await
        };
        let told = tokio::select! {
            told = story => told.map_err(|error| error.context(format!("the operator's last words:\n{}", self.leader(&watched).tail()))),
            error = self.help() => Err(error),
            error = first.broke() => Err(error),
        };
        told?;
        first.end().await?;
        let second = self.second().take();
        match second {
            Some(second) => second.end().await,
            None => Ok(()),
        }
    }

    fn leader(&self, first: &Watched) -> Watched {
        self.second().as_ref().map_or_else(|| first.clone(), Replica::watched)
    }

    /// What comes after some faults, beside the story. Ends with an error only.
    async fn help(&self) -> anyhow::Error {
        self.stage.wire.wait_fired().await;
        let helped = match self.plan.fault.as_ref().map(|(_, fault)| *fault) {
            Some(Fault::Away) => {
                // People would tell it that the store is back; else it looks by itself, some time later.
                let until = self.stage.wire.away_until().unwrap_or_else(tokio::time::Instant::now);
                tokio::time::sleep_until(until).await;
                self.stage.nudge(0).await.map(|_| ())
            }
            Some(fault) if fault.stops() => self.replica("b").map(|replica| *self.second() = Some(replica)),
            _ => Ok(()),
        };
        match helped {
            Err(error) => error,
            Ok(()) => std::future::pending().await,
        }
    }

    /// After the story: everything is let go, nothing is written, what was published is there, and deletion leaves nothing.
    async fn come_to_rest(&self, first: &Watched) -> Result<()> {
        let stage = self.stage;
        let settled = |now: &World| now.all().all(|version| version.is_ours() || version.our_finalizers().is_empty());
        stage.until("Jobs and pods are let go", settled).await?;
        self.late(first).await?;
        self.sees_all(first).await?;
        let leader = self.leader(first);
        // After the first look everything that was still on its way has come to its end.
        if self.looked_again(&leader, 1).await? {
            let before = self.writes()?.len();
            for nudge in 0..NUDGES {
                self.looked_again(&leader, 2 + nudge).await?;
            }
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).rest = self.writes()?.split_off(before);
        }
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).ending = stage.ending();
        stage.means.verify(&stage.namespace).await?;
        for version in stage.means.history.now(&stage.namespace).all().filter(|version| version.is_ours()) {
            stage.delete(&version.resource, version.name()).await?;
        }
        stage.until("everything is gone", |now| now.all().next().is_none()).await?;
        self.late(first).await?;
        stage.until("nothing has come back", |now| now.all().next().is_none()).await?;
        self.end_budget(first).await
    }

    /// The budget is deleted, and goes: everything under it has been charged.
    async fn end_budget(&self, first: &Watched) -> Result<()> {
        if self.plan.scenario.budget().is_none() {
            return Ok(());
        }
        let (budgets, name) = (budgets(self.stage.means), self.stage.namespace.as_str());
        budgets.delete(name, &DeleteParams::default()).await?;
        let gone = kube::runtime::wait::await_condition(budgets, name, |budget: Option<&AiBudget>| budget.is_none());
        tokio::time::timeout(SOON, gone).await.context("the budget does not go")??;
        // The last write of all: whoever made it is stopped only after the budget is seen to go.
        let stops = |(point, fault): &(Point, Fault)| point.resource == "aibudgets" && point.nth > 1 && fault.stops();
        if self.plan.fault.as_ref().is_some_and(stops) {
            let began = Instant::now();
            while !first.gate().is_stopped() {
                ensure!(began.elapsed() < SOON, "the process is not stopped");
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        self.late(first).await
    }

    /// What was stopped goes on, and what it had sent arrives.
    async fn late(&self, first: &Watched) -> Result<()> {
        let gate = first.gate();
        if !gate.is_stopped() {
            return Ok(());
        }
        self.other_leads(first).await?;
        self.stage.wire.release();
        if self.plan.fault.as_ref().is_some_and(|(_, fault)| *fault == Fault::StoppedMidWrite) {
            tokio::time::timeout(SOON, self.stage.wire.wait_late_answer()).await.context("the late write is not answered")?;
        }
        gate.resume();
        // It finds that it does not lead any more, and ends.
        let began = Instant::now();
        while first.gate().number == gate.number {
            ensure!(began.elapsed() < SOON, "the process that was overtaken does not end; its last words:\n{}", first.tail());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until the second replica leads: one that goes on before that is the leader still.
    async fn other_leads(&self, first: &Watched) -> Result<()> {
        let began = Instant::now();
        loop {
            let answer = self.stage.means.http.get(self.leader(first).metrics()).send().await;
            let text = match answer {
                Ok(answer) => answer.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if text.lines().any(|line| line.starts_with("leader_election_master_status") && line.ends_with(" 1")) {
                return Ok(());
            }
            ensure!(began.elapsed() < SOON, "the second replica does not lead");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the leader's watches have shown it all there is: before that it is not at rest, but behind.
    async fn sees_all(&self, first: &Watched) -> Result<()> {
        let stage = self.stage;
        let began = Instant::now();
        loop {
            let mut newest: BTreeMap<String, u64> = BTreeMap::new();
            for version in stage.means.history.of(&stage.namespace) {
                newest.insert(version.resource, version.at);
            }
            let process = self.leader(first).gate().number;
            let behind = newest.iter().find(|(resource, at)| !stage.wire.has_seen(process, resource, **at));
            let Some((resource, _)) = behind else { return Ok(()) };
            ensure!(began.elapsed() < SOON, "the operator's watch of {resource} does not catch up");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Writes that changed something. One that is refused with 409 did not: an old list that falls into the rest makes some.
    fn writes(&self) -> Result<Vec<String>> {
        let all = self.stage.means.audit.of(&self.stage.namespace)?;
        Ok(all
            .iter()
            .filter(|request| request.is_write() && request.code != 409)
            .map(|r| format!("{} {} {}", r.verb, r.resource, r.name))
            .collect())
    }

    /// Has the operator look again, and waits until it has; false where there is nothing to look at.
    async fn looked_again(&self, leader: &Watched, value: u32) -> Result<bool> {
        let began = Instant::now();
        let before = loop {
            match self.looks(leader).await {
                Some(count) => break count,
                None => ensure!(began.elapsed() < SOON, "the operator has no metrics"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        };
        let starts = leader.starts();
        if !self.stage.nudge(value).await? {
            return Ok(false);
        }
        loop {
            let now = self.looks(leader).await;
            // A process that was just started counts from nothing.
            if now.is_some_and(|now| now > before) || (leader.starts() > starts && now.is_some_and(|now| now > 0)) {
                return Ok(true);
            }
            ensure!(began.elapsed() < SOON + LEASE, "the operator does not look at an object that was touched");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How often the operator has looked at objects of ours.
    async fn looks(&self, leader: &Watched) -> Option<u64> {
        let text = self.stage.means.http.get(leader.metrics()).send().await.ok()?.text().await.ok()?;
        let lines = text.lines().filter(|line| {
            line.starts_with("controller_runtime_reconcile_total{")
                && !["controller=\"orphan-", "controller=\"aibudget"].iter().any(|other| line.contains(other))
        });
        Some(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).map(|count| count as u64).sum())
    }
}

/// The release folder that this test binary lies in, where the operator and the worker are, too.
pub fn binaries() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().and_then(Path::parent).context("the test binary lies in a target folder")?.to_path_buf())
}
