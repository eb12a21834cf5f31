//! The title's place in the catalogue of prints: taken once the print is made, left when it is no longer wanted. No I/O.
//!
//! The place is stored before the catalogue is written, so that a crash in between leaves no print that nobody knows of. What was
//! left is never taken again: a title that comes back is the latest one.

use std::time::Duration;

use jiff::Timestamp;
use showrunner_contracts::{
    catalogue,
    step::{PRINT, Step},
};
use showrunner_crds::title_enrichment::{PlaceState, PlaceStatus, StepState, TitleReason};
use showrunner_kit::Next;

use super::{Act, Answer, Decision, Draft, Entrance, Fate, Need};
use crate::title_enrichment::dereference::jittered;
use crate::title_enrichment::validate::Wish;

/// When to try the next place, after another title was first.
const AGAIN: Duration = Duration::from_secs(1);

impl Draft<'_> {
    /// Takes note of what an act of this reconcile did with the title's place.
    pub(super) fn note_place(&mut self) {
        let Some(fact) = self.input.facts.place else { return };
        let Some(place) = self.status.catalogue.as_mut().filter(|place| place.position == fact.position) else { return };
        match fact.fate {
            Fate::Entered if place.state == PlaceState::Entering => place.state = PlaceState::Entered,
            Fate::Entered | Fate::Stuck { .. } => {}
            Fate::Taken | Fate::Left => self.status.catalogue = None,
        }
    }

    /// When a place that could not be left now is tried again.
    pub(super) fn stuck(&self) -> Option<Timestamp> {
        match self.input.facts.place?.fate {
            Fate::Stuck { retry_at } => Some(retry_at),
            Fate::Entered | Fate::Taken | Fate::Left => None,
        }
    }

    /// Takes the print out of the catalogue where it does not belong there any more. Nothing waits for that but another place: a
    /// title may leave a store because it is away.
    pub(super) fn leave(&mut self) -> Option<Decision> {
        let place = self.status.catalogue.clone()?;
        if self.stuck().is_some() || (place.state != PlaceState::Leaving && self.belongs(&place)) {
            return None;
        }
        let leaving = PlaceStatus { state: PlaceState::Leaving, ..place };
        let act = Act::Leave(leaving.clone());
        if self.input.status.catalogue.as_ref() == Some(&leaving) {
            return Some(self.first(act));
        }
        self.status.catalogue = Some(leaving);
        self.acts.push(act);
        Some(self.tell(TitleReason::Planned, "its print is taken out of the catalogue".to_owned(), Next::WaitForChange))
    }

    /// As long as another print is not made, the one that was made before stands for the title.
    fn belongs(&self, place: &PlaceStatus) -> bool {
        let of = |step: Step| self.planned.iter().find(|planned| planned.step() == step);
        let done = of(Step::Fingerprint).map(|print| (print.status.state == StepState::Done, print.key.as_ref()));
        let is_other = match done {
            None => true,
            Some((false, _)) => false,
            Some((true, key)) => key.is_some_and(|key| key.as_str() != place.key),
        };
        let is_older = place.version != i32::from(catalogue::VERSION);
        of(Step::Duplicates).is_some_and(|look| !(is_other || (is_older && look.is_open())))
    }

    /// Gives the print a place, where a step waits for that and nothing is left to be done before.
    pub(super) fn enter(&mut self, wish: &Wish) -> Option<Decision> {
        let is_due = self.planned.iter().any(|planned| planned.is_open() && planned.waits);
        if !is_due || self.planned.iter().any(super::Planned::is_ready) {
            return None;
        }
        if let Some(trouble) = &self.input.facts.trouble {
            return Some(self.trouble(trouble));
        }
        let key = self.planned.iter().find(|planned| planned.step() == Step::Fingerprint)?.key.clone()?;
        let found = match &self.input.seen.results {
            Answer::Got(found) => found.get(&key).cloned().flatten(),
            Answer::NotAsked | Answer::Trouble(_) => None,
        };
        let print = found.and_then(Result::ok).and_then(|committed| {
            let output = committed.result.outputs.iter().find(|output| output.name == PRINT)?;
            Some((format!("{}{PRINT}", committed.result.folder), output.sha256.clone()))
        });
        let Some((print, sha256)) = print else {
            let message = "the print has no result in the store any more: disable spec.fingerprint and spec.duplicates, then enable them again".to_owned();
            return Some(self.fail(TitleReason::ResultInvalid, message));
        };
        if self.input.facts.place.is_some_and(|fact| fact.fate == Fate::Taken) {
            let again = Next::At(self.now + jittered(AGAIN, &self.input.title.uid));
            return Some(self.tell(TitleReason::Planned, "another title was first: the next place is tried".to_owned(), again));
        }
        let place = match self.status.catalogue.clone() {
            Some(place) if place.state == PlaceState::Entering => place,
            Some(place) => {
                let message =
                    format!("its earlier print is still in the catalogue of the store {}, which does not answer", place.store);
                let again = Next::At(self.stuck().unwrap_or(self.now + AGAIN));
                return Some(self.tell(TitleReason::StoreUnavailable, message, again));
            }
            None => match self.free_place(wish) {
                Ok(free) => PlaceStatus {
                    store: wish.store.clone(),
                    version: i32::from(catalogue::VERSION),
                    position: free,
                    key: key.to_string(),
                    state: PlaceState::Entering,
                },
                Err(decision) => return Some(decision),
            },
        };
        let act = Act::Enter(Box::new(Entrance { place: place.clone(), print, sha256 }));
        if self.input.status.catalogue.as_ref() == Some(&place) {
            return Some(self.first(act));
        }
        self.status.catalogue = Some(place);
        self.acts.push(act);
        Some(self.tell(TitleReason::Planned, "its print enters the catalogue".to_owned(), Next::WaitForChange))
    }

    fn free_place(&mut self, wish: &Wish) -> Result<i32, Decision> {
        let free = match &self.input.seen.place {
            Answer::Got(free) => *free,
            Answer::NotAsked => return Err(Decision::Need(Need::Place { store: wish.store.clone() })),
            Answer::Trouble(trouble) => return Err(self.trouble(trouble)),
        };
        if free < catalogue::MAX_PLACES {
            return Ok(i32::try_from(free).unwrap_or(i32::MAX));
        }
        let message = format!(
            "the catalogue of the store {} has {} places, and all are taken: use a store profile with another prefix, or disable spec.duplicates",
            wish.store,
            catalogue::MAX_PLACES
        );
        Err(self.fail(TitleReason::CatalogueFull, message))
    }
}
