//! Watches and controllers together, in front of an API server that says what a test wants, under virtual time.

use super::*;
use crate::admission::AdmitAll;
use crate::error::{Next, ReconcileError};
use crate::lease::LeaseParams;
use crate::object::ObjectKey;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::sync::Notify;

/// Lists one object `a` of each kind that is not ours in each namespace, and these Jobs, unless it is forbidden there.
#[derive(Clone, Default)]
struct Api {
    jobs: Vec<Value>,
    /// (namespace, resource)
    forbidden: Arc<Mutex<BTreeSet<(String, String)>>>,
    /// What was asked for that changes something.
    writes: Arc<Mutex<Vec<String>>>,
    changed: Arc<Notify>,
}

impl Api {
    fn forbids(&self, namespace: &str, resource: &str) -> bool {
        self.forbidden.lock().unwrap().contains(&(namespace.to_owned(), resource.to_owned()))
    }

    fn forbid(&self, namespace: &str, resources: &[&str]) {
        self.forbidden.lock().unwrap().extend(resources.iter().map(|resource| (namespace.to_owned(), (*resource).to_owned())));
        self.changed.notify_waiters();
    }

    fn allow(&self) {
        self.forbidden.lock().unwrap().clear();
    }

    async fn answer(&self, uri: &http::Uri) -> (u16, Value) {
        let parts: Vec<_> = uri.path().rsplit('/').collect();
        let [resource, namespace, ..] = parts[..] else { panic!("{uri}") };
        if uri.query().unwrap_or_default().contains("watch=true") {
            // Nothing ever happens, until the right is taken away.
            while !self.forbids(namespace, resource) {
                self.changed.notified().await;
            }
        }
        if self.forbids(namespace, resource) {
            let message = format!("{resource} is forbidden: User \"operator\" cannot list resource in namespace {namespace:?}");
            let status = json!({ "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": message });
            return (403, status);
        }
        let object = json!({ "metadata": {
            "namespace": namespace, "name": "a", "uid": namespace, "generation": 1, "resourceVersion": "1"
        } });
        let items = match resource {
            "configmaps" => vec![object],
            "jobs" => self.jobs.clone(),
            _ => Vec::new(),
        };
        (200, json!({ "metadata": { "resourceVersion": "1" }, "items": items }))
    }

    fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let api = api.clone();
            async move {
                if request.method() != http::Method::GET {
                    api.writes.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
                }
                let (code, answer) = api.answer(request.uri()).await;
                let body = Body::from(answer.to_string().into_bytes());
                Ok::<_, kube::Error>(http::Response::builder().status(code).body(body).unwrap())
            }
        });
        Client::new(service, "default")
    }
}

/// Writes down what it is given.
struct Noting(Arc<Mutex<BTreeSet<String>>>);

impl Reconciler for Noting {
    type Kind = ConfigMap;
    const NAME: &'static str = "noting";

    async fn reconcile(&self, object: Arc<ConfigMap>, _: Timestamp) -> Result<Next, ReconcileError> {
        self.0.lock().unwrap().insert(ObjectKey::of(&object.metadata).to_string());
        Ok(Next::WaitForChange)
    }
}

struct World {
    api: Api,
    metrics: Arc<Metrics>,
    view: View,
    seen: Arc<Mutex<BTreeSet<String>>>,
    started: Option<Started>,
}

/// Watches of these namespaces; nobody leads yet.
fn watching(api: Api, namespaces: &[&str]) -> World {
    let (clock, metrics) = (Clock::start(), Arc::new(Metrics::new()));
    let config = WiringConfig {
        namespaces: namespaces.iter().map(|&namespace| namespace.to_owned()).collect(),
        queue: QueueConfig::default(),
        writes_per_second: crate::write::WRITES_PER_SECOND,
        jobs: serde_json::from_value(json!({ "image": "worker", "classes": [{ "name": "cpu" }] })).unwrap(),
        instance: "test".into(),
    };
    let leadership = Leadership::without_election(LeaseParams::default(), clock);
    let (stores, metrics_of) = (Arc::new(Stores::default()), Arc::clone(&metrics));
    let mut wiring = Wiring::new(api.client(), config, &leadership, stores, Arc::new(AdmitAll), metrics_of, clock);
    let seen: Arc<Mutex<_>> = Arc::default();
    let _ = wiring.control(Noting(Arc::clone(&seen))).owns_jobs();
    let started = wiring.start(&CancellationToken::new());
    World { api, metrics, view: started.view(), seen, started: Some(started) }
}

impl World {
    fn lead(&mut self) {
        let mut started = self.started.take().unwrap();
        tokio::spawn(async move { started.control(&CancellationToken::new(), Duration::ZERO).await });
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().cloned().collect()
    }

    /// The value of a metric's line.
    fn metric(&self, line: &str) -> f64 {
        let text = self.metrics.render();
        let value = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or_else(|| panic!("{line} not in\n{text}"));
        value.trim().parse().unwrap()
    }
}

