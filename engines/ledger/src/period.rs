//! Budget periods: to which day, month, quarter or year of a time zone an instant belongs, and where these begin and end.
//!
//! Pure functions of an instant and a zone. A clock that steps back is the caller's to tame, with [`latest`].

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

/// How long a budget period is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PeriodKind {
    /// A month of the calendar, "2026-11".
    #[serde(rename = "CalendarMonth")]
    Month,
    /// Three months of the calendar, "2026-Q4".
    #[serde(rename = "CalendarQuarter")]
    Quarter,
    /// A year of the calendar, "2026".
    #[serde(rename = "CalendarYear")]
    Year,
}

impl PeriodKind {
    const fn months(self) -> i8 {
        match self {
            Self::Month => 1,
            Self::Quarter => 3,
            Self::Year => 12,
        }
    }

    fn label(self, day: Date) -> String {
        let (year, month) = (day.year(), day.month());
        match self {
            Self::Month => format!("{year:04}-{month:02}"),
            Self::Quarter => format!("{year:04}-Q{}", (month - 1) / 3 + 1),
            Self::Year => format!("{year:04}"),
        }
    }

    /// The first day of the period that the day is in.
    fn first(self, day: Date) -> Date {
        let month = (day.month() - 1) / self.months() * self.months() + 1;
        // Every month has a first day, so the day itself is never the answer.
        Date::new(day.year(), month, 1).unwrap_or(day)
    }

    /// The first day of the period after that; nothing at the end of all time.
    fn following(self, first: Date) -> Option<Date> {
        let months = first.month() - 1 + self.months();
        Date::new(first.year() + i16::from(months / 12), months % 12 + 1, 1).ok()
    }
}

/// One period, from its first instant to just before the next one's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its name; two periods of one calendar never share it.
    pub label: String,
    /// The first instant that is in it.
    pub start: Timestamp,
    /// The first instant that is no longer in it.
    pub end: Timestamp,
    /// Local days in it. A day that a zone left out, as Apia did its 30th December 2011, is not one of them.
    pub days: u32,
}

/// Periods of one kind in one time zone.
///
/// A day begins at the first instant that bears its date and lasts until the next day begins. Where a clock is put back over
/// midnight (St. John's did it at one minute past), the date goes back with it, but the day here does not: no instant is in
/// a day, or a period, before that of an earlier instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// How long a period is.
    pub kind: PeriodKind,
    /// The zone whose midnight ends a day.
    pub zone: TimeZone,
}

impl Calendar {
    /// Periods of a kind in a zone.
    #[must_use]
    pub const fn new(kind: PeriodKind, zone: TimeZone) -> Self {
        Self { kind, zone }
    }

    /// The period's name, "2026-11", "2026-Q4" or "2026".
    #[must_use]
    pub fn label(&self, at: Timestamp) -> String {
        self.kind.label(self.date(at))
    }

    /// The local day, "2026-11-07".
    #[must_use]
    pub fn day(&self, at: Timestamp) -> String {
        self.date(at).to_string()
    }

    /// The first instant of the local day, and that of the next.
    #[must_use]
    pub fn day_bounds(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        let day = self.date(at);
        (self.begin(day), self.begin_after(day))
    }

    /// Days since Monday, 0 to 6.
    #[must_use]
    pub fn weekday(&self, at: Timestamp) -> u8 {
        self.date(at).weekday().to_monday_zero_offset().unsigned_abs()
    }

    /// The period that the instant is in.
    #[must_use]
    pub fn bounds(&self, at: Timestamp) -> Period {
        let first = self.kind.first(self.date(at));
        let (start, end) = (self.begin(first), self.kind.following(first).map_or(Timestamp::MAX, |next| self.begin(next)));
        Period { label: self.kind.label(first), start, end, days: self.each_day(start, end).count() as u32 }
    }

    /// The period after that one. It depends on nothing else, so a roll-over done twice is one roll-over.
    #[must_use]
    pub fn next(&self, period: &Period) -> Period {
        self.bounds(period.end)
    }

    /// The period now and so many before it, the newest first.
    pub fn recent(&self, now: Timestamp, before: usize) -> impl Iterator<Item = Period> {
        let earlier =
            |period: &Period| period.start.checked_sub(jiff::SignedDuration::from_nanos(1)).ok().map(|at| self.bounds(at));
        std::iter::successors(Some(self.bounds(now)), earlier).take(before + 1)
    }

    /// All local days of the period in their order, "2026-11-01" and so on; as many as its `days`.
    #[must_use]
    pub fn days(&self, period: &Period) -> Vec<String> {
        self.each_day(period.start, period.end).map(|day| day.to_string()).collect()
    }

    /// The name of the period that a day belongs to; nothing for a text that [`Calendar::day`] never writes.
    #[must_use]
    pub fn label_of_day(&self, day: &str) -> Option<String> {
        let date: Date = day.parse().ok()?;
        (date.to_string() == day).then(|| self.kind.label(date))
    }

    /// The last day that has begun. The clock's date, but for the time that a clock repeats after midnight.
    fn date(&self, at: Timestamp) -> Date {
        let date = self.zone.to_datetime(at).date();
        match date.tomorrow() {
            Ok(tomorrow) if self.begin(tomorrow) <= at => tomorrow,
            _ => date,
        }
    }

    /// The first instant that bears the date, or a later one where none does.
    fn begin(&self, day: Date) -> Timestamp {
        let midnight = self.zone.to_ambiguous_timestamp(day.to_datetime(jiff::civil::Time::midnight()));
        let in_gap = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
        // Of a midnight that comes twice the first; of one that the clock leaps over, an instant at or after the leap.
        let Ok(instant) = midnight.compatible() else {
            // Only the days at either end of all time can reach past it.
            return if day.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
        };
        if !in_gap {
            return instant;
        }
        // A clock that leaps from 23:30 to 00:30 begins the day at the leap, not half an hour after.
        let after = instant.checked_add(jiff::SignedDuration::from_nanos(1)).unwrap_or(instant);
        self.zone.preceding(after).next().map_or(instant, |leap| leap.timestamp())
    }

    fn begin_after(&self, day: Date) -> Timestamp {
        day.tomorrow().map_or(Timestamp::MAX, |tomorrow| self.begin(tomorrow))
    }

    /// Days that have an instant of their own from `start` until `end`.
    fn each_day(&self, start: Timestamp, end: Timestamp) -> impl Iterator<Item = Date> {
        let next = move |day: &Date| day.tomorrow().ok();
        std::iter::successors(Some(self.date(start)), next)
            .map(|day| (day, self.begin(day), self.begin_after(day)))
            .take_while(move |(_, begin, _)| *begin < end)
            .filter(|(_, begin, after)| begin < after)
            .map(|(day, ..)| day)
    }
}

/// Time that never goes back: now, or what was already known where the clock says less. With it a clock that is put back
/// neither opens a period again nor ends one twice.
#[must_use]
pub fn latest(known: Option<Timestamp>, now: Timestamp) -> Timestamp {
    known.map_or(now, |known| known.max(now))
}

#[cfg(test)]
#[path = "period_tests.rs"]
mod tests;
