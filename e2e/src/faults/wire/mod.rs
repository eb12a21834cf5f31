//! The proxies between the operator and its two servers: they name each request, let the planned fault happen at the
//! planned point, and keep a journal.
//!
//! I/O: listens on loopback, sends to the API server and the store, kills and stops the operator's process.
//!
//! A *point* is (verb, resource, name, n-th). Names that the cluster or a digest gives are numbered in the order of
//! their first appearance, so that points are the same in every run. Leases and Events are no points: they depend on time.
//!
//! | module | is |
//! |---|---|
//! | `point` | the names |
//! | `fault` | what goes wrong, and how |
//! | `gate` | one process of the operator |
//! | `proxy` | the way of a request |
//! | `watch` | the way of an event |

mod fault;
mod gate;
mod point;
mod proxy;
mod watch;

pub use fault::{Fault, Old};
pub use gate::Gate;
pub use point::Point;

use anyhow::Result;
use bytes::Bytes;
use http::{header, request::Parts};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet, time::Instant};

/// Group of our own kinds.
const OUR_GROUP: &str = "showrunner.dev";

/// One request as it passed, or did not.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What.
    pub point: Point,
    /// Which process.
    pub process: u32,
    /// Path, without the query.
    pub path: String,
    /// JSON body of a write to the API server.
    pub body: Value,
    /// `If-Match` or `If-None-Match`.
    pub condition: Option<String>,
    /// When it was sent on: a count over both servers.
    pub sent: Option<u64>,
    /// When it was answered, on the same count, and with what.
    pub answered: Option<(u64, u16)>,
    /// Sent on only after its process had been stopped for long.
    pub late: bool,
}

struct State {
    names: HashMap<(String, String), String>,
    counts: HashMap<(&'static str, String, String), u32>,
    journal: Vec<Entry>,
    clock: u64,
    fired: Option<u32>,
    released: bool,
    away_until: Option<Instant>,
    /// Resources whose first list is still to be an old one, and the resources whose watches lag until then.
    old: Option<(Old, Vec<String>)>,
    lag_until: BTreeMap<String, Instant>,
    /// The newest version of each resource that each process has been sent, and the newest state of its Jobs.
    delivered: HashMap<(u32, String), u64>,
    answered_jobs: HashMap<(u32, String), bool>,
}

impl State {
    fn writes(&self) -> usize {
        self.journal.iter().filter(|entry| entry.point.is_write() && entry.answered.is_some()).count()
    }
}

struct Inner {
    namespace: String,
    http: reqwest::Client,
    api: String,
    store: String,
    plan: Option<(Point, Fault)>,
    old_version: OnceLock<String>,
    state: Mutex<State>,
    changed: Notify,
}

/// The proxies of one run. Cloning is cheap.
#[derive(Clone)]
pub struct Wire(Arc<Inner>);

/// Ports of the two proxies of one process; ends what was connected when dropped.
pub struct Listening {
    /// In place of the API server, plain HTTP.
    pub api: u16,
    /// In place of the store.
    pub store: u16,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Api,
    Store,
}

/// A request that is being looked at.
struct Call {
    gate: Arc<Gate>,
    side: Side,
    parts: Parts,
    body: Bytes,
    entry: Option<usize>,
}

impl Entry {
    /// In one line, for people.
    pub fn describe(&self) -> String {
        let conditions = self.body["status"]["conditions"].as_array();
        let ready = conditions.into_iter().flatten().find(|condition| condition["type"] == "Ready");
        let reason = ready.and_then(|ready| ready["reason"].as_str()).unwrap_or_default();
        let status = self.answered.map_or_else(|| "no answer".to_owned(), |(_, status)| status.to_string());
        format!("{} -> {status} {reason}", self.point)
    }
}

impl Wire {
    /// Proxies for one run in this namespace.
    pub fn new(namespace: &str, http: reqwest::Client, api: &str, store: &str, plan: Option<(Point, Fault)>) -> Self {
        let state = State {
            names: HashMap::new(),
            counts: HashMap::new(),
            journal: Vec::new(),
            clock: 0,
            fired: None,
            released: false,
            away_until: None,
            old: None,
            lag_until: BTreeMap::new(),
            delivered: HashMap::new(),
            answered_jobs: HashMap::new(),
        };
        Self(Arc::new(Inner {
            namespace: namespace.to_owned(),
            http,
            api: api.to_owned(),
            store: store.to_owned(),
            plan,
            old_version: OnceLock::new(),
            state: Mutex::new(state),
            changed: Notify::new(),
        }))
    }

