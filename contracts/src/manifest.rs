//! What is published of a title: one manifest, content only and deterministic, that names every file by digest. No I/O.

use crate::{
    Digest, document,
    result::{Output, Reason},
    step::{Axis, ModelRef, SourceIdentity, Step},
    time::TimeBase,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The published truth about a title. Its digest is `status.published.digest`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct TitleManifest {
    /// `showrunner.dev/title-manifest/v1`.
    pub schema: String,
    /// What was looked at.
    pub source: SourceIdentity,
    /// What it turned out to be.
    pub media: MediaSummary,
    /// What was done, in the order of [`Step`].
    pub steps: Vec<PublishedStep>,
}
document!(TitleManifest, "showrunner.dev/title-manifest/v1");

/// One step of a published title.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct PublishedStep {
    /// Which step.
    pub step: Step,
    /// Key of its result.
    pub key: Digest,
    /// Set when there was nothing to do (no sound, no picture).
    pub skipped: Option<Reason>,
    /// Set when there is a result that is not published: a person has to decide, or has refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<Withheld>,
    /// Who made what is published of it: `Mixed` where its files are not all of one origin.
    #[serde(default)]
    pub origin: Origin,
    /// Files, each at `blobs/<hex digest>` beside the manifest.
    pub outputs: Vec<Output>,
    /// Figures.
    pub summary: Option<StepSummary>,
    /// Models used.
    pub models: Vec<ModelRef>,
}

/// Who made a result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumIter)]
pub enum Origin {
    /// A worker, from the source.
    #[default]
    Machine,
    /// A person, in the place of what a worker made.
    Human,
    /// Both: a person has replaced a part of what a worker made.
    Mixed,
}

impl Origin {
    /// Of all that is made of parts of these origins; of nothing, a worker's.
    pub fn of_all(parts: impl IntoIterator<Item = Self>) -> Self {
        let one = |whole: Self, part: Self| if whole == part { whole } else { Self::Mixed };
        parts.into_iter().reduce(one).unwrap_or_default()
    }
}

/// Why a result is not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumIter)]
pub enum Withheld {
    /// It waits for a person.
    Held,
    /// A person has refused it.
    Rejected,
}

/// The few figures of a step that status and reports show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub enum StepSummary {
    /// Shots.
    #[serde(rename_all = "camelCase")]
    Shots {
        /// How many shots.
        shots: u32,
        /// How many begin with a cut.
        cuts: u32,
        /// How many begin with a dissolve.
        dissolves: u32,
        /// How many begin with a fade.
        fades: u32,
        /// Frames that a model was shown where rules were in doubt; 0 where rules alone decided.
        #[serde(default, skip_serializing_if = "is_zero")]
        inferred: u32,
    },
    /// Thumbnails.
    #[serde(rename_all = "camelCase")]
    Thumbnails {
        /// Frames looked at.
        candidates: u32,
        /// Pictures picked.
        selected: u32,
        /// Trick-play sheets.
        sheets: u32,
        /// Every candidate was black, flat, blurred or badly exposed: the picks are the least bad.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        poor: bool,
        /// Candidates that were left out for their nudity; absent when no model judged the picks.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left_out: Option<u32>,
    },
    /// Subtitles.
    #[serde(rename_all = "camelCase")]
    Subtitles {
        /// BCP 47 language.
        language: String,
        /// How many cues.
        cues: u32,
        /// How many words.
        words: u32,
        /// Speech heard, milliseconds.
        speech_ms: u64,
        /// Segments dropped by the hallucination guards.
        dropped: u32,
        /// What most of the speech sounds like, where that is another language than it was written down in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heard_instead: Option<HeardLanguage>,
        /// How many of the words are likely wrong; absent where that cannot be told for this model and language.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        word_errors: Option<WordErrors>,
    },
    /// Chapters.
    #[serde(rename_all = "camelCase")]
    Chapters {
        /// How many.
        chapters: u32,
        /// How many begin where picture or sound rests.
        at_rest: u32,
        /// Whether there was sound to go by.
        heard: bool,
    },
    /// Moderation.
    #[serde(rename_all = "camelCase")]
    Moderation {
        /// Every axis that was asked for, in the order of [`Axis`].
        axes: Vec<AxisSummary>,
    },
    /// The print.
    #[serde(rename_all = "camelCase")]
    Fingerprint {
        /// Pictures in it, one a second; absent where the title has no picture.
        pictures: Option<u32>,
        /// How many of them say nothing: black, blank or next to it.
        blank: u32,
        /// Whether black bars were cut off.
        bars: bool,
        /// Sound in it, seconds; absent where the title has no sound.
        sound_seconds: Option<u32>,
    },
    /// Copies in the catalogue.
    #[serde(rename_all = "camelCase")]
    Duplicates {
        /// Places of the catalogue that were looked through.
        searched: u32,
        /// How many titles it shares something with.
        matches: u32,
        /// The closest, at most [`MAX_CLOSEST`].
        closest: Vec<MatchSummary>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it asks about by reference")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl StepSummary {
    /// The step these are figures of.
    pub const fn step(&self) -> Step {
        match self {
            Self::Shots { .. } => Step::Shots,
            Self::Thumbnails { .. } => Step::Thumbnails,
            Self::Subtitles { .. } => Step::Subtitles,
            Self::Chapters { .. } => Step::Chapters,
            Self::Moderation { .. } => Step::Moderation,
            Self::Fingerprint { .. } => Step::Fingerprint,
            Self::Duplicates { .. } => Step::Duplicates,
        }
    }
}

