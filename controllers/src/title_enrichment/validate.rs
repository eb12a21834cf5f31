//! Turns what people wrote into values that cannot be wrong: durations, digests, step parameters, models. No I/O.
//!
//! The schema guards most of it already; what is refused here says what to change.

use std::time::Duration;

use showrunner_contracts::{
    Digest,
    step::{Axis, MAX_PICKS, ModelRef, NUDITY_MODEL, SHOTS_MODEL, ShotsProfile, Step, StepParams},
};
use showrunner_crds::common::{Accelerator, SpotPolicy as Policy, parse_duration, parse_milli};
use showrunner_crds::title_enrichment::{
    DeclaredRating, GivenPicture, HoldRule, Likeness, ModerationAxis, RatingSystem, ReviewAction, ReviewDecision, ReviewStep,
    ShotsProfile as Profile, TitleEnrichmentSpec, TitleReason,
};
use showrunner_kit::jobs::{AcceleratorClass, JobsConfig};
use showrunner_moderation::{MAX_LEVEL, Rating, System};
use showrunner_spot::SpotPolicy;

use strum::IntoEnumIterator as _;

use super::settings::TitleSettings;

/// The model that tells speech from silence; every subtitles step uses it beside the speech model.
pub const VOICE_ACTIVITY_MODEL: &str = "silero-vad";
/// The model that scores thumbnails, where the catalogue has it; else the classical scores are used.
pub const THUMBNAIL_MODEL: &str = "thumbnail-quality";

/// Longest time that anything may be given; the schema's longest, for a server that does not check it.
const LONGEST: Duration = Duration::from_hours(720);

/// Something asked for that cannot be served as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Reason of the condition.
    pub reason: TitleReason,
    /// Cause and cure.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    pub fn new(reason: TitleReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// What is wanted of a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Enabled steps, dependencies first.
    pub steps: Vec<WishedStep>,
    /// Store profile.
    pub store: String,
    /// Path below the profile.
    pub path: String,
    /// Digest that the source must have.
    pub sha256: Option<Digest>,
    /// Whether to use an accelerator.
    pub accelerator: Accelerator,
    /// Which.
    pub class: Option<String>,
    /// More attempts after one that failed.
    pub retries: i32,
    /// How long a pod may wait to start.
    pub start: Duration,
    /// How long an attempt may run.
    pub run: Duration,
    /// How long everything may take.
    pub deadline: Duration,
    /// When attempts run on spot machines.
    pub spot: Spot,
    /// Whether to pause.
    pub suspend: bool,
    /// Changes when outdated steps are to be done again.
    pub refresh: Option<String>,
    /// The rating that was declared.
    pub rating: Option<Rating>,
    /// What waits for a person, and what people decided.
    pub review: Review,
}

/// When attempts run on spot machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// At all.
    pub policy: SpotPolicy,
    /// By what a loss is multiplied, thousandths.
    pub safety_factor_milli: u32,
    /// After so many losses it is on demand.
    pub max_disruptions: u32,
}

/// What waits for a person, and what people decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Rules that hold a result.
    pub hold: Vec<HoldRule>,
    /// Most words of a hundred that may be wrong in subtitles.
    pub max_word_error_percent: u8,
    /// What of a title to another holds all of it.
    pub likeness: Vec<Likeness>,
    /// Steps that always wait.
    pub always: Vec<Step>,
    /// Decisions, by the name of their step.
    pub decisions: Vec<ReviewDecision>,
}

/// One step as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WishedStep {
    /// What to do.
    pub params: StepParams,
    /// Models that people chose, by name: part of what is wanted.
    pub chosen_models: Vec<String>,
}

