use super::*;

use crate::clock::Clock;
use crate::lease::LeaseParams;
use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use std::sync::Mutex;

/// What a request was: method, path with query, body.
type Sent = (String, String, Value);

/// A writer whose API server gives these answers in turn, and what it was asked.
fn writer(leadership: Leadership, answers: Vec<(u16, Value)>) -> (Writer, Arc<Mutex<Vec<Sent>>>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let service = tower::service_fn({
        let sent = Arc::clone(&sent);
        move |request: Request<Body>| {
            let (sent, answers) = (Arc::clone(&sent), Arc::clone(&answers));
            async move {
                let (parts, body) = request.into_parts();
                let body = serde_json::from_slice(&body.collect_bytes().await?).unwrap_or(Value::Null);
                let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
                sent.lock().unwrap().push((parts.method.to_string(), path, body));
                let (code, answer) = answers.lock().unwrap().next().expect("no more requests were expected");
                Ok::<_, kube::Error>(Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap())
            }
        }
    });
    let client = Client::new(service, "default");
    (Writer::new(client, leadership, Arc::new(Metrics::new())), sent)
}

fn leading() -> Leadership {
    Leadership::without_election(LeaseParams::default(), Clock::start())
}

fn map(version: Option<&str>, owner: Option<&str>, data: Value) -> ConfigMap {
    let owners = owner.map(|uid| json!([{ "apiVersion": "v1", "kind": "Title", "name": "t", "uid": uid, "controller": true }]));
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "namespace": "ns", "name": "a", "resourceVersion": version, "ownerReferences": owners },
        "data": data,
    }))
    .unwrap()
}

fn answer(object: &ConfigMap) -> Value {
    serde_json::to_value(object).unwrap()
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "no" }))
}

#[tokio::test]
async fn nothing_is_sent_by_a_replica_that_does_not_lead() {
    let (writer, sent) = writer(Leadership::new(LeaseParams::default(), Clock::start()), Vec::new());
    let object = map(Some("1"), None, json!({}));
    assert!(matches!(writer.create_once(&object, "u").await, Err(WriteError::NotLeader)));
    assert!(matches!(writer.patch_versioned(&object, json!({})).await, Err(WriteError::NotLeader)));
    assert!(matches!(writer.write_status(&object, &json!({ "a": 1 })).await, Err(WriteError::NotLeader)));
    assert!(matches!(writer.apply_owned(&object, None, "m").await, Err(WriteError::NotLeader)));
    assert!(matches!(writer.apply_shared(&object, None, "m").await, Err(WriteError::NotLeader)));
    assert!(matches!(writer.delete_exact(&object).await, Err(WriteError::NotLeader)));
    assert!(sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_object_that_exists_is_adopted_by_owner_uid_only() {
    let ours = map(Some("1"), Some("me"), json!({}));
    let theirs = map(Some("1"), Some("other"), json!({}));
    let (writer, _) = writer(
        leading(),
        vec![failure(409, "AlreadyExists"), (200, answer(&ours)), failure(409, "AlreadyExists"), (200, answer(&theirs))],
    );
    let wanted = map(None, Some("me"), json!({}));
    assert!(matches!(writer.create_once(&wanted, "me").await, Ok(Created::Existing(_))));
    let error = writer.create_once(&wanted, "me").await.unwrap_err();
    assert!(matches!(&error, WriteError::Foreign { owner, .. } if owner == "Title t"), "{error}");
}

#[tokio::test]
async fn a_patch_carries_the_version_that_was_read() {
    let read = map(Some("41"), None, json!({}));
    let (writer, sent) = writer(leading(), vec![(200, answer(&read)), failure(409, "Conflict")]);
    writer.patch_versioned(&read, json!({ "metadata": { "labels": { "a": "b" } } })).await.unwrap();
    let (method, _, body) = sent.lock().unwrap()[0].clone();
    assert_eq!(method, "PATCH");
    assert_eq!(body, json!({ "metadata": { "labels": { "a": "b" }, "resourceVersion": "41" } }));
    assert!(matches!(writer.patch_versioned(&read, json!({})).await, Err(WriteError::Conflict { .. })));
}

#[tokio::test]
async fn an_object_that_was_not_read_cannot_be_patched() {
    let (writer, _) = writer(leading(), Vec::new());
    let made_up = map(None, None, json!({}));
    assert!(matches!(writer.patch_versioned(&made_up, json!({})).await, Err(WriteError::Invalid { .. })));
}

#[tokio::test]
async fn a_status_that_says_the_same_is_not_written() {
    let mut read = serde_json::to_value(pod()).unwrap();
    read["status"] = json!({ "phase": "Running", "conditions": [{ "type": "A", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }] });
    let read: k8s_openapi::api::core::v1::Pod = serde_json::from_value(read).unwrap();
    let (writer, sent) = writer(leading(), vec![(200, serde_json::to_value(pod()).unwrap())]);
    let same = json!({ "phase": "Running", "conditions": [{ "type": "A", "status": "True", "lastTransitionTime": "2026-02-02T00:00:00Z" }] });
    assert!(matches!(writer.write_status(&read, &same).await, Ok(StatusWrite::Unchanged)));
    assert!(matches!(writer.write_status(&pod(), &json!({})).await, Ok(StatusWrite::Unchanged)), "none, and nothing to say");
    let other = json!({ "phase": "Failed" });
    assert!(matches!(writer.write_status(&read, &other).await, Ok(StatusWrite::Written(_))));
    let (_, path, body) = sent.lock().unwrap()[0].clone();
    assert!(path.starts_with("/api/v1/namespaces/ns/pods/p/status?"), "{path}");
    assert_eq!(body, json!({ "metadata": { "resourceVersion": "7" }, "status": { "phase": "Failed", "conditions": null } }));
}

fn pod() -> k8s_openapi::api::core::v1::Pod {
    serde_json::from_value(json!({ "metadata": { "namespace": "ns", "name": "p", "resourceVersion": "7" } })).unwrap()
}

#[tokio::test]
async fn an_owned_child_is_applied_on_drift_and_left_alone_otherwise() {
    let wanted = map(None, Some("me"), json!({ "k": "v" }));
    let (writer, sent) = writer(leading(), vec![(200, answer(&wanted)), (200, answer(&wanted)), (200, answer(&wanted))]);
    writer.apply_owned(&wanted, None, "showrunner/titles").await.unwrap();
    let (_, path, body) = sent.lock().unwrap()[0].clone();
    assert!(path.contains("force=true") && path.contains("fieldManager=showrunner"), "{path}");
    assert!(body["metadata"].get("resourceVersion").is_none());

    let mut live: ConfigMap = serde_json::from_value(body).unwrap();
    live.metadata.resource_version = Some("9".into());
    assert!(matches!(writer.apply_owned(&wanted, Some(&live), "m").await, Ok(Applied::Unchanged)));

    let mut edited = live.clone();
    edited.data.as_mut().unwrap().insert("k".into(), "edited by hand".into());
    assert!(matches!(writer.apply_owned(&wanted, Some(&edited), "m").await, Ok(Applied::Written(_))));

    let fewer = map(None, Some("me"), json!({}));
    let taken_back = writer.apply_owned(&fewer, Some(&live), "m").await;
    assert!(matches!(taken_back, Ok(Applied::Written(_))), "a field no longer wanted is a change too");
}

#[tokio::test]
async fn a_shared_object_is_never_forced_and_a_conflict_names_the_owner() {
    let conflict = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409, "reason": "Conflict", "message": "no",
        "details": { "causes": [{ "reason": "FieldManagerConflict", "message": "conflict with \"hpa\"", "field": ".data.k" }] } });
    let (writer, sent) = writer(leading(), vec![(409, conflict)]);
    let error = writer.apply_shared(&map(None, None, json!({ "k": "v" })), None, "m").await.unwrap_err();
    assert!(matches!(&error, WriteError::Owned { manager, field, .. } if manager == "hpa" && field == ".data.k"), "{error}");
    let (_, path, body) = sent.lock().unwrap()[0].clone();
    assert!(!path.contains("force"), "{path}");
    assert!(body["metadata"]["annotations"].get(ANNOTATION_APPLIED).is_none());
}

