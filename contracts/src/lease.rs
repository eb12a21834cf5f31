//! Money for callers that are no jobs: what they ask the operator for over HTTP, and what they are told. No I/O.
//!
//! A lease is debited before it is used. Every request may be sent again: the same request id has the same lease.

use crate::document;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, IntoStaticStr};

/// Audience that a caller's token must be for.
pub const AUDIENCE: &str = "showrunner.dev/leases";
/// Largest request, bytes.
pub const MAX_REQUEST_BYTES: usize = 64 << 10;
/// Header of an answer by a replica that does not lead: where the leader listens.
pub const HEADER_LEADER: &str = "showrunner-leader";

/// Longest name of a provider, bytes.
const MAX_PROVIDER: usize = 40;
/// Longest name of a model, bytes.
const MAX_MODEL: usize = 80;
/// Longest request id or record, bytes.
const MAX_ID: usize = 128;
/// Models in one request.
const MAX_MODELS: usize = 16;
/// Leases that one request ends.
const MAX_ENDS: usize = 4;
/// Provider's records in one piece of evidence.
const MAX_RECORDS: usize = 100;

/// `POST /v1/leases`: money in hand for what is about to be used. Ends, in the same write, leases that the caller had before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseRequest {
    /// `showrunner.dev/lease-request/v1`.
    pub schema: String,
    /// Names the request: sent again, it has the same lease. 1 to 128 letters, digits, `.`, `_` and `-`, such as a UUID.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub request_id: String,
    /// Which process asks, such as its pod's name: leases are sized by what each uses. 1 to 63 letters in lower case, digits and
    /// dashes.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub caller: String,
    /// Models that will be used, each with a price in the operator's list, and how much of each the caller needs at least. 0 where
    /// it does not know: what it used lately tells then.
    #[schemars(length(min = 1, max = 16))]
    pub expects: Vec<ModelUse>,
    /// Leases of the caller that are over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub ends: Vec<LeaseEnd>,
}
document!(LeaseRequest, "showrunner.dev/lease-request/v1");

/// How much of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelUse {
    /// Who serves it, as the list of prices calls it, such as `openai`.
    #[schemars(length(min = 1, max = 40))]
    pub provider: String,
    /// Its name, as the list of prices has it, such as `gpt-4o-mini`.
    #[schemars(length(min = 1, max = 80))]
    pub model: String,
    /// Tokens in.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens out.
    #[serde(default)]
    pub output_tokens: u64,
    /// Pictures in.
    #[serde(default)]
    pub images: u64,
    /// Requests, for models that have a price for one.
    #[serde(default)]
    pub requests: u64,
}

/// A lease that is over, and what its caller says that it used: a claim, by which the next lease is sized and nothing refunded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseEnd {
    /// Its id.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// What was used; all of the lease where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub used: Option<Vec<ModelUse>>,
}

/// `POST /v1/leases/{id}/settle`: the lease is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseSettlement {
    /// `showrunner.dev/lease-settlement/v1`.
    pub schema: String,
    /// What was used; all of the lease where this is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub used: Option<Vec<ModelUse>>,
}
document!(LeaseSettlement, "showrunner.dev/lease-settlement/v1");

/// `POST /v1/leases/{id}/evidence`: what was used under a lease, all of it, by the provider's own records. Taken from an account
/// with the right to verify, and never from the one that took the lease. The lease is charged that; what it was charged beyond is
/// given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseEvidence {
    /// `showrunner.dev/lease-evidence/v1`.
    pub schema: String,
    /// Namespace of the lease.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// What was used; an empty list says that nothing was.
    #[schemars(length(max = 16))]
    pub used: Vec<ModelUse>,
    /// Ids of the provider's usage records that say so, or of where they can be looked up. At least one.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 128)))]
    pub records: Vec<String>,
}
document!(LeaseEvidence, "showrunner.dev/lease-evidence/v1");

/// What is known of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Lease {
    /// `showrunner.dev/lease/v1`.
    pub schema: String,
    /// Its id.
    pub id: String,
    /// Namespace of the account that took it.
    pub namespace: String,
    /// Which process of it.
    pub caller: String,
    /// How it stands.
    pub state: LeaseState,
    /// How much may be used under it, a decimal.
    pub amount: String,
    /// Currency of all amounts.
    pub currency: String,
    /// From then on nothing may be begun under it, RFC 3339.
    pub expires_at: String,
    /// The same from when this was said, for those who do not trust their clock; 0 when it is over.
    pub valid_seconds: u64,
    /// What it was charged, once it is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charged: Option<String>,
    /// By what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<LeaseBasis>,
}
document!(Lease, "showrunner.dev/lease/v1");

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
pub enum LeaseState {
    /// It may be used.
    Live,
    /// It may not be used any more, and will be charged.
    Over,
    /// It was charged.
    Settled,
}

