//! A cloud bill in the FOCUS format, as CSV: what a platform costs by it. And the other way round: our own charges as such a
//! bill.
//!
//! FOCUS is the `FinOps` Open Cost and Usage Specification, <https://focus.finops.org>. Read is what all of its versions from
//! 1.0 to 1.3 have in common: [`NEEDED`], mandatory in each of them. Other columns are passed over.
//!
//! What is written conforms to versions 1.0, 1.1 and 1.2: all their 21 mandatory columns, and of the conditional and
//! recommended ones those that mean something here. Not to 1.3, which wants `ServiceProviderName` and `HostProviderName` where
//! these have `ProviderName`. See [`COLUMNS`] for what is left null, and [`row`] for what is not as a strict reader has it.
//!
//! Money is kept in 10^-18 of the currency's unit until it leaves here, and rounded once, half away from nothing: a credit
//! takes back exactly what was charged. No float is involved.

use std::collections::BTreeMap;

use csv::{ByteRecord, ReaderBuilder, Trim, WriterBuilder};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::amount::{Amount, MAX_UNITS};
use crate::period::{Calendar, PeriodKind};

/// Rows that are read at most.
pub const MAX_ROWS: u64 = 5_000_000;
/// Full days that a platform's cost is taken from, at most.
pub const WINDOW: u32 = 30;
/// Full days without which nothing can be said of a platform's cost.
pub const MIN_DAYS: u32 = 7;
/// Columns without which a bill is not read. FOCUS has them mandatory since 1.0.
pub const NEEDED: [&str; 6] =
    ["BilledCost", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeClass"];

/// Digits after the point that sums are kept with.
const FINE_DIGITS: i64 = 18;
/// Such units in one of the currency.
const FINE: i128 = 10i128.pow(FINE_DIGITS as u32);
/// Such units in a millionth.
const FINE_PER_MICRO: i128 = 10i128.pow(FINE_DIGITS as u32 - 6);
/// Digits that a number is written with at most.
const MAX_NUMBER: usize = 64;
/// Longest charge that counts whole to the day that it begins in: a day of 25 hours, when clocks are put back.
const ONE_DAY: SignedDuration = SignedDuration::from_hours(25);
/// Longest charge. The longest that clouds sell ahead are five years.
const MAX_CHARGE_DAYS: i64 = 3_660;
/// Days that all charges of more than a day span together, those of one period counted once.
const MAX_PARTS: i64 = 5_000_000;
/// How far ahead of the clock a charge may begin and still be read.
const AHEAD: SignedDuration = SignedDuration::from_hours(24);
/// The year before which no bill is.
const FIRST_YEAR: i16 = 2000;

/// A bill that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// There is nothing in it.
    #[error("the bill is empty: export it again, as CSV with a header")]
    Empty,
    /// It is another sort of file.
    #[error("the bill is {what}, not CSV in UTF-8: {remedy}")]
    NotCsv {
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// It has a header and no row.
    #[error("the bill has a header but not one row: export a time for which there are charges")]
    NoRows,
    /// A column is not there.
    #[error(
        "the bill has no column {column:?}: export it as FOCUS 1.0 or later, with all mandatory columns and with commas between them"
    )]
    NoColumn {
        /// Its name.
        column: &'static str,
    },
    /// A column is there twice.
    #[error("the bill has more than one column {column:?}: leave one of them out")]
    TwoColumns {
        /// Its name.
        column: &'static str,
    },
    /// There are too many rows.
    #[error("the bill has more than {MAX_ROWS} rows: export less time, or charges by day instead of by hour")]
    TooManyRows,
    /// A row has more or fewer fields than the header.
    #[error(
        "row {row} of the bill has {found} fields and the header {expected}: the file was cut off, or a quote is missing before it"
    )]
    Fields {
        /// Row, the header being 1.
        row: u64,
        /// Fields of the row.
        found: u64,
        /// Fields of the header.
        expected: u64,
    },
    /// A row cannot be read as CSV.
    #[error("row {row} of the bill is no CSV: {message}")]
    Csv {
        /// Row, the header being 1.
        row: u64,
        /// What is wrong.
        message: String,
    },
    /// A field says nothing that can be read.
    #[error("row {row} of the bill, column {column}: {text:?} {wrong}")]
    Field {
        /// Row, the header being 1.
        row: u64,
        /// Column.
        column: &'static str,
        /// The beginning of what it says.
        text: String,
        /// What is wrong with that.
        wrong: &'static str,
    },
    /// Rows are in different currencies.
    #[error(
        "row {row} of the bill, column BillingCurrency: {text:?}, while the rows before are in {currency}: export one currency at a time"
    )]
    Currencies {
        /// Row, the header being 1.
        row: u64,
        /// Its currency.
        text: String,
        /// That of the rows before.
        currency: String,
    },
    /// Charges of more than a day are of too many different periods.
    #[error(
        "row {row} of the bill: charges of more than a day span more than {MAX_PARTS} days together, which is more than is spread here: \
         export less time"
    )]
    TooLong {
        /// Row at which it was too much, the header being 1.
        row: u64,
    },
    /// All charges are yet to come.
    #[error("all {rows} rows of the bill begin more than a day from now: check the clock, and which time was exported")]
    AllAhead {
        /// How many.
        rows: u64,
    },
}

