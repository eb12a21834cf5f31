//! Who may start, by tables and by many at once.

use super::*;
use crate::journal::{Booking, Entry, Fact, Who};
use proptest::prelude::*;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn budget(name: &str, parent: Option<&str>, cap: Option<&str>) -> Budget {
    let period = Period {
        label: "2026-11".into(),
        start: "2026-11-01T00:00:00Z".parse().unwrap(),
        end: "2026-12-01T00:00:00Z".parse().unwrap(),
        days: 30,
    };
    Budget {
        name: name.into(),
        parent: parent.map(str::to_owned),
        period,
        limits: Limits { warn: None, cap: cap.map(amount) },
        mode: Mode::Enforce,
        blind: None,
        closing: false,
        leases: LeaseRules { min: amount("1"), ttl: std::time::Duration::from_mins(15), max_share: 50_000 },
    }
}

fn budgets(all: impl IntoIterator<Item = Budget>) -> Budgets {
    all.into_iter().map(|budget| (budget.name.clone(), budget)).collect()
}

fn reserved(key: &str, sum: Amount, chain: &[String]) -> Entry {
    let fact = Fact::Reserve { amount: sum, chain: chain.to_vec(), who: Who::default(), forced: false, lease: None };
    Entry { key: key.into(), fact }
}

fn spent(key: &str, budget: &str, sum: Amount) -> Entry {
    let bookings = vec![Booking { budget: budget.into(), period: "2026-11".into(), day: "2026-11-07".into() }];
    Entry {
        key: key.into(),
        fact: Fact::Settle { amount: sum, bookings, parts: Vec::new(), who: Who::default(), bound: false, said: None },
    }
}

fn ask(book: &Book, budgets: &Budgets, matching: &[&str], need: &str) -> Decision {
    decide(book, budgets, matching, amount(need), &BTreeMap::new())
}

fn why(decision: Decision) -> (String, Why) {
    match decision {
        Decision::Wait(wait) => (wait.budget, wait.why),
        Decision::Admit { .. } => panic!("it was let start"),
    }
}

#[test]
fn what_fits_exactly_may_start_and_a_millionth_more_may_not() {
    let all = budgets([budget("a", None, Some("10"))]);
    let mut book = Book::default();
    book.enter(&spent("s", "a", amount("4")), Timestamp::UNIX_EPOCH);
    book.enter(&reserved("r", amount("5"), &["a".into()]), Timestamp::UNIX_EPOCH);
    assert!(matches!(ask(&book, &all, &["a"], "1"), Decision::Admit { .. }));
    let (_, full) = why(ask(&book, &all, &["a"], "1.000001"));
    assert_eq!(full, Why::Full { left: amount("1"), until: "2026-12-01T00:00:00Z".parse().unwrap() });
    let (_, gone) = why(ask(&book, &all, &["a"], "6.5"));
    assert!(matches!(gone, Why::Spent { left, .. } if left == amount("6")));
    assert_eq!(why(ask(&book, &all, &["a"], "10.5")).1, Why::TooLarge { cap: amount("10") });
}

#[test]
fn work_that_no_budget_is_over_may_start_and_is_held_against_none() {
    let decision = ask(&Book::default(), &budgets([budget("a", None, Some("0"))]), &[], "5");
    assert_eq!(decision, Decision::Admit { chain: Vec::new(), would_wait: Vec::new() });
}

#[test]
fn every_budget_over_the_work_and_every_parent_must_have_room() {
    let all =
        budgets([budget("root", None, Some("10")), budget("leaf", Some("root"), Some("100")), budget("side", None, Some("3"))]);
    let book = Book::default();
    let Decision::Admit { chain, .. } = ask(&book, &all, &["leaf", "side"], "2") else { panic!("there is room") };
    assert_eq!(chain, ["root", "leaf", "side"], "parents first");
    assert_eq!(why(ask(&book, &all, &["leaf"], "11")).0, "root", "a child cannot allow what its parent does not");
    assert_eq!(why(ask(&book, &all, &["leaf", "side"], "4")).0, "side");
}

#[test]
fn a_parent_that_is_missing_or_goes_round_holds_and_says_so() {
    let all = budgets([budget("a", Some("b"), None), budget("b", Some("a"), None), budget("c", Some("gone"), None)]);
    let book = Book::default();
    assert!(
        matches!(why(ask(&book, &all, &["a"], "1")), (name, Why::NoParent(text)) if name == "a" && text.contains("own parent"))
    );
    assert!(matches!(why(ask(&book, &all, &["c"], "1")), (name, Why::NoParent(text)) if name == "c" && text.contains("gone")));
}

#[test]
fn a_chain_that_is_too_long_is_refused() {
    let name = |nth: usize| format!("b{nth:02}");
    let all = budgets((0..=MAX_CHAIN).map(|nth| {
        let parent = (nth > 0).then(|| name(nth - 1));
        budget(&name(nth), parent.as_deref(), None)
    }));
    assert!(chain(&all, &[&name(MAX_CHAIN - 1)]).is_ok());
    assert!(chain(&all, &[&name(MAX_CHAIN)]).is_err());
}

