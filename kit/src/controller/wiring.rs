//! What a kind says once, at start: which objects it watches, what wakes it, who reconciles it.
//!
//! Starts watches (which read from the API server) and controllers; does no I/O of its own.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Controller, Feed, Reconciler};
use crate::admission::Admission;
use crate::cache::{Cache, Change};
use crate::clock::Clock;
use crate::events::Events;
use crate::jobs::{Jobs, JobsConfig};
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::names::{LABEL_MANAGED_BY, MANAGED_BY};
use crate::object::Object;
use crate::queue::QueueConfig;
use crate::store::Stores;
use crate::watch::{Select, Watch};
use crate::write::Writer;

/// What every reconciler is given. Cloning is cheap.
#[derive(Clone)]
pub struct Kit {
    /// Writes to the API server.
    pub writer: Writer,
    /// Records Events.
    pub events: Events,
    /// Acts on Jobs.
    pub jobs: Jobs,
    /// Object stores by profile.
    pub stores: Arc<Stores>,
    /// Admission of cost.
    pub admission: Arc<dyn Admission>,
    /// Our Jobs.
    pub job_cache: Cache<Job>,
    /// Pods of our Jobs.
    pub pod_cache: Cache<Pod>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Clocks.
    pub clock: Clock,
    /// What Jobs are made with.
    pub config: Arc<JobsConfig>,
}

/// Settings of the wiring.
#[derive(Clone, Debug)]
pub struct WiringConfig {
    /// Namespaces to watch; none means all.
    pub namespaces: Vec<String>,
    /// Queue settings of every controller.
    pub queue: QueueConfig,
    /// What Jobs are made with.
    pub jobs: JobsConfig,
    /// This process, unique among replicas and restarts; in Events.
    pub instance: String,
}

/// Everything that will run, put together before anything does.
pub struct Wiring {
    kit: Kit,
    client: Client,
    config: WiringConfig,
    watches: HashMap<TypeId, Box<dyn AnyWatch>>,
    controllers: Vec<Box<dyn AnyController>>,
}

impl Wiring {
    /// Nothing but Jobs and their pods is watched yet.
    pub fn new(
        client: Client,
        config: WiringConfig,
        leadership: &Leadership,
        stores: Arc<Stores>,
        admission: Arc<dyn Admission>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let ours = || Select::Labels(format!("{LABEL_MANAGED_BY}={MANAGED_BY}"));
        let jobs: Watch<Job> = Watch::new(&config.namespaces, ours());
        let pods: Watch<Pod> = Watch::new(&config.namespaces, ours());
        let writer = Writer::new(client.clone(), leadership.clone(), Arc::clone(&metrics));
        let kit = Kit {
            events: Events::new(client.clone(), leadership.clone(), Arc::clone(&metrics), clock, &config.instance),
            jobs: Jobs::new(writer.clone()),
            writer,
            stores,
            admission,
            job_cache: jobs.cache().clone(),
            pod_cache: pods.cache().clone(),
            metrics,
            clock,
            config: Arc::new(config.jobs.clone()),
        };
        let mut wiring = Self { kit, client, config, watches: HashMap::new(), controllers: Vec::new() };
        wiring.add(jobs);
        wiring.add(pods);
        wiring
    }

    /// What reconcilers are given.
    pub fn kit(&self) -> &Kit {
        &self.kit
    }

    /// Watches a kind; asked again for the same kind, gives the same cache (and keeps the first selection).
    pub fn watch<K: Object>(&mut self, select: Select) -> Cache<K> {
        if let Some(watch) = self.find::<K>() {
            return watch.cache().clone();
        }
        let watch = Watch::<K>::new(&self.config.namespaces, select);
        let cache = watch.cache().clone();
        self.add(watch);
        cache
    }

