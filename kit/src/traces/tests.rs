//! Traces as a collector gets them: a real receiver over HTTP, which decodes what was sent.

use super::export::{Traces, TracesConfig};
use super::*;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::controller::{Controller, Reconciler};
use crate::lease::{Leadership, LeaseParams};
use crate::metrics::Metrics;
use crate::queue::{Priority, QueueConfig};
use crate::store::{Profile, Store};
use crate::telemetry::{LogFormat, subscriber};
use crate::write::Writer;
use crate::{Class, Next, ReconcileError};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use prost::Message as _;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// In a header, in a key, in what is written: it must be in no span.
const PLANTED: &str = "planted-secret";
/// Longest time that anything here may take.
const SOON: Duration = Duration::from_secs(20);

/// An OTLP receiver.
#[derive(Clone)]
struct Receiver {
    requests: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
    status: Arc<AtomicU16>,
    /// A permit for each answer that it may give.
    answers: Arc<Semaphore>,
}

impl Receiver {
    async fn start(status: u16, answers: usize) -> (Self, url::Url) {
        let receiver =
            Self { requests: Arc::default(), status: Arc::new(status.into()), answers: Arc::new(Semaphore::new(answers)) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let take = async |State(this): State<Self>, headers: HeaderMap, body: Bytes| {
            this.requests.lock().unwrap().push((headers, body));
            let _permit = this.answers.acquire().await.unwrap();
            StatusCode::from_u16(this.status.load(Ordering::SeqCst)).unwrap()
        };
        let app = Router::new().route("/v1/traces", axum::routing::post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, url)
    }

    fn spans(&self) -> Vec<Exported> {
        let requests = self.requests.lock().unwrap();
        let decoded = requests.iter().map(|(_, body)| ExportTraceServiceRequest::decode(body.clone()).unwrap());
        let scopes = decoded.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

/// A log that can be read.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct World {
    traces: Traces,
    metrics: Arc<Metrics>,
    log: Log,
    _default: tracing::subscriber::DefaultGuard,
    _headers: tempfile::TempDir,
}

/// Traces to `endpoint`, and a log at `level`, for the thread of the test.
fn world(endpoint: url::Url, sample_ratio: f64, level: &str) -> World {
    let headers = tempfile::tempdir().unwrap();
    std::fs::write(headers.path().join("authorization"), format!("Bearer {PLANTED}\n")).unwrap();
    let (metrics, log) = (Arc::new(Metrics::new()), Log::default());
    let config = TracesConfig { endpoint, sample_ratio, headers: Some(headers.path().to_owned()) };
    let traces = Traces::start(&config, "pod-1", Arc::clone(&metrics)).unwrap();
    let out = log.clone();
    let (subscriber, _) = subscriber(level, LogFormat::Json, move || out.clone(), false, Some(&traces)).unwrap();
    World { traces, metrics, log, _default: tracing::subscriber::set_default(subscriber), _headers: headers }
}

fn ticket(name: &str) -> Ticket<ObjectKey> {
    Ticket { key: ObjectKey::new("prod", name), waited: Duration::from_millis(1500), failures: 2, priority: Priority::High }
}

/// Does what a real one does: decides, reads from a store, writes to the API server; then fails.
struct Everything {
    writer: Writer,
    store: Store,
}

impl Reconciler for Everything {
    type Kind = ConfigMap;
    const NAME: &'static str = "everything";

    async fn reconcile(&self, object: Arc<ConfigMap>, _: Timestamp) -> Result<Next, ReconcileError> {
        step("decide").in_scope(|| tracing::info!("deciding"));
        let at = self.store.locate("prod", "in/a.mp4").unwrap();
        in_step("dereference", self.store.get(&at, 10)).await.unwrap_err();
        let status = json!({ "text": PLANTED });
        in_step("status", self.writer.write_status(object.as_ref(), &status)).await.map(drop)?;
        Err(ReconcileError::new(Class::Retry, "Planned", format!("failed to: {PLANTED}")))
    }
}

/// A store that says no to whoever asks, with credentials that must not get out.
async fn store(folder: &std::path::Path, metrics: Arc<Metrics>) -> Store {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(async || (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>"));
    tokio::spawn(async move { axum::serve(listener, app).await });
    std::fs::write(folder.join("accessKeyId"), PLANTED).unwrap();
    std::fs::write(folder.join("secretAccessKey"), PLANTED).unwrap();
    let profile: Profile =
        serde_json::from_value(json!({ "name": "media", "endpoint": endpoint, "bucket": "titles", "credentials": folder }))
            .unwrap();
    Store::new(profile, metrics, Clock::start()).unwrap()
}

/// A writer whose API server says yes.
fn writer(metrics: Arc<Metrics>) -> Writer {
    let service = tower::service_fn(|request: http::Request<Body>| async move {
        assert_eq!(request.method(), "PATCH");
        let body = object().to_string().into_bytes();
        Ok::<_, kube::Error>(http::Response::builder().status(200).body(Body::from(body)).unwrap())
    });
    let leadership = Leadership::without_election(LeaseParams::default(), Clock::start());
    Writer::new(kube::Client::new(service, "default"), leadership, metrics)
}

fn object() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "namespace": "prod", "name": "a", "uid": "uid-1", "generation": 7, "resourceVersion": "1" }
    })
}

