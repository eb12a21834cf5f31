//! The proxies between the operator and its two servers: they name each request, let the planned fault happen at the
//! planned point, and keep a journal.
//!
//! I/O: listens on loopback, sends to the API server and the store, kills and stops the operator's process.
//!
//! A *point* is (verb, resource, name, n-th). Names that the cluster or a digest gives are numbered in the order of
//! their first appearance, so that points are the same in every run. Leases and Events are no points: they depend on time.

use super::operator::LEASE;
use anyhow::Result;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::Notify, task::JoinSet, time::Instant};

/// How long a stream is held, and how long a store is away: longer than the operator's patience with one write.
const A_WHILE: Duration = Duration::from_millis(1_500);
/// How long a request is left without an answer: longer than the operator's own limit on it.
const NO_ANSWER: Duration = Duration::from_secs(5);
/// How long a process has to take an answer before it is killed "after" it. What it sends meanwhile is refused.
const TO_TAKE_AN_ANSWER: Duration = Duration::from_millis(30);
/// How long the world has to react to a write before its answer is passed on all the same.
const TO_ANSWER: Duration = Duration::from_millis(400);
/// How long a process has to take an event that it was sent, before the answer to what caused it follows.
const TO_TAKE_AN_EVENT: Duration = Duration::from_millis(15);
/// How long the news that a Job has ended waits for the news of its pods.
const PODS_FIRST: Duration = Duration::from_millis(60);
/// Group of our own kinds.
const OUR_GROUP: &str = "showrunner.dev";
/// Digits of a digest, as keys in the store have it.
const DIGEST_DIGITS: usize = 64;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// One request, or one event of a watch, in a way that is the same in every run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    /// `create`, `patch`, `list`, `event`, `put`, ...
    pub verb: &'static str,
    /// `jobs`, `titleenrichments/status`, `store`, ...
    pub resource: String,
    /// Name, with what the cluster chose replaced by a number.
    pub name: String,
    /// Which one of this verb, resource and name, from 1.
    pub nth: u32,
}

impl Point {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        matches!(self.verb, "create" | "patch" | "update" | "delete" | "put")
    }

    /// Whether it is of the store.
    pub fn is_store(&self) -> bool {
        self.resource == "store"
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        write!(f, " ({})", self.nth)
    }
}

/// Which caches read an old world after a restart or a relist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    /// All of them.
    All,
    /// Our own kind.
    Owners,
    /// Jobs.
    Jobs,
    /// Pods.
    Pods,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator is killed, and the request never sent.
    KilledBefore,
    /// It is done, and the connection breaks before the answer.
    AnswerLost,
    /// It is done, answered, and the operator killed.
    KilledAfter,
    /// As before; the next process first reads an old world from the API server's history, and its watches lag behind.
    KilledThenOld(Old),
    /// Refused with this status, and not done.
    Answered(u16),
    /// Never answered, and not done.
    TimedOut,
    /// Never answered, and done.
    TimedOutDone,
    /// The operator is stopped while the request is on its way. It arrives, and the operator goes on, after another
    /// replica has brought everything to its end.
    StoppedMidWrite,
    /// It is done, and the operator stopped before it can look at the answer; it goes on when another replica is through.
    StoppedAfter,
    /// The stream stands still for a while.
    Held,
    /// The stream breaks.
    Cut,
    /// The stream ends with 410 Gone: everything is listed anew.
    Expired,
    /// As before, and the list is an old one.
    ExpiredThenOld(Old),
    /// From here on the store cannot be reached for a while.
    Away,
}

impl Fault {
    /// Whether it takes a second replica.
    pub const fn stops(self) -> bool {
        matches!(self, Self::StoppedMidWrite | Self::StoppedAfter)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let old = |old: &Old| match old {
            Old::All => "all caches old",
            Old::Owners => "titles old",
            Old::Jobs => "Jobs old",
            Old::Pods => "pods old",
        };
        match self {
            Self::KilledBefore => f.write_str("killed before it"),
            Self::AnswerLost => f.write_str("done, answer lost"),
            Self::KilledAfter => f.write_str("killed after it"),
            Self::KilledThenOld(what) => write!(f, "killed after it, then {}", old(what)),
            Self::Answered(status) => write!(f, "answered {status}"),
            Self::TimedOut => f.write_str("not done, no answer"),
            Self::TimedOutDone => f.write_str("done, no answer"),
            Self::StoppedMidWrite => f.write_str("stopped, arrives late"),
            Self::StoppedAfter => f.write_str("stopped after it"),
            Self::Held => f.write_str("stream held"),
            Self::Cut => f.write_str("stream cut"),
            Self::Expired => f.write_str("410, relist"),
            Self::ExpiredThenOld(what) => write!(f, "410, relist with {}", old(what)),
            Self::Away => f.write_str("store away"),
        }
    }
}

