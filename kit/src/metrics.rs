//! Every metric of the operator, under the names that people's dashboards know where such names exist.
//!
//! No I/O. No label ever carries the name of an object, a namespace or a path: label sets stay as small as the code.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::clock::{Clock, Mono};
use crate::queue::Stats;

/// Content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type FloatGauge = Gauge<f64, AtomicU64>;
/// Works out gauges that are true only at the moment they are read.
type Refresher = Box<dyn Fn(&Metrics) + Send + Sync>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabel {
    controller: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    controller: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    name: String,
    controller: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RestLabels {
    code: String,
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NameLabel {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: String,
    verb: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteResultLabels {
    kind: String,
    verb: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    store: String,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabel {
    store: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConditionLabels {
    kind: String,
    r#type: String,
    status: String,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BudgetLabels {
    budget: String,
    what: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct NoticeLabels {
    channel: String,
    outcome: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// What became of a span that was to be exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOutcome {
    /// The collector has it.
    Sent,
    /// The collector did not take it.
    Failed,
    /// There was no room to wait in.
    Dropped,
}

/// How a reconcile ended, as `controller_runtime_reconcile_total` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// It worked.
    Success,
    /// It worked and wants to be run again at a time of its own.
    RequeueAfter,
    /// Somebody else wrote first; it runs again. Not an error.
    Requeue,
    /// It failed.
    Error,
    /// It failed in a way that only a change can cure.
    Terminal,
}

fn seconds_histogram() -> Histogram {
    // 1 ms to 131 s in steps of two.
    Histogram::new(exponential_buckets(0.001, 2.0, 18))
}

macro_rules! metrics {
    ($($field:ident: $type:ty = $init:expr, $name:literal, $help:literal;)*) => {
        /// All metrics. Made once and shared.
        pub struct Metrics {
            registry: Registry,
            refreshers: Mutex<Vec<Refresher>>,
            $($field: $type,)*
        }

        impl Metrics {
            /// All metrics, at zero.
            pub fn new() -> Self {
                let mut registry = Registry::default();
                $(let $field: $type = $init; registry.register($name, $help, $field.clone());)*
                Self { registry, refreshers: Mutex::default(), $($field,)* }
            }
        }
    };
}

metrics! {
    reconciles: Family<ResultLabels, Counter> = Family::default(),
        "controller_runtime_reconcile", "Reconciles by how they ended";
    reconcile_errors: Family<ControllerLabel, Counter> = Family::default(),
        "controller_runtime_reconcile_errors", "Reconciles that failed; a write conflict is not a failure";
    terminal_errors: Family<ControllerLabel, Counter> = Family::default(),
        "controller_runtime_terminal_reconcile_errors", "Reconciles that failed for good: a bug or a broken invariant";
    panics: Family<ControllerLabel, Counter> = Family::default(),
        "controller_runtime_reconcile_panics", "Reconciles that panicked";
    reconcile_seconds: Family<ControllerLabel, Histogram, fn() -> Histogram> = Family::new_with_constructor(seconds_histogram),
        "controller_runtime_reconcile_time_seconds", "How long a reconcile took";
    active_workers: Family<ControllerLabel, Gauge> = Family::default(),
        "controller_runtime_active_workers", "Reconciles that run now";
    max_workers: Family<ControllerLabel, Gauge> = Family::default(),
        "controller_runtime_max_concurrent_reconciles", "Reconciles that may run at once";
    depth: Family<QueueLabels, Gauge> = Family::default(),
        "workqueue_depth", "Objects that are ready and not yet taken";
    adds: Family<QueueLabels, Counter> = Family::default(),
        "workqueue_adds", "Objects that became ready";
    retries: Family<QueueLabels, Counter> = Family::default(),
        "workqueue_retries", "Objects that became ready because a backoff ended";
    queue_seconds: Family<QueueLabels, Histogram, fn() -> Histogram> = Family::new_with_constructor(seconds_histogram),
        "workqueue_queue_duration_seconds", "How long an object was ready before it was taken";
    work_seconds: Family<QueueLabels, Histogram, fn() -> Histogram> = Family::new_with_constructor(seconds_histogram),
        "workqueue_work_duration_seconds", "How long an object was worked on";
    unfinished: Family<QueueLabels, FloatGauge> = Family::default(),
        "workqueue_unfinished_work_seconds", "Sum over running reconciles of how long each has run";
    longest: Family<QueueLabels, FloatGauge> = Family::default(),
        "workqueue_longest_running_processor_seconds", "How long the reconcile that has run longest has run";
    held: Family<QueueLabels, Gauge> = Family::default(),
        "showrunner_workqueue_held", "Objects in a backoff or waiting for a time that an error named";
    rest_requests: Family<RestLabels, Counter> = Family::default(),
        "rest_client_requests", "Requests to the API server by code and method; code is <error> when no answer came";
    leader: Family<NameLabel, Gauge> = Family::default(),
        "leader_election_master_status", "1 while this replica leads";
    writes: Family<WriteLabels, Counter> = Family::default(),
        "showrunner_writes", "Writes that the API server accepted";
    writes_failed: Family<WriteResultLabels, Counter> = Family::default(),
        "showrunner_writes_failed", "Writes that did not succeed, by reason";
    budgets: Family<BudgetLabels, FloatGauge> = Family::default(),
        "showrunner_budget_amount", "Money of each AiBudget in its period: spent, reserved, waiting, warn, cap; absent where it is not known";
    notices: Family<NoticeLabels, Counter> = Family::default(),
        "showrunner_notices", "Notices to people by channel and by what became of them";
    events_failed: Counter = Counter::default(),
        "showrunner_events_failed", "Events that could not be recorded";
    malformed: Family<KindLabel, Gauge> = Family::default(),
        "showrunner_malformed_objects", "Objects that cannot be read and are left alone; should be 0";
    cached: Family<KindLabel, Gauge> = Family::default(),
        "showrunner_cache_objects", "Objects in the cache";
    away: Family<KindLabel, Gauge> = Family::default(),
        "showrunner_namespaces_away", "Namespaces in which the kind cannot be listed or watched; /readyz names them";
    watch_age: Family<KindLabel, FloatGauge> = Family::default(),
        "showrunner_watch_last_event_age_seconds", "Time since the last event of a watch; -1 before the first";
    watch_errors: Family<KindLabel, Counter> = Family::default(),
        "showrunner_watch_errors", "Watches and lists that failed and were retried";
    store_requests: Family<StoreLabels, Counter> = Family::default(),
        "showrunner_store_requests", "Requests to object stores by outcome";
    store_seconds: Family<StoreLabels, Histogram, fn() -> Histogram> = Family::new_with_constructor(seconds_histogram),
        "showrunner_store_request_seconds", "How long requests to object stores took";
    stores_away: Family<StoreLabel, Gauge> = Family::default(),
        "showrunner_store_away", "1 while a store does not answer and is asked by one request at a time only";
    spans: Family<OutcomeLabel, Counter> = Family::default(),
        "showrunner_trace_spans", "Spans of traces by what became of them: sent, failed, dropped";
    guarded: Family<OutcomeLabel, Counter> = Family::default(),
        "showrunner_debug_requests", "Requests to the guarded debug listener: allowed, unauthenticated, forbidden, unavailable";
    leases: Family<OutcomeLabel, Counter> = Family::default(),
        "showrunner_lease_requests", "Requests for leases of money by what was answered: Granted, Known, Told, Ended, Verified, or why not";
    conditions: Family<ConditionLabels, Gauge> = Family::default(),
        "operator_status_condition_count", "Objects by condition, its status and its reason";
    last_events: Family<KindLabel, FloatGauge> = Family::default(),
        "showrunner_watch_last_event_seconds", "When the last event of a watch came, in seconds since the process started";
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// The text that Prometheus scrapes, with gauges worked out now.
    pub fn render(&self) -> String {
        for refresh in self.refreshers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            refresh(self);
        }
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "failed to write the metrics");
        }
        text
    }

    /// Has `refresh` called before each [`Metrics::render`].
    pub fn on_render(&self, refresh: impl Fn(&Self) + Send + Sync + 'static) {
        self.refreshers.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(refresh));
    }

    pub(crate) fn reconciled(&self, controller: &str, result: ReconcileResult, took: Duration) {
        let label = ControllerLabel { controller: controller.to_owned() };
        let name = match result {
            ReconcileResult::Success => "success",
            ReconcileResult::RequeueAfter => "requeue_after",
            ReconcileResult::Requeue => "requeue",
            ReconcileResult::Error | ReconcileResult::Terminal => "error",
        };
        self.reconciles.get_or_create(&ResultLabels { controller: controller.to_owned(), result: name }).inc();
        self.reconcile_seconds.get_or_create(&label).observe(took.as_secs_f64());
        if matches!(result, ReconcileResult::Error | ReconcileResult::Terminal) {
            self.reconcile_errors.get_or_create(&label).inc();
        }
        if result == ReconcileResult::Terminal {
            self.terminal_errors.get_or_create(&label).inc();
        }
    }

    /// A controller that will run: its counters of failures are there before the first one, or nobody could see that one
    /// as an increase.
    pub(crate) fn control(&self, controller: &str) {
        let label = ControllerLabel { controller: controller.to_owned() };
        for counter in [&self.reconcile_errors, &self.terminal_errors, &self.panics] {
            drop(counter.get_or_create(&label));
        }
    }

    pub(crate) fn spans(&self, outcome: SpanOutcome, count: u64) {
        let outcome = match outcome {
            SpanOutcome::Sent => "sent",
            SpanOutcome::Failed => "failed",
            SpanOutcome::Dropped => "dropped",
        };
        self.spans.get_or_create(&OutcomeLabel { outcome }).inc_by(count);
    }

    pub(crate) fn guarded(&self, outcome: &'static str) {
        self.guarded.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts a request about leases by its answer.
    pub fn lease(&self, outcome: &'static str) {
        self.leases.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn panicked(&self, controller: &str) {
        self.panics.get_or_create(&ControllerLabel { controller: controller.to_owned() }).inc();
    }

    pub(crate) fn taken(&self, controller: &str, waited: Duration) {
        self.queue_seconds.get_or_create(&queue_labels(controller)).observe(waited.as_secs_f64());
    }

    pub(crate) fn worked(&self, controller: &str, took: Duration) {
        self.work_seconds.get_or_create(&queue_labels(controller)).observe(took.as_secs_f64());
    }

    pub(crate) fn queue(&self, controller: &str, concurrency: usize, stats: &Stats) {
        let queue = queue_labels(controller);
        let label = ControllerLabel { controller: controller.to_owned() };
        self.depth.get_or_create(&queue).set(stats.depth as i64);
        self.held.get_or_create(&queue).set(stats.held as i64);
        self.unfinished.get_or_create(&queue).set(stats.unfinished.as_secs_f64());
        self.longest.get_or_create(&queue).set(stats.longest.as_secs_f64());
        self.active_workers.get_or_create(&label).set(stats.running as i64);
        self.max_workers.get_or_create(&label).set(concurrency as i64);
        raise(&self.adds.get_or_create(&queue), stats.adds);
        raise(&self.retries.get_or_create(&queue), stats.retries);
    }

    pub(crate) fn rest(&self, code: String, method: String) {
        self.rest_requests.get_or_create(&RestLabels { code, method }).inc();
    }

    /// Says whether this replica leads.
    pub fn leading(&self, name: &'static str, leads: bool) {
        self.leader.get_or_create(&NameLabel { name }).set(i64::from(leads));
    }

    pub(crate) fn wrote(&self, kind: &str, verb: &'static str) {
        self.writes.get_or_create(&WriteLabels { kind: kind.to_owned(), verb }).inc();
    }

    pub(crate) fn write_failed(&self, kind: &str, verb: &'static str, reason: &'static str) {
        self.writes_failed.get_or_create(&WriteResultLabels { kind: kind.to_owned(), verb, reason }).inc();
    }

    /// How a budget stands; what is not known is not told.
    pub fn budget(&self, budget: &str, amounts: &[(&'static str, Option<f64>)]) {
        for (what, amount) in amounts {
            let labels = BudgetLabels { budget: budget.to_owned(), what };
            match amount {
                Some(amount) => drop(self.budgets.get_or_create(&labels).set(*amount)),
                None => drop(self.budgets.remove(&labels)),
            }
        }
    }

    /// What became of a notice.
    pub fn notified(&self, channel: &str, outcome: &str) {
        self.notices.get_or_create(&NoticeLabels { channel: channel.to_owned(), outcome: outcome.to_owned() }).inc();
    }

    pub(crate) fn event_failed(&self) {
        self.events_failed.inc();
    }

    pub(crate) fn watch_event(&self, kind: &str, now: Mono) {
        self.last_events.get_or_create(&KindLabel { kind: kind.to_owned() }).set(now.as_secs_f64());
    }

    pub(crate) fn watch_error(&self, kind: &str) {
        self.watch_errors.get_or_create(&KindLabel { kind: kind.to_owned() }).inc();
    }

    pub(crate) fn cache(&self, kind: &str, objects: usize, malformed: usize, away: usize, clock: Clock) {
        let label = KindLabel { kind: kind.to_owned() };
        self.cached.get_or_create(&label).set(objects as i64);
        self.malformed.get_or_create(&label).set(malformed as i64);
        self.away.get_or_create(&label).set(away as i64);
        let last = self.last_events.get(&label).map(|gauge| gauge.get());
        let age = last.map_or(-1.0, |last| clock.mono().as_secs_f64() - last);
        self.watch_age.get_or_create(&label).set(age);
    }

    pub(crate) fn stored(&self, store: &str, operation: &'static str, outcome: &'static str, took: Duration) {
        let labels = StoreLabels { store: store.to_owned(), operation, outcome };
        self.store_requests.get_or_create(&labels).inc();
        self.store_seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    pub(crate) fn store_away(&self, store: &str, away: bool) {
        self.stores_away.get_or_create(&StoreLabel { store: store.to_owned() }).set(i64::from(away));
    }

    /// Replaces the condition gauges of one kind by these counts of (type, status, reason).
    pub(crate) fn count_conditions(&self, kind: &str, seen: &mut Vec<[String; 3]>, counts: &[([String; 3], i64)]) {
        let labels = |[r#type, status, reason]: &[String; 3]| ConditionLabels {
            kind: kind.to_owned(),
            r#type: r#type.clone(),
            status: status.clone(),
            reason: reason.clone(),
        };
        for old in seen.drain(..) {
            self.conditions.remove(&labels(&old));
        }
        for (labels_now, count) in counts {
            self.conditions.get_or_create(&labels(labels_now)).set(*count);
            seen.push(labels_now.clone());
        }
    }
}

fn queue_labels(controller: &str) -> QueueLabels {
    QueueLabels { name: controller.to_owned(), controller: controller.to_owned() }
}

/// Brings a counter up to a count that is kept elsewhere.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
