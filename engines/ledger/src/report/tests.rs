//! Reports as they look, and that whatever models are called, they sum to what was spent and stay within their fields.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::period::{Calendar, PeriodKind};

fn amount(text: &str) -> Amount {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A month's report on its 19th day, with these models.
fn report(models: &[(&str, &str, u64)], corrected: &str) -> Report {
    let calendar = Calendar::new(PeriodKind::Month, TimeZone::UTC);
    let made = at("2026-11-19T09:30:00Z");
    let period = calendar.bounds(made);
    let days = calendar.days(&period);
    let models: BTreeMap<String, Usage> =
        models.iter().map(|(model, sum, runs)| ((*model).to_owned(), Usage { amount: amount(sum), runs: *runs })).collect();
    let adjusted = amount(corrected);
    let total = models.values().map(|usage| usage.amount).sum::<Amount>() + adjusted;
    // More on weekdays than on others, and the rest on the last.
    let weights: Vec<i128> = (0..19).map(|day| if matches!(day % 7, 0 | 6) { 2 } else { 5 }).collect();
    let all: i128 = weights.iter().sum();
    let mut by_day: BTreeMap<String, Amount> =
        days.iter().cloned().zip(weights.iter().map(|weight| total.part(*weight, all))).collect();
    let rest = total - by_day.values().copied().sum();
    *by_day.get_mut("2026-11-19").unwrap() += rest;
    Report {
        budget: "platform-ai".into(),
        currency: "EUR".into(),
        period,
        days,
        spent: Spent { total, adjusted, models, ..Spent::default() },
        account: Account { days: by_day, ..Account::default() },
        running: Some(Running {
            today: "2026-11-19".into(),
            limits: Limits { warn: Some(amount("13200")), cap: Some(amount("16500")) },
            reserved: amount("412.5"),
            forecast: Some(Forecast { expected: amount("14980"), low: amount("13650"), high: amount("16240"), days: 19 }),
        }),
        head: crate::Head { sequence: 4711, digest: format!("sha256:{}", "7c".repeat(32)), at: at("2026-11-19T09:29:41Z") },
        place: "media: showrunner-ledger".into(),
        payer: "showrunner-system".into(),
        made,
    }
}

fn example() -> Report {
    let models = [
        ("whisper-tiny", "4218.442107", 18_204),
        ("shots-transnetv2", "2204.118", 18_190),
        ("moderation-nsfw", "1187.02", 9_411),
        ("chapters-minilm", "611.4", 17_900),
        ("thumbnails", "402.918811", 18_004),
        ("fingerprint", "96.0004", 17_990),
        (crate::book::UNATTRIBUTED, "41.2", 63),
    ];
    report(&models, "-18.5")
}

#[test]
fn a_report_looks_like_this() {
    let report = example();
    insta::assert_snapshot!("models.csv", report.csv());
    insta::assert_snapshot!("focus.csv", report.focus());
    insta::assert_snapshot!("index.html", report.html());
}

#[test]
fn a_period_that_is_over_has_no_limits_and_all_of_its_days() {
    let mut over = example();
    over.running = None;
    assert_eq!(over.by_day().len(), 30);
    let html = over.html();
    for absent in ["class=\"fan\"", "class=\"cap\"", "reserved"] {
        assert!(!html.contains(absent), "{absent}");
    }
    assert!(html.contains("the whole period"));
}

#[test]
fn nothing_spent_is_a_report_too() {
    let empty = report(&[], "0");
    assert_eq!(empty.csv().lines().count(), 2, "the header and the sum");
    assert_eq!(empty.focus().lines().count(), 1, "the header");
    assert!(empty.html().contains("Nothing was spent on any model"));
}

#[test]
fn days_that_the_ledger_forgot_are_told_of() {
    let mut short = example();
    assert!(!short.html().contains("does not have every day"));
    short.account.days.pop_first();
    assert!(short.html().contains("does not have every day"));
}

/// Tags of a page, without what is in them; fails where a quote or a tag is not closed.
fn tags(html: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(begin) = rest.find('<') {
        let tag = &rest[begin + 1..];
        let mut quoted = false;
        let end = tag
            .char_indices()
            .find(|(_, c)| {
                quoted ^= *c == '"';
                *c == '>' && !quoted
            })
            .map(|(end, _)| end)
            .expect("every tag is closed");
        assert!(!tag[..end].contains('<'), "a tag in a tag: {}", &tag[..end]);
        tags.push(tag[..end].split([' ', '\n']).next().unwrap().to_owned());
        rest = &tag[end + 1..];
    }
    tags
}

fn column(csv: &str, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let place = reader.headers().unwrap().iter().position(|header| header == name).unwrap();
    reader.records().map(|record| record.unwrap()[place].to_owned()).collect()
}

fn hostile() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("</style><script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=alert(1)>".to_owned()),
        Just("=HYPERLINK(\"http://evil\",\"x\")".to_owned()),
        Just("a\",\"b\r\nc,d".to_owned()),
        Just("\u{202E}fdp.exe".to_owned()),
        "\\PC{1,40}",
        ".{1,200}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Every form sums to what was spent, and a name is never more than a name.
    #[test]
    fn names_never_break_out_and_sums_are_exact(
        models in proptest::collection::btree_map(hostile(), (0i128..9_000_000_000_000, 0u64..50_000), 0..20),
        corrected in -5_000_000i128..5_000_000,
    ) {
        let texts: Vec<_> = models.iter().map(|(model, (sum, runs))| (model.as_str(), Amount::from_micros(*sum).to_string(), *runs)).collect();
        let list: Vec<_> = texts.iter().map(|(model, sum, runs)| (*model, sum.as_str(), *runs)).collect();
        let hostile = report(&list, &Amount::from_micros(corrected).to_string());

        let spent = column(&hostile.csv(), "Spent");
        let (last, lines) = spent.split_last().unwrap();
        prop_assert_eq!(lines.iter().map(|text| amount(text)).sum::<Amount>(), hostile.spent.total);
        prop_assert_eq!(amount(last), hostile.spent.total);
        let billed = column(&hostile.focus(), "BilledCost");
        prop_assert_eq!(billed.iter().map(|text| amount(text)).sum::<Amount>(), hostile.spent.total);
        let named = column(&hostile.csv(), "Model");
        prop_assert!(named.iter().all(|name| !name.starts_with(['=', '+', '-', '@'])));
        prop_assert_eq!(column(&hostile.focus(), "x_Model").len(), billed.len());

        let plain: Vec<_> = (0..list.len()).map(|nth| format!("m{nth:03}")).collect();
        let tame: Vec<_> = list.iter().zip(&plain).map(|((_, sum, runs), name)| (name.as_str(), *sum, *runs)).collect();
        let tame = report(&tame, &Amount::from_micros(corrected).to_string());
        prop_assert_eq!(tags(&hostile.html()), tags(&tame.html()));
    }
}
