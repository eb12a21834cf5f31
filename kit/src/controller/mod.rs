//! Runs reconcilers: feeds a [`Queue`] from the watches, runs what it gives out, and drains on the way out.
//!
//! No I/O of its own; reconcilers do theirs.

pub mod view;
pub mod wiring;

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use kube::Resource as _;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::cache::{Cache, Change, owners_of};
use crate::clock::Clock;
use crate::error::{Class, MAX_RETRY_AT, Next, ReconcileError};
use crate::metrics::{Metrics, ReconcileResult};
use crate::object::{Object, ObjectKey, intent_of};
use crate::queue::{Outcome, Queue, QueueConfig, Stats, Ticket, Trigger};
use crate::traces;
use crate::write::CONFLICT;

pub use wiring::{Control, Kit, Wiring};

/// Longest time one reconcile may take; then it counts as failed. Every call in it has a timeout of its own.
pub const RECONCILE_TIMEOUT: Duration = Duration::from_mins(2);

/// Brings objects of one kind towards what they ask for.
pub trait Reconciler: Send + Sync + 'static {
    /// The kind.
    type Kind: Object;
    /// Name in metrics and logs, lower case.
    const NAME: &'static str;

    /// Looks at one object as the cache has it, does what is to be done, and says when to look again. Safe to stop
    /// after any write and to repeat; writes nothing when nothing is to be done.
    fn reconcile(&self, object: Arc<Self::Kind>, now: Timestamp) -> impl Future<Output = Result<Next, ReconcileError>> + Send;
}

