//! Who may use the guarded listener: a bearer token is reviewed, and then the right to this path and method.
//!
//! Asks the API server through a [`Reviewer`].

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use kube::Client;

use super::review::{Answer, Asked, Reviewer, Right, Unavailable, bearer};
use crate::clock::Clock;
use crate::metrics::Metrics;

/// The chart's value that comes with the right to have tokens reviewed.
const VALUE: &str = "debug.listen=Cluster";
/// Tokens that are reviewed a second: these are people.
const RATE: u32 = 10;

/// Lets in who may come in. Cloning is cheap.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    reviewer: Reviewer,
    role: String,
    metrics: Arc<Metrics>,
}

impl Guard {
    /// A guard that names `role` as the one to bind.
    pub fn new(client: Client, role: impl Into<String>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self(Arc::new(Inner { reviewer: Reviewer::new(client, VALUE, RATE, clock), role: role.into(), metrics }))
    }

    async fn ask(&self, token: &str, verb: &str, path: &str) -> Result<Answer, Unavailable> {
        self.0.reviewer.ask(Asked { token, audience: None, right: Right::Path { verb, path } }).await
    }
}

/// The layer in front of every guarded route.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (verb, path) = (request.method().as_str().to_ascii_lowercase(), request.uri().path().to_owned());
    let Some(token) = bearer(request.headers()) else {
        guard.0.metrics.guarded("unauthenticated");
        return refuse(
            StatusCode::UNAUTHORIZED,
            "there is no bearer token: send `Authorization: Bearer TOKEN`, with a token of `kubectl create token SERVICEACCOUNT`",
        );
    };
    match guard.ask(token, &verb, &path).await {
        Ok(Answer::Allowed(user)) => {
            guard.0.metrics.guarded("allowed");
            if *request.method() == Method::GET {
                tracing::debug!(user, verb, path, "the debug listener was used");
            } else {
                tracing::info!(user, verb, path, "the debug listener was used");
            }
            next.run(request).await
        }
        Ok(Answer::Unknown) => {
            guard.0.metrics.guarded("unauthenticated");
            refuse(
                StatusCode::UNAUTHORIZED,
                "the cluster does not know this bearer token, or it has expired: get a new one, such as by `kubectl create token SERVICEACCOUNT`",
            )
        }
        Ok(Answer::Forbidden(user)) => {
            guard.0.metrics.guarded("forbidden");
            let role = &guard.0.role;
            let text = format!(
                "{user} may not {verb} the non-resource URL {path}: bind the ClusterRole {role}, {}",
                how_to_bind(&user, role)
            );
            refuse(StatusCode::FORBIDDEN, &text)
        }
        Err(Unavailable(text)) => {
            guard.0.metrics.guarded("unavailable");
            tracing::warn!(error = text, "failed to review a token for the debug listener");
            refuse(StatusCode::SERVICE_UNAVAILABLE, &text)
        }
    }
}

/// The command that grants the right.
fn how_to_bind(user: &str, role: &str) -> String {
    let account = user.strip_prefix("system:serviceaccount:");
    let subject = account.map_or_else(|| format!("--user={user}"), |account| format!("--serviceaccount={account}"));
    format!("as by `kubectl create clusterrolebinding {role} --clusterrole={role} {subject}`")
}

fn refuse(status: StatusCode, text: &str) -> Response {
    let mut response = (status, format!("{text}\n")).into_response();
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    response
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
