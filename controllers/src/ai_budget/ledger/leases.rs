//! Leases in the ledger: given after all jobs that wait, ended by their callers, by evidence, or by time.
//!
//! Decides at the desk, writes through the journal.

use std::collections::{BTreeMap, BTreeSet};

use showrunner_ledger::lease::{self, Grant, MAX_LIVE, MAX_LIVE_IN_NAMESPACE, Pace, Refused, Statement, Terms};
use showrunner_ledger::{Amount, Entry, Fact, Open, Who};

use super::Ledger;
use super::desk::{Desk, Reply, Request, Ruling};
use super::journal::JournalError;

/// What somebody asks for who is no job.
#[derive(Clone, Debug)]
pub struct LeaseAsk {
    /// Key of the lease that the request names.
    pub key: String,
    /// For whom.
    pub who: Who,
    /// Which account asks.
    pub account: String,
    /// Digest of the request.
    pub request: String,
    /// Models that it is for.
    pub models: Vec<String>,
    /// What the caller needs at least.
    pub expected: Amount,
    /// Leases of the caller that are over.
    pub ends: Vec<LeaseEnd>,
}

/// The end of a lease.
#[derive(Clone, Debug)]
pub struct LeaseEnd {
    /// Its key.
    pub key: String,
    /// What somebody says that it was used for; none where nobody does.
    pub said: Option<Statement>,
}

/// Why somebody has no lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unleased {
    /// There is no room for it, as a budget sees it.
    Refused(Refused),
    /// The same request id was used for another request.
    Reused,
    /// The lease that the request names is over.
    Over,
    /// The caller has as many as it may, or its namespace has.
    TooMany,
}

/// A lease that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    /// How.
    pub open: Open,
    /// Just now; else it was asked for before.
    pub new: bool,
}

impl Ledger {
    /// Gives a lease, or the same one again, or says why not.
    pub async fn lease(&self, ask: LeaseAsk) -> Result<Result<Leased, Unleased>, JournalError> {
        if self.is_idle() {
            return Ok(Err(Unleased::Refused(Refused::Unbudgeted)));
        }
        match self.call(Request::Lease(Box::new(ask))).await? {
            Reply::Leased(open, new) => Ok(Ok(Leased { open: *open, new })),
            Reply::Unleased(why) => Ok(Err(why)),
            Reply::Admitted | Reply::Held(_) | Reply::Over | Reply::Written(_) => Ok(Err(Unleased::Over)),
        }
    }

    /// Ends a lease; again, it changes nothing.
    pub async fn end_lease(&self, end: LeaseEnd) -> Result<(), JournalError> {
        self.call(Request::EndLease(end)).await.map(|_| ())
    }

    /// Charges all of a lease that nobody has ended.
    pub async fn charge_lease(&self, key: &str) -> Result<(), JournalError> {
        self.end_lease(LeaseEnd { key: key.to_owned(), said: None }).await
    }

    /// Whether it is known which budgets are over a namespace.
    pub fn knows(&self, namespace: &str) -> bool {
        self.is_connected() && self.connected.get().is_none_or(|connected| connected.world.sees(namespace))
    }
}

