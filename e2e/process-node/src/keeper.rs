//! One pod from the moment it is bound to this node until it is gone: prepared, run, ended, told, let go.
//!
//! Reads what the pod refers to, starts and ends its processes, tells its status, deletes it when its time has come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::image::Images;
use crate::plan::{self, NoPlan, Plan, plan};
use crate::process::{self, Running, Spawner};
use crate::publish::Publisher;
use crate::refuse::refuse;
use crate::status::{Container, Ended, Seen, State};
use crate::volumes::{Places, PodFolder, Sources};

/// How often memory is looked at. What a container takes within it is not seen: it is the price of needing no cgroups.
const MEMORY_PERIOD: Duration = Duration::from_millis(100);
/// How often the use of scratch space is looked at, as the kubelet does.
const SCRATCH_PERIOD: Duration = Duration::from_secs(10);
/// Between attempts at what is missing, doubled each time. A kubelet's times.
const FIRST_PULL_DELAY: Duration = Duration::from_secs(10);
const LONGEST_PULL_DELAY: Duration = Duration::from_mins(5);
const FIRST_MOUNT_DELAY: Duration = Duration::from_millis(500);
const LONGEST_MOUNT_DELAY: Duration = Duration::from_secs(30);
/// How long a failed pull is called so before it is called a back-off.
const PULL_ERROR_SHOWN: Duration = Duration::from_secs(1);
/// What a pod gets that is gone from the API server or uses more than it may.
const SHORT_GRACE: Duration = Duration::from_secs(1);
/// A pod's own, where it names none.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// One request to the API server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Exit code and reason of a container whose end nobody saw, as a runtime gives them after the machine was restarted.
const LOST: (i32, &str) = (255, "Unknown");
/// Exit code of a container whose program could not be started.
const NOT_STARTED: i32 = 128;

/// What all pods of the node share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) places: Places,
    pub(crate) images: Images,
    pub(crate) spawner: Spawner,
    pub(crate) address: String,
    pub(crate) as_root: bool,
}

/// The newest of a pod; none when it is gone from the API server.
pub(crate) type Latest = watch::Receiver<Option<Arc<Pod>>>;

/// Looks after one pod; comes back when it is gone.
pub(crate) async fn keep(client: Client, shared: Arc<Shared>, mut latest: Latest) {
    let Some(pod) = latest.borrow_and_update().clone() else { return };
    let name =
        format!("{}/{}", pod.metadata.namespace.as_deref().unwrap_or_default(), pod.metadata.name.as_deref().unwrap_or_default());
    let publisher = Publisher::start(&client, Arc::clone(&pod), shared.address.clone());
    let seen = Seen::new(&pod, Timestamp::now());
    let mut keeper = Keeper { client, shared, latest, pod, name, publisher, seen, stop: Stop::default() };
    match keeper.shared.places.of(&keeper.pod) {
        Ok(folder) => {
            keeper.live(&folder).await;
            keeper.let_go().await;
            let (places, name) = (keeper.shared.places.clone(), keeper.name.clone());
            let forgotten = tokio::task::spawn_blocking(move || places.forget(&folder)).await;
            if let Ok(Err(error)) = forgotten {
                tracing::warn!(pod = name, %error, "failed to remove the pod's folder");
            }
        }
        Err(why) => {
            keeper.reject(&why);
            keeper.let_go().await;
        }
    }
    tracing::info!(pod = keeper.name, "gone");
}

/// Whether and until when a pod is given time to end.
#[derive(Clone, Copy, Debug, Default)]
struct Stop {
    /// When all that is left is killed. Never moved to a later time.
    kill: Option<Instant>,
    /// It has been asked to end.
    asked: bool,
    /// What was left was killed.
    killed: bool,
}

struct Keeper {
    client: Client,
    shared: Arc<Shared>,
    latest: Latest,
    pod: Arc<Pod>,
    name: String,
    publisher: Publisher,
    seen: Seen,
    stop: Stop,
}

/// Why an attempt to prepare a pod failed.
struct NotYet {
    reason: String,
    message: String,
    /// Nothing that could change would help.
    last: bool,
}

/// A container's process and its limit.
struct Process {
    container: usize,
    running: Option<Running>,
    started: Timestamp,
    memory: Option<u64>,
    out_of_memory: bool,
}