async fn after(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

const EVERYTHING: &[&str] = &["configmaps", "jobs", "pods"];
const DEPTH: &str = r#"workqueue_depth{name="noting",controller="noting"}"#;

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_gone_stops_no_other_and_is_taken_up_when_it_is_back() {
    let api = Api::default();
    api.forbid("gone", EVERYTHING);
    let mut world = watching(api, &["gone", "live"]);
    world.lead();
    after(2).await;
    assert_eq!(world.seen(), ["live/a"]);
    assert_eq!(world.view.pending(), [""; 0], "one dead namespace makes nobody unready");
    let told = "namespace gone: cannot list ConfigMap (403 Forbidden), Job (403 Forbidden), Pod (403 Forbidden)";
    assert_eq!(world.view.away(), [told]);
    assert!((world.metric(r#"showrunner_namespaces_away{kind="Job"}"#) - 1.0).abs() < 0.1);
    world.api.allow();
    after(16).await;
    assert_eq!(world.seen(), ["gone/a", "live/a"]);
    assert_eq!(world.view.away(), [""; 0]);
    assert!(world.metric(r#"showrunner_namespaces_away{kind="Job"}"#).abs() < 0.1);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_worked_on_only_where_all_that_is_needed_is_known() {
    let api = Api::default();
    api.forbid("half", &["jobs"]);
    let mut world = watching(api, &["half", "live"]);
    world.lead();
    after(60).await;
    assert_eq!(world.seen(), ["live/a"], "without its Jobs, an object would look as if it had none");
    world.api.allow();
    after(16).await;
    assert_eq!(world.seen(), ["half/a", "live/a"]);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_taken_away_is_named_until_it_can_be_listed_again() {
    let mut world = watching(Api::default(), &["live", "taken"]);
    world.lead();
    after(2).await;
    assert_eq!((world.view.pending().len(), world.view.away().len()), (0, 0));
    world.api.forbid("taken", EVERYTHING);
    after(2).await;
    assert!(world.view.away()[0].starts_with("namespace taken: "), "{:?}", world.view.away());
    assert_eq!(world.view.pending(), [""; 0]);
    world.api.allow();
    after(16).await;
    assert_eq!(world.view.away(), [""; 0], "although nothing happened there that a watch would tell");
}

#[tokio::test(start_paused = true)]
async fn who_can_list_nothing_at_all_is_not_ready() {
    let api = Api::default();
    api.forbid("gone", EVERYTHING);
    let world = watching(api, &["gone"]);
    after(60).await;
    assert_eq!(world.view.pending(), ["ConfigMap", "Job", "Pod"]);
    let asked = world.metric(r#"showrunner_watch_errors_total{kind="Job"}"#);
    assert!((5.0..=10.0).contains(&asked), "asked {asked} times in a minute, however the pauses grow");
}

#[tokio::test(start_paused = true)]
async fn a_standby_queues_nothing_and_a_leader_counts_from_when_it_leads() {
    let mut world = watching(Api::default(), &["one", "two"]);
    after(3600).await;
    assert!(world.metric(DEPTH).abs() < 0.1, "nobody waits for a replica that only stands by");
    assert_eq!(world.view.pending(), [""; 0]);
    world.lead();
    after(1).await;
    assert_eq!(world.seen(), ["one/a", "two/a"]);
    let queue = |what: &str| format!(r#"workqueue_{what}{{name="noting",controller="noting"}}"#);
    assert!((world.metric(&queue("adds_total")) - 2.0).abs() < 0.1);
    assert!(world.metric(&queue("queue_duration_seconds_sum")) < 1.0, "the hour before is not theirs");
}

#[tokio::test(start_paused = true)]
async fn no_job_is_an_orphan_where_its_owners_kind_is_not_known_yet() {
    let ending = |owner: &str| {
        json!({ "metadata": {
            "namespace": "half", "name": owner, "uid": format!("job-of-{owner}"), "resourceVersion": "1",
            "deletionTimestamp": "2027-01-01T00:00:00Z", "finalizers": [crate::names::FINALIZER_SETTLE],
            "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": owner, "controller": true }]
        }, "spec": { "suspend": false, "template": {} } })
    };
    let api = Api { jobs: vec![ending("half")], ..Api::default() };
    api.forbid("half", &["configmaps"]);
    let mut world = watching(api, &["half"]);
    world.lead();
    after(60).await;
    world.api.allow();
    after(16).await;
    assert_eq!(world.seen(), ["half/a"]);
    assert_eq!(*world.api.writes.lock().unwrap(), [""; 0], "its owner is there");

    let mut world = watching(Api { jobs: vec![ending("gone")], ..Api::default() }, &["half"]);
    world.lead();
    after(16).await;
    assert_ne!(*world.api.writes.lock().unwrap(), [""; 0], "nobody else would let it go");
}
