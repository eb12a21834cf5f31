//! The only place where a Job is born, watched and let go: one unit, one pod, one attempt.
//!
//! [`build`], [`cost`], [`observe`] and [`seal`] are pure; [`act`] writes to the API server.

pub mod act;
pub mod build;
pub mod cost;
pub mod observe;
pub mod orphans;
mod quantity;
pub mod room;
pub mod seal;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::money::Money;
use crate::object::Object;

pub use act::{ActError, CancelStep, Jobs, Made, next_cancel_step};
pub use build::{build, estimate};
pub use cost::{Charge, charged};
pub use observe::{
    Cause, JobState, MAX_RECORDS, NODE_LOST_AFTER, Overdue, PodRecord, believed, is_finished, is_suspended, is_terminal, lost_at,
    observe, record, record_digests, records, start_overdue,
};
pub use seal::Seal;

/// Largest work order, in bytes: it is an annotation, and all annotations of an object share 256 KiB.
pub const MAX_WORK_ORDER: usize = 96 * 1024;
/// Longest unit key.
pub const MAX_UNIT_KEY: usize = 256;

/// Who a Job works for.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Reference that makes the owner the controller of the Job.
    pub reference: OwnerReference,
    /// Namespace of both.
    pub namespace: String,
    /// Generation of the owner now; an annotation for people.
    pub generation: i64,
}

impl Owner {
    /// The owner as it was read from the API server.
    pub fn of<K: Object>(object: &K) -> Result<Self, JobError> {
        let reference = object.controller_owner_ref(&()).filter(|reference| !reference.uid.is_empty());
        let reference = reference.ok_or(JobError::OwnerNotRead)?;
        let namespace = object.meta().namespace.clone().ok_or(JobError::OwnerNotRead)?;
        Ok(Self { reference, namespace, generation: object.meta().generation.unwrap_or_default() })
    }
}

/// What a pod may use. Requests equal limits but for the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resources {
    /// CPU limit, thousandths of a core.
    pub cpu_millis: u32,
    /// CPU that the scheduler sets aside, thousandths of a core; at most the limit.
    pub cpu_request_millis: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Scratch space, bytes.
    pub scratch_bytes: u64,
}

/// How long things may take. Whole seconds, at least one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From the pod's start to its end: the kubelet's limit, and what the cost bound is based on.
    pub run: Duration,
    /// From admission to a running container; then the Job is suspended again.
    pub start: Duration,
    /// The Job's own limit: a guard only, for it counts waiting too. At least start + run + grace.
    pub wall: Duration,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
}

/// A kind of machine to run on, declared by whoever installs Showrunner.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AcceleratorClass {
    /// Name that resources refer to, e.g. `cpu` or `l4`.
    pub name: String,
    /// Extended resource, e.g. `nvidia.com/gpu`; none for a class without an accelerator.
    #[serde(default)]
    pub resource: Option<String>,
    /// How many of it a pod gets.
    #[serde(default)]
    pub count: u32,
    /// Labels that the node must have.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that are tolerated, besides `gpu=true:NoSchedule` for classes with an accelerator.
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// Price of the class per hour and accelerator (per pod for a class without one), besides CPU, memory and scratch.
    #[serde(default)]
    pub price_per_hour: Money,
    /// Nodes of this class may have to be started first: a pod that waits is no sign of trouble yet.
    #[serde(default)]
    pub scale_from_zero: bool,
    /// Prices of cores, memory and scratch on nodes of this class, where they are others than everywhere else.
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Its nodes are spot machines of another class.
    #[serde(default)]
    pub spot: Option<SpotClass>,
}

/// What makes a class spot machines: the cloud takes them back at any moment, after a short notice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SpotClass {
    /// The class that the same machines are of on demand.
    pub of: String,
    /// How often an hour one of them is taken back, as the cloud says or as was seen.
    #[serde(default = "default_reclaims")]
    pub reclaims_per_hour: f64,
}

/// One in twenty hours: more often than clouds tell of most offers.
fn default_reclaims() -> f64 {
    0.05
}

