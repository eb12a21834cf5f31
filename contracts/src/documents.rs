//! The documents that steps publish beside pictures and subtitle files. No I/O.

use crate::{
    Digest,
    catalogue::TitleName,
    document,
    manifest::{Relation, Unsupported},
    result::Reason,
    step::Axis,
    time::{Span, TimeBase},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `shots.json`: the title cut into shots, in order, without gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShotsDocument {
    /// `showrunner.dev/shots/v1`.
    pub schema: String,
    /// Ticks of every time below.
    pub time_base: TimeBase,
    /// Presented duration, ticks.
    pub duration: i64,
    /// In order; each starts where the one before ends.
    pub shots: Vec<Shot>,
    /// The span in which the last shot fades out; absent when it simply ends.
    pub ends_with_fade: Option<Span>,
}
document!(ShotsDocument, "showrunner.dev/shots/v1");

/// One shot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shot {
    /// From its first frame to the first frame of the next.
    pub span: Span,
    /// How it begins.
    pub begins_with: Transition,
    /// A picture of it. Absent in documents of older workers, and of some shots in a title of more than 2000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub still: Option<Still>,
}

/// A small picture of a shot: part of a sheet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Still {
    /// File name of the sheet, such as `shots-0.jpg`.
    pub sheet: String,
    /// When the frame is presented, ticks: near the middle of what no transition reaches into.
    pub at: i64,
    /// Pixels from the sheet's left.
    pub x: u32,
    /// Pixels from the sheet's top.
    pub y: u32,
    /// Pixels across, at most 160.
    pub width: u32,
    /// Pixels down, at most 160.
    pub height: u32,
}

/// How a shot begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Transition {
    /// The title begins here.
    Start,
    /// From one frame to the next.
    Cut,
    /// One shot turns into the next; the shot boundary is the span's middle.
    Dissolve(Span),
    /// Through black, white or another flat colour; the shot boundary is the end of that colour: the first frame that shows
    /// anything of the new picture. The span reaches from the old picture at full strength to the new one at full strength.
    Fade(Span),
}

/// `thumbnails.json`: the picked pictures. Trick play has an index of its own, `sprite.vtt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ThumbnailsDocument {
    /// `showrunner.dev/thumbnails/v1`.
    pub schema: String,
    /// Ticks of every time below.
    pub time_base: TimeBase,
    /// Best first.
    pub picks: Vec<Pick>,
    /// Why fewer or less different pictures were picked than wanted; absent when all rules held.
    pub relaxed: Option<String>,
    /// How nudity was kept out of the picks; absent when no model judged them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nudity: Option<NudityRule>,
}
document!(ThumbnailsDocument, "showrunner.dev/thumbnails/v1");

/// How nudity was kept out of the picks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NudityRule {
    /// Name and version of the table that gave the levels, and whether it is calibrated; moderation's own.
    pub table: String,
    /// Pictures of this level and above were left out, 1 to 5.
    pub exclude_at_or_above: u8,
    /// Candidates that were judged, each once.
    pub judged: u32,
    /// How many of them were left out.
    pub left_out: u32,
}

/// One picked picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pick {
    /// File name, such as `thumbnail-0.jpg`.
    pub name: String,
    /// Presentation time, ticks.
    pub at: i64,
    /// Index into the shots.
    pub shot: u32,
    /// `Action`, `Character`, `Atmosphere` or `Dramatic`.
    pub category: String,
    /// 0 to 1, three decimals.
    pub score: f64,
    /// Width, pixels.
    pub width: u32,
    /// Height, pixels.
    pub height: u32,
    /// PDQ hash, 64 hex digits.
    pub pdq: String,
    /// How strong the nudity in it is, as it is published; or why nobody judged that.
    #[serde(default)]
    pub nudity: Nudity,
    /// Whose it is, where a person has put it in the place of what was picked: then time, shot, category and score are of the
    /// picture that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Given>,
}

/// A person's picture in the place of a pick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Given {
    /// Who decided.
    pub by: String,
    /// Digest of the picture's file.
    pub sha256: Digest,
    /// Size of that, bytes.
    pub size_bytes: u64,
}

