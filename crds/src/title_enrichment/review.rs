//! Review: what is known of a title, which results wait for a person, and what people decided. No I/O.

use crate::common::{known_only, known_or_none};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{Display, EnumIter, IntoEnumIterator as _};

/// What is known of the title beside its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TitleSpec {
    /// The rating that the title is to be shown under. Moderation compares with it, by tables of this project that are named for
    /// the categories they approximate. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_rating: Option<DeclaredRating>,
}

/// A rating that somebody declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.system != 'BBFC' || self.category in ['U', 'PG', '12A', '12', '15', '18']",
    "a BBFC category is one of U, PG, 12A, 12, 15 and 18"))]
#[x_kube(validation = ("self.system != 'MPA' || self.category in ['G', 'PG', 'PG-13', 'R', 'NC-17']",
    "an MPA category is one of G, PG, PG-13, R and NC-17"))]
#[x_kube(validation = ("self.system != 'FSK' || self.category in ['0', '6', '12', '16', '18']",
    "an FSK category is one of 0, 6, 12, 16 and 18"))]
pub struct DeclaredRating {
    /// Whose category it is: `BBFC`, `MPA` or `FSK`.
    pub system: RatingSystem,
    /// The category as that body writes it, such as `12A`, `PG-13` or `16`.
    #[schemars(length(min = 1, max = 8))]
    pub category: String,
}

/// Whose categories they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum RatingSystem {
    /// British Board of Film Classification.
    Bbfc,
    /// Motion Picture Association.
    Mpa,
    /// Freiwillige Selbstkontrolle der Filmwirtschaft.
    Fsk,
}

/// Which results wait for a person, and what people have decided. Changing it redoes no work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewSpec {
    /// Rules that hold a step's result back until a person decides: `RatingDiscrepancy` holds what moderation found where it does
    /// not go with `title.declaredRating`, or could not be held against it; `LanguageMismatch` holds subtitles that are in another
    /// language than most of the speech sounds like; `PoorThumbnails` holds thumbnails of a title that has no good picture, or none
    /// without nudity; `WordErrors` holds subtitles of which more words are likely wrong than `maxWordErrorPercent`, or of which that
    /// cannot be told. What holds a title that looks like another is `duplicates.hold`. One that the operator does not know holds
    /// nothing. Default: all
    /// rules; `[]` holds nothing by rule.
    #[serde(default = "default_hold", deserialize_with = "known_only")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 8))]
    pub hold: Vec<HoldRule>,
    /// Rule `WordErrors`: most words of a hundred that are to be wrong in subtitles that nobody has read, by the estimate in
    /// `status.steps[].wordErrors.perMille`. 1 to 100. Default 8: of spoilt recordings with more than 12 % wrong that nothing was
    /// tuned on, 27 of 28 were held by it (of the other nothing was believed), and one of five with less than 8 % (docs/subtitles.md).
    #[serde(default = "default_word_errors")]
    #[schemars(range(min = 1, max = 100))]
    pub max_word_error_percent: u8,
    /// Steps whose results always wait for a person, by name, such as `subtitles`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 8))]
    pub always: Vec<ReviewStep>,
    /// What people decided, one a step. A decision is bound to the result that was looked at: when another takes its place, it
    /// counts no more. Taking a decision back holds the result again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["step".into()]))]
    #[schemars(length(max = 8))]
    pub decisions: Vec<ReviewDecision>,
}

impl Default for ReviewSpec {
    fn default() -> Self {
        Self { hold: default_hold(), max_word_error_percent: default_word_errors(), always: Vec::new(), decisions: Vec::new() }
    }
}

fn default_hold() -> Vec<HoldRule> {
    HoldRule::iter().collect()
}

const fn default_word_errors() -> u8 {
    8
}

/// What holds a result back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum HoldRule {
    /// What moderation found does not go with the declared rating, or could not be held against it.
    RatingDiscrepancy,
    /// Subtitles are in another language than most of the speech sounds like.
    LanguageMismatch,
    /// Every candidate for a thumbnail was black, flat, blurred or badly exposed, or was left out for its nudity.
    PoorThumbnails,
    /// More words of the subtitles are likely wrong than is allowed, or that cannot be told.
    WordErrors,
}

/// Something that a result says of itself and that may hold it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Doubt {
    /// The rule of `review.hold` or `duplicates.hold` that looks at it.
    #[schemars(length(max = 32))]
    pub rule: String,
    /// For people.
    #[schemars(length(max = 256))]
    pub message: String,
}

/// A step, by the name that status and manifest have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum ReviewStep {
    /// `shots`.
    Shots,
    /// `thumbnails`.
    Thumbnails,
    /// `subtitles`.
    Subtitles,
    /// `chapters`.
    Chapters,
    /// `moderation`.
    Moderation,
    /// `fingerprint`.
    Fingerprint,
    /// `duplicates`.
    Duplicates,
}

/// What somebody decided about a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.action == 'Replace' && self.step == 'subtitles' ? has(self.path) && has(self.sha256) : !has(self.path) && !has(self.sha256)",
    "path and sha256 name the file that takes the subtitles' place: both with Replace of subtitles, neither with another"))]
