//! The way of a request: to its server and back, in an order that is the same in every run.
//!
//! I/O: serves connections on loopback, sends to the API server and the store.

use super::{Call, Gate, Inner, Side, point::api_spot};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{io, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinSet};

/// How long the world has to react to a write before its answer is passed on all the same.
const TO_ANSWER: Duration = Duration::from_millis(400);
/// How long a process has to take an event that it was sent, before the answer to what caused it follows.
const TO_TAKE_AN_EVENT: Duration = Duration::from_millis(15);

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

pub(super) async fn accept(inner: Arc<Inner>, gate: Arc<Gate>, listener: TcpListener, side: Side) {
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
pub(super) fn hang_up() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "hung up")
}

impl Inner {
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

    /// Sends a request on, and its answer back.
    pub(super) async fn pass(&self, call: &Call) -> io::Result<Response<Body>> {
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

    pub(super) async fn send(&self, call: &Call) -> io::Result<reqwest::Response> {
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
}

/// Whether a list fills a cache: those are read in pages. What is asked for at a moment is never old in a real cluster.
pub(super) fn is_for_a_cache(call: &Call) -> bool {
    call.parts.uri.query().unwrap_or_default().split('&').any(|pair| pair.starts_with("limit="))
}

/// Headers that are for the other end, not for the next hop.
pub(super) fn end_to_end(headers: &HeaderMap, with_length: bool) -> HeaderMap {
    let mut kept = headers.clone();
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::TE] {
        kept.remove(name);
    }
    if !with_length {
        kept.remove(header::CONTENT_LENGTH);
    }
    kept
}
