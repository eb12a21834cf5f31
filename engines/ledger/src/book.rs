//! What the journal adds up to: what is reserved, what was spent on what, and what was done already.
//!
//! Every entry may come again: the second time changes nothing. Entries of different work may come in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::journal::{Booking, Entry, Fact, Level, NOTHING_BEFORE, Page, PageError, Part, SCHEMA, STATE_EVERY, Who};
use crate::lease::{self, Ended, Leases, Terms};

/// How long it is remembered that work was settled. Its Job is let go in the next write, and a Job that is still there after
/// that long is charged again.
const SETTLED_KEPT: SignedDuration = SignedDuration::from_hours(40 * 24);
/// Days of spending that are kept for each budget.
const DAYS_KEPT: usize = 400;
/// Periods of spending by model that are kept for each budget.
pub const PERIODS_KEPT: usize = 14;
/// Models that are told apart in one period of one budget; the others are one.
pub const MAX_MODELS: usize = 200;
/// What the models beyond that are called.
pub const OTHER_MODELS: &str = "(others)";
/// What is booked of work whose models nobody knows.
pub const UNATTRIBUTED: &str = "(unattributed)";

/// The newest page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its number; 0 before the first.
    pub sequence: u64,
    /// Its digest.
    pub digest: String,
    /// When it was written.
    pub at: Timestamp,
}

impl Default for Head {
    fn default() -> Self {
        Self { sequence: 0, digest: NOTHING_BEFORE.to_owned(), at: Timestamp::UNIX_EPOCH }
    }
}

/// Money that is held for work that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// How much, at most.
    pub amount: Amount,
    /// Budgets that it is held against, parents first.
    pub chain: Vec<String>,
    /// What the work is.
    pub who: Who,
    /// Since when.
    pub since: Timestamp,
    /// Where it is a lease, how it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Box<Terms>>,
}

/// What was spent on one model in one period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How much.
    pub amount: Amount,
    /// In how many attempts.
    pub runs: u64,
}

/// What was spent in one period.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// All of it.
    pub total: Amount,
    /// What of it corrects what was metered.
    #[serde(default)]
    pub adjusted: Amount,
    /// By model.
    #[serde(default)]
    pub models: BTreeMap<String, Usage>,
    /// Lines that people were told of.
    #[serde(default)]
    pub told: BTreeSet<Level>,
}

/// What is known of one budget's money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// By period.
    pub periods: BTreeMap<String, Spent>,
    /// By day in the budget's time zone.
    pub days: BTreeMap<String, Amount>,
}

/// What the journal adds up to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    /// The page up to which it adds up. Not part of what is stored on a page: that is the page itself.
    #[serde(skip)]
    head: Head,
    open: BTreeMap<String, Open>,
    settled: BTreeMap<String, Timestamp>,
    accounts: BTreeMap<String, Account>,
    #[serde(default, skip_serializing_if = "Leases::is_empty")]
    leases: Leases,
    /// Sum of what is open, by budget. Worked out.
    #[serde(skip)]
    reserved: BTreeMap<String, Amount>,
}

impl Book {
    /// The newest page that is in it.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What is reserved for this work.
    pub fn open(&self, key: &str) -> Option<&Open> {
        self.open.get(key)
    }

    /// All that is reserved, by key.
    pub fn all_open(&self) -> impl ExactSizeIterator<Item = (&str, &Open)> {
        self.open.iter().map(|(key, open)| (key.as_str(), open))
    }

