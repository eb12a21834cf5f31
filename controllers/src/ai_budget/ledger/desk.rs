//! What is decided about the requests of one page: who may start, what is booked, who is told to come again.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use showrunner_kit::admission::{AdmissionError, Reservation, Settlement, Verdict, Work};
use showrunner_kit::clock::Mono;
use showrunner_kit::money::Money;
use showrunner_kit::object::ObjectKey;
use showrunner_kit::planted;
use showrunner_ledger::fair::Waiting;
use showrunner_ledger::rules::{self, Decision, Wait, Why};
use showrunner_ledger::{Amount, Book, Booking, Entry, Fact, Open, Part, Who};

use super::super::known::Known;
use super::Queue;
use super::leases::{LeaseAsk, LeaseEnd, Unleased};

/// When those who wait are to ask again at the latest; they are woken before, when there is room.
const ASK_AGAIN: Duration = Duration::from_mins(5);
/// When they ask again that wait for what nobody can wake them for.
const ASK_SOON: Duration = Duration::from_mins(1);
/// Those that are woken at once: others follow when these have come.
const MAX_WOKEN: usize = 64;

/// What somebody asks of the ledger.
#[derive(Clone, Debug)]
pub enum Request {
    /// Room for work.
    Reserve {
        /// Its place among those that wait.
        waiting: Waiting,
        /// Whom to wake.
        waiter: Asked,
        /// What it is.
        who: Who,
        /// What of it has no price.
        unpriced: Option<String>,
    },
    /// The work has ended.
    Settle {
        /// Its key.
        key: String,
        /// What it cost.
        spent: Amount,
        /// Nobody knows what ran.
        bound: bool,
        /// For which models, by weight.
        parts: Vec<(String, u64)>,
        /// What it was; without a name where only the Job's is known.
        who: Who,
    },
    /// A lease, and the end of those that its caller had.
    Lease(Box<LeaseAsk>),
    /// The end of a lease, or what is known of it afterwards.
    EndLease(LeaseEnd),
    /// Something that nothing has to be decided for.
    Write(Entry),
    /// Is anybody next, after something changed?
    Look,
}

/// Whom to wake.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The owner of the Job.
    pub owner: ObjectKey,
    /// Its kind.
    pub kind: String,
    /// Budgets that are over it, parents first, as far as they are known.
    pub budgets: Vec<String>,
}

/// What somebody is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// It is reserved.
    Admitted,
    /// It waits.
    Held(Held),
    /// What it cost is known for good: it must not run again.
    Over,
    /// The lease, as it is open; whether it was given just now.
    Leased(Box<Open>, bool),
    /// Why there is none.
    Unleased(Unleased),
    /// It is written; whether that changed anything.
    Written(bool),
}

/// Why somebody waits.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// A budget says no.
    By {
        /// Which, and why.
        wait: Wait,
        /// What is asked for.
        need: Amount,
        /// Currency, for people.
        currency: String,
    },
    /// Somebody is before it whom the budget has no room for yet.
    Behind {
        /// Which budget.
        budget: String,
    },
    /// Nobody knows what it costs.
    Unpriced {
        /// What of it has no price.
        why: String,
    },
    /// No budget is over it.
    Unbudgeted {
        /// Its namespace.
        namespace: String,
    },
}

/// What is decided.
#[derive(Debug, Default)]
pub struct Ruling {
    /// To be written.
    pub entries: Vec<Entry>,
    /// One for each request.
    pub replies: Vec<Reply>,
    /// Keys of those who wait no more.
    pub admitted: Vec<String>,
    /// Keys of those who may start now and have not asked this time.
    pub next: Vec<String>,
    /// Budgets that only watch, once for each work that they would have let wait.
    pub would_wait: Vec<String>,
}

/// What who asks is, and what of it has no price.
type Asker<'a> = (&'a Who, Option<&'a str>);

/// The desk: what is known when a page is written.
pub struct Desk<'a> {
    /// What the journal adds up to.
    pub book: &'a Book,
    /// What budgets there are.
    pub budgets: &'a Known,
    /// Who waits, with those that ask now.
    pub queue: &'a Queue,
    /// Now.
    pub now: Timestamp,
    /// The same, for how long somebody waits.
    pub mono: Mono,
}

