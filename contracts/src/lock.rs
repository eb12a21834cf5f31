//! The lock file of models and tools: what may be in a worker image, from where, under which licence. No I/O.

use crate::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Licences (SPDX) under which a model may be used where nobody says otherwise. Weights come under few that let a platform use
/// what it makes with them. The operator's and the chart's default are these, and no worker uses a model under another.
pub const ALLOWED_LICENCES: [&str; 6] = ["Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "MIT", "MPL-2.0"];

/// A model as the operator's catalogue lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatalogueModel {
    /// Name, such as `whisper-base`.
    pub name: String,
    /// Digest over the model's files.
    pub digest: Digest,
    /// SPDX licence expression.
    pub licence: String,
    /// Which step it serves.
    pub step: crate::step::Step,
}
