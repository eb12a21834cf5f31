//! The node itself: registered, kept alive by its Lease, and every pod bound to it handed to a keeper.
//!
//! Writes the Node and its Lease, watches pods.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::image::Images;
use crate::keeper::{Shared, keep};
use crate::process::{self, Spawner};
use crate::usage;
use crate::volumes::Places;

const USER_AGENT: &str = concat!("showrunner-process-node/", env!("CARGO_PKG_VERSION"));
/// What tells such a node from others.
const LABEL: (&str, &str) = ("showrunner.dev/node", "process");
const LEASES: &str = "kube-node-lease";
/// A kubelet's own times.
const LEASE_SECONDS: i64 = 40;
const RENEW_PERIOD: Duration = Duration::from_secs(10);
const STATUS_PERIOD: Duration = Duration::from_mins(5);
const RETRY_DELAY: Duration = Duration::from_millis(500);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Pods at once.
const MAX_PODS: &str = "110";

/// What the node says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) capacity: Vec<(String, String)>,
    pub(crate) labels: Vec<(String, String)>,
}

/// A client with the node's own certificate.
pub(crate) async fn connect(kubeconfig: Option<&Path>) -> anyhow::Result<Client> {
    let mut config = match kubeconfig {
        Some(file) => {
            let what = || format!("failed to read {}", file.display());
            Config::from_custom_kubeconfig(Kubeconfig::read_from(file).with_context(what)?, &KubeConfigOptions::default())
                .await
                .with_context(what)?
        }
        None => Config::infer().await.context("failed to find a cluster: give --kubeconfig or set KUBECONFIG")?,
    };
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
    Client::try_from(config).context("failed to make a client")
}

/// Runs the node until SIGTERM. Its processes end with it, as those of a machine that is switched off.
pub(crate) async fn run(client: Client, facts: Facts, places: Places, images: Images, spawner: Spawner) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let uid = register(&client, &facts, &places).await?;
    let as_root = nix::unistd::geteuid().is_root();
    let shared = Arc::new(Shared { places, images, spawner, address: facts.address.clone(), as_root });
    tracing::info!(node = facts.name, as_root, "registered");
    tokio::select! {
        () = keep_alive(&client, &facts, &shared.places, &uid) => {}
        result = pods(&client, &facts.name, &shared) => result?,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopped: what ran has ended");
    Ok(())
}

/// Makes the Node, or takes up the one that an earlier life made. Gives its UID.
async fn register(client: &Client, facts: &Facts, places: &Places) -> anyhow::Result<String> {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut labels = BTreeMap::from([
        (LABEL.0.to_owned(), LABEL.1.to_owned()),
        ("kubernetes.io/hostname".to_owned(), facts.name.clone()),
        ("kubernetes.io/os".to_owned(), "linux".to_owned()),
        ("kubernetes.io/arch".to_owned(), arch().to_owned()),
    ]);
    labels.extend(facts.labels.iter().cloned());
    let wanted: Node = serde_json::from_value(json!({"metadata": {"name": facts.name, "labels": labels}}))?;
    let node = match nodes.create(&PostParams::default(), &wanted).await {
        Ok(node) => node,
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let node = nodes.get(&facts.name).await.context("failed to read the node")?;
            let ours = node.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL.0)).is_some_and(|value| value == LABEL.1);
            if !ours {
                bail!("failed to register the node {}: there is one of that name which is no process node", facts.name);
            }
            node
        }
        Err(error) => return Err(error).with_context(|| format!("failed to register the node {}", facts.name)),
    };
    tell_status(client, facts, places).await.context("failed to tell the node's status")?;
    node.metadata.uid.context("the node has no uid")
}

async fn tell_status(client: &Client, facts: &Facts, places: &Places) -> kube::Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    nodes
        .patch_status(&facts.name, &PatchParams::default(), &Patch::Strategic(status(facts, places, Timestamp::now())))
        .await
        .map(|_| ())
}

fn status(facts: &Facts, places: &Places, now: Timestamp) -> Value {
    let mut capacity = BTreeMap::from([
        ("cpu".to_owned(), std::thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string()),
        ("memory".to_owned(), usage::machine_memory().to_string()),
        ("ephemeral-storage".to_owned(), places.capacity().to_string()),
        ("pods".to_owned(), MAX_PODS.to_owned()),
    ]);
    capacity.extend(facts.capacity.iter().cloned());
    let condition = |name: &str, holds: bool, reason: &str| {
        json!({"type": name, "status": if holds { "True" } else { "False" }, "reason": reason,
            "message": "told by the process node", "lastHeartbeatTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()})
    };
    json!({"status": {
        "capacity": capacity, "allocatable": capacity,
        "addresses": [{"type": "InternalIP", "address": facts.address}, {"type": "Hostname", "address": facts.name}],
        "conditions": [
            condition("Ready", true, "KubeletReady"),
            condition("MemoryPressure", false, "KubeletHasSufficientMemory"),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure"),
            condition("PIDPressure", false, "KubeletHasSufficientPID"),
        ],
        "nodeInfo": {
            "architecture": arch(), "operatingSystem": "linux", "osImage": "processes of this machine", "machineID": "", "systemUUID": "",
            "bootID": "", "kernelVersion": kernel(), "kubeletVersion": USER_AGENT, "kubeProxyVersion": "",
            "containerRuntimeVersion": concat!("process://", env!("CARGO_PKG_VERSION")),
        },
    }})
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn kernel() -> String {
    nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// Whether the API server believes the node to be ready. It does not after the node was away for long.
async fn is_believed(client: &Client, name: &str) -> kube::Result<bool> {
    let node = Api::<Node>::all(client.clone()).get(name).await?;
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    Ok(conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

/// Renews the Lease, and the status now and then. A failure is tried again until the node is stopped.
async fn keep_alive(client: &Client, facts: &Facts, places: &Places, uid: &str) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), LEASES);
    let (mut renew, mut tell) = (interval(RENEW_PERIOD), interval(STATUS_PERIOD));
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = renew.tick() => {
                while !attempt("renew the node's lease", renew_lease(&leases, &facts.name, uid)).await {
                    sleep(RETRY_DELAY).await;
                }
                let ask = async { if is_believed(client, &facts.name).await? { Ok(()) } else { tell_status(client, facts, places).await } };
                attempt("tell that the node is ready", ask).await;
            }
            _ = tell.tick() => {
                attempt("tell the node's status", tell_status(client, facts, places)).await;
            }
        }
    }
}

async fn attempt(what: &str, request: impl Future<Output = kube::Result<()>>) -> bool {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::warn!(%error, "failed to {what}"),
        Err(_) => tracing::warn!("failed to {what}: no answer"),
    }
    false
}