/// What a bill adds up to.
///
/// A charge of at most a day counts whole to the day that it begins in; a longer one, such as a month's fee, is spread over its
/// days by the time that it is in each. Credits, refunds and corrections are charges like others, on the days that they are
/// for, whenever they were billed. Nothing is amortized: it is `BilledCost`, what the invoice says.
///
/// Charges that begin more than a day after now are left out and counted in `ahead`: clouds do list renewals ahead, and they
/// are no reason to refuse the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// ISO 4217 code of the currency of all charges.
    pub currency: String,
    /// How far the bill reaches: to the end of the newest charge, but not past now. Counted are usage and purchases of at most a
    /// day that correct nothing, since a fee for the whole year does not say that usage is known until December; where there are
    /// none, all that correct nothing; else all.
    pub through: Timestamp,
    /// Where it begins: the start of the oldest of these charges. A correction of last month's bill does not make this one a
    /// bill for two months.
    pub from: Timestamp,
    /// Rows that count.
    pub rows: u64,
    /// Rows that were left out because they are for a time more than a day ahead.
    pub ahead: u64,
    /// What of the total corrects bills of earlier periods (`ChargeClass`).
    pub corrections: Amount,
    /// What each day costs, in [`FINE`].
    days: BTreeMap<Date, i128>,
    /// The newest full days, at most [`WINDOW`]: what they cost together, and how many.
    window: (i128, u32),
}

impl Bill {
    /// Reads a bill. The caller bounds its size; how long it takes grows with that. Days are those of the zone.
    ///
    /// Numbers may have an exponent, also with a plus. Times are `2026-11-07T13:00:00Z`; a fraction of a second, no seconds at
    /// all and `+00:00` are accepted, since it is no less clear what they mean; any other offset and none are not. Names of
    /// columns may be in any case: databases turn them into small letters.
    pub fn read(text: &[u8], zone: &TimeZone, now: Timestamp) -> Result<Self, BillError> {
        let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
        if let Some((_, what, remedy)) = OTHER_FILES.iter().find(|(magic, ..)| text.starts_with(magic)) {
            return Err(BillError::NotCsv { what, remedy });
        }
        let mut reader = ReaderBuilder::new().has_headers(false).trim(Trim::All).from_reader(text);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).map_err(|error| csv_error(1, &error))? {
            return Err(BillError::Empty);
        }
        let columns = columns(&record)?;

