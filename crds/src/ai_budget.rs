//! AiBudget: how much the AI work of some namespaces may cost in a period, and what is done when it comes near. No I/O.

mod reason;
mod status;

pub use reason::*;
pub use status::*;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::{Display, EnumIter};

use crate::common::{default_store, known_only};

/// How much AI work may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "showrunner.dev",
    version = "v1alpha1",
    kind = "AiBudget",
    plural = "aibudgets",
    singular = "aibudget",
    shortname = "aib",
    category = "showrunner",
    derive = "PartialEq",
    status = "AiBudgetStatus",
    doc = "Caps what the AI jobs of some namespaces may cost in a month, a quarter or a year. Every job is priced before it runs, its upper \
           bound is reserved, and it starts only when the money is there; when it has ended it is charged what it cost, once. People are \
           told at the warning and at the cap. Cluster-scoped: applies to all namespaces that spec.scope selects.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Spent", type_ = "string", json_path = ".status.spent"),
    printcolumn(name = "Reserved", type_ = "string", json_path = ".status.reserved"),
    printcolumn(name = "Cap", type_ = "string", json_path = ".status.cap"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waiting.count"),
    printcolumn(name = "Period", type_ = "string", json_path = ".status.period.name"),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Expected", type_ = "string", json_path = ".status.forecast.expected", priority = 1),
    printcolumn(name = "Warn", type_ = "string", json_path = ".status.warn", priority = 1),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", priority = 1)
)]
#[x_kube(validation = ("!has(self.parentRef) || self.parentRef.name != ''", "parentRef.name names another AiBudget"))]
pub struct AiBudgetSpec {
    /// When the count begins anew.
    #[serde(default)]
    pub period: PeriodSpec,
    /// ISO 4217 code of all amounts, such as `USD`; that of the operator's prices (`jobs.currency` in its configuration), for nothing
    /// is converted. Cannot be changed: what was spent would be in another one.
    #[schemars(length(min = 3, max = 3), regex(pattern = r"^[A-Z]{3}$"))]
    #[x_kube(validation = ("self == oldSelf", "currency cannot be changed: make another budget"))]
    pub currency: String,
    /// What people are told at, and what is never gone beyond.
    pub limits: LimitsSpec,
    /// Whose jobs count. Default: all namespaces.
    #[serde(default)]
    pub scope: ScopeSpec,
    /// A budget above this one: it must have room, too, so that a child can only be stricter. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_ref: Option<ParentRef>,
    /// What is done at which line. Default: `Notify` at `Warn`, `Escalate` and `HoldNewBatch` at `Cap`.
    #[serde(default = "default_actions", deserialize_with = "known_only")]
    #[schemars(length(max = 8))]
    pub actions: Vec<ActionSpec>,
    /// What people have approved of what the actions would do. At most 16; those of periods that are over may go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub approvals: Vec<ApprovalSpec>,
    /// Priority classes whose jobs no action touches: they start beyond the cap, and are not ended. Which priority class jobs have says
    /// the operator's configuration alone (`jobs.priorityClassName`); no title can choose it. They are charged as all others. Optional.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[schemars(length(max = 16), inner(length(min = 1, max = 253)))]
    pub protected_priority_classes: Vec<String>,
    /// How many turns a namespace has while others wait, too; 1 for those that are not here. Optional.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into()]))]
    #[schemars(length(max = 64))]
    pub weights: Vec<WeightSpec>,
    /// Raises warning and cap for a while. Ends by itself. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#override: Option<OverrideSpec>,
    /// How leases are: money that callers which are no jobs have in hand. Of several budgets over a namespace, the least counts.
    #[serde(default)]
    pub leases: LeasesSpec,
    /// `Enforce` lets jobs wait that have no room; `DryRun` lets them run, counts them, and says how many would have waited.
    /// Default: `Enforce`.
    #[serde(default)]
    pub mode: BudgetMode,
}

/// When a budget's count begins anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeriodSpec {
    /// `CalendarMonth`, `CalendarQuarter` or `CalendarYear`. Cannot be changed: the count would begin anew. Default: `CalendarMonth`.
    #[x_kube(validation = ("self == oldSelf", "period.type cannot be changed, for the count would begin anew: make another budget"))]
    #[serde(default, rename = "type")]
    pub r#type: PeriodType,
    /// Time zone in which a period begins, at midnight of its first day, by its name in the time zone database, such as
    /// `Europe/Berlin`. Default: `UTC`.
    #[serde(default = "default_zone")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$"))]
    pub time_zone: String,
}

fn default_zone() -> String {
    "UTC".into()
}

