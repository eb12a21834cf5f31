//! Time as contracts write it: integer ticks over a rational time base, zero at the first presented picture. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Seconds per tick as a fraction: `1/90000`, `1001/24000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeBase {
    /// Numerator, seconds; at least 1.
    #[schemars(range(min = 1))]
    pub num: u32,
    /// Denominator; at least 1.
    #[schemars(range(min = 1))]
    pub den: u32,
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