        let mut sums = Sums::new(zone.clone());
        let (mut currency, mut row, mut ahead) = (String::new(), 1, 0);
        let horizon = now.checked_add(AHEAD).unwrap_or(Timestamp::MAX);
        while reader.read_byte_record(&mut record).map_err(|error| csv_error(row + 1, &error))? {
            row += 1;
            if row > MAX_ROWS + 1 {
                return Err(BillError::TooManyRows);
            }
            let line = Line { row, record: &record, columns };
            let code = line.currency()?;
            if currency.is_empty() {
                code.clone_into(&mut currency);
            } else if code != currency {
                return Err(BillError::Currencies { row, text: short(code), currency });
            }
            let charge = line.charge()?;
            if charge.start > horizon {
                ahead += 1;
            } else {
                sums.add(&charge, row)?;
            }
        }
        match (sums.rows, ahead) {
            (0, 0) => Err(BillError::NoRows),
            (0, rows) => Err(BillError::AllAhead { rows }),
            _ => Ok(sums.bill(currency, ahead, now)),
        }
    }

    /// What so many days cost by this bill: the newest 30 full days in it, or as many as there are, scaled. Nothing where there
    /// are fewer than 7.
    ///
    /// A day is full where it lies wholly between `from` and `through`. What the cloud has not billed yet is not in it: read the
    /// bill again when it is known. Less than nothing where credits exceed the charges.
    #[must_use]
    pub fn platform_cost(&self, days: u32) -> Option<Amount> {
        let (sum, full) = self.window;
        (full >= MIN_DAYS).then(|| {
            let scale = i128::from(full) * FINE_PER_MICRO;
            let (whole, rest) = (sum / scale, sum % scale);
            Amount::from_micros(whole * i128::from(days) + rounded(rest * i128::from(days), scale))
        })
    }

    /// Full days that [`Bill::platform_cost`] is taken from.
    #[must_use]
    pub const fn full_days(&self) -> u32 {
        self.window.1
    }

    /// All days that a charge is for, in their order. They sum to [`Bill::total`]: what is left by rounding a day goes to the
    /// next.
    pub fn days(&self) -> impl Iterator<Item = (Date, Amount)> {
        self.days.iter().scan((0, 0), |(sum, told), (day, cost)| {
            *sum += cost;
            let micros = rounded(*sum, FINE_PER_MICRO) - *told;
            *told += micros;
            Some((*day, Amount::from_micros(micros)))
        })
    }

    /// What all rows that count sum to.
    #[must_use]
    pub fn total(&self) -> Amount {
        Amount::from_micros(rounded(self.days.values().sum(), FINE_PER_MICRO))
    }
}

/// Files that people take for CSV, by how they begin.
const OTHER_FILES: [(&[u8], &str, &str); 5] = [
    (b"\x1F\x8B", "compressed with gzip", "unpack it first"),
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet", "unpack it, or save it as CSV"),
    (b"PAR1", "a Parquet file", "choose CSV for the export"),
    (b"\xFF\xFE", "text in UTF-16", "save it as CSV in UTF-8"),
    (b"\xFE\xFF", "text in UTF-16", "save it as CSV in UTF-8"),
];

/// Where [`NEEDED`] are.
fn columns(header: &ByteRecord) -> Result<[usize; NEEDED.len()], BillError> {
    let mut found = [0; NEEDED.len()];
    for (place, column) in found.iter_mut().zip(NEEDED) {
        let mut places = header.iter().enumerate().filter(|(_, name)| name.eq_ignore_ascii_case(column.as_bytes()));
        *place = places.next().ok_or(BillError::NoColumn { column })?.0;
        if places.next().is_some() {
            return Err(BillError::TwoColumns { column });
        }
    }
    Ok(found)
}

fn csv_error(row: u64, error: &csv::Error) -> BillError {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            BillError::Fields { row, found: *len, expected: *expected_len }
        }
        _ => BillError::Csv { row, message: short(&error.to_string()) },
    }
}

/// A charge, as far as it matters here.
struct Billed {
    cost: i128,
    start: Timestamp,
    end: Timestamp,
    /// Usage or a purchase, which say how far the bill reaches.
    metered: bool,
    correction: bool,
}

/// One row.
struct Line<'a> {
    row: u64,
    record: &'a ByteRecord,
    columns: [usize; NEEDED.len()],
}

impl<'a> Line<'a> {
    fn error(&self, column: usize, text: &str, wrong: &'static str) -> BillError {
        BillError::Field { row: self.row, column: NEEDED[column], text: short(text), wrong }
    }

