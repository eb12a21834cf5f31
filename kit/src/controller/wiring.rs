//! What a kind says once, at start: which objects it watches, what wakes it, who reconciles it.
//!
//! Starts watches (which read from the API server) and controllers; does no I/O of its own.

use std::any::{Any, TypeId};
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use serde_json::json;
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::view::{CacheState, LookAt, View};
use super::{Controller, Feed, Opener, Reconciler};
use crate::admission::{Admission, Wake};
use crate::cache::{Cache, Change};
use crate::clock::Clock;
use crate::events::Events;
use crate::jobs::orphans::{KnownOwner, OrphanJobs, OrphanPods};
use crate::jobs::room::{Asking, Place, Room};
use crate::jobs::seal::slim;
use crate::jobs::{Jobs, JobsConfig};
use crate::lease::Leadership;
use crate::metrics::Metrics;
use crate::names::{LABEL_MANAGED_BY, MANAGED_BY};
use crate::object::{Object, ObjectKey};
use crate::queue::{QueueConfig, Trigger};
use crate::store::Stores;
use crate::watch::{Means, Select, Watch};
use crate::write::Writer;

/// What every reconciler is given. Cloning is cheap.
#[derive(Clone)]
pub struct Kit {
    /// Writes to the API server.
    pub writer: Writer,
    /// Records Events.
    pub events: Events,
    /// Acts on Jobs, and accounts for what they cost.
    pub jobs: Jobs,
    /// Room for Jobs in flight.
    pub room: Room,
    /// Object stores by profile.
    pub stores: Arc<Stores>,
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
    /// Most writes to the API server a second, all controllers together.
    pub writes_per_second: u32,
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
    controllers: Vec<Planned>,
    /// One per kind that owns Jobs.
    owners: Vec<(KnownOwner, Synced)>,
}

/// Whether a cache has had its first full list of a shard.
type Synced = Box<dyn Fn(usize) -> bool + Send + Sync>;

/// A controller and the caches that it must know of a namespace before it works there.
struct Planned {
    controller: Box<dyn AnyController>,
    needs: Vec<Synced>,
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
        let jobs: Watch<Job> = Watch::new(&config.namespaces, ours()).keeping(slim);
        let pods: Watch<Pod> = Watch::new(&config.namespaces, ours());
        let writer = Writer::new(client.clone(), leadership.clone(), Arc::clone(&metrics)).paced(config.writes_per_second, clock);
        let made_with = Arc::new(config.jobs.clone());
        let kit = Kit {
            events: Events::new(client.clone(), leadership.clone(), Arc::clone(&metrics), clock, &config.instance),
            jobs: Jobs::new(writer.clone(), admission, Some(Arc::clone(&made_with))),
            writer,
            stores,
            room: Room::new(config.jobs.max_in_flight),
            job_cache: jobs.cache().clone(),
            pod_cache: pods.cache().clone(),
            metrics,
            clock,
            config: made_with,
        };
        let mut wiring = Self { kit, client, config, watches: HashMap::new(), controllers: Vec::new(), owners: Vec::new() };
        wiring.add(jobs);
        wiring.add(pods);
        let asked = wiring.kit.jobs.clone();
        wiring.listen::<Job>(move |change| {
            if let Change::Removed(job) = change {
                asked.forget(&ObjectKey::of(&job.metadata));
            }
        });
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
        let (cache, index) = (objects.clone(), self.controllers.len());
        self.controllers
            .push(Planned { controller: Box::new(controller), needs: vec![Box::new(move |shard| knows(&cache, shard))] });
        let primary = feed.clone();
        self.listen::<R::Kind>(move |change| primary.primary(change));
        Control { wiring: self, index, feed, objects, reconciler: PhantomData }
    }

    /// Has Jobs and pods let go whose owner is gone: nobody else would, and our finalizers would hold them for ever.
    fn control_orphans(&mut self) {
        let (known, synced): (Vec<_>, Vec<_>) = std::mem::take(&mut self.owners).into_iter().unzip();
        let kit = self.kit.clone();
        let control = self.control(OrphanJobs::new(kit.clone(), known)).owns::<Pod>();
        let index = control.index;
        self.controllers[index].needs.extend(synced);
        let _ = self.control(OrphanPods::new(kit)).needs::<Job>();
    }

    /// Starts all watches and returns what is needed to run the controllers once this replica leads.
    pub fn start(mut self, stop: &CancellationToken) -> Started {
        self.control_orphans();
        let mut watches = JoinSet::new();
        let mut caches: BTreeMap<String, LookAt> = BTreeMap::new();
        let listed = Sender::new(());
        let (shards, metrics) = (self.kit.job_cache.shards(), Arc::clone(&self.kit.metrics));
        let means = Means { client: self.client, metrics, clock: self.kit.clock, listed: listed.clone() };
        for watch in self.watches.into_values() {
            caches.insert(watch.kind(), watch.state());
            watches.spawn(watch.run(means.clone(), stop.clone()));
        }
        let feeds = self.controllers.iter().map(|planned| (planned.controller.name(), planned.controller.feed())).collect();
        Started { controllers: self.controllers, view: View::new(caches, feeds), watches, shards, listed, room: self.kit.room }
    }

    fn add<K: Object>(&mut self, watch: Watch<K>) {
        let cache = watch.cache().clone();
        let clock = self.kit.clock;
        self.kit.metrics.on_render(move |metrics| {
            let away = cache.shard_states().iter().filter(|shard| shard.away.is_some()).count();
            metrics.cache(&K::kind(&()), cache.len(), cache.malformed().len(), away, clock);
        });
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

/// Whether a cache has had its first full list of a shard. What is in no namespace is one shard for all.
fn knows<K: Object>(cache: &Cache<K>, shard: usize) -> bool {
    cache.synced(if K::CLUSTER { 0 } else { shard })
}

/// Objects that we made.
fn ours() -> Select {
    Select::Labels(format!("{LABEL_MANAGED_BY}={MANAGED_BY}"))
}

/// What else wakes a controller.
pub struct Control<'a, R: Reconciler> {
    wiring: &'a mut Wiring,
    index: usize,
    feed: Feed,
    objects: Cache<R::Kind>,
    reconciler: PhantomData<R>,
}

