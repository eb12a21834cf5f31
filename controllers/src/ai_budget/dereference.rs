//! What a decision about a budget needs: what the ledger adds up to, which jobs there are, what the bill says.
//!
//! Reads the ledger, the caches and the store.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::ResourceExt as _;
use showrunner_crds::AiBudget;
use showrunner_kit::controller::Kit;
use showrunner_kit::jobs::{is_finished, is_suspended};
use showrunner_kit::names::FINALIZER_SETTLE;
use showrunner_kit::object::{ObjectKey, has_finalizer};
use showrunner_kit::store::StoreError;
use showrunner_ledger::book::{Account, Spent};
use showrunner_ledger::focus::Bill;
use showrunner_ledger::rules::{self, Budget};
use showrunner_ledger::{Amount, Book, Entry, Fact, Head, Level, Who};

use tokio::sync::Semaphore;

use super::known::{Known, World, denominator_of};
use super::ledger::Ledger;
use super::validate::{Denominator, DenominatorWish, Refusal, Wish, wish};

/// How long a reservation may have no Job that anybody sees: caches lag behind.
const LOST_AFTER: Duration = Duration::from_mins(1);
/// Longest that a Job of ours may take, with a day to spare.
const LONGEST: Duration = Duration::from_hours(8 * 24);
/// Reservations that are looked after in one look.
const MAX_LOST: usize = 20;
/// Leases that are charged in one look: they share pages.
const MAX_DUE: usize = 256;
/// Largest bill that is read, bytes.
const MAX_BILL: usize = 32 << 20;
/// Bills are read one at a time: each may be large.
static READING: Semaphore = Semaphore::const_new(1);
/// Jobs that wait and are named.
const MAX_FIRST: usize = 10;

/// What was read.
pub struct Seen {
    /// The budget for the rules.
    pub budget: Budget,
    /// What it asks for, or why it cannot work.
    pub wish: Result<Wish, Refusal>,
    /// What the parent lacks, where it lacks something.
    pub parent: Option<String>,
    /// What its limits are parts of.
    pub denominator: Option<Result<Denominator, String>>,
    /// What the ledger says, or why it says nothing.
    pub money: Result<Money, Trouble>,
    /// Where the ledger lies.
    pub place: String,
    /// Who waits.
    pub waiting: Waiting,
    /// What it would have let wait, were it enforced.
    pub would_wait: u64,
}

/// Why the ledger says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Somebody has to look.
    pub broken: bool,
    /// For people.
    pub message: String,
}

/// What the ledger says of one budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Money {
    /// Its newest page.
    pub head: Head,
    /// What was spent in the period.
    pub spent: Spent,
    /// What is known of all its money.
    pub account: Account,
    /// What is reserved.
    pub reserved: Amount,
    /// For how many jobs.
    pub running: usize,
    /// What of what is reserved is in leases.
    pub leases: Leases,
    /// Reservations whose job is gone.
    pub lost: Vec<Lost>,
    /// Jobs that run, and have no reservation.
    pub found: Vec<Entry>,
}

/// Leases that are open under one budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    /// How many.
    pub count: usize,
    /// How much they are.
    pub out: Amount,
    /// Keys of those that are to be charged now, for nobody has ended them.
    pub due: Vec<String>,
    /// When the next of the others is.
    pub next: Option<Timestamp>,
}

/// A reservation whose job is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its key.
    pub job: ObjectKey,
    /// How much it is.
    pub amount: Amount,
    /// What it was for.
    pub who: Who,
    /// Budgets that it is held against.
    pub chain: Vec<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Who waits under a budget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub count: usize,
    /// What they may cost at most.
    pub need: Amount,
    /// The first, with what each may cost.
    pub first: Vec<(String, Amount)>,
}

/// Reads.
pub struct Reader<'a> {
    /// Caches and Jobs.
    pub kit: &'a Kit,
    /// The ledger.
    pub ledger: &'a Ledger,
    /// Namespaces.
    pub world: &'a World,
    /// The operator's own namespace.
    pub home: &'a str,
    /// Now.
    pub now: Timestamp,
}

