//! An older release becomes today's and goes back, by helm, with a title in flight each time.
//!
//! The older chart runs the programs of its own version where `e2e/fixtures/age/build` has built them (`SHOWRUNNER_LONG=1`
//! does), else those of today.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};
use libtest_mimic::Trial;
use serde_json::json;
use showrunner_crds::title_enrichment::{Phase, PublishedStatus};
use showrunner_e2e::{
    age::frozen::{self, FIXTURES, Frozen},
    audit::jobs_made,
    cluster::{root, run},
    install, media, published,
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{collections::BTreeSet, process::Command, sync::Arc, time::Duration};

/// On a machine that has other things to do: each title takes under a minute where it has not.
const A_JOB: Duration = Duration::from_mins(15);
/// How often the demo title's picture is repeated after itself: long enough that its Job outlives an upgrade.
const REPEATED: &str = "1";

/// Versions whose own operator does not find what a Job of today commits below a prefix that namespaces share, where each has
/// a folder of its own now: who goes back to one of them with a Job running has its work done once more (docs/upgrading.md).
const DO_AGAIN: [&str; 1] = ["v0.1-house"];

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![trial(suite, "age::an_older_release_is_upgraded_and_rolled_back_with_titles_in_flight", there_and_back)]
}

/// From the newest frozen version; from every one when all is tested.
async fn there_and_back(suite: Arc<Suite>) -> Result<()> {
    let mut worlds = frozen::all()?;
    if std::env::var_os("SHOWRUNNER_LONG").is_none() {
        worlds.drain(..worlds.len() - 1);
    }
    for frozen in worlds {
        if std::env::var_os("SHOWRUNNER_LONG").is_some() {
            run(Command::new(root().join(FIXTURES).join("build")).arg(&frozen.name))?;
        }
        let here = suite.namespace("age").await?;
        let gone = both_ways(&suite, &here, &frozen).await.with_context(|| format!("from {}", frozen.name));
        install::install(&suite.cluster)?;
        gone?;
        here.end().await?;
    }
    Ok(())
}

async fn both_ways(suite: &Suite, here: &Namespaced, frozen: &Frozen) -> Result<()> {
    let own = frozen.binaries().is_some();
    println!("{}: with {} programs", frozen.name, if own { "its own" } else { "today's" });
    install::go_back_to(&suite.cluster, frozen)?;
    let job = begin(suite, here, "up").await?;
    let older = operators(suite).await?;
    install::install(&suite.cluster)?;
    ensure!(older.is_disjoint(&operators(suite).await?), "the upgrade left an older operator in its place");
    let up = done_by(suite, here, "up", &job).await?;

    let job = begin(suite, here, "back").await?;
    let newer = operators(suite).await?;
    if own {
        install::roll_back(&suite.cluster, "showrunner-crds")?;
    }
    install::roll_back(&suite.cluster, "showrunner")?;
    ensure!(newer.is_disjoint(&operators(suite).await?), "the rollback left a newer operator in its place");
    let again = own && DO_AGAIN.contains(&frozen.name.as_str());
    if again {
        here.wait_for("back", Phase::Published, A_JOB).await?;
    } else {
        done_by(suite, here, "back", &job).await?;
    }
    ensure!(*published::of(&here.titles().get("up").await?)? == up, "the rollback published the other title anew");
    let made = jobs_made(&suite.cluster, &here.name)?;
    ensure!(made == if again { 3 } else { 2 }, "{made} Jobs were made for two titles");
    Ok(())
}

/// UIDs of the operator's pods that are to stay.
async fn operators(suite: &Suite) -> Result<BTreeSet<String>> {
    let api = Api::<Pod>::namespaced(suite.client.clone(), install::NAMESPACE);
    let pods = api.list(&ListParams::default().labels("app.kubernetes.io/component=operator")).await?;
    let staying = pods.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(staying.filter_map(|pod| pod.uid()).collect())
}

/// Applies a title and waits until it is worked on; gives the Job's name.
async fn begin(suite: &Suite, here: &Namespaced, name: &str) -> Result<String> {
    let path = format!("titles/{}/{name}.mp4", here.name);
    let title = install::demo_title()?;
    let title = title.to_string_lossy();
    let long = media::ffmpeg("long.mp4", &["-stream_loop", REPEATED, "-i", &title, "-map", "0:v", "-c", "copy"])?;
    suite.store.put(&path, long).await?;
    here.apply(name, json!({"source": {"path": path}, "subtitles": {"enabled": false}})).await?;
    here.wait_reason(name, "Working", A_JOB).await?;
    let attempt = here.titles().get(name).await?.status.and_then(|status| status.attempt);
    Ok(attempt.context("it is worked on by a Job")?.job)
}

/// Waits until the title is published, and by no other Job than this one.
async fn done_by(suite: &Suite, here: &Namespaced, name: &str, job: &str) -> Result<PublishedStatus> {
    let title = here.wait_for(name, Phase::Published, A_JOB).await?;
    let history = title.status.iter().flat_map(|status| &status.history);
    let attempts: Vec<_> = history.map(|past| (past.job.as_str(), past.outcome.as_str())).collect();
    ensure!(attempts == [(job, "Succeeded")], "{} was done by {attempts:?}, not by {job} alone", title.name_any());
    published::verify(&suite.store, &title).await?;
    Ok(published::of(&title)?.clone())
}
