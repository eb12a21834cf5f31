//! What the process node has to show alone: what it refuses, and that it runs no pod twice.

use crate::{
    bed::{Bed, Case, LIMIT, ended_as, phase},
    trial,
};
use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, ResourceExt as _, api::PostParams};
use libtest_mimic::Trial;
use serde_json::json;
use showrunner_e2e::titles::Namespaced;
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// Time between two looks at processes.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) fn peaceful(bed: &Arc<Bed>) -> Vec<Trial> {
    vec![trial(bed, "what_it_does_not_do_is_refused_and_named", refused)]
}

pub(crate) fn disturbing(bed: &Arc<Bed>) -> Vec<Trial> {
    vec![trial(bed, "a_pod_of_an_earlier_life_fails_and_is_not_run_again", restarted)]
}

async fn refused(bed: Arc<Bed>) -> Result<()> {
    let mount = json!([{"name": "host", "mountPath": "/host"}]);
    let host = json!([{"name": "host", "hostPath": {"path": "/etc"}}]);
    let mounted = ("/spec/containers/0/volumeMounts", mount);
    for (changes, expected) in [
        (vec![mounted, ("/spec/volumes", host)], "none of emptyDir, configMap, secret and downwardAPI"),
        (vec![("/spec/automountServiceAccountToken", json!(true))], "automountServiceAccountToken"),
        (vec![("/spec/hostNetwork", json!(true))], "host's namespaces"),
        (vec![("/spec/containers/0/livenessProbe", json!({"exec": {"command": ["/x"]}}))], "has probes"),
    ] {
        // Without a pod security standard: the API server itself would refuse some of these.
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"generateName": "refused-"}}))?;
        let made = Api::<Namespace>::all(bed.client.clone()).create(&PostParams::default(), &namespace).await?;
        let case = Case { space: Namespaced { client: bed.client.clone(), name: made.name_any() } };
        case.make(&bed.image, &["exit", "0"], &changes).await?;
        let pod = case.over().await?;
        let status = pod.status.as_ref().context("no status")?;
        ensure!(phase(&pod) == "Failed" && status.reason.as_deref() == Some("UnsupportedByProcessNode"), "{status:?}");
        ensure!(status.message.as_deref().is_some_and(|message| message.contains(expected)), "{status:?}");
        ensure!(
            status.container_statuses.iter().flatten().all(|status| status.state.is_none()),
            "something of it ran: {status:?}"
        );
        case.end().await?;
    }
    Ok(())
}

/// Processes of a pod on this machine, by the variable that they are started with.
fn processes(pod: &Pod) -> Result<Vec<PathBuf>> {
    let mark = format!("SHOWRUNNER_PROCESS_NODE_POD={}/", pod.uid().context("the pod has no uid")?);
    let folders = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    let bears =
        |folder: &PathBuf| std::fs::read(folder.join("environ")).is_ok_and(|text| String::from_utf8_lossy(&text).contains(&mark));
    Ok(folders.filter(bears).collect())
}

async fn restarted(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("restarted", &["hold", "ignore"], &[]).await?;
    let pod = case.running().await?;
    // While its program is loaded, the kernel shows nothing of its variables.
    let began = Instant::now();
    while processes(&pod)?.len() != 1 {
        ensure!(began.elapsed() < LIMIT, "it runs, and {:?} bear its mark", processes(&pod)?);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bed.cluster.script("node", &["stop"])?;
    ensure!(processes(&pod)?.is_empty(), "it outlived its node: {:?}", processes(&pod)?);
    bed.cluster.script("node", &["start"])?;
    let ended = case.wait("failed", LIMIT, |found| found.uid() == pod.uid() && phase(found) == "Failed").await?;
    ended_as(&ended, ("Failed", 255, "Unknown", ""))?;
    ensure!(processes(&pod)?.is_empty(), "it runs again: {:?}", processes(&pod)?);
    case.end().await
}
