//! Jobs as they are built, seen and let go.

use super::act::next_cancel_step;
use super::observe::{NODE_LOST_AFTER, POD_SEEN_WITHIN};
use super::*;
use crate::names;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::sync::Arc;

const UID: &str = "5b1e6d5c-owner";

pub(crate) fn config() -> JobsConfig {
    serde_json::from_value(json!({
        "image": "registry.example/worker:1", "classes": [{ "name": "cpu" }, {
            "name": "l4", "resource": "nvidia.com/gpu", "count": 1, "nodeSelector": { "gpu.type": "l4" }, "pricePerHour": "0.70",
            "tolerations": [{ "key": "spot", "operator": "Exists", "effect": "NoSchedule" }],
        }],
        "prices": { "cpuCoreHour": "0.04", "memoryGibHour": "0.005", "scratchGibHour": "0.0001" },
    }))
    .unwrap()
}

pub(crate) fn request(class: &str) -> JobRequest {
    JobRequest {
        owner: Owner {
            reference: serde_json::from_value(json!({
                "apiVersion": "showrunner.dev/v1alpha1", "kind": "TitleEnrichment", "name": "two-cities", "uid": UID, "controller": true,
            }))
            .unwrap(),
            namespace: "prod".into(),
            generation: 4,
        },
        unit_key: "sha256:00ff".into(),
        attempt: 1,
        work_order: r#"{"schema":"showrunner.dev/work-order/v1"}"#.into(),
        class: config().class(class).unwrap().clone(),
        resources: Resources { cpu_millis: 2000, cpu_request_millis: 500, memory_bytes: 2 << 30, scratch_bytes: 10 << 30 },
        deadlines: Deadlines {
            run: Duration::from_hours(1),
            start: Duration::from_mins(10),
            wall: Duration::from_hours(2),
            grace: Duration::from_secs(30),
        },
        store: "media".into(),
        labels: BTreeMap::from([("team".into(), "archive".into()), (names::LABEL_COMPONENT.into(), "mine".into())]),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// The Job as the API server would hold it: with a UID, suspended or not, with this status.
fn job(suspend: bool, status: Value) -> Job {
    let mut job = serde_json::to_value(build(&request("cpu"), &config()).unwrap()).unwrap();
    job["metadata"]["uid"] = "job-uid".into();
    job["metadata"]["resourceVersion"] = "1".into();
    job["spec"]["suspend"] = suspend.into();
    if !suspend {
        job["metadata"]["annotations"][names::ANNOTATION_ADMITTED_AT] = at(0).to_string().into();
    }
    job["status"] = status;
    serde_json::from_value(job).unwrap()
}

fn condition(type_: &str, reason: &str) -> Value {
    json!({ "conditions": [{ "type": type_, "status": "True", "reason": reason, "message": "the job says so" }] })
}

fn failed() -> Job {
    job(false, condition("Failed", "BackoffLimitExceeded"))
}

/// A pod of the Job, on a node, with our finalizer.
fn pod(status: &Value) -> Arc<Pod> {
    pod_with(status, json!({}))
}

fn pod_with(status: &Value, metadata: Value) -> Arc<Pod> {
    let mut pod = json!({
        "metadata": {
            "name": "sr-pod", "namespace": "prod", "uid": "pod-uid", "resourceVersion": "1", "finalizers": [names::FINALIZER_OBSERVE],
            "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": "sr", "uid": "job-uid", "controller": true }],
        },
        "spec": { "nodeName": "node-1", "containers": [] },
        "status": status,
    });
    for (key, value) in metadata.as_object().unwrap() {
        pod["metadata"][key] = value.clone();
    }
    Arc::new(serde_json::from_value(pod).unwrap())
}

fn container(state: &Value) -> Value {
    json!([{ "name": names::WORKER_CONTAINER, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state }])
}

