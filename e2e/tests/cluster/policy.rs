//! The admission policy of the chart, attacked by the cluster's own administrator: Jobs of ours are the operator's alone. And
//! with the policy off, where the operator has only itself.

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::{admissionregistration::v1::ValidatingAdmissionPolicyBinding, batch::v1::Job, events::v1::Event};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_crds::TitleEnrichment;
use showrunner_e2e::{
    media,
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const A_JOB: Duration = Duration::from_mins(3);
/// How long the operator is given on a machine that has other things to do; the time it takes is printed.
const SEEN: Duration = Duration::from_secs(30);

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "policy::nobody_else_makes_a_job_that_the_operator_would_take_for_its_own", created),
        trial(suite, "policy::nobody_else_changes_a_job_of_ours", changed),
    ]
}

/// What disturbs others: with the policy off, for a moment, anybody's Jobs are let in.
pub(crate) fn disturbing(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![trial(suite, "policy::with_the_policy_off_forged_and_altered_jobs_are_seen_named_and_suspended_again", switched_off)]
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

/// A title at work, whose Job asks for a class that no node has: the Job is there, and nothing of it runs. The Job's name.
async fn waiting_title(suite: &Suite, here: &Namespaced, seed: u32) -> Result<String> {
    let path = format!("policy/{}/a.mp4", here.name);
    suite.store.put(&path, media::small_title(seed)?).await?;
    let execution = json!({"accelerator": "Required", "class": "absent-gpu", "startDeadline": "10m"});
    here.apply("a", json!({"source": {"path": path}, "execution": execution})).await?;
    waiting_job(suite, here, "").await
}

/// The Job of the title's attempt in hand, once it is let run; not the one of this name.
async fn waiting_job(suite: &Suite, here: &Namespaced, but: &str) -> Result<String> {
    // The intent is in the status before the Job is made, and its admission before it is let run.
    let admitted = |title: &TitleEnrichment| {
        let attempt = title.status.as_ref().and_then(|status| status.attempt.as_ref());
        attempt.is_some_and(|attempt| attempt.admitted.is_some() && attempt.job != but)
    };
    let title = here.wait("a", "admitted", A_JOB, admitted).await?;
    let name = title.status.and_then(|status| status.attempt).context("it has an attempt")?.job;
    let jobs = Api::<Job>::namespaced(suite.client.clone(), &here.name);
    let runs = |job: Option<&Job>| job.is_some_and(|job| job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(false)));
    tokio::time::timeout(A_JOB, await_condition(jobs, &name, runs)).await.context("the Job was not let run")??;
    Ok(name)
}