/// Reads a spec.
pub fn wish(spec: &TitleEnrichmentSpec) -> Result<Wish, Refusal> {
    let duration = |field: &str, text: &str| {
        parse_duration(text).ok().filter(|duration| !duration.is_zero() && *duration <= LONGEST).ok_or_else(|| {
            let message = format!("{field} is {text:?}: write a duration such as 90s or 1h30m, at most 720h");
            Refusal::new(TitleReason::SpecInvalid, message)
        })
    };
    let sha256 = match &spec.source.sha256 {
        None => None,
        Some(hex) => Some(format!("sha256:{hex}").parse().map_err(|_| {
            Refusal::new(
                TitleReason::SpecInvalid,
                "spec.source.sha256 must be 64 lower-case hex digits: copy them from sha256sum",
            )
        })?),
    };
    if spec.thumbnails.enabled && !spec.shots.enabled {
        return Err(Refusal::new(TitleReason::SpecInvalid, "thumbnails are picked inside shots: enable spec.shots too"));
    }
    if spec.duplicates.enabled && !spec.fingerprint.enabled {
        return Err(Refusal::new(TitleReason::SpecInvalid, "copies are found by the print: enable spec.fingerprint too"));
    }
    if spec.chapters.enabled && !spec.shots.enabled {
        return Err(Refusal::new(TitleReason::SpecInvalid, "chapters begin with shots: enable spec.shots too"));
    }
    Ok(Wish {
        steps: steps(spec, duration)?,
        store: spec.source.store.clone(),
        path: spec.source.path.clone(),
        sha256,
        accelerator: spec.execution.accelerator,
        class: spec.execution.class.clone(),
        retries: i32::from(spec.execution.retries),
        start: duration("spec.execution.startDeadline", &spec.execution.start_deadline)?,
        run: duration("spec.execution.maxDuration", &spec.execution.max_duration)?,
        deadline: duration("spec.deadline", &spec.deadline)?,
        spot: Spot {
            policy: match spec.execution.spot.policy {
                Policy::UntilSlack => SpotPolicy::UntilSlack,
                Policy::Always => SpotPolicy::Always,
                Policy::Never => SpotPolicy::Never,
            },
            safety_factor_milli: parse_milli(&spec.execution.spot.safety_factor).ok_or_else(|| {
                let message = format!(
                    "spec.execution.spot.safetyFactor is {:?}: write 1 to 10, such as 1.5",
                    spec.execution.spot.safety_factor
                );
                Refusal::new(TitleReason::SpecInvalid, message)
            })?,
            max_disruptions: u32::from(spec.execution.spot.max_disruptions),
        },
        suspend: spec.suspend,
        refresh: spec.refresh.clone(),
        rating: spec.title.as_ref().and_then(|title| title.declared_rating.as_ref()).map(rating).transpose()?,
        review: Review {
            hold: spec.review.hold.clone(),
            max_word_error_percent: spec.review.max_word_error_percent,
            likeness: spec.duplicates.hold.clone(),
            always: Step::iter()
                .filter(|step| spec.review.always.iter().any(|name| name.to_string() == step.to_string()))
                .collect(),
            decisions: spec.review.decisions.iter().map(checked).collect::<Result<_, _>>()?,
        },
    })
}

/// A decision, for a server that does not check the schema's rules.
fn checked(decision: &ReviewDecision) -> Result<ReviewDecision, Refusal> {
    let is_digest = |hex: &str| format!("sha256:{hex}").parse::<Digest>().is_ok();
    let whole = match (&decision.path, &decision.sha256) {
        (Some(_), Some(hex)) => is_digest(hex),
        _ => false,
    };
    let nothing = decision.path.is_none() && decision.sha256.is_none();
    let pictures = &decision.pictures;
    let apart = |(nth, picture): (usize, &GivenPicture)| {
        is_digest(&picture.sha256) && pictures[..nth].iter().all(|other| other.file != picture.file)
    };
    let fits = match (decision.action, decision.step) {
        (ReviewAction::Replace, ReviewStep::Subtitles) => whole && pictures.is_empty(),
        (ReviewAction::Replace, ReviewStep::Thumbnails) => {
            nothing && (1..=MAX_PICKS).contains(&pictures.len()) && pictures.iter().enumerate().all(apart)
        }
        (ReviewAction::Replace, _) => false,
        (ReviewAction::Accept | ReviewAction::Reject, _) => nothing && pictures.is_empty(),
    };
    if fits {
        return Ok(decision.clone());
    }
    let message = format!(
        "spec.review.decisions: {} of {}: path and sha256 go with Replace of subtitles, pictures (each of another file) with Replace of thumbnails, and nothing else can be replaced",
        decision.action, decision.step
    );
    Err(Refusal::new(TitleReason::SpecInvalid, message))
}