#[tokio::test]
async fn a_delete_names_exactly_the_object_that_was_read() {
    let mut read = map(Some("5"), None, json!({}));
    read.metadata.uid = Some("uid-1".into());
    let (writer, sent) = writer(leading(), vec![failure(404, "NotFound")]);
    writer.delete_exact(&read).await.unwrap();
    let (method, _, body) = sent.lock().unwrap()[0].clone();
    assert_eq!(method, "DELETE");
    assert_eq!(body["preconditions"], json!({ "uid": "uid-1", "resourceVersion": "5" }));
    assert_eq!(body["propagationPolicy"], "Background");
}

#[tokio::test(start_paused = true)]
async fn a_write_ends_within_the_request_timeout() {
    let client = Client::new(
        tower::service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, kube::Error>>()),
        "default",
    );
    let writer = Writer::new(client, leading(), Arc::new(Metrics::new()));
    let before = tokio::time::Instant::now();
    let answer = writer.patch_versioned(&map(Some("1"), None, json!({})), json!({})).await;
    assert!(matches!(answer, Err(WriteError::Timeout { .. })));
    assert_eq!(before.elapsed(), LeaseParams::default().request_timeout);
}

#[tokio::test(start_paused = true)]
async fn all_writers_together_keep_to_the_rate() {
    let object = map(Some("1"), None, json!({}));
    let clock = Clock::start();
    let (writer, sent) = writer(leading(), vec![(200, answer(&object)); 30]);
    let one = writer.paced(10, clock);
    let two = one.clone();
    for _ in 0..15 {
        one.patch_versioned(&object, json!({})).await.unwrap();
        two.patch_versioned(&object, json!({})).await.unwrap();
    }
    assert_eq!(sent.lock().unwrap().len(), 30);
    assert_eq!(clock.mono().as_secs(), 2, "ten at once, and twenty at ten a second");
}
