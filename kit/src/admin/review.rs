//! Whose a bearer token is, and whether they may do something: both as the API server says.
//!
//! Asks the API server (`TokenReview`, `SubjectAccessReview`), so many times a second at most, and remembers answers for a few
//! seconds. Fails closed: where the API server does not answer, nobody may anything. Tokens are kept as digests only.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};

use crate::clock::{Clock, Mono};
use crate::conditions::clean;
use crate::limit::Limit;

/// How long an answer is believed: bounds how long a right that was taken away still works.
pub(super) const FRESH: Duration = Duration::from_secs(10);
/// Most answers that are remembered.
pub(super) const MAX_ANSWERS: usize = 256;
/// Longest wait for the rate limit.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Time for one request to the API server.
const TIMEOUT: Duration = Duration::from_secs(4);
/// What a bearer token comes after.
const SCHEME: &str = "Bearer ";
/// Longest token that is reviewed, bytes.
pub(super) const MAX_TOKEN: usize = 32 << 10;
/// What the user name of a service account begins with; its namespace and name follow, with a colon between them.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Token, audience and right of a question, as one digest.
type Question = [u8; 32];

/// What somebody with a token wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Bearer token.
    pub token: &'a str,
    /// What the token must be for; the API server itself where this is left out.
    pub audience: Option<&'a str>,
    /// The right that it takes.
    pub right: Right<'a>,
}

/// A right, as roles give it.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a> {
    /// On a path that is no resource.
    Path {
        /// Verb.
        verb: &'a str,
        /// Path.
        path: &'a str,
    },
    /// On a resource in a namespace.
    Resource {
        /// Verb.
        verb: &'a str,
        /// API group.
        group: &'a str,
        /// Resource.
        resource: &'a str,
        /// Namespace; that of the service account whose token it is where this is left out, and nobody else may then.
        namespace: Option<&'a str>,
    },
}

/// What the API server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This user may.
    Allowed(String),
    /// It is nobody's token.
    Unknown,
    /// This user may not.
    Forbidden(String),
}

/// Why there is no answer, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unavailable(pub String);

/// Has tokens reviewed.
pub struct Reviewer {
    client: Client,
    /// The chart's value that comes with the right to have tokens reviewed.
    value: &'static str,
    clock: Clock,
    limit: Limit,
    answers: Mutex<HashMap<Question, (Mono, Answer)>>,
}

impl Reviewer {
    /// A reviewer that may review where the chart has this `value`, and has `rate` tokens reviewed a second at most; each is two
    /// requests to the API server.
    pub fn new(client: Client, value: &'static str, rate: u32, clock: Clock) -> Self {
        Self { client, value, clock, limit: Limit::per_second(rate), answers: Mutex::default() }
    }

    /// Whose the token is, and whether they may.
    pub async fn ask(&self, asked: Asked<'_>) -> Result<Answer, Unavailable> {
        let question = question(&asked);
        let now = self.clock.mono();
        if let Some((at, answer)) = self.lock().get(&question)
            && now.saturating_sub(*at) < FRESH
        {
            return Ok(answer.clone());
        }
        let Some(wait) = self.limit.book_within(now, MAX_WAIT) else {
            return Err(Unavailable("too many tokens are being reviewed: try again in a few seconds".to_owned()));
        };
        tokio::time::sleep(wait).await;
        let answer = self.review(&asked).await?;
        if let Answer::Forbidden(user) = &answer {
            tracing::warn!(user, right = ?asked.right, "somebody asked for what they have no right to");
        }
        self.remember(question, answer.clone());
        Ok(answer)
    }

    async fn review(&self, asked: &Asked<'_>) -> Result<Answer, Unavailable> {
        let audiences = asked.audience.map(|audience| vec![audience.to_owned()]);
        let spec = TokenReviewSpec { token: Some(asked.token.to_owned()), audiences: audiences.clone() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = self.create(&review, "tokenreviews").await?.status.unwrap_or_default();
        // An authenticator that knows no audiences names none: it has not looked whom the token is for.
        let is_for_us = audiences.is_none_or(|wanted| status.audiences.is_some_and(|found| found.contains(&wanted[0])));
        let Some(user) = status.user.filter(|_| status.authenticated == Some(true) && is_for_us) else {
            return Ok(Answer::Unknown);
        };
        let name = clean(user.username.as_deref().unwrap_or_default());
        let Some(spec) = may(user, asked.right) else { return Ok(Answer::Forbidden(name)) };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let status = self.create(&review, "subjectaccessreviews").await?.status.unwrap_or_default();
        Ok(if status.allowed && status.denied != Some(true) { Answer::Allowed(name) } else { Answer::Forbidden(name) })
    }

    async fn create<K>(&self, review: &K, what: &str) -> Result<K, Unavailable>
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        let (api, params) = (Api::<K>::all(self.client.clone()), PostParams::default());
        match tokio::time::timeout(TIMEOUT, api.create(&params, review)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(Unavailable(format!(
                "the operator may not create {what}: install the chart with {}, which gives it that right",
                self.value
            ))),
            // The error's own text can hold parts of what was sent.
            Ok(Err(_)) | Err(_) => Err(Unavailable(format!("the API server did not answer to {what}: try again"))),
        }
    }

    pub(super) fn remember(&self, question: Question, answer: Answer) {
        let now = self.clock.mono();
        let mut answers = self.lock();
        if answers.len() >= MAX_ANSWERS {
            answers.retain(|_, (at, _)| now.saturating_sub(*at) < FRESH);
        }
        // Full of fresh ones: the rate limit alone has to do.
        if answers.len() < MAX_ANSWERS {
            answers.insert(question, (now, answer));
        }
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Question, (Mono, Answer)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bearer token of a request, if it has one that may be reviewed.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(|value| value.strip_prefix(SCHEME)).map(str::trim);
    token.filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN)
}

/// Namespace and name of the service account that a user is.
pub fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix(SERVICE_ACCOUNT)?.split_once(':')
}

fn may(user: UserInfo, right: Right<'_>) -> Option<SubjectAccessReviewSpec> {
    let extra: Option<BTreeMap<String, Vec<String>>> = user.extra;
    let spec = SubjectAccessReviewSpec { uid: user.uid, groups: user.groups, extra, ..SubjectAccessReviewSpec::default() };
    let name = user.username.unwrap_or_default();
    Some(match right {
        Right::Path { verb, path } => {
            let attributes = NonResourceAttributes { verb: Some(verb.to_owned()), path: Some(path.to_owned()) };
            SubjectAccessReviewSpec { user: Some(name), non_resource_attributes: Some(attributes), ..spec }
        }
        Right::Resource { verb, group, resource, namespace } => {
            let namespace = namespace.or_else(|| service_account(&name).map(|(namespace, _)| namespace))?.to_owned();
            let attributes = ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                namespace: Some(namespace),
                ..ResourceAttributes::default()
            };
            SubjectAccessReviewSpec { user: Some(name), resource_attributes: Some(attributes), ..spec }
        }
    })
}

pub(super) fn question(asked: &Asked<'_>) -> Question {
    let mut hasher = Sha256::new();
    let right = match asked.right {
        Right::Path { verb, path } => ["path", verb, path, "", ""],
        Right::Resource { verb, group, resource, namespace } => {
            // No namespace has a name without letters.
            ["resource", verb, group, resource, namespace.unwrap_or_default()]
        }
    };
    for part in [asked.audience.unwrap_or_default()].into_iter().chain(right).chain([asked.token]) {
        hasher.update(part);
        // None of them can hold it.
        hasher.update([0]);
    }
    hasher.finalize().into()
}
