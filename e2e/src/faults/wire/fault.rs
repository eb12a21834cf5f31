//! What goes wrong at the planned point, and how.
//!
//! I/O: answers in the servers' place, ends and stops the operator's process.

use super::{
    Call, Inner, OUR_GROUP, Side,
    proxy::{Body, hang_up, is_for_a_cache},
};
use crate::faults::operator::LEASE;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use std::{fmt, io, sync::Arc, time::Duration};
use tokio::time::Instant;

/// How long a stream is held, and how long a store is away: longer than the operator's patience with one write.
pub(super) const A_WHILE: Duration = Duration::from_millis(1_500);
/// How long a request is left without an answer: longer than the operator's own limit on it.
const NO_ANSWER: Duration = Duration::from_secs(5);
/// How long a process has to take an answer before it is killed "after" it. What it sends meanwhile is refused.
const TO_TAKE_AN_ANSWER: Duration = Duration::from_millis(30);

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

impl Inner {
    pub(super) fn is_away(&self) -> bool {
        self.lock().away_until.is_some_and(|until| Instant::now() < until)
    }

    /// Lets the planned fault happen.
    pub(super) async fn fail(self: Arc<Self>, call: Call, fault: Fault) -> io::Result<Response<Body>> {
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
    pub(super) fn make_old(&self, call: &mut Call, resource: &str) {
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

pub(super) fn status_object(status: u16) -> Value {
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