#[test]
fn a_budget_that_only_watches_lets_start_and_remembers() {
    let mut watching = budget("a", None, Some("1"));
    watching.mode = Mode::Watch;
    let decision = ask(&Book::default(), &budgets([watching]), &["a"], "5");
    assert_eq!(decision, Decision::Admit { chain: vec!["a".into()], would_wait: vec!["a".into()] });
}

#[test]
fn a_budget_that_only_watches_and_goes_is_not_kept_by_what_starts() {
    let mut going = budget("a", None, Some("1"));
    (going.mode, going.closing) = (Mode::Watch, true);
    let Decision::Admit { chain, .. } = ask(&Book::default(), &budgets([going]), &["a"], "5") else { panic!("it watches") };
    assert!(chain.is_empty());
}

#[test]
fn absent_data_makes_work_wait_and_so_does_a_budget_that_goes() {
    let mut blind = budget("a", None, None);
    blind.blind = Some("no bill".into());
    assert_eq!(why(ask(&Book::default(), &budgets([blind]), &["a"], "0")).1, Why::Blind("no bill".into()));
    let mut closing = budget("a", None, Some("100"));
    closing.closing = true;
    assert_eq!(why(ask(&Book::default(), &budgets([closing]), &["a"], "0")).1, Why::Closing);
}

#[test]
fn a_bill_that_came_late_stops_the_next_and_nothing_else() {
    let all = budgets([budget("a", None, Some("10"))]);
    let mut book = Book::default();
    book.enter(&spent("s", "a", amount("12")), Timestamp::UNIX_EPOCH);
    assert_eq!(headroom(&book, &all["a"]), Some(amount("-2")));
    assert!(matches!(why(ask(&book, &all, &["a"], "0.000001")).1, Why::Spent { .. }));
}

#[test]
fn lines_are_crossed_by_what_was_spent_and_by_what_is_expected() {
    let mut with = budget("a", None, Some("10"));
    with.limits.warn = Some(amount("8"));
    assert!(crossed(amount("7.99"), &with, Some(amount("10"))).is_empty());
    assert_eq!(crossed(amount("7"), &with, Some(amount("10.01"))), BTreeSet::from([Level::Forecast]));
    assert_eq!(crossed(amount("8"), &with, None), BTreeSet::from([Level::Warn]));
    assert_eq!(crossed(amount("10"), &with, None), BTreeSet::from([Level::Warn, Level::Cap]));
}

#[test]
fn the_stricter_limit_counts_and_both_are_raised_by_what_was_allowed() {
    let limits =
        Limits { warn: Some(amount("5")), cap: None }.stricter(Limits { warn: Some(amount("4")), cap: Some(amount("9")) });
    assert_eq!(limits, Limits { warn: Some(amount("4")), cap: Some(amount("9")) });
    assert_eq!(limits.raised(amount("1")), Limits { warn: Some(amount("5")), cap: Some(amount("10")) });
}

proptest! {
    /// At the instant of every admission, what was spent and what is reserved stay within every cap above the work.
    #[test]
    fn no_admission_goes_beyond_a_cap(
        caps in proptest::collection::vec(0u32..5000, 4),
        work in proptest::collection::vec((0usize..4, 0u32..900, any::<bool>(), 0u32..100), 0..200),
    ) {
        let cents = |cents: u32| Amount::from_micros(i128::from(cents) * 10_000);
        let parents = [None, Some("b0"), Some("b1"), Some("b0")];
        let all = budgets((0..4).map(|nth| {
            let mut budget = budget(&format!("b{nth}"), parents[nth], None);
            budget.limits.cap = Some(cents(caps[nth]));
            budget
        }));
        let mut book = Book::default();
        for (nth, (at, need, settles, part)) in work.into_iter().enumerate() {
            let key = nth.to_string();
            let name = format!("b{at}");
            let Decision::Admit { chain, .. } = decide(&book, &all, &[&name], cents(need), &BTreeMap::new()) else { continue };
            book.enter(&reserved(&key, cents(need), &chain), Timestamp::UNIX_EPOCH);
            for name in &chain {
                let used = book.spent(name, "2026-11") + book.reserved(name);
                prop_assert!(used <= all[name].limits.cap.unwrap(), "{name}: {used}");
            }
            if settles {
                let bookings = chain.iter().map(|name| Booking { budget: name.clone(), period: "2026-11".into(), day: "2026-11-07".into() });
                let amount = cents(need).part(i128::from(part), 100);
                let fact = Fact::Settle { amount, bookings: bookings.collect(), parts: Vec::new(), who: Who::default(), bound: false, said: None };
                book.enter(&Entry { key, fact }, Timestamp::UNIX_EPOCH);
            }
        }
    }
}