/// One process of the operator, as the proxies know it.
#[derive(Debug, Default)]
pub struct Gate {
    /// 1 for the first process of a run.
    pub number: u32,
    pid: AtomicI32,
    closed: AtomicBool,
    stopped: AtomicBool,
}

impl Gate {
    /// A process that has not been started.
    pub fn new(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// It runs under this process id.
    pub fn started(&self, pid: i32) {
        self.pid.store(pid, Ordering::SeqCst);
    }

    /// It has ended: nothing of it passes any more.
    pub fn ended(&self) {
        self.close();
        self.pid.store(0, Ordering::SeqCst);
    }

    /// Whether it was stopped and not resumed.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Ends it at once.
    pub fn kill(&self) {
        self.close();
        self.signal(Signal::SIGKILL);
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
        self.stopped.store(false, Ordering::SeqCst);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.pid.load(Ordering::SeqCst);
        // It may have ended by itself since.
        if pid > 0 {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

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
            tasks.spawn(accept(Arc::clone(&self.0), Arc::clone(gate), listener, side));
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

async fn accept(inner: Arc<Inner>, gate: Arc<Gate>, listener: TcpListener, side: Side) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else { continue };
        let _ = stream.set_nodelay(true);
        let (inner, gate) = (Arc::clone(&inner), Arc::clone(&gate));
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let (inner, gate) = (Arc::clone(&inner), Arc::clone(&gate));
                async move { inner.serve(gate, side, request).await }
            });
            // An error is a connection that broke, by our own hand or by theirs.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Breaks the connection without an answer.
fn hang_up() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "hung up")
}

/// A request that is being looked at.
struct Call {
    gate: Arc<Gate>,
    side: Side,
    parts: Parts,
    body: Bytes,
    entry: Option<usize>,
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

