//! What disturbs the installation: one at a time. Kills, outages, and the demo title through all of it.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_crds::{TitleEnrichment, title_enrichment::Phase};
use showrunner_e2e::{
    audit,
    install::{self, NAMESPACE},
    media, published,
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{sync::Arc, time::Duration};

const SOON: Duration = Duration::from_secs(90);
const A_JOB: Duration = Duration::from_mins(4);
const A_TITLE: Duration = Duration::from_mins(15);
/// Selects the operator's pods.
const OPERATORS: &str = "app.kubernetes.io/component=operator";

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "operations::at_rest_the_operator_writes_nothing", at_rest),
        trial(suite, "operations::a_store_that_is_away_for_a_while_delays_and_loses_nothing", store_away),
        trial(suite, "operations::the_demo_title_survives_three_kills_of_operator_and_worker_and_is_published_once", kills),
        trial(suite, "operations::an_image_that_cannot_be_pulled_is_named", unpullable),
        trial(suite, "operations::wrong_credentials_are_named_and_cured", credentials),
    ]
}

/// Object writes of the operator in the audit log, Leases left out.
fn writes(suite: &Suite) -> Result<Vec<String>> {
    let is_write = |line: &Value| {
        let verb = line["verb"].as_str().unwrap_or_default();
        matches!(verb, "create" | "update" | "patch" | "delete") && line["objectRef"]["resource"] != "leases"
    };
    let writes = audit::answered(&suite.cluster)?.into_iter().filter(is_write);
    Ok(writes.map(|line| format!("{} {}", line["verb"], line["requestURI"])).collect())
}

async fn small(suite: &Suite, here: &Namespaced, seed: u32) -> Result<Value> {
    let path = format!("titles/{}/small-{seed}.mp4", here.name);
    suite.store.put(&path, media::small_title(seed)?).await?;
    Ok(json!({"source": {"path": path}, "subtitles": {"enabled": false}}))
}

async fn at_rest(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("at-rest").await?;
    let spec = small(&suite, &here, 21).await?;
    here.apply("a", spec).await?;
    here.wait_for("a", Phase::Published, A_JOB).await?;
    // Settling the Job is the last write; after it a nudge makes the operator look once more.
    let settled = |jobs: Vec<k8s_openapi::api::batch::v1::Job>| {
        jobs.iter().all(|job| job.finalizers().iter().all(|f| !f.contains("showrunner")))
    };
    let started = std::time::Instant::now();
    while !settled(here.jobs().await?) {
        ensure!(started.elapsed() < SOON, "the Job is not settled");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let before = writes(&suite)?;
    for nudge in 0..5 {
        let patch = json!({"metadata": {"annotations": {"showrunner.dev/reconcile-at": nudge.to_string()}}});
        here.titles().patch("a", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch)).await?;
    }
    // There is no condition that says "nothing happened": give it the time in which it would have.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = writes(&suite)?;
    ensure!(before.len() == after.len(), "at rest the operator wrote: {:?}", &after[before.len()..]);
    here.end().await
}

async fn store_away(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("store-away").await?;
    let spec = small(&suite, &here, 22).await?;
    suite.cluster.script("store", &["stop"])?;
    here.apply("a", spec).await?;
    let message = here.wait_reason("a", "StoreUnavailable", SOON).await;
    suite.cluster.script("store", &["start"])?;
    ensure!(message?.contains("default"), "the condition does not name the store");
    here.wait_for("a", Phase::Published, A_TITLE).await?;
    here.end().await
}

async fn pods(client: &kube::Client, namespace: &str, selector: &str) -> Result<Vec<Pod>> {
    Ok(Api::<Pod>::namespaced(client.clone(), namespace).list(&ListParams::default().labels(selector)).await?.items)
}

async fn kill(client: &kube::Client, pod: &Pod) -> Result<()> {
    let api = Api::<Pod>::namespaced(client.clone(), &pod.namespace().context("pods have namespaces")?);
    api.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
    Ok(())
}

/// A small seeded generator: the moments differ from seed to seed and are printed.
fn moments(seed: u64) -> [Duration; 3] {
    let mut state = seed | 1;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(1_500 + (state >> 33) % 12_000)
    })
}

