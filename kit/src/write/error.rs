//! What can go wrong with a write, and what that means for the reconcile it was part of.
//!
//! Pure.

use std::time::Duration;

use jiff::Timestamp;
use kube::core::Status;

use crate::conditions::clean;
use crate::error::{Class, ReconcileError};

/// Reason of an error that is no failure: somebody wrote first, look again.
pub const CONFLICT: &str = "Conflict";

/// A write that did not happen, or of which it is not known whether it happened (`Timeout`, `Unavailable`).
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// This process must not write.
    #[error("failed to write: this replica does not lead, or could not renew its lease in time")]
    NotLeader,
    /// Somebody wrote since the object was read.
    #[error("failed to write {object}: it has changed since it was read")]
    Conflict {
        /// Which.
        object: String,
    },
    /// There is one of that name already ([`super::Writer::create_once`] looks whose).
    #[error("failed to create {object}: there is one already")]
    AlreadyExists {
        /// Which.
        object: String,
    },
    /// The object is not there any more.
    #[error("failed to write {object}: it does not exist (any more)")]
    Gone {
        /// Which.
        object: String,
    },
    /// The name is taken by an object that is not ours.
    #[error("failed to create {object}: the name is taken by an object that {owner} controls; delete or rename that one")]
    Foreign {
        /// Which.
        object: String,
        /// Who controls it.
        owner: String,
    },
    /// A field belongs to another field manager.
    #[error("failed to apply {object}: field {field} is owned by {manager:?}; let one of the two go")]
    Owned {
        /// Which.
        object: String,
        /// The other manager.
        manager: String,
        /// The field in dispute.
        field: String,
    },
    /// The API server says no: invalid, forbidden, or refused by an admission policy.
    #[error("failed to write {object}: the API server refused it: {message}")]
    Rejected {
        /// Which.
        object: String,
        /// What it said, cleaned.
        message: String,
        /// Forbidden (a role or an admission policy) rather than invalid.
        forbidden: bool,
    },
    /// The API server asks for patience.
    #[error("failed to write {object}: the API server is busy")]
    Busy {
        /// Which.
        object: String,
        /// How long it asks to wait.
        retry_after: Duration,
    },
    /// No answer in time; the write may have happened.
    #[error("failed to write {object}: no answer in time; it may have been written")]
    Timeout {
        /// Which.
        object: String,
    },
    /// No proper answer; the write may have happened.
    #[error("failed to write {object}: the API server cannot be reached or is failing")]
    Unavailable {
        /// Which.
        object: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// The caller's mistake: nothing was sent.
    #[error("failed to write {object}: {message}")]
    Invalid {
        /// Which.
        object: String,
        /// What is wrong with it.
        message: String,
    },
}

impl WriteError {
    pub(super) fn of(object: String, error: kube::Error) -> Self {
        let status = match error {
            kube::Error::Api(status) => status,
            other => return Self::Unavailable { object, source: Box::new(other) },
        };
        let retry_after = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        match status.code {
            404 => Self::Gone { object },
            409 if status.reason == "AlreadyExists" => Self::AlreadyExists { object },
            409 => match apply_conflict(&status) {
                Some((manager, field)) => Self::Owned { object, manager, field },
                None => Self::Conflict { object },
            },
            429 => Self::Busy { object, retry_after: Duration::from_secs(u64::from(retry_after.max(1))) },
            500.. => Self::Unavailable { object, source: Box::new(kube::Error::Api(status)) },
            code => Self::Rejected { object, message: clean(&status.message), forbidden: matches!(code, 401 | 403) },
        }
    }

    /// Stable reason, for metrics, conditions and events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotLeader => "NotLeader",
            Self::Conflict { .. } => CONFLICT,
            Self::AlreadyExists { .. } => "AlreadyExists",
            Self::Gone { .. } => "ObjectGone",
            Self::Foreign { .. } => "NameTaken",
            Self::Owned { .. } => "FieldOwnedByOther",
            Self::Rejected { forbidden: true, .. } => "WriteForbidden",
            Self::Rejected { .. } => "WriteRejected",
            Self::Busy { .. } => "ApiServerBusy",
            Self::Timeout { .. } => "WriteTimeout",
            Self::Unavailable { .. } => "ApiServerUnavailable",
            Self::Invalid { .. } => "InvalidObject",
        }
    }
}

impl From<WriteError> for ReconcileError {
    fn from(error: WriteError) -> Self {
        let class = match &error {
            WriteError::NotLeader
            | WriteError::Conflict { .. }
            | WriteError::AlreadyExists { .. }
            | WriteError::Gone { .. }
            | WriteError::Timeout { .. }
            | WriteError::Unavailable { .. } => Class::Retry,
            // Cured by a person, in a role, a policy or another object: nothing tells us when.
            WriteError::Foreign { .. } | WriteError::Owned { .. } | WriteError::Rejected { forbidden: true, .. } => {
                Class::RetryAt(Timestamp::now() + crate::error::MAX_RETRY_AT)
            }
            WriteError::Busy { retry_after, .. } => Class::RetryAt(Timestamp::now() + *retry_after),
            WriteError::Rejected { .. } | WriteError::Invalid { .. } => Class::Terminal,
        };
        Self::new(class, error.reason(), error.to_string()).caused_by(error)
    }
}

/// Manager and field that a conflict of server-side apply names: `conflict with "kubectl" using apps/v1`.
fn apply_conflict(status: &Status) -> Option<(String, String)> {
    let causes = &status.details.as_ref()?.causes;
    let cause = causes.iter().find(|cause| cause.reason == "FieldManagerConflict")?;
    let manager = cause.message.split('"').nth(1).unwrap_or("another manager");
    Some((clean(manager), clean(&cause.field)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(status: serde_json::Value) -> WriteError {
        let status: Status = serde_json::from_value(status).unwrap();
        WriteError::of("Job ns/a".into(), kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn answers_of_the_api_server_become_errors_that_say_what_happened() {
        assert!(matches!(of(json!({ "code": 404 })), WriteError::Gone { .. }));
        assert!(matches!(of(json!({ "code": 409, "reason": "AlreadyExists" })), WriteError::AlreadyExists { .. }));
        assert!(matches!(of(json!({ "code": 409, "reason": "Conflict" })), WriteError::Conflict { .. }));
        assert!(matches!(of(json!({ "code": 403 })), WriteError::Rejected { forbidden: true, .. }));
        assert!(matches!(of(json!({ "code": 422 })), WriteError::Rejected { forbidden: false, .. }));
        assert!(matches!(of(json!({ "code": 500 })), WriteError::Unavailable { .. }));
        let busy = of(json!({ "code": 429, "details": { "retryAfterSeconds": 7 } }));
        assert!(matches!(busy, WriteError::Busy { retry_after, .. } if retry_after == Duration::from_secs(7)));
    }

    #[test]
    fn a_field_conflict_names_the_other_manager_and_the_field() {
        let error = of(json!({ "code": 409, "reason": "Conflict", "details": { "causes": [
            { "reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using apps/v1", "field": ".spec.replicas" }
        ] } }));
        assert_eq!(
            error.to_string(),
            "failed to apply Job ns/a: field .spec.replicas is owned by \"kubectl\"; let one of the two go"
        );
    }
}
