//! What was seen of a budget: its period, what was spent and reserved, who waits. No I/O.

use super::Action;
use crate::common::{known_only, known_or_none};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter};

/// What was seen of the budget. A copy: the truth is the ledger, from which it is worked out again when it is lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AiBudgetStatus {
    /// Generation of the spec that this status answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How it stands.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_or_none")]
    pub phase: Option<BudgetPhase>,
    /// Ready, `WithinCap`, `DataFresh`, Reconciled and, where there is one, Stalled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(length(max = 8))]
    pub conditions: Vec<Condition>,
    /// The period now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodStatus>,
    /// What was spent in it, such as `12870.11`: what jobs that have ended cost, and corrections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub spent: Option<String>,
    /// What of that corrects what was metered, by bills that came later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub adjusted: Option<String>,
    /// What is held for jobs that were let start and have not ended, their upper bounds, and for leases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub reserved: Option<String>,
    /// How many jobs that is.
    #[serde(default)]
    pub running: i32,
    /// What of `reserved` is in leases, of callers that are no jobs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub leases_out: Option<String>,
    /// The warning now, with any override; the stricter of both kinds of limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub warn: Option<String>,
    /// The cap now, with any override; the stricter of both kinds of limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub cap: Option<String>,
    /// Actions that are in force now, such as `ForceSpot`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "known_only")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 4))]
    pub in_force: Vec<Action>,
    /// Actions whose line is crossed and that wait for an approval.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "known_only")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 4))]
    pub awaiting_approval: Vec<Action>,
    /// What part of the platform's cost was spent, and of how much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareStatus>,
    /// What the period will have cost; absent before its third full day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<ForecastStatus>,
    /// Models by what was spent on them in the period, the dearest first; the ledger has all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["model".into()]))]
    #[schemars(length(max = 20))]
    pub models: Vec<ModelCost>,
    /// Jobs that wait for room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<WaitingStatus>,
    /// `DryRun` only: jobs that would have had to wait, since the operator started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_have_waited: Option<i32>,
    /// The newest report that was put into the store; absent where the ledger is not kept in a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportStatus>,
    /// The ledger up to which all this adds up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerStatus>,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum BudgetPhase {
    /// Below the warning.
    Ok,
    /// At or above the warning.
    Warning,
    /// At or above the cap.
    Capped,
    /// Something that has to be known is not: batch work waits.
    Blind,
    /// Being deleted.
    Closing,
}

/// A period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodStatus {
    /// Such as `2026-11`, `2026-Q4` or `2026`.
    #[schemars(length(max = 16))]
    pub name: String,
    /// Its first moment.
    pub start: Time,
    /// The first moment after it.
    pub end: Time,
}

/// A part of the platform's cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShareStatus {
    /// The part, such as `0.121`.
    #[schemars(length(max = 24))]
    pub value: String,
    /// Of how much: a cheaper platform makes the part larger, and not the models dearer.
    #[schemars(length(max = 24))]
    pub denominator: String,
    /// `Fixed` or `Focus`.
    #[schemars(length(max = 16))]
    pub basis: String,
    /// Up to when the bill goes; absent for a fixed amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
}

/// What a period will have cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastStatus {
    /// Likeliest.
    #[schemars(length(max = 24))]
    pub expected: String,
    /// Less is unlikely: in one of twenty periods.
    #[schemars(length(max = 24))]
    pub low: String,
    /// More is unlikely: in one of twenty periods.
    #[schemars(length(max = 24))]
    pub high: String,
}

/// What was spent on a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelCost {
    /// Model, or the step where it has none.
    #[schemars(length(max = 128))]
    pub model: String,
    /// What was spent.
    #[schemars(length(max = 24))]
    pub spent: String,
    /// In how many attempts.
    pub runs: i64,
    /// What one cost on average.
    #[schemars(length(max = 24))]
    pub per_run: String,
}

/// Jobs that wait for room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingStatus {
    /// How many.
    pub count: i32,
    /// What they may cost at most, all together.
    #[schemars(length(max = 24))]
    pub need: String,
    /// Those that are next; `/budgets/NAME/queue` of the operator has all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub first: Vec<WaitingJob>,
}

/// A job that waits for room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingJob {
    /// Whose, as `namespace/name`.
    #[schemars(length(max = 320))]
    pub owner: String,
    /// What it may cost at most.
    #[schemars(length(max = 24))]
    pub need: String,
}

/// A report in the store: `index.html`, `models.csv` and `focus.csv` in one folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportStatus {
    /// The period that it is of, such as `2026-11`.
    #[schemars(length(max = 16))]
    pub period: String,
    /// The folder, below the prefix of the ledger's store profile.
    #[schemars(length(max = 1024))]
    pub path: String,
    /// When it was made: at most once an hour, when the money has changed, and once more when the period is over.
    pub at: Time,
    /// What it says was spent.
    #[schemars(length(max = 24))]
    pub spent: String,
    /// The period is over: this report is not replaced any more.
    pub complete: bool,
}

/// How far the ledger was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LedgerStatus {
    /// Its newest page.
    pub page: i64,
    /// That page's digest.
    #[schemars(length(max = 71))]
    pub digest: String,
    /// Where it lies: a page that was noted of another place says nothing of this one.
    #[serde(default)]
    #[schemars(length(max = 640))]
    pub place: String,
}
