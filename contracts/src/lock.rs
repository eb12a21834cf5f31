//! The lock file of models and tools: what may be in a worker image, from where, under which licence. No I/O.

use crate::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