impl Keeper {
    /// Everything up to the last word on what became of it.
    async fn live(&mut self, folder: &PodFolder) {
        let status = self.pod.status.as_ref();
        if matches!(status.and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed")) {
            return; // told by an earlier life
        }
        if folder.was_started() || has_run(&self.pod) {
            self.fail_lost(folder).await;
            return;
        }
        if let Some(why) = refuse(&self.pod) {
            self.reject(&why);
            return;
        }
        tracing::info!(pod = self.name, "taken up");
        self.publisher.say(&self.seen);
        if let Some(plans) = self.prepare(folder).await {
            self.run(folder, plans).await;
        }
        self.seen.close();
        self.publisher.say(&self.seen);
        tracing::info!(pod = self.name, containers = ?self.seen.containers, verdict = ?self.seen.verdict, "ended");
    }

    fn reject(&mut self, why: &str) {
        tracing::warn!(pod = self.name, why, "refused");
        self.seen.containers.clear();
        self.seen.verdict = Some(("UnsupportedByProcessNode".to_owned(), format!("Pod was rejected: {why}")));
        self.seen.over = true;
        self.publisher.say(&self.seen);
    }

    /// An earlier life of this node started it. What is left of it is ended, and it is never started again.
    async fn fail_lost(&mut self, folder: &PodFolder) {
        tracing::warn!(pod = self.name, "was started by an earlier life of this node: its end is not known");
        let uid = self.pod.metadata.uid.clone().unwrap_or_default();
        // An error is a panic there, which has been logged.
        let _ = tokio::task::spawn_blocking(move || process::end_leftovers(&uid)).await;
        let old = self.pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten();
        let started: BTreeMap<&str, Timestamp> = old
            .filter_map(|status| {
                let running = status.state.as_ref()?.running.as_ref()?;
                Some((status.name.as_str(), running.started_at.as_ref()?.0))
            })
            .collect();
        let now = Timestamp::now();
        for container in &mut self.seen.containers {
            let (code, reason) = LOST;
            let message = folder.last_words(&container.name, false);
            let started = Some(started.get(container.name.as_str()).copied().unwrap_or(now));
            container.state = State::Ended(Ended { started, finished: Some(now), code, reason: reason.to_owned(), message });
        }
        self.seen.close();
        self.publisher.say(&self.seen);
    }

    /// Waits for all that the pod needs. None when it is to end before it could start.
    async fn prepare(&mut self, folder: &PodFolder) -> Option<Vec<Plan>> {
        let (mut pull, mut mount) = (FIRST_PULL_DELAY, FIRST_MOUNT_DELAY);
        loop {
            self.heed();
            if self.stop.kill.is_some() {
                return None;
            }
            let missing = match self.attempt(folder).await {
                Ok(plans) => return Some(plans),
                Err(missing) => missing,
            };
            tracing::info!(pod = self.name, reason = missing.reason, message = missing.message, "cannot start");
            if missing.last {
                let ended = Ended { code: NOT_STARTED, reason: missing.reason, message: missing.message, ..Ended::default() };
                for container in &mut self.seen.containers {
                    container.state = State::Ended(ended.clone());
                }
                return None;
            }
            self.seen.wait(&missing.reason, &missing.message);
            self.publisher.say(&self.seen);
            let mut until = Instant::now() + mount;
            if missing.reason == "ErrImagePull" {
                if !self.pause(Instant::now() + PULL_ERROR_SHOWN).await {
                    continue;
                }
                self.seen.wait("ImagePullBackOff", &format!("Back-off pulling image: ErrImagePull: {}", missing.message));
                self.publisher.say(&self.seen);
                until = Instant::now() + pull;
                pull = (pull * 2).min(LONGEST_PULL_DELAY);
            } else {
                mount = (mount * 2).min(LONGEST_MOUNT_DELAY);
            }
            self.pause(until).await;
        }
    }