impl Request {
    /// Room for a Job.
    pub fn reserve(reservation: &Reservation, budgets: &Known) -> Result<Self, AdmissionError> {
        let work = &reservation.work;
        let chain = rules::chain(&budgets.budgets, &budgets.matching(&work.owner.namespace)).unwrap_or_default();
        Ok(Self::Reserve {
            waiting: Waiting {
                key: work.job.to_string(),
                namespace: work.owner.namespace.clone(),
                since: reservation.since.as_millisecond(),
                need: amount(reservation.estimate)?,
            },
            waiter: Asked { owner: work.owner.clone(), kind: work.owner_kind.clone(), budgets: chain },
            who: who(work),
            unpriced: reservation.unpriced.clone(),
        })
    }

    /// The end of a Job.
    pub fn settle(settlement: &Settlement) -> Result<Self, AdmissionError> {
        Ok(Self::Settle {
            key: settlement.work.job.to_string(),
            spent: amount(settlement.spent)?,
            bound: settlement.bound,
            parts: settlement.parts.clone(),
            who: who(&settlement.work),
        })
    }
}

/// What a Job is.
pub fn who(work: &Work) -> Who {
    Who {
        kind: work.owner_kind.clone(),
        uid: work.owner_uid.clone(),
        namespace: work.owner.namespace.clone(),
        name: work.owner.name.clone(),
        class: work.class.clone(),
    }
}

/// The same amount, as the ledger writes it.
fn amount(money: Money) -> Result<Amount, AdmissionError> {
    money.to_string().parse().map_err(|error: showrunner_ledger::AmountError| AdmissionError(error.to_string()))
}

