//! The ledger: every reservation and settlement of this operator goes through here, into the journal, and nothing is let start
//! before that is written.
//!
//! Reads and writes pages of the journal. Callers that come together share one page: whoever is first writes for all that
//! wait by then. What budgets there are is read from the caches at each page; nothing is kept that the journal or the API
//! server does not have, but for who waits, and they ask again.

pub mod desk;
pub mod journal;
pub mod leases;
pub mod pages;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::ResourceExt as _;
use showrunner_crds::AiBudget;
use showrunner_crds::ai_budget::Action;
use showrunner_kit::admission::{Admission, AdmissionError, Orders, Reservation, Settlement, Verdict, Wake};
use showrunner_kit::cache::Cache;
use showrunner_kit::clock::{Clock, Mono};
use showrunner_kit::object::ObjectKey;
use showrunner_kit::planted;
use showrunner_ledger::book::Open;
use showrunner_ledger::fair::Fair;
use showrunner_ledger::rules::Budget;
use showrunner_ledger::{Amount, Book, Booking, Entry, Fact, Head, Level};
use tokio::sync::{Mutex as Turn, oneshot};

use super::known::{Denominators, Known, World};
use super::measures;
use desk::{Desk, Reply, Request};
use journal::{Appended, Journal, JournalError};
use pages::Pages;

/// How often somebody else may write first before a caller is told to come again.
const MAX_OVERTAKEN: u32 = 8;
/// Callers whose requests go on one page.
const MAX_BATCH: usize = 256;
/// Who has not asked for so long asks no more: all that wait are asked to come again long before that.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(20);
/// Who was woken comes within this, or keeps nothing from others.
const COMES_WITHIN: Duration = Duration::from_secs(30);
/// How long somebody who was woken is not woken again.
const WOKEN_FOR: Duration = Duration::from_secs(5);

/// What is known only once watches run.
struct Connected {
    place: String,
    budgets: Cache<AiBudget>,
    world: World,
}

/// A caller's request, and where its answer goes.
struct Call {
    request: Request,
    answer: oneshot::Sender<Result<Reply, JournalError>>,
}

/// Somebody who waits for room.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// Whose Job it is.
    pub owner: ObjectKey,
    /// Kind of the owner.
    pub kind: String,
    /// Budgets that are over it, by name.
    pub budgets: Vec<String>,
    /// What it was told when it last asked.
    pub held: Option<desk::Held>,
    asked: Mono,
    /// First and last time that it was woken since it asked.
    woken: Option<(Mono, Mono)>,
}

impl Waiter {
    /// Whether it was told that there is room and has not come for long: it has no place to run, or its store is away.
    pub fn stays_away(&self, now: Mono) -> bool {
        self.woken.is_some_and(|(first, _)| now.saturating_sub(first) > COMES_WITHIN)
    }
}

/// Those who wait, in order.
#[derive(Default)]
pub struct Queue {
    /// The order.
    pub fair: Fair,
    /// More of each.
    pub waiters: BTreeMap<String, Waiter>,
}

/// The ledger. One for each operator.
pub struct Ledger {
    journal: Turn<Journal>,
    calls: Mutex<Vec<Call>>,
    queue: Mutex<Queue>,
    wakes: Mutex<BTreeMap<String, Wake>>,
    /// What each budget asks of work by its last look; before the first, what its status says is.
    in_force: Mutex<BTreeMap<String, BTreeSet<Action>>>,
    /// Owners that were told to stop, by kind. Who is looked at after a start says so again.
    stopped: Mutex<BTreeSet<(String, ObjectKey)>>,
    connected: OnceLock<Connected>,
    /// What was last seen of the journal, for those who only look.
    seen: Mutex<Seen>,
    /// What bills say.
    pub denominators: Denominators,
    would_wait: Mutex<BTreeMap<String, u64>>,
    /// Has a budget looked at again whose money has changed.
    nudge: OnceLock<Wake>,
    clock: Clock,
}

/// What was last seen of the journal.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Its newest page.
    pub head: Head,
    /// It has been read to its end.
    pub read: bool,
    /// Why it cannot be gone on with.
    pub trouble: Option<JournalError>,
}

