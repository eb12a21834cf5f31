//! What a budget asks of work beside holding it: which measures are in force, and which wait for people. No I/O.
//!
//! Nothing of anybody else's is changed by a measure, so that there is nothing to put back: attempts are ended by whoever
//! made them, and made again when the measure is over.

use std::collections::BTreeSet;

use showrunner_crds::ai_budget::{Action, ActionAt};
use showrunner_kit::admission::Orders;
use showrunner_ledger::rules::{self, Budget};
use showrunner_ledger::{Amount, Level};

use super::known::Known;
use super::validate::{Measure, Wish};

/// Millionths in one.
const MILLION: i128 = 1_000_000;

/// Measures of one budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Those in force.
    pub in_force: BTreeSet<Action>,
    /// Those whose line is crossed, and that nobody has approved for this period.
    pub awaiting: BTreeSet<Action>,
}

/// How the measures of a budget stand, with so much spent and these lines crossed.
pub fn standing(wish: &Wish, budget: &Budget, spent: Amount, crossed: &BTreeSet<Level>) -> Standing {
    let mut standing = Standing::default();
    for measure in wish.measures.iter().filter(|measure| is_due(measure, budget, spent, crossed)) {
        let approved = wish.approvals.iter().any(|(action, period)| *action == measure.action && *period == budget.period.label);
        if !measure.needs_approval || approved {
            standing.in_force.insert(measure.action);
        } else {
            standing.awaiting.insert(measure.action);
        }
    }
    standing.awaiting.retain(|action| !standing.in_force.contains(action));
    standing
}

fn is_due(measure: &Measure, budget: &Budget, spent: Amount, crossed: &BTreeSet<Level>) -> bool {
    match measure.at {
        ActionAt::Forecast => crossed.contains(&Level::Forecast),
        ActionAt::Warn => crossed.contains(&Level::Warn),
        ActionAt::Cap => {
            crossed.contains(&Level::Cap)
                && budget.limits.cap.is_some_and(|cap| spent >= cap + cap.part(measure.over_by, MILLION))
        }
    }
}

/// What budgets ask of the work of a namespace, of those over it and their parents.
pub fn orders(known: &Known, namespace: &str, in_force: impl Fn(&str, Action) -> bool) -> Orders {
    let matching = known.matching(namespace);
    // Where a parent is missing nothing starts anyway.
    let chain = rules::chain(&known.budgets, &matching).unwrap_or_default();
    let asks = |action: Action| {
        chain.iter().find(|name| {
            // One whose spec does not ask for it any more is not waited for.
            let wishes = known.wishes.get(*name).and_then(|wish| wish.as_ref().ok());
            let wished = wishes.is_some_and(|wish| wish.measures.iter().any(|measure| measure.action == action));
            wished && in_force(name, action)
        })
    };
    Orders { spot_only: asks(Action::ForceSpot).cloned(), stop: asks(Action::SuspendBatch).cloned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ai_budget::validate::{Terms, wish};
    use jiff::tz::TimeZone;
    use serde_json::{Value, json};
    use showrunner_ledger::period::{Calendar, PeriodKind};
    use showrunner_ledger::rules::Mode;

    fn read(actions: &Value, more: &Value) -> Wish {
        let mut spec = json!({ "currency": "USD", "limits": { "absolute": { "warn": "80", "cap": "100" } }, "actions": actions });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let terms = Terms { currency: "USD".into(), priority: "batch".into() };
        wish(&serde_json::from_value(spec).unwrap(), &terms).unwrap()
    }

    fn stands(wish: &Wish, spent: &str) -> Standing {
        let now = "2026-11-07T10:00:00Z".parse().unwrap();
        let budget = Budget {
            name: "b".into(),
            parent: None,
            period: Calendar::new(PeriodKind::Month, TimeZone::UTC).bounds(now),
            limits: wish.absolute,
            mode: Mode::Enforce,
            blind: None,
            closing: false,
            leases: wish.leases,
        };
        let spent = spent.parse().unwrap();
        standing(wish, &budget, spent, &rules::crossed(spent, &budget, None))
    }

    fn only(actions: &[Action]) -> BTreeSet<Action> {
        actions.iter().copied().collect()
    }

    #[test]
    fn a_measure_is_in_force_from_its_line_on_and_no_longer() {
        let wish = read(&json!([{ "at": "Warn", "do": ["ForceSpot"] }]), &json!({}));
        assert_eq!(stands(&wish, "79.999999"), Standing::default());
        assert_eq!(stands(&wish, "80").in_force, only(&[Action::ForceSpot]));
    }

    #[test]
    fn jobs_are_ended_only_beyond_the_cap_and_when_somebody_has_approved_it_for_this_period() {
        let actions = json!([{ "at": "Cap", "do": ["SuspendBatch"], "overBy": "0.05" }]);
        let wish = read(&actions, &json!({}));
        assert_eq!(stands(&wish, "104.999999"), Standing::default());
        assert_eq!(stands(&wish, "105"), Standing { in_force: only(&[]), awaiting: only(&[Action::SuspendBatch]) });
        let approved = |period: &str| json!({ "approvals": [{ "action": "SuspendBatch", "period": period, "by": "ada" }] });
        assert_eq!(stands(&read(&actions, &approved("2026-10")), "105").in_force, only(&[]));
        assert_eq!(
            stands(&read(&actions, &approved("2026-11")), "105"),
            Standing { in_force: only(&[Action::SuspendBatch]), awaiting: only(&[]) }
        );
        let unasked = json!([{ "at": "Cap", "do": ["SuspendBatch"], "requireApproval": false }]);
        assert_eq!(stands(&read(&unasked, &json!({})), "100").in_force, only(&[Action::SuspendBatch]));
    }

    #[test]
    fn a_budget_that_only_watches_and_a_protected_class_ask_for_nothing() {
        let actions = json!([{ "at": "Cap", "do": ["HoldNewBatch", "ForceSpot"] }]);
        assert_eq!(stands(&read(&actions, &json!({})), "100").in_force, only(&[Action::ForceSpot]));
        for more in [json!({ "mode": "DryRun" }), json!({ "protectedPriorityClasses": ["batch"] })] {
            let wish = read(&actions, &more);
            assert_eq!((stands(&wish, "100"), wish.mode), (Standing::default(), Mode::Watch), "{more}");
        }
        assert_eq!(read(&actions, &json!({ "protectedPriorityClasses": ["online"] })).mode, Mode::Enforce);
    }
}
