//! How a budget stands. No I/O.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use showrunner_crds::AiBudget;
use showrunner_crds::ai_budget::{Action, ActionAt, BudgetPhase, BudgetReason};
use showrunner_ledger::forecast::{Forecast, Known as Past, forecast};
use showrunner_ledger::period::{Calendar, Period};
use showrunner_ledger::rules::{Mode, crossed};
use showrunner_ledger::{Amount, Level};

use super::dereference::{Money, Seen};
use super::measures::{Standing, standing};

/// When a budget is looked at again at the latest.
const LOOK_EVERY: Duration = Duration::from_mins(5);
/// The same for one of which something is not known.
const LOOK_SOON: Duration = Duration::from_secs(30);
/// How long a budget that is being deleted waits for a ledger that does not answer.
const PATIENCE: Duration = Duration::from_mins(10);
/// Part of what was spent that may belong to no model, in thousandths.
const MAX_UNATTRIBUTED: i128 = 10;
/// Days of earlier periods that a forecast looks at.
const PRIOR_DAYS: usize = 62;

/// What a decision is made from.
pub struct Input<'a> {
    /// The budget as it was read.
    pub object: &'a AiBudget,
    /// What was read beside it.
    pub seen: &'a Seen,
    /// Now.
    pub now: Timestamp,
}

/// How a budget stands.
#[derive(Clone, Debug)]
pub struct Decision {
    /// In a word.
    pub phase: BudgetPhase,
    /// Why, in the word that people search for.
    pub reason: BudgetReason,
    /// Why, for people.
    pub message: String,
    /// Nothing more happens before a person changes something.
    pub stalled: bool,
    /// What the limits depend on is known; else why not.
    pub fresh: Result<String, String>,
    /// Part of what was spent that belongs to no model, in thousandths.
    pub unattributed: i128,
    /// What the period will have cost.
    pub forecast: Option<Forecast>,
    /// Lines that are crossed.
    pub crossed: BTreeSet<Level>,
    /// How loudly people are told of each line that somebody wants to be told of.
    pub tell: Vec<(Level, Action)>,
    /// What is asked of work beside holding it.
    pub measures: Standing,
    /// Our finalizer may go: it is being deleted, and nothing is reserved under it.
    pub let_go: bool,
    /// When to look again.
    pub next: Timestamp,
    /// The ledger's part; none where it says nothing.
    pub money: Option<Money>,
}

/// Decides how a budget stands.
pub fn decide(input: &Input<'_>) -> Decision {
    let Input { object, seen, now } = input;
    let deleting = object.metadata.deletion_timestamp.is_some();
    let money = seen.money.as_ref().ok();
    let forecast =
        money.zip(seen.wish.as_ref().ok()).and_then(|(money, wish)| expected(&wish.calendar, &seen.budget.period, money, *now));
    let crossed = money.map(|money| lines(seen, money, forecast.as_ref())).unwrap_or_default();
    let fresh = match (&seen.denominator, &seen.budget.blind) {
        (Some(Err(why)), _) => Err(why.clone()),
        (None, Some(why)) if seen.wish.is_ok() => Err(why.clone()),
        (Some(Ok(of)), _) => Ok(match of.as_of {
            Some(as_of) => format!("the bill goes to {as_of}"),
            None => "a fixed amount".to_owned(),
        }),
        (None, _) => Ok("the limits depend on nothing else".to_owned()),
    };
    let (phase, reason, message, stalled) = stand(seen, deleting, &crossed);
    let tell = to_tell(seen);
    let unattributed = money.map_or(0, unattributed);
    let lease = money.and_then(|money| money.leases.next);
    let ends = [Some(seen.budget.period.end), raise_end(seen, *now), lease].into_iter().flatten().filter(|at| at > now);
    let soon = if phase == BudgetPhase::Blind || deleting { LOOK_SOON } else { LOOK_EVERY };
    Decision {
        phase,
        reason,
        message,
        stalled,
        fresh,
        unattributed,
        forecast,
        measures: measures(seen, money, &crossed),
        crossed,
        tell,
        let_go: gone_on(object, seen, *now),
        next: ends.fold(*now + soon, Timestamp::min),
        money: money.cloned(),
    }
}

/// Whether a budget that is being deleted may go: nothing is reserved under it, or the ledger has not answered for so long that
/// nothing is to be waited for. What is reserved then stays in the ledger under its name.
fn gone_on(object: &AiBudget, seen: &Seen, now: Timestamp) -> bool {
    let Some(deleted) = &object.metadata.deletion_timestamp else { return false };
    match &seen.money {
        Ok(money) => money.running == 0 && money.leases.count == 0,
        Err(_) => now.duration_since(deleted.0).unsigned_abs() > PATIENCE && now > deleted.0,
    }
}