impl Ledger {
    /// A ledger that knows of nothing yet: who has no budgets needs no more.
    pub fn new(instance: &str, clock: Clock) -> Self {
        Self {
            journal: Turn::new(Journal::new(instance.to_owned())),
            calls: Mutex::default(),
            queue: Mutex::default(),
            wakes: Mutex::default(),
            in_force: Mutex::default(),
            stopped: Mutex::default(),
            connected: OnceLock::new(),
            seen: Mutex::default(),
            denominators: Denominators::default(),
            would_wait: Mutex::default(),
            nudge: OnceLock::new(),
            clock,
        }
    }

    /// Tells it where its pages lie, where budgets and namespaces are to be seen, and how to have a budget looked at.
    pub fn connect(&self, (pages, place): (Arc<dyn Pages>, String), budgets: Cache<AiBudget>, world: World, nudge: Wake) {
        self.journal.try_lock().expect("nobody asks before the wiring is done").connect(pages);
        // Only the first counts: there is one wiring.
        let _ = self.connected.set(Connected { place, budgets, world });
        let _ = self.nudge.set(nudge);
    }

    /// Where its pages lie.
    pub fn place(&self) -> String {
        self.connected.get().map(|connected| connected.place.clone()).unwrap_or_default()
    }

    /// Currency of all prices.
    pub fn currency(&self) -> String {
        self.connected.get().map(|connected| connected.world.terms.currency.clone()).unwrap_or_default()
    }

    /// A budget with what the rules know of it now; none where there is none.
    pub fn find(&self, name: &str, now: Timestamp) -> Option<(Arc<AiBudget>, Budget)> {
        let object = self.connected.get()?.budgets.get(&ObjectKey::new("", name))?;
        let budget = self.budgets(now).budgets.remove(name)?;
        Some((object, budget))
    }

    /// What was last seen of the journal.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// Those who wait, for a look.
    pub fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// How many jobs a budget that only watches would have let wait, since this operator started.
    pub fn would_wait(&self, budget: &str) -> u64 {
        lock(&self.would_wait).get(budget).copied().unwrap_or_default()
    }

    /// Reads the journal to its end, where it is not known to have been, and gives what it adds up to a look.
    pub async fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> Result<T, JournalError> {
        let mut journal = self.journal.lock().await;
        self.catch_up(&mut journal).await?;
        let book = journal.book();
        Ok(look(&book))
    }

    /// What is known of budgets now, with this one as it was read.
    pub fn known(&self, world: &World, budget: &AiBudget, now: Timestamp) -> Known {
        let now = now.max(self.seen().head.at);
        let mut known = self.budgets(now);
        known.put(budget, &world.terms, &self.denominators, now);
        known
    }

    /// In which period and on which day of each budget something is booked now.
    pub fn bookings(&self, chain: &[String], now: Timestamp) -> Vec<Booking> {
        let now = now.max(self.seen().head.at);
        self.budgets(now).bookings(chain, now)
    }

    /// Notes that people were told of a line. True where that was new.
    pub async fn told(&self, budget: &str, period: &str, level: Level) -> Result<bool, JournalError> {
        let key = format!("told/{budget}/{period}/{level:?}");
        let fact = Fact::Told { budget: budget.to_owned(), period: period.to_owned(), level };
        self.write(Entry { key, fact }).await
    }

    /// Writes one entry that nothing has to be decided for. True where it changed something.
    pub async fn write(&self, entry: Entry) -> Result<bool, JournalError> {
        match self.call(Request::Write(entry)).await? {
            Reply::Written(changed) => Ok(changed),
            Reply::Admitted | Reply::Held(_) | Reply::Over | Reply::Leased(..) | Reply::Unleased(_) => Ok(false),
        }
    }

    /// Puts a request to the desk. Whoever finds the desk free serves all that wait by then.
    async fn call(&self, request: Request) -> Result<Reply, JournalError> {
        let (answer, mut reply) = oneshot::channel();
        lock(&self.calls).push(Call { request, answer });
        loop {
            tokio::select! {
                biased;
                // Whoever was to answer was cut off: it is asked again.
                told = &mut reply => return told.unwrap_or_else(|_| Err(cut_off())),
                mut journal = self.journal.lock() => self.serve(&mut journal).await,
            }
        }
    }