fn terminated(phase: &str, code: i32, reason: &str, message: &str) -> Value {
    json!({ "phase": phase, "containerStatuses": container(&json!({ "terminated": {
        "exitCode": code, "reason": reason, "message": message, "startedAt": at(10).to_string(), "finishedAt": at(70).to_string(),
    } })) })
}

#[test]
fn a_job_is_born_as_the_golden_file_says() {
    insta::assert_yaml_snapshot!("cpu_job", build(&request("cpu"), &config()).unwrap());
}

#[test]
fn a_gpu_job_asks_for_its_resource_its_nodes_and_tolerates_their_taint() {
    let job = build(&request("l4"), &config()).unwrap();
    let pod = job.spec.unwrap().template.spec.unwrap();
    insta::assert_yaml_snapshot!("gpu_job_differences", (pod.node_selector, pod.tolerations, &pod.containers[0].resources));
}

#[test]
fn names_are_functions_of_owner_unit_and_attempt_alone() {
    let name = job_name(UID, "unit", 1);
    assert_eq!(name, job_name(UID, "unit", 1));
    assert!(name.starts_with("sr-") && name.len() == 27);
    for other in [job_name("other", "unit", 1), job_name(UID, "unit2", 1), job_name(UID, "unit", 2), job_name(UID, "unit1", 2)] {
        assert_ne!(name, other);
    }
    assert_ne!(job_name("ab", "c", 1), job_name("a", "bc", 1), "parts do not run into each other");
    let mut later = request("cpu");
    later.owner.generation = 99;
    let names = [request("cpu"), later].map(|request| build(&request, &config()).unwrap().metadata.name);
    assert_eq!(names[0], names[1], "generation is an annotation, never part of a name");
}

#[test]
fn the_estimate_is_an_upper_bound_of_all_that_may_be_used() {
    // (2 x 0.04 + 2 x 0.005 + 10 x 0.0001 + 0.70) x 3630 s / 3600
    assert_eq!(estimate(&request("l4"), &config()).to_string(), "0.797592");
    assert_eq!(config().hourly_rate(&request("cpu").class, &request("cpu").resources).to_string(), "0.091");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let broken: [fn(&mut JobRequest); 8] = [
        |r| r.work_order = "x".repeat(MAX_WORK_ORDER + 1),
        |r| r.attempt = 0,
        |r| r.unit_key.clear(),
        |r| r.resources.memory_bytes = 0,
        |r| r.resources.cpu_request_millis = r.resources.cpu_millis + 1,
        |r| r.deadlines.run = Duration::ZERO,
        |r| r.deadlines.wall = r.deadlines.run + r.deadlines.start,
        |r| r.owner.reference.uid.clear(),
    ];
    for (index, break_it) in broken.into_iter().enumerate() {
        let mut request = request("cpu");
        break_it(&mut request);
        assert!(build(&request, &config()).is_err(), "case {index}");
    }
}

