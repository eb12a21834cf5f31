//! The table: one Job each, the same for both.

use crate::{
    bed::{Bed, Case, FINALIZER, LIMIT, condition, ended_as, phase, terminated, times, waiting},
    trial,
};
use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{ConfigMap, Node, Secret},
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, EvictParams, Patch, PatchParams, PostParams},
};
use libtest_mimic::Trial;
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// The node's own rhythm of looking at scratch space: the kubelet measures it once a minute.
const SCRATCH_LIMIT: Duration = Duration::from_secs(200);
/// A lost node is noticed after 50 s, and its pods then go after the second they tolerate.
const LOST_LIMIT: Duration = Duration::from_secs(150);

pub(crate) fn peaceful(bed: &Arc<Bed>) -> Vec<Trial> {
    vec![
        trial(bed, "exit_0_succeeds", exit_0),
        trial(bed, "exit_3_fails", exit_3),
        trial(bed, "too_much_memory_is_out_of_memory", out_of_memory),
        trial(bed, "too_much_scratch_space_is_an_eviction", out_of_scratch),
        trial(bed, "the_deadline_ends_with_grace", deadline),
        trial(bed, "the_deadline_kills_what_ignores_it", deadline_ignored),
        trial(bed, "a_deleted_pod_may_end_by_itself", deleted),
        trial(bed, "a_deleted_pod_that_ignores_it_is_killed_after_its_grace", deleted_ignored),
        trial(bed, "an_evicted_pod_says_so", evicted),
        trial(bed, "a_finalizer_keeps_a_pod_that_has_ended", finalizer),
        trial(bed, "last_words_are_cut_to_4096_bytes", message),
        trial(bed, "the_log_stands_in_for_last_words", message_from_log),
        trial(bed, "volumes_hold_what_they_name", volumes),
        trial(bed, "a_missing_config_map_is_waited_for", missing_config_map),
        trial(bed, "an_image_that_is_not_there_is_waited_for", no_image),
        trial(bed, "the_deadline_counts_for_who_never_ran", no_image_deadline),
        trial(bed, "a_program_that_is_not_there_fails", no_program),
        trial(bed, "a_pod_that_fits_nowhere_never_starts", unschedulable),
    ]
}

pub(crate) fn disturbing(bed: &Arc<Bed>) -> Vec<Trial> {
    vec![trial(bed, "a_lost_node_loses_its_pods", node_lost)]
}

async fn exit_0(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("exit-0", &["say", "5"], &[]).await?;
    let pod = case.over().await?;
    ended_as(&pod, ("Succeeded", 0, "Completed", ""))?;
    let ended = terminated(&pod)?;
    times(ended)?;
    ensure!(ended.message.as_deref() == Some("axxxz"), "{:?}", ended.message);
    for (name, expected) in [
        ("PodScheduled", ("True", "")),
        ("Initialized", ("True", "PodCompleted")),
        ("Ready", ("False", "PodCompleted")),
        ("ContainersReady", ("False", "PodCompleted")),
    ] {
        ensure!(condition(&pod, name) == Some(expected), "{name} is {:?}", condition(&pod, name));
    }
    let status = pod.status.as_ref().context("no status")?;
    ensure!(status.start_time.is_some() && status.host_ip.is_some(), "{status:?}");
    case.release().await?;
    case.job_is("Complete").await?;
    case.end().await
}

async fn exit_3(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("exit-3", &["exit", "3"], &[]).await?;
    let pod = case.over().await?;
    ended_as(&pod, ("Failed", 3, "Error", ""))?;
    times(terminated(&pod)?)?;
    ensure!(condition(&pod, "Ready") == Some(("False", "PodFailed")), "{:?}", condition(&pod, "Ready"));
    case.release().await?;
    case.job_is("Failed").await?;
    case.end().await
}

async fn out_of_memory(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("out-of-memory", &["eat", "2000"], &[]).await?;
    ended_as(&case.over().await?, ("Failed", 137, "OOMKilled", ""))?;
    case.end().await
}

