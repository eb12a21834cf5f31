//! Leases over HTTP: callers that are no jobs have money in hand before they use it.
//!
//! Reads like a table of contents: who asks (`TokenReview`, and a right in the namespace of their own account), how often, for
//! what, and what the ledger says. Only the leader answers. Asks the API server through the kit's reviewer, reads and writes the
//! ledger; nothing is kept here but how often each account has asked.

mod answer;
mod settings;
mod throttle;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use sha2::{Digest as _, Sha256};
use showrunner_contracts::lease::{
    AUDIENCE, Lease, LeaseEvidence, LeaseReason, LeaseRequest, LeaseSettlement, MAX_REQUEST_BYTES, ModelUse,
};
use showrunner_contracts::{Document, ReadError};
use showrunner_kit::admin::review::{Answer, Asked, Reviewer, Right, Unavailable, bearer, service_account};
use showrunner_kit::clock::Clock;
use showrunner_kit::lease::Leadership;
use showrunner_kit::metrics::Metrics;
use showrunner_ledger::lease::{Statement, key, keys_in};
use showrunner_ledger::price::{Prices, Unpriced, Use};
use showrunner_ledger::{Book, Part, Who};

use self::answer::{Found, Refusal, unleased};
pub use self::settings::LeaseSettings;
use self::throttle::Throttle;
use super::ledger::Ledger;
use super::ledger::leases::{LeaseAsk, LeaseEnd, Leased};

/// What roles give rights on. No such resource is served: it stands for what this listener does.
const GROUP: &str = "showrunner.dev";
/// See [`GROUP`].
const RESOURCE: &str = "leases";
/// Takes leases, and ends its own.
const VERB_TAKE: &str = "create";
/// Says by evidence what leases of a namespace were used for.
const VERB_VERIFY: &str = "verify";
/// What the journal calls the kind of work that a lease is for.
const KIND: &str = "Lease";
/// The chart's value that comes with the right to have tokens reviewed.
const VALUE: &str = "leases.enabled=true";
/// Tokens that are reviewed a second: all callers may come at once, and come again where they were too many.
const REVIEWS: u32 = 25;
/// Bytes of a digest that name a lease.
const ID_BYTES: usize = 16;

/// What an answer is made of: a lease, and whether it is a new one.
type Told = Result<(StatusCode, Lease), Refusal>;

/// What the listener needs. Cloning is cheap.
#[derive(Clone)]
pub struct Leases(Arc<Inner>);

struct Inner {
    ledger: Arc<Ledger>,
    prices: Prices,
    reviewer: Reviewer,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    clock: Clock,
    throttle: Mutex<Throttle>,
}

/// Who asks: a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    namespace: String,
    name: String,
}

