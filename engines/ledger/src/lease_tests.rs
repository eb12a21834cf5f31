//! How large leases are, what they are charged, and many callers that crash, lie, retry and come back under one cap.

use super::*;
use crate::journal::{Entry, Fact, Who};
use crate::period::Period;
use crate::rules::{Budget, Limits, Why};
use proptest::prelude::*;

const START: &str = "2026-11-07T10:00:00Z";

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    START.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn budget(name: &str, cap: &str) -> Budget {
    let day = |text: &str| text.parse().unwrap();
    Budget {
        name: name.into(),
        parent: None,
        period: Period {
            label: "2026-11".into(),
            start: day("2026-11-01T00:00:00Z"),
            end: day("2026-12-01T00:00:00Z"),
            days: 30,
        },
        limits: Limits { warn: None, cap: Some(amount(cap)) },
        mode: Mode::Enforce,
        blind: None,
        closing: false,
        leases: LeaseRules { min: amount("1"), ttl: Duration::from_mins(15), max_share: 50_000 },
    }
}

fn budgets(all: impl IntoIterator<Item = Budget>) -> Budgets {
    all.into_iter().map(|budget| (budget.name.clone(), budget)).collect()
}

fn said(by: &str, verified: bool, cost: Amount) -> Statement {
    Statement { by: by.into(), verified, cost, ..Statement::default() }
}

/// A book, and what is written into it as the desk of the ledger writes it.
struct World {
    book: Book,
    budgets: Budgets,
    pages: usize,
}

impl World {
    fn new(all: impl IntoIterator<Item = Budget>) -> Self {
        Self { book: Book::default(), budgets: budgets(all), pages: 0 }
    }

    fn write(&mut self, entries: Vec<Entry>, now: Timestamp) {
        let page = self.book.next_page(entries, now, "test");
        let (_, digest) = page.to_bytes();
        self.book.turn(&page, &digest).unwrap();
        self.pages += 1;
    }

    /// Ends one lease, where there is one, and takes the next, on one page. The same key again is the same lease.
    fn take(
        &mut self,
        key: &str,
        expected: &str,
        ends: Option<(&str, Option<Statement>)>,
        now: Timestamp,
    ) -> Result<(Amount, Timestamp), Refused> {
        if let Some(open) = self.book.open(key) {
            return Ok((open.amount, open.lease.as_ref().unwrap().ends));
        }
        let mut pace = self.book.leases().pace(key).unwrap_or_else(|| Pace::new(now));
        let mut entries: Vec<Entry> = Vec::new();
        if let Some((old, said)) = ends {
            pace.used(said.as_ref().map_or(Amount::ZERO, |said| said.cost));
            entries.extend(self.end(old, said));
        }
        pace.asks(now);
        let names: Vec<&str> = self.budgets.keys().map(String::as_str).collect();
        let expected = amount(expected);
        let granted = grant(&self.book, &self.budgets, &names, (&pace, expected), &BTreeMap::new(), &BTreeSet::new());
        let answer = granted.map(|grant| {
            let terms = Terms::given("studio/app".into(), "r".into(), vec!["p/m".into()], now, grant.ttl);
            let ends = terms.ends;
            let (who, lease) = (Who::default(), Some(Box::new(terms)));
            let fact = Fact::Reserve { amount: grant.amount, chain: grant.chain, who, forced: false, lease };
            entries.push(Entry { key: key.into(), fact });
            (grant.amount, ends)
        });
        if !entries.is_empty() {
            self.write(entries, now);
        }
        answer
    }

    fn end(&self, key: &str, said: Option<Statement>) -> Option<Entry> {
        let open = self.book.open(key)?;
        let (amount, parts) = charge(open, open.lease.as_ref().unwrap(), said.as_ref());
        let bound = !said.as_ref().is_some_and(|said| said.verified);
        let bookings = open.chain.iter().map(|name| booking(name)).collect();
        let fact = Fact::Settle { amount, bookings, parts, who: Who::default(), bound, said: said.map(Box::new) };
        Some(Entry { key: key.into(), fact })
    }

    fn settle(&mut self, key: &str, said: Option<Statement>, now: Timestamp) {
        if let Some(entry) = self.end(key, said) {
            self.write(vec![entry], now);
        }
    }

    /// What the leader does with leases that are past their time.
    fn sweep(&mut self, now: Timestamp) {
        let past = |open: &Open| open.lease.as_ref().is_some_and(|terms| terms.due <= now);
        let due: Vec<String> = self.book.all_open().filter(|(_, open)| past(open)).map(|(key, _)| key.to_owned()).collect();
        let entries: Vec<Entry> = due.iter().filter_map(|key| self.end(key, None)).collect();
        if !entries.is_empty() {
            self.write(entries, now);
        }
    }