impl Default for PeriodSpec {
    fn default() -> Self {
        Self { r#type: PeriodType::default(), time_zone: default_zone() }
    }
}

/// How long a period is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum PeriodType {
    /// January, February, ...
    #[default]
    CalendarMonth,
    /// January to March, ...
    CalendarQuarter,
    /// January to December.
    CalendarYear,
}

/// Limits of a period. Where both are given, the stricter one counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.absolute) || has(self.share)", "give limits.absolute, limits.share or both"))]
pub struct LimitsSpec {
    /// Amounts of money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute: Option<AbsoluteLimits>,
    /// Parts of what the platform costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<ShareLimits>,
}

/// Amounts of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.warn) || quantity(self.warn).compareTo(quantity(self.cap)) <= 0", "warn must be at most cap"))]
pub struct AbsoluteLimits {
    /// People are told from here on, such as `13200`. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]{1,12}([.][0-9]{1,6})?$"))]
    pub warn: Option<String>,
    /// No job starts whose upper bound could go beyond, such as `16500`.
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]{1,12}([.][0-9]{1,6})?$"))]
    pub cap: String,
}

/// Parts of what the platform costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.warn) || quantity(self.warn).compareTo(quantity(self.cap)) <= 0", "warn must be at most cap"))]
pub struct ShareLimits {
    /// People are told from here on, such as `0.12` for 12 %. Optional.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^(0([.][0-9]{1,6})?|1([.]0{1,6})?)$"))]
    pub warn: Option<String>,
    /// No job starts whose upper bound could go beyond, such as `0.15` for 15 %.
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^(0([.][0-9]{1,6})?|1([.]0{1,6})?)$"))]
    pub cap: String,
    /// What they are parts of.
    pub of: DenominatorSpec,
}

/// What a platform costs in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.fixed) != has(self.focus)", "give either of.fixed or of.focus"))]
pub struct DenominatorSpec {
    /// An amount for the whole period that somebody stands for, such as `110000`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]{1,12}([.][0-9]{1,6})?$"))]
    pub fixed: Option<String>,
    /// The platform's bill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub focus: Option<FocusSpec>,
}

/// A bill as a FOCUS dataset: its `BilledCost` by `ChargePeriodStart`. What the last full 30 days cost is taken for the period, in
/// proportion to its days: of a month that is not over, nobody knows more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FocusSpec {
    /// Name of the store profile, as the operator's configuration lists it. Default: `default`.
    #[serde(default = "default_store")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub store: String,
    /// Path of the CSV file below the profile's prefix for the operator's own namespace, such as `billing/focus.csv`. At most 32 MiB.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = ("!self.startsWith('/') && !self.matches('(^|/)[.]{1,2}(/|$)') && !self.contains('//')",
        "path is relative to the store profile: no leading slash, no empty, '.' or '..' parts"))]
    pub path: String,
    /// How old the newest charge may be: beyond that the budget is `Blind`, and batch work waits. Bills come a day or two late. A
    /// duration such as `72h`. Default: `72h`.
    #[serde(default = "default_max_age")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = ("duration(self) >= duration('1h') && duration(self) <= duration('1440h')", "maxAge must be between 1h and 1440h"))]
    pub max_age: String,
}

fn default_max_age() -> String {
    "72h".into()
}

/// Whose jobs count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScopeSpec {
    /// Namespaces by their labels; an empty one selects all. Every namespace has the label `kubernetes.io/metadata.name`.
    #[serde(default)]
    pub namespace_selector: NamespaceSelector,
}

/// Namespaces by their labels, as Kubernetes selects: all of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Labels that the namespace must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), with = "BTreeMap<String, LabelValue>")]
    pub match_labels: BTreeMap<String, String>,
    /// What else must hold of its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub match_expressions: Vec<LabelRequirement>,
}

/// A label's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelValue(#[schemars(length(max = 63))] pub String);

/// What must hold of one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
    "In and NotIn need values, Exists and DoesNotExist have none"))]
pub struct LabelRequirement {
    /// Label.
    #[schemars(length(min = 1, max = 316))]
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: LabelOperator,
    /// Values for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// How a label is held against values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum LabelOperator {
    /// It has one of them.
    In,
    /// It has none of them, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl NamespaceSelector {
    /// Whether a namespace with these labels is selected.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| {
                let value = labels.get(&requirement.key);
                let listed = value.is_some_and(|value| requirement.values.contains(value));
                match requirement.operator {
                    LabelOperator::In => listed,
                    LabelOperator::NotIn => !listed,
                    LabelOperator::Exists => value.is_some(),
                    LabelOperator::DoesNotExist => value.is_none(),
                }
            })
    }
}