impl<R: Reconciler> Control<'_, R> {
    /// Has an object of the kind looked at again.
    pub fn waker(&self) -> Wake {
        let feed = self.feed.clone();
        Arc::new(move |key| feed.push(key, Trigger::Related))
    }

    /// Our Jobs and their pods wake the object that they work for.
    #[must_use]
    pub fn owns_jobs(self) -> Self {
        let (known, synced) = (self.objects.clone(), self.objects.clone());
        let known = move |uid: &str| known.key_of_uid(uid).is_some();
        self.wiring.kit.jobs.wake_by(&<R::Kind as kube::Resource>::kind(&()), self.waker());
        self.wiring.owners.push((Box::new(known), Box::new(move |shard| knows(&synced, shard))));
        self.owns::<Job>().owns::<Pod>()
    }

    /// Objects of this kind wait for room for their Jobs, which they hold as long as `place` says so: they are woken when it
    /// is their turn, and hold and ask no more once they are gone.
    #[must_use]
    pub fn takes_room(self, place: fn(&R::Kind) -> Place) -> Self {
        let (feed, objects, room) = (self.feed.clone(), self.objects.clone(), self.wiring.kit.room.clone());
        room.add(Arc::new(move |key| feed.push(key, Trigger::Related)), Arc::new(move || objects.shard_states()));
        self.wiring.listen::<R::Kind>(move |change| {
            let Some(asking) = Asking::of(kube::Resource::meta(change.object().as_ref())) else { return };
            match change {
                Change::Applied { object, .. } => room.seen(&asking, place(object)),
                Change::Removed(_) => room.forget(&asking),
            }
        });
        self
    }

    /// Objects of this kind are read by the reconciler and wake nobody; it works nowhere before they are known there.
    #[must_use]
    pub fn needs<C: Object>(self) -> Self {
        let cache: Cache<C> = self.wiring.watch(ours());
        self.wiring.controllers[self.index].needs.push(Box::new(move |shard| knows(&cache, shard)));
        self
    }

    /// Children of this kind (by controller reference, or by the owner-uid label) wake their owner. Kinds that nobody
    /// watches yet are watched by our label.
    #[must_use]
    pub fn owns<C: Object>(self) -> Self {
        let this = self.needs::<C>();
        let (feed, owners) = (this.feed.clone(), this.objects.clone());
        this.wiring.listen::<C>(move |change| feed.child(change, &owners));
        this
    }
}