#[test]
fn a_job_goes_from_suspended_to_running_to_done() {
    assert_eq!(observe(&job(true, Value::Null), &[], at(1000)), JobState::Suspended);
    let admitted = job(false, json!({}));
    assert!(matches!(observe(&admitted, &[], at(1000)), JobState::Pending { reason, .. } if reason == "NoPod"));
    let creating = pod(
        &json!({ "phase": "Pending", "containerStatuses": container(&json!({ "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } })) }),
    );
    let state = observe(&admitted, &[creating], at(1000));
    assert!(
        matches!(&state, JobState::Pending { reason, message, .. } if reason == "ImagePullBackOff" && message == "no such image")
    );
    let running = pod(
        &json!({ "phase": "Running", "containerStatuses": container(&json!({ "running": { "startedAt": at(10).to_string() } })) }),
    );
    assert_eq!(observe(&admitted, &[running], at(1000)), JobState::Running { since: at(10) });
    let done = pod(&terminated("Succeeded", 0, "Completed", "sha256:abc"));
    let JobState::Succeeded { record: Some(record) } = observe(&job(false, condition("Complete", "")), &[done], at(1000)) else {
        panic!()
    };
    assert_eq!(
        (record.message.as_str(), record.started, record.finished, record.cause),
        ("sha256:abc", Some(at(10)), Some(at(70)), None)
    );
}

#[test]
fn a_pod_that_cannot_be_scheduled_says_why() {
    let stuck = pod_with(
        &json!({ "phase": "Pending", "conditions": [
        { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu." }
    ] }),
        json!({}),
    );
    let state = observe(&job(false, json!({})), &[stuck], at(1000));
    assert!(
        matches!(&state, JobState::Pending { reason, message, .. } if reason == "Unschedulable" && message.contains("nvidia.com/gpu"))
    );
}

#[test]
fn each_way_to_fail_has_its_own_cause() {
    let disrupted = |reason: &str| {
        let mut status = terminated("Failed", 143, "Error", "");
        status["conditions"] = json!([{ "type": "DisruptionTarget", "status": "True", "reason": reason }]);
        status
    };
    let with_reason = |reason: &str| json!({ "phase": "Failed", "reason": reason, "message": "the kubelet says so" });
    let cases = [
        (terminated("Failed", 3, "Error", "bad input"), Cause::ExitCode(3), true),
        (terminated("Failed", 137, "OOMKilled", ""), Cause::OutOfMemory, true),
        (with_reason("DeadlineExceeded"), Cause::Deadline, true),
        (with_reason("Evicted"), Cause::OutOfScratch, true),
        (disrupted("TerminationByKubelet"), Cause::Evicted, false),
        (disrupted("PreemptionByScheduler"), Cause::Disrupted, false),
        (disrupted("DeletionByTaintManager"), Cause::NodeLost, false),
        (with_reason("NodeShutdown"), Cause::Disrupted, false),
        (terminated("Failed", 137, "ContainerStatusUnknown", ""), Cause::NodeLost, false),
        (json!({ "phase": "Failed" }), Cause::NeverStarted, false),
    ];
    for (status, expected, blames_work) in cases {
        let JobState::Failed { cause, .. } = observe(&failed(), &[pod(&status)], at(1000)) else { panic!("{status}") };
        assert_eq!((cause, cause.blames_work()), (expected, blames_work), "{status}");
    }
    let vanished = observe(&failed(), &[], at(1000));
    assert!(matches!(vanished, JobState::Failed { cause: Cause::PodVanished, record: None, .. }));
    let wall = job(false, condition("Failed", "DeadlineExceeded"));
    assert!(matches!(observe(&wall, &[], at(1000)), JobState::Failed { cause: Cause::NeverStarted, .. }));
    let ran = pod(&terminated("Failed", 143, "Error", ""));
    assert!(matches!(observe(&wall, &[ran], at(1000)), JobState::Failed { cause: Cause::WallDeadline, .. }));
}

#[test]
fn what_was_recorded_outlives_the_pod() {
    let mut job = failed();
    let seen = observe::record(&job, &pod(&terminated("Failed", 3, "Error", "bad input")));
    let text = serde_json::to_string(&[&seen]).unwrap();
    job.metadata.annotations.as_mut().unwrap().insert(names::ANNOTATION_POD_RECORDS.into(), text);
    let JobState::Failed { cause, message, record } = observe(&job, &[], at(1000)) else { panic!() };
    assert_eq!((cause, message.as_str(), record), (Cause::ExitCode(3), "bad input", Some(seen)));
}

#[test]
fn a_job_that_has_ended_has_not_ended_for_us_before_its_pod_is_seen_to() {
    let over = |type_: &str| {
        let mut status = condition(type_, "");
        status["conditions"][0]["lastTransitionTime"] = at(100).to_string().into();
        status[if type_ == "Complete" { "succeeded" } else { "failed" }] = 1.into();
        job(false, status)
    };
    for job in [over("Complete"), over("Failed")] {
        // The watches of Jobs and of pods do not keep step: what the Job says of its pod, the pod will say, too.
        let running = [pod(&json!({ "phase": "Running" }))];
        assert!(matches!(observe(&job, &running, at(101)), JobState::Running { .. }));
        assert_eq!(next_cancel_step(&job, &running, at(101)), CancelStep::Wait);
        assert!(matches!(observe(&job, &[], at(101)), JobState::Running { .. }));
        assert_eq!(next_cancel_step(&job, &[], at(101)), CancelStep::Wait);
        let late = at(100) + POD_SEEN_WITHIN;
        assert!(!matches!(observe(&job, &[], late), JobState::Running { .. }), "a pod that is gone is not waited for for ever");
        assert_eq!(next_cancel_step(&job, &[], late), CancelStep::Settle);
    }
    let wall = job(
        false,
        json!({ "conditions": [{ "type": "Failed", "status": "True", "reason": "DeadlineExceeded",
        "lastTransitionTime": at(100).to_string() }] }),
    );
    assert!(matches!(observe(&wall, &[], at(101)), JobState::Failed { cause: Cause::NeverStarted, .. }), "it had no pod");
}

#[test]
fn pods_of_others_are_not_ours() {
    let theirs = pod_with(
        &terminated("Failed", 3, "Error", ""),
        json!({
            "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": "sr", "uid": "another", "controller": true }]
        }),
    );
    assert!(matches!(observe(&failed(), &[theirs], at(1000)), JobState::Failed { cause: Cause::PodVanished, .. }));
}

#[test]
fn the_start_deadline_counts_from_admission_and_ends_with_the_start() {
    let admitted = job(false, json!({}));
    let pending = observe(&admitted, &[], at(1000));
    let overdue = |job: &Job, state: &JobState, now| start_overdue(job, state, Some(at(0)), now);
    assert_eq!(overdue(&admitted, &pending, at(599)), Overdue::Due(at(600)));
    assert_eq!(overdue(&admitted, &pending, at(600)), Overdue::Now);
    assert_eq!(overdue(&admitted, &JobState::Running { since: at(1) }, at(9999)), Overdue::No);
    // Whoever writes on the Job that it was admitted just now puts nothing off.
    let mut touched = admitted;
    touched.metadata.annotations.as_mut().unwrap().insert(names::ANNOTATION_ADMITTED_AT.into(), at(599).to_string());
    assert_eq!(overdue(&touched, &pending, at(600)), Overdue::Now);
    assert_eq!(start_overdue(&touched, &pending, None, at(9999)), Overdue::No, "nobody says that it was admitted");
}

#[test]
fn what_an_attempt_cost_is_what_ran_and_never_more_than_its_bound() {
    let record = record_of;
    let cost_of = |records: &[PodRecord]| {
        let mut job = job(false, json!({}));
        let text = serde_json::to_string(records).unwrap();
        job.metadata.annotations.as_mut().unwrap().insert(names::ANNOTATION_POD_RECORDS.into(), text);
        cost::charged(&job, Charge::Spent, None).unwrap().to_string()
    };
    assert_eq!(cost_of(&[]), "0");
    assert_eq!(cost_of(&[record(None, None)]), "0", "it never started");
    assert_eq!(cost_of(&[record(Some(0), Some(3600))]), "0.091");
    assert_eq!(cost_of(&[record(Some(0), Some(0))]), "0.000026", "what has started is never free");
    assert_eq!(cost_of(&[record(Some(0), None)]), "0.091759", "no known end: the bound");
    assert_eq!(cost_of(&[record(Some(0), Some(999_999))]), "0.091759", "an end that cannot be: the bound");
}

#[test]
fn a_pod_that_was_counted_and_of_which_nothing_is_known_costs_the_bound() {
    for status in [json!({ "succeeded": 1 }), json!({ "failed": 1 })] {
        assert_eq!(cost::charged(&job(false, status), Charge::Spent, None).unwrap().to_string(), "0.091759");
    }
}

/// Whoever may patch Jobs may write there what pods cost and said.
#[test]
fn of_the_records_on_a_job_those_count_whose_digest_its_owner_has() {
    let ended = pod(&terminated("Failed", 3, "Error", "sha256:true"));
    let digests = record_digests(&failed(), std::slice::from_ref(&ended), at(1000));
    let with = |records: &[&PodRecord]| {
        let mut job = failed();
        let text = serde_json::to_string(records).unwrap();
        job.metadata.annotations.as_mut().unwrap().insert(names::ANNOTATION_POD_RECORDS.into(), text);
        Arc::new(job)
    };
    let seen = record(&failed(), &ended);
    let honest = with(&[&seen]);
    assert_eq!(record_digests(&honest, &[], at(1000)), digests, "the same once it is let go");
    assert!(Arc::ptr_eq(&believed(&honest, Some(&digests)), &honest));
    let words = PodRecord { message: "sha256:false".into(), ..seen.clone() };
    let cheap = PodRecord { finished: seen.started, ..seen.clone() };
    let dear = PodRecord { pod: "another".into(), finished: None, ..seen.clone() };
    for (forged, left) in [(vec![&words], 0), (vec![&cheap], 0), (vec![&seen, &dear], 1), (vec![&dear, &words], 0), (vec![], 0)] {
        let counts = believed(&with(&forged), Some(&digests));
        assert_eq!(records(&counts), vec![seen.clone(); left], "{forged:?}");
        let JobState::Failed { record, .. } = observe(&counts, &[], at(1000)) else { panic!() };
        assert_eq!(record.map(|record| record.message), (left == 1).then(|| "sha256:true".into()));
    }
    let all = records(&believed(&with(&[&words]), None));
    assert_eq!(all, std::slice::from_ref(&words), "an older operator kept no digests");
    // What a pod says counts for more than what is written in its name.
    assert_eq!(record_digests(&with(&[&words]), std::slice::from_ref(&ended), at(1000)), digests);
}

#[test]
fn a_cost_that_cannot_be_read_is_never_nothing() {
    let prices = JobsConfig { prices: config().prices, ..config() };
    let run = [record_of(Some(0), None)];
    for class in ["cpu", "l4"] {
        let mut job = build(&request(class), &prices).unwrap();
        let annotations = job.metadata.annotations.as_mut().unwrap();
        let reserved: crate::money::Money = annotations[names::ANNOTATION_COST_ESTIMATE].parse().unwrap();
        annotations.insert(names::ANNOTATION_POD_RECORDS.into(), serde_json::to_string(&run).unwrap());
        for unreadable in [None, Some("much"), Some("-1")] {
            let annotations = job.metadata.annotations.as_mut().unwrap();
            match unreadable {
                Some(text) => annotations.insert(names::ANNOTATION_COST_ESTIMATE.into(), text.into()),
                None => annotations.remove(names::ANNOTATION_COST_ESTIMATE),
            };
            for charge in [Charge::Spent, Charge::Bound, Charge::Worst] {
                let charged = cost::charged(&job, charge, Some(&prices)).unwrap();
                assert!(charged >= reserved, "{class} {unreadable:?} {charge:?}: {charged} of {reserved}");
            }
            assert_eq!(cost::charged(&job, Charge::Spent, None), None, "without prices, what was reserved stands");
        }
        // Somebody has written that it costs nothing, and lets it run thrice.
        job.metadata.annotations.as_mut().unwrap().insert(names::ANNOTATION_COST_ESTIMATE.into(), "0".into());
        job.spec.as_mut().unwrap().parallelism = Some(3);
        assert!(cost::charged(&job, Charge::Worst, Some(&prices)).unwrap() >= reserved.times(3.into()));
    }
}

fn record_of(started: Option<i64>, finished: Option<i64>) -> PodRecord {
    PodRecord {
        pod: format!("{started:?}"),
        node: String::new(),
        class: "cpu".into(),
        started: started.map(at),
        finished: finished.map(at),
        exit_code: None,
        cause: None,
        reason: String::new(),
        message: String::new(),
    }
}

#[test]
fn a_pod_that_its_node_does_not_confirm_ended_is_lost_and_its_job_can_be_ended() {
    let evicted = json!({ "phase": "Running", "containerStatuses": container(&json!({ "running": { "startedAt": at(10).to_string() } })),
        "conditions": [{ "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager" }] });
    let silent = pod_with(&evicted, json!({ "deletionTimestamp": at(100).to_string() }));
    let admitted = job(false, json!({ "active": 0, "terminating": 1 }));
    let pods = [silent];
    let lost = at(100) + observe::NODE_SILENT_AFTER;
    assert_eq!(observe::lost_at(&admitted, &pods), Some(lost));
    assert_eq!(observe(&admitted, &pods, at(101)), JobState::Running { since: at(10) }, "its kubelet may say so yet");
    let JobState::Lost { record } = observe(&admitted, &pods, lost) else { panic!() };
    assert_eq!((record.cause, record.started, record.finished), (Some(Cause::NodeLost), Some(at(10)), None));

    // A node that was never said to be silent is given more time.
    let slow = [pod_with(&json!({ "phase": "Running" }), json!({ "deletionTimestamp": at(100).to_string() }))];
    assert!(!matches!(observe(&admitted, &slow, lost), JobState::Lost { .. }));
    assert!(matches!(observe(&admitted, &slow, at(100) + NODE_LOST_AFTER), JobState::Lost { .. }));

    // Suspended, it is at rest, although the job controller waits for the pod for as long as the node is away.
    let mut status = condition("Suspended", "JobSuspended");
    status["terminating"] = 1.into();
    let suspended = job(true, status);
    assert_eq!(next_cancel_step(&admitted, &pods, lost), CancelStep::Suspend);
    assert_eq!(next_cancel_step(&suspended, &pods, at(101)), CancelStep::Wait);
    assert_eq!(next_cancel_step(&suspended, &pods, lost), CancelStep::ReleasePods);
    let released = [pod_with(&evicted, json!({ "deletionTimestamp": at(100).to_string(), "finalizers": [] }))];
    assert_eq!(next_cancel_step(&suspended, &released, lost), CancelStep::Settle);
    assert_eq!(observe(&suspended, &released, lost), JobState::Suspended);
    let mut two = condition("Suspended", "JobSuspended");
    two["terminating"] = 2.into();
    assert_eq!(next_cancel_step(&job(true, two), &released, lost), CancelStep::Wait, "another one is still ending");
}

/// Kubernetes lets no Job be called finished that has no start time, and suspension takes that away.
#[test]
fn a_job_that_was_suspended_just_as_its_pod_ended_is_not_waited_for() {
    for criteria in ["SuccessCriteriaMet", "FailureTarget"] {
        let mut status = condition(criteria, "CompletionsReached");
        (status["ready"], status["terminating"], status["succeeded"]) = (0.into(), 0.into(), 1.into());
        assert_eq!(next_cancel_step(&job(true, status.clone()), &[], at(1000)), CancelStep::Settle);
        status["terminating"] = 1.into();
        assert_eq!(next_cancel_step(&job(true, status), &[], at(1000)), CancelStep::Wait, "a pod is still ending");
    }
}

#[test]
fn a_seal_is_broken_by_whatever_must_stay_as_it_was_made_and_by_nothing_else() {
    let made = job(true, Value::Null);
    let sealed: Seal = Seal::of(&made).to_string().parse().unwrap();
    assert!(sealed.to_string().len() <= 256, "{sealed}");
    let change = |pointer: &str, value: Value| -> Job {
        let mut job = serde_json::to_value(&made).unwrap();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        job.pointer_mut(parent).unwrap()[key.replace("~1", "/")] = value;
        serde_json::from_value(job).unwrap()
    };
    let note = |name: &str| format!("/metadata/annotations/{}", name.replace('/', "~1"));
    let nothing: [(&str, Value); 7] = [
        ("/spec/suspend", json!(false)),
        ("/spec/ttlSecondsAfterFinished", json!(60)),
        ("/metadata/finalizers", json!([])),
        ("/metadata/resourceVersion", json!("99")),
        (&note(names::ANNOTATION_ADMITTED_AT), json!("2026-01-01T00:00:00Z")),
        (&note(names::ANNOTATION_POD_RECORDS), json!("[]")),
        ("/metadata/annotations/example.org~1cost-centre", json!("a")),
    ];
    for (pointer, value) in nothing {
        assert_eq!(sealed.broken_by(&Seal::of(&change(pointer, value))), None, "{pointer}");
    }
    let resources = json!({ "limits": { "cpu": "64" } });
    let something: [(&str, Value, &str); 12] = [
        ("/spec/parallelism", json!(3), "limits"),
        ("/spec/completions", json!(3), "limits"),
        ("/spec/backoffLimit", json!(6), "limits"),
        ("/spec/activeDeadlineSeconds", json!(999_999), "limits"),
        ("/spec/template/spec/containers/0/resources", resources, "template"),
        ("/spec/template/spec/containers/0/command", json!(["sh"]), "template"),
        ("/spec/template/spec/nodeSelector", json!({ "gpu": "h100" }), "template"),
        ("/spec/template/spec/hostNetwork", json!(true), "template"),
        ("/spec/template/metadata/annotations/showrunner.dev~1work-order", json!("{\"schema\":\"x\"}"), "template"),
        (&note(names::ANNOTATION_COST_ESTIMATE), json!("0"), "annotations"),
        ("/metadata/labels/showrunner.dev~1store", json!("other"), "labels"),
        ("/metadata/ownerReferences/0/uid", json!("other"), "owner"),
    ];
    for (pointer, value, part) in something {
        let broken = sealed.broken_by(&Seal::of(&change(pointer, value)));
        assert!(broken.as_ref().is_some_and(|told| told.contains(part)), "{pointer}: {broken:?}");
    }
    let other = Seal::of(&change("/metadata/uid", json!("other")));
    assert!(sealed.broken_by(&other).unwrap().contains("another Job"));
    assert!(Seal::read(Seal::PENDING).is_none() && Seal::read("v2 uid=a").is_none(), "nothing passes for these");
}

#[test]
fn what_is_there_is_like_what_was_to_be_made_after_the_api_server_has_filled_it_in() {
    let mut wanted = request("l4");
    wanted.work_order = r#"{"source":{"url":"https://s/b/k?sig=1"},"steps":["shots"]}"#.into();
    wanted.resources.scratch_bytes = 2_000 << 20;
    let wanted = build(&wanted, &config()).unwrap();
    let mut there = serde_json::to_value(&wanted).unwrap();
    there["metadata"]["uid"] = "made".into();
    there["spec"]["completionMode"] = "NonIndexed".into();
    there["spec"]["selector"] = json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": "made" } });
    let template = &mut there["spec"]["template"];
    template["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = "made".into();
    template["metadata"]["labels"]["job-name"] = "sr".into();
    template["metadata"]["annotations"][names::ANNOTATION_WORK_ORDER] =
        r#"{"source":{"url":"https://s/b/k?sig=2"},"steps":["shots"]}"#.into();
    template["spec"]["dnsPolicy"] = "ClusterFirst".into();
    template["spec"]["schedulerName"] = "default-scheduler".into();
    template["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "2".into();
    template["spec"]["volumes"][0]["downwardAPI"]["items"][0]["fieldRef"]["apiVersion"] = "v1".into();
    template["spec"]["volumes"][1]["emptyDir"]["sizeLimit"] = "2097152k".into();
    let mut there: Job = serde_json::from_value(there).unwrap();
    assert!(Seal::of(&there).is_like(&Seal::of(&wanted)), "signed anew, and filled in");

    // The cache keeps the digest of an order only, and nobody can write that in its place.
    let before = Seal::of(&there);
    seal::slim(&mut there);
    assert_eq!(Seal::of(&there), before);
    let kept = there.spec.as_ref().unwrap().template.metadata.as_ref().unwrap().annotations.clone().unwrap();
    assert!(kept.keys().eq([names::ANNOTATION_ORDER_DIGEST]), "{kept:?}");
    let mut forger = there.clone();
    seal::slim(&mut forger);
    assert_ne!(Seal::of(&forger), before, "a digest without an order");

    for order in [
        r#"{"source":{"url":"https://s/b/other?sig=1"},"steps":["shots"]}"#,
        r#"{"source":{"url":"https://s/b/k?sig=1"},"steps":[]}"#,
    ] {
        let mut other = request("l4");
        (other.work_order, other.resources.scratch_bytes) = (order.into(), 2_000 << 20);
        assert!(!before.is_like(&Seal::of(&build(&other, &config()).unwrap())), "{order}");
    }
}

#[test]
fn cancelling_suspends_waits_settles_and_deletes_in_this_order() {
    let active = json!({ "active": 1 });
    let quiet = condition("Suspended", "JobSuspended");
    let running = pod(&json!({ "phase": "Running" }));
    let ended = pod(&terminated("Failed", 143, "Error", ""));
    let gone: [Arc<Pod>; 0] = [];
    let step = |job: &Job, pods: &[Arc<Pod>]| next_cancel_step(job, pods, at(0));

    assert_eq!(step(&job(false, active.clone()), std::slice::from_ref(&running)), CancelStep::Suspend);
    assert_eq!(step(&job(true, active.clone()), std::slice::from_ref(&running)), CancelStep::Wait);
    assert_eq!(step(&job(true, json!({})), &gone), CancelStep::Wait, "the job controller has not seen it yet");
    assert_eq!(step(&job(true, quiet.clone()), &[ended]), CancelStep::ReleasePods);
    assert_eq!(step(&job(true, quiet.clone()), &gone), CancelStep::Settle);
    let mut settled = job(true, quiet);
    settled.metadata.finalizers = None;
    assert_eq!(step(&settled, &gone), CancelStep::Delete);

    let deleted = |mut job: Job| {
        job.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
        job
    };
    assert_eq!(
        step(&deleted(job(false, active)), std::slice::from_ref(&running)),
        CancelStep::DeletePods,
        "suspending stops nothing now"
    );
    assert_eq!(step(&deleted(job(false, json!({}))), &gone), CancelStep::Settle);
    assert_eq!(step(&deleted(settled), &gone), CancelStep::Done);
}

#[test]
fn a_finished_job_is_not_suspended_to_cancel_it() {
    assert_eq!(next_cancel_step(&failed(), &[], at(0)), CancelStep::Settle);
}

#[test]
fn no_pod_is_held_for_a_node_that_may_be_gone() {
    let deleted = json!({ "deletionTimestamp": at(0).to_string() });
    let lost = pod_with(&json!({ "phase": "Running" }), deleted.clone());
    let job = job(true, json!({}));
    assert!(observe::releasable(&job, std::slice::from_ref(&lost), at(1)).is_empty());
    let patience = i64::try_from(NODE_LOST_AFTER.as_secs()).unwrap();
    assert_eq!(observe::releasable(&job, &[lost], at(patience)).len(), 1);

    let mut never_bound = (*pod_with(&json!({ "phase": "Pending" }), deleted)).clone();
    never_bound.spec.as_mut().unwrap().node_name = None;
    assert_eq!(observe::releasable(&job, &[Arc::new(never_bound)], at(1)).len(), 1, "no kubelet will ever say more");
}
