//! Jobs and pods as somebody else may have left them: annotations, states, last words. No I/O.

use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use rust_decimal::Decimal;
use serde_json::Value;
use showrunner_controllers::title_enrichment::dereference::seen_job;
use showrunner_crds::TitleEnrichment;
use showrunner_kit::{
    jobs::{Charge, JobState, MAX_RECORDS, charged, observe, record, records},
    money::Money,
    names::{ANNOTATION_COST_ESTIMATE, ANNOTATION_POD_RECORDS},
    object::{Object, annotation},
};
use std::sync::Arc;

use crate::messages::is_clean;

/// `{"job": …, "pods": […]}`, as the API server might serve them.
pub(crate) fn job(input: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(input) else { return };
    let pods = value["pods"].as_array().cloned().unwrap_or_default();
    tolerated::<TitleEnrichment>(&value["job"]);
    let job = tolerated::<Job>(&value["job"]);
    let pods: Vec<Arc<Pod>> = pods.iter().take(8).filter_map(tolerated::<Pod>).map(Arc::new).collect();
    let Some(job) = job else { return };
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, "2026-03-01T12:00:00Z".parse().expect("a time"), Timestamp::MAX] {
        let seen = seen_job(&job, "11111111-1111-1111-1111-111111111111", &pods, None, now);
        match observe(&job, &pods, now) {
            JobState::Pending { reason, message, .. } => {
                is_clean(&reason);
                is_clean(&message);
                assert!(reason.len() <= 100);
            }
            JobState::Failed { message, .. } => is_clean(&message),
            _ => {}
        }
        assert_eq!(seen.state, observe(&job, &pods, now), "the same seen twice");
    }
    let bound = annotation(&job.metadata, ANNOTATION_COST_ESTIMATE).and_then(|text| text.parse::<Money>().ok());
    // A pod that was counted and never recorded costs the bound, too.
    let most = bound.map(|bound| bound.times(Decimal::from(records(&job).len().max(1))));
    assert!(charged(&job, Charge::Spent, None) <= most, "charged more than the upper bound of each of its pods");
    kept_records(job, &pods);
}

/// What is recorded of pods can be read back, however much they said.
fn kept_records(mut job: Job, pods: &[Arc<Pod>]) {
    for pod in pods {
        let kept = vec![record(&job, pod); MAX_RECORDS];
        let text = serde_json::to_string(&kept).expect("serialises");
        job.metadata.annotations.get_or_insert_default().insert(ANNOTATION_POD_RECORDS.to_owned(), text);
        assert_eq!(records(&job), kept, "a record that is not read back is a cost that is lost");
    }
}

/// Reads an object as watches do: one that is malformed is known by its metadata and stalls nobody.
fn tolerated<K: Object>(value: &Value) -> Option<K> {
    let metadata: ObjectMeta = serde_json::from_value(value.get("metadata")?.clone()).ok()?;
    let guarded: DeserializeGuard<K> = serde_json::from_value(value.clone()).expect("an object with metadata is let through");
    match guarded.0 {
        Ok(object) => Some(object),
        Err(invalid) => {
            assert_eq!(invalid.metadata.name, metadata.name);
            None
        }
    }
}