impl Desk<'_> {
    /// Decides about a lease. `kept` are budgets that jobs wait for.
    pub(super) fn lease(
        &self,
        ask: &LeaseAsk,
        kept: &BTreeSet<String>,
        ruling: &mut Ruling,
        promised: &mut BTreeMap<String, Amount>,
    ) -> Reply {
        let now = self.now.max(self.book.head().at);
        let known = self.book.open(&ask.key).cloned().or_else(|| self.given_here(&ask.key, ruling));
        if let Some(open) = known {
            let same = open.lease.as_ref().is_some_and(|terms| terms.request == ask.request && terms.account == ask.account);
            return if same { Reply::Leased(Box::new(open), false) } else { Reply::Unleased(Unleased::Reused) };
        }
        if self.book.is_settled(&ask.key) {
            return Reply::Unleased(Unleased::Over);
        }
        if self.has_too_many(ask, ruling) {
            return Reply::Unleased(Unleased::TooMany);
        }
        let matching = self.budgets.matching(&ask.who.namespace);
        let pace = self.pace(ask, ruling);
        let granted = lease::grant(self.book, &self.budgets.budgets, &matching, (&pace, ask.expected), promised, kept);
        let Grant { amount, ttl, chain, would_wait } = match granted {
            Ok(grant) => grant,
            Err(refused) => return Reply::Unleased(Unleased::Refused(refused)),
        };
        for budget in &chain {
            *promised.entry(budget.clone()).or_default() += amount;
        }
        ruling.would_wait.extend(would_wait);
        let terms = Terms::given(ask.account.clone(), ask.request.clone(), ask.models.clone(), now, ttl);
        let lease = Some(Box::new(terms));
        let open = Open { amount, chain: chain.clone(), who: ask.who.clone(), since: now, lease: lease.clone() };
        let fact = Fact::Reserve { amount, chain, who: ask.who.clone(), forced: false, lease };
        ruling.entries.push(Entry { key: ask.key.clone(), fact });
        Reply::Leased(Box::new(open), true)
    }

    /// Charges a lease that has ended, or corrects what was charged.
    pub(super) fn end_lease(&self, end: &LeaseEnd, ruling: &mut Ruling, promised: &mut BTreeMap<String, Amount>) {
        let LeaseEnd { key, said } = end;
        let verified = said.as_ref().is_some_and(|said| said.verified);
        if let Some((open, terms)) = self.book.open(key).and_then(|open| Some((open, open.lease.as_ref()?))) {
            let (amount, parts) = lease::charge(open, terms, said.as_ref());
            let bookings = self.budgets.bookings(&open.chain, self.now.max(self.book.head().at));
            let (who, said) = (open.who.clone(), said.clone().map(Box::new));
            let fact = Fact::Settle { amount, bookings, parts, who, bound: !verified, said };
            self.charge(Entry { key: key.clone(), fact }, ruling, promised);
        } else if let Some(said) = said.as_ref().filter(|said| said.verified)
            && let Some(ended) = self.book.leases().ended(key).filter(|ended| !ended.verified)
        {
            // Where it was charged: it is that period which was charged too much.
            let fact = Fact::Adjust {
                amount: said.cost - ended.charged,
                bookings: ended.bookings.clone(),
                why: format!("lease {key} was charged {} and has used {} by evidence of {}", ended.charged, said.cost, said.by),
                said: Some(Box::new(said.clone())),
            };
            self.charge(Entry { key: lease::evidence_key(key), fact }, ruling, promised);
        }
    }

    /// A lease that is given on this very page: its request came twice.
    fn given_here(&self, key: &str, ruling: &Ruling) -> Option<Open> {
        let entry = ruling.entries.iter().find(|entry| entry.key == key)?;
        let Fact::Reserve { amount, chain, who, lease, .. } = &entry.fact else { return None };
        let since = self.now.max(self.book.head().at);
        Some(Open { amount: *amount, chain: chain.clone(), who: who.clone(), since, lease: lease.clone() })
    }

    /// How fast the caller is, with what it has used of leases that end on this page.
    fn pace(&self, ask: &LeaseAsk, ruling: &Ruling) -> Pace {
        let now = self.now.max(self.book.head().at);
        let mut pace = self.book.leases().pace(&ask.key).unwrap_or_else(|| Pace::new(now));
        let own = lease::keys_of(&ask.who.namespace, &ask.who.name);
        for entry in ruling.entries.iter().filter(|entry| entry.key.starts_with(&own)) {
            if let (Fact::Settle { said, .. }, Some(open)) = (&entry.fact, self.book.open(&entry.key)) {
                pace.used(lease::used(open.amount, said.as_deref()));
            }
        }
        pace.asks(now);
        pace
    }

    fn has_too_many(&self, ask: &LeaseAsk, ruling: &Ruling) -> bool {
        let gone = |entry: &&Entry| matches!(entry.fact, Fact::Settle { .. });
        let gone: BTreeSet<&str> = ruling.entries.iter().filter(gone).map(|entry| entry.key.as_str()).collect();
        let given = |entry: &&Entry| matches!(entry.fact, Fact::Reserve { .. });
        let live = |prefix: &str| {
            let known = self.book.open_from(prefix).filter(|(key, _)| !gone.contains(key)).count();
            known + ruling.entries.iter().filter(given).filter(|entry| entry.key.starts_with(prefix)).count()
        };
        let Who { namespace, name, .. } = &ask.who;
        live(&lease::keys_of(namespace, name)) >= MAX_LIVE || live(&lease::keys_in(namespace)) >= MAX_LIVE_IN_NAMESPACE
    }
}