    /// Serves everybody who waits.
    async fn serve(&self, journal: &mut Journal) {
        let calls: Vec<Call> = {
            let mut calls = lock(&self.calls);
            let take = calls.len().min(MAX_BATCH);
            calls.drain(..take).collect()
        };
        if calls.is_empty() {
            return;
        }
        let result = self.decide(journal, &calls).await;
        let replies = match result {
            Ok(replies) => replies.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); calls.len()],
        };
        for (call, reply) in calls.into_iter().zip(replies) {
            // Who does not wait any more will ask again.
            let _ = call.answer.send(reply);
        }
    }

    /// Decides about requests and writes what comes of them. The answers are true once this returns.
    async fn decide(&self, journal: &mut Journal, calls: &[Call]) -> Result<Vec<Reply>, JournalError> {
        for _ in 0..MAX_OVERTAKEN {
            self.catch_up(journal).await?;
            // Never before the newest page: a clock that steps back opens no period again.
            let now = self.clock.now().max(journal.book().head().at);
            let budgets = self.budgets(now);
            let mut ruling = {
                let book = journal.book();
                let mut queue = self.queue();
                let mono = self.clock.mono();
                queue.forget_silent(mono);
                for call in calls {
                    let Request::Reserve { waiting, waiter, .. } = &call.request else { continue };
                    if book.is_settled(&waiting.key) || book.open(&waiting.key).is_some() {
                        // It was written, and whoever wrote it did not learn so.
                        queue.leave(&waiting.key);
                    } else {
                        queue.enter(waiting.clone(), waiter, mono);
                    }
                }
                queue.fair.weights(&budgets.weights);
                let requests = calls.iter().map(|call| &call.request);
                Desk { book: &book, budgets: &budgets, queue: &queue, now, mono }.rule(requests)
            };
            let mut touched = touched(&ruling.entries);
            if planted!("reserved-nowhere") {
                ruling.entries.retain(|entry| !matches!(entry.fact, Fact::Reserve { .. }));
            }
            if !ruling.entries.is_empty() {
                let appended = journal.append(ruling.entries, now).await;
                self.note(journal, appended.as_ref().err());
                if appended? == Appended::Overtaken {
                    continue;
                }
            }
            let mut queue = self.queue();
            for key in &ruling.admitted {
                queue.fair.served(key);
                queue.waiters.remove(key);
            }
            for (call, reply) in calls.iter().zip(&ruling.replies) {
                let (Request::Reserve { waiting, waiter, .. }, Reply::Held(held)) = (&call.request, reply) else { continue };
                if held.is_out_of_line() {
                    queue.leave(&waiting.key);
                } else if let Some(waiter) = queue.waiters.get_mut(&waiting.key) {
                    waiter.held = Some(held.clone());
                }
                // Who waits is told of there.
                touched.extend(waiter.budgets.iter().cloned());
            }
            for budget in ruling.would_wait {
                *lock(&self.would_wait).entry(budget).or_default() += 1;
            }
            self.wake(&mut queue, &ruling.next);
            if let Some(nudge) = self.nudge.get() {
                for budget in touched {
                    nudge(&ObjectKey::new("", budget));
                }
            }
            return Ok(ruling.replies);
        }
        Err(JournalError::Away(pages::PagesError {
            doing: "write",
            sequence: journal.book().head().sequence + 1,
            place: "the journal".into(),
            message: "somebody else wrote first every time: is there a second operator on the same ledger?".into(),
        }))
    }

    /// Has those asked to come again who may start now.
    fn wake(&self, queue: &mut Queue, keys: &[String]) {
        let now = self.clock.mono();
        let wakes = lock(&self.wakes);
        for key in keys {
            let Some(waiter) = queue.waiters.get_mut(key) else { continue };
            if waiter.woken.is_some_and(|(_, last)| now.saturating_sub(last) < WOKEN_FOR) {
                continue;
            }
            waiter.woken = Some((waiter.woken.map_or(now, |(first, _)| first), now));
            if let Some(wake) = wakes.get(&waiter.kind) {
                wake(&waiter.owner);
            }
        }
    }

    /// A budget asks this of work from now on. Where that is something else than before, everybody is woken whose work is reserved
    /// under it or was stopped.
    pub async fn put_in_force(&self, budget: &str, actions: BTreeSet<Action>) -> Result<(), JournalError> {
        let before = self.asked_by(budget);
        lock(&self.in_force).insert(budget.to_owned(), actions.clone());
        if before == actions {
            return Ok(());
        }
        let under = |open: &Open| open.chain.iter().any(|name| name == budget);
        let mut owners: BTreeSet<(String, ObjectKey)> = self
            .look(|book| {
                let open = book.all_open().map(|(_, open)| open).filter(|open| under(open));
                open.map(|open| (open.who.kind.clone(), ObjectKey::new(&open.who.namespace, &open.who.name))).collect()
            })
            .await?;
        // By whichever budget: who is stopped still will say so again.
        owners.append(&mut lock(&self.stopped));
        let wakes = lock(&self.wakes);
        for (kind, owner) in owners {
            if let Some(wake) = wakes.get(&kind) {
                wake(&owner);
            }
        }
        Ok(())
    }

    /// What a budget asks of work.
    fn asked_by(&self, budget: &str) -> BTreeSet<Action> {
        if let Some(known) = lock(&self.in_force).get(budget) {
            return known.clone();
        }
        let found = self.connected.get().and_then(|connected| connected.budgets.get(&ObjectKey::new("", budget)));
        let status = found.and_then(|budget| budget.status.clone());
        status.map(|status| status.in_force.into_iter().collect()).unwrap_or_default()
    }

    /// Something changed that may make room: a cap, a period, a budget.
    pub async fn look_again(&self) -> Result<(), JournalError> {
        self.call(Request::Look).await.map(|_| ())
    }

    async fn catch_up(&self, journal: &mut Journal) -> Result<(), JournalError> {
        let known = self.connected.get().map_or(0, |connected| newest_page(&connected.budgets, &connected.place));
        let result = journal.catch_up(if journal.is_read() { 0 } else { known }).await;
        self.note(journal, result.as_ref().err());
        result
    }

    fn note(&self, journal: &Journal, error: Option<&JournalError>) {
        let head = journal.book().head().clone();
        *lock(&self.seen) = Seen { head, read: journal.is_read(), trouble: error.cloned() };
    }

    fn budgets(&self, now: Timestamp) -> Known {
        match self.connected.get() {
            Some(connected) => connected.world.known(&connected.budgets, &self.denominators, now),
            None => Known::default(),
        }
    }

    /// Whether budgets and namespaces are known by now, or cannot be.
    fn is_connected(&self) -> bool {
        self.connected.get().is_none_or(|connected| connected.world.is_known(&connected.budgets))
    }

    /// Whether there is any budget, or has been one: without, nothing is asked and nothing written.
    fn is_idle(&self) -> bool {
        let none =
            self.connected.get().is_none_or(|connected| connected.budgets.is_empty() && connected.budgets.malformed().is_empty());
        none && self.connected.get().is_none_or(|connected| !connected.world.holds_unbudgeted())
    }
}