impl Reader<'_> {
    /// All that a decision needs.
    pub async fn read(&self, object: &AiBudget) -> Seen {
        let name = object.name_any();
        self.read_bill(object).await;
        let known = self.ledger.known(self.world, object, self.now);
        let wish = known.wishes.get(&name).cloned().expect("the budget was put in just before");
        let budget = known.budgets[&name].clone();
        let parent = rules::chain(&known.budgets, &[name.as_str()]).err().map(|wait| match wait.why {
            rules::Why::NoParent(why) => why,
            other => format!("{other:?}"),
        });
        let jobs = self.jobs(&known, &name);
        let look = self.ledger.look(|book| money(book, &budget, &jobs, self.now)).await;
        let money = match look {
            Ok(mut money) => {
                self.confirm(&mut money.lost).await;
                Ok(money)
            }
            Err(error) => {
                let broken = matches!(error, super::ledger::journal::JournalError::Broken(_));
                Err(Trouble { broken, message: error.to_string() })
            }
        };
        let denominator = wish.as_ref().ok().and_then(|wish| denominator_of(wish, self.ledger.denominators.get(&name, wish)));
        let would_wait = self.ledger.would_wait(&name);
        Seen { budget, parent, denominator, money, waiting: self.waiting(&name), place: self.ledger.place(), would_wait, wish }
    }

    /// Reads the bill that the limits are parts of, where it is time to.
    async fn read_bill(&self, object: &AiBudget) {
        let name = object.name_any();
        let Ok(wish) = wish(&object.spec, &self.world.terms) else { return };
        let Some(DenominatorWish::Focus { store, path, max_age }) = wish.share.as_ref().map(|share| &share.of) else { return };
        if !self.ledger.denominators.is_due(&name, &wish, self.now) {
            return;
        }
        let period = wish.calendar.bounds(self.now);
        let said = self.bill(store, path, &wish.calendar.zone).await.and_then(|bill| self.judge(&bill, period.days, *max_age));
        // A hiccup of the store makes nobody blind who knows a bill that is not too old.
        let known = self.ledger.denominators.get(&name, &wish).and_then(Result::ok);
        let young =
            |known: &Denominator| known.as_of.is_some_and(|as_of| self.now.duration_since(as_of).unsigned_abs() <= *max_age);
        let said = said.or_else(|why| known.filter(young).ok_or(why));
        self.ledger.denominators.set(&name, &wish, said, self.now);
    }

    async fn bill(&self, store: &str, path: &str, zone: &TimeZone) -> Result<Bill, String> {
        let _turn = READING.acquire().await.map_err(|_| "nobody reads bills any more".to_owned())?;
        let found = async {
            let store = self.kit.stores.get(store)?;
            store.get(&store.locate(self.home, path)?, MAX_BILL).await
        };
        let body = found.await.map_err(|error: StoreError| error.to_string())?.body;
        let (zone, now) = (zone.clone(), self.now);
        // A large one takes a second, which is too long for a thread that others wait for.
        let read = tokio::task::spawn_blocking(move || Bill::read(&body, &zone, now)).await;
        read.map_err(|_| "the bill could not be read to its end".to_owned())?.map_err(|error| error.to_string())
    }

    /// What a bill says a period costs, if it says so in the currency of the prices and is not too old.
    fn judge(&self, bill: &Bill, days: u32, max_age: Duration) -> Result<Denominator, String> {
        if bill.currency != self.world.terms.currency {
            return Err(format!("the bill is in {}, and the prices in {}", bill.currency, self.world.terms.currency));
        }
        let age = self.now.duration_since(bill.through);
        if age.is_positive() && age.unsigned_abs() > max_age {
            return Err(format!("the bill ends at {}, which is longer ago than maxAge", bill.through));
        }
        let cost = bill.platform_cost(days).ok_or_else(|| "the bill has less than a week of full days".to_owned())?;
        if cost <= Amount::ZERO {
            return Err("the bill comes to nothing or less: credits are larger than charges".to_owned());
        }
        Ok(Denominator { amount: cost, as_of: Some(bill.through) })
    }

    /// Jobs of ours that run under this budget, with what each may cost at most.
    fn jobs(&self, known: &Known, budget: &str) -> Vec<(ObjectKey, Option<Entry>)> {
        let mut jobs = Vec::new();
        for job in self.kit.job_cache.list() {
            let key = ObjectKey::of(&job.metadata);
            let runs = !is_suspended(&job) && !is_finished(&job) && has_finalizer(&job.metadata, FINALIZER_SETTLE);
            let matching = known.matching(&key.namespace);
            let entry = (runs && matching.contains(&budget)).then(|| {
                let chain = rules::chain(&known.budgets, &matching).ok()?;
                let amount = self.kit.jobs.bound(&job)?.to_string().parse().ok()?;
                let work = showrunner_kit::admission::Work::of(&job);
                let fact = Fact::Reserve { amount, chain, who: super::ledger::desk::who(&work), forced: true, lease: None };
                Some(Entry { key: key.to_string(), fact })
            });
            jobs.push((key, entry.flatten()));
        }
        jobs
    }

    /// Keeps of those that the cache does not know only those that the API server does not know either.
    async fn confirm(&self, lost: &mut Vec<Lost>) {
        let mut gone = Vec::new();
        for candidate in lost.drain(..).take(MAX_LOST) {
            // A namespace that cannot be read says nothing about its Jobs; but none of them runs for longer than a week.
            let found = self.kit.jobs.find(&candidate.job).await;
            let over = || candidate.since + LONGEST < self.now;
            if matches!(found, Ok(None)) || (found.is_err() && over()) {
                gone.push(candidate);
            }
        }
        *lost = gone;
    }

    fn waiting(&self, budget: &str) -> Waiting {
        let queue = self.ledger.queue();
        let mut waiting = Waiting::default();
        for job in queue.fair.order() {
            let Some(waiter) = queue.waiters.get(&job.key).filter(|waiter| waiter.budgets.iter().any(|name| name == budget))
            else {
                continue;
            };
            waiting.count += 1;
            waiting.need += job.need;
            if waiting.first.len() < MAX_FIRST {
                waiting.first.push((waiter.owner.to_string(), job.need));
            }
        }
        waiting
    }
}

