//! What is known of budgets now: which there are, over which namespaces, with which limits.
//!
//! Reads the caches of the watches, and what bills said when they were last read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt as _;
use showrunner_crds::AiBudget;
use showrunner_crds::ai_budget::{BudgetReason, NamespaceSelector};
use showrunner_kit::cache::{Cache, ShardState};
use showrunner_kit::object::ObjectKey;
use showrunner_kit::planted;
use showrunner_ledger::lease::LeaseRules;
use showrunner_ledger::period::{Calendar, PeriodKind};
use showrunner_ledger::rules::{Budget, Budgets, Limits, Mode};
use showrunner_ledger::{Amount, Booking};

use super::settings::Unbudgeted;
use super::validate::{Denominator, DenominatorWish, Refusal, Terms, Wish, calendar, wish};

/// The label that every namespace has.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Of a budget that cannot work.
const NO_LEASES: LeaseRules = LeaseRules { min: Amount::ZERO, ttl: Duration::ZERO, max_share: 0 };
/// How often a bill is read: bills change a few times a day.
const READ_EVERY: Duration = Duration::from_mins(10);
/// The same for one that could not be read.
const READ_AGAIN: Duration = Duration::from_secs(25);

/// Whether the API server itself says that a kind is not for us to see, or is not there. No answer says nothing: whoever took it for
/// "there are no budgets" would let everything start.
fn is_refused(shard: &ShardState) -> bool {
    shard.away.as_deref().is_some_and(|why| why.starts_with("403") || why.starts_with("404"))
}

/// What bills said when they were last read, by budget.
#[derive(Clone, Debug, Default)]
pub struct Denominators(Arc<Mutex<BTreeMap<String, Read>>>);

/// What a bill said, and when it was read.
#[derive(Clone, Debug)]
struct Read {
    at: Timestamp,
    said: Result<Denominator, String>,
}

/// Which bill is meant: a budget that names another one does not go by this one any more.
fn key(budget: &str, wish: &Wish) -> String {
    match wish.share.as_ref().map(|share| &share.of) {
        Some(DenominatorWish::Focus { store, path, .. }) => format!("{budget}/{store}/{path}"),
        Some(DenominatorWish::Fixed(_)) | None => format!("{budget}/"),
    }
}

impl Denominators {
    /// What is known for a budget.
    pub fn get(&self, budget: &str, wish: &Wish) -> Option<Result<Denominator, String>> {
        self.lock().get(&key(budget, wish)).map(|read| read.said.clone())
    }

    /// Whether a bill is to be read again: every so often, and sooner where it could not be read.
    pub fn is_due(&self, budget: &str, wish: &Wish, now: Timestamp) -> bool {
        self.lock().get(&key(budget, wish)).is_none_or(|read| {
            let every = if read.said.is_ok() { READ_EVERY } else { READ_AGAIN };
            now < read.at || now.duration_since(read.at).unsigned_abs() >= every
        })
    }