impl Account {
    /// As the journal has it.
    fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl Leases {
    /// Answers from this ledger, at these prices, while this process leads.
    pub fn new(
        ledger: Arc<Ledger>,
        prices: Prices,
        client: kube::Client,
        leadership: Leadership,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        let (reviewer, throttle) = (Reviewer::new(client, VALUE, REVIEWS, clock), Mutex::default());
        Self(Arc::new(Inner { ledger, prices, reviewer, leadership, metrics, clock, throttle }))
    }

    /// What the listener answers.
    pub fn router(self) -> Router {
        let nothing = async || Refusal::new(LeaseReason::NotFound, "there is nothing here: see docs/leases.md").into_response();
        let no_method = async || {
            Refusal::new(LeaseReason::MethodNotAllowed, "this path has no such method: see docs/leases.md").into_response()
        };
        Router::new()
            .route("/v1/leases", post(take))
            .route("/v1/leases/{id}", get(look))
            .route("/v1/leases/{id}/settle", post(settle))
            .route("/v1/leases/{id}/cancel", post(cancel))
            .route("/v1/leases/{id}/evidence", post(verify))
            .fallback(nothing)
            .method_not_allowed_fallback(no_method)
            .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
            .with_state(self)
    }

    /// Counts what is answered.
    fn answer(&self, outcome: &'static str, told: Told) -> Response {
        match told {
            Ok((status, lease)) => {
                self.0.metrics.lease(outcome);
                (status, axum::Json(lease)).into_response()
            }
            Err(refusal) => {
                self.0.metrics.lease(refusal.reason.into());
                tracing::debug!(reason = %refusal.reason, message = refusal.message, "refused a request about leases");
                refusal.into_response()
            }
        }
    }

    /// Who asks, if they may: in the namespace of their own account, or in the one that is named.
    async fn identify(&self, headers: &HeaderMap, verb: &str, namespace: Option<&str>) -> Result<Account, Refusal> {
        if !self.0.leadership.leads() {
            return Err(Refusal::not_leader(self.0.leadership.leader()));
        }
        let Some(token) = bearer(headers) else {
            let message =
                format!("send `Authorization: Bearer TOKEN`, with a service account's token for the audience {AUDIENCE}");
            return Err(Refusal::new(LeaseReason::Unauthenticated, message));
        };
        let right = Right::Resource { verb, group: GROUP, resource: RESOURCE, namespace };
        let answer = self.0.reviewer.ask(Asked { token, audience: Some(AUDIENCE), right }).await;
        let user = match answer {
            Ok(Answer::Allowed(user)) => user,
            Ok(Answer::Unknown) => {
                let message =
                    format!("the cluster does not know this token, or it is not for the audience {AUDIENCE}, or has expired");
                return Err(Refusal::new(LeaseReason::Unauthenticated, message));
            }
            Ok(Answer::Forbidden(user)) if service_account(&user).is_none() => {
                let message = format!("{user} is no service account: its namespace decides which budgets are over a lease");
                return Err(Refusal::new(LeaseReason::NotAServiceAccount, message));
            }
            Ok(Answer::Forbidden(user)) => {
                let place =
                    namespace.map_or_else(|| "its own namespace".to_owned(), |namespace| format!("namespace {namespace}"));
                let message =
                    format!("{user} may not {verb} {RESOURCE}.{GROUP} in {place}: bind a role that has this right to it");
                return Err(Refusal::new(LeaseReason::Forbidden, message));
            }
            Err(Unavailable(message)) => return Err(Refusal::new(LeaseReason::ReviewUnavailable, message)),
        };
        let account = service_account(&user).map(|(namespace, name)| Account { namespace: namespace.into(), name: name.into() });
        let account =
            account.ok_or_else(|| Refusal::new(LeaseReason::NotAServiceAccount, format!("{user} is no service account")))?;
        let asked = self.0.throttle.lock().unwrap_or_else(PoisonError::into_inner).ask(&account.path(), self.0.clock.mono());
        asked.map_err(|most| {
            let message = format!("{user} has asked {most} times within a minute: a lease lasts for many minutes");
            Refusal::new(LeaseReason::TooManyRequests, message)
        })?;
        if !self.0.ledger.knows(namespace.unwrap_or(&account.namespace)) {
            return Err(Refusal::new(LeaseReason::Starting, "it is not known yet which budgets are over the namespace"));
        }
        Ok(account)
    }

    async fn take(&self, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Told {
        let account = self.identify(headers, VERB_TAKE, None).await?;
        let request: LeaseRequest = read(body)?;
        request.check().map_err(bad)?;
        let id = id_of(&account, &request);
        let mut ends = Vec::new();
        for end in &request.ends {
            match self.find(&account, &end.id).await {
                Ok((key, _)) => ends.push(LeaseEnd { key, said: self.claim(&account, end.used.as_deref())? }),
                // It was charged long ago.
                Err(refusal) if refusal.reason == LeaseReason::NotFound => {}
                Err(refusal) => return Err(refusal),
            }
        }
        let expects: Vec<Use> = request.expects.iter().map(use_of).collect();
        let expected = self.0.prices.cost_of(&expects)?;
        let Account { namespace, .. } = &account;
        let who = Who { kind: KIND.into(), namespace: namespace.clone(), name: request.caller.clone(), ..Who::default() };
        let ask = LeaseAsk {
            key: key(namespace, &request.caller, &id),
            who,
            account: account.path(),
            request: hex(&Sha256::digest(request.to_bytes())),
            models: names(&expects),
            expected,
            ends,
        };
        let currency = self.0.ledger.currency();
        let leased = self.0.ledger.lease(ask).await?;
        let Leased { open, new } = leased.map_err(|why| unleased(&why, namespace, expected, &currency))?;
        let told = Found::Open(open).told((namespace, &request.caller, &id), &currency, self.0.clock.now());
        Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, told))
    }

    async fn end(&self, account: &Account, id: &str, said: Option<Statement>) -> Told {
        let (key, _) = self.find(account, id).await?;
        self.0.ledger.end_lease(LeaseEnd { key, said }).await?;
        self.tell(account, id).await
    }

    async fn verify(&self, headers: &HeaderMap, id: &str, body: Result<Bytes, BytesRejection>) -> Told {
        // The namespace is in the body, and so it is read before anybody is asked who this is: it is bounded.
        let evidence: LeaseEvidence = read(body)?;
        evidence.check().map_err(bad)?;
        let by = self.identify(headers, VERB_VERIFY, Some(&evidence.namespace)).await?;
        let (key, found) = self.find_in(&evidence.namespace, id).await?;
        if found.is_of(&by.path()) {
            let message = "evidence comes from another account than the one that took the lease";
            return Err(Refusal::new(LeaseReason::Forbidden, message));
        }
        let said = self.state(&by, true, &evidence.used, evidence.records.clone())?;
        let mut now = found;
        // Where its caller ended it on the same page, that came first.
        for _ in 0..2 {
            if !matches!(&now, Found::Ended(ended) if ended.verified) {
                self.0.ledger.end_lease(LeaseEnd { key: key.clone(), said: Some(said.clone()) }).await?;
                (_, now) = self.find_in(&evidence.namespace, id).await?;
            }
        }
        Ok((StatusCode::OK, self.words(&key, &now)))
    }

    async fn tell(&self, account: &Account, id: &str) -> Told {
        let (key, found) = self.find(account, id).await?;
        Ok((StatusCode::OK, self.words(&key, &found)))
    }