/// Another AiBudget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What is done at a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.overBy) || self.at == 'Cap'", "overBy goes with at: Cap"))]
#[x_kube(validation = ("!('SuspendBatch' in self.do) || self.at == 'Cap'", "SuspendBatch goes with at: Cap"))]
#[x_kube(validation = ("!has(self.overBy) || !('HoldNewBatch' in self.do)", "HoldNewBatch holds at the cap: put it into an action without overBy"))]
pub struct ActionSpec {
    /// Which line.
    pub at: ActionAt,
    /// What is done.
    #[serde(deserialize_with = "known_only")]
    #[schemars(length(min = 1, max = 4))]
    pub r#do: Vec<Action>,
    /// `Cap` only: so much of the cap beyond it, such as `0.05` for 5 %. Spending gets there by bills that come late and by jobs that a
    /// budget made later found running. Default: at the cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^[0-9]([.][0-9]{1,6})?$"))]
    pub over_by: Option<String>,
    /// Whether `SuspendBatch` and `ForceSpot` of this line wait until somebody has written an approval of the period into
    /// `spec.approvals`. People are told that one is wanted. Default: `true` for `SuspendBatch`, `false` for `ForceSpot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_approval: Option<bool>,
}

/// A line that spending crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum ActionAt {
    /// The period is expected to end above the cap.
    Forecast,
    /// The warning is reached.
    Warn,
    /// The cap is reached.
    Cap,
}

/// What is done at a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum Action {
    /// People are told, as a warning.
    Notify,
    /// People are told, as something that cannot wait.
    Escalate,
    /// `Cap` only: no job starts whose upper bound could go beyond the cap. Without it the cap is only told of.
    HoldNewBatch,
    /// New attempts run on spot machines alone, where the operator's configuration has some of their class, whatever their deadline.
    ForceSpot,
    /// `Cap` only: jobs that run are ended, what they have committed is kept, and they go on when less is spent than the line, or in the
    /// next period. Waits for an approval, unless `requireApproval` is `false`.
    SuspendBatch,
}

/// Somebody has approved what an action would do in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalSpec {
    /// Which action.
    pub action: Action,
    /// Name of the period, as `status.period.name`, such as `2026-11`: an approval ends with it.
    #[schemars(length(min = 4, max = 16), regex(pattern = r"^[0-9]{4}(-[0-9]{2}|-Q[1-4])?$"))]
    pub period: String,
    /// Who approved, for people.
    #[schemars(length(min = 1, max = 128))]
    pub by: String,
}

fn default_actions() -> Vec<ActionSpec> {
    let line = |at, what| ActionSpec { at, r#do: what, over_by: None, require_approval: None };
    vec![line(ActionAt::Warn, vec![Action::Notify]), line(ActionAt::Cap, vec![Action::Escalate, Action::HoldNewBatch])]
}

/// How many turns a namespace has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightSpec {
    /// Which.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its turns, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
}

/// Raises the limits for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideSpec {
    /// By how much, such as `500`.
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]{1,12}([.][0-9]{1,6})?$"))]
    pub amount: String,
    /// Until when, such as `2026-11-25T00:00:00Z`.
    pub until: Time,
    /// Why; goes into events.
    #[schemars(length(min = 3, max = 200))]
    pub reason: String,
}

/// How leases are that are held against a budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeasesSpec {
    /// No lease is smaller; what a caller gets of which nothing is known yet. An amount such as `0.50`. Default: `1`.
    #[serde(default = "default_lease_min")]
    #[schemars(length(min = 1, max = 20), regex(pattern = r"^[0-9]{1,12}([.][0-9]{1,6})?$"))]
    #[x_kube(validation = ("quantity(self).compareTo(quantity('0.001')) >= 0", "min must be at least 0.001"))]
    pub min: String,
    /// How long a lease lives: its caller needs a new one after this time, less half a minute, and one that nobody ended is charged
    /// in full a minute after it. A duration such as `15m`. Default: `15m`.
    #[serde(default = "default_lease_ttl")]
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"))]
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('1h')", "ttl must be between 1m and 1h"))]
    pub ttl: String,
    /// The part of what is free that one lease may be at most, such as `0.05` for 5 %; `min` may be had in any case. What one
    /// caller can lose by a crash. Default: `0.05`.
    #[serde(default = "default_lease_share")]
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^(0([.][0-9]{1,6})?|1([.]0{1,6})?)$"))]
    pub max_share: String,
}

fn default_lease_min() -> String {
    "1".into()
}

fn default_lease_ttl() -> String {
    "15m".into()
}

fn default_lease_share() -> String {
    "0.05".into()
}

impl Default for LeasesSpec {
    fn default() -> Self {
        Self { min: default_lease_min(), ttl: default_lease_ttl(), max_share: default_lease_share() }
    }
}

/// What a budget does when there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter)]
pub enum BudgetMode {
    /// Jobs wait.
    #[default]
    Enforce,
    /// Jobs run; what would have waited is counted.
    DryRun,
}
