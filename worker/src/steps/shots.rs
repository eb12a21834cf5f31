//! The step `shots`: every frame into the detector; the shots as a document, and a still of each. Reads the network's weights, where it
//! is asked.

pub mod network;

use super::{
    Longest, StepFailed, pretty,
    stills::{Sheets, Stills},
};
use crate::{
    commit::{JSON, Made, StepFile},
    failure::internal,
    fanout::{StepError, Viewer},
    media,
    models::Artefacts,
    picture::Picture,
};
use network::Network;
use showrunner_contracts::{
    Document as _,
    documents::{Shot, ShotsDocument, Still, Transition},
    manifest::StepSummary,
    result::{Failure, Reason},
    step::{SHOTS_MODEL, ShotsProfile, StepParams},
    time::Span,
    work_order::StepOrder,
};
use showrunner_shots::{Detector, Frame};
use showrunner_timeline::{Ticks, TimeBase};
use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
};

/// The document's file name.
pub const FILE: &str = "shots.json";
/// Frames whose motion is remembered: candidates come a little after their frame, never this much.
const REMEMBERED: usize = 256;

/// How much the last frames moved, for the step that looks at some of them again.
#[derive(Debug, Default)]
pub struct Motions(RefCell<VecDeque<(Ticks, f32)>>);

impl Motions {
    /// Motion of the frame at `pts`; 0 for one that is not remembered.
    pub fn of(&self, pts: Ticks) -> f32 {
        self.0.borrow().iter().rev().find(|(at, _)| *at == pts).map_or(0.0, |(_, motion)| *motion)
    }

    fn remember(&self, pts: Ticks, motion: f32) {
        let mut motions = self.0.borrow_mut();
        if motions.len() == REMEMBERED {
            motions.pop_front();
        }
        motions.push_back((pts, motion));
    }
}

/// Sees every frame of the title.
pub struct Shots<'a> {
    detector: Detector,
    /// None where the step itself is not ordered.
    stills: Option<Stills>,
    base: TimeBase,
    motions: &'a Motions,
    longest: Longest,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The shots.
    pub document: ShotsDocument,
    /// The sheets with their stills.
    pub sheets: Vec<StepFile>,
    /// Frames that the network was shown.
    pub inferred: u32,
}

impl<'a> Shots<'a> {
    /// For frames timed in `base`; with `stills`, a picture of each shot is taken, too.
    pub fn new(base: TimeBase, longest: Longest, motions: &'a Motions, stills: bool) -> Self {
        let stills = stills.then(Stills::new);
        Self { detector: Detector::new(base), stills, base, motions, longest }
    }

    /// With what `order` asks for: the network that cuts in doubt are put to.
    pub fn ordered(self, order: &StepOrder, artefacts: &Artefacts) -> Result<Self, Failure> {
        let StepParams::Shots { profile: ShotsProfile::Accurate } = order.params else { return Ok(self) };
        let model = order.models.iter().find(|model| model.name == SHOTS_MODEL);
        let model = model.ok_or_else(|| {
            Failure::new(Reason::OrderMalformed, &format!("shots of the profile `accurate` need the model {SHOTS_MODEL}"))
        })?;
        Ok(Self { detector: self.detector.asking(Box::new(Network::load(artefacts, model)?)), ..self })
    }

    /// The title ends at `end`.
    pub fn finish(self, end: Ticks) -> Result<Found, Failure> {
        let (shots, inferred) = self.detector.finish(end).map_err(internal)?;
        let sheets = self.stills.map(|stills| stills.finish(&shots)).transpose()?;
        let Sheets { stills, pictures } =
            sheets.unwrap_or_else(|| Sheets { stills: vec![None; shots.len()], pictures: Vec::new() });
        Ok(Found { document: document(&shots, stills, self.base, end), sheets: pictures, inferred: inferred as u32 })
    }
}

impl Viewer for Shots<'_> {
    fn frame(&mut self, picture: &Picture) -> Result<(), StepError> {
        let Picture { pts, width, height, ref rgb } = *picture;
        self.longest.check(pts).map_err(StepFailed)?;
        let seen = self.detector.push(Frame { rgb, width, height, pts }).map_err(|error| StepFailed(internal(error)))?;
        self.motions.remember(pts, seen.motion);
        if let Some(stills) = &mut self.stills {
            stills.see(picture, &self.detector).map_err(StepFailed)?;
        }
        Ok(())
    }
}

