//! What the API server accepts and refuses: every rule of the schema, with the sentence a person reads.

use anyhow::{Result, bail, ensure};
use kube::{
    ResourceExt as _,
    api::{DeleteParams, PostParams},
};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use showrunner_crds::TitleEnrichment;
use showrunner_e2e::suite::{Suite, trial};
use std::sync::Arc;

/// A change to a good spec, and a part of the message it must be refused with.
const REFUSED: &[(&str, &str, &str)] = &[
    ("/source/path", r#""/etc/passwd""#, "path is relative to the store profile"),
    ("/source/path", r#""a/../../b.mp4""#, "path is relative to the store profile"),
    ("/source/path", r#""a//b.mp4""#, "path is relative to the store profile"),
    ("/source/path", r#""a\u0007.mp4""#, "control characters"),
    ("/source/path", r#""""#, "spec.source.path"),
    ("/source/sha256", r#""ABC""#, "spec.source.sha256"),
    ("/source/store", r#""Not a name""#, "spec.source.store"),
    ("/shots", r#"{"enabled":false}"#, "thumbnails are picked inside shots"),
    ("/shots", r#"{"profile":"Slow"}"#, "spec.shots.profile"),
    ("/thumbnails", r#"{"select":9}"#, "spec.thumbnails.select"),
    ("/thumbnails", r#"{"excludeNudityAtOrAbove":0}"#, "spec.thumbnails.excludeNudityAtOrAbove"),
    ("/thumbnails", r#"{"spriteInterval":"900ms"}"#, "spec.thumbnails.spriteInterval"),
    ("/thumbnails", r#"{"spriteInterval":"11m"}"#, "spriteInterval must be between 1s and 10m"),
    ("/subtitles", r#"{"language":"English"}"#, "spec.subtitles.language"),
    ("/subtitles", r#"{"maxCharsPerSecond":40}"#, "spec.subtitles.maxCharsPerSecond"),
    (
        "/title",
        r#"{"declaredRating":{"system":"BBFC","category":"PG-13"}}"#,
        "a BBFC category is one of U, PG, 12A, 12, 15 and 18",
    ),
    ("/title", r#"{"declaredRating":{"system":"MPA","category":"12"}}"#, "an MPA category is one of"),
    ("/title", r#"{"declaredRating":{"system":"FSK","category":"R"}}"#, "an FSK category is one of"),
    ("/title", r#"{"declaredRating":{"system":"PEGI","category":"12"}}"#, "spec.title.declaredRating.system"),
    ("/moderation", r#"{"axes":[]}"#, "spec.moderation.axes"),
    ("/moderation", r#"{"axes":["Nudity","Nudity"]}"#, "spec.moderation.axes"),
    ("/moderation", r#"{"sampleFps":5}"#, "spec.moderation.sampleFps"),
    ("/fingerprint", r#"{"enabled":"yes"}"#, "spec.fingerprint.enabled"),
    ("/duplicates", r#"{"enabled":true}"#, "copies are found by the print: enable fingerprint too"),
    ("/duplicates", r#"{"hold":["Everything"]}"#, "spec.duplicates.hold"),
    ("/audio", r#"{"track":0}"#, "spec.audio.track"),
    ("/review", r#"{"hold":["Everything"]}"#, "spec.review.hold"),
    ("/review", r#"{"always":["credits"]}"#, "spec.review.always"),
    (
        "/review",
        r#"{"decisions":[{"step":"moderation","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","action":"Replace","path":"a.vtt","sha256":"0000000000000000000000000000000000000000000000000000000000000000","by":"me"}]}"#,
        "only subtitles and thumbnails can be replaced",
    ),
    (
        "/review",
        r#"{"decisions":[{"step":"subtitles","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","action":"Replace","path":"a.vtt","by":"me"}]}"#,
        "both with Replace of subtitles, neither with another",
    ),
    (
        "/review",
        r#"{"decisions":[{"step":"thumbnails","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","action":"Replace","by":"me"}]}"#,
        "at least one with Replace of thumbnails, none with another",
    ),
    (
        "/review",
        r#"{"decisions":[{"step":"thumbnails","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","action":"Replace","pictures":[{"file":"thumbnail-8.jpg","path":"a.jpg","sha256":"0000000000000000000000000000000000000000000000000000000000000000"}],"by":"me"}]}"#,
        "pictures[0].file",
    ),
    (
        "/review",
        r#"{"decisions":[{"step":"thumbnails","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","action":"Replace","pictures":[{"file":"thumbnail-0.jpg","path":"/a.jpg","sha256":"0000000000000000000000000000000000000000000000000000000000000000"}],"by":"me"}]}"#,
        "path is relative to the store profile",
    ),
    (
        "/review",
        r#"{"decisions":[{"step":"subtitles","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","action":"Replace","path":"../a.vtt","sha256":"0000000000000000000000000000000000000000000000000000000000000000","by":"me"}]}"#,
        "path is relative to the store profile",
    ),
    ("/review", r#"{"decisions":[{"step":"moderation","digest":"sha256:00","action":"Accept","by":"me"}]}"#, "digest"),
    ("/execution", r#"{"accelerator":"Required"}"#, "execution.class names the accelerator class"),
    ("/execution", r#"{"accelerator":"Sometimes"}"#, "spec.execution.accelerator"),
    ("/execution", r#"{"retries":11}"#, "spec.execution.retries"),
    ("/execution", r#"{"startDeadline":"5s"}"#, "startDeadline must be between 10s and 24h"),
    ("/execution", r#"{"maxDuration":"25h"}"#, "maxDuration must be between 30s and 24h"),
    ("/deadline", r#""30s""#, "deadline must be between 1m and 720h"),
    ("/deadline", r#""1d""#, "spec.deadline"),
];

pub(crate) fn tests(suite: &Arc<Suite>) -> Vec<Trial> {
    vec![
        trial(suite, "api::every_rule_of_the_schema_refuses_with_a_sentence_to_act_on", refuses),
        trial(suite, "api::defaults_are_visible_and_a_minimal_title_is_accepted", defaults),
        trial(suite, "api::all_steps_off_is_refused", all_off),
        trial(suite, "api::every_example_is_accepted", examples),
    ]
}

fn good() -> Value {
    json!({"source": {"path": "titles/a.mp4"}, "shots": {"enabled": true}, "suspend": true})
}

fn title(spec: &Value) -> Value {
    json!({"apiVersion": "showrunner.dev/v1alpha1", "kind": "TitleEnrichment", "metadata": {"generateName": "api-"}, "spec": spec})
}

async fn try_create(suite: &Suite, namespace: &str, spec: &Value) -> Result<Option<String>> {
    let api = kube::Api::<kube::core::DynamicObject>::namespaced_with(
        suite.client.clone(),
        namespace,
        &kube::core::ApiResource::erase::<TitleEnrichment>(&()),
    );
    match api.create(&PostParams { dry_run: true, ..PostParams::default() }, &serde_json::from_value(title(spec))?).await {
        Ok(_) => Ok(None),
        Err(kube::Error::Api(status)) => Ok(Some(status.message.clone())),
        Err(other) => Err(other.into()),
    }
}

async fn refuses(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("api-refuses").await?;
    ensure!(try_create(&suite, &here.name, &good()).await?.is_none(), "the good spec itself is refused");
    for (pointer, value, message) in REFUSED {
        let mut spec = good();
        let (parent, key) = pointer.rsplit_once('/').expect("pointers have a slash");
        let parent = spec.pointer_mut(parent).expect("the parent is in the good spec");
        parent[key] = serde_json::from_str(value)?;
        match try_create(&suite, &here.name, &spec).await? {
            None => bail!("{pointer} = {value} was accepted"),
            Some(said) => ensure!(said.contains(message), "{pointer} = {value} was refused with another message: {said}"),
        }
    }
    here.end().await
}

async fn all_off(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("api-all-off").await?;
    let off = json!({"enabled": false});
    let spec = json!({"source": {"path": "a.mp4"}, "shots": off, "thumbnails": off, "subtitles": off});
    let said = try_create(&suite, &here.name, &spec).await?.unwrap_or_default();
    ensure!(said.contains("enable at least one of"), "{said}");
    here.end().await
}

async fn defaults(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("api-defaults").await?;
    let wanted = serde_json::from_value(title(&json!({"source": {"path": "titles/a.mp4"}, "suspend": true})))?;
    let made = here.titles().create(&PostParams::default(), &wanted).await?;
    let spec = serde_json::to_value(&made.spec)?;
    for (pointer, value) in [
        ("/source/store", json!("default")),
        ("/shots/enabled", json!(true)),
        ("/shots/profile", json!("Fast")),
        ("/thumbnails/select", json!(8)),
        ("/thumbnails/spriteInterval", json!("10s")),
        ("/thumbnails/excludeNudityAtOrAbove", json!(3)),
        ("/subtitles/model", json!("whisper-base")),
        ("/execution/startDeadline", json!("15m")),
        ("/execution/retries", json!(3)),
        ("/moderation/enabled", json!(false)),
        ("/fingerprint/enabled", json!(false)),
        ("/duplicates/enabled", json!(false)),
        ("/duplicates/hold", json!(["Copy", "Version"])),
        ("/moderation/axes", json!(["Nudity", "Violence", "Language"])),
        ("/moderation/sampleFps", json!(1)),
        ("/review/hold", json!(["RatingDiscrepancy", "LanguageMismatch", "PoorThumbnails", "WordErrors"])),
        ("/deadline", json!("4h")),
    ] {
        ensure!(spec.pointer(pointer) == Some(&value), "{pointer} is {:?}, not {value}", spec.pointer(pointer));
    }
    here.titles().delete(&made.name_any(), &DeleteParams::default()).await?;
    here.end().await
}

/// Strictly: a field that the schema does not know is an error, not a warning.
async fn examples(suite: Arc<Suite>) -> Result<()> {
    let here = suite.namespace("api-examples").await?;
    let mut seen = 0;
    let folders =
        ["examples", "examples/ai-budget"].map(|folder| std::fs::read_dir(showrunner_e2e::cluster::root().join(folder)));
    for entry in folders.into_iter().collect::<std::io::Result<Vec<_>>>()?.into_iter().flatten() {
        let path = entry?.path();
        let is_values = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("values-"));
        if path.extension().is_none_or(|extension| extension != "yaml") || is_values {
            continue;
        }
        let arguments = ["create", "--dry-run=server", "--validate=strict", "--namespace", &here.name, "--filename"];
        showrunner_e2e::cluster::run(suite.cluster.command("kubectl")?.args(arguments).arg(&path))?;
        seen += 1;
    }
    ensure!(seen >= 8, "only {seen} examples found");
    here.end().await
}
