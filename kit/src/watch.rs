//! Keeps a [`Cache`] true: one kube watcher per namespace, tolerant of objects that cannot be read.
//!
//! Reads (lists and watches) from the API server; writes nothing there.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::BoxStream;
use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch::Sender;
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Change, Malformed, Parsed};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::names::{ANNOTATION_WORK_ORDER, DOMAIN};
use crate::object::{Object, ObjectKey, Scope};

/// Objects per page of a list: bounds what one answer takes in memory.
const PAGE_SIZE: u32 = 500;
/// Longest error text kept of a malformed object, in bytes; the text may quote the object.
const MALFORMED_TEXT: usize = 500;

/// Wait after a first failure of a watch; doubles with each further one.
const BACKOFF_BASE: Duration = Duration::from_millis(800);
/// Longest wait of a watch after a failure.
const BACKOFF_CAP: Duration = Duration::from_secs(15);

/// Which objects of a kind are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// All of them.
    Everything,
    /// Those that match a label selector.
    Labels(String),
}

/// What a watcher of kube says.
type Events<K> = BoxStream<'static, Result<watcher::Event<DeserializeGuard<K>>, watcher::Error>>;

/// What is called for each change, after the cache knows it. Must not block.
pub type Listener<K> = Box<dyn Fn(&Change<K>) + Send + Sync>;

/// Takes out of an object what nobody reads of it in the cache.
pub(crate) type Slim<K> = fn(&mut K);

/// What watches are run with.
#[derive(Clone)]
pub struct Means {
    /// Lists and watches.
    pub client: Client,
    /// Counts events and failures.
    pub metrics: Arc<Metrics>,
    /// Says when.
    pub clock: Clock,
    /// Told after each full list, and when there is none to be had.
    pub listed: Sender<()>,
}

/// One kind, watched. Listeners are added before it runs.
pub struct Watch<K> {
    cache: Cache<K>,
    select: Select,
    slim: Slim<K>,
    listeners: Vec<Listener<K>>,
}

impl<K: Object> Watch<K> {
    /// A watch over these namespaces (none: all). Of what is in no namespace there is one watch in any case.
    pub fn new(namespaces: &[String], select: Select) -> Self {
        let namespaces = if K::CLUSTER { &[] } else { namespaces };
        Self { cache: Cache::new(namespaces), select, slim: |_| {}, listeners: Vec::new() }
    }

    /// Keeps of each object only what this leaves of it.
    #[must_use]
    pub(crate) fn keeping(mut self, slim: Slim<K>) -> Self {
        self.slim = slim;
        self
    }

    /// The cache that it feeds.
    pub fn cache(&self) -> &Cache<K> {
        &self.cache
    }

    /// Which objects it sees.
    pub fn select(&self) -> &Select {
        &self.select
    }

    /// Has `listener` called for each change.
    pub fn listen(&mut self, listener: Listener<K>) {
        self.listeners.push(listener);
    }

    /// Watches until `stop`. Errors are logged, counted and retried with a backoff; none ends the watch.
    pub async fn run(self, means: Means, stop: CancellationToken) {
        let shards = self.cache.shards().into_iter().enumerate();
        let all = join_all(shards.map(|(shard, namespace)| self.run_shard(shard, namespace, &means)));
        tokio::select! {
            _ = all => {}
            () = stop.cancelled() => {}
        }
    }

