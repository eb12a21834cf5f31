//! How a budget stands, in words: status, conditions, events. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use showrunner_crds::AiBudget;
use showrunner_crds::ai_budget::{
    AiBudgetStatus, BudgetMode, BudgetPhase, BudgetReason, ForecastStatus, LedgerStatus, ModelCost, PeriodStatus, ShareStatus,
    WaitingJob, WaitingStatus,
};
use showrunner_crds::common::condition;
use showrunner_kit::conditions::{self, Change, Truth, Want, cut};
use showrunner_kit::events::Severity;
use showrunner_ledger::Amount;
use showrunner_ledger::book::Usage;
use showrunner_ledger::forecast::Forecast;

use super::decide::{Decision, is_unattributed};
use super::dereference::{Money, Seen};
use super::validate::DenominatorWish;

/// Models in the status.
const MAX_MODELS: usize = 20;
/// A forecast that moves by less than one in so many parts is the same to people.
const MOVED: i128 = 50;
/// Longest name of a model in the status, bytes.
const MAX_MODEL: usize = 128;
/// Longest name of a job's owner in the status, bytes.
const MAX_OWNER: usize = 320;

/// An event.
pub struct Note {
    /// How bad it is.
    pub severity: Severity,
    /// The condition's reason.
    pub reason: BudgetReason,
    /// For people.
    pub message: String,
}

/// The status that says it, and what people are told.
pub fn tell(object: &AiBudget, seen: &Seen, decision: &Decision, now: Timestamp) -> (AiBudgetStatus, Vec<Note>) {
    let mut status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    status.observed_generation = Some(generation);
    status.phase = Some(decision.phase);
    let period = &seen.budget.period;
    status.period = Some(PeriodStatus { name: period.label.clone(), start: Time(period.start), end: Time(period.end) });
    let limits = seen.budget.limits;
    let text = |amount: Amount| amount.to_string();
    (status.warn, status.cap) = (limits.warn.map(text), limits.cap.map(text));
    status.forecast = decision.forecast.as_ref().map(|forecast| foretold(status.forecast.take(), forecast));
    // Without the ledger, what was last known stands.
    if let Some(money) = &decision.money {
        tell_money(&mut status, seen, money);
    }
    status.in_force = decision.measures.in_force.iter().copied().collect();
    status.awaiting_approval = decision.measures.awaiting.iter().copied().collect();
    status.waiting = (seen.waiting.count > 0).then(|| WaitingStatus {
        count: i32::try_from(seen.waiting.count).unwrap_or(i32::MAX),
        need: text(seen.waiting.need),
        first: seen
            .waiting
            .first
            .iter()
            .map(|(owner, need)| WaitingJob { owner: cut(owner, MAX_OWNER), need: text(*need) })
            .collect(),
    });
    let dry = object.spec.mode == BudgetMode::DryRun;
    status.would_have_waited = dry.then(|| i32::try_from(seen.would_wait).unwrap_or(i32::MAX));
    let notes = tell_conditions(&mut status, decision, generation, now);
    (status, notes)
}

/// What is expected, or what was, where it has hardly moved: that is no reason to write.
fn foretold(before: Option<ForecastStatus>, now: &Forecast) -> ForecastStatus {
    let old = before.as_ref().and_then(|before| before.expected.parse::<Amount>().ok());
    let moved = old.is_none_or(|old| (now.expected - old).micros().abs() * MOVED > old.micros().abs());
    before.filter(|_| !moved).unwrap_or_else(|| ForecastStatus {
        expected: format!("{:.2}", now.expected),
        low: format!("{:.2}", now.low),
        high: format!("{:.2}", now.high),
    })
}

