//! The shot detector against moving pictures whose truth is known.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod edits;
mod reel;
mod stream;