impl Desk<'_> {
    /// Decides about requests in their order, and about who is next.
    pub fn rule<'r>(&self, requests: impl Iterator<Item = &'r Request> + Clone) -> Ruling {
        let mut ruling = Ruling::default();
        // What is free or taken beside what is in the book, by what is decided here.
        let mut promised: BTreeMap<String, Amount> = BTreeMap::new();
        let mut settled: BTreeSet<&str> = BTreeSet::new();
        let mut asking: BTreeMap<&str, Asker<'_>> = BTreeMap::new();
        for request in requests.clone() {
            match request {
                Request::Settle { key, spent, bound, parts, who } if settled.insert(key) => {
                    if let Some(entry) = self.settle(key, *spent, *bound, parts, who) {
                        self.charge(entry, &mut ruling, &mut promised);
                    }
                }
                Request::EndLease(end) if settled.insert(&end.key) => self.end_lease(end, &mut ruling, &mut promised),
                Request::Lease(ask) => {
                    for end in ask.ends.iter().filter(|end| settled.insert(&end.key)) {
                        self.end_lease(end, &mut ruling, &mut promised);
                    }
                }
                Request::Write(entry) if settled.insert(&entry.key) && self.is_news(entry) => {
                    // What runs already takes its room before anybody is let in beside it.
                    if let Fact::Reserve { amount, chain, .. } = &entry.fact {
                        for budget in chain {
                            *promised.entry(budget.clone()).or_default() += *amount;
                        }
                    }
                    ruling.entries.push(entry.clone());
                }
                Request::Reserve { waiting, who, unpriced, .. } => drop(asking.insert(&waiting.key, (who, unpriced.as_deref()))),
                Request::Settle { .. } | Request::EndLease(_) | Request::Write(_) | Request::Look => {}
            }
        }
        let (held, kept) = self.admit(&mut ruling, &mut promised, &asking);
        for request in requests {
            let reply = match request {
                Request::Reserve { waiting, .. } if self.book.is_settled(&waiting.key) => Reply::Over,
                Request::Reserve { waiting, .. } => held.get(waiting.key.as_str()).cloned().map_or(Reply::Admitted, Reply::Held),
                Request::Write(entry) => Reply::Written(ruling.entries.contains(entry)),
                // After all jobs: who waits among them comes first.
                Request::Lease(ask) => self.lease(ask, &kept, &mut ruling, &mut promised),
                Request::Settle { .. } | Request::EndLease(_) | Request::Look => Reply::Written(true),
            };
            ruling.replies.push(reply);
        }
        ruling
    }

    /// Walks along those who wait, in their order: who asks and has room is let in, who has room and has not asked is woken,
    /// and who has not keeps room from those behind it in the budget that is full, or a large job would never start. Says why
    /// those who ask are held, and from which budgets room is kept for them.
    fn admit(
        &self,
        ruling: &mut Ruling,
        promised: &mut BTreeMap<String, Amount>,
        asking: &BTreeMap<&str, Asker<'_>>,
    ) -> (BTreeMap<String, Held>, BTreeSet<String>) {
        let mut held = BTreeMap::new();
        // Budgets that somebody waits for who comes before those that follow.
        let mut kept: BTreeSet<String> = BTreeSet::new();
        let mut over: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for waiting in self.queue.fair.order() {
            if self.book.open(&waiting.key).is_some() || self.book.is_settled(&waiting.key) {
                // Another operator let it in.
                continue;
            }
            let who = asking.get(waiting.key.as_str());
            if who.is_none() && self.queue.waiters.get(&waiting.key).is_some_and(|waiter| waiter.stays_away(self.mono)) {
                // It was told that there is room and does not come: it keeps nothing from others until it asks.
                continue;
            }
            let matching: &[&str] = over.entry(&waiting.namespace).or_insert_with(|| self.budgets.matching(&waiting.namespace));
            if matching.is_empty() && self.budgets.holds_unbudgeted {
                if who.is_some() {
                    held.insert(waiting.key.clone(), Held::Unbudgeted { namespace: waiting.namespace.clone() });
                }
                continue;
            }
            // Only who asks says what has no price; whoever has none is told when they ask.
            if let Some((_, Some(why))) = who.filter(|_| !matching.is_empty()) {
                held.insert(waiting.key.clone(), Held::Unpriced { why: (*why).to_owned() });
                continue;
            }
            let decision = rules::decide(self.book, &self.budgets.budgets, matching, waiting.need, promised);
            let chain = match decision {
                Decision::Wait(wait) => {
                    if wait.why.may_end_soon() {
                        kept.insert(wait.budget.clone());
                    }
                    if who.is_some() {
                        let currency = self.budgets.currency.clone();
                        held.insert(waiting.key.clone(), Held::By { wait, need: waiting.need, currency });
                    }
                    continue;
                }
                Decision::Admit { chain, would_wait } => {
                    let before = chain.iter().find(|budget| kept.contains(*budget) && !would_wait.contains(budget));
                    if let Some(budget) = before {
                        if who.is_some() {
                            held.insert(waiting.key.clone(), Held::Behind { budget: budget.clone() });
                        }
                        continue;
                    }
                    if who.is_some() {
                        ruling.would_wait.extend(would_wait);
                    }
                    chain
                }
            };
            for budget in &chain {
                *promised.entry(budget.clone()).or_default() += waiting.need;
            }
            match who {
                None if ruling.next.len() < MAX_WOKEN => ruling.next.push(waiting.key.clone()),
                None => {}
                Some((who, _)) => {
                    ruling.admitted.push(waiting.key.clone());
                    // What no budget is over leaves no trace.
                    if !chain.is_empty() {
                        let fact = Fact::Reserve { amount: waiting.need, chain, who: (*who).clone(), forced: false, lease: None };
                        ruling.entries.push(Entry { key: waiting.key.clone(), fact });
                    }
                }
            }
        }
        (held, kept)
    }

    /// Notes a charge: what is free or taken by it counts for all that is decided after it.
    pub(super) fn charge(&self, entry: Entry, ruling: &mut Ruling, promised: &mut BTreeMap<String, Amount>) {
        match (self.book.open(&entry.key), &entry.fact) {
            (Some(open), Fact::Settle { amount, .. }) => {
                for budget in &open.chain {
                    *promised.entry(budget.clone()).or_default() -= open.amount - *amount;
                }
            }
            (None, Fact::Settle { amount, bookings, .. } | Fact::Adjust { amount, bookings, .. }) => {
                // What is corrected in an earlier period makes no room in this one.
                let now = |booking: &&Booking| {
                    self.budgets.budgets.get(&booking.budget).is_some_and(|budget| budget.period.label == booking.period)
                };
                for booking in bookings.iter().filter(now) {
                    *promised.entry(booking.budget.clone()).or_default() += *amount;
                }
            }
            _ => {}
        }
        ruling.entries.push(entry);
    }

    /// What is written of work that has ended; nothing where that is known, or where no budget is over it.
    fn settle(&self, key: &str, spent: Amount, bound: bool, parts: &[(String, u64)], who: &Who) -> Option<Entry> {
        let is_known = if planted!("settled-twice") { false } else { self.book.is_settled(key) };
        if is_known || planted!("reservation-kept") {
            return None;
        }
        let open = self.book.open(key);
        let chain = match open {
            Some(open) => open.chain.clone(),
            None if spent == Amount::ZERO => return None,
            None => {
                let matching = self.budgets.matching(&who.namespace);
                rules::chain(&self.budgets.budgets, &matching)
                    .unwrap_or_else(|_| matching.iter().map(|name| (*name).to_owned()).collect())
            }
        };
        if chain.is_empty() {
            return None;
        }
        let who = if who.name.is_empty() { open.map_or_else(|| who.clone(), |open| open.who.clone()) } else { who.clone() };
        let bookings = self.budgets.bookings(&chain, self.now.max(self.book.head().at));
        let parts = if planted!("parts-lost") { Vec::new() } else { Part::split(spent, parts) };
        let fact = Fact::Settle { amount: spent, bookings, parts, who, bound, said: None };
        Some(Entry { key: key.to_owned(), fact })
    }

    fn is_news(&self, entry: &Entry) -> bool {
        match &entry.fact {
            Fact::Reserve { .. } => !self.book.is_settled(&entry.key) && self.book.open(&entry.key).is_none(),
            Fact::Release => self.book.open(&entry.key).is_some(),
            Fact::Settle { .. } | Fact::Adjust { .. } => !self.book.is_settled(&entry.key),
            Fact::Told { budget, period, level } => {
                !self.book.period(budget, period).is_some_and(|spent| spent.told.contains(level))
            }
        }
    }
}