    /// The resourceVersion of the world that is read when an old one is to be read.
    pub fn old_version(&self, version: &str) {
        let _ = self.0.old_version.set(version.to_owned());
    }

    /// Opens the two ports for one process.
    pub async fn listen(&self, gate: &Arc<Gate>) -> Result<Listening> {
        let mut tasks = JoinSet::new();
        let mut ports = [0; 2];
        for (port, side) in ports.iter_mut().zip([Side::Api, Side::Store]) {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            *port = listener.local_addr()?.port();
            tasks.spawn(proxy::accept(Arc::clone(&self.0), Arc::clone(gate), listener, side));
        }
        Ok(Listening { api: ports[0], store: ports[1], _tasks: tasks })
    }

    /// Every request so far.
    pub fn journal(&self) -> Vec<Entry> {
        self.0.lock().journal.clone()
    }

    /// How many writes were answered so far.
    pub fn writes(&self) -> usize {
        self.0.lock().writes()
    }

    /// Waits until so many writes were answered.
    pub async fn wait_writes(&self, count: usize) {
        self.0.until(|state| state.writes() >= count).await;
    }

    /// Which process met the planned fault, once it has.
    pub fn fired(&self) -> Option<u32> {
        self.0.lock().fired
    }

    /// Waits until the planned fault has happened.
    pub async fn wait_fired(&self) {
        self.0.until(|state| state.fired.is_some()).await;
    }

    /// Whether a process has been shown this version of a resource, or a newer one.
    pub fn has_seen(&self, process: u32, resource: &str, version: u64) -> bool {
        self.0.lock().delivered.get(&(process, resource.to_owned())).is_some_and(|newest| *newest >= version)
    }

    /// Until when the store is away, once it is.
    pub fn away_until(&self) -> Option<Instant> {
        self.0.lock().away_until
    }

    /// Lets the request arrive that was on its way when its process was stopped.
    pub fn release(&self) {
        self.0.lock().released = true;
        self.0.changed.notify_waiters();
    }

    /// Waits until the request that arrives late has been answered.
    pub async fn wait_late_answer(&self) {
        self.0.until(|state| state.journal.iter().any(|entry| entry.late && entry.answered.is_some())).await;
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    /// Counts a point, writes it down, and says whether it is the one where something goes wrong.
    fn arrive(&self, call: &Call, (verb, resource, name): (&'static str, String, String)) -> (usize, Option<Fault>) {
        let mut state = self.lock();
        let count = state.counts.entry((verb, resource.clone(), name.clone())).or_default();
        *count += 1;
        let point = Point { verb, resource, name, nth: *count };
        let fault = self.plan.as_ref().filter(|(planned, _)| *planned == point && state.fired.is_none()).map(|(_, fault)| *fault);
        if fault.is_some() {
            state.fired = Some(call.gate.number);
        }
        let condition = [header::IF_MATCH, header::IF_NONE_MATCH].iter().find_map(|name| call.parts.headers.get(name));
        let entry = Entry {
            point,
            process: call.gate.number,
            path: call.parts.uri.path().to_owned(),
            body: if call.side == Side::Api { serde_json::from_slice(&call.body).unwrap_or_default() } else { Value::Null },
            condition: condition.and_then(|value| value.to_str().ok()).map(str::to_owned),
            sent: None,
            answered: None,
            late: false,
        };
        state.journal.push(entry);
        let index = state.journal.len() - 1;
        drop(state);
        self.changed.notify_waiters();
        (index, fault)
    }

    fn stamp(&self, call: &Call, write: impl FnOnce(&mut Entry, u64)) {
        let Some(index) = call.entry else { return };
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        write(&mut state.journal[index], now);
        drop(state);
        self.changed.notify_waiters();
    }
}
