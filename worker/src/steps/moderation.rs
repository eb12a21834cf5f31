//! The step `moderation`: models look at the picture now and then, word lists at what the subtitles heard, and both become
//! levels with the moments that show them. Reads model files; nothing else.

use super::{Longest, StepFailed, part_begins, picture_model::PictureModel, pretty};
use crate::{
    commit::{JSON, Made, StepFile},
    failure::internal,
    fanout::{StepError, Viewer},
    media,
    models::Artefacts,
    picture::Picture,
};
use showrunner_contracts::{
    Document as _,
    documents::{AxisFinding, Finding, ModerationDocument, Moment, SubtitlesDocument},
    manifest::{AxisSummary, StepSummary, Unsupported},
    result::{Failure, Reason},
    step::{Axis, ModelRef, Step, StepParams},
    time::Span,
    work_order::StepOrder,
};
use showrunner_moderation::{ALGORITHM, LANGUAGE_TABLE, Language, Lexicon, PICTURE_TABLE, Sample, Shown, language, shown};
use showrunner_timeline::{Ticks, TimeBase};
use std::collections::BTreeMap;

/// The document's file name.
pub const FILE: &str = "moderation.json";
/// Most moments of an axis that a document lists.
const MAX_MOMENTS: usize = 200;
/// Longest word of a moment, characters.
const MAX_WORD: usize = 64;

/// What is said in a title, as another step heard it.
#[derive(Clone, Debug, PartialEq)]
pub enum Spoken {
    /// This.
    Cues(SubtitlesDocument),
    /// Nothing that could be written down.
    Nothing(Reason),
}

/// What an order of this step asks for.
pub fn asked(order: &StepOrder) -> Result<(&[Axis], u8), Failure> {
    let StepParams::Moderation { axes, sample_fps } = &order.params else {
        return Err(internal("the step moderation was given the parameters of another"));
    };
    Ok((axes, *sample_fps))
}

/// Looks at the picture now and then.
pub struct Watch {
    models: Vec<(Axis, PictureModel)>,
    /// Pictures a second.
    fps: u8,
    base: TimeBase,
    /// Number of the next look.
    next: i64,
    samples: BTreeMap<Axis, Vec<Sample>>,
    longest: Longest,
}

/// What the models saw: the samples of every axis that there is a model for, in order.
pub type Watched = BTreeMap<Axis, Vec<Sample>>;

impl Watch {
    /// For frames timed in `base`. Loads the models that the order names.
    pub fn new(order: &StepOrder, base: TimeBase, longest: Longest, artefacts: &Artefacts) -> Result<Self, Failure> {
        let (axes, fps) = asked(order)?;
        let mut models = Vec::new();
        for (axis, name) in axes.iter().filter_map(|axis| Some((*axis, axis.model()?))) {
            if let Some(model) = order.models.iter().find(|model: &&ModelRef| model.name == name) {
                models.push((axis, PictureModel::load(artefacts, model)?));
            }
        }
        Ok(Self::with(models, fps, base, longest))
    }

    /// With these models.
    pub fn with(models: Vec<(Axis, PictureModel)>, fps: u8, base: TimeBase, longest: Longest) -> Self {
        let samples = models.iter().map(|(axis, _)| (*axis, Vec::new())).collect();
        Self { models, fps: fps.max(1), base, next: 0, samples, longest }
    }

    /// Analysis pictures that it wants of each second.
    pub fn per_second(&self) -> u16 {
        u16::from(self.fps)
    }

    /// All that was seen.
    pub fn finish(self) -> Watched {
        self.samples
    }
}

impl Viewer for Watch {
    fn sample(&mut self, picture: &Picture) -> Result<(), StepError> {
        self.longest.check(picture.pts).map_err(StepFailed)?;
        let due = |look: i64| part_begins(self.base, look, self.fps);
        if picture.pts < due(self.next) {
            return Ok(());
        }
        while due(self.next) <= picture.pts {
            self.next += 1;
        }
        for (axis, model) in &mut self.models {
            let failed = |error: String| {
                StepFailed(internal(format_args!(
                    "failed to judge {axis} at {:.1} s: {error}",
                    self.base.to_seconds(picture.pts)
                )))
            };
            let probability = model.judge(picture).map_err(failed)?;
            self.samples.entry(*axis).or_default().push(Sample { at: picture.pts, probability });
        }
        Ok(())
    }
}

/// What was found out about a title, for [`made`].
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Ticks of the title.
    pub base: TimeBase,
    /// Presented duration; zero where it is not known.
    pub duration: Ticks,
    /// What the models saw; none where the title has no picture.
    pub watched: Option<&'a Watched>,
    /// What is said; none where nobody asked.
    pub spoken: Option<&'a Spoken>,
}