    /// Waits; false when the pod is to end before that.
    async fn pause(&mut self, until: Instant) -> bool {
        let deadline = self.deadline();
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                () = sleep_until_some(deadline) => self.exceed_deadline(),
                _ = self.latest.changed() => self.heed(),
            }
            if self.stop.kill.is_some() {
                return false;
            }
        }
    }

    async fn attempt(&mut self, folder: &PodFolder) -> Result<Vec<Plan>, NotYet> {
        let creating = |message| NotYet { reason: "ContainerCreating".to_owned(), message, last: false };
        let sources = sources(&self.client, &self.pod).await.map_err(creating)?;
        let (pod, shared, folder) = (Arc::clone(&self.pod), Arc::clone(&self.shared), folder.clone());
        let laid_out = tokio::task::spawn_blocking(move || lay_out(&pod, &shared, &sources, &folder)).await;
        let (ids, plans) = laid_out.unwrap_or_else(|error| Err(creating(error.to_string())))?;
        for (seen, id) in self.seen.containers.iter_mut().zip(ids) {
            seen.image_id = id;
        }
        Ok(plans)
    }

    async fn run(&mut self, folder: &PodFolder, plans: Vec<Plan>) {
        // From here on the pod has run, whatever becomes of this node.
        if let Err(message) = folder.mark_started() {
            self.seen.verdict = Some(("UnexpectedAdmissionError".to_owned(), message));
            return;
        }
        let mut exits = FuturesUnordered::new();
        let mut processes = Vec::new();
        for (container, plan) in plans.iter().enumerate() {
            match self.shared.spawner.spawn(plan).await {
                Ok(running) => {
                    let pid = running.pid();
                    exits.push(async move {
                        process::ended(pid).await;
                        container
                    });
                    let started = Timestamp::now();
                    self.seen.containers[container].state = State::Running { since: started };
                    let memory = limit(&self.pod, container, "memory");
                    processes.push(Process { container, running: Some(running), started, memory, out_of_memory: false });
                }
                Err(message) => {
                    let ended = Ended { code: NOT_STARTED, reason: plan::START_ERROR.to_owned(), message, ..Ended::default() };
                    self.seen.containers[container].state = State::Ended(ended);
                }
            }
        }
        self.publisher.say(&self.seen);
        let deadline = self.deadline();
        let (mut memory, mut scratch) = (interval(MEMORY_PERIOD), interval(SCRATCH_PERIOD));
        memory.set_missed_tick_behavior(MissedTickBehavior::Delay);
        scratch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let bounded = processes.iter().any(|process| process.memory.is_some());
        while !exits.is_empty() {
            self.heed();
            if self.stop.kill.is_some() && !self.stop.asked {
                self.stop.asked = true;
                processes.iter().filter_map(|process| process.running.as_ref()).for_each(Running::ask);
            }
            tokio::select! {
                Some(container) = exits.next() => self.ended(folder, container, &mut processes).await,
                _ = self.latest.changed() => {}
                () = sleep_until_some(self.stop.kill.filter(|_| !self.stop.killed)) => {
                    processes.iter().filter_map(|process| process.running.as_ref()).for_each(Running::kill);
                    self.stop.killed = true;
                }
                () = sleep_until_some(deadline.filter(|_| self.seen.verdict.is_none())) => self.exceed_deadline(),
                _ = memory.tick(), if bounded => {
                    for process in &mut processes {
                        let (Some(running), Some(limit)) = (&process.running, process.memory) else { continue };
                        if running.memory() > limit {
                            process.out_of_memory = true;
                            running.kill();
                        }
                    }
                }
                _ = scratch.tick() => self.look_at_scratch(folder),
            }
        }
    }

    /// A container's first process has ended, and with it the container.
    async fn ended(&mut self, folder: &PodFolder, container: usize, processes: &mut [Process]) {
        let Some(process) = processes.iter_mut().find(|process| process.container == container) else { return };
        let Some(running) = process.running.take() else { return };
        let code = tokio::task::spawn_blocking(move || running.bury()).await.unwrap_or(NOT_STARTED);
        let finished = Some(Timestamp::now());
        let reason = match code {
            _ if process.out_of_memory => "OOMKilled",
            0 => "Completed",
            _ => "Error",
        };
        let seen: &mut Container = &mut self.seen.containers[container];
        let spec = self.pod.spec.as_ref().and_then(|spec| spec.containers.get(container));
        let fallback = spec.and_then(|spec| spec.termination_message_policy.as_deref()) == Some("FallbackToLogsOnError");
        let message = folder.last_words(&seen.name, fallback && code != 0);
        seen.state = State::Ended(Ended { started: Some(process.started), finished, code, reason: reason.to_owned(), message });
        if self.seen.containers.iter().any(|container| matches!(container.state, State::Running { .. })) {
            self.publisher.say(&self.seen);
        }
    }

    /// Takes up what changed: whether the pod is to end.
    fn heed(&mut self) {
        let newest = self.latest.borrow_and_update().clone();
        match newest {
            None => self.end_within(SHORT_GRACE),
            Some(pod) => {
                if pod.metadata.deletion_timestamp.is_some() {
                    let grace = pod.metadata.deletion_grace_period_seconds.and_then(|seconds| u64::try_from(seconds).ok());
                    self.end_within(grace.map_or(DEFAULT_GRACE, Duration::from_secs));
                }
                self.pod = pod;
            }
        }
    }

    /// Sooner than before, never later: the same deletion is seen many times.
    fn end_within(&mut self, grace: Duration) {
        let at = Instant::now() + grace;
        if self.stop.kill.is_none_or(|kill| at < kill) {
            self.stop.kill = Some(at);
        }
    }

    fn exceed_deadline(&mut self) {
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        self.seen.verdict.get_or_insert(("DeadlineExceeded".to_owned(), message));
        let grace = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        self.end_within(grace.and_then(|seconds| u64::try_from(seconds).ok()).map_or(DEFAULT_GRACE, Duration::from_secs));
    }

    /// When the pod will have been active for as long as it may.
    fn deadline(&self) -> Option<Instant> {
        let seconds = self.pod.spec.as_ref()?.active_deadline_seconds?;
        let allowed = Duration::from_secs(u64::try_from(seconds).ok()?);
        let active = Duration::try_from(Timestamp::now().duration_since(self.seen.since)).unwrap_or_default();
        Instant::now().checked_add(allowed.saturating_sub(active))
    }

    fn look_at_scratch(&mut self, folder: &PodFolder) {
        for volume in self.pod.spec.iter().filter_map(|spec| spec.volumes.as_ref()).flatten() {
            let Some(limit) = volume.empty_dir.as_ref().and_then(|empty| empty.size_limit.as_ref()) else { continue };
            if bytes(limit).is_some_and(|most| folder.used(&volume.name) > most) {
                let message = format!("Usage of EmptyDir volume \"{}\" exceeds the limit \"{}\". ", volume.name, limit.0);
                self.seen.verdict.get_or_insert(("Evicted".to_owned(), message));
                self.end_within(SHORT_GRACE);
                return;
            }
        }
    }

    /// Waits for the pod's deletion and carries it out, once its last word is heard. Finalizers of others keep it from
    /// being gone; then there is nothing to do but wait for them.
    async fn let_go(&mut self) {
        self.publisher.heard().await;
        let mut delay = FIRST_MOUNT_DELAY;
        loop {
            let Some(pod) = self.latest.borrow_and_update().clone() else { return };
            let asked = pod.metadata.deletion_timestamp.is_some() && pod.metadata.deletion_grace_period_seconds != Some(0);
            if asked && !self.delete(&pod).await {
                tokio::select! {
                    () = sleep(delay) => {}
                    _ = self.latest.changed() => {}
                }
                delay = (delay * 2).min(LONGEST_MOUNT_DELAY);
                continue;
            }
            if self.latest.changed().await.is_err() {
                return;
            }
        }
    }

    async fn delete(&self, pod: &Pod) -> bool {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
        let preconditions = Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None });
        let now = DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
        match timeout(REQUEST_TIMEOUT, api.delete(pod.metadata.name.as_deref().unwrap_or_default(), &now)).await {
            Ok(Ok(_)) => true,
            // Gone already, or the name is another pod's.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => true,
            Ok(Err(error)) => {
                tracing::warn!(pod = self.name, %error, "failed to delete the pod, trying again");
                false
            }
            Err(_) => false,
        }
    }
}