/// How many words of subtitles are likely wrong, told without knowing what was said. Thousandths of the words that were said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WordErrors {
    /// The likeliest.
    pub per_mille: u16,
    /// Fewer are unlikely: one in twenty of the recordings that this was measured on had fewer.
    pub low: u16,
    /// More are unlikely: one in twenty of the recordings that this was measured on had more.
    pub high: u16,
    /// How it was told, and by which measurements, such as `word-probabilities/1`.
    pub method: String,
}

impl fmt::Display for WordErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |per_mille: u16| f64::from(per_mille) / 10.0;
        let Self { per_mille, low, high, .. } = self;
        write!(f, "about {} % of the words wrong ({} to {} %)", percent(*per_mille), percent(*low), percent(*high))
    }
}

/// Most titles that a summary names.
pub const MAX_CLOSEST: usize = 4;

/// A title that shares something with this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct MatchSummary {
    /// Namespace and name, as `namespace/name`.
    pub title: String,
    /// What this title is to it.
    pub relation: Relation,
    /// How much of this title is in the other, percent.
    pub of_this: u8,
    /// How much of the other is in this one, percent.
    pub of_other: u8,
    /// Where in the other title this one would begin, milliseconds; negative where it begins before.
    pub offset_ms: i64,
}

/// What a title is to another, from the closest down.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::Display,
    strum::EnumIter,
    strum::IntoStaticStr,
)]
pub enum Relation {
    /// The same pictures and samples.
    Exact,
    /// The whole of it, coded again, scaled, cropped, framed or played faster.
    ReEncode,
    /// The whole picture with another sound.
    Dub,
    /// Parts taken out, put in or moved.
    AlternateCut,
    /// Its sound under other pictures.
    AudioOnlyReuse,
    /// A trailer of it, or an excerpt.
    TrailerOf,
    /// It has a trailer or an excerpt in the other title.
    HasTrailer,
    /// They begin alike, and are different titles.
    SharedIntro,
    /// They begin with the same company's sign.
    SharedIdent,
    /// They end alike.
    SharedCredits,
    /// They share another part.
    SharedSegment,
}

impl Relation {
    /// Whether one of the two is enough: nine tenths of both are the same.
    pub const fn is_copy(self) -> bool {
        matches!(self, Self::Exact | Self::ReEncode)
    }

    /// Whether they are versions of one title, which may both be wanted.
    pub const fn is_version(self) -> bool {
        matches!(self, Self::Dub | Self::AlternateCut)
    }
}

