//! Leases: money that a caller who is no job has in hand, debited before it is used.
//!
//! A lease covers what its caller needs for about the time that it lives, by what that caller has used lately, and never more
//! than a part of what is free. It is charged in full unless somebody else than the caller says what was used: a crash, or a
//! lie, costs the caller its lease and never the cap.
//!
//! A caller's rate is what it used over the time in which it did, both fading by half as soon as they go back further than
//! [`WINDOW`]. Time counts, not leases: a burst that uses a lease up in seconds weighs as much as those seconds. An average of
//! leases would make one such burst as heavy as a quiet quarter of an hour, and the next lease many times too large.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::book::{Book, Open};
use crate::journal::{Booking, Part};
use crate::price::Use;
use crate::rules::{self, Budgets, Decision, Mode, Wait};

/// What keys of leases begin with: `lease/<namespace>/<caller>/<id>`. A job's key has two parts.
const PREFIX: &str = "lease/";
/// How much earlier a lease ends for its caller than it was given for: clocks differ, and answers take their time.
pub const SKEW: Duration = Duration::from_secs(30);
/// How much later than it was given for it is charged: what the caller began before its end is over by then.
pub const GRACE: Duration = Duration::from_mins(1);
/// How far back a caller's rate looks, in seconds.
pub const WINDOW: i64 = 30 * 60;
/// A caller that was silent for so long begins anew, in seconds: no lease lives longer.
pub const SILENT: i64 = 60 * 60;
/// Least time that a rate is taken over, in seconds: the first moments say little.
const LEAST: i64 = 60;
/// How long a lease is remembered after its end, so that its request has no second one, and evidence that comes later can
/// correct what it was charged: usage reports and bills come a day or two late.
pub const ENDED_KEPT: SignedDuration = SignedDuration::from_hours(72);
/// Most that are remembered; beyond that, the oldest stay as they were charged.
pub const MAX_ENDED: usize = 20_000;
/// Live leases of one caller.
pub const MAX_LIVE: usize = 4;
/// Live leases of one namespace.
pub const MAX_LIVE_IN_NAMESPACE: usize = 500;
/// Millionths in one.
const MILLION: i128 = 1_000_000;

/// How a budget's leases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRules {
    /// No lease is smaller.
    pub min: Amount,
    /// How long it lives.
    pub ttl: Duration,
    /// The part of what is free that one may be, in millionths.
    pub max_share: i128,
}

/// A lease as it was given, in the entry that reserves it: all that its end needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// Who took it: a service account of its namespace.
    pub account: String,
    /// Digest of what was asked for: the same request has the same lease.
    pub request: String,
    /// Models that it is for.
    pub models: Vec<String>,
    /// Nothing is begun under it from here on.
    pub ends: Timestamp,
    /// From here on it is charged in full.
    pub due: Timestamp,
}

impl Terms {
    /// Given now, for so long.
    #[must_use]
    pub fn given(account: String, request: String, models: Vec<String>, now: Timestamp, ttl: Duration) -> Self {
        let later = |after: Duration| now.saturating_add(after).unwrap_or(Timestamp::MAX);
        Self { account, request, models, ends: later(ttl.saturating_sub(SKEW)), due: later(ttl + GRACE) }
    }
}

/// What somebody says a lease was used for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Who says so.
    pub by: String,
    /// It is evidence: said by somebody with the right to, who is not the one that took the lease. What a caller says of itself
    /// is a claim, and changes nothing but the size of its next lease.
    pub verified: bool,
    /// What that costs by the list of prices as it was then.
    pub cost: Amount,
    /// The same by model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
    /// What was used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
    /// The provider's own records that say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<String>,
}

/// A lease that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ended {
    /// What it was.
    pub lease: Amount,
    /// What was charged for it, with what was corrected since.
    pub charged: Amount,
    /// Somebody else than its caller has said what was used.
    pub verified: bool,
    /// Where it is booked.
    pub bookings: Vec<Booking>,
    /// Who took it.
    pub account: String,
    /// Until when it was given.
    pub ends: Timestamp,
    /// When it was charged.
    pub at: Timestamp,
}

/// How fast a caller uses money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    used: Amount,
    seconds: i64,
    /// When it asked last.
    last: Timestamp,
}