/// What the book says of a budget, held against the jobs that there are.
pub(super) fn money(book: &Book, budget: &Budget, jobs: &[(ObjectKey, Option<Entry>)], now: Timestamp) -> Money {
    let known: BTreeSet<String> = jobs.iter().map(|(key, _)| key.to_string()).collect();
    let mut money = Money {
        head: book.head().clone(),
        spent: book.period(&budget.name, &budget.period.label).cloned().unwrap_or_default(),
        account: book.account(&budget.name).cloned().unwrap_or_default(),
        reserved: book.reserved(&budget.name),
        ..Money::default()
    };
    for (key, open) in book.all_open() {
        if !open.chain.contains(&budget.name) {
            continue;
        }
        if let Some(terms) = &open.lease {
            money.leases.add(key, open.amount, terms.due, now);
            continue;
        }
        money.running += 1;
        let old = now.duration_since(open.since).unsigned_abs() > LOST_AFTER && now > open.since;
        if old
            && !known.contains(key)
            && let Some((namespace, name)) = key.split_once('/')
        {
            money.lost.push(Lost {
                job: ObjectKey::new(namespace, name),
                amount: open.amount,
                who: open.who.clone(),
                chain: open.chain.clone(),
                since: open.since,
            });
        }
    }
    let unknown = |entry: &&Entry| book.open(&entry.key).is_none() && !book.is_settled(&entry.key);
    money.found = jobs.iter().filter_map(|(_, entry)| entry.as_ref()).filter(unknown).cloned().collect();
    money
}

impl Leases {
    fn add(&mut self, key: &str, amount: Amount, due: Timestamp, now: Timestamp) {
        self.count += 1;
        self.out += amount;
        if due > now {
            self.next = Some(self.next.map_or(due, |next| next.min(due)));
        } else if self.due.len() < MAX_DUE {
            self.due.push(key.to_owned());
        }
    }
}

impl Money {
    /// Lines that people were told of in this period.
    pub fn was_told(&self, level: Level) -> bool {
        self.spent.told.contains(&level)
    }
}
