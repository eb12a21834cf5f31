//! What people say to Showrunner: the kinds of `showrunner.dev/v1alpha1`, their schemas and their vocabulary. No I/O.
//!
//! One file per kind; `common` holds the words they share. The YAML in `generated/` is written by `make gen`.
#![forbid(unsafe_code)]
// The schema derive expands to copies of the types inside functions, which this lint then calls unreachable.
#![allow(unreachable_pub)]
// Each printer column has a type and a priority; the lint takes the second for a repetition.
#![allow(clippy::duplicated_attributes)]

pub mod ai_budget;
pub mod common;
pub mod title_enrichment;

pub use ai_budget::{AiBudget, AiBudgetSpec, AiBudgetStatus};
pub use title_enrichment::{TitleEnrichment, TitleEnrichmentSpec, TitleEnrichmentStatus};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The API group of every kind.
pub const GROUP: &str = "showrunner.dev";
/// The one served and stored version.
pub const VERSION: &str = "v1alpha1";
/// Annotation on a definition that names the schema it carries: `/readyz` compares it with the compiled one.
pub const SCHEMA_ANNOTATION: &str = "showrunner.dev/schema";

/// Every kind that has a working controller, as the definition that is installed.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![AiBudget::crd(), TitleEnrichment::crd()]
}
