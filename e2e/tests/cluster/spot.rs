//! Spot machines on the real cluster: nodes with a label stand for them. They are waited for, taken, lost, and left.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{EvictParams, ListParams, Patch, PatchParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_crds::{TitleEnrichment, title_enrichment::Phase};
use showrunner_e2e::{
    media,
    suite::{Suite, trial},
};
use std::{sync::Arc, time::Duration};

const A_JOB: Duration = Duration::from_mins(4);
const SOON: Duration = Duration::from_mins(1);
/// What nodes of the class `steady-spot` are selected by (`e2e/install`).
const SPOT: &str = "showrunner.dev/e2e-spot";

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![trial(suite, "spot::machines_are_waited_for_taken_lost_and_given_up_for_those_that_stay", spot)]
}

/// A title on the class that has spot machines, with what differs.
fn on_spot(path: &str, spot: &Value) -> Value {
    let off = json!({ "enabled": false });
    json!({
        "source": { "path": path }, "shots": off, "thumbnails": off, "subtitles": { "language": "en", "model": "whisper-base" },
        "deadline": "24h", "review": { "hold": [] },
        "execution": { "accelerator": "Required", "class": "steady", "startDeadline": "10s", "maxDuration": "10m", "spot": spot },
    })
}

fn limits(title: &TitleEnrichment) -> String {
    let attempt = title.status.as_ref().and_then(|status| status.attempt.clone());
    attempt.and_then(|attempt| attempt.limits).unwrap_or_default()
}

async fn spot(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("spot").await?;
    let path = format!("titles/{}/speech.mp4", here.name);
    let speech = "It was the best of times, it was the worst of times. ".repeat(24);
    suite.store.put(&path, media::spoken_title(&speech)?).await?;
    let nodes = Api::<Node>::all(suite.client.clone());

    // None there: it is waited for.
    here.apply("waits", on_spot(&path, &json!({ "policy": "Always" }))).await?;
    let told = here.wait_reason("waits", "SpotUnavailable", SOON).await?;
    ensure!(told.contains("steady-spot"), "{told}");
    for node in nodes.list(&ListParams::default()).await? {
        let label = Patch::Merge(json!({ "metadata": { "labels": { SPOT: "true" } } }));
        nodes.patch(&node.name_any(), &PatchParams::default(), &label).await?;
    }
    let done = here.wait_for("waits", Phase::Published, A_JOB).await?;
    let history = &done.status.as_ref().context("a status")?.history;
    ensure!(history[0].outcome == "SpotUnavailable" && !history[0].counted, "{history:?}");

    // Taken back while it works: one loss is borne, the second time it is on demand.
    let other = format!("titles/{}/again.mp4", here.name);
    suite.store.put(&other, media::spoken_title(&format!("Again. {speech}"))?).await?;
    here.apply("lost", on_spot(&other, &json!({ "maxDisruptions": 1 }))).await?;
    let runs = here
        .wait("lost", "at work on a spot machine", SOON, |title| {
            showrunner_e2e::titles::ready(title).is_some_and(|(reason, _)| reason == "Working")
        })
        .await?;
    ensure!(limits(&runs).starts_with("steady-spot 10 600 Slack"), "{}", limits(&runs));
    let pods = Api::<Pod>::namespaced(suite.client.clone(), &here.name);
    let uid = runs.uid().context("a UID")?;
    let mine = pods.list(&ListParams::default().labels(&format!("showrunner.dev/owner-uid={uid}"))).await?;
    let pod = mine.items.first().context("its pod")?;
    let selector = pod.spec.as_ref().and_then(|spec| spec.node_selector.clone()).unwrap_or_default();
    ensure!(selector.get(SPOT).map(String::as_str) == Some("true"), "{selector:?}");
    pods.evict(&pod.name_any(), &EvictParams::default()).await?;

    let done = here.wait_for("lost", Phase::Published, A_JOB).await?;
    let history = &done.status.as_ref().context("a status")?.history;
    ensure!(history.len() == 2 && history[1].outcome == "Succeeded", "{history:?}");
    ensure!(["Disrupted", "Evicted"].contains(&history[0].outcome.as_str()) && !history[0].counted, "{history:?}");
    let bound = |nth: usize| -> Result<f64> {
        let text = history[nth].cost_estimate.as_deref().and_then(|cost| cost.split(' ').next()).context("an estimate")?;
        Ok(text.parse()?)
    };
    ensure!(bound(0)? < bound(1)? / 2.0, "the second one is not on demand: {history:?}");
    here.end().await
}
