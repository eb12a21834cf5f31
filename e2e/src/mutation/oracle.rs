//! What must hold of a sequence of changes, beside the laws that hold of every run. Pure; shares no code with the operator.

use super::Kind;
use crate::faults::{
    history::Version,
    laws::{Record, controller, is_deleting},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Every breach, with the name of what was broken.
pub fn breaches(kind: &dyn Kind, reasons: &BTreeSet<String>, record: &Record) -> Vec<(String, String)> {
    let named = |name: &'static str, breaches: Vec<String>| breaches.into_iter().map(move |breach| (name.to_owned(), breach));
    named("work that is begun is given up for a reason only", given_up(kind, record))
        .chain(named("every reason is one that the page explains", unexplained(reasons, record)))
        .collect()
}

/// The reasons of a page: names in the first column of its tables.
pub fn documented(page: &str) -> BTreeSet<String> {
    page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

/// What of an end depends on the last spec only: all of it but how often something was tried, and what depends on who came first:
/// the place at which a title was looked up is part of what is published, and a print that was made for that is kept.
pub fn lasting(ending: &Value) -> Value {
    let each = |object: &Value| {
        let steps = object["steps"].as_array().into_iter().flatten();
        let steps: Vec<Value> = steps.map(|step| json!([step[0], step[1], step[2]])).collect();
        let mut conditions = object["conditions"].as_array().cloned().unwrap_or_default();
        // A list by type: the order says nothing.
        conditions.sort_by_key(ToString::to_string);
        let by_place = steps.iter().any(|step| step[0] == "duplicates" || step[0] == "fingerprint");
        let published = if by_place { json!(object["published"].is_string()) } else { object["published"].clone() };
        json!({ "phase": object["phase"], "conditions": conditions, "steps": steps, "published": published, "media": object["media"],
            "place": object["place"] })
    };
    ending.as_array().into_iter().flatten().map(each).collect()
}

/// A Job follows another of the same object when something else is wanted, when it was paused in between, or when a pod failed.
fn given_up(kind: &dyn Kind, record: &Record) -> Vec<String> {
    let mut by_owner: BTreeMap<&str, Vec<&Version>> = BTreeMap::new();
    for job in record.births() {
        by_owner.entry(controller(&job.object)).or_default().push(job);
    }
    let mut breaches = Vec::new();
    for (owner, jobs) in by_owner {
        let life: Vec<&Version> = record.owners().filter(|version| version.uid() == owner).collect();
        for pair in jobs.windows(2) {
            let (one, next) = (pair[0], pair[1]);
            // The status names the Job before there is one; the spec of that version is what it was made for.
            let Some(intent) = life.iter().find(|version| version.object["status"]["attempt"]["job"] == one.name()) else {
                continue;
            };
            let wanted = kind.work(&intent.object["spec"]);
            let meanwhile = life.iter().filter(|version| version.at >= intent.at && version.at < next.at);
            let asked =
                meanwhile.map(|version| &version.object["spec"]).any(|spec| kind.pauses(spec) || kind.work(spec) != wanted);
            if !asked && !failed(record, one) && !goes_on(&life, one, next) {
                breaches.push(format!(
                    "Job {} follows Job {}, of which no pod failed; nobody wanted anything else, nobody paused it",
                    next.name(),
                    one.name()
                ));
            }
        }
    }
    breaches
}

/// Whether the next Job does something else, which had to wait for what the one before it left.
fn goes_on(life: &[&Version], one: &Version, next: &Version) -> bool {
    let steps = |job: &Version| -> BTreeSet<String> {
        let attempts = life.iter().map(|version| &version.object["status"]["attempt"]);
        let own = attempts.filter(|attempt| attempt["job"] == job.name());
        own.flat_map(|attempt| attempt["steps"].as_array().into_iter().flatten()).map(ToString::to_string).collect()
    };
    let (before, after) = (steps(one), steps(next));
    !after.is_empty() && before.is_disjoint(&after)
}

/// Whether a pod of a Job failed, not being stopped.
fn failed(record: &Record, job: &Version) -> bool {
    let of_job = |pod: &&Version| pod.resource == "pods" && controller(&pod.object) == job.uid();
    record.versions.iter().filter(of_job).any(|pod| pod.object["status"]["phase"] == "Failed" && !is_deleting(&pod.object))
}

fn unexplained(reasons: &BTreeSet<String>, record: &Record) -> Vec<String> {
    let conditions = record.owners().flat_map(|version| version.object["status"]["conditions"].as_array().into_iter().flatten());
    let told: BTreeSet<&str> = conditions.filter_map(|condition| condition["reason"].as_str()).collect();
    told.into_iter().filter(|reason| !reasons.contains(*reason)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::stage::Stage;
    use anyhow::Result;
    use futures::future::BoxFuture;
    use std::sync::Arc;

    struct Bread;

    impl Kind for Bread {
        fn resource(&self) -> &'static str {
            "loaves"
        }
        fn page(&self) -> &'static str {
            "loaf"
        }
        fn start(&self) -> Value {
            json!({})
        }
        fn words(&self, _: &str) -> Option<Vec<Value>> {
            None
        }
        fn prepare<'a>(&'a self, _: &'a Stage<'a>) -> BoxFuture<'a, Result<()>> {
            Box::pin(async { Ok(()) })
        }
        fn cure(&self, _: &Value) -> Value {
            json!({})
        }
        fn work(&self, spec: &Value) -> Value {
            spec["flour"].clone()
        }
        fn pauses(&self, spec: &Value) -> bool {
            spec["suspend"] == true
        }
        fn moving(&self) -> &'static [&'static str] {
            &[]
        }
        fn end(&self) -> &'static str {
            "Baked"
        }
    }

    fn version(at: u64, resource: &str, object: Value) -> Version {
        Version { at, resource: resource.into(), object: Arc::new(object), deleted: false }
    }

    fn loaf(at: u64, spec: &Value, reason: &str) -> Version {
        let status = json!({ "attempt": { "job": "one" }, "conditions": [{ "type": "Ready", "reason": reason }] });
        version(
            at,
            "loaves",
            json!({ "apiVersion": "showrunner.dev/v1", "metadata": { "uid": "u" }, "spec": spec, "status": status }),
        )
    }

    fn job(at: u64, name: &str) -> Version {
        let owner = json!([{ "controller": true, "uid": "u" }]);
        version(at, "jobs", json!({ "metadata": { "name": name, "uid": name, "ownerReferences": owner } }))
    }

    fn pod(at: u64, job: &str, deleting: bool) -> Version {
        let mut metadata = json!({ "uid": "p", "ownerReferences": [{ "controller": true, "uid": job }] });
        if deleting {
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        version(at, "pods", json!({ "metadata": metadata, "status": { "phase": "Failed" } }))
    }

    /// Two Jobs, and what happened between them.
    fn told(between: Vec<Version>) -> Vec<String> {
        let rye = json!({ "flour": "rye", "deadline": 1 });
        let mut versions = vec![loaf(1, &rye, "Baking"), job(2, "one")];
        versions.extend(between);
        versions.push(job(9, "two"));
        given_up(&Bread, &Record { versions, ..Record::default() })
    }

    #[test]
    fn a_second_job_needs_a_reason() {
        assert_eq!(told(Vec::new()).len(), 1);
        let other = |spec: Value| told(vec![loaf(3, &spec, "Baking")]).len();
        assert_eq!(other(json!({ "flour": "rye", "deadline": 2 })), 1, "nothing else was wanted");
        assert_eq!(other(json!({ "flour": "wheat", "deadline": 1 })), 0);
        assert_eq!(other(json!({ "flour": "rye", "suspend": true })), 0);
        assert_eq!(told(vec![pod(3, "one", false)]).len(), 0, "a pod failed");
        assert_eq!(told(vec![pod(3, "one", true)]).len(), 1, "a pod that was stopped is no reason");
    }

    #[test]
    fn a_reason_that_the_page_does_not_have_is_told() {
        let page = documented("| reason | cause |\n|---|---|\n| `Baking` | It is in the oven. |\n");
        let record = Record { versions: vec![loaf(1, &json!({}), "Baking"), loaf(2, &json!({}), "Burnt")], ..Record::default() };
        assert_eq!(unexplained(&page, &record), ["Burnt"]);
        assert_eq!(breaches(&Bread, &page, &record).len(), 1);
    }

    #[test]
    fn how_often_something_was_tried_is_no_part_of_the_end() {
        let ending = |attempts: u32, state: &str, conditions: Value| {
            lasting(
                &json!([{ "phase": "Baked", "steps": [["rise", state, null, attempts, 0]], "conditions": conditions, "history": [attempts] }]),
            )
        };
        let (one, other) = (json!([["A", "True", "X"], ["B", "True", "Y"]]), json!([["B", "True", "Y"], ["A", "True", "X"]]));
        assert_eq!(ending(1, "Done", one.clone()), ending(3, "Done", other));
        assert_ne!(ending(1, "Done", one.clone()), ending(1, "Failed", one));
    }
}
