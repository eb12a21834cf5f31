//! What was seen of a title: its source, its steps, the attempt in hand, what is published. No I/O.

use super::{AxisStatus, Doubt, ReviewStatus};
use crate::common::known_or_none;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{Display, EnumIter};

/// What was seen of the title.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TitleEnrichmentStatus {
    /// Generation of the spec that this status answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the title is.
    // Read tolerantly: a newer version may have words that this one lacks, and this one writes its own.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_or_none")]
    pub phase: Option<Phase>,
    /// Share of the work done, such as `60%`. Changes by steps of at least 10 % or with a finished step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4))]
    pub progress: Option<String>,
    /// Ready, Reconciling, Stalled, Outdated, `RatingDiscrepancy`, `DuplicateFound`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
    /// The source as it was found; fixed until the spec changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceStatus>,
    /// What the source turned out to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaStatus>,
    /// Each enabled step.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "steps")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 16))]
    pub steps: Vec<StepStatus>,
    /// The attempt in hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptStatus>,
    /// Attempts that ended, newest last; the last 10 are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub history: Vec<AttemptSummary>,
    /// When the next attempt may start, after one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// When the title must be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<Time>,
    /// The value of `spec.refresh` that the results answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub refreshed: Option<String>,
    /// What is published: the truth, whatever the store's alias says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PublishedStatus>,
    /// The place of the title's print in the catalogue of its store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalogue: Option<PlaceStatus>,
}

/// A place in the catalogue of prints: written before the catalogue is, so that a crash in between loses no place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlaceStatus {
    /// Store profile.
    #[schemars(length(max = 63))]
    pub store: String,
    /// Version of the prints that are compared with each other.
    pub version: i32,
    /// Which place, from 0; titles at earlier ones entered before.
    pub position: i32,
    /// Key of the print.
    #[schemars(length(max = 71))]
    pub key: String,
    /// Whether the print is there. A state of a newer version is read as `Entered`.
    #[serde(deserialize_with = "known_or_entered")]
    pub state: PlaceState,
}

/// Whether a print is in the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum PlaceState {
    /// It is being written.
    Entering,
    /// It is there.
    Entered,
    /// It is being taken out.
    Leaving,
}

fn known_or_entered<'de, D: Deserializer<'de>>(from: D) -> Result<PlaceState, D::Error> {
    Ok(known_or_none(from)?.unwrap_or(PlaceState::Entered))
}

/// Steps as they are stored, whatever version stored them: one that is in a state of a newer version is done where it has
/// a result, and is still to be done where it has none.
fn steps<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StepStatus>, D::Error> {
    let mut steps = Vec::<StepStatus>::deserialize(from)?;
    // No version of ours leaves a result in a step that waits.
    for step in steps.iter_mut().filter(|step| step.state == StepState::Waiting && step.result.is_some()) {
        step.state = StepState::Done;
    }
    Ok(steps)
}

/// A state of a newer version is read as the first one.
fn known_or_waiting<'de, D: Deserializer<'de>>(from: D) -> Result<StepState, D::Error> {
    Ok(known_or_none(from)?.unwrap_or(StepState::Waiting))
}

/// Where a title is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum Phase {
    /// Accepted, nothing runs yet.
    Pending,
    /// A job runs, waits to start, or waits for its next attempt.
    Running,
    /// All that may be published is; the rest waits for a person. The Ready condition says what to decide.
    NeedsReview,
    /// Everything asked for is published.
    Published,
    /// It will not be done as it stands; the Ready condition says why and what to do.
    Failed,
    /// `spec.suspend` is true.
    Suspended,
}

/// The source as it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    /// Store profile.
    #[schemars(length(max = 63))]
    pub store: String,
    /// Path below the profile's prefix.
    #[schemars(length(max = 512))]
    pub path: String,
    /// Version id where the store keeps versions, else the `ETag`.
    #[schemars(length(max = 1024))]
    pub version: String,
    /// `ETag`.
    #[schemars(length(max = 256))]
    pub etag: String,
    /// Size, bytes.
    pub size_bytes: i64,
}

