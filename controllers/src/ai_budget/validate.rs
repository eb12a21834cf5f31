//! A budget's spec as values that cannot be wrong, or what is wrong with it. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use showrunner_crds::ai_budget::{
    Action, ActionAt, AiBudgetSpec, BudgetMode, BudgetReason, DenominatorSpec, NamespaceSelector, PeriodType,
};
use showrunner_crds::common::parse_duration;
use showrunner_ledger::Amount;
use showrunner_ledger::lease::LeaseRules;
use showrunner_ledger::period::{Calendar, PeriodKind};
use showrunner_ledger::rules::{Limits, Mode};

/// Millionths in one.
const MILLION: i128 = 1_000_000;

/// What a budget asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wish {
    /// Its periods.
    pub calendar: Calendar,
    /// Amounts that do not depend on anything else.
    pub absolute: Limits,
    /// Parts of what the platform costs.
    pub share: Option<ShareWish>,
    /// Whose work it is over.
    pub selector: NamespaceSelector,
    /// The budget above it.
    pub parent: Option<String>,
    /// By how much both limits are raised, until when, and why.
    pub raise: Option<(Amount, Timestamp, String)>,
    /// What it does when there is no room.
    pub mode: Mode,
    /// What is done at which line.
    pub actions: Vec<(ActionAt, Action)>,
    /// What is asked of work beside that.
    pub measures: Vec<Measure>,
    /// What people have approved, and in which periods.
    pub approvals: Vec<(Action, String)>,
    /// How its leases are.
    pub leases: LeaseRules,
}

/// Something that is asked of work from a line on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// What.
    pub action: Action,
    /// From which line on.
    pub at: ActionAt,
    /// How much of the cap beyond it, millionths.
    pub over_by: i128,
    /// It waits until somebody has approved it.
    pub needs_approval: bool,
}

/// Parts of what the platform costs, in millionths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareWish {
    /// The warning.
    pub warn: Option<i128>,
    /// The cap.
    pub cap: i128,
    /// What they are parts of.
    pub of: DenominatorWish,
}

/// What a platform costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenominatorWish {
    /// So much in each period.
    Fixed(Amount),
    /// What a bill says.
    Focus {
        /// Store profile.
        store: String,
        /// Path in it.
        path: String,
        /// How old its newest charge may be.
        max_age: Duration,
    },
}

/// Why a budget cannot work as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The condition's reason.
    pub reason: BudgetReason,
    /// For people, with what to do.
    pub message: String,
}

fn refuse(reason: BudgetReason, message: String) -> Refusal {
    Refusal { reason, message }
}

/// The periods of a spec, as far as it says which: in UTC where nobody knows its time zone.
pub fn calendar(spec: &AiBudgetSpec) -> Calendar {
    let zone = TimeZone::get(&spec.period.time_zone).unwrap_or(TimeZone::UTC);
    let kind = match spec.period.r#type {
        PeriodType::CalendarMonth => PeriodKind::Month,
        PeriodType::CalendarQuarter => PeriodKind::Quarter,
        PeriodType::CalendarYear => PeriodKind::Year,
    };
    Calendar::new(kind, zone)
}

/// What all jobs have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Currency of all prices.
    pub currency: String,
    /// Priority class; empty where they have none.
    pub priority: String,
}