fn document(shots: &[showrunner_shots::Shot], stills: Vec<Option<Still>>, base: TimeBase, end: Ticks) -> ShotsDocument {
    let span = |start: Ticks, end: Ticks| Span { start: start.0, end: end.0 };
    let ends_with_fade = shots.last().and_then(|last| match last.transition_out? {
        showrunner_shots::Transition::Fade { start, end } | showrunner_shots::Transition::Dissolve { start, end } => {
            Some(span(start, end))
        }
        showrunner_shots::Transition::Cut => None,
    });
    let shots = shots.iter().zip(stills).map(|(shot, still)| Shot {
        still,
        span: span(shot.start, shot.end),
        begins_with: match shot.transition_in {
            None => Transition::Start,
            Some(showrunner_shots::Transition::Cut) => Transition::Cut,
            Some(showrunner_shots::Transition::Dissolve { start, end }) => Transition::Dissolve(span(start, end)),
            Some(showrunner_shots::Transition::Fade { start, end }) => Transition::Fade(span(start, end)),
        },
    });
    ShotsDocument {
        schema: ShotsDocument::SCHEMA.to_owned(),
        time_base: media::base(base),
        duration: end.0,
        shots: shots.collect(),
        ends_with_fade,
    }
}

/// The step's files and figures.
pub fn made(found: &Found) -> Made {
    let Found { document, sheets, inferred } = found;
    let count = |is: fn(&Transition) -> bool| document.shots.iter().filter(|shot| is(&shot.begins_with)).count() as u32;
    let settings = [("method".to_owned(), showrunner_shots::ALGORITHM.to_owned())];
    let mut files = sheets.clone();
    files.push(StepFile { name: FILE.to_owned(), media_type: JSON, bytes: pretty(document) });
    Made {
        files,
        summary: StepSummary::Shots {
            shots: document.shots.len() as u32,
            cuts: count(|transition| matches!(transition, Transition::Cut)),
            dissolves: count(|transition| matches!(transition, Transition::Dissolve(_))),
            fades: count(|transition| matches!(transition, Transition::Fade(_))),
            inferred: *inferred,
        },
        settings: BTreeMap::from(settings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn motion_is_remembered_by_time_and_only_for_a_while() {
        let motions = Motions::default();
        for frame in 0..=REMEMBERED as i64 {
            motions.remember(Ticks(frame * 512), frame as f32);
        }
        assert!(motions.of(Ticks(512)) > 0.9);
        assert!(motions.of(Ticks(0)) < 0.1, "the oldest was let go");
        assert!(motions.of(Ticks(513)) < 0.1, "there is no such frame");
    }

    #[test]
    fn shots_become_a_document_with_every_kind_of_beginning() {
        use showrunner_shots::{Shot, Transition as T};
        let (start, end) = (Ticks(90), Ticks(110));
        let shot = |transition_in| Shot { start: Ticks(0), end: Ticks(100), transition_in, transition_out: None };
        let shots = [shot(None), shot(Some(T::Cut)), shot(Some(T::Dissolve { start, end })), shot(Some(T::Fade { start, end }))];
        let still = Still { sheet: "shots-0.jpg".to_owned(), at: 50, x: 160, y: 0, width: 160, height: 90 };
        let stills = vec![None, Some(still.clone()), None, None];
        let document = document(&shots, stills, TimeBase::MILLIS, Ticks(100));
        let made = made(&Found { document, sheets: Vec::new(), inferred: 0 });
        assert_eq!(made.summary, StepSummary::Shots { shots: 4, cuts: 1, dissolves: 1, fades: 1, inferred: 0 });
        let read = ShotsDocument::from_bytes(&made.files[0].bytes).expect("our own document");
        assert_eq!(read.shots[2].begins_with, Transition::Dissolve(Span { start: 90, end: 110 }));
        assert_eq!(read.shots[0].begins_with, Transition::Start);
        assert_eq!((read.shots[0].still.as_ref(), read.shots[1].still.as_ref()), (None, Some(&still)));
    }
}