/// Prices per hour of what every pod uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prices {
    /// One core.
    #[serde(default)]
    pub cpu_core_hour: Money,
    /// One GiB of memory.
    #[serde(default)]
    pub memory_gib_hour: Money,
    /// One GiB of scratch space.
    #[serde(default)]
    pub scratch_gib_hour: Money,
}

/// What Jobs are made with, from the operator's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobsConfig {
    /// Worker image.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    #[serde(default = "default_pull_policy")]
    pub image_pull_policy: String,
    /// Secrets of the Job's namespace that may pull it.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// Priority class of all job pods; none where it is empty. No resource can choose another.
    #[serde(default)]
    pub priority_class_name: String,
    /// Classes to choose from; the first without an accelerator is the CPU fallback.
    pub classes: Vec<AcceleratorClass>,
    /// Prices.
    #[serde(default)]
    pub prices: Prices,
    /// Owners that may have a Job in flight at once, all namespaces together; the others wait, the oldest first.
    #[serde(default = "default_in_flight")]
    pub max_in_flight: u32,
    /// ISO 4217 code of all prices.
    #[serde(default = "default_currency")]
    pub currency: String,
}

fn default_pull_policy() -> String {
    "IfNotPresent".to_owned()
}

fn default_in_flight() -> u32 {
    500
}

fn default_currency() -> String {
    "USD".to_owned()
}

impl JobsConfig {
    /// A class by name.
    pub fn class(&self, name: &str) -> Option<&AcceleratorClass> {
        self.classes.iter().find(|class| class.name == name)
    }

    /// The first class without an accelerator that stays.
    pub fn cpu_class(&self) -> Option<&AcceleratorClass> {
        self.classes.iter().find(|class| class.resource.is_none() && class.spot.is_none())
    }

    /// The spot machines of a class.
    pub fn spot_of(&self, name: &str) -> Option<&AcceleratorClass> {
        self.classes.iter().find(|class| class.spot.as_ref().is_some_and(|spot| spot.of == name))
    }

    /// Prices of what every pod uses, on nodes of a class.
    pub fn prices_on(&self, class: &AcceleratorClass) -> Prices {
        class.prices.unwrap_or(self.prices)
    }
}

/// Everything a Job is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRequest {
    /// Who it works for.
    pub owner: Owner,
    /// Digest of what the work depends on.
    pub unit_key: String,
    /// Which attempt at the unit this is, from 1.
    pub attempt: u32,
    /// The work order, JSON, at most [`MAX_WORK_ORDER`] bytes.
    pub work_order: String,
    /// Where it runs.
    pub class: AcceleratorClass,
    /// What it may use.
    pub resources: Resources,
    /// How long it may take.
    pub deadlines: Deadlines,
    /// Object-store profile that the pod may reach; a label for network policies.
    pub store: String,
    /// More labels for Job and pod. Ours win.
    pub labels: BTreeMap<String, String>,
}

/// A request from which no Job can be made: a bug of the caller, or a configuration that lacks something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Without a UID there is no name and no owner reference.
    #[error("failed to build a job: its owner was not read from the API server")]
    OwnerNotRead,
    /// An annotation that large would be refused, with a less useful message.
    #[error("failed to build a job: the work order has {0} bytes, the limit is {MAX_WORK_ORDER}")]
    WorkOrderTooLarge(usize),
    /// A field that makes no sense.
    #[error("failed to build a job: {0}")]
    Invalid(&'static str),
}

impl From<JobError> for crate::error::ReconcileError {
    fn from(error: JobError) -> Self {
        Self::new(crate::error::Class::Terminal, "JobInvalid", error.to_string()).caused_by(error)
    }
}

/// Name of the Job of one attempt: a function of owner UID, unit key and attempt, and of nothing else.
pub fn job_name(owner_uid: &str, unit_key: &str, attempt: u32) -> String {
    format!("sr-{}", short_digest(&[owner_uid, unit_key, &attempt.to_string()], 24))
}

/// The first `digits` hex digits of the SHA-256 of the parts, each ended by a zero byte so that none runs into the next.
pub(crate) fn short_digest(parts: &[&str], digits: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let mut hex = hex(&hash.finalize());
    hex.truncate(digits);
    hex
}

/// Lower-case hex digits of some bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
pub(crate) mod tests;
