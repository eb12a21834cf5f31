//! Who says whether a Job may cost what it would cost.
//!
//! The trait, and the default that admits everything; no I/O here. Absent budget data makes batch work wait.

use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;

use crate::money::Money;
use crate::names;
use crate::object::{ObjectKey, annotation, controller_of};

/// Has an object of some kind looked at again.
pub type Wake = Arc<dyn Fn(&ObjectKey) + Send + Sync>;

/// A Job, as far as money goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The Job; its name holds owner, unit and attempt.
    pub job: ObjectKey,
    /// Whom it works for.
    pub owner: ObjectKey,
    /// Kind of the owner; empty where only the Job's name is known.
    pub owner_kind: String,
    /// UID of the owner.
    pub owner_uid: String,
    /// Accelerator class.
    pub class: String,
}

impl Work {
    /// What a Job is.
    pub fn of(job: &Job) -> Self {
        let owner = controller_of(&job.metadata);
        let namespace = job.metadata.namespace.clone().unwrap_or_default();
        Self {
            job: ObjectKey::of(&job.metadata),
            owner: ObjectKey::new(namespace, owner.map(|owner| owner.name.clone()).unwrap_or_default()),
            owner_kind: owner.map(|owner| owner.kind.clone()).unwrap_or_default(),
            owner_uid: owner.map(|owner| owner.uid.clone()).unwrap_or_default(),
            class: annotation(&job.metadata, names::ANNOTATION_CLASS).unwrap_or_default().to_owned(),
        }
    }

    /// A Job that is gone, of which no more than its name is left.
    pub fn named(job: &ObjectKey) -> Self {
        let owner = ObjectKey::new(job.namespace.clone(), "");
        Self { job: job.clone(), owner, owner_kind: String::new(), owner_uid: String::new(), class: String::new() }
    }
}

/// What is asked for before a Job is admitted. Asking again for the same Job changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The Job.
    pub work: Work,
    /// Upper bound of its cost.
    pub estimate: Money,
    /// Since when there is the Job: of one namespace, the oldest is next.
    pub since: Timestamp,
    /// What of it has no price, for people: a budget lets nothing start that it cannot price.
    pub unpriced: Option<String>,
}

/// What an attempt cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The Job.
    pub work: Work,
    /// What it cost.
    pub spent: Money,
    /// Nobody knows what ran: it is the upper bound.
    pub bound: bool,
    /// For which models, each with its weight; empty where nobody knows.
    pub parts: Vec<(String, u64)>,
}

/// What budgets ask of work that runs or is about to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// The budget by which work is made for spot machines alone, where its class has some.
    pub spot_only: Option<String>,
    /// The budget by which nothing runs now.
    pub stop: Option<String>,
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
        /// For people; the same as long as nothing that matters has changed.
        message: String,
        /// When to ask again at the latest.
        retry_at: Timestamp,
    },
}

/// Answers could not be had; the caller waits.
#[derive(Clone, Debug, thiserror::Error)]
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

    /// Turns a reservation into what was really spent. Without a reservation it is charged all the same, where a budget is over
    /// it.
    fn settle<'a>(&'a self, settlement: &'a Settlement) -> BoxFuture<'a, Result<(), AdmissionError>>;

    /// What budgets ask of an owner's work now. Owners whose work runs or was stopped are woken when it changes.
    fn orders(&self, _kind: &str, _owner: &ObjectKey) -> Orders {
        Orders::default()
    }

    /// Has owners of this kind woken when it is their turn.
    fn wake_by(&self, kind: &str, wake: Wake);

    /// This Job asks no more: it holds up nobody.
    fn forget(&self, job: &ObjectKey);
}

/// Admits everything at once and remembers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn reserve<'a>(&'a self, _: &'a Reservation) -> BoxFuture<'a, Result<Verdict, AdmissionError>> {
        async { Ok(Verdict::Admit) }.boxed()
    }

    fn settle<'a>(&'a self, _: &'a Settlement) -> BoxFuture<'a, Result<(), AdmissionError>> {
        async { Ok(()) }.boxed()
    }

    fn wake_by(&self, _: &str, _: Wake) {}

    fn forget(&self, _: &ObjectKey) {}
}
