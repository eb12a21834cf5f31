//! How far a worker is: a small object it overwrites in the store at most every five seconds. No I/O.

use crate::{document, step::Step};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// How far one attempt is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Progress {
    /// `showrunner.dev/progress/v1`.
    pub schema: String,
    /// 0 to 100, never falling within one attempt.
    #[serde(deserialize_with = "at_most_100")]
    pub percent: u8,
    /// What it is doing: `fetching`, `probing`, or the steps at work.
    pub doing: Doing,
    /// Steps committed so far.
    pub done: Vec<Step>,
}
fn at_most_100<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let percent = u8::deserialize(deserializer)?;
    if percent <= 100 { Ok(percent) } else { Err(D::Error::custom(format_args!("{percent} percent is more than all"))) }
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