    /// A lease in words.
    fn words(&self, key: &str, found: &Found) -> Lease {
        let mut parts = key.split('/').skip(1);
        let mut next = || parts.next().unwrap_or_default();
        found.told((next(), next(), next()), &self.0.ledger.currency(), self.0.clock.now())
    }

    /// A lease of this account.
    async fn find(&self, account: &Account, id: &str) -> Result<(String, Found), Refusal> {
        let (key, found) = self.find_in(&account.namespace, id).await?;
        if found.is_of(&account.path()) { Ok((key, found)) } else { Err(unknown(id)) }
    }

    async fn find_in(&self, namespace: &str, id: &str) -> Result<(String, Found), Refusal> {
        if id.len() != 2 * ID_BYTES || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown(id));
        }
        self.0.ledger.look(|book| search(book, namespace, id)).await?.ok_or_else(|| unknown(id))
    }

    /// What a caller says of itself; none where it says nothing.
    fn claim(&self, account: &Account, used: Option<&[ModelUse]>) -> Result<Option<Statement>, Refusal> {
        used.map(|used| self.state(account, false, used, Vec::new())).transpose()
    }

    fn state(&self, by: &Account, verified: bool, used: &[ModelUse], records: Vec<String>) -> Result<Statement, Refusal> {
        let uses: Vec<Use> = used.iter().map(use_of).collect();
        let part = |used: &Use| Ok::<_, Unpriced>(Part { model: used.name(), amount: self.0.prices.cost(used)? });
        let parts = uses.iter().map(part).collect::<Result<Vec<_>, _>>()?;
        let cost = parts.iter().map(|part| part.amount).sum();
        Ok(Statement { by: by.path(), verified, cost, parts, uses, records })
    }
}

async fn take(State(leases): State<Leases>, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    let told = leases.take(&headers, body).await;
    let outcome = if told.as_ref().is_ok_and(|(status, _)| *status == StatusCode::CREATED) { "Granted" } else { "Known" };
    leases.answer(outcome, told)
}

async fn look(State(leases): State<Leases>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let told = async { leases.tell(&leases.identify(&headers, VERB_TAKE, None).await?, &id).await }.await;
    leases.answer("Told", told)
}

async fn settle(
    State(leases): State<Leases>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let told = async {
        let account = leases.identify(&headers, VERB_TAKE, None).await?;
        let settlement: LeaseSettlement = read(body)?;
        settlement.check().map_err(bad)?;
        let said = leases.claim(&account, settlement.used.as_deref())?;
        leases.end(&account, &id, said).await
    };
    let told = told.await;
    leases.answer("Ended", told)
}

async fn cancel(State(leases): State<Leases>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let told = async {
        let account = leases.identify(&headers, VERB_TAKE, None).await?;
        let said = leases.claim(&account, Some(&[]))?;
        leases.end(&account, &id, said).await
    };
    let told = told.await;
    leases.answer("Ended", told)
}

async fn verify(
    State(leases): State<Leases>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let told = leases.verify(&headers, &id, body).await;
    leases.answer("Verified", told)
}

fn read<D: Document>(body: Result<Bytes, BytesRejection>) -> Result<D, Refusal> {
    let body = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::new(LeaseReason::TooLarge, format!("a request has at most {MAX_REQUEST_BYTES} bytes"))
        }
        _ => Refusal::new(LeaseReason::BadRequest, "the request ended before its body did"),
    })?;
    D::from_bytes(&body).map_err(|error: ReadError| bad(error.to_string()))
}

fn bad(message: String) -> Refusal {
    Refusal::new(LeaseReason::BadRequest, message)
}

fn unknown(id: &str) -> Refusal {
    let id: String = id.chars().filter(|c| !c.is_control()).take(64).collect();
    let message = format!("no lease {id:?} of this account is known: what ended is forgotten after three days");
    Refusal::new(LeaseReason::NotFound, message)
}

/// A lease of a namespace by its id.
fn search(book: &Book, namespace: &str, id: &str) -> Option<(String, Found)> {
    let named = |key: &str| key.rsplit_once('/').is_some_and(|(_, last)| last == id);
    let prefix = keys_in(namespace);
    let open = book.open_from(&prefix).find(|(key, _)| named(key));
    if let Some((key, open)) = open {
        return Some((key.to_owned(), Found::Open(open.clone())));
    }
    let (key, ended) = book.leases().ended_in(namespace).find(|(key, _)| named(key))?;
    Some((key.to_owned(), Found::Ended(ended.clone())))
}

/// Names the lease of a request: the same one for the same account, caller and request id.
fn id_of(account: &Account, request: &LeaseRequest) -> String {
    // None of them holds a slash.
    let text = [account.namespace.as_str(), &account.name, &request.caller, &request.request_id].join("/");
    hex(&Sha256::digest(text)[..ID_BYTES])
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
    }
    text
}

fn use_of(used: &ModelUse) -> Use {
    let ModelUse { provider, model, input_tokens, output_tokens, images, requests } = used.clone();
    Use { provider, model, input_tokens, output_tokens, images, requests }
}

/// Each model once.
fn names(uses: &[Use]) -> Vec<String> {
    uses.iter().map(Use::name).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests;
