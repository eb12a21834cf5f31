//! How a budget stands and what is told of it, by tables.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use showrunner_crds::AiBudget;
use showrunner_crds::ai_budget::BudgetPhase;
use showrunner_kit::cache::Cache;
use showrunner_ledger::book::{Account, Spent, UNATTRIBUTED, Usage};
use showrunner_ledger::{Amount, Book, Entry, Head};

use super::decide::{Decision, Input, decide};
use super::dereference::{self, Money, Seen, Trouble, Waiting};
use super::known::{Denominators, World};
use super::status::tell;
use super::validate::{Denominator, Terms};

const NOW: &str = "2026-11-20T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn budget(more: &Value) -> AiBudget {
    let mut object = json!({
        "apiVersion": "showrunner.dev/v1alpha1", "kind": "AiBudget", "metadata": { "name": "all", "uid": "u", "generation": 4 },
        "spec": { "currency": "EUR", "limits": { "absolute": { "warn": "80", "cap": "100" } } },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

/// What is seen of a budget that has spent so much, evenly over its days.
fn seen(object: &AiBudget, spent: &str) -> Seen {
    let world =
        World { namespaces: Cache::holding([]), terms: Terms { currency: "EUR".into(), ..Terms::default() }, unbudgeted: None };
    let known = world.known(&Cache::holding([object.clone()]), &Denominators::default(), now());
    let wish = known.wishes["all"].clone();
    let spent = amount(spent);
    let days: BTreeMap<String, Amount> = (1..=19).map(|day| (format!("2026-11-{day:02}"), spent.part(1, 19))).collect();
    let models = BTreeMap::from([("shots".to_owned(), Usage { amount: spent, runs: 4 })]);
    let money = Money {
        head: Head { sequence: 7, digest: "sha256:7".into(), at: now() },
        spent: Spent { total: spent, models, ..Spent::default() },
        account: Account { days, ..Account::default() },
        reserved: amount("1"),
        running: 2,
        ..Money::default()
    };
    Seen {
        budget: known.budgets["all"].clone(),
        denominator: wish.as_ref().ok().and_then(|wish| super::known::denominator_of(wish, None)),
        wish,
        parent: None,
        money: Ok(money),
        waiting: Waiting::default(),
        place: "memory".into(),
        would_wait: 0,
    }
}

fn decided(object: &AiBudget, seen: &Seen) -> (Decision, Value) {
    let decision = decide(&Input { object, seen, now: now() });
    let (status, _) = tell(object, seen, &decision, now());
    (decision, serde_json::to_value(status).unwrap())
}

fn condition<'a>(status: &'a Value, name: &str) -> (&'a str, &'a str) {
    let found = status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == name);
    found.map_or(("", ""), |found| (found["status"].as_str().unwrap(), found["reason"].as_str().unwrap()))
}

#[test]
fn a_budget_says_how_it_stands_in_a_word() {
    let plain = budget(&json!({}));
    let cases: [(&str, BudgetPhase, (&str, &str), &str); 4] = [
        ("10", BudgetPhase::Ok, ("True", "WithinLimits"), "True"),
        ("79.999999", BudgetPhase::Ok, ("True", "ForecastAboveCap"), "True"),
        ("80", BudgetPhase::Warning, ("True", "WarnReached"), "True"),
        ("100", BudgetPhase::Capped, ("False", "CapReached"), "False"),
    ];
    for (spent, phase, ready, within) in cases {
        let (decision, status) = decided(&plain, &seen(&plain, spent));
        assert_eq!((decision.phase, condition(&status, "Ready")), (phase, ready), "{spent}");
        assert_eq!(condition(&status, "WithinCap").0, within, "{spent}");
        assert_eq!(condition(&status, "Reconciled"), ("True", "Consistent"));
    }
}

