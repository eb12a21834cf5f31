//! Titles that go well: what is published, once, and what a change of spec does and does not redo.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_contracts::{
    Document as _,
    documents::{ChaptersDocument, FingerprintDocument, PicturePrint, ShotsDocument},
};
use showrunner_crds::{TitleEnrichment, title_enrichment::Phase};
use showrunner_e2e::{
    media,
    published::{output, verify},
    suite::{Suite, trial},
    titles::Namespaced,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const A_JOB: Duration = Duration::from_mins(3);

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "titles::a_small_title_is_published_whole_and_the_source_is_read_once", published),
        trial(suite, "titles::the_same_source_again_costs_no_job", cached),
        trial(suite, "titles::unchanged_apply_suspend_and_resume_create_no_job", unchanged),
        trial(suite, "titles::only_the_step_whose_parameters_changed_is_redone", one_step),
        trial(suite, "titles::deleting_a_running_title_leaves_nothing_behind", deleted),
    ]
}

async fn published(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("published").await?;
    let path = format!("titles/{}/small.mp4", here.name);
    let bytes = media::small_title(1)?;
    suite.store.put(&path, bytes.clone()).await?;
    let on = json!({"enabled": true});
    here.apply("small", json!({"source": {"path": path}, "subtitles": {"language": "en"}, "chapters": on, "fingerprint": on}))
        .await?;
    let title = here.wait_for("small", Phase::Published, A_JOB).await?;
    let manifest = verify(&suite.store, &title).await?;
    let shots = ShotsDocument::from_bytes(&output(&suite.store, &title, &manifest, "shots.json").await?)?;
    let seconds = |ticks: i64| ticks as f64 * f64::from(shots.time_base.num) / f64::from(shots.time_base.den);
    let starts: Vec<f64> = shots.shots.iter().map(|shot| seconds(shot.span.start)).collect();
    for cut in [2.0, 4.0] {
        ensure!(starts.iter().any(|start| (start - cut).abs() < 0.05), "no shot starts at {cut} s: {starts:?}");
    }
    let chapters = ChaptersDocument::from_bytes(&output(&suite.store, &title, &manifest, "chapters.json").await?)?;
    let ends =
        (chapters.chapters.first().map(|chapter| chapter.span.start), chapters.chapters.last().map(|chapter| chapter.span.end));
    ensure!(ends == (Some(0), Some(shots.duration)), "chapters reach from {ends:?}");
    let vtt = output(&suite.store, &title, &manifest, "chapters.vtt").await?;
    ensure!(std::str::from_utf8(&vtt)?.matches(" --> ").count() == chapters.chapters.len(), "chapters.vtt has another number");
    let print = FingerprintDocument::from_bytes(&output(&suite.store, &title, &manifest, "fingerprint.json").await?)?;
    let whole = seconds(shots.duration).ceil() as u32;
    ensure!(
        matches!(print.picture, PicturePrint::Seen { pictures, .. } if pictures == whole),
        "the print of {whole} s is {:?}",
        print.picture
    );
    let bytes_of_print = output(&suite.store, &title, &manifest, "fingerprint.srfp").await?;
    ensure!(bytes_of_print.starts_with(b"SRFP"), "fingerprint.srfp is no print");
    let served = served_bytes(&suite, &path)?;
    let limit = bytes.len() as u64 * 105 / 100;
    ensure!(served <= limit, "the store served {served} bytes of a source of {}", bytes.len());
    ensure!(here.jobs().await?.len() <= 1, "more than one Job was made");
    here.end().await
}

/// Bytes the store served of one object, from its own log.
fn served_bytes(suite: &Suite, path: &str) -> Result<u64> {
    let log = std::fs::read_to_string(suite.cluster.var("SHOWRUNNER_S3_LOG")?)?;
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let served = lines.filter(|line| line["method"] == "GET" && line["path"].as_str().is_some_and(|found| found.ends_with(path)));
    Ok(served.filter_map(|line| line["sent"].as_u64()).sum())
}

