//! AiBudget: what the jobs of some namespaces may cost, held against what they do cost.
//!
//! Reads like a table of contents: `validate` turns a spec into values that cannot be wrong, `known` says which budgets there
//! are, `dereference` reads what a decision needs (the ledger, the jobs, the bill), `decide` says how the budget stands,
//! `status` puts it into words, and `act` puts right what the ledger and the jobs disagree about. What lets work start is
//! [`ledger`]: it asks nobody here. [`leases`] gives money to callers that are no jobs.

mod act;
pub mod decide;
pub mod dereference;
pub mod known;
pub mod leases;
pub mod ledger;
pub mod measures;
mod notices;
mod report;
pub mod settings;
pub mod shown;
pub mod status;
pub mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use showrunner_crds::AiBudget;
use showrunner_kit::clock::Mono;
use showrunner_kit::controller::{Kit, Wiring};
use showrunner_kit::notify::Outbox;
use showrunner_kit::watch::Select;
use showrunner_kit::write::StatusWrite;
use showrunner_kit::{Next, ReconcileError, Reconciler, traces};
use showrunner_ledger::Amount;

use decide::{Input, decide};
use known::World;
use ledger::Ledger;
use ledger::pages::{ObjectPages, Pages, StorePages};
use report::Reports;
pub use settings::BudgetSettings;
use validate::Terms;

/// Our finalizer on budgets: nothing starts under one that goes, and it stays until what runs has been charged.
pub const FINALIZER: &str = "showrunner.dev/budget-open";
/// A budget's status is written no more often than this, however much is admitted and settled meanwhile.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// Amounts that metrics tell of a budget.
const AMOUNTS: [&str; 5] = ["spent", "reserved", "waiting", "warn", "cap"];
/// What events say was done.
const ACTION: &str = "Reconcile";

/// What budgets share with the rest of the operator.
#[derive(Clone)]
pub struct Shared {
    /// Lets work start.
    pub ledger: Arc<Ledger>,
    /// Tells people.
    pub outbox: Arc<Outbox>,
    /// The operator's own namespace.
    pub home: String,
}

/// Has budgets reconciled, and tells the ledger of them. Fails on settings that cannot work.
pub fn register(wiring: &mut Wiring, settings: &BudgetSettings, shared: &Shared) -> anyhow::Result<()> {
    let Shared { ledger, outbox, home } = shared;
    settings.check()?;
    let kit = wiring.kit().clone();
    // Before anybody else watches them: the first selection holds.
    let select = settings.selector.clone().filter(|selector| !selector.is_empty()).map_or(Select::Everything, Select::Labels);
    let budgets = wiring.watch::<AiBudget>(select);
    wiring.count_conditions::<AiBudget>(conditions_of);
    let namespaces = wiring.watch::<Namespace>(Select::Everything);
    let terms = Terms { currency: kit.config.currency.clone(), priority: kit.config.priority_class_name.clone() };
    let world = World { namespaces, terms, unbudgeted: settings.unbudgeted };
    let mut reports = None;
    let (pages, place): (Arc<dyn Pages>, String) = match &settings.ledger {
        None => (Arc::new(ObjectPages::new(kit.writer.clone(), home.clone())), format!("ConfigMaps in {home}")),
        Some(place) => {
            let store = kit.stores.get(&place.store).context("ledger.store")?;
            let folder = store.locate(home, &place.path).context("ledger.path")?;
            let beside = store.locate(home, &report::folder(&place.path)).context("ledger.path")?;
            reports = Some(Reports::new(Arc::clone(&store), beside, kit.clock));
            (Arc::new(StorePages::new(store, folder)), format!("{}: {}", place.store, place.path))
        }
    };
    let reconciler = BudgetReconciler {
        kit,
        ledger: Arc::clone(ledger),
        outbox: Arc::clone(outbox),
        home: home.clone(),
        world: world.clone(),
        written: Mutex::default(),
        fired: Mutex::default(),
        reports,
    };
    let nudge = wiring.control(reconciler).waker();
    ledger.connect((pages, place), budgets, world, nudge);
    Ok(())
}

fn conditions_of(budget: &AiBudget) -> &[Condition] {
    budget.status.as_ref().map_or(&[], |status| &status.conditions)
}

/// Tells how budgets stand.
pub struct BudgetReconciler {
    kit: Kit,
    ledger: Arc<Ledger>,
    outbox: Arc<Outbox>,
    /// The operator's own namespace.
    home: String,
    world: World,
    /// Keys of notices that this process has put out and that are not over.
    fired: Mutex<BTreeSet<String>>,
    /// Where reports go; none where there is no store.
    reports: Option<Reports>,
    /// When each budget's status was last written.
    written: Mutex<BTreeMap<String, Mono>>,
}

impl Reconciler for BudgetReconciler {
    type Kind = AiBudget;
    const NAME: &'static str = "aibudget";

    async fn reconcile(&self, object: Arc<AiBudget>, now: Timestamp) -> Result<Next, ReconcileError> {
        let name = object.name_any();
        let asks_anew = object.status.as_ref().and_then(|status| status.observed_generation) != object.metadata.generation;
        if let Some(wait) = self.too_soon(&name).filter(|_| !asks_anew) {
            return Ok(Next::At(now + wait));
        }
        let object = traces::in_step("act", self.hold(object)).await?;
        let reader = dereference::Reader { kit: &self.kit, ledger: &self.ledger, world: &self.world, home: &self.home, now };
        let seen = traces::in_step("dereference", reader.read(&object)).await;
        let decision = traces::step("decide").in_scope(|| decide(&Input { object: &object, seen: &seen, now }));
        let (mut status, notes) = status::tell(&object, &seen, &decision, now);
        if let Some(report) = traces::in_step("report", self.report(&object, &seen, &decision, now)).await {
            status.report = Some(report);
        }
        let write = self.kit.writer.write_status(object.as_ref(), &status);
        if let StatusWrite::Written(_) = traces::in_step("status", write).await? {
            self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), self.kit.clock.mono());
        }
        self.count(&name, &decision, &seen);
        self.ledger.put_in_force(&name, decision.measures.in_force.clone()).await?;
        for note in notes {
            self.kit.events.publish(object.as_ref(), note.severity, note.reason.into(), ACTION, &note.message).await;
        }
        traces::in_step("act", self.put_right(&object, &decision, &seen)).await?;
        Ok(Next::At(decision.next))
    }
}

impl BudgetReconciler {
    /// Tells the metrics how a budget stands.
    fn count(&self, name: &str, decision: &decide::Decision, seen: &dereference::Seen) {
        let money = decision.money.as_ref();
        let limits = seen.budget.limits;
        let amounts = [
            money.map(|money| money.spent.total),
            money.map(|money| money.reserved),
            money.map(|_| seen.waiting.need),
            limits.warn,
            limits.cap,
        ];
        let told: Vec<_> = AMOUNTS.into_iter().zip(amounts.map(|amount| amount.map(Amount::to_f64))).collect();
        self.kit.metrics.budget(name, &told);
    }

    /// How long until the budget's status may be written again.
    fn too_soon(&self, name: &str) -> Option<Duration> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let since = self.kit.clock.mono().saturating_sub(*written.get(name)?);
        STATUS_EVERY.checked_sub(since).filter(|wait| !wait.is_zero())
    }
}

#[cfg(test)]
mod tests;
