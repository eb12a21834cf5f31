//! Words that several kinds share: sources, durations, execution. No I/O.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use std::time::Duration;

/// Condition types that every kind uses.
pub mod condition {
    /// Summary: the object is as wanted. Reason says why not.
    pub const READY: &str = "Ready";
    /// kstatus: work is going on. Absent when there is none.
    pub const RECONCILING: &str = "Reconciling";
    /// kstatus: nothing more will happen until a person changes something. Absent otherwise.
    pub const STALLED: &str = "Stalled";
    /// A newer algorithm or model would give another result; nothing is redone until `spec.refresh` changes.
    pub const OUTDATED: &str = "Outdated";
    /// What a title shows is stronger than its declared rating goes with; Unknown where that could not be found out. Absent
    /// without a declared rating.
    pub const RATING_DISCREPANCY: &str = "RatingDiscrepancy";
    /// A title looks like a copy or a version of one that entered the catalogue before it; Unknown until it was looked up. Absent
    /// where nobody asks for that.
    pub const DUPLICATE_FOUND: &str = "DuplicateFound";
    /// A budget has room: its cap is not reached.
    pub const WITHIN_CAP: &str = "WithinCap";
    /// What a budget's limits depend on is known and not too old.
    pub const DATA_FRESH: &str = "DataFresh";
    /// A budget's ledger and the jobs that there are say the same.
    pub const RECONCILED: &str = "Reconciled";
    /// Somebody else has made or changed Jobs in the object's name. Absent when there are none.
    pub const TAMPERED: &str = "Tampered";
}

/// Reads a word of a status: one that this version does not know is none. A newer version wrote it before somebody went
/// back; an object must not become unreadable by it.
pub(crate) fn known_or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Word<T> {
        Known(T),
        Unknown(IgnoredAny),
    }
    Ok(match Option::<Word<T>>::deserialize(from)? {
        Some(Word::Known(word)) => Some(word),
        Some(Word::Unknown(_)) | None => None,
    })
}

/// Reads a list of words without those that this version does not know, for the same reason.
pub(crate) fn known_only<'de, D: Deserializer<'de>, T: serde::de::DeserializeOwned>(from: D) -> Result<Vec<T>, D::Error> {
    let words = Vec::<serde_json::Value>::deserialize(from)?;
    Ok(words.into_iter().filter_map(|word| serde_json::from_value(word).ok()).collect())
}

/// Annotation whose every new value asks for a reconcile now, whatever the back-off says.
pub const RECONCILE_AT: &str = "showrunner.dev/reconcile-at";

/// The media to work on: a path in a store that the operator knows by name. The resource never brings a host or a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceSpec {
    /// Name of the store profile, as the operator's configuration lists it. Default: `default`.
    #[serde(default = "default_store")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub store: String,
    /// Path of the media file below the profile's prefix, without a leading slash, such as `ingest/tt-4711/mezzanine.mov`.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = ("!self.startsWith('/') && !self.matches('(^|/)[.]{1,2}(/|$)') && !self.contains('//')",
        "path is relative to the store profile: no leading slash, no empty, '.' or '..' parts"))]
    #[x_kube(validation = ("!self.matches('[\\\\x00-\\\\x1f\\\\x7f]')", "path must not hold control characters"))]
    pub path: String,
    /// SHA-256 of the file, 64 lower-case hex digits. When given, a file with other bytes is refused. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

pub(crate) fn default_store() -> String {
    "default".into()
}

/// Whether a job runs on an accelerator such as a GPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Accelerator {
    /// CPU only.
    #[default]
    None,
    /// The accelerator class when a pod of it starts within `startDeadline`, else CPU.
    Preferred,
    /// The accelerator class or nothing.
    Required,
}

/// How jobs are run. The same block in every kind that runs jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.accelerator == 'None' || has(self.class)",
    "execution.class names the accelerator class to use when execution.accelerator is Preferred or Required"))]
pub struct ExecutionSpec {
    /// `None` runs on CPU, `Preferred` falls back to CPU when no pod of the class starts within `startDeadline`,
    /// `Required` waits. Default: `None`.
    #[serde(default)]
    pub accelerator: Accelerator,
    /// Name of the accelerator class, as the operator's configuration lists it, such as `t4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub class: Option<String>,
    /// How many more attempts a unit of work is given after one that failed through no fault of the source. 0 to 10,
    /// default 3. Pods lost to evictions and node failures count apart, up to 6 (and `spot.maxDisruptions` more where spot machines are used).
    #[serde(default = "default_retries")]
    #[schemars(range(min = 0, max = 10))]
    pub retries: u8,
    /// How long a pod may wait to start before its job is suspended again and the condition says what it waits for.
    /// A duration such as `90s`, `15m`, `1h30m`. Default: `15m`.
    #[serde(default = "default_start_deadline")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = ("duration(self) >= duration('10s') && duration(self) <= duration('24h')", "startDeadline must be between 10s and 24h"))]
    pub start_deadline: String,
    /// How long one attempt may run, from the pod's start. A duration such as `30m`, `2h`. Default: `2h`.
    #[serde(default = "default_max_duration")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = ("duration(self) >= duration('30s') && duration(self) <= duration('24h')", "maxDuration must be between 30s and 24h"))]
    pub max_duration: String,
    /// Whether attempts run on spot machines, where the operator's configuration has some of the class that is used.
    #[serde(default)]
    pub spot: SpotSpec,
}

