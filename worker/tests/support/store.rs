//! A store over HTTP for faults that a real one will not show on demand; conditions and ranges as S3 has them.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::any,
};
use futures::{StreamExt as _, stream};
use showrunner_contracts::Digest;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

/// What the store does wrong with requests for the source, in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers this instead.
    Answer(u16),
    /// Breaks off after so many bytes of the body.
    CutAfter(usize),
    /// Sends the head of the answer and then nothing, for good.
    Hang,
}

/// One request that was answered.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub key: String,
    pub range: Option<String>,
    pub status: u16,
}

#[derive(Debug, Default)]
struct Inner {
    objects: BTreeMap<String, Vec<u8>>,
    faults: Vec<Fault>,
    /// Requests of any kind that get this answer, and how many.
    away: Option<(u16, u32)>,
    seen: Vec<Seen>,
    /// Keys under which another object is found once a write was refused.
    hidden: BTreeMap<String, String>,
    refused: bool,
    /// What is not there is denied.
    secretive: bool,
    /// Writes to keys with this in them are refused with this status and code.
    full: Option<(&'static str, u16, &'static str)>,
    /// The next write to a key with this in it is never answered.
    stalling: Option<&'static str>,
}

/// The store.
pub struct TestStore {
    inner: Arc<Mutex<Inner>>,
    address: SocketAddr,
    _runtime: Runtime,
}

impl TestStore {
    /// A store that holds `source`.
    pub fn with(source: &[u8]) -> Self {
        let inner = Arc::new(Mutex::new(Inner::default()));
        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().route("/{*key}", any(answer)).with_state(Arc::clone(&inner));
        runtime.spawn(async move { axum::serve(listener, router).await });
        let store = Self { inner, address, _runtime: runtime };
        store.put(super::SOURCE, source);
        store
    }

    pub fn url(&self, key: &str) -> String {
        format!("http://{}/{key}", self.address)
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        self.lock().objects.insert(key.to_owned(), bytes.to_vec());
    }

    pub fn remove(&self, key: &str) {
        self.lock().objects.remove(key);
    }

    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.lock().objects.get(key).cloned()
    }

    /// Every object but the source and what differs from run to run by its nature.
    pub fn results(&self) -> BTreeMap<String, Vec<u8>> {
        let told = |key: &str| key == super::SOURCE || key.ends_with("unit-result.json") || key.ends_with("progress.json");
        self.lock().objects.iter().filter(|(key, _)| !told(key)).map(|(key, bytes)| (key.clone(), bytes.clone())).collect()
    }

    pub fn etag(&self, key: &str) -> String {
        self.object(key).map_or_else(|| "\"none\"".to_owned(), |bytes| etag(&bytes))
    }

    /// The next requests for the source meet these, one each.
    pub fn misbehave(&self, faults: &[Fault]) {
        self.lock().faults = faults.iter().rev().cloned().collect();
    }

    /// The next `count` requests of any kind are answered `status`.
    pub fn away(&self, status: u16, count: u32) {
        self.lock().away = Some((status, count));
    }

    /// An address under which `key` is found only after some write was refused.
    pub fn hidden_until_refusal(&self, name: &str, key: &str) -> String {
        self.lock().hidden.insert(name.to_owned(), key.to_owned());
        self.url(name)
    }

    /// From now on denies what is not there, as stores do that hide what one may not list.
    pub fn be_secretive(&self) {
        self.lock().secretive = true;
    }

    /// From now on has no room for keys with `part` in them, and says so in these words; an empty code has room again.
    pub fn be_full(&self, part: &'static str, status: u16, code: &'static str) {
        self.lock().full = Some((part, status, code)).filter(|_| !code.is_empty());
    }

    /// The next write to a key with `part` in it is never answered.
    pub fn stall_write(&self, part: &'static str) {
        self.lock().stalling = Some(part);
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    /// Requests for the source.
    pub fn source_reads(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.key == super::SOURCE).collect()
    }

    /// Waits until the source was asked for.
    pub fn wait_for_source_read(&self) {
        let until = Instant::now() + Duration::from_mins(1);
        while self.source_reads().is_empty() {
            assert!(Instant::now() < until, "the worker never asked for the source");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics inside the store")
    }
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &Digest::of(bytes).hex()[..32])
}

