//! TitleEnrichment: what a title is to be given (shots, thumbnails, subtitles) and how far that is. No I/O.

mod review;

pub use review::*;

use crate::common::{ExecutionSpec, SourceSpec, known_or_none};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{Display, EnumIter, IntoStaticStr};

/// What a title is to be given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "showrunner.dev",
    version = "v1alpha1",
    kind = "TitleEnrichment",
    plural = "titleenrichments",
    singular = "titleenrichment",
    shortname = "te",
    category = "showrunner",
    namespaced,
    derive = "PartialEq",
    status = "TitleEnrichmentStatus",
    doc = "Enriches one title: finds its shots and chapters, picks thumbnails and a trick-play sprite, writes subtitles from its speech, \
           says how strong its nudity and language are, and makes the print that copies of it are found by. Results are published as files with digests in the object store; status.published says where.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, priority = 1),
    printcolumn(name = "Manifest", type_ = "string", json_path = ".status.published.digest", priority = 1)
)]
#[x_kube(validation = ("self.shots.enabled || self.thumbnails.enabled || self.subtitles.enabled || self.chapters.enabled || self.moderation.enabled || self.fingerprint.enabled",
    "enable at least one of shots, thumbnails, subtitles, chapters, moderation and fingerprint"))]
#[x_kube(validation = ("!self.thumbnails.enabled || self.shots.enabled",
    "thumbnails are picked inside shots: enable shots too, or disable thumbnails"))]
#[x_kube(validation = ("!self.chapters.enabled || self.shots.enabled",
    "chapters begin with shots: enable shots too, or disable chapters"))]
#[x_kube(validation = ("!self.moderation.enabled || !('Language' in self.moderation.axes) || self.subtitles.enabled",
    "language is judged by what the subtitles hear: enable subtitles too, or leave Language out of moderation.axes"))]
pub struct TitleEnrichmentSpec {
    /// The media file to enrich.
    pub source: SourceSpec,
    /// What is known of the title beside its file. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<TitleSpec>,
    /// Finds where one shot ends and the next begins: cuts, dissolves and fades. Output: `shots.json`.
    #[serde(default)]
    pub shots: ShotsSpec,
    /// Picks thumbnails inside the shots and renders trick-play sheets. Needs `shots`.
    #[serde(default)]
    pub thumbnails: ThumbnailsSpec,
    /// Writes what is said as WebVTT and IMSC 1.1 text subtitles in the language spoken.
    #[serde(default)]
    pub subtitles: SubtitlesSpec,
    /// Finds where one part of the title ends and the next begins, by picture and sound: 15 to 20 chapters for two hours, at least
    /// 2.5 minutes apart. Output: `chapters.json`, WebVTT, HLS session data and FFmpeg metadata. Needs `shots`. Off by default.
    #[serde(default)]
    pub chapters: ChaptersSpec,
    /// Says how strong nudity, violence and language are, 0 to 5 each, with the moments that show it. Advice to people who rate:
    /// a rating is never written. Output: `moderation.json`. Off by default.
    #[serde(default)]
    pub moderation: ModerationSpec,
    /// Makes the title's print: a hash of the picture for every second and what its sound is like, 0.5 MB for two hours. Copies are
    /// found by comparing prints; searching a whole catalogue is not built yet. Output: `fingerprint.srfp`, for programs, and
    /// `fingerprint.json`, for people. Off by default.
    #[serde(default)]
    pub fingerprint: FingerprintSpec,
    /// Which results wait for a person, and what people have decided.
    #[serde(default)]
    pub review: ReviewSpec,
    /// How the jobs are run.
    #[serde(default)]
    pub execution: ExecutionSpec,
    /// How long the whole title may take, from its creation or its last change of spec, waiting included.
    /// A duration such as `4h`. Default: `4h`.
    #[serde(default = "default_deadline")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('720h')", "deadline must be between 1m and 720h"))]
    pub deadline: String,
    /// `true` stops the running job and starts none; finished steps are kept. `false` goes on where it stopped. Default: `false`.
    /// To cancel, delete the resource.
    #[serde(default)]
    pub suspend: bool,
    /// Any new value asks that steps shown as outdated (newer algorithm or model) be done again. Costs what a run costs. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub refresh: Option<String>,
}

