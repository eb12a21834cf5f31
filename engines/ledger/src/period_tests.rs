//! Calendars of many zones, by tables and properties.

use super::*;
use jiff::SignedDuration;
use proptest::prelude::*;

const KINDS: [PeriodKind; 3] = [PeriodKind::Month, PeriodKind::Quarter, PeriodKind::Year];
/// Zones with each sort of oddity: at midnight, over midnight, half hours, days left out, no change at all.
const ZONES: [&str; 12] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "Asia/Beirut",
    "America/St_Johns",
    "America/Toronto",
    "America/Havana",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
];

fn calendar(kind: PeriodKind, zone: &str) -> Calendar {
    Calendar::new(kind, TimeZone::get(zone).unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn hours(calendar: &Calendar, instant: &str) -> f64 {
    let (start, end) = calendar.day_bounds(at(instant));
    start.duration_until(end).as_secs_f64() / 3600.0
}

#[test]
fn kinds_are_written_as_a_budget_spells_them() {
    assert_eq!(serde_json::to_string(&KINDS).unwrap(), r#"["CalendarMonth","CalendarQuarter","CalendarYear"]"#);
    assert!(serde_json::from_str::<PeriodKind>("\"Month\"").is_err());
}

#[test]
fn an_instant_has_a_label_of_each_kind_in_its_zone() {
    let instant = at("2026-12-31T23:30:00Z");
    let labels = |zone| KINDS.map(|kind| calendar(kind, zone).label(instant));
    assert_eq!(labels("UTC"), ["2026-12", "2026-Q4", "2026"]);
    assert_eq!(labels("Europe/Berlin"), ["2027-01", "2027-Q1", "2027"]);
    assert_eq!(calendar(PeriodKind::Month, "Europe/Berlin").day(instant), "2027-01-01");
}

#[test]
fn a_new_year_begins_at_the_zones_midnight() {
    let calendar = calendar(PeriodKind::Year, "America/New_York");
    let year = calendar.bounds(at("2026-06-01T00:00:00Z"));
    let bounds = Period { label: "2026".into(), start: at("2026-01-01T05:00:00Z"), end: at("2027-01-01T05:00:00Z"), days: 365 };
    assert_eq!(year, bounds);
    assert_eq!(calendar.next(&year).label, "2027");
    assert_eq!(calendar.label(year.end - SignedDuration::from_nanos(1)), "2026");
}

#[test]
fn a_leap_day_counts() {
    let days = |kind, instant| calendar(kind, "Europe/Berlin").bounds(at(instant)).days;
    assert_eq!(days(PeriodKind::Month, "2028-02-10T00:00:00Z"), 29);
    assert_eq!(days(PeriodKind::Month, "2026-02-10T00:00:00Z"), 28);
    assert_eq!(days(PeriodKind::Month, "2100-02-10T00:00:00Z"), 28);
    assert_eq!(days(PeriodKind::Quarter, "2028-02-10T00:00:00Z"), 91);
    assert_eq!(days(PeriodKind::Year, "2028-02-10T00:00:00Z"), 366);
}

#[test]
fn a_day_is_longer_or_shorter_where_the_clock_is_changed() {
    for (zone, short, long) in [
        ("Europe/Berlin", "2026-03-29T10:00:00Z", "2026-10-25T10:00:00Z"),
        ("America/New_York", "2026-03-08T15:00:00Z", "2026-11-01T15:00:00Z"),
        ("America/Santiago", "2026-09-06T15:00:00Z", "2026-04-04T15:00:00Z"),
        ("Asia/Beirut", "2026-03-29T10:00:00Z", "2026-10-24T10:00:00Z"),
        ("America/Havana", "2026-03-08T15:00:00Z", "2026-11-01T15:00:00Z"),
    ] {
        let calendar = calendar(PeriodKind::Month, zone);
        assert_eq!((hours(&calendar, short), hours(&calendar, long)), (23.0, 25.0), "{zone}");
    }
}

#[test]
fn a_day_without_a_midnight_begins_after_the_leap() {
    let beirut = calendar(PeriodKind::Month, "Asia/Beirut");
    // 00:00 became 01:00, UTC+3.
    assert_eq!(beirut.day_bounds(at("2026-03-29T10:00:00Z")).0, at("2026-03-28T22:00:00Z"));
    let toronto = calendar(PeriodKind::Month, "America/Toronto");
    // 23:30 on the 30th became 00:30 on the 31st, half an hour past the midnight that never was.
    assert_eq!(toronto.day_bounds(at("1919-03-31T12:00:00Z")).0, at("1919-03-31T04:30:00Z"));
}

#[test]
fn a_midnight_that_comes_twice_does_not_open_the_old_month_again() {
    let calendar = calendar(PeriodKind::Month, "America/St_Johns");
    // One minute past midnight on 1st November 2009 the clock was put back to 23:01 on 31st October.
    let first = at("2009-11-01T02:30:00Z");
    assert_eq!(calendar.label(first - SignedDuration::from_nanos(1)), "2009-10");
    for minutes in [0, 1, 30, 59, 60, 61, 120] {
        assert_eq!(calendar.label(first + SignedDuration::from_mins(minutes)), "2009-11", "{minutes}");
    }
    assert_eq!(calendar.bounds(first).start, first);
}

#[test]
fn a_day_that_a_zone_left_out_is_not_counted() {
    let calendar = calendar(PeriodKind::Month, "Pacific/Apia");
    let month = calendar.bounds(at("2011-12-15T00:00:00Z"));
    assert_eq!((month.days, calendar.label(month.start)), (30, "2011-12".to_owned()));
    let days = calendar.days(&month);
    assert_eq!(days[28..], ["2011-12-29", "2011-12-31"]);
    assert_eq!(calendar.day(at("2011-12-30T09:59:59Z")), "2011-12-29");
    assert_eq!(calendar.day(at("2011-12-30T10:00:00Z")), "2011-12-31");
}

#[test]
fn only_a_day_as_we_write_it_belongs_to_a_period() {
    let calendar = calendar(PeriodKind::Quarter, "UTC");
    assert_eq!(calendar.label_of_day("2026-11-07").as_deref(), Some("2026-Q4"));
    for text in ["", "2026-11", "20261107", "2026-11-07T00:00", "2026-11-31", "2026-02-29", " 2026-11-07", "26-11-07"] {
        assert_eq!(calendar.label_of_day(text), None, "{text}");
    }
}

#[test]
fn weekdays_count_from_monday() {
    let calendar = calendar(PeriodKind::Month, "Europe/Berlin");
    assert_eq!(calendar.weekday(at("2026-11-01T22:59:59Z")), 6);
    assert_eq!(calendar.weekday(at("2026-11-01T23:00:00Z")), 0);
}

#[test]
fn the_ends_of_all_time_are_no_trouble() {
    for kind in KINDS {
        for zone in ZONES {
            let calendar = calendar(kind, zone);
            for instant in [Timestamp::MIN, Timestamp::MAX] {
                let period = calendar.bounds(instant);
                assert!(period.start <= instant && instant <= period.end && period.days >= 1);
                assert_eq!(calendar.label_of_day(&calendar.day(instant)), Some(period.label));
            }
        }
    }
}

#[test]
fn time_stands_still_while_a_clock_is_behind() {
    let (early, late) = (at("2026-11-30T23:59:59Z"), at("2026-12-01T00:00:00Z"));
    assert_eq!(latest(None, early), early);
    assert_eq!(latest(Some(early), late), late);
    assert_eq!(latest(Some(late), early), late);
}

prop_compose! {
    /// Some instant of the years 1900 to 2199, often near the turn of a month, where things go wrong.
    fn instants()(year in 1900i16..2200, month in 1i8..=12, near in any::<bool>(), second in 0i64..2_678_400) -> Timestamp {
        let start = Date::new(year, month, 1).unwrap().to_zoned(TimeZone::UTC).unwrap().timestamp();
        start + SignedDuration::from_secs(if near { second % 200_000 - 100_000 } else { second })
    }
}

proptest! {
    #[test]
    fn every_instant_is_in_its_own_period(instant in instants(), zone in prop::sample::select(&ZONES), kind in prop::sample::select(&KINDS)) {
        let calendar = calendar(kind, zone);
        let period = calendar.bounds(instant);
        prop_assert!(period.start <= instant && instant < period.end);
        prop_assert_eq!(&period.label, &calendar.label(instant));
        prop_assert_eq!(calendar.label_of_day(&calendar.day(instant)), Some(calendar.label(instant)));
        let (start, end) = calendar.day_bounds(instant);
        prop_assert!(start <= instant && instant < end && period.start <= start && end <= period.end);
        prop_assert_eq!(calendar.day(start), calendar.day(instant));
    }

    #[test]
    fn periods_have_no_gap_and_no_overlap(instant in instants(), zone in prop::sample::select(&ZONES), kind in prop::sample::select(&KINDS)) {
        let calendar = calendar(kind, zone);
        let period = calendar.bounds(instant);
        let next = calendar.next(&period);
        prop_assert_eq!(next.start, period.end);
        prop_assert_ne!(&next.label, &period.label);
        prop_assert_eq!(calendar.bounds(period.start), period.clone());
        prop_assert_eq!(calendar.bounds(period.end - SignedDuration::from_nanos(1)), period.clone());
        prop_assert_eq!(calendar.days(&period).len() as u32, period.days);
    }

    #[test]
    fn no_instant_is_in_an_earlier_day_than_one_before_it(instant in instants(), seconds in 0i64..200_000, zone in prop::sample::select(&ZONES)) {
        let calendar = calendar(PeriodKind::Month, zone);
        let after = instant + SignedDuration::from_secs(seconds);
        prop_assert!(calendar.day(instant) <= calendar.day(after));
        prop_assert!(calendar.label(instant) <= calendar.label(after));
    }

    #[test]
    fn a_clock_that_jumps_about_rolls_over_once_for_each_period(jumps in prop::collection::vec(-4_000_000i64..5_000_000, 1..60)) {
        let calendar = calendar(PeriodKind::Month, "Europe/Berlin");
        let (mut clock, mut known, mut labels) = (at("2026-01-15T00:00:00Z"), None, Vec::new());
        for jump in jumps {
            clock += SignedDuration::from_secs(jump);
            known = Some(latest(known, clock));
            labels.push(calendar.label(latest(known, clock)));
        }
        labels.dedup();
        prop_assert!(labels.is_sorted_by(|one, other| one < other), "{:?}", labels);
    }
}