impl Held {
    /// Whether room would not help: it waits for somebody to set something, and keeps nothing from others meanwhile.
    pub fn is_out_of_line(&self) -> bool {
        matches!(self, Self::Unpriced { .. } | Self::Unbudgeted { .. })
    }

    /// As a Job's owner is told. The words stay the same as long as nothing that matters has changed: they are in a status.
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        let later = now + ASK_AGAIN;
        let hold = |reason, message, retry_at| Verdict::Hold { reason, message, retry_at };
        match self {
            Self::Unbudgeted { namespace } => hold(
                "Unbudgeted",
                format!(
                    "no AiBudget is over namespace {namespace}, and work without one is not let start: make one whose spec.scope selects it, or set budgets.unbudgeted: Admit in the operator's values"
                ),
                now + ASK_SOON,
            ),
            Self::Unpriced { why } => hold(
                "PriceUnknown",
                format!(
                    "a budget is over it, and nobody knows what it costs: {why}. Set the prices in the operator's values (prices, classes)"
                ),
                later,
            ),
            Self::Behind { budget } => {
                hold("BudgetQueue", format!("waits behind older work for which AiBudget {budget} has no room yet"), later)
            }
            Self::By { wait, need, currency } => {
                let (budget, cost) = (&wait.budget, format!("at most {need:.2} {currency}"));
                match &wait.why {
                    Why::Full { until, .. } => hold(
                        "BudgetFull",
                        format!(
                            "AiBudget {budget} has no room for {cost} beside what is reserved: it starts when running work turns out to cost less, when the cap is raised, or at the latest from {until}"
                        ),
                        later.min(*until),
                    ),
                    Why::Spent { until, .. } => hold(
                        "BudgetSpent",
                        format!(
                            "AiBudget {budget} has no room for {cost} in this period, whatever running work costs: it starts when the cap is raised, or from {until}"
                        ),
                        later.min(*until),
                    ),
                    Why::TooLarge { cap } => hold(
                        "BudgetTooSmall",
                        format!(
                            "it may cost {cost}, and the cap of AiBudget {budget} is {cap:.2} {currency}: it never starts before the cap is raised, or spec.execution.maxDuration lowered"
                        ),
                        later,
                    ),
                    Why::Blind(why) => hold(
                        "BudgetBlind",
                        format!("the limits of AiBudget {budget} are not known ({why}): batch work waits until they are"),
                        now + ASK_SOON,
                    ),
                    Why::Closing => hold(
                        "BudgetClosing",
                        format!("AiBudget {budget} is being deleted: nothing starts under it"),
                        now + ASK_SOON,
                    ),
                    Why::NoParent(why) => hold(
                        "BudgetParentMissing",
                        format!("AiBudget {budget} cannot work: {why}. Make the parent, or correct spec.parentRef"),
                        now + ASK_SOON,
                    ),
                }
            }
        }
    }
}

/// What a Job's owner is told where the ledger is broken.
pub fn broken(message: String, now: Timestamp) -> Verdict {
    Verdict::Hold { reason: "LedgerBroken", message, retry_at: now + ASK_AGAIN }
}