/// The step's file and figures.
pub fn made(order: &StepOrder, evidence: Evidence<'_>) -> Result<Made, Failure> {
    let (axes, sample_fps) = asked(order)?;
    let mut findings = Vec::new();
    for axis in axes {
        findings.push(AxisFinding { axis: *axis, finding: finding(*axis, evidence)? });
    }
    let summary = StepSummary::Moderation { axes: findings.iter().map(|found| summary(found, evidence.base)).collect() };
    let document = ModerationDocument {
        schema: ModerationDocument::SCHEMA.to_owned(),
        time_base: media::base(evidence.base),
        sample_fps,
        axes: findings,
    };
    Ok(Made {
        files: vec![StepFile { name: FILE.to_owned(), media_type: JSON, bytes: pretty(&document) }],
        summary,
        settings: BTreeMap::from([
            ("method".to_owned(), format!("{ALGORITHM}/{}", Step::Moderation.algorithm_version())),
            ("sampleFps".to_owned(), sample_fps.to_string()),
        ]),
    })
}

fn finding(axis: Axis, evidence: Evidence<'_>) -> Result<Finding, Failure> {
    Ok(match (axis, evidence.watched) {
        (Axis::Language, _) => {
            let spoken = evidence.spoken.ok_or_else(|| internal("nobody says what the subtitles heard"))?;
            said(spoken, evidence)
        }
        (_, None) => Finding::Unsupported(Unsupported::NoPicture),
        (_, Some(watched)) => match watched.get(&axis) {
            None => Finding::Unsupported(Unsupported::NoModel),
            Some(samples) => seen(&shown(samples, evidence.duration)),
        },
    })
}

fn seen(shown: &Shown) -> Finding {
    let moment = |episode: &showrunner_moderation::Episode| Moment {
        span: Span { start: episode.start.0, end: episode.end.0 },
        strength: episode.level,
        peak_at: Some(episode.peak.at.0),
        probability: Some((f64::from(episode.peak.probability) * 1_000.0).round() / 1_000.0),
        word: None,
    };
    Finding::Judged {
        level: shown.level,
        table: PICTURE_TABLE.to_owned(),
        moments: shown.episodes.iter().take(MAX_MOMENTS).map(moment).collect(),
        moments_in_all: shown.episodes.len() as u32,
    }
}

fn said(spoken: &Spoken, evidence: Evidence<'_>) -> Finding {
    let base = evidence.base;
    let told = match spoken {
        // A title in which nobody speaks says nothing strong; in one that speaks what no model hears, nobody knows.
        Spoken::Nothing(Reason::NoSound | Reason::NoSpeech) => Language { level: 0, hits: Vec::new(), counts: [0; 4] },
        Spoken::Nothing(_) => return Finding::Unsupported(Unsupported::Language),
        Spoken::Cues(document) => {
            let Some(lexicon) = Lexicon::of(&document.language) else {
                return Finding::Unsupported(Unsupported::Language);
            };
            let texts: Vec<String> = document.cues.iter().map(|cue| cue.lines.join(" ")).collect();
            let at = |millis: u64| base.from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
            let spoken = document.cues.iter().zip(&texts).map(|(cue, text)| showrunner_moderation::Spoken {
                start: at(cue.start_ms),
                end: at(cue.end_ms),
                text,
            });
            let heard = document.cues.last().map_or(0.0, |cue| cue.end_ms as f64 / 1_000.0);
            language(lexicon, spoken, base.to_seconds(evidence.duration).max(heard))
        }
    };
    let moment = |hit: &showrunner_moderation::Hit| Moment {
        span: Span { start: hit.start.0, end: hit.end.0 },
        strength: hit.tier.get(),
        peak_at: None,
        probability: None,
        word: Some(hit.word.chars().filter(|c| !c.is_control()).take(MAX_WORD).collect()),
    };
    Finding::Judged {
        level: told.level,
        table: LANGUAGE_TABLE.to_owned(),
        moments: told.hits.iter().take(MAX_MOMENTS).map(moment).collect(),
        moments_in_all: told.hits.len() as u32,
    }
}

fn summary(found: &AxisFinding, base: TimeBase) -> AxisSummary {
    let axis = found.axis;
    match &found.finding {
        Finding::Unsupported(why) => {
            AxisSummary { axis, level: None, unsupported: Some(*why), strongest_at_ms: None, moments: 0 }
        }
        Finding::Judged { level, moments, moments_in_all, .. } => {
            let at = moments.first().map(|moment| base.to_millis(Ticks(moment.peak_at.unwrap_or(moment.span.start))).0);
            AxisSummary { axis, level: Some(*level), unsupported: None, strongest_at_ms: at, moments: *moments_in_all }
        }
    }
}