    /// Counts the conditions of a watched kind in `operator_status_condition_count`.
    pub fn count_conditions<K: Object>(&mut self, conditions: fn(&K) -> &[Condition]) {
        let cache = self.watch::<K>(Select::Everything);
        let seen = Mutex::new(Vec::new());
        self.kit.metrics.on_render(move |metrics| {
            let mut counts: BTreeMap<[String; 3], i64> = BTreeMap::new();
            for object in cache.list() {
                for condition in conditions(&object) {
                    let labels = [condition.type_.clone(), condition.status.clone(), condition.reason.clone()];
                    *counts.entry(labels).or_default() += 1;
                }
            }
            let counts: Vec<_> = counts.into_iter().collect();
            metrics.count_conditions(&K::kind(&()), &mut seen.lock().unwrap_or_else(PoisonError::into_inner), &counts);
        });
    }

    /// Has objects of a kind reconciled; watches them if nobody does yet.
    pub fn control<R: Reconciler>(&mut self, reconciler: R) -> Control<'_, R> {
        let objects = self.watch::<R::Kind>(Select::Everything);
        let queue = self.config.queue;
        let controller = Controller::new(reconciler, objects.clone(), queue, Arc::clone(&self.kit.metrics), self.kit.clock);
        let feed = controller.feed();
        self.controllers.push(Box::new(controller));
        let primary = feed.clone();
        self.listen::<R::Kind>(move |change| primary.primary(change));
        Control { wiring: self, feed, objects, reconciler: PhantomData }
    }

    /// Starts all watches and returns what is needed to run the controllers once this replica leads.
    pub fn start(self, stop: &CancellationToken) -> Started {
        let mut watches = JoinSet::new();
        let mut synced: BTreeMap<String, Box<dyn Fn() -> CacheState + Send + Sync>> = BTreeMap::new();
        for watch in self.watches.into_values() {
            synced.insert(watch.kind(), watch.state());
            watches.spawn(watch.run(self.client.clone(), Arc::clone(&self.kit.metrics), self.kit.clock, stop.clone()));
        }
        let feeds = self.controllers.iter().map(|controller| (controller.name(), controller.stats())).collect();
        Started { controllers: self.controllers, view: View(Arc::new(Views { synced, feeds })), watches }
    }

    fn add<K: Object>(&mut self, watch: Watch<K>) {
        let cache = watch.cache().clone();
        let clock = self.kit.clock;
        self.kit.metrics.on_render(move |metrics| metrics.cache(&K::kind(&()), cache.len(), cache.malformed().len(), clock));
        self.watches.insert(TypeId::of::<K>(), Box::new(watch));
    }

    fn find<K: Object>(&mut self) -> Option<&mut Watch<K>> {
        self.watches.get_mut(&TypeId::of::<K>())?.as_any().downcast_mut()
    }

    fn listen<K: Object>(&mut self, listener: impl Fn(&Change<K>) + Send + Sync + 'static) {
        if let Some(watch) = self.find::<K>() {
            watch.listen(Box::new(listener));
        }
    }
}

/// What else wakes a controller.
pub struct Control<'a, R: Reconciler> {
    wiring: &'a mut Wiring,
    feed: Feed,
    objects: Cache<R::Kind>,
    reconciler: PhantomData<R>,
}

impl<R: Reconciler> Control<'_, R> {
    /// Our Jobs and their pods wake the object that they work for.
    #[must_use]
    pub fn owns_jobs(self) -> Self {
        self.owns::<Job>().owns::<Pod>()
    }

    /// Children of this kind (by controller reference, or by the owner-uid label) wake their owner. Kinds that nobody
    /// watches yet are watched by our label.
    #[must_use]
    pub fn owns<C: Object>(self) -> Self {
        let select = Select::Labels(format!("{LABEL_MANAGED_BY}={MANAGED_BY}"));
        let _: Cache<C> = self.wiring.watch(select);
        let (feed, owners) = (self.feed.clone(), self.objects.clone());
        self.wiring.listen::<C>(move |change| feed.child(change, &owners));
        self
    }
}

/// Watches that run, and controllers that are ready to.
pub struct Started {
    controllers: Vec<Box<dyn AnyController>>,
    view: View,
    watches: JoinSet<()>,
}