/// Reads a spec. The schema has looked at each text already; what an older schema let through is refused here.
pub fn wish(spec: &AiBudgetSpec, terms: &Terms) -> Result<Wish, Refusal> {
    let Terms { currency, priority } = terms;
    if spec.currency != *currency {
        let message = format!(
            "amounts are in {}, and the operator's prices in {currency}: nothing is converted. Make the budget in {currency}, or change jobs.currency and the prices in the operator's configuration",
            spec.currency
        );
        return Err(refuse(BudgetReason::CurrencyMismatch, message));
    }
    TimeZone::get(&spec.period.time_zone).map_err(|_| {
        let message =
            format!("{:?} is no time zone that is known here: write a name such as Europe/Berlin or UTC", spec.period.time_zone);
        refuse(BudgetReason::TimeZoneUnknown, message)
    })?;
    let amount =
        |text: &String| text.parse::<Amount>().map_err(|error| refuse(BudgetReason::DenominatorMissing, error.to_string()));
    let absolute = match &spec.limits.absolute {
        None => Limits::default(),
        Some(limits) => Limits { warn: limits.warn.as_ref().map(amount).transpose()?, cap: Some(amount(&limits.cap)?) },
    };
    let share = match &spec.limits.share {
        None => None,
        Some(share) => {
            let millionths = |text: &String| amount(text).map(Amount::micros);
            Some(ShareWish {
                warn: share.warn.as_ref().map(millionths).transpose()?,
                cap: millionths(&share.cap)?,
                of: denominator(&share.of)?,
            })
        }
    };
    let raise = match &spec.r#override {
        None => None,
        Some(raise) => Some((amount(&raise.amount)?, raise.until.0, raise.reason.clone())),
    };
    let ttl = parse_duration(&spec.leases.ttl);
    let leases = LeaseRules {
        min: amount(&spec.leases.min)?,
        ttl: ttl.map_err(|error| refuse(BudgetReason::DenominatorMissing, error.to_string()))?,
        max_share: amount(&spec.leases.max_share)?.micros(),
    };
    let mut actions: Vec<_> = spec.actions.iter().flat_map(|action| action.r#do.iter().map(|what| (action.at, *what))).collect();
    actions.sort_unstable();
    actions.dedup();
    let holds = actions.contains(&(ActionAt::Cap, Action::HoldNewBatch));
    let protected = !priority.is_empty() && spec.protected_priority_classes.iter().any(|class| class == priority);
    let enforces = spec.mode == BudgetMode::Enforce && !protected;
    let measures = if enforces { measures(spec)? } else { Vec::new() };
    Ok(Wish {
        calendar: calendar(spec),
        absolute,
        share,
        selector: spec.scope.namespace_selector.clone(),
        parent: spec.parent_ref.as_ref().map(|parent| parent.name.clone()),
        raise,
        mode: if enforces && holds { Mode::Enforce } else { Mode::Watch },
        actions,
        measures,
        approvals: spec.approvals.iter().map(|approval| (approval.action, approval.period.clone())).collect(),
        leases,
    })
}

/// What a budget asks of work beside holding it.
fn measures(spec: &AiBudgetSpec) -> Result<Vec<Measure>, Refusal> {
    let mut measures = Vec::new();
    for line in &spec.actions {
        let over_by = line.over_by.as_ref().map_or(Ok(Amount::ZERO), |text| {
            text.parse().map_err(|error: showrunner_ledger::AmountError| {
                refuse(BudgetReason::DenominatorMissing, format!("spec.actions: overBy: {error}"))
            })
        })?;
        for action in line.r#do.iter().filter(|action| matches!(action, Action::ForceSpot | Action::SuspendBatch)) {
            measures.push(Measure {
                action: *action,
                at: line.at,
                over_by: over_by.micros(),
                needs_approval: line.require_approval.unwrap_or(*action == Action::SuspendBatch),
            });
        }
    }
    Ok(measures)
}

fn denominator(of: &DenominatorSpec) -> Result<DenominatorWish, Refusal> {
    let missing = |message: String| refuse(BudgetReason::DenominatorMissing, message);
    match (&of.fixed, &of.focus) {
        (Some(fixed), _) => {
            Ok(DenominatorWish::Fixed(fixed.parse().map_err(|error: showrunner_ledger::AmountError| missing(error.to_string()))?))
        }
        (None, Some(focus)) => Ok(DenominatorWish::Focus {
            store: focus.store.clone(),
            path: focus.path.clone(),
            max_age: parse_duration(&focus.max_age).map_err(|error| missing(error.to_string()))?,
        }),
        (None, None) => Err(missing("limits.share.of says nothing: give fixed or focus".to_owned())),
    }
}

/// What the limits are parts of, as it is known now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denominator {
    /// What the platform costs in the period.
    pub amount: Amount,
    /// Up to when the bill goes; none for a fixed amount.
    pub as_of: Option<Timestamp>,
}

impl Wish {
    /// The limits now, or why they are not known.
    pub fn limits(&self, denominator: Option<&Result<Denominator, String>>, now: Timestamp) -> Result<Limits, String> {
        let share = match (&self.share, denominator) {
            (None, _) => Limits::default(),
            (Some(_), None) => return Err("the bill has not been read yet".to_owned()),
            (Some(_), Some(Err(why))) => return Err(why.clone()),
            (Some(share), Some(Ok(of))) => {
                let part = |millionths: i128| of.amount.part(millionths, MILLION);
                Limits { warn: share.warn.map(part), cap: Some(part(share.cap)) }
            }
        };
        let limits = self.absolute.stricter(share);
        Ok(match &self.raise {
            Some((amount, until, _)) if now < *until => limits.raised(*amount),
            Some(_) | None => limits,
        })
    }
}
