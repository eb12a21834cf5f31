//! The steps a title can be put through, what each depends on, and the keys their results are kept under. No I/O.

use crate::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use strum::{Display, EnumIter, IntoStaticStr};

/// Version of the analysis picture's recipe (rotation, aspect, deinterlacing, tone mapping, size). In the key of every
/// step that looks at the picture; raised by hand when the picture changes.
/// 2: HDR is tone-mapped from a diffuse white of 203 cd/m2, SDR of wide gamut is converted. 3: pictures of three sizes.
pub const PICTURE_RECIPE: u32 = 3;
/// Version of the sound recipe (16 kHz mono, gaps filled with silence). In the key of every step that listens.
pub const SOUND_RECIPE: u32 = 1;

/// One step of a title's enrichment.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Display, EnumIter, IntoStaticStr,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Step {
    /// Where one shot ends and the next begins.
    Shots,
    /// Which frames show the title best, and the trick-play sprite.
    Thumbnails,
    /// What is said, as readable cues.
    Subtitles,
    /// Where one part of the title ends and the next begins, by picture and sound.
    Chapters,
    /// How strong nudity, violence and language are.
    Moderation,
    /// What copies of the title are found by.
    Fingerprint,
    /// Which titles of the catalogue it is a copy of.
    Duplicates,
}

impl Step {
    /// Raised by hand whenever the same input would give another result; never derived from the build.
    #[expect(clippy::match_same_arms, reason = "each step's version goes up by itself")]
    pub const fn algorithm_version(self) -> u32 {
        match self {
            // 2: a still of every shot. 3: whip pans and slow flashes are no changes, faint fades are found whole. 4: looks at glances
            // of frames.
            Self::Shots => 4,
            // 2: the trick-play index names its sheets by digest. 3: faults are measured at full size, on scales fitted to
            // pictures of known faults; picks come best first. 4: picks are judged for nudity, where there is a model, and those of
            // a limit and above are left out. 5: how much frames move, and trick play, are read off glances.
            Self::Thumbnails => 5,
            // 2: IMSC styles stand at the elements they apply to; languages written from right to left say so. 3: what the speech
            // sounds like is held against the language it is written down in. 4: cues say how sure the model was, and how many words
            // are likely wrong is told.
            Self::Subtitles => 4,
            // 2: looks at glances.
            Self::Chapters => 2,
            // 2: pictures go through libjpeg on their way to the nudity model.
            Self::Moderation => 2,
            // Prints of the engine's `file::VERSION` 1: who raises that raises this.
            Self::Fingerprint => 1,
            Self::Duplicates => 1,
        }
    }

    /// Whether the step looks at the picture.
    pub const fn sees(self) -> bool {
        match self {
            Self::Shots | Self::Thumbnails | Self::Chapters | Self::Moderation | Self::Fingerprint => true,
            Self::Subtitles | Self::Duplicates => false,
        }
    }

    /// Whether the step listens to the sound itself; moderation reads what another step heard.
    pub const fn hears(self) -> bool {
        match self {
            Self::Subtitles | Self::Chapters | Self::Fingerprint => true,
            Self::Shots | Self::Thumbnails | Self::Moderation | Self::Duplicates => false,
        }
    }

    /// Whether the step needs the source at all: what only reads other steps' results does not.
    pub const fn reads_source(self) -> bool {
        self.sees() || self.hears()
    }

    /// Whether models may have a part in it.
    pub const fn uses_models(self) -> bool {
        match self {
            Self::Shots | Self::Thumbnails | Self::Subtitles | Self::Moderation => true,
            Self::Chapters | Self::Fingerprint | Self::Duplicates => false,
        }
    }

    /// Every file name the step may write, in the order they are written. A worker is signed permission for these only.
    pub fn slots(self) -> Vec<String> {
        match self {
            Self::Shots => (0..MAX_STILL_SHEETS).map(still_sheet).chain(["shots.json".into()]).collect(),
            Self::Thumbnails => (0..MAX_PICKS)
                .map(|n| format!("thumbnail-{n}.jpg"))
                .chain((0..MAX_SPRITE_SHEETS).map(|n| format!("sprite-{n}.jpg")))
                .chain(["sprite.vtt".into(), "thumbnails.json".into()])
                .collect(),
            Self::Subtitles => vec!["subtitles.vtt".into(), "subtitles.imsc1.xml".into(), "subtitles.json".into()],
            Self::Chapters => {
                vec!["chapters.vtt".into(), "chapters.hls.json".into(), "chapters.ffmeta".into(), "chapters.json".into()]
            }
            Self::Moderation => vec!["moderation.json".into()],
            Self::Fingerprint => vec![PRINT.into(), QUERY.into(), "fingerprint.json".into()],
            Self::Duplicates => vec!["duplicates.json".into()],
        }
    }