async fn answer(
    State(inner): State<Arc<Mutex<Inner>>>,
    Path(key): Path<String>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if method == Method::PUT && stalls(&inner, &key) {
        return std::future::pending().await;
    }
    let mut inner = inner.lock().expect("no test panics inside the store");
    let response = match inner.away.take() {
        Some((status, count)) if count > 0 => {
            inner.away = Some((status, count - 1));
            status_only(status)
        }
        _ if method == Method::PUT => put(&mut inner, &key, &headers, &body),
        _ => get(&mut inner, &key, &headers),
    };
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).map(str::to_owned);
    inner.seen.push(Seen { method, key, range, status: response.status().as_u16() });
    response
}

/// Whether this is the write that is never answered.
fn stalls(inner: &Mutex<Inner>, key: &str) -> bool {
    inner.lock().expect("no test panics inside the store").stalling.take_if(|part| key.contains(*part)).is_some()
}

fn put(inner: &mut Inner, key: &str, headers: &HeaderMap, body: &Bytes) -> Response {
    if let Some((_, status, code)) = inner.full.filter(|(part, ..)| key.contains(part)) {
        let said = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>");
        return (StatusCode::from_u16(status).expect("a status"), said).into_response();
    }
    // Results and parts of an index are granted with the condition signed: without it the signature does not match.
    let first_wins = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value == "*");
    if (key.starts_with("results/") || key.starts_with("catalogue/")) && !first_wins {
        return status_only(403);
    }
    if first_wins && inner.objects.contains_key(key) {
        inner.refused = true;
        return status_only(412);
    }
    inner.objects.insert(key.to_owned(), body.to_vec());
    status_only(200)
}

fn get(inner: &mut Inner, key: &str, headers: &HeaderMap) -> Response {
    let fault = if key == super::SOURCE { inner.faults.pop() } else { None };
    if let Some(Fault::Answer(status)) = fault {
        return status_only(status);
    }
    let key = inner.hidden.get(key).filter(|_| inner.refused).map_or(key, String::as_str);
    let Some(bytes) = inner.objects.get(key).cloned() else { return status_only(if inner.secretive { 403 } else { 404 }) };
    if headers.get(header::IF_MATCH).is_some_and(|wanted| wanted.as_bytes() != etag(&bytes).as_bytes()) {
        return status_only(412);
    }
    let range = headers
        .get(header::RANGE)
        .and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let (status, from) = if let Some(from) = range { (StatusCode::PARTIAL_CONTENT, from) } else { (StatusCode::OK, 0) };
    let whole = bytes.len();
    let part = Bytes::from(bytes[from.min(whole)..].to_vec());
    let builder = Response::builder()
        .status(status)
        .header(header::CONTENT_LENGTH, part.len())
        .header(header::CONTENT_RANGE, format!("bytes {from}-{}/{whole}", whole.saturating_sub(1)));
    let body = match fault {
        Some(Fault::CutAfter(count)) => {
            let head = part.slice(..count.min(part.len()));
            // Giving way once lets the server send the head before it meets the error and drops the connection.
            let cut = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            });
            Body::from_stream(stream::iter([Ok(head)]).chain(cut.boxed()))
        }
        Some(Fault::Hang) => Body::from_stream(stream::iter([Ok::<_, std::io::Error>(part.slice(..1))]).chain(stream::pending())),
        _ => Body::from(part),
    };
    builder.body(body).expect("a plain answer")
}

fn status_only(status: u16) -> Response {
    StatusCode::from_u16(status).expect("a status").into_response()
}