/// When attempts run on spot machines, which are cheaper and may be taken back at any moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpotSpec {
    /// `UntilSlack`: on spot while that is cheaper and the deadline leaves room for one more loss, then on demand. `Always`: on spot
    /// whatever the deadline. `Never`: on demand. Where the class has no spot machines, all three are on demand. Default: `UntilSlack`.
    #[serde(default)]
    pub policy: SpotPolicy,
    /// By what the loss that may come (a start on demand, what an attempt does before it works, and the work that would be lost) is
    /// multiplied before it is held against the time left. 1 to 10, such as `1.5`. Default: `1.5`.
    #[serde(default = "default_safety_factor")]
    #[schemars(length(min = 1, max = 6), regex(pattern = r"^([1-9]([.][0-9]{1,3})?|10([.]0{1,3})?)$"))]
    pub safety_factor: String,
    /// `UntilSlack` only: after so many attempts that were lost, through spot machines taken back or otherwise, a step is done on
    /// demand. 0 to 10; 0 begins on demand. Default: 4.
    #[serde(default = "default_max_disruptions")]
    #[schemars(range(min = 0, max = 10))]
    pub max_disruptions: u8,
}

/// When attempts run on spot machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SpotPolicy {
    /// While it is cheaper and the deadline leaves room.
    #[default]
    UntilSlack,
    /// Whatever the deadline.
    Always,
    /// On demand.
    Never,
}

fn default_safety_factor() -> String {
    "1.5".into()
}
fn default_max_disruptions() -> u8 {
    4
}

impl Default for SpotSpec {
    fn default() -> Self {
        Self { policy: SpotPolicy::default(), safety_factor: default_safety_factor(), max_disruptions: default_max_disruptions() }
    }
}

fn default_retries() -> u8 {
    3
}
fn default_start_deadline() -> String {
    "15m".into()
}
fn default_max_duration() -> String {
    "2h".into()
}

impl Default for ExecutionSpec {
    fn default() -> Self {
        Self {
            accelerator: Accelerator::None,
            class: None,
            retries: default_retries(),
            start_deadline: default_start_deadline(),
            max_duration: default_max_duration(),
            spot: SpotSpec::default(),
        }
    }
}

/// Reads a factor of at most three digits after the point, as the schema's pattern allows it, in thousandths.
pub fn parse_milli(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    format!("{whole}{part:0<3}").parse().ok()
}

/// A duration was not written as hours, minutes and seconds.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a duration: write hours, minutes and seconds in that order, such as 1h30m or 90s")]
pub struct DurationError(pub String);

/// Reads a duration as the schema's pattern allows it: `([0-9]+h)?([0-9]+m)?([0-9]+s)?`, not empty.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.chars().take(32).collect());
    let (mut seconds, mut rest, mut any) = (0u64, text, false);
    for (unit, scale) in [('h', 3600u64), ('m', 60), ('s', 1)] {
        if let Some(at) = rest.find(unit) {
            // Digits alone: the number parser of Rust takes a plus sign too.
            let digits = Some(&rest[..at]).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let number: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or_else(error)?;
            seconds = number.checked_mul(scale).and_then(|n| seconds.checked_add(n)).ok_or_else(error)?;
            rest = &rest[at + 1..];
            any = true;
        }
    }
    if any && rest.is_empty() { Ok(Duration::from_secs(seconds)) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_read_to_the_thousandth() {
        for (text, milli) in [("1", 1000), ("1.5", 1500), ("10.000", 10_000), ("2.05", 2050)] {
            assert_eq!(parse_milli(text), Some(milli), "{text}");
        }
        for bad in ["", ".5", "1.0005", "1,5", "-1", "+1", "1e3", "9999999999"] {
            assert_eq!(parse_milli(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h30m", 5400), ("2h0m5s", 7205)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for bad in ["", "5", "m", "-5m", "5m1h", "1d", "1.5h", "+5h", "5h+3m", "99999999999999999999h", "18446744073709551615h"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
