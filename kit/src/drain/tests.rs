//! A drain against an API server in memory, whose job controller stops what is suspended.

use super::*;

use crate::admission::{AdmissionError, Reservation, Settlement, Verdict, Wake};
use crate::jobs::tests::{config as jobs_config, request};
use crate::lease::{Leadership, LeaseParams};
use crate::metrics::Metrics;
use crate::names;
use futures::future::BoxFuture;
use http::{Request, Response};
use kube::client::Body;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

const JOBS: &str = "/apis/batch/v1/namespaces/prod/jobs";
const PODS: &str = "/api/v1/namespaces/prod/pods";
const REELS: &str = "/apis/showrunner.dev/v1alpha1/namespaces/prod/reels";
/// A finalizer of no kind that exists: nothing here may depend on which they are.
const REEL_FINALIZER: &str = "showrunner.dev/reel-jobs";

/// What the API server holds, by path.
#[derive(Default)]
struct World {
    objects: BTreeMap<String, Value>,
    /// Successful writes, `VERB path`.
    writes: Vec<String>,
    events: Vec<Value>,
    settled: BTreeMap<String, Vec<String>>,
    version: u64,
    /// Pods of this world end when they are asked to.
    nodes_answer: bool,
    /// Paths whose writes are refused.
    forbidden: BTreeSet<String>,
    /// Namespaces that are not there; listing in them is forbidden, as the role is gone too.
    missing: BTreeSet<String>,
    /// The write of this number is carried out and its answer lost.
    lose_answer: Option<usize>,
}