    async fn serve(self: Arc<Self>, gate: Arc<Gate>, side: Side, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| hang_up())?.to_bytes();
        if gate.is_closed() || (side == Side::Store && self.is_away()) {
            return Err(hang_up());
        }
        let mut call = Call { gate, side, parts, body, entry: None };
        let spot = match side {
            Side::Api => api_spot(&call.parts, &call.body),
            Side::Store => self.store_spot(&call.parts),
        };
        let Some((verb, resource, name)) = spot else { return self.pass(&call).await };
        let name = self.name(&resource, &name);
        let (entry, fault) = self.arrive(&call, (verb, resource.clone(), name));
        call.entry = Some(entry);
        match (fault, verb) {
            (None, "list") => {
                self.make_old(&mut call, &resource);
                self.pass(&call).await
            }
            (None, "watch") => self.watch(call, resource).await,
            (None, _) => self.pass(&call).await,
            (Some(fault), _) => self.fail(call, fault).await,
        }
    }

    fn is_away(&self) -> bool {
        self.lock().away_until.is_some_and(|until| Instant::now() < until)
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

    /// A name that is the same in every run.
    fn name(&self, resource: &str, name: &str) -> String {
        let kind = resource.split('/').next().unwrap_or_default();
        let word = match kind {
            "jobs" => "job",
            "pods" => "pod",
            _ => return name.to_owned(),
        };
        if name.is_empty() { String::new() } else { self.numbered(word, name) }
    }

    fn numbered(&self, word: &str, name: &str) -> String {
        let mut state = self.lock();
        let next = 1 + state.names.keys().filter(|(known, _)| known == word).count();
        state.names.entry((word.to_owned(), name.to_owned())).or_insert_with(|| format!("{word}-{next}")).clone()
    }

    fn store_spot(&self, parts: &Parts) -> Option<(&'static str, String, String)> {
        let verb = match parts.method {
            Method::PUT => "put",
            Method::GET => "get",
            Method::HEAD => "head",
            Method::DELETE => "delete",
            _ => return None,
        };
        let mut segments = parts.uri.path().trim_start_matches('/').split('/').skip(1).peekable();
        if segments.peek() == Some(&self.namespace.as_str()) {
            segments.next();
        }
        let segments = segments.filter(|segment| *segment != self.namespace).map(|segment| self.segment(segment));
        Some((verb, "store".to_owned(), segments.collect::<Vec<_>>().join("/")))
    }

    /// A part of a key with digests and UIDs numbered.
    fn segment(&self, segment: &str) -> String {
        let (stem, extension) =
            segment.split_once('.').map_or((segment, String::new()), |(stem, rest)| (stem, format!(".{rest}")));
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if stem.len() == DIGEST_DIGITS && is_hex(stem) {
            return format!("{}{extension}", self.numbered("digest", stem));
        }
        match stem.split_once('-') {
            Some((uid, number)) if uid.len() == 8 && is_hex(uid) && number.bytes().all(|b| b.is_ascii_digit()) => {
                format!("uid-{number}{extension}")
            }
            _ => segment.to_owned(),
        }
    }

    /// Lets the planned fault happen.
    async fn fail(self: Arc<Self>, call: Call, fault: Fault) -> io::Result<Response<Body>> {
        match fault {
            Fault::KilledBefore => {
                call.gate.kill();
                Err(hang_up())
            }
            // A stream has no answer that could be lost as a whole: its events are points of their own.
            Fault::AnswerLost | Fault::Cut => {
                self.pass(&call).await?;
                Err(hang_up())
            }
            Fault::KilledAfter | Fault::KilledThenOld(_) => {
                let answer = self.pass(&call).await?;
                if let Fault::KilledThenOld(old) = fault {
                    self.lock().old = Some((old, Vec::new()));
                }
                call.gate.close();
                tokio::spawn(async move {
                    tokio::time::sleep(TO_TAKE_AN_ANSWER).await;
                    call.gate.kill();
                });
                Ok(answer)
            }
            Fault::Answered(status) => Ok(refusal(call.side, status)),
            Fault::TimedOut => {
                tokio::time::sleep(NO_ANSWER).await;
                Err(hang_up())
            }
            Fault::TimedOutDone => {
                self.pass(&call).await?;
                tokio::time::sleep(NO_ANSWER).await;
                Err(hang_up())
            }
            Fault::StoppedMidWrite => {
                call.gate.stop();
                self.until(|state| state.released).await;
                if let Some(entry) = call.entry {
                    self.lock().journal[entry].late = true;
                }
                self.pass(&call).await
            }
            Fault::StoppedAfter => {
                let answer = self.pass(&call).await?;
                call.gate.stop();
                Ok(answer)
            }
            Fault::Away => {
                self.lock().away_until = Some(Instant::now() + A_WHILE);
                Err(hang_up())
            }
            Fault::Held => {
                tokio::time::sleep(A_WHILE).await;
                self.pass(&call).await
            }
            Fault::Expired | Fault::ExpiredThenOld(_) => Ok(refusal(call.side, 410)),
        }
    }

    /// Has a list read the world as it was, where that is planned.
    fn make_old(&self, call: &mut Call, resource: &str) {
        let Some(version) = self.old_version.get().filter(|_| is_for_a_cache(call)) else { return };
        {
            let mut state = self.lock();
            let Some((old, done)) = &mut state.old else { return };
            let wanted = match old {
                Old::All => true,
                Old::Owners => call.parts.uri.path().contains(OUR_GROUP),
                Old::Jobs => resource == "jobs",
                Old::Pods => resource == "pods",
            };
            if !wanted || done.iter().any(|name| name == resource) {
                return;
            }
            done.push(resource.to_owned());
            // A new process has to wait for the lease before it can act on what it sees.
            let restarted = state.fired.is_some_and(|process| process < call.gate.number);
            let lag = if restarted { LEASE + A_WHILE } else { A_WHILE };
            state.lag_until.insert(resource.to_owned(), Instant::now() + lag);
        }
        let kept = call.parts.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with("resourceVersion"));
        let query = kept.collect::<Vec<_>>().join("&");
        let path = call.parts.uri.path();
        // A real answer of the API server: it keeps the history of some minutes.
        let uri = format!("{path}?{query}&resourceVersion={version}&resourceVersionMatch=Exact");
        if let Ok(uri) = uri.parse() {
            call.parts.uri = uri;
        }
    }

    /// Sends a request on, and its answer back.
    async fn pass(&self, call: &Call) -> io::Result<Response<Body>> {
        if call.gate.is_closed() {
            return Err(hang_up());
        }
        self.stamp(call, |entry, now| entry.sent = Some(now));
        let answer = self.send(call).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = answer.bytes().await.map_err(|_| hang_up())?;
        self.stamp(call, |entry, now| entry.answered = Some((now, status.as_u16())));
        if call.side == Side::Api && status.is_success() {
            match call.parts.method {
                Method::POST | Method::PATCH => self.let_the_world_answer(call, &bytes).await,
                Method::GET => self.listed(call, &bytes),
                _ => {}
            }
        }
        let is_head = call.parts.method == Method::HEAD;
        let mut response = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = status;
        *response.headers_mut() = end_to_end(&headers, is_head);
        Ok(response)
    }

    /// Holds back the answer to a write until the writer's own watch has shown it what it wrote, and the job controller
    /// has answered, where it is about a Job. One of the schedules that a real cluster has, and the same in every run.
    async fn let_the_world_answer(&self, call: &Call, body: &[u8]) {
        let Some(entry) = call.entry else { return };
        let (resource, process) = {
            let state = self.lock();
            let point = &state.journal[entry].point;
            (point.resource.split('/').next().unwrap_or_default().to_owned(), call.gate.number)
        };
        let object: Value = serde_json::from_slice(body).unwrap_or_default();
        let version = object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok());
        let Some(version) = version else { return };
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let seen = self.until(|state| {
            let shown = state.delivered.get(&(process, resource.clone())).is_some_and(|newest| *newest >= version);
            let answered = resource != "jobs" || state.answered_jobs.get(&(process, name.clone())).copied().unwrap_or(true);
            shown && answered
        });
        // A stream that is held, and one that was never opened, show nothing.
        if tokio::time::timeout(TO_ANSWER, seen).await.is_ok() {
            tokio::time::sleep(TO_TAKE_AN_EVENT).await;
        }
    }

    /// Writes down what a process was shown by a list.
    fn listed(&self, call: &Call, body: &[u8]) {
        let Some(entry) = call.entry else { return };
        let list: Value = serde_json::from_slice(body).unwrap_or_default();
        let version = list["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok());
        let mut state = self.lock();
        let point = &state.journal[entry].point;
        let (is_list, resource) = (point.verb == "list", point.resource.clone());
        if let Some(version) = version.filter(|_| is_list && is_for_a_cache(call)) {
            state.delivered.insert((call.gate.number, resource), version);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Writes down what a process has been shown.
    fn shown(&self, process: u32, resource: &str, object: &Value) {
        let version = object["metadata"]["resourceVersion"].as_str().and_then(|version| version.parse::<u64>().ok());
        let mut state = self.lock();
        if let Some(version) = version {
            state.delivered.insert((process, resource.to_owned()), version);
        }
        if resource == "jobs" {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            state.answered_jobs.insert((process, name), is_answered(object));
        }
        drop(state);
        self.changed.notify_waiters();
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

    async fn send(&self, call: &Call) -> io::Result<reqwest::Response> {
        let base = match call.side {
            Side::Api => &self.api,
            Side::Store => &self.store,
        };
        let target = call.parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = end_to_end(&call.parts.headers, false);
        // The store's signature is over the name that the operator dialled.
        if call.side == Side::Api {
            headers.remove(header::HOST);
        }
        let request = self.http.request(call.parts.method.clone(), format!("{base}{target}")).headers(headers);
        request.body(call.body.clone()).send().await.map_err(|_| hang_up())
    }

    /// A watch, event by event: each is a point.
    async fn watch(self: Arc<Self>, call: Call, resource: String) -> io::Result<Response<Body>> {
        self.stamp(&call, |entry, now| entry.sent = Some(now));
        let answer = self.send(&call).await?;
        let (status, headers) = (answer.status(), end_to_end(answer.headers(), false));
        self.stamp(&call, |entry, now| entry.answered = Some((now, status.as_u16())));
        let stream =
            Stream { inner: self, call, resource, bytes: answer.bytes_stream().boxed(), buffer: Vec::new(), over: false };
        let events = futures::stream::unfold(stream, |mut stream| async move {
            let next = stream.next().await?;
            Some((next, stream))
        });
        let mut response = Response::new(StreamBody::new(events.map(|part| part.map(Frame::data))).boxed_unsync());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// A watch on its way through.
struct Stream {
    inner: Arc<Inner>,
    call: Call,
    resource: String,
    bytes: BoxStream<'static, reqwest::Result<Bytes>>,
    buffer: Vec<u8>,
    over: bool,
}

impl Stream {
    /// The next event; an error breaks the connection.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.over {
            return None;
        }
        let line = match self.line().await? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        let event: Value = serde_json::from_slice(&line).unwrap_or_default();
        if self.resource == "jobs" && has_ended(&event["object"]) {
            // What the job controller does to the pod comes before, on another stream.
            tokio::time::sleep(PODS_FIRST).await;
        }
        let lag = self.inner.lock().lag_until.get(&self.resource).copied();
        if let Some(until) = lag {
            tokio::time::sleep_until(until).await;
        }
        if self.call.gate.is_closed() {
            return Some(Err(hang_up()));
        }
        if !matches!(event["type"].as_str(), Some("ADDED" | "MODIFIED" | "DELETED")) {
            return Some(Ok(line));
        }
        let name = self.inner.name(&self.resource, event["object"]["metadata"]["name"].as_str().unwrap_or_default());
        let (index, fault) = self.inner.arrive(&self.call, ("event", self.resource.clone(), name));
        // Events are named, not kept: they would be most of the journal.
        self.inner.lock().journal[index].body = Value::Null;
        if fault.is_none() {
            self.inner.shown(self.call.gate.number, &self.resource, &event["object"]);
        }
        match fault {
            None => Some(Ok(line)),
            Some(Fault::Held) => {
                tokio::time::sleep(A_WHILE).await;
                self.inner.shown(self.call.gate.number, &self.resource, &event["object"]);
                Some(Ok(line))
            }
            Some(Fault::Expired) => Some(Ok(self.expire())),
            Some(Fault::ExpiredThenOld(old)) => {
                self.inner.lock().old = Some((old, Vec::new()));
                Some(Ok(self.expire()))
            }
            Some(_) => {
                self.over = true;
                Some(Err(hang_up()))
            }
        }
    }

    fn expire(&mut self) -> Bytes {
        self.over = true;
        let mut line = json!({ "type": "ERROR", "object": status_object(410) }).to_string();
        line.push('\n');
        line.into()
    }

    async fn line(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                return Some(Ok(self.buffer.drain(..=end).collect()));
            }
            let Ok(bytes) = self.bytes.next().await? else {
                self.over = true;
                return Some(Err(hang_up()));
            };
            self.buffer.extend_from_slice(&bytes);
        }
    }
}

fn has_condition(job: &Value, type_: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == type_ && condition["status"] == "True")
}