async fn cached(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("cached").await?;
    let path = format!("titles/{}/small.mp4", here.name);
    suite.store.put(&path, media::small_title(2)?).await?;
    let spec = json!({"source": {"path": path}, "subtitles": {"enabled": false}});
    here.apply("first", spec.clone()).await?;
    let first = here.wait_for("first", Phase::Published, A_JOB).await?;
    here.apply("second", spec).await?;
    let second = here.wait_for("second", Phase::Published, A_JOB).await?;
    let owner = second.uid().context("it has a UID")?;
    let jobs = here.jobs().await?;
    ensure!(
        !jobs.iter().any(|job| job.owner_references().iter().any(|reference| reference.uid == owner)),
        "a Job was made for results that were there"
    );
    let digest = |title: &TitleEnrichment| title.status.as_ref().and_then(|s| s.published.as_ref()).map(|p| p.digest.clone());
    ensure!(digest(&first) == digest(&second), "the same source gave another manifest");
    verify(&suite.store, &second).await?;
    here.end().await
}

async fn job_names(here: &Namespaced) -> Result<BTreeSet<String>> {
    Ok(here.jobs().await?.iter().map(kube::ResourceExt::name_any).collect())
}

async fn unchanged(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("unchanged").await?;
    let path = format!("titles/{}/small.mp4", here.name);
    suite.store.put(&path, media::small_title(3)?).await?;
    let spec = json!({"source": {"path": path}, "subtitles": {"enabled": false}});
    here.apply("a", spec.clone()).await?;
    let before = here.wait_for("a", Phase::Published, A_JOB).await?;
    let jobs = job_names(&here).await?;
    here.apply("a", spec.clone()).await?;
    let mut suspended = spec.clone();
    suspended["suspend"] = json!(true);
    here.apply("a", suspended).await?;
    here.wait_for("a", Phase::Suspended, A_JOB).await?;
    here.apply("a", {
        let mut on = spec;
        on["suspend"] = json!(false);
        on
    })
    .await?;
    let after = here.wait_for("a", Phase::Published, A_JOB).await?;
    ensure!(job_names(&here).await?.is_subset(&jobs), "a Job was made though nothing changed");
    let digest = |title: &TitleEnrichment| title.status.as_ref().and_then(|s| s.published.as_ref()).map(|p| p.digest.clone());
    ensure!(digest(&before) == digest(&after), "suspend and resume changed what is published");
    here.end().await
}

async fn one_step(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("one-step").await?;
    let path = format!("titles/{}/small.mp4", here.name);
    suite.store.put(&path, media::small_title(4)?).await?;
    let spec = |select: u8| json!({"source": {"path": path}, "subtitles": {"enabled": false}, "thumbnails": {"select": select}});
    here.apply("a", spec(3)).await?;
    let before = here.wait_for("a", Phase::Published, A_JOB).await?;
    here.apply("a", spec(2)).await?;
    let after = here.wait_for("a", Phase::Published, A_JOB).await?;
    let result = |title: &TitleEnrichment, name: &str| {
        title.status.as_ref().and_then(|s| s.steps.iter().find(|step| step.name == name)).and_then(|step| step.result.clone())
    };
    ensure!(result(&before, "shots") == result(&after, "shots"), "shots were redone");
    ensure!(result(&before, "thumbnails") != result(&after, "thumbnails"), "thumbnails were not redone");
    let manifest = verify(&suite.store, &after).await?;
    let pictures =
        manifest.steps.iter().flat_map(|step| &step.outputs).filter(|output| output.name.starts_with("thumbnail-")).count();
    ensure!(pictures == 2, "{pictures} thumbnails are published, 2 were asked for");
    here.end().await
}

async fn deleted(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("deleted").await?;
    let path = format!("titles/{}/small.mp4", here.name);
    suite.store.put(&path, media::small_title(5)?).await?;
    here.apply("a", json!({"source": {"path": path}})).await?;
    here.wait("a", "at work", A_JOB, |title| title.status.as_ref().is_some_and(|status| status.attempt.is_some())).await?;
    here.titles().delete("a", &kube::api::DeleteParams::default()).await?;
    let gone = kube::runtime::wait::await_condition(here.titles(), "a", |title: Option<&TitleEnrichment>| title.is_none());
    tokio::time::timeout(A_JOB, gone).await.context("the title is still there")??;
    here.end().await
}