fn default_deadline() -> String {
    "4h".into()
}

/// Finds shots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShotsSpec {
    /// Whether to do this step. Default: `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// Picks thumbnails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThumbnailsSpec {
    /// Whether to do this step. Default: `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How many pictures to pick, 1 to 8. Default: 8.
    #[serde(default = "default_select")]
    #[schemars(range(min = 1, max = 8))]
    pub select: u8,
    /// Time between trick-play pictures, widened for titles too long for 16 sheets. A duration such as `5s`. Default: `10s`.
    #[serde(default = "default_sprite_interval")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = ("duration(self) >= duration('1s') && duration(self) <= duration('10m')", "spriteInterval must be between 1s and 10m"))]
    pub sprite_interval: String,
}

/// Writes subtitles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubtitlesSpec {
    /// Whether to do this step. Default: `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Language of the speech as a BCP 47 tag such as `en`; leave it out to have it detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 12), regex(pattern = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})?$"))]
    pub language: Option<String>,
    /// Speech model, by its name in the operator's catalogue. Default: `whisper-base`.
    #[serde(default = "default_speech_model")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub model: String,
    /// Reading speed the cues are shaped for, characters a second: 20 for adults, 17 for children. 10 to 30, default 20.
    #[serde(default = "default_reading_speed")]
    #[schemars(range(min = 10, max = 30))]
    pub max_chars_per_second: u8,
}

/// Finds chapters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChaptersSpec {
    /// Whether to do this step. Default: `false`.
    #[serde(default)]
    pub enabled: bool,
}

/// Judges how strong a title is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModerationSpec {
    /// Whether to do this step. Default: `false`.
    #[serde(default)]
    pub enabled: bool,
    /// What to judge: `Nudity` and `Violence` by pictures, `Language` by what the subtitles hear. An axis without a model reads
    /// `NoModel` in the status, and never 0. Default: all three.
    #[serde(default = "default_axes")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(min = 1, max = 3))]
    pub axes: Vec<ModerationAxis>,
    /// Pictures looked at a second, 1 to 4: what is shown for less than that may be missed. Costs about 17 ms of a core each. Default: 1.
    #[serde(default = "default_sample_fps")]
    #[schemars(range(min = 1, max = 4))]
    pub sample_fps: u8,
}

/// Makes the title's print.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FingerprintSpec {
    /// Whether to do this step. It shares the decode with the others, and adds 4 s of one core for two hours. Default: `false`.
    #[serde(default)]
    pub enabled: bool,
}

/// Something that a title is rated by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum ModerationAxis {
    /// Nudity, by pictures.
    Nudity,
    /// Violence, by pictures.
    Violence,
    /// Language, by what is said.
    Language,
}

impl Default for ModerationSpec {
    fn default() -> Self {
        Self { enabled: false, axes: default_axes(), sample_fps: default_sample_fps() }
    }
}

fn default_axes() -> Vec<ModerationAxis> {
    vec![ModerationAxis::Nudity, ModerationAxis::Violence, ModerationAxis::Language]
}
fn default_sample_fps() -> u8 {
    1
}
fn yes() -> bool {
    true
}
fn default_select() -> u8 {
    8
}
fn default_sprite_interval() -> String {
    "10s".into()
}
fn default_speech_model() -> String {
    "whisper-base".into()
}
fn default_reading_speed() -> u8 {
    20
}

impl Default for ShotsSpec {
    fn default() -> Self {
        Self { enabled: true }
    }
}
impl Default for ThumbnailsSpec {
    fn default() -> Self {
        Self { enabled: true, select: default_select(), sprite_interval: default_sprite_interval() }
    }
}
impl Default for SubtitlesSpec {
    fn default() -> Self {
        Self { enabled: true, language: None, model: default_speech_model(), max_chars_per_second: default_reading_speed() }
    }
}

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
    /// Ready, Reconciling, Stalled, Outdated, `RatingDiscrepancy`.
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
    /// `shots`, `thumbnails`, `subtitles`, `chapters`, `moderation` or `fingerprint`.
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
    /// Whether the result waits for a person, or what people decided; absent where nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewStatus>,
    /// What the result says of itself that holds it back where `review.hold` has the rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["rule".into()]))]
    #[schemars(length(max = 4))]
    pub doubts: Vec<Doubt>,
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
    /// by the time it is made may be something else already. Absent in attempts of older versions.
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

