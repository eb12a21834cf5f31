//! Who may use the guarded listener: a bearer token is reviewed, and then the right to this path and method.
//!
//! Asks the API server (`TokenReview`, `SubjectAccessReview`), at most [`RATE`] times a second, and remembers answers for a
//! few seconds. Fails closed: where the API server does not answer, nobody gets in. Tokens are kept as digests only.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};

use crate::clock::{Clock, Mono};
use crate::conditions::clean;
use crate::limit::Limit;
use crate::metrics::Metrics;

/// How long an answer is believed: bounds how long a right that was taken away still works.
const FRESH: Duration = Duration::from_secs(10);
/// Most answers that are remembered.
const MAX_ANSWERS: usize = 256;
/// Reviews a second; each is two requests to the API server.
const RATE: u32 = 10;
/// Longest wait for the rate limit.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Time for one request to the API server.
const TIMEOUT: Duration = Duration::from_secs(4);
/// What a bearer token comes after.
const SCHEME: &str = "Bearer ";
/// Longest token that is reviewed, bytes.
const MAX_TOKEN: usize = 32 << 10;

/// Token, method and path of a question, as one digest.
type Question = [u8; 32];

/// Lets in who may come in. Cloning is cheap.
#[derive(Clone)]
pub struct Guard(Arc<Inner>);

struct Inner {
    client: Client,
    role: String,
    clock: Clock,
    metrics: Arc<Metrics>,
    limit: Limit,
    answers: Mutex<HashMap<Question, (Mono, Answer)>>,
}

/// What the API server says of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// This user may.
    Allowed(String),
    /// It is nobody's token.
    Unknown,
    /// This user may not.
    Forbidden(String),
}

/// Why there is no answer, and what to do.
#[derive(Debug)]
struct Unavailable(String);

impl Guard {
    /// A guard that names `role` as the one to bind.
    pub fn new(client: Client, role: impl Into<String>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        let limit = Limit::per_second(RATE);
        Self(Arc::new(Inner { client, role: role.into(), clock, metrics, limit, answers: Mutex::default() }))
    }

    async fn ask(&self, token: &str, verb: &str, path: &str) -> Result<Answer, Unavailable> {
        let question = question(token, verb, path);
        let now = self.0.clock.mono();
        if let Some((at, answer)) = self.lock().get(&question)
            && now.saturating_sub(*at) < FRESH
        {
            return Ok(answer.clone());
        }
        let Some(wait) = self.0.limit.book_within(now, MAX_WAIT) else {
            return Err(Unavailable("too many tokens are being reviewed: try again in a few seconds".to_owned()));
        };
        tokio::time::sleep(wait).await;
        let answer = self.review(token, verb, path).await?;
        if let Answer::Forbidden(user) = &answer {
            tracing::warn!(user, verb, path, "somebody without the right asked the debug listener");
        }
        self.remember(question, answer.clone());
        Ok(answer)
    }

    async fn review(&self, token: &str, verb: &str, path: &str) -> Result<Answer, Unavailable> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), ..TokenReviewSpec::default() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = self.create(&review, "tokenreviews").await?.status.unwrap_or_default();
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true)) else { return Ok(Answer::Unknown) };
        let name = clean(user.username.as_deref().unwrap_or_default());
        let review = SubjectAccessReview { spec: may(user, verb, path), ..SubjectAccessReview::default() };
        let status = self.create(&review, "subjectaccessreviews").await?.status.unwrap_or_default();
        Ok(if status.allowed && status.denied != Some(true) { Answer::Allowed(name) } else { Answer::Forbidden(name) })
    }

    async fn create<K>(&self, review: &K, what: &str) -> Result<K, Unavailable>
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let (api, params) = (Api::<K>::all(self.0.client.clone()), PostParams::default());
        match tokio::time::timeout(TIMEOUT, api.create(&params, review)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(Unavailable(format!(
                "the operator may not create {what}: install the chart with debug.listen=Cluster, which gives it that right"
            ))),
            // The error's own text can hold parts of what was sent.
            Ok(Err(_)) | Err(_) => Err(Unavailable(format!("the API server did not answer to {what}: try again"))),
        }
    }

    fn remember(&self, question: Question, answer: Answer) {
        let now = self.0.clock.mono();
        let mut answers = self.lock();
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, (at, _)| now.saturating_sub(*at) < FRESH);
        }
        // Full of fresh ones: the rate limit alone has to do.
        if answers.len() < MAX_ANSWERS {
            answers.insert(question, (now, answer));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Question, (Mono, Answer)>> {
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layer in front of every guarded route.
pub(super) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let (verb, path) = (request.method().as_str().to_ascii_lowercase(), request.uri().path().to_owned());
    let value = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix(SCHEME)).map(str::trim);
    let Some(token) = token.filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN) else {
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

fn may(user: UserInfo, verb: &str, path: &str) -> SubjectAccessReviewSpec {
    let extra: Option<BTreeMap<String, Vec<String>>> = user.extra;
    SubjectAccessReviewSpec {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra,
        non_resource_attributes: Some(NonResourceAttributes { verb: Some(verb.to_owned()), path: Some(path.to_owned()) }),
        ..SubjectAccessReviewSpec::default()
    }
}

fn question(token: &str, verb: &str, path: &str) -> Question {
    let mut hasher = Sha256::new();
    for part in [verb, path, token] {
        hasher.update(part);
        // None of them can hold it.
        hasher.update([0]);
    }
    hasher.finalize().into()
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
