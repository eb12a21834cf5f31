//! The step `thumbnails`: candidates measured and kept as they come by, chosen when the shots are known; trick-play sheets.
//! Reads a model file where the order names one; nothing else.

use super::{
    Longest, StepFailed,
    jpeg::{self, THUMBNAIL_QUALITY},
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
    documents::{Pick, ShotsDocument, ThumbnailsDocument, Transition},
    manifest::StepSummary,
    result::Failure,
    step::{Step, StepParams},
    work_order::StepOrder,
};
use showrunner_thumbnails::{
    ALGORITHM, Candidate, ClassicalQuality, Note, Offer, Pool, QualityModel, Settings, ShotSpan, measure, select,
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
    /// For frames timed in `base`. Loads the scoring model that the order names, if it does.
    pub fn new(
        order: &StepOrder,
        base: TimeBase,
        longest: Longest,
        motions: &'a Motions,
        artefacts: &Artefacts,
    ) -> Result<Self, Failure> {
        let StepParams::Thumbnails { select, sprite_interval_ms } = order.params else {
            return Err(internal("the step thumbnails was given the parameters of another"));
        };
        let model: Box<dyn QualityModel> = match order.models.first() {
            Some(model) => Box::new(OnnxQuality::load(artefacts, model)?),
            None => Box::new(ClassicalQuality),
        };
        Ok(Self {
            base,
            motions,
            select: usize::from(select),
            model,
            pool: Pool::new(MOST_CANDIDATES as usize),
            kept: BTreeMap::new(),
            seen: 0,
            sprite: Sprite::new(base, sprite_interval_ms),
            longest,
            frames: 0,
            last: Ticks::ZERO,
        })
    }

    /// The title is over and these are its shots.
    pub fn finish(self, shots: &ShotsDocument) -> Result<Made, Failure> {
        if shots.time_base != media::base(self.base) {
            return Err(internal("the given shots are timed in another base than the title; they are of another source"));
        }
        // Mean time between frames; titles of one frame have no candidates clear of anything.
        let guard = Ticks(GUARD_FRAMES * self.last.0 / (self.frames - 1).max(1));
        let spans = spans(shots, guard);
        let (ids, candidates): (Vec<u64>, Vec<Candidate>) = self.pool.into_candidates().into_iter().unzip();
        let settings = Settings { count: self.select, ..Settings::default() };
        let selection = select(&candidates, &spans, &settings);
        let mut files = Vec::new();
        let mut picks = Vec::new();
        for (nth, pick) in selection.picks.iter().enumerate() {
            let candidate = &candidates[pick.candidate];
            let kept = self.kept.get(&ids[pick.candidate]).ok_or_else(|| internal("a picked candidate was not kept"))?;
            let whole = (pick.crop.width, pick.crop.height) == candidate.size;
            // Only a picture with black bars goes through the encoder twice.
            let bytes = if whole { kept.clone() } else { cropped(kept, pick.crop)? };
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
            });
            files.push(StepFile { name, media_type: jpeg::MEDIA_TYPE, bytes });
        }
        let sheets = self.sprite.finish(Ticks(shots.duration))?;
        let document = ThumbnailsDocument {
            schema: ThumbnailsDocument::SCHEMA.to_owned(),
            time_base: shots.time_base,
            picks,
            relaxed: relaxed(&selection.notes),
        };
        let summary = StepSummary::Thumbnails {
            candidates: self.seen,
            selected: document.picks.len() as u32,
            sheets: sheets.pictures.len() as u32,
            poor: selection.notes.contains(&Note::OnlyPoor),
        };
        files.extend(sheets.pictures);
        files.push(sheets.index);
        files.push(StepFile { name: FILE.to_owned(), media_type: JSON, bytes: pretty(&document) });
        let settings = BTreeMap::from([
            ("method".to_owned(), format!("{ALGORITHM}/{}", Step::Thumbnails.algorithm_version())),
            ("quality".to_owned(), self.model.name().to_owned()),
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

/// What gave way, for people. That nobody looked for faces says nothing about this title.
fn relaxed(notes: &[Note]) -> Option<String> {
    let notes: Vec<String> = notes.iter().filter(|note| **note != Note::FacesUnknown).map(ToString::to_string).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}