fn rating(declared: &DeclaredRating) -> Result<Rating, Refusal> {
    let system = match declared.system {
        RatingSystem::Bbfc => System::Bbfc,
        RatingSystem::Mpa => System::Mpa,
        RatingSystem::Fsk => System::Fsk,
    };
    Rating::known(system, &declared.category).ok_or_else(|| {
        let known = showrunner_moderation::CATEGORIES.iter().find(|(of, _)| *of == system).map_or(&[][..], |(_, names)| names);
        let message = format!(
            "spec.title.declaredRating: {system} has no category {:?}: use one of {}",
            declared.category,
            known.join(", ")
        );
        Refusal::new(TitleReason::SpecInvalid, message)
    })
}

fn steps(
    spec: &TitleEnrichmentSpec,
    duration: impl Fn(&str, &str) -> Result<Duration, Refusal>,
) -> Result<Vec<WishedStep>, Refusal> {
    let mut steps = Vec::new();
    let track = spec.audio.as_ref().and_then(|audio| audio.track);
    if track == Some(0) {
        return Err(Refusal::new(TitleReason::SpecInvalid, "spec.audio.track counts from 1"));
    }
    if spec.shots.enabled {
        let (profile, chosen_models) = match spec.shots.profile {
            Profile::Fast => (ShotsProfile::Fast, Vec::new()),
            Profile::Accurate => (ShotsProfile::Accurate, vec![SHOTS_MODEL.to_owned()]),
        };
        steps.push(WishedStep { params: StepParams::Shots { profile }, chosen_models });
    }
    if spec.thumbnails.enabled {
        let interval = duration("spec.thumbnails.spriteInterval", &spec.thumbnails.sprite_interval)?;
        let sprite_interval_ms = u32::try_from(interval.as_millis())
            .map_err(|_| Refusal::new(TitleReason::SpecInvalid, "spec.thumbnails.spriteInterval is too long: at most 10m"))?;
        let limit = spec.thumbnails.exclude_nudity_at_or_above;
        if !(1..=MAX_LEVEL).contains(&limit) {
            let message = format!("spec.thumbnails.excludeNudityAtOrAbove is {limit}: write a level from 1 to {MAX_LEVEL}");
            return Err(Refusal::new(TitleReason::SpecInvalid, message));
        }
        steps.push(WishedStep {
            params: StepParams::Thumbnails {
                select: spec.thumbnails.select,
                sprite_interval_ms,
                exclude_nudity_at_or_above: limit,
            },
            chosen_models: Vec::new(),
        });
    }
    if spec.subtitles.enabled {
        steps.push(WishedStep {
            params: StepParams::Subtitles {
                // The models know languages by their primary subtag only.
                language: spec.subtitles.language.as_deref().map(|tag| tag.split('-').next().unwrap_or(tag).to_owned()),
                max_chars_per_second: spec.subtitles.max_chars_per_second,
                track,
            },
            chosen_models: vec![spec.subtitles.model.clone()],
        });
    }
    if spec.chapters.enabled {
        steps.push(WishedStep { params: StepParams::Chapters { track }, chosen_models: Vec::new() });
    }
    if spec.moderation.enabled {
        let wants = |axis: &ModerationAxis| spec.moderation.axes.contains(axis);
        let axes: Vec<Axis> = ModerationAxis::iter().filter(wants).map(axis).collect();
        if axes.is_empty() {
            return Err(Refusal::new(TitleReason::SpecInvalid, "spec.moderation.axes names nothing to judge"));
        }
        if axes.contains(&Axis::Language) && !spec.subtitles.enabled {
            let message = "language is judged by what the subtitles hear: enable spec.subtitles too, or leave Language out of spec.moderation.axes";
            return Err(Refusal::new(TitleReason::SpecInvalid, message));
        }
        let params = StepParams::Moderation { axes, sample_fps: spec.moderation.sample_fps };
        steps.push(WishedStep { params, chosen_models: Vec::new() });
    }
    if spec.fingerprint.enabled {
        let params = StepParams::Fingerprint { query: spec.duplicates.enabled, track };
        steps.push(WishedStep { params, chosen_models: Vec::new() });
    }
    if spec.duplicates.enabled {
        steps.push(WishedStep { params: StepParams::Duplicates {}, chosen_models: Vec::new() });
    }
    if steps.is_empty() {
        return Err(Refusal::new(
            TitleReason::SpecInvalid,
            "nothing is enabled: enable at least one of shots, thumbnails, subtitles, chapters, moderation and fingerprint",
        ));
    }
    Ok(steps)
}