    fn taken(&self, budget: &str) -> Amount {
        self.book.spent(budget, "2026-11") + self.book.reserved(budget)
    }
}

fn booking(budget: &str) -> Booking {
    Booking { budget: budget.into(), period: "2026-11".into(), day: "2026-11-07".into() }
}

#[test]
fn a_first_lease_is_the_least_and_the_next_covers_what_was_used() {
    let mut world = World::new([budget("all", "10000")]);
    let (first, ends) = world.take("lease/studio/app/1", "0", None, at(0)).unwrap();
    assert_eq!((first, ends), (amount("1"), at(15 * 60 - 30)));
    let used = Some(said("studio/app", false, amount("1")));
    let (second, _) = world.take("lease/studio/app/2", "0", Some(("lease/studio/app/1", used)), at(120)).unwrap();
    assert_eq!(second, amount("7.5"), "1 in two minutes, for fifteen");
    assert_eq!((world.taken("all"), world.pages), (amount("8.5"), 2), "an end and a beginning are one page");
    let (other, _) = world.take("lease/studio/other/1", "3.5", None, at(120)).unwrap();
    assert_eq!(other, amount("3.5"), "what is expected is covered, too");
}

#[test]
fn a_lease_is_at_most_its_share_of_what_is_free_in_every_budget() {
    let tight = Budget { leases: LeaseRules { min: amount("0.5"), ..budget("b", "1").leases }, ..budget("b", "40") };
    let mut world = World::new([budget("a", "1000"), tight]);
    let used = Some(said("studio/app", false, amount("0.5")));
    assert_eq!(world.take("lease/n/c/1", "0", None, at(0)).unwrap().0, amount("0.5"), "the least of both");
    let (second, _) = world.take("lease/n/c/2", "0", Some(("lease/n/c/1", used)), at(60)).unwrap();
    assert_eq!(second, amount("1.975"), "5 % of 39.5, and not the 7.5 that it would need");
    let refused = world.take("lease/n/d/1", "5", None, at(60)).unwrap_err();
    assert!(matches!(refused, Refused::Share { budget, most } if budget == "b" && most == amount("1.87625")));
}

#[test]
fn the_least_may_be_had_to_the_last_and_then_nothing() {
    let mut world = World::new([budget("all", "3.5")]);
    for nth in 0..3 {
        assert_eq!(world.take(&format!("lease/n/c{nth}/1"), "0", None, at(nth)).unwrap().0, amount("1"));
    }
    let Err(Refused::By(wait)) = world.take("lease/n/d/1", "0", None, at(9)) else { panic!("there is no room") };
    assert!(matches!(wait.why, Why::Full { left, .. } if left == amount("0.5")), "{wait:?}");
}

#[test]
fn jobs_that_wait_come_first_and_without_a_budget_there_is_none() {
    let all = budgets([budget("all", "100")]);
    let ask = |matching: &[&str], kept: &[&str]| {
        let kept = kept.iter().map(|name| (*name).to_owned()).collect();
        grant(&Book::default(), &all, matching, (&Pace::new(at(0)), Amount::ZERO), &BTreeMap::new(), &kept)
    };
    assert_eq!(ask(&["all"], &["all"]), Err(Refused::Behind("all".into())));
    assert_eq!(ask(&[], &[]), Err(Refused::Unbudgeted));
    assert!(ask(&["all"], &["another"]).is_ok());
}

#[test]
fn a_budget_that_only_watches_refuses_nothing_and_counts_it() {
    let watching = Budget { mode: Mode::Watch, ..budget("all", "0.5") };
    let all = budgets([watching]);
    let ask = (&Pace::new(at(0)), amount("7"));
    let granted = grant(&Book::default(), &all, &["all"], ask, &BTreeMap::new(), &BTreeSet::new()).unwrap();
    assert_eq!((granted.amount, granted.would_wait), (amount("7"), vec!["all".to_owned()]));
}

#[test]
fn only_evidence_frees_what_was_not_used() {
    let mut world = World::new([budget("all", "1000")]);
    let mut charged = |nth: i64, said: Option<Statement>| {
        let key = format!("lease/n/c{nth}/1");
        world.take(&key, "4", None, at(nth)).unwrap();
        world.settle(&key, said, at(nth));
        world.book.leases().ended(&key).unwrap().charged.to_string()
    };
    assert_eq!(charged(0, None), "4");
    assert_eq!(charged(1, Some(said("n/app", false, amount("0.1")))), "4", "a claim");
    assert_eq!(charged(2, Some(said("n/app", false, amount("900")))), "4", "a claim of more");
    assert_eq!(charged(3, Some(said("billing/meter", true, amount("0.1")))), "0.1");
    assert_eq!(charged(4, Some(said("billing/meter", true, amount("5")))), "5", "evidence of more than was leased");
}

