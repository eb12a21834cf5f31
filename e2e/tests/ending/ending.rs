//! How it ends: uninstalled and installed again, uninstalled without its store, namespaces deleted, credentials gone.
//!
//! Each takes the installation down or breaks it, and puts it back whatever came of it.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{Pod, Secret, ServiceAccount},
        events::v1::Event,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use libtest_mimic::Trial;
use serde_json::json;
use showrunner_contracts::{Document as _, step::Step, work_order::WorkOrder};
use showrunner_crds::{TitleEnrichment, title_enrichment::Phase, title_enrichment::StepState};
use showrunner_e2e::{
    audit::jobs_made,
    cluster::{root, run},
    install::{self, NAMESPACE},
    media, objects,
    published::verify,
    suite::{Suite, trial},
    titles::{Namespaced, ready},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const A_JOB: Duration = Duration::from_mins(4);
const A_TITLE: Duration = Duration::from_mins(15);
/// What the hook may take, and some more for its pod to come and go.
const AN_END: Duration = Duration::from_secs(270);
/// What all our finalizers begin with.
const OURS: &str = "showrunner.dev/";

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    let mut tests = vec![
        trial(suite, "ending::uninstalled_nothing_is_held_and_installed_again_titles_go_on", and_again),
        trial(suite, "ending::an_uninstall_does_not_wait_for_a_store_that_is_away", without_store),
        trial(suite, "ending::neither_a_restart_nor_an_uninstall_minds_a_namespace_that_is_gone", served_namespaces),
        trial(suite, "ending::a_namespace_is_deleted_while_the_store_is_away", namespace_without_store),
        trial(suite, "ending::a_title_is_deleted_while_the_stores_credentials_are_gone", without_credentials),
    ];
    if std::env::var_os("SHOWRUNNER_LONG").is_some() {
        tests.push(trial(suite, "ending::without_helm_one_file_ends_it", without_helm));
    }
    tests
}

/// Uninstalls as people do, and says how long that took.
fn uninstall(suite: &Suite) -> Result<Duration> {
    let began = Instant::now();
    let arguments = ["uninstall", "showrunner", "--namespace", NAMESPACE, "--wait", "--timeout", "5m"];
    run(suite.cluster.command("helm")?.args(arguments))?;
    Ok(began.elapsed())
}

/// Objects of whatever kind that a finalizer of ours holds.
async fn held(suite: &Suite) -> Result<Vec<String>> {
    let all = objects::all(&suite.client).await?.into_iter();
    let held = all.filter(|(_, object)| object.finalizers().iter().any(|finalizer| finalizer.starts_with(OURS)));
    Ok(held
        .map(|(resource, object)| format!("{} {}/{}", resource.kind, object.namespace().unwrap_or_default(), object.name_any()))
        .collect())
}

/// What an uninstall may leave of a namespace: titles, and nothing that runs or is held.
async fn assert_drained(suite: &Suite, here: &Namespaced) -> Result<()> {
    let held = held(suite).await?;
    ensure!(held.is_empty(), "finalizers of ours are left: {held:?}");
    ensure!(here.jobs().await?.is_empty(), "Jobs are left");
    let pods = Api::<Pod>::namespaced(suite.client.clone(), &here.name).list(&ListParams::default()).await?.items;
    ensure!(pods.is_empty(), "pods are left: {:?}", pods.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>());
    let accounts = Api::<ServiceAccount>::namespaced(suite.client.clone(), NAMESPACE);
    ensure!(accounts.get_opt("showrunner-drain").await?.is_none(), "the hook's account is left");
    let hooks = Api::<Job>::namespaced(suite.client.clone(), NAMESPACE).list(&ListParams::default()).await?.items;
    ensure!(hooks.is_empty(), "the hook's Job is left");
    Ok(())
}

/// A title whose pictures take much longer than its sound, applied as `name`: for most of its time one step is done and two are not.
async fn demo(suite: &Suite, here: &Namespaced, name: &str) -> Result<()> {
    let path = format!("titles/{}/demo.mp4", here.name);
    let title = install::demo_title()?;
    let title = title.to_string_lossy();
    let long = media::ffmpeg(
        "long.mp4",
        &["-stream_loop", "7", "-i", &title, "-i", &title, "-map", "0:v", "-map", "1:a", "-c", "copy"],
    )?;
    suite.store.put(&path, long).await?;
    here.apply(name, json!({"source": {"path": path}, "subtitles": {"language": "en"}, "execution": {"retries": 10}})).await?;
    Ok(())
}