impl Pace {
    /// Nothing is known yet of who asks for the first time.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { used: Amount::ZERO, seconds: 0, last: now }
    }

    /// It asks again.
    pub fn asks(&mut self, now: Timestamp) {
        let silent = now.duration_since(self.last).as_secs().max(0);
        if silent >= SILENT {
            *self = Self::new(now);
            return;
        }
        (self.seconds, self.last) = (self.seconds + silent, self.last.max(now));
        while self.seconds > WINDOW {
            (self.used, self.seconds) = (self.used.part(1, 2), self.seconds / 2);
        }
    }

    /// It has used so much.
    pub fn used(&mut self, amount: Amount) {
        self.used += amount;
    }

    /// What it will need for so long.
    #[must_use]
    pub fn need(&self, time: Duration) -> Amount {
        self.used.part(i128::from(time.as_secs()), i128::from(self.seconds.max(LEAST)))
    }
}

/// Leases that the open entries of a book do not tell of: how fast their callers are, and what those that ended were charged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Leases {
    paces: BTreeMap<String, Pace>,
    ended: BTreeMap<String, Ended>,
}

impl Leases {
    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.paces.is_empty() && self.ended.is_empty()
    }

    /// How fast the caller of a lease is.
    pub fn pace(&self, key: &str) -> Option<Pace> {
        self.paces.get(caller_of(key)?).copied()
    }

    /// A lease that has ended, and of which that is still remembered.
    pub fn ended(&self, key: &str) -> Option<&Ended> {
        self.ended.get(key)
    }

    /// Those of a namespace that have ended.
    pub fn ended_in<'a>(&'a self, namespace: &str) -> impl Iterator<Item = (&'a str, &'a Ended)> {
        let prefix = format!("{PREFIX}{namespace}/");
        let from = self.ended.range(prefix.clone()..);
        from.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(key, ended)| (key.as_str(), ended))
    }

    pub(crate) fn given(&mut self, key: &str, at: Timestamp) {
        let Some(caller) = caller_of(key) else { return };
        self.paces.entry(caller.to_owned()).or_insert_with(|| Pace::new(at)).asks(at);
    }

    pub(crate) fn end(&mut self, key: &str, ended: Ended, said: Option<&Statement>) {
        if let Some(pace) = caller_of(key).and_then(|caller| self.paces.get_mut(caller)) {
            pace.used(used(ended.lease, said));
        }
        self.ended.insert(key.to_owned(), ended);
    }

    pub(crate) fn corrected(&mut self, evidence: &str, by: Amount) {
        if let Some(ended) = evidence.strip_prefix(EVIDENCE).and_then(|key| self.ended.get_mut(key)) {
            (ended.charged, ended.verified) = (ended.charged + by, true);
        }
    }

    pub(crate) fn forget(&mut self, now: Timestamp) {
        self.paces.retain(|_, pace| now.duration_since(pace.last).as_secs() < SILENT);
        self.ended.retain(|_, ended| now.duration_since(ended.at) < ENDED_KEPT);
        if let Some(many) = self.ended.len().checked_sub(MAX_ENDED) {
            let mut oldest: Vec<(Timestamp, String)> = self.ended.iter().map(|(key, ended)| (ended.at, key.clone())).collect();
            oldest.sort_unstable();
            for (_, key) in oldest.iter().take(many) {
                self.ended.remove(key);
            }
        }
    }
}

/// What the key of a correction begins with, before that of its lease: there is one for each.
const EVIDENCE: &str = "evidence/";

/// The key of a lease.
pub fn key(namespace: &str, caller: &str, id: &str) -> String {
    format!("{PREFIX}{namespace}/{caller}/{id}")
}

/// Whether it is the key of a lease, or of a correction of one.
pub fn is_key(key: &str) -> bool {
    key.starts_with(PREFIX) || key.starts_with(EVIDENCE)
}

/// What keys of a caller's leases begin with.
pub fn keys_of(namespace: &str, caller: &str) -> String {
    format!("{PREFIX}{namespace}/{caller}/")
}

/// What keys of a namespace's leases begin with.
pub fn keys_in(namespace: &str) -> String {
    format!("{PREFIX}{namespace}/")
}

