//! The kinds whose specs are changed: one file a kind. Adding a kind is one file and one line here.

mod title_enrichment;

use showrunner_e2e::{faults::recording::Recording, mutation::Kind};
use std::sync::Arc;

/// All of them.
pub(crate) fn all(recording: &Recording) -> Vec<Arc<dyn Kind>> {
    vec![Arc::new(title_enrichment::Titles::of(recording))]
}
