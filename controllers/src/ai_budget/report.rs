//! Puts reports into the store, beside the ledger: of the period now, when its money has changed, and of each that is over,
//! once.
//!
//! Writes objects, and replaces them. That they cannot be written holds up nothing: there is an event, and it is tried again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;
use showrunner_crds::AiBudget;
use showrunner_crds::ai_budget::{BudgetReason, ReportStatus};
use showrunner_kit::clock::{Clock, Mono};
use showrunner_kit::store::{Location, Store, StoreError};
use showrunner_ledger::Amount;
use showrunner_ledger::book::{Account, PERIODS_KEPT};
use showrunner_ledger::forecast::Forecast;
use showrunner_ledger::period::{Calendar, Period};
use showrunner_ledger::report::{Report, Running};
use showrunner_ledger::rules::Budget;

use super::BudgetReconciler;
use super::decide::Decision;
use super::dereference::{Money, Seen};
use super::validate::calendar;

/// How often the report of the period now is replaced at most.
const EVERY: Duration = Duration::from_hours(1);
/// When it is tried again to write one that could not be written.
const AGAIN: Duration = Duration::from_mins(5);
/// How long a store may take: the status is written after it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The folder of reports, beside that of the ledger: nothing but pages lies there.
pub(super) fn folder(ledger: &str) -> String {
    format!("{}-reports", ledger.trim_end_matches('/'))
}

/// What a report says beside the money.
pub(super) struct About<'a> {
    /// Where the ledger lies.
    pub(super) place: String,
    /// The installation: the operator's own namespace.
    pub(super) payer: &'a str,
    /// Currency of all prices, and so of what the ledger adds up: not what a budget takes them to be in.
    pub(super) currency: &'a str,
    /// Now.
    pub(super) now: Timestamp,
}

/// What a budget spent in a period.
pub(super) fn make(
    object: &AiBudget,
    budget: &Budget,
    money: &Money,
    period: &Period,
    forecast: Option<Forecast>,
    About { place, payer, currency, now }: About<'_>,
) -> Report {
    let calendar = calendar(&object.spec);
    let running = Running { today: calendar.day(now), limits: budget.limits, reserved: money.reserved, forecast };
    Report {
        budget: object.name_any(),
        currency: currency.to_owned(),
        period: period.clone(),
        days: calendar.days(period),
        spent: money.account.periods.get(&period.label).cloned().unwrap_or_default(),
        account: money.account.clone(),
        running: (period.label == budget.period.label).then_some(running),
        head: money.head.clone(),
        place,
        payer: payer.to_owned(),
        made: now,
    }
}

/// The period whose report is to be written now: the oldest that is over and was not reported to its end, or else the one now,
/// where its money has changed.
fn due(last: Option<&ReportStatus>, calendar: &Calendar, account: &Account, now: Timestamp) -> Option<Period> {
    let mut recent: Vec<Period> = calendar.recent(now, PERIODS_KEPT).collect();
    let known = last.and_then(|last| Some((last, recent.iter().position(|period| period.label == last.period)?)));
    let spent = |period: &Period| account.periods.get(&period.label).map(|spent| spent.total);
    if let Some((last, place)) = known {
        // Older ones were reported, or were over before anybody reported anything.
        recent.truncate(if last.complete { place } else { place + 1 });
        let over = recent.iter().skip(1).rev().find(|period| spent(period).is_some());
        if let Some(over) = over {
            return Some(over.clone());
        }
    }
    let current = recent.into_iter().next()?;
    let total = spent(&current)?;
    match last.filter(|last| last.period == current.label) {
        Some(last) => {
            let old = now.duration_since(last.at.0);
            let moved = last.spent.parse::<Amount>().ok() != Some(total);
            (moved && (old.is_negative() || old.unsigned_abs() >= EVERY)).then_some(current)
        }
        None => Some(current),
    }
}

/// Where reports go.
pub(super) struct Reports {
    store: Arc<Store>,
    folder: Location,
    clock: Clock,
    /// When each budget's could last not be written.
    failed: Mutex<BTreeMap<String, Mono>>,
}

impl Reports {
    pub(super) fn new(store: Arc<Store>, folder: Location, clock: Clock) -> Self {
        Self { store, folder, clock, failed: Mutex::default() }
    }

    /// Writes a report as long as `leads` says so; the page last, so that it is never newer than what it names. Says in which
    /// folder; nothing where another process leads by now.
    async fn write(&self, report: &Report, leads: impl Fn() -> bool) -> Result<Option<String>, StoreError> {
        let folder = self.folder.join(&format!("{}/{}", report.budget, report.period.label))?;
        let files = [
            ("models.csv", "text/csv; charset=utf-8", report.csv()),
            ("focus.csv", "text/csv; charset=utf-8", report.focus()),
            ("index.html", "text/html; charset=utf-8", report.html()),
        ];
        for (name, content_type, text) in files {
            let file = folder.join(name)?;
            // A leader that was overtaken puts nothing in the place of what is newer.
            let unchanged = self.store.as_it_is(&file).await?;
            if !leads() {
                return Ok(None);
            }
            self.store.put(&file, Bytes::from(text), content_type, &unchanged).await?;
        }
        Ok(Some(folder.path().to_owned()))
    }

