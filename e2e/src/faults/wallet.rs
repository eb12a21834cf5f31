//! What must hold of Jobs as far as time and money go, in every run: predicates over the stored versions of Jobs and of their
//! owners. Names as in the design: GJ of jobs, AB of budgets.
//!
//! Pure. Shares no code with the operator.

use super::history::Version;
use super::laws::{Record, annotation, controller, is_suspended, recorded};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const ESTIMATE: &str = "showrunner.dev/cost-estimate";
const RATE: &str = "showrunner.dev/hourly-rate";
/// Class that a Job is made for.
pub const CLASS: &str = "showrunner.dev/accelerator-class";
const UNIT: &str = "showrunner.dev/unit-key";
const RECORDS: &str = "showrunner.dev/pod-records";
const SETTLE: &str = "showrunner.dev/settle";
/// How the classes of spot machines are called in stories.
pub const SPOT: &str = "spot";
/// How many losses a story's title bears before it is on demand.
pub const MAX_DISRUPTIONS: usize = 1;

/// Millionths of a decimal; none where it is none.
fn micros(text: &str) -> Option<i128> {
    let (units, part) = text.split_once('.').unwrap_or((text, ""));
    let part: i128 = format!("{part:0<6}").parse().ok()?;
    Some(units.parse::<i128>().ok()? * 1_000_000 + part)
}

/// Milliseconds that the pods of a Job may run at most.
fn most_millis(job: &Value) -> Option<i128> {
    let pod = &job["spec"]["template"]["spec"];
    let run = pod["activeDeadlineSeconds"].as_i64()? + pod["terminationGracePeriodSeconds"].as_i64()?;
    Some(i128::from(run) * 1000)
}

/// GJ2: a Job is born suspended, with our finalizer, a deadline for its pod, and a price that bounds what it can cost.
pub(super) fn born_whole(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for job in record.births() {
        let (name, object) = (job.name(), &job.object);
        if !is_suspended(object) {
            breaches.push(format!("Job {name} is not born suspended"));
        }
        if !job.our_finalizers().contains(&SETTLE) {
            breaches.push(format!("Job {name} is born without {SETTLE}"));
        }
        let (Some(bound), Some(rate)) = (micros(annotation(object, ESTIMATE)), micros(annotation(object, RATE))) else {
            breaches.push(format!("Job {name} is born without a price"));
            continue;
        };
        match most_millis(object) {
            None => breaches.push(format!("Job {name} is born without a deadline for its pod")),
            Some(millis) if bound < (rate * millis) / 3_600_000 => {
                breaches.push(format!("Job {name} may run {millis} ms, which costs more than its bound of {bound} millionths"));
            }
            Some(_) => {}
        }
    }
    breaches
}

/// GJ5: of one owner, one Job has pods at a time.
pub(super) fn one_at_a_time(record: &Record) -> Vec<String> {
    let mut busy: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut breaches = BTreeSet::new();
    let mut versions: Vec<&Version> = record.versions.iter().filter(|version| version.resource == "jobs").collect();
    versions.sort_by_key(|version| version.at);
    for version in versions {
        let active = version.object["status"]["active"].as_i64().unwrap_or(0) > 0
            || version.object["status"]["terminating"].as_i64().unwrap_or(0) > 0;
        let ended =
            version.object["status"]["conditions"].as_array().into_iter().flatten().any(|condition| {
                condition["status"] == "True" && (condition["type"] == "Complete" || condition["type"] == "Failed")
            });
        let jobs = busy.entry(controller(&version.object)).or_default();
        if active && !ended && !version.deleted {
            jobs.insert(version.name());
        } else {
            jobs.remove(version.name());
        }
        if jobs.len() > 1 {
            breaches.insert(format!("pods of {} ran at once", jobs.iter().copied().collect::<Vec<_>>().join(" and ")));
        }
    }
    breaches.into_iter().collect()
}