/// Watches that run, and controllers that are ready to.
pub struct Started {
    controllers: Vec<Planned>,
    view: View,
    watches: JoinSet<()>,
    /// Namespace of each shard, the same for all kinds.
    shards: Vec<Option<String>>,
    /// Told after each full list, and when there is none to be had.
    listed: Sender<()>,
    room: Room,
}

impl Started {
    /// For `/readyz` and `/debug/state`.
    pub fn view(&self) -> View {
        self.view.clone()
    }

    /// Runs the controllers until `stop`, each in every namespace of which it knows all that it needs: neither a kind that
    /// is not installed nor a namespace that cannot be listed keeps another waiting. Drains them within `grace`. True
    /// when nothing was cut off.
    pub async fn control(&mut self, stop: &CancellationToken, grace: Duration) -> bool {
        let mut all = JoinSet::new();
        for Planned { controller, needs } in self.controllers.drain(..) {
            let opening = open_known(self.shards.clone(), needs, controller.opener(), self.listed.subscribe());
            let running = controller.run(stop.clone(), grace);
            all.spawn(async move {
                tokio::pin!(running);
                tokio::select! {
                    left = &mut running => left,
                    () = opening => running.await,
                }
            });
        }
        let ends = tokio::select! {
            ends = all.join_all() => ends,
            never = keep_looking(&self.room, self.listed.subscribe()) => match never {},
        };
        ends.into_iter().all(|left| left == 0)
    }

    /// Waits for the watches to end, which they do when their stop is cancelled.
    pub async fn join(mut self) {
        while self.watches.join_next().await.is_some() {}
    }
}

/// Opens each namespace to a controller once everything it needs is known there; ends when all are open.
async fn open_known(shards: Vec<Option<String>>, needs: Vec<Synced>, open: Opener, mut listed: Receiver<()>) {
    let mut closed: Vec<(usize, Option<String>)> = shards.into_iter().enumerate().collect();
    loop {
        listed.mark_unchanged();
        closed.retain(|(shard, namespace)| {
            let known = needs.iter().all(|synced| synced(*shard));
            if known {
                open(namespace.as_deref());
            }
            !known
        });
        if closed.is_empty() || listed.changed().await.is_err() {
            return;
        }
    }
}

/// Has those who wait for room looked at again whenever more is known of a namespace, or less.
async fn keep_looking(room: &Room, mut listed: Receiver<()>) -> Infallible {
    while listed.changed().await.is_ok() {
        room.look();
    }
    std::future::pending().await
}

/// A [`Watch`] of whatever kind.
trait AnyWatch: Send {
    fn as_any(&mut self) -> &mut dyn Any;
    fn kind(&self) -> String;
    fn state(&self) -> LookAt;
    fn run(self: Box<Self>, means: Means, stop: CancellationToken) -> BoxFuture<'static, ()>;
}

impl<K: Object> AnyWatch for Watch<K> {
    fn as_any(&mut self) -> &mut dyn Any {
        self
    }

    fn kind(&self) -> String {
        K::kind(&()).into_owned()
    }

    fn state(&self) -> LookAt {
        let cache = self.cache().clone();
        Box::new(move || CacheState {
            everywhere: K::CLUSTER,
            shards: cache.shard_states(),
            objects: cache.len(),
            malformed: cache.malformed().iter().map(|m| json!({ "object": m.key.to_string(), "error": m.error })).collect(),
        })
    }

    fn run(self: Box<Self>, means: Means, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Watch::run(*self, means, stop).boxed()
    }
}

/// A [`Controller`] of whatever kind.
trait AnyController: Send {
    fn name(&self) -> &'static str;
    fn feed(&self) -> Feed;
    fn opener(&self) -> Opener;
    fn run(self: Box<Self>, stop: CancellationToken, grace: Duration) -> BoxFuture<'static, usize>;
}

impl<R: Reconciler> AnyController for Controller<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn feed(&self) -> Feed {
        Controller::feed(self)
    }

    fn opener(&self) -> Opener {
        Controller::opener(self)
    }

    fn run(self: Box<Self>, stop: CancellationToken, grace: Duration) -> BoxFuture<'static, usize> {
        Controller::run(*self, stop, grace).boxed()
    }
}

#[cfg(test)]
#[path = "wiring_tests.rs"]
mod tests;