/// The key of the correction that evidence makes of a lease that had ended.
pub fn evidence_key(lease: &str) -> String {
    format!("{EVIDENCE}{lease}")
}

/// Namespace and caller of a lease.
fn caller_of(key: &str) -> Option<&str> {
    key.strip_prefix(PREFIX)?.rsplit_once('/').map(|(caller, _)| caller)
}

/// What a caller has used of a lease, as far as its pace goes: whoever says nothing has used all of it, and nobody more than that.
pub fn used(lease: Amount, said: Option<&Statement>) -> Amount {
    said.map_or(lease, |said| said.cost.min(lease))
}

/// What a lease is charged, and what of it was for which model.
pub fn charge(open: &Open, terms: &Terms, said: Option<&Statement>) -> (Amount, Vec<Part>) {
    let amount = match said {
        // More than it was given, too: that is what the provider asks for.
        Some(said) if said.verified => said.cost,
        Some(_) | None => open.amount,
    };
    let stated = said.map(|said| said.parts.as_slice()).unwrap_or_default();
    let weight = |part: &Part| u64::try_from(part.amount.micros()).unwrap_or_default();
    let mut weights: Vec<(String, u64)> = stated.iter().map(|part| (part.model.clone(), weight(part))).collect();
    if weights.iter().all(|(_, weight)| *weight == 0) {
        // As with a job that left no report.
        weights = terms.models.iter().map(|model| (model.clone(), 1)).collect();
    }
    (amount, Part::split(amount, &weights))
}

/// A lease that may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// How much.
    pub amount: Amount,
    /// For how long.
    pub ttl: Duration,
    /// Budgets that it is held against, parents first.
    pub chain: Vec<String>,
    /// Those that only watch, and would have refused it.
    pub would_wait: Vec<String>,
}

/// Why none is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No budget is over its namespace.
    Unbudgeted,
    /// A budget says no.
    By(Wait),
    /// Jobs wait for room in this budget: they come first.
    Behind(String),
    /// It needs more than one lease may be.
    Share {
        /// Which budget says so.
        budget: String,
        /// The most that one may be now.
        most: Amount,
    },
}

/// Decides about a lease for a caller that expects to need so much, in any case. `promised` is given away already beside what is
/// in the book, and for budgets in `kept` jobs wait that must not be overtaken.
pub fn grant(
    book: &Book,
    budgets: &Budgets,
    matching: &[&str],
    (pace, expected): (&Pace, Amount),
    promised: &BTreeMap<String, Amount>,
    kept: &BTreeSet<String>,
) -> Result<Grant, Refused> {
    let over = rules::chain(budgets, matching).map_err(Refused::By)?;
    let rules = over.iter().map(|name| budgets[name].leases);
    let (Some(min), Some(ttl)) = (rules.clone().map(|rules| rules.min).min(), rules.map(|rules| rules.ttl).min()) else {
        return Err(Refused::Unbudgeted);
    };
    let least = min.max(expected);
    let (chain, would_wait) = match rules::decide(book, budgets, matching, least, promised) {
        Decision::Wait(wait) => return Err(Refused::By(wait)),
        Decision::Admit { chain, would_wait } => (chain, would_wait),
    };
    if let Some(budget) = chain.iter().find(|budget| kept.contains(*budget) && budgets[*budget].mode == Mode::Enforce) {
        return Err(Refused::Behind(budget.clone()));
    }
    let mut most: Option<Amount> = None;
    for name in &chain {
        let budget = &budgets[name];
        let Some(room) = rules::headroom(book, budget) else { continue };
        let room = room - promised.get(name).copied().unwrap_or_default();
        // As long as the least one has room at all, it may be had: near the cap, its part is next to nothing.
        let here = room.part(budget.leases.max_share, MILLION).max(min);
        if least > here && budget.mode == Mode::Enforce {
            return Err(Refused::Share { budget: name.clone(), most: here });
        }
        most = Some(most.map_or(here, |most| most.min(here)));
    }
    // Where no budget knows its cap (they only watch, or none would be given), the least has to do.
    let amount = pace.need(ttl).min(most.unwrap_or_default()).max(least);
    Ok(Grant { amount, ttl, chain, would_wait })
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