/// Has one object reconciled once, and the controller ended.
async fn reconcile_once(metrics: &Arc<Metrics>) {
    let folder = tempfile::tempdir().unwrap();
    let reconciler = Everything { writer: writer(Arc::clone(metrics)), store: store(folder.path(), Arc::clone(metrics)).await };
    let cache = Cache::new(&[]);
    let controller = Controller::new(reconciler, cache.clone(), QueueConfig::default(), Arc::clone(metrics), Clock::start());
    controller.opener()(None);
    let (feed, stop) = (controller.feed(), CancellationToken::new());
    for change in cache.apply(Ok(serde_json::from_value(object()).unwrap())) {
        feed.primary(&change);
    }
    let running = tokio::spawn(controller.run(stop.clone(), SOON));
    let done = "controller_runtime_reconcile_total{controller=\"everything\",result=\"error\"} 1";
    while !metrics.render().contains(done) {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    assert_eq!(running.await.unwrap(), 0);
}

fn attribute(attributes: &[KeyValue], key: &str) -> Value {
    let found = attributes.iter().find(|attribute| attribute.key == key).and_then(|a| a.value.clone()).and_then(|v| v.value);
    match found {
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::DoubleValue(number)) => json!(number),
        Some(other) => panic!("{key}: {other:?}"),
        None => Value::Null,
    }
}

fn named<'a>(spans: &'a [Exported], name: &str) -> &'a Exported {
    let names = || spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>();
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name} among {:?}", names()))
}

#[tokio::test]
async fn a_reconcile_is_one_trace_of_its_steps_and_requests_without_a_secret_in_it() {
    let (receiver, url) = Receiver::start(200, 100).await;
    let world = world(url, 1.0, "info");
    tokio::time::timeout(SOON, reconcile_once(&world.metrics)).await.unwrap();
    world.traces.shutdown(SOON).await;
    let spans = receiver.spans();
    let root = named(&spans, "reconcile ConfigMap");
    assert!(root.parent_span_id.is_empty());
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id), "one trace");
    for (key, value) in [
        ("showrunner.controller", json!("everything")),
        ("showrunner.attempt", json!(1)),
        ("showrunner.queue.priority", json!("high")),
        ("showrunner.outcome", json!("Planned")),
        ("k8s.object.kind", json!("ConfigMap")),
        ("k8s.object.namespace", json!("prod")),
        ("k8s.object.name", json!("a")),
        ("k8s.object.uid", json!("uid-1")),
        ("k8s.object.generation", json!(7)),
    ] {
        assert_eq!(attribute(&root.attributes, key), value, "{key}");
    }
    assert!(attribute(&root.attributes, "showrunner.queue.waited_seconds").is_f64());
    assert_eq!(root.status.as_ref().map(|status| (status.code, status.message.as_str())), Some((2, "Planned")));
    for (child, parent) in [
        ("decide", "reconcile ConfigMap"),
        ("dereference", "reconcile ConfigMap"),
        ("get media", "dereference"),
        ("status", "reconcile ConfigMap"),
        ("patch_status ConfigMap", "status"),
    ] {
        assert_eq!(named(&spans, child).parent_span_id, named(&spans, parent).span_id, "{child} is of {parent}");
    }
    let asked = &named(&spans, "get media").attributes;
    for (key, value) in [
        ("http.request.method", json!("GET")),
        ("http.response.status_code", json!(404)),
        ("showrunner.path", json!("in/a.mp4")),
        ("showrunner.attempts", json!(1)),
        ("showrunner.outcome", json!("ObjectNotFound")),
    ] {
        assert_eq!(attribute(asked, key), value, "{key}");
    }
    assert_eq!(attribute(&named(&spans, "patch_status ConfigMap").attributes, "showrunner.outcome"), json!("ok"));
    assert_eq!(spans.len(), 6, "and nothing else");

    let requests = receiver.requests.lock().unwrap();
    for (headers, body) in requests.iter() {
        assert_eq!(headers["authorization"], format!("Bearer {PLANTED}"), "the header of the file is sent");
        let text = String::from_utf8_lossy(body);
        assert!(!text.contains(PLANTED) && !text.contains("X-Amz"), "{text}");
        assert!(text.contains("showrunner-operator") && text.contains("pod-1"), "the resource says who it is");
    }
    assert!(world.metrics.render().contains("showrunner_trace_spans_total{outcome=\"sent\"} 6"));

    // The lines of the log lead to the trace.
    let id = format!("{:032x}", u128::from_be_bytes(root.trace_id[..].try_into().unwrap()));
    let lines: Vec<_> = world.log.lines().into_iter().filter(|line| line["span"]["name"] == "reconcile").collect();
    assert!(lines.len() >= 2, "{:?}", world.log.lines());
    for line in lines {
        assert_eq!(line["span"]["trace_id"], id, "{line}");
    }
}

