//! The step `thumbnails`: candidates measured and kept as they come by, chosen when the shots are known; trick-play sheets.
//! What nudity a pick shows is judged by the model that moderation has, where there is one. Reads the model files that the order
//! names; nothing else.

use super::{
    Longest, StepFailed,
    jpeg::{self, THUMBNAIL_QUALITY},
    picture_model::PictureModel,
    pretty,
    quality::OnnxQuality,
    shots::Motions,
    sprite::Sprite,
};
use crate::{
    commit::{JSON, Made, StepFile},
    failure::internal,
    fanout::{StepError, Viewer},
    media,
    models::Artefacts,
    picture::{Picture, recipe::MOST_CANDIDATES},
};
use showrunner_contracts::{
    Document as _,
    documents::{NotJudged, Nudity, NudityRule, Pick, ShotsDocument, ThumbnailsDocument, Transition},
    manifest::StepSummary,
    result::Failure,
    step::{NUDITY_MODEL, Step, StepParams},
    work_order::StepOrder,
};
use showrunner_moderation::{PICTURE_TABLE, picture_level};
use showrunner_thumbnails::{
    ALGORITHM, Candidate, ClassicalQuality, Note, Offer, Pool, QualityModel, Settings, ShotSpan, measure, select_shown,
};
use showrunner_timeline::{Ticks, TimeBase};
use std::collections::BTreeMap;

/// The document's file name.
pub const FILE: &str = "thumbnails.json";
/// Frames next to a shot's ends that are not picked from.
const GUARD_FRAMES: i64 = 4;

/// Looks at candidates, and at every frame for the trick-play sheets.
pub struct Thumbnails<'a> {
    base: TimeBase,
    motions: &'a Motions,
    select: usize,
    model: Box<dyn QualityModel>,
    /// Absent where the order names no model for it.
    screen: Option<Screen>,
    exclude_nudity_at_or_above: u8,
    pool: Pool,
    /// JPEG files of the pool's candidates, by their names in it.
    kept: BTreeMap<u64, Vec<u8>>,
    seen: u32,
    sprite: Sprite,
    longest: Longest,
    frames: i64,
    last: Ticks,
}

impl<'a> Thumbnails<'a> {
    /// For frames timed in `base`. Loads the models that the order names: one that scores, one that judges nudity, both or none.
    pub fn new(
        order: &StepOrder,
        base: TimeBase,
        longest: Longest,
        motions: &'a Motions,
        artefacts: &Artefacts,
    ) -> Result<Self, Failure> {
        let StepParams::Thumbnails { select, sprite_interval_ms, exclude_nudity_at_or_above } = order.params else {
            return Err(internal("the step thumbnails was given the parameters of another"));
        };
        let model: Box<dyn QualityModel> = match order.models.iter().find(|model| model.name != NUDITY_MODEL) {
            Some(model) => Box::new(OnnxQuality::load(artefacts, model)?),
            None => Box::new(ClassicalQuality),
        };
        let thumbnails = Self {
            base,
            motions,
            select: usize::from(select),
            model,
            screen: None,
            exclude_nudity_at_or_above,
            pool: Pool::new(MOST_CANDIDATES as usize),
            kept: BTreeMap::new(),
            seen: 0,
            sprite: Sprite::new(base, sprite_interval_ms),
            longest,
            frames: 0,
            last: Ticks::ZERO,
        };
        Ok(match order.models.iter().find(|model| model.name == NUDITY_MODEL) {
            Some(model) => {
                thumbnails.judged_by(format!("{} {}", model.name, model.digest), PictureModel::load(artefacts, model)?)
            }
            None => thumbnails,
        })
    }

    /// With this model for nudity.
    #[must_use]
    pub fn judged_by(self, name: String, model: PictureModel) -> Self {
        Self { screen: Some(Screen { name, model, judged: 0, left_out: 0 }), ..self }
    }

