//! A look at what runs, for `/readyz` and `/debug/state`.
//!
//! Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Feed;

/// Looks at one cache.
pub(super) type LookAt = Box<dyn Fn() -> CacheState + Send + Sync>;

/// One cache, now.
pub(super) struct CacheState {
    pub(super) synced: bool,
    pub(super) objects: usize,
    pub(super) malformed: Vec<Value>,
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

    /// Kinds whose caches have not had their first full list.
    pub fn pending(&self) -> Vec<String> {
        self.0.caches.iter().filter(|(_, state)| !state().synced).map(|(kind, _)| kind.clone()).collect()
    }

    /// Everything there is to see, for people who debug. Names malformed objects, so it is for loopback only.
    pub fn debug(&self) -> Value {
        let caches: BTreeMap<_, _> = self
            .0
            .caches
            .iter()
            .map(|(kind, state)| {
                let state = state();
                (kind, json!({ "synced": state.synced, "objects": state.objects, "malformed": state.malformed }))
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
        json!({ "caches": caches, "queues": queues })
    }
}