async fn changed(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("policy-change").await?;
    let name = waiting_title(&suite, &here, 31).await?;
    let jobs = Api::<Job>::namespaced(suite.client.clone(), &here.name);
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

/// The chart's policy, unbound until it is bound again.
struct Unbound {
    api: Api<ValidatingAdmissionPolicyBinding>,
    binding: ValidatingAdmissionPolicyBinding,
}

impl Unbound {
    async fn new(suite: &Suite) -> Result<Self> {
        let api = Api::<ValidatingAdmissionPolicyBinding>::all(suite.client.clone());
        let ours = ListParams::default().labels("app.kubernetes.io/instance=showrunner");
        let mut binding = api.list(&ours).await?.items.into_iter().next().context("the chart has bound its policy")?;
        api.delete(&binding.name_any(), &DeleteParams::default()).await?;
        (binding.metadata.resource_version, binding.metadata.uid, binding.metadata.managed_fields) = (None, None, None);
        Ok(Self { api, binding })
    }

    async fn bind(self) -> Result<()> {
        self.api.create(&PostParams::default(), &self.binding).await?;
        Ok(())
    }
}

async fn switched_off(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("policy-off").await?;
    let own = waiting_title(&suite, &here, 33).await?;
    let policy = Unbound::new(&suite).await?;
    let attacked = Box::pin(attack(&suite, &here, &own)).await;
    policy.bind().await?;
    attacked?;
    let ours = json!({"/metadata/labels": {"app.kubernetes.io/managed-by": "showrunner"}});
    let began = Instant::now();
    while try_create(&suite, &here.name, &ours).await?.is_none() {
        ensure!(began.elapsed() < SEEN, "the policy is bound again and refuses nothing");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // What was forged has a finalizer in our name, and must not hold the namespace.
    here.end().await
}

async fn attack(suite: &Suite, here: &Namespaced, own: &str) -> Result<()> {
    let title = here.titles().get("a").await?;
    let uid = title.uid().context("it has a UID")?;
    let labels = json!({"app.kubernetes.io/managed-by": "showrunner", "app.kubernetes.io/component": "worker",
        "showrunner.dev/owner-uid": uid});
    let owner = json!([{"apiVersion": "showrunner.dev/v1alpha1", "kind": "TitleEnrichment", "name": "a", "uid": uid, "controller": true}]);
    let runs = json!(false);
    let jobs = Api::<Job>::namespaced(suite.client.clone(), &here.name);
    for (what, over) in [
        (
            "made with its labels and its owner",
            json!({"/metadata/labels": labels, "/metadata/ownerReferences": owner,
            "/metadata/finalizers": ["showrunner.dev/settle"], "/spec/template/metadata/labels": labels, "/spec/suspend": runs}),
        ),
        ("made with its label alone", json!({"/metadata/labels": labels, "/spec/suspend": runs})),
    ] {
        let forged: Job = serde_json::from_value(job(&over))?;
        let began = Instant::now();
        let name = loop {
            // The API server takes a moment to forget the policy.
            match jobs.create(&PostParams::default(), &forged).await {
                Ok(made) => break made.name_any(),
                Err(kube::Error::Api(_)) if began.elapsed() < SEEN => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(error) => return Err(error).context("the policy is off and a Job is refused"),
            }
        };
        caught(suite, here, &name, "JobForged", what).await?;
    }
    // And again, by hand.
    let forged =
        here.jobs().await?.into_iter().find(|job| job.name_any().starts_with("guise-")).context("it is left")?.name_any();
    jobs.patch(&forged, &PatchParams::default(), &Patch::Merge(json!({"spec": {"suspend": false}}))).await?;
    caught(suite, here, &forged, "JobForged", "let run again by hand").await?;

    jobs.patch(own, &PatchParams::default(), &Patch::Merge(json!({"spec": {"parallelism": 3}}))).await?;
    caught(suite, here, own, "JobAltered", "the title's own Job, let run thrice").await?;
    let ended = |title: &TitleEnrichment| {
        title
            .status
            .as_ref()
            .is_some_and(|status| status.history.iter().any(|past| past.job == own && past.outcome == "JobAltered"))
    };
    here.wait("a", "done with the Job that was changed", A_JOB, ended).await?;

    let next = waiting_job(suite, here, own).await?;
    let taken = json!({"metadata": {"labels": null, "ownerReferences": null, "finalizers": null}});
    jobs.patch(&next, &PatchParams::default(), &Patch::Merge(taken)).await?;
    caught(suite, here, &next, "JobAltered", "the title's own Job, its labels, owner and finalizer taken off").await?;
    let earlier = json!({"/metadata": {"name": own, "labels": labels, "ownerReferences": owner}, "/spec/suspend": runs});
    tokio::time::timeout(SEEN, await_condition(jobs.clone(), own, |job: Option<&Job>| job.is_none()))
        .await
        .context("the Job that was changed is still there")??;
    jobs.create(&PostParams::default(), &serde_json::from_value(job(&earlier))?).await?;
    caught(suite, here, own, "JobForged", "made anew under the name of an earlier attempt").await?;
    // What is not the operator's stays as it is found, and the title says so for as long as it is there.
    let told = |title: &TitleEnrichment| {
        let conditions = title.status.iter().flat_map(|status| &status.conditions);
        let mut told = conditions.filter(|condition| condition.type_ == "Tampered");
        told.any(|told| told.reason == "JobForged" && told.message.contains("guise-"))
    };
    here.wait("a", "telling of what was forged", SEEN, told).await?;
    jobs.delete_collection(&DeleteParams::background(), &ListParams::default().labels("app.kubernetes.io/component=worker"))
        .await?;
    let clean = |title: &TitleEnrichment| {
        title.status.as_ref().is_some_and(|status| status.conditions.iter().all(|condition| condition.type_ != "Tampered"))
    };
    here.wait("a", "rid of what was forged", SEEN, clean).await?;
    Ok(())
}

/// Waits until a Job is suspended (or gone) and an event names it; prints how long that took.
async fn caught(suite: &Suite, here: &Namespaced, job: &str, reason: &str, what: &str) -> Result<()> {
    let began = Instant::now();
    let jobs = Api::<Job>::namespaced(suite.client.clone(), &here.name);
    let still = |job: Option<&Job>| job.is_none_or(|job| job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true)));
    tokio::time::timeout(SEEN, await_condition(jobs, job, still))
        .await
        .with_context(|| format!("Job {job}, {what}, runs on"))??;
    let suspended = began.elapsed();
    let events = Api::<Event>::namespaced(suite.client.clone(), &here.name);
    loop {
        let of_reason = ListParams::default().fields(&format!("reason={reason}"));
        let named =
            events.list(&of_reason).await?.items.into_iter().any(|event| event.note.is_some_and(|note| note.contains(job)));
        if named {
            break;
        }
        ensure!(began.elapsed() < SEEN, "no event {reason} names Job {job}, {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "a Job {what}: suspended after {:.2} s, named after {:.2} s",
        suspended.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    Ok(())
}
