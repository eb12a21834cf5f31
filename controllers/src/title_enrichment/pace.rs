//! How long steps take for the size of their source, by all titles that were looked at. In memory: looks after a start bring
//! it back. No I/O.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use showrunner_contracts::step::Step;
use showrunner_crds::title_enrichment::{StepState, StepStatus, TitleEnrichmentStatus};
use showrunner_spot::Pace;
use strum::IntoEnumIterator as _;

/// What was seen, by step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paces(BTreeMap<Step, Pace>);

impl Paces {
    /// How long these steps take one after the other, for a source of so many bytes. None where too little was seen of one:
    /// steps that share a decode take less.
    pub fn expected(&self, steps: impl IntoIterator<Item = Step>, bytes: u64) -> Option<Duration> {
        let each = steps.into_iter().map(|step| self.0.get(&step)?.expected(bytes));
        each.sum()
    }

    /// Remembers how long the steps of a title took.
    pub fn note(&mut self, status: &TitleEnrichmentStatus) {
        let Some(bytes) = status.source.as_ref().and_then(|source| u64::try_from(source.size_bytes).ok()) else { return };
        for done in status.steps.iter().filter(|step| step.state == StepState::Done) {
            let step = Step::iter().find(|step| step.to_string() == done.name);
            let (Some(step), Some(took)) = (step, took(done)) else { continue };
            let mut id = DefaultHasher::new();
            done.key.hash(&mut id);
            self.0.entry(step).or_default().note(id.finish(), bytes, took);
        }
    }
}

/// How long a step took, as the status has it. What was found ready took nobody's time.
fn took(step: &StepStatus) -> Option<Duration> {
    let seconds: f64 = step.took.as_deref()?.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Paces that all looks share.
#[derive(Debug, Default)]
pub(super) struct SharedPaces(Mutex<Arc<Paces>>);

impl SharedPaces {
    /// Remembers what a title says, and gives what is known by then.
    pub(super) fn with(&self, status: Option<&TitleEnrichmentStatus>) -> Arc<Paces> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = status {
            Arc::make_mut(&mut paces).note(status);
        }
        Arc::clone(&paces)
    }
}