#[x_kube(validation = ("(self.action == 'Replace' && self.step == 'thumbnails') == (has(self.pictures) && size(self.pictures) > 0)",
    "pictures names what takes the place of which thumbnail: at least one with Replace of thumbnails, none with another"))]
#[x_kube(validation = ("self.action != 'Replace' || self.step in ['subtitles', 'thumbnails']",
    "only subtitles and thumbnails can be replaced: use Accept or Reject for other steps"))]
pub struct ReviewDecision {
    /// The step whose result it is.
    pub step: ReviewStep,
    /// The result that was looked at: `status.steps[].result`, `sha256:` and 64 hex digits.
    #[schemars(length(min = 71, max = 71), regex(pattern = r"^sha256:[0-9a-f]{64}$"))]
    pub digest: String,
    /// `Accept` publishes the result; `Reject` keeps it from being published and asks no more; `Replace` publishes a person's file in
    /// its place, once that keeps the rules that the step's own keep: of subtitles the WebVTT file at `path`, of thumbnails
    /// `pictures`, each in the place of one pick. Nothing else can be replaced.
    pub action: ReviewAction,
    /// `Replace` of subtitles: path of the file in `source.store`, without a leading slash, such as `corrected/tt-4711.vtt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = ("!self.startsWith('/') && !self.matches('(^|/)[.]{1,2}(/|$)') && !self.contains('//')",
        "path is relative to the store profile: no leading slash, no empty, '.' or '..' parts"))]
    #[x_kube(validation = ("!self.matches('[\\\\x00-\\\\x1f\\\\x7f]')", "path must not hold control characters"))]
    pub path: Option<String>,
    /// `Replace` of subtitles: SHA-256 of that file, 64 hex digits in lower case, as `sha256sum` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// `Replace` of thumbnails: the pictures, each with the file it takes the place of. Every other file of the step stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["file".into()]))]
    #[schemars(length(max = 8))]
    pub pictures: Vec<GivenPicture>,
    /// Who decided, such as an address; shown in `status.steps[].review`, and of a picture in the published `thumbnails.json`.
    #[schemars(length(min = 1, max = 128))]
    pub by: String,
    /// Why, for those who read it later. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub reason: Option<String>,
}

/// A person's picture, and which thumbnail's place it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GivenPicture {
    /// The file that it is published as, such as `thumbnail-3.jpg`: one that the step made.
    #[schemars(length(min = 15, max = 15), regex(pattern = r"^thumbnail-[0-7][.]jpg$"))]
    pub file: String,
    /// Path of the picture in `source.store`, without a leading slash, such as `corrected/tt-4711.jpg`: a JPEG file of at most 2 MiB
    /// and 1280x720, its sides at least 180, not black, flat, blurred or lost, and unlike the other thumbnails. Its nudity is not
    /// judged, and it is published as it is, with what the camera or the editor wrote into it.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = ("!self.startsWith('/') && !self.matches('(^|/)[.]{1,2}(/|$)') && !self.contains('//')",
        "path is relative to the store profile: no leading slash, no empty, '.' or '..' parts"))]
    #[x_kube(validation = ("!self.matches('[\\\\x00-\\\\x1f\\\\x7f]')", "path must not hold control characters"))]
    pub path: String,
    /// SHA-256 of that file, 64 hex digits in lower case, as `sha256sum` prints it.
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
}

/// What is to become of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum ReviewAction {
    /// Publish it.
    Accept,
    /// Do not.
    Reject,
    /// Publish a file of a person's in its place.
    Replace,
}

/// What moderation found on one axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AxisStatus {
    /// `nudity`, `violence` or `language`.
    #[schemars(length(max = 16))]
    pub axis: String,
    /// 0 (none) to 5 (very strong); absent when it could not be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 5))]
    pub level: Option<u8>,
    /// Why it could not be judged: `NoModel`, `Language` or `NoPicture`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub unsupported: Option<String>,
    /// When the strongest moment begins, such as `41m7.000s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub strongest_at: Option<String>,
    /// How many moments there are.
    pub moments: i32,
}

/// Where a result is between the worker and the public.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewStatus {
    /// Where it is. One of a newer version is read as `Held`.
    #[serde(deserialize_with = "known_or_held")]
    pub state: ReviewState,
    /// Why it was held, or who decided.
    #[schemars(length(max = 512))]
    pub message: String,
    /// Digest of the file that is published in its place; of pictures, over which they are, whose place they take and who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 71))]
    pub replacement: Option<String>,
    /// Since when.
    pub since: Time,
}

fn known_or_held<'de, D: Deserializer<'de>>(from: D) -> Result<ReviewState, D::Error> {
    Ok(known_or_none(from)?.unwrap_or(ReviewState::Held))
}

/// Where a result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum ReviewState {
    /// It waits for a person, and is not published.
    Held,
    /// A person has let it be published.
    Accepted,
    /// A person has refused it; it is not published.
    Rejected,
    /// A file of a person's is published in its place.
    Replaced,
}
