//! Time as contracts write it: integer ticks over a rational time base, zero at the first presented picture. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use std::num::NonZeroU32;

/// Seconds per tick as a fraction: `1/90000`, `1001/24000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeBase {
    /// Numerator, seconds; at least 1.
    #[schemars(range(min = 1))]
    #[serde(deserialize_with = "at_least_one")]
    pub num: u32,
    /// Denominator; at least 1.
    #[schemars(range(min = 1))]
    #[serde(deserialize_with = "at_least_one")]
    pub den: u32,
}

/// A part of a time base: nobody who reads one has to think of division by zero.
fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    NonZeroU32::deserialize(deserializer).map(NonZeroU32::get)
}

/// A half-open span of presentation time, `start <= t < end`, in ticks of the document's time base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// First tick of the span.
    pub start: i64,
    /// First tick after the span.
    pub end: i64,
}
