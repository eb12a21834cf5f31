//! What one pod is asked to do: mounted read-only into the worker, written once by the operator. No I/O.
//!
//! A worker holds no credential. The order carries signed requests that expire: one to read the source, one per file it
//! may write below its own attempt's folder, and one per step to commit that step's result where only the first writer wins.

use crate::{
    Digest, document,
    manifest::MediaSummary,
    result::Reason,
    step::{ModelRef, Step, StepParams},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One unit, one pod, one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkOrder {
    /// `showrunner.dev/work-order/v1`.
    pub schema: String,
    /// Digest of the steps' keys.
    pub unit_key: Digest,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// What to read.
    pub source: Source,
    /// What to do, dependencies first.
    pub steps: Vec<StepOrder>,
    /// Results of earlier attempts that a step of this order reads.
    pub given: Vec<GivenResult>,
    /// Steps that a step of this order reads, and that were found to have nothing to do for the title.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub skipped: BTreeMap<Step, Reason>,
    /// What is known of the source already, for an order of which no step reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaSummary>,
    /// Signed GET of the [`CatalogueView`](crate::catalogue::CatalogueView) that the step `duplicates` looks through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<String>,
    /// What may be written.
    pub grants: Grants,
    /// What the pod may use.
    pub limits: Limits,
}
document!(WorkOrder, "showrunner.dev/work-order/v1");

/// The media to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// Signed GET.
    pub url: String,
    /// Size the operator saw, bytes; another size is refused.
    pub size_bytes: u64,
    /// `ETag` the operator saw, sent as `If-Match`.
    pub etag: String,
    /// Digest the person stated; verified when given.
    pub sha256: Option<Digest>,
}

/// One step to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepOrder {
    /// Which step.
    pub step: Step,
    /// Key its result is kept under.
    pub key: Digest,
    /// Version of the algorithm wanted; a worker of another version refuses.
    pub algorithm_version: u32,
    /// What to do.
    pub params: StepParams,
    /// Models to use, verified by digest before they are loaded.
    pub models: Vec<ModelRef>,
    /// Signed GET of the committed result, to skip a step that an earlier attempt finished.
    pub result_url: String,
}

/// A finished step that another one reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GivenResult {
    /// Which step.
    pub step: Step,
    /// The document it gave, by its name among the step's outputs (`shots.json`).
    pub name: String,
    /// Signed GET.
    pub url: String,
    /// Digest the bytes must have.
    pub sha256: Digest,
    /// Size, bytes.
    pub size_bytes: u64,
}

/// Signed PUT requests. All share host, expiry and signer; only path and signature differ, so that an order stays small.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Grants {
    /// The attempt's own folder in the bucket, ending in `/`: results name their files relative to it.
    pub folder: String,
    /// File name in the attempt's folder -> signed PUT URL (plain: a pod is the only writer of its folder).
    pub files: BTreeMap<String, String>,
    /// Step -> signed PUT URL of its result; signed with `If-None-Match: *`, so the first writer wins.
    pub commits: BTreeMap<Step, String>,
    /// Signed PUT of `unit-result.json` in the attempt's folder.
    pub unit_result: String,
    /// Signed PUT of `progress.json` in the attempt's folder, overwritten at most every 5 s.
    pub progress: String,
}

/// What the pod may use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Longest run, seconds; the kubelet ends the pod at this age.
    pub run_seconds: u32,
    /// CPU threads to use: fixed, because results may depend on it.
    pub threads: u32,
    /// Memory of the media child processes, bytes.
    pub child_memory_bytes: u64,
    /// Longest title accepted, seconds of presentation time.
    pub max_media_seconds: u32,
}