impl Started {
    /// For `/readyz` and `/debug/state`.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Waits for the caches, then runs all controllers until `stop` and drains them within `grace`. True when nothing
    /// was cut off.
    pub async fn control(&mut self, stop: &CancellationToken, grace: Duration) -> bool {
        // Caches are pure and have nobody to tell; a start happens once, so looking every 50 ms costs nothing.
        const LOOK: Duration = Duration::from_millis(50);
        while !self.view.pending().is_empty() {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return true,
            }
        }
        let mut all = JoinSet::new();
        for controller in self.controllers.drain(..) {
            all.spawn(controller.run(stop.clone(), grace));
        }
        let ends = all.join_all().await;
        ends.into_iter().all(|left| left == 0)
    }

    /// Waits for the watches to end, which they do when their stop is cancelled.
    pub async fn join(mut self) {
        while self.watches.join_next().await.is_some() {}
    }
}

struct CacheState {
    synced: bool,
    objects: usize,
    malformed: Vec<Value>,
}

struct Views {
    synced: BTreeMap<String, Box<dyn Fn() -> CacheState + Send + Sync>>,
    feeds: BTreeMap<&'static str, Feed>,
}

/// A look at what runs. Cloning is cheap.
#[derive(Clone)]
pub struct View(Arc<Views>);

impl View {
    /// Kinds whose caches have not had their first full list.
    pub fn pending(&self) -> Vec<String> {
        self.0.synced.iter().filter(|(_, state)| !state().synced).map(|(kind, _)| kind.clone()).collect()
    }

    /// Everything there is to see, for people who debug. Names malformed objects, so it is for loopback only.
    pub fn debug(&self) -> Value {
        let caches: BTreeMap<_, _> = self.0.synced.iter().map(|(kind, state)| {
            let state = state();
            (kind, json!({ "synced": state.synced, "objects": state.objects, "malformed": state.malformed }))
        }).collect();
        let queues: BTreeMap<_, _> = self.0.feeds.iter().map(|(name, feed)| {
            let stats = feed.stats();
            (name, json!({
                "ready": stats.depth, "running": stats.running, "waiting": stats.waiting, "held": stats.held,
                "adds": stats.adds, "retries": stats.retries, "longestRunningSeconds": stats.longest.as_secs_f64(),
            }))
        }).collect();
        json!({ "caches": caches, "queues": queues })
    }
}

/// A [`Watch`] of whatever kind.
trait AnyWatch: Send {
    fn as_any(&mut self) -> &mut dyn Any;
    fn kind(&self) -> String;
    fn state(&self) -> Box<dyn Fn() -> CacheState + Send + Sync>;
    fn run(self: Box<Self>, client: Client, metrics: Arc<Metrics>, clock: Clock, stop: CancellationToken) -> BoxFuture<'static, ()>;
}

impl<K: Object> AnyWatch for Watch<K> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn kind(&self) -> String {
        K::kind(&()).into_owned()
    }

    fn state(&self) -> Box<dyn Fn() -> CacheState + Send + Sync> {
        let cache = self.cache().clone();
        Box::new(move || CacheState {
            synced: cache.synced(),
            objects: cache.len(),
            malformed: cache.malformed().iter().map(|m| json!({ "object": m.key.to_string(), "error": m.error })).collect(),
        })
    }

    fn run(self: Box<Self>, client: Client, metrics: Arc<Metrics>, clock: Clock, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Watch::run(*self, client, metrics, clock, stop).boxed()
    }
}

/// A [`Controller`] of whatever kind.
trait AnyController: Send {
    fn name(&self) -> &'static str;
    fn stats(&self) -> Feed;
    fn run(self: Box<Self>, stop: CancellationToken, grace: Duration) -> BoxFuture<'static, usize>;
}

impl<R: Reconciler> AnyController for Controller<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn stats(&self) -> Feed {
        self.feed()
    }

    fn run(self: Box<Self>, stop: CancellationToken, grace: Duration) -> BoxFuture<'static, usize> {
        Controller::run(*self, stop, grace).boxed()
    }
}
