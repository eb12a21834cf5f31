//! Bad inputs: each ends in a condition that names cause and cure.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::{Api, api::PostParams};
use libtest_mimic::Trial;
use serde_json::json;
use showrunner_crds::title_enrichment::Phase;
use showrunner_e2e::{
    media,
    suite::{Suite, trial},
};
use std::{sync::Arc, time::Duration};

const SOON: Duration = Duration::from_mins(1);
const A_JOB: Duration = Duration::from_mins(3);

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "inputs::a_missing_object_is_named_and_is_found_once_it_is_there", missing),
        trial(suite, "inputs::zero_bytes_are_not_a_title", |s| bad(s, "empty", Vec::new(), "SourceEmpty", "no bytes")),
        trial(suite, "inputs::text_named_mp4_is_not_media", |s| {
            bad(s, "text", b"#!/bin/sh\necho this is not a film\n".repeat(50), "SourceNotMedia", "container")
        }),
        trial(suite, "inputs::a_truncated_file_says_so", truncated),
        trial(suite, "inputs::another_digest_than_stated_is_refused", wrong_digest),
        trial(suite, "inputs::a_store_nobody_configured_is_named_with_those_that_exist", unknown_store),
        trial(suite, "inputs::a_title_without_sound_is_published_without_subtitles", no_sound),
        trial(suite, "inputs::sound_alone_is_published_without_pictures", sound_only),
        trial(suite, "inputs::a_job_that_the_api_server_refuses_says_so_on_the_title", refused),
        trial(suite, "inputs::a_pod_that_never_schedules_is_stopped_and_explained", never_schedules),
    ]
}

async fn bad(suite: Arc<Suite>, name: &'static str, bytes: Vec<u8>, reason: &'static str, says: &'static str) -> Result<()> {
    let here = suite.namespace(name).await?;
    let path = format!("inputs/{}/{name}.mp4", here.name);
    suite.store.put(&path, bytes).await?;
    here.apply(name, json!({"source": {"path": path}})).await?;
    let message = here.wait_reason(name, reason, A_JOB).await?;
    ensure!(message.contains(says), "the condition does not say {says:?}: {message}");
    here.wait_for(name, Phase::Failed, SOON).await?;
    here.end().await
}

async fn missing(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("missing").await?;
    let path = format!("inputs/{}/late.mp4", here.name);
    here.apply("late", json!({"source": {"path": path}, "subtitles": {"enabled": false}})).await?;
    let message = here.wait_reason("late", "SourceNotFound", SOON).await?;
    ensure!(message.contains(&path), "the condition does not name the object: {message}");
    ensure!(here.jobs().await?.is_empty(), "a Job was made for an object that is not there");
    suite.store.put(&path, media::small_title(11)?).await?;
    let nudge = json!({"metadata": {"annotations": {"showrunner.dev/reconcile-at": "now"}}});
    here.titles().patch("late", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(nudge)).await?;
    here.wait_for("late", Phase::Published, A_JOB).await?;
    here.end().await
}

async fn truncated(suite: Arc<Suite>) -> Result<()> {
    // The index lies at the file's start, so that only the pictures are missing.
    let whole = media::ffmpeg(
        "t.mp4",
        &["-f", "lavfi", "-i", "testsrc2=s=320x180:r=24:d=20", "-pix_fmt", "yuv420p", "-movflags", "+faststart"],
    )?;
    let half = whole[..whole.len() / 2].to_vec();
    bad(suite, "truncated", half, "SourceTruncated", "breaks off").await
}

async fn wrong_digest(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("wrong-digest").await?;
    let path = format!("inputs/{}/a.mp4", here.name);
    suite.store.put(&path, media::small_title(12)?).await?;
    here.apply("a", json!({"source": {"path": path, "sha256": "0".repeat(64)}})).await?;
    let message = here.wait_reason("a", "SourceDigestMismatch", A_JOB).await?;
    ensure!(message.contains("sha256"), "{message}");
    here.end().await
}

async fn unknown_store(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("unknown-store").await?;
    here.apply("a", json!({"source": {"store": "nowhere", "path": "a.mp4"}})).await?;
    let message = here.wait_reason("a", "StoreUnknown", SOON).await?;
    ensure!(message.contains("nowhere") && message.contains("default"), "{message}");
    here.end().await
}

async fn no_sound(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("no-sound").await?;
    let path = format!("inputs/{}/a.mp4", here.name);
    let silent = media::ffmpeg("s.mp4", &["-f", "lavfi", "-i", "testsrc2=s=320x180:r=24:d=4", "-pix_fmt", "yuv420p"])?;
    suite.store.put(&path, silent).await?;
    here.apply("a", json!({"source": {"path": path}})).await?;
    let title = here.wait_for("a", Phase::Published, A_JOB).await?;
    let status = title.status.expect("it is published");
    let subtitles = status.steps.iter().find(|step| step.name == "subtitles").expect("the step is listed");
    ensure!(subtitles.state.to_string() == "Skipped" && subtitles.reason.as_deref() == Some("NoSound"), "{subtitles:?}");
    here.end().await
}

async fn sound_only(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("sound-only").await?;
    let path = format!("inputs/{}/a.wav", here.name);
    let clip = media::ffmpeg("a.wav", &["-t", "6", "-i", &media::artefacts()?.join("media/two_cities.wav").to_string_lossy()])?;
    suite.store.put(&path, clip).await?;
    here.apply("a", json!({"source": {"path": path}, "subtitles": {"language": "en"}})).await?;
    let title = here.wait_for("a", Phase::Published, A_JOB).await?;
    let status = title.status.expect("it is published");
    for name in ["shots", "thumbnails"] {
        let step = status.steps.iter().find(|step| step.name == name).expect("the step is listed");
        ensure!(step.reason.as_deref() == Some("NoPicture"), "{step:?}");
    }
    here.end().await
}

async fn never_schedules(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("never-schedules").await?;
    let path = format!("inputs/{}/a.mp4", here.name);
    suite.store.put(&path, media::small_title(13)?).await?;
    let execution = json!({"accelerator": "Required", "class": "absent-gpu", "startDeadline": "15s"});
    here.apply("a", json!({"source": {"path": path}, "execution": execution})).await?;
    let message = here.wait_reason("a", "PodUnschedulable", A_JOB).await?;
    ensure!(message.contains("15s") || message.to_lowercase().contains("node"), "{message}");
    here.end().await
}

async fn refused(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("refused").await?;
    let quota: ResourceQuota =
        serde_json::from_value(json!({"metadata": {"name": "no-jobs"}, "spec": {"hard": {"count/jobs.batch": "0"}}}))?;
    let quotas = Api::<ResourceQuota>::namespaced(suite.client.clone(), &here.name);
    quotas.create(&PostParams::default(), &quota).await?;
    // A quota counts from when its controller has looked at it.
    let counted = |quota: Option<&ResourceQuota>| quota.and_then(|quota| quota.status.as_ref()?.hard.clone()).is_some();
    tokio::time::timeout(SOON, kube::runtime::wait::await_condition(quotas, "no-jobs", counted)).await??;
    let path = format!("inputs/{}/a.mp4", here.name);
    suite.store.put(&path, media::small_title(14)?).await?;
    here.apply("a", json!({"source": {"path": path}})).await?;
    let message = here.wait_reason("a", "JobRefused", SOON).await?;
    ensure!(message.contains("quota"), "the condition does not hold what the API server said: {message}");
    here.end().await
}