/// Reasons of the conditions of a TitleEnrichment. Part of the API: documented in `docs/kinds/title-enrichment.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Display, IntoStaticStr, EnumIter)]
pub enum TitleReason {
    /// Everything asked for is published.
    Published,
    /// The plan is made, its job is about to be created.
    Planned,
    /// As many jobs as are let run at once run already; the oldest title is next.
    Queued,
    /// The job waits for the money to be reserved.
    WaitingForAdmission,
    /// The job's pod waits to start.
    WaitingToStart,
    /// The job's pod runs.
    Working,
    /// An attempt failed; the next one starts at `status.nextAttemptAt`.
    Retrying,
    /// Results are being published.
    Publishing,
    /// `spec.suspend` is true.
    Suspended,
    /// The resource is being deleted; its job is stopped first.
    Cancelling,
    /// Showrunner was uninstalled while something was still to be done; installed again, it goes on.
    OperatorUninstalled,
    /// There is no object at `spec.source.path`.
    SourceNotFound,
    /// The source has no bytes.
    SourceEmpty,
    /// The source is not a media file of an accepted container.
    SourceNotMedia,
    /// The source ends early or is damaged.
    SourceTruncated,
    /// The source is longer, larger or has more streams than allowed.
    SourceTooLarge,
    /// The source's bytes are not those of `spec.source.sha256`.
    SourceDigestMismatch,
    /// The source changed while it was worked on.
    SourceChanged,
    /// `spec.source.path` leaves its profile.
    SourcePathEscapes,
    /// No store profile has the name of `spec.source.store`.
    StoreUnknown,
    /// The store cannot be reached.
    StoreUnavailable,
    /// The store does not accept the operator's credentials, or they are missing.
    StoreCredentialsRejected,
    /// The store's credentials do not allow this.
    StoreAccessDenied,
    /// The catalogue has no such model for this step.
    ModelUnknown,
    /// A model is missing in the worker image, or its files are not those of its digest.
    ModelUnusable,
    /// The model's licence is not on the allowed list.
    ModelLicenceRefused,
    /// No accelerator class has the name of `spec.execution.class`.
    ClassUnknown,
    /// The model does not serve the title's language.
    LanguageUnsupported,
    /// The worker image cannot be pulled.
    ImageUnavailable,
    /// No node can take the pod.
    PodUnschedulable,
    /// No pod started within `spec.execution.startDeadline`.
    StartDeadlineExceeded,
    /// The title was not done by `status.deadlineAt`.
    DeadlineExceeded,
    /// The worker used more memory than its limit.
    OutOfMemory,
    /// The worker ran longer than `spec.execution.maxDuration`.
    RunDeadlineExceeded,
    /// A step failed for a reason of its own; `status.steps` says which.
    StepFailed,
    /// The worker ended without a result.
    WorkerFailed,
    /// The worker's result does not fit its digest or its order, and is not used.
    ResultInvalid,
    /// The Job's name is taken by an object that is not ours.
    JobConflict,
    /// The API server refused the Job: a quota, an admission policy, a missing right.
    JobRefused,
    /// A Job says that it is this title's, and the operator has not made it.
    JobForged,
    /// Somebody else has changed the title's Job, or let it run.
    JobAltered,
    /// The spec cannot be served as it stands, although the schema accepts it.
    SpecInvalid,
    /// A result waits for a person: decide in `spec.review.decisions`.
    ReviewNeeded,
    /// The file that is to take a result's place cannot be published as it is.
    ReplacementInvalid,
    /// An axis is stronger than what goes with the declared rating.
    AboveRating,
    /// All axes were judged, and none is stronger than what goes with the declared rating.
    WithinRating,
    /// An axis could not be judged, or was not asked for; none of the others is too strong.
    AxisNotJudged,
    /// Moderation is not done: whether the title goes with its declared rating is not known yet.
    NotJudgedYet,
    /// A newer algorithm or model would give another result.
    NewerVersionAvailable,
    /// Results are of the newest algorithms and models.
    UpToDate,
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
