//! Watches, event by event: each is a point.
//!
//! I/O: reads the API server's stream and passes it on.

use super::{
    Call, Inner,
    fault::{A_WHILE, Fault, status_object},
    proxy::{Body, end_to_end, hang_up},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use std::{io, sync::Arc, time::Duration};

/// How long the news that a Job has ended waits for the news of its pods.
const PODS_FIRST: Duration = Duration::from_millis(60);

impl Inner {
    /// A watch, event by event: each is a point.
    pub(super) async fn watch(self: Arc<Self>, call: Call, resource: String) -> io::Result<Response<Body>> {
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
