//! What the operator's listeners show of a budget: its report, of now or of an earlier period, and who waits under it.
//!
//! Reads the ledger and the caches. Only the replica that leads knows who waits.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use showrunner_kit::admin::budgets::{Ask, Budgets, NotShown, Page};
use showrunner_kit::admission::Verdict;
use showrunner_kit::clock::Clock;
use showrunner_ledger::book::PERIODS_KEPT;
use showrunner_ledger::report::Report;

use super::decide::expected;
use super::dereference::Money;
use super::ledger::Ledger;
use super::report::{About, make};
use super::validate::calendar;

/// Of those that wait, so many are shown at once.
const MAX_SHOWN: usize = 500;

/// Shows budgets.
pub struct BudgetPages {
    ledger: Arc<Ledger>,
    home: String,
    clock: Clock,
}

impl BudgetPages {
    /// What this ledger has, of an operator in this namespace.
    pub fn new(ledger: Arc<Ledger>, home: String, clock: Clock) -> Self {
        Self { ledger, home, clock }
    }

    async fn report(&self, name: &str, wanted: Option<&str>) -> Result<Report, NotShown> {
        let unknown = || NotShown::Unknown(format!("there is no AiBudget {name:?} here"));
        self.ledger.find(name, self.clock.now()).ok_or_else(unknown)?;
        let read = self.ledger.look(|book| Money {
            head: book.head().clone(),
            account: book.account(name).cloned().unwrap_or_default(),
            reserved: book.reserved(name),
            ..Money::default()
        });
        let money = read.await.map_err(|error| NotShown::Away(error.to_string()))?;
        let now = self.clock.now().max(money.head.at);
        let (object, budget) = self.ledger.find(name, now).ok_or_else(unknown)?;
        let calendar = calendar(&object.spec);
        let found = match wanted {
            None => Some(budget.period.clone()),
            Some(label) => calendar.recent(now, PERIODS_KEPT).find(|period| {
                period.label == label && (label == budget.period.label || money.account.periods.contains_key(label))
            }),
        };
        let period = found.ok_or_else(|| {
            let known: Vec<&str> = money.account.periods.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            NotShown::Unknown(format!("the ledger keeps no such period of AiBudget {name}; it keeps {known}"))
        })?;
        let is_now = period.label == budget.period.label;
        let forecast = if is_now { expected(&calendar, &period, &money, now) } else { None };
        let about = About { place: self.ledger.place(), payer: &self.home, currency: &self.ledger.currency(), now };
        Ok(make(&object, &budget, &money, &period, forecast, about))
    }

    /// Who waits under a budget, in the order in which they are served.
    fn queue(&self, name: &str, after: usize) -> Result<Value, NotShown> {
        let now = self.clock.now();
        self.ledger.find(name, now).ok_or_else(|| NotShown::Unknown(format!("there is no AiBudget {name:?} here")))?;
        let queue = self.ledger.queue();
        let (count, need) = queue.waiting_under(name);
        let mut waiting = Vec::new();
        let under = queue.fair.order().into_iter().filter_map(|job| {
            let waiter = queue.waiters.get(&job.key)?;
            waiter.budgets.iter().any(|budget| budget == name).then_some((job, waiter))
        });
        for (place, (job, waiter)) in under.enumerate().skip(after).take(MAX_SHOWN) {
            let since = Timestamp::from_millisecond(job.since).map(|since| since.to_string()).ok();
            let (reason, message) = match waiter.held.as_ref().map(|held| held.verdict(now)) {
                Some(Verdict::Hold { reason, message, .. }) => (Some(reason), Some(message)),
                Some(Verdict::Admit) | None => (None, None),
            };
            waiting.push(json!({
                "place": place + 1,
                "job": job.key,
                "owner": { "kind": waiter.kind, "namespace": waiter.owner.namespace, "name": waiter.owner.name },
                "need": job.need.to_string(),
                "since": since,
                "budgets": waiter.budgets,
                "reason": reason,
                "message": message,
            }));
        }
        let shown = after.saturating_add(waiting.len());
        let next = (shown < count).then(|| format!("?after={shown}"));
        Ok(json!({ "budget": name, "count": count, "need": need.to_string(), "next": next, "waiting": waiting }))
    }
}

impl Budgets for BudgetPages {
    fn show(&self, ask: Ask) -> BoxFuture<'_, Result<String, NotShown>> {
        async move {
            let (name, period) = (ask.budget.as_str(), ask.period.as_deref());
            Ok(match ask.page {
                Page::Queue => format!("{:#}\n", self.queue(name, ask.after)?),
                Page::Report => self.report(name, period).await?.html(),
                Page::Models => self.report(name, period).await?.csv(),
                Page::Focus => self.report(name, period).await?.focus(),
            })
        }
        .boxed()
    }
}