    /// Whether a file of the step is there for other steps only: it is never published.
    pub fn keeps(self, name: &str) -> bool {
        self == Self::Fingerprint && name == QUERY
    }
}

/// The print that copies of a title are found by.
pub const PRINT: &str = "fingerprint.srfp";
/// What a title is looked up with: its print as it may have been cropped, mirrored or played faster.
pub const QUERY: &str = "fingerprint.srfq";

/// Most thumbnails a title is given.
pub const MAX_PICKS: usize = 8;
/// Most trick-play sheets a title is given; intervals are widened until it fits.
pub const MAX_SPRITE_SHEETS: usize = 16;
/// Most sheets with stills of shots a title is given; with more shots than they hold, not every shot has a still.
pub const MAX_STILL_SHEETS: usize = 10;

/// File name of a sheet with stills of shots.
pub fn still_sheet(sheet: usize) -> String {
    format!("shots-{sheet}.jpg")
}

/// What the user asked of a step, as far as it changes the result. Part of the step's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum StepParams {
    /// Shots.
    #[serde(rename_all = "camelCase")]
    Shots {
        /// Who decides. Not among the parameters where it is the default: so results from before there was a choice stay what they are.
        #[serde(default, skip_serializing_if = "ShotsProfile::is_fast")]
        profile: ShotsProfile,
    },
    /// Thumbnails and trick play.
    #[serde(rename_all = "camelCase")]
    Thumbnails {
        /// How many pictures to pick, 1 to [`MAX_PICKS`].
        select: u8,
        /// Time between trick-play pictures, milliseconds.
        sprite_interval_ms: u32,
        /// Pictures of this level of nudity and above are not picked, 1 to 5, where a model judges them. Not among the parameters
        /// where it is the default: what was asked for before there was such a limit is asked for still.
        #[serde(default = "default_nudity_limit", skip_serializing_if = "is_default_nudity_limit")]
        exclude_nudity_at_or_above: u8,
    },
    /// Subtitles.
    #[serde(rename_all = "camelCase")]
    Subtitles {
        /// BCP 47 primary language of the speech; absent: detected.
        language: Option<String>,
        /// Reading speed the cues are shaped for, characters a second.
        max_chars_per_second: u8,
        /// Which sound track is listened to, from 1; absent: the title's own, in the language if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        track: Option<u8>,
    },
    /// Chapters.
    #[serde(rename_all = "camelCase")]
    Chapters {
        /// Which sound track is listened to, from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        track: Option<u8>,
    },
    /// Moderation.
    #[serde(rename_all = "camelCase")]
    Moderation {
        /// What to judge, each once, in the order of [`Axis`].
        axes: Vec<Axis>,
        /// Pictures looked at a second, 1 to [`MAX_SAMPLE_FPS`].
        sample_fps: u8,
    },
    /// The print.
    #[serde(rename_all = "camelCase")]
    Fingerprint {
        /// Whether the title is to be looked up by it: then [`QUERY`] is made, too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        query: bool,
        /// Which sound track is listened to, from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        track: Option<u8>,
    },
    /// Nothing to choose yet.
    Duplicates {},
}

/// Who decides where shots begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ShotsProfile {
    /// Rules alone.
    #[default]
    Fast,
    /// Rules, and the model [`SHOTS_MODEL`] where they are in doubt.
    Accurate,
}

impl ShotsProfile {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it asks about by reference")]
    const fn is_fast(&self) -> bool {
        matches!(self, Self::Fast)
    }
}

/// The catalogue's name of the model that doubtful cuts are put to.
pub const SHOTS_MODEL: &str = "shots-transnetv2";

/// The level of nudity from which on a picture is not picked as a thumbnail, where nobody says.
pub const NUDITY_LIMIT: u8 = 3;

const fn default_nudity_limit() -> u8 {
    NUDITY_LIMIT
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes what it asks about by reference")]
const fn is_default_nudity_limit(limit: &u8) -> bool {
    *limit == NUDITY_LIMIT
}

/// The catalogue's name of the model that judges nudity, for moderation and for thumbnails.
pub const NUDITY_MODEL: &str = "moderation-nudity";

/// Most pictures a second that moderation looks at.
pub const MAX_SAMPLE_FPS: u8 = 4;

/// One thing that a title is rated by.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Display, EnumIter, IntoStaticStr,
)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Axis {
    /// Nudity, by pictures.
    Nudity,
    /// Violence, by pictures.
    Violence,
    /// Language, by what is said.
    Language,
}