    /// Whether it could not be written just before.
    fn rests(&self, budget: &str) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(budget).is_some_and(|at| self.clock.mono().saturating_sub(*at) < AGAIN)
    }

    fn note(&self, budget: &str, failed: bool) {
        let mut all = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed {
            all.insert(budget.to_owned(), self.clock.mono());
        } else {
            all.remove(budget);
        }
    }
}

impl BudgetReconciler {
    /// Writes the report that is due, where one is, and says which it was.
    pub(super) async fn report(
        &self,
        object: &AiBudget,
        seen: &Seen,
        decision: &Decision,
        now: Timestamp,
    ) -> Option<ReportStatus> {
        let (reports, money) = (self.reports.as_ref()?, decision.money.as_ref()?);
        let name = object.name_any();
        if reports.rests(&name) {
            return None;
        }
        // Never before the newest page: what is booked in it is of a period that has begun.
        let now = now.max(money.head.at);
        let last = object.status.as_ref().and_then(|status| status.report.as_ref());
        let period = due(last, &calendar(&object.spec), &money.account, now)?;
        let about = About { place: seen.place.clone(), payer: &self.home, currency: &self.world.terms.currency, now };
        let report = make(object, &seen.budget, money, &period, decision.forecast, about);
        let written = tokio::time::timeout(PATIENCE, reports.write(&report, || self.kit.writer.leads())).await;
        let written = written.map_err(|_| "the store takes too long".to_owned()).and_then(|done| done.map_err(|e| e.to_string()));
        reports.note(&name, written.is_err());
        match written {
            Ok(None) => None,
            Ok(Some(path)) => Some(ReportStatus {
                period: period.label,
                path,
                at: Time(now),
                spent: report.spent.total.to_string(),
                complete: report.running.is_none(),
            }),
            Err(why) => {
                let message = format!(
                    "failed to write the report of {}: {why}. Jobs do not depend on it; it is tried again in {} min, and the operator serves it at /budgets/{name}/report",
                    period.label,
                    AGAIN.as_secs() / 60
                );
                self.note(object, BudgetReason::ReportNotWritten, &message).await;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use showrunner_ledger::book::Spent;
    use showrunner_ledger::period::PeriodKind;

    const MONTHS: Calendar = Calendar::new(PeriodKind::Month, TimeZone::UTC);

    fn account(periods: &[(&str, &str)]) -> Account {
        let spent = |sum: &str| Spent { total: sum.parse().unwrap(), ..Spent::default() };
        let periods = periods.iter().map(|(label, sum)| ((*label).to_owned(), spent(sum))).collect();
        Account { periods, ..Account::default() }
    }

    fn told(period: &str, at: &str, spent: &str, complete: bool) -> ReportStatus {
        let at = Time(at.parse().unwrap());
        ReportStatus { period: period.into(), path: "p".into(), at, spent: spent.into(), complete }
    }

    fn is_due(last: Option<&ReportStatus>, account: &Account, now: &str) -> Option<String> {
        due(last, &MONTHS, account, now.parse().unwrap()).map(|period| period.label)
    }

    #[test]
    fn the_report_of_now_is_written_when_the_money_has_changed_and_once_an_hour_at_most() {
        let money = account(&[("2026-11", "5")]);
        assert_eq!(is_due(None, &account(&[]), "2026-11-07T10:00:00Z"), None, "nothing was ever spent");
        assert_eq!(is_due(None, &money, "2026-11-07T10:00:00Z").as_deref(), Some("2026-11"));
        let last = told("2026-11", "2026-11-07T10:00:00Z", "4", false);
        assert_eq!(is_due(Some(&last), &money, "2026-11-07T10:59:59Z"), None);
        assert_eq!(is_due(Some(&last), &money, "2026-11-07T11:00:00Z").as_deref(), Some("2026-11"));
        let same = told("2026-11", "2026-11-07T10:00:00Z", "5", false);
        assert_eq!(is_due(Some(&same), &money, "2026-11-09T11:00:00Z"), None);
    }

    #[test]
    fn each_period_that_is_over_is_reported_to_its_end_once_however_long_nobody_looked() {
        let money = account(&[("2026-08", "1"), ("2026-09", "2"), ("2026-11", "3")]);
        let now = "2026-12-02T00:00:00Z";
        let mut last = told("2026-08", "2026-08-30T00:00:00Z", "1", false);
        let mut written = Vec::new();
        while let Some(label) = is_due(Some(&last), &money, now) {
            assert!(written.len() < 10, "{written:?}");
            last = told(&label, now, "0", true);
            written.push(label);
        }
        assert_eq!(written, ["2026-08", "2026-09", "2026-11"], "and nothing of October, in which nothing was spent");
    }

    #[test]
    fn a_calendar_that_was_changed_begins_anew() {
        let money = account(&[("2026-Q4", "1"), ("2026-11", "3")]);
        let last = told("2026-Q4", "2026-11-01T00:00:00Z", "1", false);
        assert_eq!(is_due(Some(&last), &money, "2026-11-07T00:00:00Z").as_deref(), Some("2026-11"));
    }

    #[test]
    fn reports_do_not_lie_among_the_pages() {
        assert_eq!(folder("showrunner-ledger"), "showrunner-ledger-reports");
        assert_eq!(folder("a/b/"), "a/b-reports");
    }
}