/// A language that speech sounds like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct HeardLanguage {
    /// BCP 47 primary language.
    pub language: String,
    /// How much of the speech that is, each window counted by how sure the model is of it; more than half.
    pub percent: u8,
}

/// What was found on one axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct AxisSummary {
    /// Which.
    pub axis: Axis,
    /// 0 (none) to 5 (very strong); absent when it could not be judged.
    pub level: Option<u8>,
    /// Why it could not be judged; absent when it was.
    pub unsupported: Option<Unsupported>,
    /// When the strongest moment begins, milliseconds; absent without one.
    pub strongest_at_ms: Option<u64>,
    /// How many moments there are.
    pub moments: u32,
}

/// Why an axis was not judged. Never the same as "nothing was found".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumIter)]
pub enum Unsupported {
    /// No model for it is in the catalogue.
    NoModel,
    /// Neither the speech model nor the word lists serve the language spoken.
    Language,
    /// The title has no picture to look at.
    NoPicture,
}

/// What a source is, on its one timeline: zero at the first presented picture (sound only: the first sample).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct MediaSummary {
    /// Container as the demuxer names it.
    pub container: String,
    /// Duration as the stream's headers, else the container's, state it, in ticks of `time_base`; 0 where neither does. What was
    /// presented once decoded can be longer or shorter: see `duration` in `shots.json`.
    pub duration: i64,
    /// The timeline's base: the picture's, or the sound's where there is none.
    pub time_base: TimeBase,
    /// The picture looked at.
    pub video: Option<VideoSummary>,
    /// The sound listened to.
    pub audio: Option<AudioSummary>,
    /// How many streams there are in all.
    pub streams: u32,
}

/// The picture. Colour fields are as the stream states them; absent means unspecified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct VideoSummary {
    /// Codec as the decoder names it.
    pub codec: String,
    /// Width of the stream's picture, pixels: before rotation and sample aspect are applied.
    pub width: u32,
    /// Height of the stream's picture, pixels: before rotation and sample aspect are applied.
    pub height: u32,
    /// Sample aspect ratio, `num:den`.
    pub sample_aspect: Option<String>,
    /// Rotation to apply, degrees clockwise: 0, 90, 180 or 270.
    pub rotation: u16,
    /// `progressive`, `tt`, `bb`, `tb`, `bt`.
    pub field_order: Option<String>,
    /// Average frame rate, `num/den`.
    pub average_frame_rate: Option<String>,
    /// Bits a sample.
    pub bit_depth: Option<u8>,
    /// Pixel format.
    pub pixel_format: Option<String>,
    /// Colour primaries.
    pub primaries: Option<String>,
    /// Transfer characteristic.
    pub transfer: Option<String>,
    /// Matrix.
    pub matrix: Option<String>,
    /// `limited` or `full`.
    pub range: Option<String>,
    /// Kinds of HDR metadata found, such as `mastering-display`.
    pub hdr: Vec<String>,
    /// Whether the picture carries captions.
    pub captions: bool,
    /// Start timecode.
    pub timecode: Option<String>,
}

/// The sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct AudioSummary {
    /// Codec as the decoder names it.
    pub codec: String,
    /// Samples a second.
    pub sample_rate: u32,
    /// How many channels.
    pub channels: u32,
    /// Channel layout.
    pub layout: Option<String>,
    /// Language the stream states.
    pub language: Option<String>,
}

/// What an attempt or a title took: times, attempts and costs, kept beside the manifest and never in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct RunDocument {
    /// `showrunner.dev/run/v1`.
    pub schema: String,
    /// Every attempt that is still known, oldest first.
    pub attempts: Vec<AttemptRecord>,
}
document!(RunDocument, "showrunner.dev/run/v1");

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct AttemptRecord {
    /// Job name.
    pub job: String,
    /// Attempt number at its unit.
    pub attempt: u32,
    /// Steps and what became of each.
    pub steps: Vec<crate::result::StepOutcome>,
    /// What it took.
    pub run: crate::result::RunRecord,
    /// Upper-bound cost, decimal, in the operator's currency.
    pub cost_estimate: String,
}