impl Axis {
    /// The catalogue's name of the model for an axis that pictures show; none for one that they do not.
    pub const fn model(self) -> Option<&'static str> {
        match self {
            Self::Nudity => Some(NUDITY_MODEL),
            Self::Violence => Some("moderation-violence"),
            Self::Language => None,
        }
    }
}

impl StepParams {
    /// The step these belong to.
    pub const fn step(&self) -> Step {
        match self {
            Self::Shots { .. } => Step::Shots,
            Self::Thumbnails { .. } => Step::Thumbnails,
            Self::Subtitles { .. } => Step::Subtitles,
            Self::Chapters { .. } => Step::Chapters,
            Self::Moderation { .. } => Step::Moderation,
            Self::Fingerprint { .. } => Step::Fingerprint,
            Self::Duplicates {} => Step::Duplicates,
        }
    }

    /// Steps whose results this one reads.
    pub fn needs(&self) -> &'static [Step] {
        match self {
            Self::Thumbnails { .. } | Self::Chapters { .. } => &[Step::Shots],
            Self::Moderation { axes, .. } if axes.contains(&Axis::Language) => &[Step::Subtitles],
            Self::Duplicates {} => &[Step::Fingerprint],
            Self::Shots { .. } | Self::Subtitles { .. } | Self::Moderation { .. } | Self::Fingerprint { .. } => &[],
        }
    }

    /// Which sound track a step that listens is to listen to, from 1; none where nobody has said so.
    pub const fn track(&self) -> Option<u8> {
        match self {
            Self::Subtitles { track, .. } | Self::Chapters { track } | Self::Fingerprint { track, .. } => *track,
            Self::Shots { .. } | Self::Thumbnails { .. } | Self::Moderation { .. } | Self::Duplicates {} => None,
        }
    }

    /// Every file name that the step may write with these parameters, in the order they are written.
    pub fn slots(&self) -> Vec<String> {
        let mut slots = self.step().slots();
        match self {
            Self::Thumbnails { select, .. } => {
                let unused: Vec<String> = (usize::from(*select)..MAX_PICKS).map(|n| format!("thumbnail-{n}.jpg")).collect();
                slots.retain(|slot| !unused.contains(slot));
            }
            Self::Fingerprint { query: false, .. } => slots.retain(|slot| slot != QUERY),
            Self::Shots { .. }
            | Self::Subtitles { .. }
            | Self::Chapters { .. }
            | Self::Moderation { .. }
            | Self::Fingerprint { query: true, .. }
            | Self::Duplicates {} => {}
        }
        slots
    }

    /// Whether the step can be done although `needed`, which it reads, has nothing to do for the title: a title in which nobody
    /// speaks has nudity all the same.
    pub const fn goes_without(&self, needed: Step) -> bool {
        matches!((self, needed), (Self::Moderation { .. }, Step::Subtitles))
    }
}

/// A model a step uses: its name in the catalogue and the digest of its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ModelRef {
    /// Name in the model catalogue, such as `whisper-base`.
    pub name: String,
    /// Digest over the model's files, as the catalogue states it.
    pub digest: Digest,
    /// SPDX expression of the model's licence.
    pub licence: String,
}

/// What makes a source the same source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceIdentity {
    /// Store profile's name.
    pub store: String,
    /// Path below the profile's prefix.
    pub path: String,
    /// The store's version id where it keeps versions, else its `ETag`.
    pub version: String,
    /// Size, bytes.
    pub size_bytes: u64,
    /// Digest that the person stated and the worker verified: a result that was made without it is no answer to it.
    pub sha256: Option<Digest>,
}

/// What people asked for: changes only when a person changes something. `models` are the names they chose, `needs` the
/// wanted keys of the steps that this one reads.
pub fn wanted_key(source: &SourceIdentity, params: &StepParams, models: &[String], needs: &[Digest]) -> Digest {
    Digest::of_json(&("showrunner.dev/wanted/v1", source, params, models, needs))
}

/// Everything a step's result depends on: the key its result is kept under. `needs` are the keys of the steps it reads.
pub fn step_key(source: &SourceIdentity, params: &StepParams, models: &[ModelRef], needs: &[Digest]) -> Digest {
    let step = params.step();
    // One number for one sense, as keys have always had it; for both, both.
    let recipe = match (step.sees(), step.hears()) {
        (true, true) => json!([PICTURE_RECIPE, SOUND_RECIPE]),
        (true, false) => json!(PICTURE_RECIPE),
        (false, true) => json!(SOUND_RECIPE),
        (false, false) => json!([]),
    };
    Digest::of_json(&("showrunner.dev/step/v1", source, params, step.algorithm_version(), recipe, models, needs))
}

