//! How a reconcile ends: when to look again, or an error with a class and a stable reason.
//!
//! Pure.

use std::time::Duration;

use jiff::Timestamp;

/// Longest wait an error may ask for; what is cured outside the API is looked at again within it.
pub const MAX_RETRY_AT: Duration = Duration::from_mins(5);

/// What to do after a reconcile that succeeded. The resync comes in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for a change of the object or of something it owns.
    WaitForChange,
    /// Look again at this instant, or earlier on a change.
    At(Timestamp),
}

impl Next {
    /// The earlier of two wishes.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(a), Self::At(b)) => Self::At(a.min(b)),
            (Self::At(a), Self::WaitForChange) | (Self::WaitForChange, Self::At(a)) => Self::At(a),
            (Self::WaitForChange, Self::WaitForChange) => Self::WaitForChange,
        }
    }
}

/// What kind of failure it was, which decides when the object is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something that should pass by itself: exponential backoff of this object alone.
    Retry,
    /// Cured outside the API (a store, a quota): look again then, at most [`MAX_RETRY_AT`] away, jittered.
    RetryAt(Timestamp),
    /// Nothing helps until this object, or something it owns, changes.
    WaitForChange,
    /// A bug or a broken invariant: as `WaitForChange`, counted apart so that it can be alerted on.
    Terminal,
}

/// A reconcile that failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ReconcileError {
    /// When to look again.
    pub class: Class,
    /// Stable `PascalCase` reason, for conditions, events and logs.
    pub reason: &'static str,
    /// What failed, which object, and what to do; lower case.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ReconcileError {
    /// An error without a cause.
    pub fn new(class: Class, reason: &'static str, message: impl Into<String>) -> Self {
        Self { class, reason, message: message.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}