fn tell_money(status: &mut AiBudgetStatus, seen: &Seen, money: &Money) {
    status.spent = Some(money.spent.total.to_string());
    status.adjusted = (money.spent.adjusted != Amount::ZERO).then(|| money.spent.adjusted.to_string());
    status.reserved = Some(money.reserved.to_string());
    status.running = i32::try_from(money.running).unwrap_or(i32::MAX);
    status.leases_out = (money.leases.count > 0).then(|| money.leases.out.to_string());
    status.ledger = Some(LedgerStatus {
        page: i64::try_from(money.head.sequence).unwrap_or(i64::MAX),
        digest: money.head.digest.clone(),
        place: seen.place.clone(),
    });
    let mut models: Vec<(&String, &Usage)> = money.spent.models.iter().collect();
    models.sort_by(|a, b| b.1.amount.cmp(&a.1.amount).then(a.0.cmp(b.0)));
    models.truncate(MAX_MODELS);
    status.models = models
        .into_iter()
        .map(|(model, usage)| ModelCost {
            model: cut(model, MAX_MODEL),
            spent: usage.amount.to_string(),
            runs: i64::try_from(usage.runs).unwrap_or(i64::MAX),
            per_run: usage.amount.part(1, i128::from(usage.runs.max(1))).to_string(),
        })
        .collect();
    let of = seen.denominator.as_ref().and_then(|of| of.as_ref().ok());
    status.share = of.map(|of| {
        let fixed = seen.wish.as_ref().ok().and_then(|wish| wish.share.as_ref());
        let fixed = fixed.is_some_and(|share| matches!(share.of, DenominatorWish::Fixed(_)));
        // In thousandths: a part that moves by less is the same to people, and no reason to write.
        let thousandths = if of.amount.micros() > 0 { money.spent.total.micros() * 1000 / of.amount.micros() } else { 0 };
        ShareStatus {
            value: Amount::from_micros(thousandths * 1000).to_string(),
            denominator: of.amount.to_string(),
            basis: if fixed { "Fixed" } else { "Focus" }.to_owned(),
            as_of: of.as_of.map(Time),
        }
    });
}

fn tell_conditions(status: &mut AiBudgetStatus, decision: &Decision, generation: i64, now: Timestamp) -> Vec<Note> {
    let works = matches!(decision.phase, BudgetPhase::Ok | BudgetPhase::Warning);
    let within = match decision.phase {
        BudgetPhase::Ok | BudgetPhase::Warning => Truth::True,
        BudgetPhase::Capped => Truth::False,
        BudgetPhase::Blind | BudgetPhase::Closing => Truth::Unknown,
    };
    let fresh = match &decision.fresh {
        Ok(message) => (Truth::True, BudgetReason::DenominatorKnown, message.clone()),
        Err(why) => (Truth::False, BudgetReason::DenominatorMissing, why.clone()),
    };
    let reconciled = if decision.money.is_none() {
        (Truth::Unknown, decision.reason, decision.message.clone())
    } else if is_unattributed(decision.unattributed) {
        let percent = Amount::from_micros(decision.unattributed * 100_000);
        (Truth::False, BudgetReason::Unattributed, format!("{percent:.1} % of what was spent belongs to no model"))
    } else {
        (
            Truth::True,
            BudgetReason::Consistent,
            "what is reserved belongs to jobs that are there, and what was spent to models".to_owned(),
        )
    };
    let ready = (if works { Truth::True } else { Truth::False }, decision.reason, decision.message.clone());
    let wanted = [
        (condition::READY, ready),
        (condition::WITHIN_CAP, (within, decision.reason, decision.message.clone())),
        (condition::DATA_FRESH, fresh),
        (condition::RECONCILED, reconciled),
    ];
    let mut notes = Vec::new();
    for (type_, (truth, reason, message)) in wanted {
        let want = Want { type_, status: truth, reason: reason.into(), message: message.as_str().into() };
        let change = conditions::set(&mut status.conditions, want, generation, now);
        // One event for each turn of the summary; the others say the same in more detail.
        if type_ == condition::READY && change == Change::Flipped {
            let severity = if works { Severity::Normal } else { Severity::Warning };
            notes.push(Note { severity, reason, message });
        }
    }
    if decision.stalled {
        let want = Want {
            type_: condition::STALLED,
            status: Truth::True,
            reason: decision.reason.into(),
            message: decision.message.as_str().into(),
        };
        conditions::set(&mut status.conditions, want, generation, now);
    } else {
        conditions::remove(&mut status.conditions, condition::STALLED);
    }
    notes
}
