//! How far a worker is: a small object it overwrites in the store at most every five seconds. No I/O.

use crate::{document, step::Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far one attempt is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Progress {
    /// `showrunner.dev/progress/v1`.
    pub schema: String,
    /// 0 to 100, never falling within one attempt.
    pub percent: u8,
    /// What it is doing: `fetching`, `probing`, or the steps at work.
    pub doing: Doing,
    /// Steps committed so far.
    pub done: Vec<Step>,
}
document!(Progress, "showrunner.dev/progress/v1");

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, strum::Display)]
#[serde(rename_all = "camelCase")]
#[strum(serialize_all = "camelCase")]
pub enum Doing {
    /// Reading the source from the store.
    Fetching,
    /// Finding out what the source is.
    Probing,
    /// Decoding picture or sound into the steps.
    Analysing,
    /// Writing results.
    Committing,
}