#[test]
fn evidence_that_comes_later_corrects_the_charge_once() {
    let mut world = World::new([budget("all", "1000")]);
    world.take("lease/n/c/1", "4", None, at(0)).unwrap();
    world.sweep(at(15 * 60 + 59));
    assert!(world.book.open("lease/n/c/1").is_some());
    world.sweep(at(15 * 60 + 60));
    assert_eq!((world.taken("all"), world.book.reserved("all")), (amount("4"), Amount::ZERO), "nobody has said anything");
    let key = evidence_key("lease/n/c/1");
    let said = Some(Box::new(said("billing/meter", true, amount("0.25"))));
    let fact = Fact::Adjust { amount: amount("-3.75"), bookings: vec![booking("all")], why: "evidence".into(), said };
    for _ in 0..2 {
        world.write(vec![Entry { key: key.clone(), fact: fact.clone() }], at(4000));
    }
    let ended = world.book.leases().ended("lease/n/c/1").unwrap();
    assert_eq!((world.taken("all"), ended.charged, ended.verified), (amount("0.25"), amount("0.25"), true));
}

#[test]
fn what_is_charged_is_told_apart_by_model() {
    let mut world = World::new([budget("all", "1000")]);
    world.take("lease/n/c/1", "4", None, at(0)).unwrap();
    let open = world.book.open("lease/n/c/1").unwrap().clone();
    let terms = Terms { models: vec!["p/a".into(), "p/b".into()], ..*open.lease.clone().unwrap() };
    let parts = |said: Option<&Statement>| {
        charge(&open, &terms, said).1.into_iter().map(|part| format!("{} {}", part.model, part.amount)).collect::<Vec<_>>()
    };
    assert_eq!(parts(None), ["p/a 2", "p/b 2"], "nobody knows");
    let part = |model: &str, sum| Part { model: model.into(), amount: amount(sum) };
    let claim = Statement { parts: vec![part("p/a", "0.3"), part("p/b", "0.1")], ..said("n/app", false, amount("0.4")) };
    assert_eq!(parts(Some(&claim)), ["p/a 3", "p/b 1"], "in the claim's proportions");
}

#[test]
fn what_is_no_longer_needed_is_forgotten_and_begins_anew() {
    let mut world = World::new([budget("all", "1000000")]);
    world.take("lease/n/c/1", "10", None, at(0)).unwrap();
    world.settle("lease/n/c/1", None, at(60));
    assert!(world.book.leases().pace("lease/n/c/2").unwrap().need(Duration::from_mins(15)) > amount("1"));
    let (again, _) = world.take("lease/n/c/2", "0", None, at(60 + SILENT)).unwrap();
    assert_eq!(again, amount("1"), "after an hour of silence nothing is known");
    let mut leases = world.book.leases().clone();
    leases.forget(at(60) + ENDED_KEPT);
    assert!(leases.is_empty());
    for nth in 0..MAX_ENDED + 5 {
        let ended = Ended { at: at(i64::try_from(nth).unwrap()), ..world.book.leases().ended("lease/n/c/1").unwrap().clone() };
        leases.end(&format!("lease/n/c/{nth}"), ended, None);
    }
    leases.forget(at(60));
    assert!(leases.ended("lease/n/c/4").is_none() && leases.ended("lease/n/c/5").is_some(), "the oldest go");
}

#[test]
fn a_book_that_begins_with_a_stored_state_knows_the_same_of_leases() {
    let mut world = World::new([budget("all", "1000000")]);
    for nth in 0..200 {
        let key = format!("lease/n/c{}/{nth}", nth % 7);
        world.take(&key, "0", None, at(nth * 3)).unwrap();
        if nth % 2 == 0 {
            world.settle(&key, Some(said("n/app", false, amount("0.5"))), at(nth * 3 + 1));
        }
    }
    let page = {
        while !(world.pages as u64 + 1).is_multiple_of(crate::journal::STATE_EVERY) {
            world.write(Vec::new(), at(700));
        }
        world.book.next_page(Vec::new(), at(700), "test")
    };
    let (bytes, digest) = page.to_bytes();
    world.book.turn(&page, &digest).unwrap();
    let (read, digest) = crate::Page::read(&bytes, page.sequence, None).unwrap();
    assert_eq!(Book::begin(&read, &digest).unwrap(), world.book);
}

