//! Who says whether a Job may cost what it would cost.
//!
//! The trait, and the default that admits everything; no I/O here. Absent budget data makes batch work wait.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::money::Money;
use crate::object::ObjectKey;

/// What is asked for before a Job is admitted. Asking again for the same Job changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The Job; its name holds owner, unit and attempt.
    pub job: ObjectKey,
    /// Kind of the owner.
    pub owner_kind: String,
    /// UID of the owner.
    pub owner_uid: String,
    /// Accelerator class.
    pub class: String,
    /// Upper bound of its cost.
    pub estimate: Money,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Reserved: admit it.
    Admit,
    /// Not now.
    Hold {
        /// Stable `PascalCase` reason.
        reason: &'static str,
        /// For people.
        message: String,
        /// When to ask again.
        retry_at: Timestamp,
    },
}

/// Answers could not be had; the caller waits.
#[derive(Debug, thiserror::Error)]
#[error("failed to ask for a reservation: {0}")]
pub struct AdmissionError(pub String);

impl From<AdmissionError> for crate::error::ReconcileError {
    fn from(error: AdmissionError) -> Self {
        Self::new(crate::error::Class::Retry, "AdmissionUnavailable", error.to_string()).caused_by(error)
    }
}

/// Admission of cost. Every call may be repeated.
pub trait Admission: Send + Sync + 'static {
    /// Reserves the upper bound of a Job's cost.
    fn reserve<'a>(&'a self, reservation: &'a Reservation) -> BoxFuture<'a, Result<Verdict, AdmissionError>>;

    /// Gives a reservation back: the Job was suspended before it started.
    fn release<'a>(&'a self, job: &'a ObjectKey) -> BoxFuture<'a, Result<(), AdmissionError>>;

    /// Turns a reservation into what was really spent. Without a reservation there is nothing to turn: somebody else may have
    /// made the Job.
    fn settle<'a>(&'a self, job: &'a ObjectKey, spent: Money) -> BoxFuture<'a, Result<(), AdmissionError>>;
}

/// Admits everything at once and remembers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn reserve<'a>(&'a self, _: &'a Reservation) -> BoxFuture<'a, Result<Verdict, AdmissionError>> {
        async { Ok(Verdict::Admit) }.boxed()
    }

    fn release<'a>(&'a self, _: &'a ObjectKey) -> BoxFuture<'a, Result<(), AdmissionError>> {
        async { Ok(()) }.boxed()
    }

    fn settle<'a>(&'a self, _: &'a ObjectKey, _: Money) -> BoxFuture<'a, Result<(), AdmissionError>> {
        async { Ok(()) }.boxed()
    }
}
