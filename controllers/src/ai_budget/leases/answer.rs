//! What callers are told: leases, and why there is none. No I/O.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use showrunner_contracts::Document as _;
use showrunner_contracts::lease::{HEADER_LEADER, Lease, LeaseBasis, LeaseReason, LeaseRefusal, LeaseState};
use showrunner_kit::clock::Clock;
use showrunner_ledger::lease::{Ended, Refused};
use showrunner_ledger::price::Unpriced;
use showrunner_ledger::rules::{Wait, Why};
use showrunner_ledger::{Amount, Open};

use crate::ai_budget::ledger::journal::JournalError;
use crate::ai_budget::ledger::leases::Unleased;

/// Why there is no other answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: LeaseReason,
    pub(super) message: String,
    /// Where the leader listens.
    pub(super) leader: Option<String>,
}

impl Refusal {
    pub(super) fn new(reason: LeaseReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), leader: None }
    }

    /// Another replica leads, which may be found there.
    pub(super) fn not_leader(leader: Option<String>) -> Self {
        let message = "another replica leads: ask the one that `leader` names, or this address again in a moment";
        Self { leader, ..Self::new(LeaseReason::NotLeader, message) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { reason, message, leader } = self;
        let (status, retry) = (StatusCode::from_u16(reason.status()).unwrap_or_default(), reason.retry_after());
        let body = LeaseRefusal {
            schema: LeaseRefusal::SCHEMA.to_owned(),
            reason,
            message,
            retry_after_seconds: retry,
            leader: leader.clone(),
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if reason == LeaseReason::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(leader) = leader.and_then(|leader| HeaderValue::from_str(&leader).ok()) {
            headers.insert(HeaderName::from_static(HEADER_LEADER), leader);
        }
        response
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        let reason = match &error {
            JournalError::Away(_) => LeaseReason::LedgerUnavailable,
            JournalError::Broken(_) => LeaseReason::LedgerBroken,
        };
        Self::new(reason, error.to_string())
    }
}

impl From<Unpriced> for Refusal {
    fn from(error: Unpriced) -> Self {
        let message = format!("{error}: what has no price is never free. Set it in the operator's values (prices.api)");
        Self::new(LeaseReason::PriceUnknown, message)
    }
}

/// Why a caller of this namespace has no lease that covers this much.
pub(super) fn unleased(why: &Unleased, namespace: &str, expected: Amount, currency: &str) -> Refusal {
    match why {
        Unleased::Reused => Refusal::new(
            LeaseReason::RequestIdReused,
            "the request id was used for another request: use a new one, and the same one again only for the same request",
        ),
        Unleased::Over => {
            Refusal::new(LeaseReason::LeaseOver, "the lease of this request id is over: use a new request id for a new lease")
        }
        Unleased::TooMany => Refusal::new(
            LeaseReason::TooManyLeases,
            "the caller or its namespace has as many live leases as it may: end those that are over, and give each process a \
             caller name of its own",
        ),
        Unleased::Refused(Refused::Unbudgeted) => Refusal::new(
            LeaseReason::Unbudgeted,
            format!(
                "no AiBudget is over namespace {namespace}: there is nothing to lease from. Make one whose spec.scope selects it"
            ),
        ),
        Unleased::Refused(Refused::Behind(budget)) => Refusal::new(
            LeaseReason::BudgetQueue,
            format!("jobs wait for room in AiBudget {budget}, and come first: a lease is given when they have it"),
        ),
        Unleased::Refused(Refused::Share { budget, most }) => Refusal::new(
            LeaseReason::ShareTooSmall,
            format!(
                "{expected:.2} {currency} are expected, and a lease of AiBudget {budget} may be {most:.2} {currency} now: expect \
                 less at once, or raise spec.leases.maxShare"
            ),
        ),
        Unleased::Refused(Refused::By(wait)) => waits(wait, currency),
    }
}

fn waits(Wait { budget, why }: &Wait, currency: &str) -> Refusal {
    let (reason, message) = match why {
        Why::Full { left, until } => (
            LeaseReason::BudgetFull,
            format!(
                "AiBudget {budget} has {left:.2} {currency} left beside what is reserved: there is room when that turns out to \
                 cost less, when the cap is raised, or at the latest from {until}"
            ),
        ),
        Why::Spent { left, until } => (
            LeaseReason::BudgetSpent,
            format!(
                "AiBudget {budget} has {left:.2} {currency} left in this period at best: there is room when the cap is raised, or \
                 from {until}"
            ),
        ),
        Why::TooLarge { cap } => (
            LeaseReason::BudgetTooSmall,
            format!("the whole cap of AiBudget {budget} is {cap:.2} {currency}: expect less at once, or raise the cap"),
        ),
        Why::Blind(why) => (
            LeaseReason::BudgetBlind,
            format!("the limits of AiBudget {budget} are not known ({why}): nothing is leased until they are"),
        ),
        Why::NoParent(why) => (
            LeaseReason::BudgetBlind,
            format!("AiBudget {budget} cannot work: {why}. Make the parent, or correct spec.parentRef"),
        ),
        Why::Closing => (LeaseReason::BudgetClosing, format!("AiBudget {budget} is being deleted: nothing is leased under it")),
    };
    Refusal::new(reason, message)
}

/// A lease as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nobody has ended it.
    Open(Open),
    /// It was charged.
    Ended(Ended),
}

impl Found {
    /// Who took it, and until when it was given; none where it is no lease.
    pub(super) fn given(&self) -> Option<(&str, Timestamp)> {
        match self {
            Self::Open(open) => open.lease.as_ref().map(|terms| (terms.account.as_str(), terms.ends)),
            Self::Ended(ended) => Some((&ended.account, ended.ends)),
        }
    }

    /// Whether this account took it.
    pub(super) fn is_of(&self, account: &str) -> bool {
        self.given().is_some_and(|(by, _)| by == account)
    }

    /// As its caller is told; `namespace/caller/id` name it.
    pub(super) fn told(&self, (namespace, caller, id): (&str, &str, &str), currency: &str, now: Timestamp) -> Lease {
        let ends = self.given().map_or(now, |(_, ends)| ends);
        let left = Clock::until(now, ends).as_secs();
        let (state, amount, charged, basis) = match self {
            Self::Open(open) if left > 0 => (LeaseState::Live, open.amount, None, None),
            Self::Open(open) => (LeaseState::Over, open.amount, None, None),
            Self::Ended(ended) => {
                let basis = if ended.verified { LeaseBasis::Evidence } else { LeaseBasis::Full };
                (LeaseState::Settled, ended.lease, Some(ended.charged.to_string()), Some(basis))
            }
        };
        Lease {
            schema: Lease::SCHEMA.to_owned(),
            id: id.to_owned(),
            namespace: namespace.to_owned(),
            caller: caller.to_owned(),
            state,
            amount: amount.to_string(),
            currency: currency.to_owned(),
            expires_at: ends.to_string(),
            valid_seconds: if state == LeaseState::Live { left } else { 0 },
            charged,
            basis,
        }
    }
}