/// Finds the images, writes the volumes, plans the processes. Gives the images' IDs, too.
fn lay_out(pod: &Pod, shared: &Shared, sources: &Sources, folder: &PodFolder) -> Result<(Vec<String>, Vec<Plan>), NotYet> {
    let creating = |message: &str| NotYet { reason: "ContainerCreating".to_owned(), message: message.to_owned(), last: false };
    let spec = pod.spec.as_ref().ok_or_else(|| creating("the pod has no spec"))?;
    let mut images = Vec::new();
    for container in &spec.containers {
        let image = shared.images.find(container.image.as_deref().unwrap_or_default());
        let never = container.image_pull_policy.as_deref() == Some("Never");
        let reason = if never { "ErrImageNeverPull" } else { "ErrImagePull" }.to_owned();
        images.push(image.map_err(|message| NotYet { reason, message, last: false })?);
    }
    // Volumes are the first container's: a Job's pod has one, or all of one user.
    let owner = spec.containers.first().zip(images.first()).filter(|_| shared.as_root);
    let owner = owner.map(|(container, image)| plan::user(pod, container, image)).transpose()?;
    folder.write(pod, sources, owner).map_err(|why| creating(&why))?;
    let each = spec.containers.iter().zip(&images);
    let plans: Result<_, NoPlan> =
        each.map(|(container, image)| plan(pod, container, image, sources, folder, shared.as_root)).collect();
    Ok((images.into_iter().map(|image| image.id).collect(), plans?))
}