/// In a word, with the reason, for people, and whether only a person can go on.
fn stand(seen: &Seen, deleting: bool, crossed: &BTreeSet<Level>) -> (BudgetPhase, BudgetReason, String, bool) {
    use BudgetPhase::{Blind, Capped, Closing, Ok as Fine, Warning};
    if deleting {
        let (running, leases) = seen.money.as_ref().map_or((0, 0), |money| (money.running, money.leases.count));
        let message =
            format!("nothing starts under it; {running} jobs and {leases} leases are still to be charged before it goes");
        return (Closing, BudgetReason::Closing, message, false);
    }
    if let Err(refusal) = &seen.wish {
        return (Blind, refusal.reason, refusal.message.clone(), true);
    }
    if let Some(why) = &seen.parent {
        return (Blind, BudgetReason::ParentMissing, format!("{why}: make the parent, or correct spec.parentRef"), true);
    }
    if let Err(trouble) = &seen.money {
        let reason = if trouble.broken { BudgetReason::LedgerBroken } else { BudgetReason::LedgerUnavailable };
        return (Blind, reason, trouble.message.clone(), trouble.broken);
    }
    if let Some(why) = &seen.budget.blind {
        return (Blind, BudgetReason::DenominatorMissing, format!("{why}: batch work waits"), false);
    }
    let holds =
        if seen.budget.mode == Mode::Enforce { "no job starts that could go beyond it" } else { "jobs start all the same" };
    if crossed.contains(&Level::Cap) {
        return (Capped, BudgetReason::CapReached, format!("the cap is reached: {holds}"), false);
    }
    if seen.waiting.count > 0 {
        let message = "jobs wait: what they may cost at most has no room beside what is spent and reserved".to_owned();
        let phase = if crossed.contains(&Level::Warn) { Warning } else { Fine };
        return (phase, BudgetReason::HeadroomReserved, message, false);
    }
    if crossed.contains(&Level::Warn) {
        return (Warning, BudgetReason::WarnReached, "the warning is reached; jobs are still let start".to_owned(), false);
    }
    if crossed.contains(&Level::Forecast) {
        return (Fine, BudgetReason::ForecastAboveCap, "the period is expected to end above the cap".to_owned(), false);
    }
    (Fine, BudgetReason::WithinLimits, "less is spent than the warning".to_owned(), false)
}

/// Lines that are crossed.
fn lines(seen: &Seen, money: &Money, forecast: Option<&Forecast>) -> BTreeSet<Level> {
    if seen.wish.is_err() || seen.budget.blind.is_some() {
        return BTreeSet::new();
    }
    crossed(money.spent.total, &seen.budget, forecast.map(|forecast| forecast.expected))
}

/// What is asked of work; nothing where something is not known, for nobody is ended by what nobody knows.
fn measures(seen: &Seen, money: Option<&Money>, crossed: &BTreeSet<Level>) -> Standing {
    match (&seen.wish, money) {
        (Ok(wish), Some(money)) => standing(wish, &seen.budget, money.spent.total, crossed),
        _ => Standing::default(),
    }
}

/// How loudly people are told of which line: where both are asked for, the louder.
fn to_tell(seen: &Seen) -> Vec<(Level, Action)> {
    let Ok(wish) = &seen.wish else { return Vec::new() };
    let mut tell: Vec<(Level, Action)> = Vec::new();
    for (at, action) in wish.actions.iter().filter(|(_, action)| matches!(action, Action::Notify | Action::Escalate)) {
        match tell.iter_mut().find(|(level, _)| *level == level_of(*at)) {
            Some((_, known)) => *known = (*known).max(*action),
            None => tell.push((level_of(*at), *action)),
        }
    }
    tell
}

/// The line of an action.
fn level_of(at: ActionAt) -> Level {
    match at {
        ActionAt::Forecast => Level::Forecast,
        ActionAt::Warn => Level::Warn,
        ActionAt::Cap => Level::Cap,
    }
}

/// What the period will have cost.
pub fn expected(calendar: &Calendar, period: &Period, money: &Money, now: Timestamp) -> Option<Forecast> {
    let today = calendar.day(now);
    let on = |day: &String| money.account.days.get(day).copied().unwrap_or_default();
    let days: Vec<String> = calendar.days(period);
    // A budget that is younger than its period knows nothing of the days before it.
    let first_known = money.account.days.keys().next()?;
    let skipped = days.iter().take_while(|day| *day < first_known && **day != today).count();
    let complete: Vec<Amount> = days.iter().skip(skipped).take_while(|day| **day != today).map(on).collect();
    let mut prior = Vec::new();
    let mut at = period.start;
    while prior.len() < PRIOR_DAYS {
        at -= Duration::from_secs(1);
        let day = calendar.day(at);
        if day < *first_known {
            break;
        }
        prior.push(on(&day));
        at = calendar.day_bounds(at).0;
    }
    prior.reverse();
    let (begin, end) = calendar.day_bounds(now);
    let passed = now.duration_since(begin).as_secs_f64() / end.duration_since(begin).as_secs_f64().max(1.0);
    forecast(&Past {
        done: &complete,
        before: &prior,
        first_weekday: (calendar.weekday(period.start) + (skipped % 7) as u8) % 7,
        days: period.days.saturating_sub(skipped as u32),
        passed: passed.clamp(0.0, 1.0),
        today: on(&today),
        reserved: money.reserved,
    })
}

/// Part of what was spent that belongs to no model, in thousandths.
fn unattributed(money: &Money) -> i128 {
    let unknown = money.spent.models.get(showrunner_ledger::book::UNATTRIBUTED).map_or(0, |usage| usage.amount.micros());
    let metered = (money.spent.total - money.spent.adjusted).micros();
    if metered > 0 { unknown * 1000 / metered } else { 0 }
}

/// Whether so large a part belongs to no model that the sums by model say little.
pub fn is_unattributed(thousandths: i128) -> bool {
    thousandths > MAX_UNATTRIBUTED
}

fn raise_end(seen: &Seen, now: Timestamp) -> Option<Timestamp> {
    seen.wish.as_ref().ok()?.raise.as_ref().map(|(_, until, _)| *until).filter(|until| *until > now)
}
