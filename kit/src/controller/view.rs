//! A look at what runs, for `/readyz` and `/debug/state`.
//!
//! Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Feed;
use crate::cache::ShardState;

/// Looks at one cache.
pub(super) type LookAt = Box<dyn Fn() -> CacheState + Send + Sync>;

/// One cache, now.
pub(super) struct CacheState {
    /// Its objects are in no namespace.
    pub(super) everywhere: bool,
    pub(super) shards: Vec<ShardState>,
    pub(super) objects: usize,
    pub(super) malformed: Vec<Value>,
}

impl CacheState {
    /// Whether there is nothing to wait for: each namespace is known or cannot be, and one at least is known. What is in no namespace
    /// may be nothing that this installation may see: it goes on without.
    fn ready(&self) -> bool {
        self.shards.iter().all(|shard| shard.synced || shard.away.is_some())
            && (self.everywhere || self.shards.iter().any(|shard| shard.synced))
    }
}

struct Views {
    caches: BTreeMap<String, LookAt>,
    feeds: BTreeMap<&'static str, Feed>,
}

/// A look at what runs. Cloning is cheap.
#[derive(Clone)]
pub struct View(Arc<Views>);

impl View {
    pub(super) fn new(caches: BTreeMap<String, LookAt>, feeds: BTreeMap<&'static str, Feed>) -> Self {
        Self(Arc::new(Views { caches, feeds }))
    }

    /// Kinds that nothing is known of yet, or that are still being listed.
    pub fn pending(&self) -> Vec<String> {
        self.0.caches.iter().filter(|(_, state)| !state().ready()).map(|(kind, _)| kind.clone()).collect()
    }

    /// Namespaces that cannot be listed or watched, each with the kinds and what the API server said of them.
    pub fn away(&self) -> Vec<String> {
        let mut away: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (kind, state) in &self.0.caches {
            for shard in state().shards {
                let Some(why) = shard.away else { continue };
                let namespace = shard.namespace.map_or_else(|| "every namespace".into(), |name| format!("namespace {name}"));
                away.entry(namespace).or_default().push(format!("{kind} ({why})"));
            }
        }
        away.into_iter().map(|(namespace, kinds)| format!("{namespace}: cannot list {}", kinds.join(", "))).collect()
    }

    /// Everything there is to see, for people who debug. Names malformed objects, so it is for loopback only.
    pub fn debug(&self) -> Value {
        let caches: BTreeMap<_, _> = self
            .0
            .caches
            .iter()
            .map(|(kind, state)| {
                let state = state();
                (kind, json!({ "synced": state.ready(), "objects": state.objects, "malformed": state.malformed }))
            })
            .collect();
        let queues: BTreeMap<_, _> = self
            .0
            .feeds
            .iter()
            .map(|(name, feed)| {
                let stats = feed.stats();
                (
                    name,
                    json!({
                        "ready": stats.depth, "running": stats.running, "waiting": stats.waiting, "held": stats.held,
                        "adds": stats.adds, "retries": stats.retries, "longestRunningSeconds": stats.longest.as_secs_f64(),
                    }),
                )
            })
            .collect();
        json!({ "caches": caches, "queues": queues, "away": self.away() })
    }
}