/// What a caller does of which the ledger sees only requests.
#[derive(Clone, Copy, Debug)]
enum Habit {
    /// Says what it used, when the lease is over.
    Honest,
    /// Says that it used nothing.
    Lies,
    /// Says that it used a thousand times as much.
    Boasts,
    /// Is gone without a word, and comes back knowing nothing.
    Crashes,
    /// Somebody else says what it used.
    Metered,
}

fn habits() -> impl Strategy<Value = Habit> {
    prop_oneof![Just(Habit::Honest), Just(Habit::Lies), Just(Habit::Boasts), Just(Habit::Crashes), Just(Habit::Metered),]
}

/// A caller as it is, and not as it says.
struct Caller {
    habit: Habit,
    /// Millionths a second.
    speed: i128,
    lease: Option<Held>,
    next: u32,
}

struct Held {
    key: String,
    left: Amount,
    used: Amount,
    ends: Timestamp,
}

impl Caller {
    /// Ten seconds of its life. What it spends at the provider is told to nobody.
    fn live(&mut self, world: &mut World, name: &str, now: Timestamp, fate: u8) -> Amount {
        let is_over = self.lease.as_ref().is_none_or(|held| held.left == Amount::ZERO || held.ends <= now);
        if is_over || (matches!(self.habit, Habit::Crashes) && fate < 20) {
            let old = self.lease.take();
            let statement = |held: &Held| match self.habit {
                Habit::Honest => Some(said("n/app", false, held.used)),
                Habit::Lies => Some(said("n/app", false, Amount::ZERO)),
                Habit::Boasts => Some(said("n/app", false, Amount::from_micros(held.used.micros() * 1000))),
                Habit::Metered => Some(said("billing/meter", true, held.used)),
                Habit::Crashes => None,
            };
            let ends = old.as_ref().and_then(|held| Some((held.key.as_str(), Some(statement(held)?))));
            self.next += 1;
            let key = format!("lease/n/{name}/{}", self.next);
            // One answer in three is lost, and asked for again.
            for _ in 0..=u8::from(fate.is_multiple_of(3)) {
                if let Ok((left, ends)) = world.take(&key, "0", ends.clone(), now) {
                    self.lease = Some(Held { key: key.clone(), left, used: Amount::ZERO, ends });
                }
            }
        }
        let Some(held) = &mut self.lease else { return Amount::ZERO };
        let spent = Amount::from_micros(self.speed * 10 * i128::from(fate) / 128).min(held.left);
        (held.left, held.used) = (held.left - spent, held.used + spent);
        spent
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// What is really spent never goes beyond the cap, whatever callers say or leave unsaid; nor does what the book holds.
    #[test]
    fn whatever_callers_do_the_cap_holds(
        crowd in proptest::collection::vec((habits(), 1i128..200_000), 1..12),
        cap in 1u32..200,
        fates in proptest::collection::vec(any::<u8>(), 997),
    ) {
        let mut world = World::new([budget("all", &cap.to_string()), budget("other", "1000")]);
        let mut crowd: Vec<Caller> =
            crowd.into_iter().map(|(habit, speed)| Caller { habit, speed, lease: None, next: 0 }).collect();
        let mut really = Amount::ZERO;
        for tick in 0..720i64 {
            let now = at(tick * 10);
            for (nth, caller) in crowd.iter_mut().enumerate() {
                let fate = fates[(usize::try_from(tick).unwrap() * 31 + nth * 7) % fates.len()];
                really += caller.live(&mut world, &format!("c{nth}"), now, fate);
            }
            world.sweep(now);
            let (cap, taken) = (Amount::from_micros(i128::from(cap) * MILLION), world.taken("all"));
            prop_assert!(really <= taken, "at {now} {really} was spent, and {taken} is charged or held");
            prop_assert!(taken <= cap, "at {now} {taken} is charged or held of {cap}");
        }
    }

    /// A caller whose use goes up and down by half around a steady rate asks once in ten minutes, after its first minutes.
    #[test]
    fn at_a_steady_rate_a_caller_writes_once_in_ten_minutes(
        speed in 200i128..100_000,
        fates in proptest::collection::vec(64u8..192, 997),
    ) {
        let mut world = World::new([budget("all", "1000000")]);
        let mut caller = Caller { habit: Habit::Honest, speed, lease: None, next: 0 };
        let mut writes: Vec<i64> = Vec::new();
        for tick in 0..2880i64 {
            let before = world.pages;
            caller.live(&mut world, "c", at(tick * 10), fates[usize::try_from(tick).unwrap() % fates.len()]);
            world.sweep(at(tick * 10));
            writes.extend((world.pages > before).then_some(tick * 10));
        }
        let warm: Vec<i64> = writes.iter().copied().filter(|at| *at > 1800).collect();
        let shortest = warm.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
        prop_assert!(shortest >= 600, "two writes {shortest} s apart");
    }
}