#[tokio::test]
async fn without_a_sample_nothing_is_sent_and_no_line_names_a_trace() {
    let (receiver, url) = Receiver::start(200, 100).await;
    let world = world(url, 0.0, "info");
    tokio::time::timeout(SOON, reconcile_once(&world.metrics)).await.unwrap();
    world.traces.shutdown(SOON).await;
    assert!(receiver.requests.lock().unwrap().is_empty());
    let lines = world.log.lines();
    assert!(lines.iter().any(|line| line["message"] == "deciding"));
    assert!(lines.iter().all(|line| line["span"].get("trace_id").is_none()), "{lines:?}");
}

#[tokio::test]
async fn the_level_of_the_log_turns_no_trace_off() {
    let (receiver, url) = Receiver::start(200, 100).await;
    let world = world(url, 1.0, "error");
    tokio::time::timeout(SOON, reconcile_once(&world.metrics)).await.unwrap();
    world.traces.shutdown(SOON).await;
    assert_eq!(receiver.spans().len(), 6);
    assert!(world.log.lines().is_empty());
}

#[tokio::test]
async fn a_collector_that_hangs_delays_no_reconcile_and_no_shutdown() {
    let (receiver, url) = Receiver::start(200, 0).await;
    let world = world(url, 1.0, "warn");
    // More than fits into a request, so that one is on its way.
    for number in 0..600 {
        drop(reconcile("everything", "ConfigMap", &ticket(&number.to_string())));
    }
    let asked = async {
        while receiver.requests.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, asked).await.expect("the collector is asked");
    // It has not answered, and will not: this ends all the same.
    tokio::time::timeout(SOON, reconcile_once(&world.metrics)).await.unwrap();
    // More than fits into the queue: what is over is counted, and nobody has waited.
    for number in 0..3000 {
        drop(reconcile("everything", "ConfigMap", &ticket(&number.to_string())));
    }
    let metrics = world.metrics.render();
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("showrunner_trace_spans_total{outcome=\"dropped\"} "));
    assert!(dropped.is_some_and(|count| count.parse::<u64>().unwrap() >= 1000), "{metrics}");
    tokio::time::timeout(SOON, world.traces.shutdown(Duration::from_millis(100))).await.expect("the shutdown is bounded");
    assert_eq!(receiver.answers.available_permits(), 0);
}

#[tokio::test]
async fn an_outage_is_one_line_and_its_end_another() {
    let (receiver, url) = Receiver::start(403, 100).await;
    let world = world(url, 1.0, "info");
    let batch = async |expected: &str| {
        for number in 0..512 {
            drop(reconcile("everything", "ConfigMap", &ticket(&number.to_string())));
        }
        let counted = async {
            while !world.metrics.render().contains(expected) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, counted).await.unwrap_or_else(|_| panic!("{expected}\n{}", world.metrics.render()));
    };
    batch("{outcome=\"failed\"} 512").await;
    batch("{outcome=\"failed\"} 1024").await;
    batch("{outcome=\"failed\"} 1536").await;
    let lines = world.log.lines();
    let said: Vec<_> = lines.iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(said.len(), 1, "{lines:?}");
    assert_eq!(said[0]["error"], "it answers 403");
    assert!(!said[0].to_string().contains(PLANTED));
    receiver.status.store(200, Ordering::SeqCst);
    batch("{outcome=\"sent\"} 512").await;
    batch("{outcome=\"sent\"} 1024").await;
    let lines = world.log.lines();
    let back: Vec<_> = lines.iter().filter(|line| line["message"] == "traces are sent again").collect();
    assert_eq!((back.len(), &back[0]["lost"]), (1, &json!(1536)), "{lines:?}");

    // Away as it is, a shutdown does not even try.
    receiver.status.store(403, Ordering::SeqCst);
    batch("{outcome=\"failed\"} 2048").await;
    let before = receiver.requests.lock().unwrap().len();
    drop(reconcile("everything", "ConfigMap", &ticket("last")));
    tokio::time::timeout(SOON, world.traces.shutdown(SOON * 10)).await.expect("at once");
    assert_eq!(receiver.requests.lock().unwrap().len(), before);
}
