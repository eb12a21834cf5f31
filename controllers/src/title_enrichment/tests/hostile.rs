//! Whatever a worker leaves behind, and whatever it says last: the status that comes of it fits its schema, so that it can be
//! stored, and drives nobody's terminal.

use kube::CustomResourceExt as _;
use serde_json::Value;
use showrunner_contracts::{
    Digest, Document as _,
    result::{Outcome, RunRecord, StepOutcome, StepResult, Termination, UnitResult},
};
use showrunner_crds::TitleEnrichment;
use showrunner_kit::conditions::clean;
use showrunner_kit::jobs::{JobState, PodRecord};
use std::sync::LazyLock;

use super::ALL;
use super::fixtures::{ROOT, media, step_result};
use super::world::{Script, UID, World};
use crate::title_enrichment::layout;

/// Largest status, bytes: law 9.
const MAX_STATUS: usize = 32 << 10;

/// Reconciles until the attempt is harvested and what follows from it is done.
const ROUNDS: usize = 8;

#[test]
fn whatever_a_worker_leaves_the_status_fits_its_schema() {
    let words = ["SourceTruncated", "NoSpeech", "Internal", "StoreUnavailable", "failed", "skipped"];
    showrunner_fuzz_driver::exercise("attempt", &words, leave);
}

/// The input is the last words, the unit's result, or a step's result; the rest is as a good worker leaves it.
fn leave(input: &[u8]) {
    let mut world = World::new(ALL);
    world.scripts = vec![Script::Hangs; 4];
    world.settle_until(World::running);
    let name = world.jobs.keys().next().unwrap().clone();
    let order = world.jobs[&name].order.clone();
    let folder = layout::attempt_folder(&order.unit, UID, order.attempt.number);
    for ordered in &order.steps {
        let mut result = step_result(ordered.params.step(), &ordered.key, &folder);
        if let Some(left) = StepResult::from_bytes(input).ok().filter(|left| left.step == result.step) {
            result = StepResult { key: result.key, folder: format!("{ROOT}{folder}/"), outputs: result.outputs, ..left };
        }
        world.results.insert(ordered.key.clone(), result.to_bytes());
    }
    let told = order.steps.iter().map(|ordered| StepOutcome {
        step: ordered.params.step(),
        key: ordered.key.clone(),
        outcome: Outcome::Done { result: Digest::of(&world.results[&ordered.key]) },
        wall_ms: 1,
        cpu_ms: None,
    });
    let mut report = UnitResult {
        schema: UnitResult::SCHEMA.into(),
        unit_key: order.unit.clone(),
        attempt: u32::try_from(order.attempt.number).unwrap(),
        media: Some(media()),
        steps: told.collect(),
        run: RunRecord::default(),
    };
    if let Ok(left) = UnitResult::from_bytes(input) {
        report.media = left.media;
        report.run = left.run;
        for (step, left) in report.steps.iter_mut().zip(left.steps) {
            (step.outcome, step.wall_ms) = (left.outcome, left.wall_ms);
        }
    }
    let bytes = report.to_bytes();
    let good = serde_json::to_string(&Termination::Result(Digest::of(&bytes))).unwrap();
    world.reports.insert(folder, bytes);
    let last_words = serde_json::from_slice::<Termination>(input).is_ok();
    let message = if last_words { String::from_utf8_lossy(input).into_owned() } else { good };
    let record = PodRecord {
        pod: "pod".into(),
        node: "node".into(),
        class: order.class.name.clone(),
        started: Some(world.now),
        finished: Some(world.now),
        exit_code: Some(0),
        cause: None,
        reason: String::new(),
        message,
    };
    world.jobs.get_mut(&name).unwrap().state = JobState::Succeeded { record: Some(record) };
    for _ in 0..ROUNDS {
        world.reconcile().unwrap();
        let status = serde_json::to_value(&world.status).unwrap();
        assert!(status.to_string().len() <= MAX_STATUS, "{} bytes", status.to_string().len());
        fits(&SCHEMA, &status, "status");
    }
    assert!(!world.status.history.is_empty(), "the attempt was harvested");
}

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let version = TitleEnrichment::crd().spec.versions.remove(0);
    serde_json::to_value(version.schema.unwrap().open_api_v3_schema.unwrap()).unwrap()["properties"]["status"].take()
});

/// Whether the API server would take the value: the bounds of the schema that our kinds use. Texts are clean besides.
fn fits(schema: &Value, value: &Value, at: &str) {
    let bound = |name: &str| schema[name].as_u64().map_or(usize::MAX, |bound| bound as usize);
    match value {
        Value::String(text) => {
            assert!(text.chars().count() <= bound("maxLength"), "{at} has {} characters", text.chars().count());
            assert_eq!(clean(text).trim(), text.trim(), "{at} is not clean");
            let choice = schema["enum"].as_array();
            assert!(choice.is_none_or(|choice| choice.contains(value)), "{at} is {text:?}");
        }
        Value::Array(list) => {
            assert!(list.len() <= bound("maxItems"), "{at} has {} items", list.len());
            list.iter().enumerate().for_each(|(index, item)| fits(&schema["items"], item, &format!("{at}[{index}]")));
        }
        Value::Object(map) => {
            for (key, value) in map {
                let schema = &schema["properties"][key];
                assert!(schema.is_object(), "{at}.{key} is not in the schema");
                fits(schema, value, &format!("{at}.{key}"));
            }
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}