fn has_ended(job: &Value) -> bool {
    has_condition(job, "Complete") || has_condition(job, "Failed")
}

/// Whether the job controller has done what a Job's spec asks of it for now.
fn is_answered(job: &Value) -> bool {
    let counted: u64 = ["active", "succeeded", "failed"].iter().filter_map(|field| job["status"][field].as_u64()).sum();
    let suspended = job["spec"]["suspend"] == true;
    let paused = has_condition(job, "Suspended");
    has_ended(job) || (suspended && paused) || (!suspended && !paused && counted > 0)
}

/// Verb, resource and name of a request to the API server; none where it is no point.
fn api_spot(parts: &Parts, body: &[u8]) -> Option<(&'static str, String, String)> {
    let mut segments = parts.uri.path().trim_matches('/').split('/');
    match segments.next()? {
        "api" => segments.next()?,
        "apis" => segments.next().and(segments.next())?,
        _ => return None,
    };
    let mut resource = segments.next()?;
    let mut name = segments.next();
    if resource == "namespaces" && name.is_some() {
        (resource, name) = (segments.next()?, segments.next());
    }
    if matches!(resource, "leases" | "events" | "customresourcedefinitions") {
        return None;
    }
    let path = segments.next().map_or_else(|| resource.to_owned(), |below| format!("{resource}/{below}"));
    let watches = parts.uri.query().unwrap_or_default().split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"));
    let verb = match (&parts.method, name) {
        (&Method::GET, None) if watches => "watch",
        (&Method::GET, None) => "list",
        (&Method::GET, Some(_)) => "get",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, _) => "delete",
        _ => return None,
    };
    let created = || {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        body["metadata"]["name"].as_str().unwrap_or_default().to_owned()
    };
    let name = if verb == "create" { created() } else { name.unwrap_or_default().to_owned() };
    Some((verb, path, name))
}