/// A title whose pod waits for a node that never comes: in flight for as long as it takes, at no cost.
async fn waiting(suite: &Suite, here: &Namespaced, name: &str, seed: u32) -> Result<()> {
    let path = format!("titles/{}/small-{seed}.mp4", here.name);
    suite.store.put(&path, media::small_title(seed)?).await?;
    let execution = json!({"accelerator": "Required", "class": "absent-gpu"});
    here.apply(name, json!({"source": {"path": path}, "subtitles": {"enabled": false}, "execution": execution})).await?;
    here.wait_reason(name, "PodUnschedulable", A_JOB).await?;
    Ok(())
}

fn result_of(title: &TitleEnrichment, step: &str) -> Option<String> {
    title.status.as_ref()?.steps.iter().find(|found| found.name == step)?.result.clone()
}

async fn and_again(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("uninstall").await?;
    let path = format!("titles/{}/small.mp4", here.name);
    suite.store.put(&path, media::small_title(41)?).await?;
    here.apply("done", json!({"source": {"path": path}, "subtitles": {"enabled": false}})).await?;
    let published = here.wait_for("done", Phase::Published, A_JOB).await?;
    demo(&suite, &here, "busy").await?;
    let busy = here
        .wait("busy", "at work with one step done", A_TITLE, |title| {
            title.status.as_ref().is_some_and(|s| s.attempt.is_some() && s.steps.iter().any(|step| step.state == StepState::Done))
        })
        .await?;
    let keys = suite.store.list(&format!("titles/{}/", here.name)).await?;
    let made = jobs_made(&suite.cluster, &here.name)?;
    ensure!(made >= 2, "{made} Jobs were made for two titles");

    let gone = async {
        let took = uninstall(&suite)?;
        ensure!(took < AN_END, "the uninstall took {} s", took.as_secs());
        assert_drained(&suite, &here).await?;
        let busy = here.titles().get("busy").await?;
        ensure!(
            ready(&busy).is_some_and(|(reason, message)| reason == "OperatorUninstalled" && message.contains("install it again")),
            "the title at work does not say why it stands still: {:?}",
            ready(&busy)
        );
        let done = here.titles().get("done").await?;
        ensure!(done.status == published.status, "the published title was changed");
        let events = Api::<Event>::namespaced(suite.client.clone(), &here.name).list(&ListParams::default()).await?.items;
        let told = events.iter().filter(|event| event.reason.as_deref() == Some("OperatorUninstalled"));
        ensure!(told.count() == 1, "not exactly one event tells of the uninstall");
        let left = suite.store.list(&format!("titles/{}/", here.name)).await?;
        ensure!(keys.iter().all(|key| left.contains(key)), "objects of the store are gone");
        verify(&suite.store, &done).await?;
        let crds = Api::<CustomResourceDefinition>::all(suite.client.clone());
        ensure!(crds.get_opt("titleenrichments.showrunner.dev").await?.is_some(), "the definition is gone");
        Ok(())
    }
    .await;
    install::install(&suite.cluster)?;
    gone?;

    let finished = here.wait_for("busy", Phase::Published, A_TITLE).await?;
    verify(&suite.store, &finished).await?;
    let done_before = ["shots", "thumbnails", "subtitles"].into_iter().filter(|step| result_of(&busy, step).is_some());
    for step in done_before {
        ensure!(result_of(&busy, step) == result_of(&finished, step), "the step {step} has another result than before");
        for job in here.jobs().await?.iter().filter(|job| job.owner_references().iter().any(|owner| owner.name == "busy")) {
            let annotations = job.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref()?.annotations.as_ref());
            let order = annotations.and_then(|all| all.get("showrunner.dev/work-order")).context("the Job has no work order")?;
            let order = WorkOrder::from_bytes(order.as_bytes())?;
            let steps: Vec<Step> = order.steps.iter().map(|ordered| ordered.step).collect();
            ensure!(
                steps.iter().all(|redone| redone.to_string() != step),
                "the step {step} was done before and is ordered again"
            );
        }
    }
    let outcomes: Vec<_> = finished.status.iter().flat_map(|s| &s.history).map(|past| past.outcome.as_str()).collect();
    ensure!(outcomes.ends_with(&["OperatorUninstalled", "Succeeded"]), "the attempts ended as {outcomes:?}");
    ensure!(here.titles().get("done").await?.status == published.status, "the published title was changed");
    let more = jobs_made(&suite.cluster, &here.name)? - made;
    ensure!(more == 1, "{more} Jobs were made by the second installation: there was work for one");
    here.end().await
}

