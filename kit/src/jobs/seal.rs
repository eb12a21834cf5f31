//! What a Job is, in a line that is kept where nobody but the operator writes: in its owner's status. Whoever may write Jobs
//! may write their annotations too, so that nothing a Job says of itself tells whether it is the one that was made.
//!
//! Pure. The fields are named one by one: a newer API server or client library that knows more of them breaks no seal.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde_json::{Value, json};

use super::quantity::quantity;
use super::short_digest;
use crate::names::{
    ANNOTATION_ADMITTED_AT, ANNOTATION_GENERATION, ANNOTATION_ORDER_DIGEST, ANNOTATION_POD_RECORDS, ANNOTATION_WORK_ORDER,
    DOMAIN, LABEL_COMPONENT, LABEL_MANAGED_BY,
};
use crate::object::controller_of;

/// How a seal begins: how it is worked out. Raised by hand; seals of running Jobs must be read as long as there are any.
const VERSION: &str = "v1";
/// Hex digits of each part.
const DIGITS: usize = 24;
/// What is written on a Job after it was made, and what is for people alone.
const NOT_SEALED: [&str; 3] = [ANNOTATION_ADMITTED_AT, ANNOTATION_POD_RECORDS, ANNOTATION_GENERATION];
/// Labels that the API server puts on a template.
const GENERATED: [&str; 4] = ["batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name"];

/// What a Job is: its UID, and a digest of each part of it that must stay as it was made. Whether it is suspended, its
/// finalizers and its time to live are no part: these change in the course of things.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    uid: String,
    parts: BTreeMap<String, String>,
}

impl Seal {
    /// Stands in a status for a Job that is about to be made: nothing passes for it.
    pub const PENDING: &'static str = VERSION;

    /// The seal of a Job as it is now.
    pub fn of(job: &Job) -> Self {
        let meta = &job.metadata;
        let spec = job.spec.clone().unwrap_or_default();
        // What others note on a Job is theirs: only what we go by is sealed.
        let annotations: BTreeMap<_, _> = meta
            .annotations
            .iter()
            .flatten()
            .filter(|(name, _)| name.starts_with(DOMAIN) && !NOT_SEALED.contains(&name.as_str()))
            .collect();
        let labels: BTreeMap<_, _> = meta
            .labels
            .iter()
            .flatten()
            .filter(|(name, _)| name.starts_with(DOMAIN) || [LABEL_MANAGED_BY, LABEL_COMPONENT].contains(&name.as_str()))
            .collect();
        let owner = controller_of(meta).map(|owner| (&owner.kind, &owner.uid));
        let parts = [
            ("annotations", json!(annotations)),
            ("labels", json!(labels)),
            ("limits", limits(&spec)),
            ("owner", json!(owner)),
            ("template", template(&spec.template)),
        ];
        let digest = |value: Value| short_digest(&[&without_nothing(value).to_string()], DIGITS);
        Self {
            uid: meta.uid.clone().unwrap_or_default(),
            parts: parts.into_iter().map(|(name, value)| (name.to_owned(), digest(value))).collect(),
        }
    }

    /// A seal that somebody stored; none for one that is still [`Seal::PENDING`], or of a version that is not known.
    pub fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    /// UID of the Job.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Whether the other Job is the same one but for its UID: what was to be made, and what is there under its name.
    pub fn is_like(&self, other: &Self) -> bool {
        self.parts == other.parts
    }

    /// What somebody has changed since this seal was made, in words; none when the Job is as it was.
    pub fn broken_by(&self, now: &Self) -> Option<String> {
        if self.uid != now.uid {
            return Some("it is another Job under the same name".to_owned());
        }
        let changed: Vec<&str> = self
            .parts
            .iter()
            .filter(|(name, digest)| now.parts.get(*name).is_some_and(|now| now != *digest))
            .map(|(name, _)| name.as_str())
            .collect();
        (!changed.is_empty()).then(|| format!("its {} changed after it was made", changed.join(" and ")))
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{VERSION} uid={}", self.uid)?;
        self.parts.iter().try_for_each(|(name, digest)| write!(f, " {name}={digest}"))
    }
}

impl FromStr for Seal {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split(' ');
        if words.next() != Some(VERSION) {
            return Err(());
        }
        let mut parts: BTreeMap<String, String> =
            words.filter_map(|word| word.split_once('=')).map(|(name, digest)| (name.to_owned(), digest.to_owned())).collect();
        let uid = parts.remove("uid").ok_or(())?;
        Ok(Self { uid, parts })
    }
}

fn limits(spec: &JobSpec) -> Value {
    json!([
        spec.parallelism,
        spec.completions,
        spec.backoff_limit,
        spec.active_deadline_seconds,
        spec.pod_replacement_policy,
        spec.pod_failure_policy,
        spec.success_policy,
        spec.managed_by,
    ])
}