    /// Notes what a bill says.
    pub fn set(&self, budget: &str, wish: &Wish, said: Result<Denominator, String>, at: Timestamp) {
        let mut all = self.lock();
        let prefix = format!("{budget}/");
        let key = key(budget, wish);
        // One bill for each budget: another path is another bill.
        all.retain(|known, _| !known.starts_with(&prefix) || *known == key);
        all.insert(key, Read { at, said });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Read>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where it is seen.
#[derive(Clone)]
pub struct World {
    /// Namespaces with their labels; where they cannot be watched, each has none but its name.
    pub namespaces: Cache<Namespace>,
    /// What all jobs have in common.
    pub terms: Terms,
    /// What becomes of work that no budget is over.
    pub unbudgeted: Option<Unbudgeted>,
}

/// Budgets as they are now.
#[derive(Clone, Default)]
pub struct Known {
    /// For the rules.
    pub budgets: Budgets,
    /// What each asks for, or why it cannot work; one that cannot lets nothing start.
    pub wishes: BTreeMap<String, Result<Wish, Refusal>>,
    /// Turns of namespaces: the most that any budget gives.
    pub weights: BTreeMap<String, u32>,
    /// Work that no budget is over waits.
    pub holds_unbudgeted: bool,
    /// Currency of all amounts.
    pub currency: String,
    selectors: BTreeMap<String, NamespaceSelector>,
    /// Also of budgets that cannot work: what ends meanwhile is charged to their period.
    calendars: BTreeMap<String, Calendar>,
    namespaces: Option<Cache<Namespace>>,
}

impl World {
    /// Whether budgets and namespaces have been listed, or cannot be. Before that, nobody knows what they say.
    pub fn is_known(&self, budgets: &Cache<AiBudget>) -> bool {
        fn known<K: showrunner_kit::object::Object>(cache: &Cache<K>) -> bool {
            cache.shard_states().iter().all(|shard| shard.synced || is_refused(shard))
        }
        known(budgets) && known(&self.namespaces)
    }

    /// Whether the labels of a namespace are known, or can never be: the watch of namespaces may lag behind one that was just made.
    pub fn sees(&self, namespace: &str) -> bool {
        self.namespaces.get(&ObjectKey::new("", namespace)).is_some()
            || self.namespaces.shard_states().iter().any(|shard| !shard.synced && is_refused(shard))
    }

    /// Whether work that no budget is over waits even where there is no budget at all.
    pub fn holds_unbudgeted(&self) -> bool {
        self.unbudgeted == Some(Unbudgeted::Hold)
    }

    /// What is known now.
    pub fn known(&self, budgets: &Cache<AiBudget>, denominators: &Denominators, now: Timestamp) -> Known {
        let mut known =
            Known { namespaces: Some(self.namespaces.clone()), currency: self.terms.currency.clone(), ..Known::default() };
        let list = budgets.list();
        known.holds_unbudgeted = match self.unbudgeted {
            Some(unbudgeted) => unbudgeted == Unbudgeted::Hold,
            None => !(list.is_empty() && budgets.malformed().is_empty()),
        };
        for object in list {
            known.put(&object, &self.terms, denominators, now);
        }
        // What cannot be read may be over anything: nothing starts before it can be.
        for malformed in budgets.malformed() {
            let refusal = Refusal { reason: BudgetReason::DenominatorMissing, message: malformed.error };
            let name = malformed.key.name;
            let calendar = Calendar::new(PeriodKind::Month, TimeZone::UTC);
            known.budgets.insert(name.clone(), budget_of(&name, &Err(refusal), &calendar, denominators, false, now));
            known.selectors.insert(name, NamespaceSelector::default());
        }
        known
    }
}

/// A budget for the rules.
fn budget_of(
    name: &str,
    wish: &Result<Wish, Refusal>,
    calendar: &Calendar,
    denominators: &Denominators,
    closing: bool,
    now: Timestamp,
) -> Budget {
    let period = calendar.bounds(now);
    let limits = match wish {
        Err(refusal) => Err(refusal.message.clone()),
        Ok(wish) => wish.limits(denominator_of(wish, denominators.get(name, wish)).as_ref(), now),
    };
    let (limits, blind) = match limits {
        Ok(limits) => (limits, None),
        Err(_) if planted!("blind-admits") => (Limits::default(), None),
        Err(why) => (Limits::default(), Some(why)),
    };
    Budget {
        name: name.to_owned(),
        parent: wish.as_ref().ok().and_then(|wish| wish.parent.clone()),
        period,
        limits,
        mode: wish.as_ref().map_or(Mode::Enforce, |wish| wish.mode),
        blind,
        closing,
        // One that cannot work gives none.
        leases: wish.as_ref().map_or(NO_LEASES, |wish| wish.leases),
    }
}

/// What the limits of a budget are parts of.
pub fn denominator_of(wish: &Wish, read: Option<Result<Denominator, String>>) -> Option<Result<Denominator, String>> {
    match &wish.share.as_ref()?.of {
        DenominatorWish::Fixed(amount) => Some(Ok(Denominator { amount: *amount, as_of: None })),
        DenominatorWish::Focus { .. } => read,
    }
}

impl Known {
    /// Puts a budget in.
    pub fn put(&mut self, object: &AiBudget, terms: &Terms, denominators: &Denominators, now: Timestamp) {
        let name = object.name_any();
        for weight in &object.spec.weights {
            let most = self.weights.entry(weight.namespace.clone()).or_default();
            *most = weight.weight.max(*most);
        }
        let wish = wish(&object.spec, terms);
        let closing = object.metadata.deletion_timestamp.is_some();
        let calendar = calendar(&object.spec);
        self.budgets.insert(name.clone(), budget_of(&name, &wish, &calendar, denominators, closing, now));
        self.calendars.insert(name.clone(), calendar);
        self.selectors.insert(name.clone(), object.spec.scope.namespace_selector.clone());
        self.wishes.insert(name, wish);
    }

    /// Names of the budgets that are over a namespace themselves; their parents are found by the rules.
    pub fn matching(&self, namespace: &str) -> Vec<&str> {
        let found = self.namespaces.as_ref().and_then(|cache| cache.get(&ObjectKey::new("", namespace)));
        let mut labels = found.and_then(|found| found.metadata.labels.clone()).unwrap_or_default();
        labels.entry(NAME_LABEL.to_owned()).or_insert_with(|| namespace.to_owned());
        self.selectors.iter().filter(|(_, selector)| selector.selects(&labels)).map(|(name, _)| name.as_str()).collect()
    }

    /// In which period and on which day of each budget something is booked now.
    pub fn bookings(&self, chain: &[String], now: Timestamp) -> Vec<Booking> {
        let plain = Calendar::new(PeriodKind::Month, TimeZone::UTC);
        let now = if planted!("booked-last-month") { now - Duration::from_hours(31 * 24) } else { now };
        let booking = |budget: &String| {
            let calendar = self.calendars.get(budget).unwrap_or(&plain);
            Booking { budget: budget.clone(), period: calendar.label(now), day: calendar.day(now) }
        };
        chain.iter().map(booking).collect()
    }
}
