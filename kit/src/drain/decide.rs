//! What is ours, what is let go of it, and what people are told. Pure.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use kube::Resource as _;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use crate::conditions::{self, Truth, Want};
use crate::names::{DOMAIN, LABEL_OWNER_UID};
use crate::object::{controller_of, is_controlled_by, label};

/// Reason of `Ready` and `Stalled` on an object that stands still because nobody is there to work on it.
pub const OPERATOR_UNINSTALLED: &str = "OperatorUninstalled";
/// What such an object says.
pub(super) const MESSAGE: &str =
    "Showrunner was uninstalled and nothing works on this any more: install it again to go on, what is finished is kept";

const READY: &str = "Ready";
const RECONCILING: &str = "Reconciling";
const STALLED: &str = "Stalled";

/// How objects of a definition are asked for: in the version in which they are stored; and whether they are in no namespace.
pub(super) fn resource_of(definition: &CustomResourceDefinition) -> Option<(ApiResource, bool)> {
    let spec = &definition.spec;
    let version = spec.versions.iter().find(|version| version.storage)?;
    let kind = GroupVersionKind::gvk(&spec.group, &version.name, &spec.names.kind);
    Some((ApiResource::from_gvk_with_plural(&kind, &spec.names.plural), spec.scope == "Cluster"))
}

/// Whether a finalizer of ours is on the object.
pub(super) fn is_held(meta: &ObjectMeta) -> bool {
    meta.finalizers.iter().flatten().any(|finalizer| finalizer.starts_with(DOMAIN))
}

/// Patch that takes all our finalizers off and leaves those of others.
pub(super) fn without_ours(meta: &ObjectMeta) -> Value {
    let others: Vec<_> = meta.finalizers.iter().flatten().filter(|finalizer| !finalizer.starts_with(DOMAIN)).collect();
    json!({ "metadata": { "finalizers": if others.is_empty() { Value::Null } else { json!(others) } } })
}

/// Whether the Job works for an object of ours. A label alone makes none: anybody may write that one.
pub(super) fn is_our_job(job: &Job) -> bool {
    is_held(&job.metadata) || controller_of(&job.metadata).is_some_and(|owner| owner.api_version.starts_with(DOMAIN))
}

/// Whether the pod is one of these Jobs', or has outlived one.
pub(super) fn is_our_pod(pod: &Pod, jobs: &[Job]) -> bool {
    is_held(&pod.metadata) || label(&pod.metadata, LABEL_OWNER_UID).is_some() || job_of(pod, jobs).is_some()
}

/// The Job that controls a pod.
pub(super) fn job_of<'a>(pod: &Pod, jobs: &'a [Job]) -> Option<&'a Job> {
    let is_of = |job: &&Job| job.metadata.uid.as_deref().is_some_and(|uid| is_controlled_by(&pod.metadata, uid));
    jobs.iter().filter(|job| job.metadata.namespace == pod.metadata.namespace).find(is_of)
}

/// Whether one of these Jobs works for the object.
pub(super) fn has_jobs(object: &ObjectMeta, jobs: &[Job]) -> bool {
    object.uid.as_deref().is_some_and(|uid| jobs.iter().any(|job| is_controlled_by(&job.metadata, uid)))
}

/// Whom an event about a Job is for: the object that people know.
pub(super) fn owner_of(job: &Job) -> ObjectReference {
    match controller_of(&job.metadata) {
        Some(owner) => ObjectReference {
            api_version: Some(owner.api_version.clone()),
            kind: Some(owner.kind.clone()),
            name: Some(owner.name.clone()),
            namespace: job.metadata.namespace.clone(),
            uid: Some(owner.uid.clone()),
            ..ObjectReference::default()
        },
        None => job.object_ref(&()),
    }
}

/// The conditions of an object of whatever kind, told that it stands still; none where they say all there is to say:
/// that it is ready, that it was given up, that it is going, or this already.
pub(super) fn told(object: &DynamicObject, now: Timestamp) -> Option<Vec<Condition>> {
    if object.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let written = object.data.pointer("/status/conditions").cloned().unwrap_or_else(|| json!([]));
    // What cannot be read is left as it is.
    let old: Vec<Condition> = serde_json::from_value(written).ok()?;
    if conditions::is_true(&old, READY) || conditions::is_true(&old, STALLED) {
        return None;
    }
    let generation = object.metadata.generation.unwrap_or_default();
    let mut new = old.clone();
    for (type_, status) in [(READY, Truth::False), (STALLED, Truth::True)] {
        let want = Want { type_, status, reason: OPERATOR_UNINSTALLED, message: MESSAGE.to_owned() };
        conditions::set(&mut new, want, generation, now);
    }
    conditions::remove(&mut new, RECONCILING);
    (new != old).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(conditions: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "showrunner.dev/v1alpha1", "kind": "Reel", "metadata": { "name": "a", "generation": 3 },
            "status": { "conditions": conditions, "phase": "Running" },
        }))
        .unwrap()
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({ "type": type_, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z" })
    }

    fn reasons(conditions: &[Condition]) -> Vec<(&str, &str, &str)> {
        conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect()
    }

    #[test]
    fn what_was_going_on_says_that_it_stands_still_and_why() {
        let busy = object(json!([condition("Ready", "False", "Working"), condition("Reconciling", "True", "Working")]));
        let told = told(&busy, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(reasons(&told), [("Ready", "False", OPERATOR_UNINSTALLED), ("Stalled", "True", OPERATOR_UNINSTALLED)]);
        let mut again = busy;
        again.data["status"]["conditions"] = serde_json::to_value(&told).unwrap();
        assert_eq!(super::told(&again, Timestamp::UNIX_EPOCH), None, "it is said once");
    }

    #[test]
    fn what_nobody_has_looked_at_yet_says_so_too() {
        let mut new = object(json!([]));
        new.data = json!({ "spec": {} });
        assert_eq!(told(&new, Timestamp::UNIX_EPOCH).unwrap().len(), 2);
    }

    #[test]
    fn what_is_done_given_up_or_going_keeps_its_words() {
        assert_eq!(told(&object(json!([condition("Ready", "True", "Published")])), Timestamp::UNIX_EPOCH), None);
        let given_up = object(json!([condition("Ready", "False", "SourceEmpty"), condition("Stalled", "True", "SourceEmpty")]));
        assert_eq!(told(&given_up, Timestamp::UNIX_EPOCH), None);
        let mut going = object(json!([]));
        going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH));
        assert_eq!(told(&going, Timestamp::UNIX_EPOCH), None);
        assert_eq!(told(&object(json!("nonsense")), Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn finalizers_of_others_stay() {
        let meta = |finalizers: &[&str]| ObjectMeta {
            finalizers: Some(finalizers.iter().map(ToString::to_string).collect()),
            ..ObjectMeta::default()
        };
        let both = meta(&["showrunner.dev/of-a-kind-to-come", "example.org/theirs"]);
        assert!(is_held(&both) && !is_held(&meta(&["example.org/showrunner.dev"])));
        assert_eq!(without_ours(&both), json!({ "metadata": { "finalizers": ["example.org/theirs"] } }));
        assert_eq!(without_ours(&meta(&["showrunner.dev/settle"])), json!({ "metadata": { "finalizers": null } }));
    }
}