/// GJ6: what a Job's pods ran, all of them together, is no longer than what was reserved for.
pub(super) fn time_bounded(record: &Record) -> Vec<String> {
    let mut breaches = Vec::new();
    for job in last_with_records(record) {
        let (Some(most), records) = (most_millis(&job.object), records(&job.object)) else { continue };
        let at = |value: &Value| value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let ran = |record: &Value| match (at(&record["started"]), at(&record["finished"])) {
            (Some(started), Some(finished)) => i128::from(finished.as_millisecond() - started.as_millisecond()).max(0),
            _ => 0,
        };
        let all: i128 = records.iter().map(ran).sum();
        if all > most {
            breaches.push(format!("the pods of Job {} ran {all} ms, and {most} ms were reserved for", job.name()));
        }
    }
    breaches
}

/// GJ7: losses are counted: after so many, nothing more is born for spot machines.
pub(super) fn losses_counted(record: &Record) -> Vec<String> {
    let mut on_spot: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut breaches = Vec::new();
    for job in record.births() {
        if annotation(&job.object, CLASS) != SPOT {
            continue;
        }
        let born = on_spot.entry((controller(&job.object), annotation(&job.object, UNIT))).or_default();
        *born += 1;
        if *born > MAX_DISRUPTIONS {
            breaches.push(format!("Job {} is born for spot machines after {MAX_DISRUPTIONS} was lost there", job.name()));
        }
    }
    breaches
}

/// GJ8: when an owner is gone, so is all its work: nothing runs, and nothing waits to be settled.
pub(super) fn cancelled(record: &Record) -> Vec<String> {
    let gone: BTreeSet<&str> = record.owners().filter(|owner| owner.deleted).map(Version::uid).collect();
    let mut last: BTreeMap<&str, &Version> = BTreeMap::new();
    for version in record.versions.iter().filter(|version| version.resource == "jobs") {
        last.insert(version.uid(), version);
    }
    let left = last.into_values().filter(|job| !job.deleted && gone.contains(controller(&job.object)));
    left.filter(|job| !job.our_finalizers().is_empty() || (!is_suspended(&job.object) && !has_ended(&job.object)))
        .map(|job| format!("Job {} is left of an owner that is gone", job.name()))
        .collect()
}

/// AB9: once a Job is born, nothing of it is changed by which it could use more than was reserved.
pub(super) fn never_more(record: &Record) -> Vec<String> {
    let mut born: BTreeMap<&str, &Version> = BTreeMap::new();
    let mut breaches = BTreeSet::new();
    for version in record.versions.iter().filter(|version| version.resource == "jobs") {
        let first = born.entry(version.uid()).or_insert(version);
        let part = |version: &Version, pointer: &str| version.object.pointer(pointer).cloned().unwrap_or_default();
        for pointer in ["/spec/parallelism", "/spec/completions", "/spec/backoffLimit", "/spec/template/spec"] {
            if part(first, pointer) != part(version, pointer) {
                breaches.insert(format!("{pointer} of Job {} was changed after it was born", version.name()));
            }
        }
    }
    breaches.into_iter().collect()
}