/// The key of a unit: the steps that share one decode.
pub fn unit_key(step_keys: &[Digest]) -> Digest {
    let mut keys = step_keys.to_vec();
    keys.sort();
    Digest::of_json(&("showrunner.dev/unit/v1", keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> SourceIdentity {
        SourceIdentity { store: "s".into(), path: "a.mp4".into(), version: "\"e\"".into(), size_bytes: 7, sha256: None }
    }

    #[test]
    fn a_key_changes_with_everything_the_result_depends_on_and_with_nothing_else() {
        let picked = |select, exclude_nudity_at_or_above| StepParams::Thumbnails {
            select,
            sprite_interval_ms: 10_000,
            exclude_nudity_at_or_above,
        };
        let params = picked(8, NUDITY_LIMIT);
        let model = ModelRef { name: "m".into(), digest: Digest::of(b"m"), licence: "MIT".into() };
        let base = step_key(&source(), &params, &[], &[]);
        assert_eq!(base, step_key(&source(), &params.clone(), &[], &[]));
        let others = [
            step_key(&SourceIdentity { version: "\"f\"".into(), ..source() }, &params, &[], &[]),
            step_key(&source(), &picked(7, NUDITY_LIMIT), &[], &[]),
            step_key(&source(), &picked(8, NUDITY_LIMIT + 1), &[], &[]),
            step_key(&source(), &params, &[model], &[]),
            step_key(&source(), &params, &[], &[Digest::of(b"shots")]),
        ];
        for other in others {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn a_key_depends_on_the_recipe_of_every_sense_that_the_step_uses() {
        let key = |params: &StepParams| step_key(&source(), params, &[], &[]);
        let by = |params: &StepParams, recipe| {
            let version = params.step().algorithm_version();
            Digest::of_json(&("showrunner.dev/step/v1", source(), params, version, recipe, [(); 0], [(); 0]))
        };
        let both = json!([PICTURE_RECIPE, SOUND_RECIPE]);
        let print = StepParams::Fingerprint { query: false, track: None };
        assert_eq!(key(&print), by(&print, both));
        let shots = |profile| StepParams::Shots { profile };
        assert_eq!(key(&shots(ShotsProfile::Fast)), by(&shots(ShotsProfile::Fast), json!(PICTURE_RECIPE)));
        assert_eq!(json!(shots(ShotsProfile::Fast)), json!({"shots": {}}), "what was asked for before there was a choice");
        assert_ne!(key(&shots(ShotsProfile::Fast)), key(&shots(ShotsProfile::Accurate)));
        assert_eq!(key(&StepParams::Duplicates {}), by(&StepParams::Duplicates {}, json!([])));
        assert_ne!(key(&print), key(&StepParams::Chapters { track: None }), "steps are told apart");
    }

    #[test]
    fn what_nobody_asks_for_is_not_among_the_parameters() {
        let words = |params: &StepParams| serde_json::to_string(params).expect("serialises");
        let print = |query, track| words(&StepParams::Fingerprint { query, track });
        assert_eq!([print(false, None), print(true, None)], [r#"{"fingerprint":{}}"#, r#"{"fingerprint":{"query":true}}"#]);
        assert_eq!(print(false, Some(2)), r#"{"fingerprint":{"track":2}}"#);
        assert_eq!(words(&StepParams::Chapters { track: None }), r#"{"chapters":{}}"#);
        let thumbnails = |exclude_nudity_at_or_above| {
            words(&StepParams::Thumbnails { select: 8, sprite_interval_ms: 1_000, exclude_nudity_at_or_above })
        };
        assert_eq!(thumbnails(NUDITY_LIMIT), r#"{"thumbnails":{"select":8,"spriteIntervalMs":1000}}"#);
        assert!(thumbnails(5).contains(r#""excludeNudityAtOrAbove":5"#), "{}", thumbnails(5));
        let subtitles = StepParams::Subtitles { language: None, max_chars_per_second: 20, track: None };
        assert_eq!(words(&subtitles), r#"{"subtitles":{"language":null,"maxCharsPerSecond":20}}"#);
    }

    #[test]
    fn a_unit_is_the_same_in_any_order_of_its_steps() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(unit_key(&[a.clone(), b.clone()]), unit_key(&[b, a]));
    }
}