fn template(template: &PodTemplateSpec) -> Value {
    let meta = template.metadata.clone().unwrap_or_default();
    let labels: BTreeMap<_, _> = meta.labels.iter().flatten().filter(|(name, _)| !GENERATED.contains(&name.as_str())).collect();
    let annotations: BTreeMap<_, _> = meta
        .annotations
        .iter()
        .flatten()
        .filter(|(name, _)| ![ANNOTATION_WORK_ORDER, ANNOTATION_ORDER_DIGEST].contains(&name.as_str()))
        .collect();
    let pod = template.spec.clone().unwrap_or_default();
    let containers: Vec<Value> = pod.containers.iter().map(container).collect();
    json!({
        "labels": labels,
        "annotations": annotations,
        "order": order_of(template),
        "finalizers": meta.finalizers,
        "run": [json!(pod.active_deadline_seconds), json!(pod.termination_grace_period_seconds), json!(pod.restart_policy)],
        "where": [
            json!(pod.node_name), json!(pod.node_selector), json!(pod.tolerations), json!(pod.affinity), json!(pod.scheduling_gates),
            json!(pod.runtime_class_name), json!(pod.priority_class_name),
        ],
        "rights": [
            json!(pod.service_account_name), json!(pod.automount_service_account_token), json!(pod.host_network),
            json!(pod.host_pid), json!(pod.host_ipc), json!(pod.security_context),
        ],
        "containers": containers,
        "initContainers": pod.init_containers,
        "volumes": as_written(json!(pod.volumes)),
    })
}

fn container(container: &Container) -> Value {
    let resources = container.resources.clone().unwrap_or_default();
    let amounts = |amounts: &Option<BTreeMap<String, _>>| -> BTreeMap<String, String> {
        amounts.iter().flatten().map(|(name, amount)| (name.clone(), quantity(amount).to_string())).collect()
    };
    json!([
        container.name,
        container.image,
        container.command,
        container.args,
        container.env,
        container.env_from,
        container.volume_mounts,
        container.security_context,
        amounts(&resources.limits),
        amounts(&resources.requests),
    ])
}

/// Digest of the work order of a template: of the order itself, or of what was kept of it when it was let go of.
fn order_of(template: &PodTemplateSpec) -> String {
    let annotations = template.metadata.as_ref().and_then(|meta| meta.annotations.as_ref());
    let text = |name: &str| annotations.and_then(|annotations| annotations.get(name));
    match text(ANNOTATION_WORK_ORDER) {
        Some(order) => order_digest(order),
        None => text(ANNOTATION_ORDER_DIGEST).cloned().unwrap_or_default(),
    }
}

/// Digest of a work order without its signatures, which are others each time it is written. Whoever changes those alone gets
/// no more than requests that the store refuses.
pub(crate) fn order_digest(order: &str) -> String {
    let plain = serde_json::from_str(order).map_or_else(|_| order.into(), unsigned);
    short_digest(&[&plain.to_string()], DIGITS)
}

/// A document whose URLs end before their question mark.
fn unsigned(value: Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("http") => text.split('?').next().unwrap_or_default().into(),
        Value::Array(items) => items.into_iter().map(unsigned).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, unsigned(value))).collect(),
        other => other,
    }
}

/// Volumes before the API server has filled in versions of references and has written amounts in its own way.
fn as_written(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(as_written).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(name, _)| name != "apiVersion")
            .map(|(name, value)| match value {
                Value::String(amount) if name == "sizeLimit" => (name, quantity(&Quantity(amount)).to_string().into()),
                other => (name, as_written(other)),
            })
            .collect(),
        other => other,
    }
}

/// A value without what is empty: the API server leaves some of that out.
fn without_nothing(value: Value) -> Value {
    let is_nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    match value {
        Value::Array(items) => items.into_iter().map(without_nothing).collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name, without_nothing(value)))
            .filter(|(_, value)| !is_nothing(value))
            .collect(),
        other => other,
    }
}

/// What the cache keeps of a Job: not its work order, which may have 96 KiB, but the digest of it.
pub(crate) fn slim(job: &mut Job) {
    let template = job.spec.as_mut().map(|spec| &mut spec.template);
    let Some(annotations) = template.and_then(|template| template.metadata.as_mut()?.annotations.as_mut()) else { return };
    // Whoever writes the digest themselves writes it for nothing.
    annotations.remove(ANNOTATION_ORDER_DIGEST);
    if let Some(order) = annotations.remove(ANNOTATION_WORK_ORDER) {
        annotations.insert(ANNOTATION_ORDER_DIGEST.to_owned(), order_digest(&order));
    }
}