/// Whether a list fills a cache: those are read in pages. What is asked for at a moment is never old in a real cluster.
fn is_for_a_cache(call: &Call) -> bool {
    call.parts.uri.query().unwrap_or_default().split('&').any(|pair| pair.starts_with("limit="))
}

/// Headers that are for the other end, not for the next hop.
fn end_to_end(headers: &HeaderMap, with_length: bool) -> HeaderMap {
    let mut kept = headers.clone();
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE] {
        kept.remove(name);
    }
    if !with_length {
        kept.remove(header::CONTENT_LENGTH);
    }
    kept
}

/// What a server says that does not do what it is asked.
fn refusal(side: Side, status: u16) -> Response<Body> {
    let (media_type, text) = match side {
        Side::Api => ("application/json", status_object(status).to_string()),
        Side::Store => ("application/xml", "<Error><Code>SlowDown</Code><Message>later</Message></Error>".to_owned()),
    };
    let mut response = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(media_type));
    if status == 429 {
        response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
    }
    response
}

fn status_object(status: u16) -> Value {
    let (reason, message) = match status {
        409 => ("Conflict", "the object has been modified; please apply your changes to the latest version and try again"),
        410 => ("Expired", "too old resource version"),
        429 => ("TooManyRequests", "too many requests, please try again later"),
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request"),
        _ => ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    };
    let details = if status == 429 { json!({ "retryAfterSeconds": 1 }) } else { Value::Null };
    json!({ "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message,
        "details": details, "metadata": {} })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(method: Method, uri: &str, body: &str) -> Option<(&'static str, String, String)> {
        let request = Request::builder().method(method).uri(uri).body(()).expect("a request");
        api_spot(&request.into_parts().0, body.as_bytes())
    }

    #[test]
    fn requests_are_named_by_verb_resource_and_name() {
        let named = |verb, resource: &str, name: &str| Some((verb, resource.to_owned(), name.to_owned()));
        let titles = "/apis/showrunner.dev/v1alpha1/namespaces/n/titleenrichments";
        assert_eq!(spot(Method::GET, &format!("{titles}?limit=500"), ""), named("list", "titleenrichments", ""));
        assert_eq!(spot(Method::GET, &format!("{titles}?watch=true"), ""), named("watch", "titleenrichments", ""));
        assert_eq!(spot(Method::PATCH, &format!("{titles}/a/status?x=1"), ""), named("patch", "titleenrichments/status", "a"));
        let job = r#"{"metadata":{"name":"sr-1"}}"#;
        assert_eq!(spot(Method::POST, "/apis/batch/v1/namespaces/n/jobs", job), named("create", "jobs", "sr-1"));
        assert_eq!(spot(Method::DELETE, "/api/v1/namespaces/n/pods/p", ""), named("delete", "pods", "p"));
        assert_eq!(spot(Method::PUT, "/apis/coordination.k8s.io/v1/namespaces/n/leases/l", ""), None);
        assert_eq!(spot(Method::POST, "/apis/events.k8s.io/v1/namespaces/n/events", ""), None);
    }

    #[test]
    fn names_that_a_digest_or_the_cluster_gives_are_numbered() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let wire = Wire::new("ns-7", reqwest::Client::new(), "", "", None);
        let key = |path: &str| {
            let request = Request::builder().method(Method::PUT).uri(path).body(()).expect("a request");
            wire.0.store_spot(&request.into_parts().0).expect("a point").2
        };
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        assert_eq!(key(&format!("/sweep/ns-7/titles/ns-7/title/blobs/{a}")), "titles/title/blobs/digest-1");
        assert_eq!(key(&format!("/sweep/ns-7/results/{b}.json")), "results/digest-2.json");
        assert_eq!(key(&format!("/sweep/ns-7/work/{a}/0a1b2c3d-2/progress.json")), "work/digest-1/uid-2/progress.json");
        assert_eq!(wire.0.name("jobs", "sr-99"), "job-1");
        assert_eq!(wire.0.name("pods", "sr-99-x7"), "pod-1");
        assert_eq!(wire.0.name("titleenrichments/status", "title"), "title");
    }
}
