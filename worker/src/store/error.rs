//! What a store may answer, in words a person can act on. No I/O.

use reqwest::StatusCode;
use showrunner_contracts::result::{Failure, Reason};
use std::{error::Error as _, fmt::Write as _, time::Duration};

/// Why the store did not do what was asked. Never holds an address: those are signed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The HTTP client could not be made.
    #[error("failed to set up the HTTP client: {cause}")]
    Client {
        /// Why.
        cause: String,
    },
    /// One try failed in a way that may pass.
    #[error("failed to reach the store for {what}: {cause}")]
    Away {
        /// What was asked for.
        what: String,
        /// How it failed.
        cause: String,
    },
    /// It did not pass.
    #[error("failed to reach the store for {what} in {} s of trying ({cause}); check that the store is up and that job pods may reach it", waited.as_secs())]
    Unavailable {
        /// What was asked for.
        what: String,
        /// How the last try failed.
        cause: String,
        /// How long it was tried.
        waited: Duration,
    },
    /// The store refused the signature.
    #[error(
        "failed to use the signed request for {what}: the store answered {status}; it has expired, or the store's credentials were changed or withdrawn"
    )]
    Denied {
        /// What was asked for.
        what: String,
        /// The answer.
        status: u16,
    },
    /// There is no such object.
    #[error("failed to find {what} in the store: it was there when this work was planned; put it back or name another")]
    Missing {
        /// What was asked for.
        what: String,
    },
    /// The object is not the one that was planned for.
    #[error("failed to read {what}: it changed after this work was planned ({detail}); it is planned anew with the new version")]
    Changed {
        /// What was asked for.
        what: String,
        /// How it shows.
        detail: String,
    },
    /// The object is larger than it can be.
    #[error("failed to read {what}: it is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The limit.
        limit: usize,
    },
    /// The store has no room.
    #[error(
        "failed to write {what}: the store is full (it answered {status}); make room in it or raise the bucket's quota; what was committed before is kept"
    )]
    Full {
        /// What was to be written.
        what: String,
        /// The answer.
        status: u16,
    },
    /// The store answered what it should not.
    #[error("failed to understand the store's answer for {what}: {detail}")]
    Odd {
        /// What was asked for.
        what: String,
        /// The answer.
        detail: String,
    },
    /// The scratch volume could not take the bytes.
    #[error("failed to write {what} to the scratch volume: {source}; give the job a larger scratch volume")]
    Scratch {
        /// What was read.
        what: String,
        /// Why.
        source: std::io::Error,
    },
}

impl StoreError {
    /// Whether another try may work.
    pub const fn may_pass(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// The contract's word for it.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Away { .. } | Self::Unavailable { .. } | Self::Full { .. } => Reason::StoreUnavailable,
            Self::Denied { .. } => Reason::StoreDenied,
            Self::Missing { .. } => Reason::SourceNotFound,
            Self::Changed { .. } => Reason::SourceChanged,
            Self::Scratch { .. } => Reason::LimitExceeded,
            Self::Client { .. } | Self::TooLarge { .. } | Self::Odd { .. } => Reason::Internal,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(error.reason(), &error.to_string())
    }
}

/// What stores that are full or over a quota call it, whatever the status: Ceph and Versity, `MinIO`.
const FULL: [&str; 4] = ["QuotaExceeded", "XMinioStorageFull", "XMinioStorageBackendFull", "XMinioAdminBucketQuotaExceeded"];

/// A request that got no answer, or whose answer broke off.
pub(super) fn of_request(what: &str, error: reqwest::Error) -> StoreError {
    let (what, error) = (what.to_owned(), error.without_url());
    let mut cause = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let _ = write!(cause, ": {inner}"); // writing to a string cannot fail
        source = inner.source();
    }
    if error.is_builder() { StoreError::Odd { what, detail: cause } } else { StoreError::Away { what, cause } }
}

/// An answer that is neither success nor anything that the request can make use of.
pub(super) fn of_status(what: &str, status: StatusCode) -> StoreError {
    let what = what.to_owned();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StoreError::Denied { what, status: status.as_u16() },
        StatusCode::NOT_FOUND => StoreError::Missing { what },
        // 400 is how stores answer a body that was damaged or cut on its way (BadDigest, IncompleteBody, RequestTimeout).
        StatusCode::BAD_REQUEST | StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => {
            StoreError::Away { what, cause: format!("it answered {status}") }
        }
        _ if status.is_server_error() => StoreError::Away { what, cause: format!("it answered {status}") },
        _ => StoreError::Odd { what, detail: format!("it answered {status}") },
    }
}

/// The same of a write, with what the answer says in S3's words. A store that is full is not asked again: nobody makes room in
/// minutes, and the pod would be paid for meanwhile.
pub(super) fn of_write(what: &str, status: StatusCode, body: &str) -> StoreError {
    let full =
        status == StatusCode::INSUFFICIENT_STORAGE || FULL.iter().any(|code| body.contains(&format!("<Code>{code}</Code>")));
    if full { StoreError::Full { what: what.to_owned(), status: status.as_u16() } } else { of_status(what, status) }
}