const fn axis(axis: ModerationAxis) -> Axis {
    match axis {
        ModerationAxis::Nudity => Axis::Nudity,
        ModerationAxis::Violence => Axis::Violence,
        ModerationAxis::Language => Axis::Language,
    }
}

/// The models a step uses: those that were chosen first, then those that come with the step.
pub fn models(wished: &WishedStep, settings: &TitleSettings) -> Result<Vec<ModelRef>, Refusal> {
    let step = wished.params.step();
    let companions: Vec<&str> = match &wished.params {
        StepParams::Subtitles { .. } => vec![VOICE_ACTIVITY_MODEL],
        // Without a model scores are the classical ones, and nudity is not judged.
        StepParams::Thumbnails { .. } => {
            [THUMBNAIL_MODEL, NUDITY_MODEL].into_iter().filter(|name| settings.model(name).is_some()).collect()
        }
        StepParams::Moderation { axes, .. } => {
            // An axis of which the catalogue has no model is not judged.
            axes.iter().filter_map(|axis| axis.model()).filter(|name| settings.model(name).is_some()).collect()
        }
        StepParams::Shots { .. } | StepParams::Chapters { .. } | StepParams::Fingerprint { .. } | StepParams::Duplicates {} => {
            Vec::new()
        }
    };
    let names = wished.chosen_models.iter().map(String::as_str);
    names.chain(companions).map(|name| model(step, name, wished, settings)).collect()
}

fn model(step: Step, name: &str, wished: &WishedStep, settings: &TitleSettings) -> Result<ModelRef, Refusal> {
    let chosen = wished.chosen_models.iter().any(|chosen| chosen == name);
    // The model that judges nudity is in the catalogue once, as moderation's.
    let serves = |of: Step| of == step || (step == Step::Thumbnails && name == NUDITY_MODEL && of == Step::Moderation);
    let found = settings.model(name).filter(|model| serves(model.step) && !(chosen && name == VOICE_ACTIVITY_MODEL));
    let Some(model) = found else {
        let serving = settings.models.iter().filter(|model| model.step == step && model.name != VOICE_ACTIVITY_MODEL);
        let known: Vec<_> = serving.map(|model| model.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!(
            "the catalogue has no model {name:?} for {step} (it has: {known}): name one of these, or add the model to the worker image and the operator's configuration"
        );
        return Err(Refusal::new(TitleReason::ModelUnknown, message));
    };
    if !settings.allowed_licences.contains(&model.licence) {
        let message = format!(
            "model {name:?} is under {}, which is not among the allowed licences ({}): use another model, or allow the licence in the operator's configuration",
            model.licence,
            settings.allowed_licences.join(", ")
        );
        return Err(Refusal::new(TitleReason::ModelLicenceRefused, message));
    }
    Ok(ModelRef { name: model.name.clone(), digest: model.digest.clone(), licence: model.licence.clone() })
}

/// The class an attempt runs on. `fallen_back` says that no pod of the preferred class started in time before.
pub fn class<'a>(wish: &Wish, fallen_back: bool, config: &'a JobsConfig) -> Result<&'a AcceleratorClass, Refusal> {
    let names = || config.classes.iter().map(|class| class.name.as_str()).collect::<Vec<_>>().join(", ");
    let cpu = || {
        config.cpu_class().ok_or_else(|| {
            Refusal::new(TitleReason::ClassUnknown, "the operator's configuration has no class without an accelerator: add one")
        })
    };
    match wish.accelerator {
        Accelerator::None => cpu(),
        Accelerator::Preferred if fallen_back => cpu(),
        Accelerator::Preferred | Accelerator::Required => {
            let name = wish.class.as_deref().unwrap_or_default();
            config.class(name).ok_or_else(|| {
                let message =
                    format!("there is no accelerator class {name:?} (there are: {}): correct spec.execution.class", names());
                Refusal::new(TitleReason::ClassUnknown, message)
            })
        }
    }
}