    fn field(&self, column: usize) -> Result<&'a str, BillError> {
        let bytes = self.record.get(self.columns[column]).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| self.error(column, &String::from_utf8_lossy(bytes), "is not UTF-8"))
    }

    fn currency(&self) -> Result<&'a str, BillError> {
        let code = self.field(1)?;
        let known = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if known { Ok(code) } else { Err(self.error(1, code, "is no ISO 4217 code of a currency, such as \"EUR\"")) }
    }

    fn time(&self, column: usize) -> Result<Timestamp, BillError> {
        let text = self.field(column)?;
        time(text).map_err(|wrong| self.error(column, text, wrong))
    }

    fn charge(&self) -> Result<Billed, BillError> {
        let text = self.field(0)?;
        let cost = number(text).map_err(|wrong| self.error(0, text, wrong))?;
        let (start, end) = (self.time(2)?, self.time(3)?);
        if end <= start {
            return Err(self.error(3, self.field(3)?, "is not after ChargePeriodStart"));
        }
        if end.duration_since(start) > SignedDuration::from_hours(24 * MAX_CHARGE_DAYS) {
            return Err(self.error(3, self.field(3)?, "is more than ten years after ChargePeriodStart"));
        }
        let metered = match self.field(4)? {
            "Usage" | "Purchase" => true,
            "Tax" | "Credit" | "Adjustment" => false,
            other => return Err(self.error(4, other, "is none of Usage, Purchase, Tax, Credit and Adjustment")),
        };
        let correction = match self.field(5)? {
            "Correction" => true,
            "" => false,
            null if null.eq_ignore_ascii_case("null") => false,
            other => return Err(self.error(5, other, "is neither Correction nor empty")),
        };
        Ok(Billed { cost, start, end, metered, correction })
    }
}

/// A time in UTC, as FOCUS has it, a little more leniently.
fn time(text: &str) -> Result<Timestamp, &'static str> {
    let wrong = "is no time in UTC such as \"2026-11-07T13:00:00Z\"";
    let clock = text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00")).ok_or(wrong)?;
    let (whole, fraction) = clock.split_once('.').map_or((clock, None), |(whole, fraction)| (whole, Some(fraction)));
    let shape = |pattern: &str| {
        let fits = |(byte, like): (u8, u8)| if like == b'0' { byte.is_ascii_digit() } else { byte == like };
        whole.len() == pattern.len() && whole.bytes().zip(pattern.bytes()).all(fits)
    };
    let seconds = shape("0000-00-00T00:00:00");
    let fits = match fraction {
        Some(digits) => seconds && (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => seconds || shape("0000-00-00T00:00"),
    };
    if !fits {
        return Err(wrong);
    }
    let time: Timestamp = text.parse().map_err(|_| "is no time that there is")?;
    let year = TimeZone::UTC.to_datetime(time).year();
    if year < FIRST_YEAR { Err("is before the year 2000") } else { Ok(time) }
}

/// A number in [`FINE`], what is finer rounded half away from nothing.
fn number(text: &str) -> Result<i128, &'static str> {
    let wrong = "is no number such as \"12.5\" or \"1.5E-7\"";
    let (negative, plain) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match plain.split_once(['E', 'e']) {
        Some((mantissa, exponent)) => (mantissa, exponent_of(exponent).ok_or(wrong)?),
        None => (plain, 0),
    };
    let (units, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{units}{part}");
    if digits.is_empty() || mantissa.ends_with('.') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong);
    }
    if digits.len() > MAX_NUMBER {
        return Err("has more than 64 digits");
    }
    let scale = exponent - part.len() as i64 + FINE_DIGITS;
    digits.drain(..digits.len() - digits.trim_start_matches('0').len());
    if digits.is_empty() {
        return Ok(0);
    }
    let too_large = "is more than any bill";
    // Digits in front of where it is rounded.
    let kept = digits.len() as i64 + scale;
    if kept > 31 {
        return Err(too_large);
    }
    let fine = if scale >= 0 {
        digits.extend(std::iter::repeat_n('0', scale as usize));
        digits.parse().map_err(|_| wrong)?
    } else if kept < 0 {
        0
    } else {
        let (front, rest) = digits.split_at(kept as usize);
        let front: i128 = if front.is_empty() { 0 } else { front.parse().map_err(|_| wrong)? };
        front + i128::from(rest.as_bytes()[0] >= b'5')
    };
    if fine > MAX_UNITS * FINE { Err(too_large) } else { Ok(if negative { -fine } else { fine }) }
}

