//! Prints, comparison, classes, files and index, on drawn titles of known kinds.
#![allow(clippy::unwrap_used, unreachable_pub)]

mod comparing;
mod draw;
mod files;
mod indexing;
mod looking;
mod queries;
mod sounding;
