//! The book against the same sums done the long way.

use super::*;
use crate::journal::Page;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn who() -> Who {
    Who { kind: "Thing".into(), uid: "u".into(), namespace: "studio".into(), name: "one".into(), class: "cpu".into() }
}

fn entry(key: &str, fact: Fact) -> Entry {
    Entry { key: key.to_owned(), fact }
}

fn reserve(key: &str, sum: &str, chain: &[&str]) -> Entry {
    let chain = chain.iter().map(|name| (*name).to_owned()).collect();
    entry(key, Fact::Reserve { amount: amount(sum), chain, who: who(), forced: false, lease: None })
}

fn booking(budget: &str, day: &str) -> Booking {
    Booking { budget: budget.into(), period: day[..7].into(), day: day.into() }
}

fn settle(key: &str, sum: &str, budgets: &[&str], day: &str) -> Entry {
    let bookings = budgets.iter().map(|budget| booking(budget, day)).collect();
    entry(key, Fact::Settle { amount: amount(sum), bookings, parts: Vec::new(), who: who(), bound: false, said: None })
}

fn write(book: &mut Book, entries: Vec<Entry>) -> Vec<u8> {
    let page = book.next_page(entries, NOW, "test");
    let (bytes, digest) = page.to_bytes();
    book.turn(&page, &digest).unwrap();
    bytes
}

#[test]
fn a_charge_is_applied_once_and_frees_what_was_reserved() {
    let mut book = Book::default();
    write(&mut book, vec![reserve("a", "5", &["root", "leaf"]), reserve("b", "2", &["root"])]);
    assert_eq!((book.reserved("root"), book.reserved("leaf")), (amount("7"), amount("5")));
    let end = settle("a", "1.25", &["root", "leaf"], "2026-11-07");
    write(&mut book, vec![end.clone()]);
    for again in [end, reserve("a", "5", &["root", "leaf"]), entry("a", Fact::Release)] {
        assert!(!book.enter(&again, NOW), "{again:?}");
    }
    assert_eq!(
        (book.spent("leaf", "2026-11"), book.reserved("root"), book.reserved("leaf")),
        (amount("1.25"), amount("2"), Amount::ZERO)
    );
    assert_eq!(book.account("root").unwrap().days["2026-11-07"], amount("1.25"));
}

#[test]
fn work_that_nobody_reserved_for_is_charged_all_the_same() {
    let mut book = Book::default();
    assert!(book.enter(&settle("late", "3", &["root"], "2026-11-30"), NOW));
    assert_eq!(book.spent("root", "2026-11"), amount("3"));
}

#[test]
fn what_is_given_back_may_be_reserved_again() {
    let mut book = Book::default();
    assert!(book.enter(&reserve("a", "5", &["root"]), NOW));
    assert!(book.enter(&entry("a", Fact::Release), NOW) && !book.enter(&entry("a", Fact::Release), NOW));
    assert_eq!(book.reserved("root"), Amount::ZERO);
    assert!(book.enter(&reserve("a", "5", &["root"]), NOW));
}

#[test]
fn models_sum_to_what_was_spent_and_what_nobody_knows_is_named() {
    let mut book = Book::default();
    let part = |model: &str, sum| Part { model: model.into(), amount: amount(sum) };
    let fact = Fact::Settle {
        amount: amount("1"),
        bookings: vec![booking("root", "2026-11-01")],
        parts: vec![part("whisper", "0.6"), part("shots", "0.3")],
        who: who(),
        bound: false,
        said: None,
    };
    book.enter(&entry("a", fact), NOW);
    book.enter(&settle("b", "2", &["root"], "2026-11-01"), NOW);
    let spent = book.period("root", "2026-11").unwrap();
    let of = |model: &str| spent.models[model].amount;
    assert_eq!((of("whisper"), of("shots"), of(UNATTRIBUTED)), (amount("0.6"), amount("0.3"), amount("2.1")));
    assert_eq!(spent.models.values().map(|usage| usage.amount).sum::<Amount>(), spent.total);
}

#[test]
fn more_models_than_are_told_apart_are_one() {
    let mut book = Book::default();
    let parts: Vec<Part> = (0..MAX_MODELS + 50).map(|nth| Part { model: format!("m{nth}"), amount: amount("0.01") }).collect();
    let total = parts.iter().map(|part| part.amount).sum();
    let bookings = vec![booking("root", "2026-11-01")];
    book.enter(&entry("a", Fact::Settle { amount: total, bookings, parts, who: who(), bound: false, said: None }), NOW);
    let models = &book.period("root", "2026-11").unwrap().models;
    assert_eq!((models.len(), models[OTHER_MODELS].amount), (MAX_MODELS + 1, amount("0.5")));
}

#[test]
fn a_correction_is_applied_once_and_may_be_negative() {
    let mut book = Book::default();
    let bookings = vec![booking("root", "2026-11-30")];
    let fact = Fact::Adjust { amount: amount("-0.5"), bookings, why: "bill".into(), said: None };
    book.enter(&settle("a", "2", &["root"], "2026-11-30"), NOW);
    assert!(book.enter(&entry("bill/1", fact.clone()), NOW) && !book.enter(&entry("bill/1", fact), NOW));
    let spent = book.period("root", "2026-11").unwrap();
    assert_eq!((spent.total, spent.adjusted), (amount("1.5"), amount("-0.5")));
}