/// FOCUS has no plus in an exponent, but those who print floats do.
fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let fits = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let exponent: i64 = fits.then(|| digits.parse().ok())??;
    Some(if text.starts_with('-') { -exponent } else { exponent })
}

/// `value / unit`, rounded half away from nothing.
const fn rounded(value: i128, unit: i128) -> i128 {
    let (whole, rest) = (value / unit, value % unit);
    whole + if rest.unsigned_abs() * 2 >= unit.unsigned_abs() { value.signum() } else { 0 }
}

/// The beginning of a text that somebody else wrote.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// From when until when some charges are.
#[derive(Clone, Copy)]
struct Reach {
    from: Timestamp,
    through: Timestamp,
}

impl Reach {
    const NONE: Self = Self { from: Timestamp::MAX, through: Timestamp::MIN };

    fn add(&mut self, charge: &Billed) {
        self.from = self.from.min(charge.start);
        self.through = self.through.max(charge.end);
    }

    fn some(self) -> Option<Self> {
        (self.from < self.through).then_some(self)
    }
}

/// What the rows so far add up to.
struct Sums {
    calendar: Calendar,
    /// Days by their first instant: when they end and what they are called. Looking a day up in a zone takes far longer.
    known: BTreeMap<Timestamp, (Timestamp, Date)>,
    days: BTreeMap<Date, i128>,
    /// Charges of more than a day, by period.
    long: BTreeMap<(Timestamp, Timestamp), i128>,
    /// Days that these span.
    parts: i64,
    rows: u64,
    corrections: i128,
    metered: Reach,
    regular: Reach,
    all: Reach,
}

impl Sums {
    fn new(zone: TimeZone) -> Self {
        Self {
            calendar: Calendar::new(PeriodKind::Month, zone),
            known: BTreeMap::new(),
            days: BTreeMap::new(),
            long: BTreeMap::new(),
            parts: 0,
            rows: 0,
            corrections: 0,
            metered: Reach::NONE,
            regular: Reach::NONE,
            all: Reach::NONE,
        }
    }

    /// First instant, end and name of the day that an instant is in.
    fn day(&mut self, at: Timestamp) -> (Timestamp, Timestamp, Date) {
        if let Some((begin, (end, date))) = self.known.range(..=at).next_back()
            && at < *end
        {
            return (*begin, *end, *date);
        }
        let (begin, end) = self.calendar.day_bounds(at);
        // The calendar writes what is read here; the date by UTC is never the answer.
        let date = self.calendar.day(at).parse().unwrap_or_else(|_| TimeZone::UTC.to_datetime(at).date());
        self.known.insert(begin, (end, date));
        (begin, end, date)
    }

    fn add(&mut self, charge: &Billed, row: u64) -> Result<(), BillError> {
        self.rows += 1;
        self.all.add(charge);
        let length = charge.end.duration_since(charge.start);
        if charge.correction {
            self.corrections += charge.cost;
        } else {
            self.regular.add(charge);
            if charge.metered && length <= ONE_DAY {
                self.metered.add(charge);
            }
        }
        if length <= ONE_DAY {
            let (.., day) = self.day(charge.start);
            *self.days.entry(day).or_default() += charge.cost;
            return Ok(());
        }
        let period = (charge.start, charge.end);
        if !self.long.contains_key(&period) {
            self.parts += length.as_hours() / 24 + 2;
            if self.parts > MAX_PARTS {
                return Err(BillError::TooLong { row });
            }
        }
        *self.long.entry(period).or_default() += charge.cost;
        Ok(())
    }