    async fn run_shard(&self, shard: usize, namespace: Option<String>, Means { client, metrics, clock, listed }: &Means) {
        let kind = K::kind(&()).into_owned();
        let mut events = self.events(namespace.as_deref(), client);
        let mut failures: u32 = 0;
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    metrics.watch_event(&kind, clock.mono());
                    let complete = matches!(event, watcher::Event::InitDone);
                    if complete && failures > 0 {
                        tracing::info!(kind, namespace, failures, "listed again");
                    }
                    // The beginning of a list says nothing yet about whether it will work.
                    if !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_)) {
                        failures = 0;
                    }
                    for change in self.digest(shard, event) {
                        self.listeners.iter().for_each(|listener| listener(&change));
                    }
                    if complete {
                        listed.send_replace(());
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    metrics.watch_error(&kind);
                    // kube's own backoff is reset by the start of each list, and so never grows where lists fail.
                    let wait = backoff(failures, shard);
                    if failures.is_power_of_two() {
                        tracing::warn!(kind, namespace, %error, failures, ?wait, "failed to watch; trying again");
                    }
                    let refusal = refusal(&error);
                    if refusal.is_some() || !self.cache.synced(shard) {
                        self.cache.refused(shard, refusal.unwrap_or_else(|| "no answer that can be used".to_owned()));
                        listed.send_replace(());
                        // A watch that works again says nothing in a quiet namespace; a list always does.
                        events = self.events(namespace.as_deref(), client);
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// What happens in a namespace, beginning with a full list.
    fn events(&self, namespace: Option<&str>, client: &Client) -> Events<K> {
        let api: Api<DeserializeGuard<K>> = <K::Scope as Scope>::api(client.clone(), namespace);
        let mut config = watcher::Config::default().page_size(PAGE_SIZE);
        if let Select::Labels(selector) = &self.select {
            config = config.labels(selector);
        }
        watcher(api, config).boxed()
    }

    fn digest(&self, shard: usize, event: watcher::Event<DeserializeGuard<K>>) -> Vec<Change<K>> {
        match event {
            watcher::Event::Init => {
                self.cache.begin(shard);
                Vec::new()
            }
            watcher::Event::InitApply(object) => {
                self.cache.listed(shard, parse(object, self.slim));
                Vec::new()
            }
            watcher::Event::InitDone => self.cache.finish(shard),
            watcher::Event::Apply(object) => self.cache.apply(parse(object, self.slim)),
            watcher::Event::Delete(object) => {
                let key = match &object.0 {
                    Ok(object) => ObjectKey::of(object.meta()),
                    Err(invalid) => ObjectKey::of(&invalid.metadata),
                };
                self.cache.delete(&key).into_iter().collect()
            }
        }
    }
}

/// What the API server says when it will not list or watch: that we may not, which is how a namespace looks whose Roles
/// went with it, or that there is no such thing. It says so in few words, for it is shown to whoever asks for readiness.
fn refusal(error: &watcher::Error) -> Option<String> {
    use watcher::Error::{InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed};
    let status = match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => status,
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => return None,
    };
    match status.code {
        403 => Some("403 Forbidden".to_owned()),
        404 => Some("404 Not Found".to_owned()),
        _ => None,
    }
}

/// Wait after so many failures in a row: doubled up to the cap, and less by up to a fifth, so that watches spread out.
fn backoff(failures: u32, shard: usize) -> Duration {
    let plain = BACKOFF_BASE.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(BACKOFF_CAP);
    let spread = (u64::from(failures) * 7 + shard as u64 * 13) % 10;
    plain.mul_f64(1.0 - 0.02 * spread as f64)
}

/// What was understood of an object, without what nobody reads of it: managedFields, which are half of it, annotations of
/// others, which may have 256 KiB, and work orders.
fn parse<K: Object>(object: DeserializeGuard<K>, slim: Slim<K>) -> Parsed<K> {
    match object.0 {
        Ok(mut object) => {
            object.meta_mut().managed_fields = None;
            if let Some(annotations) = &mut object.meta_mut().annotations {
                annotations.retain(|name, _| name.starts_with(DOMAIN) && name != ANNOTATION_WORK_ORDER);
            }
            slim(&mut object);
            Ok(object)
        }
        Err(invalid) => {
            let key = ObjectKey::of(&invalid.metadata);
            let error = crate::conditions::cut(&invalid.error, MALFORMED_TEXT);
            tracing::warn!(kind = %K::kind(&()), object = %key, error, "failed to read object; it is left alone until it changes");
            Err(Malformed { key, error })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_fails_waits_longer_each_time_up_to_a_bound() {
        let waits: Vec<_> = (1..12).map(|failures| backoff(failures, 0)).collect();
        assert!(waits[0] >= BACKOFF_BASE.mul_f64(0.8));
        assert!(waits[..4].windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= BACKOFF_CAP) && waits[10] >= BACKOFF_CAP.mul_f64(0.8));
        assert_ne!(backoff(3, 0), backoff(3, 1), "namespaces do not come back all at once");
    }
}