async fn out_of_scratch(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("out-of-scratch", &["fill", "/scratch", "20"], &[]).await?;
    let pod = case.wait("over", SCRATCH_LIMIT, |pod| phase(pod) == "Failed").await?;
    let status = pod.status.as_ref().context("no status")?;
    let message = status.message.as_deref().unwrap_or_default();
    ensure!(
        status.reason.as_deref() == Some("Evicted") && message.contains("\"scratch\" exceeds the limit \"8Mi\""),
        "{status:?}"
    );
    ensure!(condition(&pod, "DisruptionTarget").is_none(), "its own doing is no disruption");
    case.end().await
}

async fn deadline(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("deadline", &["hold", "obey"], &[("/spec/activeDeadlineSeconds", json!(3))]).await?;
    let pod = case.over().await?;
    ended_as(&pod, ("Failed", 0, "Completed", "DeadlineExceeded"))?;
    ensure!(terminated(&pod)?.message.as_deref() == Some("asked to end"), "{:?}", pod.status);
    case.end().await
}

async fn deadline_ignored(bed: Arc<Bed>) -> Result<()> {
    let changes = [("/spec/activeDeadlineSeconds", json!(2)), ("/spec/terminationGracePeriodSeconds", json!(2))];
    let case = bed.job("deadline-ignored", &["hold", "ignore"], &changes).await?;
    ended_as(&case.over().await?, ("Failed", 137, "Error", "DeadlineExceeded"))?;
    case.end().await
}

/// A second node that is there and takes no pods: where every node is away, Kubernetes takes itself to be the one that is
/// cut off, and evicts nothing. Never comes back by itself.
async fn witness(client: kube::Client) -> Result<()> {
    let name = "witness";
    let nodes: Api<Node> = Api::all(client.clone());
    let leases: Api<Lease> = Api::namespaced(client, "kube-node-lease");
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": true}});
    nodes.patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(node)).await?;
    loop {
        let now = Timestamp::now();
        let ready = json!({"type": "Ready", "status": "True", "reason": "Witness", "lastHeartbeatTime": now.to_string()});
        nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(json!({"status": {"conditions": [ready]}}))).await?;
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()}});
        leases.patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(lease)).await?;
        tokio::time::sleep(Duration::from_secs(5)).await; // a heartbeat, which is what a sleep is for
    }
}

/// Deletes the running pod and gives it as it stands when it is over, held by the test's finalizer.
async fn delete(case: &Case) -> Result<(k8s_openapi::api::core::v1::Pod, Timestamp)> {
    let pod = case.running().await?;
    let asked = Timestamp::now();
    case.pods().delete(&pod.name_any(), &DeleteParams::default()).await?;
    Ok((case.over().await?, asked))
}

async fn deleted(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("deleted", &["hold", "obey"], &[]).await?;
    let (pod, _) = delete(&case).await?;
    ended_as(&pod, ("Succeeded", 0, "Completed", ""))?;
    ensure!(terminated(&pod)?.message.as_deref() == Some("asked to end"), "{:?}", pod.status);
    case.end().await
}

async fn deleted_ignored(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("deleted-ignored", &["hold", "ignore"], &[("/spec/terminationGracePeriodSeconds", json!(4))]).await?;
    let (pod, asked) = delete(&case).await?;
    ended_as(&pod, ("Failed", 137, "Error", ""))?;
    let (_, end) = times(terminated(&pod)?)?;
    // Times in a status are cut to whole seconds.
    let grace = end.duration_since(asked).as_secs_f64();
    ensure!((2.9..60.0).contains(&grace), "it was killed {grace} s after its deletion");
    case.end().await
}

async fn evicted(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("evicted", &["hold", "obey"], &[]).await?;
    let pod = case.running().await?;
    case.pods().evict(&pod.name_any(), &EvictParams::default()).await?;
    let pod = case.over().await?;
    ensure!(condition(&pod, "DisruptionTarget") == Some(("True", "EvictionByEvictionAPI")), "{:?}", pod.status);
    ensure!(terminated(&pod)?.exit_code == 0, "{:?}", pod.status);
    case.end().await
}

