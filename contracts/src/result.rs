//! What a worker answers: a result per step, committed under the step's key, and one result of the unit, read by the
//! operator through the digest in the pod's termination message. No I/O.

use crate::{
    Digest, document,
    manifest::{MediaSummary, Origin, StepSummary},
    step::{ModelRef, Step},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A finished step: content only, the same bytes for the same key. Written once, first writer wins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct StepResult {
    /// `showrunner.dev/step-result/v1`.
    pub schema: String,
    /// Which step.
    pub step: Step,
    /// The key it was done under.
    pub key: Digest,
    /// Folder of the attempt that wrote the files (bucket key ending in `/`); the operator checks it against its own.
    pub folder: String,
    /// What the source turned out to be: the same in every step of a source. Here, because a pod that dies after its
    /// last commit leaves no unit result, and the published manifest needs it all the same.
    pub media: MediaSummary,
    /// Files, in the order of the step's slots.
    pub outputs: Vec<Output>,
    /// Files that other steps read, and that are never published ([`Step::keeps`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Output>,
    /// The few figures that status shows.
    pub summary: StepSummary,
    /// Models used.
    pub models: Vec<ModelRef>,
    /// Settings that shaped the result, for people: name -> value.
    pub settings: BTreeMap<String, String>,
}
document!(StepResult, "showrunner.dev/step-result/v1");

/// One file a step wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Output {
    /// Slot name, such as `thumbnail-0.jpg`.
    pub name: String,
    /// Media type, such as `image/jpeg`.
    pub media_type: String,
    /// Digest of the file's bytes.
    pub sha256: Digest,
    /// Size, bytes.
    pub size_bytes: u64,
    /// Who made it: in a title's manifest, where older versions did not say. A step's result is a worker's throughout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// What became of one attempt at a unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct UnitResult {
    /// `showrunner.dev/unit-result/v1`.
    pub schema: String,
    /// The unit.
    pub unit_key: Digest,
    /// The attempt.
    pub attempt: u32,
    /// What the source turned out to be; absent when it could not be opened.
    pub media: Option<MediaSummary>,
    /// Every step of the order, in its order.
    pub steps: Vec<StepOutcome>,
    /// What it took. Not content: differs from run to run.
    pub run: RunRecord,
}
document!(UnitResult, "showrunner.dev/unit-result/v1");

/// What became of one step in one attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct StepOutcome {
    /// Which step.
    pub step: Step,
    /// Its key.
    pub key: Digest,
    /// What became of it.
    pub outcome: Outcome,
    /// Wall time from the start of the pass to the step's end, milliseconds; steps of one pass run side by side. 0 where an
    /// earlier attempt had done the step.
    pub wall_ms: u64,
    /// CPU time of the step itself, milliseconds: looking or listening, finishing, committing. The decode that it shares with
    /// others is told in [`RunRecord`]. Absent where it is not known.
    pub cpu_ms: Option<u64>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub enum Outcome {
    /// Done; the digest is of the committed [`StepResult`].
    #[serde(rename_all = "camelCase")]
    Done {
        /// Digest of the result's bytes.
        result: Digest,
    },
    /// There is nothing to do for this title: no sound to listen to, no picture to look at.
    Skipped(Reason),
    /// Not done.
    Failed(Failure),
}