    /// Spreads a charge over its days, so that they sum to it.
    fn spread(&mut self, start: Timestamp, end: Timestamp, cost: i128) {
        let since_start = |at: Timestamp| at.as_nanosecond() - start.as_nanosecond();
        let all = since_start(end);
        // Multiplied apart, which is the same and does not overflow.
        let (each, rest) = (cost.div_euclid(all), cost.rem_euclid(all));
        let (mut at, mut told) = (start, 0);
        while at < end {
            let (_, day_end, day) = self.day(at);
            let next = day_end.min(end);
            let until = since_start(next);
            let cost = each * until + rest * until / all;
            *self.days.entry(day).or_default() += cost - told;
            (at, told) = (next, cost);
        }
    }

    fn bill(mut self, currency: String, ahead: u64, now: Timestamp) -> Bill {
        for ((start, end), cost) in std::mem::take(&mut self.long) {
            self.spread(start, end, cost);
        }
        let reach = self.metered.some().or_else(|| self.regular.some()).unwrap_or(self.all);
        let (from, through) = (reach.from, reach.through.min(now));

        let (mut begin, ..) = self.day(through);
        let mut window = (0, 0);
        while window.1 < WINDOW {
            let Ok(before) = begin.checked_sub(SignedDuration::from_nanos(1)) else { break };
            let (earlier, _, day) = self.day(before);
            if earlier < from {
                break;
            }
            window = (window.0 + self.days.get(&day).copied().unwrap_or_default(), window.1 + 1);
            begin = earlier;
        }
        let corrections = Amount::from_micros(rounded(self.corrections, FINE_PER_MICRO));
        Bill { currency, through, from, rows: self.rows, ahead, corrections, days: self.days, window }
    }
}

/// What a charge of our own was for, as much as was used. Millionths keep it exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// Millionths of the unit.
    pub micros: i128,
    /// Plural, as FOCUS has units: `Hours`, `Seconds`, `Tokens`.
    pub unit: String,
}

/// A charge of our own ledger. Texts may be empty, which is null, but for those that say otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What it costs; negative where something is given back.
    pub cost: Amount,
    /// ISO 4217 code of the currency. Not empty.
    pub currency: String,
    /// When the work began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Begin of the budget's period that it is booked in. For a correction of an earlier period, the one that is open now.
    pub billing_start: Timestamp,
    /// First instant that is no longer in that.
    pub billing_end: Timestamp,
    /// It corrects a period that is closed.
    pub correction: bool,
    /// Who pays: the installation. Not empty.
    pub account: String,
    /// Who provides, publishes and charges for the platform. Not empty.
    pub provider: String,
    /// What was used of it. Not empty.
    pub service: String,
    /// For people.
    pub description: String,
    /// Namespace.
    pub namespace: String,
    /// Job in it; empty where it is for no job.
    pub job: String,
    /// Name of the work.
    pub title: String,
    /// Model.
    pub model: String,
    /// Budget.
    pub budget: String,
    /// What the cost was worked out from: a price, a share of the platform, a bound.
    pub basis: String,
    /// What is priced: the class of accelerator.
    pub sku: String,
    /// How much of it; nothing where nobody counted. A charge without it that is no correction is an `Adjustment`, since usage
    /// must have it.
    pub quantity: Option<Quantity>,
}

/// Columns that are written, FOCUS' own first.
///
/// Always null is `BillingAccountName`, which is mandatory but may be: an installation has no name other than its identifier.
/// Null where the charge does not say it: `ChargeDescription` (which should not be), `ResourceId`, `ResourceName`,
/// `ResourceType`, `SubAccountId` and `SubAccountName`, `Tags`, quantities and their units, `SkuId`; the last must be said with usage that is no
/// correction.
///
/// Not there are conditional columns whose condition does not hold: unit prices, `SkuPriceId` (no price list is published and
/// nothing negotiated), `PricingCategory` and `BillingAccountType` (there is one of each), commitment discounts, capacity
/// reservations, regions and zones, a second currency; and what is only recommended and has nothing to say, `InvoiceId` and
/// `ServiceSubcategory`, which 1.0 does not know either.
pub const COLUMNS: [&str; 35] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuId",
    "SubAccountId",
    "SubAccountName",
    "Tags",
    "x_Basis",
    "x_Budget",
    "x_Model",
    "x_Title",
];