async fn kills(suite: Arc<Suite>) -> Result<()> {
    let seed = std::env::var("SHOWRUNNER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    println!("seed {seed}: {:?}", moments(seed));
    let here = suite.namespace("demo-title").await?;
    let path = format!("titles/{}/demo.mp4", here.name);
    suite.store.put(&path, std::fs::read(install::demo_title()?)?).await?;
    let spec = json!({"source": {"path": path}, "subtitles": {"language": "en"}, "execution": {"retries": 10}});

    here.apply("disturbed", spec.clone()).await?;
    for moment in moments(seed) {
        here.wait("disturbed", "at work", A_TITLE, |title| {
            title.status.as_ref().is_some_and(|s| s.attempt.is_some() || s.published.is_some())
        })
        .await?;
        tokio::time::sleep(moment).await;
        for pod in pods(&suite.client, NAMESPACE, OPERATORS).await? {
            kill(&suite.client, &pod).await?;
        }
        tokio::time::sleep(moment / 2).await;
        for pod in pods(&suite.client, &here.name, "showrunner.dev/owner-uid").await? {
            kill(&suite.client, &pod).await?;
        }
    }
    let disturbed = here.wait_for("disturbed", Phase::Published, A_TITLE).await?;
    let manifest = published::verify(&suite.store, &disturbed).await?;
    let digest = disturbed.status.as_ref().and_then(|s| s.published.as_ref()).context("it is published")?.digest.clone();

    let folder = disturbed.status.and_then(|s| s.published).context("it is published")?.folder;
    let keys = suite.store.list(&folder).await?;
    let names = keys.iter().filter_map(|key| key.rsplit('/').next()?.strip_suffix(".json"));
    let manifests: Vec<_> = names.filter(|name| name.len() == digest.trim_start_matches("sha256:").len()).collect();
    ensure!(manifests.len() == 1, "more than one manifest was published: {manifests:?}");

    // The same bytes at another path share no result: what an undisturbed run publishes must differ only in the source's name.
    let calm_path = format!("titles/{}/calm.mp4", here.name);
    suite.store.put(&calm_path, std::fs::read(install::demo_title()?)?).await?;
    here.apply("calm", json!({"source": {"path": calm_path}, "subtitles": {"language": "en"}})).await?;
    let calm = here.wait_for("calm", Phase::Published, A_TITLE).await?;
    let calm = published::verify(&suite.store, &calm).await?;
    let files = |manifest: &showrunner_contracts::manifest::TitleManifest| {
        manifest
            .steps
            .iter()
            .flat_map(|step| &step.outputs)
            .map(|output| (output.name.clone(), output.sha256.clone()))
            .collect::<Vec<_>>()
    };
    ensure!(files(&manifest) == files(&calm), "the disturbed run published other files than the calm one ({digest})");
    here.end().await
}

async fn unpullable(suite: Arc<Suite>) -> Result<()> {
    install::upgrade(&suite.cluster, &["--set", "worker.image.tag=not-there"])?;
    let here = suite.namespace("unpullable").await?;
    let spec = small(&suite, &here, 23).await?;
    here.apply("a", spec).await?;
    let message = here.wait_reason("a", "ImageUnavailable", A_JOB).await;
    install::upgrade(&suite.cluster, &[])?;
    ensure!(message?.contains("showrunner.dev/worker:not-there"), "the condition does not name the image");
    here.end().await
}

async fn credentials(suite: Arc<Suite>) -> Result<()> {
    install::upgrade(&suite.cluster, &["--set", "stores.default.credentials.secretAccessKey=wrong"])?;
    // New pods start with the wrong credentials at once; the right ones must then reach running pods without a restart.
    for pod in pods(&suite.client, NAMESPACE, OPERATORS).await? {
        kill(&suite.client, &pod).await?;
    }
    let here = suite.namespace("credentials").await?;
    let spec = small(&suite, &here, 24).await?;
    here.apply("a", spec).await?;
    let message = here.wait_reason("a", "StoreCredentialsRejected", A_JOB).await;
    install::upgrade(&suite.cluster, &[])?;
    ensure!(message?.contains("default"), "the condition does not name the store");
    // The kubelet brings the new Secret into the pods within a minute or two; a person who does not want to wait for the next
    // look touches the title, and so does this.
    let began = std::time::Instant::now();
    let published = |title: &TitleEnrichment| title.status.as_ref().is_some_and(|s| s.phase == Some(Phase::Published));
    for nudge in 0.. {
        let patch = json!({"metadata": {"annotations": {"showrunner.dev/reconcile-at": nudge.to_string()}}});
        here.titles().patch("a", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(patch)).await?;
        if here.wait("a", "Published", Duration::from_secs(15), published).await.is_ok() {
            break;
        }
        ensure!(began.elapsed() < A_TITLE, "the right credentials do not reach the operator");
    }
    let operators = Api::<Deployment>::namespaced(suite.client.clone(), NAMESPACE).list(&ListParams::default()).await?;
    ensure!(
        operators.items.iter().all(|found| found.status.as_ref().and_then(|s| s.ready_replicas) == Some(2)),
        "the operator is not ready"
    );
    here.end().await
}
