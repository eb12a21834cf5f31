//! Which steps are wanted under which keys, and what of the status still answers them. No I/O.

use showrunner_contracts::{
    Digest, catalogue,
    step::{ModelRef, SourceIdentity, Step, StepParams, step_key, wanted_key},
};
use showrunner_crds::title_enrichment::{PlaceState, PlaceStatus, SourceStatus, StepState, StepStatus};
use strum::IntoEnumIterator as _;

use crate::title_enrichment::settings::TitleSettings;
use crate::title_enrichment::validate::{Refusal, Wish, WishedStep, models};

/// One step: what is wanted, and where it is.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What to do.
    pub params: StepParams,
    /// What it would be done under now; or why it cannot be done now.
    pub current: Result<Current, Refusal>,
    /// The key that holds: of the result there is, of the attempt in hand, or the current one. Absent when there is
    /// neither a result nor a way to get one.
    pub key: Option<Digest>,
    /// Where it is.
    pub status: StepStatus,
    /// It cannot be begun before the title has its place in the catalogue.
    pub waits: bool,
}

/// A step under this operator's algorithms and models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Key.
    pub key: Digest,
    /// Models.
    pub models: Vec<ModelRef>,
}

impl Planned {
    /// Which step.
    pub fn step(&self) -> Step {
        self.params.step()
    }

    /// Whether there is still something to do.
    pub fn is_open(&self) -> bool {
        matches!(self.status.state, StepState::Waiting | StepState::Running)
    }

    /// Whether it can be begun.
    pub fn is_ready(&self) -> bool {
        self.is_open() && !self.waits
    }

    /// Whether a newer algorithm or model would give another result than the one there is.
    pub fn is_outdated(&self) -> bool {
        self.status.state == StepState::Done && self.current.as_ref().is_ok_and(|current| Some(&current.key) != self.key.as_ref())
    }
}

/// Whether a step in the status is one that this version does not know.
pub fn is_newer(step: &StepStatus) -> bool {
    !Step::iter().any(|known| known.to_string() == step.name)
}

/// What a change of spec does to the steps.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// The spec changed: what failed is tried again.
    pub retry_failed: bool,
    /// `spec.refresh` changed: what is outdated is done again.
    pub refresh: bool,
    /// An attempt is in hand, so that steps may be running.
    pub in_hand: bool,
}

/// What makes the source the same source.
pub fn identity(source: &SourceStatus, wish: &Wish) -> SourceIdentity {
    SourceIdentity {
        store: source.store.clone(),
        path: source.path.clone(),
        version: source.version.clone(),
        size_bytes: u64::try_from(source.size_bytes).unwrap_or_default(),
        sha256: wish.sha256.clone(),
    }
}

/// Plans every wanted step, dependencies first.
pub fn plan(
    wish: &Wish,
    source: &SourceIdentity,
    old: &[StepStatus],
    place: Option<&PlaceStatus>,
    renewal: Renewal,
    settings: &TitleSettings,
) -> Vec<Planned> {
    let mut planned: Vec<(Planned, Digest)> = Vec::new();
    for wished in &wish.steps {
        let wished = &with_query(wished, source, old);
        let step = wished.params.step();
        let needs = |of: &dyn Fn(&(Planned, Digest)) -> Option<Digest>| -> Vec<Digest> {
            planned.iter().filter(|(p, _)| wished.params.needs().contains(&p.step())).filter_map(of).collect()
        };
        let wanted = wanted_key(source, &wished.params, &wished.chosen_models, &needs(&|(_, wanted)| Some(wanted.clone())));
        let mut needed = needs(&|(planned, _)| planned.key.clone());
        let entered = place.filter(|place| step == Step::Duplicates && planned.iter().any(|(print, _)| is_of(place, print)));
        if step == Step::Duplicates {
            // What is found depends on what lies before the title.
            needed.push(Digest::of_json(&("showrunner.dev/place/v1", catalogue::VERSION, entered.map(|place| place.position))));
        }
        let current =
            models(wished, settings).map(|models| Current { key: step_key(source, &wished.params, &models, &needed), models });
        let same = old.iter().find(|old| old.name == step.to_string() && old.wanted == wanted.as_str());
        let (key, status) = carry(step, &wanted, same, current.as_ref().ok().map(|current| &current.key), renewal);
        let waits = step == Step::Duplicates && entered.is_none();
        planned.push((Planned { params: wished.params.clone(), current, key, status, waits }, wanted));
    }
    planned.into_iter().map(|(planned, _)| planned).collect()
}

/// A print that is made with what the title is looked up by is as good without: it is not made again when nobody looks the title up
/// any more.
fn with_query(wished: &WishedStep, source: &SourceIdentity, old: &[StepStatus]) -> WishedStep {
    let StepParams::Fingerprint { query: false, track } = wished.params else { return wished.clone() };
    let richer = WishedStep { params: StepParams::Fingerprint { query: true, track }, ..wished.clone() };
    let wanted = wanted_key(source, &richer.params, &richer.chosen_models, &[]);
    let stands = |old: &StepStatus| matches!(old.state, StepState::Done | StepState::Running) && old.wanted == wanted.as_str();
    if old.iter().any(stands) { richer } else { wished.clone() }
}

/// Whether a print is in the catalogue, at this place.
fn is_of(place: &PlaceStatus, print: &Planned) -> bool {
    let is_there = place.state == PlaceState::Entered && place.version == i32::from(catalogue::VERSION);
    let done = print.step() == Step::Fingerprint && print.status.state == StepState::Done;
    is_there && done && print.key.as_ref().is_some_and(|key| key.as_str() == place.key)
}

/// What of the old status still answers the wish. No upgrade spends money: as long as nobody asks, a result stays, and
/// so does the key of an attempt in hand.
fn carry(
    step: Step,
    wanted: &Digest,
    same: Option<&StepStatus>,
    current: Option<&Digest>,
    renewal: Renewal,
) -> (Option<Digest>, StepStatus) {
    let anew = || {
        let key = current.map_or_else(String::new, ToString::to_string);
        (current.cloned(), waiting(step, wanted, key))
    };
    let Some(old) = same else { return anew() };
    let Ok(old_key) = old.key.parse::<Digest>() else { return anew() };
    let is_current = current.is_none_or(|current| *current == old_key);
    if renewal.refresh && !is_current {
        return anew();
    }
    match old.state {
        StepState::Failed if renewal.retry_failed => anew(),
        StepState::Running if renewal.in_hand => (Some(old_key), old.clone()),
        StepState::Done | StepState::Skipped | StepState::Failed => (Some(old_key), old.clone()),
        StepState::Waiting | StepState::Running if is_current => {
            (Some(old_key), StepStatus { state: StepState::Waiting, ..old.clone() })
        }
        StepState::Waiting | StepState::Running => anew(),
    }
}

fn waiting(step: Step, wanted: &Digest, key: String) -> StepStatus {
    StepStatus {
        name: step.to_string(),
        state: StepState::Waiting,
        wanted: wanted.to_string(),
        key,
        result: None,
        reason: None,
        message: None,
        attempts: 0,
        lost: 0,
        models: Vec::new(),
        settings: None,
        took: None,
        folder: None,
        axes: Vec::new(),
        word_errors: None,
        matches: Vec::new(),
        doubts: Vec::new(),
        review: None,
    }
}