async fn finalizer(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("finalizer", &["hold", "obey"], &[]).await?;
    let (pod, _) = delete(&case).await?;
    // The node has let go of it, and still it is there.
    let pod = case
        .wait("let go", LIMIT, |found| found.metadata.deletion_grace_period_seconds == Some(0) && found.uid() == pod.uid())
        .await?;
    ensure!(pod.finalizers().iter().any(|name| name == FINALIZER), "{:?}", pod.finalizers());
    // The Job's controller takes its own off by itself.
    case.release().await?;
    case.gone(&pod).await?;
    case.end().await
}

async fn message(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("message", &["say", "5000"], &[]).await?;
    let pod = case.over().await?;
    let said = terminated(&pod)?.message.clone().unwrap_or_default();
    ensure!(said.len() == 4096 && said.ends_with("xz"), "{} bytes: ...{}", said.len(), &said[said.len().saturating_sub(5)..]);
    case.end().await
}

async fn message_from_log(bed: Arc<Bed>) -> Result<()> {
    let policy = json!("FallbackToLogsOnError");
    let case = bed.job("message-from-log", &["no such verb"], &[("/spec/containers/0/terminationMessagePolicy", policy)]).await?;
    let pod = case.over().await?;
    let said = terminated(&pod)?.message.clone().unwrap_or_default();
    ensure!(terminated(&pod)?.exit_code == 1 && said.starts_with("usage: probe"), "{said}");
    case.end().await
}

async fn volumes(bed: Arc<Bed>) -> Result<()> {
    let mounts = json!([{"name": "order", "mountPath": "/etc/order", "readOnly": true}, {"name": "map", "mountPath": "/map"}]);
    let order = json!({"name": "order", "downwardAPI": {"items": [
        {"path": "order", "fieldRef": {"fieldPath": "metadata.annotations['example.org/order']"}}]}});
    let map = json!({"name": "map", "configMap": {"name": "map", "items": [{"key": "key", "path": "deep/file"}]}});
    let secret = json!({"name": "map", "secret": {"secretName": "secret"}});
    for (file, volume, expected) in [
        ("/etc/order/order", map.clone(), "the order"),
        ("/map/deep/file", map, "from a map"),
        ("/map/key", secret, "from a secret"),
    ] {
        let case = Case { space: showrunner_e2e::titles::Namespaced::make(bed.client.clone(), "volumes").await? };
        let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "map"}, "data": {"key": "from a map"}}))?;
        let kept: Secret =
            serde_json::from_value(json!({"metadata": {"name": "secret"}, "data": {"key": "ZnJvbSBhIHNlY3JldA=="}}))?;
        Api::<ConfigMap>::namespaced(bed.client.clone(), &case.space.name).create(&PostParams::default(), &map).await?;
        Api::<Secret>::namespaced(bed.client.clone(), &case.space.name).create(&PostParams::default(), &kept).await?;
        let changes = [("/spec/containers/0/volumeMounts", mounts.clone()), ("/spec/volumes", json!([order, volume]))];
        case.make(&bed.image, &["read", file], &changes).await?;
        let pod = case.over().await?;
        ensure!(terminated(&pod)?.message.as_deref() == Some(expected), "{file}: {:?}", pod.status);
        case.end().await?;
    }
    Ok(())
}

async fn missing_config_map(bed: Arc<Bed>) -> Result<()> {
    let late = json!([{"name": "order", "configMap": {"name": "late"}}, {"name": "scratch", "emptyDir": {}}]);
    let case = bed.job("missing-config-map", &["read", "/etc/order/key"], &[("/spec/volumes", late)]).await?;
    case.wait("waiting", LIMIT, |pod| phase(pod) == "Pending" && waiting(pod) == Some("ContainerCreating")).await?;
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "late"}, "data": {"key": "at last"}}))?;
    Api::<ConfigMap>::namespaced(bed.client.clone(), &case.space.name).create(&PostParams::default(), &map).await?;
    let pod = case.over().await?;
    ensure!(terminated(&pod)?.message.as_deref() == Some("at last"), "{:?}", pod.status);
    case.end().await
}