async fn without_store(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("uninstall-no-store").await?;
    demo(&suite, &here, "busy").await?;
    here.wait_reason("busy", "Working", A_JOB).await?;
    suite.cluster.script("store", &["stop"])?;
    let gone = async {
        let took = uninstall(&suite)?;
        ensure!(took < AN_END, "the uninstall took {} s", took.as_secs());
        assert_drained(&suite, &here).await
    }
    .await;
    suite.cluster.script("store", &["start"])?;
    install::install(&suite.cluster)?;
    gone?;
    here.wait("busy", "at work again", A_TITLE, |title| {
        title.status.as_ref().and_then(|s| s.attempt.as_ref()).is_some_and(|attempt| attempt.number == 2)
    })
    .await?;
    here.end().await
}

async fn served_namespaces(suite: Arc<Suite>) -> Result<()> {
    let (here, other) = (suite.namespace("served").await?, suite.namespace("served-and-gone").await?);
    let served = format!("watchNamespaces={{{},{}}}", here.name, other.name);
    install::upgrade(&suite.cluster, &["--set", &served])?;
    let gone = async {
        waiting(&suite, &here, "busy", 42).await?;
        other.end().await?;
        // Ready without it, and at work where it can be.
        for arguments in [&["restart"][..], &["status", "--timeout", "90s"]] {
            let rollout = ["rollout", arguments[0], "deployment/showrunner", "--namespace", NAMESPACE];
            run(suite.cluster.command("kubectl")?.args(rollout).args(&arguments[1..]))?;
        }
        waiting(&suite, &here, "later", 44).await?;
        let took = uninstall(&suite)?;
        ensure!(took < AN_END, "the uninstall took {} s", took.as_secs());
        assert_drained(&suite, &here).await
    }
    .await;
    install::install(&suite.cluster)?;
    gone?;
    here.end().await
}

async fn namespace_without_store(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("namespace-no-store").await?;
    demo(&suite, &here, "busy").await?;
    here.wait_reason("busy", "Working", A_JOB).await?;
    suite.cluster.script("store", &["stop"])?;
    let gone = here.end().await;
    suite.cluster.script("store", &["start"])?;
    gone
}

async fn without_credentials(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("no-credentials").await?;
    waiting(&suite, &here, "busy", 43).await?;
    let secrets = Api::<Secret>::namespaced(suite.client.clone(), NAMESPACE);
    secrets.delete("showrunner-store-default", &DeleteParams::default()).await?;
    let pods = Api::<Pod>::namespaced(suite.client.clone(), NAMESPACE);
    pods.delete_collection(&DeleteParams::default(), &ListParams::default().labels("app.kubernetes.io/component=operator"))
        .await?;
    let gone = async {
        here.titles().delete("busy", &DeleteParams::default()).await?;
        let gone = kube::runtime::wait::await_condition(here.titles(), "busy", |title: Option<&TitleEnrichment>| title.is_none());
        tokio::time::timeout(A_JOB, gone).await.context("the title is still there")??;
        here.end().await
    }
    .await;
    install::install(&suite.cluster)?;
    gone
}

async fn without_helm(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("without-helm").await?;
    waiting(&suite, &here, "busy", 44).await?;
    let kubectl = |arguments: &[&str]| suite.cluster.kubectl(&[arguments, &["--namespace", NAMESPACE]].concat());
    let image = kubectl(&["get", "deployment", "showrunner", "--output", "jsonpath={.spec.template.spec.containers[0].image}"])?;
    let text = std::fs::read_to_string(root().join("dist/drain.yaml"))?;
    let as_it_is = text.lines().find_map(|line| line.trim().strip_prefix("image: ")).context("the file names an image")?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("drain.yaml").display().to_string();
    std::fs::write(&file, text.replace(as_it_is, &image))?;
    let gone = async {
        kubectl(&["apply", "--filename", &file])?;
        kubectl(&["wait", "--for=condition=Complete", "--timeout=270s", "job/showrunner-drain"])?;
        kubectl(&["delete", "--filename", &file])?;
        assert_drained(&suite, &here).await?;
        let busy = here.titles().get("busy").await?;
        ensure!(ready(&busy).is_some_and(|(reason, _)| reason == "OperatorUninstalled"), "{:?}", ready(&busy));
        Ok(())
    }
    .await;
    kubectl(&["scale", "deployment/showrunner", "--replicas=2"])?;
    install::install(&suite.cluster)?;
    gone?;
    here.end().await
}
