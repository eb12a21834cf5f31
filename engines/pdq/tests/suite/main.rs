//! The hash and its quality: against the published implementation, and by what they are for.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod draw;
mod hashing;
mod published;
