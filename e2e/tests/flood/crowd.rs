//! A crowd of titles for which there is room for few Jobs (`jobs.maxInFlight`): who goes next, and how many run at once, by
//! the history of all Jobs; with an operator that is killed, and a namespace that refuses Jobs for a while.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use showrunner_e2e::{
    faults::{history::World, plane::BUCKET, run::kinds},
    store::Store,
};
use std::collections::BTreeSet;

use crate::{Bed, Ground, SOON, TITLES};

/// The crowd, and how many of them may have a Job.
const ALL: usize = 8;
const ROOM: usize = 2;

/// Titles that have a Job that may run, by number.
fn running(now: &World) -> BTreeSet<usize> {
    let jobs = now.of("jobs");
    let runs =
        jobs.values().filter(|job| job.object["spec"]["suspend"] != true && job.object["status"]["completionTime"].is_null());
    runs.filter_map(|job| job.object["metadata"]["ownerReferences"][0]["name"].as_str()?.strip_prefix("crowd-")?.parse().ok())
        .collect()
}

fn reason(now: &World, number: usize) -> Option<String> {
    let title = now.get(TITLES, &format!("crowd-{number}"))?;
    let ready = title["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == "Ready")?;
    ready["reason"].as_str().map(str::to_owned)
}

impl Ground<'_> {
    async fn one_more(&self, number: usize) -> Result<()> {
        let spec = json!({ "source": { "path": "clip.mp4" }, "subtitles": { "enabled": false } });
        self.create(&format!("crowd-{number}"), &Value::Null, &spec).await
    }

    /// In which order they are to go: by age, which is told to the second, and then by UID.
    async fn order(&self, numbers: std::ops::Range<usize>) -> Result<Vec<usize>> {
        let mut places = Vec::new();
        for number in numbers {
            let title = self.bed.api(&self.namespace).get(&format!("crowd-{number}")).await?.metadata;
            places.push((title.creation_timestamp.map(|time| time.0), title.uid, number));
        }
        places.sort();
        Ok(places.into_iter().map(|(_, _, number)| number).collect())
    }

    /// Waits until these run and those say that they wait.
    async fn comes_to(&self, running_ones: &[usize], queued: &[usize]) -> Result<()> {
        let wanted: BTreeSet<usize> = running_ones.iter().copied().collect();
        let what = format!("{wanted:?} run, {queued:?} wait");
        let all_so = |now: &World| {
            let wait = queued.iter().all(|number| reason(now, *number).as_deref() == Some("Queued"));
            (wait && running(now) == wanted).then_some(())
        };
        let come = self.bed.history.until(&self.namespace, &what, SOON, all_so).await;
        come.map_err(|error| error.context(self.operator.watched().tail()))
    }

    /// Sends a title away: its Job ends, and it asks for none.
    async fn send_away(&self, number: usize) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": { "suspend": true } }));
        self.bed.api(&self.namespace).patch(&format!("crowd-{number}"), &PatchParams::default(), &patch).await?;
        Ok(())
    }

    fn quotas(&self) -> Api<ResourceQuota> {
        Api::namespaced(self.bed.client.clone(), &self.namespace)
    }
}

pub(crate) async fn play(bed: &Bed) -> Result<()> {
    let namespace = "crowd";
    bed.namespace(namespace).await?;
    let (key, secret) = &bed.plane.keys;
    let store = Store::new(&bed.plane.store, BUCKET, "us-east-1", key, secret)?;
    store.put(&format!("{namespace}/clip.mp4"), vec![0; 64]).await?;
    let jobs = json!({ "image": "none", "classes": [{ "name": "cpu" }], "maxInFlight": ROOM,
        "prices": { "cpuCoreHour": "0.04", "memoryGibHour": "0.005", "scratchGibHour": "0.0001" } });
    let ground = bed.ground_with(namespace, json!({ "jobs": jobs, "kinds": kinds()? })).await?;
    for number in 0..ROOM {
        ground.one_more(number).await?;
    }
    ground.comes_to(&[0, 1], &[]).await?;
    for number in ROOM..ALL {
        ground.one_more(number).await?;
    }
    let order = ground.order(ROOM..ALL).await?;
    ground.comes_to(&[0, 1], &order).await?;
    ground.send_away(0).await?;
    ground.comes_to(&[1, order[0]], &order[1..]).await?;
    // A new process finds the places taken, and goes on in the same order.
    ground.operator.watched().gate().kill();
    ground.send_away(order[0]).await?;
    ground.comes_to(&[1, order[1]], &order[2..]).await?;
    // No Job can be made: the next is refused, and keeps no place from anybody once Jobs can be made again.
    let quota: ResourceQuota =
        serde_json::from_value(json!({ "metadata": { "name": "none" }, "spec": { "hard": { "count/jobs.batch": "0" } } }))?;
    ground.quotas().create(&PostParams::default(), &quota).await?;
    // As the controller of quotas would, which does not run here.
    let counted = json!({ "status": { "hard": { "count/jobs.batch": "0" }, "used": { "count/jobs.batch": "0" } } });
    ground.quotas().patch_status("none", &PatchParams::default(), &Patch::Merge(counted)).await?;
    ground.send_away(1).await?;
    let refused = |now: &World| (reason(now, order[2]).as_deref() == Some("JobRefused")).then_some(());
    bed.history.until(namespace, "the next is refused", SOON, refused).await?;
    ground.comes_to(&[order[1]], &order[3..]).await?;
    ground.quotas().delete("none", &DeleteParams::default()).await?;
    ground.send_away(order[2]).await?;
    ground.comes_to(&[order[1], order[3]], &order[4..]).await?;
    let versions = bed.history.of(namespace);
    let most = (1..=versions.len()).map(|end| running(&World::at_end(&versions[..end])).len()).max().unwrap_or_default();
    ensure!(most == ROOM, "{most} ran at once, {ROOM} may");
    ground.operator.end().await
}