/// How strong the nudity in a picture is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Nudity {
    /// It was judged.
    #[serde(rename_all = "camelCase")]
    Judged {
        /// What the model says, 0 to 1, three decimals.
        probability: f64,
        /// 0 (none) to 5 (very strong), by the table that the document names.
        level: u8,
    },
    /// It was not: never the same as level 0.
    NotJudged(NotJudged),
}

impl Default for Nudity {
    fn default() -> Self {
        Self::NotJudged(NotJudged::OlderWorker)
    }
}

/// Why nobody judged the nudity in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display, strum::EnumIter)]
pub enum NotJudged {
    /// No model for it is in the catalogue.
    NoModel,
    /// The worker that picked it was of a version that did not look at nudity. What documents without a word about it mean.
    OlderWorker,
    /// A person has given it: models run in workers only, and it never was in one.
    GivenByPerson,
}

/// `subtitles.json`: the cues, as the subtitle files hold them, and the style rules they could not keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubtitlesDocument {
    /// `showrunner.dev/subtitles/v1`.
    pub schema: String,
    /// BCP 47.
    pub language: String,
    /// True: the language was detected from the sound; false: it was stated.
    pub language_detected: bool,
    /// In order, never overlapping; milliseconds because that is what the subtitle formats hold.
    pub cues: Vec<Cue>,
    /// Style rules that could not be kept, for people.
    pub violations: Vec<String>,
}
document!(SubtitlesDocument, "showrunner.dev/subtitles/v1");

/// One cue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cue {
    /// Start, milliseconds on the title's timeline.
    pub start_ms: u64,
    /// End, milliseconds.
    pub end_ms: u64,
    /// One or two lines.
    pub lines: Vec<String>,
    /// How sure the model was of its words, 0 to 1, three decimals; absent where a person wrote them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
}

/// `chapters.json`: the title in parts, in order, without gaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChaptersDocument {
    /// `showrunner.dev/chapters/v1`.
    pub schema: String,
    /// Ticks of every time below.
    pub time_base: TimeBase,
    /// In order; each starts where the one before ends.
    pub chapters: Vec<Chapter>,
}
document!(ChaptersDocument, "showrunner.dev/chapters/v1");

/// One chapter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chapter {
    /// From the first frame of its first shot to that of the next chapter's.
    pub span: Span,
    /// Index of its first shot.
    pub shot: u32,
    /// What players show: `Chapter 1`, as long as nobody has given it a name.
    pub title: String,
    /// How clearly it differs from the chapter before, 0 to 1, three decimals; 1 for the first.
    pub clarity: f64,
    /// How far picture and sound rest where it begins, 0 to 1, three decimals.
    pub rest: f64,
}

/// `moderation.json`: how strong nudity, violence and language are, with the moments that show it. Advice to people who rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModerationDocument {
    /// `showrunner.dev/moderation/v1`.
    pub schema: String,
    /// Ticks of every time below.
    pub time_base: TimeBase,
    /// Pictures looked at a second.
    pub sample_fps: u8,
    /// Every axis that was asked for, in the order of [`Axis`].
    pub axes: Vec<AxisFinding>,
}
document!(ModerationDocument, "showrunner.dev/moderation/v1");

/// What was found on one axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AxisFinding {
    /// Which.
    pub axis: Axis,
    /// What was found.
    pub finding: Finding,
}

/// What was found on an axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Finding {
    /// It was judged.
    #[serde(rename_all = "camelCase")]
    Judged {
        /// 0 (none) to 5 (very strong).
        level: u8,
        /// Name and version of the table that gave the level, and whether it is calibrated.
        table: String,
        /// Strongest first, at most 200.
        moments: Vec<Moment>,
        /// How many there are in all.
        moments_in_all: u32,
    },
    /// It was not.
    Unsupported(Unsupported),
}

/// A moment that shows something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Moment {
    /// When.
    pub span: Span,
    /// 0 to 5 of a picture; of a word, its tier from 1 (mild) to 4 (very strong).
    pub strength: u8,
    /// When the strongest picture of it is shown; absent for words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_at: Option<i64>,
    /// The model's probability for that picture, 0 to 1, three decimals; absent for words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// The word as it was heard; absent for pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
}