/// Begin of the names of our tags: FOCUS wants those of a provider told apart from those of users.
pub const TAG_PREFIX: &str = "showrunner.dev/";

/// A charge as a row, a field for each of [`COLUMNS`].
///
/// A text that a spreadsheet would take for a formula has a `'` in front, which FOCUS, in asking for texts as they are, does not
/// foresee. Times are of whole seconds, the start rounded down and the end up, and a second apart at least. All four costs are
/// the same: there are no discounts and nothing is paid ahead.
#[must_use]
pub fn row(charge: &Charge) -> [String; COLUMNS.len()] {
    let cost = charge.cost.to_string();
    let category = if charge.quantity.is_some() || charge.correction { "Usage" } else { "Adjustment" };
    let (quantity, unit) = charge
        .quantity
        .as_ref()
        .map_or_else(Default::default, |quantity| (Amount::from_micros(quantity.micros).to_string(), plain(&quantity.unit)));
    let (start, end) = (seconds(charge.start, 0), seconds(charge.end, 999_999_999));
    let end = end.max(start + 1);
    let has_job = !charge.job.is_empty();
    let resource = if has_job { plain(&format!("{}/{}", charge.namespace, charge.job)) } else { String::new() };
    let name = if has_job { plain(&charge.title) } else { String::new() };
    let provider = plain(&charge.provider);
    [
        cost.clone(),
        plain(&charge.account),
        String::new(),
        plain(&charge.currency),
        written(seconds(charge.billing_end, 999_999_999)),
        written(seconds(charge.billing_start, 0)),
        category.to_owned(),
        if charge.correction { "Correction".to_owned() } else { String::new() },
        plain(&charge.description),
        if category == "Usage" { "Usage-Based" } else { "One-Time" }.to_owned(),
        written(end),
        written(start),
        quantity.clone(),
        unit.clone(),
        cost.clone(),
        cost.clone(),
        provider.clone(),
        cost,
        quantity,
        unit,
        provider.clone(),
        provider,
        resource,
        name,
        if has_job { "Job".to_owned() } else { String::new() },
        "AI and Machine Learning".to_owned(),
        plain(&charge.service),
        plain(&charge.sku),
        plain(&charge.namespace),
        plain(&charge.namespace),
        tags(charge),
        plain(&charge.basis),
        plain(&charge.budget),
        plain(&charge.model),
        plain(&charge.title),
    ]
}

/// Charges as a bill in CSV, with a header. Without charges, the header alone.
#[must_use]
pub fn write(charges: &[Charge]) -> String {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    let all_good = "memory takes all that is written, and rows are as long as the header";
    writer.write_record(COLUMNS).expect(all_good);
    for charge in charges {
        writer.write_record(row(charge)).expect(all_good);
    }
    String::from_utf8(writer.into_inner().expect(all_good)).expect("fields are texts")
}

/// Whole seconds of an instant after some nanoseconds more.
fn seconds(at: Timestamp, more: i128) -> i64 {
    (at.as_nanosecond() + more).div_euclid(1_000_000_000) as i64
}

fn written(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A text that no spreadsheet takes for a formula.
pub(crate) fn plain(text: &str) -> String {
    let formula = |c: char| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
    let risky = text.starts_with(['\t', '\r', '\n']) || text.trim_start().starts_with(formula);
    if risky { format!("'{text}") } else { text.to_owned() }
}

/// What is known of model, title and budget, as JSON; nothing where that is nothing.
fn tags(charge: &Charge) -> String {
    let tags: BTreeMap<String, &str> = [("budget", &charge.budget), ("model", &charge.model), ("title", &charge.title)]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (format!("{TAG_PREFIX}{key}"), value.as_str()))
        .collect();
    if tags.is_empty() { String::new() } else { serde_json::to_string(&tags).expect("texts are JSON") }
}

#[cfg(test)]
#[path = "focus_tests.rs"]
mod tests;