#[test]
fn jobs_that_wait_below_the_cap_are_told_of() {
    let plain = budget(&json!({}));
    let mut waits = seen(&plain, "10");
    waits.waiting = Waiting { count: 3, need: amount("300"), first: vec![("studio/a".into(), amount("100"))] };
    let (_, status) = decided(&plain, &waits);
    assert_eq!(condition(&status, "Ready"), ("True", "HeadroomReserved"));
    assert_eq!(status["waiting"], json!({ "count": 3, "need": "300", "first": [{ "owner": "studio/a", "need": "100" }] }));
}

#[test]
fn what_is_not_known_is_never_taken_for_good() {
    let plain = budget(&json!({}));
    for (broken, reason, stalled) in [(false, "LedgerUnavailable", ""), (true, "LedgerBroken", "True")] {
        let mut away = seen(&plain, "10");
        away.money = Err(Trouble { broken, message: "no".into() });
        let (decision, status) = decided(&plain, &away);
        assert_eq!((decision.phase, condition(&status, "Ready")), (BudgetPhase::Blind, ("False", reason)));
        assert_eq!(condition(&status, "WithinCap").0, "Unknown");
        assert_eq!(condition(&status, "Stalled").0, stalled);
        assert!(status.get("spent").is_none(), "nothing is not 0");
    }
    let focus = budget(&json!({ "limits": { "share": { "cap": "0.15", "of": { "focus": { "path": "bill.csv" } } } } }));
    let (_, status) = decided(&focus, &seen(&focus, "10"));
    assert_eq!(condition(&status, "Ready"), ("False", "DenominatorMissing"));
    assert_eq!(condition(&status, "DataFresh"), ("False", "DenominatorMissing"));
    let other = budget(&json!({ "currency": "USD" }));
    let (_, status) = decided(&other, &seen(&other, "10"));
    assert_eq!((condition(&status, "Ready").1, condition(&status, "Stalled").0), ("CurrencyMismatch", "True"));
}

#[test]
fn a_share_shows_both_of_its_numbers() {
    let share = budget(&json!({ "limits": { "share": { "warn": "0.12", "cap": "0.15", "of": { "fixed": "1000" } } } }));
    let (_, status) = decided(&share, &seen(&share, "121.5"));
    assert_eq!(status["share"], json!({ "value": "0.121", "denominator": "1000", "basis": "Fixed" }));
    assert_eq!((&status["warn"], &status["cap"]), (&json!("120"), &json!("150")));
    let mut billed = seen(&share, "121.5");
    billed.denominator = Some(Ok(Denominator { amount: amount("900"), as_of: Some(now()) }));
    let (_, status) = decided(&share, &billed);
    assert_eq!(status["share"]["value"], "0.135", "a cheaper platform, and no dearer model");
}

#[test]
fn what_belongs_to_no_model_is_told_from_one_percent_on() {
    let plain = budget(&json!({}));
    for (unknown, truth) in [("0.5", "True"), ("1.1", "False")] {
        let mut lost = seen(&plain, "50");
        let money = lost.money.as_mut().unwrap();
        money.spent.models.insert(UNATTRIBUTED.into(), Usage { amount: amount(unknown), runs: 1 });
        let (_, status) = decided(&plain, &lost);
        assert_eq!(condition(&status, "Reconciled").0, truth, "{unknown} of 50");
    }
}

#[test]
fn a_budget_that_goes_waits_for_what_runs() {
    let mut going = budget(&json!({}));
    going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    going.metadata.finalizers = Some(vec![super::FINALIZER.into()]);
    let mut runs = seen(&going, "10");
    assert!(!decided(&going, &runs).0.let_go);
    runs.money.as_mut().unwrap().running = 0;
    runs.money.as_mut().unwrap().leases.count = 1;
    assert!(!decided(&going, &runs).0.let_go, "nor for leases");
    runs.money.as_mut().unwrap().leases.count = 0;
    assert!(decided(&going, &runs).0.let_go);
    runs.money = Err(Trouble { broken: false, message: "away".into() });
    assert!(!decided(&going, &runs).0.let_go, "nobody knows what runs");
    let long_ago = now() - std::time::Duration::from_mins(11);
    going.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(long_ago));
    assert!(decided(&going, &runs).0.let_go, "nothing waits for ever for what may be gone");
}