/// Opens a namespace to a controller.
pub(crate) type Opener = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// One reconciler with its queue.
pub struct Controller<R: Reconciler> {
    reconciler: Arc<R>,
    objects: Cache<R::Kind>,
    feed: Feed,
    config: QueueConfig,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// The way into a controller's queue; shared with the watches.
///
/// A namespace is closed at first. What happens in it then is in the caches and nowhere else: this replica stands by, or
/// does not know the namespace as a whole yet, and an object that nobody could take is not one that waits.
#[derive(Clone)]
pub(crate) struct Feed {
    intake: Arc<Mutex<Intake>>,
    wake: Arc<Notify>,
    clock: Clock,
}

struct Intake {
    queue: Queue<ObjectKey>,
    open: Open,
}

/// Namespaces that are worked on.
#[derive(Default)]
struct Open {
    all: bool,
    some: HashSet<String>,
}

impl Open {
    fn has(&self, namespace: &str) -> bool {
        self.all || self.some.contains(namespace)
    }
}

impl Feed {
    fn new(config: QueueConfig, clock: Clock) -> Self {
        let intake = Intake { queue: Queue::new(config), open: Open::default() };
        Self { intake: Arc::new(Mutex::new(intake)), wake: Arc::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, key: &ObjectKey, trigger: Trigger) {
        let mut intake = self.lock();
        if intake.open.has(&key.namespace) {
            intake.queue.push(key, trigger, self.clock.mono());
            self.wake.notify_one();
        }
    }

    /// Opens a namespace (`None`: all): the objects that are there are ready from now on, however long they are known.
    pub(crate) fn open<K: Object>(&self, namespace: Option<&str>, objects: &Cache<K>) {
        // Held throughout, so that no change slips in between that is newer than what is listed here.
        let mut intake = self.lock();
        match namespace {
            None => intake.open.all = true,
            Some(namespace) => drop(intake.open.some.insert(namespace.to_owned())),
        }
        let now = self.clock.mono();
        for object in objects.list() {
            let key = ObjectKey::of(object.meta());
            if namespace.is_none_or(|namespace| namespace == key.namespace) {
                intake.queue.push(&key, Trigger::Seen { intent: intent_of(object.meta()), initial: true }, now);
            }
        }
        self.wake.notify_one();
    }

    /// A change of an object that the controller reconciles.
    pub(crate) fn primary<K: Object>(&self, change: &Change<K>) {
        let meta = change.object().meta();
        let trigger = match change {
            Change::Applied { initial, .. } => Trigger::Seen { intent: intent_of(meta), initial: *initial },
            Change::Removed(_) => Trigger::Gone,
        };
        self.push(&ObjectKey::of(meta), trigger);
    }

    /// A change of something that one of `owners` may own.
    pub(crate) fn child<C: Object, K: Object>(&self, change: &Change<C>, owners: &Cache<K>) {
        for uid in owners_of(change.object().as_ref()) {
            if let Some(key) = owners.key_of_uid(&uid) {
                self.push(&key, Trigger::Related);
            }
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().queue.stats(self.clock.mono())
    }
}

impl<R: Reconciler> Controller<R> {
    /// A controller over these objects. Nothing runs before [`Controller::run`].
    pub fn new(reconciler: R, objects: Cache<R::Kind>, config: QueueConfig, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let feed = Feed::new(config, clock);
        let gauges = feed.clone();
        metrics.control(R::NAME);
        metrics.on_render(move |metrics| metrics.queue(R::NAME, config.concurrency, &gauges.stats()));
        Self { reconciler: Arc::new(reconciler), objects, feed, config, metrics, clock }
    }

    pub(crate) fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Lets a namespace in, see [`Feed::open`].
    pub(crate) fn opener(&self) -> Opener {
        let (feed, objects) = (self.feed.clone(), self.objects.clone());
        Box::new(move |namespace| feed.open(namespace.filter(|_| !R::Kind::CLUSTER), &objects))
    }

    /// Reconciles what [`Controller::opener`] lets in, until `stop`; then takes nothing more, and gives what runs `grace`
    /// to end. Returns how many reconciles had to be cut off.
    pub async fn run(self, stop: CancellationToken, grace: Duration) -> usize {
        let mut running: JoinSet<()> = JoinSet::new();
        tracing::info!(controller = R::NAME, concurrency = self.config.concurrency, "reconciling");
        while !stop.is_cancelled() {
            let wake = loop {
                let mut intake = self.feed.lock();
                let Some(ticket) = intake.queue.pop(self.clock.mono()) else { break intake.queue.next_wake() };
                drop(intake);
                self.start(&mut running, ticket);
            };
            let timer = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(self.clock.instant(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.feed.wake.notified() => {}
                () = timer => {}
                Some(_) = running.join_next() => {}
            }
        }
        tracing::info!(controller = R::NAME, running = running.len(), "draining");
        let drained = tokio::time::timeout(grace, async { while running.join_next().await.is_some() {} }).await;
        let left = if drained.is_ok() { 0 } else { running.len() };
        if left > 0 {
            tracing::warn!(controller = R::NAME, left, "failed to drain in time; the next leader goes on from what was written");
        }
        left
    }

    fn start(&self, running: &mut JoinSet<()>, ticket: Ticket<ObjectKey>) {
        self.metrics.taken(R::NAME, ticket.waited);
        let (reconciler, objects) = (Arc::clone(&self.reconciler), self.objects.clone());
        let (feed, metrics, clock) = (self.feed.clone(), Arc::clone(&self.metrics), self.clock);
        // Two spans, because a line of the log needs less of it than a trace, and each has a filter of its own.
        let span = tracing::info_span!(
            "reconcile",
            controller = R::NAME,
            object = %ticket.key,
            failures = ticket.failures,
            trace_id = tracing::field::Empty
        );
        let trace = traces::reconcile(R::NAME, &R::Kind::kind(&()), &ticket);
        span.record("trace_id", traces::trace_id(&trace));
        let within = trace.clone();
        let work = async move {
            let outcome = match objects.get(&ticket.key) {
                None => {
                    traces::end(&trace, Ok(()));
                    Outcome::Forget
                }
                Some(object) => {
                    traces::identify(&trace, object.meta());
                    attempt(reconciler.as_ref(), object, &metrics, clock, &trace).await
                }
            };
            let took = feed.lock().queue.done(&ticket.key, outcome, clock.mono());
            metrics.worked(R::NAME, took);
            feed.wake.notify_one();
        };
        running.spawn(work.instrument(within).instrument(span));
    }
}

/// One reconcile, whatever it does: errors, panics and time-outs all become an outcome.
async fn attempt<R: Reconciler>(reconciler: &R, object: Arc<R::Kind>, metrics: &Metrics, clock: Clock, trace: &Span) -> Outcome {
    let began = clock.mono();
    let now = clock.now();
    let work = AssertUnwindSafe(reconciler.reconcile(object, now)).catch_unwind();
    let result = match tokio::time::timeout(RECONCILE_TIMEOUT, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => {
            metrics.panicked(R::NAME);
            Err(ReconcileError::new(
                Class::Retry,
                "Panicked",
                "failed to reconcile: it panicked; this is a bug, see the log for where",
            ))
        }
        Err(_) => {
            let message = format!("failed to reconcile within {} s", RECONCILE_TIMEOUT.as_secs());
            Err(ReconcileError::new(Class::Retry, "ReconcileTimeout", message))
        }
    };
    let (outcome, counted) = judge(&result, clock.now());
    match &result {
        Ok(next) => tracing::debug!(?next, "reconciled"),
        Err(error) if counted == ReconcileResult::Requeue => tracing::debug!(%error, "somebody wrote first; again"),
        Err(error) => tracing::warn!(class = ?error.class, reason = error.reason, %error, "failed to reconcile"),
    }
    traces::end(trace, result.as_ref().map(|_| ()).map_err(|error| error.reason));
    metrics.reconciled(R::NAME, counted, clock.mono().saturating_sub(began));
    outcome
}

/// What the end of a reconcile means for the queue and for the metrics.
fn judge(result: &Result<Next, ReconcileError>, now: Timestamp) -> (Outcome, ReconcileResult) {
    match result {
        Ok(Next::WaitForChange) => (Outcome::Done { again: None }, ReconcileResult::Success),
        Ok(Next::At(due)) => (Outcome::Done { again: Some(Clock::until(now, *due)) }, ReconcileResult::RequeueAfter),
        Err(error) => match error.class {
            Class::Retry if error.reason == CONFLICT => (Outcome::Backoff, ReconcileResult::Requeue),
            Class::Retry => (Outcome::Backoff, ReconcileResult::Error),
            // A time in the past must not become a loop without a wait.
            Class::RetryAt(due) => {
                let again = Clock::until(now, due).clamp(MIN_HOLD, MAX_RETRY_AT);
                (Outcome::Hold { again }, ReconcileResult::Error)
            }
            Class::WaitForChange => (Outcome::Parked, ReconcileResult::Error),
            Class::Terminal => (Outcome::Parked, ReconcileResult::Terminal),
        },
    }
}

/// Shortest wait after an error.
const MIN_HOLD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