/// By what a lease was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display)]
pub enum LeaseBasis {
    /// All of it: nobody but its caller has said what was used.
    Full,
    /// Evidence.
    Evidence,
}

/// Why there is no other answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct LeaseRefusal {
    /// `showrunner.dev/lease-refusal/v1`.
    pub schema: String,
    /// In a word.
    pub reason: LeaseReason,
    /// For people, with what to do.
    pub message: String,
    /// Seconds after which to ask again, as in `Retry-After`; absent where that would change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// Where the leader listens, as a URL; with `NotLeader`, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
}
document!(LeaseRefusal, "showrunner.dev/lease-refusal/v1");

/// Why a request about leases is refused. Part of the API: documented in `docs/leases.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, EnumIter, IntoStaticStr)]
pub enum LeaseReason {
    /// The request is not as its schema says.
    BadRequest,
    /// No token, or none that the cluster knows for this audience.
    Unauthenticated,
    /// The token is not that of a service account.
    NotAServiceAccount,
    /// The account may not do this.
    Forbidden,
    /// There is no such lease of this account, nor such a path.
    NotFound,
    /// The path has no such method.
    MethodNotAllowed,
    /// The same request id was used for another request.
    RequestIdReused,
    /// The lease that the request id names is over: a new one needs a new id.
    LeaseOver,
    /// The request is too large.
    TooLarge,
    /// A model has no price.
    PriceUnknown,
    /// No budget is over the namespace.
    Unbudgeted,
    /// It needs more than the whole cap of a budget.
    BudgetTooSmall,
    /// It needs more than one lease may be of what is free.
    ShareTooSmall,
    /// A budget has no room beside what is reserved.
    BudgetFull,
    /// A budget has no room in this period.
    BudgetSpent,
    /// Jobs wait for room in a budget, and come first.
    BudgetQueue,
    /// The caller, or its namespace, has as many leases as it may.
    TooManyLeases,
    /// The account asks too often.
    TooManyRequests,
    /// Another replica leads.
    NotLeader,
    /// It is not known yet which budgets there are.
    Starting,
    /// The limits of a budget are not known now.
    BudgetBlind,
    /// A budget is being deleted.
    BudgetClosing,
    /// The ledger cannot be read or written now.
    LedgerUnavailable,
    /// Pages of the ledger are missing or were changed.
    LedgerBroken,
    /// The API server does not say whose a token is.
    ReviewUnavailable,
}

impl LeaseReason {
    /// The answer's HTTP status.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::NotAServiceAccount | Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestIdReused | Self::LeaseOver => 409,
            Self::TooLarge => 413,
            Self::PriceUnknown | Self::Unbudgeted | Self::BudgetTooSmall => 422,
            Self::ShareTooSmall
            | Self::BudgetFull
            | Self::BudgetSpent
            | Self::BudgetQueue
            | Self::TooManyLeases
            | Self::TooManyRequests => 429,
            Self::NotLeader
            | Self::Starting
            | Self::BudgetBlind
            | Self::BudgetClosing
            | Self::LedgerUnavailable
            | Self::LedgerBroken
            | Self::ReviewUnavailable => 503,
        }
    }

    /// Seconds after which to ask again; none where somebody has to change something first.
    pub const fn retry_after(self) -> Option<u64> {
        match self {
            Self::NotLeader | Self::Starting | Self::ReviewUnavailable => Some(2),
            Self::LedgerUnavailable => Some(5),
            Self::ShareTooSmall | Self::BudgetFull | Self::BudgetQueue | Self::TooManyLeases | Self::TooManyRequests => Some(30),
            Self::BudgetSpent | Self::BudgetBlind | Self::BudgetClosing | Self::LedgerBroken => Some(300),
            Self::BadRequest
            | Self::Unauthenticated
            | Self::NotAServiceAccount
            | Self::Forbidden
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::RequestIdReused
            | Self::LeaseOver
            | Self::TooLarge
            | Self::PriceUnknown
            | Self::Unbudgeted
            | Self::BudgetTooSmall => None,
        }
    }
}