async fn renew_lease(leases: &Api<Lease>, name: &str, uid: &str) -> kube::Result<()> {
    let spec = json!({"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()});
    match leases.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}]);
            let lease = json!({"metadata": {"name": name, "ownerReferences": owner}, "spec": spec});
            let lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
            leases.create(&PostParams::default(), &lease).await.map(|_| ())
        }
        answer => answer.map(|_| ()),
    }
}

/// Hands every pod bound to this node to a keeper of its own.
async fn pods(client: &Client, name: &str, shared: &Arc<Shared>) -> anyhow::Result<()> {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={name}"));
    let mut events = watcher(Api::<Pod>::all(client.clone()), config).default_backoff().boxed();
    let mut keepers: BTreeMap<String, watch::Sender<Option<Arc<Pod>>>> = BTreeMap::new();
    let mut listed = BTreeSet::new();
    let mut first = true;
    loop {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => bail!("the watch of pods has ended"),
            Err(error) => {
                tracing::warn!(%error, "failed to watch pods, trying again");
                continue;
            }
        };
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(pod) => {
                listed.extend(pod.metadata.uid.clone());
                hand_over(client, shared, &mut keepers, pod);
            }
            watcher::Event::InitDone => {
                for (_, keeper) in keepers.extract_if(.., |uid, _| !listed.contains(uid)) {
                    keeper.send_replace(None);
                }
                if std::mem::take(&mut first) {
                    forget_others(shared, &listed).await;
                }
            }
            watcher::Event::Apply(pod) => hand_over(client, shared, &mut keepers, pod),
            watcher::Event::Delete(pod) => {
                if let Some(keeper) = pod.metadata.uid.as_ref().and_then(|uid| keepers.remove(uid)) {
                    keeper.send_replace(None);
                }
            }
        }
    }
}

fn hand_over(client: &Client, shared: &Arc<Shared>, keepers: &mut BTreeMap<String, watch::Sender<Option<Arc<Pod>>>>, pod: Pod) {
    let Some(uid) = pod.metadata.uid.clone() else { return };
    let pod = Some(Arc::new(pod));
    if let Some(keeper) = keepers.get(&uid) {
        keeper.send_replace(pod);
    } else {
        let (keeper, latest) = watch::channel(pod);
        keepers.insert(uid, keeper);
        tokio::spawn(keep(client.clone(), Arc::clone(shared), latest));
    }
}

/// Pods of an earlier life that are gone from the API server: what is left of them on this machine goes, too.
async fn forget_others(shared: &Arc<Shared>, listed: &BTreeSet<String>) {
    let (places, listed) = (shared.places.clone(), listed.clone());
    let forgetting = tokio::task::spawn_blocking(move || {
        for uid in places.known().into_iter().filter(|uid| !listed.contains(uid)) {
            process::end_leftovers(&uid);
            if let Err(error) = places.forget_uid(&uid) {
                tracing::warn!(uid, %error, "failed to remove what an earlier life left of a pod");
            }
        }
    });
    let _ = forgetting.await; // an error is a panic there, which has been logged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_has_what_the_machine_has_unless_it_is_told_otherwise() {
        let root = tempfile::tempdir().unwrap();
        let places = Places::make(root.path()).unwrap();
        let capacity = [("cpu", "7"), ("nvidia.com/gpu", "1")].map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let facts = Facts { name: "n".to_owned(), address: "10.0.0.1".to_owned(), capacity, labels: Vec::new() };
        let status = status(&facts, &places, Timestamp::UNIX_EPOCH);
        let allocatable = &status["status"]["allocatable"];
        assert_eq!((&allocatable["cpu"], &allocatable["nvidia.com/gpu"]), (&json!("7"), &json!("1")));
        assert!(allocatable["memory"].as_str().unwrap().parse::<u64>().unwrap() > 1 << 26);
        assert!(allocatable["ephemeral-storage"].as_str().unwrap().parse::<u64>().unwrap() > 0);
        serde_json::from_value::<Node>(json!({"metadata": {}, "status": status["status"]})).unwrap();
    }
}
