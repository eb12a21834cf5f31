//! The admission policy of the chart, attacked by the cluster's own administrator: Jobs of ours are the operator's alone.

use crate::{Suite, trial};
use anyhow::{Result, bail, ensure};
use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const A_JOB: Duration = Duration::from_mins(3);

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "policy::nobody_else_makes_a_job_that_the_operator_would_take_for_its_own", created),
        trial(suite, "policy::nobody_else_changes_a_job_of_ours", changed),
    ]
}

/// A Job of somebody's, with what makes it look like ours laid over it.
fn job(over: &Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"generateName": "guise-"},
        "spec": {"suspend": true, "template": {"metadata": {}, "spec": {
            "restartPolicy": "Never",
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "c", "image": "none", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}}});
    for (pointer, value) in over.as_object().into_iter().flatten() {
        let (parent, key) = pointer.rsplit_once('/').expect("pointers have a slash");
        job.pointer_mut(parent).expect("the parent is there")[key] = value.clone();
    }
    job
}

async fn try_create(suite: &Suite, namespace: &str, over: &Value) -> Result<Option<String>> {
    let api = Api::<Job>::namespaced(suite.client.clone(), namespace);
    match api.create(&PostParams { dry_run: true, ..PostParams::default() }, &serde_json::from_value(job(over))?).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(other) => Err(other.into()),
    }
}

async fn created(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("policy-create").await?;
    if let Some(said) = try_create(&suite, &here.name, &json!({})).await? {
        bail!("a Job that has nothing to do with us is refused: {said}");
    }
    let ours = json!({"app.kubernetes.io/managed-by": "showrunner"});
    let both = json!({"app.kubernetes.io/managed-by": "showrunner", "app.kubernetes.io/component": "worker"});
    let owner = json!([{"apiVersion": "showrunner.dev/v1alpha1", "kind": "TitleEnrichment", "name": "victim", "uid": "1-2-3",
        "controller": true}]);
    for (guise, over) in [
        ("both labels", json!({"/metadata/labels": both})),
        ("the label that the operator finds Jobs by", json!({"/metadata/labels": ours})),
        ("the label on its pods", json!({"/spec/template/metadata/labels": ours})),
        ("an owner of ours", json!({"/metadata/ownerReferences": owner})),
    ] {
        match try_create(&suite, &here.name, &over).await? {
            None => bail!("a Job with {guise} was let in"),
            Some(said) => {
                ensure!(said.contains("create a TitleEnrichment instead"), "{guise}: refused with another message: {said}");
            }
        }
    }
    here.end().await
}

async fn changed(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("policy-change").await?;
    // A class that no node has: the Job is there, and nothing of it runs.
    let path = format!("policy/{}/a.mp4", here.name);
    suite.store.put(&path, showrunner_e2e::media::small_title(31)?).await?;
    let execution = json!({"accelerator": "Required", "class": "absent-gpu", "startDeadline": "10m"});
    here.apply("a", json!({"source": {"path": path}, "execution": execution})).await?;
    here.wait("a", "at work", A_JOB, |title| title.status.as_ref().is_some_and(|status| status.attempt.is_some())).await?;
    let jobs = Api::<Job>::namespaced(suite.client.clone(), &here.name);
    let started = std::time::Instant::now();
    let name = loop {
        // The intent is in the status before the Job is made.
        if let Some(name) = here.jobs().await?.into_iter().find_map(|job| job.metadata.name) {
            break name;
        }
        ensure!(started.elapsed() < A_JOB, "no Job was made");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    for (what, patch) in [
        ("its suspension", json!({"spec": {"suspend": true, "parallelism": 3}})),
        ("a limit", json!({"spec": {"activeDeadlineSeconds": 999_999}})),
        ("its label", json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}})),
        ("its cost", json!({"metadata": {"annotations": {"showrunner.dev/cost-estimate": "0"}}})),
        ("its finalizer", json!({"metadata": {"finalizers": []}})),
        ("its owner", json!({"metadata": {"ownerReferences": []}})),
    ] {
        let dry = PatchParams { dry_run: true, ..PatchParams::default() };
        match jobs.patch(&name, &dry, &Patch::Merge(patch)).await {
            Ok(_) => bail!("{what} was changed by hand"),
            Err(kube::Error::Api(status)) => {
                ensure!(status.message.contains("changed by the operator alone"), "{what}: {}", status.message);
            }
            Err(other) => return Err(other.into()),
        }
    }
    here.end().await
}