async fn no_image(bed: Arc<Bed>) -> Result<()> {
    let case =
        bed.job("no-image", &["exit", "0"], &[("/spec/containers/0/image", json!("showrunner.dev/nobody-made-it:1"))]).await?;
    let pod = case.wait("backing off", LIMIT, |pod| waiting(pod) == Some("ImagePullBackOff")).await?;
    ensure!(phase(&pod) == "Pending", "{:?}", pod.status);
    // What never ran goes at once, as failed, without a start.
    case.pods().delete(&pod.name_any(), &DeleteParams::default()).await?;
    let pod = case.over().await?;
    ended_as(&pod, ("Failed", 137, "ContainerStatusUnknown", ""))?;
    ensure!(times(terminated(&pod)?).is_err(), "{:?}", pod.status);
    case.end().await
}

async fn no_image_deadline(bed: Arc<Bed>) -> Result<()> {
    let image = json!("showrunner.dev/nobody-made-it:1");
    let changes = [("/spec/containers/0/image", image), ("/spec/activeDeadlineSeconds", json!(3))];
    let case = bed.job("no-image-deadline", &["exit", "0"], &changes).await?;
    let pod = case.over().await?;
    ensure!(
        phase(&pod) == "Failed" && pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("DeadlineExceeded"),
        "{:?}",
        pod.status
    );
    case.end().await
}

async fn no_program(bed: Arc<Bed>) -> Result<()> {
    let case = bed.job("no-program", &[], &[("/spec/containers/0/command", json!(["/nothing/here"]))]).await?;
    let pod = case.over().await?;
    ended_as(&pod, ("Failed", 128, "StartError", ""))?;
    ensure!(times(terminated(&pod)?).is_err(), "it never ran: {:?}", pod.status);
    case.end().await
}

async fn unschedulable(bed: Arc<Bed>) -> Result<()> {
    let case =
        bed.job("unschedulable", &["exit", "0"], &[("/spec/nodeSelector", json!({"example.org/nowhere": "true"}))]).await?;
    let pod = case.wait("unschedulable", LIMIT, |pod| condition(pod, "PodScheduled") == Some(("False", "Unschedulable"))).await?;
    ensure!(pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()) && phase(&pod) == "Pending", "{pod:?}");
    case.end().await
}

async fn node_lost(bed: Arc<Bed>) -> Result<()> {
    let tolerate = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1});
    let tolerations = json!([tolerate("node.kubernetes.io/unreachable"), tolerate("node.kubernetes.io/not-ready")]);
    let case = bed.job("node-lost", &["hold", "obey"], &[("/spec/tolerations", tolerations)]).await?;
    let pod = case.running().await?;
    bed.cluster.script("node", &["pause"])?;
    let lost =
        |pod: &k8s_openapi::api::core::v1::Pod| condition(pod, "DisruptionTarget") == Some(("True", "DeletionByTaintManager"));
    let seen = tokio::select! {
        seen = case.wait("given up", LOST_LIMIT, |pod| lost(pod) && pod.metadata.deletion_timestamp.is_some()) => seen,
        failed = witness(bed.client.clone()) => failed.and_then(|()| anyhow::bail!("the witness ended")),
    };
    let nodes: Api<Node> = Api::all(bed.client.clone());
    nodes.delete("witness", &DeleteParams::default()).await?;
    // Whatever was seen: what comes after needs the node.
    bed.cluster.script("node", &["resume"])?;
    let given_up = seen?;
    ensure!(given_up.uid() == pod.uid() && phase(&given_up) == "Running", "nobody could say how it ended: {:?}", given_up.status);
    // It is back, and does what it was told meanwhile.
    let pod = case.over().await?;
    ensure!(lost(&pod) && terminated(&pod)?.exit_code == 0, "{:?}", pod.status);
    case.release().await?;
    case.gone(&pod).await?;
    case.end().await
}