/// Why a step or a unit was not done. Part of the contract: the operator turns each into a condition.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::IntoStaticStr,
    strum::EnumIter,
)]
pub enum Reason {
    /// The title has no sound.
    NoSound,
    /// The title has no picture.
    NoPicture,
    /// No speech was heard.
    NoSpeech,
    /// The speech is in a language the model does not serve.
    LanguageUnsupported,
    /// The source does not have the sound track that is asked for.
    SoundTrackMissing,
    /// The source has no bytes.
    SourceEmpty,
    /// The source is not a media file of an accepted container.
    SourceNotMedia,
    /// The source ends early or is damaged.
    SourceTruncated,
    /// The source is longer, larger or has more streams than the limits allow.
    SourceTooLarge,
    /// The source's bytes are not those of the stated sha256.
    SourceDigestMismatch,
    /// The source changed between planning and reading.
    SourceChanged,
    /// The source disappeared between planning and reading.
    SourceNotFound,
    /// The store could not be reached for as long as the worker may wait.
    StoreUnavailable,
    /// The store refused a signed request: expired or withdrawn.
    StoreDenied,
    /// A model is not in the image.
    ModelMissing,
    /// A model's files are not those of the stated digest.
    ModelDigestMismatch,
    /// A model's licence is not on the allowed list.
    ModelLicenceRefused,
    /// The worker is of another version than the order.
    WorkerVersionMismatch,
    /// The order could not be read.
    OrderMalformed,
    /// A media child process used more time, memory or output than allowed.
    LimitExceeded,
    /// Anything else: a fault of ours.
    Internal,
}

impl Reason {
    /// Whether another attempt at the same unit may end differently.
    pub const fn is_worth_a_retry(self) -> bool {
        matches!(self, Self::StoreUnavailable | Self::StoreDenied | Self::LimitExceeded | Self::Internal)
    }
}

/// Why something was not done, for machines and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Failure {
    /// Which kind.
    pub reason: Reason,
    /// One sentence with the cure, at most [`Failure::MAX_MESSAGE`] characters.
    pub message: String,
}

impl Failure {
    /// Longest message, characters.
    pub const MAX_MESSAGE: usize = 512;

    /// A failure whose message is cut to its limit and freed of control characters: parts of it may come from a hostile file.
    pub fn new(reason: Reason, message: &str) -> Self {
        let message = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(Self::MAX_MESSAGE).collect();
        Self { reason, message }
    }
}

/// What one attempt took.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RunRecord {
    /// The worker's version.
    pub worker: String,
    /// Wall time, milliseconds.
    pub wall_ms: u64,
    /// CPU time of the pod, milliseconds.
    pub cpu_ms: u64,
    /// Bytes read from the store.
    pub bytes_read: u64,
    /// Bytes written to the store.
    pub bytes_written: u64,
    /// How often a picture decoder was started.
    pub picture_decodes: u32,
    /// How often a sound decoder was started.
    pub sound_decodes: u32,
    /// CPU time of decoding the picture, milliseconds: the decoder and the hand-over to the steps that share it. Absent where
    /// nothing was decoded, and in records of older workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture_decode_cpu_ms: Option<u64>,
    /// CPU time of decoding the sound, milliseconds. Absent where nothing was decoded, and in records of older workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound_decode_cpu_ms: Option<u64>,
    /// How media children were confined, such as `landlock`.
    pub sandbox: String,
}

/// The pod's termination message (at most 4096 bytes): the digest of the unit's result, or why none could be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub enum Termination {
    /// Digest of `unit-result.json`.
    Result(Digest),
    /// No result could be stored.
    Failure(Failure),
}

/// What the worker's exit code says beside the termination message.
pub mod exit {
    /// Every step of the order is done or skipped.
    pub const DONE: i32 = 0;
    /// Some step failed; the unit's result says which.
    pub const STEPS_FAILED: i32 = 10;
    /// No result could be stored.
    pub const NO_RESULT: i32 = 11;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_never_carries_control_characters_or_more_than_its_limit() {
        let failure = Failure::new(Reason::Internal, &"a\n\u{1b}[31m".repeat(400));
        assert_eq!(failure.message.chars().count(), Failure::MAX_MESSAGE);
        assert!(!failure.message.chars().any(char::is_control));
    }

    #[test]
    fn the_largest_termination_message_fits_the_kubelets_limit() {
        let worst = Termination::Failure(Failure::new(Reason::WorkerVersionMismatch, &"\u{10ffff}".repeat(600)));
        assert!(serde_json::to_vec(&worst).expect("serialises").len() <= 4096);
    }
}