    /// What is reserved by keys that begin so.
    pub fn open_from<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Open)> {
        let from = self.open.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(move |(key, _)| key.starts_with(prefix)).map(|(key, open)| (key.as_str(), open))
    }

    /// What is known of leases besides those that are open.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Whether what this work cost is known for good.
    pub fn is_settled(&self, key: &str) -> bool {
        self.settled.contains_key(key)
    }

    /// What is held against a budget.
    pub fn reserved(&self, budget: &str) -> Amount {
        self.reserved.get(budget).copied().unwrap_or_default()
    }

    /// What was spent under a budget in a period.
    pub fn spent(&self, budget: &str, period: &str) -> Amount {
        self.period(budget, period).map_or(Amount::ZERO, |spent| spent.total)
    }

    /// The same with all that is known of it.
    pub fn period(&self, budget: &str, period: &str) -> Option<&Spent> {
        self.accounts.get(budget)?.periods.get(period)
    }

    /// What is known of a budget's money.
    pub fn account(&self, budget: &str) -> Option<&Account> {
        self.accounts.get(budget)
    }

    /// The page that these entries make after the newest one.
    #[must_use]
    pub fn next_page(&self, entries: Vec<Entry>, now: Timestamp, writer: &str) -> Page {
        let mut page = Page {
            schema: SCHEMA.to_owned(),
            sequence: self.head.sequence + 1,
            previous: self.head.digest.clone(),
            at: now.max(self.head.at),
            writer: writer.to_owned(),
            entries,
            state: None,
        };
        if page.sequence.is_multiple_of(STATE_EVERY) {
            let mut book = self.clone();
            book.add(&page);
            book.forget(page.at);
            page.state = Some(Box::new(book));
        }
        page
    }

    /// Adds a page that was written or read, with its digest. Fails where it is not the next one.
    pub fn turn(&mut self, page: &Page, digest: &str) -> Result<(), PageError> {
        if page.sequence != self.head.sequence + 1 || page.previous != self.head.digest {
            return Err(PageError::Broken { sequence: page.sequence, message: "it is not the next page".to_owned() });
        }
        self.add(page);
        if page.state.is_some() {
            self.forget(page.at);
        }
        self.head = Head { sequence: page.sequence, digest: digest.to_owned(), at: page.at };
        Ok(())
    }

    /// Begins with a page that holds what all before it add up to.
    #[must_use]
    pub fn begin(page: &Page, digest: &str) -> Option<Self> {
        let mut book = page.state.as_deref()?.clone();
        book.reserved.clear();
        for open in book.open.values() {
            for budget in &open.chain {
                *book.reserved.entry(budget.clone()).or_default() += open.amount;
            }
        }
        book.head = Head { sequence: page.sequence, digest: digest.to_owned(), at: page.at };
        Some(book)
    }

    fn add(&mut self, page: &Page) {
        for entry in &page.entries {
            self.enter(entry, page.at);
        }
    }

    /// Adds one entry. Says whether it changed anything: what is known already changes nothing.
    pub fn enter(&mut self, entry: &Entry, at: Timestamp) -> bool {
        let key = &entry.key;
        match &entry.fact {
            Fact::Reserve { amount, chain, who, forced: _, lease } => {
                if self.settled.contains_key(key) || self.open.contains_key(key) {
                    return false;
                }
                for budget in chain {
                    *self.reserved.entry(budget.clone()).or_default() += *amount;
                }
                let open = Open { amount: *amount, chain: chain.clone(), who: who.clone(), since: at, lease: lease.clone() };
                if lease.is_some() {
                    self.leases.given(key, at);
                }
                self.open.insert(key.clone(), open);
                true
            }
            Fact::Release => self.close(key).is_some(),
            Fact::Settle { amount, bookings, parts, said, .. } => {
                if self.settled.contains_key(key) {
                    return false;
                }
                let open = self.close(key);
                self.settled.insert(key.clone(), at);
                if let Some((lease, terms)) = open.and_then(|open| Some((open.amount, *open.lease?))) {
                    let verified = said.as_ref().is_some_and(|said| said.verified);
                    let Terms { account, ends, .. } = terms;
                    let ended = Ended { lease, charged: *amount, verified, bookings: bookings.clone(), account, ends, at };
                    self.leases.end(key, ended, said.as_deref());
                }
                for booking in bookings {
                    self.book(booking, *amount, parts);
                }
                true
            }
            Fact::Adjust { amount, bookings, .. } => {
                if self.settled.insert(key.clone(), at).is_some() {
                    return false;
                }
                for booking in bookings {
                    let account = self.accounts.entry(booking.budget.clone()).or_default();
                    *account.days.entry(booking.day.clone()).or_default() += *amount;
                    let spent = account.periods.entry(booking.period.clone()).or_default();
                    spent.total += *amount;
                    spent.adjusted += *amount;
                }
                self.leases.corrected(key, *amount);
                true
            }
            Fact::Told { budget, period, level } => {
                let account = self.accounts.entry(budget.clone()).or_default();
                account.periods.entry(period.clone()).or_default().told.insert(*level)
            }
        }
    }

    /// What was reserved for this work is free again.
    fn close(&mut self, key: &str) -> Option<Open> {
        let open = self.open.remove(key)?;
        for budget in &open.chain {
            if let Some(reserved) = self.reserved.get_mut(budget) {
                *reserved -= open.amount;
            }
        }
        Some(open)
    }

    fn book(&mut self, booking: &Booking, amount: Amount, parts: &[Part]) {
        let account = self.accounts.entry(booking.budget.clone()).or_default();
        *account.days.entry(booking.day.clone()).or_default() += amount;
        let spent = account.periods.entry(booking.period.clone()).or_default();
        spent.total += amount;
        let known: Amount = parts.iter().map(|part| part.amount).sum();
        let rest = amount - known;
        let rest = (rest != Amount::ZERO || parts.is_empty()).then(|| (UNATTRIBUTED.to_owned(), rest));
        for (model, amount) in parts.iter().map(|part| (part.model.clone(), part.amount)).chain(rest) {
            let known = spent.models.contains_key(&model) || spent.models.len() < MAX_MODELS || model == UNATTRIBUTED;
            let usage = spent.models.entry(if known { model } else { OTHER_MODELS.to_owned() }).or_default();
            usage.amount += amount;
            usage.runs += 1;
        }
    }

    /// Forgets what is too old to matter; the pages keep it.
    fn forget(&mut self, now: Timestamp) {
        let kept = |key: &str| if lease::is_key(key) { lease::ENDED_KEPT } else { SETTLED_KEPT };
        self.settled.retain(|key, at| now.duration_since(*at) < kept(key));
        for account in self.accounts.values_mut() {
            while account.days.len() > DAYS_KEPT {
                account.days.pop_first();
            }
            while account.periods.len() > PERIODS_KEPT {
                account.periods.pop_first();
            }
        }
        self.leases.forget(now);
        self.reserved.retain(|_, amount| *amount != Amount::ZERO);
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