    /// The title is over and these are its shots.
    pub fn finish(mut self, shots: &ShotsDocument) -> Result<Made, Failure> {
        if shots.time_base != media::base(self.base) {
            return Err(internal("the given shots are timed in another base than the title; they are of another source"));
        }
        // Mean time between frames; titles of one frame have no candidates clear of anything.
        let guard = Ticks(GUARD_FRAMES * self.last.0 / (self.frames - 1).max(1));
        let spans = spans(shots, guard);
        let (ids, mut candidates): (Vec<u64>, Vec<Candidate>) = self.pool.into_candidates().into_iter().unzip();
        let sizes: Vec<(u32, u32)> = candidates.iter().map(|candidate| candidate.size).collect();
        let settings = Settings { count: self.select, ..Settings::default() };
        let limit = self.exclude_nudity_at_or_above;
        // What may be shown, as it would be published, by its candidate.
        let mut open: BTreeMap<usize, (Vec<u8>, Nudity)> = BTreeMap::new();
        let selection = select_shown(&mut candidates, &spans, &settings, |pick| {
            let kept = self.kept.get(&ids[pick.candidate]).ok_or_else(|| internal("a picked candidate was not kept"))?;
            let whole = (pick.crop.width, pick.crop.height) == sizes[pick.candidate];
            // Only a picture with black bars goes through the encoder twice.
            let file = if whole { kept.clone() } else { cropped(kept, pick.crop)? };
            let nudity = match &mut self.screen {
                Some(screen) => screen.judge(&file, limit)?,
                None => Some(Nudity::NotJudged(NotJudged::NoModel)),
            };
            Ok::<_, Failure>(nudity.map(|nudity| open.insert(pick.candidate, (file, nudity))).is_some())
        })?;
        let mut files = Vec::new();
        let mut picks = Vec::new();
        for (nth, pick) in selection.picks.iter().enumerate() {
            let candidate = &candidates[pick.candidate];
            let (bytes, nudity) = open.remove(&pick.candidate).ok_or_else(|| internal("a pick was not asked about"))?;
            let name = format!("thumbnail-{nth}.jpg");
            picks.push(Pick {
                name: name.clone(),
                at: candidate.pts.0,
                shot: pick.shot as u32,
                category: pick.category.to_string(),
                score: (f64::from(pick.score) * 1_000.0).round() / 1_000.0,
                width: pick.crop.width,
                height: pick.crop.height,
                pdq: candidate.hash.to_string(),
                nudity,
                given: None,
            });
            files.push(StepFile { name, media_type: jpeg::MEDIA_TYPE, bytes });
        }
        let sheets = self.sprite.finish(Ticks(shots.duration))?;
        let left_out = self.screen.as_ref().map(|screen| screen.left_out);
        let document = ThumbnailsDocument {
            schema: ThumbnailsDocument::SCHEMA.to_owned(),
            time_base: shots.time_base,
            picks,
            relaxed: relaxed(&selection.notes, left_out.unwrap_or_default()),
            nudity: self.screen.as_ref().map(|screen| NudityRule {
                table: PICTURE_TABLE.to_owned(),
                exclude_at_or_above: limit,
                judged: screen.judged,
                left_out: screen.left_out,
            }),
        };
        let summary = StepSummary::Thumbnails {
            candidates: self.seen,
            selected: document.picks.len() as u32,
            sheets: sheets.pictures.len() as u32,
            poor: selection.notes.contains(&Note::OnlyPoor),
            left_out,
        };
        files.extend(sheets.pictures);
        files.push(sheets.index);
        files.push(StepFile { name: FILE.to_owned(), media_type: JSON, bytes: pretty(&document) });
        let settings = BTreeMap::from([
            ("method".to_owned(), format!("{ALGORITHM}/{}", Step::Thumbnails.algorithm_version())),
            ("quality".to_owned(), self.model.name().to_owned()),
            ("excludeNudityAtOrAbove".to_owned(), limit.to_string()),
            ("nudity".to_owned(), self.screen.map_or_else(|| NotJudged::NoModel.to_string(), |screen| screen.name)),
            ("spriteIntervalMs".to_owned(), self.base.to_millis(sheets.interval).0.to_string()),
        ]);
        Ok(Made { files, summary, settings })
    }
}

