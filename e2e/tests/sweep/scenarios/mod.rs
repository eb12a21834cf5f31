//! The stories that are told under faults: one file a kind. Adding a kind is one file and one line here.

pub(crate) mod ai_budget;
pub(crate) mod title_enrichment;

use showrunner_e2e::faults::run::Scenario;
use std::sync::Arc;

/// All of them; the first of each kind is swept whole, of the others a sample.
pub(crate) fn all() -> Vec<Vec<Arc<dyn Scenario>>> {
    vec![title_enrichment::stories(), ai_budget::stories()]
}
