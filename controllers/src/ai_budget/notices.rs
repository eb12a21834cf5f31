//! Tells people of lines that a budget crosses: once in a period as an event and by the channels of the configuration, and
//! again when it is over.
//!
//! Writes to the ledger that people were told, once they were; puts notices into the outbox, which sends them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use kube::ResourceExt as _;
use showrunner_crds::AiBudget;
use showrunner_crds::ai_budget::{Action, BudgetReason};
use showrunner_kit::ReconcileError;
use showrunner_kit::notify::{Event, Notice, Severity, Told};
use showrunner_ledger::Level;

use super::BudgetReconciler;
use super::decide::Decision;
use super::dereference::{Money, Seen};
use super::measures::standing;

/// A line, with what its notice is called.
const LEVELS: [(Level, &str, BudgetReason); 3] = [
    (Level::Forecast, "AiBudgetForecast", BudgetReason::ForecastAboveCap),
    (Level::Warn, "AiBudgetWarn", BudgetReason::WarnReached),
    (Level::Cap, "AiBudgetCap", BudgetReason::CapReached),
];

impl BudgetReconciler {
    /// Tells people of the lines that are crossed, and of those that are not any more.
    pub(super) async fn tell(&self, object: &AiBudget, decision: &Decision, seen: &Seen) -> Result<(), ReconcileError> {
        let Some(money) = &decision.money else { return Ok(()) };
        for (level, name, reason) in LEVELS {
            let action = decision.tell.iter().find(|(told, _)| *told == level).map(|(_, action)| *action);
            let key = key(&object.name_any(), &seen.budget.period.label, name);
            let notice = |event| notice(object, seen, money, (level, name), action.unwrap_or(Action::Notify), event);
            if decision.crossed.contains(&level) && action.is_some() {
                let told = if money.was_told(level) { Told::Before } else { Told::New };
                let notice = notice(Event::Firing);
                self.outbox.put(&notice, told);
                self.fired().insert(key.clone());
                // What waits to be sent is not told yet: it is looked at again soon.
                let sent = self.outbox.told(&key);
                if sent
                    && !money.was_told(level)
                    && self.ledger.told(&object.name_any(), &seen.budget.period.label, level).await?
                {
                    self.note(object, reason, &notice.summary).await;
                }
            } else if self.fired().remove(&key) {
                self.outbox.put(&notice(Event::Resolved), Told::New);
            }
        }
        self.end_old(object, seen, money);
        Ok(())
    }

    /// Notices of periods that are over are over, too.
    fn end_old(&self, object: &AiBudget, seen: &Seen, money: &Money) {
        let (budget, now) = (prefix(&object.name_any()), format!("{}{}/", prefix(&object.name_any()), seen.budget.period.label));
        let old: Vec<String> =
            self.fired().iter().filter(|key| key.starts_with(&budget) && !key.starts_with(&now)).cloned().collect();
        for key in old {
            self.fired().remove(&key);
            for (level, name, _) in LEVELS.into_iter().filter(|(_, name, _)| key.ends_with(&format!("/{name}"))) {
                let notice = notice(object, seen, money, (level, name), Action::Notify, Event::Resolved);
                self.outbox.put(&Notice { key: key.clone(), ..notice }, Told::New);
            }
        }
    }

    fn fired(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeSet<String>> {
        self.fired.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prefix(budget: &str) -> String {
    format!("aibudget/{budget}/")
}

fn key(budget: &str, period: &str, name: &str) -> String {
    format!("{}{period}/{name}", prefix(budget))
}

/// How somebody approves of a measure.
fn approval(action: Action, budget: &str, period: &str) -> String {
    let patch = format!(
        r#"[{{"op":"add","path":"/spec/approvals","value":[{{"action":"{action}","period":"{period}","by":"YOUR NAME"}}]}}]"#
    );
    format!(". {action} waits for an approval: kubectl patch aibudget {budget} --type json -p '{patch}'")
}

fn notice(object: &AiBudget, seen: &Seen, money: &Money, (level, name): (Level, &str), action: Action, event: Event) -> Notice {
    let (budget, period, currency) = (object.name_any(), &seen.budget.period.label, &object.spec.currency);
    let limits = seen.budget.limits;
    let line = match level {
        Level::Warn => limits.warn,
        Level::Cap | Level::Forecast => limits.cap,
    };
    let line = line.map_or_else(String::new, |line| format!(" of {line:.2} {currency}"));
    let spent = format!("{:.2} {currency} are spent", money.spent.total);
    let summary = match (event, level) {
        (Event::Resolved, _) => format!("AiBudget {budget}: back below the line{line} in {period}; {spent}"),
        (Event::Firing, Level::Forecast) => {
            format!("AiBudget {budget}: {period} is expected to end above the cap{line}; {spent}")
        }
        (Event::Firing, Level::Warn) => format!("AiBudget {budget}: the warning{line} is reached in {period}; {spent}"),
        (Event::Firing, Level::Cap) => format!("AiBudget {budget}: the cap{line} is reached in {period}; {spent}"),
    };
    let mut dearest: Vec<_> = money.spent.models.iter().collect();
    dearest.sort_by_key(|(_, usage)| std::cmp::Reverse(usage.amount));
    let dearest: Vec<String> =
        dearest.iter().take(5).map(|(model, usage)| format!("{model} {:.2} {currency}", usage.amount)).collect();
    let waiting = seen.waiting.count;
    let description = format!(
        "{:.2} {currency} are reserved for {} jobs that run, {waiting} wait. Dearest: {}. kubectl describe aibudget {budget}",
        money.reserved,
        money.running,
        if dearest.is_empty() { "nothing yet".to_owned() } else { dearest.join(", ") },
    );
    let wanted =
        seen.wish.as_ref().map(|wish| standing(wish, &seen.budget, money.spent.total, &BTreeSet::from([level])).awaiting);
    let wanted = wanted.unwrap_or_default().iter().map(|action| approval(*action, &budget, period)).collect::<String>();
    let description = description + &wanted;
    let severity = if action == Action::Escalate { Severity::Critical } else { Severity::Warning };
    let labels = BTreeMap::from([("aibudget".to_owned(), budget.clone()), ("period".to_owned(), period.clone())]);
    Notice {
        key: key(&budget, period, name),
        severity,
        event,
        name: name.to_owned(),
        summary,
        description,
        labels,
        links: Vec::new(),
        since: money.head.at,
    }
}