impl Viewer for Thumbnails<'_> {
    fn frame(&mut self, picture: &Picture) -> Result<(), StepError> {
        // Like the shots: were only they to leave a title without a stated end, it would be decoded for nothing.
        self.longest.check(picture.pts).map_err(StepFailed)?;
        self.frames += 1;
        self.last = picture.pts;
        self.sprite.see(picture);
        Ok(())
    }

    fn candidate(&mut self, picture: &Picture) -> Result<(), StepError> {
        let Picture { pts, width, height, ref rgb } = *picture;
        let failed = |failure: Failure| StepFailed(failure);
        let checked = showrunner_thumbnails::Picture::new(rgb, width, height).map_err(|error| failed(internal(error)))?;
        let candidate =
            measure(&checked, pts, self.motions.of(pts), self.model.as_mut()).map_err(|error| failed(internal(error)))?;
        self.seen += 1;
        let id = match self.pool.offer(candidate) {
            Offer::Refused => return Ok(()),
            Offer::Kept { id } => id,
            Offer::Replaced { id, dropped } => {
                self.kept.remove(&dropped);
                id
            }
        };
        let file = jpeg::encode(width, height, rgb, THUMBNAIL_QUALITY).map_err(failed)?;
        self.kept.insert(id, file);
        Ok(())
    }
}

/// What keeps nudity out of the picks.
struct Screen {
    /// Of the model, for people.
    name: String,
    model: PictureModel,
    /// Pictures that it has judged.
    judged: u32,
    /// How many of them may not be shown.
    left_out: u32,
}

impl Screen {
    /// What a picture shows, as it would be published; none where that is of this level or above.
    fn judge(&mut self, file: &[u8], limit: u8) -> Result<Option<Nudity>, Failure> {
        let jpeg::Rgb { width, height, pixels: rgb } = jpeg::decode(file)?;
        let picture = Picture { pts: Ticks::ZERO, width, height, rgb };
        let probability = self
            .model
            .judge(&picture)
            .map_err(|error| internal(format_args!("failed to judge a thumbnail's nudity: {error}")))?;
        let level = picture_level(probability);
        self.judged += 1;
        if level >= limit {
            self.left_out += 1;
            return Ok(None);
        }
        Ok(Some(Nudity::Judged { probability: (f64::from(probability) * 1_000.0).round() / 1_000.0, level }))
    }
}

/// Each shot with the part of it that no transition reaches into.
fn spans(document: &ShotsDocument, guard: Ticks) -> Vec<ShotSpan> {
    let shots = &document.shots;
    let ends = document.ends_with_fade.map(|span| span.start);
    let span = |(nth, shot): (usize, &showrunner_contracts::documents::Shot)| {
        let entered = match &shot.begins_with {
            Transition::Dissolve(span) | Transition::Fade(span) => span.end,
            Transition::Start | Transition::Cut => shot.span.start,
        };
        let left = match shots.get(nth + 1).map(|next| &next.begins_with) {
            Some(Transition::Dissolve(span) | Transition::Fade(span)) => span.start,
            Some(Transition::Start | Transition::Cut) => shot.span.end,
            None => ends.unwrap_or(shot.span.end),
        };
        ShotSpan::new(Ticks(shot.span.start), Ticks(shot.span.end), Ticks(entered), Ticks(left), guard)
    };
    shots.iter().enumerate().map(span).collect()
}

fn cropped(file: &[u8], crop: showrunner_thumbnails::Crop) -> Result<Vec<u8>, Failure> {
    let part = jpeg::decode(file)?.part(crop.x, crop.y, crop.width, crop.height);
    jpeg::encode(part.width, part.height, &part.pixels, THUMBNAIL_QUALITY)
}

/// What gave way, for people, and that there was less to choose from, where that is so. That nobody looked for faces says nothing
/// about this title.
fn relaxed(notes: &[Note], left_out: u32) -> Option<String> {
    let mut notes: Vec<String> = notes.iter().filter(|note| **note != Note::FacesUnknown).map(ToString::to_string).collect();
    if left_out > 0 && !notes.is_empty() {
        notes.push(format!("{left_out} candidates were left out for their nudity"));
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}