/// The newest page that a budget's status has noted, of a ledger that lies here.
fn newest_page(budgets: &Cache<AiBudget>, place: &str) -> u64 {
    let noted = |budget: &Arc<AiBudget>| {
        let ledger = budget.status.as_ref()?.ledger.as_ref().filter(|ledger| ledger.place == place)?;
        u64::try_from(ledger.page).ok()
    };
    budgets.list().iter().filter_map(noted).max().unwrap_or_default()
}

/// Budgets whose money these entries change.
fn touched(entries: &[Entry]) -> BTreeSet<String> {
    let mut budgets = BTreeSet::new();
    for entry in entries {
        match &entry.fact {
            Fact::Reserve { chain, .. } => budgets.extend(chain.iter().cloned()),
            Fact::Settle { bookings, .. } | Fact::Adjust { bookings, .. } => {
                budgets.extend(bookings.iter().map(|booking| booking.budget.clone()));
            }
            Fact::Release | Fact::Told { .. } => {}
        }
    }
    budgets
}

fn cut_off() -> JournalError {
    JournalError::Away(pages::PagesError {
        doing: "write",
        sequence: 0,
        place: "the journal".into(),
        message: "whoever wrote was cut off".into(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queue {
    fn enter(&mut self, waiting: showrunner_ledger::fair::Waiting, waiter: &desk::Asked, now: Mono) {
        let more = Waiter {
            owner: waiter.owner.clone(),
            kind: waiter.kind.clone(),
            budgets: waiter.budgets.clone(),
            held: None,
            asked: now,
            woken: None,
        };
        self.waiters.insert(waiting.key.clone(), more);
        self.fair.enter(waiting);
    }

    fn leave(&mut self, key: &str) {
        self.waiters.remove(key);
        self.fair.leave(key);
    }

    fn forget_silent(&mut self, now: Mono) {
        let silent = |waiter: &Waiter| now.saturating_sub(waiter.asked) > FORGOTTEN_AFTER;
        let keys: Vec<String> = self.waiters.iter().filter(|(_, waiter)| silent(waiter)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.leave(&key);
        }
    }

    /// What those who wait under a budget may cost at most, with how many they are.
    pub fn waiting_under(&self, budget: &str) -> (usize, Amount) {
        let mut all = (0, Amount::ZERO);
        for waiting in self.fair.order() {
            if self.waiters.get(&waiting.key).is_some_and(|waiter| waiter.budgets.iter().any(|name| name == budget)) {
                all = (all.0 + 1, all.1 + waiting.need);
            }
        }
        all
    }
}

impl Admission for Ledger {
    fn reserve<'a>(&'a self, reservation: &'a Reservation) -> BoxFuture<'a, Result<Verdict, AdmissionError>> {
        async move {
            if !self.is_connected() {
                return Err(AdmissionError("it is not known yet which budgets there are".to_owned()));
            }
            if self.is_idle() {
                return Ok(Verdict::Admit);
            }
            let namespace = &reservation.work.owner.namespace;
            if !self.connected.get().is_none_or(|connected| connected.world.sees(namespace)) {
                return Err(AdmissionError(format!(
                    "namespace {namespace} has not been seen yet, and so it is not known which budgets are over it"
                )));
            }
            let request = Request::reserve(reservation, &self.budgets(self.clock.now()))?;
            let reply = match self.call(request).await {
                Ok(reply) => reply,
                Err(JournalError::Broken(message)) => return Ok(desk::broken(message, self.clock.now())),
                Err(JournalError::Away(error)) => return Err(AdmissionError(error.to_string())),
            };
            Ok(match reply {
                Reply::Held(held) => held.verdict(self.clock.now()),
                Reply::Admitted => Verdict::Admit,
                Reply::Over | Reply::Written(_) | Reply::Leased(..) | Reply::Unleased(_) => {
                    return Err(AdmissionError("its cost was settled before: it must not run again".to_owned()));
                }
            })
        }
        .boxed()
    }

    fn settle<'a>(&'a self, settlement: &'a Settlement) -> BoxFuture<'a, Result<(), AdmissionError>> {
        async move {
            if !self.is_connected() {
                return Err(AdmissionError("it is not known yet which budgets there are".to_owned()));
            }
            self.forget(&settlement.work.job);
            if self.is_idle() && !self.seen().read {
                return Ok(());
            }
            let request = Request::settle(settlement)?;
            self.call(request).await.map(|_| ()).map_err(|error| AdmissionError(error.to_string()))
        }
        .boxed()
    }

    fn orders(&self, kind: &str, owner: &ObjectKey) -> Orders {
        let Some(connected) = self.connected.get() else { return Orders::default() };
        // Without a budget that asks for something, nobody needs to know all that is known of them.
        if connected.budgets.list().iter().all(|budget| self.asked_by(&budget.name_any()).is_empty()) {
            return Orders::default();
        }
        let known = self.budgets(self.clock.now());
        let orders = measures::orders(&known, &owner.namespace, |name, action| self.asked_by(name).contains(&action));
        if orders.stop.is_some() {
            lock(&self.stopped).insert((kind.to_owned(), owner.clone()));
        }
        orders
    }

    fn wake_by(&self, kind: &str, wake: Wake) {
        lock(&self.wakes).insert(kind.to_owned(), wake);
    }

    fn forget(&self, job: &ObjectKey) {
        self.queue().leave(&job.to_string());
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