/// What the source turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MediaStatus {
    /// Container.
    #[schemars(length(max = 64))]
    pub container: String,
    /// Presented duration, such as `2m31.040s`.
    #[schemars(length(max = 32))]
    pub duration: String,
    /// Codec and size, such as `h264 1280x720`; absent without a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub video: Option<String>,
    /// Codec and layout, such as `aac 48000 Hz stereo`; absent without sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub audio: Option<String>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// `shots`, `thumbnails`, `subtitles`, `chapters`, `moderation`, `fingerprint` or `duplicates`.
    #[schemars(length(max = 32))]
    pub name: String,
    /// Where the step is.
    #[serde(deserialize_with = "known_or_waiting")]
    pub state: StepState,
    /// Digest of what was asked for; changes only when a person changes something.
    #[schemars(length(max = 71))]
    pub wanted: String,
    /// Key the result is kept under: everything the result depends on.
    #[schemars(length(max = 71))]
    pub key: String,
    /// Digest of the committed result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub result: Option<String>,
    /// Why it is skipped or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// For people: figures when done, the cure when failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub message: Option<String>,
    /// Attempts under this key that ended, but for those that were lost or never started.
    #[serde(default)]
    pub attempts: i32,
    /// Attempts under this key that were lost to evictions and node failures: they do not count against
    /// `execution.retries`.
    #[serde(default)]
    pub lost: i32,
    /// Models, as `name@sha256:…`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 160)))]
    pub models: Vec<String>,
    /// Settings that shaped the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub settings: Option<String>,
    /// Wall time of the step, such as `12.4s`; absent when its result was found ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub took: Option<String>,
    /// Folder in the bucket with the step's files as the worker left them: what one looks at before they are published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub folder: Option<String>,
    /// What moderation found, by axis.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["axis".into()]))]
    #[schemars(length(max = 3))]
    pub axes: Vec<AxisStatus>,
    /// Titles that `duplicates` found, the closest first; `duplicates.json` has all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub matches: Vec<MatchStatus>,
    /// `subtitles`: how many of the words are likely wrong; absent where that cannot be told for the model and language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word_errors: Option<WordErrorsStatus>,
    /// Whether the result waits for a person, or what people decided; absent where nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewStatus>,
    /// What the result says of itself that holds it back where `review.hold` has the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["rule".into()]))]
    #[schemars(length(max = 4))]
    pub doubts: Vec<Doubt>,
}

/// How many words are likely wrong, in thousandths of the words that were said: an estimate, for nobody has compared them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WordErrorsStatus {
    /// The likeliest. `review.maxWordErrorPercent` is held against it.
    pub per_mille: u16,
    /// Fewer are unlikely: one in twenty of the recordings that this was measured on had fewer.
    pub low: u16,
    /// More are unlikely: one in twenty of the recordings that this was measured on had more.
    pub high: u16,
    /// How it was told, and by which measurements, such as `word-probabilities/1`.
    #[schemars(length(max = 64))]
    pub method: String,
}

/// A title that shares something with this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MatchStatus {
    /// Which, as `namespace/name`.
    #[schemars(length(max = 320))]
    pub title: String,
    /// What this title is to it, the closest first: `Exact`, `ReEncode`, `Dub`, `AlternateCut`, `AudioOnlyReuse`, `TrailerOf`, `HasTrailer`,
    /// `SharedIntro`, `SharedIdent`, `SharedCredits` or `SharedSegment`.
    #[schemars(length(max = 32))]
    pub relation: String,
    /// How much of this title is in the other, percent.
    pub of_this: u8,
    /// How much of the other is in this one, percent.
    pub of_other: u8,
    /// Where in the other title the beginning of this one would lie, by the part that says most, such as `1m2.000s`; `-` where it would
    /// lie before the other begins. Of parts in another order it says nothing: `duplicates.json` has all of them.
    #[schemars(length(max = 32))]
    pub offset: String,
}

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum StepState {
    /// Not begun.
    Waiting,
    /// In a job that runs.
    Running,
    /// Its result is committed.
    Done,
    /// There is nothing to do for this title.
    Skipped,
    /// It failed and will not be tried again as it stands.
    Failed,
}

/// The attempt in hand: written before the job is created, so that a crash in between loses nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// Unit: the steps that share one decode.
    #[schemars(length(max = 71))]
    pub unit: String,
    /// 1 for the first.
    pub number: i32,
    /// Steps it does.
    #[schemars(length(max = 16), inner(length(max = 32)))]
    pub steps: Vec<String>,
    /// Upper bound of its cost, such as `0.42 USD`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 48))]
    pub cost_estimate: Option<String>,
    /// Since when the attempt is intended.
    pub since: Time,
    /// Store profile that its job reads from and writes to: the spec may name another one by the time it ends. Absent in attempts of
    /// older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub store: Option<String>,
    /// What the job is: its UID and digests of what must stay as it was made; `v1` alone before it is made. A job of this
    /// name that does not fit it is not the operator's. Absent in attempts of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub seal: Option<String>,
    /// When its cost was reserved. Written before the job is let run; without it the job may not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admitted: Option<Time>,
    /// Why the attempt is being ended early; absent as long as it is wanted. Written before its job is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub ending: Option<String>,
    /// Accelerator class, seconds to start and seconds to run that the job is made with, such as `cpu 900 7200`: what the spec says
    /// by the time it is made may be something else already. Where the class has spot machines, also why these or others were
    /// taken, such as `l4-spot 900 7200 Slack`. Absent in attempts of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub limits: Option<String>,
    /// Digests of what is kept of the job's pods on the job. Written before a pod is let go; what has none counts for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 32)))]
    pub records: Vec<String>,
}