impl LeaseRequest {
    /// What of it is not as its schema says.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !(1..=MAX_ID).contains(&self.request_id.len()) || !self.request_id.chars().all(plain) {
            return Err(format!("requestId: must have 1 to {MAX_ID} letters, digits, '.', '_' and '-'"));
        }
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let caller = &self.caller;
        if !(1..=63).contains(&caller.len()) || !caller.chars().all(label) || caller.starts_with('-') || caller.ends_with('-') {
            return Err("caller: must have 1 to 63 letters in lower case, digits and dashes, such as a pod's name".to_owned());
        }
        if self.expects.is_empty() {
            return Err("expects: name at least one model".to_owned());
        }
        check_uses("expects", &self.expects)?;
        if self.ends.len() > MAX_ENDS {
            return Err(format!("ends: at most {MAX_ENDS} leases can be ended at once"));
        }
        self.ends.iter().try_for_each(|end| check_uses("ends.used", end.used.as_deref().unwrap_or_default()))
    }
}

impl LeaseSettlement {
    /// As of a request.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), String> {
        check_uses("used", self.used.as_deref().unwrap_or_default())
    }
}

impl LeaseEvidence {
    /// As of a request.
    ///
    /// # Errors
    /// The field, and what it must be.
    pub fn check(&self) -> Result<(), String> {
        let is_record = |record: &String| (1..=MAX_ID).contains(&record.len()) && !record.contains(char::is_control);
        if !(1..=MAX_RECORDS).contains(&self.records.len()) || !self.records.iter().all(is_record) {
            return Err(format!("records: name 1 to {MAX_RECORDS} records of the provider, of at most {MAX_ID} bytes"));
        }
        check_uses("used", &self.used)
    }
}

fn check_uses(field: &str, uses: &[ModelUse]) -> Result<(), String> {
    let is_name = |name: &str, most| (1..=most).contains(&name.len()) && !name.contains(char::is_control);
    if uses.len() > MAX_MODELS {
        return Err(format!("{field}: at most {MAX_MODELS} models can be named"));
    }
    if uses.iter().any(|used| !is_name(&used.provider, MAX_PROVIDER) || !is_name(&used.model, MAX_MODEL)) {
        return Err(format!(
            "{field}: provider and model need names of at most {MAX_PROVIDER} and {MAX_MODEL} bytes, without control characters"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document as _;
    use serde_json::{Value, json};

    fn good() -> Value {
        json!({
            "schema": LeaseRequest::SCHEMA, "requestId": "a-1", "caller": "captions-0",
            "expects": [{ "provider": "openai", "model": "gpt-4o-mini", "inputTokens": 5 }],
            "ends": [{ "id": "f00d", "used": [] }],
        })
    }

    fn read(value: &Value) -> Result<LeaseRequest, String> {
        let request = LeaseRequest::from_bytes(value.to_string().as_bytes()).map_err(|error| error.to_string())?;
        request.check().map(|()| request)
    }

    #[test]
    fn a_request_that_is_not_as_its_schema_says_is_refused_with_its_field() {
        read(&good()).unwrap();
        let long = "x".repeat(200);
        for (field, value, expected) in [
            ("requestId", json!(""), "requestId"),
            ("requestId", json!("a/b"), "requestId"),
            ("requestId", json!(long), "requestId"),
            ("caller", json!("Captions"), "caller"),
            ("caller", json!("a/b"), "caller"),
            ("caller", json!("-a"), "caller"),
            ("expects", json!([]), "expects"),
            ("expects", json!([{ "provider": "", "model": "m" }]), "expects"),
            ("expects", json!([{ "provider": "p", "model": long }]), "expects"),
            ("expects", json!([{ "provider": "p", "model": "m", "inputTokens": -1 }]), "inputTokens"),
            ("expects", json!([{ "provider": "p", "model": "m", "tokens": 1 }]), "tokens"),
            ("expects", json!(vec![json!({ "provider": "p", "model": "m" }); 17]), "expects"),
            ("ends", json!(vec![json!({ "id": "a" }); 5]), "ends"),
            ("namespace", json!("another"), "namespace"),
            ("schema", json!("showrunner.dev/lease-request/v2"), "v2"),
        ] {
            let mut request = good();
            request[field] = value;
            let error = read(&request).unwrap_err();
            // A number that does not fit is told by where it stands.
            assert!(error.contains(expected) || error.contains("column"), "{field}: {error}");
        }
    }

    #[test]
    fn evidence_names_the_records_that_it_is_made_of() {
        let evidence = |records: Value| {
            let value = json!({ "schema": LeaseEvidence::SCHEMA, "namespace": "studio", "used": [], "records": records });
            LeaseEvidence::from_bytes(value.to_string().as_bytes()).unwrap().check()
        };
        evidence(json!(["req_1"])).unwrap();
        for records in [json!([]), json!([""]), json!(["a\nb"]), json!(vec!["r"; 101])] {
            assert!(evidence(records).unwrap_err().contains("records"));
        }
    }
}
