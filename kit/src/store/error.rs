//! What can go wrong with an object store, told apart by who can cure it.
//!
//! Pure.

use jiff::Timestamp;

use crate::error::{Class, ReconcileError};

/// How long until a store that failed is asked again.
const ASK_AGAIN: std::time::Duration = std::time::Duration::from_secs(30);

/// A call to an object store that failed. Texts name paths below the profile and never a URL: URLs hold signatures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// There is no such profile.
    #[error("failed to find object-store profile {name:?}: the operator's configuration has {known}")]
    UnknownProfile {
        /// What was asked for.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// The path would leave its profile, or means different things to different readers.
    #[error("failed to accept path {path:?}: {why}; write a plain path below the profile, such as titles/a.mp4")]
    PathEscapes {
        /// What was asked for; cleaned.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No such object.
    #[error("failed to find {path:?} in store {store:?}: there is no such object; check the path, or upload it")]
    NotFound {
        /// Profile.
        store: String,
        /// Path below it.
        path: String,
    },
    /// The store does not know the key, or the secret does not fit it.
    #[error("failed to use store {store:?}: it rejects the credentials ({code}); check the Secret of this profile")]
    CredentialsRejected {
        /// Profile.
        store: String,
        /// The store's error code.
        code: String,
    },
    /// The credentials are good and may not do this.
    #[error("failed to {operation} {path:?} in store {store:?}: access denied ({code}); let the profile's credentials do it")]
    AccessDenied {
        /// Profile.
        store: String,
        /// Path below it.
        path: String,
        /// What was tried.
        operation: &'static str,
        /// The store's error code.
        code: String,
    },
    /// The store cannot be reached, is failing, or is too slow.
    #[error("failed to reach store {store:?}: {message}; trying again")]
    Unavailable {
        /// Profile.
        store: String,
        /// What happened.
        message: String,
    },
    /// The store has no room.
    #[error("failed to write {path:?} in store {store:?}: it is full ({code}); make room in it or raise the bucket's quota")]
    Full {
        /// Profile.
        store: String,
        /// Path below it.
        path: String,
        /// The store's error code.
        code: String,
    },
    /// Somebody else was first, or the object is not the one that was meant.
    #[error("failed to write {path:?} in store {store:?}: it is not as expected (somebody wrote first)")]
    PreconditionFailed {
        /// Profile.
        store: String,
        /// Path below it.
        path: String,
    },
    /// More than the caller can take.
    #[error("failed to read {path:?} in store {store:?}: it is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Profile.
        store: String,
        /// Path below it.
        path: String,
        /// The limit, bytes.
        limit: usize,
    },
    /// An answer that none of the above describes.
    #[error("failed to {operation} {path:?} in store {store:?}: unexpected answer {status} ({code})")]
    Unexpected {
        /// Profile.
        store: String,
        /// Path below it.
        path: String,
        /// What was tried.
        operation: &'static str,
        /// HTTP status.
        status: u16,
        /// The store's error code.
        code: String,
    },
    /// The profile cannot work as it is: its credentials cannot be read, or its bucket is not there.
    #[error("failed to use store {store:?}: {message}")]
    Configuration {
        /// Profile.
        store: String,
        /// What is wrong.
        message: String,
    },
}

impl StoreError {
    /// Stable reason, for conditions, events and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownProfile { .. } => "StoreUnknown",
            Self::PathEscapes { .. } => "PathNotAllowed",
            Self::NotFound { .. } => "ObjectNotFound",
            Self::CredentialsRejected { .. } => "StoreCredentialsRejected",
            Self::AccessDenied { .. } => "StoreAccessDenied",
            Self::Unavailable { .. } | Self::Full { .. } => "StoreUnavailable",
            Self::PreconditionFailed { .. } => "ObjectChanged",
            Self::TooLarge { .. } => "ObjectTooLarge",
            Self::Unexpected { .. } => "StoreAnsweredUnexpectedly",
            Self::Configuration { .. } => "StoreNotConfigured",
        }
    }
}

impl From<StoreError> for ReconcileError {
    fn from(error: StoreError) -> Self {
        let class = match &error {
            StoreError::PathEscapes { .. } => Class::WaitForChange,
            StoreError::PreconditionFailed { .. } => Class::Retry,
            // Cured outside the API, by people or by time.
            StoreError::Unavailable { .. } => Class::RetryAt(Timestamp::now() + ASK_AGAIN),
            _ => Class::RetryAt(Timestamp::now() + crate::error::MAX_RETRY_AT),
        };
        Self::new(class, error.reason(), error.to_string()).caused_by(error)
    }
}