#[test]
fn a_lease_is_no_job_that_is_gone_and_is_charged_when_its_time_has_come() {
    let plain = budget(&json!({}));
    let budget = seen(&plain, "10").budget;
    let terms = |due: &str| json!({ "account": "studio/app", "request": "r", "models": ["p/m"], "ends": "2026-11-20T11:00:00Z", "due": due });
    let reserve = |key: &str, amount: &str, lease: Value| -> Entry {
        let who = json!({ "kind": "", "uid": "", "namespace": "", "name": "", "class": "" });
        let entry = json!({ "key": key, "fact": "Reserve", "amount": amount, "chain": ["all"], "who": who, "lease": lease });
        serde_json::from_value(entry).unwrap()
    };
    let mut book = Book::default();
    for entry in [
        reserve("studio/job", "5", Value::Null),
        reserve("lease/studio/c/past", "1", terms("2026-11-20T12:00:00Z")),
        reserve("lease/studio/c/next", "2", terms("2026-11-20T12:00:30Z")),
        reserve("lease/studio/c/later", "4", terms("2026-11-20T12:01:00Z")),
    ] {
        book.enter(&entry, Timestamp::UNIX_EPOCH);
    }
    let money = dereference::money(&book, &budget, &[], now());
    assert_eq!(money.lost.iter().map(|lost| lost.job.to_string()).collect::<Vec<_>>(), ["studio/job"]);
    assert_eq!((money.running, money.leases.count, money.leases.out, money.reserved), (1, 3, amount("7"), amount("12")));
    assert_eq!(money.leases.due, ["lease/studio/c/past"]);
    let mut leased = seen(&plain, "10");
    leased.money = Ok(money);
    let (decision, status) = decided(&plain, &leased);
    assert_eq!((&status["leasesOut"], &status["running"]), (&json!("7"), &json!(1)));
    assert_eq!(decision.next, "2026-11-20T12:00:30Z".parse::<Timestamp>().unwrap(), "it looks again when the next one is due");
}

#[test]
fn a_forecast_that_hardly_moves_is_no_reason_to_write() {
    let mut plain = budget(&json!({}));
    let first = seen(&plain, "57");
    let (_, status) = decided(&plain, &first);
    assert!(amount(status["forecast"]["expected"].as_str().unwrap()) > amount("57"));
    plain.status = Some(serde_json::from_value(status.clone()).unwrap());
    let (_, again) = decided(&plain, &seen(&plain, "57.3"));
    assert_eq!(again["forecast"], status["forecast"]);
}

#[test]
fn the_status_of_a_budget_is_small_however_much_goes_on() {
    let share = json!({ "limits": { "absolute": { "warn": "1", "cap": "2" }, "share": { "cap": "0.15", "of": { "fixed": "999999999999" } } } });
    let plain = budget(&share);
    let mut full = seen(&plain, "999999999.123456");
    let long = |letter: &str, bytes: usize| letter.repeat(bytes);
    full.waiting = Waiting {
        count: 5000,
        need: amount("999999999.123456"),
        first: (0..10).map(|nth| (format!("{}{nth}", long("n", 319)), amount("99999999.123456"))).collect(),
    };
    let money = full.money.as_mut().unwrap();
    money.running = 5000;
    money.head.digest = long("d", 71);
    money.spent.models = (0..200)
        .map(|nth| (format!("{nth:03}{}", long("m", 125)), Usage { amount: amount("999999.123456"), runs: u64::MAX }))
        .collect();
    let (_, status) = decided(&plain, &full);
    let bytes = serde_json::to_vec(&status).unwrap().len();
    assert!(bytes <= 11 * 1024, "{bytes}");
}