/// `fingerprint.json`: what the title's print holds, for people. The print itself, which programs compare, is `fingerprint.srfp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FingerprintDocument {
    /// `showrunner.dev/fingerprint/v1`.
    pub schema: String,
    /// Name of the method.
    pub algorithm: String,
    /// Version of the print's file; prints of different versions are not compared.
    pub file_version: u16,
    /// What is in it of the picture.
    pub picture: PicturePrint,
    /// What is in it of the sound.
    pub sound: SoundPrint,
}
document!(FingerprintDocument, "showrunner.dev/fingerprint/v1");

/// What a print holds of the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum PicturePrint {
    /// Pictures.
    #[serde(rename_all = "camelCase")]
    Seen {
        /// How many, one a second.
        pictures: u32,
        /// How many of them say nothing: black, blank or next to it.
        blank: u32,
        /// Black bars that were cut off; absent where there are none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bars: Option<PrintedBars>,
        /// What the print looks like: at most [`MAX_STRIP`] moments, evenly spread, with a space between them. Each is four hex
        /// digits, which differ little where pictures look alike, or `----` where nothing is to be seen.
        strip: String,
    },
    /// None, and why.
    Missing(Reason),
}

/// Black bars, in shares of the picture's sides, three decimals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PrintedBars {
    /// Of the width, at the left.
    pub left: f64,
    /// Of the height, above.
    pub top: f64,
    /// Of the width, at the right.
    pub right: f64,
    /// Of the height, below.
    pub bottom: f64,
}

/// What a print holds of the sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum SoundPrint {
    /// Sound.
    #[serde(rename_all = "camelCase")]
    Heard {
        /// How long it lasts, seconds, three decimals.
        seconds: f64,
        /// Items, eight a second; the first needs 2.6 s of sound.
        items: u32,
        /// What the print sounds like, as that of the picture.
        strip: String,
    },
    /// None, and why.
    Missing(Reason),
}

/// Most moments of a strip.
pub const MAX_STRIP: usize = 200;

/// `duplicates.json`: which titles of the catalogue the title shares something with, of those that entered it before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DuplicatesDocument {
    /// `showrunner.dev/duplicates/v1`.
    pub schema: String,
    /// Name of the method.
    pub algorithm: String,
    /// Version of the prints that were compared.
    pub file_version: u16,
    /// The title's own place in the catalogue; all before it were looked through.
    pub position: u32,
    /// How long the title is by its print, seconds, three decimals.
    pub seconds: f64,
    /// The closest first, at most [`MAX_MATCHES`].
    pub matches: Vec<TitleMatch>,
}
document!(DuplicatesDocument, "showrunner.dev/duplicates/v1");

/// Most titles that a title is said to share something with.
pub const MAX_MATCHES: usize = 48;
/// Most parts of one title that are told.
pub const MAX_SEGMENTS: usize = 64;

/// A title that shares something with this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TitleMatch {
    /// Which.
    pub title: TitleName,
    /// Its place in the catalogue.
    pub position: u32,
    /// How long it is by its print, seconds, three decimals.
    pub seconds: f64,
    /// What this title is to it.
    pub relation: Relation,
    /// Where in the other title this one would begin, seconds, three decimals.
    pub offset: f64,
    /// Seconds of the other title to one of this, three decimals.
    pub speed: f64,
    /// Share of this title that is in the other, 0 to 1, three decimals; what is blank or silent does not count.
    pub of_this: f64,
    /// Share of the other title.
    pub of_other: f64,
    /// How much all of it says: about the number of different pictures, or of seconds of sound, that agree well.
    pub weight: f64,
    /// The parts they share, by their place in this title, pictures first; at most [`MAX_SEGMENTS`].
    pub segments: Vec<MatchedSegment>,
}

/// A part that two titles share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchedSegment {
    /// What it was found by.
    pub by: Sense,
    /// Where it lies in this title.
    pub this: Seconds,
    /// Where it lies in the other.
    pub other: Seconds,
}

/// What a shared part was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Sense {
    /// Pictures.
    Picture,
    /// Sound.
    Sound,
}

/// From one moment up to another, seconds, three decimals.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seconds {
    /// First moment.
    pub start: f64,
    /// First moment after it.
    pub end: f64,
}