impl From<NoPlan> for NotYet {
    fn from(none: NoPlan) -> Self {
        Self { reason: none.reason.to_owned(), message: none.message, last: none.reason == plan::START_ERROR }
    }
}

/// Never, where there is no such time.
async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn has_run(pod: &Pod) -> bool {
    let statuses = pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten();
    statuses.filter_map(|status| status.state.as_ref()).any(|state| state.running.is_some() || state.terminated.is_some())
}

/// Names of the `ConfigMap`s and Secrets that the pod refers to.
fn referred(pod: &Pod) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut maps, mut secrets) = (BTreeSet::new(), BTreeSet::new());
    let Some(spec) = &pod.spec else { return (maps, secrets) };
    for volume in spec.volumes.iter().flatten() {
        maps.extend(volume.config_map.as_ref().map(|source| source.name.clone()));
        secrets.extend(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
    }
    let env = spec.containers.iter().filter_map(|container| container.env.as_ref()).flatten();
    for from in env.filter_map(|entry| entry.value_from.as_ref()) {
        maps.extend(from.config_map_key_ref.as_ref().map(|reference| reference.name.clone()));
        secrets.extend(from.secret_key_ref.as_ref().map(|reference| reference.name.clone()));
    }
    (maps, secrets)
}

/// Reads every `ConfigMap` and Secret that the pod refers to, one by one: a node may list none.
async fn sources(client: &Client, pod: &Pod) -> Result<Sources, String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let (maps, secrets) = referred(pod);
    let mut sources = Sources::default();
    for name in maps {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        if let Some(map) = fetched(&name, api.get_opt(&name)).await? {
            let text = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
            let data = text.chain(map.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0))).collect();
            sources.config_maps.insert(name, data);
        }
    }
    for name in secrets {
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        if let Some(secret) = fetched(&name, api.get_opt(&name)).await? {
            let data = secret.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0)).collect();
            sources.secrets.insert(name, data);
        }
    }
    Ok(sources)
}

async fn fetched<T>(name: &str, request: impl Future<Output = kube::Result<Option<T>>>) -> Result<Option<T>, String> {
    let answer = timeout(REQUEST_TIMEOUT, request).await;
    answer.map_err(|_| format!("failed to read {name}: no answer"))?.map_err(|error| format!("failed to read {name}: {error}"))
}

fn limit(pod: &Pod, container: usize, resource: &str) -> Option<u64> {
    let limits = pod.spec.as_ref()?.containers.get(container)?.resources.as_ref()?.limits.as_ref()?;
    bytes(limits.get(resource)?)
}

/// A quantity as a number of bytes; none when it is no quantity.
fn bytes(quantity: &Quantity) -> Option<u64> {
    const UNITS: [(&str, f64); 14] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("", 1.0),
    ];
    let text = quantity.0.as_str();
    let number = |(unit, factor): &(&str, f64)| text.strip_suffix(unit)?.parse::<f64>().ok().map(|number| number * factor);
    UNITS.iter().find_map(number).filter(|bytes| *bytes >= 0.0).map(|bytes| bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refuse::tests::pod;
    use serde_json::json;

    #[test]
    fn quantities_are_read_in_all_their_forms() {
        let cases = [
            ("1048576", Some(1 << 20)),
            ("64Mi", Some(64 << 20)),
            ("1.5Gi", Some(3 << 29)),
            ("5M", Some(5_000_000)),
            ("1e3", Some(1000)),
            ("2E", Some(2_000_000_000_000_000_000)),
            ("100m", Some(0)),
            ("much", None),
            ("-1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(bytes(&Quantity(text.to_owned())), expected, "{text}");
        }
    }

    #[test]
    fn a_pod_that_has_run_is_known_by_its_status() {
        assert!(!has_run(&pod(&[])));
        let statuses =
            |state| json!([{"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state}]);
        assert!(!has_run(&pod(&[("/status/containerStatuses", statuses(json!({"waiting": {}})))])));
        assert!(has_run(&pod(&[("/status/containerStatuses", statuses(json!({"running": {}})))])));
        assert!(has_run(&pod(&[("/status/containerStatuses", statuses(json!({"terminated": {"exitCode": 0}})))])));
    }
}
