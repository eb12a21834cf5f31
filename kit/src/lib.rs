//! What every controller needs and no kind owns: queue, watches, lease, writes, conditions, events, jobs, stores.
//!
//! I/O lives in the modules that say so (`controller`, `watch`, `lease::keeper`, `write`, `events`, `jobs::act`,
//! `store::client`, `notify::outbox`, `admin`, `drain`, `traces::export`); the others are pure and take the time as an argument.
#![forbid(unsafe_code)]
// A test that meets an error, or a time that goes back, should end right there.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::unchecked_time_subtraction, clippy::needless_pass_by_value))]

pub mod admin;
pub mod admission;
pub mod cache;
pub mod clock;
pub mod conditions;
pub mod controller;
pub mod crd_check;
pub mod drain;
pub mod error;
pub mod events;
pub mod jobs;
pub mod kube_client;
pub mod lease;
mod limit;
pub mod metrics;
pub mod money;
pub mod names;
pub mod notify;
pub mod object;
pub mod planted;
pub mod privacy;
pub mod queue;
pub mod shutdown;
pub mod store;
pub mod telemetry;
pub mod traces;
pub mod watch;
pub mod write;

pub use controller::{Controller, Reconciler};
pub use error::{Class, Next, ReconcileError};
pub use object::ObjectKey;
pub use write::{WriteError, Writer};
