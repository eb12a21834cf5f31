//! TitleEnrichment: what a title is to be given (shots, thumbnails, subtitles) and how far that is. No I/O.

mod reason;
mod review;
mod status;

pub use reason::*;
pub use review::*;
pub use status::*;

use crate::common::{ExecutionSpec, SourceSpec, known_only};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, IntoEnumIterator as _};

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
           says how strong its nudity and language are, makes its print, and finds what it is a copy of. Results are published as files with digests in the object store; status.published says where.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#, priority = 1),
    printcolumn(name = "Manifest", type_ = "string", json_path = ".status.published.digest", priority = 1)
)]
#[x_kube(validation = ("self.shots.enabled || self.thumbnails.enabled || self.subtitles.enabled || self.chapters.enabled || self.moderation.enabled || self.fingerprint.enabled",
    "enable at least one of shots, thumbnails, subtitles, chapters, moderation and fingerprint"))]
#[x_kube(validation = ("!self.duplicates.enabled || self.fingerprint.enabled",
    "copies are found by the print: enable fingerprint too, or disable duplicates"))]
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
    /// Which sound of the file is listened to. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio: Option<AudioSpec>,
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
    /// found by comparing prints (`duplicates`). Output: `fingerprint.srfp`, for programs, and `fingerprint.json`, for people. Off
    /// by default.
    #[serde(default)]
    pub fingerprint: FingerprintSpec,
    /// Enters the title's print in the catalogue of its store, and looks for titles that entered before and share something with it:
    /// copies, dubs, other cuts, trailers, an intro. Turning it off, or deleting the resource, takes the print out of the catalogue.
    /// Output: `duplicates.json`; the condition `DuplicateFound`. Needs `fingerprint`. Off by default.
    #[serde(default)]
    pub duplicates: DuplicatesSpec,
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

/// Which sound of a file is listened to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AudioSpec {
    /// The sound track that subtitles, chapters and fingerprint listen to, counted from 1 in the file's order (`ffprobe
    /// -select_streams a`), 1 to 64. A file without it fails with `SoundTrackMissing`. Default: the one that the file marks as default,
    /// else the first; commentary, audio description and dubs, as far as they are marked, only where there is nothing else. Subtitles
    /// prefer a track in `subtitles.language`, which costs a second decode of sound where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub track: Option<u8>,
}

/// Finds shots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShotsSpec {
    /// Whether to do this step. Default: `true`.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// `Fast` decides by rules. `Accurate` puts cuts that hardly stand out to a network, `TransNetV2`, which can only say no: fewer
    /// false cuts in restless pictures for some 6 ms of a core for each frame that it is shown, a hundred and a fifth of all at most. Needs
    /// the model `shots-transnetv2`. Default: `Fast`.
    #[serde(default)]
    pub profile: ShotsProfile,
}

/// Who decides where shots begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum ShotsProfile {
    /// Rules.
    #[default]
    Fast,
    /// Rules, and a network where they are in doubt.
    Accurate,
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
    /// Pictures whose nudity is of this level or above are never picked: the next best take their place. 1 (leaves out most) to 5
    /// (only the most explicit); levels are moderation's. Judged by the operator's model `moderation-nudity`, whether `moderation` is
    /// enabled or not; where the operator has no such model, `thumbnails.json` says `notJudged` of each picture. Trick-play pictures
    /// and stills of shots show all of the title. Default: 3.
    #[serde(default = "default_nudity_limit")]
    #[schemars(range(min = 1, max = 5))]
    pub exclude_nudity_at_or_above: u8,
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

/// Looks a title up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DuplicatesSpec {
    /// Whether to do this step. It makes the print cost 30 s of one core more for two hours, and takes a job of its own after that,
    /// which reads no media. Default: `false`.
    #[serde(default)]
    pub enabled: bool,
    /// What holds all that is new of the title until somebody decides on the step `duplicates` (`review.decisions`): `Copy`, that nine
    /// tenths of it and of another title are the same, `Version`, that it is a dub or another cut of one. What is published already stays
    /// until then. Default: both; `[]` holds nothing.
    #[serde(default = "default_likeness", deserialize_with = "known_only")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 4))]
    pub hold: Vec<Likeness>,
}

impl Default for DuplicatesSpec {
    fn default() -> Self {
        Self { enabled: false, hold: default_likeness() }
    }
}

fn default_likeness() -> Vec<Likeness> {
    Likeness::iter().collect()
}

/// What a title may be to another so that a person is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum Likeness {
    /// The same, or the same coded again.
    Copy,
    /// A dub or another cut.
    Version,
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
fn default_nudity_limit() -> u8 {
    3
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
        Self { enabled: true, profile: ShotsProfile::Fast }
    }
}
impl Default for ThumbnailsSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            select: default_select(),
            sprite_interval: default_sprite_interval(),
            exclude_nudity_at_or_above: default_nudity_limit(),
        }
    }
}
impl Default for SubtitlesSpec {
    fn default() -> Self {
        Self { enabled: true, language: None, model: default_speech_model(), max_chars_per_second: default_reading_speed() }
    }
}