#[test]
fn people_are_told_once_of_a_line() {
    let mut book = Book::default();
    let told = entry("told", Fact::Told { budget: "root".into(), period: "2026-11".into(), level: Level::Warn });
    assert!(book.enter(&told, NOW) && !book.enter(&told, NOW));
}

#[test]
fn time_never_goes_back_from_page_to_page() {
    let mut book = Book::default();
    let (later, earlier) = ("2026-11-02T00:00:00Z".parse().unwrap(), "2026-11-01T00:00:00Z".parse().unwrap());
    let page = book.next_page(Vec::new(), later, "test");
    book.turn(&page, &page.to_bytes().1).unwrap();
    assert_eq!(book.next_page(Vec::new(), earlier, "test").at, later);
}

#[test]
fn a_page_that_was_changed_left_out_or_put_in_is_seen() {
    let mut book = Book::default();
    let first = write(&mut book, vec![reserve("a", "5", &["root"])]);
    let second = write(&mut book, vec![settle("a", "1", &["root"], "2026-11-07")]);
    let (_, digest) = Page::read(&first, 1, Some(NOTHING_BEFORE)).unwrap();
    Page::read(&second, 2, Some(&digest)).unwrap();
    let forged = String::from_utf8(first).unwrap().replace("\"5\"", "\"4\"");
    let (_, other) = Page::read(forged.as_bytes(), 1, Some(NOTHING_BEFORE)).unwrap();
    assert!(Page::read(&second, 2, Some(&other)).unwrap_err().is_broken());
    assert!(Page::read(&second, 3, Some(&digest)).unwrap_err().is_broken());
    let (page, digest) = Page::read(&second, 2, None).unwrap();
    assert!(Book::begin(&page, &digest).is_none(), "reading begins with a page that holds a state");
    for nonsense in ["", "{}", "[]", "{\"schema\":\"x\"}", "\u{0}"] {
        assert!(!Page::read(nonsense.as_bytes(), 1, None).unwrap_err().is_broken());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(u8, u32),
    Release(u8),
    Settle(u8, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0u8..20, 1u32..1000).prop_map(|(key, sum)| Step::Reserve(key, sum)),
        (0u8..20).prop_map(Step::Release),
        (0u8..20, 0u32..1000).prop_map(|(key, sum)| Step::Settle(key, sum)),
    ];
    proptest::collection::vec(step, 0..700)
}

fn entry_of(step: &Step) -> Entry {
    let sum = |cents: u32| Amount::from_micros(i128::from(cents) * 10_000).to_string();
    match step {
        Step::Reserve(key, cents) => reserve(&key.to_string(), &sum(*cents), &["root", "leaf"]),
        Step::Release(key) => entry(&key.to_string(), Fact::Release),
        Step::Settle(key, cents) => settle(&key.to_string(), &sum(*cents), &["root", "leaf"], "2026-11-07"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Reserved is what is open, spent is the first settlement of each, and a book that begins with a stored state is the one
    /// that was read from the first page on.
    #[test]
    fn the_book_is_what_its_pages_add_up_to(steps in steps()) {
        let mut book = Book::default();
        let mut pages = Vec::new();
        let (mut open, mut settled) = (BTreeMap::new(), BTreeMap::new());
        for step in &steps {
            pages.push(write(&mut book, vec![entry_of(step)]));
            match *step {
                Step::Reserve(key, sum) if !settled.contains_key(&key) => { open.entry(key).or_insert(sum); }
                Step::Release(key) => { open.remove(&key); }
                Step::Settle(key, sum) => {
                    open.remove(&key);
                    settled.entry(key).or_insert(sum);
                }
                Step::Reserve(..) => {}
            }
        }
        let cents = |sums: &BTreeMap<u8, u32>| Amount::from_micros(sums.values().map(|sum| i128::from(*sum)).sum::<i128>() * 10_000);
        prop_assert_eq!(book.reserved("leaf"), cents(&open));
        prop_assert_eq!(book.spent("root", "2026-11"), cents(&settled));

        let begin = pages.len() as u64 / STATE_EVERY * STATE_EVERY;
        let mut read = Book::default();
        let mut digest = NOTHING_BEFORE.to_owned();
        for (index, bytes) in pages.iter().enumerate() {
            let sequence = index as u64 + 1;
            let after = (sequence < begin).then_some(());
            if after.is_some() {
                continue;
            }
            let previous = (sequence != begin).then_some(digest.as_str());
            let (page, found) = Page::read(bytes, sequence, previous).unwrap();
            if sequence == begin {
                read = Book::begin(&page, &found).unwrap();
            } else {
                read.turn(&page, &found).unwrap();
            }
            digest = found;
        }
        prop_assert_eq!(read.head(), book.head());
        prop_assert_eq!(serde_json::to_value(&read).unwrap(), serde_json::to_value(&book).unwrap());
        prop_assert_eq!(read.reserved("root"), book.reserved("root"));
    }

    /// However the work of different keys is mixed, as long as each one's own order stays.
    #[test]
    fn the_sum_does_not_depend_on_how_work_is_interleaved(steps in steps()) {
        let key = |step: &Step| match *step { Step::Reserve(key, _) | Step::Release(key) | Step::Settle(key, _) => key };
        let mut sorted = steps.clone();
        sorted.sort_by_key(key);
        let sum = |steps: &[Step]| {
            let mut book = Book::default();
            for step in steps {
                book.enter(&entry_of(step), NOW);
            }
            (book.spent("root", "2026-11"), book.reserved("leaf"))
        };
        prop_assert_eq!(sum(&steps), sum(&sorted));
    }
}