impl World {
    fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(path.to_owned(), object);
    }

    /// A title of a kind to come, held by a finalizer.
    fn reel(&mut self, name: &str, reason: &str, ready: &str) {
        let conditions = json!([
            { "type": "Ready", "status": ready, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" },
        ]);
        self.put(
            &format!("{REELS}/{name}"),
            json!({
                "apiVersion": "showrunner.dev/v1alpha1", "kind": "Reel",
                "metadata": { "name": name, "namespace": "prod", "uid": format!("uid-{name}"), "generation": 1,
                    "finalizers": ["example.org/theirs", REEL_FINALIZER] },
                "spec": {}, "status": { "conditions": conditions },
            }),
        );
    }

    /// A Job of it with one pod.
    fn job(&mut self, name: &str, owner: &str, suspend: bool, status: Value, pod_phase: &str) {
        let mut job = serde_json::to_value(crate::jobs::build(&request("cpu"), &jobs_config()).unwrap()).unwrap();
        job["metadata"]["name"] = name.into();
        job["metadata"]["uid"] = format!("uid-{name}").into();
        job["metadata"]["ownerReferences"][0]["uid"] = format!("uid-{owner}").into();
        job["metadata"]["ownerReferences"][0]["name"] = owner.into();
        job["spec"]["suspend"] = suspend.into();
        job["status"] = status;
        self.put(&format!("{JOBS}/{name}"), job);
        let pod = json!({
            "metadata": { "name": format!("{name}-pod"), "namespace": "prod", "uid": format!("uid-{name}-pod"),
                "finalizers": [names::FINALIZER_OBSERVE],
                "labels": { names::LABEL_MANAGED_BY: names::MANAGED_BY, names::LABEL_OWNER_UID: format!("uid-{owner}") },
                "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": format!("uid-{name}"), "controller": true }] },
            "spec": { "nodeName": "node-1", "containers": [] },
            "status": { "phase": pod_phase, "containerStatuses": [{ "name": names::WORKER_CONTAINER, "image": "", "imageID": "", "ready": true,
                "restartCount": 0, "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } }] },
        });
        self.put(&format!("{PODS}/{name}-pod"), pod);
    }

    /// What Kubernetes' own controllers and kubelets do between two looks.
    fn turn(&mut self) {
        let of_kind = |prefix: &str, objects: &BTreeMap<String, Value>| -> Vec<(String, Value)> {
            objects
                .iter()
                .filter(|(path, _)| path.starts_with(prefix))
                .map(|(path, object)| (path.clone(), object.clone()))
                .collect()
        };
        for (path, mut job) in of_kind(JOBS, &self.objects) {
            let finished = job["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c["type"] == "Complete"));
            if job["spec"]["suspend"] != true || finished {
                continue;
            }
            let mut live = 0;
            for (path, mut pod) in of_kind(PODS, &self.objects) {
                if pod["metadata"]["ownerReferences"][0]["uid"] != job["metadata"]["uid"] {
                    continue;
                }
                if pod["metadata"]["deletionTimestamp"].is_null() {
                    pod["metadata"]["deletionTimestamp"] = Timestamp::now().to_string().into();
                    self.put(&path, pod.clone());
                }
                if pod["status"]["phase"] == "Running" {
                    live += 1;
                    if self.nodes_answer {
                        pod["status"]["phase"] = "Failed".into();
                        pod["status"]["containerStatuses"][0]["state"] = json!({ "terminated": {
                            "exitCode": 143, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T01:00:00Z" } });
                        self.put(&path, pod);
                    }
                }
            }
            if live == 0 && job["status"]["conditions"].is_null() {
                job["status"] = json!({ "conditions": [{ "type": "Suspended", "status": "True" }] });
                self.put(&path, job);
            }
        }
    }

    fn list(&mut self, path: &str, query: &str) -> (u16, Value) {
        let (base, plural) = path.rsplit_once('/').unwrap();
        if let Some(namespace) = base.split("/namespaces/").nth(1)
            && self.missing.contains(namespace)
        {
            return (
                403,
                json!({ "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "no role" }),
            );
        }
        if plural == "jobs" {
            self.turn();
        }
        let ours = |object: &Value| {
            !query.contains("labelSelector") || object["metadata"]["labels"][names::LABEL_MANAGED_BY] == names::MANAGED_BY
        };
        let marker = format!("/{plural}/");
        let items: Vec<_> = self
            .objects
            .iter()
            .filter(|(path, object)| path.contains(&marker) && ours(object))
            .map(|(_, object)| object)
            .collect();
        (200, json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items }))
    }

    fn answer(&mut self, method: &str, path: &str, query: &str, body: &Value) -> (u16, Value) {
        let failure = |code: u16, reason: &str| {
            (code, json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no" }))
        };
        if method == "GET" {
            return match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None if path.starts_with("/api/v1/namespaces/") && path.matches('/').count() == 4 => failure(404, "NotFound"),
                None => self.list(path, query),
            };
        }
        if method == "POST" {
            self.events.push(body.clone());
            return (201, body.clone());
        }
        let path = path.strip_suffix("/status").unwrap_or(path);
        let Some(object) = self.objects.get(path).cloned() else { return failure(404, "NotFound") };
        if self.forbidden.contains(path) {
            return failure(403, "Forbidden");
        }
        let wanted =
            if method == "DELETE" { &body["preconditions"]["resourceVersion"] } else { &body["metadata"]["resourceVersion"] };
        assert!(wanted.is_string(), "{method} {path} carries no resourceVersion: {body}");
        if *wanted != object["metadata"]["resourceVersion"] {
            return failure(409, "Conflict");
        }
        let mut new = object;
        if method == "DELETE" {
            new["metadata"]["deletionTimestamp"] = Timestamp::now().to_string().into();
        } else {
            merge(&mut new, body);
        }
        let free = new["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        if free && !new["metadata"]["deletionTimestamp"].is_null() {
            self.objects.remove(path);
        } else {
            self.put(path, new.clone());
        }
        self.writes.push(format!("{method} {path}"));
        if self.lose_answer == Some(self.writes.len() - 1) {
            return failure(500, "InternalError");
        }
        (200, self.objects.get(path).cloned().unwrap_or(new))
    }

    fn finalizers(&self) -> Vec<String> {
        let all = self.objects.values().filter_map(|object| object["metadata"]["finalizers"].as_array());
        all.flatten().filter_map(|f| f.as_str()).filter(|f| f.starts_with(names::DOMAIN)).map(ToOwned::to_owned).collect()
    }

    fn ready(&self, reel: &str) -> &Value {
        let conditions = self.objects[&format!("{REELS}/{reel}")]["status"]["conditions"].as_array().unwrap();
        conditions.iter().find(|condition| condition["type"] == "Ready").unwrap()
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else if target.get(name).is_some_and(Value::is_object) {
            merge(&mut target[name], value);
        } else {
            target[name] = value.clone();
        }
    }
}

/// Remembers what was settled.
struct Books(Arc<Mutex<World>>);

impl Admission for Books {
    fn reserve<'a>(&'a self, _: &'a Reservation) -> BoxFuture<'a, Result<Verdict, AdmissionError>> {
        async { Err(AdmissionError("nothing is reserved by a drain".into())) }.boxed()
    }

    fn wake_by(&self, _: &str, _: Wake) {}

    fn forget(&self, _: &ObjectKey) {}

    fn settle<'a>(&'a self, settlement: &'a Settlement) -> BoxFuture<'a, Result<(), AdmissionError>> {
        async move {
            let (job, spent) = (&settlement.work.job, settlement.spent);
            self.0.lock().unwrap().settled.entry(job.name.clone()).or_default().push(spent.to_string());
            // Law of the house: nothing waits for a budget.
            Err(AdmissionError("the budget is gone".into()))
        }
        .boxed()
    }
}

fn drain_of(world: &Arc<Mutex<World>>, namespaces: &[&str]) -> Drain {
    let service = tower::service_fn({
        let world = Arc::clone(world);
        move |request: Request<Body>| {
            let world = Arc::clone(&world);
            async move {
                let (parts, body) = request.into_parts();
                let body = serde_json::from_slice(&body.collect_bytes().await?).unwrap_or(Value::Null);
                let query = parts.uri.query().unwrap_or_default();
                let (code, answer) = world.lock().unwrap().answer(parts.method.as_str(), parts.uri.path(), query, &body);
                Ok::<_, kube::Error>(Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap())
            }
        }
    });
    let client = Client::new(service, "default");
    let (metrics, clock) = (Arc::new(Metrics::new()), Clock::start());
    let leadership = Leadership::without_election(LeaseParams::default(), clock);
    Drain {
        writer: Writer::new(client.clone(), leadership.clone(), Arc::clone(&metrics)),
        events: Events::new(client.clone(), leadership, metrics, clock, "drain-1"),
        client,
        admission: Arc::new(Books(Arc::clone(world))),
        clock,
        config: DrainConfig {
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
            kinds: vec![
                serde_json::from_value(json!({ "metadata": { "name": "reels.showrunner.dev" }, "spec": {
                    "group": "showrunner.dev", "scope": "Namespaced", "names": { "kind": "Reel", "plural": "reels" },
                    "versions": [{ "name": "v1alpha1", "served": true, "storage": true }] } }))
                .unwrap(),
            ],
            patience: Duration::from_secs(90),
            limit: Duration::from_mins(4),
        },
    }
}

/// One title at work, one whose Job has ended and is not let go, one published, and a Job that only looks like ours.
fn busy() -> World {
    let mut world = World { nodes_answer: true, ..World::default() };
    world.reel("working", "Working", "False");
    world.reel("harvesting", "Working", "False");
    world.reel("published", "Published", "True");
    world.job("run", "working", false, json!({ "active": 1 }), "Running");
    world.job("done", "harvesting", false, json!({ "conditions": [{ "type": "Complete", "status": "True" }] }), "Succeeded");
    let stranger = json!({
        "metadata": { "name": "stranger", "namespace": "prod", "uid": "x", "labels": { names::LABEL_MANAGED_BY: names::MANAGED_BY } },
        "spec": { "suspend": false, "template": { "spec": { "containers": [] } } },
    });
    world.put(&format!("{JOBS}/stranger"), stranger);
    world
}

fn assert_clean(world: &World, what: &str) {
    assert_eq!(world.finalizers(), Vec::<String>::new(), "{what}");
    let left: Vec<_> = world.objects.keys().cloned().collect();
    let expected = ["jobs/stranger", "reels/harvesting", "reels/published", "reels/working"];
    assert!(left.len() == 4 && left.iter().zip(expected).all(|(path, end)| path.ends_with(end)), "{what}: {left:?}");
    assert_eq!(world.ready("working")["reason"], OPERATOR_UNINSTALLED, "{what}");
    assert_eq!(world.ready("harvesting")["reason"], OPERATOR_UNINSTALLED, "{what}");
    assert_eq!(
        (&world.ready("published")["reason"], &world.ready("published")["status"]),
        (&json!("Published"), &json!("True")),
        "{what}"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_of_ours_is_left_and_nothing_of_others_is_touched() {
    for namespaces in [&[][..], &["prod"]] {
        let world = Arc::new(Mutex::new(busy()));
        drain_of(&world, namespaces).run().await.unwrap();
        let world = world.lock().unwrap();
        assert_clean(&world, "the end");
        assert_eq!(world.objects[&format!("{REELS}/working")]["metadata"]["finalizers"], json!(["example.org/theirs"]));
        assert!(!world.writes.iter().any(|write| write.contains("stranger") || write.starts_with(&format!("DELETE {REELS}"))));
        // The run cost an hour by its records; of the other nothing was ever known to end.
        assert_eq!(world.settled["run"], ["0.091"]);
        let told = world.events.iter().filter(|event| event["reason"] == OPERATOR_UNINSTALLED);
        assert_eq!(told.map(|event| event["regarding"]["name"].clone()).collect::<Vec<_>>(), ["harvesting", "working"]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_coming_is_told_before_the_first_job_is_touched() {
    let world = Arc::new(Mutex::new(busy()));
    drain_of(&world, &[]).run().await.unwrap();
    let world = world.lock().unwrap();
    let first = |prefix: &str| world.writes.iter().position(|write| write.starts_with(prefix)).unwrap();
    let last_told = world.writes.iter().rposition(|write| write.starts_with(&format!("PATCH {REELS}/harvesting"))).unwrap();
    assert!(first(&format!("PATCH {REELS}/working")) < first(&format!("PATCH {JOBS}")));
    assert!(last_told > first(&format!("PATCH {JOBS}/done")), "a title is let go after its Job");
}

/// Law 2.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_any_write_changes_nothing_of_the_end() {
    let writes = {
        let world = Arc::new(Mutex::new(busy()));
        drain_of(&world, &[]).run().await.unwrap();
        world.lock().unwrap().writes.len()
    };
    for lost in 0..writes {
        let world = Arc::new(Mutex::new(World { lose_answer: Some(lost), ..busy() }));
        drain_of(&world, &[]).run().await.unwrap();
        assert_clean(&world.lock().unwrap(), &format!("the answer to write {lost} was lost"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_waited_for_and_then_charged_to_the_bound() {
    let world = Arc::new(Mutex::new(World { nodes_answer: false, ..busy() }));
    let before = tokio::time::Instant::now();
    drain_of(&world, &[]).run().await.unwrap();
    let took = before.elapsed();
    assert!(took >= Duration::from_secs(90) && took < Duration::from_secs(100), "{took:?}");
    let world = world.lock().unwrap();
    assert_clean(&world, "the end");
    assert_eq!(world.settled["run"], ["0.091759"], "the upper bound");
    let released: Vec<_> = world.events.iter().filter(|event| event["reason"] == "Released").collect();
    assert_eq!(released.len(), 1);
    assert_eq!(released[0]["regarding"]["name"], "working", "people know the title, not the Job");
    assert!(released[0]["note"].as_str().unwrap().contains("0.091759"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_let_go_ends_in_time_with_its_name_and_its_cause() {
    let mut world = busy();
    world.forbidden.insert(format!("{PODS}/run-pod"));
    let world = Arc::new(Mutex::new(world));
    let before = tokio::time::Instant::now();
    let error = drain_of(&world, &[]).run().await.unwrap_err();
    assert!(before.elapsed() <= Duration::from_mins(4));
    let text = error.to_string();
    assert!(matches!(error, DrainError::Left { .. }));
    assert!(text.contains("Job prod/run") && text.contains("refused") && text.contains("--no-hooks"), "{text}");
    assert_eq!(world.lock().unwrap().finalizers().len(), 3, "of the other titles nothing is left");
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_gone_keeps_no_uninstall_waiting() {
    let mut world = busy();
    world.missing.insert("archive".into());
    let world = Arc::new(Mutex::new(world));
    drain_of(&world, &["archive", "prod"]).run().await.unwrap();
    assert_clean(&world.lock().unwrap(), "the end");
}

#[tokio::test(start_paused = true)]
async fn pods_that_have_lost_their_job_are_ended_too() {
    let mut world = busy();
    world.objects.remove(&format!("{JOBS}/run"));
    world.nodes_answer = false;
    let world = Arc::new(Mutex::new(world));
    drain_of(&world, &[]).run().await.unwrap();
    assert_clean(&world.lock().unwrap(), "the end");
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_nothing_is_done() {
    let world = Arc::new(Mutex::new(World::default()));
    drain_of(&world, &[]).run().await.unwrap();
    assert!(world.lock().unwrap().writes.is_empty());
}