fn has_ended(job: &Value) -> bool {
    job["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["status"] == "True" && (condition["type"] == "Complete" || condition["type"] == "Failed"))
}

/// Each Job as it was last stored with records of pods.
fn last_with_records(record: &Record) -> Vec<&Version> {
    let mut last: BTreeMap<&str, &Version> = BTreeMap::new();
    for version in record.versions.iter().filter(|version| version.resource == "jobs" && !recorded(&version.object).is_empty()) {
        last.insert(version.uid(), version);
    }
    last.into_values().collect()
}

fn records(job: &Value) -> Vec<Value> {
    serde_json::from_str(annotation(job, RECORDS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    //! Each law on a record that keeps it, and on ones that do not: what no planted bug can bring about is shown here.

    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    fn job(name: &str, change: impl FnOnce(&mut Value)) -> Value {
        let mut job = json!({
            "metadata": {
                "name": name, "uid": name, "finalizers": [SETTLE],
                "annotations": { ESTIMATE: "0.01", RATE: "0.6", CLASS: "steady", UNIT: "u" },
                "ownerReferences": [{ "uid": "title", "controller": true }],
            },
            "spec": { "suspend": true, "parallelism": 1,
                "template": { "spec": { "activeDeadlineSeconds": 30, "terminationGracePeriodSeconds": 30 } } },
        });
        change(&mut job);
        job
    }

    fn record(objects: Vec<Value>) -> Record {
        let version = |(at, object): (usize, Value)| Version {
            at: at as u64,
            resource: "jobs".into(),
            object: Arc::new(object),
            deleted: false,
        };
        Record { versions: objects.into_iter().enumerate().map(version).collect(), ..Record::default() }
    }

    #[test]
    fn a_job_that_lacks_something_at_birth_is_seen() {
        assert!(born_whole(&record(vec![job("a", |_| ())])).is_empty());
        let lacks: [fn(&mut Value); 5] = [
            |job| job["spec"]["suspend"] = false.into(),
            |job| job["metadata"]["finalizers"] = json!([]),
            |job| job["metadata"]["annotations"][ESTIMATE] = Value::Null,
            |job| job["metadata"]["annotations"][ESTIMATE] = "0.009999".into(),
            |job| job["spec"]["template"]["spec"]["activeDeadlineSeconds"] = Value::Null,
        ];
        for (nth, lack) in lacks.into_iter().enumerate() {
            assert_eq!(born_whole(&record(vec![job("a", lack)])).len(), 1, "the {nth}th");
        }
    }

    #[test]
    fn two_jobs_with_pods_at_once_are_seen() {
        let active = |name: &str, count: i64| job(name, |job| job["status"]["active"] = count.into());
        assert!(one_at_a_time(&record(vec![active("a", 1), active("a", 0), active("b", 1)])).is_empty());
        assert_eq!(one_at_a_time(&record(vec![active("a", 1), active("b", 1)])).len(), 1);
    }

    #[test]
    fn pods_that_run_longer_than_was_reserved_for_are_seen_all_together() {
        let ran = |records: Value| job("a", |job| job["metadata"]["annotations"][RECORDS] = records.to_string().into());
        let pod = |name: &str, from: &str, to: &str| json!({ "pod": name, "started": format!("2026-11-07T10:{from}Z"), "finished": format!("2026-11-07T10:{to}Z") });
        assert!(time_bounded(&record(vec![ran(json!([pod("p", "00:00", "01:00")]))])).is_empty());
        assert_eq!(time_bounded(&record(vec![ran(json!([pod("p", "00:00", "01:01")]))])).len(), 1);
        let twice = json!([pod("p", "00:00", "00:40"), pod("q", "02:00", "02:40")]);
        assert_eq!(time_bounded(&record(vec![ran(twice)])).len(), 1);
    }

    #[test]
    fn a_job_for_spot_machines_after_as_many_losses_as_are_borne_is_seen() {
        let spot = |name: &str| job(name, |job| job["metadata"]["annotations"][CLASS] = SPOT.into());
        assert!(losses_counted(&record(vec![spot("a"), job("b", |_| ())])).is_empty());
        assert_eq!(losses_counted(&record(vec![spot("a"), spot("b")])).len(), 1);
    }

    #[test]
    fn a_job_that_is_left_of_an_owner_that_is_gone_is_seen() {
        let mut record = record(vec![job("a", |_| ())]);
        record.versions.push(Version {
            at: 9,
            resource: "titleenrichments".into(),
            object: Arc::new(json!({ "apiVersion": "showrunner.dev/v1alpha1", "metadata": { "uid": "title" } })),
            deleted: true,
        });
        assert_eq!(cancelled(&record).len(), 1);
        record.versions[0].deleted = true;
        assert!(cancelled(&record).is_empty());
    }

    #[test]
    fn a_job_that_is_given_more_after_its_birth_is_seen() {
        let resumed = job("a", |job| job["spec"]["suspend"] = false.into());
        assert!(never_more(&record(vec![job("a", |_| ()), resumed])).is_empty());
        let more: [fn(&mut Value); 2] = [
            |job| job["spec"]["parallelism"] = 2.into(),
            |job| job["spec"]["template"]["spec"]["activeDeadlineSeconds"] = 60.into(),
        ];
        for change in more {
            assert_eq!(never_more(&record(vec![job("a", |_| ()), job("a", change)])).len(), 1);
        }
    }
}