/// Most digests of [`AttemptStatus::records`] and [`AttemptSummary::records`].
pub const MAX_RECORD_DIGESTS: usize = 8;

/// An attempt that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptSummary {
    /// Name of the Job.
    #[schemars(length(max = 63))]
    pub job: String,
    /// Unit.
    #[schemars(length(max = 71))]
    pub unit: String,
    /// Its number.
    pub number: i32,
    /// `Succeeded`, or the reason it did not.
    #[schemars(length(max = 64))]
    pub outcome: String,
    /// Whether it counts against `execution.retries`: losses to evictions and node failures do not.
    pub counted: bool,
    /// When it ended.
    pub ended: Time,
    /// Digest of the unit's result in the store; absent when the attempt left none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub result: Option<String>,
    /// Upper bound of its cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 48))]
    pub cost_estimate: Option<String>,
    /// UID of the Job: another Job of the same name is not the operator's. Absent where it was never seen, and in attempts of
    /// older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub uid: Option<String>,
    /// As in `status.attempt`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 32)))]
    pub records: Vec<String>,
    /// What it worked on and in which parts, such as `shots=388 subtitles=612`: thousandths of its processor time, each with its part of a
    /// shared decode. By this its cost is told apart. Equal parts where it left no report. Only of the
    /// last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 96))]
    pub shares: Option<String>,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedStatus {
    /// Digest of the manifest.
    #[schemars(length(max = 71))]
    pub digest: String,
    /// Digest over the steps' keys and results that it was made of: as long as it fits `status.steps`, there is nothing
    /// new to publish.
    #[schemars(length(max = 71))]
    pub contents: String,
    /// Folder in the bucket that holds the manifest, `blobs/`, `report.html` and `run.json`.
    #[schemars(length(max = 1024))]
    pub folder: String,
    /// When it was published.
    pub at: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A status as a newer version may have left it: words, fields, steps and conditions that this one does not know.
    const NEWER: &str = r#"{
        "phase": "Archived",
        "novelty": { "at": "2027-01-01T00:00:00Z" },
        "conditions": [
            { "type": "WithinBudget", "status": "True", "reason": "Fits", "message": "", "lastTransitionTime": "2027-01-01T00:00:00Z" }
        ],
        "steps": [
            { "name": "shots", "state": "Held", "wanted": "w", "key": "k", "result": "r", "grade": 7 },
            { "name": "thumbnails", "state": { "held": "by a person" }, "wanted": "w", "key": "k" },
            { "name": "credits", "state": "Done", "wanted": "w", "key": "k", "result": "r" }
        ]
    }"#;

    #[test]
    fn a_status_of_a_newer_version_is_read_as_far_as_it_is_known() {
        let status: TitleEnrichmentStatus = serde_json::from_str(NEWER).unwrap();
        assert_eq!(status.phase, None);
        assert_eq!(status.conditions[0].type_, "WithinBudget");
        let steps: Vec<_> = status.steps.iter().map(|step| (step.name.as_str(), step.state)).collect();
        assert_eq!(steps, [("shots", StepState::Done), ("thumbnails", StepState::Waiting), ("credits", StepState::Done)]);
    }

    #[test]
    fn words_that_are_known_are_read_as_they_are() {
        use strum::IntoEnumIterator as _;
        for phase in Phase::iter() {
            let status: TitleEnrichmentStatus = serde_json::from_value(serde_json::json!({ "phase": phase })).unwrap();
            assert_eq!(status.phase, Some(phase));
        }
        for state in StepState::iter() {
            let step = serde_json::json!({ "name": "shots", "state": state, "wanted": "w", "key": "k" });
            let step: StepStatus = serde_json::from_value(step).unwrap();
            assert_eq!(step.state, state);
        }
    }
}
