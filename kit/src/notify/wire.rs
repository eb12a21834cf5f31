//! One request to an endpoint, and what its answer means for whoever waits.
//!
//! Sends requests, follows no redirects, reads little of an answer, and has neither URLs nor secrets in what it says.

use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use jiff::Timestamp;
use reqwest::{Client, Response};
use url::Url;

use super::secret::Secret;
use super::{pagerduty, text};
use crate::clock::Clock;
use crate::store::client::silence;

/// Time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time for one request with its answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(8);
/// Most that is read of an answer's body, bytes.
const MAX_ANSWER: usize = 4096;
/// Longest wait that an answer can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Whose words the answer is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Alertmanager,
    Slack,
    PagerDuty,
}

/// A request that is ready.
pub(super) struct Outgoing {
    pub(super) url: Url,
    pub(super) bearer: Option<Secret>,
    pub(super) body: Vec<u8>,
    pub(super) dialect: Dialect,
    /// What must not be repeated, and what a refusal is remembered with.
    pub(super) secret: Option<Secret>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    /// It may be taken later.
    Later {
        error: String,
        after: Option<Duration>,
    },
    /// It will never be taken like this.
    Refused {
        error: String,
    },
}

impl Answer {
    pub(super) fn later(error: String) -> Self {
        Self::Later { error, after: None }
    }
}

/// The way out.
pub(super) enum Wire {
    Http(Client),
    /// A network of the test's own, for virtual time.
    #[cfg(test)]
    Fake(Box<dyn Fn(&Outgoing) -> Answer + Send + Sync>),
}

impl Wire {
    pub(super) fn new() -> Result<Self, String> {
        Self::within(ATTEMPT_TIMEOUT)
    }

    pub(super) fn within(timeout: Duration) -> Result<Self, String> {
        crate::kube_client::install_tls_provider();
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(timeout))
            .timeout(timeout)
            .build()
            .map_err(|error| format!("no HTTP client: {error}"))?;
        Ok(Self::Http(client))
    }

    pub(super) async fn send(&self, outgoing: Outgoing) -> Answer {
        let client = match self {
            Self::Http(client) => client,
            #[cfg(test)]
            Self::Fake(network) => return network(&outgoing),
        };
        let mut request = client.post(outgoing.url).header(CONTENT_TYPE, "application/json").body(outgoing.body);
        if let Some(token) = outgoing.bearer {
            request = request.bearer_auth(token.expose());
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Answer::later(silence(&error).to_owned()),
        };
        let status = response.status();
        let after = retry_after(&response);
        // Read even where nobody looks at it: a connection can be used again only after its answer.
        let body = read(response).await;
        if status.is_success() {
            return Answer::Accepted;
        }
        let error = match complaint(outgoing.dialect, &body, outgoing.secret.as_ref().map_or("", Secret::expose)) {
            Some(words) => format!("it answers {} ({words})", status.as_u16()),
            None => format!("it answers {}", status.as_u16()),
        };
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            Answer::Later { error, after }
        } else {
            Answer::Refused { error }
        }
    }
}

async fn read(mut response: Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - body.len())]);
        if body.len() == MAX_ANSWER {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

fn complaint(dialect: Dialect, body: &str, secret: &str) -> Option<String> {
    match dialect {
        // One word, such as no_service. Parts of the URL look otherwise, but for a word that is one.
        Dialect::Slack => {
            let word = body.trim();
            let plain = !word.is_empty() && word.len() <= 40 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            (plain && !secret.contains(word)).then(|| word.to_owned())
        }
        Dialect::PagerDuty => text::said(&pagerduty::complaint(body), secret),
        Dialect::Alertmanager => text::said(body, secret),
    }
}

/// The wait that an answer asks for, in seconds or as a date.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Clock::until(Timestamp::now(), jiff::fmt::rfc2822::parse(value).ok()?.timestamp()),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}
